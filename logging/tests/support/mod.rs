//! Writers that behave well or badly, and what they received.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test binary uses a part"
)]
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

pub(crate) mod journald;
pub(crate) mod mounts;

use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Map, Value};
use slog::{KV, Key, Level, Logger, Record, Serializer, b, record as slog_record};
use slog_async::AsyncGuard;

pub(crate) const LEVELS: [Level; 6] = [
    Level::Critical,
    Level::Error,
    Level::Warning,
    Level::Info,
    Level::Debug,
    Level::Trace,
];

/// Many keys, each of its own, with short values.
pub(crate) struct Keys(pub(crate) usize);

impl KV for Keys {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        (0..self.0).try_for_each(|n| serializer.emit_usize(Key::from(format!("{n:x}")), n))
    }
}

/// Logs a record. Not through the macros of slog, of which a build may compile some out.
pub(crate) fn log(logger: &Logger, level: Level, message: &str) {
    macro_rules! log {
        ($($level:ident)*) => {
            match level {
                // `record!` wants a constant.
                $(Level::$level => {
                    logger.log(&slog_record!(Level::$level, "", &format_args!("{message}"), b!()));
                })*
            }
        };
    }
    log!(Critical Error Warning Info Debug Trace);
}

/// A logger whose writer waits at a door.
pub(crate) fn behind_a_door(level: Level) -> (Logger, AsyncGuard, Received, Door) {
    let received = Received::default();
    let door = Door::default();
    let at_door = door.clone();
    let writer = received.scripted(move |_, text| {
        at_door.pass();
        Ok(text.len())
    });
    let (logger, guard) = logging::create_logger("n", "s", level, writer);
    (logger, guard, received, door)
}

/// What a writer received. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    writes: usize,
    flushes: usize,
    is_closed: bool,
}

impl Received {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    pub(crate) fn records(&self) -> Vec<Map<String, Value>> {
        self.lines().iter().map(|line| record(line)).collect()
    }

    /// The only record there is.
    pub(crate) fn record(&self) -> Map<String, Value> {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{}", self.text());
        records.remove(0)
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        let records = self.records();
        let messages = records.iter().map(|record| text(record, "msg").to_owned());
        messages.collect()
    }

    pub(crate) fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }

    pub(crate) fn flushes(&self) -> usize {
        self.0.lock().unwrap().flushes
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().is_closed
    }

    /// A writer that takes everything.
    pub(crate) fn writer(&self) -> Scripted {
        self.scripted(|_, text| Ok(text.len()))
    }

    /// A writer of which `answer` says, for the number of the call and the text, how much of it is
    /// taken.
    pub(crate) fn scripted(
        &self,
        answer: impl FnMut(usize, &[u8]) -> io::Result<usize> + Send + Sync + 'static,
    ) -> Scripted {
        Scripted {
            received: self.clone(),
            calls: 0,
            answer: Box::new(answer),
        }
    }
}

type Answer = Box<dyn FnMut(usize, &[u8]) -> io::Result<usize> + Send + Sync>;

pub(crate) struct Scripted {
    received: Received,
    calls: usize,
    answer: Answer,
}

impl Write for Scripted {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let call = self.calls;
        self.calls += 1;
        let taken = (self.answer)(call, text)?;
        let mut state = self.received.0.lock().unwrap();
        state.writes += 1;
        state.bytes.extend_from_slice(&text[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.received.0.lock().unwrap().flushes += 1;
        Ok(())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.received.0.lock().unwrap().is_closed = true;
    }
}

/// A door that a writer waits at until somebody opens it.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<(Mutex<DoorState>, Condvar)>);

#[derive(Default)]
struct DoorState {
    is_open: bool,
    waiting: bool,
}

impl Door {
    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }

    pub(crate) fn close(&self) {
        self.0.0.lock().unwrap().is_open = false;
    }

    pub(crate) fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.waiting = true;
        self.0.1.notify_all();
        drop(self.0.1.wait_while(state, |state| !state.is_open).unwrap());
    }

    /// Until somebody stands at the door.
    pub(crate) fn wait_for_visitor(&self) {
        let state = self.0.0.lock().unwrap();
        let limit = Duration::from_secs(60);
        let waited = self.0.1.wait_timeout_while(state, limit, |s| !s.waiting);
        assert!(waited.unwrap().0.waiting, "nobody came to the door");
    }
}

/// Parses a line, and insists on what every reader of it relies on.
pub(crate) fn record(line: &str) -> Map<String, Value> {
    assert_unique_keys(line);
    let record: Map<String, Value> =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for (key, value) in &record {
        assert!(value.is_string(), "{key} is not text: {line}");
    }
    record
}

/// `serde_json` silently takes the last of equal keys.
fn assert_unique_keys(line: &str) {
    let mut keys = keys(line);
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "a key appears twice: {line}");
}

/// The keys of an object whose values are all text, in their order.
pub(crate) fn keys(line: &str) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find('"') {
        let mut texts = serde_json::Deserializer::from_str(&rest[start..]).into_iter::<String>();
        strings.push(texts.next().unwrap().unwrap());
        rest = &rest[start + texts.byte_offset()..];
    }
    strings.into_iter().step_by(2).collect()
}

pub(crate) fn text<'a>(record: &'a Map<String, Value>, key: &str) -> &'a str {
    record
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {key} in {record:?}"))
}

pub(crate) fn number(record: &Map<String, Value>, key: &str) -> u64 {
    text(record, key).parse().unwrap()
}

/// What the process writes to standard error while `log` runs, in a process of the test's own.
pub(crate) fn stderr_of(log: impl FnOnce()) -> String {
    let saved = io::stderr().as_fd().try_clone_to_owned().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let point_stderr_to = |fd: BorrowedFd<'_>| {
        // SAFETY: dup2 takes numbers.
        assert!(unsafe { libc::dup2(fd.as_raw_fd(), libc::STDERR_FILENO) } >= 0);
    };
    point_stderr_to(file.as_fd());
    let result = catch_unwind(AssertUnwindSafe(log));
    point_stderr_to(saved.as_fd());
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert!(result.is_ok(), "{text}");
    text
}

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// What a logger with the name `n` and the source `s` writes while `log` runs.
pub(crate) fn logged(log: impl FnOnce(&Logger)) -> Received {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Trace, received.writer());
    log(&logger);
    drop(guard);
    received
}
