//! Guards for tests that need root, or need not to be root. Root is effective user id 0
//! ([`geteuid(2)`](https://man7.org/linux/man-pages/man2/geteuid.2.html)).

use std::fmt::Display;

use crate::skip::{Need, announce};

/// The user that a row of a test table needs, for [`skip_loop_by_user!`](crate::skip_loop_by_user).
///
/// ```
/// use test_utils::TestUserType;
///
/// #[derive(Debug)]
/// struct TestData {
///     path: &'static str,
///     test_user: TestUserType,
/// }
///
/// let row = TestData { path: "/proc/1/root", test_user: TestUserType::RootOnly };
/// assert_ne!(row.test_user, TestUserType::Any);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TestUserType {
    /// The row holds for root only.
    RootOnly,
    /// The row holds for every user but root.
    NonRootOnly,
    /// The row holds for every user.
    Any,
}

/// Returns from the test when it runs as root (effective user id 0).
///
/// Prints `INFO: skipping MODULE which needs non-root` with the test's name; does nothing and
/// prints nothing as an ordinary user. An argument is the value to return, for tests that return
/// one; it is not evaluated unless the test is skipped.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `nonroot` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_root;
///
/// fn write_is_refused() {
///     skip_if_root!();
///     assert!(std::fs::write("/proc/version", "").is_err());
/// }
///
/// fn removal_is_refused() -> std::io::Result<()> {
///     skip_if_root!(Ok(()));
///     let version = std::fs::metadata("/proc/version")?;
///     assert!(version.is_file());
///     assert!(std::fs::remove_file("/proc/version").is_err());
///     Ok(())
/// }
/// # write_is_refused();
/// # removal_is_refused().unwrap();
/// ```
#[macro_export]
macro_rules! skip_if_root {
    ($($value:expr $(,)?)?) => {
        if $crate::__private::skip_as_root(::core::module_path!()) {
            return $($value)?;
        }
    };
}

/// Returns from the test unless it runs as root (effective user id 0).
///
/// Prints `INFO: skipping MODULE which needs root` with the test's name; does nothing and prints
/// nothing as root. An argument is the value to return, for tests that return one; it is not
/// evaluated unless the test is skipped.
///
/// Root in a user namespace, or without its capabilities, is root here too: a test that needs a
/// certain privilege is better guarded by [`skip_if_no_cap!`](crate::skip_if_no_cap).
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `root` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_if_not_root;
///
/// fn root_lists_its_home() {
///     skip_if_not_root!();
///     assert!(std::fs::read_dir("/root").is_ok());
/// }
///
/// fn root_reads_its_environment() -> std::io::Result<()> {
///     skip_if_not_root!(Ok(()));
///     std::fs::read("/proc/self/environ").map(drop)
/// }
/// # root_lists_its_home();
/// # root_reads_its_environment().unwrap();
/// ```
#[macro_export]
macro_rules! skip_if_not_root {
    ($($value:expr $(,)?)?) => {
        if $crate::__private::skip_as_ordinary_user(::core::module_path!()) {
            return $($value)?;
        }
    };
}

/// Continues with the next turn of the enclosing loop when the test runs as root (effective user
/// id 0).
///
/// Prints `INFO: skipping loop MESSAGE in MODULE which needs non-root` with the test's name; does
/// nothing and prints nothing as an ordinary user. The message is anything that implements
/// `Display`; it is borrowed, and evaluated only when the turn is skipped.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `nonroot` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_loop_if_root;
///
/// for path in ["/proc/version", "/proc/uptime"] {
///     skip_loop_if_root!(path);
///     assert!(std::fs::write(path, "").is_err(), "{path}");
/// }
/// ```
#[macro_export]
macro_rules! skip_loop_if_root {
    ($msg:expr $(,)?) => {
        if $crate::__private::effective_user_is_root() {
            $crate::__private::announce_turn_as_root(&$msg, ::core::module_path!());
            continue;
        }
    };
}

