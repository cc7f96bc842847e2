//! The keys of annotations that change the configuration, each with its documentation.

/// A key and what it says, for the reference.
pub(super) struct Key {
    pub(super) key: &'static str,
    /// The text of the constant's documentation.
    pub(super) documentation: &'static str,
}

/// Declares the keys as constants, and a list of all of them.
macro_rules! keys {
    ($list:ident: $($(#[doc = $doc:literal])+ $name:ident = $key:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $key;)+

        pub(super) const $list: &[Key] = &[
            $(Key { key: $name, documentation: concat!($($doc),+) }),+
        ];
    };
}

/// Prefix of annotations for the agent section; always honoured.
pub const KATA_ANNO_CFG_AGENT_PREFIX: &str = "io.katacontainers.config.agent.";
/// Prefix of annotations for the hypervisor section; honoured when enabled by the operator.
pub const KATA_ANNO_CFG_HYPERVISOR_PREFIX: &str = "io.katacontainers.config.hypervisor.";
/// Prefix of annotations for the runtime section; always honoured.
pub const KATA_ANNO_CFG_RUNTIME_PREFIX: &str = "io.katacontainers.config.runtime.";

/// Names of hypervisor annotations: the keys without [`KATA_ANNO_CFG_HYPERVISOR_PREFIX`].
pub(crate) fn hypervisor_names() -> impl Iterator<Item = &'static str> {
    HYPERVISOR_KEYS
        .iter()
        .filter_map(|key| key.key.strip_prefix(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
}

keys! {
    AGENT_KEYS:
    /// Kernel modules to load in the guest, separated by `;`.
    KATA_ANNO_CFG_KERNEL_MODULES = "io.katacontainers.config.agent.kernel_modules";
    /// Whether the agent traces.
    KATA_ANNO_CFG_AGENT_TRACE = "io.katacontainers.config.agent.enable_tracing";
    /// Capacity of the pipes of container processes, in bytes.
    KATA_ANNO_CFG_AGENT_CONTAINER_PIPE_SIZE = "io.katacontainers.config.agent.container_pipe_size";
    /// Timeout of calls to the Confidential Data Hub, in milliseconds.
    KATA_ANNO_CFG_AGENT_CDH_API_TIMEOUT = "io.katacontainers.config.agent.cdh_api_timeout_ms";
}

keys! {
    HYPERVISOR_KEYS:
    /// Path of the hypervisor binary on the host.
    KATA_ANNO_CFG_HYPERVISOR_PATH = "io.katacontainers.config.hypervisor.path";
    /// Hash of the hypervisor binary. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_HASH = "io.katacontainers.config.hypervisor.path_hash";
    /// Path of the jailer binary on the host.
    KATA_ANNO_CFG_HYPERVISOR_JAILER_PATH = "io.katacontainers.config.hypervisor.jailer_path";
    /// Hash of the jailer binary. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_JAILER_HASH = "io.katacontainers.config.hypervisor.jailer_hash";
    /// Whether disk I/O runs in threads of its own.
    KATA_ANNO_CFG_HYPERVISOR_ENABLE_IO_THREADS = "io.katacontainers.config.hypervisor.enable_iothreads";
    /// Hash algorithm of the `*_hash` keys. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_ASSET_HASH_TYPE = "io.katacontainers.config.hypervisor.asset_hash_type";
    /// Driver of container block devices.
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_DRIVER = "io.katacontainers.config.hypervisor.block_device_driver";
    /// Whether container root file systems are never attached as block devices.
    KATA_ANNO_CFG_HYPERVISOR_DISABLE_BLOCK_DEV_USE = "io.katacontainers.config.hypervisor.disable_block_device_use";
    /// Whether the cache options of block devices are passed to the hypervisor.
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_SET = "io.katacontainers.config.hypervisor.block_device_cache_set";
    /// Whether block devices bypass the host page cache (`O_DIRECT`).
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_DIRECT = "io.katacontainers.config.hypervisor.block_device_cache_direct";
    /// Whether flush requests of block devices are ignored.
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_CACHE_NOFLUSH = "io.katacontainers.config.hypervisor.block_device_cache_noflush";
    /// Whether the guest image is not attached as an NVDIMM.
    KATA_ANNO_CFG_HYPERVISOR_DISABLE_IMAGE_NVDIMM = "io.katacontainers.config.hypervisor.disable_image_nvdimm";
    /// Room for NVDIMM devices in the guest's address space, in MiB.
    KATA_ANNO_CFG_HYPERVISOR_MEMORY_OFFSET = "io.katacontainers.config.hypervisor.memory_offset";
    /// Whether vhost-user storage devices are used.
    KATA_ANNO_CFG_HYPERVISOR_ENABLE_VHOSTUSER_STORE = "io.katacontainers.config.hypervisor.enable_vhost_user_store";
    /// Host directory of vhost-user devices.
    KATA_ANNO_CFG_HYPERVISOR_VHOSTUSER_STORE_PATH = "io.katacontainers.config.hypervisor.vhost_user_store_path";
    /// Path of the guest kernel on the host.
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_PATH = "io.katacontainers.config.hypervisor.kernel";
    /// Hash of the guest kernel. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_HASH = "io.katacontainers.config.hypervisor.kernel_hash";
    /// Guest kernel parameters, merged by key into those configured.
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_PARAMS = "io.katacontainers.config.hypervisor.kernel_params";
    /// dm-verity parameters of the guest root image.
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_VERITY_PARAMS = "io.katacontainers.config.hypervisor.kernel_verity_params";
    /// Path of the guest image on the host.
    KATA_ANNO_CFG_HYPERVISOR_IMAGE_PATH = "io.katacontainers.config.hypervisor.image";
    /// Hash of the guest image. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_IMAGE_HASH = "io.katacontainers.config.hypervisor.image_hash";
    /// Path of the guest initrd on the host.
    KATA_ANNO_CFG_HYPERVISOR_INITRD_PATH = "io.katacontainers.config.hypervisor.initrd";
    /// Hash of the guest initrd. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_INITRD_HASH = "io.katacontainers.config.hypervisor.initrd_hash";
    /// Path of the guest firmware on the host.
    KATA_ANNO_CFG_HYPERVISOR_FIRMWARE_PATH = "io.katacontainers.config.hypervisor.firmware";
    /// Hash of the guest firmware. **No hash is ever checked.**
    KATA_ANNO_CFG_HYPERVISOR_FIRMWARE_HASH = "io.katacontainers.config.hypervisor.firmware_hash";
    /// CPU features for the hypervisor, separated by commas.
    KATA_ANNO_CFG_HYPERVISOR_CPU_FEATURES = "io.katacontainers.config.hypervisor.cpu_features";
    /// Number of vCPUs of the guest; fractions are allowed.
    KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS = "io.katacontainers.config.hypervisor.default_vcpus";
    /// Most vCPUs that the guest may grow to.
    KATA_ANNO_CFG_HYPERVISOR_DEFAULT_MAX_VCPUS = "io.katacontainers.config.hypervisor.default_max_vcpus";
    /// Whether VFIO devices are hot-plugged on the PCI root bus.
    KATA_ANNO_CFG_HYPERVISOR_HOTPLUG_VFIO_ON_ROOT_BUS = "io.katacontainers.config.hypervisor.hotplug_vfio_on_root_bus";
    /// Number of PCIe root ports, at most 16.
    KATA_ANNO_CFG_HYPERVISOR_PCIE_ROOT_PORT = "io.katacontainers.config.hypervisor.pcie_root_port";
    /// Number of PCIe switch ports, at most 16.
    KATA_ANNO_CFG_HYPERVISOR_PCIE_SWITCH_PORT = "io.katacontainers.config.hypervisor.pcie_switch_port";
    /// Whether the guest has a virtual IOMMU.
    KATA_ANNO_CFG_HYPERVISOR_IOMMU = "io.katacontainers.config.hypervisor.enable_iommu";
    /// Whether virtio devices use the IOMMU (`iommu_platform`).
    KATA_ANNO_CFG_HYPERVISOR_IOMMU_PLATFORM = "io.katacontainers.config.hypervisor.enable_iommu_platform";
    /// Machine type of the hypervisor.
    KATA_ANNO_CFG_HYPERVISOR_MACHINE_TYPE = "io.katacontainers.config.hypervisor.machine_type";
    /// Machine accelerators, separated by commas.
    KATA_ANNO_CFG_HYPERVISOR_MACHINE_ACCELERATORS = "io.katacontainers.config.hypervisor.machine_accelerators";
    /// Path of the entropy source on the host.
    KATA_ANNO_CFG_HYPERVISOR_ENTROPY_SOURCE = "io.katacontainers.config.hypervisor.entropy_source";
    /// Memory of the guest: MiB, or a number with a unit such as `2GiB`.
    KATA_ANNO_CFG_HYPERVISOR_DEFAULT_MEMORY = "io.katacontainers.config.hypervisor.default_memory";
    /// Number of memory slots of the guest.
    KATA_ANNO_CFG_HYPERVISOR_MEMORY_SLOTS = "io.katacontainers.config.hypervisor.memory_slots";
    /// Whether guest memory is allocated before the guest starts.
    KATA_ANNO_CFG_HYPERVISOR_MEMORY_PREALLOC = "io.katacontainers.config.hypervisor.enable_mem_prealloc";
    /// Whether guest memory uses huge pages.
    KATA_ANNO_CFG_HYPERVISOR_ENABLE_HUGEPAGES = "io.katacontainers.config.hypervisor.enable_hugepages";
    /// Kind of huge pages: `hugetlbfs` or `thp`.
    KATA_ANNO_CFG_HYPERVISOR_HUGEPAGE_TYPE = "io.katacontainers.config.hypervisor.hugepage_type";
    /// Host directory for file-backed guest memory.
    KATA_ANNO_CFG_HYPERVISOR_FILE_BACKED_MEM_ROOT_DIR = "io.katacontainers.config.hypervisor.file_mem_backend";
    /// Whether virtio-mem resizes the guest memory.
    KATA_ANNO_CFG_HYPERVISOR_VIRTIO_MEM = "io.katacontainers.config.hypervisor.enable_virtio_mem";
    /// Whether the guest may have swap devices.
    KATA_ANNO_CFG_HYPERVISOR_ENABLE_GUEST_SWAP = "io.katacontainers.config.hypervisor.enable_guest_swap";
    /// Whether network devices do without vhost-net.
    KATA_ANNO_CFG_HYPERVISOR_DISABLE_VHOST_NET = "io.katacontainers.config.hypervisor.disable_vhost_net";
    /// Limit of inbound network traffic, in bits per second.
    KATA_ANNO_CFG_HYPERVISOR_RX_RATE_LIMITER_MAX_RATE = "io.katacontainers.config.hypervisor.rx_rate_limiter_max_rate";
    /// Limit of outbound network traffic, in bits per second.
    KATA_ANNO_CFG_HYPERVISOR_TX_RATE_LIMITER_MAX_RATE = "io.katacontainers.config.hypervisor.tx_rate_limiter_max_rate";
    /// Number of queue pairs of network devices.
    KATA_ANNO_CFG_HYPERVISOR_NETWORK_QUEUES = "io.katacontainers.config.hypervisor.network_queues";
    /// Path of the OCI hooks in the guest; it must exist on the host as well.
    KATA_ANNO_CFG_HYPERVISOR_GUEST_HOOK_PATH = "io.katacontainers.config.hypervisor.guest_hook_path";
    /// Whether the hypervisor runs as an ordinary user.
    KATA_ANNO_CFG_HYPERVISOR_ENABLE_ROOTLESS_HYPERVISOR = "io.katacontainers.config.hypervisor.rootless";
    /// Kind of the file system shared with the guest.
    KATA_ANNO_CFG_HYPERVISOR_SHARED_FS = "io.katacontainers.config.hypervisor.shared_fs";
    /// Path of virtiofsd on the host.
    KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_DAEMON = "io.katacontainers.config.hypervisor.virtio_fs_daemon";
    /// Cache mode of virtio-fs.
    KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_CACHE = "io.katacontainers.config.hypervisor.virtio_fs_cache";
    /// Size of the virtio-fs DAX window, in MiB.
    KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_CACHE_SIZE = "io.katacontainers.config.hypervisor.virtio_fs_cache_size";
    /// Further arguments of virtiofsd, separated by commas.
    KATA_ANNO_CFG_HYPERVISOR_VIRTIO_FS_EXTRA_ARGS = "io.katacontainers.config.hypervisor.virtio_fs_extra_args";
    /// Initdata document, gzip and base64; see [`initdata`](crate::initdata).
    KATA_ANNO_CFG_HYPERVISOR_INIT_DATA = "io.katacontainers.config.hypervisor.cc_init_data";
    /// Number of GPUs of a remote sandbox.
    KATA_ANNO_CFG_HYPERVISOR_DEFAULT_GPUS = "io.katacontainers.config.hypervisor.default_gpus";
    /// GPU model of a remote sandbox.
    KATA_ANNO_CFG_HYPERVISOR_DEFAULT_GPU_MODEL = "io.katacontainers.config.hypervisor.default_gpu_model";
    /// Logical sector size of block devices, in bytes.
    ///
    /// The name is short because Kubernetes limits the name part of an annotation to 63 characters.
    KATA_ANNO_CFG_HYPERVISOR_BLK_LOGICAL_SECTOR_SIZE = "io.katacontainers.config.hypervisor.blk_logical_sector_size";
    /// Physical sector size of block devices, in bytes.
    KATA_ANNO_CFG_HYPERVISOR_BLK_PHYSICAL_SECTOR_SIZE = "io.katacontainers.config.hypervisor.blk_physical_sector_size";
    /// Number of queues of block devices.
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_NUM_QUEUES = "io.katacontainers.config.hypervisor.block_device_num_queues";
    /// Size of a queue of block devices, in descriptors.
    KATA_ANNO_CFG_HYPERVISOR_BLOCK_DEV_QUEUE_SIZE = "io.katacontainers.config.hypervisor.block_device_queue_size";
    /// Host path of a list of files to prefetch.
    KATA_ANNO_CFG_HYPERVISOR_PREFETCH_FILES_LIST = "io.katacontainers.config.hypervisor.prefetch_files.list";
}

keys! {
    RUNTIME_KEYS:
    /// Name of the runtime handler.
    KATA_ANNO_CFG_RUNTIME_NAME = "io.katacontainers.config.runtime.name";
    /// Name of the configured hypervisor to use.
    ///
    /// This key is not gated: a pod can switch to any configured hypervisor, also to one with a laxer
    /// `enable_annotations` list.
    KATA_ANNO_CFG_RUNTIME_HYPERVISOR = "io.katacontainers.config.runtime.hypervisor_name";
    /// Name of the configured agent to use.
    KATA_ANNO_CFG_RUNTIME_AGENT = "io.katacontainers.config.runtime.agent_name";
    /// Whether seccomp profiles are not applied in the guest.
    KATA_ANNO_CFG_DISABLE_GUEST_SECCOMP = "io.katacontainers.config.runtime.disable_guest_seccomp";
    /// Whether `emptyDir` volumes live on the host instead of in the guest.
    KATA_ANNO_CFG_DISABLE_GUEST_EMPTY_DIR = "io.katacontainers.config.runtime.disable_guest_empty_dir";
    /// Whether the runtime serves profiling data.
    KATA_ANNO_CFG_ENABLE_PPROF = "io.katacontainers.config.runtime.enable_pprof";
    /// Experimental features to enable, separated by commas.
    KATA_ANNO_CFG_EXPERIMENTAL = "io.katacontainers.config.runtime.experimental";
    /// How the VM network is connected to the container network.
    KATA_ANNO_CFG_INTER_NETWORK_MODEL = "io.katacontainers.config.runtime.internetworking_model";
    /// Whether one cgroup holds everything of the sandbox.
    KATA_ANNO_CFG_SANDBOX_CGROUP_ONLY = "io.katacontainers.config.runtime.sandbox_cgroup_only";
    /// Whether vCPU threads are pinned to CPUs.
    KATA_ANNO_CFG_ENABLE_VCPUS_PINNING = "io.katacontainers.config.runtime.enable_vcpus_pinning";
    /// Whether the VM stays in the network namespace of the host.
    KATA_ANNO_CFG_DISABLE_NEW_NETNS = "io.katacontainers.config.runtime.disable_new_netns";
    /// How VFIO devices appear in containers.
    KATA_ANNO_CFG_VFIO_MODE = "io.katacontainers.config.runtime.vfio_mode";
    /// Directories shared between containers of the pod, as a JSON array.
    KATA_ANNO_CFG_SHARED_MOUNTS = "io.katacontainers.config.runtime.shared_mounts";
    // The misspelling of this name is contract.
    /// Timeout of container creation, in seconds.
    KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINTER_TIMEOUT = "io.katacontainers.config.runtime.create_container_timeout";
    /// Host directories to bind mount into the VM.
    ///
    /// **Never honoured from annotations**: a pod could otherwise read any directory of the host.
    KATA_ANNO_CFG_SANDBOX_BIND_MOUNTS = "io.katacontainers.config.runtime.sandbox_bind_mounts";
}

/// [`KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINTER_TIMEOUT`], spelt right.
pub const KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINER_TIMEOUT: &str =
    KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINTER_TIMEOUT;
