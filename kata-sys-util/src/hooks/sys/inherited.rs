//! Descriptors of the caller that a hook must not inherit (H11): sockets, locks, pipes whose other
//! end waits for them to be closed.
//!
//! Runs in a process that shares our memory but has a table of descriptors of its own: no
//! allocation, no lock.

use std::ffi::{CStr, c_int, c_long, c_uint};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{FIRST_AFTER_STDIO, check};

/// What `/proc` has for the descriptors of the calling process.
const LISTING: &CStr = c"/proc/self/fd";

/// Nobody has more open: it is the default of `fs.nr_open`. Some systems allow a thousand times
/// more, which would take a minute to go through.
const MOST_DESCRIPTORS: RawFd = 1 << 20;

/// `include/uapi/linux/close_range.h`, since Linux 5.11.
const CLOSE_RANGE_CLOEXEC: c_uint = 1 << 2;

/// Offset of `d_reclen` and `d_name` in `struct linux_dirent64`.
const RECORD_LENGTH: usize = 16;
const NAME: usize = 19;

/// Marks all descriptors close-on-exec that are no standard streams.
pub(super) fn close_on_exec() {
    if mark_range().is_err() && mark_listed().is_none() {
        mark_up_to_limit();
    }
}

fn mark_range() -> std::io::Result<()> {
    let first = FIRST_AFTER_STDIO as c_uint;
    // SAFETY: close_range takes numbers.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            c_uint::MAX,
            CLOSE_RANGE_CLOEXEC,
        )
    };
    check(c_int::try_from(result).unwrap_or(-1))
}

/// Marks those that `/proc` lists, if it does.
fn mark_listed() -> Option<()> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path ends in NUL.
    let directory = unsafe { libc::open(LISTING.as_ptr(), flags) };
    check(directory).ok()?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    let directory = unsafe { OwnedFd::from_raw_fd(directory) };
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    loop {
        let records = read_directory(&directory, &mut buffer)?;
        if records.is_empty() {
            return Some(());
        }
        mark_records(records)?;
    }
}

/// Some records of the directory, or none at its end.
fn read_directory<'a>(directory: &OwnedFd, buffer: &'a mut [MaybeUninit<u8>]) -> Option<&'a [u8]> {
    let fd = directory.as_raw_fd();
    // SAFETY: the kernel fills at most the length of the buffer.
    let length: c_long =
        unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) };
    let records = buffer.get(..usize::try_from(length).ok()?)?;
    // SAFETY: the kernel has filled these bytes.
    Some(unsafe { &*(std::ptr::from_ref(records) as *const [u8]) })
}

fn mark_records(mut records: &[u8]) -> Option<()> {
    while !records.is_empty() {
        let length = records.get(RECORD_LENGTH..RECORD_LENGTH + 2)?;
        let length = u16::from_ne_bytes(length.try_into().ok()?).into();
        let (record, rest) = records.split_at_checked(length)?;
        // An empty record would never end.
        let name = CStr::from_bytes_until_nul(record.get(NAME..)?).ok()?;
        if let Some(fd) = name.to_str().ok().and_then(|name| name.parse().ok()) {
            mark(fd);
        }
        records = rest;
    }
    Some(())
}

fn mark_up_to_limit() {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: the buffer has the type that getrlimit fills.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) };
    let end = if check(result).is_ok() {
        // SAFETY: getrlimit succeeded.
        let soft = unsafe { limit.assume_init() }.rlim_cur;
        RawFd::try_from(soft).unwrap_or(MOST_DESCRIPTORS)
    } else {
        MOST_DESCRIPTORS
    };
    (FIRST_AFTER_STDIO..end.min(MOST_DESCRIPTORS)).for_each(mark);
}

/// Marks a descriptor, open or not.
fn mark(fd: RawFd) {
    if fd >= FIRST_AFTER_STDIO {
        // SAFETY: F_SETFD takes a number. FD_CLOEXEC is the only flag there is.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
