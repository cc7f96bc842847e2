//! The compact half over fake trees, with compactors of the test and with real helper processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::compactor::{COMPACT_MEMORY, counts, fake, forced, full_pipe, start, start_scripted};
use common::{Machine, memcg_off, wait};
use mem_agent::agent::MemAgent;
use mem_agent::compact::{Compact, Config, OptionConfig};
use mem_agent::env::Env;

/// C4, C5: 103433 pages of fragments in the sample tree.
#[test]
fn first_run_compacts_if_there_are_fragments_beyond_the_threshold() {
    for (threshold, started) in [(103_432, 1), (103_433, 0), (u64::MAX, 0)] {
        let machine = Machine::v2();
        let compactor = fake(0);
        let config = Config {
            compact_threshold: threshold,
            ..Default::default()
        };
        let mut compact = start(&machine, &compactor, config);
        assert!(compact.need_work());
        compact.work().unwrap();
        assert_eq!(counts(&compactor), (started, 0), "{threshold}");
        // Now the values of the last compaction are known.
        compact.work().unwrap();
        assert_eq!(counts(&compactor), (started, 0), "{threshold}");
    }
}

#[test]
fn fallen_free_memory_compacts() {
    for (free, started) in [(808_244, 1), (808_243, 2)] {
        let machine = Machine::v2();
        let compactor = fake(0);
        let mut compact = start(&machine, &compactor, Config::default());
        compact.work().unwrap();
        machine.write("proc/meminfo", &format!("MemFree: {free} kB\n"));
        compact.work().unwrap();
        assert_eq!(counts(&compactor).0, started, "{free}");
    }
}

/// Spec 7.4. In the sample tree, 101057 pages are in blocks of order 0 and 1, and 103433 below 9.
#[test]
fn order_of_the_balloon_replaces_the_default() {
    let cases = [("2\n", 9, 0), ("9\n", 9, 1), ("-1\n", 9, 1), ("2\n", 10, 1)];
    for (reported, order, started) in cases {
        let machine = Machine::v2();
        let file = "sys/module/page_reporting/parameters/page_reporting_order";
        machine.write(file, reported);
        let compactor = fake(0);
        let config = Config {
            compact_order: order,
            compact_threshold: 102_000,
            ..Default::default()
        };
        start(&machine, &compactor, config).work().unwrap();
        assert_eq!(counts(&compactor).0, started, "{reported:?} {order}");
    }
}

#[test]
fn unknown_memory_is_no_reason_to_compact() {
    for file in ["proc/meminfo", "proc/pagetypeinfo"] {
        let machine = Machine::v2();
        machine.remove(file);
        let compactor = fake(0);
        let mut compact = start(&machine, &compactor, Config::default());
        compact.work().unwrap();
        assert_eq!(counts(&compactor).0, 0, "{file}");
        // D41: forced, it is done even if nothing is known after it.
        let mut compact = start(&machine, &compactor, forced());
        compact.work().unwrap();
        assert_eq!(counts(&compactor).0, 1, "{file}");
    }
}

#[test]
fn pressure_in_the_period_prevents_a_compaction() {
    let machine = Machine::v2();
    let compactor = fake(0);
    let mut compact = start(&machine, &compactor, forced());
    compact.work().unwrap();
    for (n, memory, started) in [(1, 2_050_000, 2), (2, 2_250_000, 2), (3, 2_250_000, 3)] {
        machine.clock.advance(5);
        machine.stall("", memory, 1_000_000);
        compact.work().unwrap();
        assert_eq!(counts(&compactor).0, started, "{n}");
    }
    machine.remove("sys/fs/cgroup/io.pressure");
    compact.work().unwrap();
    assert_eq!(counts(&compactor).0, 3, "unknown");
}

