//! Runs tests of the running test binary once more, in a process of its own.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// An ordinary user on every system (`nobody` on most).
pub(crate) const ORDINARY_USER: u32 = 65534;

/// A copy of this test binary that every user may execute, wherever cargo has put the original.
pub(crate) struct Binary {
    dir: TempDir,
}

/// What a run printed, and whether all its tests passed.
pub(crate) struct Run {
    pub(crate) output: String,
    pub(crate) passed: bool,
}

impl Binary {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let binary = Self { dir };
        // By another process: a child that another test starts meanwhile would hold a descriptor of
        // ours for writing, and what is being written cannot be executed.
        let mut copy = Command::new("cp");
        copy.arg(env::current_exe().unwrap()).arg(binary.path());
        assert!(copy.status().unwrap().success());
        fs::set_permissions(binary.path(), Permissions::from_mode(0o755)).unwrap();
        binary
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("tests")
    }

    /// The tests whose names contain `filter`, as the current user and without strict mode.
    pub(crate) fn command(&self, filter: &str) -> Command {
        let mut command = Command::new(self.path());
        arrange(&mut command, filter);
        command
    }

    /// The same, started by `wrapper`, a program and its options.
    pub(crate) fn command_under(&self, wrapper: &[&str], filter: &str) -> Command {
        let (program, options) = wrapper.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(options).arg(self.path());
        arrange(&mut command, filter);
        command
    }
}

fn arrange(command: &mut Command, filter: &str) {
    command
        .args([filter, "--show-output"])
        .env_remove("KATA_TEST_STRICT")
        .env_remove("RUST_TEST_THREADS")
        .env_remove("RUST_TEST_NOCAPTURE")
        .stdin(Stdio::null());
}

/// Makes the command run as [`ORDINARY_USER`], without any capability. Needs root.
pub(crate) fn as_ordinary_user(command: &mut Command) -> &mut Command {
    command.uid(ORDINARY_USER).gid(ORDINARY_USER)
}

pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        output: String::from_utf8(output.stdout).unwrap()
            + &String::from_utf8_lossy(&output.stderr),
        passed: output.status.success(),
    }
}

impl Run {
    /// Whether the test of this name ran and passed.
    pub(crate) fn passed(&self, test: &str) -> bool {
        let line = |end| format!("test {test} ... {end}");
        let ok = self.output.lines().any(|l| l == line("ok"));
        let failed = self.output.lines().any(|l| l == line("FAILED"));
        assert!(ok != failed, "{test}: {}", self.output);
        ok
    }

    /// The skip lines that the test of this name printed.
    pub(crate) fn skip_lines(&self, test: &str) -> Vec<&str> {
        let end = format!(" (test {test})");
        self.output
            .lines()
            .filter(|line| line.starts_with("INFO: skipping "))
            .filter_map(|line| line.strip_suffix(&end))
            .collect()
    }
}
