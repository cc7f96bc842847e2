//! Addresses of Unix sockets.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Longest path of a Unix socket, in bytes: `sun_path` of unix(7), less its NUL.
const MAX_PATH_BYTES: usize = 107;

/// A directory in which sockets can be bound, however long its path is.
#[derive(Debug)]
pub(crate) struct SocketDir {
    path: PathBuf,
    /// Names the directory where its path is too long.
    file: File,
}

impl SocketDir {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: File::open(path)?,
        })
    }

    /// A path for the socket `name`, of use in this process while `self` lives.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        if path.as_os_str().len() <= MAX_PATH_BYTES {
            return path;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()))
    }
}
