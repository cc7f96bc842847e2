//! Each rule of selection, and what the report says beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::protection::{
    Platform, ProtectionCandidate, SevSnpDetails, Technology, available_guest_protection_in,
    protection_report_in,
};

use GuestProtection::{NoProtection, Tdx};

const NONE: u32 = 0;
const SEV: u32 = 0x2;
const SNP: u32 = 0x10;
const BOTH: u32 = SEV | SNP;

const NO_LEAF: &str = "Failed to check guest protection: CPUID leaf 0x8000001f not available";
const NOT_AMD: &str = "Failed to check guest protection: Not an AMD processor";
const NOT_SUPPORTED: &str = "Failed to check guest protection: SEV not supported";

fn cpu(vendor: &[u8; 12], eax: u32) -> SevCpuid {
    SevCpuid {
        vendor: *vendor,
        max_ext_leaf: 0x8000_001f,
        eax,
        ebx: 1 << 6 | 51,
    }
}

fn amd(eax: u32) -> SevCpuid {
    cpu(b"AuthenticAMD", eax)
}

fn intel() -> SevCpuid {
    SevCpuid {
        max_ext_leaf: 0x8000_0008,
        ..cpu(b"GenuineIntel", NONE)
    }
}

fn sev() -> Result<GuestProtection, &'static str> {
    Ok(GuestProtection::Sev(details()))
}

fn snp() -> Result<GuestProtection, &'static str> {
    Ok(GuestProtection::Snp(details()))
}

fn details() -> SevSnpDetails {
    SevSnpDetails {
        cbitpos: 51,
        phys_addr_reduction: 1,
    }
}

/// A machine whose parameters have these texts, or do not exist.
struct Machine {
    _dir: TempDir,
    root: SysRoot,
    files: Files,
}

type Texts<'a> = [Option<&'a str>; 3];

impl Machine {
    fn new([tdx, sev, snp]: Texts<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        let files = Files::below(&root);
        for (path, text) in [(&files.tdx, tdx), (&files.sev, sev), (&files.snp, snp)] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        fs::create_dir(&root.proc).unwrap();
        Self {
            _dir: dir,
            root,
            files,
        }
    }

    fn select(&self, cpuid: SevCpuid) -> Result<GuestProtection, String> {
        available_guest_protection_in(&self.root, &Platform::X86_64(cpuid))
            .map_err(|error| error.to_string())
    }

    /// TDX, SEV-SNP, SEV.
    fn candidates(&self, cpuid: SevCpuid) -> [ProtectionCandidate; 3] {
        let report = protection_report_in(&self.root, &Platform::X86_64(cpuid));
        report.candidates.try_into().unwrap()
    }
}

