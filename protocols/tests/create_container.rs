//! Runs the built example `create-container` as a process, on good and on bad bundles.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// `cargo test` builds the examples of a package beside its test binaries; `cargo test --test …`
/// does not.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile_dir = test.parent().unwrap().parent().unwrap();
    let example = profile_dir.join("examples/create-container");
    assert!(
        example.exists(),
        "build it first: cargo build -p protocols --example create-container"
    );
    example
}

fn run(args: &[&str]) -> Output {
    Command::new(example())
        .args(args)
        .output()
        .expect("cannot run the example")
}

/// A small valid bundle, in a directory whose name is a valid container id.
struct Bundle {
    dir: TempDir,
    config: Value,
}

impl Bundle {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("web").tempdir().unwrap();
        fs::create_dir_all(dir.path().join("rootfs/etc")).unwrap();
        fs::write(dir.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "cwd": "/"
            },
            "root": { "path": "rootfs" },
            "mounts": [
                { "destination": "/etc/hosts", "type": "bind", "source": "hosts", "options": ["bind"] }
            ],
            "linux": { "namespaces": [{ "type": "pid" }] }
        });
        Self { dir, config }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the member at a JSON pointer.
    fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.config.pointer_mut(pointer).unwrap() = value;
        self
    }

    fn run(&self) -> Output {
        self.run_text(self.config.to_string())
    }

    fn run_text(&self, config: impl AsRef<[u8]>) -> Output {
        fs::write(self.path().join("config.json"), config).unwrap();
        self.run_as_is()
    }

    fn run_as_is(&self) -> Output {
        run(&["--bundle", self.path().to_str().unwrap()])
    }
}

#[track_caller]
fn assert_arrived(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        stdout.contains("The agent received CreateContainer"),
        "{stdout}"
    );
    stdout
}

/// Exit status 1 and one readable paragraph that contains every one of `parts`.
#[track_caller]
fn assert_refused(output: &Output, parts: &[&str]) {
    let stderr = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("create-container: "), "{stderr}");
    assert!(stderr.len() < 1200, "{} bytes: {stderr}", stderr.len());
    assert!(!stderr.contains("panicked"), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
    }
}

#[test]
fn built_in_bundle_arrives() {
    let stdout = assert_arrived(&run(&[]));
    for part in [
        "CreateContainer for \"web\"",
        r#"args         ["/bin/sh", "-c", "echo hello from the guest"]"#,
        "user         uid 1000 gid 1000",
        "namespaces   pid ipc uts mount cgroup",
        "device       /dev/null 1:3",
        // The image's absolute link `/var/run -> /run` was followed inside the root filesystem.
        "/var/run/secrets (rootfs/run/secrets) from ",
        "seccomp      7 system calls named",
        r#"{"ociVersion":"1.1.0","id":"web","status":"creating""#,
    ] {
        assert!(stdout.contains(part), "{part:?} is not in:\n{stdout}");
    }
}

#[test]
fn bundle_of_the_user_arrives() {
    let bundle = Bundle::new();
    let stdout = assert_arrived(&bundle.run());
    assert!(stdout.contains("/etc/hosts (rootfs/etc/hosts) from "));
    assert!(stdout.contains("args         [\"/bin/true\"]"), "{stdout}");
}

#[test]
fn absolute_rootfs_inside_the_bundle_arrives() {
    let bundle = Bundle::new();
    let rootfs = bundle.path().canonicalize().unwrap().join("rootfs");
    let bundle = bundle.with("/root/path", json!(rootfs));
    assert_arrived(&bundle.run());
}

#[test]
fn container_id_is_chosen_with_the_option() {
    let stdout = assert_arrived(&run(&["--id", "db-1"]));
    assert!(stdout.contains("CreateContainer for \"db-1\""));
}

#[test]
fn fields_that_the_request_cannot_carry_are_listed() {
    let bundle = Bundle::new().with(
        "/linux",
        json!({ "namespaces": [], "resources": { "unified": { "memory.high": "1" } } }),
    );
    let stdout = assert_arrived(&bundle.run());
    assert!(stdout.contains("not sent"), "{stdout}");
    assert!(stdout.contains("unified"), "{stdout}");
}

#[test]
fn terminal_control_characters_do_not_reach_the_terminal() {
    let bundle = Bundle::new().with("/process/cwd", json!("/\u{1b}[2J"));
    let stdout = assert_arrived(&bundle.run());
    assert!(!stdout.contains('\u{1b}'), "{stdout:?}");
}

#[test]
fn help_and_wrong_usage_have_their_own_status() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).starts_with("usage: create-container"));
    for args in [&["--bundel", "x"][..], &["--bundle"], &["x"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: create-container"));
    }
}

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
    let cases: [(&str, Value, &[&str]); 14] = [
        ("/ociVersion", json!("2.0.0"), &["ociVersion = \"2.0.0\""]),
        ("/ociVersion", json!(7), &["ociVersion", "7"]),
        ("/process/args", json!([]), &["process.args is missing"]),
        (
            "/process/args",
            json!(["/bin/sh\0-c"]),
            &["process.args[0] = \"/bin/sh\\0-c\"", "NUL"],
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
    assert_arrived(&output);
}
