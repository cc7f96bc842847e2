//! Creating what a resolved path lacks, directory by directory and never through a symlink (W6).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::walk::{Goal, Symlinks, Tail, Walked};
use super::{Ahead, Joined, Resolver, expect_at};
use crate::error::PathError;
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{self, Errno, Last};

/// How often a directory is created again that somebody removed before it could be opened.
const VANISHED_RETRIES: usize = 16;

/// Which directories may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// The last one only, and it has to be new.
    Last,
    /// All that are missing.
    All,
}

/// A directory to create, in terms of its root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewDirectory<'a> {
    /// Path below the root.
    pub(crate) path: &'a Path,
    pub(crate) symlinks: Symlinks,
    pub(crate) create: Create,
    /// Permission bits, before the umask.
    pub(crate) mode: libc::mode_t,
}

impl Resolver<'_> {
    /// Resolves a path completely, then creates the directories of the result that are missing.
    /// Returns the last one and its path.
    pub(crate) fn create_directory(&self, new: NewDirectory<'_>) -> io::Result<(OwnedFd, PathBuf)> {
        let bytes = lexical::path_bytes(new.path, "path")?;
        let table = FdTable::open()?;
        let root_at = table.locate(self.root)?;
        if matches!(root_at, Location::Removed(_)) {
            return Err(Errno(libc::ENOENT).into());
        }
        let walked = match self.walk(bytes, Goal::Directory, new.symlinks, Ahead::Unknown) {
            Err(error)
                if new.symlinks == Symlinks::Refuse && error == Errno(libc::ELOOP).into() =>
            {
                let path = self.text.join(new.path);
                return Err(PathError::NotADirectory { path }.into());
            }
            result => result.map_err(|error| self.explain(error, new.path))?,
        };
        if walked.resolved.is_empty() {
            return match new.create {
                Create::All => Ok((self.root.try_clone_to_owned()?, self.text.to_owned())),
                Create::Last => Err(PathError::DirectoryExists.into()),
            };
        }
        expect_at(&table, self.root, self.text)?;
        self.create_missing(&table, walked, new)
    }

    /// Creates the names of `walked` that are missing.
    fn create_missing(
        &self,
        table: &FdTable,
        walked: Walked,
        new: NewDirectory<'_>,
    ) -> io::Result<(OwnedFd, PathBuf)> {
        let (real, missing) = walked
            .resolved
            .split_at_checked(walked.real)
            .unwrap_or_default();
        let mut names = missing.split(|byte| *byte == b'/').skip(1).peekable();
        let mut path = Joined::new(self.text, real).into_path();
        let mut dir = walked
            .fd
            .map_or_else(|| self.root.try_clone_to_owned(), Ok)?;
        if let (Some(first), Tail::NotDirectory) = (names.peek(), walked.tail) {
            path.push(OsString::from_vec(first.to_vec()));
            return Err(PathError::NotADirectory { path }.into());
        }
        match (new.create, names.clone().take(2).count()) {
            (Create::Last, 0) => return Err(PathError::DirectoryExists.into()),
            (Create::Last, 2) => return Err(PathError::ParentMissing.into()),
            _ => {}
        }
        let mut name_buffer = CPath::default();
        for name in names {
            // A directory that was moved away is not written to (D7).
            expect_alive_at(table, dir.as_fd(), &path)?;
            path.push(OsString::from_vec(name.to_vec()));
            dir = create_and_open(&dir, name_buffer.set([name]), &path, new)?;
        }
        expect_at(table, dir.as_fd(), &path)?;
        Ok((dir, path))
    }
}

/// Fails with `ENOENT` if the directory was removed, and if it is elsewhere.
pub(crate) fn expect_alive_at(table: &FdTable, dir: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    match table.locate(dir)? {
        Location::At(at) if at == path => Ok(()),
        Location::Removed(_) => Err(Errno(libc::ENOENT).into()),
        Location::At(actual) => Err(PathError::Changed {
            expected: path.to_owned(),
            actual,
        }
        .into()),
    }
}

/// Creates a directory, or takes one that somebody else created just now (D5), and opens it.
fn create_and_open(
    parent: &OwnedFd,
    name: &std::ffi::CStr,
    path: &Path,
    new: NewDirectory<'_>,
) -> io::Result<OwnedFd> {
    for _ in 0..VANISHED_RETRIES {
        match sys::mkdirat(parent.as_fd(), name, new.mode) {
            Ok(()) => {}
            Err(Errno(libc::EEXIST)) if new.create == Create::All => {}
            Err(errno) => return Err(errno.into()),
        }
        match sys::openat(parent.as_fd(), name, Last::DirectoryNoFollow) {
            Ok(dir) => return Ok(dir),
            Err(Errno(libc::ENOENT)) => {}
            Err(Errno(libc::ENOTDIR | libc::ELOOP)) => {
                return Err(PathError::NotADirectory {
                    path: path.to_owned(),
                }
                .into());
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno(libc::ENOENT).into())
}
