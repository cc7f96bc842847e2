//! Compiles the macros in packages of their own, as consumers use them, with warnings denied: a
//! test in this package could not see what an import counts for in another, nor what another
//! lacks. Without a cargo that works offline, the tests say so and pass.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

const EDITIONS: [&str; 3] = ["2018", "2021", "2024"];

const GUARDS: &str = include_str!("consumers/guards.rs.in");
const TABLES: &str = include_str!("consumers/tables.rs.in");
const PRIVATE_MODULE: &str = include_str!("consumers/private_module.rs.in");

/// How a consumer names the macros.
struct Style {
    name: &'static str,
    /// At the root of the crate.
    root: &'static str,
    /// Before the guards.
    guards: &'static str,
    /// Before the tables.
    tables: &'static str,
    /// What `@` stands for.
    macros: &'static str,
    /// What `$` stands for.
    types: &'static str,
}

const EVERY_GUARD: &str = "use test_utils::{
    assert_result, isolate, skip_if_kvm_inaccessible, skip_if_kvm_unaccessable, skip_if_no_cap,
    skip_if_not_root, skip_if_root, skip_loop_if_not_root, skip_loop_if_root,
};";

const STYLES: [Style; 5] = [
    Style {
        name: "imports",
        root: "",
        guards: EVERY_GUARD,
        tables: "use test_utils::TestUserType;
use test_utils::{skip_loop_by_user, skip_loop_if_not_root, skip_loop_if_root};",
        macros: "",
        types: "",
    },
    Style {
        name: "macro-only",
        root: "",
        guards: EVERY_GUARD,
        tables: "use test_utils::skip_loop_by_user;",
        macros: "",
        types: "test_utils::",
    },
    Style {
        name: "paths",
        root: "",
        guards: "",
        tables: "",
        macros: "test_utils::",
        types: "test_utils::",
    },
    Style {
        name: "glob",
        root: "",
        guards: "use test_utils::*;",
        tables: "use test_utils::*;",
        macros: "",
        types: "",
    },
    Style {
        name: "macro-use",
        root: "#[cfg(test)]\n#[macro_use]\nextern crate test_utils;\n",
        guards: "",
        tables: "",
        macros: "",
        types: "test_utils::",
    },
];

const NIX: &str =
    "nix = { version = \"0.26.4\", default-features = false, features = [\"user\"] }\n";

const WITH_NIX: &str = "
#[test]
fn nix_agrees() {
    assert_eq!(nix::unistd::Uid::effective().is_root(), is_root());
}
";

impl Style {
    fn library(&self, nix: bool) -> String {
        let fill = |text: &str| text.replace('@', self.macros).replace('$', self.types);
        format!(
            "{}\n#[cfg(test)]\nmod guards {{\n{}\n{}{}}}\n\n#[cfg(test)]\nmod tables {{\n{}\n{}}}\n",
            self.root,
            self.guards,
            fill(GUARDS),
            if nix { WITH_NIX } else { "" },
            self.tables,
            fill(TABLES),
        )
    }
}

/// The workspace of consumers, and the cargo to build it with.
struct Consumers {
    cargo: PathBuf,
    root: PathBuf,
    target: PathBuf,
}

/// Made once for all tests, at the same place in every run, so that cargo builds only what changed.
static CONSUMERS: LazyLock<Result<Consumers, String>> = LazyLock::new(Consumers::create);

impl Consumers {
    /// Fails with the reason if cargo cannot be used here.
    fn create() -> Result<Self, String> {
        let cargo = env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumers");
        let consumers = Self {
            cargo,
            root: dir.join("workspace"),
            target: dir.join("target"),
        };
        consumers.probe(&dir.join("probe"), package)?;
        consumers.write_packages(package);
        copy_lock_file(package, &consumers.root).map_err(|error| error.to_string())?;
        Ok(consumers)
    }

