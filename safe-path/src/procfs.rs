//! Where an open object is now: the text of `/proc/thread-self/fd/N`, see proc(5).

use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::PathError;
use crate::resolver::place::is_at;
use crate::sys::{self, CWD, Errno, Last, Stat};

/// Descriptor tables, best first: a thread can have one of its own (`CLONE_FILES` unshared), and
/// `/proc/self` is that of the thread-group leader. `thread-self` is new in Linux 3.17.
const TABLES: [(&CStr, &str); 2] = [
    (c"/proc/thread-self/fd", "/proc/thread-self/fd"),
    (c"/proc/self/fd", "/proc/self/fd"),
];

/// What the kernel appends to the path of an object that was removed.
const DELETED: &[u8] = b" (deleted)";

/// The descriptor table of the calling thread, proven to be on a procfs (W7).
pub(crate) struct FdTable {
    dir: OwnedFd,
    path: &'static str,
}

/// Where an open object is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// At this path, in the words of the kernel: a path of this process unless the object is out
    /// of reach, see [`place`](crate::resolver::place).
    At(PathBuf),
    /// Nowhere any more: it was removed; the path as the kernel gives it.
    Removed(PathBuf),
}

impl Location {
    /// The text of the kernel, whatever it means.
    pub(crate) fn into_path(self) -> PathBuf {
        match self {
            Self::At(path) | Self::Removed(path) => path,
        }
    }
}

impl FdTable {
    /// Opens the table of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        for (table, path) in TABLES {
            match sys::openat(CWD, table, Last::Directory) {
                Ok(dir) if sys::is_on_procfs(dir.as_fd())? => return Ok(Self { dir, path }),
                Ok(_) => return Err(PathError::NoProcfs.into()),
                Err(Errno(libc::ENOENT)) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(PathError::NoProcfs.into())
    }

    /// The magic link of `fd`, to re-open what it pins.
    pub(crate) fn magic_link(&self, fd: BorrowedFd<'_>) -> PathBuf {
        PathBuf::from(format!("{}/{}", self.path, fd.as_raw_fd()))
    }

    /// Where the object that `fd` pins is now.
    pub(crate) fn locate(&self, fd: BorrowedFd<'_>) -> io::Result<Location> {
        let mut number = [0_u8; 16]; // longer than any decimal descriptor number; NUL behind it
        write!(number.as_mut_slice(), "{}", fd.as_raw_fd())?;
        let name = CStr::from_bytes_until_nul(&number).map_err(io::Error::other)?;
        let mut text = Vec::new();
        sys::readlinkat(self.dir.as_fd(), name, &mut text)?;
        let is_marked = text.ends_with(DELETED);
        let path = PathBuf::from(OsString::from_vec(text));
        if !path.as_os_str().as_bytes().starts_with(b"/") {
            // A pipe or the like.
            return Err(Errno(libc::ENOENT).into());
        }
        if !is_marked {
            return Ok(Location::At(path));
        }
        let stat = sys::fstat(fd)?;
        if is_name_of(&path, stat)? {
            return Ok(Location::At(path));
        }
        Ok(match mount_point_of(&path, stat)? {
            Some(at) => Location::At(at),
            None => Location::Removed(path),
        })
    }
}

/// Whether a path that looks like that of a removed object is the name of a live one.
///
/// A removed file can have links elsewhere, and anything can stand at the path.
fn is_name_of(path: &Path, stat: Stat) -> Result<bool, Errno> {
    Ok(stat.links > 0 && is_at(path, stat.id)?)
}

/// Where an object still is that is marked as removed: a bind mount keeps it in its place after its
/// name elsewhere, from which it was mounted, was removed or given to another object.
///
/// Where that cannot be seen for lack of permission, it is nowhere.
fn mount_point_of(marked: &Path, stat: Stat) -> Result<Option<PathBuf>, Errno> {
    let Some(path) = marked.as_os_str().as_bytes().strip_suffix(DELETED) else {
        return Ok(None);
    };
    let path = Path::new(OsStr::from_bytes(path));
    match is_at(path, stat.id) {
        Ok(true) => Ok(Some(path.to_owned())),
        Ok(false) | Err(Errno(libc::EACCES)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_name_behind_a_symlink_is_not_that_of_the_object() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().canonicalize().unwrap();
        fs::create_dir(root.join("d")).unwrap();
        symlink("d", root.join("link")).unwrap();
        let name = root.join("d/f (deleted)");
        fs::write(&name, "").unwrap();
        symlink("f (deleted)", root.join("d/l (deleted)")).unwrap();
        let stat = sys::fstat(fs::File::open(&name).unwrap().as_fd()).unwrap();
        for (path, expected) in [
            ("d/f (deleted)", true),
            ("link/f (deleted)", false),
            ("d/l (deleted)", false),
            ("d/g (deleted)", false),
            ("d/f (deleted)/x (deleted)", false),
        ] {
            assert_eq!(is_name_of(&root.join(path), stat), Ok(expected), "{path}");
        }
    }
}
