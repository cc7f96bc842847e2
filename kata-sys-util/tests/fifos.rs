//! Files that turn out to be FIFOs: nobody waits for somebody to write into one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod tree;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use kata_sys_util::cpu::{get_single_cpu_info, retrieve_cpu_facilities_from};
use kata_sys_util::device::get_devid_for_blkio_cgroup_in;
use kata_sys_util::k8s::is_host_empty_dir_in;
use kata_sys_util::numa::{NumaTopology, get_numa_nodes_in};
use kata_sys_util::protection::{Platform, SevCpuid, protection_report_in};
use kata_sys_util::{SysRoot, check_kernel_cmd_line};
use tree::fifo;

/// All that is read, of any architecture.
const FILES: [&str; 9] = [
    "proc/cmdline",
    "proc/cpuinfo",
    "proc/mounts",
    "proc/thread-self/mounts",
    "sys/devices/system/node/node0/cpulist",
    "sys/firmware/uv/prot_virt_host",
    "sys/module/kvm_amd/parameters/sev",
    "sys/module/kvm_amd/parameters/sev_snp",
    "sys/module/kvm_intel/parameters/tdx",
];

/// Calls a function for a system whose files are FIFOs, in a thread of its own: one that waits for
/// a writer cannot be ended.
#[track_caller]
fn check(name: &str, call: impl FnOnce(&Path) + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    for file in FILES {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fifo(&path);
    }
    let root = dir.path().to_owned();
    let (tell, told) = channel();
    let caller = thread::spawn(move || {
        call(&root);
        tell.send(()).unwrap();
    });
    let done = told.recv_timeout(Duration::from_secs(60));
    assert_ne!(done, Err(RecvTimeoutError::Timeout), "{name} waits");
    caller.join().unwrap();
}

#[test]
fn cpus_and_nodes_are_not_known() {
    check("get_single_cpu_info", |root| {
        let path = root.join("proc/cpuinfo");
        let error = get_single_cpu_info(path.to_str().unwrap(), "x").unwrap_err();
        assert_eq!(error.to_string(), "cpu_info string is empty");
    });
    check("retrieve_cpu_facilities_from", |root| {
        let facilities = retrieve_cpu_facilities_from(&root.join("proc/cpuinfo"));
        assert!(facilities.unwrap().is_empty());
    });
    check("get_numa_nodes_in", |root| {
        let root = SysRoot::under(root);
        assert!(get_numa_nodes_in(&root).unwrap().is_empty());
    });
    check("NumaTopology", |root| {
        let system = root.join("sys/devices/system");
        let topology = NumaTopology::read_from(&system.join("node"), &system.join("cpu"));
        assert!(topology.unwrap().cpus_of(0).is_empty());
    });
}

#[test]
fn nothing_is_switched_on() {
    check("check_kernel_cmd_line", |root| {
        let path = root.join("proc/cmdline");
        assert!(!check_kernel_cmd_line(path.to_str().unwrap(), "quiet", &[]).unwrap());
    });
    for platform in [
        Platform::X86_64(SevCpuid::default()),
        Platform::S390x { effective_uid: 0 },
    ] {
        check("protection_report_in", move |root| {
            let report = protection_report_in(&SysRoot::under(root), &platform);
            assert!(report.candidates.iter().all(|c| c.enabled == Some(false)));
        });
    }
}

#[test]
fn table_without_a_line_has_no_mount() {
    check("is_host_empty_dir_in", |root| {
        let root = SysRoot::under(root);
        assert!(is_host_empty_dir_in(&root, "/v/kubernetes.io~empty-dir/a"));
    });
}

#[test]
fn disk_has_no_number() {
    check("get_devid_for_blkio_cgroup_in", |root| {
        let number = fs::metadata(root).unwrap().dev();
        let (major, minor) = (libc::major(number), libc::minor(number));
        if major == 0 {
            eprintln!("INFO: skipping a test of FIFOs: temporary directory without block device");
            return;
        }
        let blocks = root.join("block");
        for directory in [&blocks, &root.join("disk")] {
            fs::create_dir(directory).unwrap();
        }
        fifo(&root.join("disk/dev"));
        symlink("../disk", blocks.join(format!("{major}:{minor}"))).unwrap();
        let error = get_devid_for_blkio_cgroup_in(&blocks, root).unwrap_err();
        assert!(error.to_string().starts_with("Wrong format in "), "{error}");
    });
}
