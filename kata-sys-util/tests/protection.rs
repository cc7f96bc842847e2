//! What protects guests, asked through the public API: of this machine, and of files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;

use kata_sys_util::SysRoot;
use kata_sys_util::protection::{
    GuestProtection, Platform, ProtectionError, SevCpuid, SevSnpDetails, Technology,
    available_guest_protection, available_guest_protection_in, guest_protection_from,
    pef_guest_protection_from, protection_report, protection_report_in, se_guest_protection_from,
};

const MILAN: SevCpuid = SevCpuid {
    vendor: *b"AuthenticAMD",
    max_ext_leaf: 0x8000_0023,
    eax: 0x0101_fd3f,
    ebx: 0x0000_4173,
};

/// A directory with files, and the root of a machine in it.
fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, SysRoot) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = SysRoot::under(dir.path());
    (dir, root)
}

#[test]
fn this_machine_has_an_answer_and_reasons() {
    let report = protection_report();
    let answer = available_guest_protection();
    assert_eq!(format!("{answer:?}"), format!("{:?}", report.selected));
    let technologies: Vec<_> = report.candidates.iter().map(|c| c.technology).collect();
    let expected: &[Technology] = match Platform::current() {
        Platform::X86_64(_) => &[Technology::Tdx, Technology::Snp, Technology::Sev],
        Platform::S390x { .. } => &[Technology::Se],
        Platform::Powerpc64le { .. } => &[Technology::Pef],
        _ => &[],
    };
    assert_eq!(technologies, expected);
    for candidate in report.candidates {
        assert!(!candidate.reason.is_empty(), "{candidate:?}");
    }
}

#[test]
fn machine_without_any_file_has_no_protection_unless_it_must_have_one() {
    let (_dir, root) = machine(&[]);
    for platform in [
        Platform::X86_64(MILAN),
        Platform::X86_64(SevCpuid::default()),
        Platform::Powerpc64le { effective_uid: 0 },
        Platform::Other,
    ] {
        let protection = available_guest_protection_in(&root, &platform).unwrap();
        assert_eq!(protection, GuestProtection::NoProtection, "{platform:?}");
    }
    let s390x = Platform::S390x { effective_uid: 0 };
    let error = available_guest_protection_in(&root, &s390x).unwrap_err();
    assert!(matches!(error, ProtectionError::CheckFailed(_)), "{error}");
}

#[test]
fn machine_with_all_files_has_the_protection_of_its_architecture() {
    let (_dir, root) = machine(&[
        ("sys/module/kvm_amd/parameters/sev", "Y\n"),
        ("sys/module/kvm_amd/parameters/sev_snp", "Y\n"),
        ("sys/firmware/ultravisor/wrapping_key", ""),
        ("sys/firmware/uv/prot_virt_host", "1\n"),
        ("proc/cpuinfo", "facilities : 158\n"),
        ("proc/cmdline", "quiet\n"),
    ]);
    let details = SevSnpDetails {
        cbitpos: 51,
        phys_addr_reduction: 5,
    };
    for (platform, expected) in [
        (Platform::X86_64(MILAN), GuestProtection::Snp(details)),
        (Platform::S390x { effective_uid: 0 }, GuestProtection::Se),
        (
            Platform::Powerpc64le { effective_uid: 0 },
            GuestProtection::Pef,
        ),
        (Platform::Other, GuestProtection::NoProtection),
    ] {
        let report = protection_report_in(&root, &platform);
        assert_eq!(report.selected.unwrap(), expected, "{platform:?}");
        let usable = report.candidates.iter().find(|c| c.is_usable());
        assert_eq!(
            usable.is_none(),
            expected == GuestProtection::NoProtection,
            "{platform:?}"
        );
    }
}

#[test]
fn functions_of_each_architecture_take_their_paths() {
    let (dir, root) = machine(&[
        ("tdx", "Y\n"),
        ("cpuinfo", "facilities : 158\n"),
        ("cmdline", "prot_virt=yes\n"),
    ]);
    let path = |name: &str| dir.path().join(name);
    let intel = SevCpuid::default();
    let protection = guest_protection_from(&path("tdx"), &path("a"), &path("b"), &intel);
    assert_eq!(protection.unwrap(), GuestProtection::Tdx);
    let protection = se_guest_protection_from(&path("cpuinfo"), &path("cmdline"), &path("a"));
    assert_eq!(protection.unwrap(), GuestProtection::Se);
    let protection = pef_guest_protection_from(dir.path());
    assert_eq!(protection.unwrap(), GuestProtection::Pef);
    drop(root);
}

/// Only the file of TDX is that of this machine.
#[cfg(target_arch = "x86_64")]
#[test]
fn paths_of_sev_can_be_given_on_x86_64() {
    use kata_sys_util::protection::{TDX_KVM_PARAMETER_PATH, arch_guest_protection};

    let has_tdx = fs::read(TDX_KVM_PARAMETER_PATH).is_ok_and(|text| text.first() == Some(&b'Y'));
    let (dir, _root) = machine(&[("sev", "Y\n")]);
    let sev = dir.path().join("sev");
    let none = arch_guest_protection("/no/such/file", "");
    let with_sev = arch_guest_protection(sev.to_str().unwrap(), "/no/such/file");
    let cpuid = SevCpuid::current();
    if has_tdx {
        assert_eq!(none.unwrap(), GuestProtection::Tdx);
        assert_eq!(with_sev.unwrap(), GuestProtection::Tdx);
    } else {
        assert_eq!(none.unwrap(), GuestProtection::NoProtection);
        match with_sev {
            Ok(protection) => {
                assert!(cpuid.has_sev());
                assert_eq!(protection, GuestProtection::Sev(cpuid.details()));
            }
            Err(error) => {
                assert!(!cpuid.has_sev());
                assert!(matches!(error, ProtectionError::CheckFailed(_)), "{error}");
            }
        }
    }
}

#[test]
fn public_types_can_cross_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<GuestProtection>();
    check::<ProtectionError>();
    check::<Platform>();
    check::<kata_sys_util::protection::ProtectionReport>();
}
