//! Every system call of [`mount`](super) and [`fs`](crate::fs) that neither `std` nor a crate of
//! ours wraps, and with them every `unsafe` block of the two.
//!
//! Calls and structures that are younger than the C libraries in use are defined here, from the
//! kernel's `include/uapi/linux/{mount,stat,fs}.h`. Their numbers are the same on all architectures
//! since Linux 5.0.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use nix::errno::Errno;

pub(crate) type Result<T> = std::result::Result<T, Errno>;

const SYS_OPEN_TREE: c_long = 428;
const SYS_MOVE_MOUNT: c_long = 429;
const SYS_FSOPEN: c_long = 430;
const SYS_FSCONFIG: c_long = 431;
const SYS_FSMOUNT: c_long = 432;
const SYS_MOUNT_SETATTR: c_long = 442;
const SYS_STATMOUNT: c_long = 457;

const OPEN_TREE_CLONE: c_uint = 1;
const FSOPEN_CLOEXEC: c_uint = 1;
const FSMOUNT_CLOEXEC: c_uint = 1;
const AT_RECURSIVE: c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 0x4;
const MOVE_MOUNT_T_SYMLINKS: c_uint = 0x10;
const MOVE_MOUNT_T_AUTOMOUNTS: c_uint = 0x20;
const AT_STATX_DONT_SYNC: c_int = 0x4000;
const STATX_TYPE: c_uint = 0x1;
const STATX_INO: c_uint = 0x100;
const STATX_MNT_ID: c_uint = 0x1000;
const STATX_MNT_ID_UNIQUE: c_uint = 0x4000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// `_IOW(0x94, 9, int)`, whose direction bits differ on powerpc.
const FICLONE: u32 = if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64")) {
    0x8004_9409
} else {
    0x4004_9409
};

/// The calling thread's working directory, as the directory of a relative path.
// SAFETY: AT_FDCWD is no descriptor that could be closed, and not the forbidden -1.
pub(crate) const CWD: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };

/// What `fsconfig` sets.
#[derive(Clone, Copy)]
pub(crate) enum FsConfig<'a> {
    /// A parameter without a value.
    Flag(&'a OsStr),
    /// A parameter with a value of at most 255 bytes.
    String(&'a OsStr, &'a OsStr),
    /// A parameter whose value is an open file or directory.
    Fd(&'a OsStr, BorrowedFd<'a>),
    /// The superblock, from the parameters.
    Create,
}

/// `struct mount_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MountAttr {
    pub(crate) attr_set: u64,
    pub(crate) attr_clr: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// Whether a call covers one mount or also those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    TopMount,
    Recursive,
}

impl Scope {
    fn flag(self) -> c_uint {
        match self {
            Self::TopMount => 0,
            Self::Recursive => AT_RECURSIVE,
        }
    }
}

/// Whether a symbolic link as the last component is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Yes,
    No,
}

/// What is known of a file without asking the server of its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStatus {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    /// Id of the mount that it lies on (Linux 5.8).
    pub(crate) mount_id: Option<u64>,
    /// Whether [`mount_id`](Self::mount_id) is the kind that is never reused (Linux 6.8).
    pub(crate) mount_id_is_unique: bool,
    /// Whether it is the root of a mount (Linux 5.8).
    pub(crate) is_mount_root: Option<bool>,
}

impl FileStatus {
    pub(crate) fn is_dir(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    pub(crate) fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }
}

/// Whether this errno may mean that the kernel is too old for the call, or that a seccomp filter
/// keeps it away, so that the older way is to be tried.
pub(crate) fn is_unsupported(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSYS | Errno::EPERM | Errno::EINVAL)
}

/// As [`is_unsupported`], for a call that has known all the flags that are used since it exists, so
/// that `EINVAL` is about what it was to work on.
pub(crate) fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::ENOSYS | Errno::EPERM)
}

/// Whether an error tells about the system, and not about what is at a path.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EIO | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM
    )
}

pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf takes a number and returns one.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// `mount(source, target, fs_type, flags, data)`.
pub(crate) fn mount(
    source: &OsStr,
    target: &Path,
    fs_type: &OsStr,
    flags: c_ulong,
    data: &OsStr,
) -> Result<()> {
    let (source, target) = (c_string(source)?, c_string(target)?);
    let (fs_type, data) = (c_string(fs_type)?, c_string(data)?);
    // SAFETY: four strings that end in NUL and outlive the call; the kernel only reads them.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    Errno::result(result).map(drop)
}

