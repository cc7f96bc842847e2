//! The example `create-container`, with input that it refuses: one paragraph that says what is wrong
//! and where, exit status 1, nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod example;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use example::{Bundle, REMOTE, Tree, assert_created, assert_refused, run};

#[test]
fn missing_files_are_named() {
    assert_refused(
        &run(&["--bundle", "/nonexistent/bundle"]),
        &["/nonexistent/bundle", "No such file or directory"],
    );
    let bundle = Bundle::new();
    assert_refused(&bundle.run_as_is(), &["config.json", "No such file"]);
}

#[test]
fn config_that_is_no_regular_file_is_not_opened() {
    let bundle = Bundle::new();
    let config = bundle.path().join("config.json");
    fs::create_dir(&config).unwrap();
    assert_refused(&bundle.run_as_is(), &["config.json", "not a regular file"]);
    fs::remove_dir(&config).unwrap();
    let made = Command::new("mkfifo").arg(&config).status().unwrap();
    assert!(made.success());
    assert_refused(&bundle.run_as_is(), &["config.json", "not a regular file"]);
}

#[test]
fn config_that_links_out_of_the_bundle_is_not_followed() {
    let outside = TempDir::new().unwrap();
    let secret = outside.path().join("config.json");
    fs::write(&secret, Bundle::new().config.to_string()).unwrap();
    let bundle = Bundle::new();
    symlink(&secret, bundle.path().join("config.json")).unwrap();
    assert_refused(&bundle.run_as_is(), &["config.json", "No such file"]);
}

#[test]
fn bytes_that_are_no_json_text_are_located() {
    let bundle = Bundle::new();
    let cases: [(&[u8], &[&str]); 5] = [
        (
            b"{\n\"ociVersion\": \"\xff\"}",
            &["UTF-8", "offset 17", "line 2"],
        ),
        (
            b"{\"ociVersion\": }",
            &["not valid JSON", "line 1 column 16"],
        ),
        (b"", &["not valid JSON"]),
        (b"[]", &["not a valid OCI configuration"]),
        (b"{\"hostname\": \"\\ud800\"}", &["not valid JSON"]),
    ];
    for (text, parts) in cases {
        assert_refused(&bundle.run_text(text), parts);
    }
}

#[test]
fn huge_and_deeply_nested_configs_are_refused() {
    let bundle = Bundle::new();
    let huge = format!("{{\"hostname\": \"{}\"}}", "x".repeat(50_000_000));
    assert_refused(&bundle.run_text(huge), &["50000016 bytes are too many"]);
    assert_refused(
        &bundle.run_text("[".repeat(100_000)),
        &["not valid JSON", "recursion limit"],
    );
}

#[test]
fn request_beyond_the_limit_of_the_protocol_is_refused() {
    let bundle = Bundle::new();
    let bundle = bundle.with("/process/args", json!(["/bin/true", "x".repeat(5_000_000)]));
    assert_refused(&bundle.run(), &["at most 4194304"]);
}

#[test]
fn bad_values_are_named_with_their_field() {
    let cases: [(&str, Value, &[&str]); 16] = [
        ("/ociVersion", json!("2.0.0"), &["ociVersion = \"2.0.0\""]),
        ("/ociVersion", json!(7), &["ociVersion", "7"]),
        ("/process/args", json!([]), &["process.args is missing"]),
        (
            "/process/args",
            json!(["/bin/sh\0-c"]),
            &["process.args[0] = \"/bin/sh\\0-c\"", "NUL"],
        ),
        (
            "/process/env",
            json!(["A=1", "PATH"]),
            &["process.env[1] = \"PATH\"", "KEY=VALUE"],
        ),
        (
            "/hooks",
            json!({ "createRuntime": [{ "args": ["x"] }] }),
            &["hooks.createRuntime[0]", "path"],
        ),
        (
            "/process/cwd",
            json!("tmp"),
            &["process.cwd = \"tmp\"", "absolute"],
        ),
        (
            "/process/user/uid",
            json!(4_294_967_296_u64),
            &["process.user.uid", "4294967296"],
        ),
        ("/process", json!(null), &["process is missing"]),
        ("/root", json!(null), &["root is missing"]),
        ("/linux", json!(null), &["linux is missing"]),
        (
            "/linux/namespaces",
            json!([{ "type": "pid" }, { "type": "tiem" }]),
            &["linux.namespaces[1].type", "tiem"],
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "pid" }, { "type": "pid" }]),
            &["linux.namespaces[1].type", "listed twice"],
        ),
        (
            "/linux",
            json!({ "seccomp": { "defaultAction": "SCMP_ACT_MAYBE" } }),
            &["linux.seccomp.defaultAction", "SCMP_ACT_MAYBE"],
        ),
        (
            "/mounts",
            json!([{ "destination": "/x\0y" }]),
            &["mounts[0].destination = \"/x\\0y\"", "NUL"],
        ),
        ("/mounts", json!({}), &["mounts"]),
    ];
    for (pointer, value, parts) in cases {
        assert_refused(&Bundle::new().with(pointer, value).run(), parts);
    }
}

