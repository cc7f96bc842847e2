//! Runs the built example `create-container` as a process, with its temporary files where a test can
//! see that they are gone.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
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
        "build it first: cargo build -p kata-sys-util --example create-container"
    );
    example
}

/// Runs the example. Nothing of it is left behind.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Output {
    run_in(tempfile::tempdir().unwrap().path(), args)
}

/// Runs the example with the empty directory `scratch` for its temporary files.
#[track_caller]
pub(crate) fn run_in(scratch: &Path, args: &[&str]) -> Output {
    let output = Command::new(example())
        .args(args)
        .env("TMPDIR", scratch)
        .output()
        .expect("cannot run the example");
    let left: Vec<_> = fs::read_dir(scratch).unwrap().flatten().collect();
    assert!(left.is_empty(), "{args:?} left {left:?} behind");
    output
}

/// A small valid bundle, in a directory whose name is a valid container id.
pub(crate) struct Bundle {
    dir: TempDir,
    pub(crate) config: Value,
    /// More arguments.
    args: Vec<String>,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("web").tempdir().unwrap();
        fs::create_dir_all(dir.path().join("rootfs/etc")).unwrap();
        fs::write(dir.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"], "cwd": "/", "env": []
            },
            "root": { "path": "rootfs" },
            "mounts": [
                { "destination": "/etc/hosts", "type": "bind", "source": "hosts", "options": ["bind"] }
            ],
            "hooks": {},
            "annotations": {},
            "linux": { "namespaces": [{ "type": "pid" }], "devices": [] }
        });
        Self {
            dir,
            config,
            args: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the member at a JSON pointer.
    #[track_caller]
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        *self.config.pointer_mut(pointer).unwrap() = value;
        self
    }

    /// A hook of the kind `kind` that runs `script`, for `timeout` seconds.
    pub(crate) fn with_hook(self, kind: &str, script: &str, timeout: u32) -> Self {
        let hook = json!({
            "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"],
            "timeout": timeout
        });
        let mut bundle = self;
        bundle.config["hooks"][kind] = json!([hook]);
        bundle
    }

    pub(crate) fn arg(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    #[track_caller]
    pub(crate) fn run(&self) -> Output {
        self.run_text(self.config.to_string())
    }

    #[track_caller]
    pub(crate) fn run_text(&self, config: impl AsRef<[u8]>) -> Output {
        fs::write(self.path().join("config.json"), config).unwrap();
        self.run_as_is()
    }

    #[track_caller]
    pub(crate) fn run_as_is(&self) -> Output {
        let mut args = vec!["--bundle", self.path().to_str().unwrap()];
        args.extend(self.args.iter().map(String::as_str));
        run(&args)
    }
}

/// A tree of files. A content that begins with `-> ` is the target of a link.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (path, content) in files {
            let path = tree.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content.strip_prefix("-> ") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, content).unwrap(),
            }
        }
        tree
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    pub(crate) fn text(&self, file: &str) -> String {
        self.path(file).to_str().unwrap().to_owned()
    }
}

/// A configuration that any machine can use, with two keys left to fill in.
pub(crate) const REMOTE: &str = r#"
[hypervisor.remote]
hypervisor_socket = "/dev/null"
default_vcpus = 1
enable_annotations = ["default_vcpus"]
[agent.kata]
[runtime]
name = "virt_container"
hypervisor_name = "remote"
agent_name = "kata"
"#;

#[track_caller]
pub(crate) fn assert_created(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
pub(crate) fn assert_json(output: &Output) -> Value {
    serde_json::from_str(&assert_created(output)).unwrap()
}

#[track_caller]
pub(crate) fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// Exit status 1 and one readable paragraph that contains every one of `parts`.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, parts: &[&str]) {
    let stderr = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("create-container: "), "{stderr}");
    assert!(stderr.len() < 1200, "{} bytes: {stderr}", stderr.len());
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!stderr.trim_end().contains(char::is_control), "{stderr:?}");
    assert_contains(stderr, parts);
}
