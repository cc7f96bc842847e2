//! s390x: IBM Secure Execution for Linux
//! ([kernel documentation](https://docs.kernel.org/virt/kvm/s390/s390-pv-boot.html)).

use std::path::{Path, PathBuf};

use super::small_file::read_small_file;
use super::{GuestProtection, ProtectionCandidate, ProtectionError, Technology};
use crate::SysRoot;
use crate::cmdline::has_parameter;
use crate::cpu::retrieve_cpu_facilities_from;

/// The facility of a machine that has the Ultravisor.
const FACILITY: i32 = 158;

/// The parameter of the kernel of a host that is to use it, and its values.
const PARAMETER: &str = "prot_virt";
const ON: [&str; 4] = ["1", "on", "y", "yes"];

/// What protects guests of an s390x machine, with files instead of `/proc/cpuinfo`,
/// `/proc/cmdline` and `/sys/firmware/uv/prot_virt_host`. Works on all architectures, and whoever
/// asks.
///
/// | Facility 158 | Kernel | Result |
/// |---|---|---|
/// | no | any | [`GuestProtection::NoProtection`] |
/// | yes | command line has `prot_virt=` with `1`, `on`, `y` or `yes` in any case | [`GuestProtection::Se`] |
/// | yes | `prot_virt_host` is `1` | [`GuestProtection::Se`] |
/// | yes | else | error |
///
/// # Errors
///
/// [`ProtectionError::InvalidValue`] as in the table: guests could be protected, but would not be.
/// [`ProtectionError::CheckFailed`] if the facilities cannot be read, or the command line cannot
/// and the result depends on it. A `prot_virt_host` that cannot be read is the same as none.
///
/// ```
/// use kata_sys_util::protection::{GuestProtection, se_guest_protection_from};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let [cpuinfo, cmdline, uv] = ["cpuinfo", "cmdline", "uv"].map(|name| dir.join(name));
/// std::fs::write(&cpuinfo, "facilities : 0 1 158\n")?;
/// std::fs::write(&cmdline, "root=/dev/dasda1 prot_virt=1\n")?;
/// let protection = se_guest_protection_from(&cpuinfo, &cmdline, &uv)?;
/// assert_eq!(protection, GuestProtection::Se);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn se_guest_protection_from(
    cpuinfo: &Path,
    cmdline: &Path,
    uv_prot_virt_host: &Path,
) -> Result<GuestProtection, ProtectionError> {
    if !has_facility(cpuinfo)? {
        return Ok(GuestProtection::NoProtection);
    }
    if is_enabled(cmdline, uv_prot_virt_host)? {
        return Ok(GuestProtection::Se);
    }
    // D-16, X4: not NoProtection, with which a confidential guest would start unprotected.
    Err(ProtectionError::InvalidValue(
        "Protected Virtualization is not enabled on kernel command line!".to_owned(),
    ))
}

/// The files of a machine that tell.
#[derive(Debug)]
pub(super) struct Files {
    cpuinfo: PathBuf,
    cmdline: PathBuf,
    uv_prot_virt_host: PathBuf,
}

impl Files {
    pub(super) fn below(root: &SysRoot) -> Self {
        Self {
            cpuinfo: root.proc.join("cpuinfo"),
            cmdline: root.proc.join("cmdline"),
            uv_prot_virt_host: root.sys.join("firmware/uv/prot_virt_host"),
        }
    }

    pub(super) fn select(&self) -> Result<GuestProtection, ProtectionError> {
        se_guest_protection_from(&self.cpuinfo, &self.cmdline, &self.uv_prot_virt_host)
    }

