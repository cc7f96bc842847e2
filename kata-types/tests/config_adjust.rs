//! Adjusting and validating whole configurations, on this machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use kata_types::config::{Agent, Hypervisor, SharedMount, TomlConfig};
use proptest::prelude::*;

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("/missing".to_owned()),
        1 => Just(String::new()),
        9 => existing_path(),
    ]
}

fn existing_path() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "/dev/null",
        "/dev/../dev/./null",
        "/proc/self/../../dev/urandom",
        "/proc/mounts",
        ".",
    ])
    .prop_map(str::to_owned)
}

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "",
        "none",
        "virtio-fs",
        "inline-virtio-fs",
        "virtio-fs-nydus",
        "never",
        "auto",
        "native",
        "io_uring",
        "virtio-blk-pci",
        "virtio-blk",
        " a , b",
        "tcfilter",
        "macvtap",
        "shared-fs",
    ])
    .prop_map(str::to_owned)
}

fn aio() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::sample::select(vec!["", "io_uring", "native", "threads"]),
        1 => Just("posix"),
    ]
    .prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 1u32..10, 30u32..300, 1000u32..5000, any::<u32>(),]
}

fn vcpus() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => Just(0.0),
        4 => -2.0f32..600.0,
        1 => any::<f32>(),
    ]
}

prop_compose! {
    fn hypervisor()(
        paths in prop::array::uniform8(existing_path()),
        optional in prop::array::uniform4(path()),
        other in path(),
        aio in aio(),
        words in prop::array::uniform4(word()),
        numbers in prop::array::uniform9(number()),
        flags in any::<[bool; 6]>(),
        vcpus in vcpus(),
    ) -> Hypervisor {
        let mut hv = Hypervisor::default();
        let [path, ctlpath, jailer, kernel, image, initrd, firmware, entropy] = paths;
        hv.path = path;
        hv.ctlpath = ctlpath;
        hv.jailer_path = jailer;
        hv.boot_info.kernel = kernel;
        hv.boot_info.image = image;
        hv.boot_info.initrd = initrd;
        for (field, value) in [
            &mut hv.prefetch_list_path,
            &mut hv.memory_info.file_mem_backend,
            &mut hv.ctlpath,
            &mut hv.jailer_path,
        ]
        .into_iter()
        .zip(optional)
        {
            if value != "/missing" {
                *field = value;
            }
        }
        hv.boot_info.firmware = firmware;
        hv.machine_info.entropy_source = entropy;
        hv.machine_info.pflashes = vec![other.clone(), String::new()];
        hv.remote_info.hypervisor_socket = "/dev/null".into();
        hv.shared_fs.virtio_fs_daemon = other;

        let [driver, shared_fs, cache, features] = words;
        hv.blockdev_info.block_device_driver = driver;
        hv.blockdev_info.block_device_aio = aio;
        hv.shared_fs.shared_fs = flags[0].then_some(shared_fs);
        hv.shared_fs.virtio_fs_cache = cache;
        hv.cpu_info.cpu_features = features.clone();
        hv.machine_info.machine_accelerators = features;

        let [maxvcpus, bridges, memory, maxmemory, slots, queues, dax, queue_size, port] = numbers;
        hv.cpu_info.default_vcpus = vcpus;
        hv.cpu_info.default_maxvcpus = maxvcpus;
        hv.device_info.default_bridges = bridges;
        hv.device_info.pcie_switch_port = port;
        hv.memory_info.default_memory = memory;
        hv.memory_info.default_maxmemory = maxmemory;
        hv.memory_info.memory_slots = slots;
        hv.network_info.network_queues = queues;
        hv.shared_fs.virtio_fs_cache_size = dax;
        hv.blockdev_info.queue_size = queue_size;

        hv.shared_fs.virtio_fs_is_dax = flags[1];
        hv.blockdev_info.disable_block_device_use = flags[2];
        hv.blockdev_info.enable_vhost_user_store = flags[3];
        hv.blockdev_info.vhost_user_store_path = "/dev".into();
        hv.security_info.confidential_guest = flags[4];
        hv.security_info.enable_annotations = vec!["kern".into(), "(".into(), ".*".into()];
        hv.valid_hypervisor_paths = vec!["[".into()];
        hv
    }
}

prop_compose! {
    fn config()(
        sections in prop::collection::hash_map(
            prop::sample::select(
                vec!["qemu", "clh", "dragonball", "firecracker", "remote", "unheard-of"]
            ),
            hypervisor(),
            0..4,
        ),
        active in prop::sample::select(
            vec!["qemu", "clh", "dragonball", "firecracker", "remote", "", "nothing"]
        ),
        model in word(),
        mode in word(),
        mount in path(),
        netns in any::<bool>(),
        dial in number(),
        reconnect in number(),
    ) -> TomlConfig {
        let mut config = TomlConfig::default();
        for (name, hv) in sections {
            config.hypervisor.insert(name.to_owned(), hv);
        }
        config.runtime.hypervisor_name = active.to_owned();
        config.runtime.internetworking_model = model;
        config.runtime.emptydir_mode = mode;
        config.runtime.disable_new_netns = netns;
        config.runtime.sandbox_bind_mounts = vec![format!("{mount}:ro"), "/dev".into()];
        config.runtime.shared_mounts = vec![SharedMount::default()];
        let agent = Agent {
            dial_timeout_ms: dial,
            reconnect_timeout_ms: reconnect,
            ..Default::default()
        };
        config.agent.insert("kata".into(), agent);
        config
    }
}

