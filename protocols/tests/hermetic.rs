//! The crate builds from sources that nobody can write to, without `protoc` and without network,
//! twice at once with different features, and leaves the sources as they were.
//!
//! The builds are those of a user: small programs that depend on the copy by path. Their
//! dependencies are built once, in a folder that stays for the next run, and then linked into the
//! target folder of each build, so that the builds share no lock.
//!
//! Where the kernel allows it, the copy is a read-only bind mount and there is no network interface;
//! permissions do not bind root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

/// Makes `$1` read-only in a mount namespace and goes on with the rest of the arguments.
const READ_ONLY: &str =
    r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;

#[test]
fn builds_twice_at_once_from_read_only_sources_without_protoc() {
    if let Err(reason) = build_twice_at_once() {
        skip(&reason);
    }
}

/// Fails with the reason if the test cannot be made here.
fn build_twice_at_once() -> Result<(), String> {
    let targets = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hermetic");
    fs::create_dir_all(&targets).map_err(|error| format!("{}: {error}", targets.display()))?;
    let scratch = tempfile::tempdir_in(&targets).map_err(|error| error.to_string())?;
    let scratch = scratch.path();
    let sources = Sources::copy(&scratch.join("sources"))?;
    let path = path_with_traps(&scratch.join("bin"));
    let dependencies = Build {
        folder: sources.without_code(&scratch.join("dependencies"))?,
        target: targets.join("dependencies"),
        path: path.clone(),
    };
    dependencies.run_where_possible(&["metadata", "--format-version", "1"])?;
    dependencies.run(&["check", "--package", "protocols"]);

    let builds = [("plain", "[]"), ("serde", "[\"with-serde\"]")].map(|(name, features)| {
        let target = scratch.join(name).join("target");
        link(&dependencies.target, &target).unwrap();
        Build {
            folder: sources.user(&scratch.join(name), features),
            target,
            path: path.clone(),
        }
    });
    sources.make_read_only();
    let before = sources.listing();
    let isolation = Isolation::of_this_machine(&sources.root);
    let running = builds.each_ref().map(|build| build.start(&isolation));
    let outputs = running.map(|child| child.wait_with_output().unwrap());
    for (build, output) in builds.iter().zip(outputs) {
        assert_success(&output);
        build.check_generated_files();
    }
    assert!(sources.listing() == before, "the build touched its sources");
    let trap = scratch.join("bin/called");
    assert!(
        !trap.exists(),
        "the build ran {}",
        fs::read_to_string(trap).unwrap()
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a skip must be seen")]
fn skip(reason: &str) {
    println!(
        "INFO: skipping hermetic build which needs cargo, its packages and the sources: {reason}"
    );
}

/// A copy of the crate below a copy of the workspace manifest, which it inherits from.
struct Sources {
    root: PathBuf,
}

/// What could tell that a file was touched: permissions, time of change and content.
type Listing = BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)>;

impl Sources {
    fn copy(to: &Path) -> Result<Sources, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.parent().unwrap();
        let failed = |error: std::io::Error| error.to_string();
        fs::create_dir_all(to).map_err(failed)?;
        for file in ["Cargo.toml", "Cargo.lock"] {
            fs::copy(workspace.join(file), to.join(file)).map_err(failed)?;
        }
        copy(package, &to.join("protocols")).map_err(failed)?;
        // The other members are not here.
        let manifest = fs::read_to_string(to.join("Cargo.toml")).map_err(failed)?;
        let (head, tail) = manifest.split_once("members = [").ok_or("no members")?;
        let (_, tail) = tail.split_once(']').ok_or("no end of the members")?;
        fs::write(
            to.join("Cargo.toml"),
            format!("{head}members = [\"protocols\"]{tail}"),
        )
        .map_err(failed)?;
        Ok(Sources {
            root: to.to_owned(),
        })
    }

    /// A workspace with the manifest of the crate, but nothing in it to generate or compile.
    fn without_code(&self, to: &Path) -> Result<PathBuf, String> {
        copy(&self.root, to).map_err(|error| error.to_string())?;
        let package = to.join("protocols");
        fs::write(package.join("src/lib.rs"), "").unwrap();
        fs::write(package.join("build.rs"), "fn main() {}").unwrap();
        // Other members may be among the dependencies of the tests.
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
        let manifest = without_section(&manifest, "[dev-dependencies]");
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        Ok(to.to_owned())
    }

    /// A program that depends on the crate.
    fn user(&self, to: &Path, features: &str) -> PathBuf {
        fs::create_dir_all(to.join("src")).unwrap();
        fs::write(to.join("src/lib.rs"), "pub use protocols::agent;\n").unwrap();
        fs::copy(self.root.join("Cargo.lock"), to.join("Cargo.lock")).unwrap();
        let crate_folder = self.root.join("protocols");
        let manifest = format!(
            "[package]\nname = \"user\"\nedition = \"2024\"\n[workspace]\n\
             [dependencies]\nprotocols = {{ path = {crate_folder:?}, features = {features} }}\n"
        );
        fs::write(to.join("Cargo.toml"), manifest).unwrap();
        to.to_owned()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.root.clone()];
        let mut next = 0;
        while let Some(path) = paths.get(next).cloned() {
            if path.is_dir() {
                paths.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
            next += 1;
        }
        paths
    }

    fn listing(&self) -> Listing {
        let entry = |path: PathBuf| {
            let metadata = fs::metadata(&path).unwrap();
            let content = if path.is_dir() {
                Vec::new()
            } else {
                fs::read(&path).unwrap()
            };
            let facts = (
                metadata.permissions().mode(),
                metadata.modified().unwrap(),
                content,
            );
            (path, facts)
        };
        self.paths().into_iter().map(entry).collect()
    }

    fn make_read_only(&self) {
        self.change_mode(|mode| mode & !0o222);
    }

    fn change_mode(&self, change: impl Fn(u32) -> u32) {
        for path in self.paths() {
            let mut permissions = fs::metadata(&path).unwrap().permissions();
            permissions.set_mode(change(permissions.mode()));
            fs::set_permissions(&path, permissions).unwrap();
        }
    }
}

