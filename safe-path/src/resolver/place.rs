//! Whether a text of procfs is a path of this process.
//!
//! `/proc/thread-self/fd/N` has a text for every object of a file system, and nothing marks one that
//! is out of reach: on a mount that was detached, in another mount namespace, or outside of the root
//! directory of the process. Anything can stand at such a path, or nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::walk::{Descent, Goal, Symlinks, Walk, WalkError};
use super::{RACE_RETRIES, openat2};
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{self, CWD, Errno, Last};

/// Whether the object `id` is at `path`, an absolute path, without any symlink on the way: it may
/// lead through what an attacker can change.
pub(crate) fn is_at(path: &Path, id: (u64, u64)) -> Result<bool, Errno> {
    let bytes = path.as_os_str().as_bytes();
    let found = match openat2::open_canonical(CPath::default().set([bytes]), Last::Follow) {
        Ok(fd) => Some(fd),
        Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => None,
        Err(_) => walk_to(bytes)?,
    };
    found.map_or(Ok(false), |fd| Ok(sys::fstat(fd.as_fd())?.id == id))
}

fn walk_to(path: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let root = sys::openat(CWD, c"/", Last::Directory)?;
    let (goal, descent) = (Goal::Object, Descent::SingleSteps);
    match Walk::new(root.as_fd(), path, goal, Symlinks::Refuse, descent).run() {
        Ok(walked) => Ok(Some(walked.fd.unwrap_or(root))),
        Err(WalkError::Errno(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)))
        | Err(WalkError::TooManySymlinks | WalkError::Raced) => Ok(None),
        Err(WalkError::Errno(errno)) => Err(errno),
    }
}

/// Whether `text`, that of what the trusted `path` led to just now, needs no further proof.
///
/// What was reached from the root directory without a magic link (`is_plain`) is not out of reach;
/// nor from a current directory that is not. (getcwd(2) does mark one that is.) Otherwise it is
/// proven if it is the very path that was followed.
pub(super) fn is_proven(text: &Path, path: &[u8], is_plain: bool) -> bool {
    let start = if path.starts_with(b"/") {
        PathBuf::new()
    } else {
        match std::env::current_dir() {
            Ok(dir) if dir.is_absolute() => dir,
            _ => return false,
        }
    };
    let mut followed = lexical::clean_bytes(&start).to_vec();
    is_plain
        || (lexical::push_clean(&mut followed, path).is_ok()
            && followed == lexical::clean_bytes(text))
}

/// The path of the object that `fd` pins, of which procfs says that it is at `text`.
///
/// # Errors
///
/// `ENOENT` if it has no path in this process; that of the kernel if that cannot be told.
pub(super) fn prove(table: &FdTable, fd: BorrowedFd<'_>, mut text: PathBuf) -> io::Result<PathBuf> {
    let id = sys::fstat(fd)?.id;
    let mut error = Errno(libc::ENOENT);
    for _ in 0..RACE_RETRIES {
        match is_at(&text, id) {
            Ok(true) => return Ok(text),
            Ok(false) => {} // or it was renamed since
            Err(errno) => error = errno,
        }
        match table.locate(fd)? {
            Location::At(at) => text = at,
            Location::Removed(_) => return Err(Errno(libc::ENOENT).into()),
        }
    }
    Err(error.into())
}
