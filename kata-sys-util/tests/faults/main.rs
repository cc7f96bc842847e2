//! `fs`, `mount`, `hooks` and `netns` while one system call or allocation after the other fails: an
//! error or a true success, and nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod files;
mod hooks;
mod mounts;
mod netns;
mod umounts;

use test_utils::faults::FailingAllocator;

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;
