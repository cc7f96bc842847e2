//! Evictions of the memcg half over fake trees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{COLD, FakeLru, Machine, eager, memcg_config, numa, run, start, tally, wait};
use mem_agent::env::{Clock, Env, LruGen};
use mem_agent::memcg::{Actuator, Config, MemCG, OptionConfig, SingleConfig, SingleOptionConfig};

#[test]
fn swap_is_used_only_as_configured_and_as_long_as_there_is_room() {
    let swap = |swappiness_max| SingleConfig {
        swap: true,
        swappiness_max,
        ..eager()
    };
    let cases = [
        ("off", eager(), 1_998_000, 0),
        ("limited", swap(50), 1_998_000, 50),
        ("share of anonymous pages", swap(200), 1_998_000, 150),
        ("swap is full", swap(200), 1024, 0),
        ("swap is almost full", swap(200), 1025, 150),
    ];
    for (name, config, swap_free, swappiness) in cases {
        let machine = Machine::v2();
        machine.write(
            "proc/meminfo",
            &format!("MemFree: 5 kB\nSwapFree: {swap_free} kB\n"),
        );
        let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
        let mut memcg = start(&machine, &lru, config.clone());
        run(&mut memcg);
        let log = lru.take_log();
        assert_eq!(
            log[0],
            format!("+ 19 0 7 {} 1", u8::from(config.swap)),
            "{name}"
        );
        assert_eq!(log[1], format!("- 19 0 5 {swappiness} 64"), "{name}");
    }
}

#[test]
fn anonymous_pages_alone_are_swapped_out() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(300, 0), (0, 0), (0, 0)])]);
    let mut memcg = start(
        &machine,
        &lru,
        SingleConfig {
            swap: true,
            ..eager()
        },
    );
    run(&mut memcg);
    assert_eq!(lru.take_log()[1], "- 19 0 5 200 64");
    assert_eq!(lru.oldest(19), (0, 0));
    assert_eq!(numa(&memcg, "/pod7/web").eviction_count.page, 300);
}

#[test]
fn unknown_swap_space_fails_the_run_and_counts_the_eviction() {
    let machine = Machine::v2();
    machine.remove("proc/meminfo");
    let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
    let mut memcg = start(
        &machine,
        &lru,
        SingleConfig {
            swap: true,
            ..eager()
        },
    );
    let error = memcg.work(&vec![600]).unwrap_err();
    assert!(error.to_string().contains("meminfo"), "{error:#}");
    assert_eq!(numa(&memcg, "/pod7/web").eviction_count.other_error, 1);
    // Without swap, nobody asks.
    let mut memcg = start(&machine, &lru, eager());
    memcg.work(&vec![600]).unwrap();
}

/// Usability of swap space is asked for before each write: one write may fill it.
#[test]
fn swap_space_that_is_used_up_is_noticed_with_the_next_write() {
    let machine = Arc::new(Machine::v2());
    let lru = FakeLru::new(&[]);
    for id in 1..=150 {
        machine.cgroup(&format!("c{id}"), 0, 0);
        lru.set(id, &format!("/c{id}"), COLD);
    }
    let config = SingleConfig {
        swap: true,
        ..eager()
    };
    let mut memcg = start(&machine, &lru, config);
    let (other, mut is_first) = (machine.clone(), true);
    *lru.hook.lock().unwrap() = Some(Box::new(move |command| {
        if command.starts_with('-') && std::mem::take(&mut is_first) {
            other.write("proc/meminfo", "MemFree: 5 kB\nSwapFree: 0 kB\n");
        }
        Ok(())
    }));
    run(&mut memcg);
    let log = lru.take_log();
    let swaps = |command: &&String| command.starts_with('-') && !command.contains(" 5 0 ");
    let count = log.iter().filter(swaps).count();
    assert!((1..=64).contains(&count), "{count} commands that swap");
}

