//! The example `create-container`, as a user runs it: on what is built in, and on input of every kind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod example;

use std::ffi::CString;
use std::fs;
use std::io;

use serde_json::{Value, json};

use example::{Bundle, REMOTE, Tree, assert_contains, assert_created, assert_json, run, run_in};

#[test]
fn built_in_container_is_created() {
    let stdout = assert_created(&run(&[]));
    assert_contains(
        &stdout,
        &[
            "CreateContainer for \"web\" in sandbox \"pod-1\"",
            "dragonball, 1 vCPUs, 768 MiB",
            "hypervisor.dragonball.default_memory (annotation)",
            "agent.kata.mem_agent.enable (",
            "config.d/10-memory.toml:4)",
            r#"args         ["/bin/sh", "-c", "echo hello from the guest"]"#,
            "user         uid 1000 gid 1000",
            "namespaces   pid ipc uts mount cgroup",
            "device       /dev/null 1:3",
            // The image's absolute link `/var/run -> /run` was followed inside the root filesystem.
            "/var/run/secrets (rootfs/run/secrets) from ",
            "storage      /run/kata-containers/sandbox/local/cache (local)",
            "seccomp      7 system calls named",
            "host         hooks.createRuntime[0] /bin/sh: done",
            "guest        hooks.createContainer[0] /bin/sh: done",
            r#"{"ociVersion":"1.1.0","id":"web","status":"creating""#,
            "agent.mem_agent_memcg_period_secs=300",
            "CONFIG_LRU_GEN",
            "log          INFO container created",
            " ms  in all",
        ],
    );
    assert!(!stdout.contains("warning"), "{stdout}");
}

#[test]
fn bundle_of_the_user_is_created() {
    let bundle = Bundle::new();
    let stdout = assert_created(&bundle.run());
    assert!(stdout.contains("/etc/hosts (rootfs/etc/hosts) from "));
    assert!(stdout.contains("args         [\"/bin/true\"]"), "{stdout}");
}

#[test]
fn absolute_rootfs_inside_the_bundle_is_accepted() {
    let bundle = Bundle::new();
    let rootfs = bundle.path().canonicalize().unwrap().join("rootfs");
    let bundle = bundle.with("/root/path", json!(rootfs));
    assert_created(&bundle.run());
}

#[test]
fn container_id_is_chosen_with_the_option() {
    let stdout = assert_created(&run(&["--id", "db-1"]));
    assert!(stdout.contains("CreateContainer for \"db-1\""));
}

#[test]
fn fields_that_the_request_cannot_carry_are_listed() {
    let bundle = Bundle::new().with(
        "/linux",
        json!({ "namespaces": [], "resources": { "unified": { "memory.high": "1" } } }),
    );
    let stdout = assert_created(&bundle.run());
    assert!(stdout.contains("not sent"), "{stdout}");
    assert!(stdout.contains("unified"), "{stdout}");
}

#[test]
fn terminal_control_characters_do_not_reach_the_terminal() {
    let bundle = Bundle::new().with("/process/cwd", json!("/\u{1b}[2J"));
    let stdout = assert_created(&bundle.run());
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}

#[test]
fn help_and_wrong_usage_have_their_own_status() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).starts_with("usage: create-container"));
    for args in [
        &["--bundel", "x"][..],
        &["--bundle"],
        &["x"],
        &["--annotation", "key"],
        &["--annotation", "=value"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains("--help lists the options"), "{stderr}");
    }
}

