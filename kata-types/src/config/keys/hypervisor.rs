//! Keys of `[hypervisor.<name>]`: programs, boot, processors, memory, security.

use super::hypervisor_devices::{BLOCK, DEVICES, NETWORK, SHARED_FS};
use super::{ANY, Group, Kind, Section, rows};

pub(super) const GROUPS: &[Group] = &[
    PROGRAMS,
    BOOT,
    MACHINE,
    MEMORY,
    SWAP,
    BLOCK,
    SHARED_FS,
    NETWORK,
    DEVICES,
    SECURITY,
    CONFIDENTIAL,
    REMOTE,
    TEMPLATE,
    DEBUGGING,
];

const PROGRAMS: Group = Group {
    title: "Programs",
    keys: rows! {
        "path" Kind::Text, "\"\"" "" "hypervisor, kata-ctl"
            "Program of the virtual machine monitor. Dragonball is built into the runtime and needs none."
            .adjusted(&[("qemu", "\"/usr/bin/qemu-system-x86_64\""), ("clh", "\"/usr/bin/cloud-hypervisor\"")]);
        "valid_hypervisor_paths" Kind::Texts, "[]" "" ""
            "Shell patterns of the programs that a pod annotation may choose as `path`; none: no choice.";
        "ctlpath" Kind::Text, "\"\"" "" "nobody"
            "Program that controls the virtual machine monitor.";
        "valid_ctlpaths" Kind::Texts, "[]" "" "nobody"
            "Shell patterns of permitted values of `ctlpath`. No annotation of a pod sets it.";
        "jailer_path" Kind::Text, "\"\"" "" "hypervisor"
            "Program that confines the virtual machine monitor (Firecracker's jailer); empty: not confined.";
        "valid_jailer_paths" Kind::Texts, "[]" "" ""
            "Shell patterns of the programs that a pod annotation may choose as `jailer_path`.";
    },
};

const BOOT: Group = Group {
    title: "Guest boot",
    keys: rows! {
        "kernel" Kind::Text, "\"\"" "" "hypervisor, runtime, kata-ctl"
            "Guest kernel. Required: without it no sandbox starts.";
        "image" Kind::Text, "\"\"" "" "hypervisor, runtime, kata-ctl"
            "Disk image with the guest's root file system. Give either an image or an initrd.";
        "initrd" Kind::Text, "\"\"" "" "hypervisor, runtime, kata-ctl"
            "Initial RAM disk with the guest's root file system. Give either an image or an initrd.";
        "rootfs_type" Kind::Text, "\"\"" "" "hypervisor"
            "File system of the guest image: ext4, xfs or erofs."
            .adjusted(&[("qemu", "\"ext4\"")]);
        "vm_rootfs_driver" Kind::Text, "\"\"" "" "hypervisor, runtime"
            "How the guest image is attached. Confidential guests must not use virtio-blk-mmio."
            .adjusted(&[(ANY, "\"virtio-blk-pci\"")])
            .values(DRIVERS);
        "kernel_params" Kind::Text, "\"\"" "" "hypervisor, kata-ctl"
            "Additional parameters of the guest kernel, separated by spaces.";
        "kernel_verity_params" Kind::Text, "\"\"" "" "hypervisor"
            "dm-verity of the guest image: root_hash=, salt=, data_blocks=, data_block_size=, hash_block_size=, separated by commas.";
        "firmware" Kind::Text, "\"\"" "" "hypervisor, runtime"
            "Firmware image, such as OVMF; empty: the machine's own.";
    },
};

/// Ways to attach a disk.
pub(super) const DRIVERS: &[&str] = &[
    "virtio-blk-pci",
    "virtio-blk-ccw",
    "virtio-blk-mmio",
    "virtio-pmem",
    "virtio-scsi",
];

const MACHINE: Group = Group {
    title: "Machine and processors",
    keys: rows! {
        "machine_type" Kind::Text, "\"\"" "" "hypervisor, runtime, kata-ctl"
            "Machine model of QEMU: q35, virt, s390-ccw-virtio, pseries."
            .adjusted(&[("qemu", "\"q35\"")]);
        "machine_accelerators" Kind::Text, "\"\"" "" "hypervisor, kata-ctl"
            "Additional machine options of QEMU, separated by commas.";
        "cpu_features" Kind::Text, "\"\"" "" "hypervisor, kata-ctl"
            "Processor features to add (+) or remove (-), separated by commas, such as \"pmu=off\".";
        "default_vcpus" Kind::F32, "0.0" "vCPUs" "hypervisor, resources, runtime, kata-ctl"
            "Processors of a new guest; fractions are rounded up when the guest is sized. Negative: all that the host has; 0: one."
            .adjusted(&[(ANY, "1.0")]);
        "default_maxvcpus" Kind::U32, "0" "vCPUs" "hypervisor, resources, runtime"
            "Processors that a guest can grow to. 0: all that the host has and the hypervisor supports.";
        "pflashes" Kind::Texts, "[]" "" "nobody"
            "Images for the flash memory of the machine.";
        "entropy_source" Kind::Text, "\"\"" "" "hypervisor, kata-ctl"
            "Host device that feeds the guest's random number generator."
            .adjusted(&[
                ("qemu", "\"/dev/urandom\""), ("clh", "\"/dev/urandom\""),
                ("dragonball", "\"/dev/urandom\""), ("firecracker", "\"/dev/urandom\""),
            ]);
        "valid_entropy_sources" Kind::Texts, "[]" "" ""
            "Shell patterns of the devices that a pod annotation may choose as `entropy_source`.";
    },
};

