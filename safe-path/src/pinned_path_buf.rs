//! An object held by a descriptor: [`PinnedPathBuf`].

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::PathError;
use crate::lexical::CPath;
use crate::procfs::FdTable;
use crate::resolver::create::{expect_alive_at, expect_path};
use crate::resolver::{self, Backend, expect_at};
use crate::sys::{self, Errno, Last};

/// A file or directory that cannot be exchanged any more: a path whose object is held open.
///
/// It owns an `O_PATH | O_CLOEXEC` descriptor `N`, see open(2). Everything that is done through
/// [`as_path`](Self::as_path), which is `/proc/self/fd/N`, reaches the object that was pinned, even
/// after it was renamed or removed, or a symlink was put in its place (but see there for threads
/// with a descriptor table of their own). The type dereferences to that
/// path, so it can be given to all functions of [`std::fs`].
///
/// [`target`](Self::target) is where the object was when it was pinned. A pin is never a symlink
/// itself. Dropping it closes the descriptor, after which the path of `as_path` is invalid, or means
/// something else.
///
/// It is not [`Clone`], because duplicating a descriptor can fail: see
/// [`try_clone`](Self::try_clone).
///
/// # Examples
///
/// ```
/// use safe_path::PinnedPathBuf;
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// # let root = tmp.path().canonicalize()?;
/// std::fs::create_dir(root.join("dir"))?;
/// std::fs::write(root.join("dir/file"), "content")?;
///
/// let dir = PinnedPathBuf::new(&root, "dir")?;
/// std::fs::rename(root.join("dir"), root.join("moved"))?;
/// std::os::unix::fs::symlink("/etc", root.join("dir"))?;
///
/// assert_eq!(dir.target(), root.join("dir")); // where it was
/// assert_eq!(std::fs::read_to_string(dir.join("file"))?, "content"); // not in /etc
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PinnedPathBuf {
    handle: File,
    path: PathBuf,
    target: PathBuf,
}

