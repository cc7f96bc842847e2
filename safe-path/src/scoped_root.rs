//! A root directory to work in: [`ScopedRoot`].

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::error::PathError;
use crate::pinned_path_buf::PinnedPathBuf;
use crate::procfs::FdTable;
use crate::resolver::create::{Create, NewDirectory};
use crate::resolver::{Backend, Joined, Resolver, Root, Symlinks, expect_at};
use crate::sys;

/// An open root directory, for any number of operations on untrusted paths below it.
///
/// Paths are resolved as if the root were `/`, with the rules of
/// [`scoped_join`](crate::scoped_join), but the results are objects, not texts: what was resolved is
/// what is used. For example, mount(2) on `resolve(path)?.as_path()` cannot be diverted by a symlink
/// that appears in between.
///
/// If the root directory itself is renamed after it was opened, its operations fail with
/// [`PathError::Changed`].
///
/// # Examples
///
/// ```
/// use safe_path::ScopedRoot;
/// use std::fs::OpenOptions;
/// use std::io::Write;
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// let root = ScopedRoot::open(tmp.path())?;
///
/// let dir = root.mkdir_all("etc/app", 0o755)?;
/// std::fs::write(dir.join("config"), "a = 1\n")?;
/// let mut file = root.open_file("/etc/app/config", OpenOptions::new().append(true))?;
/// writeln!(file, "b = 2")?;
/// # assert_eq!(std::fs::read_to_string(tmp.path().join("etc/app/config"))?, "a = 1\nb = 2\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScopedRoot {
    root: Root,
    backend: Backend,
}