#[test]
fn json_has_every_stage_and_what_came_of_it() {
    let json = assert_json(&run(&["--json"]));
    assert_eq!(json["container"], "web");
    assert_eq!(json["sandbox"], "pod-1");
    assert_eq!(json["warnings"], json!([]));
    assert_eq!(json["configuration"]["memory_mib"], 768);
    assert_eq!(json["configuration"]["files"].as_array().unwrap().len(), 2);
    assert_eq!(json["mounts"][3]["destination"], "/var/run/secrets");
    assert_eq!(json["vfio"], json!([]));
    assert_eq!(json["hooks"][1]["side"], "guest");
    assert_eq!(json["hooks"][1]["error"], Value::Null);
    assert_eq!(json["state"]["id"], "web");
    assert!(json["request"]["wire_bytes"].as_u64().unwrap() > 500);
    assert_eq!(json["request"]["storages"][0]["driver"], "local");
    let guest = &json["guest"];
    assert_eq!(guest["spec"]["hostname"], "web");
    assert_eq!(guest["mount_points"][4], "cache");
    assert_eq!(guest["memory"]["status"], "missing");
    assert_eq!(guest["memory"]["reclaim_period_s"], 300);
    assert_eq!(guest["memory"]["compact_order"], 7);
    // The log is that of the agent, in the keys of `logging`.
    let log = guest["log"].as_array().unwrap();
    let created = log
        .iter()
        .find(|r| r["msg"] == "container created")
        .unwrap();
    assert_eq!(created["name"], "kata-agent");
    assert_eq!(created["container"], "web");

    let stages = json["stages"].as_array().unwrap();
    assert!(
        stages
            .iter()
            .all(|stage| stage["ms"].as_f64().unwrap() >= 0.0)
    );
    let crates = stages.iter().flat_map(|s| s["crates"].as_array().unwrap());
    let crates: std::collections::BTreeSet<_> = crates.map(|c| c.as_str().unwrap()).collect();
    let expected = [
        "kata-sys-util",
        "kata-types",
        "logging",
        "mem-agent",
        "protocols",
        "runtime-spec",
        "safe-path",
        "shim-interface",
    ];
    assert!(crates.into_iter().eq(expected));
}

#[test]
fn configuration_of_the_user_is_used_with_its_drop_ins_and_remarks() {
    let config = Tree::new(&[
        ("configuration.toml", REMOTE),
        (
            "config.d/10-cpu.toml",
            "[hypervisor.remote]\ndefault_vcpus = 0.5\n",
        ),
        ("config.d/20-typo.toml", "[runtime]\nenable_pporf = true\n"),
    ]);
    let stdout = assert_created(&run(&["--config", &config.text("configuration.toml")]));
    assert_contains(
        &stdout,
        &[
            "remote, 0.5 vCPUs",
            "hypervisor.remote.default_vcpus (",
            "10-cpu.toml:2)",
            "warning ",
            "20-typo.toml:2:1: warning: runtime.enable_pporf",
            "enable_pprof",
            // Nothing asks for it.
            "memory       not managed\n",
        ],
    );
}

#[test]
fn annotations_change_what_the_operator_allows_and_nothing_else() {
    let config = Tree::new(&[("configuration.toml", REMOTE)]);
    let prefix = "io.katacontainers.config.hypervisor.";
    let bundle = Bundle::new().with(
        "/annotations",
        json!({ format!("{prefix}default_vcpus"): "0.25" }),
    );
    let config = config.text("configuration.toml");
    let bundle = bundle.arg(&["--json", "--config", &config]);
    assert_eq!(assert_json(&bundle.run())["configuration"]["vcpus"], 0.25);

    // The command line comes after `config.json`.
    let vcpus = format!("{prefix}default_vcpus=0.75");
    let memory = format!("{prefix}default_memory=4096");
    let bundle = bundle.arg(&["--annotation", &vcpus, "--annotation", &memory]);
    let json = assert_json(&bundle.run());
    assert_eq!(json["configuration"]["vcpus"], 0.75);
    let changed = json["configuration"]["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["origin"], "annotation");
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("default_memory"), "{warnings}");
}

const STALL: &str = "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n\
                     full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n";

