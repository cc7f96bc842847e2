//! InfiniBand device nodes in trees like those of the kernel, and OCI specs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod tree;

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use kata_sys_util::infiniband::{
    InfinibandDevice, InfinibandRoots, expose_guest_infiniband_devices_for,
    expose_guest_infiniband_devices_in, list_infiniband_devices_in, snapshot_infiniband_in,
};
use oci_spec::runtime::{
    Linux, LinuxBuilder, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxResourcesBuilder, Spec,
};
use slog::{Drain, KV, Level, Logger, OwnedKVList, Record, Serializer};
use tempfile::TempDir;
use test_utils::skip_if_no_cap;
use tree::make;

const EMPTY: &str = "ib_devices=[] uverbs=[] chardevs=[]";

fn roots() -> (TempDir, InfinibandRoots) {
    let dir = tempfile::tempdir().unwrap();
    let roots = InfinibandRoots::under(dir.path());
    (dir, roots)
}

/// Makes a device node. Whoever may not make any may still make the character device 0:0.
fn node(path: &Path, kind: libc::mode_t, major: u32, minor: u32) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap())?;
    let text = CString::new(path.as_os_str().as_bytes())?;
    let device = libc::makedev(major, minor);
    // SAFETY: the path ends in NUL.
    match unsafe { libc::mknod(text.as_ptr(), kind | 0o600, device) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn char_device(path: &Path, major: u32, minor: u32) {
    node(path, libc::S_IFCHR, major, minor).unwrap();
}

fn names(devices: &[InfinibandDevice]) -> Vec<&str> {
    devices.iter().map(|device| &*device.name).collect()
}

fn spec() -> Spec {
    let mut spec = Spec::default();
    spec.set_linux(Some(Linux::default()));
    spec
}

/// Names and numbers of the device nodes in a spec.
fn entries(spec: &Spec) -> Vec<(PathBuf, LinuxDeviceType, i64, i64)> {
    let devices = spec.linux().as_ref().unwrap().devices();
    let devices = devices.iter().flatten();
    devices
        .map(|d| (d.path().clone(), d.typ(), d.major(), d.minor()))
        .collect()
}

/// A logger that keeps messages with their keys.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Line>>>);

#[derive(Clone, Debug, PartialEq)]
struct Line {
    level: Level,
    message: String,
    values: BTreeMap<String, String>,
}

impl Drain for Log {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let mut values = Values::default();
        record.kv().serialize(record, &mut values).unwrap();
        self.0.lock().unwrap().push(Line {
            level: record.level(),
            message: record.msg().to_string(),
            values: values.0,
        });
        Ok(())
    }
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl Serializer for Values {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

fn lines_of(f: impl FnOnce()) -> Vec<Line> {
    let log = Log::default();
    slog_scope::scope(&Logger::root(log.clone(), slog::o!()), f);
    let lines = log.0.lock().unwrap();
    lines.clone()
}

fn line(level: Level, message: String, values: &[(&str, &str)]) -> Line {
    let values = values
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Line {
        level,
        message,
        values: values.collect(),
    }
}

#[test]
fn missing_directory_has_no_devices_and_others_are_errors() {
    let (dir, mut roots) = roots();
    assert_eq!(list_infiniband_devices_in(&roots).unwrap(), []);
    make(dir.path(), &[("dev/infiniband", "a file")]);
    let error = list_infiniband_devices_in(&roots).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(error.to_string().contains("/dev/infiniband: "), "{error}");
    // The link leads nowhere, so there is nothing.
    symlink("nowhere", dir.path().join("link")).unwrap();
    roots.dev_dir = dir.path().join("link");
    assert_eq!(list_infiniband_devices_in(&roots).unwrap(), []);
}

#[test]
fn devices_of_a_real_directory_are_its_character_devices() {
    let roots = InfinibandRoots {
        dev_dir: "/dev".into(),
        ..InfinibandRoots::default()
    };
    let devices = list_infiniband_devices_in(&roots).unwrap();
    assert!(devices.is_sorted_by_key(|device| &device.name));
    let null = devices.iter().find(|device| device.name == "null").unwrap();
    let metadata = fs::metadata("/dev/null").unwrap();
    let expected = InfinibandDevice {
        name: "null".to_owned(),
        path: "/dev/infiniband/null".into(),
        major: 1,
        minor: 3,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    };
    assert_eq!(*null, expected);
    for device in &devices {
        let file_type = fs::symlink_metadata(Path::new("/dev").join(&device.name));
        assert!(
            file_type.unwrap().file_type().is_char_device(),
            "{device:?}"
        );
    }
}

#[test]
fn links_directories_and_files_are_no_devices() {
    let (dir, roots) = roots();
    make(
        dir.path(),
        &[
            ("dev/infiniband/uverbs0", "a file"),
            ("dev/infiniband/by-ibdev/", ""),
            ("dev/infiniband/by-path/uverbs1", "-> /dev/null"),
            // Exposes the numbers of another device if it is followed (D-17).
            ("dev/infiniband/uverbs1", "-> /dev/null"),
        ],
    );
    assert_eq!(list_infiniband_devices_in(&roots).unwrap(), []);
    char_device(&roots.dev_dir.join("umad0"), 0, 0);
    let devices = list_infiniband_devices_in(&roots).unwrap();
    assert_eq!(names(&devices), ["umad0"]);
    assert_eq!(devices[0].mode, 0o600);
}

#[test]
fn name_that_is_no_text_is_exact_in_the_path() {
    let (_dir, roots) = roots();
    let name = OsStr::from_bytes(b"uverbs\xff");
    char_device(&roots.dev_dir.join(name), 0, 0);
    let devices = list_infiniband_devices_in(&roots).unwrap();
    assert_eq!(devices[0].name, "uverbs\u{fffd}");
    assert_eq!(devices[0].path, Path::new("/dev/infiniband").join(name));
}

#[test]
fn devices_are_exposed_with_the_numbers_of_the_guest_and_sorted() {
    skip_if_no_cap!(CAP_MKNOD);
    let (_dir, roots) = roots();
    for (name, kind, major, minor) in [
        ("uverbs1", libc::S_IFCHR, 231, 193),
        ("rdma_cm", libc::S_IFCHR, 10, 58),
        ("uverbs0", libc::S_IFCHR, 231, 192),
        ("disk", libc::S_IFBLK, 231, 192),
    ] {
        node(&roots.dev_dir.join(name), kind, major, minor).unwrap();
    }
    let mut spec = spec();
    let mut exposed = Vec::new();
    let log = lines_of(|| {
        exposed = expose_guest_infiniband_devices_in(&roots, &mut spec).unwrap();
    });
    assert_eq!(names(&exposed), ["rdma_cm", "uverbs0", "uverbs1"]);
    let path = |name| Path::new("/dev/infiniband").join(name);
    let character = LinuxDeviceType::C;
    let expected = [
        (path("rdma_cm"), character, 10, 58),
        (path("uverbs0"), character, 231, 192),
        (path("uverbs1"), character, 231, 193),
    ];
    assert_eq!(entries(&spec), expected);
    let resources = spec.linux().as_ref().unwrap().resources().as_ref();
    let rules = resources.unwrap().devices().as_ref().unwrap();
    let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["c 10:58 rwm", "c 231:192 rwm", "c 231:193 rwm"]);

    let message = "expose_guest_infiniband_devices: injected 3 guest IB char device(s)";
    let described = "rdma_cm(10:58,mode=0o600),uverbs0(231:192,mode=0o600),\
        uverbs1(231:193,mode=0o600)";
    let snapshot = "ib_devices=[] uverbs=[] chardevs=[disk=[block,231:192], \
        rdma_cm=[char,10:58], uverbs0=[char,231:192], uverbs1=[char,231:193]]";
    let values = [("exposed", described), ("snapshot", snapshot)];
    assert_eq!(log, [line(Level::Info, message.to_owned(), &values)]);

    // Once more changes nothing.
    let once = spec.clone();
    expose_guest_infiniband_devices_in(&roots, &mut spec).unwrap();
    assert_eq!(spec, once);
}

#[test]
fn without_devices_the_spec_stays_and_the_log_says_why() {
    let (dir, roots) = roots();
    let path = roots.dev_dir.display();
    // Without `linux`, which only devices need.
    let mut spec = Spec::default();
    spec.set_linux(None);
    let before = spec.clone();
    let mut expose = || {
        let log = lines_of(|| {
            let exposed = expose_guest_infiniband_devices_in(&roots, &mut spec).unwrap();
            assert_eq!(exposed, []);
        });
        assert_eq!(spec, before);
        log
    };
    let missing = format!(
        "expose_guest_infiniband_devices: {path} does not exist, skipping \
         (no IB driver in guest, or VF not yet rebound)"
    );
    let snapshot = [("snapshot", EMPTY)];
    assert_eq!(expose(), [line(Level::Info, missing, &snapshot)]);

    make(dir.path(), &[("dev/infiniband/by-path/", "")]);
    let empty = format!("expose_guest_infiniband_devices: {path} is empty, skipping");
    let snapshot = "ib_devices=[] uverbs=[] chardevs=[by-path=[other,0:0]]";
    let snapshot = [("snapshot", snapshot)];
    assert_eq!(expose(), [line(Level::Info, empty, &snapshot)]);

    fs::remove_dir_all(&roots.dev_dir).unwrap();
    make(dir.path(), &[("dev/infiniband", "a file")]);
    let log = expose();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].level, Level::Warning);
    assert!(log[0].message.contains("/dev/infiniband: "), "{log:?}");
    assert_eq!(log[0].values["snapshot"], EMPTY);
}

