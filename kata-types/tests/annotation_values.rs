//! What each annotation does to a configuration.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use fixture::{applied, apply, capture_log, config, hypervisor};
use kata_types::config::hypervisor::HugePageType;
use serde_json::{Value, json};

#[test]
fn every_key_sets_its_field() {
    // Annotation, value, pointer into the JSON form of the configuration, value there.
    let rows: &[(&str, &str, &str, Value)] = &[
        ("path", "/dev/zero", "path", json!("/dev/zero")),
        (
            "jailer_path",
            "/dev/zero",
            "jailer_path",
            json!("/dev/zero"),
        ),
        (
            "enable_iothreads",
            " true ",
            "enable_iothreads",
            json!(true),
        ),
        (
            "block_device_driver",
            "virtio-scsi",
            "block_device_driver",
            json!("virtio-scsi"),
        ),
        (
            "block_device_cache_set",
            "true",
            "block_device_cache_set",
            json!(true),
        ),
        (
            "block_device_cache_direct",
            "true",
            "block_device_cache_direct",
            json!(true),
        ),
        (
            "block_device_cache_noflush",
            "true",
            "block_device_cache_noflush",
            json!(true),
        ),
        (
            "disable_image_nvdimm",
            "true",
            "disable_image_nvdimm",
            json!(true),
        ),
        (
            "memory_offset",
            "18446744073709551615",
            "memory_offset",
            json!(u64::MAX),
        ),
        ("kernel", "/dev/zero", "kernel", json!("/dev/zero")),
        (
            "kernel_params",
            "a=2 c",
            "kernel_params",
            json!("b=1 a=2 c"),
        ),
        (
            "kernel_verity_params",
            "root_hash=abc,salt=def,data_blocks=1,data_block_size=4096,hash_block_size=4096",
            "kernel_verity_params",
            json!("root_hash=abc,salt=def,data_blocks=1,data_block_size=4096,hash_block_size=4096"),
        ),
        ("image", "/dev/zero", "image", json!("/dev/zero")),
        ("initrd", "/dev/zero", "initrd", json!("/dev/zero")),
        ("firmware", "/dev/zero", "firmware", json!("/dev/zero")),
        (
            "cpu_features",
            "pmu=off,vmx=off",
            "cpu_features",
            json!("pmu=off,vmx=off"),
        ),
        ("default_vcpus", " 0.5", "default_vcpus", json!(0.5)),
        (
            "hotplug_vfio_on_root_bus",
            "true",
            "hotplug_vfio_on_root_bus",
            json!(true),
        ),
        ("pcie_root_port", "16", "pcie_root_port", json!(16)),
        ("pcie_switch_port", "16", "pcie_switch_port", json!(16)),
        ("enable_iommu", "true", "enable_iommu", json!(true)),
        (
            "enable_iommu_platform",
            "true",
            "enable_iommu_platform",
            json!(true),
        ),
        ("machine_type", "virt", "machine_type", json!("virt")),
        (
            "machine_accelerators",
            "kvm,nvdimm",
            "machine_accelerators",
            json!("kvm,nvdimm"),
        ),
        (
            "entropy_source",
            "/dev/zero",
            "entropy_source",
            json!("/dev/zero"),
        ),
        (
            "prefetch_files.list",
            "/dev/zero",
            "prefetch_list_path",
            json!("/dev/zero"),
        ),
        ("default_memory", "100MiB", "default_memory", json!(100)),
        ("default_memory", " 256 ", "default_memory", json!(256)),
        ("memory_slots", "5", "memory_slots", json!(5)),
        (
            "enable_mem_prealloc",
            "true",
            "enable_mem_prealloc",
            json!(true),
        ),
        ("enable_hugepages", "true", "enable_hugepages", json!(true)),
        ("hugepage_type", " thp ", "hugepage_type", json!("thp")),
        (
            "file_mem_backend",
            "/dev/zero",
            "file_mem_backend",
            json!("/dev/zero"),
        ),
        (
            "enable_virtio_mem",
            "true",
            "enable_virtio_mem",
            json!(true),
        ),
        (
            "enable_guest_swap",
            "true",
            "enable_guest_swap",
            json!(true),
        ),
        (
            "disable_vhost_net",
            "true",
            "disable_vhost_net",
            json!(true),
        ),
        (
            "rx_rate_limiter_max_rate",
            "7",
            "rx_rate_limiter_max_rate",
            json!(7),
        ),
        (
            "tx_rate_limiter_max_rate",
            "8",
            "tx_rate_limiter_max_rate",
            json!(8),
        ),
        ("network_queues", "9", "network_queues", json!(9)),
        (
            "guest_hook_path",
            "/dev/zero",
            "guest_hook_path",
            json!("/dev/zero"),
        ),
        ("default_gpus", "2", "default_gpus", json!(2)),
        (
            "default_gpu_model",
            "tesla",
            "default_gpu_model",
            json!("tesla"),
        ),
        ("rootless", "true", "rootless", json!(true)),
        ("shared_fs", " virtio-9p ", "shared_fs", json!("virtio-9p")),
        (
            "virtio_fs_daemon",
            "/dev/zero",
            "virtio_fs_daemon",
            json!("/dev/zero"),
        ),
        ("virtio_fs_cache", "auto", "virtio_fs_cache", json!("auto")),
        (
            "virtio_fs_cache_size",
            "10",
            "virtio_fs_cache_size",
            json!(10),
        ),
        (
            "virtio_fs_extra_args",
            " -o, x y ,,b",
            "virtio_fs_extra_args",
            json!(["--configured", "-o", "x y", "b"]),
        ),
        (
            "blk_logical_sector_size",
            "512",
            "block_device_logical_sector_size",
            json!(512),
        ),
        (
            "blk_physical_sector_size",
            "65536",
            "block_device_physical_sector_size",
            json!(65536),
        ),
        ("block_device_num_queues", "3", "num_queues", json!(3)),
        ("block_device_queue_size", "64", "queue_size", json!(64)),
    ];
    let before = serde_json::to_value(config()).unwrap();
    for (name, value, field, expected) in rows {
        assert_ne!(&before["hypervisor"]["qemu"][field], expected, "{name}");
        let config = applied(&[(&format!("hypervisor.{name}"), value)]);
        let json = serde_json::to_value(&config).unwrap();
        let actual = &json["hypervisor"]["qemu"][field];
        assert_eq!(actual, expected, "{name}");
    }
    // Whatever the host has, both values are new. In the end, it bounds them.
    let host_cpus = num_cpus::get();
    for (name, value, expected) in [
        ("default_vcpus", "-1", (host_cpus as f32, host_cpus as u32)),
        ("default_max_vcpus", "1", (0.5, 1)),
    ] {
        let mut config = config();
        let info = &mut config.hypervisor.get_mut("qemu").unwrap().cpu_info;
        (info.default_vcpus, info.default_maxvcpus) = (0.5, u32::MAX);
        apply(&mut config, &[(&format!("hypervisor.{name}"), value)]).unwrap();
        let info = &hypervisor(&config).cpu_info;
        let actual = (info.default_vcpus, info.default_maxvcpus);
        assert_eq!(actual, expected, "{name}");
    }
    // The others have an effect on more than their own field.
    let config = applied(&[("hypervisor.disable_block_device_use", "true")]);
    assert!(hypervisor(&config).blockdev_info.disable_block_device_use);
    let config = applied(&[
        ("hypervisor.enable_vhost_user_store", "true"),
        ("hypervisor.vhost_user_store_path", "/dev/zero"),
    ]);
    let info = &hypervisor(&config).blockdev_info;
    assert!(info.enable_vhost_user_store);
    assert_eq!(info.vhost_user_store_path, "/dev/zero");
    let config = applied(&[("hypervisor.hugepage_type", "hugetlbfs")]);
    assert_eq!(
        hypervisor(&config).memory_info.hugepage_type,
        HugePageType::Hugetlbfs
    );
    let text = "version = '0.1.0'  # any text\r\n";
    let document = encode_text(text);
    let config = applied(&[("hypervisor.cc_init_data", &document)]);
    assert_eq!(hypervisor(&config).security_info.initdata, text);
    let config = applied(&[("hypervisor.cc_init_data", "")]);
    assert_eq!(hypervisor(&config).security_info.initdata, "");

    // Each of the 56 keys of the hypervisor section has been set above.
    let mut names: Vec<&str> = rows.iter().map(|row| row.0).collect();
    names.extend([
        "default_max_vcpus",
        "disable_block_device_use",
        "enable_vhost_user_store",
        "vhost_user_store_path",
        "cc_init_data",
    ]);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 56);
}

