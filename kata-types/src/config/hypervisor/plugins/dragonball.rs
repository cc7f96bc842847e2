//! Dragonball, the hypervisor that is part of the runtime process.

use super::fields::{
    CTLPATH, ENTROPY_SOURCE, FIRMWARE, JAILER_PATH, KERNEL, KERNEL_PARAMS, MACHINE_TYPE, MEMORY,
    MEMORY_SLOTS, PATH, PFLASHES, TEMPLATE_PATH, VALID_CTLPATHS, VALID_PATHS,
};
use super::qemu::has_image_or_initrd;
use super::rules::{BuiltInPlugin, Check, Step, built_in_plugin};
use crate::config::ConfigPlugin;
use crate::config::adjust::{Adjuster, Checked, KeyedError};
use crate::config::check::Checker;
use crate::config::default;
use crate::config::hypervisor::drivers::unsupported_driver;
use crate::config::hypervisor::shared_fs::{VIRTIO_FS, VIRTIO_FS_INLINE};
use crate::config::hypervisor::{Hypervisor, VIRTIO_BLK_MMIO, VIRTIO_BLK_PCI, VIRTIO_PMEM};

/// Name of Dragonball in the configuration.
pub const HYPERVISOR_NAME_DRAGONBALL: &str = "dragonball";

/// The plugin of Dragonball.
#[derive(Default, Debug)]
pub struct DragonballConfig {}

built_in_plugin!(DragonballConfig, RULES);

static RULES: BuiltInPlugin = BuiltInPlugin {
    name: HYPERVISOR_NAME_DRAGONBALL,
    min_memory: default::MIN_DRAGONBALL_MEMORY_SIZE_MB,
    max_vcpus: default::MAX_DRAGONBALL_VCPUS,
    steps: &[
        Step::Resolve(&JAILER_PATH, "dragonball jailer path {} is invalid: {}"),
        Step::Text(&KERNEL, default::DEFAULT_DRAGONBALL_GUEST_KERNEL_IMAGE),
        Step::Text(
            &KERNEL_PARAMS,
            default::DEFAULT_DRAGONBALL_GUEST_KERNEL_PARAMS,
        ),
        Step::Apply(limit_vcpus),
        Step::Text(&ENTROPY_SOURCE, default::DEFAULT_DRAGONBALL_ENTROPY_SOURCE),
        Step::Number(&MEMORY, default::DEFAULT_DRAGONBALL_MEMORY_SIZE_MB),
        Step::Number(&MEMORY_SLOTS, default::DEFAULT_DRAGONBALL_MEMORY_SLOTS),
        Step::Text(&TEMPLATE_PATH, default::DEFAULT_TEMPLATE_PATH),
    ],
    checks: &[
        Check::Empty(&PATH, "Path for dragonball hypervisor should be empty"),
        Check::EmptyList(
            &VALID_PATHS,
            "Valid hypervisor path for dragonball hypervisor should be empty",
        ),
        Check::Empty(
            &CTLPATH,
            "CtlPath for dragonball hypervisor should be empty",
        ),
        Check::EmptyList(
            &VALID_CTLPATHS,
            "CtlPath for dragonball hypervisor should be empty",
        ),
        Check::Exists(&JAILER_PATH, "dragonball jailer path {} is invalid: {}"),
        Check::Must(
            "enable_iothreads",
            |hv| !hv.enable_iothreads,
            "dragonball hypervisor doesn't support IO threads.",
        ),
        Check::Rule(check_block_driver),
        Check::Set(
            &KERNEL,
            "Guest kernel image for dragonball hypervisor is empty",
        ),
        Check::Must(
            "image",
            has_image_or_initrd,
            "Both of guest boot image and initrd for dragonball hypervisor is empty",
        ),
        Check::Empty(
            &FIRMWARE,
            "Firmware for dragonball hypervisor should be empty",
        ),
        Check::VcpuLimit("dragonball hypervisor can not support {} vCPUs"),
        Check::Must(
            "enable_iommu",
            |hv| !hv.device_info.enable_iommu && !hv.device_info.enable_iommu_platform,
            "dragonball hypervisor does not support vIOMMU",
        ),
        Check::Must(
            "default_bridges",
            |hv| {
                let device = &hv.device_info;
                !device.hotplug_vfio_on_root_bus
                    && device.default_bridges == 0
                    && device.pcie_root_port == 0
                    && device.pcie_switch_port == 0
            },
            "dragonball hypervisor does not support PCI hotplug options",
        ),
        Check::Empty(
            &MACHINE_TYPE,
            "dragonball hypervisor does not support machine_type",
        ),
        Check::EmptyList(&PFLASHES, "dragonball hypervisor does not support pflashes"),
        Check::Must(
            "rootless",
            |hv| !hv.security_info.rootless,
            "dragonball hypervisor does not support rootless mode",
        ),
        Check::Rule(check_shared_fs),
        Check::MemoryLimit("dragonball hypervisor has minimal memory limitation {}"),
    ],
    runtime: None,
};

