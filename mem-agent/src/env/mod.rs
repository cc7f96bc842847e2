//! Everything that this crate knows of the machine: roots, clock, and three ways to act.
//!
//! The interface for tests and for embedding. [`Env::default`] is the real system, and no other code
//! names an absolute path. `MemAgent::with_env`, `MemCG::with_env` and `Compact::with_env` take an
//! `Env`; the other constructors use the default.
//!
//! | Below | Files |
//! |---|---|
//! | [`proc_root`](Env::proc_root) | `meminfo`, `pagetypeinfo`, `sys/vm/compact_memory` |
//! | [`sys_root`](Env::sys_root) | `fs/cgroup/…`, `kernel/mm/lru_gen/enabled`, `kernel/debug/lru_gen`, `module/page_reporting/parameters/page_reporting_order`, `devices/system/node/node*/compact` |
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use mem_agent::env::{CgroupVersion, Clock, Env};
//!
//! /// A clock that stands still.
//! struct Noon;
//!
//! impl Clock for Noon {
//!     fn now(&self) -> Duration {
//!         Duration::from_secs(12 * 3600)
//!     }
//! }
//!
//! let env = Env {
//!     sys_root: "/tmp/fake/sys".into(),
//!     cgroup: CgroupVersion::V2,
//!     clock: Arc::new(Noon),
//!     ..Env::default()
//! };
//! assert_eq!(env.clock.now().as_secs(), 43_200);
//! ```

mod cancel;
mod clock;
mod compactor;
mod files;
mod host;
mod lru_gen;
mod machine;
mod sys;
mod system;
mod trigger;
mod watch;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use cancel::Cancel;
#[doc(hidden)]
pub use host::{CgroupLook, Host, NodeLook, Protection, Snapshot, Watch};
pub(crate) use machine::Machine;
pub(crate) use system::SystemHost;
pub(crate) use watch::CgroupWatch;

/// The machine that an agent works on.
///
/// Fields that are not of interest are left at their default, as in the
/// [example of the module](self).
#[derive(Clone)]
pub struct Env {
    /// Where the proc file system is. Default: `/proc`.
    pub proc_root: PathBuf,
    /// Where sysfs is, with the cgroup and debug file systems in it. Default: `/sys`.
    pub sys_root: PathBuf,
    /// The kind of the cgroup hierarchy. Default: [`Auto`](CgroupVersion::Auto).
    pub cgroup: CgroupVersion,
    /// The monotonic clock. Default: `CLOCK_MONOTONIC`.
    pub clock: Arc<dyn Clock>,
    /// The `lru_gen` file of the multi-generational LRU. `None`, the default: the file
    /// `kernel/debug/lru_gen` below `sys_root`; on the real system it is also reached where debugfs
    /// is not mounted.
    pub lru_gen: Option<Arc<dyn LruGen>>,
    /// What compacts memory. `None`, the default: a helper process that writes to
    /// `sys/vm/compact_memory` below `proc_root`.
    pub compactor: Option<Arc<dyn Compactor>>,
    /// Bytes of a base page. Default: `sysconf(_SC_PAGESIZE)`.
    pub page_size: u64,
}

/// The kind of the cgroup hierarchy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupVersion {
    /// Version 2 if `fs/cgroup` below `sys_root` is a cgroup2 file system (by `statfs(2)`),
    /// else version 1. A directory of a test never is one.
    #[default]
    Auto,
    /// Version 1, or a hybrid: memory cgroups are below `fs/cgroup/memory`.
    V1,
    /// Version 2: memory cgroups are below `fs/cgroup`.
    V2,
}

/// A monotonic clock.
///
/// ```
/// use std::time::Duration;
/// use mem_agent::env::Clock;
///
/// struct Noon;
///
/// impl Clock for Noon {
///     fn now(&self) -> Duration {
///         Duration::from_secs(12 * 3600)
///     }
/// }
/// assert_eq!(Noon.now().as_secs(), 43_200);
/// ```
pub trait Clock: Send + Sync {
    /// Time since a start that never changes.
    fn now(&self) -> Duration;

