//! Hooks for tests: shell scripts, and what they leave.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, HookBuilder};
use runtime_spec::{ContainerState, State};
use tempfile::TempDir;

/// Longer than anything here may take, on the slowest machine.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A hook that runs a shell script. `OUT` in it is the path of a file to write to.
pub(crate) struct Script {
    dir: TempDir,
    pub(crate) hook: Hook,
}

impl Script {
    /// With `timeout` in seconds.
    pub(crate) fn new(script: &str, timeout: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hook = HookBuilder::default()
            .path("/bin/sh")
            .args(["sh", "-c", script].map(String::from))
            .env([
                "PATH=/usr/bin:/bin:/usr/sbin:/sbin".to_owned(),
                format!("OUT={}", dir.path().join("out").display()),
            ])
            .timeout(timeout)
            .build()
            .unwrap();
        Self { dir, hook }
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// What the script has written to `OUT`.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.out()).unwrap()
    }

    /// The process id that the script has written to `OUT`, once it is there.
    pub(crate) fn await_pid(&self) -> i32 {
        let mut pid = None;
        wait_until("a process id in the output", || {
            let text = fs::read_to_string(self.out()).unwrap_or_default();
            pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }
}

pub(crate) fn state() -> State {
    State {
        version: "1.1.0".to_owned(),
        id: "web".to_owned(),
        status: ContainerState::Created,
        pid: 4242,
        bundle: "/run/bundles/web".to_owned(),
        annotations: Default::default(),
    }
}

/// A state of more than a MiB.
pub(crate) fn large_state() -> State {
    let mut state = state();
    state
        .annotations
        .insert("large".to_owned(), "x".repeat(1 << 20));
    state
}

/// Waits for what another process does.
pub(crate) fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < HANG, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process runs; one that has ended and that nobody has waited for does not.
pub(crate) fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

pub(crate) fn kill(pid: i32) {
    assert!(pid > 1);
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// The open descriptors of this process, with what they are.
pub(crate) fn descriptors() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let mut all: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let target = fs::read_link(entry.path()).ok()?;
            // That of the listing itself.
            let is_listing = target.starts_with("/proc") && target.ends_with("fd");
            (!is_listing).then(|| (entry.file_name().into_string().unwrap(), target))
        })
        .collect();
    all.sort();
    all
}

/// Whether this process has any child, dead or alive.
pub(crate) fn has_children() -> bool {
    let flags = libc::WNOHANG | libc::__WALL;
    // SAFETY: the status may be null.
    let result = unsafe { libc::waitpid(-1, std::ptr::null_mut(), flags) };
    !(result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD))
}
