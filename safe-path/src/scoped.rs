//! Resolution to a path as text: [`scoped_join`] and [`scoped_resolve`].

use std::io;
use std::path::{Path, PathBuf};

use crate::resolver::{self, Backend};

/// Joins an untrusted path to a root directory, expanding symlinks as if the root were `/`.
///
/// The result is an absolute path that, at the moment of the call, lies inside `root` and goes
/// through no symlink. It is `root` itself for an empty path, `/`, `..` and the like: use
/// [`ScopedRoot::join_child`](crate::ScopedRoot::join_child) where that must not happen, such as
/// before deleting.
///
/// * `root` is trusted. It must exist; symlinks in it are followed as usual, and expanded in the
///   result. A relative root starts at the current directory.
/// * `unsafe_path` may be anything without a NUL byte. An absolute path, and the absolute target of
///   a symlink, start at `root`. `..` at `root` stays there.
/// * What does not exist is kept as it is, at any position: `missing/x` gives `root/missing/x`, and
///   a dangling symlink gives its target inside `root`. `..` behind a missing name or a file just
///   drops that name.
/// * The links of procfs that are none to the eye of readlink(2) (`/proc/self/root`) are expanded
///   by their text.
///
/// **The answer is only true for the moment.** Somebody who can write below `root` can put a symlink
/// into it right afterwards. When that is possible, pin the object with
/// [`PinnedPathBuf::new`](crate::PinnedPathBuf::new) or [`ScopedRoot`](crate::ScopedRoot) instead,
/// and use what you pinned.
///
/// # Errors
///
/// * Those of the kernel for a `root` that does not exist or cannot be reached.
/// * [`InvalidInput`](io::ErrorKind::InvalidInput) if an argument contains a NUL byte.
/// * [`PathError::TooManySymlinks`](crate::PathError::TooManySymlinks) if more than 255 symlinks
///   had to be expanded.
/// * `EACCES`, `EIO` and the like, if a component below `root` could not be examined.
///
/// # Examples
///
/// ```
/// use safe_path::scoped_join;
/// use std::os::unix::fs::symlink;
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// # let root = tmp.path().canonicalize()?;
/// std::fs::create_dir_all(root.join("etc"))?;
/// symlink("/etc", root.join("link"))?;
///
/// assert_eq!(scoped_join(&root, "link/passwd")?, root.join("etc/passwd"));
/// assert_eq!(scoped_join(&root, "../../link/../x")?, root.join("x"));
/// # Ok(())
/// # }
/// ```
pub fn scoped_join<R: AsRef<Path>, U: AsRef<Path>>(root: R, unsafe_path: U) -> io::Result<PathBuf> {
    let joined = resolver::resolve_text(Backend::Openat2, root.as_ref(), unsafe_path.as_ref())?;
    Ok(joined.into_path())
}

/// Resolves an untrusted path as [`scoped_join`] does, to a path relative to `root`.
///
/// The result is empty for the root itself.
///
/// # Errors
///
/// As [`scoped_join`].
///
/// # Examples
///
/// ```
/// use safe_path::scoped_resolve;
/// use std::path::Path;
///
/// # fn main() -> std::io::Result<()> {
/// # let tmp = tempfile::tempdir()?;
/// # let root = tmp.path();
/// std::os::unix::fs::symlink("/a/b", root.join("link"))?;
///
/// assert_eq!(scoped_resolve(root, "/link/../../../c")?, Path::new("c"));
/// assert_eq!(scoped_resolve(root, "link")?, Path::new("a/b"));
/// assert_eq!(scoped_resolve(root, "..")?, Path::new(""));
/// # Ok(())
/// # }
/// ```
pub fn scoped_resolve<R: AsRef<Path>, U: AsRef<Path>>(
    root: R,
    unsafe_path: U,
) -> io::Result<PathBuf> {
    let joined = resolver::resolve_text(Backend::Openat2, root.as_ref(), unsafe_path.as_ref())?;
    Ok(joined.into_relative())
}