    /// Blocks the calling thread for `d`. The clock of a test may go forward by `d` and return.
    fn sleep(&self, d: Duration) {
        std::thread::sleep(d);
    }
}

/// The `lru_gen` file
/// ([Multi-Gen LRU](https://docs.kernel.org/admin-guide/mm/multigen_lru.html)).
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
/// use mem_agent::env::LruGen;
///
/// /// One that keeps its commands.
/// #[derive(Default)]
/// struct Kept(Mutex<Vec<String>>);
///
/// impl LruGen for Kept {
///     fn read(&self) -> io::Result<Vec<u8>> {
///         Ok(b"memcg 1 /\n node 0\n 0 90000 10 20\n".to_vec())
///     }
///
///     fn command(&self, cmd: &str) -> io::Result<()> {
///         self.0.lock().unwrap().push(cmd.to_owned());
///         Ok(())
///     }
/// }
///
/// let kept = Kept::default();
/// kept.commands(&["- 7 0 9 50 64", "- 8 0 3 50 64"])?;
/// assert_eq!(kept.0.into_inner().unwrap().len(), 2);
/// # Ok::<(), io::Error>(())
/// ```
pub trait LruGen: Send + Sync {
    /// What the file contains now, whole. Called on threads that may block.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Writes one command, such as `+ 7 0 12 1 1` (aging) or `- 7 0 9 50 64` (eviction).
    ///
    /// # Errors
    ///
    /// The kernel refuses it: `EINVAL`, `EBUSY`, `EINTR`, `ENOMEM`, `EEXIST`, `ERANGE`.
    fn command(&self, cmd: &str) -> io::Result<()>;

    /// Writes several commands, if possible at once.
    ///
    /// # Errors
    ///
    /// At least one is refused; the others may have been obeyed.
    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        let mut result = Ok(());
        for cmd in cmds {
            let one = self.command(cmd);
            if result.is_ok() {
                result = one;
            }
        }
        result
    }
}

/// What compacts memory. That of the real system is a helper process, which only writes to
/// [`compact_memory`](https://docs.kernel.org/admin-guide/sysctl/vm.html#compact-memory), or with
/// several NUMA nodes to the `compact` file of each.
///
/// ```
/// use std::io;
/// use mem_agent::env::{Compactor, Running};
///
/// /// Compactions that are over at once.
/// struct Nothing;
///
/// impl Compactor for Nothing {
///     fn start(&self) -> io::Result<Box<dyn Running>> {
///         Ok(Box::new(Nothing))
///     }
/// }
///
/// impl Running for Nothing {
///     fn poll(&mut self) -> io::Result<bool> {
///         Ok(true)
///     }
///
///     fn kill(&mut self) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// assert!(Nothing.start()?.poll()?);
/// # Ok::<(), io::Error>(())
/// ```
pub trait Compactor: Send + Sync {
    /// Starts a compaction of all memory.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    fn start(&self) -> io::Result<Box<dyn Running>>;
}

/// A compaction that has been started. Dropping it must leave nothing behind.
pub trait Running: Send {
    /// Whether it has ended.
    ///
    /// # Errors
    ///
    /// It has ended with an error, or its state is unknown.
    fn poll(&mut self) -> io::Result<bool>;

    /// Stops it. No error if it has already ended.
    ///
    /// # Errors
    ///
    /// It cannot be stopped.
    fn kill(&mut self) -> io::Result<()>;
}

impl Default for Env {
    fn default() -> Self {
        Self {
            proc_root: PathBuf::from("/proc"),
            sys_root: PathBuf::from("/sys"),
            cgroup: CgroupVersion::Auto,
            clock: Arc::new(clock::Monotonic::new()),
            lru_gen: None,
            compactor: None,
            page_size: sys::page_size(),
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("proc_root", &self.proc_root)
            .field("sys_root", &self.sys_root)
            .field("cgroup", &self.cgroup)
            .field("clock", &self.clock.now())
            .field("lru_gen", &self.lru_gen.as_ref().map(|_| "injected"))
            .field("compactor", &self.compactor.as_ref().map(|_| "injected"))
            .field("page_size", &self.page_size)
            .finish()
    }
}