/// `umount2(target, flags)`.
pub(crate) fn umount(target: &Path, flags: c_int) -> Result<()> {
    let target = c_string(target)?;
    // SAFETY: a string that ends in NUL and outlives the call; the kernel only reads it.
    Errno::result(unsafe { libc::umount2(target.as_ptr(), flags) }).map(drop)
}

/// `open_tree(CWD, source, OPEN_TREE_CLONE)`: a copy of the mount at `source`, attached nowhere.
pub(crate) fn clone_tree(source: &Path, scope: Scope, follow: Follow) -> Result<OwnedFd> {
    let source = c_string(source)?;
    let nofollow = match follow {
        Follow::Yes => 0,
        Follow::No => libc::AT_SYMLINK_NOFOLLOW.cast_unsigned(),
    };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | scope.flag() | nofollow;
    // SAFETY: a string that ends in NUL and outlives the call; the kernel only reads it.
    let fd = unsafe { libc::syscall(SYS_OPEN_TREE, libc::AT_FDCWD, source.as_ptr(), flags) };
    new_fd(fd)
}

/// `move_mount(tree, "", CWD, target)`, following links and triggering automounts at the target as
/// `mount(2)` does.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let target = c_string(target)?;
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS | MOVE_MOUNT_T_AUTOMOUNTS;
    // SAFETY: two strings that end in NUL and outlive the call; the kernel only reads them.
    let result = unsafe {
        libc::syscall(
            SYS_MOVE_MOUNT,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
        )
    };
    Errno::result(result).map(drop)
}

/// `mount_setattr(fd, "", AT_EMPTY_PATH, attr)`.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, scope: Scope, attr: &MountAttr) -> Result<()> {
    // SAFETY: the kernel reads an empty string and a structure of the size that is given.
    let result = unsafe {
        libc::syscall(
            SYS_MOUNT_SETATTR,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH.cast_unsigned() | scope.flag(),
            ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Whether `mount_setattr(2)` is there, asked with a change of nothing.
pub(crate) fn has_mount_setattr(fd: BorrowedFd<'_>) -> bool {
    mount_setattr(fd, Scope::TopMount, &MountAttr::default()).is_ok()
}

/// `fsopen(fs_type, FSOPEN_CLOEXEC)`.
pub(crate) fn fsopen(fs_type: &OsStr) -> Result<OwnedFd> {
    let fs_type = c_string(fs_type)?;
    // SAFETY: a string that ends in NUL and outlives the call; the kernel only reads it.
    new_fd(unsafe { libc::syscall(SYS_FSOPEN, fs_type.as_ptr(), FSOPEN_CLOEXEC) })
}

/// `fsconfig(context, …)`.
pub(crate) fn fsconfig(context: BorrowedFd<'_>, config: FsConfig<'_>) -> Result<()> {
    let (command, key, value, aux): (c_uint, _, _, c_int) = match config {
        FsConfig::Flag(key) => (0, Some(key), None, 0),
        FsConfig::String(key, value) => (1, Some(key), Some(c_string(value)?), 0),
        FsConfig::Fd(key, fd) => (5, Some(key), None, fd.as_raw_fd()),
        FsConfig::Create => (6, None, None, 0),
    };
    let key = key.map(c_string).transpose()?;
    // SAFETY: key and value are null or end in NUL and outlive the call; the kernel reads them.
    let result = unsafe {
        libc::syscall(
            SYS_FSCONFIG,
            context.as_raw_fd(),
            command,
            pointer(key.as_deref()),
            pointer(value.as_deref()),
            aux,
        )
    };
    Errno::result(result).map(drop)
}

/// `fsmount(context, FSMOUNT_CLOEXEC, attributes)`: a mount that is attached nowhere.
pub(crate) fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd> {
    let attributes = c_uint::try_from(attributes).map_err(|_| Errno::EINVAL)?;
    let context = context.as_raw_fd();
    // SAFETY: fsmount takes three numbers.
    new_fd(unsafe { libc::syscall(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes) })
}

/// `statx(dir, path)` without an automount or a question to a server; `fstatat` where it is missing.
/// An empty path is `dir` itself.
pub(crate) fn status(dir: BorrowedFd<'_>, path: &Path, follow: Follow) -> Result<FileStatus> {
    let path = c_string(path)?;
    let mut flags = libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;
    if follow == Follow::No {
        flags |= libc::AT_SYMLINK_NOFOLLOW;
    }
    match statx(dir, &path, flags | AT_STATX_DONT_SYNC) {
        // EINVAL is for flags that an old kernel does not know.
        Err(errno) if is_unsupported(errno) => fstatat(dir, &path, flags),
        other => other,
    }
}

fn statx(dir: BorrowedFd<'_>, path: &CStr, flags: c_int) -> Result<FileStatus> {
    let mask = STATX_TYPE | STATX_INO | STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
    let mut buffer = Statx::default();
    // SAFETY: the path ends in NUL, and the kernel fills at most the 256 bytes of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            mask,
            ptr::from_mut(&mut buffer),
        )
    };
    Errno::result(result)?;
    let is_known = buffer.attributes_mask & STATX_ATTR_MOUNT_ROOT != 0;
    let has_mount_id = buffer.mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE) != 0;
    Ok(FileStatus {
        dev: libc::makedev(buffer.dev_major, buffer.dev_minor),
        ino: buffer.ino,
        mode: buffer.mode.into(),
        mount_id: has_mount_id.then_some(buffer.mnt_id),
        mount_id_is_unique: buffer.mask & STATX_MNT_ID_UNIQUE != 0,
        is_mount_root: is_known.then_some(buffer.attributes & STATX_ATTR_MOUNT_ROOT != 0),
    })
}

