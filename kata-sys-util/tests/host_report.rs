//! The example program `host-report`, as a user runs it: on this machine and on trees of files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod tree;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use kata_sys_util::protection::available_guest_protection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tree::fifo;

const SECTIONS: [&str; 10] = [
    "Host",
    "CPU",
    "Confidential computing",
    "PCI devices",
    "VFIO",
    "InfiniBand",
    "NUMA",
    "cgroups",
    "Pressure stall information",
    "Multi-generational LRU",
];

const PRESSURE: &str = "some avg10=1.50 avg60=0.25 avg300=0.00 total=4711\n\
                        full avg10=0.50 avg60=0.00 avg300=0.00 total=12\n";

/// A machine with two PCI functions, one of which can be given to a VM.
const FILES: [(&str, &str); 27] = [
    ("proc/sys/kernel/osrelease", "6.8.0-test\n"),
    (
        "proc/cpuinfo",
        "processor : 0\nvendor_id : GenuineIntel\nmodel name : Test CPU\n\
         flags : fpu vmx\n\nprocessor : 1\n",
    ),
    (
        "proc/pressure/cpu",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
    ),
    ("proc/pressure/io", PRESSURE),
    ("proc/pressure/memory", PRESSURE),
    ("sys/module/kvm_intel/parameters/tdx", "Y\n"),
    ("sys/devices/system/cpu/online", "0-2\n"),
    ("sys/devices/system/cpu/cpu0/node0/cpulist", "0-1\n"),
    ("sys/devices/system/node/node0/cpulist", "0-1\n"),
    ("sys/devices/system/node/node1/cpulist", "2\n"),
    ("sys/devices/system/node/node2/cpulist", "\n"),
    ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory\n"),
    ("sys/kernel/mm/lru_gen/enabled", "0x0007\n"),
    ("sys/kernel/mm/lru_gen/min_ttl_ms", "1000\n"),
    ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x8086\n"),
    ("sys/bus/pci/devices/0000:01:00.0/device", "0x1533\n"),
    ("sys/bus/pci/devices/0000:01:00.0/class", "0x020000\n"),
    ("sys/bus/pci/devices/0000:01:00.0/numa_node", "1\n"),
    ("sys/bus/pci/devices/0000:00:1f.7/vendor", "0xfff0\n"),
    ("sys/bus/pci/devices/0000:00:1f.7/device", "0x0001\n"),
    ("sys/bus/pci/devices/0000:00:1f.7/class", "0x060400\n"),
    ("sys/class/infiniband_verbs/uverbs0/ibdev", "mlx5_0\n"),
    ("sys/class/infiniband_verbs/uverbs0/dev", "231:192\n"),
    ("dev/infiniband/uverbs0", ""),
    ("dev/vfio/vfio", ""),
    ("dev/vfio/12", ""),
    ("dev/vfio/devices/vfio3", ""),
];

/// The program, which `cargo test` builds with the examples.
fn program() -> Option<PathBuf> {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent()?.parent()?.join("examples/host-report");
    if !program.exists() {
        eprintln!("INFO: skipping a test of host-report: it is not built");
        return None;
    }
    Some(program)
}

/// Exit status, standard output and standard error.
fn run(program: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), stdout, stderr)
}

/// What a run without an error prints.
fn report(program: &Path, arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(program, arguments);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    stdout
}

fn json_of(program: &Path, root: &Path) -> Value {
    let report = report(program, &["--root", root.to_str().unwrap(), "--json"]);
    serde_json::from_str(&report).unwrap()
}

fn text_of(program: &Path, root: &Path) -> String {
    report(program, &["--root", root.to_str().unwrap()])
}

