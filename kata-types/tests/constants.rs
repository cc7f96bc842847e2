//! Names that other programs write or read: changing one breaks them.
#![allow(missing_docs, reason = "tests")]

use kata_types::{annotations, container, device, fs, machine_type, mount};

/// Checks constants against their values.
macro_rules! check {
    ($($module:ident)::+: $($name:ident = $value:literal;)+) => {
        {
            use $($module)::+ as checked;
            $(assert_eq!(checked::$name, $value, stringify!($name));)+
        }
    };
}

#[test]
fn prefixes_and_general_annotations() {
    check! { annotations:
        KATA_ANNO_PREFIX = "io.katacontainers.";
        KATA_ANNO_CFG_PREFIX = "io.katacontainers.config.";
        KATA_ANNO_CONTAINER_PREFIX = "io.katacontainers.container.";
        KATA_ANNO_CFG_AGENT_PREFIX = "io.katacontainers.config.agent.";
        KATA_ANNO_CFG_HYPERVISOR_PREFIX = "io.katacontainers.config.hypervisor.";
        KATA_ANNO_CFG_RUNTIME_PREFIX = "io.katacontainers.config.runtime.";
        SANDBOX_CFG_PATH_KEY = "io.katacontainers.config_path";
        BUNDLE_PATH_KEY = "io.katacontainers.pkg.oci.bundle_path";
        CONTAINER_TYPE_KEY = "io.katacontainers.pkg.oci.container_type";
        KATA_ANNO_CONTAINER_RES_PREFIX = "io.katacontainers.container.resource";
        KATA_ANNO_CONTAINER_RES_SWAPPINESS = "io.katacontainers.container.resource.swappiness";
        KATA_ANNO_CONTAINER_RES_SWAP_IN_BYTES = "io.katacontainers.container.resource.swap_in_bytes";
        KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINTER_TIMEOUT =
            "io.katacontainers.config.runtime.create_container_timeout";
        KATA_ANNO_CFG_RUNTIME_CREATE_CONTAINER_TIMEOUT =
            "io.katacontainers.config.runtime.create_container_timeout";
        SHA512 = "sha512";
        CONTAINER_PIPE_SIZE_KERNEL_PARAM = "agent.container_pipe_size";
        MAX_PCIE_ROOT_PORT = 16u32;
        MAX_PCIE_SWITCH_PORT = 16u32;
    }
}

#[test]
fn annotations_of_container_managers() {
    check! { annotations::cri_containerd:
        CONTAINER_TYPE_LABEL_KEY = "io.kubernetes.cri.container-type";
        CONTAINER_NAME_LABEL_KEY = "io.kubernetes.cri.container-name";
        SANDBOX = "sandbox";
        CONTAINER = "container";
        SANDBOX_ID_LABEL_KEY = "io.kubernetes.cri.sandbox-id";
        SANDBOX_NAME_LABEL_KEY = "io.kubernetes.cri.sandbox-name";
        SANDBOX_NAMESPACE_LABEL_KEY = "io.kubernetes.cri.sandbox-namespace";
        SANDBOX_CPU_QUOTA_KEY = "io.kubernetes.cri.sandbox-cpu-quota";
        SANDBOX_CPU_PERIOD_KEY = "io.kubernetes.cri.sandbox-cpu-period";
        SANDBOX_CPU_SHARE_KEY = "io.kubernetes.cri.sandbox-cpu-shares";
        SANDBOX_MEM_KEY = "io.kubernetes.cri.sandbox-memory";
    }
    check! { annotations::crio:
        CONTAINER_TYPE_LABEL_KEY = "io.kubernetes.cri-o.ContainerType";
        CONTAINER_NAME_LABEL_KEY = "io.kubernetes.cri-o.ContainerName";
        SANDBOX = "sandbox";
        CONTAINER = "container";
        SANDBOX_ID_LABEL_KEY = "io.kubernetes.cri-o.SandboxID";
        SANDBOX_NAME_LABEL_KEY = "io.kubernetes.cri-o.KubeName";
        SANDBOX_NAMESPACE_LABEL_KEY = "io.kubernetes.cri-o.Namespace";
    }
    check! { annotations::dockershim:
        CONTAINER_TYPE_LABEL_KEY = "io.kubernetes.docker.type";
        SANDBOX = "podsandbox";
        CONTAINER = "container";
        SANDBOX_ID_LABEL_KEY = "io.kubernetes.sandbox.id";
    }
    check! { annotations::thirdparty:
        SGX_EPC = "sgx.intel.com/epc";
    }
}