/// `struct statx`.
#[repr(C)]
#[derive(Default)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [u64; 8],
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    mnt_id: u64,
    rest: [u64; 13],
}

fn fstatat(dir: BorrowedFd<'_>, path: &CStr, flags: c_int) -> Result<FileStatus> {
    let mut buffer = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the path ends in NUL, and the buffer has the type that fstatat fills.
    let result =
        unsafe { libc::fstatat(dir.as_raw_fd(), path.as_ptr(), buffer.as_mut_ptr(), flags) };
    Errno::result(result)?;
    // SAFETY: fstatat succeeded; before it, all bytes were zero, which every field allows.
    let stat = unsafe { buffer.assume_init() };
    Ok(FileStatus {
        dev: stat.st_dev,
        ino: stat.st_ino,
        mode: stat.st_mode,
        mount_id: None,
        mount_id_is_unique: false,
        is_mount_root: None,
    })
}

/// `statmount(mount_id, mask)` into `buffer` (Linux 6.8). `mount_id` must be of the unique kind.
pub(crate) fn statmount(mount_id: u64, mask: u64, buffer: &mut [u8]) -> Result<()> {
    #[repr(C)]
    struct Request {
        size: u32,
        spare: u32,
        mount_id: u64,
        mask: u64,
    }
    let request = Request {
        size: 24, // MNT_ID_REQ_SIZE_VER0
        spare: 0,
        mount_id,
        mask,
    };
    // SAFETY: the kernel reads a structure of the size that it names, and writes into a buffer of
    // the length that is given.
    let result = unsafe {
        libc::syscall(
            SYS_STATMOUNT,
            ptr::from_ref(&request),
            buffer.as_mut_ptr(),
            buffer.len(),
            0 as c_uint,
        )
    };
    Errno::result(result).map(drop)
}

/// `f_type` of `statfs(path)`. All magic numbers have 32 bits; the C type of the field differs by
/// library and architecture.
pub(crate) fn statfs_magic(path: &Path) -> Result<u32> {
    let path = c_string(path)?;
    let mut buffer = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path ends in NUL, and the buffer has the type that statfs fills.
    Errno::result(unsafe { libc::statfs(path.as_ptr(), buffer.as_mut_ptr()) })?;
    // SAFETY: statfs succeeded; before it, all bytes were zero, which every field allows.
    let statfs = unsafe { buffer.assume_init() };
    Ok(statfs.f_type as u32)
}

