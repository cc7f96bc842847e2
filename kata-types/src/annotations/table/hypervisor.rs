//! Annotations of the hypervisor section, which operators must enable.

use super::super::keys::*;
use super::super::setting::{PortKind, Setting};
use super::{Row, row};

/// Keys that operators must enable, sorted.
pub(in crate::annotations) const GATED: &[Row] = &[
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLK_LOGICAL_SECTOR_SIZE,
        "block_device_logical_sector_size",
        Setting::SectorSize(|s| &mut s.hypervisor.blockdev_info.block_device_logical_sector_size),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLK_PHYSICAL_SECTOR_SIZE,
        "block_device_physical_sector_size",
        Setting::SectorSize(|s| &mut s.hypervisor.blockdev_info.block_device_physical_sector_size),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_DIRECT,
        "block_device_cache_direct",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.block_device_cache_direct),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_NOFLUSH,
        "block_device_cache_noflush",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.block_device_cache_noflush),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_SET,
        "block_device_cache_set",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.block_device_cache_set),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_DRIVER,
        "block_device_driver",
        Setting::Text(|s| &mut s.hypervisor.blockdev_info.block_device_driver),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_NUM_QUEUES,
        "num_queues",
        Setting::Usize(|s| &mut s.hypervisor.blockdev_info.num_queues),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_QUEUE_SIZE,
        "queue_size",
        Setting::U32(|s| &mut s.hypervisor.blockdev_info.queue_size),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_INIT_DATA,
        "initdata",
        Setting::InitData(|s| &mut s.hypervisor.security_info.initdata),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_CPU_FEATURES,
        "cpu_features",
        Setting::Text(|s| &mut s.hypervisor.cpu_info.cpu_features),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DEFAULT_GPU_MODEL,
        "default_gpu_model",
        Setting::Text(|s| &mut s.hypervisor.remote_info.default_gpu_model),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DEFAULT_GPUS,
        "default_gpus",
        Setting::U32(|s| &mut s.hypervisor.remote_info.default_gpus),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DEFAULT_MAX_VCPUS,
        "default_maxvcpus",
        Setting::U32(|s| &mut s.hypervisor.cpu_info.default_maxvcpus),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DEFAULT_MEMORY,
        "default_memory",
        Setting::Memory(|s| &mut s.hypervisor.memory_info.default_memory),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS,
        "default_vcpus",
        Setting::Vcpus(|s| &mut s.hypervisor.cpu_info.default_vcpus),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DISABLE_BLOCK_DEV_USE,
        "disable_block_device_use",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.disable_block_device_use),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DISABLE_IMAGE_NVDIMM,
        "disable_image_nvdimm",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.disable_image_nvdimm),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_DISABLE_VHOST_NET,
        "disable_vhost_net",
        Setting::Bool(|s| &mut s.hypervisor.network_info.disable_vhost_net),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENABLE_GUEST_SWAP,
        "enable_guest_swap",
        Setting::Bool(|s| &mut s.hypervisor.memory_info.enable_guest_swap),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENABLE_HUGEPAGES,
        "enable_hugepages",
        Setting::Bool(|s| &mut s.hypervisor.memory_info.enable_hugepages),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_IOMMU,
        "enable_iommu",
        Setting::Bool(|s| &mut s.hypervisor.device_info.enable_iommu),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_IOMMU_PLATFORM,
        "enable_iommu_platform",
        Setting::Bool(|s| &mut s.hypervisor.device_info.enable_iommu_platform),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENABLE_IO_THREADS,
        "enable_iothreads",
        Setting::Bool(|s| &mut s.hypervisor.enable_iothreads),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_MEMORY_PREALLOC,
        "enable_mem_prealloc",
        Setting::Bool(|s| &mut s.hypervisor.memory_info.enable_mem_prealloc),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENABLE_VHOSTUSER_STORE,
        "enable_vhost_user_store",
        Setting::Bool(|s| &mut s.hypervisor.blockdev_info.enable_vhost_user_store),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VIRTIO_MEM,
        "enable_virtio_mem",
        Setting::Bool(|s| &mut s.hypervisor.memory_info.enable_virtio_mem),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENTROPY_SOURCE,
        "entropy_source",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.machine_info.entropy_source,
            |hv, path| hv.machine_info.validate_entropy_source(path),
            "valid_entropy_sources",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_FILE_BACKED_MEM_ROOT_DIR,
        "file_mem_backend",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.memory_info.file_mem_backend,
            |hv, path| hv.memory_info.validate_memory_backend_path(path),
            "valid_file_mem_backends",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_FIRMWARE_PATH,
        "firmware",
        Setting::ExistingPath(
            |s| &mut s.hypervisor.boot_info.firmware,
            |hv, path| hv.boot_info.validate_boot_path(path),
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_GUEST_HOOK_PATH,
        "guest_hook_path",
        Setting::ExistingPath(
            |s| &mut s.hypervisor.security_info.guest_hook_path,
            |hv, path| hv.security_info.validate_path(path),
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_HOTPLUG_VFIO_ON_ROOT_BUS,
        "hotplug_vfio_on_root_bus",
        Setting::Bool(|s| &mut s.hypervisor.device_info.hotplug_vfio_on_root_bus),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_HUGEPAGE_TYPE,
        "hugepage_type",
        Setting::HugePages(|s| &mut s.hypervisor.memory_info.hugepage_type),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_IMAGE_PATH,
        "image",
        Setting::ExistingPath(
            |s| &mut s.hypervisor.boot_info.image,
            |hv, path| hv.boot_info.validate_boot_path(path),
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_INITRD_PATH,
        "initrd",
        Setting::ExistingPath(
            |s| &mut s.hypervisor.boot_info.initrd,
            |hv, path| hv.boot_info.validate_boot_path(path),
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_JAILER_PATH,
        "jailer_path",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.jailer_path,
            |hv, path| hv.validate_jailer_path(path),
            "valid_jailer_paths",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_KERNEL_PATH,
        "kernel",
        Setting::ExistingPath(
            |s| &mut s.hypervisor.boot_info.kernel,
            |hv, path| hv.boot_info.validate_boot_path(path),
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_KERNEL_PARAMS,
        "kernel_params",
        Setting::KernelParams,
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_KERNEL_VERITY_PARAMS,
        "kernel_verity_params",
        Setting::VerityParams,
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_MACHINE_ACCELERATORS,
        "machine_accelerators",
        Setting::Text(|s| &mut s.hypervisor.machine_info.machine_accelerators),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_MACHINE_TYPE,
        "machine_type",
        Setting::Text(|s| &mut s.hypervisor.machine_info.machine_type),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_MEMORY_OFFSET,
        "memory_offset",
        Setting::U64(|s| &mut s.hypervisor.blockdev_info.memory_offset),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_MEMORY_SLOTS,
        "memory_slots",
        Setting::U32(|s| &mut s.hypervisor.memory_info.memory_slots),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_NETWORK_QUEUES,
        "network_queues",
        Setting::U32(|s| &mut s.hypervisor.network_info.network_queues),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_PATH,
        "path",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.path,
            |hv, path| hv.validate_hypervisor_path(path),
            "valid_hypervisor_paths",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_PCIE_ROOT_PORT,
        "pcie_root_port",
        Setting::Ports(
            |s| &mut s.hypervisor.device_info.pcie_root_port,
            PortKind::Root,
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_PCIE_SWITCH_PORT,
        "pcie_switch_port",
        Setting::Ports(
            |s| &mut s.hypervisor.device_info.pcie_switch_port,
            PortKind::Switch,
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_PREFETCH_FILES_LIST,
        "prefetch_list_path",
        Setting::Text(|s| &mut s.hypervisor.prefetch_list_path),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_ENABLE_ROOTLESS_HYPERVISOR,
        "rootless",
        Setting::Bool(|s| &mut s.hypervisor.security_info.rootless),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_RX_RATE_LIMITER_MAX_RATE,
        "rx_rate_limiter_max_rate",
        Setting::U64(|s| &mut s.hypervisor.network_info.rx_rate_limiter_max_rate),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_SHARED_FS,
        "shared_fs",
        Setting::TrimmedText(|s| &mut s.hypervisor.shared_fs.shared_fs),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_TX_RATE_LIMITER_MAX_RATE,
        "tx_rate_limiter_max_rate",
        Setting::U64(|s| &mut s.hypervisor.network_info.tx_rate_limiter_max_rate),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VHOSTUSER_STORE_PATH,
        "vhost_user_store_path",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.blockdev_info.vhost_user_store_path,
            |hv, path| hv.blockdev_info.validate_vhost_user_store_path(path),
            "valid_vhost_user_store_paths",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_CACHE,
        "virtio_fs_cache",
        Setting::Text(|s| &mut s.hypervisor.shared_fs.virtio_fs_cache),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_CACHE_SIZE,
        "virtio_fs_cache_size",
        Setting::U32(|s| &mut s.hypervisor.shared_fs.virtio_fs_cache_size),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_DAEMON,
        "virtio_fs_daemon",
        Setting::PermittedPath(
            |s| &mut s.hypervisor.shared_fs.virtio_fs_daemon,
            |hv, path| hv.shared_fs.validate_virtiofs_daemon_path(path),
            "valid_virtio_fs_daemon_paths",
        ),
    ),
    row(
        KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_EXTRA_ARGS,
        "virtio_fs_extra_args",
        Setting::Append(|s| &mut s.hypervisor.shared_fs.virtio_fs_extra_args, ','),
    ),
];
