//! Writing and reading a state, beside plain serde on the same fields. The floor for writing is a
//! copy of the finished document.

#![allow(missing_docs, clippy::unwrap_used, reason = "benchmark")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use runtime_spec::{ContainerState, State};
use serde::{Deserialize, Serialize};

/// The same fields without a fixed order of annotations.
#[derive(Clone, Serialize, Deserialize)]
struct Derived {
    #[serde(
        default,
        rename = "ociVersion",
        skip_serializing_if = "String::is_empty"
    )]
    version: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    status: ContainerState,
    #[serde(default)]
    pid: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    bundle: String,
    #[serde(default, skip_serializing_if = "HashMap::is_empty")]
    annotations: HashMap<String, String>,
}

fn state(annotations: usize) -> State {
    let id = "7f9c24e8f5d0e1c1b0b4a6e6c3a4f0d2b1a59c7e3d8f6a1029384756abcdef01";
    State {
        version: "1.2.0".to_owned(),
        id: id.to_owned(),
        status: ContainerState::Created,
        pid: 20491,
        bundle: format!("/run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}"),
        annotations: (0..annotations)
            .map(|i| {
                (
                    format!("io.kubernetes.cri.annotation-{i}"),
                    format!("the value of {i}"),
                )
            })
            .collect(),
    }
}

fn write(c: &mut Criterion) {
    let mut group = c.benchmark_group("write");
    for annotations in [0, 10, 30, 200] {
        let state = state(annotations);
        let document = state.to_json();
        let derived: Derived = serde_json::from_str(&document).unwrap();
        let mut bench = |name, routine: &dyn Fn() -> String| {
            let id = BenchmarkId::new(name, annotations);
            group.bench_function(id, |b| b.iter(|| black_box(routine())));
        };
        bench("floor: copy", &|| black_box(&document).clone());
        bench("to_json", &|| black_box(&state).to_json());
        bench("serde_json", &|| {
            serde_json::to_string(black_box(&state)).unwrap()
        });
        bench("baseline: derived, unsorted", &|| {
            serde_json::to_string(black_box(&derived)).unwrap()
        });
    }
    group.finish();
}

/// What running ten hooks spends on the state: the baseline clones and serialises it for each.
fn ten_hooks(c: &mut Criterion) {
    let state = state(10);
    let derived: Derived = serde_json::from_str(&state.to_json()).unwrap();
    let mut group = c.benchmark_group("ten hooks");
    group.bench_function("to_json once", |b| b.iter(|| black_box(&state).to_json()));
    group.bench_function("baseline: clone and serialise for each", |b| {
        b.iter(|| {
            for _ in 0..10 {
                let state = black_box(&derived).clone();
                black_box(serde_json::to_string(&state).unwrap());
            }
        });
    });
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    let document = state(10).to_json();
    group.bench_function("State", |b| {
        b.iter(|| serde_json::from_str::<State>(black_box(&document)).unwrap());
    });
    group.bench_function("baseline: derived", |b| {
        b.iter(|| serde_json::from_str::<Derived>(black_box(&document)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, write, ten_hooks, read);
criterion_main!(benches);
