//! PCI functions of trees like sysfs, and of this machine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod messages;
mod tree;

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use kata_sys_util::pcilibs::{
    PCIDeviceManager, SriovInfo, UNKNOWN_CLASS, UNKNOWN_DEVICE, class_name, device_name,
    is_pcie_device, normalize_bdf,
};
use messages::messages_of;
use tree::{GPU, NIC, System, addresses, make};

#[test]
fn vendor_device_class_and_node_are_enough() {
    let system = System::new(&[
        ("0000:3b:00.0/vendor", "0x10de"),
        ("0000:3b:00.0/device", "0x2330"),
        ("0000:3b:00.0/class", "0x030200"),
        ("0000:3b:00.0/numa_node", "0"),
    ]);
    let devices = system.all();
    assert_eq!(devices.len(), 1);
    let device = &devices[0];
    assert_eq!(device.device_path, system.devices().join("0000:3b:00.0"));
    assert_eq!(device.address, "0000:3b:00.0");
    assert_eq!((device.vendor, device.device), (0x10de, 0x2330));
    assert_eq!(device.class, 0x03_02_00);
    assert_eq!(device.numa_node, 0);
    assert_eq!(device.driver, "");
    assert_eq!(device.iommu_group, -1);
    assert_eq!(device.subsystem_vendor, None);
    assert_eq!(device.subsystem_device, None);
    assert_eq!(device.revision, None);
}

#[test]
fn everything_that_sysfs_has_is_in_the_fields() {
    let system = System::with_function(&[
        ("numa_node", "1\n"),
        ("subsystem_vendor", "0x10de\n"),
        ("subsystem_device", "0x16c1\n"),
        ("revision", "0xa1\n"),
        ("driver", "-> ../../../bus/pci/drivers/vfio-pci"),
        ("iommu_group", "-> ../../../kernel/iommu_groups/42"),
        ("sriov_totalvfs", "16\n"),
        ("sriov_numvfs", "4\n"),
        ("vfio-dev/vfio7/", ""),
        ("resource", "0x1000 0x1fff 0x200\n"),
    ]);
    let device = system.get("3b:00.0").unwrap().unwrap();
    assert_eq!(device.numa_node, 1);
    assert_eq!(device.subsystem_vendor, Some(0x10de));
    assert_eq!(device.subsystem_device, Some(0x16c1));
    assert_eq!(device.revision, Some(0xa1));
    assert_eq!(device.driver, "vfio-pci");
    assert_eq!(device.iommu_group, 42);
    let expected = SriovInfo::Physical {
        total_vfs: 16,
        num_vfs: 4,
    };
    assert_eq!(device.sriov().unwrap(), expected);
    assert_eq!(device.vfio_cdev_name().unwrap().as_deref(), Some("vfio7"));
    assert_eq!(device.total_addressable_memory(false).unwrap(), (0x1000, 0));
}

#[test]
fn names_are_those_of_the_database() {
    let system = System::new(&[]);
    system.add_function("0000:00:00.0", ["0xffff", "0xffff", "0x7f0000"]);
    system.add_function("0000:00:01.0", GPU);
    let devices = system.all();
    assert_eq!(devices[0].device_name, UNKNOWN_DEVICE);
    assert_eq!(devices[0].class_name, UNKNOWN_CLASS);
    let expected = device_name(0x10de, 0x2330).unwrap_or(UNKNOWN_DEVICE);
    assert_eq!(devices[1].device_name, expected);
    let expected = class_name(0x03_02_00).unwrap_or(UNKNOWN_CLASS);
    assert_eq!(devices[1].class_name, expected);
    let has_names = cfg!(feature = "pci-names");
    assert_eq!(devices[1].device_name != UNKNOWN_DEVICE, has_names);
    assert_eq!(devices[1].class_name != UNKNOWN_CLASS, has_names);
}

#[test]
fn functions_are_sorted_by_numbers_and_other_entries_are_none() {
    let system = System::new(&[
        ("power/control", "auto"),
        ("file", ""),
        ("3b:00.0/vendor", "0x10de"),
        ("0000:0A:00.0/vendor", "0x10de"),
    ]);
    let sorted = [
        "0000:00:02.0",
        "0000:00:02.1",
        "0000:00:10.0",
        "0000:01:00.0",
        "0000:ff:00.0",
        "0001:00:00.0",
        "ffff:00:00.0",
        "10000:00:00.0",
    ];
    for address in sorted.iter().rev() {
        system.add_function(address, GPU);
    }
    assert_eq!(addresses(&system.all()), sorted);
}

#[test]
fn vendor_filter_chooses_functions() {
    let system = System::new(&[]);
    system.add_function("0000:00:01.0", GPU);
    system.add_function("0000:00:02.0", NIC);
    system.add_function("0000:00:03.0", GPU);
    let find = |vendor| system.manager().get_all_devices(Some(vendor)).unwrap();
    assert_eq!(addresses(&find(0x10de)), ["0000:00:01.0", "0000:00:03.0"]);
    assert_eq!(addresses(&find(0x15b3)), ["0000:00:02.0"]);
    assert!(find(0x8086).is_empty());
}

