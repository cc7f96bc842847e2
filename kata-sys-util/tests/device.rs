//! Disks behind paths, where sysfs is nonsense.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use kata_sys_util::device::get_devid_for_blkio_cgroup_in;
use test_utils::isolate;
use test_utils::isolation::{Isolation, change_root, scratch};

#[test]
fn partition_without_a_disk_is_an_error() {
    let test = "partition_without_a_disk_is_an_error";
    isolate!(
        Isolation::new()
            .namespaces(libc::CLONE_NEWNS)
            .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)
    );
    let root = scratch();
    let device = fs::metadata(&root).unwrap().dev();
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    if libc::major(device) == 0 {
        println!("INFO: skipping {test}: temporary directory without block device");
        return;
    }
    // Even the root directory says that it is a partition.
    fs::write(root.join("partition"), "1").unwrap();
    fs::create_dir(root.join("block")).unwrap();
    symlink("/", root.join("block").join(&number)).unwrap();
    change_root(&root).unwrap();
    let error = get_devid_for_blkio_cgroup_in(Path::new("/block"), Path::new("/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("Can't find real device for dev {number}")
    );
}
