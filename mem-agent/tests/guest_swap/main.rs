//! The agent on a real kernel with MGLRU, PSI, cgroup v2 and swap.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../guest/mod.rs"]
mod guest;

mod cgroups;
mod eviction;
mod load;

#[test]
#[ignore = "what other tests start in a cgroup"]
fn process_in_a_cgroup() {
    guest::use_memory();
}
