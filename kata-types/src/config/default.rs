//! Default values and limits of the configuration.
//!
//! Limits of guest memory are in MiB. Which default applies to which key is documented at the
//! fields of [`Hypervisor`](super::Hypervisor), [`Agent`](super::Agent) and
//! [`Runtime`](super::Runtime).

use super::agent::AGENT_NAME_KATA;
use super::hypervisor::HYPERVISOR_NAME_DRAGONBALL;
use super::runtime::RUNTIME_NAME_VIRTCONTAINER;
use crate::machine_type;

lazy_static::lazy_static! {
    /// Configuration files that are looked for when none is named, in order of preference.
    ///
    /// ```
    /// use kata_types::config::default::DEFAULT_RUNTIME_CONFIGURATIONS;
    ///
    /// assert_eq!(
    ///     DEFAULT_RUNTIME_CONFIGURATIONS.first(),
    ///     Some(&"/etc/kata-containers/runtime-rs/configuration.toml"),
    /// );
    /// ```
    pub static ref DEFAULT_RUNTIME_CONFIGURATIONS: Vec<&'static str> = vec![
        "/etc/kata-containers/runtime-rs/configuration.toml",
        "/usr/share/defaults/kata-containers/runtime-rs/configuration.toml",
        "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml",
    ];
}

// Agent.
/// Name of the agent program in the guest.
pub const DEFAULT_AGENT_NAME: &str = "kata-agent";
/// Vsock port on which the agent serves its ttrpc API.
pub const DEFAULT_AGENT_VSOCK_PORT: u32 = 1024;
/// Vsock port to which the agent sends its log.
pub const DEFAULT_AGENT_LOG_PORT: u32 = 1025;
/// Vsock port of the debug console.
pub const DEFAULT_AGENT_DBG_CONSOLE_PORT: u32 = 1026;
/// Vsock port on which the agent accepts passed stdio streams.
pub const DEFAULT_PASSFD_LISTENER_PORT: u32 = 1027;
/// Name of the agent section, `[agent.kata]`.
pub const DEFAULT_AGENT_TYPE_NAME: &str = AGENT_NAME_KATA;
/// Time for one attempt to reach the agent, in ms.
pub const DEFAULT_AGENT_DIAL_TIMEOUT_MS: u32 = 10;

// Runtime.
/// Name of the runtime implementation.
pub const DEFAULT_RUNTIME_NAME: &str = RUNTIME_NAME_VIRTCONTAINER;
/// Hypervisor of a runtime that names none.
pub const DEFAULT_HYPERVISOR: &str = HYPERVISOR_NAME_DRAGONBALL;
/// How the VM is connected to the pod network.
pub const DEFAULT_INTERNETWORKING_MODEL: &str = "tcfilter";

// Block devices and shared file systems.
/// Driver of container block devices and of the VM root file system.
pub const DEFAULT_BLOCK_DEVICE_TYPE: &str = "virtio-blk-pci";
/// Directory of vhost-user sockets and devices.
pub const DEFAULT_VHOST_USER_STORE_PATH: &str = "/var/run/vhost-user";
/// Room for NVDIMM devices in the guest's address space, in MiB.
pub const DEFAULT_BLOCK_NVDIMM_MEM_OFFSET: u64 = 0;
/// Asynchronous block I/O by a thread pool.
pub const DEFAULT_BLOCK_DEVICE_AIO_THREADS: &str = "threads";
/// Asynchronous block I/O by Linux AIO.
pub const DEFAULT_BLOCK_DEVICE_AIO_NATIVE: &str = "native";
/// Asynchronous block I/O by io_uring, the default.
pub const DEFAULT_BLOCK_DEVICE_AIO: &str = "io_uring";
/// Number of queues of a block device.
pub const DEFAULT_BLOCK_DEVICE_NUM_QUEUES: u32 = 1;
/// Descriptors in one queue of a block device.
pub const DEFAULT_BLOCK_DEVICE_QUEUE_SIZE: u32 = 128;
/// Shared file system of a section whose `shared_fs` is the empty text.
pub const DEFAULT_SHARED_FS_TYPE: &str = "virtio-fs";
/// Cache mode of virtio-fs.
pub const DEFAULT_VIRTIO_FS_CACHE_MODE: &str = "never";
/// DAX window of virtio-fs when DAX is on without a size, in MiB.
pub const DEFAULT_VIRTIO_FS_DAX_SIZE_MB: u32 = 1024;
/// Customary directory of guest hooks; never filled in by itself.
pub const DEFAULT_GUEST_HOOK_PATH: &str = "/opt/kata/hooks";
/// Resolver configuration passed to the guest.
pub const DEFAULT_GUEST_DNS_FILE: &str = "/etc/resolv.conf";
/// Virtual CPUs of a VM that asks for none.
pub const DEFAULT_GUEST_VCPUS: u32 = 1;