fn machine(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn full_machine() -> TempDir {
    let dir = machine(&FILES);
    let path = |path: &str| dir.path().join(path);
    let function = "sys/bus/pci/devices/0000:01:00.0";
    for (link, target) in [
        ("driver", "../../drivers/vfio-pci"),
        ("iommu_group", "../../../../kernel/iommu_groups/12"),
    ] {
        symlink(target, path(function).join(link)).unwrap();
    }
    fs::create_dir_all(path("sys/class/vfio-dev/vfio3")).unwrap();
    symlink(path(function), path("sys/class/vfio-dev/vfio3/device")).unwrap();
    fs::create_dir_all(path("sys/bus/pci/drivers/vfio-pci")).unwrap();
    fs::create_dir_all(path("sys/kernel/iommu_groups/12")).unwrap();
    dir
}

/// The titles of the sections: lines that do not begin with a blank.
fn titles(text: &str) -> Vec<&str> {
    let lines = text.lines();
    let titles = lines.filter(|line| !line.is_empty() && !line.starts_with(' '));
    titles.collect()
}

#[test]
fn text_about_this_machine_has_all_sections() {
    let Some(program) = program() else { return };
    let text = report(&program, &[]);
    let mut titles = titles(&text);
    titles.retain(|title| *title != "Could not be read");
    assert_eq!(titles, SECTIONS, "{text}");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(text.contains(&format!("  kernel  {kernel}")), "{text}");
}

#[test]
fn json_about_this_machine_agrees_with_its_kernel() {
    let Some(program) = program() else { return };
    let report: Value = serde_json::from_str(&report(&program, &["--json"])).unwrap();
    assert_eq!(report["root"], "/");
    assert_eq!(report["cpu"]["architecture"], std::env::consts::ARCH);
    let online = fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    assert_eq!(report["cpu"]["online"], online.trim());
    match available_guest_protection() {
        Ok(protection) => {
            assert_eq!(report["protection"]["selected"], protection.to_string());
            assert_eq!(report["protection"]["error"], Value::Null);
        }
        Err(error) => {
            assert_eq!(report["protection"]["selected"], Value::Null);
            assert_eq!(report["protection"]["error"], error.to_string());
        }
    }
    let functions = fs::read_dir("/sys/bus/pci/devices").map_or(0, Iterator::count);
    assert_eq!(
        report["pci"]["devices"].as_array().unwrap().len(),
        functions
    );
    let has_mglru = Path::new("/sys/kernel/mm/lru_gen/enabled").exists();
    assert_eq!(report["mglru"].is_object(), has_mglru);
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(report["cgroup"]["version"] == "v2", v2);
}

#[test]
fn json_about_a_tree_has_what_is_in_its_files() {
    let Some(program) = program() else { return };
    let dir = full_machine();
    let report = json_of(&program, dir.path());
    assert_eq!(report["root"], dir.path().to_str().unwrap());
    assert_eq!(report["kernel"], "6.8.0-test");
    assert_eq!(report["unreadable"], json!([]));

    let cpu = &report["cpu"];
    assert_eq!(cpu["vendor"], "GenuineIntel");
    assert_eq!(cpu["model"], "Test CPU");
    assert_eq!(cpu["online"], "0-2");
    assert_eq!(cpu["flags"], json!(["fpu", "vmx"]));
    assert_eq!(cpu["kvm"], "absent");

    let nodes = json!([
        {"node": 0, "cpus": "0-1"},
        {"node": 1, "cpus": "2"},
        {"node": 2, "cpus": ""},
    ]);
    assert_eq!(report["numa"]["nodes"], nodes);
    let cgroup = json!({"version": "v2", "controllers": ["cpuset", "cpu", "io", "memory"]});
    assert_eq!(report["cgroup"], cgroup);
    let mglru = json!({"enabled": true, "parts": 7, "min_ttl_ms": 1000});
    assert_eq!(report["mglru"], mglru);
    let none = json!({"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total_us": 7});
    assert_eq!(report["psi"]["cpu"], json!({"some": none, "full": null}));
    let some = json!({"avg10": 1.5, "avg60": 0.25, "avg300": 0.0, "total_us": 4711});
    let full = json!({"avg10": 0.5, "avg60": 0.0, "avg300": 0.0, "total_us": 12});
    for resource in ["io", "memory"] {
        let expected = json!({"some": some, "full": full});
        assert_eq!(report["psi"][resource], expected, "{resource}");
    }
}

#[test]
fn json_about_a_tree_has_its_devices() {
    let Some(program) = program() else { return };
    let report = json_of(&program, full_machine().path());
    let devices = report["pci"]["devices"].as_array().unwrap();
    let [bridge, network] = devices.as_slice() else {
        panic!("{devices:?}");
    };
    assert_eq!(bridge["address"], "0000:00:1f.7");
    assert_eq!(bridge["id"], "fff0:0001");
    assert_eq!(bridge["device_name"], "UNKNOWN_DEVICE");
    for key in ["driver", "iommu_group", "numa_node"] {
        assert_eq!(bridge[key], Value::Null, "{key}");
    }
    assert_eq!(network["address"], "0000:01:00.0");
    assert_eq!(network["id"], "8086:1533");
    assert_eq!(network["class"], "020000");
    assert_eq!(network["driver"], "vfio-pci");
    assert_eq!(network["iommu_group"], 12);
    assert_eq!(network["numa_node"], 1);

    let vfio = json!([
        {"path": "/dev/vfio/12", "devices": ["0000:01:00.0"]},
        {"path": "/dev/vfio/devices/vfio3", "devices": ["0000:01:00.0"]},
    ]);
    assert_eq!(report["pci"]["vfio"], vfio);

    // A file is no character device, and so not for containers.
    assert_eq!(report["infiniband"]["devices"], json!([]));
    let snapshot = "ib_devices=[] uverbs=[uverbs0=[ibdev=mlx5_0,dev=231:192]] \
                    chardevs=[uverbs0=[other,0:0]]";
    assert_eq!(report["infiniband"]["snapshot"], snapshot);
}

/// Of a tree, everything but the CPU is asked of files.
#[cfg(target_arch = "x86_64")]
#[test]
fn protection_of_a_tree_is_that_of_its_files_with_reasons() {
    let Some(program) = program() else { return };
    let dir = full_machine();
    let report = json_of(&program, dir.path());
    let protection = &report["protection"];
    assert_eq!(protection["selected"], "tdx");
    assert_eq!(protection["error"], Value::Null);
    let candidates = protection["candidates"].as_array().unwrap();
    let names: Vec<_> = candidates.iter().map(|c| &c["technology"]).collect();
    assert_eq!(names, ["tdx", "snp", "sev"]);
    let parameter = dir.path().join("sys/module/kvm_intel/parameters/tdx");
    let tdx = json!({
        "technology": "tdx",
        "usable": true,
        "hardware": true,
        "kernel": true,
        "enabled": true,
        "reason": format!("the CPU has TDX; {} is \"Y\"", parameter.display()),
    });
    assert_eq!(candidates[0], tdx);
    for other in [&candidates[1], &candidates[2]] {
        assert_eq!(other["usable"], false);
        assert!(
            other["reason"]
                .as_str()
                .unwrap()
                .contains("/kvm_amd/parameters/sev")
        );
    }
}

#[test]
fn text_about_a_tree_has_a_line_for_each_thing() {
    let Some(program) = program() else { return };
    let dir = full_machine();
    let text = text_of(&program, dir.path());
    assert_eq!(titles(&text), SECTIONS, "{text}");
    for line in [
        "  kernel  6.8.0-test",
        "  vendor        GenuineIntel",
        "  online        3 (0-2)",
        "  flags         2, about VMs: vmx",
        "  kvm           no device",
        "  /dev/vfio/12             0000:01:00.0",
        "  /dev/vfio/devices/vfio3  0000:01:00.0",
        "  node 0  CPUs 0-1",
        "  node 2  no CPU",
        "  version      2 (unified)",
        "  controllers  cpuset cpu io memory",
        "  io      some 1.50 % 0.25 % 0.00 %, full 0.50 % 0.00 % 0.00 %",
        "  enabled     yes",
        "  parts       main switch, leaf entries in batches, non-leaf entries",
        "  min_ttl_ms  1000",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line:?} is not in\n{text}"
        );
    }
    let end = "[8086:1533], driver vfio-pci, IOMMU group 12, NUMA node 1";
    let is_network = |l: &str| l.starts_with("  0000:01:00.0  ") && l.ends_with(end);
    assert!(text.lines().any(is_network), "{text}");
}

