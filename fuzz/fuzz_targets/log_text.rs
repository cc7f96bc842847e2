//! Log records as systemd-journald and terminals get them, of an input as [`Entry`] reads it.
//!
//! * journald: fields in its native protocol, with names that it accepts, each once, and with the
//!   values and the order of a slow model.
//! * Terminal: the lines of a slow model, indented by 64 columns at most; no control character but
//!   those of the format, and tabs and line breaks of the message.
#![no_main]

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;

use kata_libs_fuzz::log_entry::{Entry, root_fields};
use kata_libs_fuzz::own_run::enter_own_run;
use libfuzzer_sys::fuzz_target;
use logging::{LogDestination, create_logger_with_destination, create_term_logger};
use slog::Level;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Names of fields that are the record's own, with a value for all records but for the level and the
/// message.
const OWN: [(&str, &str); 6] = [
    ("PRIORITY", ""),
    ("CODE_FILE", "fuzz.rs"),
    ("CODE_MODULE", "fuzz"),
    ("CODE_FUNCTION", "f"),
    ("CODE_LINE", "4294967295"),
    ("MESSAGE", ""),
];

/// journald, if this process may have one of its own.
static JOURNALD: OnceLock<Option<UnixDatagram>> = OnceLock::new();

fn start_journald() {
    let socket = enter_own_run().and_then(|()| {
        fs::create_dir_all(Path::new(SOCKET).parent().expect("a directory"))?;
        let socket = UnixDatagram::bind(SOCKET)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    });
    if let Err(error) = &socket {
        eprintln!("no journald: {error}");
    }
    JOURNALD.get_or_init(|| socket.ok());
}

/// A field of the native protocol, and what is behind it.
fn field(record: &[u8]) -> ((String, String), &[u8]) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let end = record
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("an end");
    let (line, rest) = (&record[..end], &record[end + 1..]);
    if let Some(at) = line.iter().position(|byte| *byte == b'=') {
        return ((text(&line[..at]), text(&line[at + 1..])), rest);
    }
    let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
    let length = usize::try_from(u64::from_le_bytes(*length)).expect("a small one");
    let (value, rest) = rest.split_at(length);
    let rest = rest.strip_prefix(b"\n").expect("an end");
    ((text(line), text(value)), rest)
}

/// The name of a user's field.
fn journal_name(key: &str) -> Option<String> {
    let upper: String = key
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_uppercase(),
            false => '_',
        })
        .collect();
    let mut name = upper.trim_start_matches('_').to_owned();
    if ["MESSAGE", "PRIORITY"].contains(&&*name) || name.starts_with("CODE_") {
        name.insert_str(0, "KV_");
    }
    let is_valid = !name.is_empty() && name.len() <= 64 && !name.as_bytes()[0].is_ascii_digit();
    is_valid.then_some(name)
}

fn check_journal(socket: &UnixDatagram, entry: &Entry) {
    let (logger, guard) =
        create_logger_with_destination("name", "source", Level::Trace, LogDestination::Journal);
    entry.log(&logger);
    drop((logger, guard));
    let mut buffer = vec![0; 1 << 18];
    let length = socket.recv(&mut buffer).expect("a record");
    let (mut rest, mut fields) = (&buffer[..length], Vec::new());
    while !rest.is_empty() {
        let (field, behind) = field(rest);
        fields.push(field);
        rest = behind;
    }

    let (own, users) = fields.split_at(OWN.len());
    let priority = match entry.level {
        Level::Critical => "2",
        Level::Error => "3",
        Level::Warning => "4",
        Level::Info => "5",
        Level::Debug => "6",
        Level::Trace => "7",
    };
    for ((name, value), (expected, constant)) in own.iter().zip(OWN) {
        let constant = match expected {
            "PRIORITY" => priority,
            "MESSAGE" => &entry.message,
            _ => constant,
        };
        assert_eq!((&**name, &**value), (expected, constant));
    }
    let version = users.iter().find(|(name, _)| name == "VERSION");
    let version = version.map(|(_, value)| value.clone());
    let mut root = vec![("version", version.unwrap_or_default())];
    root.extend(root_fields("name", "source"));
    root.push(("syslog_identifier", "kata".to_owned()));
    let (of_loggers, of_record) = entry.fields(&root, journal_name);
    assert_eq!(users, [of_loggers, of_record].concat());
}

/// Runs `log` with a file as standard error; returns what is in it.
fn stderr_of(log: impl FnOnce()) -> String {
    // SAFETY: a string that ends with 0.
    let file = unsafe { libc::memfd_create(c"stderr".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(file >= 0);
    // SAFETY: it was opened just now.
    let mut file = unsafe { File::from_raw_fd(file) };
    let saved = std::io::stderr().as_fd().try_clone_to_owned();
    let saved = saved.expect("another descriptor");
    let point_to = |fd: BorrowedFd<'_>| {
        // SAFETY: dup2 takes numbers.
        assert!(unsafe { libc::dup2(fd.as_raw_fd(), libc::STDERR_FILENO) } >= 0);
    };
    point_to(file.as_fd());
    log();
    point_to(saved.as_fd());
    let mut text = String::new();
    file.rewind().expect("a file");
    file.read_to_string(&mut text).expect("UTF-8");
    text
}

fn escaped(text: &str, allowed: &[char]) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c.is_control() && !allowed.contains(&c) {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// What is before a line that is below `depth` others.
fn indent(depth: usize) -> String {
    " ".repeat(depth.min(64))
}

fn check_terminal(entry: &Entry) {
    let text = stderr_of(|| {
        let (logger, guard) = create_term_logger(Level::Trace);
        entry.log(&logger);
        drop((logger, guard));
    });
    let root = [("subsystem", "root".to_owned())];
    let (of_loggers, of_record) = entry.fields(&root, |key| Some(escaped(key, &[])));
    let mut rest = &*text;
    for (depth, (key, value)) in of_loggers.iter().enumerate() {
        let line = format!("{}{key}: {}\n", indent(depth), escaped(value, &[]));
        rest = rest.strip_prefix(&*line).expect("a line of the loggers");
    }
    rest = rest
        .strip_prefix(&*indent(of_loggers.len()))
        .expect("below them");
    let (time, rest) = rest.split_at("Nov 23 15:09:59.935 ".len());
    assert!(time.is_ascii() && time.ends_with(' '));
    let mut items = vec![escaped(&entry.message, &['\t', '\n'])];
    let fields = of_record.iter();
    items.extend(fields.map(|(key, value)| format!("{key}: {}", escaped(value, &[]))));
    if items[0].is_empty() {
        items.remove(0);
    }
    let level = entry.level.as_short_str();
    assert_eq!(rest, format!("{level} {}\n", items.join(", ")));
}

fuzz_target!(
    init: start_journald(),
    |data: &[u8]| {
        let entry = Entry::parse(&String::from_utf8_lossy(data));
        if let Some(Some(socket)) = JOURNALD.get() {
            check_journal(socket, &entry);
        }
        check_terminal(&entry);
    }
);
