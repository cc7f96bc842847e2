//! `fs`, `mount` and `hooks` while one system call or allocation after the other fails: an error or
//! a true success, and nothing left behind.

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

use test_utils::faults::FailingAllocator;

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;
