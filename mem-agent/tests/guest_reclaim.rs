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

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{compact_off, eager, memcg_off, wait};
use mem_agent::agent::{MemAgent, RuntimeGuard};
use mem_agent::compact::{self, Compact};
use mem_agent::env::Env;
use mem_agent::memcg::{Actuator, CgroupConfig, Config, SingleConfig};
use test_utils::skip_if_not_guest;

/// 40 MiB.
const FILE_PAGES: u64 = 10 * 1024;
/// The kernel's youngest generation must be a minute old to be aged, and the next run a period later.
const LONG: Duration = Duration::from_secs(200);

/// The parent of all cgroups of these tests.
static POD: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new("/sys/fs/cgroup");
    fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
    let pod = root.join("pod");
    fs::create_dir(&pod).unwrap();
    fs::write(pod.join("cgroup.subtree_control"), "+memory").unwrap();
    pod
});

fn cgroup(name: &str) -> PathBuf {
    let dir = POD.join(name);
    fs::create_dir(&dir).unwrap();
    dir
}

/// A cgroup with the pages of a file that nobody uses any more.
fn cgroup_with_cold_file(name: &str) -> PathBuf {
    let dir = cgroup(name);
    let script = format!(
        "echo $$ >{}/cgroup.procs && dd if=/dev/zero of=/mnt/{name} bs=1M count=40 2>/dev/null && sync",
        dir.display()
    );
    let status = Command::new("/bin/sh")
        .args(["-c", &script])
        .status()
        .unwrap();
    assert!(status.success());
    dir
}

fn current_pages(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("memory.current")).unwrap();
    text.trim().parse::<u64>().unwrap() / 4096
}

/// An agent for one cgroup alone.
fn agent(name: &str, actuator: Actuator) -> (MemAgent, RuntimeGuard) {
    let config = SingleConfig {
        period_secs: 5,
        period_psi_percent_limit: 100,
        eviction_psi_percent_limit: 100,
        ..eager()
    };
    let entry = CgroupConfig {
        config,
        ..Default::default()
    };
    let config = Config {
        cgroups: [(format!("/pod/{name}"), vec![entry])].into(),
        actuator,
        ..memcg_off()
    };
    MemAgent::new(config, compact_off()).unwrap()
}

/// Waits until most of the file has left the cgroup.
fn wait_until_reclaimed(dir: &Path) {
    let begin = Instant::now();
    while current_pages(dir) > FILE_PAGES / 2 {
        assert!(
            begin.elapsed() < LONG,
            "{} pages are left",
            current_pages(dir)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn evicted_pages(agent: &MemAgent, path: &str) -> u64 {
    let status = wait(agent.memcg_status_async()).unwrap();
    println!("{path}: {:?}", status[path]);
    status[path]
        .numa
        .values()
        .map(|numa| numa.eviction_count.page)
        .sum()
}

#[test]
fn cold_pages_are_evicted_by_lru_gen() {
    skip_if_not_guest!();
    let dir = cgroup_with_cold_file("lru");
    assert!(current_pages(&dir) >= FILE_PAGES);
    let (agent, guard) = agent("lru", Actuator::LruGen);
    assert!(
        !Path::new("/sys/kernel/debug/lru_gen").exists(),
        "debugfs is in no mount table"
    );
    wait_until_reclaimed(&dir);
    // The eviction is counted when it has ended.
    let begin = Instant::now();
    while evicted_pages(&agent, "/pod/lru") < FILE_PAGES / 2 {
        assert!(begin.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(guard);
}

#[test]
fn cold_pages_are_evicted_by_memory_reclaim() {
    skip_if_not_guest!();
    let dir = cgroup_with_cold_file("reclaim");
    let (agent, guard) = agent("reclaim", Actuator::MemoryReclaim);
    wait_until_reclaimed(&dir);
    evicted_pages(&agent, "/pod/reclaim");
    drop(guard);
}

/// D40.
#[test]
fn protected_pages_stay() {
    skip_if_not_guest!();
    let dir = cgroup_with_cold_file("protected");
    fs::write(dir.join("memory.low"), "max").unwrap();
    let before = current_pages(&dir);
    let (agent, guard) = agent("protected", Actuator::LruGen);
    let begin = Instant::now();
    loop {
        let status = wait(agent.memcg_status_async()).unwrap();
        let numa = status["/pod/protected"].numa.values();
        if numa
            .map(|numa| numa.eviction_count.other_error)
            .sum::<u64>()
            > 0
        {
            break;
        }
        assert!(begin.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(guard);
    assert!(current_pages(&dir) > before / 2);
}

/// D18.
#[test]
fn new_cgroup_is_found_by_inotify() {
    skip_if_not_guest!();
    let (agent, guard) = agent("none", Actuator::LruGen);
    let begin = Instant::now();
    let mut names = (0..).map(|n| format!("new{n}"));
    // Again, in case that the watch had not begun.
    'found: loop {
        let name = names.next().unwrap();
        let dir = cgroup_with_cold_file(&name);
        for _ in 0..50 {
            if wait(agent.memcg_status_async())
                .unwrap()
                .contains_key(&format!("/pod/{name}"))
            {
                fs::remove_dir(&dir).unwrap();
                break 'found;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        fs::remove_dir(&dir).unwrap();
        assert!(begin.elapsed() < LONG);
    }
    drop(guard);
}

#[test]
fn memory_is_compacted() {
    skip_if_not_guest!();
    let blocks = || {
        let stat = fs::read_to_string("/proc/vmstat").unwrap();
        let line = stat
            .lines()
            .find(|line| line.starts_with("compact_migrate_scanned"))
            .unwrap();
        line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = blocks();
    let config = compact::Config {
        compact_force_times: 0,
        ..Default::default()
    };
    Compact::with_env(Env::default(), config)
        .unwrap()
        .work()
        .unwrap();
    assert!(blocks() > before);
}