#[test]
fn devices_need_a_spec_with_linux() {
    let (_dir, roots) = roots();
    char_device(&roots.dev_dir.join("uverbs0"), 0, 0);
    let mut spec = Spec::default();
    spec.set_linux(None);
    let before = spec.clone();
    let error = expose_guest_infiniband_devices_in(&roots, &mut spec).unwrap_err();
    assert_eq!(error.to_string(), "Spec didn't contain linux field");
    assert_eq!(spec, before);
}

/// Two functions with all nodes, software RDMA, and the connection manager.
fn two_functions() -> (TempDir, InfinibandRoots) {
    let (dir, roots) = roots();
    for name in [
        "uverbs0", "uverbs1", "uverbs2", "umad0", "umad1", "issm0", "issm1", "rdma_cm", "other",
    ] {
        char_device(&roots.dev_dir.join(name), 0, 0);
    }
    let (first, second) = ("-> ../../../0000:3b:00.2", "-> ../../../0000:3b:00.3");
    make(
        &dir.path().join("sys/class"),
        &[
            ("infiniband_verbs/uverbs0/device", first),
            ("infiniband_verbs/uverbs1/device", second),
            ("infiniband_verbs/uverbs2/ibdev", "rxe0"),
            ("infiniband_mad/umad0/device", second),
            ("infiniband_mad/issm0/device", second),
            ("infiniband_mad/umad1/device", first),
            ("infiniband_mad/issm1/device", first),
        ],
    );
    (dir, roots)
}

