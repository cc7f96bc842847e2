//! The files in `examples/config/`: what each is for, and which keys it sets.

use super::Example;

const KERNEL: (&str, &str) = (
    "kernel",
    "\"/opt/kata/share/kata-containers/vmlinux.container\"",
);
const IMAGE: (&str, &str) = (
    "image",
    "\"/opt/kata/share/kata-containers/kata-containers.img\"",
);
const CC_KERNEL: (&str, &str) = (
    "kernel",
    "\"/opt/kata/share/kata-containers/vmlinuz-confidential.container\"",
);
const CC_IMAGE: (&str, &str) = (
    "image",
    "\"/opt/kata/share/kata-containers/kata-containers-confidential.img\"",
);
const QEMU: (&str, &str) = ("path", "\"/opt/kata/bin/qemu-system-x86_64\"");
const QEMU_PATHS: (&str, &str) = (
    "valid_hypervisor_paths",
    "[\"/opt/kata/bin/qemu-system-x86_64\"]",
);
const MEMORY: (&str, &str) = ("default_memory", "2048");
const ENTROPY: (&str, &str) = (
    "valid_entropy_sources",
    "[\"/dev/urandom\", \"/dev/random\"]",
);
const ANNOTATIONS: (&str, &str) = (
    "enable_annotations",
    "[\"enable_iommu\", \"virtio_fs_extra_args\", \"kernel_params\", \"default_vcpus\", \"default_memory\"]",
);
const CC_ANNOTATIONS: (&str, &str) = (
    "enable_annotations",
    "[\"kernel_params\", \"kernel_verity_params\", \"default_vcpus\", \"default_memory\", \"cc_init_data\"]",
);
const VIRTIO_FS: (&str, &str) = ("shared_fs", "\"virtio-fs\"");
const NO_SHARED_FS: (&str, &str) = ("shared_fs", "\"none\"");
const VIRTIOFSD: (&str, &str) = ("virtio_fs_daemon", "\"/opt/kata/libexec/virtiofsd\"");
const VIRTIOFSDS: (&str, &str) = (
    "valid_virtio_fs_daemon_paths",
    "[\"/opt/kata/libexec/virtiofsd\"]",
);
const VIRTIOFSD_ARGS: (&str, &str) = (
    "virtio_fs_extra_args",
    "[\"--thread-pool-size=1\", \"--announce-submounts\"]",
);
const CACHE: (&str, &str) = ("virtio_fs_cache", "\"auto\"");
const CONFIDENTIAL: (&str, &str) = ("confidential_guest", "true");
const NO_SECCOMP: (&str, &str) = ("disable_guest_seccomp", "true");
const STATIC: (&str, &str) = ("static_sandbox_resource_mgmt", "true");
const LONG_CREATE: (&str, &str) = ("create_container_timeout", "60");
const DIAL: (&str, &str) = ("dial_timeout_ms", "100");
const RECONNECT: (&str, &str) = ("reconnect_timeout_ms", "45000");

