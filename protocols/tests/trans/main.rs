//! The conversions of `protocols::trans` as a whole: their surface, the normal form that a
//! specification takes on its way over the wire, and what arbitrary bytes do to them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod any_bytes;
mod messages;
mod model;
mod normal_form;
mod specs;
mod surface;
