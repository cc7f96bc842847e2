//! System calls of the small modules that `std` does not wrap, and with them every `unsafe` block of
//! [`netns`](crate::netns), [`protection`](crate::protection) and [`rand`](crate::rand).

use std::ffi::{c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `gettid()`: the kernel's id of the calling thread, as the thread's PID namespace has it.
pub(crate) fn gettid() -> c_long {
    // SAFETY: gettid takes nothing and always succeeds.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// `geteuid()`: the effective user of the calling process.
pub(crate) fn geteuid() -> u32 {
    // SAFETY: geteuid takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// `setns(fd, CLONE_NEWNET)`: moves the calling thread into a network namespace.
pub(crate) fn set_network_namespace(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes numbers.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// `getrandom(buffer, 0)`: how many bytes at the beginning of `buffer` are random now, at least
/// one of any.
pub(crate) fn getrandom(buffer: &mut [u8]) -> io::Result<usize> {
    let flags: c_uint = 0;
    // SAFETY: the kernel fills at most the length that is given.
    let count = unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            buffer.as_mut_ptr(),
            buffer.len(),
            flags,
        )
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The error of a call that has returned -1.
pub(crate) fn check(result: c_int) -> io::Result<()> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