impl Drop for Sources {
    /// So that the folder can be removed.
    fn drop(&mut self) {
        self.change_mode(|mode| mode | 0o200);
    }
}

fn without_section(manifest: &str, head: &str) -> String {
    let mut skipped = false;
    let kept = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            skipped = *line == head;
        }
        !skipped
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// Copies a file, or a folder except what cargo builds in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// Copies the folder `from` with hard links in the place of its files.
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::hard_link(from, to);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        link(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

#[track_caller]
fn assert_success(output: &Output) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

/// Runs of cargo in one folder.
struct Build {
    folder: PathBuf,
    target: PathBuf,
    path: OsString,
}

impl Build {
    /// Returns why cargo cannot be run at all: it or a package is not on this machine.
    fn run_where_possible(&self, arguments: &[&str]) -> Result<(), String> {
        let output = self.command(Command::new(cargo()), arguments).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn run(&self, arguments: &[&str]) {
        let output = self.command(Command::new(cargo()), arguments).output();
        assert_success(&output.unwrap());
    }

    fn start(&self, isolation: &Isolation) -> Child {
        let cargo = isolation.command(&cargo());
        self.command(cargo, &["check"]).spawn().unwrap()
    }

    fn command(&self, mut cargo: Command, arguments: &[&str]) -> Command {
        cargo
            .args(arguments)
            .arg("--offline")
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("PROTOC", "protoc")
            .env("CARGO_TARGET_DIR", &self.target)
            // The least work that makes the same modules.
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        cargo
    }

    /// The generated modules are in the folder that cargo gave to this build.
    fn check_generated_files(&self) {
        let builds = fs::read_dir(self.target.join("debug/build")).unwrap();
        let folders = builds.map(|entry| entry.unwrap().path().join("out"));
        let mut folders = folders.filter(|folder| folder.join("agent_ttrpc.rs").is_file());
        assert!(folders.any(|folder| folder.join("mod.rs").is_file()));
    }
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `PATH` with programs in front that only tell that they were called.
fn path_with_traps(folder: &Path) -> OsString {
    fs::create_dir_all(folder).unwrap();
    for name in ["protoc", "protoc-gen-rust", "protoc-gen-ttrpc", "rustfmt"] {
        let trap = folder.join(name);
        let script = format!(
            "#!/bin/sh\necho {name} >>{:?}\nexit 1\n",
            folder.join("called")
        );
        fs::write(&trap, script).unwrap();
        fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

/// How a build is kept from writing to its sources.
enum Isolation {
    /// A mount namespace with the sources read-only, and a network namespace without interfaces.
    Namespaces(PathBuf),
    /// The permissions of the files.
    Permissions,
}

impl Isolation {
    fn of_this_machine(sources: &Path) -> Self {
        const REFUSED: i32 = 42;
        let namespaces = Isolation::Namespaces(sources.to_owned());
        let probe = sources.join("protocols/probe");
        let status = namespaces
            .command("sh".as_ref())
            .args(["-c", "touch \"$1\" 2>/dev/null || exit 42", "sh"])
            .arg(&probe)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let isolated = status.is_ok_and(|status| status.code() == Some(REFUSED));
        if isolated {
            namespaces
        } else {
            Isolation::Permissions
        }
    }

    fn command(&self, program: &std::ffi::OsStr) -> Command {
        match self {
            Isolation::Permissions => Command::new(program),
            Isolation::Namespaces(sources) => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--net", "sh", "-c", READ_ONLY, "sh"])
                    .arg(sources)
                    .arg(program);
                command
            }
        }
    }
}
