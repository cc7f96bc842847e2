//! Trees like `/proc`, `/sys` and `/dev`: lines of the input as [`Tree`] takes them, below a root.
//! Sections behind them: `=== devices`, `=== entries` and `=== rules` (lines) and `=== spec` (JSON),
//! InfiniBand devices and the specification that they are put into; `=== functions` (lines),
//! addresses of the container's own; `=== cpus`, a list; `=== ids` (lines), of sandboxes below `/run`.
//!
//! * NUMA: every CPU of a node is valid, and the topology and the map say the same as the single
//!   questions.
//! * Confidential computing: the report and the short answer agree.
//! * InfiniBand: what is there is one line of a log; devices are where the container expects them, and
//!   what becomes of a specification is what a slow model makes of it.
//! * Sandboxes are those of a slow model, all of them and the one that an identifier means.
//! * The whole disk below a file system is the one that a slow model finds.
//! * Other questions have an answer or an error.
#![no_main]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::sync::LazyLock;

use kata_libs_fuzz::sandboxes::{self, Meaning};
use kata_libs_fuzz::{Scratch, Tree, infiniband, lines, sections_of_bytes, titled};
use kata_sys_util::SysRoot;
use kata_sys_util::device::get_devid_for_blkio_cgroup_in;
use kata_sys_util::infiniband::{
    InfinibandDevice, InfinibandRoots, apply_infiniband_devices,
    expose_guest_infiniband_devices_for, expose_guest_infiniband_devices_in,
    list_infiniband_devices_in, snapshot_infiniband_in,
};
use kata_sys_util::k8s::is_host_empty_dir_in;
use kata_sys_util::numa::{
    NumaTopology, get_node_id_in, get_node_map_in, get_numa_nodes_in, is_valid_numa_cpu_in,
};
use kata_sys_util::pcilibs::normalize_bdf;
use kata_sys_util::protection::{
    Platform, SevCpuid, available_guest_protection_in, protection_report_in,
};
use kata_sys_util::validate::verify_id;
use kata_types::cpu::CpuSet;
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::Spec;
use shim_interface::{
    Sandbox, StorageError, StorageRoots, find_sandbox_in, list_sandboxes_in, mgmt_socket_addr_in,
};

fn check_numa(root: &SysRoot, list: &str) {
    if let Ok(nodes) = get_numa_nodes_in(root) {
        let cpus: Vec<u32> = nodes.keys().copied().collect();
        assert!(is_valid_numa_cpu_in(root, &cpus).expect("as above"));
    }
    let system = root.sys.join("devices/system");
    if let Ok(topology) = NumaTopology::read_from(&system.join("node"), &system.join("cpu")) {
        for node in topology.nodes() {
            let is_here = |cpu: &u32| topology.node_of(*cpu) == Some(node);
            assert!(topology.cpus_of(node).iter().all(is_here));
        }
    }

    let map = get_node_map_in(root, list);
    let Ok(cpus) = list.parse::<CpuSet>() else {
        return assert!(map.is_err());
    };
    let nodes = cpus.iter().map(|cpu| get_node_id_in(root, *cpu));
    let Ok(nodes) = nodes.collect::<Result<Vec<_>, _>>() else {
        return assert!(map.is_err());
    };
    let map = map.expect("every CPU has a node");
    assert_eq!(map.values().map(Vec::len).sum::<usize>(), nodes.len());
    for (cpu, node) in cpus.iter().zip(nodes) {
        assert!(map[&node].is_sorted() && map[&node].contains(cpu));
    }
}

/// What becomes of a specification, compared with the model; and once more, which changes nothing.
fn check_applied(devices: &[InfinibandDevice], spec: &Spec) {
    let expected = infiniband::applied(devices, spec);
    let mut changed = spec.clone();
    let result = apply_infiniband_devices(devices, &mut changed);
    assert_eq!(result.is_ok(), expected.is_some());
    assert_eq!(&changed, expected.as_ref().unwrap_or(spec));
    let _ = apply_infiniband_devices(devices, &mut changed);
    assert_eq!(&changed, expected.as_ref().unwrap_or(spec));
}

