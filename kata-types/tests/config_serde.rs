//! The JSON and TOML forms of the configuration.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use std::fmt::Debug;

use kata_types::config::hypervisor::{
    BlockDeviceInfo, BootInfo, CpuInfo, DebugInfo, DeviceInfo, Factory, HypervisorVendor,
    KernelVerityParams, MachineInfo, MemoryInfo, NetworkInfo, RateLimiterConfig, RemoteInfo,
    RootlessUser, SecurityInfo, SharedFsInfo, VmTemplateInfo,
};
use kata_types::config::{
    Agent, AgentVendor, Hypervisor, MemAgent, Runtime, RuntimeVendor, SharedMount, TomlConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `Default` is what an empty table is (D18).
fn assert_default_is_empty<T: Default + Debug + Serialize + DeserializeOwned>() {
    let default = serde_json::to_value(T::default()).unwrap();
    for (form, empty) in [
        ("JSON", serde_json::from_str::<T>("{}").unwrap()),
        ("TOML", toml::from_str::<T>("").unwrap()),
        ("TOML 0.5", toml05::from_str::<T>("").unwrap()),
    ] {
        let value = serde_json::to_value(&empty).unwrap();
        assert_eq!(value, default, "{} from {form}", std::any::type_name::<T>());
        assert_eq!(format!("{empty:?}"), format!("{:?}", T::default()));
    }
}

#[test]
fn default_is_the_empty_table_for_every_type() {
    assert_default_is_empty::<TomlConfig>();
    assert_default_is_empty::<Agent>();
    assert_default_is_empty::<AgentVendor>();
    assert_default_is_empty::<MemAgent>();
    assert_default_is_empty::<Runtime>();
    assert_default_is_empty::<RuntimeVendor>();
    assert_default_is_empty::<SharedMount>();
    assert_default_is_empty::<Hypervisor>();
    assert_default_is_empty::<HypervisorVendor>();
    assert_default_is_empty::<BlockDeviceInfo>();
    assert_default_is_empty::<BootInfo>();
    assert_default_is_empty::<CpuInfo>();
    assert_default_is_empty::<DebugInfo>();
    assert_default_is_empty::<DeviceInfo>();
    assert_default_is_empty::<Factory>();
    assert_default_is_empty::<MachineInfo>();
    assert_default_is_empty::<MemoryInfo>();
    assert_default_is_empty::<NetworkInfo>();
    assert_default_is_empty::<RateLimiterConfig>();
    assert_default_is_empty::<RemoteInfo>();
    assert_default_is_empty::<RootlessUser>();
    assert_default_is_empty::<SecurityInfo>();
    assert_default_is_empty::<SharedFsInfo>();
    assert_default_is_empty::<VmTemplateInfo>();
}

/// The on-disk form of a hypervisor in the state of a sandbox, with the default of each key.
const HYPERVISOR: &str = r#"{
  "path": "",
  "valid_hypervisor_paths": [],
  "ctlpath": "",
  "valid_ctlpaths": [],
  "jailer_path": "",
  "valid_jailer_paths": [],
  "disable_nesting_checks": false,
  "enable_iothreads": false,
  "disable_block_device_use": false,
  "block_device_driver": "",
  "block_device_aio": "",
  "block_device_cache_set": false,
  "block_device_cache_direct": false,
  "block_device_cache_noflush": false,
  "block_device_logical_sector_size": 0,
  "block_device_physical_sector_size": 0,
  "disable_image_nvdimm": false,
  "memory_offset": 0,
  "enable_vhost_user_store": false,
  "vhost_user_store_path": "",
  "valid_vhost_user_store_paths": [],
  "disk_rate_limiter_bw_max_rate": 0,
  "disk_rate_limiter_bw_one_time_burst": null,
  "disk_rate_limiter_ops_max_rate": 0,
  "disk_rate_limiter_ops_one_time_burst": null,
  "queue_size": 0,
  "num_queues": 0,
  "kernel": "",
  "kernel_params": "",
  "kernel_verity_params": "",
  "initrd": "",
  "image": "",
  "rootfs_type": "",
  "firmware": "",
  "vm_rootfs_driver": "",
  "cpu_features": "",
  "default_vcpus": 0.0,
  "default_maxvcpus": 0,
  "enable_debug": false,
  "log_level": "info",
  "guest_memory_dump_paging": false,
  "guest_memory_dump_path": "",
  "extra_monitor_socket": "",
  "default_bridges": 0,
  "hotplug_vfio_on_root_bus": false,
  "cold_plug_vfio": "",
  "pcie_root_port": 0,
  "pcie_switch_port": 0,
  "enable_iommu": false,
  "enable_iommu_platform": false,
  "reclaim_guest_freed_memory": false,
  "machine_type": "",
  "machine_accelerators": "",
  "pflashes": [],
  "entropy_source": "",
  "valid_entropy_sources": [],
  "default_memory": 0,
  "default_maxmemory": 0,
  "memory_slots": 0,
  "file_mem_backend": "",
  "valid_file_mem_backends": [],
  "enable_mem_prealloc": false,
  "enable_hugepages": false,
  "hugepage_type": "hugetlbfs",
  "enable_virtio_mem": false,
  "enable_guest_swap": false,
  "guest_swap_path": "/run/kata-containers/swap",
  "guest_swap_size_percent": 100,
  "guest_swap_create_threshold_secs": 60,
  "disable_vhost_net": false,
  "rx_rate_limiter_max_rate": 0,
  "tx_rate_limiter_max_rate": 0,
  "network_queues": 0,
  "shared_fs": null,
  "virtio_fs_daemon": "",
  "valid_virtio_fs_daemon_paths": [],
  "virtio_fs_extra_args": [],
  "virtio_fs_cache": "",
  "virtio_fs_cache_size": 0,
  "virtio_fs_queue_size": 0,
  "virtio_fs_is_dax": false,
  "hypervisor_socket": "",
  "hypervisor_timeout": 0,
  "default_gpus": 0,
  "default_gpu_model": "",
  "boot_to_be_template": false,
  "boot_from_template": false,
  "memory_path": "",
  "device_state_path": "",
  "prefetch_list_path": "",
  "disable_guest_selinux": true,
  "disable_selinux": false,
  "rootless": false,
  "disable_seccomp": false,
  "confidential_guest": false,
  "sev_snp_guest": false,
  "snp_id_block": "",
  "snp_id_auth": "",
  "snp_guest_policy": 196608,
  "guest_hook_path": "",
  "initdata": "",
  "enable_annotations": [],
  "tdx_quote_generation_service_socket_port": 4050,
  "seccomp_sandbox": null,
  "selinux_label": null,
  "rootless_user": null,
  "factory": {
    "enable_template": false,
    "template_path": ""
  }
}"#;

