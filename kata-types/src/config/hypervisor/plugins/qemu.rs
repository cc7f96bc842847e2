//! [QEMU](https://www.qemu.org/docs/master/system/).

use super::fields::{
    BRIDGES, CTLPATH, ENTROPY_SOURCE, FIRMWARE, JAILER_PATH, KERNEL, KERNEL_PARAMS, MACHINE_TYPE,
    MEMORY, MEMORY_SLOTS, PATH, ROOTFS_TYPE, TEMPLATE_PATH, VALID_JAILER_PATHS,
};
use super::rules::{BuiltInPlugin, Check, Step, built_in_plugin};
use crate::config::ConfigPlugin;
use crate::config::default;
use crate::config::hypervisor::{Hypervisor, VIRTIO_BLK_MMIO};

/// Name of QEMU in the configuration.
pub const HYPERVISOR_NAME_QEMU: &str = "qemu";

/// The plugin of QEMU.
#[derive(Default, Debug)]
pub struct QemuConfig {}

built_in_plugin!(QemuConfig, RULES);

static RULES: BuiltInPlugin = BuiltInPlugin {
    name: HYPERVISOR_NAME_QEMU,
    min_memory: default::MIN_QEMU_MEMORY_SIZE_MB,
    max_vcpus: default::MAX_QEMU_VCPUS,
    steps: &[
        Step::Text(&PATH, default::DEFAULT_QEMU_BINARY_PATH),
        Step::Resolve(&PATH, "Qemu binary path `{}` is invalid: {}"),
        Step::Text(&ROOTFS_TYPE, default::DEFAULT_QEMU_ROOTFS_TYPE),
        Step::Text(&CTLPATH, default::DEFAULT_QEMU_CONTROL_PATH),
        Step::Resolve(&CTLPATH, "Qemu ctlpath `{}` is invalid: {}"),
        Step::Text(&KERNEL, default::DEFAULT_QEMU_GUEST_KERNEL_IMAGE),
        Step::Text(&KERNEL_PARAMS, default::DEFAULT_QEMU_GUEST_KERNEL_PARAMS),
        Step::Text(&FIRMWARE, default::DEFAULT_QEMU_FIRMWARE_PATH),
        Step::Number(&BRIDGES, default::DEFAULT_QEMU_PCI_BRIDGES),
        Step::Text(&MACHINE_TYPE, default::DEFAULT_QEMU_MACHINE_TYPE),
        Step::Text(&ENTROPY_SOURCE, default::DEFAULT_QEMU_ENTROPY_SOURCE),
        Step::Number(&MEMORY, default::DEFAULT_QEMU_MEMORY_SIZE_MB),
        Step::Number(&MEMORY_SLOTS, default::DEFAULT_QEMU_MEMORY_SLOTS),
        Step::Text(&TEMPLATE_PATH, default::DEFAULT_TEMPLATE_PATH),
    ],
    checks: &[
        Check::Exists(&PATH, "QEMU binary path `{}` is invalid: {}"),
        Check::Exists(&CTLPATH, "QEMU control path `{}` is invalid: {}"),
        Check::Empty(&JAILER_PATH, "Path for QEMU jailer should be empty"),
        Check::EmptyList(
            &VALID_JAILER_PATHS,
            "Valid Qemu jailer path list should be empty",
        ),
        Check::Must(
            "block_device_driver",
            |hv| {
                hv.blockdev_info.disable_block_device_use
                    || hv.blockdev_info.block_device_driver != VIRTIO_BLK_MMIO
            },
            "Qemu doesn't support virtio-blk-mmio",
        ),
        COCO_WITHOUT_MMIO,
        Check::Set(&KERNEL, "Guest kernel image for qemu is empty"),
        Check::Must(
            "image",
            |hv| has_image_or_initrd(hv) || boots_from_ccw_disk(hv),
            "Both guest boot image and initrd for qemu are empty",
        ),
        Check::VcpuLimit("Qemu hypervisor can not support {} vCPUs"),
        Check::BridgeLimit(
            default::MAX_QEMU_PCI_BRIDGES,
            "Qemu hypervisor can not support {} PCI bridges",
        ),
        Check::MemoryLimit("Qemu hypervisor has minimal memory limitation {}"),
        Check::Must(
            "enable_guest_swap",
            |hv| !hv.memory_info.enable_guest_swap,
            "Qemu hypervisor doesn't support enable_guest_swap",
        ),
    ],
    runtime: None,
};

