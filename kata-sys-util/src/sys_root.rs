//! Where the kernel's file systems are: the real ones, or a tree that a test has made.

use std::path::{Path, PathBuf};

/// The directories in which the kernel shows processes, devices and its own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysRoot {
    /// The proc file system.
    pub proc: PathBuf,
    /// The sysfs file system.
    pub sys: PathBuf,
    /// Device nodes.
    pub dev: PathBuf,
    /// Run-time state of this boot.
    pub run: PathBuf,
}

impl SysRoot {
    /// The four directories `proc`, `sys`, `dev` and `run` below `dir`.
    pub fn under<P: AsRef<Path>>(dir: P) -> Self {
        let dir = dir.as_ref();
        Self {
            proc: dir.join("proc"),
            sys: dir.join("sys"),
            dev: dir.join("dev"),
            run: dir.join("run"),
        }
    }
}

impl Default for SysRoot {
    /// The real system.
    fn default() -> Self {
        Self::under("/")
    }
}
