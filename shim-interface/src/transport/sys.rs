//! The system call of this crate that std lacks, and all of its `unsafe`.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
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
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
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
