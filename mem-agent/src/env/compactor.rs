//! The helper process that compacts memory (C6, D25, D26).
//!
//! The write blocks until all is compacted, and only a fatal signal ends it. So a process does it
//! that does nothing else: no shell, no program, two system calls.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Running;
use super::sys::{self, ChildProcess, ChildState};

/// Starts helper processes.
pub(super) struct HelperProcess {
    compact_memory: PathBuf,
    nodes: PathBuf,
}

/// The end of a helper can be waited for.
pub(crate) struct Exit(ChildProcess);

/// A helper process. Dropping it kills and reaps it.
struct Helper {
    child: Arc<Exit>,
    /// Open as long as the helper, which shares our descriptors, may write to them.
    _files: Vec<File>,
    /// How it has ended, so that it is asked for only once.
    ended: Option<Result<(), i32>>,
}

impl HelperProcess {
    pub(super) fn new(proc_root: &Path, sys_root: &Path) -> Self {
        Self {
            compact_memory: proc_root.join("sys/vm/compact_memory"),
            nodes: sys_root.join("devices/system/node"),
        }
    }

    /// # Errors
    ///
    /// The files cannot be opened for writing, or there can be no process.
    pub(super) fn spawn(&self) -> io::Result<(impl Running + use<>, Arc<Exit>)> {
        let files = self.open()?;
        let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let child = Arc::new(Exit(sys::spawn_writer(&descriptors, b"1")?));
        let helper = Helper {
            child: Arc::clone(&child),
            _files: files,
            ended: None,
        };
        Ok((helper, child))
    }

    /// The files of several nodes, so that a stop takes effect between them (spec 7.4), or that of
    /// all memory.
    fn open(&self) -> io::Result<Vec<File>> {
        let open = |path: &Path| {
            let file = File::options().write(true).open(path);
            file.map_err(|error| {
                io::Error::new(error.kind(), format!("open file {path:?} failed: {error}"))
            })
        };
        let all = open(&self.compact_memory)?;
        let entries = fs::read_dir(&self.nodes).into_iter().flatten().flatten();
        let nodes = entries.filter(|entry| is_node(&entry.file_name().to_string_lossy()));
        let nodes: io::Result<Vec<File>> = nodes
            .map(|entry| open(&entry.path().join("compact")))
            .collect();
        Ok(match nodes {
            Ok(nodes) if nodes.len() > 1 => nodes,
            _ => vec![all],
        })
    }
}

impl Exit {
    /// Readable when the helper has ended; none on old kernels.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.pidfd()
    }
}

impl Running for Helper {
    fn poll(&mut self) -> io::Result<bool> {
        if self.ended.is_none() {
            self.ended = match self.child.0.state()? {
                ChildState::Running => return Ok(false),
                ChildState::Exited(0) | ChildState::ReapedByOther => Some(Ok(())),
                ChildState::Exited(errno) => Some(Err(errno)),
                ChildState::Killed => Some(Ok(())),
            };
        }
        match self.ended {
            Some(Err(errno)) => {
                let cause = io::Error::from_raw_os_error(errno);
                Err(io::Error::new(
                    cause.kind(),
                    format!("write to compact_memory failed: {cause}"),
                ))
            }
            _ => Ok(true),
        }
    }

    fn kill(&mut self) -> io::Result<()> {
        // Without a pidfd, the number may be another process's by now (D26).
        match self.ended {
            Some(_) => Ok(()),
            None => self.child.0.kill(),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.child.0.kill_and_reap();
        }
    }
}

fn is_node(name: &str) -> bool {
    let number = name.strip_prefix("node");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
