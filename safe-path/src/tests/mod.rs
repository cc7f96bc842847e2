//! Tests that need the internal switch of the back end, by subject.

mod attack;
mod builder;
mod long;
mod model;
mod mounts;
mod permissions;
mod pinned_roots;
mod pins;
mod procfs;
mod root_handle;
mod strings;
#[allow(unreachable_pub, reason = "shared with the integration tests")]
mod table;

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::PinnedPathBuf;
use crate::resolver::{self, Backend};

/// Every rule is checked with each of these.
const BACKENDS: [Backend; 3] = [Backend::Openat2, Backend::WalkByRuns, Backend::WalkBySteps];

fn join(backend: Backend, root: &Path, path: &Path) -> io::Result<PathBuf> {
    Ok(resolver::resolve_text(backend, root, path)?.into_path())
}

fn resolve(
    backend: Backend,
    root: impl AsRef<Path>,
    path: impl AsRef<Path>,
) -> io::Result<PathBuf> {
    Ok(resolver::resolve_text(backend, root.as_ref(), path.as_ref())?.into_relative())
}

fn pin(
    backend: Backend,
    root: impl AsRef<Path>,
    path: impl AsRef<Path>,
) -> io::Result<PinnedPathBuf> {
    PinnedPathBuf::resolve(backend, root.as_ref(), path.as_ref())
}

/// A temporary directory and its canonical path.
fn temporary() -> (tempfile::TempDir, PathBuf) {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    (tmp, root)
}

/// Device and inode number.
fn id(path: impl AsRef<Path>) -> (u64, u64) {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

fn pinned_id(pin: &PinnedPathBuf) -> (u64, u64) {
    let metadata = pin.metadata().unwrap();
    (metadata.dev(), metadata.ino())
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// For what no guard of `test-utils` asks about.
fn skip(test: &str, reason: &str) {
    eprintln!("INFO: skipping {test}: {reason}");
}

/// The umask of the process, without changing it.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .unwrap();
    u32::from_str_radix(umask.trim(), 8).unwrap()
}
