//! Creating what a resolved path lacks, directory by directory and never through a symlink (W6).

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::walk::{Goal, Symlinks, Tail, Walked};
use super::{Ahead, Joined, RACE_RETRIES, Resolver, expect_at, is_interference};
use crate::error::PathError;
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{self, Errno, Last, PATH_MAX};

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
        let mut tries = RACE_RETRIES;
        loop {
            let (goal, ahead) = (Goal::Directory, Ahead::Unknown);
            let walked = match self.walk_with_retries(bytes, goal, new.symlinks, ahead, &mut tries)
            {
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
            // No walk finds anything in its place below a root that is not.
            expect_at(&table, self.root, self.text)?;
            let found = self.existing(walked, new)?;
            match found.expect_in_place(&table) {
                Ok(()) => return found.create_missing(&table, new),
                // Nothing was created yet.
                Err(error) if tries > 0 && is_interference(&error) => tries -= 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// What there is of `walked`, if the rest may be created.
    fn existing(&self, walked: Walked, new: NewDirectory<'_>) -> io::Result<Existing> {
        let (real, missing) = walked
            .resolved
            .split_at_checked(walked.real)
            .unwrap_or_default();
        let found = Existing {
            dir: walked
                .fd
                .map_or_else(|| self.root.try_clone_to_owned(), Ok)?,
            path: Joined::new(self.text, real).into_path(),
            missing: missing.to_vec(),
        };
        if let (Some(first), Tail::NotDirectory) = (names(&found.missing).next(), walked.tail) {
            let path = found.path.join(OsStr::from_bytes(first));
            return Err(PathError::NotADirectory { path }.into());
        }
        match (new.create, names(&found.missing).take(2).count()) {
            (Create::Last, 0) => return Err(PathError::DirectoryExists.into()),
            (Create::Last, 2) => return Err(PathError::ParentMissing.into()),
            _ => {}
        }
        expect_path(lexical::clean_bytes(self.text).len() + walked.resolved.len())?;
        Ok(found)
    }
}

/// The deepest directory on a resolved path, and what is missing below it.
struct Existing {
    dir: OwnedFd,
    path: PathBuf,
    /// `/name` for each.
    missing: Vec<u8>,
}

impl Existing {
    /// Fails unless the directory is where the walk has found it.
    fn expect_in_place(&self, table: &FdTable) -> io::Result<()> {
        if self.missing.is_empty() {
            expect_at(table, self.dir.as_fd(), &self.path)
        } else {
            expect_alive_at(table, self.dir.as_fd(), &self.path)
        }
    }

    /// Creates the names that are missing in the directory, which is in its place.
    fn create_missing(
        self,
        table: &FdTable,
        new: NewDirectory<'_>,
    ) -> io::Result<(OwnedFd, PathBuf)> {
        let Self {
            mut dir,
            mut path,
            missing,
        } = self;
        let mut name_buffer = CPath::default();
        let mut names = names(&missing).peekable();
        while let Some(name) = names.next() {
            path.push(OsStr::from_bytes(name));
            dir = create_and_open(&dir, name_buffer.set([name]), &path, new)?;
            if names.peek().is_some() {
                // A directory that was moved away is not written to (D7).
                expect_alive_at(table, dir.as_fd(), &path)?;
            } else {
                expect_at(table, dir.as_fd(), &path)?;
            }
        }
        Ok((dir, path))
    }
}

/// Fails if a path of so many bytes is none: what is created there could not be located.
pub(crate) fn expect_path(length: usize) -> Result<(), Errno> {
    if length < PATH_MAX {
        Ok(())
    } else {
        Err(Errno(libc::ENAMETOOLONG))
    }
}

/// The names of `/name/name`.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(1)
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
    name: &CStr,
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
