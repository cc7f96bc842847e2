//! `mount` and `fs` against the real kernel, through the public API.
//!
//! Tests that mount run in a process with user and mount namespaces of its own
//! ([`private_mounts!`]), so that they need no privilege where the kernel allows that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests"
)]

#[macro_use]
mod support;

mod attack;
mod bind;
mod destination;
mod fallback;
mod files;
mod lease;
mod mounter;
mod overlay;
mod query;
mod reflink;
mod umount;
