//! Resolution to an object and its path (W5).
//!
//! The descriptor comes from the traversal that enforces containment; procfs tells then where the
//! object is. That is compared with where the names lead, as far as they are known.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::direct::DirectJoin;
use super::walk::{Goal, Symlinks, Walk, WalkError};
use super::{
    Ahead, Backend, Joined, RACE_RETRIES, Resolver, Root, expect_at, is_interference,
    is_worth_procfs, openat2,
};
use crate::error::PathError;
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{Errno, Last, PATH_MAX};

/// Up to how many symlinks a walk of few names is cheaper than procfs.
const FEW_SYMLINKS: u32 = 10;

/// Resolves `path` below `root` and opens it: `PinnedPathBuf::new`.
pub(crate) fn resolve_object(
    backend: Backend,
    root: &Path,
    path: &Path,
) -> io::Result<(OwnedFd, PathBuf)> {
    let root_bytes = lexical::path_bytes(root, "root")?;
    let bytes = lexical::path_bytes(path, "path")?;
    let mut ahead = Ahead::Unknown;
    if backend == Backend::Openat2
        && let Some(mut direct) = DirectJoin::new(root_bytes, bytes)
    {
        // Reached through exactly these names and no symlink: this path is where it is.
        match direct.open() {
            Ok(fd) => return Ok((fd, direct.into_path())),
            Err(errno @ Errno(libc::ENOENT | libc::ENOTDIR)) if !direct.has_long_name() => {
                return Err(errno.into());
            }
            Err(Errno(libc::ELOOP)) => ahead = Ahead::Symlink,
            Err(_) => {}
        }
    }
    let root = Root::open(backend, root)?;
    let resolver = root.resolver(backend);
    if backend == Backend::Openat2
        && !is_worth_procfs(bytes)
        && let Some(found) = resolver.object_by_text(bytes, ahead)
    {
        return Ok(found);
    }
    resolver.object_of_new_root(path)
}

impl Resolver<'_> {
    /// The object at the resolved path, open, and its path (W5).
    ///
    /// Fails if the root, which may have been opened long ago, is not in its place any more.
    pub(crate) fn object(&self, path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
        let bytes = lexical::path_bytes(path, "path")?;
        let table = FdTable::open()?;
        if self.backend == Backend::Openat2 {
            if let Some(found) = self.object_as_given(&table, bytes) {
                return Ok(found);
            }
            // A root that was moved below its old place has paths that look as before.
            if let Some(found) = self.object_by_kernel(&table, bytes)?
                && table.locate(self.root)? == Location::At(self.text.to_owned())
            {
                return Ok(found);
            }
        }
        self.object_by_walk(&table, bytes, path)
    }

    /// As [`object`](Self::object), below a root that was opened just now.
    fn object_of_new_root(&self, path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
        let bytes = lexical::path_bytes(path, "path")?;
        let table = FdTable::open()?;
        if self.backend == Backend::Openat2
            && let Some(found) = self.object_by_kernel(&table, bytes)?
        {
            return Ok(found);
        }
        self.object_by_walk(&table, bytes, path)
    }

    /// Opens a path without symlinks: its names tell where the object has to be. `None` decides
    /// nothing.
    fn object_as_given(&self, table: &FdTable, path: &[u8]) -> Option<(OwnedFd, PathBuf)> {
        let mut clean = Vec::with_capacity(path.len() + 1);
        lexical::push_clean(&mut clean, path).ok()?;
        let below = clean.strip_prefix(b"/")?;
        let fd = openat2::open_beneath(self.root, CPath::default().set([below]), Last::Follow);
        let fd = fd.ok()?;
        let target = Joined::new(self.text, &clean).into_path();
        expect_at(table, fd.as_fd(), &target).ok()?;
        Some((fd, target))
    }

    /// Lets the kernel follow the symlinks, and asks procfs where that led; `None` decides nothing.
    fn object_by_kernel(
        &self,
        table: &FdTable,
        path: &[u8],
    ) -> io::Result<Option<(OwnedFd, PathBuf)>> {
        let Ok(fd) = openat2::open_in_root(self.root, path) else {
            return Ok(None);
        };
        Ok(match table.locate(fd.as_fd())? {
            Location::At(at) if at.starts_with(self.text) => Some((fd, at)),
            Location::At(_) | Location::Removed(_) => None,
        })
    }

    /// Walks. What is where its names say tells that the root is in its place.
    fn object_by_walk(
        &self,
        table: &FdTable,
        bytes: &[u8],
        path: &Path,
    ) -> io::Result<(OwnedFd, PathBuf)> {
        let mut tries = RACE_RETRIES;
        loop {
            let walked = match self.walk_with_retries(
                bytes,
                Goal::Object,
                Symlinks::Expand,
                Ahead::Unknown,
                &mut tries,
            ) {
                Err(error @ WalkError::Errno(Errno(libc::ENOENT | libc::ENOTDIR))) => {
                    let moved = self.moved(table)?;
                    return Err(moved.map_or_else(|| self.explain(error, path), Into::into));
                }
                walked => walked.map_err(|error| self.explain(error, path))?,
            };
            let fd = walked
                .fd
                .map_or_else(|| self.root.try_clone_to_owned(), Ok)?;
            let expected = Joined::new(self.text, &walked.resolved).into_path();
            match expect_at(table, fd.as_fd(), &expected) {
                Ok(()) => return Ok((fd, expected)),
                Err(error) if tries == 0 || !is_interference(&error) => return Err(error),
                Err(_) => {
                    // No walk finds anything in its place below a root that is not.
                    expect_at(table, self.root, self.text)?;
                    tries -= 1;
                }
            }
        }
    }

    /// That the root was renamed, unless it is in its place or removed.
    fn moved(&self, table: &FdTable) -> io::Result<Option<PathError>> {
        Ok(match table.locate(self.root)? {
            Location::At(actual) if actual != self.text => Some(PathError::Changed {
                expected: self.text.to_owned(),
                actual,
            }),
            Location::At(_) | Location::Removed(_) => None,
        })
    }

    /// Resolves to a path with few symlinks, then opens that without following any; `None` decides
    /// nothing. The path of the root has to be that of this moment.
    fn object_by_text(&self, path: &[u8], ahead: Ahead) -> Option<(OwnedFd, PathBuf)> {
        let descent = self.descent(ahead);
        let walked = Walk::new(self.root, path, Goal::Text, Symlinks::Expand, descent)
            .with_max_symlinks(FEW_SYMLINKS)
            .run()
            .ok()?;
        let target = Joined::new(self.text, &walked.resolved).into_path();
        if target.as_os_str().len() >= PATH_MAX {
            return None; // no path any more
        }
        let below = walked.resolved.strip_prefix(b"/")?;
        let fd = openat2::open_beneath(self.root, CPath::default().set([below]), Last::Follow);
        Some((fd.ok()?, target))
    }
}
