//! Runs of the memcg half over fake trees.

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
use std::io;

use common::{COLD, FakeLru, Machine, eager, memcg_config, numa, run, start, tally, wait};
use mem_agent::memcg::{
    Actuator, CgroupConfig, Config, MemCG, OptionConfig, SingleConfig, SingleOptionConfig,
};

#[test]
fn cgroup_is_evicted_from_after_enough_agings() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 0), (0, 700), (0, 0), (0, 0)])]);
    let mut memcg = start(&machine, &lru, SingleConfig::default());
    for _ in 0..2 {
        run(&mut memcg);
        machine.clock.advance(600);
    }
    assert_eq!(lru.take_log(), ["+ 19 0 8 0 1", "+ 19 0 9 0 1"]);
    assert_eq!(lru.oldest(19), (0, 700));
    run(&mut memcg);
    let log = lru.take_log();
    assert_eq!(log[0], "+ 19 0 10 0 1");
    assert_eq!(
        &log[1..4],
        ["- 19 0 8 0 64", "- 19 0 8 0 64", "- 19 0 8 0 64"]
    );
    assert_eq!(lru.oldest(19), (0, 0));
    let numa = numa(&memcg, "/pod7/web");
    assert_eq!(numa.run_aging_count, 3);
    let count = numa.eviction_count;
    assert_eq!((count.page, count.no_min_lru_file), (700, 1));
}

#[test]
fn timers_decide_what_is_due() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(12, "/pod7", COLD), (19, "/pod7/web", COLD)]);
    let entry = CgroupConfig {
        config: SingleConfig {
            period_secs: 60,
            ..Default::default()
        },
        ..Default::default()
    };
    let config = Config {
        cgroups: [("/pod7/web".to_owned(), vec![entry])].into(),
        ..Default::default()
    };
    let mut memcg = MemCG::with_env(machine.env_with(&lru), config).unwrap();
    assert_eq!(memcg.get_timeout_list(), [60, 600]);
    run(&mut memcg);
    assert_eq!(lru.take_log(), ["+ 19 0 7 0 1", "+ 12 0 7 0 1"]);
    assert_eq!(memcg.get_timeout_list(), [0_u64; 0]);
    assert_eq!(memcg.get_remaining_tokio_duration().as_secs(), 60);
    machine.clock.advance(60);
    run(&mut memcg);
    assert_eq!(lru.take_log(), ["+ 19 0 8 0 1"]);
}

/// M5 with the figures of the sample tree.
#[test]
fn cgroup_under_pressure_of_its_own_is_passed_over() {
    let cases = [
        ("1 %", 30_000, 20_000, 0, 1),
        ("1.2 % is 1 %", 35_000, 25_000, 0, 1),
        ("2 %", 60_000, 40_000, 0, 0),
        ("all of it is a child's", 60_000, 40_000, 100_000, 1),
    ];
    for (name, memory, io, of_child, agings) in cases {
        let machine = Machine::v2();
        let lru = FakeLru::new(&[(12, "/pod7", COLD)]);
        let mut memcg = start(
            &machine,
            &lru,
            SingleConfig {
                period_secs: 5,
                ..Default::default()
            },
        );
        run(&mut memcg);
        lru.take_log();
        machine.clock.advance(5);
        machine.stall("pod7", 900_000 + memory, 410_000 + io);
        machine.stall("pod7/web", 200_000 + of_child, 60_000 + of_child);
        run(&mut memcg);
        assert_eq!(tally(&lru.take_log()).0, agings, "{name}");
        assert_eq!(
            numa(&memcg, "/pod7").sleep_psi_exceeds_limit,
            1 - agings as u64,
            "{name}"
        );
    }
}

/// D13, D23.
#[test]
fn child_without_readable_pressure_does_not_matter() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(12, "/pod7", COLD)]);
    let mut memcg = start(
        &machine,
        &lru,
        SingleConfig {
            period_secs: 5,
            ..Default::default()
        },
    );
    run(&mut memcg);
    machine.clock.advance(5);
    machine.remove("sys/fs/cgroup/pod7/web/io.pressure");
    fs::remove_dir_all(machine.path("sys/fs/cgroup/pod7/odd name")).unwrap();
    run(&mut memcg);
    assert_eq!(tally(&lru.take_log()).0, 2);
    assert_eq!(numa(&memcg, "/pod7").sleep_psi_exceeds_limit, 0);
}

#[test]
fn cgroup_without_pressure_is_skipped_and_others_are_not() {
    let machine = Machine::v1();
    fs::create_dir_all(machine.path("sys/fs/cgroup/memory/nopsi")).unwrap();
    let lru = FakeLru::new(&[(5, "/nopsi", COLD), (19, "/pod7/web", COLD)]);
    let mut memcg = start(&machine, &lru, eager());
    run(&mut memcg);
    assert!(
        lru.take_log()
            .iter()
            .all(|command| command.split(' ').nth(1) == Some("19"))
    );
    assert_eq!(numa(&memcg, "/nopsi").run_aging_count, 0);
}

#[test]
fn young_generations_are_left_alone() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
    lru.memcgs.lock().unwrap().get_mut(&19).unwrap().age_ms = 59_999;
    let mut memcg = start(&machine, &lru, eager());
    run(&mut memcg);
    assert_eq!(lru.take_log(), [""; 0]);
    assert_eq!(numa(&memcg, "/pod7/web").run_aging_count, 0);
}