// Dragonball.
/// Guest kernel file name (Dragonball).
pub const DEFAULT_DRAGONBALL_GUEST_KERNEL_IMAGE: &str = "vmlinuz";
/// Guest kernel parameters (Dragonball).
pub const DEFAULT_DRAGONBALL_GUEST_KERNEL_PARAMS: &str = "";
/// Host source of guest entropy (Dragonball).
pub const DEFAULT_DRAGONBALL_ENTROPY_SOURCE: &str = "/dev/urandom";
/// Guest memory, in MiB (Dragonball).
pub const DEFAULT_DRAGONBALL_MEMORY_SIZE_MB: u32 = 128;
/// Memory slots (Dragonball).
pub const DEFAULT_DRAGONBALL_MEMORY_SLOTS: u32 = 128;
/// Most virtual CPUs (Dragonball).
pub const MAX_DRAGONBALL_VCPUS: u32 = 256;
/// Least guest memory, in MiB (Dragonball).
pub const MIN_DRAGONBALL_MEMORY_SIZE_MB: u32 = 64;

// QEMU.
/// Hypervisor program (QEMU).
pub const DEFAULT_QEMU_BINARY_PATH: &str = "/usr/bin/qemu-system-x86_64";
/// File system of the guest image (QEMU).
pub const DEFAULT_QEMU_ROOTFS_TYPE: &str = "ext4";
/// Control program (QEMU).
pub const DEFAULT_QEMU_CONTROL_PATH: &str = "";
/// Machine type (QEMU).
pub const DEFAULT_QEMU_MACHINE_TYPE: &str = machine_type::MACHINE_TYPE_Q35_TYPE;
/// Host source of guest entropy (QEMU).
pub const DEFAULT_QEMU_ENTROPY_SOURCE: &str = "/dev/urandom";
/// Guest kernel file name (QEMU).
pub const DEFAULT_QEMU_GUEST_KERNEL_IMAGE: &str = "vmlinuz";
/// Guest kernel parameters (QEMU).
pub const DEFAULT_QEMU_GUEST_KERNEL_PARAMS: &str = "";
/// Guest firmware (QEMU).
pub const DEFAULT_QEMU_FIRMWARE_PATH: &str = "";
/// Guest memory, in MiB (QEMU).
pub const DEFAULT_QEMU_MEMORY_SIZE_MB: u32 = 128;
/// Memory slots (QEMU).
pub const DEFAULT_QEMU_MEMORY_SLOTS: u32 = 128;
/// PCI bridges (QEMU).
pub const DEFAULT_QEMU_PCI_BRIDGES: u32 = 1;
/// Most PCI bridges (QEMU).
pub const MAX_QEMU_PCI_BRIDGES: u32 = 5;
/// Most virtual CPUs (QEMU).
pub const MAX_QEMU_VCPUS: u32 = 256;
/// Least guest memory, in MiB (QEMU).
pub const MIN_QEMU_MEMORY_SIZE_MB: u32 = 64;

