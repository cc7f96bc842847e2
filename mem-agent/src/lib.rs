#![doc = include_str!("../README.md")]

#[macro_use]
mod log;

mod blocking;
mod mglru;
mod proc;
mod psi;
mod text;
mod timer;

pub mod agent;
pub mod compact;
pub mod env;
pub mod memcg;

#[doc(hidden)]
pub use log::__private;

/// The pure parts and the seam below the memcg half, for simulators, benchmarks and fuzzing. Not
/// part of the interface: it may change in any release.
#[doc(hidden)]
pub mod testing {
    pub use crate::compact::policy as compact_policy;
    pub use crate::env::{CgroupLook, Host, NodeLook, Protection, Snapshot, Watch};
    pub use crate::memcg::policy as memcg_policy;
    pub use crate::mglru::{Command, Dump, Generation, MAX_NR_GENS, Memcg, Node, Wanted};
    pub use crate::proc::MemoryStat;
    pub use crate::psi::{Pressure, Sampler, Totals, Window};

    /// The machine of an `Env`, as the memcg half sees it; to be probed first.
    pub fn host(env: crate::env::Env) -> std::sync::Arc<dyn Host> {
        std::sync::Arc::new(crate::env::SystemHost::new(env, crate::env::Cancel::new()))
    }

    /// `some … total=` of a pressure file, in µs.
    ///
    /// # Errors
    ///
    /// It is not in the first line.
    pub fn parse_pressure(text: &[u8]) -> anyhow::Result<u64> {
        crate::psi::parse_total(text)
    }

    /// Free movable pages in blocks below an order, of `/proc/pagetypeinfo`.
    pub fn parse_pagetypeinfo(text: &str, order: u8) -> u64 {
        crate::proc::free_movable_pages(text.as_bytes(), order)
    }

    /// The value of a key of `/proc/meminfo`, in kB.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn parse_meminfo(text: &[u8], key: &str) -> anyhow::Result<u64> {
        crate::proc::meminfo_kb(text, key)
    }

    /// What is of interest in `memory.stat`.
    pub fn parse_memory_stat(text: &[u8]) -> MemoryStat {
        MemoryStat::parse(text)
    }
}