    pub(super) fn candidate(&self) -> ProtectionCandidate {
        let hardware = has_facility(&self.cpuinfo);
        let enabled = is_enabled(&self.cmdline, &self.uv_prot_virt_host);
        let (cmdline, uv) = (self.cmdline.display(), self.uv_prot_virt_host.display());
        let about_cpu = match &hardware {
            Ok(true) => format!("the machine has facility {FACILITY}"),
            Ok(false) => format!("the machine does not have facility {FACILITY}"),
            Err(error) => error.to_string(),
        };
        let about_kernel = match &enabled {
            Ok(true) => format!("{cmdline} or {uv} says that it is on"),
            Ok(false) => format!("{cmdline} has no prot_virt=1, and {uv} is not 1"),
            Err(error) => error.to_string(),
        };
        // A kernel without the file may be too old for it alone.
        let is_known = matches!(enabled, Ok(true)) || self.uv_prot_virt_host.exists();
        ProtectionCandidate {
            technology: Technology::Se,
            hardware: hardware.ok(),
            kernel: is_known.then_some(true),
            enabled: enabled.ok(),
            reason: format!("{about_cpu}; {about_kernel}"),
        }
    }
}

fn has_facility(cpuinfo: &Path) -> Result<bool, ProtectionError> {
    let facilities = retrieve_cpu_facilities_from(cpuinfo).map_err(|e| {
        ProtectionError::CheckFailed(format!("Error retrieving cpu facilities file : {e:#}"))
    })?;
    Ok(facilities.contains_key(&FACILITY))
}

