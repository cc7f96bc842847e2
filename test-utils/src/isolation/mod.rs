//! Tests in a process of their own, for what concerns a whole process: signals, children,
//! descriptors, the user, namespaces.
//!
//! [`isolate!`](crate::isolate) runs the rest of a test in a child process, which is the same test
//! binary, told to run this test alone. An [`Isolation`] says in which surroundings
//! ([`namespaces(7)`](https://man7.org/linux/man-pages/man7/namespaces.7.html),
//! [`credentials(7)`](https://man7.org/linux/man-pages/man7/credentials.7.html)).
//!
//! ```
//! use std::fs;
//! use test_utils::isolate;
//! use test_utils::isolation::{Isolation, scratch};
//!
//! fn mounts_are_seen_by_nobody_else() {
//!     isolate!(
//!         Isolation::new()
//!             .namespaces(libc::CLONE_NEWNS)
//!             .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)
//!     );
//!     // From here on: a child process with mounts of its own, as root or as root of a user
//!     // namespace of its own.
//!     let directory = scratch();
//!     assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
//! }
//! # // A documentation test is not run by libtest, which is to run it again.
//! # let _ = mounts_are_seen_by_nobody_else;
//! ```

use std::env;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::capability::Capability;
use crate::seccomp::Rule;
use crate::skip::{Need, announce};
use crate::sys::check;

mod child;
mod ordinary_user;

use child::{Failure, Surroundings};

pub use ordinary_user::as_ordinary_user;

/// Set in a process that [`isolate!`](crate::isolate) has started: how many such processes there
/// are between the test run and the body of the test.
const LEVEL: &str = "KATA_TEST_ISOLATION_LEVEL";

/// Its directory.
pub(crate) const SCRATCH: &str = "KATA_TEST_ISOLATION_SCRATCH";

/// The surroundings of a process for a test: by default, nothing but a process of its own.
///
/// ```
/// use test_utils::isolate;
/// use test_utils::isolation::Isolation;
///
/// fn temporary_files_lie_in_memory() {
///     isolate!(
///         Isolation::new()
///             .namespaces(libc::CLONE_NEWNS) // for root
///             .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER) // for any other user
///             .tmpfs()
///     );
///     // …
/// }
/// # let _ = temporary_files_lie_in_memory;
/// ```
#[derive(Default)]
pub struct Isolation<'a> {
    /// Sets of namespaces, of which the first that can be had is taken.
    namespaces: Vec<c_int>,
    tmpfs: bool,
    rules: Vec<Rule>,
    before: Option<Box<dyn FnOnce() + 'a>>,
}

impl<'a> Isolation<'a> {
    /// A process of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// In new namespaces: `CLONE_NEW` flags of
    /// [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html).
    ///
    /// With `CLONE_NEWUSER`, the process is root of the new user namespace, in which there is no
    /// other user. With `CLONE_NEWNS`, no mount goes to or comes from other namespaces.
    ///
    /// If the machine or the user does not allow the namespaces, the test is skipped as by
    /// [`skip_if_no_cap!(CAP_SYS_ADMIN)`](crate::skip_if_no_cap), with the error in the line: so it
    /// fails if `KATA_TEST_STRICT` contains `cap`, also where it is user namespaces that are missing,
    /// which need no capability. Every other error fails it.
    #[must_use]
    pub fn namespaces(mut self, flags: c_int) -> Self {
        self.namespaces = vec![flags];
        self
    }

    /// In these namespaces if those before cannot be had.
    #[must_use]
    pub fn or_namespaces(mut self, flags: c_int) -> Self {
        self.namespaces.push(flags);
        self
    }

    /// With a tmpfs on the directory for temporary files. Needs a mount namespace.
    #[must_use]
    pub fn tmpfs(mut self) -> Self {
        self.tmpfs = true;
        self
    }

    /// With system calls that fail, in all threads from the start of the program on.
    ///
    /// ```
    /// use test_utils::isolate;
    /// use test_utils::isolation::Isolation;
    /// use test_utils::seccomp::Rule;
    ///
    /// fn old_kernels_do() {
    ///     isolate!(Isolation::new().seccomp(&[Rule::fail(libc::SYS_openat2, libc::ENOSYS)]));
    ///     // …
    /// }
    /// # let _ = old_kernels_do;
    /// ```
    #[must_use]
    pub fn seccomp(mut self, rules: &[Rule]) -> Self {
        self.rules.extend_from_slice(rules);
        self
    }