#[test]
fn hypervisor_json_has_all_keys_in_declaration_order() {
    let json = serde_json::to_string_pretty(&Hypervisor::default()).unwrap();
    assert_eq!(json, HYPERVISOR);
}

/// Every key with a value that is not its default, except aliases.
fn full_hypervisor() -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(HYPERVISOR).unwrap();
    for (key, entry) in value.as_object_mut().unwrap() {
        *entry = match key.as_str() {
            "hugepage_type" => "thp".into(),
            "default_vcpus" => 2.5.into(),
            "hypervisor_timeout" => (-7).into(),
            "shared_fs" | "seccomp_sandbox" | "selinux_label" => format!("some {key}").into(),
            "rootless_user" => serde_json::json!({
                "uid": 1, "gid": 2, "groups": [3, 4], "user_name": "five"
            }),
            "factory" => serde_json::json!({"enable_template": true, "template_path": "/t"}),
            _ if entry.is_null() => 99.into(),
            _ => match entry {
                serde_json::Value::Bool(default) => (!*default).into(),
                serde_json::Value::Number(_) => 77.into(),
                serde_json::Value::String(_) => format!("text of {key}").into(),
                serde_json::Value::Array(_) => serde_json::json!(["a", key]),
                other => panic!("{key}: {other}"),
            },
        };
    }
    value
}