#[test]
fn parameters_and_cpu_select_the_protection() {
    const Y: Option<&str> = Some("Y\n");
    const N: Option<&str> = Some("N\n");
    for (name, tdx_sev_snp, cpuid, expected) in [
        (
            "nothing loaded, Intel",
            [None; 3],
            intel(),
            Ok(NoProtection),
        ),
        (
            "nothing loaded, AMD",
            [None; 3],
            amd(BOTH),
            Ok(NoProtection),
        ),
        (
            "nothing loaded, unknown",
            [None; 3],
            SevCpuid::default(),
            Ok(NoProtection),
        ),
        ("TDX", [Y, None, None], intel(), Ok(Tdx)),
        ("TDX off", [N, None, None], intel(), Ok(NoProtection)),
        (
            "TDX by its first byte",
            [Some("Yes"), None, None],
            intel(),
            Ok(Tdx),
        ),
        (
            "TDX not by a number",
            [Some("1\n"), None, None],
            intel(),
            Ok(NoProtection),
        ),
        (
            "TDX not after a blank",
            [Some(" Y\n"), None, None],
            intel(),
            Ok(NoProtection),
        ),
        (
            "TDX, empty",
            [Some(""), None, None],
            intel(),
            Ok(NoProtection),
        ),
        ("TDX before SEV-SNP", [Y, Y, Y], amd(BOTH), Ok(Tdx)),
        ("TDX asks no CPU", [Y, Y, Y], SevCpuid::default(), Ok(Tdx)),
        ("SEV-SNP before SEV", [N, Y, Y], amd(BOTH), snp()),
        ("SEV-SNP alone", [None, None, Y], amd(SNP), snp()),
        ("SEV-SNP, SEV off", [None, N, Y], amd(BOTH), snp()),
        (
            "SEV-SNP by a number",
            [None, None, Some("1")],
            amd(BOTH),
            snp(),
        ),
        ("D-4: Naples and Rome", [None, Y, N], amd(SEV), sev()),
        (
            "D-4: before SEV-SNP was known",
            [None, Y, None],
            amd(SEV),
            sev(),
        ),
        (
            "SEV by a number",
            [None, Some("1\n"), None],
            amd(SEV),
            sev(),
        ),
        (
            "SEV-SNP off on a CPU with it",
            [None, Y, N],
            amd(BOTH),
            sev(),
        ),
        ("SEV-SNP on a CPU without it", [None, Y, Y], amd(SEV), sev()),
        (
            "the same, SEV off",
            [None, N, Y],
            amd(SEV),
            Err(NOT_SUPPORTED),
        ),
        (
            "the same, no SEV",
            [None, None, Y],
            amd(SEV),
            Err(NOT_SUPPORTED),
        ),
        (
            "SEV on a CPU with bit 4 alone",
            [None, Y, N],
            amd(SNP),
            Err(NOT_SUPPORTED),
        ),
        (
            "SEV on a CPU without it",
            [None, Y, N],
            amd(NONE),
            Err(NOT_SUPPORTED),
        ),
        (
            "all on, a CPU without any",
            [None, Y, Y],
            amd(NONE),
            Err(NOT_SUPPORTED),
        ),
        (
            "other bits of EAX",
            [None, Y, Y],
            amd(!BOTH),
            Err(NOT_SUPPORTED),
        ),
        (
            "both off on a CPU with both",
            [None, N, N],
            amd(BOTH),
            Ok(NoProtection),
        ),
        (
            "other texts are off",
            [None, Some("y"), Some("Yes")],
            amd(BOTH),
            Ok(NoProtection),
        ),
        ("S-2: Hygon", [None, Y, N], cpu(b"HygonGenuine", SEV), sev()),
        (
            "S-2: Hygon, SEV-SNP",
            [None, Y, Y],
            cpu(b"HygonGenuine", BOTH),
            snp(),
        ),
        ("SEV on Intel", [None, Y, N], intel(), Err(NOT_AMD)),
        (
            "SEV-SNP on Intel",
            [None, N, Y],
            cpu(b"GenuineIntel", BOTH),
            Err(NOT_AMD),
        ),
        (
            "vendor in another case",
            [None, Y, N],
            cpu(b"authenticamd", BOTH),
            Err(NOT_AMD),
        ),
    ] {
        let selected = Machine::new(tdx_sev_snp).select(cpuid);
        assert_eq!(selected, expected.map_err(str::to_owned), "{name}");
    }
}

#[test]
fn leaf_about_encrypted_memory_must_exist() {
    let machine = Machine::new([None, Some("Y\n"), Some("Y\n")]);
    for (max_ext_leaf, expected) in [
        (0, Err(NO_LEAF)),
        (0x8000_001e, Err(NO_LEAF)),
        (0x8000_001f, snp()),
        (0x8000_0028, snp()),
    ] {
        let cpuid = SevCpuid {
            max_ext_leaf,
            ..amd(BOTH)
        };
        let selected = machine.select(cpuid);
        assert_eq!(
            selected,
            expected.map_err(str::to_owned),
            "{max_ext_leaf:#x}"
        );
    }
    // The vendor is asked first.
    let cpuid = SevCpuid {
        max_ext_leaf: 0,
        ..cpu(b"GenuineIntel", BOTH)
    };
    assert_eq!(machine.select(cpuid), Err(NOT_AMD.to_owned()));
}

#[test]
fn unreadable_parameter_is_an_error_if_the_result_depends_on_it() {
    const ON: Option<&str> = Some("Y\n");
    const DIRECTORY: Option<&str> = None;
    // `None` becomes a directory here, which cannot be read.
    for (name, tdx_sev_snp, cpuid, unreadable) in [
        (
            "TDX is never an error",
            [DIRECTORY, ON, Some("N")],
            amd(SEV),
            None,
        ),
        ("SEV-SNP, not needed", [ON, ON, DIRECTORY], amd(BOTH), None),
        (
            "SEV-SNP",
            [Some("N"), ON, DIRECTORY],
            amd(BOTH),
            Some("sev_snp"),
        ),
        (
            "SEV, not needed",
            [Some("N"), DIRECTORY, ON],
            amd(BOTH),
            None,
        ),
        (
            "SEV",
            [Some("N"), DIRECTORY, Some("N")],
            amd(BOTH),
            Some("sev"),
        ),
        (
            "SEV in the place of SEV-SNP",
            [Some("N"), DIRECTORY, ON],
            amd(SEV),
            Some("sev"),
        ),
    ] {
        let machine = Machine::new(tdx_sev_snp);
        let files = [&machine.files.tdx, &machine.files.sev, &machine.files.snp];
        for (path, text) in files.into_iter().zip(tdx_sev_snp) {
            if text.is_none() {
                fs::create_dir(path).unwrap();
            }
        }
        let directory = machine.files.sev.parent().unwrap();
        let expected = unreadable.map(|file| {
            format!(
                "Failed to check guest protection: Error reading file {} : Is a directory (os error 21)",
                directory.join(file).display()
            )
        });
        assert_eq!(machine.select(cpuid).err(), expected, "{name}");
    }
}

