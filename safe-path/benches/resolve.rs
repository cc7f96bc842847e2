//! Speed of `scoped_join` and `PinnedPathBuf::new` beside pathrs and the bare system call.
//!
//! `published/` beside this file adds the crate of the same name on the registry.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "benchmark"
)]

mod cases;

use criterion::{Criterion, criterion_group, criterion_main};

fn resolve(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let cases = cases::cases(tmp.path());
    cases::compare(c, "scoped_join", &cases, &[cases::join(), cases::floor()]);
    let existing: Vec<_> = cases.into_iter().filter(|case| case.exists).collect();
    let contenders = [cases::pin(), cases::pathrs(), cases::floor()];
    cases::compare(c, "PinnedPathBuf::new", &existing, &contenders);
}

criterion_group!(benches, resolve);
criterion_main!(benches);
