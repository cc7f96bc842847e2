//! The system calls of this crate that the standard library lacks, and all of its `unsafe`.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// atexit(3): runs `hook` when the process ends by exit(3) or by the return of `main`.
pub(crate) fn at_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the function is there as long as the process is.
    match unsafe { libc::atexit(hook) } {
        0 => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
    }
}

/// pthread_atfork(3): runs `hook` in every child that fork(3) makes.
pub(crate) fn in_forked_children(hook: unsafe extern "C" fn()) -> io::Result<()> {
    // SAFETY: the function is there as long as the process is.
    match unsafe { libc::pthread_atfork(None, None, Some(hook)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Writes a line to standard error as far as that takes it at once: nothing here may wait for it,
/// nor for a lock on it.
pub(crate) fn write_stderr(line: &[u8]) {
    let mut rest = line;
    while !rest.is_empty() && poll(libc::STDERR_FILENO, libc::POLLOUT) & libc::POLLOUT != 0 {
        // A pipe that is ready has room for that much, and for more it would wait (pipe(7)).
        let (part, _) = rest.split_at_checked(libc::PIPE_BUF).unwrap_or((rest, &[]));
        // SAFETY: the bytes are there for the length told.
        let count = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
        match usize::try_from(count) {
            Ok(1..) => rest = rest.get(count as usize..).unwrap_or_default(),
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}

/// write(2) to standard output, past the buffer of the standard library.
pub(crate) fn write_stdout(text: &[u8]) -> io::Result<usize> {
    // SAFETY: the bytes are there for the length told.
    let count = unsafe { libc::write(libc::STDOUT_FILENO, text.as_ptr().cast(), text.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Whether standard output is a pipe or socket that nobody reads any more.
pub(crate) fn stdout_is_broken() -> bool {
    // A pipe says the one, a socket the other (poll(2)).
    poll(libc::STDOUT_FILENO, 0) & (libc::POLLERR | libc::POLLHUP) != 0
}

/// Whether standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// poll(2) of one descriptor, without waiting.
fn poll(fd: RawFd, events: libc::c_short) -> libc::c_short {
    let mut poll = libc::pollfd {
        fd,
        events,
        revents: 0,
    };
    // SAFETY: the structure is one, and lives during the call.
    match unsafe { libc::poll(&raw mut poll, 1, 0) } {
        1 => poll.revents,
        _ => 0,
    }
}

/// A local time of day with its date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalTime {
    /// 0 to 11.
    pub(crate) month: usize,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
}

/// localtime_r(3).
pub(crate) fn local_time(seconds: u64) -> Option<LocalTime> {
    let seconds = seconds.try_into().ok()?;
    let mut time = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid during the call.
    let result = unsafe { libc::localtime_r(&raw const seconds, time.as_mut_ptr()) };
    if result.is_null() {
        return None;
    }
    // SAFETY: it succeeded, so it has filled the structure.
    let time = unsafe { time.assume_init() };
    Some(LocalTime {
        month: usize::try_from(time.tm_mon).ok()?,
        day: u32::try_from(time.tm_mday).ok()?,
        hour: u32::try_from(time.tm_hour).ok()?,
        minute: u32::try_from(time.tm_min).ok()?,
        second: u32::try_from(time.tm_sec).ok()?,
    })
}

/// renameat2(2) with `RENAME_NOREPLACE`: fails with `EEXIST` where `to` exists. A file system that
/// does not know the flag says `EINVAL`; there it is looked up first.
pub(crate) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    let (from_text, to_text) = (path_text(from)?, path_text(to)?);
    // Of musl, `libc` has the function in newer releases only.
    // SAFETY: both paths end in NUL and live during the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from_text.as_ptr(),
            libc::AT_FDCWD,
            to_text.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    match check(result as libc::c_int) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            match std::fs::symlink_metadata(to) {
                Ok(_) => Err(io::Error::from_raw_os_error(libc::EEXIST)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
                Err(error) => Err(error),
            }
        }
        result => result,
    }
}

/// Turns `O_NONBLOCK` off.
pub(crate) fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open; the command takes nothing.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    check(flags)?;
    // SAFETY: the descriptor is open; the command takes an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK) })
}

/// flock(2), exclusive and without waiting. False if another open file has the lock; a file system
/// without locks has nobody who could.
pub(crate) fn try_lock_exclusive(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: flock takes a descriptor and a number.
    let result = check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) });
    !matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// flock(2): gives the lock back.
pub(crate) fn unlock(fd: BorrowedFd<'_>) {
    // SAFETY: flock takes a descriptor and a number.
    unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_UN) };
}

/// A file in memory that can be read but no more changed: memfd_create(2), F_ADD_SEALS.
pub(crate) fn sealed_file(content: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name ends in NUL.
    let fd = unsafe { libc::memfd_create(c"log-record".as_ptr(), flags) };
    check(fd)?;
    // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut file = std::fs::File::from(fd);
    io::Write::write_all(&mut file, content)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open; the command takes an integer.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(file.into())
}

/// sendmsg(2) of an empty datagram that carries a descriptor (`SCM_RIGHTS`) to a socket in the file
/// system.
pub(crate) fn send_descriptor(
    socket: BorrowedFd<'_>,
    path: &Path,
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    // SAFETY: all zero is a valid address, of no family.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let text = path.as_os_str().as_bytes();
    let room = address.sun_path.len().saturating_sub(1); // for the NUL
    if text.len() > room {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(text) {
        *place = *byte as libc::c_char;
    }

    // Eight-byte words, because the header in it must be aligned; there is room for 64 bytes.
    let mut control = [0u64; 8];
    let size = size_of::<RawFd>() as libc::c_uint;
    // SAFETY: all zero is a valid header, of an empty message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = (&raw mut address).cast();
    message.msg_namelen = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a size.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
    // SAFETY: the control buffer is set and has room for a header.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: all zero is a valid header. musl's has padding of its own.
    let mut rights: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: computes a size.
    rights.cmsg_len = unsafe { libc::CMSG_LEN(size) } as _;
    rights.cmsg_level = libc::SOL_SOCKET;
    rights.cmsg_type = libc::SCM_RIGHTS;
    // SAFETY: the header lies in the control buffer, which is aligned.
    unsafe { header.write(rights) };
    // SAFETY: the data lies behind the header, in the control buffer.
    let data = unsafe { libc::CMSG_DATA(header) };
    // SAFETY: the control buffer has room for one descriptor there.
    unsafe { data.cast::<RawFd>().write_unaligned(descriptor.as_raw_fd()) };
    // SAFETY: all that the message points to lives during the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    check(sent as libc::c_int)
}

/// setsockopt(2) `SO_SNDBUF`: asks for a send buffer of that size, of which the kernel may give less.
pub(crate) fn ask_send_buffer(socket: BorrowedFd<'_>, bytes: libc::c_int) {
    // SAFETY: the option is an integer, of the size told.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

fn path_text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path contains a NUL byte"))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
