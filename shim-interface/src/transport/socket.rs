//! Unix stream sockets that never block: connecting, and sending without a signal.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::{SHIM_MGMT_SOCK_NAME, Sandbox};

/// Longest path of a socket, without its terminating NUL: unix(7), `sun_path`.
const MAX_SOCKET_PATH: usize = 107;

/// Connects. `None` says that the queue of the server is full: there is nothing to wait for but
/// time, as connect(2) explains for `EAGAIN`.
pub(super) fn connect(sandbox: &Sandbox) -> io::Result<Option<UnixStream>> {
    let socket = Socket::new_raw(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let result = if sandbox.socket_path().as_os_str().len() <= MAX_SOCKET_PATH {
        socket.connect(&SockAddr::unix(sandbox.socket_path())?)
    } else {
        connect_through_directory(&socket, sandbox)
    };
    match result {
        Ok(()) => Ok(Some(UnixStream::from(OwnedFd::from(socket)))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Connects to a socket with a path that is too long for an address (D11): by a short name of its
/// directory.
fn connect_through_directory(socket: &Socket, sandbox: &Sandbox) -> io::Result<()> {
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(sandbox.dir())?;
    let path = format!("/proc/self/fd/{}/{SHIM_MGMT_SOCK_NAME}", dir.as_raw_fd());
    socket.connect(&SockAddr::unix(Path::new(&path))?)
}

/// Sends as much of `parts` as the socket takes, in one system call, and never raises `SIGPIPE`.
pub(super) fn send(stream: &UnixStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(stream).send_vectored_with_flags(parts, libc::MSG_NOSIGNAL)
}