impl PinnedPathBuf {
    /// Pins the object at `path` below `root`.
    ///
    /// The path is resolved like that of [`scoped_join`](crate::scoped_join), and the descriptor
    /// comes from the same traversal: there is no moment at which the object could be exchanged,
    /// and whatever happens to the tree meanwhile, the kernel is never led outside of `root`. A
    /// symlink at the end is expanded too. No permission on the object itself is needed, but search
    /// permission on the directories that lead to it.
    ///
    /// # Errors
    ///
    /// * As [`scoped_join`](crate::scoped_join).
    /// * `ENOENT` if the object does not exist, `ENOTDIR` if it were below a file, and
    ///   `ENAMETOOLONG` if it has a missing name that is too long.
    /// * [`PathError::Changed`] or [`PathError::Raced`] if the tree changes too fast to tell where
    ///   the object is.
    ///
    /// # Examples
    ///
    /// ```
    /// use safe_path::PinnedPathBuf;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// std::fs::write(root.join("endpoint"), "inside")?;
    /// std::os::unix::fs::symlink("/endpoint", root.join("link"))?;
    ///
    /// let pin = PinnedPathBuf::new(&root, "link")?;
    /// assert_eq!(pin.target(), root.join("endpoint"));
    /// assert_eq!(std::fs::read_to_string(&pin)?, "inside");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<R: AsRef<Path>, U: AsRef<Path>>(root: R, path: U) -> io::Result<Self> {
        Self::resolve(Backend::Openat2, root.as_ref(), path.as_ref())
    }

    pub(crate) fn resolve(backend: Backend, root: &Path, path: &Path) -> io::Result<Self> {
        let (fd, target) = resolver::resolve_object(backend, root, path)?;
        Ok(Self::from_parts(fd, target))
    }

    /// Pins the object at a path that is resolved already.
    ///
    /// The path must be absolute and contain neither `..` nor, at any position, a symlink. Repeated
    /// and trailing separators and `.` do no harm.
    ///
    /// # Errors
    ///
    /// * [`PathError::NotCanonical`] (kind [`InvalidInput`](io::ErrorKind::InvalidInput)) for any
    ///   other path.
    /// * Those of the kernel if the object does not exist or cannot be reached.
    ///
    /// # Examples
    ///
    /// ```
    /// use safe_path::PinnedPathBuf;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// std::fs::write(root.join("file"), "")?;
    /// std::os::unix::fs::symlink("file", root.join("link"))?;
    ///
    /// assert_eq!(PinnedPathBuf::from_path(root.join("file"))?.target(), root.join("file"));
    /// assert!(PinnedPathBuf::from_path(root.join("link")).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_path<P: AsRef<Path>>(orig_path: P) -> io::Result<Self> {
        Self::open_canonical(Backend::Openat2, orig_path.as_ref())
    }

    pub(crate) fn open_canonical(backend: Backend, path: &Path) -> io::Result<Self> {
        let (fd, target) = resolver::open_canonical(backend, path)?;
        Ok(Self::from_parts(fd, target))
    }

    pub(crate) fn from_parts(fd: OwnedFd, target: PathBuf) -> Self {
        let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        Self {
            handle: File::from(fd),
            path,
            target,
        }
    }

    /// A second pin of the same object.
    ///
    /// It has a descriptor, and so an [`as_path`](Self::as_path), of its own, and the same
    /// [`target`](Self::target). Like all descriptors of this crate it is close-on-exec.
    ///
    /// # Errors
    ///
    /// `EMFILE` if the process has too many open files.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let pin = PinnedPathBuf::new(tmp.path(), "/")?;
    /// let clone = pin.try_clone()?;
    /// assert_ne!(pin.as_path(), clone.as_path());
    /// assert_eq!(pin.target(), clone.target());
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_clone(&self) -> io::Result<Self> {
        let fd = self.as_fd().try_clone_to_owned()?;
        Ok(Self::from_parts(fd, self.target.clone()))
    }

    /// The descriptor, which stays owned by this pin.
    ///
    /// It is opened with `O_PATH`: good for fstat(2), fstatfs(2), fchdir(2), `F_GETFD` and all calls
    /// of the `*at` family, not for reading or writing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let pin = PinnedPathBuf::new(tmp.path(), "/")?;
    /// // SAFETY: F_GETFD reads a flag of a valid descriptor.
    /// let flags = unsafe { libc::fcntl(pin.path_fd(), libc::F_GETFD) };
    /// assert_eq!(flags, libc::FD_CLOEXEC);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn path_fd(&self) -> RawFd {
        self.handle.as_raw_fd()
    }

    /// The path that always leads to the pinned object: `/proc/self/fd/N`.
    ///
    /// It is valid while this pin lives, in this process. In a thread with a descriptor table of its
    /// own (`CLONE_FILES` of unshare(2)), where `/proc/self/fd` is the table of the main thread, it
    /// is not: use [`path_fd`](Self::path_fd) with the `*at` calls there, or
    /// [`ScopedRoot::open_file`](crate::ScopedRoot::open_file).
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let pin = PinnedPathBuf::new(tmp.path(), "/")?;
    /// // While nobody interferes, the link is what `target` says.
    /// assert_eq!(std::fs::read_link(pin.as_path())?, pin.target());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// Where the object was when it was pinned: an absolute path without symlinks.
    ///
    /// For messages and comparisons; to use the object, use [`as_path`](Self::as_path).
    ///
    /// It is the text of that link at the time, but for what is mounted from a name that was removed
    /// since, like a file of the host's that was replaced by a new one: to that text the kernel adds
    /// ` (deleted)`, although the object is where it is mounted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// std::fs::create_dir(root.join("a"))?;
    /// assert_eq!(PinnedPathBuf::new(&root, "b/../a")?.target(), root.join("a"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Metadata of the pinned object, see fstat(2). Needs no permission.
    ///
    /// # Errors
    ///
    /// Those of fstat(2) on a network filesystem.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// assert!(PinnedPathBuf::new(tmp.path(), "/")?.metadata()?.is_dir());
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.handle.metadata()
    }

    /// Pins a direct child of the pinned directory.
    ///
    /// # Errors
    ///
    /// * [`PathError::InvalidName`] (kind [`InvalidInput`](io::ErrorKind::InvalidInput)) unless
    ///   `path_comp` is exactly one plain component: not empty, `.` or `..`, without `/` and NUL.
    /// * `ENOENT` if there is no such child, `ELOOP` if it is a symlink, `ENOTDIR` if the pinned
    ///   object is no directory.
    /// * [`PathError::Changed`] if the child is not at [`target`](Self::target)`/path_comp`, because
    ///   the pinned directory was renamed or the child removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// use std::ffi::OsStr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// std::fs::write(root.join("file"), "")?;
    /// let child = PinnedPathBuf::new(&root, "/")?.open_child(OsStr::new("file"))?;
    /// assert_eq!(child.target(), root.join("file"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_child(&self, path_comp: &OsStr) -> io::Result<Self> {
        let name = child_name(path_comp)?;
        let child = sys::openat(self.as_fd(), CPath::default().set([name]), Last::NoFollow)?;
        if sys::fstat(child.as_fd())?.is_symlink() {
            return Err(Errno(libc::ELOOP).into());
        }
        let target = self.target.join(path_comp);
        expect_at(&FdTable::open()?, child.as_fd(), &target)?;
        Ok(Self::from_parts(child, target))
    }

    /// Creates a directory in the pinned directory, and pins it.
    ///
    /// It fails if there is one already. The permissions are `mode & !umask`, see mkdirat(2).
    ///
    /// Between creation and pinning there is a short moment in which somebody with write permission
    /// on the pinned directory can replace the new directory by another one; Linux cannot create and
    /// open a directory in one call. What is pinned is always a directory.
    ///
    /// # Errors
    ///
    /// * [`PathError::InvalidName`] as for [`open_child`](Self::open_child).
    /// * `EEXIST` if there is anything of that name, `ENOENT` if the pinned directory was removed,
    ///   `ENOTDIR` if the pinned object is none, and `ENAMETOOLONG` if its path would have `PATH_MAX`
    ///   bytes or more.
    /// * [`PathError::Changed`] if the pinned directory was renamed; then nothing is created.
    /// * [`PathError::NotADirectory`] if the new directory was replaced by something else before it
    ///   could be pinned, `ENOENT` if it was removed, and [`PathError::Changed`] if it was moved.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::PinnedPathBuf;
    /// use std::ffi::OsStr;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// let dir = PinnedPathBuf::new(&root, "/")?.mkdir(OsStr::new("dir"), 0o700)?;
    /// assert_eq!(dir.target(), root.join("dir"));
    /// std::fs::write(dir.join("file"), "in the new directory")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mkdir(&self, path_comp: &OsStr, mode: libc::mode_t) -> io::Result<Self> {
        let mut buffer = CPath::default();
        let name = buffer.set([child_name(path_comp)?]);
        let table = FdTable::open()?;
        expect_alive_at(&table, self.as_fd(), &self.target)?;
        let target = self.target.join(path_comp);
        expect_path(target.as_os_str().len())?;
        sys::mkdirat(self.as_fd(), name, mode)?;
        match sys::openat(self.as_fd(), name, Last::DirectoryNoFollow) {
            Ok(dir) => {
                expect_at(&table, dir.as_fd(), &target)?;
                Ok(Self::from_parts(dir, target))
            }
            Err(Errno(libc::ENOTDIR | libc::ELOOP)) => {
                Err(PathError::NotADirectory { path: target }.into())
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Deref for PinnedPathBuf {
    type Target = PathBuf;

    fn deref(&self) -> &Self::Target {
        &self.path
    }
}

impl AsRef<Path> for PinnedPathBuf {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PinnedPathBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

impl AsRawFd for PinnedPathBuf {
    fn as_raw_fd(&self) -> RawFd {
        self.handle.as_raw_fd()
    }
}

impl From<PinnedPathBuf> for OwnedFd {
    fn from(pin: PinnedPathBuf) -> Self {
        pin.handle.into()
    }
}

/// The bytes of a name that is exactly one plain path component (P6).
fn child_name(name: &OsStr) -> io::Result<&[u8]> {
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(PathError::InvalidName {
            name: name.to_owned(),
        }
        .into());
    }
    Ok(bytes)
}
