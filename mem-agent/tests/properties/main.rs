//! What must hold whatever happens to a machine: random schedules of cgroups and NUMA nodes that come
//! and go, changes of the configuration, pressure, swap space that runs out, jumps of time and errors
//! (spec 3.11.3, 7.5).
//!
//! The long run ends after `SIM_SCHEDULES` (1 000 000) schedules or `SIM_SECONDS` (3600), on
//! `SIM_THREADS` (2) threads. Its schedules follow from `SIM_SEED` (the time of day). About 3000 of
//! them take a second of one CPU, with the checks of overflow that a release build lacks:
//!
//! ```text
//! cargo test -p mem-agent --config 'profile.dev.package.mem-agent.opt-level=3' --test properties -- --ignored --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[path = "../sim/mod.rs"]
mod sim;

mod book;
mod checked;
mod compaction;
mod schedule;
mod settings;
mod world;

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use schedule::{Schedule, schedules};
use world::{Totals, World};

/// Lets a schedule happen.
fn check(schedule: &Schedule) -> Result<Totals, TestCaseError> {
    let mut world = World::new(schedule);
    for (number, step) in schedule.steps.iter().enumerate() {
        world
            .step(step)
            .map_err(|what| TestCaseError::fail(format!("step {number}: {what}")))?;
    }
    Ok(world.totals())
}

/// Runs many schedules. A failing one is made short, and told with its commands.
fn run(seed: u64, cases: u32, count: impl Fn(Totals)) {
    let result = runner(seed, cases).run(&schedules(), |schedule| {
        count(check(&schedule)?);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(what, schedule)) => panic!("{what}\n{}", story(&schedule)),
        Err(error) => panic!("{error}"),
    }
}

/// What happened, with the commands of the last step.
fn story(schedule: &Schedule) -> String {
    let mut world = World::new(schedule);
    let mut story = format!("{schedule:#?}\n");
    for (number, step) in schedule.steps.iter().enumerate() {
        world.machine().log = Some(Vec::new());
        let before = world.machine().dump();
        if let Err(what) = world.step(step) {
            let log = world.machine().log.take();
            let after = world.machine().dump();
            story += &format!("before step {number}:\n{}", before.unwrap_or_default());
            for (command, error) in log.unwrap_or_default() {
                story += &format!("{command} {error:?}\n");
            }
            story += &format!("after it:\n{}{what}\n", after.unwrap_or_default());
            break;
        }
    }
    story
}

fn runner(seed: u64, cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// The same schedules each time.
#[test]
fn invariants_hold_in_some_random_schedules() {
    let totals = Mutex::new(Totals::default());
    run(1, 1_000, |more| totals.lock().unwrap().add(more));
    let totals = *totals.lock().unwrap();
    println!("{totals:?}");
    // Schedules in which nothing happens prove nothing.
    assert!(totals.runs > 1_000, "{totals:?}");
    assert!(totals.commands > 5_000, "{totals:?}");
    assert!(totals.evicted > 100_000, "{totals:?}");
    assert!(totals.reclaims > 1_000, "{totals:?}");
    assert!(totals.complete_runs > 200, "{totals:?}");
}

#[test]
#[ignore = "the long run: see the top of the file"]
fn invariants_hold_in_very_many_random_schedules() {
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value.map_or(default, |value| value.parse().expect(name))
    };
    let seed = number("SIM_SEED", {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap().as_secs()
    });
    let time = Duration::from_secs(number("SIM_SECONDS", 3_600));
    let schedules = number("SIM_SCHEDULES", 1_000_000);
    println!("SIM_SEED={seed}");
    let (all, begin) = (Mutex::new((0, Totals::default())), Instant::now());
    std::thread::scope(|scope| {
        for thread in 0..number("SIM_THREADS", 2) {
            let all = &all;
            scope.spawn(move || {
                for round in 0.. {
                    if begin.elapsed() > time || all.lock().unwrap().0 >= schedules {
                        return;
                    }
                    let more = Mutex::new(Totals::default());
                    run(seed + (thread << 32) + round, 1_000, |totals| {
                        more.lock().unwrap().add(totals);
                    });
                    let mut all = all.lock().unwrap();
                    all.0 += 1_000;
                    all.1.add(more.into_inner().unwrap());
                    if all.0.is_multiple_of(50_000) {
                        println!("{} schedules in {:?}: {:?}", all.0, begin.elapsed(), all.1);
                    }
                }
            });
        }
    });
    let (done, totals) = all.into_inner().unwrap();
    println!("{done} schedules in {:?}: {totals:?}", begin.elapsed());
}
