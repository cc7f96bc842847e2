//! The `[hypervisor.<name>]` sections: model, adjustment, validation, plugins.
//!
//! A section is one flat table; [`Hypervisor`] groups its keys by subject. What is special about a
//! hypervisor is in its plugin, a [`ConfigPlugin`](super::ConfigPlugin): the five that this crate
//! knows need no registration, others are added with [`register_hypervisor_plugin`].

mod annotation_gate;
mod block_device;
mod boot;
mod cpu;
mod debug;
mod device;
mod drivers;
mod factory;
mod huge_page;
mod kernel_params;
mod list_text;
mod machine;
mod memory;
mod network;
mod plugins;
mod rate_limiter;
mod remote_info;
mod rootless_user;
mod section;
mod sections;
mod security;
mod shared_fs;
mod topology;
mod vendor;
mod verity;
mod vm_template;

pub(crate) use annotation_gate::AnnotationGate;
pub use block_device::{BlockDeviceInfo, validate_block_device_sector_size};
pub use boot::*;
pub use cpu::CpuInfo;
pub use debug::DebugInfo;
pub use device::DeviceInfo;
pub use drivers::{VIRTIO_BLK_CCW, VIRTIO_BLK_MMIO, VIRTIO_BLK_PCI, VIRTIO_PMEM, VIRTIO_SCSI};
pub use factory::*;
pub use huge_page::HugePageType;
pub use machine::MachineInfo;
pub use memory::MemoryInfo;
pub use network::NetworkInfo;
pub use plugins::{
    BuiltInPlugin, CloudHypervisorConfig, DragonballConfig, FirecrackerConfig, HYPERVISOR_NAME_CH,
    HYPERVISOR_NAME_DRAGONBALL, HYPERVISOR_NAME_FIRECRACKER, HYPERVISOR_NAME_QEMU,
    HYPERVISOR_NAME_REMOTE, QemuConfig, RemoteConfig, get_hypervisor_plugin,
    register_hypervisor_plugin,
};
pub use rate_limiter::{DEFAULT_RATE_LIMITER_REFILL_TIME, RateLimiterConfig};
pub use remote_info::RemoteInfo;
pub use rootless_user::RootlessUser;
pub use section::*;
pub(crate) use sections::{adjust_sections, validate_sections};
pub use security::SecurityInfo;
pub use shared_fs::SharedFsInfo;
pub use topology::TopologyConfigInfo;
pub use vendor::HypervisorVendor;
pub use verity::{KernelVerityParams, VERITY_BLOCK_SIZE_BYTES, parse_kernel_verity_params};
pub use vm_template::VmTemplateInfo;

/// A token bucket of a [`RateLimiterConfig`].
pub type TokenBucketConfig = rate_limiter::TokenBucketConfig;
