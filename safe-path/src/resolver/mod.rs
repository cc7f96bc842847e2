//! Resolution of an untrusted path below a trusted root, as if the root were `/` (R1–R9).
//!
//! Two back ends give the same answers: [`walk`] decides, [`openat2`] confirms the common cases in
//! one system call. [`Backend`] says how much of openat2 is used, so that tests run every case
//! against both.

mod anchors;
pub(crate) mod create;
mod direct;
mod look;
mod object;
mod openat2;
mod pending;
pub(crate) mod place;
mod root;
mod run;
#[cfg(test)]
mod tests;
mod unopened;
mod walk;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::error::PathError;
use crate::lexical::{self, CPath};
use crate::procfs::{FdTable, Location};
use crate::sys::{self, CWD, Errno, Last, PATH_MAX};

use direct::{Confirmed, DirectJoin};
pub(crate) use object::resolve_object;
pub(crate) use root::Root;
pub(crate) use walk::Symlinks;
use walk::{Descent, Goal, Walk, WalkError, Walked};

/// How often a resolution that a change of the tree disturbed is tried again by the walk: as often
/// as with openat2, since fewer can be spoilt in a row while the machine is busy.
const RACE_RETRIES: usize = 128;

/// From how many names on it pays to let the kernel follow the symlinks and then to ask procfs for
/// the path, instead of walking.
const NAMES_WORTH_PROCFS: usize = 4;

/// How much of openat2(2) a resolution uses. All give the same answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Whole paths, as far as the kernel confirms them; the walk for the rest.
    Openat2,
    /// The walk, descending many levels per call.
    #[cfg_attr(not(test), expect(dead_code, reason = "forced in tests"))]
    WalkByRuns,
    /// The walk, with nothing but openat(2).
    WalkBySteps,
}

/// What is known of a path before it is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Nothing.
    Unknown,
    /// It goes through a symlink.
    Symlink,
}

/// A path of the caller joined to a root, in one buffer.
pub(crate) struct Joined {
    /// The root, then `/name` for each resolved name.
    bytes: Vec<u8>,
    /// Length of the root.
    root: usize,
}

impl Joined {
    pub(crate) fn new(root: &Path, resolved: &[u8]) -> Self {
        let root = lexical::clean_bytes(root);
        Self {
            bytes: [root, resolved].concat(),
            root: root.len(),
        }
    }

    /// Absolute path.
    pub(crate) fn into_path(self) -> PathBuf {
        lexical::to_path(self.bytes)
    }

    /// Path relative to the root, empty for the root itself.
    pub(crate) fn into_relative(self) -> PathBuf {
        use std::os::unix::ffi::OsStringExt;
        let below = self.bytes.get(self.root..).unwrap_or_default();
        let relative = below.strip_prefix(b"/").unwrap_or(below);
        PathBuf::from(std::ffi::OsString::from_vec(relative.to_vec()))
    }
}

/// Resolves `path` below `root` to a path without symlinks: `scoped_join`, `scoped_resolve`.
pub(crate) fn resolve_text(backend: Backend, root: &Path, path: &Path) -> io::Result<Joined> {
    let root_bytes = lexical::path_bytes(root, "root")?;
    let bytes = lexical::path_bytes(path, "unsafe_path")?;
    let resolved = match backend {
        Backend::Openat2 => resolve_text_directly(root, root_bytes, path, bytes),
        Backend::WalkByRuns | Backend::WalkBySteps => resolve_text_by_walk(backend, root, path),
    };
    match resolved {
        Err(error) if is_out_of_descriptors(&error) => unopened::resolve_text(root, path, error),
        resolved => resolved,
    }
}

/// Hopes for an absolute root and a path without symlinks, then for such a path at least.
fn resolve_text_directly(
    root: &Path,
    root_bytes: &[u8],
    path: &Path,
    bytes: &[u8],
) -> io::Result<Joined> {
    let mut ahead = match confirm(root_bytes, bytes)? {
        Confirmed::Clean(joined) => return Ok(joined),
        Confirmed::Symlink => Ahead::Symlink,
        Confirmed::Nothing => Ahead::Unknown,
        Confirmed::Unavailable => return resolve_text_by_walk(Backend::WalkBySteps, root, path),
    };
    let root = match Root::open_as_given(root_bytes) {
        Some(root) => root,
        None => {
            let root = Root::open_following(Backend::Openat2, root, root_bytes)?;
            match root.resolver(Backend::Openat2).joined_as_given(bytes) {
                Confirmed::Clean(joined) => return Ok(joined),
                Confirmed::Symlink => {}
                Confirmed::Nothing | Confirmed::Unavailable => ahead = Ahead::Unknown,
            }
            root
        }
    };
    root.resolver(Backend::Openat2).joined(path, ahead)
}