#[test]
fn empty_values_clear_paths_and_leave_parameters_alone() {
    let verity = "root_hash=abc,salt=def,data_blocks=1,data_block_size=4096,hash_block_size=4096";
    let configured = applied(&[
        ("hypervisor.kernel_verity_params", verity),
        ("hypervisor.firmware", "/dev/zero"),
    ]);
    for blank in ["", " \t"] {
        let mut config = configured.clone();
        apply(
            &mut config,
            &[
                ("hypervisor.kernel_verity_params", blank),
                ("hypervisor.kernel_params", blank),
                ("hypervisor.firmware", ""),
                ("hypervisor.virtio_fs_extra_args", blank),
                ("agent.kernel_modules", blank),
                ("runtime.experimental", ","),
            ],
        )
        .unwrap();
        let boot = &hypervisor(&config).boot_info;
        assert_eq!(boot.kernel_verity_params, verity);
        assert_eq!(boot.kernel_params, "a=1 b=1");
        assert_eq!(boot.firmware, "");
        let args = &hypervisor(&config).shared_fs.virtio_fs_extra_args;
        assert_eq!(args, &["--configured"]);
        assert_eq!(config.agent["kata"].kernel_modules, ["configured"]);
        assert_eq!(config.runtime.experimental, ["configured"]);
    }
}

