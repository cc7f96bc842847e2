//! What it costs to load a configuration: the largest example with five drop-ins.
//!
//! The floor is reading the same files with `std::fs`; the baseline is what a program would do
//! with the `toml` crate alone: read, merge as generic tables, convert.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark stops at the first surprise; its items are not public"
)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use kata_types::config::{ConfigLoader, TomlConfig};

#[path = "../tests/common/mod.rs"]
mod common;

/// The largest example and five drop-ins, in a directory with the programs that they name.
fn prepare(root: &Path) -> PathBuf {
    let name = common::EXAMPLES
        .into_iter()
        .max_by_key(|name| common::example(name).len())
        .unwrap();
    let file = root.join("configuration.toml");
    fs::write(&file, common::below(root, &common::example(name))).unwrap();
    let drop_ins = root.join("config.d");
    fs::create_dir_all(&drop_ins).unwrap();
    for (name, text) in [
        (
            "10-debug.toml",
            "[runtime]\nenable_debug = true\n[agent.kata]\nenable_debug = true\n",
        ),
        (
            "20-size.toml",
            "[hypervisor.qemu]\ndefault_memory = 1024\ndefault_vcpus = 1\n",
        ),
        (
            "30-annotations.toml",
            "[hypervisor.qemu]\nenable_annotations = [\"kernel_params\"]\n",
        ),
        (
            "40-agent.toml",
            "[agent.kata]\ncreate_container_timeout = 90\n",
        ),
        (
            "50-tracing.toml",
            "[runtime]\nenable_tracing = false\njaeger_endpoint = \"\"\n",
        ),
    ] {
        fs::write(drop_ins.join(name), text).unwrap();
    }
    file
}

fn read_all(file: &Path) -> Vec<String> {
    let mut texts = vec![fs::read_to_string(file).unwrap()];
    let mut names: Vec<_> = fs::read_dir(file.parent().unwrap().join("config.d"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    texts.extend(names.iter().map(|path| fs::read_to_string(path).unwrap()));
    texts
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

fn with_toml_alone(file: &Path) -> TomlConfig {
    let mut merged = toml::Table::new();
    for text in read_all(file) {
        merge(&mut merged, text.parse().unwrap());
    }
    merged.try_into().unwrap()
}

fn benches(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let file = prepare(dir.path());
    let mut group = c.benchmark_group("config_load");
    group.bench_function("floor: read the files", |b| {
        b.iter(|| read_all(black_box(&file)))
    });
    group.bench_function("baseline: toml crate alone, raw", |b| {
        b.iter(|| with_toml_alone(black_box(&file)))
    });
    group.bench_function("raw", |b| {
        b.iter(|| TomlConfig::load_raw_from_file(black_box(&file)).unwrap())
    });
    group.bench_function("load + adjust + validate", |b| {
        b.iter(|| {
            let (config, path) = TomlConfig::load_from_file(black_box(&file)).unwrap();
            config.validate().unwrap();
            (config, path)
        })
    });
    group.bench_function("load + adjust, with diagnostics", |b| {
        b.iter(|| TomlConfig::load_from_file_with_diagnostics(black_box(&file)).unwrap())
    });
    group.bench_function("load + adjust, with origins", |b| {
        b.iter(|| TomlConfig::load_from_file_with_origins(black_box(&file)).unwrap())
    });
    let mut loaded = ConfigLoader::new(&file).read().unwrap();
    loaded.adjust().unwrap();
    group.bench_function("origins: render", |b| b.iter(|| loaded.origins().render()));
    group.finish();
}

criterion_group!(config_load, benches);
criterion_main!(config_load);
