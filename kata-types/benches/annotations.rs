//! Applying eighty annotations to a configuration, with eight patterns in `enable_annotations`.
//!
//! The floor is what cannot be left out: adjusting the configuration afterwards.
#![allow(clippy::unwrap_used, missing_docs, reason = "benchmark")]

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kata_types::annotations::{Annotation, markdown_reference};
use kata_types::config::{Agent, Hypervisor, TomlConfig};

fn config() -> TomlConfig {
    let devices = vec!["/dev/*".to_string()];
    let mut hypervisor = Hypervisor {
        path: "/dev/null".to_string(),
        valid_hypervisor_paths: devices.clone(),
        valid_jailer_paths: devices.clone(),
        ..Default::default()
    };
    hypervisor.boot_info.kernel = "/dev/null".to_string();
    hypervisor.blockdev_info.valid_vhost_user_store_paths = devices.clone();
    hypervisor.machine_info.valid_entropy_sources = devices.clone();
    hypervisor.memory_info.valid_file_mem_backends = devices.clone();
    hypervisor.shared_fs.valid_virtio_fs_daemon_paths = devices;
    hypervisor.security_info.enable_annotations = [
        "kernel.*",
        "[b-d].*",
        "[e-h].*",
        "enable_.*",
        "[i-m].*",
        "[n-r].*",
        "[s-u].*",
        "[vj].*",
    ]
    .map(str::to_string)
    .to_vec();
    let mut config = TomlConfig::default();
    config.hypervisor.insert("qemu".to_string(), hypervisor);
    config.agent.insert("kata".to_string(), Agent::default());
    config.runtime.name = "virt_container".to_string();
    config.runtime.hypervisor_name = "qemu".to_string();
    config.runtime.agent_name = "kata".to_string();
    config.adjust_config().unwrap();
    config
}

/// Every annotation that is applied, and some of others, as a pod has them.
fn annotations() -> Annotation {
    let page = markdown_reference();
    let mut annotations = HashMap::new();
    let mut prefix = String::new();
    for line in page.lines() {
        let Some(name) = line.split('`').nth(1) else {
            continue;
        };
        if line.starts_with("## ") {
            prefix = name.trim_end_matches('…').to_string();
        } else if line.starts_with("| `") && !line.contains("not applied") {
            annotations.insert(format!("{prefix}{name}"), value(line, name).to_string());
        }
    }
    for n in 0.. {
        if annotations.len() == 80 {
            break;
        }
        annotations.insert(format!("io.kubernetes.cri.other-{n}"), n.to_string());
    }
    Annotation::new(annotations)
}

fn value(row: &str, name: &str) -> &'static str {
    match name {
        "blk_logical_sector_size" | "blk_physical_sector_size" => "512",
        "cc_init_data" => "",
        "default_memory" => "256MiB",
        "hypervisor_name" => "qemu",
        "agent_name" => "kata",
        "hugepage_type" => "thp",
        "kernel_verity_params" => {
            "root_hash=ab,salt=cd,data_blocks=1,data_block_size=512,hash_block_size=512"
        }
        "name" => "virt-container",
        "prefetch_files.list" => "/dev/null",
        "shared_fs" => "virtio-9p",
        "shared_mounts" => "[]",
        _ if row.contains("integer") || row.contains("number") => "1",
        _ if row.contains("`true`") => "true",
        _ if row.contains("| path") => "/dev/null",
        _ => "a b",
    }
}

fn copy(config: &TomlConfig) -> TomlConfig {
    TomlConfig {
        agent: config.agent.clone(),
        hypervisor: config.hypervisor.clone(),
        runtime: config.runtime.clone(),
    }
}

fn bench(c: &mut Criterion) {
    let base = config();
    let annotations = annotations();
    assert_eq!(annotations.get_annotations().len(), 80);
    let mut applied = copy(&base);
    annotations
        .update_config_by_annotation(&mut applied)
        .unwrap();

    let mut group = c.benchmark_group("annotations");
    group.bench_function("eighty applied", |b| {
        b.iter_batched_ref(
            || copy(&base),
            |config| annotations.update_config_by_annotation(black_box(config)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("none applied", |b| {
        let none = Annotation::default();
        b.iter_batched_ref(
            || copy(&base),
            |config| none.update_config_by_annotation(black_box(config)),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("floor: adjusting the result alone", |b| {
        b.iter_batched_ref(
            || copy(&applied),
            |config| black_box(config).adjust_config(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