const MEMORY: Group = Group {
    title: "Memory",
    keys: rows! {
        "default_memory" Kind::U32, "0" "MiB" "hypervisor, resources, runtime"
            "Memory of a new guest; at most what the host has."
            .adjusted(&[(ANY, "128")]);
        "default_maxmemory" Kind::U32, "0" "MiB" "hypervisor, resources"
            "Memory that a guest can grow to. 0: all that the host has.";
        "memory_slots" Kind::U32, "0" "" "hypervisor, kata-ctl"
            "How often memory can be added to a running guest."
            .adjusted(&[(ANY, "128")]);
        "enable_mem_prealloc" Kind::Bool, "false" "" "hypervisor"
            "Take all guest memory from the host when the guest starts.";
        "enable_hugepages" Kind::Bool, "false" "" "hypervisor"
            "Back guest memory by huge pages, which the host must have reserved.";
        "hugepage_type" Kind::HugePage, "\"hugetlbfs\"" "" "hypervisor"
            "Kind of huge pages: reserved ones (hugetlbfs) or transparent ones (thp)."
            .values(&["hugetlbfs", "thp"]);
        "enable_virtio_mem" Kind::Bool, "false" "" "nobody"
            "Resize guest memory through virtio-mem.";
        "file_mem_backend" Kind::Text, "\"\"" "" "nobody"
            "Directory for a file that backs guest memory.";
        "valid_file_mem_backends" Kind::Texts, "[]" "" ""
            "Shell patterns of the directories that a pod annotation may choose as `file_mem_backend`.";
        "reclaim_guest_freed_memory" Kind::Bool, "false" "" "hypervisor"
            "Give memory that the guest freed back to the host, through the balloon device.";
    },
};

const SWAP: Group = Group {
    title: "Guest swap",
    keys: rows! {
        "enable_guest_swap" Kind::Bool, "false" "" "resources"
            "Let the guest swap to a file on the host. Not available with QEMU.";
        "guest_swap_path" Kind::Text, "\"/run/kata-containers/swap\"" "" "resources, runtime"
            "Directory of the swap files.";
        "guest_swap_size_percent" Kind::U64, "100" "% of guest memory" "resources"
            "Size of the swap file.";
        "guest_swap_create_threshold_secs" Kind::U64, "60" "s" "resources"
            "How long a sandbox must live before its swap file is created.";
    },
};

const SECURITY: Group = Group {
    title: "Security",
    keys: rows! {
        "enable_annotations" Kind::Texts, "[]" "" "kata-ctl"
            "Regular expressions of the hypervisor keys that pod annotations may set. They match whole names: \"kernel\" does not include kernel_params.";
        "rootless" Kind::Bool, "false" "" "runtime, kata-ctl"
            "Run the virtual machine monitor as an unprivileged user.";
        "rootless_user" Kind::Table(Section::RootlessUser), "" "" "hypervisor, runtime"
            "The user for `rootless`; set by the runtime.";
        "disable_seccomp" Kind::Bool, "false" "" "hypervisor, kata-ctl"
            "Run the virtual machine monitor without system call filter.";
        "seccomp_sandbox" Kind::Text, "" "" "hypervisor"
            "Value of QEMU's -sandbox option.";
        "disable_selinux" Kind::Bool, "false" "" "hypervisor"
            "Run the virtual machine monitor without SELinux label.";
        "selinux_label" Kind::Text, "" "" "hypervisor"
            "SELinux label of the virtual machine monitor.";
        "disable_guest_selinux" Kind::Bool, "true" "" "hypervisor, resources, runtime"
            "Do not use SELinux inside the guest.";
        "guest_hook_path" Kind::Text, "\"\"" "" "runtime, kata-ctl"
            "Directory inside the guest whose OCI hooks are run for each container; empty: none.";
    },
};