fn resolve_text_by_walk(backend: Backend, root: &Path, path: &Path) -> io::Result<Joined> {
    Root::open(backend, root)?
        .resolver(backend)
        .joined(path, Ahead::Unknown)
}

fn confirm(root: &[u8], path: &[u8]) -> Result<Confirmed, Errno> {
    DirectJoin::new(root, path).map_or(Ok(Confirmed::Nothing), DirectJoin::confirm)
}

/// Whether `path` is so long that asking the kernel for everything and procfs for the result is
/// cheaper than a walk.
fn is_worth_procfs(path: &[u8]) -> bool {
    lexical::components(path)
        .nth(NAMES_WORTH_PROCFS - 1)
        .is_some()
}

/// Opens a path that is canonical already: `PinnedPathBuf::from_path`.
pub(crate) fn open_canonical(backend: Backend, path: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let not_canonical = || PathError::NotCanonical {
        path: path.to_owned(),
    };
    let bytes = lexical::path_bytes(path, "path")?;
    let mut clean = Vec::with_capacity(bytes.len());
    if !bytes.starts_with(b"/") || lexical::push_clean(&mut clean, bytes).is_err() {
        return Err(not_canonical().into());
    }
    if bytes.len() >= PATH_MAX {
        return Err(Errno(libc::ENAMETOOLONG).into());
    }
    let target = lexical::to_path(clean);
    if backend == Backend::Openat2 {
        match openat2::open_canonical(CPath::default().set([bytes]), Last::Follow) {
            Ok(fd) => return Ok((fd, target)),
            Err(Errno(libc::ELOOP)) => return Err(not_canonical().into()),
            Err(errno @ Errno(libc::ENOENT | libc::ENOTDIR)) => return Err(errno.into()),
            Err(_) => {}
        }
    }
    let root = sys::openat(CWD, c"/", Last::Directory)?;
    let resolver = Resolver {
        root: root.as_fd(),
        text: Path::new("/"),
        backend,
    };
    let walked = match resolver.walk(bytes, Goal::Object, Symlinks::Refuse, Ahead::Unknown) {
        Err(WalkError::Errno(Errno(libc::ELOOP))) => return Err(not_canonical().into()),
        result => result.map_err(|error| resolver.explain(error, path))?,
    };
    let fd = walked.fd.map_or_else(|| root.try_clone(), Ok)?;
    if lexical::demands_directory(bytes) && !sys::fstat(fd.as_fd())?.is_directory() {
        return Err(Errno(libc::ENOTDIR).into());
    }
    expect_at(&FdTable::open()?, fd.as_fd(), &target)?;
    Ok((fd, target))
}

/// Resolves paths below one open root.
#[derive(Clone, Copy)]
pub(crate) struct Resolver<'a> {
    pub(crate) root: BorrowedFd<'a>,
    /// Canonical path of the root when it was opened.
    pub(crate) text: &'a Path,
    pub(crate) backend: Backend,
}

impl<'a> Resolver<'a> {
    /// Asks whether `path` is free of symlinks below the root.
    ///
    /// If something in it is missing or no directory, there is no symlink before that.
    fn joined_as_given(&self, path: &[u8]) -> Confirmed {
        let mut clean = Vec::with_capacity(path.len() + 1);
        if lexical::push_clean(&mut clean, path).is_err() {
            return Confirmed::Nothing;
        }
        if let Some(below) = clean.strip_prefix(b"/") {
            match openat2::open_beneath(self.root, CPath::default().set([below]), Last::Follow) {
                Ok(_) | Err(Errno(libc::ENOENT | libc::ENOTDIR)) => {}
                Err(Errno(libc::ELOOP)) => return Confirmed::Symlink,
                Err(errno) if openat2::is_unavailable(errno) => return Confirmed::Unavailable,
                Err(_) => return Confirmed::Nothing,
            }
        }
        Confirmed::Clean(Joined::new(self.text, &clean))
    }

