//! The authoritative resolution of a path: a walk over descriptors (W1).
//!
//! The kernel is never asked for `..` and never follows a symlink: every descriptor is the root or
//! was opened as a descendant, through plain names only, of one that is inside. So no step can leave
//! the tree, whatever happens to it meanwhile.
//!
//! | pending component | effect |
//! |---|---|
//! | `..` | the last name is dropped; at the root nothing happens |
//! | name, a symlink | its text takes the place of the name; an absolute text starts at the root |
//! | name, a directory | descend |
//! | name, missing or no directory | kept; all that follows is text, until `..` drops it again |

use std::borrow::Cow;
use std::os::fd::{BorrowedFd, OwnedFd};

use super::anchors::Anchors;
use super::look::{Found, look_for_symlink, open_directory, open_object};
use super::openat2;
use super::pending::Pending;
use super::run::{self, MAX_NAMES, Run};
use crate::lexical::{CPath, Component, push_name};
use crate::sys::{self, Errno, Last};

/// Most symlinks that one resolution expands (R6).
pub(crate) const MAX_SYMLINKS: u32 = 255;

/// Longest name of most filesystems. Longer ones are put to the filesystem concerned.
pub(crate) const NAME_MAX: usize = 255;

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The resolved path only.
    Text,
    /// A descriptor of the object, which has to exist.
    Object,
    /// A descriptor of the deepest directory on the resolved path.
    Directory,
}

/// What happens at a symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symlinks {
    /// It is expanded inside the root.
    Expand,
    /// The walk fails with `ELOOP`.
    Refuse,
}

/// How a walk descends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descent {
    /// Many levels per openat2 call, as far as there is no symlink.
    Runs,
    /// As [`Runs`](Self::Runs); and it is known that a symlink is ahead.
    RunsToSymlink,
    /// One openat call per level.
    SingleSteps,
}

/// What stands at the first resolved name that is not a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Missing,
    /// Something else.
    NotDirectory,
}

/// The result of a walk.
pub(crate) struct Walked {
    /// `/name` for each resolved name; empty for the root.
    pub(crate) resolved: Vec<u8>,
    /// Length of the part of `resolved` that is a directory, except for [`Goal::Text`].
    pub(crate) real: usize,
    /// Why `real` ends before `resolved`.
    pub(crate) tail: Tail,
    /// A `..` had to be ignored at the root.
    pub(crate) clamped: bool,
    /// As the [`Goal`] says; `None` is the root.
    pub(crate) fd: Option<OwnedFd>,
}

/// Why a walk failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WalkError {
    /// The kernel said so.
    Errno(Errno),
    /// More symlinks than allowed.
    TooManySymlinks,
    /// A directory that the walk went through is not there any more.
    Raced,
}

impl From<Errno> for WalkError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// One resolution under way.
pub(crate) struct Walk<'a> {
    root: BorrowedFd<'a>,
    goal: Goal,
    symlinks: Symlinks,
    descent: Descent,
    pending: Pending<'a>,
    /// `/name` for each name so far.
    resolved: Vec<u8>,
    /// Length of the part of `resolved` that is a directory.
    real: usize,
    /// How many names of `resolved` lie behind `real`.
    beyond: usize,
    tail: Tail,
    anchors: Anchors,
    expanded: u32,
    max_symlinks: u32,
    clamped: bool,
    /// How many names to try at once: few where symlinks are dense.
    stride: usize,
    /// A symlink was expanded just now: often the next name is one too.
    behind_symlink: bool,
    name: CPath,
    text: Vec<u8>,
    run: Run,
}

impl<'a> Walk<'a> {
    /// A walk of `path` below `root`.
    pub(crate) fn new(
        root: BorrowedFd<'a>,
        path: &'a [u8],
        goal: Goal,
        symlinks: Symlinks,
        descent: Descent,
    ) -> Self {
        Self {
            root,
            goal,
            symlinks,
            descent,
            pending: Pending::new(path),
            resolved: Vec::with_capacity(path.len() + 1),
            real: 0,
            beyond: 0,
            tail: Tail::Missing,
            anchors: Anchors::default(),
            expanded: 0,
            max_symlinks: MAX_SYMLINKS,
            clamped: false,
            stride: MAX_NAMES,
            behind_symlink: false,
            name: CPath::default(),
            text: Vec::new(),
            run: Run::default(),
        }
    }

    /// Gives up at fewer symlinks than [`MAX_SYMLINKS`].
    pub(crate) fn with_max_symlinks(mut self, max: u32) -> Self {
        self.max_symlinks = max;
        self
    }

