//! The root of a resolution: opened once, everything after goes through its descriptor (W4).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Backend, Resolver, openat2, place};
use crate::error::PathError;
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{self, CWD, Errno, Last, PATH_MAX};

/// An open root directory (or whatever else the caller calls a root), and its canonical path.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) fd: OwnedFd,
    pub(crate) text: PathBuf,
}

impl Root {
    /// Opens `path`, which is trusted: symlinks in it are followed as usual (R1, W4).
    pub(crate) fn open(backend: Backend, path: &Path) -> io::Result<Self> {
        let bytes = lexical::path_bytes(path, "root")?;
        if backend == Backend::Openat2
            && let Some(root) = Self::open_as_given(bytes)
        {
            return Ok(root);
        }
        Self::open_following(backend, path, bytes)
    }

    /// Opens a root as the kernel follows its path, and asks then where that led: the text of a
    /// magic link, as in the path of a pin, is not a path to be followed again.
    pub(super) fn open_following(backend: Backend, path: &Path, bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() >= PATH_MAX {
            return Err(Errno(libc::ENAMETOOLONG).into());
        }
        let mut buffer = CPath::default();
        let c_path = buffer.set([bytes]);
        let plain = match backend {
            // Nearly all magic links are there: not worth the call.
            Backend::Openat2 if !bytes.starts_with(b"/proc/") => {
                open_root(|last| openat2::open_plain(c_path, last)).ok()
            }
            _ => None,
        };
        let is_plain = plain.is_some();
        let fd = match plain {
            Some(fd) => fd,
            None => open_root(|last| sys::openat(CWD, c_path, last))?,
        };
        let located = FdTable::open().and_then(|table| Ok((table.locate(fd.as_fd())?, table)));
        let text = match located {
            Ok((Location::At(text), _)) if place::is_proven(&text, bytes, is_plain) => text,
            Ok((Location::At(text), table)) => place::prove(&table, fd.as_fd(), text)?,
            Ok((Location::Removed(_), _)) => return Err(Errno(libc::ENOENT).into()),
            // No /proc, for example.
            Err(error) => canonical_text(path, sys::fstat(fd.as_fd())?.id)?.ok_or(error)?,
        };
        Ok(Self { fd, text })
    }

    /// Opens a root that is absolute and goes through no symlink.
    pub(super) fn open_as_given(bytes: &[u8]) -> Option<Self> {
        let mut clean = Vec::with_capacity(bytes.len() + 1);
        if !bytes.starts_with(b"/") || lexical::push_clean(&mut clean, bytes).is_err() {
            return None;
        }
        let mut buffer = CPath::default();
        let path = buffer.set([bytes]);
        let fd = open_root(|last| openat2::open_canonical(path, last)).ok()?;
        Some(Self {
            fd,
            text: lexical::to_path(clean),
        })
    }

    /// As [`open`](Self::open), for a root that has to be a directory.
    pub(crate) fn open_directory(backend: Backend, path: &Path) -> io::Result<Self> {
        let root = Self::open(backend, path)?;
        if sys::fstat(root.fd.as_fd())?.is_directory() {
            Ok(root)
        } else {
            Err(PathError::InvalidRoot {
                root: path.to_owned(),
            }
            .into())
        }
    }

    pub(crate) fn resolver(&self, backend: Backend) -> Resolver<'_> {
        Resolver {
            root: self.fd.as_fd(),
            text: &self.text,
            backend,
        }
    }
}

/// Opens a root, so that an automount there is triggered, as it is on the way to what is below.
pub(super) fn open_root(open: impl Fn(Last) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    match open(Last::Directory) {
        Err(Errno(libc::ENOTDIR)) => open(Last::Follow), // a file can be a root too (R1)
        opened => opened,
    }
}

/// The canonical path of the root `path` by its text alone; `None` unless that leads to the object
/// `id`, as it need not where a magic link is involved.
pub(super) fn canonical_text(path: &Path, id: (u64, u64)) -> io::Result<Option<PathBuf>> {
    let text = std::fs::canonicalize(path)?;
    let found = std::fs::symlink_metadata(&text)?;
    Ok(((found.dev(), found.ino()) == id).then_some(text))
}