/// The host can attack a confidential guest through virtio-mmio.
pub(super) const COCO_WITHOUT_MMIO: Check = Check::Must(
    "vm_rootfs_driver",
    |hv| !hv.security_info.confidential_guest || hv.boot_info.vm_rootfs_driver != VIRTIO_BLK_MMIO,
    "Confidential guests must not use virtio-blk-mmio (use virtio-blk-pci); virtio-mmio is not \
     hardened for CoCo",
);

pub(super) fn has_image_or_initrd(hv: &Hypervisor) -> bool {
    !hv.boot_info.image.is_empty() || !hv.boot_info.initrd.is_empty()
}

/// A Secure Execution guest on s390x carries its root file system in the kernel image.
fn boots_from_ccw_disk(hv: &Hypervisor) -> bool {
    hv.security_info.confidential_guest && hv.boot_info.vm_rootfs_driver.ends_with("ccw")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        MISSING, adjust, assert_accepts, assert_checks, assert_ignores_other_sections, bootable,
    };
    use super::*;

    fn valid() -> Hypervisor {
        bootable(64)
    }

    #[test]
    fn adjust_fills_in_what_is_missing() {
        let hv = Hypervisor {
            path: "/dev/../dev/null".into(),
            ..Default::default()
        };
        let hv = adjust(&RULES, hv).0.unwrap();
        assert_eq!(hv.path, "/dev/null");
        assert_eq!(hv.ctlpath, "");
        assert_eq!(hv.boot_info.rootfs_type, "ext4");
        assert_eq!(hv.boot_info.kernel, "vmlinuz");
        assert_eq!(hv.boot_info.kernel_params, "");
        assert_eq!(hv.boot_info.firmware, "");
        assert_eq!(hv.device_info.default_bridges, 1);
        assert_eq!(hv.machine_info.machine_type, "q35");
        assert_eq!(hv.machine_info.entropy_source, "/dev/urandom");
        assert_eq!(hv.memory_info.default_memory, 128);
        assert_eq!(hv.memory_info.memory_slots, 128);
        assert_eq!(hv.factory.template_path, "/run/vc/vm/template");
    }

    #[test]
    fn adjust_keeps_what_is_set() {
        let mut hv = valid();
        hv.boot_info.rootfs_type = "xfs".into();
        hv.boot_info.kernel_params = "a".into();
        hv.device_info.default_bridges = 9;
        hv.machine_info.machine_type = "virt".into();
        hv.machine_info.entropy_source = "/dev/random".into();
        hv.memory_info.memory_slots = 3;
        hv.factory.template_path = "/t".into();
        let before = serde_json::to_value(&hv).unwrap();
        let (after, notes) = adjust(&RULES, hv);
        assert_eq!(serde_json::to_value(after.unwrap()).unwrap(), before);
        assert_eq!(notes, []);
    }

    #[test]
    fn programs_must_exist() {
        for (change, text) in [
            (
                (|hv| hv.path = "/missing".into()) as fn(&mut Hypervisor),
                "Qemu binary path `/missing` is invalid",
            ),
            (
                |hv| hv.ctlpath = "/missing".into(),
                "Qemu ctlpath `/missing` is invalid",
            ),
        ] {
            let mut hv = valid();
            change(&mut hv);
            let error = adjust(&RULES, hv).0.unwrap_err();
            assert_eq!(error.to_string(), format!("{text}: {MISSING}"));
        }
        // Without a path it is QEMU of this machine, if there is one.
        let text = "Qemu binary path `/usr/bin/qemu-system-x86_64` is invalid: ";
        match adjust(&RULES, Hypervisor::default()).0 {
            Ok(hv) => assert!(hv.path.starts_with('/'), "{}", hv.path),
            Err(error) => assert!(error.to_string().starts_with(text), "{error}"),
        }
    }

    #[test]
    fn checks_in_order() {
        assert_checks(
            &RULES,
            valid,
            &[
                (
                    "path",
                    |hv| hv.path = "/missing".into(),
                    &format!("QEMU binary path `/missing` is invalid: {MISSING}"),
                ),
                (
                    "ctlpath",
                    |hv| hv.ctlpath = "/missing".into(),
                    &format!("QEMU control path `/missing` is invalid: {MISSING}"),
                ),
                (
                    "jailer_path",
                    |hv| hv.jailer_path = "/dev/null".into(),
                    "Path for QEMU jailer should be empty",
                ),
                (
                    "valid_jailer_paths",
                    |hv| hv.valid_jailer_paths = vec![String::new()],
                    "Valid Qemu jailer path list should be empty",
                ),
                (
                    "block_device_driver",
                    |hv| hv.blockdev_info.block_device_driver = "virtio-blk-mmio".into(),
                    "Qemu doesn't support virtio-blk-mmio",
                ),
                (
                    "vm_rootfs_driver",
                    |hv| {
                        hv.security_info.confidential_guest = true;
                        hv.boot_info.vm_rootfs_driver = "virtio-blk-mmio".into();
                    },
                    "Confidential guests must not use virtio-blk-mmio (use virtio-blk-pci); \
                     virtio-mmio is not hardened for CoCo",
                ),
                (
                    "kernel",
                    |hv| hv.boot_info.kernel.clear(),
                    "Guest kernel image for qemu is empty",
                ),
                (
                    "image",
                    |hv| hv.boot_info.image.clear(),
                    "Both guest boot image and initrd for qemu are empty",
                ),
                (
                    "default_maxvcpus",
                    |hv| hv.cpu_info.default_maxvcpus = 257,
                    "Qemu hypervisor can not support 257 vCPUs",
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.default_bridges = 6,
                    "Qemu hypervisor can not support 6 PCI bridges",
                ),
                (
                    "default_memory",
                    |hv| hv.memory_info.default_memory = 63,
                    "Qemu hypervisor has minimal memory limitation 64",
                ),
                (
                    "enable_guest_swap",
                    |hv| hv.memory_info.enable_guest_swap = true,
                    "Qemu hypervisor doesn't support enable_guest_swap",
                ),
            ],
        );
        assert_checks(
            &RULES,
            valid,
            &[(
                "default_maxvcpus",
                |hv| hv.cpu_info.default_vcpus = 257.5,
                "Qemu hypervisor can not support 0 vCPUs",
            )],
        );
    }

    #[test]
    fn what_is_accepted() {
        assert_accepts(
            &RULES,
            valid,
            &[
                |hv| {
                    hv.blockdev_info.block_device_driver = "virtio-blk-mmio".into();
                    hv.blockdev_info.disable_block_device_use = true;
                },
                |hv| hv.boot_info.vm_rootfs_driver = "virtio-blk-mmio".into(),
                |hv| {
                    hv.boot_info.image.clear();
                    hv.boot_info.initrd = "/i".into();
                },
                |hv| {
                    hv.boot_info.image.clear();
                    hv.boot_info.vm_rootfs_driver = "virtio-blk-ccw".into();
                    hv.security_info.confidential_guest = true;
                },
                |hv| {
                    hv.cpu_info.default_vcpus = 256.9;
                    hv.cpu_info.default_maxvcpus = 256;
                    hv.device_info.default_bridges = 5;
                },
                |hv| hv.cpu_info.default_vcpus = -1.0,
            ],
        );
    }

    #[test]
    fn image_is_needed_unless_confidential_and_ccw() {
        for change in [
            (|hv| hv.security_info.confidential_guest = true) as fn(&mut Hypervisor),
            |hv| hv.boot_info.vm_rootfs_driver = "virtio-blk-ccw".into(),
        ] {
            let mut hv = valid();
            hv.boot_info.image.clear();
            change(&mut hv);
            let config = super::super::testing::config(HYPERVISOR_NAME_QEMU, hv);
            assert_eq!(
                QemuConfig::new().validate(&config).unwrap_err().to_string(),
                "Both guest boot image and initrd for qemu are empty"
            );
        }
    }

    #[test]
    fn other_sections_are_ignored() {
        assert_ignores_other_sections(&RULES);
    }
}
