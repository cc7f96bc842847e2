//! The system calls of this crate that std lacks, and all of its `unsafe`.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Waits until `fd` can be read, or written as well if `events` says so. Returns early if the time
/// is over or a signal arrives. ppoll(2).
pub(super) fn wait_ready(
    fd: BorrowedFd<'_>,
    events: libc::c_short,
    time: Option<Duration>,
) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    };
    let time = time.map(|time| libc::timespec {
        // 68 years are as good as for ever. musl's `time_t` is deprecated, by name.
        tv_sec: i32::try_from(time.as_secs()).unwrap_or(i32::MAX).into(),
        tv_nsec: time.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one `pollfd` is given and counted; `time` is null or points to a value that outlives
    // the call; no signal mask is given.
    let count = unsafe { libc::ppoll(&raw mut poll, 1, time, std::ptr::null()) };
    if count >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.kind() == ErrorKind::Interrupted {
        return Ok(());
    }
    Err(error)
}

/// Appends what `stream` has to read to `buffer`, as much as fits into the capacity that it has to
/// spare, and returns how much that was. Nothing has to be zeroed before. recv(2).
pub(super) fn receive(stream: &UnixStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let room = buffer.spare_capacity_mut();
    // SAFETY: the pointer and the length are those of memory that may be written to.
    let count = unsafe { libc::recv(stream.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
    let Ok(count) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    let length = buffer.len().saturating_add(count).min(buffer.capacity());
    // SAFETY: the kernel has initialised `count` bytes after the old length; the new one does not
    // exceed the capacity.
    unsafe { buffer.set_len(length) };
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_are_appended_up_to_the_capacity() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"hello world").unwrap();
        let mut buffer = Vec::with_capacity(8);
        buffer.extend_from_slice(b"> ");
        let room = buffer.capacity() - buffer.len();
        assert_eq!(receive(&ours, &mut buffer).unwrap(), room);
        assert_eq!(buffer, b"> hello world"[..2 + room]);
        buffer.reserve(100);
        assert_eq!(receive(&ours, &mut buffer).unwrap(), 11 - room);
        assert_eq!(buffer, b"> hello world");
    }

    #[test]
    fn the_end_and_errors_leave_the_buffer_as_it_is() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut buffer = b"kept".to_vec();
        buffer.reserve(100);
        let error = receive(&ours, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(theirs);
        assert_eq!(receive(&ours, &mut buffer).unwrap(), 0);
        assert_eq!(buffer, b"kept");
    }
}
