//! Log records: the first line of an input is the message, the others are `KEY=VALUE`, of which
//! those after a line `===` are the logger's.
//!
//! * A record is one line with a JSON object, whose keys are there once each.
//! * The message is as it was; a key of the record has the value that it had last; a key that is
//!   reserved is renamed; those that are older give way.
#![no_main]

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use kata_libs_fuzz::unescape;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use slog::{KV, Level, Record, Serializer, o};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while locked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The members of an object, in their order.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// Keys and values, in the order in which they are written.
#[derive(Clone)]
struct Pairs(Vec<(String, String)>);

impl KV for Pairs {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        // slog goes from the last to the first.
        for (key, value) in self.0.iter().rev() {
            serializer.emit_str(key.clone().into(), value)?;
        }
        Ok(())
    }
}

fn pairs(text: &str) -> Pairs {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Pairs(
        pairs
            .map(|(key, value)| (unescape(key), unescape(value)))
            .collect(),
    )
}

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    let (message, rest) = input.split_once('\n').unwrap_or((&input, ""));
    let message = unescape(message);
    let (of_record, of_logger) = rest.split_once("===\n").unwrap_or((rest, ""));
    let (of_record, of_logger) = (pairs(of_record), pairs(of_logger));

    let memory = Memory::default();
    let (logger, guard) = logging::create_logger("name", "source", Level::Trace, memory.clone());
    let child = logger.new(o!(of_logger.clone()));
    slog::info!(child, "{}", message; of_record.clone());
    drop((child, logger, guard));

    let text = memory.0.lock().expect("no panic while locked").clone();
    let text = String::from_utf8(text).expect("UTF-8");
    let line = text.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains(['\n', '\r', '\0']));
    let Members(members) = serde_json::from_str(line).expect("an object");
    let mut found = BTreeMap::new();
    for (key, value) in members {
        assert!(found.insert(key, value).is_none(), "a key twice: {line}");
    }
    assert_eq!(found.get("msg"), Some(&message));
    assert_eq!(found.get("level").map(String::as_str), Some("INFO"));
    for (key, value) in of_record.0.iter().rev().take(1) {
        let name = match &**key {
            "msg" => "kv_msg",
            "level" => "kv_level",
            "ts" => "kv_ts",
            other => other,
        };
        assert_eq!(found.get(name), Some(value), "{line}");
    }
});