#[test]
fn container_gets_the_nodes_of_its_own_functions_only() {
    let (_dir, roots) = two_functions();
    for (bdfs, expected) in [
        (
            &["0000:3b:00.2"][..],
            &["issm1", "rdma_cm", "umad1", "uverbs0"][..],
        ),
        (&["3B:0.3"], &["issm0", "rdma_cm", "umad0", "uverbs1"]),
        (
            &["3b:00.2", "3b:00.3", "00:00.0"],
            &[
                "issm0", "issm1", "rdma_cm", "umad0", "umad1", "uverbs0", "uverbs1",
            ],
        ),
        // Nobody's connection manager is of use without a device.
        (&["0000:3b:00.4"], &[]),
        (&[], &[]),
    ] {
        let mut spec = spec();
        let exposed = expose_guest_infiniband_devices_for(&roots, &mut spec, bdfs).unwrap();
        assert_eq!(names(&exposed), expected, "{bdfs:?}");
        let paths: Vec<_> = entries(&spec).into_iter().map(|entry| entry.0).collect();
        let expected = expected
            .iter()
            .map(|n| Path::new("/dev/infiniband").join(n));
        assert_eq!(paths, expected.collect::<Vec<_>>());
    }
}

/// Entry and rule of a device plugin on a host with the same functions: its numbers are those of
/// another container's node.
#[test]
fn container_loses_the_nodes_of_functions_that_are_not_its_own() {
    skip_if_no_cap!(CAP_MKNOD);
    let (dir, roots) = roots();
    let class = dir.path().join("sys/class/infiniband_verbs");
    for (name, minor) in [("uverbs0", 192), ("uverbs1", 193)] {
        char_device(&roots.dev_dir.join(name), 231, minor);
    }
    make(
        &class,
        &[
            ("uverbs0/device", "-> ../../../0000:3b:00.2"),
            ("uverbs1/device", "-> ../../../0000:3b:00.3"),
        ],
    );
    // By its path, by its numbers elsewhere, by its path with numbers of the host, and one that the
    // guest does not have.
    let other = "/dev/infiniband/uverbs1";
    let none = "/dev/infiniband/uverbs2";
    for (path, minor) in [(other, 193), ("/dev/mine", 193), (other, 200), (none, 194)] {
        let unrelated = entry("/dev/unrelated", 7);
        let entries = vec![entry(path, minor), unrelated.clone()];
        let before = with(entries, vec![rule(minor), rule(7)]);

        let mut spec = before.clone();
        let exposed = expose_guest_infiniband_devices_for(&roots, &mut spec, &["3b:00.2"]).unwrap();
        assert_eq!(names(&exposed), ["uverbs0"]);
        let own = vec![unrelated.clone(), entry("/dev/infiniband/uverbs0", 192)];
        assert_eq!(without_owners(spec), with(own, vec![rule(7), rule(192)]));

        let mut spec = before;
        let exposed = expose_guest_infiniband_devices_for(&roots, &mut spec, &["3b:00.4"]).unwrap();
        assert_eq!(exposed, []);
        assert_eq!(spec, with(vec![unrelated], vec![rule(7)]));
    }
}