#[test]
fn booleans_can_be_switched_off() {
    let keys = [
        "hypervisor.enable_iothreads",
        "hypervisor.enable_iommu",
        "agent.enable_tracing",
        "runtime.enable_pprof",
    ];
    let mut config = applied(&keys.map(|key| (key, "true")));
    apply(&mut config, &keys.map(|key| (key, "false\n"))).unwrap();
    assert!(!hypervisor(&config).enable_iothreads);
    assert!(!hypervisor(&config).device_info.enable_iommu);
    assert!(!config.agent["kata"].enable_tracing);
    assert!(!config.runtime.enable_pprof);
}

#[test]
fn text_is_stored_as_it_is() {
    let config = applied(&[
        ("hypervisor.virtio_fs_cache", " auto "),
        ("runtime.vfio_mode", " vfio"),
        ("runtime.internetworking_model", "none "),
    ]);
    assert_eq!(hypervisor(&config).shared_fs.virtio_fs_cache, " auto ");
    assert_eq!(config.runtime.vfio_mode, " vfio");
    assert_eq!(config.runtime.internetworking_model, "none ");
}

#[test]
fn shared_mounts_replace_the_configured_ones() {
    let mount = |name: &str| {
        format!(
            r#"{{"name":"{name}","src_ctr":"a","src_path":"/a","dst_ctr":"b","dst_path":"/b"}}"#
        )
    };
    let mut config = applied(&[(
        "runtime.shared_mounts",
        &format!("[{},{}]", mount("x"), mount("y")),
    )]);
    apply(
        &mut config,
        &[("runtime.shared_mounts", &format!(" [{}]\n", mount("z")))],
    )
    .unwrap();
    let names: Vec<&str> = config
        .runtime
        .shared_mounts
        .iter()
        .map(|mount| mount.name.as_str())
        .collect();
    assert_eq!(names, ["z"]);
    apply(&mut config, &[("runtime.shared_mounts", "[]")]).unwrap();
    assert!(config.runtime.shared_mounts.is_empty());
}

/// An annotation with any text: `encode_initdata` makes only documents, so it is put together here.
fn encode_text(text: &str) -> String {
    use base64::Engine;
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    base64::engine::general_purpose::STANDARD.encode(encoder.finish().unwrap())
}

