//! PCI functions in trees that no kernel has made: nonsense, other kinds of files, and functions that
//! come and go.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod messages;
mod tree;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kata_sys_util::pcilibs::PCIDeviceManager;
use messages::messages_of;
use proptest::prelude::*;
use slog::Level;
use test_utils::seccomp::{Rule, run_under};
use tree::{GPU, NIC, System, addresses, fifo, make};

#[test]
fn malformed_number_is_told_and_left_out_with_a_warning() {
    let long = "0".repeat(4096);
    for (file, text) in [
        ("vendor", "zzzz"),
        ("vendor", ""),
        ("vendor", "\n"),
        ("vendor", "0x"),
        ("vendor", "0x1 0de"),
        ("vendor", "0x10de1"),
        ("vendor", "+10d"),
        ("vendor", "-1"),
        ("device", "0xgggg"),
        ("device", "0X2330"),
        ("device", "0x0x1"),
        ("device", "12345"),
        ("class", "0x1030200"),
        ("class", "0xffffffffff"),
        ("class", "\u{661}"),
        ("class", &long),
    ] {
        let system = System::with_function(&[(file, text)]);
        system.add_function("0000:3c:00.0", NIC);
        let error = system.get("3b:00.0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{file} {text}");
        let message = error.to_string();
        assert!(
            message.contains(&format!("0000:3b:00.0/{file}: \"")),
            "{message}"
        );
        assert!(message.len() < 500, "{message}");
        if text.len() < 60 {
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }

        let log = messages_of(|| assert_eq!(addresses(&system.all()), ["0000:3c:00.0"]));
        let [(Level::Warning, text)] = &log[..] else {
            panic!("{log:?}");
        };
        assert!(text.contains("0000:3b:00.0"), "{text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_malformed() {
    let system = System::with_function(&[]);
    let directory = system.devices().join("0000:3b:00.0");
    fs::write(directory.join("class"), b"\xff\xfe\0").unwrap();
    let error = system.get("3b:00.0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    symlink(OsStr::new("../\u{fffd}"), directory.join("driver")).unwrap();
    fs::write(directory.join("class"), "0x020000").unwrap();
    assert_eq!(system.get("3b:00.0").unwrap().unwrap().driver, "\u{fffd}");
}

#[test]
fn optional_things_that_make_no_sense_are_absent() {
    for (file, content) in [
        ("driver", "-> .."),
        ("driver", "-> /"),
        ("driver", "-> ../.."),
        ("driver", "a file"),
        ("iommu_group", "-> .."),
        ("iommu_group", "-> ../groups/x"),
        ("iommu_group", "-> ../groups/-5"),
        ("iommu_group", "-> ../groups/99999999999999999999"),
        ("iommu_group", "7"),
        ("numa_node", "x"),
        ("numa_node", ""),
        ("numa_node", "99999999999999999999"),
        ("numa_node/", ""),
        ("subsystem_vendor", "0x10000"),
        ("subsystem_device", "?"),
        ("revision", "0x100"),
    ] {
        let system = System::with_function(&[(file, content)]);
        let device = system.get("3b:00.0").unwrap().unwrap();
        assert_eq!(device.driver, "", "{file} {content}");
        assert_eq!(device.iommu_group, -1, "{file} {content}");
        assert_eq!(device.numa_node, -1, "{file} {content}");
        assert_eq!(device.subsystem_vendor, None);
        assert_eq!(device.subsystem_device, None);
        assert_eq!(device.revision, None);
    }
}

#[test]
fn long_link_names_no_driver() {
    let target = "a/".repeat(600) + "driver";
    let system = System::with_function(&[("driver", &format!("-> {target}"))]);
    assert_eq!(system.get("3b:00.0").unwrap().unwrap().driver, "");
}

#[test]
fn fifo_does_not_block() {
    let system = System::with_function(&[]);
    let directory = system.devices().join("0000:3b:00.0");
    fs::remove_file(directory.join("class")).unwrap();
    fifo(&directory.join("class"));
    fifo(&directory.join("numa_node"));
    let error = system.get("3b:00.0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[test]
fn what_is_no_address_is_invalid_and_never_part_of_a_path() {
    let system = System::new(&[]);
    // What the paths would lead to.
    make(
        system.root.sys.parent().unwrap(),
        &[("x/vendor", "0x1"), ("x/device", "0x1"), ("x/class", "0x1")],
    );
    let absolute = system.root.sys.join("../x");
    for address in ["", "x", "../../../../x", absolute.to_str().unwrap(), "."] {
        let error = system.get(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{address}");
        assert!(
            error.to_string().contains(&format!("{address:?}")),
            "{error}"
        );
    }
}

#[test]
fn directory_that_cannot_be_read_is_an_error() {
    let error = PCIDeviceManager::new("/nowhere/devices").get_all_devices(None);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere/devices"), "{error}");
    assert!(PCIDeviceManager::new("").get_all_devices(None).is_err());
    assert!(PCIDeviceManager::new("\0").get_all_devices(None).is_err());
    let system = System::new(&[("file", "")]);
    let file = system.devices().join("file");
    let manager = PCIDeviceManager::new(file.to_str().unwrap());
    assert!(manager.get_all_devices(None).is_err());
    assert!(manager.find_by_iommu_group(0).is_err());
}

#[test]
fn function_that_is_gone_is_left_out_silently_and_a_file_with_a_warning() {
    let system = System::with_function(&[]);
    system.add(&[
        (
            "0000:00:01.0",
            "-> ../../../devices/pci0000:00/0000:00:01.0",
        ),
        ("0000:00:02.0/", ""),
    ]);
    let log = messages_of(|| assert_eq!(addresses(&system.all()), ["0000:3b:00.0"]));
    assert_eq!(log, []);
    system.add(&[("0000:00:03.0", "a file")]);
    let log = messages_of(|| assert_eq!(addresses(&system.all()), ["0000:3b:00.0"]));
    assert_eq!(log.len(), 1);
    assert!(log[0].1.contains("0000:00:03.0"), "{log:?}");
}

/// A group that lacks a function for want of a descriptor would be no group.
#[test]
fn shortage_is_an_error_and_leaves_no_function_out() {
    let system = System::with_function(&[("iommu_group", "-> 7")]);
    let manager = system.manager();
    // Files of a function are opened so, directories are not.
    let file = libc::O_NOCTTY as u32;
    for error in [libc::EMFILE, libc::ENFILE, libc::ENOMEM] {
        let rules = [Rule::fail(libc::SYS_openat, error).if_argument(2, file, file)];
        run_under(&rules, || {
            let all = manager.get_all_devices(None).unwrap_err();
            assert!(all.to_string().contains("0000:3b:00.0"), "{all}");
            assert!(manager.find_by_iommu_group(7).is_err());
        });
    }
    let rules = [Rule::fail(libc::SYS_openat, libc::EACCES).if_argument(2, file, file)];
    let found = run_under(&rules, || manager.find_by_iommu_group(7));
    assert!(found.unwrap().is_empty());
}

#[test]
fn unplugging_meanwhile_is_no_error() {
    let system = System::new(&[]);
    let stays = "0000:00:00.0";
    system.add_function(stays, GPU);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for device in 1..8 {
                    let address = format!("0000:00:{device:02x}.0");
                    let directory = system.devices().join(&address);
                    // Whole or not at all, as in sysfs.
                    let hidden = system.root.sys.join(&address);
                    fs::create_dir_all(&hidden).unwrap();
                    for (file, text) in ["vendor", "device", "class"].iter().zip(NIC) {
                        fs::write(hidden.join(file), text).unwrap();
                    }
                    fs::rename(&hidden, &directory).unwrap();
                    fs::remove_dir_all(&directory).unwrap();
                }
            }
        });
        let log = messages_of(|| {
            for _ in 0..300 {
                let devices = system.all();
                assert_eq!(devices[0].address, stays);
                assert!(devices.iter().skip(1).all(|device| device.vendor == 0x15b3));
            }
        });
        done.store(true, Ordering::Relaxed);
        assert_eq!(log, []);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_content_is_read_or_told(
        file in prop::sample::select(&[
            "vendor", "device", "class", "numa_node", "revision", "subsystem_vendor",
            "resource", "config", "sriov_totalvfs", "sriov_numvfs",
        ][..]),
        content in prop::collection::vec(any::<u8>(), 0..200),
        link in "[^\0]{1,40}",
    ) {
        let system = System::with_function(&[]);
        let directory = system.devices().join("0000:3b:00.0");
        fs::write(directory.join(file), content).unwrap();
        for name in ["driver", "iommu_group", "physfn"] {
            symlink(&link, directory.join(name)).unwrap();
        }
        let devices = system.all();
        prop_assert!(devices.len() <= 1);
        prop_assert_eq!(system.get("3b:00.0").is_ok(), devices.len() == 1);
        for device in devices {
            prop_assert!(!device.driver.contains('/'));
            prop_assert!(device.iommu_group >= -1);
            prop_assert!(device.class < 1 << 24);
            let _ = (device.sriov(), device.resources(), device.capabilities());
        }
        prop_assert!(system.manager().find_by_iommu_group(0).is_ok());
    }
}