#[test]
fn nothing_but_the_vendor_is_read_of_what_is_not_wanted() {
    let system = System::with_function(&[("class", "nonsense"), ("device", "nonsense")]);
    let manager = system.manager();
    let mut cache = HashMap::new();
    let mut get = |vendor| manager.get_device_by_pci_bus_id("3b:00.0", vendor, &mut cache);
    assert!(get(Some(0x15b3)).unwrap().is_none());
    assert!(get(Some(0x10de)).is_err());
    assert!(cache.is_empty());
    let log = messages_of(|| assert!(manager.get_all_devices(Some(0x15b3)).unwrap().is_empty()));
    assert_eq!(log, []);
}

#[test]
fn cache_has_addresses_as_given_and_obeys_the_filter() {
    let system = System::with_function(&[]);
    let manager = system.manager();
    let mut cache = HashMap::new();
    let mut get = |address: &str, vendor| {
        let device = manager.get_device_by_pci_bus_id(address, vendor, &mut cache);
        let found = device.unwrap().is_some();
        let mut keys: Vec<_> = cache.keys().cloned().collect();
        keys.sort();
        (found, keys)
    };
    // A function that is not wanted is not read, and so not kept.
    assert_eq!(get("3b:00.0", Some(1)), (false, vec![]));
    assert_eq!(get("3b:00.0", None), (true, vec!["3b:00.0".to_owned()]));
    fs::remove_dir_all(system.devices().join("0000:3b:00.0")).unwrap();
    let kept = vec!["3b:00.0".to_owned()];
    assert_eq!(get("3b:00.0", Some(0x10de)), (true, kept.clone()));
    assert_eq!(get("3b:00.0", None), (true, kept.clone()));
    // Also of what comes from there (D-13).
    assert_eq!(get("3b:00.0", Some(0x15b3)), (false, kept));
    let error = manager.get_device_by_pci_bus_id("0000:3b:00.0", None, &mut cache);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn missing_function_or_file_is_named() {
    let system = System::new(&[]);
    let error = system.get("0000:00:00.0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/0000:00:00.0: "), "{error}");
    for file in ["vendor", "device", "class"] {
        let system = System::with_function(&[]);
        fs::remove_file(system.devices().join("0000:3b:00.0").join(file)).unwrap();
        let error = system.get("3b:00.0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let name = format!("0000:3b:00.0/{file}: ");
        assert!(error.to_string().contains(&name), "{error}");
    }
}

#[test]
fn numbers_may_have_prefix_zeros_and_line_break() {
    for (text, number) in [
        ("10de", 0x10de),
        ("0x10de", 0x10de),
        ("0x10DE\n", 0x10de),
        ("0x000010de\n", 0x10de),
        ("1", 1),
        ("0", 0),
        ("ffff", 0xffff),
    ] {
        let system = System::with_function(&[("vendor", text)]);
        assert_eq!(system.get("3b:00.0").unwrap().unwrap().vendor, number);
    }
}

#[test]
fn entries_are_links_as_in_sysfs() {
    let system = System::new(&[(
        "0000:3b:00.0",
        "-> ../../../devices/pci0000:3a/0000:3b:00.0",
    )]);
    let directory = system.root.sys.join("devices/pci0000:3a/0000:3b:00.0");
    let files = [("vendor", GPU[0]), ("device", GPU[1]), ("class", GPU[2])];
    make(&directory, &files);
    assert_eq!(addresses(&system.all()), ["0000:3b:00.0"]);
}

/// Two functions in group 12, one of them with a character device, and one in group 1.
fn vfio() -> System {
    let system = System::new(&[
        (
            "0000:3b:00.1/iommu_group",
            "-> ../../../kernel/iommu_groups/12",
        ),
        (
            "0000:3b:00.0/iommu_group",
            "-> ../../../kernel/iommu_groups/12",
        ),
        (
            "0000:5e:00.0/iommu_group",
            "-> ../../../kernel/iommu_groups/1",
        ),
    ]);
    system.add_function("0000:3b:00.0", GPU);
    system.add_function("0000:3b:00.1", ["0x10de", "0x1", "0x040300"]);
    system.add_function("0000:5e:00.0", NIC);
    system.add_function("0000:00:00.0", NIC);
    make(
        &system.root.sys,
        &[
            ("class/vfio-dev/vfio3/device", "-> ../../../0000:5e:00.0"),
            ("class/vfio-dev/vfio4/device", "-> ../../../0000:77:00.0"),
            (
                "class/vfio-dev/vfio5/device",
                "-> ../../../83b8f4f2-509f-382f",
            ),
            ("class/vfio-dev/vfio6/", ""),
            ("class/vfio-dev/vfio7/device", "-> .."),
            ("class/vfio-dev/vfio8/device/", ""),
        ],
    );
    system
}

#[test]
fn group_that_a_function_tells_is_one_that_it_is_found_by() {
    let system = System::with_function(&[("iommu_group", "-> 007")]);
    let all = system.all();
    assert_eq!(all[0].iommu_group, 7);
    assert_eq!(
        addresses(&system.manager().find_by_iommu_group(7).unwrap()),
        addresses(&all)
    );
}

#[test]
fn functions_of_an_iommu_group_are_found_by_their_link() {
    let system = vfio();
    let find = |group| system.manager().find_by_iommu_group(group).unwrap();
    assert_eq!(addresses(&find(12)), ["0000:3b:00.0", "0000:3b:00.1"]);
    assert_eq!(addresses(&find(1)), ["0000:5e:00.0"]);
    assert!(find(2).is_empty());
    assert_eq!(find(1)[0].iommu_group, 1);
}

#[test]
fn functions_are_found_by_device_nodes_of_vfio() {
    let system = vfio();
    let manager = system.manager();
    let find = |path: &str| {
        let below = system
            .root
            .dev
            .join(path.strip_prefix("/dev/").unwrap_or(path));
        let result = manager.find_by_vfio_path(Path::new(path));
        // The same with all of it below the root.
        let in_root = manager.find_by_vfio_path_in(&system.root, &below);
        match (result, in_root) {
            (Ok(devices), Ok(in_root)) => {
                assert_eq!(addresses(&devices), addresses(&in_root));
                Ok(addresses(&devices).join(" "))
            }
            (Err(error), Err(in_root)) => {
                assert_eq!(error.kind(), in_root.kind());
                Err(error.kind())
            }
            results => panic!("{results:?}"),
        }
    };
    for (path, found) in [
        ("/dev/vfio/12", Ok("0000:3b:00.0 0000:3b:00.1")),
        ("/dev/vfio/1", Ok("0000:5e:00.0")),
        ("/dev/vfio/devices/vfio3", Ok("0000:5e:00.0")),
        ("/dev/vfio/2", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio2", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio4", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio5", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio6", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio7", Err(ErrorKind::NotFound)),
        ("/dev/vfio/devices/vfio8", Err(ErrorKind::NotFound)),
        ("/dev/vfio/vfio", Err(ErrorKind::InvalidInput)),
        ("/dev/vfio/devices/../../x", Err(ErrorKind::InvalidInput)),
        ("/dev/null", Err(ErrorKind::InvalidInput)),
        ("", Err(ErrorKind::InvalidInput)),
    ] {
        assert_eq!(find(path), found.map(str::to_owned), "{path}");
    }
    let outside = manager.find_by_vfio_path_in(&system.root, Path::new("/dev/vfio/12"));
    assert_eq!(outside.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn sysfs_is_three_levels_above_the_functions() {
    let system = vfio();
    // With a slash at the end.
    let root = format!("{}/", system.devices().display());
    let manager = PCIDeviceManager::new(&root);
    let devices = manager.find_by_vfio_path(Path::new("/dev/vfio/devices/vfio3"));
    assert_eq!(addresses(&devices.unwrap()), ["0000:5e:00.0"]);
    // With fewer levels it is the real one, which has no such device.
    let manager = PCIDeviceManager::new("/devices");
    let error = manager.find_by_vfio_path(Path::new("/dev/vfio/devices/vfio4294967295"));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let link = "/sys/class/vfio-dev/vfio4294967295/device: ";
    assert!(error.to_string().starts_with(link), "{error}");
}

#[test]
fn functions_of_this_machine_are_as_their_files_say() {
    let root = "/sys/bus/pci/devices";
    let Ok(entries) = fs::read_dir(root) else {
        println!("INFO: skipping functions_of_this_machine_are_as_their_files_say: no PCI");
        return;
    };
    let mut count = 0;
    let manager = PCIDeviceManager::new(root);
    for entry in entries {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert_eq!(normalize_bdf(&name).as_ref(), Some(&name));
        let device = manager.get_device_by_pci_bus_id(&name, None, &mut HashMap::new());
        let device = device.unwrap().unwrap();
        let read = |file: &str| fs::read_to_string(format!("{root}/{name}/{file}")).unwrap();
        assert_eq!(read("vendor").trim(), format!("{:#06x}", device.vendor));
        assert_eq!(read("device").trim(), format!("{:#06x}", device.device));
        assert_eq!(read("class").trim(), format!("{:#08x}", device.class));
        assert_eq!(read("numa_node").trim(), device.numa_node.to_string());
        let revision = device.revision.map(|revision| format!("{revision:#04x}"));
        assert_eq!(Some(read("revision").trim()), revision.as_deref());

        let present = read("resource")
            .lines()
            .filter(|line| !line.starts_with("0x0000000000000000 0x0000000000000000"))
            .count();
        assert_eq!(device.resources().unwrap().len(), present);
        device.total_addressable_memory(true).unwrap();
        device.sriov().unwrap();
        device.vfio_cdev_name().unwrap();
        let capabilities = device.capabilities().unwrap();
        // 16 is PCI Express.
        let has_express = capabilities.standard.iter().any(|c| c.id == 0x10);
        if has_express {
            assert!(is_pcie_device(&name, root), "{name}");
        }
        count += 1;
    }
    assert_eq!(manager.get_all_devices(None).unwrap().len(), count);
}
