//! `hack/update-generated-proto.sh`, with tools in the place of the real ones that tell how they
//! were called.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/hack/update-generated-proto.sh"
);
const OUT: &str = "../runtime/virtcontainers/pkg/agent/protocols";

/// A source tree with the folder of the agent, and a `GOPATH`.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new(tools: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("go/bin");
        fs::create_dir_all(&bin).unwrap();
        for tool in tools {
            let path = bin.join(tool);
            fs::write(&path, "#!/bin/sh\nprintf '%s\\n' \"$@\" >>../calls\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::create_dir(folder.path().join("agent")).unwrap();
        Tree { folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_in("agent", arguments)
    }

    fn run_in(&self, folder: &str, arguments: &[&str]) -> Output {
        // In front of a `protoc` that the machine may have.
        let path = format!(
            "{}:/usr/bin:/bin",
            self.folder.path().join("go/bin").display()
        );
        self.run_with(&path, folder, arguments)
    }

    fn run_with(&self, path: &str, folder: &str, arguments: &[&str]) -> Output {
        Command::new("/bin/sh")
            .arg(SCRIPT)
            .args(arguments)
            .current_dir(self.folder.path().join(folder))
            .env("GOPATH", self.folder.path().join("go"))
            .env("PATH", path)
            .output()
            .unwrap()
    }

    /// The arguments of every call, one a line.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

/// Whether the machine has one of the tools where it would hide that the tree has none.
fn has(tool: &str) -> bool {
    ["/usr/bin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(tool).exists())
}

const TOOLS: [&str; 3] = ["protoc", "protoc-gen-go", "protoc-gen-go-ttrpc"];

#[track_caller]
fn assert_fails(output: &Output, text: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(text), "{error}");
}

fn calls_of(name: &str, folder: &str) -> Vec<String> {
    let protos: PathBuf = Path::new(SCRIPT).parent().unwrap().join("../protos");
    let options = "paths=source_relative,Mgoogle/protobuf/empty.proto=\
                   google.golang.org/protobuf/types/known/emptypb";
    vec![
        format!("--proto_path={}", protos.display()),
        format!("--go_out={options}:{folder}"),
        format!("--go-ttrpc_out={options}:{folder}"),
        name.to_owned(),
    ]
}

#[test]
fn one_file_is_generated_beside_its_package() {
    let tree = Tree::new(&TOOLS);
    assert!(tree.run(&["grpc/agent.proto"]).status.success());
    assert_eq!(
        tree.calls(),
        calls_of("agent.proto", &format!("{OUT}/grpc"))
    );
    assert!(
        tree.folder
            .path()
            .join("runtime/virtcontainers/pkg/agent/protocols/grpc")
            .is_dir()
    );

    let tree = Tree::new(&TOOLS);
    assert!(tree.run(&["types.proto"]).status.success());
    assert_eq!(tree.calls(), calls_of("types.proto", OUT));
}

#[test]
fn all_files_are_generated() {
    let tree = Tree::new(&TOOLS);
    assert!(tree.run(&["all"]).status.success());
    let calls = tree.calls();
    let files: Vec<&String> = calls
        .iter()
        .filter(|line| !line.starts_with("--"))
        .collect();
    assert_eq!(
        files,
        [
            "agent.proto",
            "csi.proto",
            "health.proto",
            "oci.proto",
            "types.proto"
        ]
    );
    for file in files {
        assert!(
            Path::new(SCRIPT)
                .parent()
                .unwrap()
                .join("../protos")
                .join(file)
                .is_file()
        );
    }
}

#[test]
fn tools_are_found_below_gopath() {
    if TOOLS.into_iter().any(has) {
        println!("INFO: skipping tools_are_found_below_gopath which needs a PATH without protoc");
        return;
    }
    let tree = Tree::new(&TOOLS);
    assert!(
        tree.run_with("/usr/bin:/bin", "agent", &["types.proto"])
            .status
            .success()
    );
    assert_eq!(tree.calls(), calls_of("types.proto", OUT));
}

#[test]
fn missing_tool_is_named() {
    for missing in TOOLS.into_iter().filter(|tool| !has(tool)) {
        let others: Vec<&str> = TOOLS.into_iter().filter(|tool| *tool != missing).collect();
        let tree = Tree::new(&others);
        assert_fails(&tree.run(&["all"]), &format!("{missing} is not in PATH"));
        assert!(tree.calls().is_empty());
    }
}

#[test]
fn unknown_file_is_an_error() {
    let tree = Tree::new(&TOOLS);
    for file in [
        "agent.proto",
        "grpc/remote.proto",
        "*",
        "grpc/agent.proto types.proto",
    ] {
        assert_fails(&tree.run(&[file]), "unknown file");
    }
    assert!(tree.calls().is_empty());
}

#[test]
fn other_folder_than_that_of_the_agent_is_an_error() {
    let tree = Tree::new(&TOOLS);
    let text = "Please go to root directory of agent before execute this shell";
    assert_fails(&tree.run_in("go", &["all"]), text);
}

#[test]
fn gopath_is_needed() {
    let tree = Tree::new(&TOOLS);
    let output = Command::new("/bin/sh")
        .args([SCRIPT, "all"])
        .current_dir(tree.folder.path().join("agent"))
        .env_remove("GOPATH")
        .output()
        .unwrap();
    assert_fails(&output, "GOPATH is not set");
}

#[test]
fn usage_is_printed_without_argument() {
    let output = Tree::new(&TOOLS).run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.starts_with("Usage: update-generated-proto.sh <all|FILE>"),
        "{text}"
    );
    assert!(text.contains("grpc/health.proto"), "{text}");
}
