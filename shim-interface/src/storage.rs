//! Where runtimes keep the directories of their sandboxes.

use std::path::{Path, PathBuf};

use crate::{SHIM_MGMT_SOCK_NAME, sb_storage_path};

/// Where the Go runtime keeps its sandboxes.
const GO_STORAGE_PATH: &str = "/run/vc/sbs";

/// The runtime that a sandbox belongs to, known from where its directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// `runtime-rs`: `/run/kata/<id>`.
    RuntimeRs,
    /// The Go runtime: `/run/vc/sbs/<id>`.
    Go,
}

/// The directories that hold one directory per sandbox: the real ones, or those of a test.
///
/// ```
/// use shim_interface::StorageRoots;
///
/// assert_eq!(StorageRoots::default(), StorageRoots::under("/"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageRoots {
    /// Sandboxes of `runtime-rs`: `/run/kata`.
    pub runtime_rs: PathBuf,
    /// Sandboxes of the Go runtime: `/run/vc/sbs`.
    pub go: PathBuf,
}

impl StorageRoots {
    /// `run/kata` and `run/vc/sbs` below `dir`.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// let roots = shim_interface::StorageRoots::under("/mnt/node-7");
    /// assert_eq!(roots.runtime_rs, Path::new("/mnt/node-7/run/kata"));
    /// assert_eq!(roots.go, Path::new("/mnt/node-7/run/vc/sbs"));
    /// ```
    pub fn under<P: AsRef<Path>>(dir: P) -> Self {
        let below = |path: &str| dir.as_ref().join(path.trim_start_matches('/'));
        Self {
            runtime_rs: below(sb_storage_path()),
            go: below(GO_STORAGE_PATH),
        }
    }
}

impl Default for StorageRoots {
    /// The real system.
    fn default() -> Self {
        Self::under("/")
    }
}

/// A sandbox that has a directory, and so may have a management socket.
///
/// ```
/// use shim_interface::{Layout, StorageRoots, find_sandbox_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().canonicalize()?;
/// # std::fs::create_dir_all(dir.join("run/kata/web-1"))?;
///
/// let sandbox = find_sandbox_in(&StorageRoots::under(&dir), "we")?;
/// assert_eq!(sandbox.id(), "web-1");
/// assert_eq!(sandbox.layout(), Layout::RuntimeRs);
/// assert_eq!(sandbox.socket_path(), dir.join("run/kata/web-1/shim-monitor.sock"));
/// assert_eq!(sandbox.address(), format!("unix://{}", sandbox.socket_path().display()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sandbox {
    id: String,
    layout: Layout,
    socket: String,
}

impl Sandbox {
    /// The sandbox `id` in `dir`, an absolute path without a slash at its end.
    pub(crate) fn new(layout: Layout, dir: &str, id: String) -> Self {
        let socket = format!("{dir}/{id}/{SHIM_MGMT_SOCK_NAME}");
        Self { id, layout, socket }
    }

    /// The full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The runtime that it belongs to.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The absolute path of its management socket, which need not exist (yet, or any more).
    pub fn socket_path(&self) -> &Path {
        Path::new(&self.socket)
    }

    /// The same as an address: `unix://` and the path.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket)
    }

    /// The directory of the sandbox.
    pub(crate) fn dir(&self) -> &str {
        let end = self.socket.len() - (SHIM_MGMT_SOCK_NAME.len() + 1);
        self.socket.get(..end).unwrap_or_default()
    }
}
