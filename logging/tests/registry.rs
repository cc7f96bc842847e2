//! Loggers of components and subsystems (3.5).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod support;

logging::logger_with_subsystem!(crate_sl, "at-crate-root");

mod below {
    pub(crate) fn logger() -> slog::Logger {
        crate_sl!()
    }
}

use logging::{LOGGERS, register_component_logger, register_subsystem_logger};
use slog::{Level, Logger, info, o};
use support::{Received, text};

/// What records of a logger get, which `make` takes from the registry within the scope of a logger
/// called `scope`.
fn keys_of(scope: &str, make: impl FnOnce() -> Logger) -> (Option<String>, String, String) {
    let received = Received::default();
    let (logger, guard) = logging::create_logger(scope, "s", Level::Info, received.writer());
    let logger = slog_scope::scope(&logger, make);
    info!(logger, "m");
    drop(guard);
    let record = received.record();
    (
        record
            .get("component")
            .map(|c| c.as_str().unwrap().to_owned()),
        text(&record, "subsystem").to_owned(),
        text(&record, "name").to_owned(),
    )
}

fn keys(component: Option<&str>, subsystem: &str, name: &str) -> (Option<String>, String, String) {
    (
        component.map(str::to_owned),
        subsystem.to_owned(),
        name.to_owned(),
    )
}

#[test]
fn a_component_is_its_own_subsystem() {
    let found = keys_of("scope", || {
        register_component_logger("c1");
        logging::logger_with_subsystem!(sl, "c1");
        sl!()
    });
    assert_eq!(found, keys(Some("c1"), "c1", "scope"));
}

#[test]
fn a_subsystem_inherits_the_component() {
    let found = keys_of("scope", || {
        register_component_logger("c2");
        register_subsystem_logger("c2", "s2");
        logging::logger_with_subsystem!(sl, "s2");
        sl!()
    });
    assert_eq!(found, keys(Some("c2"), "s2", "scope"));
}

#[test]
fn a_subsystem_of_an_unknown_component_has_the_scope_alone() {
    let found = keys_of("scope", || {
        register_subsystem_logger("unknown", "s3");
        logging::logger_with_subsystem!(sl, "s3");
        sl!()
    });
    assert_eq!(found, keys(None, "s3", "scope"));
}

#[test]
fn an_unregistered_subsystem_has_the_scope_alone() {
    let found = keys_of("scope", || {
        logging::logger_with_subsystem!(sl, "s4");
        sl!()
    });
    assert_eq!(found, keys(None, "s4", "scope"));
    assert!(
        !LOGGERS.load().contains_key("s4"),
        "looking up registers nothing"
    );
}

#[test]
fn a_registered_logger_stays_until_it_is_registered_again() {
    logging::logger_with_subsystem!(sl, "c5");
    let first = keys_of("first", || {
        register_component_logger("c5");
        sl!()
    });
    assert_eq!(first, keys(Some("c5"), "c5", "first"));

    let received = Received::default();
    let (logger, guard) = logging::create_logger("second", "s", Level::Info, received.writer());
    slog_scope::scope(&logger, || {
        info!(sl!(), "goes to the first");
        register_component_logger("c5");
        info!(sl!(), "goes to the second");
    });
    drop(guard);
    assert_eq!(received.messages(), ["goes to the second"]);
}

#[test]
fn the_macro_works_at_the_crate_root_before_its_modules() {
    assert_eq!(
        keys_of("scope", below::logger),
        keys(None, "at-crate-root", "scope")
    );
}

#[test]
fn the_macro_can_be_used_wherever_a_logger_can() {
    logging::logger_with_subsystem!(sl, "s6");
    fn take(_: &Logger) {}
    take(&sl!());
    let child = sl!().new(o!("container-id" => "web"));
    info!(child.clone(), "no destination");
    info!(sl!(), "no destination {}", 1; "a" => 2);
    #[allow(unused_variables, reason = "a subsystem may be any expression")]
    let subsystem = "s7";
    logging::logger_with_subsystem!(other, subsystem);
    take(&other!());
}

#[test]
fn threads_register_without_losing_each_others_loggers() {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..50 {
                    register_component_logger(&format!("t{thread}-{n}"));
                    register_subsystem_logger(&format!("t{thread}-{n}"), &format!("u{thread}-{n}"));
                }
            });
        }
    });
    let loggers = LOGGERS.load();
    for thread in 0..4 {
        for n in 0..50 {
            assert!(loggers.contains_key(&format!("t{thread}-{n}")));
            assert!(loggers.contains_key(&format!("u{thread}-{n}")));
        }
    }
}