#[test]
fn drivers_file_systems_and_machines() {
    check! { device:
        DRIVER_BLK_PCI_TYPE = "blk";
        DRIVER_BLK_CCW_TYPE = "blk-ccw";
        DRIVER_BLK_MMIO_TYPE = "mmioblk";
        DRIVER_SCSI_TYPE = "scsi";
        DRIVER_NVDIMM_TYPE = "nvdimm";
        DRIVER_VFIO_PCI_GK_TYPE = "vfio-pci-gk";
        DRIVER_VFIO_PCI_TYPE = "vfio-pci";
        DRIVER_VFIO_AP_TYPE = "vfio-ap";
        DRIVER_VFIO_AP_COLD_TYPE = "vfio-ap-cold";
        DRIVER_EPHEMERAL_TYPE = "ephemeral";
        DRIVER_LOCAL_TYPE = "local";
        DRIVER_OVERLAYFS_TYPE = "overlayfs";
        DRIVER_VIRTIOFS_TYPE = "virtio-fs";
        DRIVER_WATCHABLE_BIND_TYPE = "watchable-bind";
    }
    check! { fs:
        VM_ROOTFS_FILESYSTEM_EXT4 = "ext4";
        VM_ROOTFS_FILESYSTEM_XFS = "xfs";
        VM_ROOTFS_FILESYSTEM_EROFS = "erofs";
    }
    check! { machine_type:
        MACHINE_TYPE_Q35_TYPE = "q35";
        MACHINE_TYPE_S390X_TYPE = "s390-ccw-virtio";
    }
    check! { container:
        POD_CONTAINER = "pod_container";
        POD_SANDBOX = "pod_sandbox";
    }
}

#[test]
fn mounts_and_volumes() {
    check! { mount:
        KATA_VOLUME_TYPE_PREFIX = "kata:";
        KATA_GUEST_MOUNT_PREFIX = "kata:guest-mount:";
        KATA_SHAREDFS_GUEST_PREMOUNT_TAG = "kataShared";
        KATA_EPHEMERAL_VOLUME_TYPE = "ephemeral";
        KATA_K8S_LOCAL_STORAGE_TYPE = "local";
        KATA_MOUNT_INFO_FILE_NAME = "mountInfo.json";
        KATA_MOUNT_OPTION_FS_GID = "fsgid";
        DEFAULT_KATA_DIRECT_VOLUME_ROOT_PATH = "/run/kata-containers/shared/direct-volumes";
        KATA_VOLUME_OVERLAYFS_CREATE_DIR =
            "io.katacontainers.volume.overlayfs.create_directory";
        SANDBOX_BIND_MOUNTS_DIR = "sandbox-mounts";
        SANDBOX_BIND_MOUNTS_RO = ":ro";
        SANDBOX_BIND_MOUNTS_RW = ":rw";
        KATA_VIRTUAL_VOLUME_PREFIX = "io.katacontainers.volume=";
        KATA_VIRTUAL_VOLUME_DIRECT_BLOCK = "direct_block";
        KATA_VIRTUAL_VOLUME_IMAGE_RAW_BLOCK = "image_raw_block";
        KATA_VIRTUAL_VOLUME_LAYER_RAW_BLOCK = "layer_raw_block";
        KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_BLOCK = "image_nydus_block";
        KATA_VIRTUAL_VOLUME_LAYER_NYDUS_BLOCK = "layer_nydus_block";
        KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS = "image_nydus_fs";
        KATA_VIRTUAL_VOLUME_LAYER_NYDUS_FS = "layer_nydus_fs";
        KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL = "image_guest_pull";
        KATA_IMAGE_FORCE_GUEST_PULL = "force_guest_pull";
        KATA_BLOCK_VOLUME_CREATE_FS = "create_filesystem";
        DEFAULT_KATA_GUEST_SANDBOX_DIR = "/run/kata-containers/sandbox";
        SHM_DIR = "shm";
        SHM_DEVICE = "/dev/shm";
    }
}