/// Continues with the next turn of the enclosing loop unless the test runs as root (effective
/// user id 0).
///
/// Prints `INFO: skipping loop MESSAGE in MODULE which needs root` with the test's name; does
/// nothing and prints nothing as root. The message is anything that implements `Display`; it is
/// borrowed, and evaluated only when the turn is skipped.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `root` (see the [crate](crate) page).
///
/// ```
/// use test_utils::skip_loop_if_not_root;
///
/// for path in ["/proc/self/mem", "/proc/self/environ"] {
///     skip_loop_if_not_root!(path);
///     assert!(std::fs::File::open(path).is_ok(), "{path}");
/// }
/// ```
#[macro_export]
macro_rules! skip_loop_if_not_root {
    ($msg:expr $(,)?) => {
        if !$crate::__private::effective_user_is_root() {
            $crate::__private::announce_turn_as_ordinary_user(&$msg, ::core::module_path!());
            continue;
        }
    };
}

/// Continues with the next turn of the enclosing loop when this row of a test table needs another
/// user.
///
/// The second argument is the row's [`TestUserType`]: `RootOnly` is as
/// [`skip_loop_if_not_root!`](crate::skip_loop_if_not_root), `NonRootOnly` as
/// [`skip_loop_if_root!`](crate::skip_loop_if_root), `Any` never skips. Both arguments are
/// borrowed and evaluated once. No other import is needed; importing the two loop macros as well
/// is allowed and does not count as unused.
///
/// # Panics
///
/// Instead of skipping, if `KATA_TEST_STRICT` contains `root` (a `RootOnly` row) or `nonroot` (a
/// `NonRootOnly` row; see the [crate](crate) page).
///
/// ```
/// use test_utils::{TestUserType, skip_loop_by_user};
///
/// struct TestData {
///     path: &'static str,
///     test_user: TestUserType,
///     writable: bool,
/// }
///
/// let tests = [
///     TestData { path: "/dev/null", test_user: TestUserType::Any, writable: true },
///     TestData { path: "/proc/1/mem", test_user: TestUserType::NonRootOnly, writable: false },
/// ];
///
/// for (i, d) in tests.iter().enumerate() {
///     let msg = format!("test[{i}]: {}", d.path);
///     skip_loop_by_user!(msg, d.test_user);
///     let file = std::fs::OpenOptions::new().write(true).open(d.path);
///     assert_eq!(file.is_ok(), d.writable, "{msg}");
/// }
/// ```
// T5: the bare names make a caller's own imports of these macros count as used, and the glob
// provides them to callers that have none. The arguments are bound before the glob is in scope,
// so that it cannot shadow names in them; `match` keeps their temporaries alive.
#[macro_export]
macro_rules! skip_loop_by_user {
    ($msg:expr, $user:expr $(,)?) => {
        match (&$msg, &$user) {
            (msg, user) => {
                #[allow(unused_imports)]
                use $crate::*;
                match user {
                    TestUserType::RootOnly => skip_loop_if_not_root!(msg),
                    TestUserType::NonRootOnly => skip_loop_if_root!(msg),
                    TestUserType::Any => {}
                }
            }
        }
    };
}

/// Whether the effective user id is 0.
pub fn effective_user_is_root() -> bool {
    // SAFETY: geteuid takes no argument, touches no memory and cannot fail.
    (unsafe { libc::geteuid() }) == 0
}

/// Whether to skip a test that must not run as root; says so if it is.
#[track_caller]
pub fn skip_as_root(module: &str) -> bool {
    let skip = effective_user_is_root();
    if skip {
        announce(Need::NonRoot, format_args!("{module} which needs non-root"));
    }
    skip
}

/// Whether to skip a test that must run as root; says so if it is.
#[track_caller]
pub fn skip_as_ordinary_user(module: &str) -> bool {
    let skip = !effective_user_is_root();
    if skip {
        announce(Need::Root, format_args!("{module} which needs root"));
    }
    skip
}

/// Says that root skips a turn of a loop.
#[track_caller]
pub fn announce_turn_as_root<M: Display + ?Sized>(message: &M, module: &str) {
    announce(
        Need::NonRoot,
        format_args!("loop {message} in {module} which needs non-root"),
    );
}

/// Says that an ordinary user skips a turn of a loop.
#[track_caller]
pub fn announce_turn_as_ordinary_user<M: Display + ?Sized>(message: &M, module: &str) {
    announce(
        Need::Root,
        format_args!("loop {message} in {module} which needs root"),
    );
}
