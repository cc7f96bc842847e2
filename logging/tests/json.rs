//! The JSON lines: keys, values and order (3.4, 4.1).

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

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use slog::{Drain, FnValue, KV, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, Value};
use slog::{error, info, o};
use support::{LEVELS, behind_a_door, keys, log, logged, text};

fn line(log: impl FnOnce(&Logger)) -> String {
    let received = logged(log);
    received.record();
    received.text()
}

/// The line without what changes from record to record.
fn stable(line: &str) -> String {
    let (before, rest) = line.split_once(r#","ts":""#).unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let pid = format!(r#","pid":"{}""#, std::process::id());
    format!("{before}{}", after.replace(&pid, "").trim_end())
}

#[test]
fn a_record_is_one_line_with_the_root_keys() {
    let line = line(|logger| info!(logger, "hello"; "k" => 19));
    assert!(line.ends_with("\"}\n"));
    assert!(!line.contains(' '), "{line}");
    assert_eq!(
        stable(&line),
        r#"{"msg":"hello","level":"INFO","version":"0.1.0","subsystem":"root","name":"n","source":"s","k":"19"}"#
    );
    assert_eq!(
        keys(&line),
        [
            "msg",
            "level",
            "ts",
            "version",
            "subsystem",
            "pid",
            "name",
            "source",
            "k"
        ]
    );
    let record = support::record(&line);
    assert_eq!(text(&record, "version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&record, "pid"), std::process::id().to_string());
}

#[test]
fn levels_have_their_short_names() {
    let received = logged(|logger| {
        for level in LEVELS {
            log(logger, level, "");
        }
    });
    let records = received.records();
    let levels: Vec<_> = records.iter().map(|record| text(record, "level")).collect();
    assert_eq!(levels, ["CRIT", "ERRO", "WARN", "INFO", "DEBG", "TRCE"]);
}

#[test]
fn all_values_are_text() {
    #[derive(Debug)]
    struct Inner;
    impl fmt::Display for Inner {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("inner")
        }
    }
    impl std::error::Error for Inner {}
    #[derive(Debug)]
    struct Outer(Inner);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    let path = std::path::Path::new("/a b");
    let none: Option<u8> = None;
    let line = line(|logger| {
        info!(logger, "{} {n}", 1, n = 2;
            "u8" => u8::MAX, "i8" => i8::MIN, "u16" => u16::MAX, "i16" => i16::MIN,
            "u32" => u32::MAX, "i32" => i32::MIN, "u64" => u64::MAX, "i64" => i64::MIN,
            "usize" => usize::MAX, "isize" => isize::MIN, "zero" => 0,
            "u128" => u128::MAX, "f32" => 0.5_f32, "f64" => -1e300,
            "true" => true, "false" => false, "char" => 'ß', "str" => "text",
            "none" => none, "some" => Some(1), "unit" => (),
            "display" => %path.display(), "debug" => ?Some("x"), "error" => #Outer(Inner),
            "lazy" => FnValue(|record: &Record<'_>| record.line().min(1)),
            "control" => "\u{1b}[31m\0\n\t\"\\", "key \"\n" => "v");
    });
    let record = support::record(&line);
    assert_eq!(text(&record, "msg"), "1 2");
    let expected = [
        ("n", "2"),
        ("u8", "255"),
        ("i8", "-128"),
        ("u16", "65535"),
        ("i16", "-32768"),
        ("u32", "4294967295"),
        ("i32", "-2147483648"),
        ("u64", "18446744073709551615"),
        ("i64", "-9223372036854775808"),
        ("usize", "18446744073709551615"),
        ("isize", "-9223372036854775808"),
        ("zero", "0"),
        ("u128", "340282366920938463463374607431768211455"),
        ("f32", "0.5"),
        ("f64", &(-1e300).to_string()),
        ("true", "true"),
        ("false", "false"),
        ("char", "ß"),
        ("str", "text"),
        ("none", ""),
        ("some", "1"),
        ("unit", "()"),
        ("display", "/a b"),
        ("debug", "Some(\"x\")"),
        ("error", "outer: inner"),
        ("lazy", "1"),
        ("control", "\u{1b}[31m\0\n\t\"\\"),
        ("key \"\n", "v"),
    ];
    for (key, value) in expected {
        assert_eq!(text(&record, key), value, "{key}");
    }
    assert_eq!(line.matches('\n').count(), 1);
}

#[test]
fn the_record_comes_before_its_logger_and_that_before_its_ancestors() {
    let line = line(|logger| {
        let child = logger.new(o!("a" => "child", "b" => "child", "pid" => "child"));
        let grandchild = child.new(o!("b" => "grandchild"));
        info!(grandchild, ""; "source" => "record", "a" => "record");
    });
    let record = support::record(&line);
    assert_eq!(text(&record, "a"), "record");
    assert_eq!(text(&record, "b"), "grandchild");
    assert_eq!(text(&record, "pid"), "child");
    assert_eq!(text(&record, "source"), "record");
    assert_eq!(text(&record, "name"), "n");
}

#[test]
fn of_equal_keys_in_one_list_the_last_counts() {
    let line = line(|logger| {
        let child = logger.new(o!("a" => 1, "b" => 2, "a" => 3));
        info!(child, ""; "c" => 4, "d" => 5, "c" => 6);
    });
    assert_eq!(
        stable(&line),
        r#"{"msg":"","level":"INFO","version":"0.1.0","subsystem":"root","name":"n","source":"s","a":"3","b":"2","c":"6","d":"5"}"#
    );
}

#[test]
fn keys_are_in_the_order_in_which_they_were_written() {
    let line = line(|logger| {
        let component = logger.new(o!("component" => "agent", "subsystem" => "agent"));
        let container = component.new(o!("container-id" => "web", "eid" => 1));
        let last = container.new(o!("component" => "rustjail"));
        info!(last, "m"; "z" => 1, "container-id" => 2, "a" => 3, "source" => 4);
    });
    assert_eq!(
        keys(&line),
        [
            "msg",
            "level",
            "ts", // ours
            "version",
            "subsystem",
            "pid",
            "name",
            "component",
            "eid", // the loggers'
            "z",
            "container-id",
            "a",
            "source", // the record's
        ]
    );
    assert_eq!(text(&support::record(&line), "subsystem"), "agent");
    assert_eq!(text(&support::record(&line), "component"), "rustjail");
}

#[test]
fn the_order_is_the_same_in_each_record() {
    let received = logged(|logger| {
        let logger = logger.new(o!("component" => "a", "subsystem" => "b", "c" => "d"));
        for _ in 0..100 {
            info!(logger, "m"; "x" => 1, "y" => 2, "z" => 3);
        }
    });
    let lines = received.lines();
    assert_eq!(lines.len(), 100);
    for line in &lines {
        assert_eq!(stable(line), stable(&lines[0]));
    }
}

#[test]
fn keys_of_our_own_are_never_repeated() {
    let line = line(|logger| {
        let child = logger.new(o!("msg" => "m", "ts" => "t", "Level" => "L"));
        info!(child, "message"; "level" => "l", "a" => 1);
    });
    let record = support::record(&line);
    assert_eq!(text(&record, "msg"), "message");
    assert_eq!(text(&record, "level"), "INFO");
    assert_eq!(text(&record, "kv_msg"), "m");
    assert_eq!(text(&record, "kv_ts"), "t");
    assert_eq!(text(&record, "kv_level"), "l");
    assert_eq!(text(&record, "Level"), "L");
}

#[test]
fn of_a_reserved_key_and_its_other_name_the_later_counts() {
    let line = line(|logger| info!(logger, ""; "kv_msg" => 1, "msg" => 2));
    assert_eq!(text(&support::record(&line), "kv_msg"), "2");
    let line = self::line(|logger| info!(logger, ""; "msg" => 1, "kv_msg" => 2));
    assert_eq!(text(&support::record(&line), "kv_msg"), "2");
}

#[test]
fn many_keys_are_all_unique_and_in_order() {
    struct Many;
    impl KV for Many {
        fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
            for n in (0..2000).rev() {
                serializer.emit_u32(Key::from(format!("key-{}", n % 1000)), n)?;
            }
            Ok(())
        }
    }
    let line = line(|logger| info!(logger, ""; Many));
    let expected: Vec<_> = (0..1000).map(|n| format!("key-{n}")).collect();
    assert_eq!(keys(&line)[8..], expected);
    assert_eq!(text(&support::record(&line), "key-7"), "1007");
}

#[test]
fn time_is_that_of_the_call() {
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    info!(logger, "first");
    door.wait_for_visitor();
    let before = SystemTime::now();
    info!(logger, "second");
    let after = SystemTime::now();
    // The writer takes its time: what it does later must not show.
    while SystemTime::now() < after + Duration::from_millis(5) {
        std::thread::yield_now();
    }
    door.open();
    drop(guard);

    let records = received.records();
    let ts = text(&records[1], "ts");
    assert!(
        rfc3339(before).as_str() <= ts && ts <= rfc3339(after).as_str(),
        "{ts}"
    );
    assert_eq!(ts.len(), "2026-11-23T15:09:18.456847665Z".len());
}

/// Day by day, unlike the code under test.
fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let days = since.as_secs() / 86_400;
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [
        31,
        28 + u64::from(leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    let second = since.as_secs() % 86_400;
    format!(
        "{year:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        month + 1,
        left + 1,
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_nanos()
    )
}

#[test]
fn values_are_evaluated_on_the_calling_thread() {
    struct Where;
    impl Value for Where {
        fn serialize(
            &self,
            _: &Record<'_>,
            key: Key,
            serializer: &mut dyn Serializer,
        ) -> slog::Result {
            let id = format!("{:?}", std::thread::current().id());
            serializer.emit_str(key, &id)
        }
    }
    let line = line(|logger| {
        let logger = logger.new(o!("by-logger" => FnValue(|_: &Record<'_>| {
            format!("{:?}", std::thread::current().id())
        })));
        info!(logger, ""; "by-record" => Where);
    });
    let record = support::record(&line);
    let here = format!("{:?}", std::thread::current().id());
    assert_eq!(text(&record, "by-logger"), here);
    assert_eq!(text(&record, "by-record"), here);
}

#[test]
fn lazy_values_of_a_logger_are_evaluated_for_each_record() {
    let received = logged(|logger| {
        let logger = logger.new(o!("line" => FnValue(|record: &Record<'_>| record.line())));
        info!(logger, "");
        info!(logger, "");
    });
    let records = received.records();
    assert_ne!(text(&records[0], "line"), text(&records[1], "line"));
}

#[test]
fn a_panicking_value_ends_neither_the_record_nor_the_logger() {
    struct Bad;
    impl fmt::Display for Bad {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            std::panic::resume_unwind(Box::new("bad"));
        }
    }
    let received = logged(|logger| {
        info!(logger, "message"; "a" => 1, "bad" => %Bad, "z" => 2);
        info!(logger, "{}", Bad; "a" => 1);
        info!(logger, "still here");
    });
    let records = received.records();
    assert_eq!(text(&records[0], "bad"), "<panicked while formatting>");
    assert_eq!((text(&records[0], "a"), text(&records[0], "z")), ("1", "2"));
    assert_eq!(text(&records[1], "msg"), "<panicked while formatting>");
    assert_eq!(text(&records[2], "msg"), "still here");
}

#[test]
fn logging_while_formatting_a_value_works() {
    struct Chatty(Logger);
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!(self.0, "inner"; "k" => 1);
            f.write_str("done")
        }
    }
    let received = logged(|logger| {
        info!(logger, "outer"; "before" => 1, "chatty" => %Chatty(logger.clone()), "after" => 2);
    });
    assert_eq!(received.messages(), ["inner", "outer"]);
    let outer = &received.records()[1];
    assert_eq!(text(outer, "chatty"), "done");
    assert_eq!(text(outer, "before"), "1");
}

#[test]
fn a_logger_below_another_root_keeps_the_keys_of_both() {
    let received = logged(|logger| {
        let (other, guard) = logging::create_logger("other", "o", Level::Info, std::io::sink());
        let front = Logger::root(logger.clone(), o!("front" => 1));
        error!(front, "m");
        // The key/values of the other logger come with it, before those of ours.
        let chained = Logger::root(logger.clone(), o!(List(other.list().clone())));
        error!(chained, "m");
        drop(guard);
    });
    let records = received.records();
    assert_eq!(text(&records[0], "front"), "1");
    assert_eq!(text(&records[0], "name"), "n");
    assert_eq!(text(&records[1], "name"), "other");
}

/// A list of key/values as the values of another logger.
struct List(OwnedKVList);

impl KV for List {
    fn serialize(&self, record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        self.0.serialize(record, serializer)
    }
}

#[test]
fn many_records_are_written_at_once() {
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    info!(logger, "first");
    door.wait_for_visitor();
    for n in 0..1000 {
        info!(logger, "record {n}");
    }
    door.open();
    drop(guard);
    assert_eq!(received.lines().len(), 1001);
    assert!(received.writes() < 20, "{} writes", received.writes());
}

/// A value that logs to somebody else, who has the same key/values but does not know them.
#[test]
fn others_see_the_root_keys_also_while_a_record_is_rendered() {
    #[derive(Clone, Default)]
    struct Keys(Arc<Mutex<Vec<String>>>);
    impl Drain for Keys {
        type Ok = ();
        type Err = Never;
        fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
            let mut reader = KeysOf(self.0.lock().unwrap());
            let _ = values.serialize(record, &mut reader);
            Ok(())
        }
    }
    struct KeysOf<'a>(MutexGuard<'a, Vec<String>>);
    impl Serializer for KeysOf<'_> {
        fn emit_arguments(&mut self, key: Key, _: &fmt::Arguments<'_>) -> slog::Result {
            self.0.push(key.as_str().to_owned());
            Ok(())
        }
    }
    let keys = Keys::default();
    logged(|logger| {
        let other = Logger::root(keys.clone(), o!(List(logger.list().clone())));
        let lazy = FnValue(move |_: &Record<'_>| {
            info!(other, "to somebody else");
            "value"
        });
        let logger = logger.new(o!("lazy" => lazy));
        info!(logger, "m");
    });
    let expected = ["source", "name", "pid", "subsystem", "version"];
    assert_eq!(*keys.0.lock().unwrap(), expected);
}
