//! Which confidential-computing technology protects guests of this machine from their host.
//!
//! [`available_guest_protection`] is the answer for starting a VM, [`protection_report`] says why
//! it is that.
//!
//! | Architecture | Technologies | Told by |
//! |---|---|---|
//! | x86_64 | Intel [TDX](https://docs.kernel.org/arch/x86/tdx.html), AMD [SEV-SNP, SEV](https://docs.kernel.org/virt/kvm/x86/amd-memory-encryption.html) | parameters of `kvm_intel` and `kvm_amd`, CPUID |
//! | s390x | IBM [Secure Execution](https://docs.kernel.org/virt/kvm/s390/s390-pv.html) | facility 158, `prot_virt=` on the kernel command line |
//! | powerpc64le | IBM [Protected Execution Facility](https://docs.kernel.org/arch/powerpc/ultravisor.html) | the ultravisor's directory in sysfs |
//! | others | none | |
//!
//! What is not in a file is in a [`Platform`], so that the rules of each architecture work on all.
//!
//! A technology that is there but not usable is an error, not [`GuestProtection::NoProtection`]: a
//! caller that was told to protect a guest must not start it without protection.
//!
//! Arm CCA is not detected. The number that is probed for it elsewhere, 240 of
//! `KVM_CHECK_EXTENSION`, is `KVM_CAP_ARM_EL2` in mainline kernels: nested virtualisation.

mod error;
mod platform;
mod powerpc64;
mod report;
mod s390x;
mod small_file;
mod x86_64;

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::SysRoot;

pub use error::ProtectionError;
pub use platform::Platform;
pub use powerpc64::pef_guest_protection_from;
pub use report::{ProtectionCandidate, ProtectionReport, Technology};
pub use s390x::se_guest_protection_from;
#[cfg(target_arch = "x86_64")]
pub use x86_64::arch_guest_protection;
pub use x86_64::{
    SEV_KVM_PARAMETER_PATH, SNP_KVM_PARAMETER_PATH, SevCpuid, TDX_KVM_PARAMETER_PATH,
    guest_protection_from,
};

/// How memory encryption of an AMD or Hygon CPU changes physical addresses (CPUID leaf
/// 0x8000_001f).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SevSnpDetails {
    /// The bit of a page table entry that marks an encrypted page, 0 to 63.
    pub cbitpos: u32,
    /// By how many bits physical addresses are shorter, 0 to 63.
    pub phys_addr_reduction: u32,
}

/// What protects a guest.
///
/// The form in JSON and the like is serde's: `"Tdx"`,
/// `{"Sev":{"cbitpos":51,"phys_addr_reduction":1}}`. Runtimes keep it on disk.
///
/// ```
/// use kata_sys_util::protection::{GuestProtection, SevSnpDetails};
///
/// let details = SevSnpDetails { cbitpos: 51, phys_addr_reduction: 1 };
/// assert_eq!(GuestProtection::Snp(details).to_string(), "snp (cbitpos: 51)");
/// assert_eq!(GuestProtection::default().to_string(), "none");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestProtection {
    /// Nothing.
    #[default]
    NoProtection,
    /// Intel Trust Domain Extensions.
    Tdx,
    /// AMD Secure Encrypted Virtualization.
    Sev(SevSnpDetails),
    /// AMD SEV with Secure Nested Paging.
    Snp(SevSnpDetails),
    /// IBM Protected Execution Facility, of POWER.
    Pef,
    /// IBM Secure Execution, of IBM Z and LinuxONE.
    Se,
}

impl fmt::Display for GuestProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProtection => f.write_str("none"),
            Self::Tdx => f.write_str("tdx"),
            // D-14: the bracket is closed.
            Self::Sev(details) => write!(f, "sev (cbitpos: {})", details.cbitpos),
            Self::Snp(details) => write!(f, "snp (cbitpos: {})", details.cbitpos),
            Self::Pef => f.write_str("pef"),
            Self::Se => f.write_str("se"),
        }
    }
}

/// What protects guests of this machine. If there are several, the first of TDX, SEV-SNP, SEV.
///
/// # Errors
///
/// A technology is there, but whether or how it can be used is not known; the table of
/// [`guest_protection_from`] (x86_64), [`se_guest_protection_from`] (s390x) and
/// [`pef_guest_protection_from`] (powerpc64le) has all cases. On s390x and powerpc64le,
/// [`ProtectionError::NoPerms`] if the effective user is not root.
///
/// Runtimes ask this at the start of each sandbox, and one that does not tolerate the error starts
/// no sandbox at all on such a machine, confidential or not.
///
/// ```
/// use kata_sys_util::protection::{GuestProtection, available_guest_protection};
///
/// match available_guest_protection() {
///     Ok(GuestProtection::NoProtection) => println!("guests are not protected"),
///     Ok(protection) => println!("guests are protected by {protection}"),
///     Err(error) => println!("{error}"),
/// }
/// ```
pub fn available_guest_protection() -> Result<GuestProtection, ProtectionError> {
    available_guest_protection_in(&SysRoot::default(), &Platform::current())
}

