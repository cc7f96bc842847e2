//! A package outside of the workspace uses every crate as the consumers in kata-containers do, and
//! compiles without a warning: by path, from sources that nobody can write to, and by git, from a
//! bare clone; both offline, with a `Cargo.lock` of its own.
//!
//! The package and what is built of it stay in the target directory, so that only the first run takes
//! its time. Without a cargo that works offline, or without git, the tests say so and pass.
//!
//! Where the kernel allows it, the sources are a read-only bind mount and there is no network;
//! permissions do not bind root.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::SystemTime;

const MANIFEST: &str = include_str!("workspace_consumer/Cargo.toml.in");

const SOURCES: [(&str, &str); 5] = [
    ("lib.rs", include_str!("workspace_consumer/lib.rs.in")),
    ("agent.rs", include_str!("workspace_consumer/agent.rs.in")),
    (
        "rustjail.rs",
        include_str!("workspace_consumer/rustjail.rs.in"),
    ),
    (
        "runtime.rs",
        include_str!("workspace_consumer/runtime.rs.in"),
    ),
    ("tools.rs", include_str!("workspace_consumer/tools.rs.in")),
];

const CRATES: [&str; 9] = [
    "kata-sys-util",
    "kata-types",
    "logging",
    "mem-agent",
    "protocols",
    "runtime-spec",
    "safe-path",
    "shim-interface",
    "test-utils",
];

/// Makes `$1` read-only in a mount namespace and goes on with the rest of the arguments.
const READ_ONLY: &str =
    r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;

/// Made once for both tests, at the same place in every run.
static CONSUMER: LazyLock<Result<Consumer, String>> = LazyLock::new(Consumer::create);

macro_rules! or_skip {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(reason) => {
                println!("INFO: skipping {} - {reason}", module_path!());
                return;
            }
        }
    };
}

#[test]
fn every_crate_is_used_by_path_from_read_only_sources() {
    let consumer = or_skip!(&*CONSUMER);
    let before = listing(&consumer.checkout);
    let package = consumer.by_path();
    assert_success(&consumer.cargo(Isolation::Full, &package, &["check", "--all-targets"]));
    assert!(
        listing(&consumer.checkout) == before,
        "the build has touched its sources"
    );
    let lock = fs::read_to_string(package.join("Cargo.lock")).unwrap();
    assert!(lock.contains("name = \"workspace-consumer\""), "{lock}");
}

