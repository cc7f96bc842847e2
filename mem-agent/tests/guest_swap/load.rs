//! An hour of an agent's life, in less than a minute.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mem_agent::agent::MemAgent;
use mem_agent::compact;
use mem_agent::env::{Clock, Env};
use mem_agent::memcg::{CgroupOptionConfig, OptionConfig, SingleConfig, SingleOptionConfig};
use test_utils::isolation::Isolation;
use test_utils::{isolate, skip_if_not_guest};

use crate::common::wait;
use crate::guest::{Cgroup, FastLru, Use, agings, config_for, enable_memory, swapping, until};

const MINUTES: u32 = 60;
/// Until all that is allocated once has been.
const WARM_UP: u32 = 15;
/// Cgroups that come, and go, each minute.
const CGROUPS: u32 = 16;
/// Four minutes in a second.
const SPEED: u32 = 240;
/// The allocator's. The state of all cgroups that have come and gone would be some MiB.
const SLACK_KB: u64 = 512;

struct FastClock(Instant);

impl Clock for FastClock {
    fn now(&self) -> Duration {
        self.0.elapsed() * SPEED
    }

    fn sleep(&self, d: Duration) {
        thread::sleep(d / SPEED);
    }
}

/// Cgroups and the configuration change every minute, a file is read every five, and memory is
/// compacted every ten.
struct Load {
    agent: MemAgent,
    lru: Arc<FastLru>,
    /// Below this one.
    parent: Cgroup,
    /// All the time.
    steady: Cgroup,
    minute: u32,
}

impl Load {
    fn run(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.minute += 1;
            self.run_minute();
        }
    }

    fn run_minute(&self) {
        let name = |number| format!("load/{}-{number}", self.minute);
        let cgroups: Vec<Cgroup> = (0..CGROUPS)
            .map(|number| Cgroup::new(name(number)))
            .collect();
        let file = self
            .minute
            .is_multiple_of(5)
            .then(|| cgroups[0].read_file(64));
        let other = CgroupOptionConfig {
            path: cgroups[1].path().to_owned(),
            config: SingleOptionConfig {
                period_secs: Some(3600),
                ..Default::default()
            },
            ..Default::default()
        };
        self.change(OptionConfig {
            add: vec![other.clone()],
            ..Default::default()
        });
        let then = agings(&self.agent, &self.steady);
        // Each question wakes the agent's loop, whose timer does not know how time flies.
        until("a run has ended", || {
            agings(&self.agent, &self.steady) > then
        });
        self.change(OptionConfig {
            del: vec![(other.path, Vec::new())],
            ..Default::default()
        });
        self.set(SingleOptionConfig {
            swap: Some(self.minute.is_multiple_of(2)),
            ..Default::default()
        });
        cgroups.iter().for_each(Cgroup::remove);
        file.map_or(Ok(()), fs::remove_file).unwrap();
        self.lru.forget();
    }

    fn set(&self, config: SingleOptionConfig) {
        self.change(OptionConfig {
            set: vec![CgroupOptionConfig {
                path: self.parent.path().to_owned(),
                config,
                ..Default::default()
            }],
            ..Default::default()
        });
    }

    fn change(&self, change: OptionConfig) {
        wait(self.agent.memcg_set_config_async(change)).unwrap();
    }

    fn disable(&self, disabled: bool) {
        let disabled = Some(disabled);
        self.set(SingleOptionConfig {
            disabled,
            ..Default::default()
        });
        let compact = compact::OptionConfig {
            disabled,
            ..Default::default()
        };
        wait(self.agent.compact_set_config_async(compact)).unwrap();
    }

    /// What the agent holds while it rests.
    fn held(&self) -> Held {
        self.disable(true);
        until("no run is under way", || {
            let threads = threads();
            let is_at_work = |name: &String| name.contains("-work") || name.contains("-conf");
            !threads.iter().any(is_at_work) && children() == 1
        });
        until("every cgroup is watched, and none that is gone", || {
            watches() == directories(Path::new("/sys/fs/cgroup"))
        });
        let held = Held {
            descriptors: descriptors(),
            threads: threads(),
            anonymous_kb: anonymous_kb(),
        };
        self.disable(false);
        held
    }
}

#[derive(Debug)]
struct Held {
    descriptors: usize,
    threads: Vec<String>,
    anonymous_kb: u64,
}

#[test]
fn an_hour_of_load_leaks_nothing() {
    skip_if_not_guest!();
    isolate!(Isolation::new());
    let parent = Cgroup::new("load");
    enable_memory(parent.dir());
    let steady = Cgroup::new("load/steady");
    let _process = steady.start(Use::Cold, 256);
    let (descriptors_before, threads_before) = (descriptors(), threads());

    let lru = FastLru::new(SPEED.into());
    let env = Env {
        clock: Arc::new(FastClock(Instant::now())),
        lru_gen: Some(lru.clone()),
        ..Env::default()
    };
    // The youngest generation is a minute old when the next run begins.
    let memcg = SingleConfig {
        period_secs: 62,
        ..swapping()
    };
    let compact = compact::Config {
        period_secs: 600,
        period_psi_percent_limit: u8::MAX,
        compact_psi_percent_limit: u8::MAX,
        compact_force_times: 0,
        ..Default::default()
    };
    let config = config_for(&[(&parent, memcg)]);
    let (agent, guard) = MemAgent::with_env(env, config, compact).unwrap();
    let mut load = Load {
        agent,
        lru,
        parent,
        steady,
        minute: 0,
    };
    load.run(WARM_UP);
    let first = load.held();
    load.run(MINUTES);
    let last = load.held();
    println!("INFO: {first:?}, an hour later {last:?}");
    assert_eq!(last.descriptors, first.descriptors);
    assert_eq!(last.threads, first.threads);
    assert!(
        last.anonymous_kb <= first.anonymous_kb + SLACK_KB,
        "{first:?} {last:?}"
    );
    let status = wait(load.agent.memcg_status_async()).unwrap();
    let load_paths: BTreeSet<&String> = status
        .keys()
        .filter(|path| path.starts_with("/pod/load"))
        .collect();
    assert_eq!(load_paths.len(), 2, "{load_paths:?}");

    drop(guard);
    until("all threads have ended", || threads() == threads_before);
    assert_eq!(descriptors(), descriptors_before);
    assert_eq!(children(), 1);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Their names, sorted.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim_end().to_owned()).collect();
    names.sort();
    names
}

/// Child processes, dead ones included.
fn children() -> usize {
    let parent = format!("PPid:\t{}", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let statuses =
        processes.filter_map(|process| fs::read_to_string(process.path().join("status")).ok());
    statuses
        .filter(|status| status.lines().any(|line| line == parent))
        .count()
}

/// What all inotify descriptors watch.
fn watches() -> usize {
    let infos = fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
    let infos = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    infos
        .map(|info| {
            info.lines()
                .filter(|line| line.starts_with("inotify "))
                .count()
        })
        .sum()
}

/// A directory and all below it.
fn directories(root: &Path) -> usize {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    1 + below.map(|entry| directories(&entry.path())).sum::<usize>()
}

fn anonymous_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let value = line.unwrap().trim().strip_suffix(" kB").unwrap();
    value.parse().unwrap()
}