    /// Walks to the end.
    pub(crate) fn run(mut self) -> Result<Walked, WalkError> {
        loop {
            while self.advance()? {}
            if self.goal == Goal::Object && self.beyond > 0 {
                self.look_again()?;
            } else {
                return self.finish();
            }
        }
    }

    /// Takes what is next; false at the end.
    fn advance(&mut self) -> Result<bool, WalkError> {
        let mut after = self.pending.cursor();
        match self.pending.next(&mut after) {
            None => return Ok(false),
            Some(Component::Parent) => {
                self.pending.consume(after, 1);
                self.drop_name();
            }
            Some(Component::Name(name)) if self.beyond > 0 => {
                push_name(&mut self.resolved, name);
                self.beyond += 1;
                self.pending.consume(after, 0);
            }
            Some(Component::Name(_)) => self.descend()?,
        }
        Ok(true)
    }

    /// Takes one or more names in the directory `resolved`.
    fn descend(&mut self) -> Result<(), WalkError> {
        let runs = self.descent != Descent::SingleSteps && self.stride > 1 && !self.behind_symlink;
        if runs && self.is_run_ahead() {
            self.run.gather(&self.pending);
            if self.run.count() > 1 && self.descend_run()? {
                return Ok(());
            }
        }
        self.step()
    }

    /// Whether there are two names in a row.
    fn is_run_ahead(&self) -> bool {
        let mut cursor = self.pending.cursor();
        let mut next = || matches!(self.pending.next(&mut cursor), Some(Component::Name(_)));
        next() && next()
    }

    /// Descends along the run, up to the name where openat2 does not get further; true if there is
    /// no such name.
    fn descend_run(&mut self) -> Result<bool, WalkError> {
        self.reach()?;
        let count = self.run.count();
        let mut done = 0;
        let mut attempt = count.min(self.stride);
        let mut failed = None;
        if self.descent == Descent::RunsToSymlink && self.run.is_all() {
            (failed, attempt) = (Some(count), count / 2);
        }
        self.descent = Descent::Runs;
        while attempt > done {
            let whole = self.run.is_all() && attempt == count;
            let last = if whole && self.goal != Goal::Directory {
                Last::Follow
            } else {
                Last::Directory
            };
            let names = self.run.names(done, attempt);
            let path = self.name.set([names.strip_prefix(b"/").unwrap_or(names)]);
            let (_, dir) = self.anchors.last(self.root);
            match openat2::open_beneath(dir, path, last) {
                Ok(fd) => {
                    self.resolved.extend_from_slice(names);
                    self.real = self.resolved.len();
                    if let Some(cursor) = self.run.end(attempt) {
                        self.pending.consume(cursor, 0);
                    }
                    self.anchors.push(self.real, fd);
                    done = attempt;
                    if done == count {
                        return Ok(true);
                    }
                    self.stride = MAX_NAMES.min(self.stride * 2);
                    attempt = count.min(done + self.stride);
                }
                Err(errno) if openat2::is_unavailable(errno) => {
                    self.descent = Descent::SingleSteps;
                    return Ok(false);
                }
                Err(Errno(libc::ENOENT | libc::ENOTDIR))
                    if self.goal == Goal::Text && self.pending.parents() == 0 =>
                {
                    // No symlink before the first missing name, and nothing can matter behind it.
                    self.beyond = 1;
                    return Ok(true);
                }
                Err(_) => failed = Some(attempt),
            }
            if let Some(failed) = failed {
                attempt = done + (failed - done) / 2;
            }
        }
        self.stride = done.max(1);
        Ok(false)
    }

    /// Takes a single name in the directory `resolved`.
    fn step(&mut self) -> Result<(), WalkError> {
        self.reach()?;
        let mut after = self.pending.cursor();
        let Some(Component::Name(name)) = self.pending.next(&mut after) else {
            return Ok(());
        };
        let mut behind = after;
        let next = self.pending.next(&mut behind);
        let (_, dir) = self.anchors.last(self.root);
        let path = self.name.set([name]);
        let found = match (next, self.goal) {
            (Some(Component::Parent), _) | (None, Goal::Text) => {
                look_for_symlink(dir, path, &mut self.text)?
            }
            _ if self.behind_symlink => match look_for_symlink(dir, path, &mut self.text)? {
                Found::Symlink => Found::Symlink,
                _ => {
                    self.behind_symlink = false;
                    return Ok(()); // no chain of symlinks: as usual
                }
            },
            (None, Goal::Object) => open_object(dir, path, &mut self.text)?,
            (Some(Component::Name(_)), _) | (None, Goal::Directory) => {
                open_directory(dir, path, &mut self.text)?
            }
        };
        if matches!(found, Found::Symlink) {
            self.pending.consume(after, 0);
            return self.expand();
        }
        self.behind_symlink = false;
        if next == Some(Component::Parent) {
            self.pending.consume(behind, 1); // `name/..`
            return Ok(());
        }
        push_name(&mut self.resolved, name);
        match found {
            Found::Directory(fd) | Found::Object(fd) => {
                self.real = self.resolved.len();
                self.anchors.push(self.real, fd);
                self.stride = self.stride.max(2);
            }
            Found::NotDirectory => {
                self.beyond = 1;
                self.tail = Tail::NotDirectory;
            }
            Found::Missing | Found::Symlink => {
                self.beyond = 1;
                self.tail = Tail::Missing;
            }
        }
        self.pending.consume(after, 0);
        Ok(())
    }