/// A `default_maxvcpus` of 0 is not set: it limits nothing (D1).
fn limit_vcpus(hv: &mut Hypervisor, cx: &mut Adjuster<'_>) {
    let cpu = &mut hv.cpu_info;
    let most = default::MAX_DRAGONBALL_VCPUS;
    if cpu.default_maxvcpus > most {
        let why = format!("dragonball supports {most} CPUs");
        cx.clamped("default_maxvcpus", cpu.default_maxvcpus, most, why);
        cpu.default_maxvcpus = most;
    }
    let limit = cpu.default_maxvcpus;
    // Infinity is an error of the common layer (D15).
    if limit != 0 && cpu.default_vcpus.is_finite() && cpu.default_vcpus as u32 > limit {
        let why = format!("default_maxvcpus is {limit}");
        cx.clamped("default_vcpus", cpu.default_vcpus, limit, why);
        cpu.default_vcpus = limit as f32;
    }
}

fn check_block_driver(hv: &Hypervisor, _cx: &Checker<'_>) -> Checked {
    let driver = hv.blockdev_info.block_device_driver.as_str();
    if hv.blockdev_info.disable_block_device_use
        || [VIRTIO_BLK_PCI, VIRTIO_BLK_MMIO, VIRTIO_PMEM].contains(&driver)
    {
        return Ok(());
    }
    Err(unsupported_driver("block_device_driver", driver))
}

