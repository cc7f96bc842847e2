//! The generator that the build script runs, and the comments of the `.proto` files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bounded;
mod comments;
mod documentation;
mod modules;
mod rustdoc;

#[path = "../../build/mod.rs"]
mod generator;