fn full_config() -> TomlConfig {
    let agent = serde_json::json!({
        "enable_debug": true, "log_level": "warn", "enable_tracing": true,
        "debug_console_enabled": true, "server_port": 1, "log_port": 2, "passfd_listener_port": 3,
        "dial_timeout_ms": 4, "reconnect_timeout_ms": 5, "cdh_api_timeout_ms": 6,
        "create_container_timeout": 7, "health_check_request_timeout_ms": 8,
        "kernel_modules": ["a b=1", "c"], "container_pipe_size": 9, "launch_process_timeout": 10,
        "visible_cdi_devices": true, "policy": "p",
        "mem_agent": {
            "enable": true, "memcg_disable": false, "memcg_swap": true, "memcg_swappiness_max": 1,
            "memcg_period_secs": 2, "memcg_period_psi_percent_limit": 3,
            "memcg_eviction_psi_percent_limit": 4, "memcg_eviction_run_aging_count_min": 5,
            "compact_disable": true, "compact_period_secs": 6,
            "compact_period_psi_percent_limit": 7, "compact_psi_percent_limit": 8,
            "compact_sec_max": -9, "compact_order": 10, "compact_threshold": 11,
            "compact_force_times": 12
        }
    });
    let runtime = serde_json::json!({
        "name": "n", "hypervisor_name": "qemu", "agent_name": "kata", "enable_debug": true,
        "log_level": "warn", "experimental": ["x"], "internetworking_model": "none",
        "disable_new_netns": true, "sandbox_bind_mounts": ["/a:ro"], "sandbox_cgroup_only": true,
        "enable_vcpus_pinning": true, "enable_tracing": true, "jaeger_endpoint": "e",
        "jaeger_user": "u", "jaeger_password": "p", "enable_pprof": true,
        "static_sandbox_resource_mgmt": true, "disable_guest_seccomp": true,
        "disable_guest_empty_dir": true, "emptydir_mode": "m", "vfio_mode": "v",
        "keep_abnormal": true, "dan_conf": "d", "use_passfd_io": true,
        "passfd_listener_port": 5, "pod_resource_api_sock": "s",
        "shared_mounts": [
            {"name": "n", "src_ctr": "a", "src_path": "/s", "dst_ctr": "b", "dst_path": "/d"},
            {"name": "m", "src_ctr": "", "src_path": "", "dst_ctr": "", "dst_path": ""}
        ]
    });
    let config = serde_json::json!({
        "agent": {"kata": agent, "other": {}},
        "hypervisor": {"qemu": full_hypervisor(), "a b.c": {}},
        "runtime": runtime
    });
    serde_json::from_value(config).unwrap()
}

#[test]
fn every_key_of_a_hypervisor_comes_back() {
    let full = full_hypervisor();
    let hv: Hypervisor = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(serde_json::to_value(&hv).unwrap(), full);
}

#[test]
fn every_key_of_a_configuration_comes_back_from_json_and_toml() {
    for config in [TomlConfig::default(), full_config()] {
        let value = serde_json::to_value(&config).unwrap();
        let texts = [
            toml::to_string(&config).unwrap(),
            toml::to_string_pretty(&config).unwrap(),
            // D25
            toml05::to_string(&config).unwrap(),
            toml05::to_string_pretty(&config).unwrap(),
        ];
        for text in texts {
            let new: TomlConfig = toml::from_str(&text).unwrap();
            assert_eq!(serde_json::to_value(new).unwrap(), value, "{text}");
            let old: TomlConfig = toml05::from_str(&text).unwrap();
            assert_eq!(serde_json::to_value(old).unwrap(), value, "{text}");
        }
        let json: TomlConfig =
            serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
        assert_eq!(serde_json::to_value(json).unwrap(), value);
    }
}

#[test]
fn full_values_differ_from_defaults_everywhere() {
    let full = serde_json::to_value(full_config()).unwrap();
    let default: serde_json::Value = serde_json::from_str(HYPERVISOR).unwrap();
    for (key, value) in default.as_object().unwrap() {
        assert_ne!(&full["hypervisor"]["qemu"][key], value, "{key}");
    }
    for (key, value) in serde_json::to_value(Agent::default())
        .unwrap()
        .as_object()
        .unwrap()
    {
        assert_ne!(&full["agent"]["kata"][key], value, "{key}");
    }
    for (key, value) in serde_json::to_value(Runtime::default())
        .unwrap()
        .as_object()
        .unwrap()
    {
        // The sample vendor extension has keys of its own.
        if key != "log_prefix" {
            assert_ne!(&full["runtime"][key], value, "{key}");
        }
    }
}

