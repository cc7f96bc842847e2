//! What an idle agent costs. Alone in its process, so that all other threads are the agent's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use common::{Machine, wait};
use mem_agent::agent::MemAgent;
use mem_agent::env::Env;
use mem_agent::{compact, memcg};

/// More than a virtual machine for one pod has.
const CGROUPS: usize = 100;

/// Anonymous memory in use, in kB.
fn anonymous_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How often each thread of the agent has been scheduled.
fn wake_ups() -> BTreeMap<String, u64> {
    let mut wake_ups = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(status) = fs::read_to_string(task.path().join("status")) else {
            continue;
        };
        let value = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        if value("Name:").starts_with("mem-agent") {
            let count = value("voluntary_ctxt_switches:").parse().unwrap();
            wake_ups.insert(format!("{} {:?}", value("Name:"), task.file_name()), count);
        }
    }
    wake_ups
}

#[test]
fn idle_agent_is_small_and_sleeps() {
    let machine = Machine::v2();
    let mut text = String::new();
    for id in 1..=CGROUPS {
        let name = format!("kubepods/pod{}/container-{id}", id / 10);
        machine.cgroup(&name, 0, 0);
        // Too young to be aged.
        writeln!(text, "memcg {id:5} /{name}").unwrap();
        for node in 0..2 {
            writeln!(
                text,
                " node {node:5}\n          5      30000         10         20 "
            )
            .unwrap();
        }
    }
    machine.write("sys/kernel/debug/lru_gen", &text);
    drop(text);
    let env = Env {
        clock: Env::default().clock,
        ..machine.env()
    };
    let before = anonymous_kb();
    let (agent, guard) =
        MemAgent::with_env(env, memcg::Config::default(), compact::Config::default()).unwrap();
    // The first run is over when its thread is gone, and the watch has begun.
    let settled = || {
        let threads = wake_ups();
        let has = |name| threads.keys().any(|thread| thread.starts_with(name));
        has("mem-agent-watch") && !has("mem-agent-work") && !has("mem-agent-conf")
    };
    while !settled() {
        std::thread::yield_now();
    }
    let grown = anonymous_kb().saturating_sub(before);
    // The loop has taken note of the end of the run before it answers.
    assert_eq!(wait(agent.memcg_status_async()).unwrap().len(), CGROUPS);
    let first = wake_ups();
    // Long enough for anything that polls.
    std::thread::sleep(Duration::from_secs(2));
    let last = wake_ups();
    let woken: u64 = last
        .iter()
        .map(|(thread, count)| count - first.get(thread).unwrap_or(&0))
        .sum();
    // It may not yet have gone to sleep after the answer.
    assert!(woken <= 1, "{first:?} {last:?}");
    println!(
        "{grown} kB for {CGROUPS} cgroups on 2 nodes, {woken} wake-ups in 2 s, {} threads",
        last.len()
    );
    assert!(grown <= 1024, "{grown} kB");
    drop(guard);
}