#[test]
fn forbidden_parameter_is_an_error() {
    test_utils::skip_if_root!();
    let machine = Machine::new([None, Some("Y"), Some("Y")]);
    fs::set_permissions(&machine.files.snp, fs::Permissions::from_mode(0o0)).unwrap();
    let message = machine.select(amd(BOTH)).unwrap_err();
    let expected = format!(
        "Failed to check guest protection: Error reading file {} : Permission denied (os error 13)",
        machine.files.snp.display()
    );
    assert_eq!(message, expected);
}

#[test]
fn report_names_what_is_missing() {
    let machine = Machine::new([None, Some("Y\n"), Some("N\n")]);
    fs::create_dir_all(&machine.files.tdx).unwrap();
    let [tdx, snp, sev] = machine.candidates(amd(SEV));
    let known = [&tdx, &snp, &sev].map(|c| (c.technology, c.hardware, c.kernel, c.enabled));
    assert_eq!(
        known,
        [
            (Technology::Tdx, Some(false), None, None),
            (Technology::Snp, Some(false), Some(true), Some(false)),
            (Technology::Sev, Some(true), Some(true), Some(true)),
        ]
    );
    assert_eq!(
        [&tdx, &snp, &sev].map(|c| c.is_usable()),
        [false, false, true]
    );
    let directory = machine.files.sev.parent().unwrap().display();
    let tdx_path = machine.files.tdx.display();
    assert_eq!(
        [tdx, snp, sev].map(|candidate| candidate.reason),
        [
            format!(
                "the CPU is not Intel's but \"AuthenticAMD\"; \
                 cannot read {tdx_path}: Is a directory (os error 21)"
            ),
            format!("the CPU has no SEV-SNP; {directory}/sev_snp is \"N\""),
            format!("the CPU has SEV; {directory}/sev is \"Y\""),
        ]
    );
}

#[test]
fn candidate_that_can_be_used_is_selected_unless_a_parameter_before_it_is_unreadable() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum File {
        Missing,
        Y,
        N,
        Directory,
    }
    use File::{Directory, Missing, N, Y};

    let mut usable_beside_an_error = Vec::new();
    for (name, cpuid) in [("Rome", amd(SEV)), ("Milan", amd(BOTH)), ("Intel", intel())] {
        for (snp, sev) in [Missing, Y, N, Directory]
            .into_iter()
            .flat_map(|snp| [Missing, Y, N, Directory].map(|sev| (snp, sev)))
        {
            let machine = Machine::new([None; 3]);
            for (path, file) in [(&machine.files.snp, snp), (&machine.files.sev, sev)] {
                match file {
                    Missing => {}
                    Y => fs::write(path, "Y\n").unwrap(),
                    N => fs::write(path, "N\n").unwrap(),
                    Directory => fs::create_dir(path).unwrap(),
                }
            }
            let candidates = machine.candidates(cpuid);
            let usable = candidates.iter().find(|candidate| candidate.is_usable());
            let usable = usable.map(|candidate| candidate.technology);
            let selected = match machine.select(cpuid) {
                Err(_) => {
                    usable_beside_an_error
                        .extend(usable.map(|technology| (name, snp, sev, technology)));
                    continue;
                }
                Ok(NoProtection) => None,
                Ok(GuestProtection::Snp(_)) => Some(Technology::Snp),
                Ok(GuestProtection::Sev(_)) => Some(Technology::Sev),
                Ok(other) => panic!("{other}"),
            };
            assert_eq!(selected, usable, "{name}: {snp:?}, {sev:?}");
        }
    }
    let expected = ["Rome", "Milan"].map(|name| (name, Directory, Y, Technology::Sev));
    assert_eq!(usable_beside_an_error, expected);
}