#[test]
fn sections_are_written_in_the_order_of_their_names() {
    let mut config = TomlConfig::default();
    for name in ["c", "a", "b", "e", "d"] {
        config.agent.insert(name.into(), Agent::default());
        config.hypervisor.insert(name.into(), Hypervisor::default());
    }
    let text = serde_json::to_string(&config).unwrap();
    let names = ["\"a\":", "\"b\":", "\"c\":", "\"d\":", "\"e\":"];
    let places: Vec<_> = names.iter().map(|name| text.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn unknown_and_missing_keys_of_a_hypervisor_are_tolerated() {
    let hv: Hypervisor =
        serde_json::from_str(r#"{"from_the_future": {"x": [1]}, "kernel": "k"}"#).unwrap();
    assert_eq!(hv.boot_info.kernel, "k");
    assert_eq!(hv.memory_info.guest_swap_size_percent, 100);
    let config: TomlConfig =
        toml::from_str("x = 1\n[runtime]\ny = 2\n[factory]\nenable_template = true\n").unwrap();
    assert_eq!(config.runtime.log_level, "info");
}

#[test]
fn options_may_be_null() {
    let hv: Hypervisor = serde_json::from_str(
        r#"{"shared_fs": null, "rootless_user": null, "disk_rate_limiter_bw_one_time_burst": null}"#,
    )
    .unwrap();
    assert!(hv.shared_fs.shared_fs.is_none());
}

#[test]
fn aliases_are_read_and_never_written() {
    let table = "remote_hypervisor_socket = \"/s\"\nremote_hypervisor_timeout = 5\n\
                 dbg_monitor_socket = \"qmp\"\n";
    let hv: Hypervisor = toml::from_str(table).unwrap();
    assert_eq!(hv.remote_info.hypervisor_socket, "/s");
    assert_eq!(hv.remote_info.hypervisor_timeout, 5);
    assert_eq!(hv.debug_info.extra_monitor_socket, "qmp");
    let written = toml::to_string(&hv).unwrap();
    assert!(!written.contains("remote_hypervisor"), "{written}");
    assert!(!written.contains("dbg_monitor"), "{written}");

    let agent: Agent = toml::from_str("[mem_agent]\nmem_agent_enable = true\n").unwrap();
    assert!(agent.mem_agent.enable);
    assert!(
        !toml::to_string(&agent)
            .unwrap()
            .contains("mem_agent_enable")
    );
}

#[test]
fn a_key_and_its_alias_together_are_a_duplicate() {
    for (table, field) in [
        (
            "hypervisor_socket = \"\"\nremote_hypervisor_socket = \"\"",
            "hypervisor_socket",
        ),
        (
            "hypervisor_timeout = 1\nremote_hypervisor_timeout = 1",
            "hypervisor_timeout",
        ),
        (
            "dbg_monitor_socket = \"\"\nextra_monitor_socket = \"\"",
            "extra_monitor_socket",
        ),
    ] {
        let error = toml::from_str::<Hypervisor>(table).unwrap_err().to_string();
        assert!(
            error.contains(&format!("duplicate field `{field}`")),
            "{error}"
        );
    }
    let table = "[mem_agent]\nenable = true\nmem_agent_enable = true";
    assert!(toml::from_str::<Agent>(table).is_err());
}

#[test]
fn verity_parameters_have_no_defaults() {
    let full = serde_json::json!({
        "root_hash": "a", "salt": "b", "data_blocks": 1, "data_block_size": 2, "hash_block_size": 3
    });
    let params: KernelVerityParams = serde_json::from_value(full.clone()).unwrap();
    assert_eq!(serde_json::to_value(&params).unwrap(), full);
    for key in full.as_object().unwrap().keys() {
        let mut less = full.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(
            serde_json::from_value::<KernelVerityParams>(less).is_err(),
            "{key}"
        );
    }
}

#[test]
fn strict_tables_refuse_unknown_keys() {
    for table in [
        "[factory]\nvm_cache_number = 1",
        "[rootless_user]\nname = \"x\"",
    ] {
        assert!(toml::from_str::<Hypervisor>(table).is_err(), "{table}");
    }
    for table in [
        "[agent.kata]\ndial_timeout = 1",
        "[agent.kata.mem_agent]\nx = 1",
        "[[runtime.shared_mounts]]\nx = 1",
    ] {
        assert!(toml::from_str::<TomlConfig>(table).is_err(), "{table}");
    }
}

#[test]
fn vcpus_may_be_integers_or_fractions() {
    for (text, value) in [("2", 2.0), ("2.5", 2.5), ("-1", -1.0), ("nan", f32::NAN)] {
        let hv: Hypervisor = toml::from_str(&format!("default_vcpus = {text}")).unwrap();
        let vcpus = hv.cpu_info.default_vcpus;
        assert!(
            vcpus == value || vcpus.is_nan() && value.is_nan(),
            "{text}: {vcpus}"
        );
    }
}

#[test]
fn the_configuration_can_be_shared_between_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<TomlConfig>();
    assert_send_sync::<kata_types::config::KataConfig>();
}
