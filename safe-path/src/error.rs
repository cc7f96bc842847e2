//! Why a path was refused, when it was this crate and not the kernel that refused it.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The reason inside an [`io::Error`] that this crate made itself.
///
/// Every function of this crate returns [`std::io::Error`]. Errors of the kernel keep their number
/// ([`io::Error::raw_os_error`]). All others carry a `PathError`, so that a symlink loop, an
/// interference and a wrong argument can be told apart.
///
/// ```
/// use safe_path::{PathError, PinnedPathBuf, scoped_join};
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// # let root = tmp.path();
/// std::os::unix::fs::symlink("loop", root.join("loop"))?;
/// let error = scoped_join(root, "loop").unwrap_err();
/// assert!(matches!(PathError::of(&error), Some(PathError::TooManySymlinks { .. })));
///
/// let error = PinnedPathBuf::new(root, "missing").unwrap_err();
/// assert!(PathError::of(&error).is_none()); // an error of the kernel: ENOENT
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// More than 255 symlinks had to be expanded; kind [`Other`](io::ErrorKind::Other).
    TooManySymlinks {
        /// The path as given by the caller.
        path: PathBuf,
    },
    /// An object is not where it has to be: it, or a directory above it, was renamed or removed
    /// meanwhile; kind [`Other`](io::ErrorKind::Other).
    Changed {
        /// Where the object has to be.
        expected: PathBuf,
        /// Where the kernel says that it is.
        actual: PathBuf,
    },
    /// The tree was changed so often during the call that no consistent answer was found; kind
    /// [`Other`](io::ErrorKind::Other).
    Raced {
        /// The path as given by the caller.
        path: PathBuf,
    },
    /// The path is not below the root; kind [`Other`](io::ErrorKind::Other).
    NotUnderRoot {
        /// The path with its symlinks expanded.
        path: PathBuf,
        /// The root directory.
        root: PathBuf,
    },
    /// The result would be the root itself, or a `..` would have left the root, where only
    /// something strictly below the root is wanted; kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    NotAChild {
        /// The path as given by the caller.
        path: PathBuf,
        /// The root directory.
        root: PathBuf,
    },
    /// A name is not exactly one plain path component; kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    InvalidName {
        /// The name as given by the caller.
        name: OsString,
    },
    /// A path contains a NUL byte, which no file name can have; kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    ContainsNul {
        /// Name of the argument.
        argument: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// An absolute path is needed; kind [`InvalidInput`](io::ErrorKind::InvalidInput).
    NotAbsolute {
        /// The path as given by the caller.
        path: PathBuf,
    },
    /// The path is relative, contains `..`, or goes through a symlink; kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    NotCanonical {
        /// The path as given by the caller.
        path: PathBuf,
    },
    /// Options that create files were given where only existing files are opened; kind
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    CreatesFiles {
        /// The path as given by the caller.
        path: PathBuf,
    },
    /// The root is no directory; kind [`NotADirectory`](io::ErrorKind::NotADirectory).
    InvalidRoot {
        /// The root as given by the caller.
        root: PathBuf,
    },
    /// Something that has to be a directory is none; kind
    /// [`NotADirectory`](io::ErrorKind::NotADirectory).
    NotADirectory {
        /// Absolute path of the object.
        path: PathBuf,
    },
    /// The directory to create exists; kind [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    DirectoryExists,
    /// The parent of the directory to create is missing; kind
    /// [`NotFound`](io::ErrorKind::NotFound).
    ParentMissing,
    /// `/proc` is not the kernel's procfs; kind [`Unsupported`](io::ErrorKind::Unsupported).
    NoProcfs,
}