#[test]
fn cgroups_of_each_kind_are_told_apart() {
    let Some(program) = program() else { return };
    let (v1, v2) = ("memory/cgroup.procs", "unified/cgroup.procs");
    for (files, version, controllers) in [
        (vec!["cgroup.controllers", v1], "v2", json!([])),
        (
            vec![v1, "cpu/cgroup.procs", v2],
            "hybrid",
            json!(["cpu", "memory"]),
        ),
        (vec![v1, "other/file"], "v1", json!(["memory"])),
        (vec!["other/file"], "none", json!([])),
        (vec![], "none", json!([])),
    ] {
        let dir = machine(&[]);
        for file in files {
            let path = dir.path().join("sys/fs/cgroup").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let cgroup = json!({"version": version, "controllers": controllers});
        assert_eq!(json_of(&program, dir.path())["cgroup"], cgroup);
    }
}

#[test]
fn empty_tree_is_a_machine_without_anything() {
    let Some(program) = program() else { return };
    let dir = machine(&[]);
    let report = json_of(&program, dir.path());
    for key in ["kernel", "psi", "mglru"] {
        assert_eq!(report[key], Value::Null, "{key}");
    }
    assert_eq!(report["pci"], json!({"devices": [], "vfio": []}));
    assert_eq!(report["infiniband"]["devices"], json!([]));
    // All kernels have this one.
    let cpuinfo = dir.path().join("proc/cpuinfo");
    let missing = json!([{
        "path": cpuinfo.to_str().unwrap(),
        "reason": "No such file or directory (os error 2)",
    }]);
    assert_eq!(report["unreadable"], missing);
}

#[test]
fn what_cannot_be_read_is_listed_and_the_rest_is_reported() {
    let Some(program) = program() else { return };
    let dir = full_machine();
    let path = |path: &str| dir.path().join(path);
    let directory = path("proc/pressure/io");
    fs::remove_file(&directory).unwrap();
    fs::create_dir(&directory).unwrap();
    fs::write(path("proc/pressure/memory"), "some avg10=x\nall\n").unwrap();
    fs::write(path("sys/kernel/mm/lru_gen/enabled"), "maybe\n").unwrap();
    fs::write(path("sys/devices/system/node/node1/cpulist"), "2-\n").unwrap();
    let bridge = "sys/bus/pci/devices/0000:00:1f.7";
    fs::write(path(bridge).join("class"), "zzzz\n").unwrap();

    let report = json_of(&program, dir.path());
    let reasons: Vec<(&str, &str)> = report["unreadable"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| {
            let text = |key: &str| u[key].as_str().unwrap();
            (text("path"), text("reason"))
        })
        .collect();
    let of = |file: &str, reason: &str| {
        let path = path(file);
        let found = reasons
            .iter()
            .any(|(p, r)| Path::new(p) == path && r.contains(reason));
        assert!(found, "{file}: {reason:?} is not in {reasons:?}");
    };
    of("proc/pressure/io", "Is a directory");
    of(
        "proc/pressure/memory",
        r#"not a line of pressure: "some avg10=x""#,
    );
    of("proc/pressure/memory", r#"not a line of pressure: "all""#);
    of(
        "sys/kernel/mm/lru_gen/enabled",
        r#"not a hexadecimal number: "maybe""#,
    );
    of("sys/devices/system", "Can not parse CPU info");
    of(bridge, "zzzz");
    assert_eq!(report["pci"]["devices"].as_array().unwrap().len(), 1);
    assert_eq!(report["psi"]["io"], Value::Null);
    assert_eq!(report["psi"]["cpu"]["some"]["total_us"], 7);
    assert_eq!(report["cgroup"]["version"], "v2");

    let text = text_of(&program, dir.path());
    assert_eq!(titles(&text).last(), Some(&"Could not be read"), "{text}");
    assert!(text.contains("Is a directory"), "{text}");
}

/// Under a limit of memory, as the process would be killed for want of it otherwise.
#[test]
fn files_without_an_end_are_not_read_to_the_end() {
    let Some(program) = program() else { return };
    let dir = machine(&FILES);
    let endless = ["proc/cpuinfo", "sys/devices/system/node/node0/cpulist"];
    for file in endless {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink("/dev/zero", &path).unwrap();
    }
    let mut report = Command::new("prlimit");
    report.arg("--as=1073741824").arg(&program);
    let output = report.args(["--json", "--root"]).arg(dir.path()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unreadable = report["unreadable"].to_string();
    assert_eq!(unreadable.matches("longer than").count(), 2, "{unreadable}");
}

#[test]
fn fifos_in_the_places_of_files_are_not_waited_for() {
    let Some(program) = program() else { return };
    let dir = machine(&FILES);
    for (file, _) in FILES {
        let path = dir.path().join(file);
        fs::remove_file(&path).unwrap();
        fifo(&path);
    }
    let root = dir.path().to_str().unwrap();
    let child = Command::new(&program)
        .args(["--root", root, "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().cast_signed();
    let (tell, told) = channel();
    let waiter = thread::spawn(move || tell.send(child.wait_with_output()));
    let output = told.recv_timeout(Duration::from_secs(60));
    if output.is_err() {
        // SAFETY: kill takes numbers; the child has not been waited for.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    waiter.join().unwrap().unwrap();
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pci"]["devices"], json!([]));
    let unreadable = report["unreadable"].as_array().unwrap();
    let cpuinfo = json!({
        "path": dir.path().join("proc/cpuinfo").to_str().unwrap(),
        "reason": "cpu_info string is empty",
    });
    assert!(unreadable.contains(&cpuinfo), "{unreadable:?}");
}

#[test]
fn ordinary_user_gets_a_report_without_what_is_forbidden() {
    test_utils::skip_if_root!();
    let Some(program) = program() else { return };
    let dir = full_machine();
    let forbidden = dir.path().join("sys/kernel/mm/lru_gen/enabled");
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o0)).unwrap();
    let report = json_of(&program, dir.path());
    assert_eq!(report["mglru"], Value::Null);
    let expected = json!([{
        "path": forbidden.to_str().unwrap(),
        "reason": "Permission denied (os error 13)",
    }]);
    assert_eq!(report["unreadable"], expected);
}

#[test]
fn help_is_printed() {
    let Some(program) = program() else { return };
    for arguments in [&["--help"][..], &["-h"], &["--json", "--help"]] {
        let usage = report(&program, arguments);
        assert!(usage.starts_with("usage: host-report "), "{usage}");
        for option in ["--json", "--root DIR", "--help"] {
            assert!(usage.contains(option), "{usage}");
        }
    }
}

#[test]
fn error_is_one_line_and_not_a_report() {
    let Some(program) = program() else { return };
    let dir = machine(&[("file", "")]);
    let file = dir.path().join("file");
    for (arguments, expected_status, expected) in [
        (
            &["--root", "/no/such/root"][..],
            1,
            r#"--root "/no/such/root": No such file"#,
        ),
        (&["--root", file.to_str().unwrap()], 1, "not a directory"),
        (&["--root", ""], 1, r#"--root "": No such file"#),
        (&["--root"], 2, "--root needs a directory"),
        (&["--color"], 2, r#"unknown argument "--color""#),
        (&["--json", "/"], 2, r#"unknown argument "/""#),
    ] {
        let (status, stdout, stderr) = run(&program, arguments);
        assert_eq!((status, stdout.as_str()), (Some(expected_status), ""));
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("host-report: "), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn report_that_cannot_be_written_is_an_error_but_a_reader_may_stop() {
    let Some(program) = program() else { return };
    let run = |stdout: Stdio| {
        let output = Command::new(&program)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let expected = "host-report: cannot write the report: No space left on device (os error 28)\n";
    assert_eq!(run(full.into()), (Some(1), expected.to_owned()));

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run(writer.into()), (Some(0), String::new()));
}
