//! A network namespace for the calling thread, and back.

use std::ffi::c_long;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use slog::{Logger, error, warn};

use crate::open::open;
use crate::{sl, sys};

/// The calling thread, and its namespace.
const THREAD_SELF: &str = "/proc/thread-self";
const THREAD_SELF_NETNS: &str = "/proc/thread-self/ns/net";

/// Keeps the calling thread in another network namespace until dropped.
///
/// Guards nest: dropped in reverse order, each returns to the namespace before it.
///
/// # Async code
///
/// A namespace belongs to a thread. The guard is `Send`, so that it may be held across an `.await`,
/// but on a runtime with several threads the task can go on with another one. The first thread
/// then stays in the namespace for all tasks that it runs later, and the guard can do no more than
/// log that when it is dropped on the wrong thread. Use
/// [`spawn_in_netns`](super::spawn_in_netns) there.
///
/// ```no_run
/// use kata_sys_util::netns::NetnsGuard;
///
/// {
///     let _guard = NetnsGuard::new("/var/run/netns/pod")?;
///     // sockets made here are in the pod's namespace
/// }
/// // back again
/// # anyhow::Ok(())
/// ```
pub struct NetnsGuard {
    home: Option<Home>,
}

/// The namespace of a thread.
struct Home {
    namespace: File,
    thread: c_long,
}

impl NetnsGuard {
    /// Moves the calling thread into the network namespace at `new_netns_path`. If that is empty,
    /// nothing is done, now or later, but for a warning.
    ///
    /// # Errors
    ///
    /// `open current netns path …`, `open new netns path …` or `set netns to new netns`, with the
    /// [`std::io::Error`] as the cause. The thread is in its namespace as before. Root, too, may be
    /// kept out of the namespace of another process.
    pub fn new(new_netns_path: &str) -> Result<Self> {
        if new_netns_path.is_empty() {
            warn!(sl!(), "network namespace without a path: not switched");
            return Ok(Self { home: None });
        }
        let home = Home {
            namespace: open_own_namespace()?,
            thread: sys::gettid(),
        };
        enter(Path::new(new_netns_path))?;
        Ok(Self { home: Some(home) })
    }
}

impl Drop for NetnsGuard {
    /// Returns the thread to its namespace. A failure is logged, and so is being dropped on another
    /// thread, whose namespace stays as it is.
    fn drop(&mut self) {
        let Some(home) = self.home.take() else {
            return;
        };
        let thread = sys::gettid();
        if thread != home.thread {
            let entered = home.thread;
            log_safely(|log| {
                error!(
                    log,
                    "network namespace guard dropped on another thread: \
                    thread {entered} stays in the namespace, thread {thread} is left alone"
                );
            });
        } else if let Err(cause) = sys::set_network_namespace(home.namespace.as_fd()) {
            log_safely(|log| {
                error!(
                    log,
                    "thread {thread} cannot return to its network namespace: {cause}"
                );
            });
        }
    }
}

/// Moves the calling thread into the network namespace at `path`.
pub(super) fn enter(path: &Path) -> Result<()> {
    let namespace =
        open(path).with_context(|| format!("open new netns path {}", path.display()))?;
    sys::set_network_namespace(namespace.as_fd()).context("set netns to new netns")
}

fn open_own_namespace() -> Result<File> {
    let numbered = numbered_path();
    let (path, file) = open_own(
        Path::new(THREAD_SELF),
        Path::new(THREAD_SELF_NETNS),
        &numbered,
    );
    file.with_context(|| format!("open current netns path {}", path.display()))
}

/// The same by number, for kernels before 3.17. Wrong if `/proc` is of another PID namespace.
fn numbered_path() -> PathBuf {
    format!("/proc/{}/task/{}/ns/net", process::id(), sys::gettid()).into()
}

/// Opens `path`, which is below `link`, or `numbered` if there is no such link (D-6). One that leads
/// nowhere is of a `/proc` that does not have this thread: there, the numbers are somebody else's.
fn open_own<'a>(link: &Path, path: &'a Path, numbered: &'a Path) -> (&'a Path, io::Result<File>) {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && is_missing(link) => {
            (numbered, File::open(numbered))
        }
        result => (path, result),
    }
}

fn is_missing(link: &Path) -> bool {
    matches!(link.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

/// Logs what a destructor has to say. The global logger panics when it is used after its guard has
/// been dropped, and a destructor must not.
fn log_safely(log: impl FnOnce(&Logger)) {
    let _ = catch_unwind(AssertUnwindSafe(|| log(&sl!())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_path_changes_nothing() {
        let before = std::fs::read_link(THREAD_SELF_NETNS).unwrap();
        let guard = NetnsGuard::new("").unwrap();
        assert_eq!(std::fs::read_link(THREAD_SELF_NETNS).unwrap(), before);
        drop(guard);
        assert_eq!(std::fs::read_link(THREAD_SELF_NETNS).unwrap(), before);
    }

    #[test]
    fn missing_namespace_is_an_error_with_its_path() {
        let error = NetnsGuard::new("/no/such/netns").err().unwrap();
        assert_eq!(error.to_string(), "open new netns path /no/such/netns");
        let cause = error.downcast_ref::<io::Error>().unwrap();
        assert_eq!(cause.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn file_that_is_no_network_namespace_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo").to_str().unwrap().to_owned();
        let name = std::ffi::CString::new(fifo.as_str()).unwrap();
        // SAFETY: the path ends in NUL.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for path in ["/proc/self/ns/uts", "/proc/self/status", &fifo] {
            let error = NetnsGuard::new(path).err().unwrap();
            assert_eq!(error.to_string(), "set netns to new netns", "{path}");
            assert!(error.is::<io::Error>() || error.source().is_some());
        }
    }

    #[test]
    fn own_namespace_is_found_by_number_where_proc_is_old() {
        let link = Path::new("/no/such/thread-self");
        let below = link.join("ns/net");
        let numbered = numbered_path();
        let (path, file) = open_own(link, &below, &numbered);
        assert_eq!(path, numbered);
        assert!(file.is_ok());
        let missing = Path::new("/no/such/number");
        let (path, file) = open_own(link, &below, missing);
        assert_eq!(path, missing);
        assert_eq!(file.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            std::fs::read_link(numbered).unwrap(),
            std::fs::read_link(THREAD_SELF_NETNS).unwrap()
        );
    }

    #[test]
    fn own_namespace_is_not_searched_by_number_where_the_thread_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("thread-self");
        std::os::unix::fs::symlink("no/such/task", &link).unwrap();
        let below = link.join("ns/net");
        let numbered = numbered_path();
        assert!(numbered.exists());
        let (path, file) = open_own(&link, &below, &numbered);
        assert_eq!(path, below);
        assert_eq!(file.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn guard_is_send_and_sync() {
        fn check<T: Send + Sync>() {}
        check::<NetnsGuard>();
    }
}
