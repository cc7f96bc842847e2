//! Hooks for tests: shell scripts, and what they leave.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::{Hook, HookBuilder};
use runtime_spec::{ContainerState, State};
use tempfile::TempDir;
use test_utils::is_guest;
use test_utils::seccomp::Rule;

/// Descriptors of processes, from `clone` with a flag that Linux 5.2 has.
pub(crate) const NO_PIDFD: Rule = Rule::fail_clone(libc::CLONE_PIDFD, 0, libc::EINVAL);

/// The process that supervises a hook: threads have both flags as well.
pub(crate) const NO_SUPERVISOR: Rule = Rule::fail_clone(
    libc::CLONE_FILES | libc::CLONE_VFORK,
    libc::CLONE_THREAD,
    libc::EPERM,
);

/// Longer than anything here may take, on the slowest machine: an emulated one on a loaded host.
pub(crate) fn hang() -> Duration {
    Duration::from_secs(if is_guest() { 600 } else { 60 })
}

/// The timeout of a hook that ends by itself, in seconds.
pub(crate) fn long() -> i64 {
    hang().as_secs().cast_signed()
}

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

    /// Runs a script that does not end by itself, with a timeout of a second: more if its time was
    /// over before it had written a process id to `OUT`, as on a machine under load. That id.
    pub(crate) fn run_until_timeout(script: &str, run: impl Fn(&Self)) -> i32 {
        for timeout in [1, 4, 16, 64] {
            let script = Self::new(script, timeout);
            run(&script);
            if let Some(pid) = script.pid() {
                return pid;
            }
        }
        panic!("never begun: {script}");
    }

    /// The process id that the script has written to `OUT`, if it has.
    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.out()).unwrap_or_default();
        text.strip_suffix('\n')?.parse().ok()
    }

    /// The process id that the script has written to `OUT`, once it is there.
    pub(crate) fn await_pid(&self) -> i32 {
        wait_until("a process id in the output", || self.pid().is_some());
        self.pid().unwrap()
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
        assert!(begin.elapsed() < hang(), "waited in vain for {what}");
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

/// Whether this process has any child, dead or alive. A dead one is left for whoever waits for it.
pub(crate) fn has_children() -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: nothing is told.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, std::ptr::null_mut(), flags) };
    !(result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD))
}
