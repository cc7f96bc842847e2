//! Finding PCI functions.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use slog::warn;

use super::attributes::{self, Attributes, HEX16, named};
use super::device::{group_number, vfio_cdev_number};
use super::iommufd::VFIO_DEV_CLASS;
use super::{Address, IOMMUFD_VFIO_DIR, PCIDevice, decimal};
use crate::{SysRoot, sl};

/// Where sysfs has all functions, below its root.
const PCI_DEVICES: &str = "bus/pci/devices";

/// Where sysfs is, unless the directory of the functions tells it.
const SYS: &str = "/sys";

/// The PCI functions of a directory like `/sys/bus/pci/devices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PCIDeviceManager {
    root: PathBuf,
}

impl PCIDeviceManager {
    /// The functions in this directory: on a real system `/sys/bus/pci/devices`. Nothing is read
    /// yet.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    ///
    /// let manager = PCIDeviceManager::new("/sys/bus/pci/devices");
    /// # let dir = tempfile::tempdir()?;
    /// # let manager = PCIDeviceManager::new(dir.path().to_str().unwrap());
    /// for device in manager.get_all_devices(None)? {
    ///     println!("{} {:04x}:{:04x}", device.address, device.vendor, device.device);
    /// }
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(pci_devices_root: &str) -> Self {
        Self {
            root: pci_devices_root.into(),
        }
    }

    /// The functions of a system: `bus/pci/devices` in its sysfs.
    ///
    /// ```
    /// use kata_sys_util::SysRoot;
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    ///
    /// let real = PCIDeviceManager::in_root(&SysRoot::default());
    /// assert_eq!(real, PCIDeviceManager::new("/sys/bus/pci/devices"));
    /// ```
    pub fn in_root(root: &SysRoot) -> Self {
        Self {
            root: root.sys.join(PCI_DEVICES),
        }
    }

