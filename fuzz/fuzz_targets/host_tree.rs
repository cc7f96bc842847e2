//! Trees like `/proc`, `/sys` and `/dev`: lines of the input as [`Tree`] takes them, below a root.
//!
//! * NUMA: every CPU of a node is valid, and the topology says the same as the single questions.
//! * Confidential computing: the report and the short answer agree.
//! * InfiniBand: devices are where the container expects them, and are applied to a specification.
//! * Devices, volumes and mounts are questions with an answer or an error.
#![no_main]

use kata_libs_fuzz::{Scratch, Tree};
use kata_sys_util::SysRoot;
use kata_sys_util::device::get_devid_for_blkio_cgroup_in;
use kata_sys_util::infiniband::{
    InfinibandRoots, apply_infiniband_devices, expose_guest_infiniband_devices_in,
    list_infiniband_devices_in, snapshot_infiniband_in,
};
use kata_sys_util::k8s::is_host_empty_dir_in;
use kata_sys_util::numa::{NumaTopology, get_node_id_in, get_numa_nodes_in, is_valid_numa_cpu_in};
use kata_sys_util::protection::{
    Platform, SevCpuid, available_guest_protection_in, protection_report_in,
};
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::Spec;

fn check_numa(root: &SysRoot) {
    if let Ok(nodes) = get_numa_nodes_in(root) {
        let cpus: Vec<u32> = nodes.keys().copied().collect();
        assert!(is_valid_numa_cpu_in(root, &cpus).expect("as above"));
    }
    for cpu in [0, 1, 64] {
        let _ = get_node_id_in(root, cpu);
    }
    let system = root.sys.join("devices/system");
    if let Ok(topology) = NumaTopology::read_from(&system.join("node"), &system.join("cpu")) {
        for node in topology.nodes() {
            let is_here = |cpu: &u32| topology.node_of(*cpu) == Some(node);
            assert!(topology.cpus_of(node).iter().all(is_here));
        }
    }
}

fn check_infiniband(root: &SysRoot) {
    let roots = InfinibandRoots::from(root);
    assert!(!snapshot_infiniband_in(&roots).is_empty());
    if let Ok(devices) = list_infiniband_devices_in(&roots) {
        assert!(
            devices
                .iter()
                .all(|device| device.path.starts_with(&roots.container_dir))
        );
        let mut spec = Spec::default();
        let _ = apply_infiniband_devices(&devices, &mut spec);
    }
    let _ = expose_guest_infiniband_devices_in(&roots, &mut Spec::default());
}

fuzz_target!(|data: &[u8]| {
    let tree = Tree::parse(&String::from_utf8_lossy(data));
    let scratch = Scratch::new();
    let root = SysRoot::under(scratch.path());
    tree.build(scratch.path());
    check_numa(&root);
    check_infiniband(&root);
    let cpuid = SevCpuid {
        vendor: *b"AuthenticAMD",
        max_ext_leaf: 0x8000_001f,
        eax: 0x1a,
        ebx: 0x16f,
    };
    for platform in [
        Platform::X86_64(cpuid),
        Platform::S390x { effective_uid: 0 },
        Platform::Powerpc64le { effective_uid: 0 },
    ] {
        let short = available_guest_protection_in(&root, &platform);
        let report = protection_report_in(&root, &platform);
        assert_eq!(short.is_ok(), report.selected.is_ok());
        assert!(
            report
                .candidates
                .iter()
                .all(|candidate| !candidate.reason.is_empty())
        );
    }
    for (path, _) in tree.nodes().take(8) {
        let path = scratch.path().join(path.join("/"));
        let _ = get_devid_for_blkio_cgroup_in(&root.sys.join("dev/block"), &path);
        let _ = is_host_empty_dir_in(&root, path.to_str().unwrap_or_default());
    }
});