#[test]
fn paths_that_leave_their_directory_are_refused() {
    let cases: [(&str, Value, &[&str]); 10] = [
        (
            "/root/path",
            json!("../../etc"),
            &["root.path = \"../../etc\""],
        ),
        (
            "/root/path",
            json!("/etc"),
            &["root.path = \"/etc\"", "bundle"],
        ),
        ("/root/path", json!("."), &["root.path = \".\""]),
        (
            "/root/path",
            json!("missing"),
            &["root.path = \"missing\"", "directory"],
        ),
        (
            "/root/path",
            json!("hosts"),
            &["root.path = \"hosts\"", "directory"],
        ),
        (
            "/mounts/0/destination",
            json!("/../../etc/passwd"),
            &["mounts[0].destination = \"/../../etc/passwd\""],
        ),
        (
            "/mounts/0/destination",
            json!("/"),
            &["mounts[0].destination = \"/\""],
        ),
        (
            "/mounts/0/source",
            json!("../../../etc/passwd"),
            &["mounts[0].source = \"../../../etc/passwd\""],
        ),
        (
            "/mounts/0/source",
            json!("/nonexistent/source"),
            &["mounts[0].source = \"/nonexistent/source\"", "No such file"],
        ),
        (
            "/mounts/0",
            json!({ "destination": "/x", "type": "bind" }),
            &["mounts[0].source is missing"],
        ),
    ];
    for (pointer, value, parts) in cases {
        assert_refused(&Bundle::new().with(pointer, value).run(), parts);
    }
}

#[test]
fn links_that_leave_their_directory_are_refused() {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "x").unwrap();

    let bundle = Bundle::new().with("/root/path", json!("escape"));
    symlink(outside.path(), bundle.path().join("escape")).unwrap();
    assert_refused(&bundle.run(), &["root.path = \"escape\""]);

    let bundle = Bundle::new().with("/mounts/0/source", json!("escape/secret"));
    symlink(outside.path(), bundle.path().join("escape")).unwrap();
    assert_refused(&bundle.run(), &["mounts[0].source = \"escape/secret\""]);

    let bundle = Bundle::new().with("/mounts/0/destination", json!("/up/passwd"));
    symlink("../../../../etc", bundle.path().join("rootfs/up")).unwrap();
    assert_refused(&bundle.run(), &["mounts[0].destination = \"/up/passwd\""]);
}

#[test]
fn directory_name_that_is_no_container_id_is_refused() {
    let dir = TempDir::new().unwrap();
    let bad = dir.path().join("not an id");
    fs::create_dir(&bad).unwrap();
    let bundle = Bundle::new();
    fs::write(bad.join("config.json"), bundle.config.to_string()).unwrap();
    fs::create_dir(bad.join("rootfs")).unwrap();
    fs::write(bad.join("hosts"), "").unwrap();
    let args = ["--bundle", bad.to_str().unwrap()];
    assert_refused(&run(&args), &["container id = \"not an id\"", "--id"]);
    let output = run(&[args[0], args[1], "--id", "web"]);
    assert_created(&output);
}

#[test]
fn container_of_no_known_sandbox_is_refused() {
    let annotations = "/annotations";
    let key = "io.kubernetes.cri.container-type";
    let sandbox = "io.kubernetes.cri.sandbox-id";
    let cases: [(Value, &[&str]); 3] = [
        (
            json!({ key: "pod" }),
            &["config.json", "annotations", "unknown container type pod"],
        ),
        (
            json!({ key: "container" }),
            &["config.json", "annotations", "missing sandboxID"],
        ),
        (
            json!({ key: "container", sandbox: "../pod" }),
            &["config.json", "sandbox id = \"../pod\"", "letters"],
        ),
    ];
    for (value, parts) in cases {
        assert_refused(&Bundle::new().with(annotations, value).run(), parts);
    }
}

#[test]
fn configuration_that_cannot_be_used_is_refused_with_file_line_and_key() {
    let missing = ["--config", "/nonexistent/configuration.toml"];
    assert_refused(
        &run(&missing),
        &["/nonexistent/configuration.toml", "No such file"],
    );
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    assert_refused(&run(&["--config", dir]), &[dir, "not a regular file"]);

    let cases: [(&str, &str, &[&str]); 6] = [
        ("[runtime", "", &["configuration.toml:1:"]),
        (
            "[runtime]\nenable_debug = 1",
            "",
            &["configuration.toml:2:16: runtime.enable_debug", "boolean"],
        ),
        (
            REMOTE,
            "[agent.kata]\nserver_port = -1",
            &["10-x.toml:2:15: agent.kata.server_port", "-1"],
        ),
        (
            "[hypervisor.qemu]\npath = '/nonexistent/qemu'\n[runtime]\nhypervisor_name = 'qemu'",
            "",
            &[
                "configuration.toml:2",
                "hypervisor.qemu.path",
                "/nonexistent/qemu",
            ],
        ),
        (
            REMOTE,
            "[runtime]\nvfio_mode = 'host'",
            &["10-x.toml:2", "runtime.vfio_mode", "`host`"],
        ),
        (
            REMOTE,
            "[agent.kata.mem_agent]\nenable = true\nmemcg_swappiness_max = 300",
            &[
                "10-x.toml:3",
                "agent.kata.mem_agent.memcg_swappiness_max",
                "300",
            ],
        ),
    ];
    for (base, drop_in, parts) in cases {
        let tree = Tree::new(&[
            ("configuration.toml", base),
            ("config.d/10-x.toml", drop_in),
        ]);
        assert_refused(&run(&["--config", &tree.text("configuration.toml")]), parts);
    }
}

