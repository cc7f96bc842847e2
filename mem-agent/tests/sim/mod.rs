//! A simulated kernel: memory cgroups with their generations, the `lru_gen` file with its commands,
//! pressure, swap space, protection, `memory.reclaim`, free memory and compaction. Deterministic:
//! nothing happens in it but by calls, and all that looks random follows from a seed.
//!
//! For tests, benchmarks and examples: `#[path = "…/tests/sim/mod.rs"] mod sim;`.
//!
//! | Part | What it is |
//! |---|---|
//! | [`Lru`] | the generations of one cgroup on one NUMA node |
//! | [`Machine`] | all cgroups, time, swap space, free memory; [`Machine::write`] and [`Machine::dump`] are the `lru_gen` file |
//! | [`Profile`] | in what kernels differ |
//! | [`Disturbance`] | what can happen while the agent is at work |
//! | [`Simulator`] | a shared machine as the memcg half sees it, without any file |
//! | [`Tree`] | the same machine as files, with a clock and a compactor: an [`Env`](mem_agent::env::Env) |
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "test support, of which each user needs another part"
)]

mod lru;
mod lru_gen;
mod machine;
mod memory;
mod profile;
pub mod random;
mod rng;
mod simulator;
mod tree;

pub use lru::{ANON, Evicted, FILE, Generation, Lru, MAX_NR_GENS, MIN_NR_GENS};
pub use lru_gen::Disturbance;
pub use machine::{Cgroup, Costs, Counters, Features, Machine, PAGE, parent};
pub use memory::{LARGE_BLOCK, Memory};
pub use profile::{Absent, Ids, Profile, Reclaim, StaleAging};
pub use rng::Rng;
pub use simulator::Simulator;
pub use tree::Tree;
