//! Trees like `/sys/bus/pci/devices`: lines of the input as [`Tree`] takes them, below that
//! directory.
//!
//! * Every way to a function leads to the same one: list, vendor, address, IOMMU group, device node.
//! * Addresses are in their normal form, in order, and entries of the directory.
//! * Resources, capabilities and SR-IOV are read or refused; sums are within their bounds.
#![no_main]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fs;

use kata_libs_fuzz::{Scratch, Tree};
use kata_sys_util::SysRoot;
use kata_sys_util::pcilibs::{
    PCIDevice, PCIDeviceManager, enumerate_iommufd, is_pcie_device, lookup_iommufd_dev,
    normalize_bdf,
};
use libfuzzer_sys::fuzz_target;

/// What two equal devices have in common.
fn text(devices: impl IntoIterator<Item = impl Borrow<PCIDevice>>) -> String {
    devices
        .into_iter()
        .map(|device| format!("{:?}\n", device.borrow()))
        .collect()
}

fn check_device(manager: &PCIDeviceManager, directory: &str, device: &PCIDevice) {
    let mut cache = HashMap::new();
    for _ in 0..2 {
        let found = manager.get_device_by_pci_bus_id(&device.address, None, &mut cache);
        assert_eq!(text(found.expect("it is there")), text([device]));
    }
    let other = manager.get_device_by_pci_bus_id(&device.address, Some(!device.vendor), &mut cache);
    assert!(other.expect("it is there").is_none());

    if let Ok(resources) = device.resources() {
        assert!(resources.is_sorted_by(|a, b| a.index < b.index));
        assert!(resources.iter().all(|resource| resource.size() > 0));
        let plain = device.total_addressable_memory(false).expect("as above");
        let rounded = device.total_addressable_memory(true).expect("as above");
        assert!(rounded.0 >= plain.0 && rounded.1 >= plain.1);
    }
    if let Ok(capabilities) = device.capabilities() {
        assert!(capabilities.extended.is_empty() || is_pcie_device(&device.address, directory));
    }
    let _ = (device.sriov(), device.vfio_cdev_name());
    let _ = (
        device.is_gpu(),
        device.is_nvswitch(),
        device.is_passthrough_capable(),
    );
}

fuzz_target!(|data: &[u8]| {
    let tree = Tree::parse(data);
    let scratch = Scratch::new();
    let root = SysRoot::under(scratch.path());
    let devices = root.sys.join("bus/pci/devices");
    fs::create_dir_all(&devices).expect("a new directory");
    tree.build(&devices);
    let directory = devices.to_str().expect("UTF-8");

    let manager = PCIDeviceManager::in_root(&root);
    let all = manager
        .get_all_devices(None)
        .expect("the directory is there");
    for device in &all {
        assert_eq!(
            normalize_bdf(&device.address).as_ref(),
            Some(&device.address)
        );
        assert!(tree.get(std::slice::from_ref(&device.address)).is_some());
        assert_eq!(device.device_path, devices.join(&device.address));
        check_device(&manager, directory, device);

        let vendor = manager
            .get_all_devices(Some(device.vendor))
            .expect("as above");
        assert_eq!(
            text(vendor),
            text(all.iter().filter(|d| d.vendor == device.vendor))
        );
        if let Ok(group) = u32::try_from(device.iommu_group) {
            let expected = text(all.iter().filter(|d| d.iommu_group == i64::from(group)));
            let node = root.dev.join(format!("vfio/{group}"));
            assert_eq!(
                text(manager.find_by_iommu_group(group).expect("as above")),
                expected
            );
            assert_eq!(
                text(
                    manager
                        .find_by_vfio_path_in(&root, &node)
                        .expect("as above")
                ),
                expected
            );
        }
    }
    let number = |device: &PCIDevice| {
        let fields = device.address.split([':', '.']);
        fields
            .map(|field| u32::from_str_radix(field, 16).expect("a number"))
            .collect::<Vec<_>>()
    };
    assert!(all.is_sorted_by(|a, b| number(a) < number(b)));

    // The same tree, taken for the directories of IOMMUFD.
    for device in enumerate_iommufd(&devices, &devices) {
        assert!(device.path.starts_with(&devices));
        let _ = (device.class_prefix(), device.device_name());
    }
    let _ = lookup_iommufd_dev("vfio0", &devices, &devices);
});
