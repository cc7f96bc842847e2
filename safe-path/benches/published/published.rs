//! Speed beside the published crate, pathrs and the bare system call; linearity; a cold run.

#[path = "../cases/mod.rs"]
mod cases;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cases::Contender;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn published_join() -> Contender {
    (
        "published",
        Box::new(|root, path| drop(published::scoped_join(root, path).unwrap())),
    )
}

fn published_pin() -> Contender {
    (
        "published",
        Box::new(|root, path| drop(published::PinnedPathBuf::new(root, path))),
    )
}

fn hot(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let cases = cases::cases(tmp.path());
    cases::compare(
        c,
        "scoped_join",
        &cases,
        &[
            cases::join(),
            published_join(),
            cases::pathrs(),
            cases::floor(),
        ],
    );
    let existing: Vec<_> = cases.into_iter().filter(|case| case.exists).collect();
    cases::compare(
        c,
        "PinnedPathBuf::new",
        &existing,
        &[
            cases::pin(),
            published_pin(),
            cases::pathrs(),
            cases::floor(),
        ],
    );
}

/// Roots that are no canonical paths.
fn odd_roots(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(base.join("root/d0/d1/d2/d3/d4")).unwrap();
    std::os::unix::fs::symlink("root", base.join("link")).unwrap();
    let mut group = c.benchmark_group("odd root");
    cases::quick(&mut group);
    for (name, root) in [
        ("symlink", base.join("link")),
        ("slash", base.join("root/")),
    ] {
        for path in ["d0", "d0/d1/d2/d3/d4"] {
            for (contender, resolve) in [cases::join(), published_join()] {
                let id = BenchmarkId::new(contender, format!("{name}/{path}"));
                group.bench_function(id, |b| b.iter(|| resolve(&root, Path::new(path))));
            }
        }
    }
}

/// Paths that cost the published crate time in the square of their length.
fn linear(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    std::fs::create_dir(root.join("x")).unwrap();
    let mut group = c.benchmark_group("long");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(1));
    group.measurement_time(Duration::from_secs(1));
    for components in [10_000, 20_000, 40_000, 80_000] {
        let path = PathBuf::from("a/".repeat(components));
        for (name, resolve) in [cases::join(), published_join()] {
            if name == "published" && components > 10_000 {
                continue; // 3 s for 80 000
            }
            group.bench_function(BenchmarkId::new(name, components), |b| {
                b.iter(|| resolve(&root, &path));
            });
        }
    }
    // 255 links, each with 800 detours.
    for link in 0..255 {
        let text = format!("{}l{}", "x/../".repeat(800), link + 1);
        std::os::unix::fs::symlink(text, root.join(format!("l{link}"))).unwrap();
    }
    for (name, resolve) in [cases::join(), published_join()] {
        group.bench_function(BenchmarkId::new(name, "255 links of 800 detours"), |b| {
            b.iter(|| resolve(&root, Path::new("l0")));
        });
    }
}

/// Each path is asked for once only: what a container's creation does.
fn first_use(c: &mut Criterion) {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().canonicalize().unwrap();
    let tail: PathBuf = (0..20).map(|level| format!("d{level}")).collect();
    let mut next = 0;
    let mut group = c.benchmark_group("first use");
    cases::quick(&mut group);
    for (name, resolve) in [cases::join(), published_join()] {
        group.bench_function(BenchmarkId::new(name, "depth-20"), |b| {
            b.iter_batched(
                || {
                    next += 1;
                    let root = base.join(format!("r{next}"));
                    std::fs::create_dir_all(root.join(&tail)).unwrap();
                    root
                },
                |root| resolve(&root, &tail),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// With the kernel's caches of names dropped (as root only), once per sample.
fn cold(c: &mut Criterion) {
    let drop_caches = || std::fs::write("/proc/sys/vm/drop_caches", "2").is_ok();
    if !drop_caches() {
        println!("INFO: skipping the cold run: /proc/sys/vm/drop_caches is not writable");
        return;
    }
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().canonicalize().unwrap();
    let tail: PathBuf = (0..20).map(|level| format!("d{level}")).collect();
    std::fs::create_dir_all(base.join(&tail)).unwrap();
    let mut group = c.benchmark_group("cold");
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(1));
    group.measurement_time(Duration::from_secs(1));
    for (name, resolve) in [cases::join(), published_join()] {
        group.bench_function(BenchmarkId::new(name, "depth-20"), |b| {
            b.iter_custom(|count| {
                let mut total = Duration::ZERO;
                for _ in 0..count.min(5) {
                    drop_caches();
                    let start = Instant::now();
                    resolve(black_box(&base), black_box(&tail));
                    total += start.elapsed();
                }
                total * u32::try_from(count).unwrap() / u32::try_from(count.min(5)).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hot, odd_roots, linear, first_use, cold);
criterion_main!(benches);
