//! Guard for tests that need one of root's privileges, whoever runs them. Follows
//! [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html) and
//! [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html).

use std::fs;
use std::io;
use std::path::Path;

use crate::skip::{Need, announce};

/// Linux capabilities by number, as in `include/uapi/linux/capability.h` of Linux 5.9 and later.
#[expect(
    missing_docs,
    non_camel_case_types,
    reason = "the names are those of capabilities(7), which documents them"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    CAP_CHOWN = 0,
    CAP_DAC_OVERRIDE = 1,
    CAP_DAC_READ_SEARCH = 2,
    CAP_FOWNER = 3,
    CAP_FSETID = 4,
    CAP_KILL = 5,
    CAP_SETGID = 6,
    CAP_SETUID = 7,
    CAP_SETPCAP = 8,
    CAP_LINUX_IMMUTABLE = 9,
    CAP_NET_BIND_SERVICE = 10,
    CAP_NET_BROADCAST = 11,
    CAP_NET_ADMIN = 12,
    CAP_NET_RAW = 13,
    CAP_IPC_LOCK = 14,
    CAP_IPC_OWNER = 15,
    CAP_SYS_MODULE = 16,
    CAP_SYS_RAWIO = 17,
    CAP_SYS_CHROOT = 18,
    CAP_SYS_PTRACE = 19,
    CAP_SYS_PACCT = 20,
    CAP_SYS_ADMIN = 21,
    CAP_SYS_BOOT = 22,
    CAP_SYS_NICE = 23,
    CAP_SYS_RESOURCE = 24,
    CAP_SYS_TIME = 25,
    CAP_SYS_TTY_CONFIG = 26,
    CAP_MKNOD = 27,
    CAP_LEASE = 28,
    CAP_AUDIT_WRITE = 29,
    CAP_AUDIT_CONTROL = 30,
    CAP_SETFCAP = 31,
    CAP_MAC_OVERRIDE = 32,
    CAP_MAC_ADMIN = 33,
    CAP_SYSLOG = 34,
    CAP_WAKE_ALARM = 35,
    CAP_BLOCK_SUSPEND = 36,
    CAP_AUDIT_READ = 37,
    CAP_PERFMON = 38,
    CAP_BPF = 39,
    CAP_CHECKPOINT_RESTORE = 40,
}

/// Returns from the test unless the calling thread has the capability on the whole machine.
///
/// The argument is the capability's name as in
/// [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html), without quotes;
/// a name that does not exist does not compile. The capability must be in the thread's effective
/// set (`CapEff` of its `/proc` status file), and the user namespace must be one that maps every
/// user id to itself (`0 0 4294967295` in `/proc/self/uid_map`): root of any other user namespace
/// holds all capabilities, but only over what the namespace owns, and still fails with `EPERM`.
///
/// Prints `INFO: skipping MODULE which needs CAP_NAME: WHY` with the test's name; prints nothing if
/// the capability is there. A second argument is the value to return, for tests that return one; it
/// is not evaluated unless the test is skipped.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `cap` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_no_cap;
///
/// fn file_is_given_away() {
///     skip_if_no_cap!(CAP_CHOWN);
///     let file = tempfile::NamedTempFile::new().unwrap();
///     assert!(std::os::unix::fs::chown(file.path(), Some(65534), None).is_ok());
/// }
///
/// fn any_file_opens() -> std::io::Result<()> {
///     skip_if_no_cap!(CAP_DAC_READ_SEARCH, Ok(()));
///     std::fs::read_dir("/root").map(drop)
/// }
/// # file_is_given_away();
/// # any_file_opens().unwrap();
/// ```
///
/// ```compile_fail,E0599
/// test_utils::skip_if_no_cap!(CAP_SYS_ADMIM);
/// ```
#[macro_export]
macro_rules! skip_if_no_cap {
    ($cap:ident $(, $($value:expr $(,)?)?)?) => {
        if $crate::__private::skip_without_capability(
            $crate::__private::Capability::$cap,
            ::core::module_path!(),
        ) {
            return $($($value)?)?;
        }
    };
}

/// Whether to skip a test that needs `capability`; says so if it is.
#[track_caller]
pub fn skip_without_capability(capability: Capability, module: &str) -> bool {
    let Some(why) = capability.lack() else {
        return false;
    };
    announce(
        Need::Capability,
        format_args!("{module} which needs {capability:?}: {why}"),
    );
    true
}

impl Capability {
    /// Why the calling thread lacks it; `None` if it has it.
    pub(crate) fn lack(self) -> Option<String> {
        check(Path::new("/proc"), self).err()
    }
}

