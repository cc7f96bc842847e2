//! Reads the files of the machine, and keeps in mind which ones could not be read.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kata_sys_util::SysRoot;
use serde::Serialize;

/// The files in question have some lines at most; a tree that is given may have anything.
const LIMIT: u64 = 64 * 1024;

pub(crate) struct Reader {
    pub(crate) root: SysRoot,
    pub(crate) unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
pub(crate) struct Unreadable {
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl Reader {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: SysRoot::under(root),
            unreadable: Vec::new(),
        }
    }

    /// The text of a file; `None` if there is no such file or, which is noted, it cannot be read.
    pub(crate) fn text(&mut self, path: &Path) -> Option<String> {
        let read = || {
            let mut options = File::options();
            // A FIFO must not block whoever opens it.
            options.read(true).custom_flags(libc::O_NONBLOCK);
            let mut bytes = Vec::new();
            options.open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = self.found(path, read())?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// The names in a directory in their order, likewise.
    pub(crate) fn names(&mut self, directory: &Path) -> Option<Vec<String>> {
        let names = fs::read_dir(directory).and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut names = self.found(directory, names)?;
        names.sort_unstable();
        Some(names)
    }

    /// What was read at a path; `None` if it does not exist or, which is noted, cannot be read.
    pub(crate) fn found<T>(&mut self, path: &Path, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if is_missing(&error) => None,
            Err(error) => {
                self.note(path, error);
                None
            }
        }
    }

    pub(crate) fn note(&mut self, path: &Path, reason: impl Display) {
        self.unreadable.push(Unreadable {
            path: path.display().to_string(),
            reason: reason.to_string(),
        });
    }
}

pub(crate) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