impl ScopedRoot {
    /// Opens a root directory, which is trusted: symlinks in `path` are followed.
    ///
    /// `path` can be that of a [`PinnedPathBuf`]; then the root is the pinned directory, wherever it
    /// is by now.
    ///
    /// # Errors
    ///
    /// Those of the kernel if `path` cannot be opened; `ENOENT` too if it leads to a directory that
    /// has no path in this process, as that of a detached mount; and [`PathError::InvalidRoot`] (kind
    /// [`NotADirectory`](io::ErrorKind::NotADirectory)) if it is no directory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let root = ScopedRoot::open(tmp.path())?;
    /// assert_eq!(root.path(), tmp.path().canonicalize()?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::with_backend(Backend::Openat2, path.as_ref())
    }

    pub(crate) fn with_backend(backend: Backend, path: &Path) -> io::Result<Self> {
        Ok(Self {
            root: Root::open_directory(backend, path)?,
            backend,
        })
    }

    /// Canonical path of the root when it was opened.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// # fn main() -> std::io::Result<()> {
    /// assert_eq!(ScopedRoot::open("/proc/..")?.path(), std::path::Path::new("/"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root.text
    }

    /// Pins the existing object at `path`, as [`PinnedPathBuf::new`] does.
    ///
    /// # Errors
    ///
    /// As [`PinnedPathBuf::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let root = ScopedRoot::open(tmp.path())?;
    /// assert_eq!(root.resolve("../..")?.target(), root.path());
    /// assert!(root.resolve("missing").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve<P: AsRef<Path>>(&self, path: P) -> io::Result<PinnedPathBuf> {
        let (fd, target) = self.resolver().object(path.as_ref())?;
        Ok(PinnedPathBuf::from_parts(fd, target))
    }

    /// Opens the existing file at `path`.
    ///
    /// The object is pinned first and then re-opened through its descriptor, so nothing can come in
    /// between. As with any open(2), opening a FIFO waits for its other end, and opening a device
    /// can have effects: look at [`resolve`](Self::resolve)`(path)?.`[`metadata`] first where files
    /// of an unknown type can occur.
    ///
    /// The descriptor is re-opened through a symlink of procfs: options with
    /// [`custom_flags`](std::os::unix::fs::OpenOptionsExt::custom_flags)`(O_NOFOLLOW)` always fail
    /// with `ELOOP`. They are not needed: what is opened is never a symlink of the tree.
    ///
    /// [`metadata`]: PinnedPathBuf::metadata
    ///
    /// # Errors
    ///
    /// * As [`PinnedPathBuf::new`].
    /// * [`InvalidInput`](io::ErrorKind::InvalidInput) if `options` would create a file, be it one
    ///   without a name (`O_TMPFILE`), or are invalid.
    /// * Those of open(2), such as `EACCES`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// use std::fs::OpenOptions;
    /// use std::io::Read;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// std::fs::write(tmp.path().join("passwd"), "root:x:0:0")?;
    /// std::os::unix::fs::symlink("/passwd", tmp.path().join("link"))?;
    ///
    /// let root = ScopedRoot::open(tmp.path())?;
    /// let mut content = String::new();
    /// root.open_file("link", OpenOptions::new().read(true))?.read_to_string(&mut content)?;
    /// assert_eq!(content, "root:x:0:0");
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_file<P: AsRef<Path>>(&self, path: P, options: &OpenOptions) -> io::Result<File> {
        let path = path.as_ref();
        let creates = || PathError::CreatesFiles {
            path: path.to_owned(),
        };
        if creates_files(options)? {
            return Err(creates().into());
        }
        let pin = self.resolve(path)?;
        let pinned = sys::fstat(pin.as_fd())?;
        let table = FdTable::open()?;
        if pinned.is_directory() && creates_unnamed_files(options) {
            return Err(creates().into());
        }
        let file = options.open(table.magic_link(pin.as_fd()))?;
        let opened = sys::fstat(file.as_fd())?;
        // To open a file of a lower layer for writing, an overlayfs copies it, and unless it keeps
        // an index, the copy of a file with several names has a number of its own: that of the pin
        // by now.
        if opened.id == pinned.id || opened.id == sys::fstat(pin.as_fd())?.id {
            return Ok(file);
        }
        if pinned.is_directory() && !opened.is_directory() {
            return Err(creates().into());
        }
        let expected = pin.target().to_owned();
        let actual = table.locate(file.as_fd())?.into_path();
        Err(PathError::Changed { expected, actual }.into())
    }

    /// Creates the directory at `path` and all parents that are missing, and pins it.
    ///
    /// As a recursive [`ScopedDirBuilder`](crate::ScopedDirBuilder): existing directories are
    /// accepted and not changed, new ones get the permissions `mode & 0o777 & !umask`.
    ///
    /// # Errors
    ///
    /// As [`ScopedDirBuilder::create`](crate::ScopedDirBuilder::create).
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let root = ScopedRoot::open(tmp.path())?;
    /// let dir = root.mkdir_all("/var/../run/app", 0o755)?;
    /// assert_eq!(dir.target(), root.path().join("run/app"));
    /// assert!(!root.path().join("var").exists());
    /// # Ok(())
    /// # }
    /// ```
    pub fn mkdir_all<P: AsRef<Path>>(&self, path: P, mode: u32) -> io::Result<PinnedPathBuf> {
        let (fd, target) = self.resolver().create_directory(NewDirectory {
            path: path.as_ref(),
            symlinks: Symlinks::Expand,
            create: Create::All,
            mode: (mode & 0o777) as libc::mode_t,
        })?;
        Ok(PinnedPathBuf::from_parts(fd, target))
    }

    /// Joins an untrusted path to the root like [`scoped_join`](crate::scoped_join), but strictly:
    /// the result is always below the root.
    ///
    /// # Errors
    ///
    /// * [`PathError::NotAChild`] (kind [`InvalidInput`](io::ErrorKind::InvalidInput)) if the result
    ///   is the root itself, or if a `..`, be it in `path` or in a symlink, would have left the
    ///   root.
    /// * As [`scoped_join`](crate::scoped_join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedRoot;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let root = ScopedRoot::open(tmp.path())?;
    /// assert_eq!(root.join_child("container-1")?, root.path().join("container-1"));
    /// for wrong in ["", "/", ".", "..", "a/..", "../container-1"] {
    ///     assert!(root.join_child(wrong).is_err());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn join_child<P: AsRef<Path>>(&self, path: P) -> io::Result<PathBuf> {
        let resolved = self.resolver().child_text(path.as_ref())?;
        expect_at(&FdTable::open()?, self.as_fd(), self.path())?;
        Ok(Joined::new(self.path(), &resolved).into_path())
    }

    fn resolver(&self) -> Resolver<'_> {
        self.root.resolver(self.backend)
    }
}

impl AsFd for ScopedRoot {
    /// The root directory.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.fd.as_fd()
    }
}

/// Whether `options` have `O_CREAT`, which they do not tell.
///
/// Linux answers `EISDIR` to every `O_CREAT` with a separator at the end, before it looks the name
/// up; without `O_CREAT`, a name that is too long for any filesystem cannot be opened either.
fn creates_files(options: &OpenOptions) -> io::Result<bool> {
    let probe = format!("/{}/", "x".repeat(4000));
    match options.open(probe) {
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(false),
    }
}

/// Whether `options` have `O_TMPFILE`, as far as the kernel tells: it makes a file of every directory
/// that is opened, but no procfs can have one.
///
/// Without permission to write to `/proc`, the kernel says no more than for reading (`EACCES`).
fn creates_unnamed_files(options: &OpenOptions) -> bool {
    match options.open("/proc") {
        Ok(file) => sys::fstat(file.as_fd()).is_ok_and(|opened| !opened.is_directory()),
        Err(error) => matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EROFS)),
    }
}