fn check_shared_fs(hv: &Hypervisor, _cx: &Checker<'_>) -> Checked {
    match hv.shared_fs.shared_fs.as_deref() {
        None | Some(VIRTIO_FS | VIRTIO_FS_INLINE) => Ok(()),
        Some(kind) => Err(KeyedError::other(
            "shared_fs",
            format!("dragonball hypervisor doesn't support {kind}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        MISSING, adjust, assert_accepts, assert_checks, assert_ignores_other_sections,
    };
    use super::*;

    fn valid() -> Hypervisor {
        let mut hv = Hypervisor::default();
        hv.blockdev_info.block_device_driver = "virtio-blk-mmio".into();
        hv.boot_info.kernel = "/dev/null".into();
        hv.boot_info.image = "/dev/null".into();
        hv.memory_info.default_memory = 64;
        hv
    }

    #[test]
    fn adjust_fills_in_what_is_missing() {
        let hv = adjust(&RULES, Hypervisor::default()).0.unwrap();
        assert_eq!(hv.path, "");
        assert_eq!(hv.boot_info.kernel, "vmlinuz");
        assert_eq!(hv.boot_info.kernel_params, "");
        assert_eq!(hv.device_info.default_bridges, 0);
        assert_eq!(hv.machine_info.entropy_source, "/dev/urandom");
        assert_eq!(hv.memory_info.default_memory, 128);
        assert_eq!(hv.memory_info.memory_slots, 128);
        assert_eq!(hv.factory.template_path, "/run/vc/vm/template");
        assert_eq!(hv.cpu_info.default_maxvcpus, 0);
        assert_eq!(hv.cpu_info.default_vcpus, 0.0);
    }

    #[test]
    fn jailer_is_resolved_and_must_exist() {
        let mut hv = valid();
        hv.jailer_path = "/dev/../dev/null".into();
        assert_eq!(
            adjust(&RULES, hv.clone()).0.unwrap().jailer_path,
            "/dev/null"
        );
        hv.jailer_path = "/missing".into();
        assert_eq!(
            adjust(&RULES, hv).0.unwrap_err().to_string(),
            format!("dragonball jailer path /missing is invalid: {MISSING}")
        );
    }

    #[test]
    fn vcpus_are_limited_by_an_explicit_maximum_only() {
        for (vcpus, maxvcpus, adjusted, notes) in [
            (4.0, 0, (4.0, 0), 0),
            (4.0, 2, (2.0, 2), 1),
            (2.5, 2, (2.5, 2), 0),
            (4.0, 300, (4.0, 256), 1),
            (300.0, 300, (256.0, 256), 2),
            (-1.0, 2, (-1.0, 2), 0),
            (f32::INFINITY, 2, (f32::INFINITY, 2), 0),
        ] {
            let mut hv = valid();
            hv.cpu_info.default_vcpus = vcpus;
            hv.cpu_info.default_maxvcpus = maxvcpus;
            let (hv, found) = adjust(&RULES, hv);
            let cpu = hv.unwrap().cpu_info;
            assert_eq!((cpu.default_vcpus, cpu.default_maxvcpus), adjusted);
            assert_eq!(found.len(), notes, "{found:?}");
        }
    }

    #[test]
    fn checks_in_order() {
        const VIOMMU: &str = "dragonball hypervisor does not support vIOMMU";
        const HOTPLUG: &str = "dragonball hypervisor does not support PCI hotplug options";
        assert_checks(
            &RULES,
            valid,
            &[
                (
                    "path",
                    |hv| hv.path = "/dev/null".into(),
                    "Path for dragonball hypervisor should be empty",
                ),
                (
                    "valid_hypervisor_paths",
                    |hv| hv.valid_hypervisor_paths = vec!["/x".into()],
                    "Valid hypervisor path for dragonball hypervisor should be empty",
                ),
                (
                    "ctlpath",
                    |hv| hv.ctlpath = "/dev/null".into(),
                    "CtlPath for dragonball hypervisor should be empty",
                ),
                (
                    "valid_ctlpaths",
                    |hv| hv.valid_ctlpaths = vec!["/x".into()],
                    "CtlPath for dragonball hypervisor should be empty",
                ),
                (
                    "jailer_path",
                    |hv| hv.jailer_path = "/missing".into(),
                    &format!("dragonball jailer path /missing is invalid: {MISSING}"),
                ),
                (
                    "enable_iothreads",
                    |hv| hv.enable_iothreads = true,
                    "dragonball hypervisor doesn't support IO threads.",
                ),
                (
                    "block_device_driver",
                    |hv| hv.blockdev_info.block_device_driver = "virtio-scsi".into(),
                    "virtio-scsi is unsupported block device type.",
                ),
                (
                    "kernel",
                    |hv| hv.boot_info.kernel.clear(),
                    "Guest kernel image for dragonball hypervisor is empty",
                ),
                (
                    "image",
                    |hv| hv.boot_info.image.clear(),
                    "Both of guest boot image and initrd for dragonball hypervisor is empty",
                ),
                (
                    "firmware",
                    |hv| hv.boot_info.firmware = "/x".into(),
                    "Firmware for dragonball hypervisor should be empty",
                ),
                (
                    "default_maxvcpus",
                    |hv| hv.cpu_info.default_maxvcpus = 257,
                    "dragonball hypervisor can not support 257 vCPUs",
                ),
                (
                    "enable_iommu",
                    |hv| hv.device_info.enable_iommu = true,
                    VIOMMU,
                ),
                (
                    "enable_iommu",
                    |hv| hv.device_info.enable_iommu_platform = true,
                    VIOMMU,
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.hotplug_vfio_on_root_bus = true,
                    HOTPLUG,
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.default_bridges = 1,
                    HOTPLUG,
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.pcie_root_port = 1,
                    HOTPLUG,
                ),
                (
                    "default_bridges",
                    |hv| hv.device_info.pcie_switch_port = 1,
                    HOTPLUG,
                ),
                (
                    "machine_type",
                    |hv| hv.machine_info.machine_type = "q35".into(),
                    "dragonball hypervisor does not support machine_type",
                ),
                (
                    "pflashes",
                    |hv| hv.machine_info.pflashes = vec![String::new()],
                    "dragonball hypervisor does not support pflashes",
                ),
                (
                    "rootless",
                    |hv| hv.security_info.rootless = true,
                    "dragonball hypervisor does not support rootless mode",
                ),
                (
                    "shared_fs",
                    |hv| hv.shared_fs.shared_fs = Some("virtio-fs-nydus".into()),
                    "dragonball hypervisor doesn't support virtio-fs-nydus",
                ),
                (
                    "default_memory",
                    |hv| hv.memory_info.default_memory = 63,
                    "dragonball hypervisor has minimal memory limitation 64",
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
                |hv| hv.blockdev_info.block_device_driver = "virtio-blk-pci".into(),
                |hv| hv.blockdev_info.block_device_driver = "virtio-pmem".into(),
                |hv| {
                    hv.blockdev_info.block_device_driver.clear();
                    hv.blockdev_info.disable_block_device_use = true;
                },
                |hv| {
                    hv.boot_info.image.clear();
                    hv.boot_info.initrd = "/i".into();
                },
                |hv| hv.shared_fs.shared_fs = Some("virtio-fs".into()),
                |hv| hv.shared_fs.shared_fs = Some("inline-virtio-fs".into()),
            ],
        );
    }

    #[test]
    fn other_sections_are_ignored() {
        assert_ignores_other_sections(&RULES);
    }
}