/// As [`available_guest_protection`], of a machine with the file systems below `root` and the CPU
/// and user of `platform`.
///
/// # Errors
///
/// As [`available_guest_protection`].
///
/// ```
/// use kata_sys_util::SysRoot;
/// use kata_sys_util::protection::{GuestProtection, Platform, available_guest_protection_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// std::fs::create_dir_all(dir.join("sys/firmware/ultravisor"))?;
/// let power = Platform::Powerpc64le { effective_uid: 0 };
/// let protection = available_guest_protection_in(&SysRoot::under(dir), &power)?;
/// assert_eq!(protection, GuestProtection::Pef);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn available_guest_protection_in(
    root: &SysRoot,
    platform: &Platform,
) -> Result<GuestProtection, ProtectionError> {
    platform.check_user()?;
    match platform {
        Platform::X86_64(cpuid) => x86_64::Files::below(root).select(cpuid),
        Platform::S390x { .. } => s390x::Files::below(root).select(),
        Platform::Powerpc64le { .. } => pef_guest_protection_from(&powerpc64::ultravisor(root)),
        Platform::Other => Ok(GuestProtection::NoProtection),
    }
}

/// What protects guests of this machine and, for each technology of its architecture, why it does
/// or does not. Works as an ordinary user.
///
/// ```
/// use kata_sys_util::protection::protection_report;
///
/// for candidate in protection_report().candidates {
///     println!("{}: {}", candidate.technology, candidate.reason);
/// }
/// ```
pub fn protection_report() -> ProtectionReport {
    protection_report_in(&SysRoot::default(), &Platform::current())
}

/// As [`protection_report`], of a machine with the file systems below `root` and the CPU and user
/// of `platform`.
///
/// ```
/// use kata_sys_util::SysRoot;
/// use kata_sys_util::protection::{Platform, Technology, protection_report_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// std::fs::create_dir_all(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/cpuinfo"), "facilities : 0 1 158\n")?;
/// std::fs::write(dir.join("proc/cmdline"), "root=/dev/dasda1\n")?;
/// let mainframe = Platform::S390x { effective_uid: 0 };
/// let report = protection_report_in(&SysRoot::under(dir), &mainframe);
///
/// // Secure Execution is present but disabled, which is not the same as absent.
/// assert!(report.selected.is_err());
/// let candidate = &report.candidates[0];
/// assert_eq!(candidate.technology, Technology::Se);
/// assert_eq!(candidate.hardware, Some(true));
/// assert_eq!(candidate.enabled, Some(false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn protection_report_in(root: &SysRoot, platform: &Platform) -> ProtectionReport {
    let candidates = match platform {
        Platform::X86_64(cpuid) => x86_64::Files::below(root).candidates(cpuid),
        Platform::S390x { .. } => vec![s390x::Files::below(root).candidate()],
        Platform::Powerpc64le { .. } => vec![powerpc64::candidate(&powerpc64::ultravisor(root))],
        Platform::Other => Vec::new(),
    };
    ProtectionReport {
        selected: available_guest_protection_in(root, platform),
        candidates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETAILS: SevSnpDetails = SevSnpDetails {
        cbitpos: 51,
        phys_addr_reduction: 1,
    };

    /// Each value, as it is printed, and as it is stored.
    fn values() -> [(GuestProtection, &'static str, &'static str); 6] {
        use GuestProtection::*;
        let sev = r#"{"Sev":{"cbitpos":51,"phys_addr_reduction":1}}"#;
        let snp = r#"{"Snp":{"cbitpos":51,"phys_addr_reduction":1}}"#;
        [
            (NoProtection, "none", r#""NoProtection""#),
            (Tdx, "tdx", r#""Tdx""#),
            (Sev(DETAILS), "sev (cbitpos: 51)", sev),
            (Snp(DETAILS), "snp (cbitpos: 51)", snp),
            (Pef, "pef", r#""Pef""#),
            (Se, "se", r#""Se""#),
        ]
    }

    #[test]
    fn protection_is_printed_by_its_short_name() {
        for (protection, printed, _) in values() {
            assert_eq!(protection.to_string(), printed);
        }
    }

    #[test]
    fn stored_form_is_externally_tagged_and_read_back() {
        for (protection, _, stored) in values() {
            assert_eq!(serde_json::to_string(&protection).unwrap(), stored);
            let read: GuestProtection = serde_json::from_str(stored).unwrap();
            assert_eq!(read, protection);
        }
    }

    #[test]
    fn platform_without_a_technology_has_no_protection_and_no_candidates() {
        let root = SysRoot::under("/nonexistent");
        let report = protection_report_in(&root, &Platform::Other);
        assert_eq!(report.selected.unwrap(), GuestProtection::NoProtection);
        assert!(report.candidates.is_empty());
    }

    #[test]
    fn ordinary_user_is_refused_where_root_is_needed_but_told_the_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        std::fs::create_dir_all(root.sys.join("firmware/ultravisor")).unwrap();
        for platform in [
            Platform::S390x { effective_uid: 1 },
            Platform::Powerpc64le { effective_uid: 1 },
        ] {
            let report = protection_report_in(&root, &platform);
            assert!(matches!(report.selected, Err(ProtectionError::NoPerms)));
            let [candidate] = &report.candidates[..] else {
                panic!("{report:?}");
            };
            let is_power = candidate.technology == Technology::Pef;
            assert_eq!(candidate.is_usable(), is_power, "{candidate:?}");
        }
    }

    #[test]
    fn this_machine_gives_one_answer_twice() {
        let report = protection_report();
        assert_eq!(
            format!("{:?}", report.selected),
            format!("{:?}", available_guest_protection()),
        );
    }
}
