//! Memory that OCI specifications of many small items take, and what works on them.
//!
//! A vector that has just grown has room for twice its items, and a hash table the same: so the
//! numbers are just above powers of two, and above the load of a hash table (7/8).

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;
use std::path::Path;

use kata_sys_util::SysRoot;
use kata_sys_util::infiniband::{InfinibandDevice, apply_infiniband_devices};
use kata_sys_util::k8s::update_ephemeral_storage_type_in;
use kata_sys_util::oci_docker::{docker_netns_path_in, is_docker_container};
use kata_sys_util::spec::{load_oci_spec_in, shim_id_info_of};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, Spec};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const CONSTANT: usize = 128 << 10;

/// How many times its size a specification takes that consists of the smallest items: `oci-spec`
/// keeps each in a structure of up to 168 bytes, and an empty one has three bytes of JSON.
const MOST: usize = 128;

/// The same for lists of texts, and for annotations.
const MOST_OF_TEXTS: usize = 24;

const COUNTS: [usize; 3] = [7 * (1 << 7) + 1, (1 << 10) + 1, (1 << 15) + 1];

/// The beginning of a specification up to a list, an item of it, and the end. The smallest item of
/// each type of the lists and maps there are; `@` is a number.
const LISTS: &[(&str, &str, &str)] = &[
    // Texts
    (
        r#""process":{"user":{"uid":0,"gid":0},"cwd":"","args":["#,
        r#""""#,
        "]}",
    ),
    (
        r#""process":{"user":{"uid":0,"gid":0},"cwd":"","env":["#,
        r#""""#,
        "]}",
    ),
    (r#""linux":{"maskedPaths":["#, r#""""#, "]}"),
    (r#""mounts":[{"destination":"","options":["#, r#""""#, "]}]"),
    (
        r#""vm":{"kernel":{"path":"","parameters":["#,
        r#""""#,
        "]}}",
    ),
    (r#""windows":{"layerFolders":["#, r#""""#, "]}"),
    (
        r#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"action":"SCMP_ACT_LOG","names":["#,
        r#""""#,
        "]}]}}",
    ),
    // Numbers and names
    (
        r#""process":{"cwd":"","user":{"uid":0,"gid":0,"additionalGids":["#,
        "0",
        "]}}",
    ),
    (
        r#""process":{"user":{"uid":0,"gid":0},"cwd":"","rlimits":["#,
        r#"{"type":"RLIMIT_AS"}"#,
        "]}",
    ),
    (
        r#""process":{"user":{"uid":0,"gid":0},"cwd":"","capabilities":{"bounding":["#,
        r#""CAP_KILL""#,
        "]}}",
    ),
    // Structures
    (r#""mounts":["#, r#"{"destination":""}"#, "]"),
    (r#""hooks":{"prestart":["#, r#"{"path":""}"#, "]}"),
    (r#""linux":{"uidMappings":["#, "{}", "]}"),
    (r#""linux":{"devices":["#, r#"{"type":"c"}"#, "]}"),
    (r#""linux":{"namespaces":["#, r#"{"type":"ipc"}"#, "]}"),
    (r#""linux":{"resources":{"devices":["#, "{}", "]}}"),
    (r#""linux":{"resources":{"hugepageLimits":["#, "{}", "]}}"),
    (
        r#""linux":{"resources":{"blockIO":{"weightDevice":["#,
        "{}",
        "]}}}",
    ),
    (
        r#""linux":{"resources":{"blockIO":{"throttleReadBpsDevice":["#,
        "{}",
        "]}}}",
    ),
    (
        r#""linux":{"resources":{"network":{"priorities":["#,
        "{}",
        "]}}}",
    ),
    (
        r#""linux":{"seccomp":{"defaultAction":"SCMP_ACT_LOG","syscalls":["#,
        r#"{"names":[],"action":"SCMP_ACT_LOG"}"#,
        "]}}",
    ),
    (r#""solaris":{"anet":["#, "{}", "]}"),
    (
        r#""windows":{"devices":["#,
        r#"{"id":"","idType":""}"#,
        "]}",
    ),
    // Maps
    (r#""annotations":{"#, r#""@":"""#, "}"),
    (r#""linux":{"sysctl":{"#, r#""@":"""#, "}}"),
    (r#""linux":{"netDevices":{"#, r#""@":{}"#, "}}"),
    (r#""linux":{"timeOffsets":{"#, r#""@":{}"#, "}}"),
    (r#""linux":{"resources":{"rdma":{"#, r#""@":{}"#, "}}}"),
    (r#""linux":{"resources":{"unified":{"#, r#""@":"""#, "}}}"),
    (r#""windows":{"credentialSpec":{"#, r#""@":[]"#, "}}"),
    (
        r#""windows":{"layerFolders":[],"credentialSpec":{"":["#,
        "0",
        "]}}",
    ),
];

/// A specification with so many items.
fn specification((start, item, end): (&str, &str, &str), count: usize) -> String {
    let item = |n: usize| item.replace('@', &format!("{n:x}"));
    let items: Vec<String> = (0..count).map(item).collect();
    format!(
        r#"{{"ociVersion":"1.0.0",{start}{}{end}}}"#,
        items.join(",")
    )
}

#[test]
fn specification_of_the_smallest_items_takes_at_most_128_times_its_size() {
    let bundle = tempfile::tempdir().unwrap();
    let mut worst = (0, "");
    for list in LISTS {
        for count in COUNTS {
            let json = specification(*list, count);
            fs::write(bundle.path().join("config.json"), &json).unwrap();
            let (spec, allocated) = allocated_by(|| load_oci_spec_in(bundle.path()));
            spec.unwrap();
            let factor = allocated.peak / json.len();
            assert!(factor <= MOST, "{list:?}: {allocated:?} for {}", json.len());
            if list.1 == r#""""# || list.0.starts_with(r#""annotations"#) {
                assert!(factor <= MOST_OF_TEXTS, "{list:?}: {factor}");
            }
            worst = worst.max((factor, list.0));
        }
    }
    println!("{worst:?}");
    // What the documentation tells is not far from the truth.
    assert!(worst.0 > MOST / 2, "{worst:?}");
}

/// Ordinary items have more bytes than their structure.
#[test]
fn specification_of_usual_items_takes_at_most_eight_times_its_size() {
    let bundle = tempfile::tempdir().unwrap();
    for (start, item, end) in [
        (
            r#""mounts":["#,
            r#"{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec"]}"#,
            "]",
        ),
        (
            r#""process":{"user":{"uid":0,"gid":0},"cwd":"/","env":["#,
            r#""KUBERNETES_SERVICE_PORT=443""#,
            "]}",
        ),
        (
            r#""annotations":{"#,
            r#""io.kubernetes.cri.sandbox-@":"0123456789abcdef0123456789abcdef""#,
            "}",
        ),
        (
            r#""linux":{"resources":{"devices":["#,
            r#"{"allow":true,"type":"c","major":10,"minor":200,"access":"rwm"}"#,
            "]}}",
        ),
    ] {
        for count in COUNTS {
            let json = specification((start, item, end), count);
            fs::write(bundle.path().join("config.json"), &json).unwrap();
            let (spec, allocated) = allocated_by(|| load_oci_spec_in(bundle.path()));
            spec.unwrap();
            let limit = 8 * json.len() + CONSTANT;
            assert!(allocated.peak <= limit, "{item}: {allocated:?}");
        }
    }
}

/// An error of `serde` quotes a text that stands where something else belongs, whole.
#[test]
fn text_of_the_wrong_type_takes_at_most_24_times_its_size() {
    let bundle = tempfile::tempdir().unwrap();
    // Quoted, each has six bytes; and a buffer of them has just been doubled.
    let long = "\u{7f}".repeat((1 << 22) / 6 + 1);
    for member in ["mounts", "process", "annotations", "linux"] {
        let json = format!(r#"{{"ociVersion":"1.0.0","{member}":"{long}"}}"#);
        fs::write(bundle.path().join("config.json"), &json).unwrap();
        let (spec, allocated) = allocated_by(|| load_oci_spec_in(bundle.path()).is_ok());
        assert!(!spec, "{member}");
        let limit = MOST_OF_TEXTS * json.len() + CONSTANT;
        assert!(allocated.peak <= limit, "{member}: {allocated:?}");
    }
}

fn parse(json: &str) -> Spec {
    serde_json::from_str(json).unwrap()
}

#[test]
fn hooks_of_docker_take_a_constant() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = "z".repeat(64);
    let long = "f".repeat(64 << 20);
    for (start, item, end) in [
        (r#""hooks":{"prestart":["#, r#"{"path":""}"#, "]}"),
        (
            r#""hooks":{"createRuntime":["#,
            r#"{"path":"","args":["libnetwork-setkey","@"]}"#,
            "]}",
        ),
        (
            r#""hooks":{"prestart":[{"path":"","args":["#,
            r#""libnetwork-setkey""#,
            "]}]}",
        ),
        (
            r#""hooks":{"prestart":[{"path":"","args":["libnetwork-setkey","#,
            r#""-""#,
            "]}]}",
        ),
        (
            r#""hooks":{"prestart":[{"path":"","args":["#,
            &format!(r#""libnetwork-setkey","{}""#, "0".repeat(64)),
            "]}]}",
        ),
        (
            r#""hooks":{"prestart":[{"path":"","args":["#,
            &format!(r#""libnetwork-setkey","{wrong}""#),
            "]}]}",
        ),
    ] {
        let spec = parse(&specification((start, item, end), (1 << 12) + 1));
        let (found, allocated) =
            allocated_by(|| docker_netns_path_in(&spec, &[dir.path(), Path::new("/nowhere")]));
        assert_eq!(found, None, "{item}");
        assert!(allocated.peak <= CONSTANT, "{item}: {allocated:?}");
        let (_, allocated) = allocated_by(|| is_docker_container(&spec));
        assert!(allocated.peak <= CONSTANT, "{item}: {allocated:?}");
    }
    let json = format!(
        r#"{{"ociVersion":"1","hooks":{{"prestart":[{{"path":"","args":["libnetwork-setkey","{long}"]}}]}}}}"#
    );
    let spec = parse(&json);
    let (found, allocated) = allocated_by(|| docker_netns_path_in(&spec, &[dir.path()]));
    assert_eq!(found, None);
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
}

#[test]
fn identity_of_a_shim_takes_no_more_than_its_annotation() {
    let long = "x".repeat(64 << 20);
    for (kind, id) in [("container", long.as_str()), (long.as_str(), "")] {
        let spec = parse(&format!(
            r#"{{"ociVersion":"1","annotations":{{"io.kubernetes.cri.container-type":"{kind}","io.kubernetes.cri.sandbox-id":"{id}"}}}}"#
        ));
        let (_, allocated) = allocated_by(|| shim_id_info_of(&spec).is_ok());
        assert!(allocated.peak <= long.len() + CONSTANT, "{allocated:?}");
    }
}

fn infiniband(number: usize) -> InfinibandDevice {
    InfinibandDevice {
        name: format!("uverbs{number}"),
        path: format!("/dev/infiniband/uverbs{number}").into(),
        major: 231,
        minor: number as i64,
        mode: 0o666,
        uid: 0,
        gid: 0,
    }
}

/// Beside the entries and rules that it adds, and the lists they are in.
#[test]
fn infiniband_devices_take_no_more_than_the_specification() {
    // The lists are full.
    const COUNT: usize = 1 << 14;
    let entry = size_of::<LinuxDevice>() + size_of::<LinuxDeviceCgroup>() + 64;
    for (what, start, item, end) in [
        ("rules", r#""linux":{"resources":{"devices":["#, "{}", "]}}"),
        (
            "rules of devices",
            r#""linux":{"resources":{"devices":["#,
            r#"{"allow":true,"type":"c","major":0,"minor":0}"#,
            "]}}",
        ),
        (
            "entries",
            r#""linux":{"devices":["#,
            r#"{"type":"c","path":"/@"}"#,
            "]}",
        ),
        (
            "entries of the same path",
            r#""linux":{"devices":["#,
            r#"{"type":"c","path":"/dev/infiniband/uverbs0","major":1}"#,
            "]}",
        ),
    ] {
        for devices in [1, COUNT] {
            let mut spec = parse(&specification((start, item, end), COUNT));
            let devices: Vec<_> = (0..devices).map(infiniband).collect();
            let (applied, allocated) =
                allocated_by(|| apply_infiniband_devices(&devices, &mut spec));
            applied.unwrap();
            let limit = entry * (COUNT + 4 * devices.len()) + CONSTANT;
            println!("{what}, {}: {allocated:?} of {limit}", devices.len());
            assert!(allocated.peak <= limit, "{what}: {allocated:?}");
        }
    }
}

/// The mount table is in memory once, for all mounts of a container.
#[test]
fn mounts_of_a_pod_take_at_most_eight_times_the_mount_table() {
    const SOURCE: &str = "/pods/1/volumes/kubernetes.io~empty-dir/v";
    let dir = tempfile::tempdir().unwrap();
    let root = SysRoot::under(dir.path());
    fs::create_dir(&root.proc).unwrap();
    let item = format!(r#"{{"destination":"","type":"bind","source":"{SOURCE}"}}"#);
    for (what, line, count) in [
        ("lines", "tmpfs /a tmpfs rw 0 0\n", (1 << 21) + 1),
        ("shortest lines", "\n", (1 << 20) + 1),
        ("escapes", "\\040", (1 << 20) + 1),
        ("fields", "x ", (1 << 20) + 1),
    ] {
        let table = line.repeat(count);
        fs::write(root.proc.join("mounts"), &table).unwrap();
        let mut spec = parse(&specification((r#""mounts":["#, &item, "]"), 3));
        let (_, allocated) =
            allocated_by(|| update_ephemeral_storage_type_in(&root, &mut spec, false, ""));
        assert!(
            allocated.peak <= 8 * table.len() + CONSTANT,
            "{what}: {allocated:?}"
        );
    }
}
