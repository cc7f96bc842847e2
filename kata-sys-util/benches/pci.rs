//! 500 PCI functions, with all files that are read, and without three that need not be there; and
//! names of devices.
//!
//! Floor of the enumeration: open, read and close of the same files, and the same links, with names
//! that are ready. Baseline: the same with `std::fs` and whole paths. Baseline of the names: a
//! `HashMap` of the same database, and a walk through all of it.
//!
//! A function has seven files and two links, whose fields are public and must be there when it is
//! returned: 25 system calls with those for its directory. On a machine where the floor is above the
//! 5 ms that 500 functions are to take, fewer calls are the only way, and none is sound:
//!
//! - `config` has six of the numbers in one read, but not those of sysfs: a virtual function has
//!   `ffff:ffff` there (SR-IOV, 3.4.1.1), a quirk of the kernel changes the class only in its own
//!   files, and the read wakes up a suspended device. Each of its words is an access to the device,
//!   or an exit of a virtual machine.
//! - `uevent` has five of them in one read and the driver as well. A device that lacks `vendor`,
//!   `device` or `class`, or has no number there, is to be refused with the name of that file all
//!   the same (P4), and the vendor is to be known before anything else is read. Where the files are
//!   those of a real sysfs, which cannot lack them, there could be 12 calls; a tree of ordinary
//!   files as this one, for which the 5 ms are meant, would stay as it is and have one call more.
//! - Several threads contend for the descriptor of the root and for the table of descriptors, and
//!   most machines have fewer functions than a thread is worth (40 take a ms).
//! - `io_uring` has no `readlinkat(2)`, gives reads that may wait, as those of sysfs, to threads of
//!   its own, and is forbidden in most containers.
//! - `close_range(2)` instead of seven `close(2)` would close what other threads have opened.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::symlink;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use kata_sys_util::pcilibs::{PCIDeviceManager, device_name};

const FUNCTIONS: usize = 500;

type Files = [(&'static CStr, &'static str)];

/// How many of the files there are in the smaller tree.
const FEW: usize = 4;

const FILES: [(&CStr, &str); 7] = [
    (c"vendor", "0x15b3\n"),
    (c"class", "0x020000\n"),
    (c"device", "0x1018\n"),
    (c"numa_node", "1\n"),
    (c"subsystem_vendor", "0x15b3\n"),
    (c"subsystem_device", "0x0023\n"),
    (c"revision", "0x00\n"),
];

const LINKS: [(&CStr, &str); 2] = [
    (c"driver", "../../../bus/pci/drivers/mlx5_core"),
    (c"iommu_group", "../../../kernel/iommu_groups/12"),
];

fn addresses() -> impl Iterator<Item = String> {
    (0..FUNCTIONS).map(|i| format!("0000:{:02x}:{:02x}.{}", i / 256, i / 8 % 32, i % 8))
}

fn make(root: &Path, files: &Files) {
    for address in addresses() {
        let directory = root.join(address);
        fs::create_dir(&directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name.to_str().unwrap()), text).unwrap();
        }
        for (name, target) in LINKS {
            symlink(target, directory.join(name.to_str().unwrap())).unwrap();
        }
    }
}

fn open_at(directory: libc::c_int, name: &CStr, flags: libc::c_int) -> libc::c_int {
    // SAFETY: the name ends in NUL.
    let fd = unsafe { libc::openat(directory, name.as_ptr(), flags | libc::O_CLOEXEC) };
    assert!(fd >= 0);
    fd
}

fn close(fd: libc::c_int) {
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(fd) };
}

/// The least that system calls take.
fn floor(root: &CStr, names: &[CString], files: &Files) -> isize {
    let mut buffer = [0_u8; 64];
    let mut sum = 0;
    let root = open_at(libc::AT_FDCWD, root, libc::O_PATH | libc::O_DIRECTORY);
    for name in names {
        let directory = open_at(root, name, libc::O_PATH | libc::O_DIRECTORY);
        for (name, _) in files {
            let file = open_at(directory, name, libc::O_RDONLY);
            // SAFETY: the buffer has the length that is given.
            sum += unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
            close(file);
        }
        for (name, _) in LINKS {
            let (name, to) = (name.as_ptr(), buffer.as_mut_ptr().cast());
            // SAFETY: the name ends in NUL, the buffer has the length that is given.
            sum += unsafe { libc::readlinkat(directory, name, to, buffer.len()) };
        }
        close(directory);
    }
    close(root);
    sum
}

