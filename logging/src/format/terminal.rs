//! Text for people, on a terminal (3.8).

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use slog::{Level, OwnedKVList, Record};

use super::{FIELD_ROOM, Format, MAX_RECORD, Scratch, TRUNCATED};
use crate::root::Root;
use crate::sys;
use crate::text::{Bounded, Escape, TerminalMessage, TerminalText};
use crate::unique_keys::{Extent, FieldStyle, Group, RootFields, Source, write_arguments};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Lines of further keys are not indented more.
const DEEPEST: usize = 64;

const BOLD: &[u8] = b"\x1b[1m";
const RESET: &[u8] = b"\x1b[0m";

/// Whether level, message and keys stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    Ansi,
    None,
}

impl Colors {
    /// What standard error supports. <https://no-color.org> is respected.
    pub(crate) fn of_stderr() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let supported = set("TERM").is_some_and(|term| term != "dumb") && set("NO_COLOR").is_none();
        if supported && sys::stderr_is_terminal() {
            Self::Ansi
        } else {
            Self::None
        }
    }
}

/// The record line; before it, one line for each key of its loggers.
#[derive(Debug)]
pub(crate) struct Terminal {
    root: Arc<Root>,
    root_fields: RootFields,
    style: TerminalFields,
}

impl Terminal {
    pub(crate) fn new(root: Arc<Root>, colors: Colors) -> Self {
        let style = TerminalFields(colors);
        Self {
            root_fields: RootFields::new(&root, &style),
            root,
            style,
        }
    }

    fn paint(&self, start: &[u8], line: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
        match self.style.0 {
            Colors::Ansi => {
                line.extend_from_slice(start);
                text(line);
                line.extend_from_slice(RESET);
            }
            Colors::None => text(line),
        }
    }
}

impl Format for Terminal {
    fn render(
        &self,
        scratch: &mut Scratch,
        record: &Record<'_>,
        values: &OwnedKVList,
        time: Duration,
    ) -> usize {
        let Scratch { line, fields, .. } = scratch;
        line.clear();
        let source = Source {
            record,
            values,
            root: &self.root,
            root_fields: &self.root_fields,
        };
        let fields_extent = fields.collect(&source, &self.style, MAX_RECORD / 2);

        let mut depth = 0;
        for field in fields.of(Group::Logger, &self.root_fields) {
            push_spaces(depth, line);
            line.extend_from_slice(field);
            line.push(b'\n');
            depth += 1;
        }
        let head = line.len();

        push_spaces(depth, line);
        push_time(time, line);
        self.paint(color(record.level()), line, |line| {
            line.extend_from_slice(record.level().as_short_str().as_bytes());
        });
        line.push(b' ');
        let mut cut = fields_extent == Extent::Cut;
        let start = line.len();
        self.paint(BOLD, line, |line| {
            let mut message =
                Bounded::<TerminalMessage>::new(line, MAX_RECORD / 2 - FIELD_ROOM + start);
            write_arguments(&mut message, record.msg());
            cut |= message.cut;
        });
        let has_message = line.len() > start;
        if cut {
            fields.append(TRUNCATED, "true", &self.style);
        }
        let mut separator: &[u8] = if has_message { b", " } else { b"" };
        for field in fields.of(Group::Record, &self.root_fields) {
            line.extend_from_slice(separator);
            line.extend_from_slice(field);
            separator = b", ";
        }
        line.push(b'\n');
        head
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn shared_root(&self) -> Arc<Root> {
        Arc::clone(&self.root)
    }
}

fn push_spaces(depth: usize, line: &mut Vec<u8>) {
    // Of thousands of keys, the blanks would take many times what a record may have.
    line.extend(std::iter::repeat_n(b' ', depth.min(DEEPEST)));
}

/// `Nov 23 15:09:59.935 `, in local time.
fn push_time(since_epoch: Duration, line: &mut Vec<u8>) {
    let time = sys::local_time(since_epoch.as_secs()).unwrap_or_default();
    // Writing to a Vec does not fail.
    let _ = write!(
        line,
        "{} {:02} {:02}:{:02}:{:02}.{:03} ",
        MONTHS.get(time.month).unwrap_or(&"???"),
        time.day,
        time.hour,
        time.minute,
        time.second,
        since_epoch.subsec_millis()
    );
}

fn color(level: Level) -> &'static [u8] {
    match level {
        Level::Critical => b"\x1b[35m",
        Level::Error => b"\x1b[31m",
        Level::Warning => b"\x1b[33m",
        Level::Info => b"\x1b[32m",
        Level::Debug => b"\x1b[36m",
        Level::Trace => b"\x1b[34m",
    }
}

/// `key: value`
#[derive(Debug)]
struct TerminalFields(Colors);

impl FieldStyle for TerminalFields {
    type Value = TerminalText;

    const CLOSING: usize = 0;

    fn open(&self, key: &str, _: Group, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let (before, after) = match self.0 {
            Colors::Ansi => (BOLD, RESET),
            Colors::None => (&[][..], &[][..]),
        };
        out.extend_from_slice(before);
        let start = out.len();
        TerminalText::escape(key, out);
        let end = out.len();
        out.extend_from_slice(after);
        out.extend_from_slice(b": ");
        Some(start..end)
    }

    fn close(&self, _: usize, _: &mut Vec<u8>) {}
}
