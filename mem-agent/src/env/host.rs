//! What the memcg half sees of a machine and does to it.
//!
//! [`SystemHost`](super::SystemHost) is this over an [`Env`](super::Env); a simulator may implement it
//! in memory.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::memcg::Actuator;
use crate::proc::MemoryStat;
use crate::psi::Pressure;

/// A machine with memory cgroups. Paths of cgroups are those of `lru_gen`: `/`, `/pod7/web`.
pub trait Host: Send + Sync {
    /// The monotonic time.
    fn now(&self) -> Duration;

    /// Blocks for `time`.
    fn pause(&self, time: Duration);

    /// Makes PSI ready, and what the actuator needs. Returns the directory to be passed to
    /// [`pressure`](Self::pressure).
    ///
    /// # Errors
    ///
    /// The kernel lacks one of them.
    fn probe(&self, psi_path: &Path, actuator: Actuator) -> anyhow::Result<PathBuf>;

    /// The live cgroups, all or those whose path is in `wanted`.
    ///
    /// # Errors
    ///
    /// `lru_gen` cannot be read.
    fn snapshot(&self, wanted: Option<&HashSet<String>>) -> anyhow::Result<Snapshot>;

    /// [`LruGen::command`](super::LruGen::command).
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    fn command(&self, cmd: &str) -> io::Result<()>;

    /// [`LruGen::commands`](super::LruGen::commands).
    ///
    /// # Errors
    ///
    /// At least one is refused.
    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        cmds.iter()
            .map(|cmd| self.command(cmd))
            .fold(Ok(()), Result::and)
    }

    /// Stall times of a cgroup and of each of its children.
    ///
    /// # Errors
    ///
    /// The cgroup is gone, or has no pressure files.
    fn pressure(&self, psi_dir: &Path, cgroup: &str) -> io::Result<Pressure>;

    /// `SwapFree` in kB.
    ///
    /// # Errors
    ///
    /// It is unknown.
    fn swap_free_kb(&self) -> anyhow::Result<u64>;

    /// Bytes of a base page.
    fn page_size(&self) -> u64 {
        4096
    }

    /// Usage and protection of this cgroup alone, if it has any. A file that cannot be read counts
    /// as one that protects all.
    fn protection(&self, _cgroup: &str) -> Option<Protection> {
        None
    }

    /// What `memory.stat` says of a cgroup and its descendants.
    fn memory_stat(&self, _cgroup: &str) -> Option<MemoryStat> {
        None
    }

    /// `memory.current` in bytes.
    fn memory_current(&self, _cgroup: &str) -> Option<u64> {
        None
    }

    /// Whether [`reclaim`](Self::reclaim) takes from this cgroup and from no other.
    fn can_reclaim(&self, _cgroup: &str) -> bool {
        false
    }

    /// Writes to `memory.reclaim`.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: less was reclaimed. `EINVAL`: the kernel does not know `swappiness=`.
    fn reclaim(&self, _cgroup: &str, _bytes: u64, _swappiness: Option<u8>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Tells when the cgroup has stalled for more than `percent` of 500 ms.
    fn watch(&self, _psi_dir: &Path, _cgroup: &str, _percent: u8) -> Option<Box<dyn Watch>> {
        None
    }
}

/// Pressure that the kernel watches.
pub trait Watch: Send {
    /// Whether there has been too much since the last call.
    fn has_fired(&mut self) -> bool;
}

/// `memory.current`, `memory.min` and `memory.low` of a cgroup, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// `memory.current`.
    pub current: u64,
    /// `memory.min`; `u64::MAX` for `max`.
    pub min: u64,
    /// `memory.low`; `u64::MAX` for `max`.
    pub low: u64,
}

impl Protection {
    /// Whether all of the memory is protected (D40). One without protection never is.
    pub fn covers_all(&self) -> bool {
        let protected = self.min.max(self.low);
        protected > 0 && self.current <= protected
    }
}

/// Memory cgroups at one moment. One vector each for paths, cgroups and nodes, so that a thousand
/// cgroups are not thousands of allocations.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was begun.
    pub taken: Duration,
    /// Whether MGLRU is missing, and the oldest generation stands for the inactive lists.
    pub is_estimate: bool,
    paths: String,
    nodes: Vec<NodeLook>,
    cgroups: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: Range<usize>,
    id: u64,
    ino: u64,
    nodes: Range<usize>,
}

/// A memory cgroup in a [`Snapshot`].
#[derive(Clone, Copy, Debug)]
pub struct CgroupLook<'a> {
    /// As in `lru_gen`, with a leading `/`.
    pub path: &'a str,
    /// The kernel's id; 0 for one that is offline.
    pub id: u64,
    /// The inode number of its directory.
    pub ino: u64,
    /// Its NUMA nodes.
    pub nodes: &'a [NodeLook],
}

/// What `lru_gen` says of a memory cgroup on a NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeLook {
    /// The NUMA node.
    pub node: u32,
    /// Number of the oldest generation.
    pub min_seq: u64,
    /// Number of the youngest generation.
    pub max_seq: u64,
    /// Age of the youngest generation in ms.
    pub youngest_age_ms: i64,
    /// Anonymous pages of the oldest generation.
    pub anon: u64,
    /// File pages of the oldest generation.
    pub file: u64,
}

impl Snapshot {
    /// An empty one.
    pub fn new(taken: Duration) -> Self {
        Self {
            taken,
            ..Self::default()
        }
    }

    /// Adds a cgroup.
    pub fn push(
        &mut self,
        path: &str,
        id: u64,
        ino: u64,
        nodes: impl IntoIterator<Item = NodeLook>,
    ) {
        let path_start = self.paths.len();
        self.paths.push_str(path);
        let nodes_start = self.nodes.len();
        self.nodes.extend(nodes);
        self.cgroups.push(Entry {
            path: path_start..self.paths.len(),
            id,
            ino,
            nodes: nodes_start..self.nodes.len(),
        });
    }

    /// The cgroups, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = CgroupLook<'_>> {
        self.cgroups.iter().filter_map(|entry| {
            Some(CgroupLook {
                path: self.paths.get(entry.path.clone())?,
                id: entry.id,
                ino: entry.ino,
                nodes: self.nodes.get(entry.nodes.clone())?,
            })
        })
    }

    /// How many cgroups there are.
    pub fn len(&self) -> usize {
        self.cgroups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cgroups.is_empty()
    }
}