/// E2: pages of the last commands are counted whatever ends the eviction.
#[test]
fn status_has_all_pages_that_were_taken() {
    type Case = (&'static str, &'static str);
    let cases: [Case; 2] = [
        ("swap is full", "MemFree: 5 kB\nSwapFree: 10 kB\n"),
        ("swap is unknown", ""),
    ];
    for (name, meminfo) in cases {
        let machine = Arc::new(Machine::v2());
        let lru = FakeLru::new(&[(19, "/pod7/web", &[(10_000, 0), (0, 0), (0, 0)])]);
        let mut memcg = start(
            &machine,
            &lru,
            SingleConfig {
                swap: true,
                ..eager()
            },
        );
        let (other, mut left) = (machine.clone(), 6);
        *lru.hook.lock().unwrap() = Some(Box::new(move |command| {
            left -= i32::from(command.starts_with('-'));
            if left == 0 {
                other.write("proc/meminfo", meminfo);
            }
            Ok(())
        }));
        assert_eq!(
            memcg.work(&vec![600]).is_err(),
            meminfo.is_empty(),
            "{name}"
        );
        let page = numa(&memcg, "/pod7/web").eviction_count.page;
        assert_eq!(page, 10_000 - lru.oldest(19).0, "{name}");
        assert!(page > 0, "{name}");
    }
}

/// D24, spec 7.1.
#[test]
fn a_gigabyte_takes_few_commands_and_looks() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 262_144), (0, 0), (0, 0)])]);
    let mut memcg = start(&machine, &lru, eager());
    lru.take_reads();
    run(&mut memcg);
    let (_, evictions) = tally(&lru.take_log());
    let reads = lru.take_reads();
    assert_eq!(lru.oldest(19), (0, 0));
    assert!(
        evictions <= 300 && reads <= 60,
        "{evictions} commands, {reads} looks"
    );
}

/// D40.
#[test]
fn protected_memory_is_not_evicted() {
    type Case = (&'static str, &'static [(&'static str, &'static str)], u64);
    let cases: [Case; 9] = [
        ("no protection", &[], 0),
        (
            "less than in use",
            &[("pod7/web/memory.low", "8388607\n")],
            0,
        ),
        ("all in use", &[("pod7/web/memory.low", "8388608\n")], 1),
        ("guaranteed", &[("pod7/web/memory.min", "max\n")], 1),
        ("by the parent", &[("pod7/memory.min", "9000000\n")], 1),
        (
            "by the parent, which uses more",
            &[
                ("pod7/memory.min", "9000000\n"),
                ("pod7/memory.current", "9000001\n"),
            ],
            0,
        ),
        // What is not known is not taken.
        ("no number", &[("pod7/web/memory.min", "x\n")], 1),
        ("cannot be read", &[("pod7/web/memory.low/d", "")], 1),
        (
            "unknown use",
            &[
                ("pod7/web/memory.low", "1\n"),
                ("pod7/web/memory.current", "x\n"),
            ],
            1,
        ),
    ];
    for (name, files, skipped) in cases {
        let machine = Machine::v2();
        for (file, text) in files {
            machine.write(&format!("sys/fs/cgroup/{file}"), text);
        }
        let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
        let mut memcg = start(&machine, &lru, eager());
        run(&mut memcg);
        assert_eq!(tally(&lru.take_log()).1 == 0, skipped == 1, "{name}");
        assert_eq!(
            numa(&memcg, "/pod7/web").eviction_count.other_error,
            skipped,
            "{name}"
        );
    }
}

#[test]
fn refused_commands_stop_their_own_eviction_only() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[
        (12, "/pod7", COLD),
        (19, "/pod7/web", COLD),
        (70_211, "/pod7/odd name", COLD),
    ]);
    *lru.hook.lock().unwrap() = Some(Box::new(|command| match command {
        _ if command.starts_with("- 19 ") => Err(io::Error::from_raw_os_error(16)),
        _ => Ok(()),
    }));
    let mut memcg = start(&machine, &lru, eager());
    run(&mut memcg);
    assert_eq!(numa(&memcg, "/pod7/web").eviction_count.error, 1);
    for (id, path) in [(12, "/pod7"), (70_211, "/pod7/odd name")] {
        assert_eq!(lru.oldest(id).1, 0, "{path}");
        let count = numa(&memcg, path).eviction_count;
        assert_eq!(
            (count.page, count.error, count.no_min_lru_file),
            (512, 0, 1),
            "{path}"
        );
    }
}

