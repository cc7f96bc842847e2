//! One PCI function.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::attributes::{self, Attributes, DECIMAL_I64, DECIMAL_U16, HEX8, HEX16, HEX24, named};
use super::{Address, class_name, decimal, device_name};

/// The name of a device that the database does not know.
pub const UNKNOWN_DEVICE: &str = "UNKNOWN_DEVICE";

/// The name of a class that the database does not know.
pub const UNKNOWN_CLASS: &str = "UNKNOWN_CLASS";

/// A PCI function.
///
/// The fields are what sysfs has when the function is read. Its methods read more when they are
/// called, below [`device_path`](Self::device_path).
#[derive(Clone, Debug, Default)]
pub struct PCIDevice {
    /// The directory of the function in sysfs.
    pub device_path: PathBuf,
    /// The address, with its domain: `0000:3b:00.0`.
    pub address: String,
    /// The vendor's number.
    pub vendor: u16,
    /// The vendor's number for the device.
    pub device: u16,
    /// The class code in 24 bits: base class, subclass and programming interface.
    pub class: u32,
    /// The name of the subclass, else of the base class, else [`UNKNOWN_CLASS`].
    pub class_name: String,
    /// The name of the device, or [`UNKNOWN_DEVICE`].
    pub device_name: String,
    /// The driver that the function is bound to; empty if there is none.
    pub driver: String,
    /// The number of the IOMMU group; -1 if there is none.
    pub iommu_group: i64,
    /// The NUMA node; -1 if it is not known.
    pub numa_node: i64,
    /// The number of the vendor of the card.
    pub subsystem_vendor: Option<u16>,
    /// That vendor's number for the card.
    pub subsystem_device: Option<u16>,
    /// The revision of the device.
    pub revision: Option<u8>,
}

/// What a function is to SR-IOV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SriovInfo {
    /// Not capable of it.
    None,
    /// A physical function.
    Physical {
        /// How many virtual functions it can have.
        total_vfs: u16,
        /// How many it has.
        num_vfs: u16,
    },
    /// A virtual function.
    Virtual {
        /// The address of its physical function.
        physfn: String,
    },
}

impl PCIDevice {
    /// What the function is to SR-IOV.
    ///
    /// # Errors
    ///
    /// The function is not in sysfs any more, or sysfs has something else than numbers and addresses
    /// there.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::{PCIDevice, SriovInfo};
    /// # let dir = tempfile::tempdir()?;
    /// # let directory = dir.path();
    ///
    /// std::os::unix::fs::symlink("../0000:3b:00.0", directory.join("physfn"))?;
    /// let device = PCIDevice { device_path: directory.to_owned(), ..PCIDevice::default() };
    /// assert_eq!(device.sriov()?, SriovInfo::Virtual { physfn: "0000:3b:00.0".to_owned() });
    /// # std::io::Result::Ok(())
    /// ```
    pub fn sriov(&self) -> io::Result<SriovInfo> {
        let attributes = Attributes::open(&self.device_path)?;
        if let Some(target) = attributes.link(c"physfn") {
            return match Address::parse(&target) {
                Some(address) => Ok(SriovInfo::Virtual {
                    physfn: address.to_string(),
                }),
                None => {
                    let path = attributes.path_of(c"physfn");
                    let what = format!("{}: {target:?} is not a PCI address", path.display());
                    Err(io::Error::new(ErrorKind::InvalidData, what))
                }
            };
        }
        let Some(total_vfs) = if_there(attributes.number(c"sriov_totalvfs", &DECIMAL_U16))? else {
            return Ok(SriovInfo::None);
        };
        let num_vfs = if_there(attributes.number(c"sriov_numvfs", &DECIMAL_U16))?.unwrap_or(0);
        Ok(SriovInfo::Physical { total_vfs, num_vfs })
    }

