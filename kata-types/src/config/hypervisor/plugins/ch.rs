//! [Cloud Hypervisor](https://www.cloudhypervisor.org).

use super::fields::{
    BRIDGES, CTLPATH, ENTROPY_SOURCE, FIRMWARE, JAILER_PATH, KERNEL, KERNEL_PARAMS, MEMORY,
    MEMORY_SLOTS, PATH, TEMPLATE_PATH, VALID_JAILER_PATHS,
};
use super::qemu::{COCO_WITHOUT_MMIO, has_image_or_initrd};
use super::rules::{BuiltInPlugin, Check, Step, built_in_plugin};
use crate::config::ConfigPlugin;
use crate::config::default;

/// Name of Cloud Hypervisor in the configuration.
pub const HYPERVISOR_NAME_CH: &str = "clh";

/// The plugin of Cloud Hypervisor.
#[derive(Default, Debug)]
pub struct CloudHypervisorConfig {}

built_in_plugin!(CloudHypervisorConfig, RULES);

static RULES: BuiltInPlugin = BuiltInPlugin {
    name: HYPERVISOR_NAME_CH,
    min_memory: default::MIN_CH_MEMORY_SIZE_MB,
    max_vcpus: default::MAX_CH_VCPUS,
    steps: &[
        Step::Text(&PATH, default::DEFAULT_CH_BINARY_PATH),
        Step::Resolve(&PATH, "CH binary path `{}` is invalid: {}"),
        Step::Text(&CTLPATH, default::DEFAULT_CH_CONTROL_PATH),
        Step::Resolve(&CTLPATH, "CH ctlpath `{}` is invalid: {}"),
        Step::Text(&KERNEL, default::DEFAULT_CH_GUEST_KERNEL_IMAGE),
        Step::Text(&KERNEL_PARAMS, default::DEFAULT_CH_GUEST_KERNEL_PARAMS),
        Step::Text(&FIRMWARE, default::DEFAULT_CH_FIRMWARE_PATH),
        Step::Number(&BRIDGES, default::DEFAULT_CH_PCI_BRIDGES),
        Step::Text(&ENTROPY_SOURCE, default::DEFAULT_CH_ENTROPY_SOURCE),
        Step::Number(&MEMORY, default::DEFAULT_CH_MEMORY_SIZE_MB),
        Step::Number(&MEMORY_SLOTS, default::DEFAULT_CH_MEMORY_SLOTS),
        Step::Text(&TEMPLATE_PATH, default::DEFAULT_TEMPLATE_PATH),
    ],
    checks: &[
        Check::Exists(&PATH, "CH binary path `{}` is invalid: {}"),
        Check::Exists(&CTLPATH, "CH control path `{}` is invalid: {}"),
        Check::Empty(&JAILER_PATH, "Path for CH jailer should be empty"),
        Check::EmptyList(
            &VALID_JAILER_PATHS,
            "Valid CH jailer path list should be empty",
        ),
        COCO_WITHOUT_MMIO,
        Check::Set(&KERNEL, "Guest kernel image for CH is empty"),
        Check::Must(
            "image",
            has_image_or_initrd,
            "Both guest boot image and initrd for CH are empty",
        ),
        Check::VcpuLimit("CH hypervisor cannot support {} vCPUs"),
        Check::BridgeLimit(
            default::MAX_CH_PCI_BRIDGES,
            "CH hypervisor cannot support {} PCI bridges",
        ),
        Check::MemoryLimit("CH hypervisor has minimal memory limitation {}"),
    ],
    runtime: None,
};

#[cfg(test)]
mod tests {
    use super::super::testing::{
        MISSING, adjust, assert_accepts, assert_checks, assert_ignores_other_sections, bootable,
    };
    use super::*;
    use crate::config::Hypervisor;

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
        assert_eq!(hv.boot_info.rootfs_type, "");
        assert_eq!(hv.boot_info.kernel, "vmlinuz");
        assert_eq!(hv.boot_info.kernel_params, "");
        assert_eq!(hv.boot_info.firmware, "");
        assert_eq!(hv.device_info.default_bridges, 2);
        assert_eq!(hv.machine_info.machine_type, "");
        assert_eq!(hv.machine_info.entropy_source, "/dev/urandom");
        assert_eq!(hv.memory_info.default_memory, 128);
        assert_eq!(hv.memory_info.memory_slots, 128);
        assert_eq!(hv.factory.template_path, "/run/vc/vm/template");
    }

    #[test]
    fn programs_must_exist() {
        for (change, text) in [
            (
                (|hv| hv.path = "/missing".into()) as fn(&mut Hypervisor),
                "CH binary path `/missing` is invalid",
            ),
            (
                |hv| hv.ctlpath = "/missing".into(),
                "CH ctlpath `/missing` is invalid",
            ),
        ] {
            let mut hv = valid();
            change(&mut hv);
            let error = adjust(&RULES, hv).0.unwrap_err();
            assert_eq!(error.to_string(), format!("{text}: {MISSING}"));
        }
        let text = "CH binary path `/usr/bin/cloud-hypervisor` is invalid: ";
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
                    &format!("CH binary path `/missing` is invalid: {MISSING}"),
                ),
                (
                    "ctlpath",
                    |hv| hv.ctlpath = "/missing".into(),
                    &format!("CH control path `/missing` is invalid: {MISSING}"),
                ),
                (
                    "jailer_path",
                    |hv| hv.jailer_path = "/dev/null".into(),
                    "Path for CH jailer should be empty",
                ),
                (
                    "valid_jailer_paths",
                    |hv| hv.valid_jailer_paths = vec![String::new()],
                    "Valid CH jailer path list should be empty",
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
                    "Guest kernel image for CH is empty",
                ),
                (
                    "image",
                    |hv| hv.boot_info.image.clear(),
                    "Both guest boot image and initrd for CH are empty",
                ),
                (
                    "default_maxvcpus",
                    |hv| hv.cpu_info.default_maxvcpus = 257,
                    "CH hypervisor cannot support 257 vCPUs",
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.default_bridges = 6,
                    "CH hypervisor cannot support 6 PCI bridges",
                ),
                (
                    "default_memory",
                    |hv| hv.memory_info.default_memory = 63,
                    "CH hypervisor has minimal memory limitation 64",
                ),
            ],
        );
    }

    #[test]
    fn what_is_accepted() {
        assert_accepts(
            &RULES,
            valid,
            &[
                |hv| hv.blockdev_info.block_device_driver = "virtio-blk-mmio".into(),
                |hv| hv.boot_info.vm_rootfs_driver = "virtio-blk-mmio".into(),
                |hv| {
                    hv.boot_info.image.clear();
                    hv.boot_info.initrd = "/i".into();
                },
                |hv| hv.memory_info.enable_guest_swap = true,
            ],
        );
    }

    #[test]
    fn other_sections_are_ignored() {
        assert_ignores_other_sections(&RULES);
    }
}