/// A machine with a network function bound to VFIO, and memory cgroups.
const MACHINE: [(&str, &str); 17] = [
    ("dev/vfio/vfio", ""),
    ("dev/vfio/12", ""),
    ("sys/bus/pci/devices/0000:3b:00.1/vendor", "0x15b3\n"),
    ("sys/bus/pci/devices/0000:3b:00.1/device", "0x101e\n"),
    ("sys/bus/pci/devices/0000:3b:00.1/class", "0x020700\n"),
    (
        "sys/bus/pci/devices/0000:3b:00.1/iommu_group",
        "-> ../../../../kernel/iommu_groups/12",
    ),
    (
        "proc/mounts",
        "tmpfs /v/kubernetes.io~empty-dir/memory tmpfs rw 0 0\n",
    ),
    (
        "proc/meminfo",
        "MemTotal: 4026532 kB\nMemFree: 812340 kB\nMemAvailable: 2900112 kB\n\
                      SwapTotal: 0 kB\nSwapFree: 0 kB\n",
    ),
    (
        "proc/pagetypeinfo",
        "Page block order: 9\nPages per block:  512\n\n\
      Free pages count per migrate type at order  0 1 2 3 4 5 6 7 8 9 10\n\
      Node    0, zone   Normal, type      Movable 1 0 0 0 0 0 0 0 0 0 4\n",
    ),
    ("sys/kernel/mm/lru_gen/enabled", "0x0000\n"),
    (
        "sys/kernel/debug/lru_gen",
        "memcg     1 /\n node     0\n          4     930410  310  8123 \n\
      memcg    12 /pod7\n node     0\n          0     930000  0  0 \n",
    ),
    ("sys/fs/cgroup/cgroup.controllers", "cpu io memory"),
    ("sys/fs/cgroup/memory.pressure", STALL),
    ("sys/fs/cgroup/io.pressure", STALL),
    ("sys/fs/cgroup/pod7/memory.pressure", STALL),
    ("sys/fs/cgroup/pod7/io.pressure", STALL),
    ("run/x", ""),
];