impl PathError {
    /// The `PathError` inside an error of this crate; `None` for an error of the kernel.
    ///
    /// ```
    /// # use safe_path::{PathError, ScopedRoot};
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// let error = ScopedRoot::open(tmp.path())?.join_child("..").unwrap_err();
    /// assert!(matches!(PathError::of(&error), Some(PathError::NotAChild { .. })));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether somebody changed the tree during the call: an accident at best, an attack at worst.
    ///
    /// ```
    /// # use safe_path::{PathError, PinnedPathBuf};
    /// # use std::ffi::OsStr;
    /// # fn main() -> std::io::Result<()> {
    /// # let tmp = tempfile::tempdir()?;
    /// # let root = tmp.path();
    /// std::fs::create_dir_all(root.join("a/b"))?;
    /// let a = PinnedPathBuf::new(root, "a")?;
    /// std::fs::rename(root.join("a"), root.join("elsewhere"))?;
    /// let error = a.open_child(OsStr::new("b")).unwrap_err();
    /// assert!(PathError::of(&error).is_some_and(PathError::is_interference));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_interference(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Raced { .. })
    }

    /// The kind of the [`io::Error`] that carries this reason.
    ///
    /// ```
    /// # use safe_path::PathError;
    /// assert_eq!(PathError::ParentMissing.kind(), std::io::ErrorKind::NotFound);
    /// ```
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind;
        match self {
            Self::TooManySymlinks { .. }
            | Self::Changed { .. }
            | Self::Raced { .. }
            | Self::NotUnderRoot { .. } => ErrorKind::Other,
            Self::NotAChild { .. }
            | Self::InvalidName { .. }
            | Self::ContainsNul { .. }
            | Self::NotAbsolute { .. }
            | Self::NotCanonical { .. }
            | Self::CreatesFiles { .. } => ErrorKind::InvalidInput,
            Self::InvalidRoot { .. } | Self::NotADirectory { .. } => ErrorKind::NotADirectory,
            Self::DirectoryExists => ErrorKind::AlreadyExists,
            Self::ParentMissing => ErrorKind::NotFound,
            Self::NoProcfs => ErrorKind::Unsupported,
        }
    }

    /// The error number that the kernel uses for this reason, if it has one.
    ///
    /// ```
    /// # use safe_path::PathError;
    /// let error = PathError::TooManySymlinks { path: "loop".into() };
    /// assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    /// ```
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::TooManySymlinks { .. } => Some(libc::ELOOP),
            Self::InvalidRoot { .. } | Self::NotADirectory { .. } => Some(libc::ENOTDIR),
            Self::DirectoryExists => Some(libc::EEXIST),
            Self::ParentMissing => Some(libc::ENOENT),
            _ => None,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManySymlinks { path } => {
                write!(f, "Too many levels of symlinks: {}", path.display())
            }
            Self::Changed { expected, actual } => write!(
                f,
                "Path changed from {} to {} on open, possible attack",
                expected.display(),
                actual.display()
            ),
            Self::Raced { path } => write!(
                f,
                "Path {} keeps changing during its resolution, possible attack",
                path.display()
            ),
            Self::NotUnderRoot { path, root } => {
                write!(f, "Path {} is not under {}", path.display(), root.display())
            }
            Self::NotAChild { path, root } => write!(
                f,
                "Path {} does not lead strictly below {}",
                path.display(),
                root.display()
            ),
            Self::InvalidName { name } => {
                write!(f, "Path component {} is invalid", name.display())
            }
            Self::ContainsNul { argument, path } => {
                write!(f, "{argument} contains a NUL byte: {path:?}")
            }
            Self::NotAbsolute { path } => {
                write!(f, "Expected absolute directory path: {}", path.display())
            }
            Self::NotCanonical { path } => {
                write!(f, "not a canonical absolute path: {}", path.display())
            }
            Self::CreatesFiles { path } => write!(
                f,
                "options that create files cannot open {}: only existing files are opened",
                path.display()
            ),
            Self::InvalidRoot { root } => write!(f, "Invalid root path: {}", root.display()),
            Self::NotADirectory { path } => {
                write!(f, "Path {} is not a directory", path.display())
            }
            Self::DirectoryExists => f.write_str("directory already exists"),
            Self::ParentMissing => f.write_str("parent directory does not exist"),
            Self::NoProcfs => f.write_str("/proc is not a procfs"),
        }
    }
}

impl Error for PathError {}

impl From<PathError> for io::Error {
    fn from(error: PathError) -> Self {
        Self::new(error.kind(), error)
    }
}
