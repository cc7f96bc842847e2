//! System calls relative to an open directory, which `std` does not wrap, and with them every
//! `unsafe` block of [`pcilibs`](super).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::sys::check;

/// A directory through which paths can be resolved, and nothing else.
pub(super) const DIRECTORY: libc::c_int = libc::O_PATH | libc::O_DIRECTORY;

/// A file to be read. A FIFO must not block whoever opens it.
pub(super) const FILE: libc::c_int = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;

/// `openat(directory, name, flags | O_CLOEXEC)`. `flags` must not create files.
pub(super) fn open_at(
    directory: BorrowedFd<'_>,
    name: &CStr,
    flags: libc::c_int,
) -> io::Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: the name ends in NUL, and without O_CREAT there is no further argument.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), flags) };
    check(fd)?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `readlinkat(directory, name, buffer)`: the target, cut off at the length of the buffer.
pub(super) fn read_link_at<'b>(
    directory: BorrowedFd<'_>,
    name: &CStr,
    buffer: &'b mut [u8],
) -> io::Result<&'b [u8]> {
    // SAFETY: the name ends in NUL, and the kernel fills at most the length that is given.
    let count = unsafe {
        libc::readlinkat(
            directory.as_raw_fd(),
            name.as_ptr(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok(buffer.get(..count).unwrap_or(buffer))
}
