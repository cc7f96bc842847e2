//! powerpc64le: IBM Protected Execution Facility
//! ([kernel documentation](https://docs.kernel.org/arch/powerpc/ultravisor.html)).

use std::fs;
use std::path::{Path, PathBuf};

use super::small_file::is_missing;
use super::{GuestProtection, ProtectionCandidate, ProtectionError, Technology};
use crate::SysRoot;

/// What protects guests of a POWER machine, with a path instead of `/sys/firmware/ultravisor`:
/// [`GuestProtection::Pef`] if it is a directory, else [`GuestProtection::NoProtection`]. Works on
/// all architectures, and whoever asks.
///
/// # Errors
///
/// None at present.
///
/// ```
/// use std::path::Path;
/// use kata_sys_util::protection::{GuestProtection, pef_guest_protection_from};
///
/// let protection = pef_guest_protection_from(Path::new("/no/such/directory"))?;
/// assert_eq!(protection, GuestProtection::NoProtection);
/// # Ok::<(), kata_sys_util::protection::ProtectionError>(())
/// ```
pub fn pef_guest_protection_from(ultravisor: &Path) -> Result<GuestProtection, ProtectionError> {
    Ok(if ultravisor.is_dir() {
        GuestProtection::Pef
    } else {
        GuestProtection::NoProtection
    })
}

/// The directory that the kernel makes on a machine with an ultravisor.
pub(super) fn ultravisor(root: &SysRoot) -> PathBuf {
    root.sys.join("firmware/ultravisor")
}

pub(super) fn candidate(ultravisor: &Path) -> ProtectionCandidate {
    let path = ultravisor.display();
    // An ultravisor runs from power-on, so there is nothing to switch on; a kernel that cannot
    // work with it does not show it.
    let (hardware, others, reason) = match fs::metadata(ultravisor) {
        Ok(metadata) if metadata.is_dir() => {
            (Some(true), Some(true), format!("{path} is a directory"))
        }
        Ok(_) => (None, Some(false), format!("{path} is not a directory")),
        Err(error) if is_missing(&error) => (None, Some(false), format!("there is no {path}")),
        Err(error) => (None, None, format!("{path}: {error}")),
    };
    ProtectionCandidate {
        technology: Technology::Pef,
        hardware,
        kernel: others,
        enabled: others,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protection::{Platform, available_guest_protection_in, protection_report_in};

    const ROOT: Platform = Platform::Powerpc64le { effective_uid: 0 };

    #[test]
    fn only_a_directory_is_an_ultravisor() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        let path = ultravisor(&root);
        let check = |expected: GuestProtection, reason: &str| {
            let report = protection_report_in(&root, &ROOT);
            assert_eq!(report.selected.unwrap(), expected);
            let [candidate] = report.candidates.as_slice() else {
                panic!("{:?}", report.candidates);
            };
            assert_eq!(candidate.technology, Technology::Pef);
            let is_pef = expected == GuestProtection::Pef;
            assert_eq!(candidate.is_usable(), is_pef, "{candidate:?}");
            assert_eq!(candidate.enabled, Some(is_pef), "{candidate:?}");
            assert!(candidate.reason.contains(reason), "{candidate:?}");
        };
        check(GuestProtection::NoProtection, "there is no ");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        check(GuestProtection::NoProtection, "is not a directory");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        check(GuestProtection::Pef, "is a directory");

        let ordinary = Platform::Powerpc64le { effective_uid: 1 };
        let error = available_guest_protection_in(&root, &ordinary).unwrap_err();
        assert!(matches!(error, ProtectionError::NoPerms));
    }

    #[test]
    fn directory_of_the_real_system_is_that_of_the_kernel() {
        let path = ultravisor(&SysRoot::default());
        assert_eq!(path, Path::new("/sys/firmware/ultravisor"));
    }
}