    /// Runs `f` once, in the process that then waits for the new one.
    ///
    /// After an outer [`isolate!`](crate::isolate), it has that one's surroundings: mounts that it
    /// makes are locked in an inner user namespace.
    #[must_use]
    pub fn before<F>(mut self, f: F) -> Self
    where
        F: FnOnce() + 'a,
    {
        self.before = Some(Box::new(f));
        self
    }
}

impl fmt::Debug for Isolation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolation")
            .field("namespaces", &self.namespaces)
            .field("tmpfs", &self.tmpfs)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// Runs the rest of the test in a child process with the surroundings of an [`Isolation`].
///
/// In the process of the test run, it starts that process, waits for it, fails the test if it did
/// not pass there, prints its skip lines (`INFO: …`), and returns. What is before it in the test
/// runs in both. A second argument is the value to return, for tests that return one.
///
/// A test may have several, one after the other: each begins a process inside that of the one
/// before. It must not be in a loop, nor in a function that is not the test itself, whose name is
/// what the child process is told.
///
/// # Panics
///
/// If the test fails in the child process, or that cannot be started; instead of skipping for want
/// of namespaces, if `KATA_TEST_STRICT` contains `cap` (see the [crate](crate) page), or if the
/// calling thread has the capability that they need.
///
/// ```
/// use test_utils::isolate;
/// use test_utils::isolation::Isolation;
///
/// fn ignored_signals_stay_ignored() {
///     isolate!(Isolation::new());
///     // SAFETY: to ignore a signal is no handler.
///     unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
///     // …
/// }
///
/// fn working_directory_is_kept() -> std::io::Result<()> {
///     isolate!(Isolation::new(), Ok(()));
///     std::env::set_current_dir("/")
/// }
/// # // A documentation test is not run by libtest, which is to run it again.
/// # let _ = (ignored_signals_stay_ignored, working_directory_is_kept);
/// ```
#[macro_export]
macro_rules! isolate {
    ($isolation:expr $(, $($value:expr $(,)?)?)?) => {
        match $isolation {
            isolation => {
                fn here() {}
                if $crate::__private::run_in_child(
                    isolation,
                    ::core::any::type_name_of_val(&here),
                    ::core::module_path!(),
                ) {
                    return $($($value)?)?;
                }
            }
        }
    };
}

/// An empty directory for the process that [`isolate!`](crate::isolate) has started last, which is
/// removed after it. What is still mounted there then is taken away before; if that is not possible,
/// the directory stays.
///
/// # Panics
///
/// In a process that it has not started.
#[expect(clippy::panic, reason = "the test is wrong")]
pub fn scratch() -> PathBuf {
    match env::var_os(SCRATCH) {
        Some(path) => path.into(),
        None => panic!("scratch() in a test that is not isolated"),
    }
}

/// The command that runs one test of this binary by itself, ignored or not, without capturing its
/// output. `test` is its path below the crate root: `mounts::tests::bind`.
///
/// ```
/// use test_utils::isolation::command_of_test;
///
/// let mut command = command_of_test("mounts::tests::bind");
/// command.env("MODE", "child"); // which the test asks for
/// assert_eq!(command.get_args().next().unwrap(), "mounts::tests::bind");
/// ```
pub fn command_of_test(test: &str) -> Command {
    // By its path, it may be hidden by a mount.
    let mut command = Command::new("/proc/self/exe");
    command
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .stdin(Stdio::null());
    command
}

/// Moves the calling thread into new namespaces (`unshare(2)`), and no other.
///
/// # Errors
///
/// That of the call: `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` for `CLONE_NEWUSER` in a process
/// with several threads.
///
/// ```
/// use test_utils::isolation::unshare;
///
/// // A working directory of the thread's own needs no privilege.
/// std::thread::spawn(|| {
///     unshare(libc::CLONE_FS).unwrap();
///     std::env::set_current_dir("/").unwrap();
/// })
/// .join()
/// .unwrap();
/// ```
pub fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: unshare takes a number.
    check(unsafe { libc::unshare(flags) })
}

