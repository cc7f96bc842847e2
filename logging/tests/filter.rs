//! Levels by component, changed at run time (3.3, 3.1.1). The rules are the process's: one at a time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logging::FILTER_RULE;
use slog::{Drain, FnValue, Level, Logger, Record, o};
use support::{LEVELS, Received, log};

static TURN: Mutex<()> = Mutex::new(());

/// A logger, alone with its rules.
struct Fixture {
    logger: Logger,
    received: Received,
    guard: Option<slog_async::AsyncGuard>,
    _turn: MutexGuard<'static, ()>,
}

impl Fixture {
    fn new(level: Level, rules: &[(&str, Level)]) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        FILTER_RULE.store(Arc::new(HashMap::new()));
        let received = Received::default();
        let (logger, guard) = logging::create_logger("n", "s", level, received.writer());
        for (component, level) in rules {
            set_rule(component, *level);
        }
        Self {
            logger,
            received,
            guard: Some(guard),
            _turn: turn,
        }
    }

    fn messages(&mut self) -> Vec<String> {
        self.guard = None;
        self.received.messages()
    }
}

/// As the runtime does it.
fn set_rule(component: &str, level: Level) {
    FILTER_RULE.rcu(|inner| {
        let mut updated_inner = HashMap::new();
        updated_inner.clone_from(inner);
        updated_inner.insert(component.to_string(), level);
        updated_inner
    });
}

#[test]
fn without_rules_the_level_of_the_logger_counts() {
    for limit in LEVELS {
        let mut fixture = Fixture::new(limit, &[]);
        let child = fixture.logger.new(o!("component" => "agent"));
        for level in LEVELS {
            log(&fixture.logger, level, level.as_str());
            log(&child, level, level.as_str());
        }
        let expected: Vec<_> = LEVELS
            .iter()
            .filter(|level| level.is_at_least(limit))
            .flat_map(|level| [level.as_str(); 2])
            .collect();
        assert_eq!(fixture.messages(), expected, "{limit}");
    }
}

#[test]
fn a_rule_counts_for_its_component_alone() {
    for default in LEVELS {
        for rule in LEVELS {
            let mut fixture = Fixture::new(default, &[("agent", rule), ("other", Level::Info)]);
            let child = fixture
                .logger
                .new(o!("component" => "agent", "subsystem" => "x"));
            let stranger = fixture.logger.new(o!("component" => "stranger"));
            let mut expected = Vec::new();
            for level in LEVELS {
                log(&child, level, "agent");
                log(&stranger, level, "stranger");
                log(&fixture.logger, level, "none");
                expected.extend(level.is_at_least(rule).then_some("agent"));
                expected.extend(level.is_at_least(default).then_some("stranger"));
                expected.extend(level.is_at_least(default).then_some("none"));
            }
            assert_eq!(fixture.messages(), expected, "{default}, {rule}");
        }
    }
}

#[test]
fn records_without_component_belong_to_root() {
    let mut fixture = Fixture::new(Level::Info, &[("root", Level::Debug), ("a", Level::Error)]);
    let child = fixture.logger.new(o!("component" => "a"));
    log(&fixture.logger, Level::Debug, "root");
    log(&fixture.logger, Level::Trace, "too verbose");
    log(&child, Level::Warning, "a");
    assert_eq!(fixture.messages(), ["root"]);
}

#[test]
fn the_nearest_component_counts() {
    let rules = [("outer", Level::Error), ("inner", Level::Debug)];
    let mut fixture = Fixture::new(Level::Info, &rules);
    let outer = fixture.logger.new(o!("component" => "outer"));
    let inner = outer.new(o!("component" => "inner")).new(o!("a" => 1));
    slog::info!(outer, "outer");
    slog::debug!(inner, "inner");
    slog::debug!(outer, "record"; "component" => "inner");
    slog::info!(inner, "record"; "component" => "outer");
    assert_eq!(fixture.messages(), ["inner", "record"]);
}