/// D14, D31, G7: in the middle of an eviction.
#[test]
fn changes_count_from_the_next_batch_on() {
    type Case = (&'static str, SingleOptionConfig, fn(&[String]) -> bool);
    let cases: [Case; 3] = [
        (
            "disabled",
            SingleOptionConfig {
                disabled: Some(true),
                ..Default::default()
            },
            |rest| rest.is_empty(),
        ),
        (
            "no swap",
            SingleOptionConfig {
                swap: Some(false),
                ..Default::default()
            },
            |rest| {
                !rest.is_empty()
                    && rest
                        .iter()
                        .all(|command| command.split(' ').nth(4) == Some("0"))
            },
        ),
        (
            "less swappiness",
            SingleOptionConfig {
                swappiness_max: Some(7),
                ..Default::default()
            },
            |rest| {
                !rest.is_empty()
                    && rest
                        .iter()
                        .all(|command| command.split(' ').nth(4) == Some("7"))
            },
        ),
    ];
    for (name, change, expected) in cases {
        let machine = Machine::v2();
        let lru = FakeLru::new(&[(19, "/pod7/web", &[(50_000, 50_000), (0, 0), (0, 0)])]);
        let memcg = start(
            &machine,
            &lru,
            SingleConfig {
                swap: true,
                ..eager()
            },
        );
        let (mut other, mut left) = (memcg.clone(), 10);
        *lru.hook.lock().unwrap() = Some(Box::new(move |command| {
            left -= i32::from(command.starts_with('-'));
            if left == 0 {
                wait(other.set_config(OptionConfig {
                    default: change.clone(),
                    ..Default::default()
                }))
                .unwrap();
            }
            Ok(())
        }));
        run(&mut memcg.clone());
        *lru.hook.lock().unwrap() = None;
        let log = lru.take_log();
        assert!(expected(&log[11..]), "{name}: {:?}", &log[11..]);
    }
}

#[test]
fn cgroup_that_is_replaced_during_an_eviction_is_dropped() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 50_000), (0, 0), (0, 0)])]);
    let mut memcg = start(&machine, &lru, eager());
    let (other, mut left) = (Arc::downgrade(&lru), 3);
    *lru.hook.lock().unwrap() = Some(Box::new(move |command| {
        left -= i32::from(command.starts_with('-'));
        if left == 0 {
            let lru = other.upgrade().unwrap();
            lru.remove(19);
            lru.set(20, "/pod7/web", &[(0, 50_000), (0, 0), (0, 0), (0, 0)]);
        }
        Ok(())
    }));
    run(&mut memcg);
    let log = lru.take_log();
    assert!(
        log.len() < 9 && log.iter().all(|command| command.contains(" 19 ")),
        "{log:?}"
    );
    machine.clock.advance(600);
    run(&mut memcg);
    assert_eq!(wait(memcg.get_status())["/pod7/web"].kernel_id(), 20);
    assert_eq!(numa(&memcg, "/pod7/web").run_aging_count, 1);
}

#[test]
fn pressure_ends_an_eviction() {
    let machine = Arc::new(Machine::v2());
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 1_000_000), (0, 0), (0, 0)])]);
    let mut memcg = start(&machine, &lru, eager());
    let (other, mut total) = (machine.clone(), 200_000);
    *lru.hook.lock().unwrap() = Some(Box::new(move |command| {
        if command.starts_with('-') {
            total += 3_000; // of 5000 µs in half a second
            other.stall("pod7/web", total, 60_000);
        }
        Ok(())
    }));
    run(&mut memcg);
    let count = numa(&memcg, "/pod7/web").eviction_count;
    assert_eq!(count.psi_exceeds_limit, 1);
    assert!(tally(&lru.take_log()).1 <= 4);
    assert_eq!(count.page, 1_000_000 - lru.oldest(19).1);
}

