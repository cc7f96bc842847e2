//! `reflink_copy` of a sparse file of 1 GiB that holds 64 MiB of data, and of a small file.
//!
//! Floor: `copy_file_range(2)` of the parts that hold data. Baseline: `cp --reflink=auto`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kata_sys_util::fs::reflink_copy;

const SIZE: i64 = 1 << 30;
const PARTS: i64 = 64;
const PART: usize = 1 << 20;

fn sparse(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (src, dst) = (dir.path().join("src"), dir.path().join("dst"));
    let file = File::create(&src).unwrap();
    file.set_len(SIZE.cast_unsigned()).unwrap();
    for position in positions() {
        file.write_all_at(&vec![0xa5; PART], position.cast_unsigned())
            .unwrap();
    }
    file.sync_all().unwrap();

    reflink_copy(&src, &dst).unwrap();
    File::open(&dst).unwrap().sync_all().unwrap();
    let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
    println!("512-byte blocks: {} of {}", blocks(&dst), blocks(&src));
    // Not equal: how a file lies on the disk takes some blocks, too.
    assert!(blocks(&dst) < blocks(&src) + 512, "holes are lost");

    let mut group = criterion.benchmark_group("sparse 1 GiB");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(10));
    group.bench_function("floor copy_file_range(2)", |b| {
        b.iter(|| copy_parts(&src, &dst))
    });
    group.bench_function("reflink_copy", |b| {
        b.iter(|| reflink_copy(&src, &dst).unwrap())
    });
    group.bench_function("baseline cp --reflink=auto", |b| b.iter(|| cp(&src, &dst)));
    group.finish();
}

fn small(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let (src, dst) = (dir.path().join("src"), dir.path().join("dst"));
    fs::write(&src, [0xa5; 4096]).unwrap();
    let mut group = criterion.benchmark_group("4 KiB");
    group.bench_function("floor read and write", |b| {
        b.iter(|| fs::write(&dst, fs::read(&src).unwrap()).unwrap());
    });
    group.bench_function("reflink_copy", |b| {
        b.iter(|| reflink_copy(&src, &dst).unwrap())
    });
    group.sample_size(30);
    group.bench_function("baseline cp --reflink=auto", |b| b.iter(|| cp(&src, &dst)));
    group.finish();
}

fn positions() -> impl Iterator<Item = i64> {
    (0..PARTS).map(|part| part * (SIZE / PARTS))
}

fn cp(src: &Path, dst: &Path) {
    let status = Command::new("cp")
        .arg("--reflink=auto")
        .args([src, dst])
        .status();
    assert!(status.unwrap().success());
}

fn copy_parts(src: &Path, dst: &Path) {
    let (source, target) = (File::open(src).unwrap(), File::create(dst).unwrap());
    for position in positions() {
        let (mut from, mut to) = (position, position);
        let mut left = PART;
        while left > 0 {
            // SAFETY: both offsets are valid for reading and writing during the call.
            let copied = unsafe {
                libc::copy_file_range(
                    source.as_raw_fd(),
                    &mut from,
                    target.as_raw_fd(),
                    &mut to,
                    left,
                    0,
                )
            };
            left -= usize::try_from(copied).unwrap();
        }
    }
    target.set_len(SIZE.cast_unsigned()).unwrap();
}

criterion_group!(benches, sparse, small);
criterion_main!(benches);