#[test]
fn a_component_may_be_any_value() {
    let rules = [
        ("7", Level::Debug),
        ("lazy", Level::Debug),
        ("a-b", Level::Debug),
    ];
    let mut fixture = Fixture::new(Level::Info, &rules);
    let logger = &fixture.logger;
    slog::debug!(logger, "number"; "component" => 7);
    slog::debug!(logger, "lazy"; "component" => FnValue(|_: &Record<'_>| "lazy"));
    slog::debug!(logger, "formatted"; "component" => format_args!("{}-{}", "a", "b"));
    slog::debug!(logger, "long"; "component" => format_args!("{:>200}", "a"));
    slog::debug!(logger, "no value"; "component" => None::<u8>);
    assert_eq!(fixture.messages(), ["number", "lazy", "formatted"]);
}

#[test]
fn subsystems_and_other_keys_play_no_part() {
    let mut fixture = Fixture::new(Level::Info, &[("agent", Level::Debug)]);
    let child = fixture
        .logger
        .new(o!("subsystem" => "agent", "Component" => "agent"));
    slog::debug!(child, "no"; "name" => "agent");
    assert_eq!(fixture.messages(), [""; 0]);
}

#[test]
fn changes_count_for_later_records_on_every_thread() {
    let mut fixture = Fixture::new(Level::Info, &[]);
    let logger = fixture.logger.new(o!("component" => "agent"));
    let (ask, asked) = std::sync::mpsc::channel::<&str>();
    let (answer, answered) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let other = logger.clone();
        scope.spawn(move || {
            for message in asked {
                slog::debug!(other, "{message} there");
                answer.send(()).unwrap();
            }
        });
        let both = |message: &'static str| {
            slog::debug!(logger, "{message} here");
            ask.send(message).unwrap();
            answered.recv().unwrap();
        };
        both("1");
        set_rule("agent", Level::Debug);
        both("2");
        set_rule("agent", Level::Info);
        both("3");
        FILTER_RULE.store(Arc::new(HashMap::from([(
            "agent".to_owned(),
            Level::Trace,
        )])));
        both("4");
        FILTER_RULE.store(Arc::new(HashMap::new()));
        both("5");
        drop(ask);
    });
    assert_eq!(
        fixture.messages(),
        ["2 here", "2 there", "4 here", "4 there"]
    );
}

#[test]
fn many_rules_work_like_few() {
    let mut fixture = Fixture::new(Level::Info, &[]);
    for n in 0..100 {
        set_rule(&format!("component-{n}"), LEVELS[n % 6]);
    }
    let mut expected = Vec::new();
    for n in 0..100 {
        let name = format!("component-{n}");
        let logger = fixture.logger.new(o!("component" => name.clone()));
        log(&logger, Level::Debug, &name);
        expected.extend(Level::Debug.is_at_least(LEVELS[n % 6]).then_some(name));
    }
    assert_eq!(fixture.messages(), expected);
}

#[test]
fn creating_a_logger_sets_all_rules_and_adds_none() {
    let fixture = Fixture::new(Level::Info, &[("a", Level::Debug), ("b", Level::Error)]);
    let (_logger, guard) = logging::create_logger("n", "s", Level::Warning, std::io::sink());
    let rules = FILTER_RULE.load();
    let expected = [("a", Level::Warning), ("b", Level::Warning)];
    assert_eq!(**rules, expected.map(|(k, v)| (k.to_owned(), v)).into());
    drop(guard);
    drop(fixture);
}

#[test]
fn is_enabled_knows_the_rules() {
    let fixture = Fixture::new(Level::Info, &[("a", Level::Debug)]);
    assert!(fixture.logger.is_enabled(Level::Info));
    assert!(
        fixture.logger.is_enabled(Level::Debug),
        "for the component a"
    );
    assert!(!fixture.logger.is_enabled(Level::Trace));
}

#[test]
fn rejected_values_are_not_evaluated() {
    let fixture = Fixture::new(Level::Info, &[]);
    let value = FnValue(|_: &Record<'_>| -> &str { panic!("evaluated") });
    slog::debug!(fixture.logger, "no"; "value" => value);
}

#[test]
fn macros_down_to_trace_are_live_as_the_build_says() {
    let mut fixture = Fixture::new(Level::Trace, &[]);
    slog::debug!(fixture.logger, "debug");
    slog::trace!(fixture.logger, "trace");
    let expected = match slog::__slog_static_max_level() {
        slog::FilterLevel::Trace => vec!["debug", "trace"],
        _ => vec!["debug"],
    };
    assert_eq!(fixture.messages(), expected);
    assert!(!cfg!(debug_assertions) || expected.len() == 2);
}

/// Where the component is looked for, values are asked for themselves, and may log as well.
#[test]
fn a_value_may_log_while_its_record_is_filtered() {
    let mut fixture = Fixture::new(Level::Info, &[("a", Level::Debug), ("b", Level::Error)]);
    let inner = fixture.logger.new(o!("component" => "a"));
    let value = FnValue(move |_: &Record<'_>| {
        slog::debug!(inner, "inner");
        "value"
    });
    let outer = fixture.logger.new(o!("component" => "b", "lazy" => value));
    slog::info!(outer, "outer");
    slog::error!(outer, "outer, accepted");
    let inner_at = |messages: &[String]| messages.iter().filter(|m| *m == "inner").count();
    let messages = fixture.messages();
    // Once for the rejected record, and for the accepted one twice: it is also rendered.
    assert_eq!(inner_at(&messages), 2, "{messages:?}");
    assert_eq!(messages.last().unwrap(), "outer, accepted");
}
