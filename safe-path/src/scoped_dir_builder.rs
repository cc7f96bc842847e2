//! Creating directories below a pinned root: [`ScopedDirBuilder`].

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use crate::error::PathError;
use crate::pinned_path_buf::PinnedPathBuf;
use crate::resolver::create::{Create, NewDirectory};
use crate::resolver::{self, Backend, Resolver, Root, Symlinks};

/// Permissions of new directories unless told otherwise, and the bits that can be told.
const DEFAULT_MODE: u32 = 0o777;
const MODE_MASK: u32 = 0o777;

/// Creates directories that stay below a root directory.
///
/// The safe counterpart of [`std::fs::DirBuilder`]. The root is pinned for the lifetime of the
/// builder, and directories are created and opened one by one from there, never through a symlink.
///
/// [`create`](Self::create) takes a path as seen from inside the root, and
/// [`create_with_unscoped_path`](Self::create_with_unscoped_path) one as seen from outside.
///
/// # Examples
///
/// ```
/// use safe_path::ScopedDirBuilder;
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// # let root = tmp.path().canonicalize()?;
/// std::os::unix::fs::symlink("/var/lib", root.join("link"))?; // does not exist in `root` yet
///
/// let dir = ScopedDirBuilder::new(&root)?.recursive(true).mode(0o755).create("link/app")?;
/// assert_eq!(dir.target(), root.join("var/lib/app"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScopedDirBuilder {
    root: PinnedPathBuf,
    mode: u32,
    recursive: bool,
    backend: Backend,
}

impl ScopedDirBuilder {
    /// A builder for directories below `root`, which is trusted: symlinks in it are followed.
    ///
    /// New directories get the permissions `0o777 & !umask`, and only the last one of a path is
    /// created, unless [`mode`](Self::mode) and [`recursive`](Self::recursive) say otherwise.
    ///
    /// # Errors
    ///
    /// Those of the kernel if `root` cannot be opened, and [`PathError::InvalidRoot`] (kind
    /// [`NotADirectory`](io::ErrorKind::NotADirectory)) if it is no directory.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedDirBuilder;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path();
    /// ScopedDirBuilder::new(root)?.create("new")?;
    /// assert!(root.join("new").is_dir());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<P: AsRef<Path>>(root: P) -> io::Result<Self> {
        Self::with_backend(Backend::Openat2, root.as_ref())
    }

    pub(crate) fn with_backend(backend: Backend, root: &Path) -> io::Result<Self> {
        let root = Root::open_directory(backend, root)?;
        let root = PinnedPathBuf::from_parts(root.fd, root.text);
        Ok(Self {
            root,
            mode: DEFAULT_MODE,
            recursive: false,
            backend,
        })
    }

    /// Whether parents that are missing are created too, and a directory that exists is accepted.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedDirBuilder;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let mut builder = ScopedDirBuilder::new(tmp.path())?;
    /// assert!(builder.create("a/b").is_err());
    /// builder.recursive(true).create("a/b")?;
    /// builder.create("a/b")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// The permission bits of new directories, from which the umask is removed. Default: `0o777`.
    ///
    /// Only the bits `0o777` count. They are given to every directory that a call creates, parents
    /// included, and to no directory that exists.
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedDirBuilder;
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let dir = ScopedDirBuilder::new(tmp.path())?.mode(0o4700).create("private")?;
    /// assert_eq!(dir.metadata()?.permissions().mode() & 0o7777, 0o700);
    /// # Ok(())
    /// # }
    /// ```
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode & MODE_MASK;
        self
    }

    /// Creates a directory, given by its path as seen from outside of the root.
    ///
    /// `path` is resolved like any path of the process, symlinks included, and has to lead below
    /// the root.
    ///
    /// # Errors
    ///
    /// * [`PathError::NotAbsolute`] (kind [`InvalidInput`](io::ErrorKind::InvalidInput)) if `path`
    ///   is relative.
    /// * [`PathError::NotUnderRoot`] if it does not lead below the root.
    /// * As [`create`](Self::create).
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedDirBuilder;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path();
    /// let mut builder = ScopedDirBuilder::new(root)?;
    /// builder.create_with_unscoped_path(root.join("new"))?;
    /// assert!(builder.create_with_unscoped_path(root.join("../sibling")).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_with_unscoped_path<P: AsRef<Path>>(&self, path: P) -> io::Result<PinnedPathBuf> {
        let path = path.as_ref();
        if !path.is_absolute() {
            return Err(PathError::NotAbsolute {
                path: path.to_owned(),
            }
            .into());
        }
        let resolved = resolver::resolve_text(self.backend, Path::new("/"), path)?.into_path();
        let Ok(below) = resolved.strip_prefix(self.root.target()) else {
            let root = self.root.target().to_owned();
            return Err(PathError::NotUnderRoot {
                path: resolved,
                root,
            }
            .into());
        };
        // Symlinks are expanded already: one that is met now was planted meanwhile.
        self.create_below(below, Symlinks::Refuse)
    }

    /// Creates a directory, given by its path as seen from inside the root.
    ///
    /// The path is first resolved completely, like that of [`scoped_join`](crate::scoped_join);
    /// then the missing directories of the result are created. So `a/../b` creates `b` only, and a
    /// dangling symlink leads to a directory at its target inside the root.
    ///
    /// Several callers may create the same tree at the same time with
    /// [`recursive`](Self::recursive). After an error, directories that the call created remain.
    ///
    /// Somebody with write permission on a parent can replace a directory between its creation and
    /// its pinning by another one at the same place (see
    /// [`PinnedPathBuf::mkdir`](PinnedPathBuf::mkdir)), or move it elsewhere afterwards.
    ///
    /// # Errors
    ///
    /// * As [`scoped_join`](crate::scoped_join).
    /// * [`AlreadyExists`](io::ErrorKind::AlreadyExists) if the directory, or the root, exists, and
    ///   [`NotFound`](io::ErrorKind::NotFound) if its parent does not; neither if recursive.
    /// * [`PathError::NotADirectory`] if a component is something else, or has become a symlink
    ///   since it was resolved.
    /// * [`PathError::Changed`] if the root was renamed, or a directory below while something was
    ///   created in it; `ENOENT` if the root was removed. As long as nothing was created, a path that
    ///   somebody changes is resolved again.
    /// * `ENAMETOOLONG` if the path of the directory would have `PATH_MAX` bytes or more; then nothing
    ///   is created.
    /// * Those of mkdirat(2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use safe_path::ScopedDirBuilder;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path().canonicalize()?;
    /// let dir = ScopedDirBuilder::new(&root)?.create("/../new")?;
    /// assert_eq!(dir.target(), root.join("new"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<PinnedPathBuf> {
        self.create_below(path.as_ref(), Symlinks::Expand)
    }

    fn create_below(&self, path: &Path, symlinks: Symlinks) -> io::Result<PinnedPathBuf> {
        let resolver = Resolver {
            root: self.root.as_fd(),
            text: self.root.target(),
            backend: self.backend,
        };
        let (fd, target) = resolver.create_directory(NewDirectory {
            path,
            symlinks,
            create: if self.recursive {
                Create::All
            } else {
                Create::Last
            },
            mode: self.mode as libc::mode_t,
        })?;
        Ok(PinnedPathBuf::from_parts(fd, target))
    }
}
