//! What it costs to look at 1000 cgroups on 2 NUMA nodes, beside the cost of reading the same bytes.
//!
//! Floors: `floor …` reads the same files by `open`, `read` and `close` into one buffer, and does
//! nothing with them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "benchmark"
)]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mem_agent::env::{CgroupVersion, Env};
use mem_agent::memcg::Actuator;
use mem_agent::testing::{Dump, Host, Wanted, host};

const CGROUPS: u64 = 1000;

struct Tree {
    root: tempfile::TempDir,
    text: String,
    cgroups: Vec<String>,
}

/// A dump with the kernel's spacing, and a directory with pressure files for each cgroup.
fn tree() -> Tree {
    let root = tempfile::tempdir().unwrap();
    let sys = root.path().join("sys");
    for dir in ["kernel/mm/lru_gen", "kernel/debug", "fs/cgroup"] {
        fs::create_dir_all(sys.join(dir)).unwrap();
    }
    fs::write(sys.join("kernel/mm/lru_gen/enabled"), "0x0007\n").unwrap();
    let pressure = "some avg10=0.00 avg60=0.12 avg300=1.00 total=123456789\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7654321\n";
    let (mut text, mut cgroups) = (String::new(), Vec::new());
    for id in 0..CGROUPS {
        let path = format!("/kubepods/pod{}/container-{id}", id / 10);
        let dir = sys.join("fs/cgroup").join(path.trim_start_matches('/'));
        fs::create_dir_all(&dir).unwrap();
        for file in ["memory.pressure", "io.pressure"] {
            fs::write(dir.join(file), pressure).unwrap();
        }
        writeln!(text, "memcg {:5} {path}", id + 100).unwrap();
        for node in 0..2 {
            writeln!(text, " node {node:5}").unwrap();
            for seq in 0..4 {
                let (age, pages) = (930_410 - seq * 300_000, id * 97 + seq * 1013);
                writeln!(text, " {seq:10} {age:10} {pages:10}  {:10} ", pages * 3).unwrap();
            }
        }
        cgroups.push(path);
    }
    fs::write(sys.join("fs/cgroup/memory.pressure"), pressure).unwrap();
    fs::write(sys.join("kernel/debug/lru_gen"), &text).unwrap();
    Tree {
        root,
        text,
        cgroups,
    }
}

fn read_all(path: &Path, buffer: &mut Vec<u8>) {
    buffer.clear();
    let length = File::open(path).unwrap().read_to_end(buffer).unwrap();
    black_box(length);
}

fn observe(c: &mut Criterion) {
    let tree = tree();
    let sys = tree.root.path().join("sys");
    let env = Env {
        sys_root: sys.clone(),
        cgroup: CgroupVersion::V2,
        ..Env::default()
    };
    let host: Arc<dyn Host> = host(env);
    let psi = host.probe(Path::new(""), Actuator::LruGen).unwrap();
    let lru_gen = sys.join("kernel/debug/lru_gen");
    let files: Vec<PathBuf> = tree
        .cgroups
        .iter()
        .flat_map(|path| {
            let dir = psi.join(path.trim_start_matches('/'));
            ["memory.pressure", "io.pressure"].map(|file| dir.join(file))
        })
        .collect();
    let wanted = [tree.cgroups[500].clone()].into();
    let mut buffer = Vec::with_capacity(1 << 20);

    let mut group = c.benchmark_group("text of lru_gen");
    group.throughput(Throughput::Bytes(tree.text.len() as u64));
    group.bench_function("floor: read", |b| {
        b.iter(|| read_all(&lru_gen, &mut buffer))
    });
    // `lru_gen` is no file in memory: the kernel prints it, as it does this one.
    group.bench_function("floor: read as much that the kernel prints", |b| {
        b.iter(|| {
            buffer.clear();
            let file = File::open("/proc/kallsyms").unwrap();
            let length = file
                .take(tree.text.len() as u64)
                .read_to_end(&mut buffer)
                .unwrap();
            black_box(length);
        });
    });
    group.bench_function("parse all", |b| {
        b.iter(|| Dump::parse(black_box(tree.text.as_bytes()), Wanted::All))
    });
    group.bench_function("parse one of 1000", |b| {
        b.iter(|| Dump::parse(black_box(tree.text.as_bytes()), Wanted::Paths(&wanted)));
    });
    group.finish();

    let mut group = c.benchmark_group("observation pass");
    group.bench_function("floor: read the same files", |b| {
        b.iter(|| {
            read_all(&lru_gen, &mut buffer);
            for file in &files {
                read_all(file, &mut buffer);
            }
        });
    });
    group.bench_function("lru_gen and pressure of each cgroup", |b| {
        b.iter(|| {
            let snapshot = host.snapshot(None).unwrap();
            for look in snapshot.iter() {
                black_box(host.pressure(&psi, look.path).unwrap());
            }
            assert_eq!(snapshot.len() as u64, CGROUPS);
        });
    });
    group.bench_function("look during an eviction from one", |b| {
        b.iter(|| {
            let snapshot = host.snapshot(Some(&wanted)).unwrap();
            black_box(host.pressure(&psi, &tree.cgroups[500]).unwrap());
            assert_eq!(snapshot.len(), 1);
        });
    });
    group.finish();
}

criterion_group!(benches, observe);
criterion_main!(benches);