/// E4b.
#[test]
fn eviction_ends_with_its_time() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 100_000_000), (0, 0), (0, 0)])]);
    let mut memcg = start(
        &machine,
        &lru,
        SingleConfig {
            period_secs: 30,
            eviction_psi_percent_limit: 0,
            ..eager()
        },
    );
    let before = Clock::now(&*machine.clock);
    run(&mut memcg);
    let took = Clock::now(&*machine.clock) - before;
    assert!((15_000..15_200).contains(&took.as_millis()), "{took:?}");
    let count = numa(&memcg, "/pod7/web").eviction_count;
    assert_eq!(count.other_error, 1);
    assert_eq!(
        count.page,
        100_000_000 - lru.oldest(19).1,
        "all that was taken is counted"
    );
}

/// A kernel with so many cgroups that reading takes long.
struct Slow(Arc<FakeLru>, Arc<common::FakeClock>);

impl LruGen for Slow {
    fn read(&self) -> io::Result<Vec<u8>> {
        self.1.sleep(Duration::from_secs(1));
        self.0.read()
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.0.command(cmd)
    }
}

#[test]
fn looks_that_take_long_are_rare() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 100_000_000), (0, 0), (0, 0)])]);
    let env = Env {
        lru_gen: Some(Arc::new(Slow(lru.clone(), machine.clock.clone()))),
        ..machine.env()
    };
    let config = SingleConfig {
        period_secs: 200,
        ..eager()
    };
    let mut memcg = MemCG::with_env(env, memcg_config(config)).unwrap();
    lru.take_reads();
    run(&mut memcg);
    // Of 100 s, and one before.
    let reads = lru.take_reads();
    assert!((20..=22).contains(&reads), "{reads} looks");
    assert!(tally(&lru.take_log()).1 >= 4 * 19);
}

/// A clock that does something whenever it is slept with.
struct Scripted<F>(Arc<common::FakeClock>, F);

impl<F: Fn() + Send + Sync> Clock for Scripted<F> {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&self, d: Duration) {
        self.0.sleep(d);
        (self.1)();
    }
}

/// Spec 7.2.
#[test]
fn refaults_end_a_reclaim() {
    for (refaults_per_look, stops) in [(0, false), (30, true)] {
        let machine = Arc::new(Machine::v2());
        let stat = "sys/fs/cgroup/pod7/web/memory.stat";
        machine.write(stat, "workingset_refault_file 0\npgsteal 0\n");
        let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 1_000), (0, 0), (0, 0)])]);
        let (tree, pages, looks) = (machine.clone(), lru.clone(), AtomicU64::new(0));
        // What has been written to `memory.reclaim` is gone by the next look.
        let script = move || {
            let looks = looks.fetch_add(1, Ordering::SeqCst) + 1;
            let mut memcgs = pages.memcgs.lock().unwrap();
            let oldest = &mut memcgs.get_mut(&19).unwrap().generations[0].1;
            *oldest = oldest.saturating_sub(256);
            let refaults = looks * refaults_per_look;
            tree.write(
                stat,
                &format!(
                    "workingset_refault_file {refaults}\npgsteal {}\n",
                    looks * 256
                ),
            );
        };
        let env = Env {
            clock: Arc::new(Scripted(machine.clock.clone(), script)),
            ..machine.env_with(&lru)
        };
        let config = Config {
            actuator: Actuator::MemoryReclaim,
            ..memcg_config(eager())
        };
        let mut memcg = MemCG::with_env(env, config).unwrap();
        run(&mut memcg);
        let count = numa(&memcg, "/pod7/web").eviction_count;
        // 64 refaults are fine, whatever the working set is.
        assert_eq!(count.psi_exceeds_limit, u64::from(stops), "{count:?}");
        assert_eq!(count.page, if stops { 768 } else { 1_000 }, "{count:?}");
        let reclaimed = wait(memcg.get_status())["/pod7/web"].reclaimed_pages();
        assert_eq!(reclaimed, if stops { 768 } else { 1_024 });
    }
}
