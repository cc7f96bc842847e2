//! PCI functions of a machine with known devices and an IOMMU, against what lspci(8) says of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock};

use kata_sys_util::pcilibs::{PCIDevice, PCIDeviceManager, is_pcie_device};
use test_utils::skip_if_not_guest;

const ROOT: &str = "/sys/bus/pci/devices";

/// Held while a test compares drivers, as another binds a function to one.
static DRIVERS: RwLock<()> = RwLock::new(());

/// One record of `lspci -D -vmm -nn -k`: name and number of each field.
type Record = HashMap<String, String>;

fn lspci() -> Vec<Record> {
    let output = Command::new("lspci")
        .args(["-D", "-vmm", "-nn", "-k"])
        .output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let records = output
        .split("\n\n")
        .filter(|record| !record.trim().is_empty());
    records
        .map(|record| {
            let fields = record.lines().filter_map(|line| line.split_once(":\t"));
            fields.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        })
        .collect()
}

/// The name and the number of `name [number]`.
fn split(field: &str) -> (&str, u32) {
    let (name, number) = field.rsplit_once(" [").unwrap();
    let number = u32::from_str_radix(number.trim_end_matches(']'), 16).unwrap();
    (name, number)
}

fn devices() -> Vec<PCIDevice> {
    PCIDeviceManager::new(ROOT).get_all_devices(None).unwrap()
}

#[test]
fn functions_are_those_of_lspci() {
    skip_if_not_guest!();
    let _drivers = DRIVERS.read().unwrap_or_else(PoisonError::into_inner);
    let (records, devices) = (lspci(), devices());
    assert!(records.len() >= 8, "{records:?}");
    assert_eq!(devices.len(), records.len());
    for (device, record) in devices.iter().zip(&records) {
        assert_eq!(device.address, record["Slot"]);
        let (_, class) = split(&record["Class"]);
        let (_, vendor) = split(&record["Vendor"]);
        let (_, number) = split(&record["Device"]);
        assert_eq!(device.class >> 8, class, "{record:?}");
        assert_eq!(u32::from(device.vendor), vendor, "{record:?}");
        assert_eq!(u32::from(device.device), number, "{record:?}");
        let revision = record
            .get("Rev")
            .map(|rev| u8::from_str_radix(rev, 16).unwrap());
        assert_eq!(
            device.revision.filter(|rev| *rev != 0),
            revision,
            "{record:?}"
        );
        for (id, field) in [
            (device.subsystem_vendor, "SVendor"),
            (device.subsystem_device, "SDevice"),
        ] {
            let told = record.get(field).map(|field| split(field).1);
            let id = id.filter(|id| *id != 0).map(u32::from);
            assert_eq!(id, told.filter(|id| *id != 0), "{field} of {record:?}");
        }
        let driver = record.get("Driver").map_or("", String::as_str);
        assert_eq!(device.driver, driver, "{record:?}");
        for (number, field) in [
            (device.iommu_group, "IOMMUGroup"),
            (device.numa_node, "NUMANode"),
        ] {
            let told = record.get(field).map_or(-1, |text| text.parse().unwrap());
            assert_eq!(number, told, "{field} of {record:?}");
        }
    }
    assert!(devices.iter().any(|device| !device.driver.is_empty()));
    assert!(devices.iter().all(|device| device.iommu_group >= 0));
}

/// The functions of a group, as the kernel lists them.
fn members(group: i64) -> Vec<String> {
    let entries = fs::read_dir(format!("/sys/kernel/iommu_groups/{group}/devices")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn addresses(devices: &[PCIDevice]) -> Vec<&str> {
    devices.iter().map(|device| &*device.address).collect()
}

#[test]
fn functions_of_a_group_are_those_that_the_kernel_puts_together() {
    skip_if_not_guest!();
    let manager = PCIDeviceManager::new(ROOT);
    let devices = devices();
    let mut is_shared = false;
    for device in &devices {
        let members = members(device.iommu_group);
        is_shared |= members.len() > 1;
        let group = device.iommu_group.try_into().unwrap();
        let found = manager.find_by_iommu_group(group).unwrap();
        assert_eq!(addresses(&found), members);
    }
    assert!(is_shared, "the functions of the chipset cannot be isolated");
}

#[test]
fn function_of_vfio_is_found_by_its_device_node() {
    skip_if_not_guest!();
    let _drivers = DRIVERS.write().unwrap_or_else(PoisonError::into_inner);
    let find = || {
        let mut devices = devices().into_iter();
        devices
            .find(|device| (device.vendor, device.device) == (0x8086, 0x10d3))
            .unwrap()
    };
    let before = find();
    assert_eq!(before.driver, "");
    assert_eq!(before.vfio_cdev_name().unwrap(), None);
    fs::write(before.device_path.join("driver_override"), "vfio-pci").unwrap();
    fs::write("/sys/bus/pci/drivers_probe", &before.address).unwrap();

    let device = find();
    assert_eq!(device.driver, "vfio-pci");
    let node = format!("/dev/vfio/{}", device.iommu_group);
    let kind = fs::metadata(&node).unwrap().file_type();
    assert!(kind.is_char_device(), "{node}: {kind:?}");
    let found = PCIDeviceManager::new(ROOT)
        .find_by_vfio_path(Path::new(&node))
        .unwrap();
    assert_eq!(addresses(&found), members(device.iommu_group));
    assert!(addresses(&found).contains(&&*device.address));

    let name = device.vfio_cdev_name().unwrap().unwrap();
    let path = Path::new("/dev/vfio/devices").join(name);
    let found = PCIDeviceManager::new(ROOT)
        .find_by_vfio_path(&path)
        .unwrap();
    assert_eq!(addresses(&found), [&*device.address]);
}

#[test]
#[cfg(feature = "pci-names")]
fn names_are_those_of_lspci() {
    skip_if_not_guest!();
    for (device, record) in devices().iter().zip(&lspci()) {
        // The Ethernet adapter and the disk controllers are in every edition of the database.
        if ["8086", "1b36"]
            .iter()
            .any(|id| record["Vendor"].contains(id))
        {
            assert_eq!(device.device_name, split(&record["Device"]).0, "{record:?}");
            assert_eq!(device.class_name, split(&record["Class"]).0, "{record:?}");
        }
    }
}

#[test]
fn ports_and_memory_are_as_the_kernel_assigned_them() {
    skip_if_not_guest!();
    let devices = devices();
    let find = |vendor: u16, device: u16| {
        let mut all = devices.iter();
        all.find(|d| (d.vendor, d.device) == (vendor, device))
            .unwrap()
    };
    // QEMU's e1000e: two windows of 128 KiB and one of 16 KiB.
    let (low, high) = find(0x8086, 0x10d3)
        .total_addressable_memory(false)
        .unwrap();
    assert_eq!((low, high), (0x44000, 0));
    assert_eq!(
        find(0x8086, 0x10d3).total_addressable_memory(true).unwrap(),
        (0x80000, 0)
    );
    // QEMU's NVMe controller: one of 16 KiB, 64 bits wide.
    let nvme = find(0x1b36, 0x0010);
    assert_eq!(nvme.total_addressable_memory(false).unwrap(), (0, 0x4000));
    assert!(
        is_pcie_device(&nvme.address, ROOT),
        "it is behind a PCIe port"
    );
}
