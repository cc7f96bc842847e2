//! The values of the public constants: other programs are compiled against them.
#![allow(missing_docs, reason = "tests")]

use kata_types::config::default::*;
use kata_types::config::*;
use kata_types::config::{TomlConfig, hypervisor};

#[test]
fn default_texts() {
    for (name, value, expected) in [
        ("DEFAULT_AGENT_NAME", DEFAULT_AGENT_NAME, "kata-agent"),
        ("DEFAULT_AGENT_TYPE_NAME", DEFAULT_AGENT_TYPE_NAME, "kata"),
        (
            "DEFAULT_RUNTIME_NAME",
            DEFAULT_RUNTIME_NAME,
            "virt_container",
        ),
        ("DEFAULT_HYPERVISOR", DEFAULT_HYPERVISOR, "dragonball"),
        (
            "DEFAULT_INTERNETWORKING_MODEL",
            DEFAULT_INTERNETWORKING_MODEL,
            "tcfilter",
        ),
        (
            "DEFAULT_BLOCK_DEVICE_TYPE",
            DEFAULT_BLOCK_DEVICE_TYPE,
            "virtio-blk-pci",
        ),
        (
            "DEFAULT_VHOST_USER_STORE_PATH",
            DEFAULT_VHOST_USER_STORE_PATH,
            "/var/run/vhost-user",
        ),
        (
            "DEFAULT_BLOCK_DEVICE_AIO_THREADS",
            DEFAULT_BLOCK_DEVICE_AIO_THREADS,
            "threads",
        ),
        (
            "DEFAULT_BLOCK_DEVICE_AIO_NATIVE",
            DEFAULT_BLOCK_DEVICE_AIO_NATIVE,
            "native",
        ),
        (
            "DEFAULT_BLOCK_DEVICE_AIO",
            DEFAULT_BLOCK_DEVICE_AIO,
            "io_uring",
        ),
        (
            "DEFAULT_SHARED_FS_TYPE",
            DEFAULT_SHARED_FS_TYPE,
            "virtio-fs",
        ),
        (
            "DEFAULT_VIRTIO_FS_CACHE_MODE",
            DEFAULT_VIRTIO_FS_CACHE_MODE,
            "never",
        ),
        (
            "DEFAULT_GUEST_HOOK_PATH",
            DEFAULT_GUEST_HOOK_PATH,
            "/opt/kata/hooks",
        ),
        (
            "DEFAULT_GUEST_DNS_FILE",
            DEFAULT_GUEST_DNS_FILE,
            "/etc/resolv.conf",
        ),
        (
            "DEFAULT_DRAGONBALL_GUEST_KERNEL_IMAGE",
            DEFAULT_DRAGONBALL_GUEST_KERNEL_IMAGE,
            "vmlinuz",
        ),
        (
            "DEFAULT_DRAGONBALL_GUEST_KERNEL_PARAMS",
            DEFAULT_DRAGONBALL_GUEST_KERNEL_PARAMS,
            "",
        ),
        (
            "DEFAULT_DRAGONBALL_ENTROPY_SOURCE",
            DEFAULT_DRAGONBALL_ENTROPY_SOURCE,
            "/dev/urandom",
        ),
        (
            "DEFAULT_QEMU_BINARY_PATH",
            DEFAULT_QEMU_BINARY_PATH,
            "/usr/bin/qemu-system-x86_64",
        ),
        ("DEFAULT_QEMU_ROOTFS_TYPE", DEFAULT_QEMU_ROOTFS_TYPE, "ext4"),
        ("DEFAULT_QEMU_CONTROL_PATH", DEFAULT_QEMU_CONTROL_PATH, ""),
        (
            "DEFAULT_QEMU_MACHINE_TYPE",
            DEFAULT_QEMU_MACHINE_TYPE,
            "q35",
        ),
        (
            "DEFAULT_QEMU_ENTROPY_SOURCE",
            DEFAULT_QEMU_ENTROPY_SOURCE,
            "/dev/urandom",
        ),
        (
            "DEFAULT_QEMU_GUEST_KERNEL_IMAGE",
            DEFAULT_QEMU_GUEST_KERNEL_IMAGE,
            "vmlinuz",
        ),
        (
            "DEFAULT_QEMU_GUEST_KERNEL_PARAMS",
            DEFAULT_QEMU_GUEST_KERNEL_PARAMS,
            "",
        ),
        ("DEFAULT_QEMU_FIRMWARE_PATH", DEFAULT_QEMU_FIRMWARE_PATH, ""),
        (
            "DEFAULT_CH_BINARY_PATH",
            DEFAULT_CH_BINARY_PATH,
            "/usr/bin/cloud-hypervisor",
        ),
        ("DEFAULT_CH_ROOTFS_TYPE", DEFAULT_CH_ROOTFS_TYPE, "ext4"),
        ("DEFAULT_CH_CONTROL_PATH", DEFAULT_CH_CONTROL_PATH, ""),
        (
            "DEFAULT_CH_ENTROPY_SOURCE",
            DEFAULT_CH_ENTROPY_SOURCE,
            "/dev/urandom",
        ),
        (
            "DEFAULT_CH_GUEST_KERNEL_IMAGE",
            DEFAULT_CH_GUEST_KERNEL_IMAGE,
            "vmlinuz",
        ),
        (
            "DEFAULT_CH_GUEST_KERNEL_PARAMS",
            DEFAULT_CH_GUEST_KERNEL_PARAMS,
            "",
        ),
        ("DEFAULT_CH_FIRMWARE_PATH", DEFAULT_CH_FIRMWARE_PATH, ""),
        (
            "DEFAULT_FIRECRACKER_ENTROPY_SOURCE",
            DEFAULT_FIRECRACKER_ENTROPY_SOURCE,
            "/dev/urandom",
        ),
        (
            "DEFAULT_FIRECRACKER_GUEST_KERNEL_IMAGE",
            DEFAULT_FIRECRACKER_GUEST_KERNEL_IMAGE,
            "vmlinux",
        ),
        (
            "DEFAULT_FIRECRACKER_GUEST_KERNEL_PARAMS",
            DEFAULT_FIRECRACKER_GUEST_KERNEL_PARAMS,
            "",
        ),
        (
            "DEFAULT_REMOTE_HYPERVISOR_SOCKET",
            DEFAULT_REMOTE_HYPERVISOR_SOCKET,
            "/run/peerpod/hypervisor.sock",
        ),
        (
            "DEFAULT_TEMPLATE_PATH",
            DEFAULT_TEMPLATE_PATH,
            "/run/vc/vm/template",
        ),
    ] {
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn default_numbers() {
    // The type is part of the contract.
    let _: u32 = DEFAULT_AGENT_VSOCK_PORT;
    let _: u32 = DEFAULT_AGENT_LOG_PORT;
    let _: u32 = DEFAULT_AGENT_DBG_CONSOLE_PORT;
    let _: u32 = DEFAULT_PASSFD_LISTENER_PORT;
    let _: u32 = DEFAULT_AGENT_DIAL_TIMEOUT_MS;
    let _: u64 = DEFAULT_BLOCK_NVDIMM_MEM_OFFSET;
    let _: u32 = DEFAULT_BLOCK_DEVICE_NUM_QUEUES;
    let _: u32 = DEFAULT_BLOCK_DEVICE_QUEUE_SIZE;
    let _: u32 = DEFAULT_VIRTIO_FS_DAX_SIZE_MB;
    let _: u32 = DEFAULT_GUEST_VCPUS;
    let _: u32 = DEFAULT_DRAGONBALL_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_DRAGONBALL_MEMORY_SLOTS;
    let _: u32 = MAX_DRAGONBALL_VCPUS;
    let _: u32 = MIN_DRAGONBALL_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_QEMU_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_QEMU_MEMORY_SLOTS;
    let _: u32 = DEFAULT_QEMU_PCI_BRIDGES;
    let _: u32 = MAX_QEMU_PCI_BRIDGES;
    let _: u32 = MAX_QEMU_VCPUS;
    let _: u32 = MIN_QEMU_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_CH_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_CH_MEMORY_SLOTS;
    let _: u32 = DEFAULT_CH_PCI_BRIDGES;
    let _: u32 = MAX_CH_PCI_BRIDGES;
    let _: u32 = MAX_CH_VCPUS;
    let _: u32 = MIN_CH_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_FIRECRACKER_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_FIRECRACKER_MEMORY_SLOTS;
    let _: u32 = DEFAULT_FIRECRACKER_VCPUS;
    let _: u32 = MAX_FIRECRACKER_VCPUS;
    let _: u32 = MIN_FIRECRACKER_MEMORY_SIZE_MB;
    let _: i32 = DEFAULT_REMOTE_HYPERVISOR_TIMEOUT;
    let _: u32 = MAX_REMOTE_VCPUS;
    let _: u32 = MIN_REMOTE_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_REMOTE_MEMORY_SIZE_MB;
    let _: u32 = DEFAULT_REMOTE_MEMORY_SLOTS;
    for (name, value, expected) in [
        (
            "DEFAULT_AGENT_VSOCK_PORT",
            DEFAULT_AGENT_VSOCK_PORT as u64,
            1024,
        ),
        (
            "DEFAULT_AGENT_LOG_PORT",
            DEFAULT_AGENT_LOG_PORT as u64,
            1025,
        ),
        (
            "DEFAULT_AGENT_DBG_CONSOLE_PORT",
            DEFAULT_AGENT_DBG_CONSOLE_PORT as u64,
            1026,
        ),
        (
            "DEFAULT_PASSFD_LISTENER_PORT",
            DEFAULT_PASSFD_LISTENER_PORT as u64,
            1027,
        ),
        (
            "DEFAULT_AGENT_DIAL_TIMEOUT_MS",
            DEFAULT_AGENT_DIAL_TIMEOUT_MS as u64,
            10,
        ),
        (
            "DEFAULT_BLOCK_NVDIMM_MEM_OFFSET",
            DEFAULT_BLOCK_NVDIMM_MEM_OFFSET,
            0,
        ),
        (
            "DEFAULT_BLOCK_DEVICE_NUM_QUEUES",
            DEFAULT_BLOCK_DEVICE_NUM_QUEUES as u64,
            1,
        ),
        (
            "DEFAULT_BLOCK_DEVICE_QUEUE_SIZE",
            DEFAULT_BLOCK_DEVICE_QUEUE_SIZE as u64,
            128,
        ),
        (
            "DEFAULT_VIRTIO_FS_DAX_SIZE_MB",
            DEFAULT_VIRTIO_FS_DAX_SIZE_MB as u64,
            1024,
        ),
        ("DEFAULT_GUEST_VCPUS", DEFAULT_GUEST_VCPUS as u64, 1),
        (
            "DEFAULT_DRAGONBALL_MEMORY_SIZE_MB",
            DEFAULT_DRAGONBALL_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_DRAGONBALL_MEMORY_SLOTS",
            DEFAULT_DRAGONBALL_MEMORY_SLOTS as u64,
            128,
        ),
        ("MAX_DRAGONBALL_VCPUS", MAX_DRAGONBALL_VCPUS as u64, 256),
        (
            "MIN_DRAGONBALL_MEMORY_SIZE_MB",
            MIN_DRAGONBALL_MEMORY_SIZE_MB as u64,
            64,
        ),
        (
            "DEFAULT_QEMU_MEMORY_SIZE_MB",
            DEFAULT_QEMU_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_QEMU_MEMORY_SLOTS",
            DEFAULT_QEMU_MEMORY_SLOTS as u64,
            128,
        ),
        (
            "DEFAULT_QEMU_PCI_BRIDGES",
            DEFAULT_QEMU_PCI_BRIDGES as u64,
            1,
        ),
        ("MAX_QEMU_PCI_BRIDGES", MAX_QEMU_PCI_BRIDGES as u64, 5),
        ("MAX_QEMU_VCPUS", MAX_QEMU_VCPUS as u64, 256),
        (
            "MIN_QEMU_MEMORY_SIZE_MB",
            MIN_QEMU_MEMORY_SIZE_MB as u64,
            64,
        ),
        (
            "DEFAULT_CH_MEMORY_SIZE_MB",
            DEFAULT_CH_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_CH_MEMORY_SLOTS",
            DEFAULT_CH_MEMORY_SLOTS as u64,
            128,
        ),
        ("DEFAULT_CH_PCI_BRIDGES", DEFAULT_CH_PCI_BRIDGES as u64, 2),
        ("MAX_CH_PCI_BRIDGES", MAX_CH_PCI_BRIDGES as u64, 5),
        ("MAX_CH_VCPUS", MAX_CH_VCPUS as u64, 256),
        ("MIN_CH_MEMORY_SIZE_MB", MIN_CH_MEMORY_SIZE_MB as u64, 64),
        (
            "DEFAULT_FIRECRACKER_MEMORY_SIZE_MB",
            DEFAULT_FIRECRACKER_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_FIRECRACKER_MEMORY_SLOTS",
            DEFAULT_FIRECRACKER_MEMORY_SLOTS as u64,
            128,
        ),
        (
            "DEFAULT_FIRECRACKER_VCPUS",
            DEFAULT_FIRECRACKER_VCPUS as u64,
            1,
        ),
        ("MAX_FIRECRACKER_VCPUS", MAX_FIRECRACKER_VCPUS as u64, 32),
        (
            "MIN_FIRECRACKER_MEMORY_SIZE_MB",
            MIN_FIRECRACKER_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_REMOTE_HYPERVISOR_TIMEOUT",
            DEFAULT_REMOTE_HYPERVISOR_TIMEOUT as u64,
            600,
        ),
        ("MAX_REMOTE_VCPUS", MAX_REMOTE_VCPUS as u64, 32),
        (
            "MIN_REMOTE_MEMORY_SIZE_MB",
            MIN_REMOTE_MEMORY_SIZE_MB as u64,
            64,
        ),
        (
            "DEFAULT_REMOTE_MEMORY_SIZE_MB",
            DEFAULT_REMOTE_MEMORY_SIZE_MB as u64,
            128,
        ),
        (
            "DEFAULT_REMOTE_MEMORY_SLOTS",
            DEFAULT_REMOTE_MEMORY_SLOTS as u64,
            128,
        ),
    ] {
        assert_eq!(value, expected, "{name}");
    }
}

#[test]
fn default_files_in_order() {
    let expected = [
        "/etc/kata-containers/runtime-rs/configuration.toml",
        "/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
        "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml",
    ];
    let files: &Vec<&'static str> = &DEFAULT_RUNTIME_CONFIGURATIONS;
    assert_eq!(*files, expected);
    assert_eq!(
        TomlConfig::get_default_config_file_list(),
        expected.map(std::path::PathBuf::from)
    );
}

#[test]
fn names() {
    for (value, expected) in [
        (KATA_PATH, "/run/kata"),
        (DEBUG_CONSOLE_FLAG, "agent.debug_console"),
        (TRACE_MODE_OPTION, "agent.trace"),
        (TRACE_MODE_ENABLE, "true"),
        (LOG_LEVEL_OPTION, "agent.log"),
        (LOG_LEVEL_DEBUG, "debug"),
        (DEBUG_CONSOLE_VPORT_OPTION, "agent.debug_console_vport"),
        (LOG_VPORT_OPTION, "agent.log_vport"),
        (CONTAINER_PIPE_SIZE_OPTION, "agent.container_pipe_size"),
        (
            LAUNCH_PROCESS_TIMEOUT_OPTION,
            "agent.launch_process_timeout",
        ),
        (PASSFD_LISTENER_PORT, "agent.passfd_listener_port"),
        (VISIBLE_CDI_DEVICES_OPTION, "agent.visible_cdi_devices"),
        (AGENT_NAME_KATA, "kata"),
        (RUNTIME_NAME_VIRTCONTAINER, "virt_container"),
        (EMPTYDIR_MODE_SHARED_FS, "shared-fs"),
        (EMPTYDIR_MODE_BLOCK_ENCRYPTED, "block-encrypted"),
        (EMPTYDIR_MODE_BLOCK_PLAIN, "block-plain"),
        (INTERNETWORKING_MODEL_L3FORWARDING, "l3forwarding"),
        (HYPERVISOR_NAME_DRAGONBALL, "dragonball"),
        (HYPERVISOR_NAME_FIRECRACKER, "firecracker"),
        (HYPERVISOR_NAME_QEMU, "qemu"),
        (hypervisor::HYPERVISOR_NAME_CH, "clh"),
        (hypervisor::HYPERVISOR_NAME_REMOTE, "remote"),
        (hypervisor::VIRTIO_BLK_PCI, "virtio-blk-pci"),
        (hypervisor::VIRTIO_BLK_MMIO, "virtio-blk-mmio"),
        (hypervisor::VIRTIO_BLK_CCW, "virtio-blk-ccw"),
        (hypervisor::VIRTIO_SCSI, "virtio-scsi"),
        (hypervisor::VIRTIO_PMEM, "virtio-pmem"),
    ] {
        assert_eq!(value, expected);
    }
    assert_eq!(hypervisor::VERITY_BLOCK_SIZE_BYTES, 512);
    assert_eq!(hypervisor::DEFAULT_RATE_LIMITER_REFILL_TIME, 1000);
}

/// Literals as consumers write them: no other fields, private or not, and no missing names.
#[test]
fn types_that_consumers_build_field_by_field() {
    let user = hypervisor::RootlessUser {
        uid: 1,
        gid: 2,
        groups: vec![3],
        user_name: "u".to_owned(),
    };
    let cpu = hypervisor::CpuInfo {
        cpu_features: String::new(),
        default_vcpus: 1.0,
        default_maxvcpus: 1,
    };
    let bucket = hypervisor::TokenBucketConfig {
        size: 1,
        one_time_burst: None,
        refill_time: 1,
    };
    let kind = |kind: hypervisor::HugePageType| match kind {
        hypervisor::HugePageType::Hugetlbfs => 1,
        hypervisor::HugePageType::THP => 2,
    };
    let mount = SharedMount::default();
    let agent = Agent {
        mem_agent: MemAgent::default(),
        ..Default::default()
    };
    assert_eq!((user.uid, cpu.default_maxvcpus, bucket.size), (1, 1, 1));
    assert_eq!(kind(hypervisor::HugePageType::default()), 1);
    assert!(mount.name.is_empty() && !agent.mem_agent.enable);
}

#[test]
fn parts_without_rules_of_their_own_are_always_fine() {
    struct Part;
    impl ConfigOps for Part {}
    impl ConfigObjectOps for Part {}

    let mut config = TomlConfig::default();
    assert!(<Part as ConfigOps>::adjust_config(&mut config).is_ok());
    assert!(<Part as ConfigOps>::validate(&config).is_ok());
    assert!(ConfigObjectOps::adjust_config(&mut Part).is_ok());
    assert!(ConfigObjectOps::validate(&Part).is_ok());
    assert!(AgentVendor::validate(&config).is_ok());
    assert!(hypervisor::HypervisorVendor::validate(&config).is_ok());
}