#[test]
fn report_names_the_leaf_that_an_old_cpu_does_not_have() {
    let machine = Machine::new([None; 3]);
    let cpuid = SevCpuid {
        max_ext_leaf: 0x8000_001e,
        ..amd(BOTH)
    };
    let [_, snp, sev] = machine.candidates(cpuid);
    for (candidate, name) in [(snp, "SEV-SNP"), (sev, "SEV")] {
        assert_eq!(candidate.hardware, Some(false));
        let expected = format!("the CPU has no {name}: there is no CPUID leaf 0x8000001f; ");
        assert!(candidate.reason.starts_with(&expected), "{candidate:?}");
    }
}

#[test]
fn report_on_an_intel_machine_has_tdx_by_the_parameter_or_the_flag() {
    let with_flag = "processor : 0\nflags : fpu tdx_host_platform\n\nprocessor : 1\n";
    let only_in_a_name = "processor : 0\nflags : fpu tdx_host_platform_x\n\n";
    for (parameter, cpuinfo, hardware, kernel, enabled) in [
        (Some("Y"), "", Some(true), Some(true), Some(true)),
        (Some("N"), with_flag, Some(true), Some(true), Some(false)),
        (Some("N"), only_in_a_name, None, Some(true), Some(false)),
        (None, with_flag, Some(true), Some(false), Some(false)),
        (None, "", None, Some(false), Some(false)),
    ] {
        let machine = Machine::new([parameter, None, None]);
        fs::write(&machine.files.cpuinfo, cpuinfo).unwrap();
        let [tdx, snp, sev] = machine.candidates(intel());
        let known = (tdx.hardware, tdx.kernel, tdx.enabled);
        assert_eq!(known, (hardware, kernel, enabled), "{cpuinfo:?}");
        for other in [snp, sev] {
            let known = (other.hardware, other.kernel, other.enabled);
            assert_eq!(known, (Some(false), Some(false), Some(false)));
            let expected =
                "the CPU is neither AMD's nor Hygon's but \"GenuineIntel\"; there is no ";
            assert!(other.reason.starts_with(expected), "{}", other.reason);
        }
    }
}

#[test]
fn files_of_the_real_system_are_those_of_the_constants() {
    let files = Files::below(&SysRoot::default());
    assert_eq!(files.tdx, Path::new(TDX_KVM_PARAMETER_PATH));
    assert_eq!(files.sev, Path::new(SEV_KVM_PARAMETER_PATH));
    assert_eq!(files.snp, Path::new(SNP_KVM_PARAMETER_PATH));
    assert_eq!(files.cpuinfo, Path::new(crate::cpu::PROC_CPUINFO));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Two independent ways from the same facts: the rules of selection, and the three answers.
    #[test]
    fn protection_selected_is_that_of_the_first_usable_candidate(
        texts in proptest::array::uniform3(proptest::option::of("Y|N|1|0|")),
        vendor in proptest::sample::select(vec![b"AuthenticAMD", b"HygonGenuine", b"GenuineIntel"]),
        max_ext_leaf in 0x8000_001e..=0x8000_0020_u32,
        eax: u32,
        ebx: u32,
    ) {
        let cpuid = SevCpuid { vendor: *vendor, max_ext_leaf, eax, ebx };
        let texts = [&texts[0], &texts[1], &texts[2]].map(Option::as_deref);
        let machine = Machine::new(texts);
        let candidates = machine.candidates(cpuid);
        let usable = candidates.iter().find(|c| c.is_usable()).map(|c| c.technology);
        match machine.select(cpuid) {
            Ok(NoProtection) => {
                prop_assert_eq!(usable, None);
                prop_assert!(candidates.iter().all(|c| c.enabled == Some(false)));
            }
            Ok(Tdx) => prop_assert_eq!(usable, Some(Technology::Tdx)),
            Ok(GuestProtection::Snp(details)) => {
                prop_assert_eq!(usable, Some(Technology::Snp));
                prop_assert_eq!(details, cpuid.details());
            }
            Ok(GuestProtection::Sev(details)) => {
                prop_assert_eq!(usable, Some(Technology::Sev));
                prop_assert_eq!(details, cpuid.details());
            }
            // X4: switched on, but not usable.
            Err(_) => {
                prop_assert_eq!(usable, None);
                prop_assert!(candidates.iter().any(|c| c.enabled == Some(true)));
            }
            Ok(other) => prop_assert!(false, "{:?}", other),
        }
    }
}
