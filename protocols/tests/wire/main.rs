//! What is on the wire and in the JSON form, compared with facts kept outside the `.proto` files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod contract;
mod golden;
#[cfg(feature = "with-serde")]
mod json;
#[path = "../golden/vectors.rs"]
#[allow(dead_code, reason = "the features decide what is read")]
mod vectors;
