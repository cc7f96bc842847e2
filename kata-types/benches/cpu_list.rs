//! Parsing CPU lists. Time must grow with the list and not faster; the floor is splitting the text
//! and parsing its numbers.
#![allow(clippy::unwrap_used, missing_docs, reason = "benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kata_types::cpu::CpuSet;

fn numbers(list: &str) -> u64 {
    list.split([',', '-'])
        .map(|number| u64::from(number.parse::<u32>().unwrap()))
        .sum()
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("cpu list");
    for items in [16u32, 256, 4096, 65_536] {
        let ascending: Vec<String> = (0..items).map(|n| (2 * n).to_string()).collect();
        let ascending = ascending.join(",");
        let descending: Vec<String> = (0..items)
            .rev()
            .map(|n| format!("{}-{}", 4 * n, 4 * n + 2))
            .collect();
        let descending = descending.join(",");
        group.throughput(Throughput::Elements(u64::from(items)));
        for (name, list) in [("ids", &ascending), ("ranges, descending", &descending)] {
            group.bench_with_input(BenchmarkId::new(name, items), list, |b, list| {
                b.iter(|| black_box(list).parse::<CpuSet>().unwrap());
            });
            let floor = format!("floor: {name}");
            group.bench_with_input(BenchmarkId::new(floor, items), list, |b, list| {
                b.iter(|| numbers(black_box(list)));
            });
        }
    }
    group.throughput(Throughput::Elements(1 << 20));
    group.bench_function("largest range", |b| {
        b.iter(|| black_box("0-1048575").parse::<CpuSet>().unwrap());
    });
    group.bench_function("floor: largest range", |b| {
        b.iter(|| (0..black_box(1u32 << 20)).collect::<Vec<u32>>());
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
