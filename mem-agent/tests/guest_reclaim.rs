//! The agent on a real kernel with MGLRU, PSI, cgroup v2 and `memory.reclaim`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod common;
mod guest;

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{compact_off, wait};
use guest::{Cgroup, config_for, enable_memory, tireless, total, until};
use mem_agent::agent::{MemAgent, RuntimeGuard};
use mem_agent::compact::{self, Compact};
use mem_agent::env::Env;
use mem_agent::memcg::{Actuator, Config, SingleConfig};
use test_utils::skip_if_not_guest;

/// 8 MiB.
const PAGES: u64 = 2048;

/// Held by who takes memory, as free blocks are counted meanwhile.
fn allocation() -> MutexGuard<'static, ()> {
    static ALLOCATION: Mutex<()> = Mutex::new(());
    ALLOCATION.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cgroup_with_cold_file(name: &str) -> Cgroup {
    let _allocation = allocation();
    Cgroup::with_cold_file(name, PAGES)
}

/// An agent of the real system for one cgroup alone.
fn agent(cgroup: &Cgroup, actuator: Actuator) -> (MemAgent, RuntimeGuard) {
    let config = SingleConfig {
        period_secs: 5,
        ..tireless()
    };
    let config = Config {
        actuator,
        ..config_for(&[(cgroup, config)])
    };
    MemAgent::new(config, compact_off()).unwrap()
}

#[test]
fn cold_pages_are_evicted_by_lru_gen() {
    skip_if_not_guest!();
    let cgroup = cgroup_with_cold_file("lru");
    let (agent, _guard) = agent(&cgroup, Actuator::LruGen);
    let switch = fs::read_to_string("/sys/kernel/mm/lru_gen/enabled").unwrap();
    assert_eq!(switch.trim(), "0x0007", "MGLRU has been off");
    assert!(
        !Path::new("/sys/kernel/debug/lru_gen").exists(),
        "debugfs is in no mount table"
    );
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
    // It is counted when the eviction has ended.
    until("half has been counted", || {
        total(&agent, &cgroup, |numa| numa.eviction_count.page) >= PAGES / 2
    });
}

#[test]
fn cold_pages_are_evicted_by_memory_reclaim() {
    skip_if_not_guest!();
    let cgroup = cgroup_with_cold_file("reclaim");
    let (agent, _guard) = agent(&cgroup, Actuator::MemoryReclaim);
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
    until("half has been counted", || {
        let status = wait(agent.memcg_status_async()).unwrap();
        status[cgroup.path()].reclaimed_pages() >= PAGES / 2
    });
}

/// D40.
#[test]
fn protected_pages_stay() {
    skip_if_not_guest!();
    let low = cgroup_with_cold_file("low");
    fs::write(low.dir().join("memory.low"), "max").unwrap();
    let parent = Cgroup::new("min");
    enable_memory(parent.dir());
    let below = cgroup_with_cold_file("min/below");
    fs::write(parent.dir().join("memory.min"), "max").unwrap();
    for cgroup in [low, below] {
        let (agent, guard) = agent(&cgroup, Actuator::LruGen);
        until("an eviction has ended", || {
            total(&agent, &cgroup, |numa| numa.eviction_count.other_error) > 0
        });
        drop(guard);
        assert!(cgroup.pages() >= PAGES, "{:?}", cgroup.path());
    }
}

/// D18.
#[test]
fn new_cgroup_is_found_by_inotify() {
    skip_if_not_guest!();
    let first = Cgroup::new("first");
    let config = SingleConfig {
        period_secs: 3600,
        ..tireless()
    };
    let (agent, _guard) = MemAgent::new(config_for(&[(&first, config)]), compact_off()).unwrap();
    until("the watch has begun", || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let mut names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.any(|name| name.starts_with("mem-agent-watch"))
    });
    let new = Cgroup::new("new");
    until("it is known", || guest::kernel_id(&agent, &new).is_some());
}

/// 80 MiB.
const HOLES: u64 = 20 * 1024;

/// What the tests beside this one take or give meanwhile counts as well: one of a few compactions is
/// undisturbed.
#[test]
fn compaction_makes_large_free_blocks() {
    skip_if_not_guest!();
    let _allocation = allocation();
    let mut gains = (0..5).map(|_| gain_of_compaction());
    assert!(gains.any(|gain| gain >= HOLES / 2));
}

/// Of pages of which every other one is free, those in use are moved together. Returns how many more
/// pages are in large free blocks then.
fn gain_of_compaction() -> u64 {
    let (mut kept, mut holes) = (
        File::create("/tmp/kept").unwrap(),
        File::create("/tmp/holes").unwrap(),
    );
    for _ in 0..HOLES {
        kept.write_all(&[1; 4096]).unwrap();
        holes.write_all(&[1; 4096]).unwrap();
    }
    fs::remove_file("/tmp/holes").unwrap();
    drop(holes);
    let before = pages_in_large_free_blocks();
    let config = compact::Config {
        period_psi_percent_limit: u8::MAX,
        compact_psi_percent_limit: u8::MAX,
        compact_force_times: 0,
        ..Default::default()
    };
    let mut compact = Compact::with_env(Env::default(), config).unwrap();
    compact.work().unwrap();
    let after = pages_in_large_free_blocks();
    fs::remove_file("/tmp/kept").unwrap();
    println!("INFO: {before} pages in blocks of at least 2 MiB, {after} after the compaction");
    after.saturating_sub(before)
}

/// In blocks of order 9 and 10, by `/proc/buddyinfo`.
fn pages_in_large_free_blocks() -> u64 {
    let text = fs::read_to_string("/proc/buddyinfo").unwrap();
    let pages = |line: &str| {
        let counts = line.split_whitespace().skip(4).enumerate().skip(9);
        let pages = counts.map(|(order, count)| count.parse::<u64>().unwrap() << order);
        pages.sum::<u64>()
    };
    text.lines().map(pages).sum()
}