fn is_enabled(cmdline: &Path, uv_prot_virt_host: &Path) -> Result<bool, ProtectionError> {
    // The kernel's own verdict, which also knows of a parameter that is not on the command line.
    if read_small_file(uv_prot_virt_host).is_ok_and(|text| text.trim() == "1") {
        return Ok(true);
    }
    has_parameter(cmdline, PARAMETER, &ON).map_err(|e| ProtectionError::CheckFailed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::protection::{Platform, available_guest_protection_in, protection_report_in};

    const ROOT: Platform = Platform::S390x { effective_uid: 0 };
    const NOT_ENABLED: &str = "Invalid guest protection value: Protected Virtualization is not enabled on kernel command line!";

    const WITH_158: &str = "vendor_id       : IBM/S390\nfacilities      : 0 1 2 158\n";
    const WITHOUT_158: &str = "vendor_id       : IBM/S390\nfacilities      : 0 1 2 15 1580\n";

    struct Machine {
        _dir: tempfile::TempDir,
        root: SysRoot,
    }

    /// A machine with those files that are not `None`.
    fn machine(cpuinfo: Option<&str>, cmdline: Option<&str>, uv: Option<&str>) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        let files = Files::below(&root);
        for (path, text) in [
            (&files.cpuinfo, cpuinfo),
            (&files.cmdline, cmdline),
            (&files.uv_prot_virt_host, uv),
        ] {
            if let Some(text) = text {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        Machine { _dir: dir, root }
    }

    fn select(machine: &Machine) -> Result<GuestProtection, String> {
        available_guest_protection_in(&machine.root, &ROOT).map_err(|e| e.to_string())
    }

    #[test]
    fn secure_execution_needs_the_facility_and_a_kernel_that_uses_it() {
        use GuestProtection::{NoProtection, Se};
        let not_enabled = || Err(NOT_ENABLED.to_owned());
        for (cpuinfo, cmdline, uv, expected) in [
            (WITHOUT_158, "prot_virt=1", Some("1\n"), Ok(NoProtection)),
            ("processor 0: x\n", "prot_virt=1", None, Ok(NoProtection)),
            ("", "prot_virt=1", None, Ok(NoProtection)),
            (WITH_158, "prot_virt=1", None, Ok(Se)),
            (WITH_158, "a prot_virt=on b\n", None, Ok(Se)),
            (WITH_158, "prot_virt=Y", None, Ok(Se)),
            (WITH_158, "prot_virt=YES", None, Ok(Se)),
            (WITH_158, "prot_virt=1", Some("0\n"), Ok(Se)),
            (WITH_158, "quiet", Some("1\n"), Ok(Se)),
            (WITH_158, "quiet", Some("0\n"), not_enabled()),
            (WITH_158, "quiet", Some("11\n"), not_enabled()),
            (WITH_158, "quiet", None, not_enabled()),
            (WITH_158, "prot_virt", None, not_enabled()),
            (WITH_158, "prot_virt=0", None, not_enabled()),
            (WITH_158, "prot_virt=true", None, not_enabled()),
            (WITH_158, "prot_virt=", None, not_enabled()),
            (WITH_158, "PROT_VIRT=1", None, not_enabled()),
            (WITH_158, "xprot_virt=1", None, not_enabled()),
            (WITH_158, "", None, not_enabled()),
        ] {
            let machine = machine(Some(cpuinfo), Some(cmdline), uv);
            assert_eq!(select(&machine), expected, "{cmdline:?} {uv:?}");
        }
    }

    #[test]
    fn unreadable_file_is_an_error_if_the_result_depends_on_it() {
        let checked = |machine: &Machine| select(machine).unwrap_err();
        let failed = "Failed to check guest protection: ";

        let no_cpuinfo = machine(None, Some("prot_virt=1"), Some("1"));
        let start = format!("{failed}Error retrieving cpu facilities file : ");
        let message = checked(&no_cpuinfo);
        assert!(message.starts_with(&start), "{message}");
        assert!(message.contains("No such file or directory"), "{message}");

        let no_number = machine(Some("facilities : 158 x"), Some("prot_virt=1"), None);
        let message = checked(&no_number);
        assert!(message.starts_with(&start), "{message}");
        assert!(message.contains("not a facility number"), "{message}");

        let no_cmdline = machine(Some(WITH_158), None, Some("0"));
        let path = no_cmdline.root.proc.join("cmdline");
        let expected = format!(
            "{failed}{}: No such file or directory (os error 2)",
            path.display()
        );
        assert_eq!(checked(&no_cmdline), expected);

        let no_need = machine(Some(WITH_158), None, Some("1\n"));
        assert_eq!(select(&no_need), Ok(GuestProtection::Se));
        let no_need = machine(Some(WITHOUT_158), None, None);
        assert_eq!(select(&no_need), Ok(GuestProtection::NoProtection));
    }

    #[test]
    fn only_root_is_told() {
        let machine = machine(Some(WITH_158), Some("prot_virt=1"), None);
        let ordinary = Platform::S390x {
            effective_uid: 1000,
        };
        let error = available_guest_protection_in(&machine.root, &ordinary).unwrap_err();
        assert!(matches!(error, ProtectionError::NoPerms));
    }

    #[test]
    fn report_tells_absent_from_disabled_and_from_unknown() {
        for (cpuinfo, cmdline, uv, hardware, kernel, enabled, reason) in [
            (
                Some(WITH_158),
                Some("prot_virt=1"),
                Some("1"),
                Some(true),
                Some(true),
                Some(true),
                "has facility 158; ",
            ),
            (
                Some(WITH_158),
                Some("quiet"),
                Some("0"),
                Some(true),
                Some(true),
                Some(false),
                "cmdline has no prot_virt=1, and ",
            ),
            (
                Some(WITHOUT_158),
                Some("quiet"),
                None,
                Some(false),
                None,
                Some(false),
                "does not have facility 158; ",
            ),
            (
                None,
                None,
                None,
                None,
                None,
                None,
                "No such file or directory",
            ),
        ] {
            let machine = machine(cpuinfo, cmdline, uv);
            let report = protection_report_in(&machine.root, &ROOT);
            let [candidate] = report.candidates.as_slice() else {
                panic!("{report:?}");
            };
            assert_eq!(candidate.technology, Technology::Se);
            assert_eq!(candidate.hardware, hardware, "{candidate:?}");
            assert_eq!(candidate.kernel, kernel, "{candidate:?}");
            assert_eq!(candidate.enabled, enabled, "{candidate:?}");
            assert!(candidate.reason.contains(reason), "{candidate:?}");
            let is_se = matches!(report.selected, Ok(GuestProtection::Se));
            assert_eq!(candidate.is_usable(), is_se, "{candidate:?}");
        }
    }

    #[test]
    fn files_of_the_real_system_are_those_of_the_kernel() {
        let files = Files::below(&SysRoot::default());
        assert_eq!(files.cpuinfo, Path::new("/proc/cpuinfo"));
        assert_eq!(files.cmdline, Path::new("/proc/cmdline"));
        let uv = "/sys/firmware/uv/prot_virt_host";
        assert_eq!(files.uv_prot_virt_host, Path::new(uv));
    }
}
