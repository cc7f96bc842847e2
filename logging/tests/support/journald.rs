//! systemd-journald, played by a datagram socket in a mount namespace of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use logging::LogDestination;
use slog::Level;

use super::mounts::mount_tmpfs;

pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// The rest of the test runs in a process with a `/run` of its own, in which there is a directory
/// for the socket.
macro_rules! with_own_run {
    () => {
        ::test_utils::isolate!($crate::support::mounts::own_mounts());
        $crate::support::journald::mount_run();
    };
}

pub(crate) use with_own_run;

pub(crate) fn mount_run() {
    mount_tmpfs(Path::new("/run"), 16 << 20);
    std::fs::create_dir_all(Path::new(SOCKET).parent().unwrap()).unwrap();
}

pub(crate) fn journald() -> UnixDatagram {
    UnixDatagram::bind(SOCKET).unwrap()
}

pub(crate) fn logger(level: Level) -> (slog::Logger, slog_async::AsyncGuard) {
    logging::create_logger_with_destination("n", "sandbox", level, LogDestination::Journal)
}

/// Receives one record, from the datagram or from the file that comes with it.
pub(crate) fn receive(socket: &UnixDatagram) -> BTreeMap<String, String> {
    let mut buffer = vec![0; 1 << 20];
    let mut control = [0u64; 8];
    let mut slice = IoSliceMut::new(&mut buffer);
    // SAFETY: all zero is an empty message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = (&raw mut slice).cast();
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all that the message points to lives during the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    assert!(length >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the kernel has filled the message.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    let mut payload = buffer[..length as usize].to_vec();
    if !header.is_null() {
        assert!(payload.is_empty());
        // SAFETY: there is a header, so there is data behind it.
        let data = unsafe { libc::CMSG_DATA(header) };
        // SAFETY: the only message of control that the socket gets is one descriptor.
        let fd = unsafe { data.cast::<i32>().read_unaligned() };
        // SAFETY: the descriptor was just received.
        let mut file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: the command takes nothing.
        let seals = unsafe { libc::fcntl(fd, libc::F_GET_SEALS) };
        let all = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
        assert_eq!(seals & all, all);
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut payload).unwrap();
    }
    fields(&payload)
}

/// The fields of a record; each may be there once.
fn fields(mut payload: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while !payload.is_empty() {
        let end = payload.iter().position(|byte| *byte == b'\n').unwrap();
        let line = std::str::from_utf8(&payload[..end]).unwrap();
        payload = &payload[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = payload.split_at(8);
                let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
                let value = String::from_utf8(rest[..length].to_vec()).unwrap();
                assert_eq!(rest[length], b'\n');
                payload = &rest[length + 1..];
                (line, value)
            }
        };
        let before = fields.insert(name.to_owned(), value);
        assert!(before.is_none(), "{name} appears twice");
    }
    fields
}
