//! The character devices of VFIO, one for each device, that are used with IOMMUFD
//! ([`Documentation/driver-api/vfio.rst`](https://docs.kernel.org/driver-api/vfio.html), *VFIO
//! Device cdev*; Linux 6.6).

use std::fs;
use std::path::{Path, PathBuf};

use super::attributes::{Attributes, HEX16, HEX24};
use super::device::vfio_cdev_number;

/// The directory with the device nodes of VFIO. The character devices are in `devices` below it.
pub const IOMMUFD_VFIO_DIR: &str = "/dev/vfio";

/// The directory with the character devices of VFIO in sysfs.
pub const IOMMUFD_SYSFS_CLASS: &str = "/sys/class/vfio-dev";

/// The same below the root of sysfs.
pub(super) const VFIO_DEV_CLASS: &str = "class/vfio-dev";

/// A PCI function with a character device of VFIO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IommufdDev {
    /// The number of the character device: 3 of `vfio3`.
    pub num: u32,
    /// The device node.
    pub path: PathBuf,
    /// The vendor's number.
    pub vendor: u16,
    /// The vendor's number for the device.
    pub device: u16,
    /// The class code in 24 bits: base class, subclass and programming interface.
    pub class: u32,
}

impl IommufdDev {
    /// Base class and subclass: the class code without its programming interface.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::IommufdDev;
    ///
    /// let path = "/dev/vfio/devices/vfio0".into();
    /// let gpu = IommufdDev { num: 0, path, vendor: 0x10de, device: 0x2330, class: 0x03_02_00 };
    /// assert_eq!(gpu.class_prefix(), 0x0302);
    /// # #[cfg(feature = "pci-names")]
    /// assert_eq!(gpu.device_name(), Some("GH100 [H100 SXM5 80GB]"));
    /// ```
    pub fn class_prefix(&self) -> u16 {
        // A class code has no more bits.
        let [_, base, sub, _] = self.class.to_be_bytes();
        u16::from_be_bytes([base, sub])
    }

    /// The name of the device, or `None` if the [database](super::device_name) has none.
    pub fn device_name(&self) -> Option<&'static str> {
        super::device_name(self.vendor, self.device)
    }
}

/// The PCI functions that have a character device of VFIO, by its number.
///
/// `vfio_dir` and `sysfs_dir` are [`IOMMUFD_VFIO_DIR`] and [`IOMMUFD_SYSFS_CLASS`] on a real system.
/// What cannot be read is left out, as are devices of other buses.
///
/// ```
/// use kata_sys_util::pcilibs::enumerate_iommufd;
/// # let dir = tempfile::tempdir()?;
/// # let (dev, sys) = (dir.path().join("vfio"), dir.path().join("vfio-dev"));
///
/// std::fs::create_dir_all(dev.join("devices"))?;
/// std::fs::write(dev.join("devices/vfio3"), "")?;
/// let device = sys.join("vfio3/device");
/// std::fs::create_dir_all(&device)?;
/// std::fs::write(device.join("vendor"), "0x10de\n")?;
/// std::fs::write(device.join("device"), "0x2330\n")?;
/// std::fs::write(device.join("class"), "0x030200\n")?;
///
/// let devices = enumerate_iommufd(&dev, &sys);
/// assert_eq!(devices[0].path, dev.join("devices/vfio3"));
/// assert_eq!(devices[0].vendor, 0x10de);
/// # std::io::Result::Ok(())
/// ```
pub fn enumerate_iommufd<D, S>(vfio_dir: D, sysfs_dir: S) -> Vec<IommufdDev>
where
    D: AsRef<Path>,
    S: AsRef<Path>,
{
    let nodes = vfio_dir.as_ref().join("devices");
    let Ok(entries) = fs::read_dir(&nodes) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut devices: Vec<_> = names
        .filter_map(|name| read(&name, &nodes, sysfs_dir.as_ref()))
        .collect();
    devices.sort_unstable_by_key(|device| device.num);
    devices
}