    /// All functions, or those of a vendor, in the order of their addresses.
    ///
    /// Entries that are not addresses are none. A function that is unplugged meanwhile is left out,
    /// as is one that cannot be read, with a warning that names it.
    ///
    /// # Errors
    ///
    /// The directory cannot be read, or there is no descriptor or memory left to read a function with.
    ///
    /// ```
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    /// # let dir = tempfile::tempdir()?;
    /// # let root = dir.path();
    ///
    /// for (address, vendor) in [("0000:3b:00.0", "0x15b3"), ("0000:0a:00.0", "0x10de")] {
    ///     let directory = root.join(address);
    ///     std::fs::create_dir(&directory)?;
    ///     std::fs::write(directory.join("vendor"), vendor)?;
    ///     std::fs::write(directory.join("device"), "0x1017")?;
    ///     std::fs::write(directory.join("class"), "0x020000")?;
    /// }
    /// let manager = PCIDeviceManager::new(root.to_str().unwrap());
    ///
    /// let devices = manager.get_all_devices(None)?;
    /// assert_eq!(devices[0].address, "0000:0a:00.0");
    /// let devices = manager.get_all_devices(Some(0x15b3))?;
    /// assert_eq!(devices.len(), 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn get_all_devices(&self, vendor: Option<u16>) -> io::Result<Vec<PCIDevice>> {
        self.find(vendor, |_| true)
    }

    /// The function at an address, or `None` if it is not of that vendor.
    ///
    /// `address` is what [`normalize_bdf`](super::normalize_bdf) takes. What is found is kept in
    /// `cache` with the address as it is given, and what is there is not read again.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput): `address` is none.
    /// - [`NotFound`](ErrorKind::NotFound): there is no such function.
    /// - [`InvalidData`](ErrorKind::InvalidData): the file of its vendor, device or class has
    ///   something else than a number.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    /// # let dir = tempfile::tempdir()?;
    /// # let root = dir.path();
    /// # let directory = root.join("0000:3b:00.0");
    /// # std::fs::create_dir(&directory)?;
    /// # std::fs::write(directory.join("vendor"), "0x10de")?;
    /// # std::fs::write(directory.join("device"), "0x2330")?;
    /// # std::fs::write(directory.join("class"), "0x030200")?;
    ///
    /// let manager = PCIDeviceManager::new(root.to_str().unwrap());
    /// let mut cache = HashMap::new();
    /// let device = manager.get_device_by_pci_bus_id("3b:00.0", None, &mut cache)?.unwrap();
    /// assert_eq!(device.device_path, root.join("0000:3b:00.0"));
    /// assert!(cache.contains_key("3b:00.0"));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn get_device_by_pci_bus_id(
        &self,
        address: &str,
        vendor: Option<u16>,
        cache: &mut HashMap<String, PCIDevice>,
    ) -> io::Result<Option<PCIDevice>> {
        let Some(parsed) = Address::parse(address) else {
            let what = format!("{address:?} is not a PCI address such as 0000:3b:00.0");
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        };
        if let Some(device) = cache.get(address) {
            return Ok(is_wanted(vendor, device.vendor).then(|| device.clone()));
        }
        let device = self.read(parsed, vendor)?;
        if let Some(device) = &device {
            cache.insert(address.to_owned(), device.clone());
        }
        Ok(device)
    }

    /// The functions of an IOMMU group, in the order of their addresses: none if there is no such
    /// group.
    ///
    /// # Errors
    ///
    /// As [`get_all_devices`](Self::get_all_devices).
    ///
    /// ```
    /// use kata_sys_util::SysRoot;
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    /// # let dir = tempfile::tempdir()?;
    /// # let root = SysRoot::under(dir.path());
    /// # std::fs::create_dir_all(root.sys.join("bus/pci/devices"))?;
    ///
    /// let manager = PCIDeviceManager::in_root(&root);
    /// assert!(manager.find_by_iommu_group(12)?.is_empty());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn find_by_iommu_group(&self, group: u32) -> io::Result<Vec<PCIDevice>> {
        self.find(None, |attributes| {
            let link = attributes.link(c"iommu_group");
            link.and_then(|name| group_number(&name)) == Some(group.into())
        })
    }

    /// The functions behind a device node of VFIO: those of an IOMMU group for `/dev/vfio/12`, the
    /// one of a character device for `/dev/vfio/devices/vfio3`.
    ///
    /// Sysfs is taken to be three levels above the directory of the functions, or in `/sys` if that
    /// has fewer.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](ErrorKind::InvalidInput): the path is neither.
    /// - [`NotFound`](ErrorKind::NotFound): there is no such group or character device, or no PCI
    ///   function is behind it.
    /// - As [`get_all_devices`](Self::get_all_devices).
    ///
    /// ```
    /// use std::path::Path;
    /// use kata_sys_util::SysRoot;
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    /// # let dir = tempfile::tempdir()?;
    /// # let root = SysRoot::under(dir.path());
    /// # let directory = root.sys.join("bus/pci/devices/0000:3b:00.0");
    /// # std::fs::create_dir_all(&directory)?;
    /// # std::fs::write(directory.join("vendor"), "0x10de")?;
    /// # std::fs::write(directory.join("device"), "0x2330")?;
    /// # std::fs::write(directory.join("class"), "0x030200")?;
    /// # std::os::unix::fs::symlink("../12", directory.join("iommu_group"))?;
    ///
    /// let manager = PCIDeviceManager::in_root(&root);
    /// let devices = manager.find_by_vfio_path(Path::new("/dev/vfio/12"))?;
    /// assert_eq!(devices[0].address, "0000:3b:00.0");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn find_by_vfio_path(&self, path: &Path) -> io::Result<Vec<PCIDevice>> {
        let sys = self.root.ancestors().nth(3).unwrap_or(Path::new(SYS));
        self.find_by_vfio_node(Path::new(IOMMUFD_VFIO_DIR), sys, path)
    }

    /// As [`find_by_vfio_path`](Self::find_by_vfio_path), with device nodes and sysfs elsewhere:
    /// `path` is below `root.dev`.
    ///
    /// # Errors
    ///
    /// As [`find_by_vfio_path`](Self::find_by_vfio_path).
    ///
    /// ```
    /// use kata_sys_util::SysRoot;
    /// use kata_sys_util::pcilibs::PCIDeviceManager;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::create_dir_all(dir.path().join("sys/bus/pci/devices"))?;
    ///
    /// let root = SysRoot::under(dir.path());
    /// let manager = PCIDeviceManager::in_root(&root);
    /// let error = manager
    ///     .find_by_vfio_path_in(&root, &root.dev.join("vfio/devices/vfio3"))
    ///     .unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn find_by_vfio_path_in(&self, root: &SysRoot, path: &Path) -> io::Result<Vec<PCIDevice>> {
        self.find_by_vfio_node(&root.dev.join("vfio"), &root.sys, path)
    }

    fn find_by_vfio_node(
        &self,
        vfio_dir: &Path,
        sys: &Path,
        path: &Path,
    ) -> io::Result<Vec<PCIDevice>> {
        match VfioNode::parse(vfio_dir, path) {
            Some(VfioNode::Group(group)) => {
                let devices = self.find_by_iommu_group(group)?;
                if devices.is_empty() {
                    let what = format!("no PCI function is in IOMMU group {group}");
                    return Err(io::Error::new(ErrorKind::NotFound, what));
                }
                Ok(devices)
            }
            Some(VfioNode::CharacterDevice(number)) => {
                let link = sys.join(format!("{VFIO_DEV_CLASS}/vfio{number}/device"));
                let not_pci = |what: &dyn Display| {
                    let what = format!("{}: {what} is not a PCI function", link.display());
                    io::Error::new(ErrorKind::NotFound, what)
                };
                let target = match fs::read_link(&link) {
                    Ok(target) => target,
                    // It is no link.
                    Err(error) if error.kind() == ErrorKind::InvalidInput => {
                        return Err(not_pci(&"what is there"));
                    }
                    Err(error) => return Err(named(&link, &error)),
                };
                let name = target.file_name().and_then(|name| name.to_str());
                let Some(address) = name.and_then(Address::parse) else {
                    return Err(not_pci(&target.display()));
                };
                Ok(self.read(address, None)?.into_iter().collect())
            }
            None => {
                let (path, dir) = (path.display(), vfio_dir.display());
                let what = format!("{path} is neither {dir}/NUMBER nor {dir}/devices/vfioNUMBER");
                Err(io::Error::new(ErrorKind::InvalidInput, what))
            }
        }
    }

    /// The functions that are wanted, sorted (P3).
    fn find(
        &self,
        vendor: Option<u16>,
        is_wanted: impl Fn(&Attributes<'_>) -> bool,
    ) -> io::Result<Vec<PCIDevice>> {
        let addresses = self.addresses()?;
        let root = Attributes::open(&self.root)?;
        let mut devices = Vec::with_capacity(addresses.len());
        for address in addresses {
            let path = self.root.join(address.to_string());
            match read_below(&root, &path, address, vendor, &is_wanted) {
                Ok(device) => devices.extend(device),
                Err(error) if error.is_gone => {}
                // Others would be left out as well.
                Err(error) if error.is_shortage => return Err(error.into()),
                Err(error) => {
                    let address = address.to_string();
                    warn!(sl!(), "PCI function is left out: {}", error.error; "address" => address);
                }
            }
        }
        Ok(devices)
    }

    fn addresses(&self) -> io::Result<Vec<Address>> {
        let mut addresses = Vec::new();
        let in_root = |error| named(&self.root, &error);
        for entry in fs::read_dir(&self.root).map_err(in_root)? {
            let name = entry.map_err(in_root)?.file_name();
            addresses.extend(name.to_str().and_then(Address::of_entry));
        }
        addresses.sort_unstable();
        Ok(addresses)
    }

    fn read(&self, address: Address, vendor: Option<u16>) -> io::Result<Option<PCIDevice>> {
        let path = self.root.join(address.to_string());
        let attributes = Attributes::open(&path)?;
        Ok(read(&attributes, &path, address, vendor)?)
    }
}

