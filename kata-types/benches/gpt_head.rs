//! Writing the head of a disk. The floor is the same file operations with bytes that are there
//! already: create, write 34 sectors, set the length, rename.
#![allow(clippy::unwrap_used, missing_docs, reason = "benchmark")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use kata_types::gpt_disk::{ErofsLayer, generate_gpt_metadata};

fn layers(count: usize) -> Vec<ErofsLayer> {
    (0..count)
        .map(|n| ErofsLayer {
            path: format!("/var/lib/containerd/snapshots/{n}/layer.erofs"),
            size_sectors: 20_000,
            snapshot_id: n.to_string(),
        })
        .collect()
}

fn write(directory: &Path, bytes: &[u8]) {
    let (temporary, target) = (directory.join("temporary"), directory.join("head"));
    let mut file = File::create_new(&temporary).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(1 << 20).unwrap();
    drop(file);
    fs::rename(temporary, target).unwrap();
}

fn bench(c: &mut Criterion) {
    // Containers' directories are on tmpfs.
    let shm = Path::new("/dev/shm");
    let dir = if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let mut group = c.benchmark_group("gpt head");
    for count in [2usize, 32, 128] {
        let layers = layers(count);
        group.bench_with_input(BenchmarkId::new("layers", count), &layers, |b, layers| {
            b.iter_batched(
                || layers.clone(),
                |layers| generate_gpt_metadata("sandbox", "container", layers, dir.path()).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("floor: file operations", |b| {
        let bytes = vec![1; 34 * 512];
        b.iter(|| write(dir.path(), black_box(&bytes)));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
