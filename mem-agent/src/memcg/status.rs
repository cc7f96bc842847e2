//! What the memcg half tells of the cgroups that it manages.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::psi::Sampler;

/// How evictions of a cgroup on a NUMA node have ended, and what they took, since the agent knows the
/// cgroup.
#[derive(Debug, Clone)]
pub struct EvictionCount {
    /// Pages that left the oldest generation. Some of them may just have become younger:
    /// [`MemCgroup::reclaimed_pages`] has what the kernel reclaimed.
    pub page: u64,
    /// Ends because the oldest generation had no page left that may be taken.
    pub no_min_lru_file: u64,
    /// Ends because the oldest generation did not shrink.
    pub min_lru_inc: u64,
    /// Ends for any other reason: less than four generations, memory that is protected, time is up,
    /// the cgroup is disabled.
    pub other_error: u64,
    /// Ends because the kernel refused a command, or pressure could not be read.
    pub error: u64,
    /// Ends because of pressure, or of too many pages that came back.
    pub psi_exceeds_limit: u64,
}

impl EvictionCount {
    pub(super) const ZERO: Self = Self {
        page: 0,
        no_min_lru_file: 0,
        min_lru_inc: 0,
        other_error: 0,
        error: 0,
        psi_exceeds_limit: 0,
    };
}

/// A memory cgroup on a NUMA node, as `lru_gen`
/// ([Multi-Gen LRU](https://docs.kernel.org/admin-guide/mm/multigen_lru.html)) showed it last. Counts
/// are of base pages.
#[derive(Debug, Clone)]
pub struct Numa {
    /// Number of the youngest generation.
    pub max_seq: u64,
    /// Number of the oldest generation.
    pub min_seq: u64,
    /// When the youngest generation was made. Of the wall clock, and for display only.
    pub last_inc_time: DateTime<Utc>,
    /// File pages of the oldest generation.
    pub min_lru_file: u64,
    /// Anonymous pages of the oldest generation.
    pub min_lru_anon: u64,
    /// How often it has been aged.
    pub run_aging_count: u64,
    /// Its evictions.
    pub eviction_count: EvictionCount,
    /// How many periods it was passed over because of pressure.
    pub sleep_psi_exceeds_limit: u64,
    pub(super) sampler: Sampler,
}

/// A memory cgroup. One that is removed and made again under the same path starts anew.
#[derive(Debug, Clone)]
pub struct MemCgroup {
    /// Its NUMA nodes by number.
    pub numa: HashMap<u32, Numa>,
    /// The low 16 bits of [`kernel_id`](Self::kernel_id).
    pub id: u16,
    /// Inode number of its directory.
    pub ino: usize,
    pub(super) kernel_id: u64,
    pub(super) reclaimed_pages: u64,
}

impl MemCgroup {
    /// The id by which `lru_gen` knows it: of 16 bits in older kernels, of 64 in newer ones.
    pub fn kernel_id(&self) -> u64 {
        self.kernel_id
    }

    /// Pages that the kernel reclaimed in the cgroup and below it while the agent evicted from it
    /// (`pgsteal` of `memory.stat`, cgroup v2). 0 where the kernel does not tell.
    pub fn reclaimed_pages(&self) -> u64 {
        self.reclaimed_pages
    }
}
