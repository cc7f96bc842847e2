use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use super::super::rest::AGENT_WORK_ERROR_SLEEP;
use super::*;
use crate::env::{CgroupVersion, Clock, Host, Snapshot};
use crate::memcg::Actuator;
use crate::psi::Pressure;

/// A machine without cgroups, where it is always the same time.
struct Idle;

impl Host for Idle {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, _: Duration) {}

    fn probe(&self, _: &Path, _: Actuator) -> Result<PathBuf> {
        Ok(PathBuf::new())
    }

    fn snapshot(&self, _: Option<&HashSet<String>>) -> Result<Snapshot> {
        Ok(Snapshot::default())
    }

    fn command(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn pressure(&self, _: &Path, _: &str) -> io::Result<Pressure> {
        Ok(Pressure::default())
    }

    fn swap_free_kb(&self) -> Result<u64> {
        Ok(0)
    }
}

/// A clock that only the thread of the test can read.
struct Foreign;

impl Clock for Foreign {
    fn now(&self) -> Duration {
        assert!(!is_worker(), "no time");
        Duration::from_secs(1000)
    }
}

fn is_worker() -> bool {
    std::thread::current().name() == Some("mem-agent-work")
}

/// Of an agent with nothing to do.
fn disabled() -> Control {
    let off = memcg::SingleConfig {
        disabled: true,
        ..Default::default()
    };
    let memcg = memcg::Config {
        default: off,
        ..Default::default()
    };
    let compact = compact::Config {
        disabled: true,
        ..Default::default()
    };
    let env = Env::default();
    let memcg = MemCG::with_host(Arc::new(Idle), memcg).unwrap();
    let compact = Compact::with_env(env.clone(), compact).unwrap();
    Control::new(env, memcg, compact, mpsc::channel(1).1)
}

/// D5, also for what a run does besides its halves.
#[test]
fn panic_while_looking_for_cgroups_is_a_failure_of_the_half() {
    let machine = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(machine.path().join("fs/cgroup")).unwrap();
    let env = Env {
        sys_root: machine.path().to_owned(),
        cgroup: CgroupVersion::V2,
        clock: Arc::new(Foreign),
        ..Env::default()
    };
    let memcg = MemCG::with_host(Arc::new(Idle), memcg::Config::default()).unwrap();
    let compact = compact::Config {
        disabled: true,
        ..Default::default()
    };
    let compact = Compact::with_env(env.clone(), compact).unwrap();
    let mut control = Control::new(env, memcg, compact, mpsc::channel(1).1);
    let now = control.env.clock.now();
    assert!(control.is_due(now));
    control.start_run(now);
    let Some(Event::RunEnded(outcome)) = control.events.blocking_recv() else {
        panic!("only the run has ended");
    };
    let Some(Err(error)) = &outcome.memcg else {
        panic!("the half has failed");
    };
    assert_eq!(error.to_string(), "panicked: no time");
    control.end_run(outcome);
    assert!(!control.is_due(now + AGENT_WORK_ERROR_SLEEP - Duration::from_secs(1)));
    assert!(control.is_due(now + AGENT_WORK_ERROR_SLEEP));
    assert!(control.is_watching, "a second watcher would be too many");
}

/// A change ends the rest after a failure, whether it is made before the failure or after it.
#[test]
fn failure_of_a_run_during_which_there_was_a_change_is_not_waited_for() {
    let failed = || Outcome {
        memcg: Some(Err(anyhow!("failed"))),
        compact: Some(Err(anyhow!("failed"))),
        ..Outcome::default()
    };
    let mut control = disabled();
    control.is_watching = true;
    for half in [Half::Memcg, Half::Compact] {
        let rests = |control: &Control| {
            let now = control.env.clock.now();
            let soon = now + AGENT_WORK_ERROR_SLEEP / 2;
            [control.memcg_time(now), control.compact_time(now)].map(|time| time > soon)
        };
        for (change, expected) in [
            (false, [true, true]),
            (true, [half != Half::Memcg, half != Half::Compact]),
            (false, [true, true]),
        ] {
            control.start_run(control.env.clock.now());
            assert!(matches!(
                control.events.blocking_recv(),
                Some(Event::RunEnded(_))
            ));
            if change {
                control.changing = Some((half, oneshot::channel().0));
                control.end_change(Ok(true));
            }
            control.end_run(failed());
            assert_eq!(rests(&control), expected, "{half:?} {change}");
        }
    }
}

/// A container may make and remove cgroups as fast as it can.
#[test]
fn any_number_of_changes_between_two_looks_is_one_event() {
    let mut control = disabled();
    let mut on_change = control.watcher();
    for _ in 0..3 {
        for _ in 0..1_000 {
            assert!(on_change());
        }
        assert!(matches!(
            control.events.try_recv(),
            Ok(Event::CgroupsChanged)
        ));
        assert!(control.events.try_recv().is_err(), "one only");
        control.has_told.store(false, Ordering::SeqCst); // by the next look
    }
    drop(control);
    assert!(!on_change(), "the loop has ended");
}