/// Whether the node is certainly one of the function.
fn is_of_function(roots: &InfinibandRoots, device: &InfinibandDevice, function: &str) -> bool {
    let number = device
        .name
        .trim_start_matches(|c: char| !c.is_ascii_digit());
    let class = match device.name.strip_suffix(number) {
        Some("uverbs") => roots.verbs_class_dir.clone(),
        Some("umad" | "issm") => roots.verbs_class_dir.with_file_name("infiniband_mad"),
        _ => return false,
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let target = fs::read_link(class.join(&device.name).join("device"));
    is_number && target.is_ok_and(|target| target.file_name() == Some(function.as_ref()))
}

fn check_infiniband(root: &SysRoot, spec: &Spec, functions: &[&str]) {
    let roots = InfinibandRoots::from(root);
    let line = snapshot_infiniband_in(&roots);
    assert!(line.starts_with("ib_devices=[") && line.ends_with(']'));
    assert!(!line.contains(char::is_control), "{line:?}");

    let mut exposed = spec.clone();
    let result = expose_guest_infiniband_devices_in(&roots, &mut exposed);
    let mut own = spec.clone();
    let own_result = expose_guest_infiniband_devices_for(&roots, &mut own, functions);
    let Ok(devices) = list_infiniband_devices_in(&roots) else {
        assert!(result.expect("as if there were none").is_empty());
        assert_eq!(exposed, *spec);
        match own_result {
            Ok(devices) => {
                assert!(devices.is_empty());
                let dir = &roots.container_dir;
                assert_eq!(own, infiniband::withheld(dir, &[], &[], spec.clone()));
            }
            Err(_) => assert_eq!(own, *spec),
        }
        return;
    };
    for device in &devices {
        let node = roots.dev_dir.join(device.path.file_name().expect("a name"));
        let metadata = fs::symlink_metadata(&node).expect("it is there");
        assert!(metadata.file_type().is_char_device());
        assert_eq!(device.path.parent(), Some(&*roots.container_dir));
    }
    check_applied(&devices, spec);
    match infiniband::applied(&devices, spec) {
        Some(expected) => {
            assert_eq!(result.expect("it has a part for Linux"), devices);
            assert_eq!(exposed, expected);
        }
        None => assert!(result.is_err() && exposed == *spec),
    }

    let addresses: Option<Vec<_>> = functions.iter().map(|text| normalize_bdf(text)).collect();
    let Ok(own_devices) = own_result else {
        assert!(addresses.is_none() || spec.linux().is_none());
        return assert_eq!(own, *spec);
    };
    let addresses = addresses.expect("others are refused");
    assert!(own_devices.iter().all(|device| devices.contains(device)));
    let others = devices
        .iter()
        .filter(|device| !own_devices.contains(device));
    let others: Vec<_> = others.cloned().collect();
    let applied = infiniband::applied(&own_devices, spec).expect("it was done");
    let dir = &roots.container_dir;
    assert_eq!(
        own,
        infiniband::withheld(dir, &others, &own_devices, applied)
    );
    let is_own = |device: &&InfinibandDevice| {
        let mut addresses = addresses.iter();
        addresses.any(|address| is_of_function(&roots, device, address))
    };
    let certain: Vec<_> = devices.iter().filter(is_own).collect();
    assert!(certain.iter().all(|device| own_devices.contains(device)));
    let is_common = |device: &&InfinibandDevice| device.name == "rdma_cm";
    if !certain.is_empty() {
        assert!(
            devices
                .iter()
                .filter(is_common)
                .all(|d| own_devices.contains(d))
        );
    }
    assert!(!addresses.is_empty() || own_devices.is_empty());
}

fn numbers(device: u64) -> (u64, u64) {
    (libc::major(device).into(), libc::minor(device).into())
}

/// A directory of this machine whose file system is on a device, with the number of that.
static ON_DISK: LazyLock<Option<(&Path, (u64, u64))>> = LazyLock::new(|| {
    let mut candidates = ["/", "/usr", "/var", "/home", "/etc/hosts", "/boot"].into_iter();
    candidates.find_map(|path| {
        let numbers = numbers(fs::metadata(path).ok()?.dev());
        (numbers.0 > 0).then_some((Path::new(path), numbers))
    })
});

/// The disk that a link of `/sys/dev/block` leads to, or is a part of: `None` is an error.
fn disk(link: &Path) -> Option<Option<(u64, u64)>> {
    let directory = match fs::canonicalize(link) {
        Err(error) => return (error.kind() == ErrorKind::NotFound).then_some(None),
        Ok(directory) => directory,
    };
    let mut whole = directory.ancestors();
    let whole = whole.find(|directory| !directory.join("partition").is_file())?;
    let text = String::from_utf8(fs::read(whole.join("dev")).ok()?).ok()?;
    let fields: Vec<_> = text.trim().splitn(2, ':').map(str::parse).collect();
    match &*fields {
        [Ok(major), Ok(minor)] => Some(Some((*major, *minor))),
        _ => None,
    }
}

/// What the tree says of the device 8:1 is said of the one that is there.
fn check_disk(root: &SysRoot) {
    let Some((path, (major, minor))) = *ON_DISK else {
        return;
    };
    let directory = root.sys.join("dev/block");
    let link = directory.join(format!("{major}:{minor}"));
    if directory.is_dir() && fs::symlink_metadata(&link).is_err() {
        symlink("8:1", &link).expect("a new link");
    }
    let found = get_devid_for_blkio_cgroup_in(&directory, path);
    assert_eq!(found.ok(), disk(&link));
}

fn check_sandboxes(roots: &StorageRoots, ids: &[String]) {
    let place = |sandbox: &Sandbox| (sandbox.id().to_owned(), sandbox.layout());
    if let Some(expected) = sandboxes::list(roots) {
        let all = list_sandboxes_in(roots).expect("directories, if they are there");
        assert!(all.iter().map(place).eq(expected));
        for sandbox in all {
            let directory = sandbox.socket_path().parent().expect("its own");
            assert!(directory.is_dir() && directory.ends_with(sandbox.id()));
        }
    }
    for id in ids.iter().take(4) {
        let found = find_sandbox_in(roots, id);
        let _ = mgmt_socket_addr_in(&roots.go, id);
        if verify_id(id).is_err() {
            assert!(found.is_err());
            continue;
        }
        match (sandboxes::find(roots, id), found) {
            (None, _) => {}
            (Some(Meaning::One(one)), Ok(sandbox)) => assert_eq!(place(&sandbox), one),
            (Some(Meaning::None), Err(StorageError::NotFound { prefix, .. })) => {
                assert_eq!(prefix, *id);
            }
            (Some(Meaning::Several(all)), Err(StorageError::Ambiguous { matches, .. })) => {
                assert!(matches.sandboxes().iter().map(place).eq(all));
            }
            (expected, found) => panic!("{found:?}, expected {expected:?}"),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let sections = sections_of_bytes(data);
    let section = |wanted: &str| titled(&sections, wanted);
    let text = |wanted: &str| String::from_utf8_lossy(section(wanted));
    let tree = Tree::parse(sections[0].1);
    let scratch = Scratch::new();
    let root = SysRoot::under(scratch.path());
    tree.build(scratch.path());

    check_numa(&root, text("cpus").trim_end());
    let base = serde_json::from_slice(section("spec")).ok();
    let spec = infiniband::spec(base, &text("entries"), &text("rules"));
    let functions = lines(&text("functions"));
    let functions: Vec<_> = functions.iter().map(String::as_str).collect();
    check_applied(&infiniband::devices(&text("devices")), &spec);
    check_infiniband(&root, &spec, &functions);

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
    check_sandboxes(&StorageRoots::under(scratch.path()), &lines(&text("ids")));
    // Last, for it adds to the tree.
    check_disk(&root);
});