/// Makes a directory the root of this process, and its working directory (`chroot(2)`).
///
/// # Errors
///
/// Those of the two calls: `EPERM` without `CAP_SYS_CHROOT`.
///
/// ```
/// use test_utils::isolation::{Isolation, change_root, scratch};
/// use test_utils::{isolate, skip_if_not_root};
///
/// fn absolute_links_stay_below() {
///     skip_if_not_root!();
///     isolate!(Isolation::new());
///     change_root(&scratch()).unwrap();
///     assert!(std::fs::metadata("/proc").is_err());
/// }
/// # let _ = absolute_links_stay_below;
/// ```
pub fn change_root(root: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(root)?;
    env::set_current_dir("/")
}

/// Whether the test is over in this process: it has run in another one, or was skipped. `here` is
/// the path of a function inside the test.
///
/// # Panics
///
/// As [`isolate!`](crate::isolate).
#[track_caller]
pub fn run_in_child(isolation: Isolation<'_>, here: &str, module: &str) -> bool {
    /// How many calls this process has gone past.
    static PASSED: AtomicU32 = AtomicU32::new(0);

    let level = env::var(LEVEL).ok().and_then(|level| level.parse().ok());
    let level: u32 = level.unwrap_or_default();
    // In the test run itself, where tests run side by side, the level is 0 and none is passed.
    if level > PASSED.load(Ordering::Relaxed) {
        PASSED.fetch_add(1, Ordering::Relaxed);
        return false;
    }
    let test = test_name(here);
    if let Some(before) = isolation.before {
        before();
    }
    let surroundings = Surroundings {
        level: level + 1,
        tmpfs: isolation.tmpfs,
        rules: &isolation.rules,
    };
    let result = match isolation.namespaces.as_slice() {
        [] => surroundings.run(&test, 0),
        all => try_each(all, |flags| surroundings.run(&test, flags)),
    };
    match result {
        Ok(output) => judge(&test, &output),
        Err(Failure::NoNamespaces(error)) => skip(&isolation.namespaces, module, &error),
        Err(Failure::Other(error)) => not_started(&test, &error),
    }
    true
}

/// The path below the crate root of the test that the function `here` is in.
fn test_name(here: &str) -> String {
    let mut names: Vec<&str> = here.split("::").skip(1).collect();
    names.pop();
    // Of an async function, the body is a closure.
    names.retain(|name| *name != "{{closure}}");
    names.join("::")
}

/// With the first of `all` that can be had.
fn try_each<T>(all: &[c_int], f: impl Fn(c_int) -> Result<T, Failure>) -> Result<T, Failure> {
    let mut result = Err(Failure::Other(io::ErrorKind::InvalidInput.into()));
    for flags in all {
        result = f(*flags);
        if !matches!(result, Err(Failure::NoNamespaces(_))) {
            break;
        }
    }
    result
}

#[track_caller]
#[expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "the result of the child process becomes that of the test"
)]
fn judge(test: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.contains("test result: ok. 1 passed;") {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!(
            "{test} in a process of its own: {}\n{text}{errors}",
            output.status
        );
    }
    for line in text.lines() {
        // The first one follows the name of the test on its line.
        if let Some((_, info)) = line.split_once("INFO: ") {
            println!("INFO: {info}");
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a test that is not run is no success")]
fn not_started(test: &str, error: &io::Error) {
    panic!("cannot start a process for the test {test}: {error}");
}

#[track_caller]
#[expect(
    clippy::panic,
    reason = "whoever has all privileges must be able to start it"
)]
fn skip(namespaces: &[c_int], module: &str, error: &io::Error) {
    let need_user = |flags: &c_int| flags & libc::CLONE_NEWUSER != 0;
    if namespaces.iter().all(need_user) {
        announce(
            Need::Capability,
            format_args!("{module} which needs user namespaces: {error}"),
        );
    } else if let Some(why) = Capability::CAP_SYS_ADMIN.lack() {
        announce(
            Need::Capability,
            format_args!("{module} which needs CAP_SYS_ADMIN: {why}; no namespaces: {error}"),
        );
    } else {
        panic!("no namespaces in spite of CAP_SYS_ADMIN: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_is_named_below_the_crate_root() {
        for (here, expected) in [
            ("hooks::without_proc::here", "without_proc"),
            ("mount_fs::bind::flags::here", "bind::flags"),
            (
                "a::tests::async_test::{{closure}}::here",
                "tests::async_test",
            ),
        ] {
            assert_eq!(test_name(here), expected);
        }
    }
}
