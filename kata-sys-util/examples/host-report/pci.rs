//! PCI functions, and how they can be given to a VM.

use std::collections::HashMap;
use std::path::Path;

use kata_sys_util::pcilibs::{PCIDevice, PCIDeviceManager, enumerate_iommufd};
use serde::Serialize;

use crate::reader::{Reader, is_missing};
use crate::report::{Row, row};

#[derive(Serialize)]
pub(crate) struct Pci {
    devices: Vec<Device>,
    vfio: Vec<Vfio>,
}

#[derive(Serialize)]
struct Device {
    address: String,
    /// Vendor and device as `lspci -n` has them: `8086:1533`.
    id: String,
    /// Base class, subclass and programming interface: `020000`.
    class: String,
    class_name: String,
    device_name: String,
    driver: Option<String>,
    iommu_group: Option<i64>,
    numa_node: Option<i64>,
}

/// A file below `/dev/vfio` by which a VM gets devices.
#[derive(Serialize)]
struct Vfio {
    /// On the real system, whatever the root is.
    path: String,
    /// Addresses of the devices; none if it is not known.
    devices: Vec<String>,
}

impl Pci {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let path = reader.root.sys.join("bus/pci/devices");
        let manager = PCIDeviceManager::in_root(&reader.root);
        let devices = manager.get_all_devices(None);
        let devices = reader.found(&path, devices).unwrap_or_default();
        note_unreadable(reader, &manager, &devices);
        Self {
            vfio: read_vfio(reader, &manager),
            devices: devices.into_iter().map(Device::from).collect(),
        }
    }

    pub(crate) fn device_rows(&self) -> Vec<Row> {
        if self.devices.is_empty() {
            return vec![row("none", "")];
        }
        let devices = self.devices.iter().map(|device| {
            let mut value = format!(
                "{} [{}] {} [{}]",
                device.class_name, device.class, device.device_name, device.id
            );
            if let Some(driver) = &device.driver {
                value += &format!(", driver {driver}");
            }
            if let Some(group) = device.iommu_group {
                value += &format!(", IOMMU group {group}");
            }
            if let Some(node) = device.numa_node {
                value += &format!(", NUMA node {node}");
            }
            row(&device.address, value)
        });
        devices.collect()
    }

    pub(crate) fn vfio_rows(&self) -> Vec<Row> {
        if self.vfio.is_empty() {
            return vec![row("none", "")];
        }
        let vfio = self.vfio.iter().map(|vfio| match vfio.devices.as_slice() {
            [] => row(&vfio.path, "no PCI device"),
            devices => row(&vfio.path, devices.join(" ")),
        });
        vfio.collect()
    }
}

impl From<PCIDevice> for Device {
    fn from(device: PCIDevice) -> Self {
        // The crate has the values of sysfs, which has -1 for unknown.
        let known = |number: i64| (number >= 0).then_some(number);
        Self {
            id: format!("{:04x}:{:04x}", device.vendor, device.device),
            class: format!("{:06x}", device.class),
            driver: Some(device.driver).filter(|driver| !driver.is_empty()),
            iommu_group: known(device.iommu_group),
            numa_node: known(device.numa_node),
            address: device.address,
            class_name: device.class_name,
            device_name: device.device_name,
        }
    }
}

/// The functions that are in sysfs, but that the crate has left out.
fn note_unreadable(reader: &mut Reader, manager: &PCIDeviceManager, devices: &[PCIDevice]) {
    let directory = reader.root.sys.join("bus/pci/devices");
    for name in reader.names(&directory).unwrap_or_default() {
        if devices.iter().any(|device| device.address == name) {
            continue;
        }
        if let Err(error) = manager.get_device_by_pci_bus_id(&name, None, &mut HashMap::new()) {
            reader.note(&directory.join(&name), error);
        }
    }
}

/// Groups of the older interface, then devices of iommufd.
fn read_vfio(reader: &mut Reader, manager: &PCIDeviceManager) -> Vec<Vfio> {
    let directory = reader.root.dev.join("vfio");
    let names = reader.names(&directory).unwrap_or_default();
    // `vfio` is the container that groups are put into.
    let mut groups: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    groups.sort_unstable();
    let class = reader.root.sys.join("class/vfio-dev");
    let paths = groups.iter().map(|group| format!("/dev/vfio/{group}"));
    let cdevs = enumerate_iommufd(&directory, &class);
    let cdevs = cdevs
        .iter()
        .map(|cdev| format!("/dev/vfio/devices/vfio{}", cdev.num));
    let paths: Vec<String> = paths.chain(cdevs).collect();
    let vfio = paths.into_iter().map(|path| {
        let devices = manager
            .find_by_vfio_path(Path::new(&path))
            .or_else(|error| {
                // A group of devices on another bus than PCI.
                if is_missing(&error) {
                    Ok(Vec::new())
                } else {
                    Err(error)
                }
            });
        let devices = reader.found(Path::new(&path), devices).unwrap_or_default();
        Vfio {
            path,
            devices: devices.into_iter().map(|device| device.address).collect(),
        }
    });
    vfio.collect()
}