/// All of a configuration that can be compared; `NaN` becomes `null`.
fn value(config: &TomlConfig) -> serde_json::Value {
    serde_json::to_value(config).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn adjusting_again_changes_nothing(mut config in config()) {
        match config.adjust_config() {
            Ok(()) => {
                let once = value(&config);
                let valid = config.validate().map_err(|e| e.to_string());
                config.adjust_config().unwrap();
                prop_assert_eq!(value(&config), once);
                prop_assert_eq!(config.validate().map_err(|e| e.to_string()), valid);
            }
            Err(error) => {
                let again = config.adjust_config().unwrap_err();
                prop_assert_eq!(again.to_string(), error.to_string());
            }
        }
    }

    #[test]
    fn adjusted_sections_come_back_from_json(mut config in config()) {
        if config.adjust_config().is_ok() {
            for hv in config.hypervisor.values() {
                let text = serde_json::to_string(hv).unwrap();
                // An inactive section may hold what JSON has no number for.
                if hv.cpu_info.default_vcpus.is_finite() {
                    let again: Hypervisor = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(serde_json::to_string(&again).unwrap(), text);
                }
            }
        }
    }

    #[test]
    fn the_same_error_every_time(config in config()) {
        let outcome = |config: &TomlConfig| {
            let mut config = config.clone();
            let adjusted = config.adjust_config().map_err(|e| e.to_string());
            (adjusted, config.validate().map_err(|e| e.to_string()))
        };
        prop_assert_eq!(outcome(&config), outcome(&config));
    }
}

fn qemu() -> TomlConfig {
    toml::from_str(
        r#"
        [hypervisor.qemu]
        path = "/dev/null"
        kernel = "/dev/null"
        image = "/dev/null"
        default_memory = 64
        default_maxmemory = 128
        [agent.kata]
        [runtime]
        hypervisor_name = "qemu"
        agent_name = "kata"
        "#,
    )
    .unwrap()
}

#[test]
fn a_minimal_configuration_is_valid() {
    let mut config = qemu();
    config.adjust_config().unwrap();
    config.validate().unwrap();
    assert_eq!(config.hypervisor["qemu"].machine_info.machine_type, "q35");
    assert_eq!(config.runtime.emptydir_mode, "shared-fs");
}

#[test]
fn an_empty_configuration_is_valid_adjusted_or_not() {
    let mut config = TomlConfig::default();
    config.validate().unwrap();
    config.adjust_config().unwrap();
    config.validate().unwrap();
    assert!(config.get_agent_kernel_params().unwrap().is_empty());
}

#[test]
fn hypervisors_come_before_the_runtime_and_the_runtime_before_agents() {
    let mut config = qemu();
    config.adjust_config().unwrap();
    config.agent.get_mut("kata").unwrap().dial_timeout_ms = 0;
    let text = |config: &TomlConfig| config.validate().unwrap_err().to_string();
    assert_eq!(text(&config), "dial_timeout_ms couldn't be 0.");
    config.runtime.vfio_mode = "x".into();
    assert_eq!(text(&config), "Invalid vfio_mode `x` in configuration file");
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .boot_info
        .image
        .clear();
    assert_eq!(
        text(&config),
        "Both guest boot image and initrd for qemu are empty"
    );
}

#[test]
fn factory_is_the_one_of_the_active_hypervisor() {
    let mut config = qemu();
    assert_eq!(config.get_factory().template_path, "");
    let factory = &mut config.hypervisor.get_mut("qemu").unwrap().factory;
    factory.template_path = "/t".into();
    factory.enable_template = true;
    assert_eq!(config.get_factory().template_path, "/t");
    assert!(config.get_factory().enable_template);
    config.runtime.hypervisor_name = "clh".into();
    assert!(!config.get_factory().enable_template);
}

#[test]
fn kernel_parameters_are_those_of_the_active_agent() {
    let mut config = qemu();
    let quiet = config.get_agent_kernel_params().unwrap();
    assert_eq!(
        quiet.into_iter().collect::<Vec<_>>(),
        [("agent.cdh_api_timeout".to_owned(), "50".to_owned())]
    );
    config.runtime.agent_name = "none".into();
    assert!(config.get_agent_kernel_params().unwrap().is_empty());
}

#[test]
fn all_errors_of_rules_have_kind_other() {
    let mut config = qemu();
    config.hypervisor.get_mut("qemu").unwrap().path = "/missing".into();
    let error = config.adjust_config().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
    let error = config.validate().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Other);
}
