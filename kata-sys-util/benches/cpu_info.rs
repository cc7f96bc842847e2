//! The description of one CPU, against reading all of `/proc/cpuinfo`, and the floor of one
//! `read(2)` of the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "benchmark"
)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;

use criterion::{Criterion, criterion_group, criterion_main};
use kata_sys_util::cpu::{PROC_CPUINFO, get_single_cpu_info};

const DELIMITER: &str = "\nprocessor";

/// What a machine with 384 CPUs has, as a plain file: the kernel takes longer to make it up.
fn many_cpus() -> tempfile::NamedTempFile {
    let this_machine = fs::read_to_string(PROC_CPUINFO).unwrap();
    let one = this_machine.split("\n\n").next().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{one}\n\n").repeat(384)).unwrap();
    file
}

fn compare(criterion: &mut Criterion, name: &str, path: &str) {
    let mut group = criterion.benchmark_group(name);
    group.bench_function("floor: open and read 4 KiB", |b| {
        b.iter(|| {
            let mut block = [0; 4096];
            let count = File::open(path).unwrap().read(&mut block).unwrap();
            black_box(block[count / 2])
        });
    });
    group.bench_function("get_single_cpu_info", |b| {
        b.iter(|| get_single_cpu_info(black_box(path), DELIMITER).unwrap());
    });
    group.bench_function("baseline: whole file and split", |b| {
        b.iter(|| {
            let text = fs::read_to_string(black_box(path)).unwrap();
            text.split(DELIMITER).next().unwrap().to_owned()
        });
    });
    group.finish();
}

fn cpu_info(criterion: &mut Criterion) {
    compare(criterion, "cpu_info/this machine", PROC_CPUINFO);
    let file = many_cpus();
    compare(
        criterion,
        "cpu_info/384 CPUs",
        file.path().to_str().unwrap(),
    );
}

criterion_group!(benches, cpu_info);
criterion_main!(benches);
