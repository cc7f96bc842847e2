//! The PCI functions of a machine, as sysfs shows them
//! ([`Documentation/PCI/sysfs-pci.rst`](https://docs.kernel.org/PCI/sysfs-pci.html),
//! [`Documentation/ABI/testing/sysfs-bus-pci`](https://docs.kernel.org/admin-guide/abi-testing.html)),
//! and what VFIO makes of them. InfiniBand devices are in [`infiniband`](crate::infiniband), whose
//! items are here, too.
//!
//! [`PCIDeviceManager`] finds [`PCIDevice`]s: all of them, or that of an address, of an IOMMU group
//! or of a device node of VFIO. Whatever sysfs has, nothing here panics, and nothing that is not an
//! address ([`normalize_bdf`]) becomes part of a path.
//!
//! Names come from the [PCI ID database](https://pci-ids.ucw.cz), which the default feature
//! `pci-names` builds in. Without it, all are unknown.
//!
//! ```
//! use kata_sys_util::SysRoot;
//! use kata_sys_util::pcilibs::PCIDeviceManager;
//! # let dir = tempfile::tempdir()?;
//! # let function = dir.path().join("sys/bus/pci/devices/0000:3b:00.0");
//! # std::fs::create_dir_all(&function)?;
//! # for (file, text) in [("vendor", "0x10de\n"), ("device", "0x2330\n"), ("class", "0x030200\n")] {
//! #     std::fs::write(function.join(file), text)?;
//! # }
//! # std::os::unix::fs::symlink("../../../kernel/iommu_groups/12", function.join("iommu_group"))?;
//!
//! // A tree like that of the real system, for which it is `SysRoot::default()`.
//! let manager = PCIDeviceManager::in_root(&SysRoot::under(dir.path()));
//! for device in manager.get_all_devices(Some(0x10de))? {
//!     assert_eq!(device.address, "0000:3b:00.0");
//!     assert_eq!(device.iommu_group, 12);
//!     assert!(device.is_gpu());
//! }
//! # std::io::Result::Ok(())
//! ```

mod address;
mod attributes;
mod capabilities;
mod class;
mod device;
mod iommufd;
mod manager;
mod names;
mod resource;
mod sys;

use std::fs;
use std::path::Path;

use kata_types::device::{
    DRIVER_VFIO_AP_COLD_TYPE, DRIVER_VFIO_AP_TYPE, DRIVER_VFIO_PCI_GK_TYPE, DRIVER_VFIO_PCI_TYPE,
};

pub use self::address::{PCI_DEV_DOMAIN, normalize_bdf};
pub use self::capabilities::{PciCapabilities, PciCapability};
pub use self::class::is_passthrough_capable_class;
pub use self::device::{PCIDevice, SriovInfo, UNKNOWN_CLASS, UNKNOWN_DEVICE};
pub use self::iommufd::{
    IOMMUFD_SYSFS_CLASS, IOMMUFD_VFIO_DIR, IommufdDev, enumerate_iommufd, lookup_iommufd_dev,
};
pub use self::manager::PCIDeviceManager;
pub use self::names::{class_name, device_name, vendor_name};
pub use self::resource::PciResource;
pub use crate::infiniband::{
    INFINIBAND_CLASS_DIR, INFINIBAND_DEV_DIR, INFINIBAND_VERBS_CLASS_DIR, InfinibandDevice,
    InfinibandRoots, apply_infiniband_devices, container_has_vfio_device,
    expose_guest_infiniband_devices, expose_guest_infiniband_devices_for,
    expose_guest_infiniband_devices_in, list_infiniband_devices, list_infiniband_devices_in,
    snapshot_infiniband, snapshot_infiniband_in,
};

pub(crate) use self::address::Address;
pub(crate) use self::attributes::named;

/// Length of the configuration space of a function without PCI Express, in bytes.
const PCI_CONFIG_SPACE_SIZE: u64 = 256;

/// Whether a device in a request of the runtime is one of VFIO: whether its type is `vfio-pci`,
/// `vfio-pci-gk`, `vfio-ap` or `vfio-ap-cold`.
///
/// ```
/// use kata_sys_util::pcilibs::is_vfio_device_type;
///
/// assert!(is_vfio_device_type("vfio-pci"));
/// assert!(!is_vfio_device_type("blk"));
/// ```
pub fn is_vfio_device_type(device_type: &str) -> bool {
    matches!(
        device_type,
        DRIVER_VFIO_PCI_TYPE
            | DRIVER_VFIO_PCI_GK_TYPE
            | DRIVER_VFIO_AP_TYPE
            | DRIVER_VFIO_AP_COLD_TYPE
    )
}

