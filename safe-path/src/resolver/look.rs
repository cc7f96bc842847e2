//! What a single name in an open directory is (W1). No symlink is ever followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::walk::NAME_MAX;
use crate::sys::{self, Errno, Last};

/// How often a name is looked at again that vanished between two looks.
const VANISHED_RETRIES: usize = 8;

/// What a single name turned out to be.
pub(super) enum Found {
    /// A symlink, whose text was read.
    Symlink,
    /// A directory, now open.
    Directory(OwnedFd),
    /// Anything but a directory or a symlink, now open.
    Object(OwnedFd),
    /// Something that is neither a directory nor a symlink, or is not worth a closer look.
    NotDirectory,
    /// Nothing.
    Missing,
}

/// Reads a name that need not be opened.
pub(super) fn look_for_symlink(
    dir: BorrowedFd<'_>,
    name: &CStr,
    text: &mut Vec<u8>,
) -> Result<Found, Errno> {
    match sys::readlinkat(dir, name, text) {
        Ok(()) if !text.is_empty() => Ok(Found::Symlink),
        // `ENOENT` also for a magic link without target, which is no link then (D3).
        Ok(()) | Err(Errno(libc::EINVAL | libc::ENOENT | libc::ENOTDIR)) => Ok(Found::NotDirectory),
        Err(Errno(libc::ENAMETOOLONG)) if is_too_long(dir, name)? => Ok(Found::NotDirectory),
        Err(errno) => Err(errno),
    }
}

/// Whether a name that cannot be read is itself too long, or gone meanwhile; otherwise it was the
/// text of a symlink, as a magic link can have one beyond `PATH_MAX`.
fn is_too_long(dir: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    if name.count_bytes() > NAME_MAX {
        return Ok(true);
    }
    match sys::openat(dir, name, Last::NoFollow) {
        Ok(_) => Ok(false),
        Err(Errno(libc::ENAMETOOLONG | libc::ENOENT)) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Opens a name that has to be a directory to go on.
pub(super) fn open_directory(
    dir: BorrowedFd<'_>,
    name: &CStr,
    text: &mut Vec<u8>,
) -> Result<Found, Errno> {
    for _ in 0..VANISHED_RETRIES {
        match sys::openat(dir, name, Last::DirectoryNoFollow) {
            Ok(fd) => return Ok(Found::Directory(fd)),
            Err(Errno(libc::ENOENT | libc::ENAMETOOLONG)) => return Ok(Found::Missing),
            Err(Errno(libc::ENOTDIR | libc::ELOOP)) => {}
            Err(errno) => return Err(errno),
        }
        match sys::readlinkat(dir, name, text) {
            Ok(()) if !text.is_empty() => return Ok(Found::Symlink),
            Err(Errno(libc::ENOENT)) => {} // exchanged or removed between the two looks
            // Neither a directory nor a symlink, or exchanged between the two looks.
            Err(Errno(libc::EINVAL)) => match open_object(dir, name, text) {
                Ok(Found::Object(_)) => return Ok(Found::NotDirectory),
                Err(Errno(libc::ENOENT)) => {}
                found => return found,
            },
            Ok(()) | Err(Errno(libc::ENOTDIR)) => return Ok(Found::NotDirectory),
            Err(errno) => return Err(errno),
        }
    }
    Ok(Found::NotDirectory) // a magic link without target (D3)
}

/// Opens the last name, whatever it is.
pub(super) fn open_object(
    dir: BorrowedFd<'_>,
    name: &CStr,
    text: &mut Vec<u8>,
) -> Result<Found, Errno> {
    let fd = sys::openat(dir, name, Last::NoFollow)?;
    let stat = sys::fstat(fd.as_fd())?;
    if stat.is_directory() {
        return Ok(Found::Directory(fd));
    }
    if !stat.is_symlink() {
        return Ok(Found::Object(fd));
    }
    sys::readlinkat(fd.as_fd(), c"", text)?;
    if text.is_empty() {
        return Err(Errno(libc::ENOENT));
    }
    Ok(Found::Symlink)
}
