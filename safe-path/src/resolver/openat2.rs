//! Questions that openat2(2) answers in one call (W2, W3).
//!
//! Everything here is an accelerator: whatever the kernel does not confirm is left to the
//! [walk](super::walk), which decides. Linux 5.6; where the call is missing (`ENOSYS`), the process
//! remembers it.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::lexical::{CPath, without_trailing_dots};
use crate::sys::{self, CWD, Errno, Last, PATH_MAX};

/// How often a lookup that a rename disturbed is tried again before the walk takes over (W2).
const EAGAIN_RETRIES: usize = 128;

/// No call can succeed any more: the kernel does not know openat2.
static MISSING: AtomicBool = AtomicBool::new(false);

/// Opens an absolute path that goes through no symlink at all; `ELOOP` if it does.
pub(crate) fn open_canonical(path: &CStr, last: Last) -> Result<OwnedFd, Errno> {
    call(CWD, path, last, libc::RESOLVE_NO_SYMLINKS)
}

/// Opens a trusted path that goes through no magic link of procfs; `ELOOP` if it does.
pub(crate) fn open_plain(path: &CStr, last: Last) -> Result<OwnedFd, Errno> {
    call(CWD, path, last, libc::RESOLVE_NO_MAGICLINKS)
}

/// Opens `path`, which has no `..`, below `dir` without following any symlink: `ELOOP` if there is
/// one before the first component that is missing or no directory.
///
/// Without `O_NOFOLLOW`, which together with `O_PATH` would return a symlink at the end.
pub(crate) fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, last: Last) -> Result<OwnedFd, Errno> {
    call(
        dir,
        path,
        last,
        libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS,
    )
}

/// Opens `path` as if `root` were the root directory of the process. The result is the object that
/// the walk reaches on an unchanging tree, or an error, which says nothing.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let path = without_trailing_dots(path);
    if path.len() >= PATH_MAX {
        return Err(Errno(libc::ENAMETOOLONG));
    }
    let mut buffer = CPath::default();
    let path = buffer.set([path]);
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    for _ in 0..EAGAIN_RETRIES {
        match call(root, path, Last::Follow, resolve) {
            Err(Errno(libc::EAGAIN)) => {}
            result => return result,
        }
    }
    Err(Errno(libc::EAGAIN))
}

/// Whether an error comes from the call not being there for us, and not from the path.
///
/// `EPERM` is that of a seccomp filter; it is not remembered, since security modules and fanotify
/// also produce it for single files.
pub(crate) fn is_unavailable(errno: Errno) -> bool {
    matches!(errno.0, libc::ENOSYS | libc::EPERM)
}

fn call(dir: BorrowedFd<'_>, path: &CStr, last: Last, resolve: u64) -> Result<OwnedFd, Errno> {
    if MISSING.load(Ordering::Relaxed) {
        return Err(Errno(libc::ENOSYS));
    }
    let result = sys::openat2(dir, path, last, resolve);
    if matches!(result, Err(Errno(libc::ENOSYS))) {
        MISSING.store(true, Ordering::Relaxed);
    }
    result
}