/// Whether a function is one of PCI Express: whether its configuration space has an extended part,
/// that is, more than 256 bytes.
///
/// `bdf` is an address as [`normalize_bdf`] takes it, `sysbus_pci_root` the directory with all
/// functions: `/sys/bus/pci/devices`. Whatever goes wrong, it is none.
///
/// ```
/// use kata_sys_util::pcilibs::is_pcie_device;
/// # let dir = tempfile::tempdir()?;
/// # let root = dir.path().to_str().unwrap();
///
/// std::fs::create_dir(format!("{root}/0000:ff:00.0"))?;
/// std::fs::write(format!("{root}/0000:ff:00.0/config"), [0; 4096])?;
/// assert!(is_pcie_device("ff:00.0", root));
/// assert!(!is_pcie_device("ff:00.1", root));
/// # std::io::Result::Ok(())
/// ```
pub fn is_pcie_device(bdf: &str, sysbus_pci_root: &str) -> bool {
    let Some(address) = normalize_bdf(bdf) else {
        return false;
    };
    let config = Path::new(sysbus_pci_root).join(address).join("config");
    fs::metadata(config)
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() > PCI_CONFIG_SPACE_SIZE)
}

/// A number in the one form in which the kernel makes it part of a name: without a sign, and without
/// zeros in front.
fn decimal(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|c| c.is_ascii_digit());
    let has_zeros = text.len() > 1 && text.starts_with('0');
    let number = text.parse().ok();
    number.filter(|_| is_decimal && !has_zeros)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn vfio_types_are_exactly_four() {
        for (device_type, is_vfio) in [
            ("vfio-pci", true),
            ("vfio-pci-gk", true),
            ("vfio-ap", true),
            ("vfio-ap-cold", true),
            ("", false),
            ("vfio", false),
            ("vfio-", false),
            ("VFIO-PCI", false),
            ("vfio-pci ", false),
            ("vfio-ccw", false),
            ("blk", false),
        ] {
            assert_eq!(is_vfio_device_type(device_type), is_vfio, "{device_type}");
        }
    }

    #[test]
    fn pci_express_is_told_by_the_size_of_the_configuration_space() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for (address, size) in [
            ("0000:00:00.0", Some(0)),
            ("0000:00:01.0", Some(256)),
            ("0000:00:02.0", Some(257)),
            ("0000:ff:00.0", Some(4096)),
            ("0001:00:00.0", Some(4096)),
            ("0000:00:03.0", None),
        ] {
            let directory = dir.path().join(address);
            fs::create_dir(&directory).unwrap();
            match size {
                Some(size) => fs::write(directory.join("config"), vec![0; size]).unwrap(),
                // A directory has a size, too.
                None => fs::create_dir(directory.join("config")).unwrap(),
            }
        }
        symlink("0000:ff:00.0", dir.path().join("0000:00:04.0")).unwrap();
        for (bdf, is_pcie) in [
            ("0000:00:00.0", false),
            ("0000:00:01.0", false),
            ("0000:00:02.0", true),
            ("00:02.0", true),
            ("0:2.0", true),
            ("ff:00.0", true),
            ("FF:00.0", true),
            ("0001:00:00.0", true),
            ("0000:00:03.0", false),
            // Entries of `/sys/bus/pci/devices` are links.
            ("0000:00:04.0", true),
            ("0000:00:05.0", false),
            ("", false),
            ("0000:ff:00.0/", false),
            ("../0000:ff:00.0", false),
        ] {
            assert_eq!(is_pcie_device(bdf, root), is_pcie, "{bdf}");
        }
        // The address does not replace the root, nor lead out of it (D-19).
        let absolute = format!("{root}/0000:ff:00.0");
        assert!(!is_pcie_device(&absolute, root));
        assert!(!is_pcie_device("0000:ff:00.0", "/nowhere"));
        let below = dir.path().join("0000:00:00.0");
        assert!(!is_pcie_device("../0000:ff:00.0", below.to_str().unwrap()));
    }

    #[test]
    fn numbers_in_names_have_one_form() {
        for (text, number) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("", None),
            ("00", None),
            ("01", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("0x1", None),
            ("١", None),
        ] {
            assert_eq!(decimal(text), number, "{text:?}");
        }
    }
}