    /// The name of the function's character device of VFIO, which is in `/dev/vfio/devices`:
    /// `vfio3`. `None` if it is not bound to VFIO, or the kernel has no such names (before Linux 6.1).
    /// Linux before 6.6, or without `CONFIG_VFIO_DEVICE_CDEV`, has the name and not the node.
    ///
    /// # Errors
    ///
    /// Sysfs cannot be read.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDevice;
    /// # let dir = tempfile::tempdir()?;
    /// # let directory = dir.path();
    ///
    /// let device = PCIDevice { device_path: directory.to_owned(), ..PCIDevice::default() };
    /// assert_eq!(device.vfio_cdev_name()?, None);
    ///
    /// std::fs::create_dir_all(directory.join("vfio-dev/vfio3"))?;
    /// assert_eq!(device.vfio_cdev_name()?.as_deref(), Some("vfio3"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn vfio_cdev_name(&self) -> io::Result<Option<String>> {
        if self.device_path.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = self.device_path.join("vfio-dev");
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(named(&path, &error)),
        };
        for entry in entries {
            let name = entry.map_err(|error| named(&path, &error))?.file_name();
            if let Some(name) = name.to_str()
                && vfio_cdev_number(name).is_some()
            {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    /// Reads everything but the vendor (P4, P5).
    pub(super) fn read(
        attributes: &Attributes<'_>,
        device_path: &Path,
        address: Address,
        vendor: u16,
    ) -> attributes::Result<Self> {
        let class = attributes.number(c"class", &HEX24)?;
        let device = attributes.number(c"device", &HEX16)?;
        let group = attributes.link(c"iommu_group");
        Ok(Self {
            device_path: device_path.to_owned(),
            address: address.to_string(),
            vendor,
            device,
            class,
            class_name: class_name(class).unwrap_or(UNKNOWN_CLASS).to_owned(),
            device_name: device_name(vendor, device)
                .unwrap_or(UNKNOWN_DEVICE)
                .to_owned(),
            driver: attributes.link(c"driver").unwrap_or_default(),
            iommu_group: group.and_then(|group| group_number(&group)).unwrap_or(-1),
            numa_node: attributes
                .optional(c"numa_node", &DECIMAL_I64)
                .unwrap_or(-1),
            subsystem_vendor: attributes.optional(c"subsystem_vendor", &HEX16),
            subsystem_device: attributes.optional(c"subsystem_device", &HEX16),
            revision: attributes.optional(c"revision", &HEX8),
        })
    }
}

/// The number of an IOMMU group: -1 alone is none.
pub(super) fn group_number(name: &str) -> Option<i64> {
    let number = name.parse().ok();
    number.filter(|_| name.bytes().all(|c| c.is_ascii_digit()))
}

/// The number in the name of a character device of VFIO.
pub(super) fn vfio_cdev_number(name: &str) -> Option<u32> {
    decimal(name.strip_prefix("vfio")?)
}

/// `None` instead of the error that there is no such file.
fn if_there<T>(result: attributes::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn device() -> (tempfile::TempDir, PCIDevice) {
        let dir = tempfile::tempdir().unwrap();
        let device = PCIDevice {
            device_path: dir.path().to_owned(),
            ..Default::default()
        };
        (dir, device)
    }

    #[test]
    fn group_is_any_number_that_is_not_negative() {
        for (name, number) in [
            ("0", Some(0)),
            ("42", Some(42)),
            ("4294967296", Some(1 << 32)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-5", None),
            ("+5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(group_number(name), number, "{name}");
        }
    }

    #[test]
    fn sriov_is_told_by_its_files() {
        let (dir, device) = device();
        let write = |name, text| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(device.sriov().unwrap(), SriovInfo::None);
        // Of no meaning alone.
        write("sriov_numvfs", "4\n");
        assert_eq!(device.sriov().unwrap(), SriovInfo::None);
        write("sriov_totalvfs", "16\n");
        let physical = |total_vfs, num_vfs| SriovInfo::Physical { total_vfs, num_vfs };
        assert_eq!(device.sriov().unwrap(), physical(16, 4));
        fs::remove_file(dir.path().join("sriov_numvfs")).unwrap();
        assert_eq!(device.sriov().unwrap(), physical(16, 0));
        symlink("../0000:3b:00.0", dir.path().join("physfn")).unwrap();
        let physfn = "0000:3b:00.0".to_owned();
        assert_eq!(device.sriov().unwrap(), SriovInfo::Virtual { physfn });
    }

    #[test]
    fn sriov_numbers_that_are_none_are_told() {
        for text in ["", "x", "-1", "65536", "1 2", "0x10"] {
            for name in ["sriov_totalvfs", "sriov_numvfs"] {
                let (dir, device) = device();
                fs::write(dir.path().join("sriov_totalvfs"), "8\n").unwrap();
                fs::write(dir.path().join(name), text).unwrap();
                let error = device.sriov().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{text}");
                let text = error.to_string();
                assert!(text.contains(name) && text.contains("decimal"), "{text}");
            }
        }
        let (dir, device) = device();
        symlink("../driver", dir.path().join("physfn")).unwrap();
        let error = device.sriov().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            error.to_string().contains("physfn: \"driver\" is not"),
            "{error}"
        );
    }

    #[test]
    fn device_that_is_gone_has_no_sriov_and_no_character_device() {
        let (dir, device) = device();
        dir.close().unwrap();
        assert_eq!(device.sriov().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(device.vfio_cdev_name().unwrap(), None);
        // Not relative to the working directory.
        let device = PCIDevice::default();
        assert_eq!(device.sriov().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(
            device.capabilities().unwrap_err().kind(),
            ErrorKind::NotFound
        );
        assert_eq!(device.vfio_cdev_name().unwrap(), None);
    }

    #[test]
    fn character_device_of_vfio_is_the_one_with_a_number() {
        let (dir, device) = device();
        let directory = dir.path().join("vfio-dev");
        for name in ["power", "vfio", "vfiox", "vfio01", "vfio-1"] {
            fs::create_dir_all(directory.join(name)).unwrap();
        }
        assert_eq!(device.vfio_cdev_name().unwrap(), None);
        fs::create_dir(directory.join("vfio12")).unwrap();
        assert_eq!(device.vfio_cdev_name().unwrap().as_deref(), Some("vfio12"));

        fs::remove_dir_all(&directory).unwrap();
        fs::write(&directory, "").unwrap();
        let error = device.vfio_cdev_name().unwrap_err();
        assert!(error.to_string().contains("vfio-dev: "), "{error}");
    }
}