#[test]
fn every_crate_is_used_by_git_from_a_bare_clone() {
    let consumer = or_skip!(&*CONSUMER);
    let revision = or_skip!(consumer.revision.as_ref());
    let package = consumer.by_git(revision);
    // Cargo takes even a clone on this disk for a download. There is no way to the network here.
    assert_success(&consumer.cargo(Isolation::Network, &package, &["fetch", "--locked"]));
    let check = ["check", "--locked", "--all-targets", "--offline"];
    assert_success(&consumer.cargo(Isolation::Network, &package, &check));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolation {
    /// No network, and offline.
    Full,
    /// No network, but cargo may think that there is one.
    Network,
}

struct Consumer {
    /// Where everything is.
    dir: PathBuf,
    /// A read-only copy of the workspace.
    checkout: PathBuf,
    /// The commit in the bare clone, or why there is none.
    revision: Result<String, String>,
}

impl Consumer {
    /// Fails with the reason if the tests cannot be made here.
    fn create() -> Result<Self, String> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // What one user has made, another one cannot write to.
        let uid = fs::metadata("/proc/self").map_err(text)?.uid();
        let dir = format!("workspace-consumer-{uid}");
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(dir);
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let probe = Command::new(cargo_program())
            .args(["tree", "--quiet", "--offline", "--locked", "--all-features"])
            .current_dir(workspace)
            .output()
            .map_err(text)?;
        if !probe.status.success() {
            let said = String::from_utf8_lossy(&probe.stderr);
            return Err(format!("cargo does not work offline here: {said}"));
        }
        make_cargo_home(&dir.join("cargo-home")).map_err(text)?;
        if let Some(file) = unreadable(&dir.join("cargo-home"), &workspace.join("Cargo.lock")) {
            return Err(format!("{} cannot be read", file.display()));
        }
        let consumer = Self {
            checkout: dir.join("checkout"),
            revision: snapshot(workspace, &dir.join("clone.git")),
            dir,
        };
        copy_workspace(workspace, &consumer.checkout)?;
        consumer.forget_other_revisions();
        Ok(consumer)
    }

    /// The package with path dependencies.
    fn by_path(&self) -> PathBuf {
        let package = self.dir.join("by-path");
        let source = |name: &str| format!("path = {:?}", self.checkout.join(name));
        write_package(&package, source);
        // The versions of the workspace, so that nothing needs to be downloaded.
        fs::copy(self.checkout.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
        make_writable(&package.join("Cargo.lock"));
        package
    }

    /// The package with git dependencies, locked to `revision`.
    fn by_git(&self, revision: &str) -> PathBuf {
        let package = self.dir.join("by-git");
        let url = format!("file://{}", self.dir.join("clone.git").display());
        write_package(&package, |_| format!("git = {url:?}"));
        // The lock file of the other package says all but where our crates come from.
        let by_path = self.by_path();
        assert_success(&self.cargo(Isolation::Full, &by_path, &["generate-lockfile"]));
        let lock = fs::read_to_string(by_path.join("Cargo.lock")).unwrap();
        let mut ours = false;
        let mut locked = String::new();
        for line in lock.lines() {
            if let Some(name) = line.strip_prefix("name = ") {
                ours = CRATES.contains(&name.trim_matches('"'));
            }
            locked.push_str(line);
            locked.push('\n');
            if ours && line.starts_with("version = ") {
                locked.push_str(&format!("source = \"git+{url}#{revision}\"\n"));
            }
        }
        write(&package.join("Cargo.lock"), &locked).unwrap();
        package
    }

    /// Runs cargo in `package`, with warnings denied.
    fn cargo(&self, isolation: Isolation, package: &Path, arguments: &[&str]) -> Output {
        let program = cargo_program();
        let mut command = match can_isolate(&self.checkout) {
            true => {
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "--net", "sh", "-c", READ_ONLY, "sh"])
                    .arg(&self.checkout)
                    .arg(program);
                command
            }
            false => Command::new(program),
        };
        if isolation == Isolation::Full {
            command.env("CARGO_NET_OFFLINE", "true");
        } else {
            command.env_remove("CARGO_NET_OFFLINE");
        }
        command
            .args(arguments)
            .current_dir(package)
            .env("CARGO_HOME", self.dir.join("cargo-home"))
            .env("CARGO_TARGET_DIR", self.dir.join("target"))
            // Where there is a network, nobody serves at the discard port.
            .env("CARGO_HTTP_PROXY", "http://127.0.0.1:9")
            .env("CARGO_NET_RETRY", "0")
            .env("CARGO_NET_GIT_FETCH_WITH_CLI", "false")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TERM_COLOR", "never")
            .env("RUSTFLAGS", "-D warnings")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Each commit is another package to cargo: without this, the directory would grow with every
    /// change of the sources.
    fn forget_other_revisions(&self) {
        let Ok(revision) = &self.revision else {
            return;
        };
        let known = self.dir.join("revision");
        if fs::read_to_string(&known).is_ok_and(|known| known == *revision) {
            return;
        }
        // Nothing there is worth a failure.
        let _ = fs::remove_dir_all(self.dir.join("cargo-home/git/checkouts"));
        for part in ["deps", ".fingerprint", "build"] {
            let entries = fs::read_dir(self.dir.join("target/debug").join(part));
            for entry in entries.into_iter().flatten().flatten() {
                let name = entry.file_name();
                if is_ours(&name.to_string_lossy()) {
                    let path = entry.path();
                    let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
                }
            }
        }
        let _ = fs::write(known, revision);
    }
}

/// Whether a file of a target directory, such as `libkata_types-0123.rmeta`, is of one of our crates.
fn is_ours(file: &str) -> bool {
    let stem = file.rsplit_once('-').map_or(file, |(stem, _)| stem);
    let stem = stem.replace('_', "-");
    CRATES.contains(&stem.strip_prefix("lib").unwrap_or(&stem))
}

fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The packages that the user has downloaded, with room for git checkouts of our own.
fn make_cargo_home(dir: &Path) -> io::Result<()> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let user = env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    let Some(home) = home.or(user) else {
        return Err(io::Error::other("neither CARGO_HOME nor HOME is set"));
    };
    fs::create_dir_all(dir)?;
    for name in ["registry", "config", "config.toml"] {
        let link = dir.join(name);
        if home.join(name).exists() && fs::read_link(&link).ok() != Some(home.join(name)) {
            let _ = fs::remove_file(&link);
            symlink(home.join(name), link)?;
        }
    }
    Ok(())
}

/// A source file of a downloaded package that is of no use to this user: some archives have files that
/// only whoever unpacks them may read.
fn unreadable(cargo_home: &Path, lock: &Path) -> Option<PathBuf> {
    let lock = fs::read_to_string(lock).ok()?;
    let registries = fs::read_dir(cargo_home.join("registry/src")).ok()?;
    let registries: Vec<_> = registries.flatten().map(|dir| dir.path()).collect();
    let quoted = |line: &str, key| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    let mut name = String::new();
    for line in lock.lines() {
        name = quoted(line, "name = ").unwrap_or(name);
        let Some(version) = quoted(line, "version = ") else {
            continue;
        };
        let dirs = registries
            .iter()
            .map(|dir| dir.join(format!("{name}-{version}")));
        let mut paths: Vec<_> = dirs.filter(|dir| dir.exists()).collect();
        while let Some(path) = paths.pop() {
            if let Ok(entries) = fs::read_dir(&path) {
                paths.extend(entries.flatten().map(|entry| entry.path()));
            } else if path.extension() == Some("rs".as_ref()) && fs::File::open(&path).is_err() {
                return Some(path);
            }
        }
    }
    None
}

