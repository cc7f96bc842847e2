//! InfiniBand devices of a real kernel: software RDMA (rxe) gives the nodes, and a process under
//! the device rules of the resulting specification opens them, and no others.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use kata_sys_util::infiniband::{
    INFINIBAND_DEV_DIR, InfinibandDevice, expose_guest_infiniband_devices, list_infiniband_devices,
    snapshot_infiniband,
};
use oci_spec::runtime::{LinuxDeviceType, Spec};
use test_utils::isolation::unshare;
use test_utils::skip_if_not_guest;

/// Name, major and minor number of the nodes that the kernel made.
fn nodes() -> Vec<(String, i64, i64)> {
    let mut nodes: Vec<_> = fs::read_dir(INFINIBAND_DEV_DIR)
        .unwrap()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().unwrap().is_char_device())
        .map(|entry| {
            let number = entry.metadata().unwrap().rdev();
            let (major, minor) = (libc::major(number), libc::minor(number));
            let name = entry.file_name().into_string().unwrap();
            (name, i64::from(major), i64::from(minor))
        })
        .collect();
    nodes.sort();
    nodes
}

fn exposed() -> (Spec, Vec<InfinibandDevice>) {
    let mut spec = Spec::default();
    let devices = expose_guest_infiniband_devices(&mut spec).unwrap();
    (spec, devices)
}

#[test]
fn devices_are_those_of_the_kernel_with_its_numbers() {
    skip_if_not_guest!();
    let nodes = nodes();
    let names: Vec<_> = nodes.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["issm0", "rdma_cm", "umad0", "uverbs0"]);

    let listed = list_infiniband_devices().unwrap();
    let numbers: Vec<_> = listed
        .iter()
        .map(|device| (device.name.clone(), device.major, device.minor))
        .collect();
    assert_eq!(numbers, nodes);
    for device in &listed {
        let metadata = fs::metadata(&device.path).unwrap();
        let attributes = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        assert_eq!((device.mode, device.uid, device.gid), attributes);
    }

    let (spec, devices) = exposed();
    assert_eq!(devices, listed);
    let linux = spec.linux().as_ref().unwrap();
    for (name, major, minor) in nodes {
        let path = Path::new(INFINIBAND_DEV_DIR).join(name);
        let entries = linux.devices().iter().flatten();
        let found: Vec<_> = entries.filter(|entry| *entry.path() == path).collect();
        assert_eq!(found.len(), 1, "{path:?}");
        assert_eq!(found[0].typ(), LinuxDeviceType::C);
        assert_eq!((found[0].major(), found[0].minor()), (major, minor));
    }
}

#[test]
fn snapshot_names_the_device_of_the_kernel() {
    skip_if_not_guest!();
    let snapshot = snapshot_infiniband();
    assert!(
        snapshot.starts_with("ib_devices=[rxe0=[bdf=<none>,"),
        "{snapshot}"
    );
    assert!(
        snapshot.contains("uverbs=[uverbs0=[ibdev=rxe0,dev="),
        "{snapshot}"
    );
    for (name, major, minor) in nodes() {
        let node = format!("{name}=[char,{major}:{minor}]");
        assert!(snapshot.contains(&node), "{node}: {snapshot}");
    }
}

/// Makes the nodes of the specification in a mount namespace of its own, enters the cgroup, and
/// opens the first argument.
const CONTAINER: &str = r#"
    set -e
    mount --make-rprivate /
    mount -t tmpfs tmpfs /dev
    mkdir -p /dev/infiniband
    mknod /dev/null c 1 3
    mknod /dev/unlisted c 1 5
    while read -r path mode major minor; do mknod -m "$mode" "$path" c "$major" "$minor"; done <<END
$2
END
    echo $$ >"$3/cgroup.procs"
    [ -c "$1" ]
    exec 3<>"$1"
"#;

fn open_in_container(path: &str, nodes: &str, cgroup: &Path) -> bool {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", CONTAINER, "sh", path, nodes])
        .arg(cgroup);
    // SAFETY: between fork and exec there is nothing but a system call.
    unsafe { command.pre_exec(|| unshare(libc::CLONE_NEWNS)) };
    command.status().unwrap().success()
}

#[test]
fn process_under_the_rules_opens_these_devices_and_no_others() {
    skip_if_not_guest!();
    let (spec, devices) = exposed();
    let linux = spec.linux().as_ref().unwrap();

    let cgroup = Path::new("/sys/fs/cgroup/devices/container");
    fs::create_dir(cgroup).unwrap();
    fs::write(cgroup.join("devices.deny"), "a").unwrap();
    let resources = linux.resources().as_ref().unwrap();
    let rules = resources.devices().iter().flatten();
    for rule in rules.filter(|rule| rule.allow()) {
        let line = format!(
            "c {}:{} {}",
            rule.major().unwrap(),
            rule.minor().unwrap(),
            rule.access().as_ref().unwrap()
        );
        fs::write(cgroup.join("devices.allow"), line).unwrap();
    }
    let nodes: Vec<_> = linux
        .devices()
        .iter()
        .flatten()
        .filter(|entry| entry.path().starts_with(INFINIBAND_DEV_DIR))
        .map(|entry| {
            let (path, mode) = (entry.path().display(), entry.file_mode().unwrap());
            format!("{path} {mode:o} {} {}", entry.major(), entry.minor())
        })
        .collect();
    assert_eq!(nodes.len(), devices.len());
    let nodes = nodes.join("\n");

    for path in ["/dev/infiniband/uverbs0", "/dev/infiniband/rdma_cm"] {
        assert!(open_in_container(path, &nodes, cgroup), "{path}");
    }
    for path in ["/dev/unlisted", "/dev/null"] {
        assert!(!open_in_container(path, &nodes, cgroup), "{path}");
    }
    fs::remove_dir(cgroup).unwrap();
}