/// A device node of VFIO.
enum VfioNode {
    /// `/dev/vfio/12`
    Group(u32),
    /// `/dev/vfio/devices/vfio3`
    CharacterDevice(u32),
}

impl VfioNode {
    fn parse(vfio_dir: &Path, path: &Path) -> Option<Self> {
        let mut components = path.strip_prefix(vfio_dir).ok()?.components();
        let mut next = || match components.next() {
            Some(Component::Normal(name)) => name.to_str(),
            _ => None,
        };
        let node = match next()? {
            "devices" => Self::CharacterDevice(vfio_cdev_number(next()?)?),
            group => Self::Group(decimal(group)?),
        };
        components.next().is_none().then_some(node)
    }
}

fn is_wanted(wanted: Option<u16>, vendor: u16) -> bool {
    wanted.is_none_or(|wanted| wanted == vendor)
}

fn read_below(
    root: &Attributes<'_>,
    path: &Path,
    address: Address,
    vendor: Option<u16>,
    is_wanted: impl Fn(&Attributes<'_>) -> bool,
) -> attributes::Result<Option<PCIDevice>> {
    // An address has no NUL.
    let name = CString::new(address.to_string()).unwrap_or_default();
    let attributes = Attributes::open_at(root.as_fd(), &name, path)?;
    if !is_wanted(&attributes) {
        return Ok(None);
    }
    read(&attributes, path, address, vendor)
}

/// The vendor is read first, and nothing else of a function that is not wanted (P4).
fn read(
    attributes: &Attributes<'_>,
    path: &Path,
    address: Address,
    wanted: Option<u16>,
) -> attributes::Result<Option<PCIDevice>> {
    let vendor = attributes.number(c"vendor", &HEX16)?;
    if !is_wanted(wanted, vendor) {
        return Ok(None);
    }
    PCIDevice::read(attributes, path, address, vendor).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_vfio_have_two_forms() {
        let parse = |path: &str| match VfioNode::parse(Path::new("/dev/vfio"), Path::new(path)) {
            Some(VfioNode::Group(group)) => format!("group {group}"),
            Some(VfioNode::CharacterDevice(number)) => format!("device {number}"),
            None => "none".to_owned(),
        };
        for (path, node) in [
            ("/dev/vfio/0", "group 0"),
            ("/dev/vfio/12", "group 12"),
            ("/dev//vfio/12/", "group 12"),
            ("/dev/vfio/devices/vfio3", "device 3"),
            ("/dev/vfio/vfio", "none"),
            ("/dev/vfio", "none"),
            ("/dev/vfio/", "none"),
            ("/dev/vfio/devices", "none"),
            ("/dev/vfio/devices/vfio", "none"),
            ("/dev/vfio/devices/3", "none"),
            ("/dev/vfio/devices/vfio3/x", "none"),
            ("/dev/vfio/devices/../vfio3", "none"),
            ("/dev/vfio/../vfio/12", "none"),
            ("/dev/vfio/12/x", "none"),
            ("/dev/vfio/vfio3", "none"),
            ("/dev/vfio/+1", "none"),
            ("/dev/vfio/-1", "none"),
            ("/dev/vfio/012", "none"),
            ("/dev/vfio/4294967296", "none"),
            ("/dev/vfio/noiommu-0", "none"),
            ("dev/vfio/12", "none"),
            ("/tmp/vfio/12", "none"),
            ("12", "none"),
            ("", "none"),
        ] {
            assert_eq!(parse(path), node, "{path}");
        }
    }
}