// Cloud Hypervisor.
/// Hypervisor program (Cloud Hypervisor).
pub const DEFAULT_CH_BINARY_PATH: &str = "/usr/bin/cloud-hypervisor";
/// File system of the guest image (Cloud Hypervisor).
pub const DEFAULT_CH_ROOTFS_TYPE: &str = "ext4";
/// Control program (Cloud Hypervisor).
pub const DEFAULT_CH_CONTROL_PATH: &str = "";
/// Host source of guest entropy (Cloud Hypervisor).
pub const DEFAULT_CH_ENTROPY_SOURCE: &str = "/dev/urandom";
/// Guest kernel file name (Cloud Hypervisor).
pub const DEFAULT_CH_GUEST_KERNEL_IMAGE: &str = "vmlinuz";
/// Guest kernel parameters (Cloud Hypervisor).
pub const DEFAULT_CH_GUEST_KERNEL_PARAMS: &str = "";
/// Guest firmware (Cloud Hypervisor).
pub const DEFAULT_CH_FIRMWARE_PATH: &str = "";
/// Guest memory, in MiB (Cloud Hypervisor).
pub const DEFAULT_CH_MEMORY_SIZE_MB: u32 = 128;
/// Memory slots (Cloud Hypervisor).
pub const DEFAULT_CH_MEMORY_SLOTS: u32 = 128;
/// PCI bridges (Cloud Hypervisor).
pub const DEFAULT_CH_PCI_BRIDGES: u32 = 2;
/// Most PCI bridges (Cloud Hypervisor).
pub const MAX_CH_PCI_BRIDGES: u32 = 5;
/// Most virtual CPUs (Cloud Hypervisor).
pub const MAX_CH_VCPUS: u32 = 256;
/// Least guest memory, in MiB (Cloud Hypervisor).
pub const MIN_CH_MEMORY_SIZE_MB: u32 = 64;

// Firecracker.
/// Host source of guest entropy (Firecracker).
pub const DEFAULT_FIRECRACKER_ENTROPY_SOURCE: &str = "/dev/urandom";
/// Guest memory, in MiB (Firecracker).
pub const DEFAULT_FIRECRACKER_MEMORY_SIZE_MB: u32 = 128;
/// Memory slots (Firecracker).
pub const DEFAULT_FIRECRACKER_MEMORY_SLOTS: u32 = 128;
/// Virtual CPUs (Firecracker).
pub const DEFAULT_FIRECRACKER_VCPUS: u32 = 1;
/// Guest kernel file name (Firecracker).
pub const DEFAULT_FIRECRACKER_GUEST_KERNEL_IMAGE: &str = "vmlinux";
/// Guest kernel parameters (Firecracker).
pub const DEFAULT_FIRECRACKER_GUEST_KERNEL_PARAMS: &str = "";
/// Most virtual CPUs (Firecracker).
pub const MAX_FIRECRACKER_VCPUS: u32 = 32;
/// Least guest memory, in MiB (Firecracker).
pub const MIN_FIRECRACKER_MEMORY_SIZE_MB: u32 = 128;

// Remote hypervisor.
/// Socket of the remote hypervisor service (Remote hypervisor).
pub const DEFAULT_REMOTE_HYPERVISOR_SOCKET: &str = "/run/peerpod/hypervisor.sock";
/// Time for one call of the remote hypervisor service, in s (Remote hypervisor).
pub const DEFAULT_REMOTE_HYPERVISOR_TIMEOUT: i32 = 600;
/// Most virtual CPUs (Remote hypervisor).
pub const MAX_REMOTE_VCPUS: u32 = 32;
/// Least guest memory, in MiB (Remote hypervisor).
pub const MIN_REMOTE_MEMORY_SIZE_MB: u32 = 64;
/// Guest memory, in MiB (Remote hypervisor).
pub const DEFAULT_REMOTE_MEMORY_SIZE_MB: u32 = 128;
/// Memory slots (Remote hypervisor).
pub const DEFAULT_REMOTE_MEMORY_SLOTS: u32 = 128;
/// Directory of the VM template (Remote hypervisor).
pub const DEFAULT_TEMPLATE_PATH: &str = "/run/vc/vm/template";
