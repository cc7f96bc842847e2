//! A compaction whose agent is killed (D25).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

use common::Machine;
use common::compactor::{forced, full_pipe};
use mem_agent::compact::Compact;
use mem_agent::env::{CgroupVersion, Env};

/// Where the tree of the process is that is killed.
const ROOT: &str = "MEM_AGENT_TEST_ORPHAN";

/// Not a test by itself: the process that the test below kills.
#[test]
fn agent() {
    let Some(root) = env::var_os(ROOT).map(PathBuf::from) else {
        return;
    };
    let env = Env {
        proc_root: root.join("proc"),
        sys_root: root.join("sys"),
        cgroup: CgroupVersion::V2,
        ..Env::default()
    };
    Compact::with_env(env, forced()).unwrap().work().unwrap();
}

/// The helper process holds all descriptors of its agent, so nobody else would learn that the agent
/// has ended.
#[test]
fn helper_process_ends_with_its_agent() {
    let machine = Machine::v2();
    let _pipe = full_pipe(&machine);
    let mut agent = Command::new(env::current_exe().unwrap())
        .args(["agent", "--exact"])
        .env(ROOT, machine.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = agent.stderr.take().unwrap();
    while !has_child_that_waits(agent.id()) {
        assert!(agent.try_wait().unwrap().is_none(), "it has not waited");
        thread::yield_now();
    }
    agent.kill().unwrap();
    agent.wait().unwrap();

    let (send, end) = mpsc::channel();
    thread::spawn(move || send.send(stderr.read_to_end(&mut Vec::new())));
    end.recv_timeout(Duration::from_secs(60))
        .expect("somebody has the descriptors of the agent")
        .unwrap();
}

/// Whether there is a process with this parent that sleeps.
fn has_child_that_waits(parent: u32) -> bool {
    let expected = format!("S {parent} ");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut stats =
        processes.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.any(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, state)| state);
        state.is_some_and(|state| state.starts_with(&expected))
    })
}