pub(super) const EXAMPLES: &[Example] = &[
    Example {
        name: "qemu",
        hypervisor: "qemu",
        about: "QEMU on x86_64, with host directories shared through virtio-fs.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            KERNEL,
            IMAGE,
            MEMORY,
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "qemu-snp",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on AMD processors with SEV-SNP. Nothing of the host is \
            shared; images are pulled inside the guest.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            CC_KERNEL,
            CC_IMAGE,
            (
                "kernel_params",
                "\"cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/AMDSEV.fd\""),
            ("cpu_features", "\"pmu=off\""),
            MEMORY,
            ENTROPY,
            NO_SHARED_FS,
            CONFIDENTIAL,
            ("sev_snp_guest", "true"),
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-tdx",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on Intel processors with TDX. Nothing of the host is \
            shared; images are pulled inside the guest.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            CC_KERNEL,
            CC_IMAGE,
            (
                "kernel_params",
                "\"cgroup_no_v1=all systemd.unified_cgroup_hierarchy=1\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/OVMF.inteltdx.fd\""),
            ("cpu_features", "\"pmu=off\""),
            MEMORY,
            ENTROPY,
            NO_SHARED_FS,
            CONFIDENTIAL,
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-se",
        hypervisor: "qemu",
        about: "Confidential guests of QEMU on IBM Z with Secure Execution. Kernel, parameters and \
            root file system are one encrypted image.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/qemu-system-s390x\""),
            (
                "valid_hypervisor_paths",
                "[\"/opt/kata/bin/qemu-system-s390x\"]",
            ),
            (
                "kernel",
                "\"/opt/kata/share/kata-containers/kata-containers-se.img\"",
            ),
            ("vm_rootfs_driver", "\"virtio-blk-ccw\""),
            ("machine_type", "\"s390-ccw-virtio\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-ccw\""),
            NO_SHARED_FS,
            CONFIDENTIAL,
            CC_ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[STATIC, ("emptydir_mode", "\"block-encrypted\"")],
    },
    Example {
        name: "qemu-nvidia-gpu",
        hypervisor: "qemu",
        about: "QEMU on x86_64 with NVIDIA GPUs, which are attached before the guest starts.",
        hypervisor_keys: &[
            QEMU,
            QEMU_PATHS,
            (
                "kernel",
                "\"/opt/kata/share/kata-containers/vmlinuz-nvidia-gpu.container\"",
            ),
            (
                "image",
                "\"/opt/kata/share/kata-containers/kata-containers-nvidia-gpu.img\"",
            ),
            (
                "kernel_params",
                "\"cgroup_no_v1=all pci=realloc pci=nocrs\"",
            ),
            ("firmware", "\"/opt/kata/share/ovmf/OVMF.fd\""),
            ("default_memory", "8192"),
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ("cold_plug_vfio", "\"root-port\""),
            ("pcie_root_port", "8"),
            ANNOTATIONS,
        ],
        agent_keys: &[
            ("dial_timeout_ms", "1000"),
            ("reconnect_timeout_ms", "1200000"),
            ("create_container_timeout", "1200"),
        ],
        runtime_keys: &[
            NO_SECCOMP,
            STATIC,
            ("vfio_mode", "\"guest-kernel\""),
            (
                "pod_resource_api_sock",
                "\"/var/lib/kubelet/pod-resources/kubelet.sock\"",
            ),
        ],
    },
    Example {
        name: "clh",
        hypervisor: "clh",
        about: "Cloud Hypervisor, with host directories shared through virtio-fs.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/cloud-hypervisor\""),
            (
                "valid_hypervisor_paths",
                "[\"/opt/kata/bin/cloud-hypervisor\"]",
            ),
            KERNEL,
            IMAGE,
            MEMORY,
            ENTROPY,
            VIRTIO_FS,
            VIRTIOFSD,
            VIRTIOFSDS,
            VIRTIOFSD_ARGS,
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "fc",
        hypervisor: "firecracker",
        about: "Firecracker: disks only, no shared directories, nothing added later.",
        hypervisor_keys: &[
            ("path", "\"/opt/kata/bin/firecracker\""),
            ("valid_hypervisor_paths", "[\"/opt/kata/bin/firecracker\"]"),
            ("jailer_path", "\"/opt/kata/bin/jailer\""),
            ("valid_jailer_paths", "[\"/opt/kata/bin/jailer\"]"),
            KERNEL,
            IMAGE,
            ("rootfs_type", "\"ext4\""),
            ("vm_rootfs_driver", "\"virtio-blk-mmio\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-mmio\""),
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP, STATIC],
    },
    Example {
        name: "dragonball",
        hypervisor: "dragonball",
        about: "Dragonball, the virtual machine monitor inside the runtime, with its own virtio-fs.",
        hypervisor_keys: &[
            KERNEL,
            IMAGE,
            ("rootfs_type", "\"ext4\""),
            MEMORY,
            ENTROPY,
            ("block_device_driver", "\"virtio-blk-mmio\""),
            ("shared_fs", "\"inline-virtio-fs\""),
            CACHE,
            ANNOTATIONS,
        ],
        agent_keys: &[DIAL, RECONNECT],
        runtime_keys: &[NO_SECCOMP],
    },
    Example {
        name: "remote",
        hypervisor: "remote",
        about: "Virtual machines that another service creates, in a cloud for example.",
        hypervisor_keys: &[
            ("hypervisor_socket", "\"/run/peerpod/hypervisor.sock\""),
            (
                "enable_annotations",
                "[\"machine_type\", \"default_memory\", \"default_vcpus\", \"default_gpus\", \"default_gpu_model\"]",
            ),
        ],
        agent_keys: &[DIAL, RECONNECT, LONG_CREATE],
        runtime_keys: &[NO_SECCOMP],
    },
];
