//! PCI functions of a machine with known devices, against what lspci(8) says of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;
use std::process::Command;

use kata_sys_util::pcilibs::{PCIDevice, PCIDeviceManager, is_pcie_device};
use test_utils::skip_if_not_guest;

const ROOT: &str = "/sys/bus/pci/devices";

/// One record of `lspci -D -vmm -nn`: name and number of each field.
type Record = HashMap<String, String>;

fn lspci() -> Vec<Record> {
    let output = Command::new("lspci").args(["-D", "-vmm", "-nn"]).output();
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
        let subsystem = record.get("SDevice").map(|field| split(field).1);
        assert_eq!(
            device.subsystem_device.filter(|id| *id != 0).map(u32::from),
            subsystem.filter(|id| *id != 0),
            "{record:?}"
        );
    }
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
