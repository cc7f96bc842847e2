//! Fields of the native journal protocol (4.3): <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use slog::{Level, OwnedKVList, Record};

use super::{FIELD_ROOM, Format, Json, MAX_RECORD, Scratch, TRUNCATED};
use crate::root::Root;
use crate::text::{Bounded, PlainText};
use crate::unique_keys::{Extent, FieldStyle, Group, RootFields, Source, write_arguments};

/// Longest name of a field, in bytes; journald ignores longer ones.
const MAX_NAME: usize = 64;

/// Before the name of a user's field that would collide with one of ours (D8).
const PREFIX: &[u8] = b"KV_";

/// The record as journald takes it; before it, for Warning and above, the same as a JSON line for
/// standard error, in case journald does not.
#[derive(Debug)]
pub(crate) struct Journal {
    json: Json,
    root_fields: RootFields,
}

impl Journal {
    pub(crate) fn new(root: Arc<Root>) -> Self {
        Self {
            root_fields: RootFields::new(&root, &JournalFields),
            json: Json::new(root),
        }
    }
}

impl Format for Journal {
    fn render(
        &self,
        scratch: &mut Scratch,
        record: &Record<'_>,
        values: &OwnedKVList,
        time: Duration,
    ) -> usize {
        scratch.line.clear();
        if record.level().is_at_least(Level::Warning) {
            self.json.render(scratch, record, values, time);
        }
        let Scratch { line, fields, .. } = scratch;
        let start = line.len();
        let limit = start + MAX_RECORD;

        line.extend_from_slice(b"PRIORITY=");
        line.push(priority(record.level()));
        push_field(line, b"\nCODE_FILE=", record.file());
        push_field(line, b"\nCODE_MODULE=", record.module());
        push_field(line, b"\nCODE_FUNCTION=", record.function());
        line.extend_from_slice(b"\nCODE_LINE=");
        push_decimal(record.line(), line);
        line.extend_from_slice(b"\nMESSAGE=");
        let value = line.len();
        let reserved = self.root_fields.len() + 64; // for the field TRUNCATED
        let mut message =
            Bounded::<PlainText>::new(line, limit.saturating_sub(FIELD_ROOM + reserved));
        write_arguments(&mut message, record.msg());
        let message_is_cut = message.cut;
        close(value, line);

        let source = Source {
            record,
            values,
            root: self.json.root(),
            root_fields: &self.root_fields,
        };
        let room = limit.saturating_sub(line.len() + reserved);
        let extent = fields.collect(&source, &JournalFields, room);
        if message_is_cut || extent == Extent::Cut {
            fields.append(TRUNCATED, "true", &JournalFields);
        }
        for group in [Group::Logger, Group::Record] {
            for field in fields.of(group, &self.root_fields) {
                line.extend_from_slice(field);
            }
        }
        start
    }

    fn root(&self) -> &Root {
        self.json.root()
    }

    fn shared_root(&self) -> Arc<Root> {
        self.json.shared_root()
    }
}

/// syslog(3) priorities, one lower than those of the same name: as ever in Kata (4.2).
fn priority(level: Level) -> u8 {
    match level {
        Level::Critical => b'2',
        Level::Error => b'3',
        Level::Warning => b'4',
        Level::Info => b'5',
        Level::Debug => b'6',
        Level::Trace => b'7',
    }
}

fn push_field(line: &mut Vec<u8>, name: &[u8], value: &str) {
    line.extend_from_slice(name);
    line.extend_from_slice(value.as_bytes());
}

fn push_decimal(number: u32, line: &mut Vec<u8>) {
    let mut divisor = 1;
    while number / divisor >= 10 {
        divisor *= 10;
    }
    while divisor > 0 {
        line.push(b'0' + (number / divisor % 10) as u8);
        divisor /= 10;
    }
}

/// Ends a field whose value begins at `value`. A value with line breaks is written with its length
/// instead of a `=`.
fn close(value: usize, line: &mut Vec<u8>) {
    let bytes = line.get(value..).unwrap_or_default();
    if bytes.contains(&b'\n') {
        let length = (bytes.len() as u64).to_le_bytes();
        let equals = value.saturating_sub(1);
        line.splice(equals..value, [b'\n'].into_iter().chain(length));
    }
    line.push(b'\n');
}

/// `NAME=value`
struct JournalFields;

impl FieldStyle for JournalFields {
    type Value = PlainText;

    const CLOSING: usize = 1 + size_of::<u64>(); // a line break, and the length of a value with some

    fn open(&self, key: &str, _: Group, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let start = out.len();
        let name = key
            .chars()
            .map(|c| match c.to_ascii_uppercase() {
                c @ ('A'..='Z' | '0'..='9') => c as u8,
                _ => b'_',
            })
            .skip_while(|byte| *byte == b'_');
        out.extend(name);
        let name = out.get(start..).unwrap_or_default();
        let is_ours = matches!(name, b"MESSAGE" | b"PRIORITY") || name.starts_with(b"CODE_");
        if is_ours {
            out.splice(start..start, PREFIX.iter().copied());
        }
        let end = out.len();
        let first = out.get(start).copied().unwrap_or(b'0');
        if first.is_ascii_digit() || end - start > MAX_NAME {
            return None;
        }
        out.push(b'=');
        Some(start..end)
    }

    fn close(&self, value: usize, out: &mut Vec<u8>) {
        close(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Option<String> {
        let mut out = Vec::new();
        let range = JournalFields.open(key, Group::Record, &mut out)?;
        Some(String::from_utf8(out[range].to_vec()).unwrap())
    }

    #[test]
    fn names_are_what_journald_accepts() {
        let long = "k".repeat(64);
        let cases = [
            ("component", Some("COMPONENT")),
            ("container-id", Some("CONTAINER_ID")),
            ("a.b c/d", Some("A_B_C_D")),
            ("__leading", Some("LEADING")),
            ("ünïcode", Some("N_CODE")),
            ("a_", Some("A_")),
            ("message", Some("KV_MESSAGE")),
            ("Priority", Some("KV_PRIORITY")),
            ("code-file", Some("KV_CODE_FILE")),
            ("msg", Some("MSG")),
            ("ts", Some("TS")),
            ("9lives", None),
            ("_9lives", None),
            ("", None),
            ("___", None),
            ("日本", None),
        ];
        for (key, expected) in cases {
            assert_eq!(name(key).as_deref(), expected, "{key:?}");
        }
        assert_eq!(name(&long), Some("K".repeat(64)));
        assert_eq!(name(&(long + "k")), None);
    }

    #[test]
    fn values_with_line_breaks_carry_their_length() {
        let field = |value: &str| {
            let mut out = b"NAME=".to_vec();
            out.extend_from_slice(value.as_bytes());
            close(5, &mut out);
            out
        };
        assert_eq!(field("one"), b"NAME=one\n");
        assert_eq!(field(""), b"NAME=\n");
        assert_eq!(field("a\nb"), b"NAME\n\x03\0\0\0\0\0\0\0a\nb\n");
    }

    #[test]
    fn line_numbers_are_decimal() {
        for number in [0, 7, 10, 4_294_967_295] {
            let mut out = Vec::new();
            push_decimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
