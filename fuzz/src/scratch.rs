//! A directory for one input at a time.

use std::fs;
use std::path::{Path, PathBuf};

/// An empty directory, whose content lives as long as this.
///
/// It lies so deep that a link with a few `..` in it does not lead to the directories of the system.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Self {
        let name = format!("kata-libs-fuzz-{}/0/1/2/3/4/5/6/7", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What an input that was aborted has left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory for temporary files");
        let path = path.canonicalize().expect("it was made just now");
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