#[test]
fn annotations_with_bad_values_are_refused_with_key_and_value() {
    let key = "io.katacontainers.config.hypervisor.default_vcpus";
    for value in ["many", "NaN", &"9".repeat(2000)] {
        let annotation = format!("{key}={value}");
        let shown = value.get(..4).unwrap_or(value);
        assert_refused(&run(&["--annotation", &annotation]), &[key, shown]);
        let bundle = Bundle::new().with("/annotations", json!({ key: value }));
        assert_refused(&bundle.run(), &[key, shown]);
    }
}

#[test]
fn fake_root_that_is_no_directory_is_refused() {
    let root = ["--fake-root", "/nonexistent/root"];
    assert_refused(&run(&root), &["/nonexistent/root", "No such file"]);
    assert_refused(
        &run(&["--fake-root", "/dev/null"]),
        &["/dev/null", "not a directory"],
    );
}

#[test]
fn vfio_devices_without_a_function_are_refused() {
    let tree = Tree::new(&[
        ("dev/vfio/12", ""),
        ("sys/bus/pci/devices/0000:3b:00.0/vendor", ""),
    ]);
    for (path, reason) in [
        ("/dev/vfio/12", "IOMMU group 12"),
        ("/dev/vfio/devices/vfio3", "vfio3"),
        ("/dev/vfio/../null", "/dev/vfio/../null"),
    ] {
        let devices = json!([{ "path": "/dev/null", "type": "c", "major": 1, "minor": 3 },
            { "path": path, "type": "c", "major": 0, "minor": 0 }]);
        let bundle = Bundle::new().with("/linux/devices", devices);
        let field = format!("linux.devices[1].path = {path:?}");
        let output = bundle.arg(&["--fake-root", &tree.text("")]).run();
        assert_refused(&output, &[&field, reason]);
    }
}

#[test]
fn hooks_that_fail_stop_the_container_with_their_name() {
    for (kind, side) in [
        (
            "prestart",
            "config.json: hooks.prestart[0].path = \"/bin/sh\"",
        ),
        (
            "createRuntime",
            "config.json: hooks.createRuntime[0].path = \"/bin/sh\"",
        ),
        (
            "createContainer",
            "the agent refused the container: hooks.createContainer[0]",
        ),
        (
            "startContainer",
            "the agent refused the container: hooks.startContainer[0]",
        ),
    ] {
        let output = Bundle::new().with_hook(kind, "exit 3", 5).run();
        assert_refused(&output, &[side, "exit status with 3"]);
    }
    let hooks = json!({ "createRuntime": [{ "path": "bin/hook" }] });
    let output = Bundle::new().with("/hooks", hooks).run();
    assert_refused(
        &output,
        &["hooks.createRuntime[0].path = \"bin/hook\"", "not absolute"],
    );
}

#[test]
fn agent_that_cannot_make_a_mount_point_says_which() {
    let mounts = json!([
        { "destination": "/etc/hosts", "type": "bind", "source": "hosts" },
        { "destination": "/etc/hosts/x", "type": "tmpfs" }
    ]);
    let output = Bundle::new().with("/mounts", mounts).run();
    let parts = [
        "the agent refused the container",
        "mounts[1].destination = \"/etc/hosts/x\"",
    ];
    assert_refused(&output, &parts);
}

#[test]
fn agent_that_takes_too_long_is_given_up_and_leaves_no_hook_behind() {
    let drop_in = "[agent.kata]\ncreate_container_timeout = 1";
    let config = Tree::new(&[
        ("configuration.toml", REMOTE),
        ("config.d/10-x.toml", drop_in),
    ]);
    let mark = Tree::new(&[]);
    let script = format!("echo $$ > {}; exec sleep 600", mark.text("pid"));
    let bundle = Bundle::new().with_hook("createContainer", &script, 2);
    let output = bundle
        .arg(&["--config", &config.text("configuration.toml")])
        .run();
    assert_refused(&output, &["the agent refused the container", "timed out"]);
    let pid = fs::read_to_string(mark.path("pid")).unwrap();
    assert!(
        !fs::exists(format!("/proc/{}", pid.trim())).unwrap(),
        "{pid}"
    );
}