#[test]
fn agent_and_runtime_keys_are_always_honoured() {
    let mut config = config();
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .security_info
        .enable_annotations
        .clear();
    apply(
        &mut config,
        &[
            ("agent.kernel_modules", "e1000e EEE=1; i915 x=0;;"),
            ("agent.enable_tracing", "true"),
            ("agent.container_pipe_size", " 4096 "),
            ("agent.cdh_api_timeout_ms", "1500"),
            ("runtime.create_container_timeout", "60"),
            ("runtime.name", "wasm-container"),
            ("runtime.disable_guest_seccomp", "true"),
            ("runtime.disable_guest_empty_dir", "true"),
            ("runtime.enable_pprof", "true"),
            ("runtime.experimental", "a, b ,,c d"),
            ("runtime.internetworking_model", "macvtap"),
            ("runtime.sandbox_cgroup_only", "true"),
            ("runtime.enable_vcpus_pinning", "true"),
            ("runtime.disable_new_netns", "true"),
            ("runtime.vfio_mode", "guest-kernel"),
            (
                "runtime.shared_mounts",
                r#"[{"name":"n","src_ctr":"a","src_path":"/a","dst_ctr":"b","dst_path":"/b"}]"#,
            ),
        ],
    )
    .unwrap();
    let agent = &config.agent["kata"];
    assert_eq!(
        agent.kernel_modules,
        ["configured", "e1000e EEE=1", "i915 x=0"]
    );
    assert!(agent.enable_tracing);
    assert_eq!(agent.container_pipe_size, 4096);
    assert_eq!(agent.cdh_api_timeout_ms, 1500);
    assert_eq!(agent.request_timeout_ms, 60_000);
    let runtime = &config.runtime;
    assert_eq!(runtime.name, "wasm-container");
    assert_eq!(runtime.experimental, ["configured", "a", "b", "c d"]);
    assert_eq!(runtime.internetworking_model, "macvtap");
    assert_eq!(runtime.vfio_mode, "guest-kernel");
    assert!(runtime.disable_guest_seccomp);
    assert!(runtime.disable_guest_empty_dir);
    assert!(runtime.enable_pprof);
    assert!(runtime.sandbox_cgroup_only);
    assert!(runtime.enable_vcpus_pinning);
    assert!(runtime.disable_new_netns);
    assert_eq!(runtime.shared_mounts.len(), 1);
    assert_eq!(runtime.shared_mounts[0].dst_path, "/b");
}

#[test]
fn timeouts_saturate() {
    let config = applied(&[("runtime.create_container_timeout", "5000000")]);
    assert_eq!(config.agent["kata"].request_timeout_ms, u32::MAX);
}

#[test]
fn relative_paths_are_accepted_and_made_absolute() {
    let mut config = config();
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .valid_hypervisor_paths = vec!["./.".to_string()];
    apply(&mut config, &[("hypervisor.path", "./.")]).unwrap();
    let directory = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(hypervisor(&config).path, directory.to_str().unwrap());
}

#[test]
fn accepted_memory_is_logged() {
    let log = capture_log(|| {
        applied(&[("hypervisor.default_memory", "1 GiB")]);
    });
    assert!(
        log.contains(&"INFO get mem 1024 from annotations: 1 GiB".to_string()),
        "{log:?}"
    );
}

#[test]
fn annotations_change_the_configuration_after_its_files_were_adjusted() {
    let mut config = config();
    let hv = config.hypervisor.get_mut("qemu").unwrap();
    hv.blockdev_info.disable_block_device_use = true;
    hv.blockdev_info.block_device_driver = "virtio-scsi".to_string();
    hv.shared_fs.shared_fs = Some("inline-virtio-fs".to_string());
    hv.shared_fs.virtio_fs_cache_size = 512;
    hv.cpu_info.default_vcpus = 2.0;
    hv.cpu_info.default_maxvcpus = 1;
    config.adjust_config().unwrap();

    let annotations = [
        ("hypervisor.disable_block_device_use", "false"),
        ("hypervisor.virtio_fs_cache_size", "0"),
        ("hypervisor.default_max_vcpus", "2"),
    ];
    apply(&mut config, &annotations).unwrap();
    let hv = hypervisor(&config);
    assert_eq!(hv.blockdev_info.block_device_driver, "virtio-blk-pci");
    assert_eq!(hv.shared_fs.virtio_fs_cache_size, 1024);
    assert_eq!(hv.cpu_info.default_vcpus, 1.0);

    let page = kata_types::annotations::markdown_reference();
    for consequence in ["`virtio-blk-pci`", "1024", "already adjusted"] {
        assert!(page.contains(consequence), "{consequence}");
    }
}
