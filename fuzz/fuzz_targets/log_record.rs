//! Log records as JSON, of an input as [`Entry`] reads it. The message of an input that begins with
//! `*` is repeated, until records are cut.
//!
//! * A record is one line with a JSON object: message, level and time, the fields of the loggers,
//!   those of the record; each once, with the value that it had last, in the order of a slow model.
//! * A key that is reserved is renamed; those that are older give way.
//! * One that is too long is cut, and says so.
#![no_main]

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use kata_libs_fuzz::log_entry::{Entry, root_fields};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use slog::Level;

/// The longest line, and what a message is shortened for the fields.
const MAX_RECORD: usize = 1 << 20;
const ROOM: usize = 32 << 10;

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

/// What is logged, as one line of JSON.
fn line(entry: &Entry) -> String {
    let memory = Memory::default();
    let (logger, guard) = logging::create_logger("name", "source", Level::Trace, memory.clone());
    entry.log(&logger);
    drop((logger, guard));
    let text = memory.0.lock().expect("no panic while locked").clone();
    let text = String::from_utf8(text).expect("UTF-8");
    let line = text.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains(|c: char| c < ' '), "{line:?}");
    line.to_owned()
}

fn check_whole(entry: &Entry, members: Vec<(String, String)>) {
    let mut members = members.into_iter();
    let head: Vec<_> = members.by_ref().take(3).collect();
    let [(msg, message), (level, severity), (ts, time)] = &*head else {
        panic!("{head:?}");
    };
    assert_eq!([msg, level, ts], ["msg", "level", "ts"]);
    assert_eq!(message, &entry.message);
    assert_eq!(severity, entry.level.as_short_str());
    assert!(time.contains('T') && time.len() >= 20);

    let version = members.clone().find(|(key, _)| key == "version");
    let mut root = vec![(
        "version",
        version.map(|(_, value)| value).unwrap_or_default(),
    )];
    root.extend(root_fields("name", "source"));
    let (of_loggers, of_record) = entry.fields(&root, |key| {
        Some(match key {
            "msg" | "level" | "ts" => format!("kv_{key}"),
            other => other.to_owned(),
        })
    });
    assert!(members.eq(of_loggers.into_iter().chain(of_record)));
}

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    let mut entry = Entry::parse(&input);
    if entry.message.starts_with('*') {
        entry.message = entry.message.repeat(256);
    }
    let line = line(&entry);
    let Members(members) = serde_json::from_str(&line).expect("an object");
    if 6 * (entry.message.len() + data.len()) < MAX_RECORD - ROOM {
        check_whole(&entry, members);
        return;
    }
    assert!(line.len() <= MAX_RECORD);
    let (first, message) = &members[0];
    assert_eq!(first, "msg");
    let is_cut = *message != entry.message;
    if is_cut {
        let kept = message.strip_suffix('…').expect("says so");
        assert!(entry.message.starts_with(kept));
        assert!(line.len() >= MAX_RECORD - 2 * ROOM);
        let truncated = members.iter().filter(|(key, _)| key == "truncated");
        assert!(truncated.map(|(_, value)| value).eq(["true"]));
    }
});