/// Why the calling thread lacks `capability`, going by the proc file system at `proc`.
fn check(proc: &Path, capability: Capability) -> Result<(), String> {
    let effective = effective_set(proc)?;
    if effective & (1 << capability as u8) == 0 {
        return Err(format!("the effective set is {effective:016x}"));
    }
    let path = proc.join("self/uid_map");
    match fs::read_to_string(&path) {
        Ok(map) if maps_every_id_to_itself(&map) => Ok(()),
        Ok(map) => Err(format!("in a user namespace (uid_map {})", one_line(&map))),
        // A kernel without user namespaces has only the initial one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The effective capabilities as a bit mask. They belong to a thread: `self` is the main thread,
/// which may differ from the one that runs the test.
fn effective_set(proc: &Path) -> Result<u64, String> {
    let mut path = proc.join("thread-self/status");
    let mut status = fs::read_to_string(&path);
    if matches!(&status, Err(error) if error.kind() == io::ErrorKind::NotFound) {
        path = proc.join("self/status"); // before Linux 3.17
        status = fs::read_to_string(&path);
    }
    let status = status.map_err(|error| format!("{}: {error}", path.display()))?;
    parse_effective_set(&status).ok_or_else(|| format!("{}: no valid CapEff line", path.display()))
}

/// The mask in the `CapEff` line of a `status` file: hexadecimal digits, at most 16.
fn parse_effective_set(status: &str) -> Option<u64> {
    let digits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?
        .trim();
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None; // from_str_radix would take a sign
    }
    u64::from_str_radix(digits, 16).ok()
}

/// Whether this `uid_map` is that of the initial user namespace.
fn maps_every_id_to_itself(uid_map: &str) -> bool {
    uid_map
        .split_ascii_whitespace()
        .eq(["0", "0", "4294967295"])
}

fn one_line(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    const INITIAL: &str = "         0          0 4294967295\n";
    const STATUS: &str = "Name:\tcat\nCapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000200080\n";

    fn proc_with(files: &[(&str, &str)]) -> TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = proc.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        proc
    }

    #[test]
    fn capability_of_the_effective_set_in_the_initial_namespace_is_held() {
        let proc = proc_with(&[("self/status", STATUS), ("self/uid_map", INITIAL)]);
        assert_eq!(check(proc.path(), Capability::CAP_SYS_ADMIN), Ok(()));
        assert_eq!(check(proc.path(), Capability::CAP_SETUID), Ok(()));
        assert_eq!(
            check(proc.path(), Capability::CAP_NET_ADMIN),
            Err("the effective set is 0000000000200080".to_owned())
        );
    }

    #[test]
    fn root_of_a_user_namespace_lacks_every_capability() {
        for map in [
            "         0       1000          1\n",
            "0 100000 65536\n",
            "0 0 4294967294",
            "0 0 1\n1 1 4294967294\n",
            "",
        ] {
            let proc = proc_with(&[("self/status", STATUS), ("self/uid_map", map)]);
            let why = check(proc.path(), Capability::CAP_SYS_ADMIN).unwrap_err();
            assert!(why.starts_with("in a user namespace (uid_map "), "{why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn kernel_without_user_namespaces_has_the_initial_one() {
        let proc = proc_with(&[("self/status", STATUS)]);
        assert_eq!(check(proc.path(), Capability::CAP_SYS_ADMIN), Ok(()));
    }

    #[test]
    fn status_of_the_calling_thread_goes_before_that_of_the_main_thread() {
        let proc = proc_with(&[
            ("self/status", STATUS),
            ("thread-self/status", "CapEff:\t0000000000000000\n"),
            ("self/uid_map", INITIAL),
        ]);
        assert!(check(proc.path(), Capability::CAP_SYS_ADMIN).is_err());
    }

    #[test]
    fn unreadable_status_is_a_lack_that_names_the_file() {
        let proc = proc_with(&[("self/uid_map", INITIAL)]);
        let why = check(proc.path(), Capability::CAP_SYS_ADMIN).unwrap_err();
        let path = proc.path().join("self/status");
        assert!(why.starts_with(path.to_str().unwrap()), "{why}");
        assert!(why.contains("os error 2"), "{why}");

        let proc = proc_with(&[("self/status", "CapPrm:\tff\n"), ("self/uid_map", INITIAL)]);
        let why = check(proc.path(), Capability::CAP_SYS_ADMIN).unwrap_err();
        assert!(why.ends_with("no valid CapEff line"), "{why}");
    }

    #[test]
    fn only_hexadecimal_digits_are_a_capability_set() {
        assert_eq!(parse_effective_set("CapEff:\tffffffffffffffff"), Some(!0));
        assert_eq!(parse_effective_set("CapEff: 1\nCapEff: 2"), Some(1));
        for line in [
            "",
            "CapEff:",
            "CapEff:\t+1",
            "CapEff:\t0x1",
            "CapEff:\t1ffffffffffffffff",
            "capeff:\t1",
            "XCapEff:\t1",
        ] {
            assert_eq!(parse_effective_set(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn every_written_set_is_read_back(set: u64, before in "[A-Z][a-z]+:\t[a-z0-9 ]*") {
            let status = format!("{before}\nCapEff:\t{set:016x}\nCapBnd:\t0\n");
            prop_assert_eq!(parse_effective_set(&status), Some(set));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "(CapEff:)?[\\s0-9a-f+\\PC]*") {
            let _ = parse_effective_set(&text);
            let _ = maps_every_id_to_itself(&text);
        }
    }
}
