//! The system calls of this crate, and all of its `unsafe`.
//!
//! Thin wrappers over openat(2), openat2(2), readlinkat(2), mkdirat(2), fstat(2) and fstatfs(2):
//! descriptors are [`OwnedFd`] and always close-on-exec, errors are an [`Errno`], and a call that a
//! signal interrupted is repeated.

use std::ffi::CStr;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The current directory; also the start of every absolute path.
// SAFETY: `AT_FDCWD` is not -1, and it stays valid for the whole life of the process.
pub(crate) const CWD: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };

/// Longest path that the kernel takes, its terminating NUL included.
pub(crate) const PATH_MAX: usize = libc::PATH_MAX as usize;

/// Flags of every descriptor that this crate opens.
const PIN: libc::c_int = libc::O_PATH | libc::O_CLOEXEC;

/// An error number as the kernel returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) libc::c_int);

impl Errno {
    fn last() -> Self {
        Self(
            io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EIO),
        )
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

/// What the last component of an open may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// Anything; a symlink is followed.
    Follow,
    /// Anything; a symlink is opened itself.
    NoFollow,
    /// A directory only (`ENOTDIR` otherwise); a symlink is followed.
    Directory,
    /// A directory only; a symlink is `ENOTDIR`.
    DirectoryNoFollow,
}

impl Last {
    const fn flags(self) -> libc::c_int {
        match self {
            Self::Follow => PIN,
            Self::NoFollow => PIN | libc::O_NOFOLLOW,
            Self::Directory => PIN | libc::O_DIRECTORY,
            Self::DirectoryNoFollow => PIN | libc::O_DIRECTORY | libc::O_NOFOLLOW,
        }
    }
}

/// openat(2) with `O_PATH | O_CLOEXEC`.
pub(crate) fn openat(dir: BorrowedFd<'_>, path: &CStr, last: Last) -> Result<OwnedFd, Errno> {
    let fd = retry(|| {
        // SAFETY: `path` is NUL-terminated and outlives the call; without O_CREAT no mode is read.
        unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), last.flags()) }
    })?;
    // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// openat2(2) with `O_PATH | O_CLOEXEC` and the given `RESOLVE_*` bits. Linux 5.6.
pub(crate) fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    last: Last,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    // SAFETY: `open_how` is three integers; all zero is valid and means "nothing asked for".
    let mut how: libc::open_how = unsafe { MaybeUninit::zeroed().assume_init() };
    how.flags = last.flags() as u64;
    how.resolve = resolve;
    let fd = retry(|| {
        // SAFETY: `path` is NUL-terminated, `how` is initialised and of the size told; both outlive
        // the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                dir.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        fd as libc::c_int
    })?;
    // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// readlinkat(2): replaces the content of `text` by the text of the symlink `path` (or, if `path`
/// is empty, of the symlink that `dir` itself is).
///
/// `EINVAL` says that the object exists and is no symlink.
pub(crate) fn readlinkat(
    dir: BorrowedFd<'_>,
    path: &CStr,
    text: &mut Vec<u8>,
) -> Result<(), Errno> {
    text.clear();
    text.reserve(PATH_MAX + 1);
    let room = text.capacity();
    let length = retry(|| {
        // SAFETY: `path` is NUL-terminated; the kernel writes at most `room` bytes, all of which
        // are allocated behind the pointer.
        let length = unsafe {
            libc::readlinkat(
                dir.as_raw_fd(),
                path.as_ptr(),
                text.as_mut_ptr().cast(),
                room,
            )
        };
        length as libc::c_int
    })?;
    let length = usize::try_from(length).unwrap_or(0);
    if length > PATH_MAX {
        return Err(Errno(libc::ENAMETOOLONG)); // possibly cut off
    }
    // SAFETY: the kernel initialised the first `length` bytes, and `length` is within capacity.
    unsafe { text.set_len(length) };
    Ok(())
}

/// Whether `path` exists and is a symlink, by readlinkat(2).
pub(crate) fn is_symlink(dir: BorrowedFd<'_>, path: &CStr) -> Result<bool, Errno> {
    let mut byte = MaybeUninit::<u8>::uninit();
    let result = retry(|| {
        // SAFETY: `path` is NUL-terminated; the kernel writes at most the one byte told.
        let length = unsafe {
            libc::readlinkat(dir.as_raw_fd(), path.as_ptr(), byte.as_mut_ptr().cast(), 1)
        };
        length as libc::c_int
    });
    match result {
        Ok(_) => Ok(true),
        Err(Errno(libc::EINVAL)) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// mkdirat(2). The umask of the process applies.
pub(crate) fn mkdirat(dir: BorrowedFd<'_>, name: &CStr, mode: libc::mode_t) -> Result<(), Errno> {
    retry(|| {
        // SAFETY: `name` is NUL-terminated and outlives the call.
        unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }
    })?;
    Ok(())
}

/// Number of links and kind of an open object, from fstat(2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    /// Device and inode number.
    pub(crate) id: (u64, u64),
    /// Number of names; 0 once the object was removed.
    pub(crate) links: u64,
    kind: libc::mode_t,
}

impl Stat {
    pub(crate) fn is_symlink(&self) -> bool {
        self.kind == libc::S_IFLNK
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == libc::S_IFDIR
    }
}

/// fstat(2).
// The integers of `struct stat` differ between architectures.
#[allow(clippy::unnecessary_cast, reason = "needed on other architectures")]
pub(crate) fn fstat(fd: BorrowedFd<'_>) -> Result<Stat, Errno> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    retry(|| {
        // SAFETY: the pointer is to writable memory of the right size.
        unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) }
    })?;
    // SAFETY: fstat succeeded, so it filled the whole structure.
    let stat = unsafe { stat.assume_init() };
    Ok(Stat {
        id: (stat.st_dev as u64, stat.st_ino as u64),
        links: stat.st_nlink as u64,
        kind: stat.st_mode & libc::S_IFMT,
    })
}

/// Whether `fd` is on a procfs, by fstatfs(2).
#[allow(clippy::unnecessary_cast, reason = "needed on other architectures")]
pub(crate) fn is_on_procfs(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    retry(|| {
        // SAFETY: the pointer is to writable memory of the right size.
        unsafe { libc::fstatfs(fd.as_raw_fd(), stat.as_mut_ptr()) }
    })?;
    // SAFETY: fstatfs succeeded, so it filled the whole structure.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_type as u64 == libc::PROC_SUPER_MAGIC as u64)
}

/// Calls until the result is not `EINTR`; -1 becomes the error.
fn retry(mut call: impl FnMut() -> libc::c_int) -> Result<libc::c_int, Errno> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let errno = Errno::last();
        if errno.0 != libc::EINTR {
            return Err(errno);
        }
    }
}
