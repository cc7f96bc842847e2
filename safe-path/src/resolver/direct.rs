//! Root and path put together as text, and confirmed by openat2(2) as free of symlinks (W3).
//!
//! Most calls have a canonical root and a path without symlinks. Then the joined text is the
//! answer already, and one system call proves it.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::root::open_root;
use super::walk::NAME_MAX;
use super::{Joined, openat2};
use crate::lexical::{self, CPath};
use crate::sys::{self, CWD, Errno, Last, PATH_MAX};

/// An absolute root and a path joined, without `..` in either.
pub(crate) struct DirectJoin {
    /// `/name` for each name of the root, then of the path.
    bytes: Vec<u8>,
    /// Length of the root in `bytes`.
    root: usize,
    /// The root ends with `/` or `/.`, so that the kernel takes it for a directory.
    root_demands_directory: bool,
}

/// What the kernel says about the joined text.
pub(crate) enum Confirmed {
    /// There is no symlink in it: it is the resolved path.
    Clean(Joined),
    /// There is one, in the root or in the path.
    Symlink,
    /// Nothing that would decide.
    Nothing,
    /// openat2 is not there for us.
    Unavailable,
}

impl DirectJoin {
    /// `None` if the text alone is not enough.
    pub(crate) fn new(root: &[u8], path: &[u8]) -> Option<Self> {
        if !root.starts_with(b"/") || root.len() >= PATH_MAX {
            return None;
        }
        let mut bytes = Vec::with_capacity(root.len() + path.len() + 4);
        lexical::push_clean(&mut bytes, root).ok()?;
        let length = bytes.len();
        lexical::push_clean(&mut bytes, path).ok()?;
        let root_demands_directory = lexical::demands_directory(root);
        Some(Self {
            bytes,
            root: length,
            root_demands_directory,
        })
    }

    /// Opens the joined path; `ELOOP` if there is a symlink in it.
    pub(crate) fn open(&mut self) -> Result<OwnedFd, Errno> {
        let length = self.bytes.len();
        if length == 0 || (length == self.root && self.root_demands_directory) {
            self.bytes.push(b'/');
        }
        self.bytes.push(0);
        // Neither part has a NUL.
        let path = CStr::from_bytes_with_nul(&self.bytes).unwrap_or(c"");
        let opened = if length == self.root {
            open_root(|last| openat2::open_canonical(path, last))
        } else {
            openat2::open_canonical(path, Last::Follow)
        };
        self.bytes.truncate(length);
        opened
    }

    /// Asks whether the joined path is free of symlinks.
    ///
    /// If something in it is missing or no directory, there is no symlink before that; then only
    /// the existence of the root is left to be shown. (If the trusted side creates the root between
    /// the two calls, the answer is the one of the first call's moment.)
    ///
    /// # Errors
    ///
    /// Those of the root.
    pub(crate) fn confirm(mut self) -> Result<Confirmed, Errno> {
        match self.open() {
            Ok(_) => {}
            Err(Errno(libc::ENOENT | libc::ENOTDIR)) => {
                if self.is_root_symlink()? {
                    return Ok(Confirmed::Nothing);
                }
            }
            Err(Errno(libc::ELOOP)) => return Ok(Confirmed::Symlink),
            Err(errno) if openat2::is_unavailable(errno) => return Ok(Confirmed::Unavailable),
            Err(_) => return Ok(Confirmed::Nothing),
        }
        Ok(Confirmed::Clean(Joined {
            bytes: self.bytes,
            root: self.root,
        }))
    }

    /// Whether a name is longer than most filesystems take.
    pub(crate) fn has_long_name(&self) -> bool {
        self.bytes
            .split(|byte| *byte == b'/')
            .any(|name| name.len() > NAME_MAX)
    }

    /// The joined path.
    pub(crate) fn into_path(self) -> PathBuf {
        lexical::to_path(self.bytes)
    }

    fn is_root_symlink(&self) -> Result<bool, Errno> {
        let root = self.bytes.get(..self.root).unwrap_or_default();
        let end: &[u8] = if root.is_empty() || self.root_demands_directory {
            b"/"
        } else {
            b""
        };
        sys::is_symlink(CWD, CPath::default().set([root, end]))
    }
}