/// Commits the files of `workspace` as they are now, of which git does not ignore any, to a bare
/// clone. The commit is the same as long as they are. Fails with the reason if there is no clone.
fn snapshot(workspace: &Path, clone: &Path) -> Result<String, String> {
    let config = clone.with_extension("config");
    // The checkout may belong to somebody else.
    fs::write(&config, "[safe]\n\tdirectory = *\n").map_err(text)?;
    let git = |arguments: &[&OsStr]| -> Result<String, String> {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(workspace)
            .env("GIT_CONFIG_GLOBAL", &config)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "consumer")))
            .envs(
                ["AUTHOR", "COMMITTER"]
                    .map(|who| (format!("GIT_{who}_EMAIL"), "consumer@localhost")),
            )
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), "@0 +0000")))
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .map_err(|e| format!("git: {e}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        }
    };
    if !workspace.join(".git").exists() {
        return Err("the checkout is no git repository".to_owned());
    }
    if !clone.join("HEAD").exists() {
        let mut arguments = ["clone", "--bare", "--quiet"].map(OsStr::new).to_vec();
        arguments.extend([workspace.as_os_str(), clone.as_os_str()]);
        git(&arguments)?;
    }
    let mut dirs = [OsStr::new("--git-dir"), clone.as_os_str()].to_vec();
    dirs.extend([OsStr::new("--work-tree"), workspace.as_os_str()]);
    let in_clone = |arguments: &[&str]| {
        let arguments = arguments.iter().map(OsStr::new);
        git(&dirs.iter().copied().chain(arguments).collect::<Vec<_>>())
    };
    in_clone(&["add", "--all"])?;
    let tree = in_clone(&["write-tree"])?;
    let commit = in_clone(&["commit-tree", "-m", "snapshot", &tree])?;
    in_clone(&["update-ref", "HEAD", &commit])?;
    Ok(commit)
}

/// Writes the package, whose crates come from where `source` says.
fn write_package(package: &Path, source: impl Fn(&str) -> String) {
    let mut manifest = MANIFEST.to_owned();
    for name in CRATES {
        let place = format!("@{name}@");
        assert!(manifest.contains(&place), "{name} is not used");
        manifest = manifest.replace(&place, &source(name));
    }
    fs::create_dir_all(package.join("src")).unwrap();
    write(&package.join("Cargo.toml"), &manifest).unwrap();
    for (name, text) in SOURCES {
        write(&package.join("src").join(name), text).unwrap();
    }
}

/// Copies the crates and what they inherit from, and makes the copy read-only.
fn copy_workspace(workspace: &Path, to: &Path) -> Result<(), String> {
    let failed = |e: io::Error| format!("{} cannot be copied: {e}", workspace.display());
    make_writable(to);
    fs::create_dir_all(to).map_err(failed)?;
    for name in ["Cargo.toml", "Cargo.lock"].into_iter().chain(CRATES) {
        copy(&workspace.join(name), &to.join(name)).map_err(failed)?;
    }
    set_read_only(to).map_err(failed)
}

/// Copies what has changed, as cargo goes by modification times, and removes what is gone.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    make_writable(to);
    if !from.is_dir() {
        let text = fs::read(from)?;
        return match fs::read(to).is_ok_and(|old| old == text) {
            true => Ok(()),
            false => fs::write(to, text),
        };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(to)?.flatten() {
        if !from.join(entry.file_name()).exists() {
            let path = entry.path();
            make_writable(&path);
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path))?;
        }
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// For the owner, if it exists.
fn make_writable(path: &Path) {
    if let Ok(metadata) = fs::metadata(path) {
        let mode = metadata.permissions().mode() | 0o200;
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    }
}

fn set_read_only(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            set_read_only(&entry?.path())?;
        }
    }
    let mode = fs::metadata(path)?.permissions().mode() & !0o222;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// What could tell that something was written: times of change and lengths.
fn listing(dir: &Path) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let mut listing = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                dirs.push(path.clone());
            }
            listing.insert(path, (metadata.modified().unwrap(), metadata.len()));
        }
    }
    listing
}

/// Whether this process may make namespaces in which `sources` are read-only.
fn can_isolate(sources: &Path) -> bool {
    let script = "touch \"$1/probe\" 2> /dev/null && rm \"$1/probe\" && exit 1; exit 42";
    let status = Command::new("unshare")
        .args(["--mount", "--net", "sh", "-c", READ_ONLY, "sh"])
        .arg(sources)
        .args(["sh", "-c", script, "sh"])
        .arg(sources)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.code() == Some(42))
}

/// Leaves a file alone that is as it should be, as cargo goes by modification times.
fn write(path: &Path, content: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(path, content)
}

fn text(error: io::Error) -> String {
    error.to_string()
}

#[track_caller]
fn assert_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
