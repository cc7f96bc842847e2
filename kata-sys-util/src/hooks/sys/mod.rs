//! Every system call of [`hooks`](super) that `std` does not wrap, and with them every `unsafe`
//! block of it.
//!
//! * [`supervisor`]: a function in a child process that shares this one's memory;
//! * [`child`]: starting a hook, waiting for it, killing it;
//! * [`exec`]: what happens in the new process until it is the hook;
//! * [`inherited`]: descriptors that a hook must not inherit;
//! * [`signals`]: masks and dispositions;
//! * this file: stacks for such processes, and calls on descriptors.

mod child;
mod exec;
mod inherited;
mod signals;
mod supervisor;

pub(super) use child::{Child, spawn};
pub(super) use exec::Program;
pub(super) use supervisor::run_in_child;

use std::ffi::{c_int, c_void};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use crate::sys::check;

/// The lowest descriptor that is no standard stream.
const FIRST_AFTER_STDIO: c_int = 3;

/// A page that faults, so that an overflow of a stack is not silent. As large as the largest page
/// of the supported architectures, since a protected range must begin and end at a page.
const GUARD: usize = 64 * 1024;

/// A system call, again as often as a signal interrupts it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Memory for the stack of a process that shares ours, with a guard page below it.
pub(super) struct Stack {
    base: *mut c_void,
    size: usize,
}

impl Stack {
    /// A stack of `size` bytes, of which only the pages that are used take memory.
    pub(super) fn new(size: usize) -> io::Result<Self> {
        let size = size.saturating_add(GUARD);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice, replaces no other.
        let base = unsafe { libc::mmap(ptr::null_mut(), size, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base, size };
        // SAFETY: the guard is the low end of the mapping made above, which nothing uses yet.
        check(unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) })?;
        Ok(stack)
    }

    /// Where the stack begins: it grows down.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(self.size)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the processes that used it have ended or left it.
        unsafe { libc::munmap(self.base, self.size) };
    }
}

/// A pipe whose ends are no standard streams, even if the caller has closed its own: they would be
/// overwritten while those of the hook are set up. Both ends are close-on-exec.
pub(super) fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let reader = above_stdio(reader.into())?;
    let writer = above_stdio(writer.into())?;
    Ok((reader.into(), writer.into()))
}

/// The descriptor itself, or a duplicate of it if its number is that of a standard stream.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_AFTER_STDIO {
        return Ok(fd);
    }
    // SAFETY: F_DUPFD_CLOEXEC takes a number.
    let duplicate =
        unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, FIRST_AFTER_STDIO) };
    check(duplicate)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

/// Makes reads or writes fail with `WouldBlock` instead of waiting. For a pipe, this is a property
/// of one end only.
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_SETFL takes a number. A new pipe has no other flag that could be lost.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) })
}

/// How many bytes can be read at once.
pub(super) fn readable_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes an int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, ptr::from_mut(&mut count)) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Waits until one of `fds` is ready, at most `timeout`, or for ever without one. Returning early
/// is no error, in which case none is ready.
pub(super) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(timespec);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: the array has the length that is given, and the time is null or valid.
    let result = unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            count,
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
            ptr::null(),
        )
    };
    match check(result) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            Ok(())
        }
        other => other,
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        // 68 years are as good as for ever. musl's `time_t` is deprecated, by name.
        tv_sec: i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).into(),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