/// The numbers of a node that comes later may be those of the host.
#[test]
fn container_loses_what_the_guest_does_not_have() {
    let (dir, roots) = roots();
    let (unrelated, elsewhere) = (entry("/dev/unrelated", 7), entry("/dev/infiniband2", 8));
    let nodes = [("uverbs1", 193), ("by-path/a", 194), ("rdma_cm", 195)];
    let mut entries = vec![unrelated.clone()];
    entries.extend(nodes.map(|(name, minor)| entry(&format!("/dev/infiniband/{name}"), minor)));
    entries.push(elsewhere.clone());
    let rules = [7, 193, 194, 195, 8, 196].map(rule).to_vec();
    let before = with(entries, rules);
    let kept = with(vec![unrelated, elsewhere], [7, 8, 196].map(rule).to_vec());
    let expose = || {
        let (mut all, mut own) = (before.clone(), before.clone());
        let devices = expose_guest_infiniband_devices_in(&roots, &mut all).unwrap();
        assert_eq!(devices, []);
        assert_eq!(all, before);
        let bdfs = &["3b:00.2"];
        let devices = expose_guest_infiniband_devices_for(&roots, &mut own, bdfs).unwrap();
        assert_eq!(devices, []);
        assert_eq!(own, kept);
    };
    expose(); // no directory
    make(dir.path(), &[("dev/infiniband/by-path/", "")]);
    expose(); // no nodes
    fs::remove_dir_all(&roots.dev_dir).unwrap();
    make(dir.path(), &[("dev/infiniband", "a file")]);
    expose(); // not to be read
}

fn entry(path: &str, minor: i64) -> LinuxDevice {
    let entry = LinuxDeviceBuilder::default().path(path);
    let entry = entry.typ(LinuxDeviceType::C).major(231).minor(minor);
    entry.build().unwrap()
}