    /// Puts the symlink in `text` in front of what is pending.
    fn expand(&mut self) -> Result<(), WalkError> {
        if self.symlinks == Symlinks::Refuse {
            return Err(Errno(libc::ELOOP).into());
        }
        if self.expanded >= self.max_symlinks {
            return Err(WalkError::TooManySymlinks);
        }
        self.expanded += 1;
        self.behind_symlink = true;
        if self.text.starts_with(b"/") {
            self.resolved.clear();
            self.real = 0;
            self.anchors.truncate(0);
        }
        self.pending.push_front(Cow::Owned(self.text.clone()));
        Ok(())
    }

    /// `..`
    fn drop_name(&mut self) {
        let Some(end) = self.resolved.iter().rposition(|byte| *byte == b'/') else {
            self.clamped = true;
            return;
        };
        self.resolved.truncate(end);
        if self.beyond > 0 {
            self.beyond -= 1;
        } else {
            self.real = end;
            self.anchors.truncate(end);
        }
    }

    /// Makes the last anchor the directory at `real`: the levels that `..` went back to may never
    /// have been opened, or may have been closed again.
    fn reach(&mut self) -> Result<(), WalkError> {
        loop {
            let (length, dir) = self.anchors.last(self.root);
            let rest = self.resolved.get(length..self.real).unwrap_or_default();
            let Some(names) = rest.strip_prefix(b"/") else {
                return Ok(());
            };
            let single = self.descent == Descent::SingleSteps;
            let taken = if single {
                names
                    .iter()
                    .position(|byte| *byte == b'/')
                    .unwrap_or(names.len())
            } else {
                run::length_of_one_call(names)
            };
            let path = self.name.set([names.get(..taken).unwrap_or_default()]);
            let opened = if single {
                sys::openat(dir, path, Last::DirectoryNoFollow)
            } else {
                openat2::open_beneath(dir, path, Last::Directory)
            };
            match opened {
                Ok(fd) => self.anchors.push(length + 1 + taken, fd),
                // Whatever openat2 says, openat decides (W2).
                Err(_) if !single => self.descent = Descent::SingleSteps,
                Err(Errno(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
                    return Err(WalkError::Raced);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// At the end of a walk to an object: opens the only name that is no directory, which may be a
    /// file (`file/x/..`); fails if there is more than one.
    fn look_again(&mut self) -> Result<(), WalkError> {
        if self.beyond > 1 {
            self.refuse_long_names()?;
            return Err(WalkError::Errno(Errno(match self.tail {
                Tail::Missing => libc::ENOENT,
                Tail::NotDirectory => libc::ENOTDIR,
            })));
        }
        let name = self.resolved.split_off(self.real);
        self.beyond = 0;
        self.pending.push_front(Cow::Owned(name)); // now the last name: a step opens it, or fails
        Ok(())
    }

    fn finish(mut self) -> Result<Walked, WalkError> {
        if self.goal == Goal::Directory {
            self.refuse_long_names()?;
        }
        let fd = match self.goal {
            Goal::Text => None,
            Goal::Object | Goal::Directory => {
                self.reach()?;
                self.anchors.pop()
            }
        };
        Ok(Walked {
            resolved: self.resolved,
            real: self.real,
            tail: self.tail,
            clamped: self.clamped,
            fd,
        })
    }

    /// Fails if the filesystem cannot have one of the names that are missing (row 13).
    fn refuse_long_names(&mut self) -> Result<(), WalkError> {
        self.reach()?;
        let missing = self.resolved.get(self.real..).unwrap_or_default();
        for name in missing
            .split(|byte| *byte == b'/')
            .filter(|name| name.len() > NAME_MAX)
        {
            let (_, dir) = self.anchors.last(self.root);
            let opened = sys::openat(dir, self.name.set([name]), Last::NoFollow);
            if matches!(opened, Err(Errno(libc::ENAMETOOLONG))) {
                return Err(Errno(libc::ENAMETOOLONG).into());
            }
        }
        Ok(())
    }
}