/// `f_flag` of `fstatvfs(fd)`: the flags of the mount, as `ST_*`.
pub(crate) fn mount_flags(fd: BorrowedFd<'_>) -> Result<c_ulong> {
    let mut buffer = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the buffer has the type that fstatvfs fills.
    Errno::result(unsafe { libc::fstatvfs(fd.as_raw_fd(), buffer.as_mut_ptr()) })?;
    // SAFETY: fstatvfs succeeded; before it, all bytes were zero, which every field allows.
    Ok(unsafe { buffer.assume_init() }.f_flag)
}

/// `openat(dir, path, flags, mode)`, close-on-exec.
pub(crate) fn open_at(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: c_int,
    mode: libc::mode_t,
) -> Result<OwnedFd> {
    let path = c_string(path)?;
    let flags = flags | libc::O_CLOEXEC;
    loop {
        // SAFETY: a string that ends in NUL and outlives the call; the kernel only reads it.
        let fd = unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags, mode) };
        match new_fd(fd.into()) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// `renameat(dir, from, dir, to)`.
pub(crate) fn rename_at(dir: BorrowedFd<'_>, from: &OsStr, to: &OsStr) -> Result<()> {
    let (from, to) = (c_string(from)?, c_string(to)?);
    let dir = dir.as_raw_fd();
    // SAFETY: two strings that end in NUL and outlive the call; the kernel only reads them.
    Errno::result(unsafe { libc::renameat(dir, from.as_ptr(), dir, to.as_ptr()) }).map(drop)
}

/// `unlinkat(dir, name, 0)`.
pub(crate) fn unlink_at(dir: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    let name = c_string(name)?;
    // SAFETY: a string that ends in NUL and outlives the call; the kernel only reads it.
    Errno::result(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// `unshare(CLONE_FS)`: from now on, root, working directory and umask are this thread's own.
pub(crate) fn unshare_fs() -> Result<()> {
    // SAFETY: unshare takes a number.
    Errno::result(unsafe { libc::unshare(libc::CLONE_FS) }).map(drop)
}

/// `fchdir(dir)`.
pub(crate) fn fchdir(dir: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: fchdir takes a number.
    Errno::result(unsafe { libc::fchdir(dir.as_raw_fd()) }).map(drop)
}

/// `ioctl(target, FICLONE, source)`: `target` shares the data of `source`.
pub(crate) fn clone_file(source: &File, target: &File) -> Result<()> {
    // SAFETY: the argument of FICLONE is a descriptor by value.
    let result = unsafe { libc::ioctl(target.as_raw_fd(), FICLONE as _, source.as_raw_fd()) };
    Errno::result(result).map(drop)
}

/// `copy_file_range(source, offset, target, offset, length)`, the same offset in both files.
pub(crate) fn copy_file_range(
    source: &File,
    target: &File,
    offset: u64,
    length: u64,
) -> Result<u64> {
    let mut from = i64::try_from(offset).map_err(|_| Errno::EFBIG)?;
    let mut to = from;
    // The kernel cuts it to about 2 GiB a call anyway.
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // SAFETY: both offsets are valid for reading and writing during the call.
    let copied = unsafe {
        libc::syscall(
            libc::SYS_copy_file_range,
            source.as_raw_fd(),
            ptr::from_mut(&mut from),
            target.as_raw_fd(),
            ptr::from_mut(&mut to),
            length,
            0 as c_uint,
        )
    };
    Errno::result(copied).map(c_long::cast_unsigned)
}

/// `lseek(file, offset, SEEK_DATA)`: where the next data begin; `ENXIO` if only a hole follows.
pub(crate) fn seek_data(file: &File, offset: u64) -> Result<u64> {
    seek(file, offset, libc::SEEK_DATA)
}

/// `lseek(file, offset, SEEK_HOLE)`: where the data at `offset` end.
pub(crate) fn seek_hole(file: &File, offset: u64) -> Result<u64> {
    seek(file, offset, libc::SEEK_HOLE)
}

fn seek(file: &File, offset: u64, whence: c_int) -> Result<u64> {
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EFBIG)?;
    // SAFETY: lseek takes numbers.
    let position = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    Errno::result(position).map(libc::off_t::cast_unsigned)
}

fn new_fd(fd: c_long) -> Result<OwnedFd> {
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The text with a NUL at its end. A NUL inside is `EINVAL`.
fn c_string<S: AsRef<OsStr> + ?Sized>(text: &S) -> Result<CString> {
    CString::new(text.as_ref().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(ptr::null(), CStr::as_ptr)
}