fn with_std(root: &Path, files: &Files) -> usize {
    let mut sum = 0;
    for entry in fs::read_dir(root).unwrap() {
        let directory = entry.unwrap().path();
        for (name, _) in files {
            let path = directory.join(name.to_str().unwrap());
            sum += fs::read_to_string(path).unwrap().len();
        }
        for (name, _) in LINKS {
            let path = directory.join(name.to_str().unwrap());
            sum += fs::read_link(path).unwrap().as_os_str().len();
        }
    }
    sum
}

fn enumeration(criterion: &mut Criterion) {
    enumerate(criterion, "500 functions", &FILES);
    enumerate(criterion, "500 functions with few files", &FILES[..FEW]);
}

fn enumerate(criterion: &mut Criterion, name: &str, files: &Files) {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), files);
    let root = CString::new(dir.path().to_str().unwrap()).unwrap();
    let names: Vec<_> = addresses().map(|a| CString::new(a).unwrap()).collect();
    let manager = PCIDeviceManager::new(dir.path().to_str().unwrap());
    assert_eq!(manager.get_all_devices(None).unwrap().len(), FUNCTIONS);

    let mut group = criterion.benchmark_group(name);
    group.bench_function("floor: open, read, readlink", |b| {
        b.iter(|| floor(black_box(&root), &names, files));
    });
    group.bench_function("get_all_devices", |b| {
        b.iter(|| manager.get_all_devices(None).unwrap());
    });
    group.bench_function("get_all_devices of another vendor", |b| {
        b.iter(|| manager.get_all_devices(Some(0x10de)).unwrap());
    });
    group.bench_function("find_by_iommu_group of nobody", |b| {
        b.iter(|| manager.find_by_iommu_group(13).unwrap());
    });
    group.bench_function("baseline: std::fs", |b| {
        b.iter(|| with_std(black_box(dir.path()), files));
    });
    group.finish();
}

/// Vendor, device and name of every entry.
fn database() -> Vec<((u16, u16), &'static str)> {
    let mut vendor = 0;
    let mut entries = Vec::new();
    for line in include_str!("../data/pci.ids").lines() {
        if line.starts_with("C ") {
            break;
        }
        let Some((id, name)) = line.split_once("  ") else {
            continue;
        };
        let number = u16::from_str_radix(id.trim_start_matches('\t'), 16);
        match (number, id.starts_with('\t')) {
            (Ok(device), true) if !id.starts_with("\t\t") => entries.push(((vendor, device), name)),
            (Ok(id), false) => vendor = id,
            _ => {}
        }
    }
    entries
}

fn names(criterion: &mut Criterion) {
    let entries = database();
    let map: HashMap<_, _> = entries.iter().copied().collect();
    // Of all vendors; the same for each.
    let wanted: Vec<_> = entries.iter().step_by(200).map(|entry| entry.0).collect();
    for (vendor, device) in &wanted {
        assert_eq!(
            device_name(*vendor, *device),
            Some(map[&(*vendor, *device)])
        );
    }

    let mut group = criterion.benchmark_group(format!("{} names", wanted.len()));
    group.bench_function("device_name", |b| {
        let find = |(vendor, device): &(u16, u16)| device_name(*vendor, *device).unwrap().len();
        b.iter(|| black_box(&wanted).iter().map(find).sum::<usize>());
    });
    group.bench_function("baseline: HashMap", |b| {
        let find = |id: &(u16, u16)| map[id].len();
        b.iter(|| black_box(&wanted).iter().map(find).sum::<usize>());
    });
    group.bench_function("baseline: all of the database", |b| {
        let find = |id: &(u16, u16)| {
            let entry = entries.iter().find(|entry| entry.0 == *id);
            entry.unwrap().1.len()
        };
        b.iter(|| black_box(&wanted).iter().map(find).sum::<usize>());
    });
    group.finish();
}

criterion_group!(benches, enumeration, names);
criterion_main!(benches);
