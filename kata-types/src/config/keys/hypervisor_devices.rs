//! Keys of `[hypervisor.<name>]`: disks, shared file system, network, other devices.

use super::hypervisor::DRIVERS;
use super::{ANY, Group, Kind, rows};

pub(super) const BLOCK: Group = Group {
    title: "Block devices",
    keys: rows! {
        "disable_block_device_use" Kind::Bool, "false" "" "nobody"
            "Never attach a container's root file system as a disk."
            .except("clears `block_device_driver`, `enable_vhost_user_store` and `memory_offset`, and leaves the keys of block devices unchecked");
        "block_device_driver" Kind::Text, "\"\"" "" "hypervisor, resources, runtime, kata-ctl"
            "How disks are attached."
            .adjusted(&[(ANY, "\"virtio-blk-pci\"")])
            .values(DRIVERS);
        "block_device_aio" Kind::Text, "\"\"" "" "resources"
            "Asynchronous I/O of the virtual machine monitor."
            .adjusted(&[(ANY, "\"io_uring\"")])
            .values(&["io_uring", "native", "threads"]);
        "block_device_cache_set" Kind::Bool, "false" "" "nobody"
            "Whether the two following cache settings are passed on.";
        "block_device_cache_direct" Kind::Bool, "false" "" "hypervisor"
            "Bypass the host's page cache (O_DIRECT).";
        "block_device_cache_noflush" Kind::Bool, "false" "" "nobody"
            "Ignore flush requests of the guest.";
        "block_device_logical_sector_size" Kind::U32, "0" "bytes" "resources"
            "Smallest unit that disks can address: a power of two from 512 to 65536. 0: the device's own.";
        "block_device_physical_sector_size" Kind::U32, "0" "bytes" "resources"
            "Smallest unit that disks write without reading first, at least the logical one. 0: the device's own.";
        "queue_size" Kind::U32, "0" "descriptors" "hypervisor, resources"
            "Size of one virtio queue of a disk."
            .adjusted(&[(ANY, "128")]);
        "num_queues" Kind::Usize, "0" "" "hypervisor, resources"
            "Virtio queues of a disk."
            .adjusted(&[(ANY, "1")]);
        "disable_image_nvdimm" Kind::Bool, "false" "" "nobody"
            "Do not attach the guest image as NVDIMM.";
        "memory_offset" Kind::U64, "0" "MiB" "nobody"
            "Room for NVDIMM devices in the guest's address space, beyond its memory.";
        "enable_vhost_user_store" Kind::Bool, "false" "" "nobody"
            "Use storage devices that other processes serve through vhost-user.";
        "vhost_user_store_path" Kind::Text, "\"\"" "" "nobody"
            "Directory of the vhost-user device nodes and sockets.";
        "valid_vhost_user_store_paths" Kind::Texts, "[]" "" ""
            "Shell patterns of the directories that a pod annotation may choose as `vhost_user_store_path`.";
        "disk_rate_limiter_bw_max_rate" Kind::U64, "0" "bytes/s" "hypervisor"
            "Bandwidth of a disk, handed to the virtual machine monitor as it is. 0: not limited.";
        "disk_rate_limiter_bw_one_time_burst" Kind::U64, "" "bytes" "hypervisor"
            "What a disk may transfer once beyond its bandwidth.";
        "disk_rate_limiter_ops_max_rate" Kind::U64, "0" "operations/s" "hypervisor"
            "Operations of a disk. 0: not limited.";
        "disk_rate_limiter_ops_one_time_burst" Kind::U64, "" "operations" "hypervisor"
            "Operations that a disk may do once beyond its rate.";
    },
};

pub(super) const SHARED_FS: Group = Group {
    title: "Shared file system",
    keys: rows! {
        "shared_fs" Kind::Text, "" "" "hypervisor, resources, runtime, kata-ctl"
            "How host directories reach the guest; unset or none: not at all."
            .values(&["virtio-fs", "inline-virtio-fs", "virtio-fs-nydus", "none"]);
        "virtio_fs_daemon" Kind::Text, "\"\"" "" "resources, kata-ctl"
            "Program of the virtio-fs daemon. Required for virtio-fs, not for inline-virtio-fs.";
        "valid_virtio_fs_daemon_paths" Kind::Texts, "[]" "" ""
            "Shell patterns of the programs that a pod annotation may choose as `virtio_fs_daemon`.";
        "virtio_fs_extra_args" Kind::Texts, "[]" "" "hypervisor, resources"
            "Additional arguments of the daemon; what annotations give is appended.";
        "virtio_fs_cache" Kind::Text, "\"\"" "" "hypervisor, resources"
            "How long the guest caches file data. Filled in only when virtio-fs is used."
            .values(&["never", "auto", "always"]);
        "virtio_fs_cache_size" Kind::U32, "0" "MiB" "hypervisor"
            "DAX window through which the guest maps host files. 0: none.";
        "virtio_fs_queue_size" Kind::U32, "0" "descriptors" "resources"
            "Size of a virtio-fs queue. 0: the hypervisor's own.";
        "virtio_fs_is_dax" Kind::Bool, "false" "" "nobody"
            "Use a DAX window; follows from `virtio_fs_cache_size`."
            .except("sets `virtio_fs_cache_size` to 1024 if that is 0 and virtio-fs is used");
    },
};

pub(super) const NETWORK: Group = Group {
    title: "Network",
    keys: rows! {
        "disable_vhost_net" Kind::Bool, "false" "" "hypervisor"
            "Handle network packets in the virtual machine monitor instead of in the host kernel.";
        "network_queues" Kind::U32, "0" "queue pairs" "hypervisor, runtime"
            "Queues of a network device, at most 256."
            .adjusted(&[(ANY, "1")]);
        "rx_rate_limiter_max_rate" Kind::U64, "0" "bit/s" "nobody"
            "Inbound bandwidth of the guest. 0: not limited.";
        "tx_rate_limiter_max_rate" Kind::U64, "0" "bit/s" "nobody"
            "Outbound bandwidth of the guest. 0: not limited.";
    },
};

pub(super) const DEVICES: Group = Group {
    title: "Other devices",
    keys: rows! {
        "default_bridges" Kind::U32, "0" "" "hypervisor, runtime"
            "PCI bridges for devices that are added later, at most 5."
            .adjusted(&[("qemu", "1"), ("clh", "2")]);
        "hotplug_vfio_on_root_bus" Kind::Bool, "false" "" "hypervisor, kata-ctl"
            "Add VFIO devices to the root bus instead of a bridge, for devices with large BARs.";
        "cold_plug_vfio" Kind::Text, "\"\"" "" "runtime"
            "Where VFIO devices are attached before the guest starts: no-port, root-port; empty: they are added later.";
        "pcie_root_port" Kind::U32, "0" "" "hypervisor, kata-ctl"
            "PCIe root ports for devices that are added later.";
        "pcie_switch_port" Kind::U32, "0" "" "nobody"
            "Ports of a PCIe switch; cannot be combined with root ports.";
        "enable_iommu" Kind::Bool, "false" "" "hypervisor, kata-ctl"
            "Give the guest a virtual IOMMU.";
        "enable_iommu_platform" Kind::Bool, "false" "" "hypervisor, kata-ctl"
            "Let virtio devices use the virtual IOMMU.";
        "enable_iothreads" Kind::Bool, "false" "" "hypervisor"
            "Serve disks from threads of their own.";
        "prefetch_list_path" Kind::Text, "\"\"" "" "hypervisor, resources"
            "List of image files that Nydus fetches before they are asked for.";
    },
};