fn rule(minor: i64) -> LinuxDeviceCgroup {
    let rule = LinuxDeviceCgroupBuilder::default().allow(true);
    let rule = rule.typ(LinuxDeviceType::C).major(231).minor(minor);
    rule.access("rwm").build().unwrap()
}

fn with(entries: Vec<LinuxDevice>, rules: Vec<LinuxDeviceCgroup>) -> Spec {
    let resources = LinuxResourcesBuilder::default().devices(rules).build();
    let linux = LinuxBuilder::default().devices(entries);
    let mut spec = spec();
    spec.set_linux(Some(linux.resources(resources.unwrap()).build().unwrap()));
    spec
}

/// The mode and the owner are those of the node, which depend on who makes it.
fn without_owners(mut spec: Spec) -> Spec {
    let devices = spec.linux_mut().as_mut().unwrap().devices_mut();
    for device in devices.iter_mut().flatten() {
        device.set_file_mode(None).set_uid(None).set_gid(None);
    }
    spec
}

#[test]
fn functions_of_a_container_are_addresses() {
    let (_dir, roots) = two_functions();
    for bdf in ["", "*", "0000:3b:00", "../0000:3b:00.2"] {
        let mut spec = spec();
        let before = spec.clone();
        let bdfs = ["0000:3b:00.2", bdf];
        let error = expose_guest_infiniband_devices_for(&roots, &mut spec, &bdfs).unwrap_err();
        assert!(error.to_string().contains(&format!("{bdf:?}")), "{error}");
        assert_eq!(spec, before);
    }
}

#[test]
fn snapshot_has_all_lists_sorted() {
    let (dir, roots) = roots();
    assert_eq!(snapshot_infiniband_in(&roots), EMPTY);
    make(
        dir.path(),
        &[
            (
                "sys/class/infiniband/mlx5_1/device",
                "-> ../../../0000:3b:00.1",
            ),
            ("sys/class/infiniband/mlx5_1/node_type", "1: CA\n"),
            ("sys/class/infiniband/mlx5_1/fw_ver", " 20.31.1014 \n"),
            ("sys/class/infiniband/mlx5_0/device", "-> .."),
            ("sys/class/infiniband/mlx5_0/node_type", "a \"quote\"\n"),
            ("sys/class/infiniband/rxe0/node_type/", ""),
            ("sys/class/infiniband_verbs/uverbs1/ibdev", "mlx5_1\n"),
            ("sys/class/infiniband_verbs/uverbs1/dev", "231:193\n"),
            ("sys/class/infiniband_verbs/uverbs0/", ""),
            ("sys/class/infiniband_verbs/abi_version", "6\n"),
            ("dev/infiniband/by-path/", ""),
            ("dev/infiniband/a-link", "-> /dev/null"),
        ],
    );
    char_device(&roots.dev_dir.join("uverbs0"), 0, 0);
    let expected = "ib_devices=[\
        mlx5_0=[bdf=<none>,node_type=\"a \\\"quote\\\"\",fw=], \
        mlx5_1=[bdf=0000:3b:00.1,node_type=\"1: CA\",fw=20.31.1014], \
        rxe0=[bdf=<none>,node_type=\"\",fw=]] \
        uverbs=[uverbs0=[ibdev=,dev=], uverbs1=[ibdev=mlx5_1,dev=231:193]] \
        chardevs=[a-link=[other,0:0], by-path=[other,0:0], uverbs0=[char,0:0]]";
    assert_eq!(snapshot_infiniband_in(&roots), expected);
}

#[test]
fn snapshot_of_a_real_directory_tells_kinds_and_numbers() {
    let roots = InfinibandRoots {
        dev_dir: "/dev".into(),
        ..roots().1
    };
    let snapshot = snapshot_infiniband_in(&roots);
    assert!(snapshot.contains("null=[char,1:3], "), "{snapshot}");
    assert!(snapshot.contains("stdin=[other,0:0], "), "{snapshot}");
    let block = fs::read_dir("/dev").unwrap().flatten();
    for entry in block.filter(|entry| entry.file_type().unwrap().is_block_device()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(snapshot.contains(&format!("{name}=[block,")), "{snapshot}");
    }
}
