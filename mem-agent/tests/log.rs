//! Records of the agent (spec 2.5). Alone in its process, as the logger is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fmt;
use std::sync::{Arc, Mutex};

use common::{FakeLru, Machine, eager, run, start, wait};
use mem_agent::memcg::{OptionConfig, SingleOptionConfig};
use slog::{Drain, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

/// Level, message, and whether it says that it is the agent's.
type Line = (Level, String, bool);

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Line>>>);

/// Looks for the key.
struct Subsystem(bool);

impl Serializer for Subsystem {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0 |= key == "subsystem" && value.to_string() == "mem-agent";
        Ok(())
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        let mut subsystem = Subsystem(false);
        let _ = record.kv().serialize(record, &mut subsystem);
        let line = (record.level(), record.msg().to_string(), subsystem.0);
        self.0.lock().unwrap().push(line);
        Ok(())
    }
}

/// D42: the number of records at `info` does not depend on the number of cgroups or of batches.
#[test]
fn runs_changes_and_results_are_told_and_no_more() {
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 50_000), (0, 0), (10, 10)])]);
    for id in 100..150 {
        machine.cgroup(&format!("c{id}"), 0, 0);
        lru.set(id, &format!("/c{id}"), &[(9, 0), (0, 0), (10, 10)]);
    }
    // Without a logger, records are discarded.
    mem_agent::info!("{}", 1);

    let lines = Lines::default();
    let _guard = slog_scope::set_global_logger(Logger::root(lines.clone().fuse(), o!()));
    let mut memcg = start(&machine, &lru, eager());
    run(&mut memcg);
    let change = OptionConfig {
        default: SingleOptionConfig {
            swappiness_max: Some(7),
            ..Default::default()
        },
        ..Default::default()
    };
    wait(memcg.set_config(change)).unwrap();
    let refused = OptionConfig {
        set: vec![Default::default()],
        ..Default::default()
    };
    wait(memcg.set_config(refused)).unwrap_err();

    let lines = lines.0.lock().unwrap();
    assert!(lines.iter().all(|(_, _, is_ours)| *is_ours), "{lines:?}");
    let told = lines
        .iter()
        .filter(|(level, ..)| level.is_at_least(Level::Info));
    let told: Vec<&str> = told.map(|(_, message, _)| message.as_str()).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], "memcg run for periods [600] starts");
    assert_eq!(
        told[1],
        "evicted 50000 pages from \"/pod7/web\" node 0: NoMinLru"
    );
    assert_eq!(told[2], "memcg run for periods [600] ends");
    assert!(
        told[3].starts_with("memcg configuration: OptionConfig"),
        "{told:?}"
    );
}