/// The PCI function with the character device of that name, such as `vfio3`.
///
/// `vfio_dir` and `sysfs_dir` are those of [`enumerate_iommufd`]. `None` if it does not exist, cannot
/// be read or is of another bus.
///
/// ```
/// use kata_sys_util::pcilibs::{IOMMUFD_SYSFS_CLASS, IOMMUFD_VFIO_DIR, lookup_iommufd_dev};
///
/// let name = "../../null";
/// assert_eq!(lookup_iommufd_dev(name, IOMMUFD_VFIO_DIR, IOMMUFD_SYSFS_CLASS), None);
/// ```
pub fn lookup_iommufd_dev<D, S>(name: &str, vfio_dir: D, sysfs_dir: S) -> Option<IommufdDev>
where
    D: AsRef<Path>,
    S: AsRef<Path>,
{
    let nodes = vfio_dir.as_ref().join("devices");
    read(name, &nodes, sysfs_dir.as_ref())
}

fn read(name: &str, nodes: &Path, sysfs_dir: &Path) -> Option<IommufdDev> {
    let num = vfio_cdev_number(name)?;
    let path = nodes.join(name);
    // A device may be in sysfs and not in this mount namespace.
    fs::symlink_metadata(&path).ok()?;
    let directory = sysfs_dir.join(name).join("device");
    let attributes = Attributes::open(&directory).ok()?;
    Some(IommufdDev {
        num,
        path,
        vendor: attributes.optional(c"vendor", &HEX16)?,
        device: attributes.optional(c"device", &HEX16)?,
        class: attributes.optional(c"class", &HEX24)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `DEV/devices` and `SYS`, with these character devices.
    fn tree(devices: &[(&str, [&str; 3])]) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (dev, sys) = (dir.path().join("dev"), dir.path().join("sys"));
        fs::create_dir_all(dev.join("devices")).unwrap();
        for (name, numbers) in devices {
            fs::write(dev.join("devices").join(name), "").unwrap();
            let directory = sys.join(name).join("device");
            fs::create_dir_all(&directory).unwrap();
            for (file, number) in ["vendor", "device", "class"].iter().zip(numbers) {
                fs::write(directory.join(file), format!("{number}\n")).unwrap();
            }
        }
        (dir, dev, sys)
    }

    const GPU: [&str; 3] = ["0x10de", "0x2330", "0x030200"];

    #[test]
    fn devices_are_sorted_by_number_and_unreadable_ones_left_out() {
        let (_dir, dev, sys) = tree(&[
            ("vfio10", GPU),
            ("vfio9", ["0x15b3", "0x1018", "0x020000"]),
            ("vfio11", ["0x10de", "nonsense", "0x030200"]),
            ("vfio12", ["0x10de", "0x2330", "0x1030200"]),
            ("vfio", GPU),
            ("vfio01", GPU),
            ("other0", GPU),
        ]);
        // Of another bus: without numbers.
        fs::write(dev.join("devices/vfio13"), "").unwrap();
        fs::create_dir_all(sys.join("vfio13/device")).unwrap();
        // Not in sysfs.
        fs::write(dev.join("devices/vfio14"), "").unwrap();
        let devices = enumerate_iommufd(&dev, &sys);
        let expected = [
            IommufdDev {
                num: 9,
                path: dev.join("devices/vfio9"),
                vendor: 0x15b3,
                device: 0x1018,
                class: 0x020000,
            },
            IommufdDev {
                num: 10,
                path: dev.join("devices/vfio10"),
                vendor: 0x10de,
                device: 0x2330,
                class: 0x030200,
            },
        ];
        assert_eq!(devices, expected);
        assert_eq!(devices[0].class_prefix(), 0x0200);
        for device in devices {
            let name = format!("vfio{}", device.num);
            assert_eq!(lookup_iommufd_dev(&name, &dev, &sys), Some(device));
        }
    }

    #[test]
    fn device_is_looked_up_by_its_name_only() {
        let (dir, dev, sys) = tree(&[("vfio3", GPU)]);
        assert!(lookup_iommufd_dev("vfio3", &dev, &sys).is_some());
        let absolute = dev.join("devices/vfio3");
        for name in [
            "",
            "3",
            "vfio4",
            "vfio03",
            "./vfio3",
            "../devices/vfio3",
            "vfio3/",
        ] {
            assert_eq!(lookup_iommufd_dev(name, &dev, &sys), None, "{name}");
        }
        let name = absolute.to_str().unwrap();
        assert_eq!(lookup_iommufd_dev(name, &dev, &sys), None);
        // In sysfs, but without a device node here.
        fs::remove_file(&absolute).unwrap();
        assert_eq!(lookup_iommufd_dev("vfio3", &dev, &sys), None);
        assert_eq!(enumerate_iommufd(&dev, &sys), []);
        assert_eq!(enumerate_iommufd(dir.path().join("no"), &sys), []);
    }
}