const CONFIDENTIAL: Group = Group {
    title: "Confidential computing",
    keys: rows! {
        "confidential_guest" Kind::Bool, "false" "" "hypervisor, runtime, kata-ctl"
            "Encrypt and measure the guest with what the host offers: TDX, SEV-SNP, IBM Secure Execution.";
        "sev_snp_guest" Kind::Bool, "false" "" "runtime"
            "Prefer SEV-SNP where the host has both SEV and SEV-SNP.";
        "snp_guest_policy" Kind::U32, "0x30000" "" "hypervisor"
            "Guest policy of SEV-SNP, as the firmware's interface defines it.";
        "snp_id_block" Kind::Text, "\"\"" "" "nobody"
            "Identity block of SEV-SNP in base64.";
        "snp_id_auth" Kind::Text, "\"\"" "" "nobody"
            "Authentication of the SEV-SNP identity block in base64.";
        "tdx_quote_generation_service_socket_port" Kind::U32, "4050" "" "hypervisor, runtime"
            "vsock port of the host's TDX quote generation service; 0: its Unix socket.";
        "initdata" Kind::Blob, "\"\"" "" "hypervisor, runtime"
            "Initdata document, TOML text, that the guest is measured with.";
    },
};

const REMOTE: Group = Group {
    title: "Remote hypervisor",
    keys: rows! {
        "hypervisor_socket" Kind::Text, "\"\"" "" "hypervisor, runtime"
            "Unix socket of the service that creates the virtual machines."
            .alias(&["remote_hypervisor_socket"])
            .adjusted(&[("remote", "\"/run/peerpod/hypervisor.sock\"")]);
        "hypervisor_timeout" Kind::I32, "0" "s" "hypervisor"
            "How long to wait for a virtual machine."
            .alias(&["remote_hypervisor_timeout"])
            .adjusted(&[("remote", "600")]);
        "default_gpus" Kind::U32, "0" "" "hypervisor"
            "GPUs of the virtual machine.";
        "default_gpu_model" Kind::Text, "\"\"" "" "hypervisor"
            "Model of these GPUs.";
    },
};

const TEMPLATE: Group = Group {
    title: "VM templates",
    keys: rows! {
        "boot_to_be_template" Kind::Bool, "false" "" "hypervisor, runtime"
            "This guest becomes a template; set by the runtime.";
        "boot_from_template" Kind::Bool, "false" "" "hypervisor, runtime"
            "This guest starts from a template; set by the runtime.";
        "memory_path" Kind::Text, "\"\"" "" "runtime"
            "Memory of the template; set by the runtime.";
        "device_state_path" Kind::Text, "\"\"" "" "hypervisor, runtime"
            "Device state of the template; set by the runtime.";
        "factory" Kind::Table(Section::Factory), "" "" "runtime"
            "Where new guests come from.";
    },
};

const DEBUGGING: Group = Group {
    title: "Debugging",
    keys: rows! {
        "enable_debug" Kind::Bool, "false" "" "hypervisor, kata-ctl"
            "Log more, in the virtual machine monitor and in the guest kernel.";
        "log_level" Kind::Text, "\"info\"" "" "runtime"
            "Log level of the hypervisor part of the runtime."
            .values(LEVELS);
        "disable_nesting_checks" Kind::Bool, "false" "" "hypervisor"
            "Do not look for a virtual machine around this one when the guest is set up.";
        "guest_memory_dump_path" Kind::Text, "\"\"" "" "nobody"
            "Directory for memory dumps of crashed guests.";
        "guest_memory_dump_paging" Kind::Bool, "false" "" "nobody"
            "Follow the guest's page tables in memory dumps.";
        "extra_monitor_socket" Kind::Text, "\"\"" "" "hypervisor"
            "Additional monitor socket of QEMU: hmp, qmp or qmp-pretty. Whoever reaches it controls the guest."
            .alias(&["dbg_monitor_socket"]);
    },
};

/// Names of log levels.
pub(crate) const LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "critical"];

pub(super) const FACTORY: &[Group] = &[Group {
    title: "Where new guests come from",
    keys: rows! {
        "enable_template" Kind::Bool, "false" "" "runtime"
            "Clone new guests from a template, which shares the memory of kernel and image.";
        "template_path" Kind::Text, "\"\"" "" "runtime"
            "Directory of the template."
            .adjusted(&[
                ("qemu", "\"/run/vc/vm/template\""), ("remote", "\"/run/vc/vm/template\""),
                ("clh", "\"/run/vc/vm/template\""), ("dragonball", "\"/run/vc/vm/template\""),
            ]);
    },
}];

pub(super) const ROOTLESS_USER: &[Group] = &[Group {
    title: "User of an unprivileged virtual machine monitor",
    keys: rows! {
        "uid" Kind::U32, "0" "" "hypervisor" "User id.";
        "gid" Kind::U32, "0" "" "hypervisor" "Group id.";
        "groups" Kind::U32s, "[]" "" "hypervisor" "Supplementary group ids.";
        "user_name" Kind::Text, "\"\"" "" "runtime" "User name, removed with the sandbox.";
    },
}];