#[test]
fn compaction_is_looked_at_every_second_until_it_ends() {
    let machine = Machine::v2();
    let compactor = fake(3);
    let before = mem_agent::env::Clock::now(&*machine.clock);
    start(&machine, &compactor, forced()).work().unwrap();
    assert_eq!(
        mem_agent::env::Clock::now(&*machine.clock) - before,
        std::time::Duration::from_secs(3)
    );
    assert_eq!(compactor.polled.load(Ordering::SeqCst), 4);
    assert_eq!(counts(&compactor), (1, 0));
    assert_eq!(compactor.dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn compaction_that_takes_too_long_is_killed_and_done() {
    for (compact_sec_max, killed) in [(300, 0), (10, 1), (11, 0), (0, 1), (-5, 1)] {
        let machine = Machine::v2();
        let compactor = fake(11);
        let mut compact = start(
            &machine,
            &compactor,
            Config {
                compact_sec_max,
                ..forced()
            },
        );
        compact.work().unwrap();
        assert_eq!(counts(&compactor), (1, killed), "{compact_sec_max}");
        compact.reset_timer();
        assert!(!compact.need_work());
    }
    // One that has ended at the first look is not.
    let machine = Machine::v2();
    let compactor = fake(0);
    start(
        &machine,
        &compactor,
        Config {
            compact_sec_max: 0,
            ..forced()
        },
    )
    .work()
    .unwrap();
    assert_eq!(counts(&compactor), (1, 0));
}

#[test]
fn pressure_kills_a_compaction() {
    let cases = [("5 %", 50_000, 0), ("6 %", 60_000, 1)];
    for (name, stall_per_sec, killed) in cases {
        let machine = Arc::new(Machine::v2());
        let compactor = fake(20);
        let tree = machine.clone();
        let script = move |secs| tree.stall("", 2_000_000 + secs * stall_per_sec, 1_000_000);
        start_scripted(&machine, &compactor, script).work().unwrap();
        assert_eq!(counts(&compactor), (1, killed), "{name}");
    }
}

/// D25.
#[test]
fn unknown_pressure_kills_a_compaction_that_counts_as_done() {
    let machine = Arc::new(Machine::v2());
    let compactor = fake(20);
    let tree = machine.clone();
    let script = move |secs| {
        if secs == 2 {
            tree.remove("sys/fs/cgroup/memory.pressure");
        }
    };
    start_scripted(&machine, &compactor, script).work().unwrap();
    assert_eq!(counts(&compactor), (1, 1));
    assert_eq!(compactor.dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn disabling_kills_a_compaction() {
    let machine = Machine::v2();
    let compactor = fake(20);
    let handle: Arc<Mutex<Option<Compact>>> = Arc::default();
    let other = handle.clone();
    let script = move |secs| {
        if secs == 2 {
            let change = OptionConfig {
                disabled: Some(true),
                ..Default::default()
            };
            let mut compact = other.lock().unwrap().clone().unwrap();
            assert!(wait(compact.set_config(change)));
        }
    };
    let mut compact = start_scripted(&machine, &compactor, script);
    *handle.lock().unwrap() = Some(compact.clone());
    compact.work().unwrap();
    *handle.lock().unwrap() = None;
    assert_eq!(counts(&compactor), (1, 1));
    assert_eq!(compactor.polled.load(Ordering::SeqCst), 4);
}

/// D33.
#[test]
fn pressure_directory_is_changed_for_all_or_refused() {
    let machine = Machine::v2();
    let compactor = fake(0);
    let mut compact = start(&machine, &compactor, forced());
    let path = |name: &str| OptionConfig {
        psi_path: Some(machine.path(name)),
        compact_force_times: Some(1000),
        ..Default::default()
    };
    assert!(!wait(compact.set_config(path("sys/fs/cgroup/none"))));
    compact.work().unwrap();
    assert_eq!(counts(&compactor).0, 1, "still forced");
    wait(compact.set_config(OptionConfig {
        psi_path: Some(machine.path("sys/fs/cgroup/pod7")),
        ..Default::default()
    }));
    compact.work().unwrap();
    machine.clock.advance(5);
    machine.stall("", 9_000_000, 9_000_000);
    compact.work().unwrap();
    assert_eq!(counts(&compactor).0, 3, "the old one does not count");
    machine.clock.advance(5);
    machine.stall("pod7", 1_900_000, 410_000);
    compact.work().unwrap();
    assert_eq!(counts(&compactor).0, 3, "the new one does");
}

/// D33: both files are read, so both are checked, and the one that is at fault is named.
#[test]
fn pressure_directory_that_cannot_be_read_is_refused_by_name() {
    for (name, text) in [("memory.pressure", "nothing"), ("io.pressure", "some")] {
        let machine = Machine::v2();
        machine.write(&format!("sys/fs/cgroup/pod7/{name}"), text);
        let off = Config {
            disabled: true,
            ..Default::default()
        };
        let (agent, guard) = MemAgent::with_env(machine.env(), memcg_off(), off).unwrap();
        let change = OptionConfig {
            psi_path: Some(machine.path("sys/fs/cgroup/pod7")),
            ..Default::default()
        };
        let error = guard
            .block_on(agent.compact_set_config_async(change))
            .unwrap_err();
        assert!(
            format!("{error:#}").contains(&format!("pod7/{name}")),
            "{error:#}"
        );
    }
}

/// D33: also a compaction under way is stopped by the pressure of the new directory, and no more by
/// that of the old one.
#[test]
fn pressure_directory_is_changed_for_a_compaction_under_way() {
    for (stalls, killed) in [("pod7", 1), ("", 0)] {
        let machine = Arc::new(Machine::v2());
        let compactor = fake(8);
        let handle: Arc<Mutex<Option<Compact>>> = Arc::default();
        let (tree, other) = (machine.clone(), handle.clone());
        let script = move |secs| {
            if secs == 2 {
                let change = OptionConfig {
                    psi_path: Some(tree.path("sys/fs/cgroup/pod7")),
                    ..Default::default()
                };
                let mut compact = other.lock().unwrap().clone().unwrap();
                wait(compact.set_config(change));
            }
            if secs > 3 {
                tree.stall(stalls, 9_000_000 + secs * 500_000, 9_000_000);
            }
        };
        let mut compact = start_scripted(&machine, &compactor, script);
        *handle.lock().unwrap() = Some(compact.clone());
        compact.work().unwrap();
        *handle.lock().unwrap() = None;
        assert_eq!(counts(&compactor), (1, killed), "{stalls:?} stalls");
    }
}

#[test]
fn configured_pressure_directory_counts_on_version_2() {
    let machine = Machine::v2();
    machine.remove("sys/fs/cgroup/memory.pressure");
    let config = Config {
        psi_path: machine.path("sys/fs/cgroup/pod7"),
        ..Default::default()
    };
    Compact::with_env(machine.env(), config).unwrap();
}

/// Whether there is no child process of ours, neither one that lives nor one to be reaped.
fn has_no_child() -> bool {
    // SAFETY: no status is asked for.
    let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    pid == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD)
}

/// D25: real helper processes. In one test, as it looks at all children of this process.
#[test]
fn helper_process_writes_and_is_reaped_or_killed() {
    let machine = Machine::v2();
    let real_clock = || Env {
        clock: Env::default().clock,
        ..machine.env()
    };
    let file = COMPACT_MEMORY;
    Compact::with_env(real_clock(), forced())
        .unwrap()
        .work()
        .unwrap();
    assert_eq!(machine.read(file), "1");
    assert!(has_no_child());

    // With several nodes, each has its file.
    for node in ["node0", "node1"] {
        machine.write(&format!("sys/devices/system/node/{node}/compact"), "");
    }
    machine.write(file, "");
    Compact::with_env(real_clock(), forced())
        .unwrap()
        .work()
        .unwrap();
    for node in ["node0", "node1"] {
        assert_eq!(
            machine.read(&format!("sys/devices/system/node/{node}/compact")),
            "1"
        );
    }
    assert_eq!(machine.read(file), "");
    fs::remove_dir_all(machine.path("sys/devices")).unwrap();

    // What cannot be opened fails the run, with its name.
    machine.remove(file);
    let error = Compact::with_env(real_clock(), forced())
        .unwrap()
        .work()
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("compact_memory\" failed: No such file"),
        "{error:#}"
    );

    // So does a refused write.
    std::os::unix::fs::symlink("/dev/full", machine.path(file)).unwrap();
    let error = Compact::with_env(real_clock(), forced())
        .unwrap()
        .work()
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("write to compact_memory failed: No space left"),
        "{error:#}"
    );
    assert!(has_no_child());

    // A write that blocks, as that of a long compaction: to a pipe that is full.
    let (mut pipe, size) = full_pipe(&machine);
    let mut compact = Compact::with_env(
        real_clock(),
        Config {
            compact_sec_max: 1,
            ..forced()
        },
    )
    .unwrap();
    compact.work().unwrap();
    assert!(has_no_child());
    let mut content = vec![0; size];
    pipe.read_exact(&mut content).unwrap();
    assert!(
        content.iter().all(|byte| *byte == 0),
        "killed before it could write"
    );
}