#[test]
fn refused_aging_is_not_counted() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", COLD)]);
    *lru.hook.lock().unwrap() = Some(Box::new(|_| Err(io::Error::from_raw_os_error(12))));
    let mut memcg = start(&machine, &lru, eager());
    run(&mut memcg);
    assert_eq!(lru.take_log().len(), 1);
    assert_eq!(numa(&memcg, "/pod7/web").run_aging_count, 0);
}

#[test]
fn failed_look_fails_the_run() {
    let machine = Machine::v2();
    let mut memcg = MemCG::with_env(machine.env(), Config::default()).unwrap();
    machine.remove("sys/kernel/debug/lru_gen");
    let error = memcg.work(&vec![600]).unwrap_err();
    assert!(
        format!("{error:#}").starts_with("mglru::host_memcgs_get failed: "),
        "{error:#}"
    );
    let change = || OptionConfig {
        default: SingleOptionConfig {
            swap: Some(true),
            ..Default::default()
        },
        ..Default::default()
    };
    let error = wait(memcg.set_config(change())).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("mglru::host_memcgs_get failed: "),
        "{error:#}"
    );
    // G6: switching it off is always possible, and what follows too.
    let off = SingleOptionConfig {
        disabled: Some(true),
        ..Default::default()
    };
    assert!(
        wait(memcg.set_config(OptionConfig {
            default: off,
            ..Default::default()
        }))
        .unwrap()
    );
    assert!(!wait(memcg.set_config(change())).unwrap());
    memcg.work(&vec![600]).unwrap();
}

/// Spec 7.2.
#[test]
fn memory_reclaim_takes_what_mglru_finds_cold() {
    let machine = Machine::v2();
    machine.write(
        "sys/fs/cgroup/pod7/web/memory.stat",
        "workingset_refault_file 5\npgsteal 0\n",
    );
    let lru = FakeLru::new(&[
        (12, "/pod7", &[(0, 100), (0, 0), (0, 0)]),
        (19, "/pod7/web", &[(0, 100), (0, 0), (0, 0)]),
    ]);
    let config = Config {
        actuator: Actuator::MemoryReclaim,
        ..memcg_config(eager())
    };
    let mut memcg = MemCG::with_env(machine.env_with(&lru), config).unwrap();
    run(&mut memcg);
    let log = lru.take_log();
    assert!(
        !log.iter().any(|command| command.starts_with("- 19 ")),
        "{log:?}"
    );
    assert!(
        log.iter().any(|command| command.starts_with("- 12 ")),
        "one with children: {log:?}"
    );
    // Two batches of 64 and 36 pages, the second over the first.
    assert_eq!(
        machine.read("sys/fs/cgroup/pod7/web/memory.reclaim"),
        "147456 swappiness=0"
    );
}

/// Spec 7.4.
#[test]
fn memory_reclaim_alone_works_without_mglru() {
    let machine = Machine::v2();
    machine.remove("sys/kernel/mm/lru_gen/enabled");
    let gigabyte = 1 << 30;
    machine.write(
        "sys/fs/cgroup/pod7/web/memory.current",
        &format!("{gigabyte}\n"),
    );
    machine.write(
        "sys/fs/cgroup/pod7/web/memory.stat",
        &format!("inactive_file {}\npgsteal 0\n", gigabyte / 2),
    );
    let config = Config {
        actuator: Actuator::MemoryReclaim,
        ..memcg_config(eager())
    };
    let mut memcg = MemCG::with_env(machine.env(), config).unwrap();
    run(&mut memcg);
    assert_eq!(
        machine.read("sys/fs/cgroup/pod7/web/memory.reclaim"),
        "262144 swappiness=0"
    );
    assert_eq!(
        machine.read("sys/fs/cgroup/pod7/memory.reclaim"),
        "",
        "one with children"
    );
    // Without being told to, a machine without MGLRU is refused.
    assert!(MemCG::with_env(machine.env(), memcg_config(eager())).is_err());
}

/// What a change needs of the machine is asked for before it is made.
#[test]
fn change_of_the_actuator_is_refused_where_the_machine_lacks_it() {
    let change = |actuator, disabled| OptionConfig {
        default: SingleOptionConfig {
            disabled: Some(disabled),
            ..Default::default()
        },
        actuator: Some(actuator),
        ..Default::default()
    };
    let machine = Machine::v2();
    machine.remove("sys/kernel/mm/lru_gen/enabled");
    machine.write("sys/fs/cgroup/pod7/web/memory.stat", "pgsteal 0\n");
    let mut memcg = MemCG::with_env(machine.env(), common::memcg_off()).unwrap();
    let mut other = memcg.clone();
    let mut lru_gen = || wait(other.set_config(change(Actuator::LruGen, false)));
    let error = lru_gen().unwrap_err().to_string();
    assert!(error.starts_with("mglru::check failed: "), "{error}");
    wait(memcg.set_config(change(Actuator::MemoryReclaim, false))).unwrap();
    assert!(!wait(memcg.get_status()).is_empty());
    let error = lru_gen().unwrap_err().to_string();
    assert!(error.starts_with("mglru::check failed: "), "{error}");
    // Nothing has changed, and a disabled half needs nothing.
    let due = memcg.get_timeout_list();
    memcg.work(&due).unwrap();
    wait(memcg.set_config(change(Actuator::LruGen, true))).unwrap();

    let machine = Machine::v2();
    let mut memcg = MemCG::with_env(machine.env(), Config::default()).unwrap();
    for actuator in [Actuator::MemoryReclaim, Actuator::LruGen] {
        wait(memcg.set_config(change(actuator, false))).unwrap();
    }
}
