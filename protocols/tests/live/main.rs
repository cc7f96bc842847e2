//! ttrpc servers and clients of the generated stubs over real sockets, blocking and async, in
//! every combination.
//!
//! Nothing waits for a time to pass: a call that must fail late has a handler that never answers,
//! and every call that must succeed has a limit only so that a defect cannot hang the tests.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[cfg(feature = "async")]
mod asynchronous;
mod blocking;
#[cfg(feature = "async")]
mod load;
#[cfg(feature = "async")]
mod mixed;
#[cfg(feature = "async")]
mod spec;

mod harness;
mod methods;
#[path = "../golden/vectors.rs"]
#[allow(dead_code, reason = "only the full messages are used")]
mod vectors;