#[test]
fn vfio_device_of_a_fake_root_is_passed_through() {
    let root = Tree::new(&MACHINE);
    let root_text = root.text("");
    let json = assert_json(&run(&["--fake-root", &root_text, "--json"]));
    assert_eq!(json["vfio"][0]["node"], "/dev/vfio/12");
    assert_eq!(json["vfio"][0]["functions"][0]["address"], "0000:3b:00.1");
    let device = &json["request"]["devices"][0];
    assert_eq!(device["type"], "vfio-pci-gk");
    assert_eq!(device["options"], json!(["0000:3b:00.1=02/01"]));
    // It is not left in the specification, whose numbers would be those of the host.
    assert_eq!(
        json["guest"]["spec"]["linux"]["devices"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // A bundle of the user has what it asks for, as its configuration says.
    let config = format!("{REMOTE}vfio_mode = 'vfio'\n");
    let config = Tree::new(&[("configuration.toml", &config)]);
    let args = [
        "--json",
        "--fake-root",
        &root_text,
        "--config",
        &config.text("configuration.toml"),
    ];
    let nothing = assert_json(&Bundle::new().arg(&args).run());
    assert_eq!(nothing["vfio"], json!([]));
    let devices = json!([{ "path": "/dev/vfio/12", "type": "c", "major": 10, "minor": 196 }]);
    let bundle = Bundle::new().with("/linux/devices", devices).arg(&args);
    assert_eq!(
        assert_json(&bundle.run())["request"]["devices"][0]["type"],
        "vfio-pci"
    );
}

#[test]
fn memory_of_a_fake_root_is_managed_without_a_change_of_it() {
    let root = Tree::new(&MACHINE);
    let json = assert_json(&run(&["--fake-root", &root.text(""), "--json"]));
    assert_eq!(
        json["guest"]["memory"]["status"], "running",
        "{}",
        json["guest"]["memory"]
    );
    assert_eq!(json["guest"]["memory"]["cgroups"], 2);
    for (path, text) in MACHINE.iter().filter(|(_, text)| !text.starts_with("-> ")) {
        assert_eq!(
            fs::read_to_string(root.path(path)).unwrap(),
            *text,
            "{path}"
        );
    }
}

/// Makes a character device. Whoever may not make any may still make 0:0 (Linux 5.8).
fn char_device(path: &str) -> io::Result<()> {
    let path = CString::new(path)?;
    // SAFETY: the path ends in NUL.
    match unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn infiniband_devices_go_with_a_vfio_device_only() {
    let root = Tree::new(&MACHINE);
    fs::create_dir(root.path("dev/infiniband")).unwrap();
    if let Err(error) = char_device(&root.text("dev/infiniband/uverbs0")) {
        println!("INFO: skipping create_container which needs mknod ({error})");
        return;
    }
    let args = ["--fake-root", &root.text(""), "--json"];
    let json = assert_json(&run(&args));
    assert_eq!(
        json["guest"]["infiniband"][0]["path"],
        "/dev/infiniband/uverbs0"
    );
    let devices = json["guest"]["spec"]["linux"]["devices"]
        .as_array()
        .unwrap();
    assert_eq!(devices.len(), 2, "{devices:?}");
    assert_eq!(devices[1]["path"], "/dev/infiniband/uverbs0");

    let json = assert_json(&Bundle::new().arg(&args).run());
    assert_eq!(json["guest"]["infiniband"], json!([]));
}

#[test]
fn empty_dir_in_memory_is_made_in_memory_of_the_guest() {
    let bundle = Bundle::new();
    let volume = bundle
        .path()
        .canonicalize()
        .unwrap()
        .join("kubernetes.io~empty-dir/memory");
    fs::create_dir_all(&volume).unwrap();
    let mounts = format!("tmpfs {} tmpfs rw 0 0\n", volume.display());
    let root = Tree::new(&[("proc/mounts", &mounts)]);
    let mount = json!([{ "destination": "/m", "type": "bind", "source": volume }]);
    let bundle = bundle
        .with("/mounts", mount)
        .arg(&["--fake-root", &root.text(""), "--json"]);
    let json = assert_json(&bundle.run());
    let storage = json!([{
        "driver": "ephemeral", "mount_point": "/run/kata-containers/sandbox/ephemeral/memory"
    }]);
    assert_eq!(json["request"]["storages"], storage);
    let mount = &json["guest"]["spec"]["mounts"][0];
    assert_eq!(
        mount["source"],
        "/run/kata-containers/sandbox/ephemeral/memory"
    );
}

#[test]
fn hooks_run_in_their_order_on_their_side_with_their_state() {
    let out = Tree::new(&[]);
    let mut bundle = Bundle::new().arg(&["--json"]);
    let kinds = [
        ("prestart", "host", "creating"),
        ("createRuntime", "host", "creating"),
        ("createContainer", "guest", "creating"),
        ("startContainer", "guest", "created"),
        ("poststart", "host", "running"),
        ("poststop", "host", "stopped"),
    ];
    for (kind, _, _) in kinds {
        let script = format!("cat >> {0}; echo >> {0}", out.text("states"));
        bundle = bundle.with_hook(kind, &script, 5);
    }
    let json = assert_json(&bundle.run());
    let states = fs::read_to_string(out.path("states")).unwrap();
    let ran = json["hooks"].as_array().unwrap();
    assert_eq!(states.lines().count(), kinds.len(), "{states}");
    for ((line, ran), (kind, side, status)) in states.lines().zip(ran).zip(kinds) {
        let state: Value = serde_json::from_str(line).unwrap();
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(ran["side"], side, "{kind}");
        assert_eq!(ran["field"], format!("hooks.{kind}[0]"));
    }
}

#[test]
fn hook_that_fails_after_the_start_is_reported_only() {
    let stdout = assert_created(&Bundle::new().with_hook("poststart", "exit 4", 5).run());
    assert_contains(
        &stdout,
        &["hooks.poststart[0] failed: ", "exit status with 4"],
    );
}

#[test]
fn path_of_the_temporary_directory_may_be_long() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("x".repeat(200)).join("y \"\\'".repeat(20));
    fs::create_dir_all(&deep).unwrap();
    assert_created(&run_in(&deep, &[]));
}