    /// The resolved path, joined to the root.
    fn joined(&self, path: &Path, ahead: Ahead) -> io::Result<Joined> {
        let bytes = lexical::path_bytes(path, "unsafe_path")?;
        if self.backend == Backend::Openat2
            && is_worth_procfs(bytes)
            && let Some(joined) = self.joined_by_kernel(bytes)
        {
            return Ok(joined);
        }
        let walked = self
            .walk(bytes, Goal::Text, Symlinks::Expand, ahead)
            .map_err(|error| self.explain(error, path))?;
        Ok(Joined::new(self.text, &walked.resolved))
    }

    /// As [`joined`](Self::joined) without the root, and refuses a path that leads to the root or above it.
    pub(crate) fn child_text(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = lexical::path_bytes(path, "path")?;
        let walked = self
            .walk(bytes, Goal::Text, Symlinks::Expand, Ahead::Unknown)
            .map_err(|error| self.explain(error, path))?;
        if walked.clamped || walked.resolved.is_empty() {
            return Err(PathError::NotAChild {
                path: path.to_owned(),
                root: self.text.to_owned(),
            }
            .into());
        }
        Ok(walked.resolved)
    }

    fn descent(&self, ahead: Ahead) -> Descent {
        match (self.backend, ahead) {
            (Backend::WalkBySteps, _) => Descent::SingleSteps,
            (_, Ahead::Unknown) => Descent::Runs,
            (_, Ahead::Symlink) => Descent::RunsToSymlink,
        }
    }

    /// Walks, and walks again if the tree was changed on the way.
    fn walk(
        &self,
        path: &[u8],
        goal: Goal,
        symlinks: Symlinks,
        ahead: Ahead,
    ) -> Result<Walked, WalkError> {
        let mut tries = RACE_RETRIES;
        self.walk_with_retries(path, goal, symlinks, ahead, &mut tries)
    }

    /// As [`walk`](Self::walk), at most `tries` more times, which are used up.
    fn walk_with_retries(
        &self,
        path: &[u8],
        goal: Goal,
        symlinks: Symlinks,
        ahead: Ahead,
        tries: &mut usize,
    ) -> Result<Walked, WalkError> {
        let descent = self.descent(ahead);
        loop {
            match Walk::new(self.root, path, goal, symlinks, descent).run() {
                Err(WalkError::Raced) if *tries > 0 => *tries -= 1,
                result => return result,
            }
        }
    }

    /// Lets the kernel follow the symlinks, and asks procfs where that led; `None` decides nothing.
    fn joined_by_kernel(&self, path: &[u8]) -> Option<Joined> {
        let fd = openat2::open_in_root(self.root, path).ok()?;
        let Location::At(at) = FdTable::open().ok()?.locate(fd.as_fd()).ok()? else {
            return None;
        };
        at.strip_prefix(self.text).ok()?;
        let root = lexical::clean_bytes(self.text).len();
        Some(Joined {
            bytes: lexical::clean_bytes(&at).to_vec(),
            root,
        })
    }

    fn explain(&self, error: WalkError, path: &Path) -> io::Error {
        match error {
            WalkError::Errno(errno) => errno.into(),
            WalkError::TooManySymlinks => PathError::TooManySymlinks {
                path: path.to_owned(),
            }
            .into(),
            WalkError::Raced => PathError::Raced {
                path: path.to_owned(),
            }
            .into(),
        }
    }
}

/// Fails unless the object that `fd` pins is at `expected` now.
pub(crate) fn expect_at(table: &FdTable, fd: BorrowedFd<'_>, expected: &Path) -> io::Result<()> {
    match table.locate(fd)? {
        Location::At(at) if at == expected => Ok(()),
        other => Err(PathError::Changed {
            expected: expected.to_owned(),
            actual: other.into_path(),
        }
        .into()),
    }
}

fn is_interference(error: &io::Error) -> bool {
    PathError::of(error).is_some_and(PathError::is_interference)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