    /// Builds what the consumers need from elsewhere.
    fn probe(&self, root: &Path, package: &Path) -> Result<(), String> {
        let here = |error: io::Error| format!("{}: {error}", root.display());
        let manifest = format!(
            "[package]\nname = \"probe\"\nedition = \"2024\"\n\n\
             [dependencies]\nlibc = \"0.2\"\n{NIX}\n[workspace]\n"
        );
        fs::create_dir_all(root.join("src")).map_err(here)?;
        write(&root.join("Cargo.toml"), &manifest).map_err(here)?;
        write(&root.join("src/lib.rs"), "").map_err(here)?;
        copy_lock_file(package, root).map_err(here)?;
        let output = self
            .command("check")
            .current_dir(root)
            .output()
            .map_err(|error| format!("{}: {error}", self.cargo.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("cargo does not work offline here: {said}"))
    }

    fn write_packages(&self, test_utils: &Path) {
        let test_utils = test_utils.to_str().unwrap();
        let mut members = Vec::new();
        let mut package = |name: String, edition: &str, nix: bool, library: String| {
            let nix = if nix { NIX } else { "" };
            let manifest = format!(
                "[package]\nname = {name:?}\nedition = {edition:?}\npublish = false\n\n\
                 [dev-dependencies]\ntest-utils = {{ path = {test_utils:?} }}\n{nix}\n\
                 [lints.rust]\nrust_2018_idioms = {{ level = \"warn\", priority = -1 }}\n\
                 unused = {{ level = \"warn\", priority = -1 }}\nunused_qualifications = \"warn\"\n"
            );
            let dir = self.root.join(&name);
            fs::create_dir_all(dir.join("src")).unwrap();
            write(&dir.join("Cargo.toml"), &manifest).unwrap();
            write(&dir.join("src/lib.rs"), &library).unwrap();
            members.push(name);
        };

        for edition in EDITIONS {
            for style in &STYLES {
                package(
                    format!("{}-{edition}", style.name),
                    edition,
                    false,
                    style.library(false),
                );
                package(
                    format!("{}-{edition}-nix", style.name),
                    edition,
                    true,
                    style.library(true),
                );
            }
            package(
                format!("private-module-{edition}"),
                edition,
                false,
                PRIVATE_MODULE.to_owned(),
            );
        }
        for (name, call, _) in FAILING {
            let library = format!("#[test]\nfn test() {{\n    {call}\n}}\n");
            package(format!("failing-{name}"), "2021", false, library);
        }

        let workspace = format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n");
        write(&self.root.join("Cargo.toml"), &workspace).unwrap();
    }

    /// `cargo COMMAND`, with warnings denied.
    fn command(&self, command: &str) -> Command {
        let mut cargo = Command::new(&self.cargo);
        cargo
            .args([command, "--offline", "--target-dir"])
            .arg(&self.target)
            .current_dir(&self.root)
            .env("RUSTFLAGS", "-D warnings")
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("KATA_TEST_STRICT");
        cargo
    }
}

/// Leaves a file alone that is as it should be, as cargo goes by modification times.
fn write(path: &Path, content: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(path, content)
}

/// Fixes the versions to those of the repository, so that nothing needs to be downloaded.
fn copy_lock_file(package: &Path, root: &Path) -> io::Result<()> {
    let lock = package
        .ancestors()
        .map(|dir| dir.join("Cargo.lock"))
        .find(|lock| lock.is_file());
    match lock {
        Some(lock) => fs::copy(lock, root.join("Cargo.lock")).map(drop),
        None => Ok(()),
    }
}

/// What must not compile: name, code, what the compiler says.
const FAILING: [(&str, &str, &str); 3] = [
    (
        "unknown-capability",
        "test_utils::skip_if_no_cap!(CAP_SYS_ADMIM);",
        "error[E0599]", // no such variant
    ),
    (
        "quoted-capability",
        "test_utils::skip_if_no_cap!(\"CAP_SYS_ADMIN\");",
        "error: no rules expected",
    ),
    (
        "continue-without-loop",
        "test_utils::skip_loop_if_root!(\"row\");",
        "error[E0268]", // `continue` outside of a loop
    ),
];

macro_rules! consumers_or_skip {
    () => {
        match &*CONSUMERS {
            Ok(consumers) => consumers,
            Err(reason) => {
                println!("INFO: skipping {} - {reason}", module_path!());
                return;
            }
        }
    };
}

fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_edition_and_style_compiles_without_a_warning() {
    let consumers = consumers_or_skip!();
    let mut check = consumers.command("check");
    let output = check
        .args(["--workspace", "--all-targets", "--exclude", "failing-*"])
        .output()
        .unwrap();
    assert_success(&output);
}

#[test]
fn every_edition_and_style_passes_clippy() {
    let consumers = consumers_or_skip!();
    let version = consumers.command("clippy").arg("-V").output();
    if !version.is_ok_and(|output| output.status.success()) {
        println!("INFO: skipping {} - no cargo clippy", module_path!());
        return;
    }
    let mut clippy = consumers.command("clippy");
    let output = clippy
        .args(["--workspace", "--all-targets", "--exclude", "failing-*"])
        .output()
        .unwrap();
    assert_success(&output);
}

#[test]
fn misuse_does_not_compile() {
    let consumers = consumers_or_skip!();
    for (name, call, error) in FAILING {
        let mut check = consumers.command("check");
        let output = check
            .args(["--all-targets", "-p", &format!("failing-{name}")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{call}");
        assert!(said.contains(error), "{call}: {said}");
    }
}

#[test]
fn consumers_skip_and_run_as_their_user_demands() {
    let consumers = consumers_or_skip!();
    let packages = ["imports-2018-nix", "macro-only-2021", "paths-2024"];
    let mut test = consumers.command("test");
    test.args(["--lib", "--no-fail-fast"]);
    for package in packages {
        test.args(["-p", package]);
    }
    let output = test.args(["--", "--show-output"]).output().unwrap();
    assert_success(&output);

    let printed = String::from_utf8(output.stdout).unwrap();
    let unmet = match nix::unistd::Uid::effective().is_root() {
        true => ("non-root", "as_ordinary_user", "test[1]", "NonRootOnly"),
        false => ("root", "as_root", "test[0]", "RootOnly"),
    };
    let (user, test, row, row_user) = unmet;
    for package in packages.map(|package| package.replace('-', "_")) {
        let guard =
            format!("INFO: skipping {package}::guards which needs {user} (test guards::{test})");
        assert!(
            printed.lines().any(|line| line == guard),
            "{guard}: {printed}"
        );
        let loops = printed.lines().any(|line| {
            line.starts_with(&format!("INFO: skipping loop {row}: TestData {{ path: "))
                && line.contains(&format!("test_user: {row_user} }} in {package}::tables "))
                && line.ends_with(&format!("which needs {user} (test tables::rows)"))
        });
        assert!(loops, "{package}: {printed}");
    }
}
