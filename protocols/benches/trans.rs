//! What the conversions of `protocols::trans` cost for a realistic container: a default seccomp
//! profile of 350 system call names, 20 mounts, 30 environment entries.
//!
//! Beside each conversion stand a baseline and a floor:
//!
//! * *level by level*: the same conversion in the style that copies the whole subtree at every
//!   level before it converts it, so that a string at depth *d* is copied *d* times;
//! * *clone*: one copy of the value that is converted, which is what any conversion costs that does
//!   not move;
//! * *drop*: freeing the value, as conversions that copy have to do.
//!
//! The allocations of each are printed before its time.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "benchmark")]

mod trans {
    pub(crate) mod container;
    pub(crate) mod level_by_level;
}

use std::hint::black_box;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use oci_spec::runtime as oci;
use protobuf::Message;
use protocols::{
    oci as grpc,
    trans::{TryFromProto, to_proto_checked},
};
use test_utils::allocation::{CountingAllocator, allocated_by};
use trans::{container, level_by_level};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn to_proto(c: &mut Criterion) {
    let mut rows = Rows::new(c, "oci to grpc", container::spec());
    rows.row("From", grpc::Spec::from);
    rows.row("to_proto_checked", to_proto_checked);
    rows.row("baseline: level by level", level_by_level::to_proto);
    rows.row("floor: clone", |spec| (spec.clone(), spec));
    rows.row("floor: drop", drop);
}

fn from_proto(c: &mut Criterion) {
    let mut rows = Rows::new(c, "grpc to oci", grpc::Spec::from(container::spec()));
    rows.row("From", oci::Spec::from);
    rows.row("try_from_proto", oci::Spec::try_from_proto);
    rows.row("baseline: level by level", level_by_level::from_proto);
    rows.row("floor: clone", |proto| (proto.clone(), proto));
    rows.row("floor: drop", drop);
}

/// Conversions of one value.
struct Rows<'a, T> {
    group: BenchmarkGroup<'a, WallTime>,
    name: &'static str,
    value: T,
}

impl<'a, T: Clone> Rows<'a, T> {
    fn new(c: &'a mut Criterion, name: &'static str, value: T) -> Self {
        let group = c.benchmark_group(name);
        Self { group, name, value }
    }

    /// Counts and times `convert`, without freeing its result.
    fn row<U>(&mut self, name: &str, convert: fn(T) -> U) {
        // What is made once and kept is not the conversion's.
        drop(convert(self.value.clone()));
        let value = self.value.clone();
        let (_result, allocated) = allocated_by(|| convert(value));
        let (calls, bytes) = (allocated.calls, allocated.total);
        println!("{} | {name}: {calls} allocations, {bytes} bytes", self.name);
        self.group.bench_function(name, |b| {
            b.iter_batched(|| self.value.clone(), convert, BatchSize::SmallInput);
        });
    }
}

/// The codecs around the conversions, for scale.
fn codecs(c: &mut Criterion) {
    let spec = container::spec();
    let proto = grpc::Spec::from(spec.clone());
    let bytes = proto.write_to_bytes().expect("encodes");
    let json = serde_json::to_vec(&spec).expect("serialises");
    println!(
        "codecs: {} bytes of protobuf, {} bytes of JSON",
        bytes.len(),
        json.len()
    );

    let mut group = c.benchmark_group("codecs");
    group.bench_function("protobuf encode", |b| {
        b.iter(|| black_box(&proto).write_to_bytes());
    });
    group.bench_function("protobuf decode", |b| {
        b.iter(|| grpc::Spec::parse_from_bytes(black_box(&bytes)));
    });
    group.bench_function("serde_json encode", |b| {
        b.iter(|| serde_json::to_vec(black_box(&spec)));
    });
    group.bench_function("serde_json decode", |b| {
        b.iter(|| serde_json::from_slice::<oci::Spec>(black_box(&json)));
    });
    group.finish();
}

criterion_group!(benches, to_proto, from_proto, codecs);
criterion_main!(benches);
