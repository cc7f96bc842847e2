//! System calls that resolve relative paths, in a directory of choice.
//!
//! The threads of a process share one working directory, unless a thread leaves the company
//! ([`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html), `CLONE_FS`, which needs no
//! privilege). A thread made for one call does so; the process's working directory never changes
//! (M1).

use std::any::Any;
use std::os::fd::BorrowedFd;
use std::thread;

use nix::errno::Errno;

use super::error::{Error, Result};
use super::sys;

/// Why nothing ran in the directory, or what went wrong in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The thread could not get into the directory.
    Enter(Errno),
    /// What ran there failed.
    Call(Errno),
}

/// Runs `call` with `dir` as its working directory.
pub(super) fn run_in(
    dir: BorrowedFd<'_>,
    call: impl FnOnce() -> sys::Result<()> + Send,
) -> Result<std::result::Result<(), Failure>> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("async_mount".to_owned())
            .spawn_scoped(scope, move || {
                sys::unshare_fs()
                    .and_then(|()| sys::fchdir(dir))
                    .map_err(Failure::Enter)?;
                call().map_err(Failure::Call)
            })
            .map_err(|error| Error::Join(error.to_string()))?;
        thread.join().map_err(|panic| Error::Join(reason(&*panic)))
    })
}

fn reason(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        return text.clone();
    }
    match panic.downcast_ref::<&str>() {
        Some(text) => (*text).to_owned(),
        None => "panic".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn only_the_call_sees_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("only here"), "").unwrap();
        let fd = fs::File::open(dir.path()).unwrap();
        let before = env::current_dir().unwrap();
        let result = run_in(fd.as_fd(), || {
            assert!(fs::exists("only here").unwrap());
            Ok(())
        });
        assert!(matches!(result, Ok(Ok(()))));
        assert_eq!(env::current_dir().unwrap(), before);
        assert!(!fs::exists("only here").unwrap());
    }

    #[test]
    fn error_of_the_call_comes_back() {
        let fd = fs::File::open("/").unwrap();
        let result = run_in(fd.as_fd(), || Err(Errno::EXDEV)).unwrap();
        assert_eq!(result, Err(Failure::Call(Errno::EXDEV)));
    }

    #[test]
    fn what_is_no_directory_cannot_be_entered() {
        let fd = fs::File::open("/proc/self/status").unwrap();
        let result = run_in(fd.as_fd(), || unreachable!("not in the directory")).unwrap();
        assert_eq!(result, Err(Failure::Enter(Errno::ENOTDIR)));
    }

    #[test]
    fn panic_of_the_call_is_an_error() {
        let fd = fs::File::open("/").unwrap();
        let error = run_in(fd.as_fd(), || panic!("told to")).unwrap_err();
        assert_eq!(error.to_string(), "Failure in waiting for thread: told to");
    }
}
