//! Text for people (3.8), with slog-term as the judge of the format.

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

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use slog::{Drain, Level, Logger, OwnedKV, info, o, warn};
use support::Keys;
use test_utils::isolation::command_of_test;

const ROLE: &str = "KATA_TEST_ROLE";

/// What a test of this file writes to standard error as a process of its own. Nothing in that
/// process, which has its turn then.
fn stderr_of(test: &str) -> Option<String> {
    if std::env::var_os(ROLE).is_some() {
        return None;
    }
    let output = command_of_test(test)
        .env(ROLE, "1")
        .env("TERM", "xterm")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stderr).unwrap())
}

/// What is logged for a comparison: one key in a record, for slog-term shows several in the
/// opposite order.
fn log(root: &Logger) {
    info!(root, "hello"; "k" => 1);
    let component = root.new(o!("component" => "agent"));
    info!(component, "with a header line");
    warn!(component, "without"; "a" => "b c");
    let container = component.new(o!("container" => "web"));
    slog::error!(container, "deeper {}", 1);
    info!(component, "back"; "e" => ?"quoted");
    let other = root.new(o!("component" => "shim"));
    info!(other, "changed");
    info!(root, "root"; "unit" => ());
    slog::crit!(other, ""; "no" => "message");
}

/// The same without what differs from run to run.
fn stable(text: &str) -> String {
    let mut stable = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let (head, rest) = line.split_at(line.len().min(indent + "Nov 23 15:09:59.935".len()));
        let is_time = |(at, byte): (usize, u8)| match at {
            0..3 => byte.is_ascii_alphabetic(),
            3 | 6 => byte == b' ',
            9 | 12 => byte == b':',
            15 => byte == b'.',
            _ => byte.is_ascii_digit(),
        };
        if head.trim_start().len() == 19 && head.trim_start().bytes().enumerate().all(is_time) {
            stable.push_str(&format!("{}TIME{rest}\n", &line[..indent]));
        } else {
            stable.push_str(&format!("{line}\n"));
        }
    }
    stable
}

#[test]
fn the_format_is_that_of_slog_term() {
    let Some(text) = stderr_of("the_format_is_that_of_slog_term") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        log(&logger);
        drop(guard);
        return;
    };

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl Write for Buffer {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let buffer = Buffer::default();
    let decorator = slog_term::PlainSyncDecorator::new(buffer.clone());
    let judge = Mutex::new(slog_term::CompactFormat::new(decorator).build()).fuse();
    log(&Logger::root(judge, o!("subsystem" => "root")));
    let expected = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
    assert_eq!(stable(&text), stable(&expected));
    assert!(text.starts_with("subsystem: root\n"), "{text}");
}

#[test]
fn the_time_is_local() {
    let Some(text) = stderr_of("the_time_is_local") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        info!(logger, "hello");
        drop(guard);
        return;
    };
    let date = Command::new("date")
        .arg("+%b %d %H:")
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    let line = text.lines().last().unwrap().trim_start();
    // The hour may change in between, but not all of it.
    assert_eq!(line[..6], date[..6], "{text}");
    assert!(line[19..].starts_with(" INFO hello"), "{line}");
}

#[test]
fn record_keys_are_in_the_order_in_which_they_were_written() {
    let Some(text) = stderr_of("record_keys_are_in_the_order_in_which_they_were_written") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        info!(logger, "hello"; "j" => 2, "k" => 1);
        drop(guard);
        return;
    };
    assert!(text.ends_with(" INFO hello, j: 2, k: 1\n"), "{text}");
}

#[test]
fn lines_of_many_keys_are_indented_by_64_columns_at_most() {
    let Some(text) = stderr_of("lines_of_many_keys_are_indented_by_64_columns_at_most") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let child = logger.new(OwnedKV(Keys(69)));
        info!(child, "hello");
        drop(guard);
        return;
    };
    let indent = |line: &str| line.len() - line.trim_start().len();
    let indents: Vec<_> = text.lines().map(indent).collect();
    let expected: Vec<_> = (0..=70).map(|depth| depth.min(64)).collect();
    assert_eq!(indents, expected, "{text}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let Some(text) = stderr_of("control_characters_do_not_reach_the_terminal") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let evil = "\u{1b}]0;owned\u{7}\u{9b}2J\r\u{7f}";
        let child = logger.new(o!("header" => evil, "line" => "one\ntwo"));
        info!(child, "message {evil} tab\tand\nline"; "value" => evil, "key\u{1b}" => 1);
        drop(guard);
        return;
    };
    let is_harmless = |c: char| !c.is_control() || matches!(c, '\t' | '\n');
    assert!(text.chars().all(is_harmless), "{text:?}");
    assert!(text.contains(" line: one\\ntwo\n"), "{text}");
    assert!(
        text.contains(" tab\tand\nline, value: \\u{1b}]0;owned"),
        "{text}"
    );
}

#[test]
fn a_huge_value_leaves_room_for_the_keys_behind_it() {
    let Some(text) = stderr_of("a_huge_value_leaves_room_for_the_keys_behind_it") else {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let child = logger.new(o!("component" => "agent", "subsystem" => "agent"));
        info!(child, "hello"; "k" => "v", "dump" => "\u{1}".repeat(2 << 20));
        drop(guard);
        return;
    };
    let (headers, record) = text.split_once(" INFO hello, k: v, dump: ").unwrap();
    assert!(
        headers.contains("subsystem: agent\n component: agent\n"),
        "{headers}"
    );
    let (dump, rest) = record.split_once('…').unwrap();
    assert!(
        dump.len() > 400_000 && dump.ends_with("\\u{1}"),
        "{}",
        dump.len()
    );
    assert_eq!(rest, ", truncated: true\n");
}

#[test]
fn outages_make_one_line_and_a_finished_pipeline_none() {
    let Some(text) = stderr_of("outages_make_one_line_and_a_finished_pipeline_none") else {
        let received = support::Received::default();
        let writer = received.scripted(|call, text| match call {
            0..100 => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(text.len()),
        });
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
        for _ in 0..200 {
            info!(logger, "hello");
            logger.flush().unwrap();
        }
        drop(guard);
        return;
    };
    assert_eq!(
        text,
        "logging: cannot write to the log writer: no storage space; log records are lost\n"
    );
}

/// What a writer that answers like this makes the process say.
fn log_to(answer: impl FnMut(usize, &[u8]) -> std::io::Result<usize> + Send + Sync + 'static) {
    let writer = support::Received::default().scripted(answer);
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    for _ in 0..10 {
        info!(logger, "hello");
        logger.flush().unwrap();
    }
    drop(guard);
}

#[test]
fn a_writer_that_fails_now_and_then_makes_one_line() {
    let Some(text) = stderr_of("a_writer_that_fails_now_and_then_makes_one_line") else {
        // Each record that succeeds is followed by a report.
        return log_to(|call, text| match call % 3 {
            0 => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(text.len()),
        });
    };
    assert_eq!(
        text,
        "logging: cannot write to the log writer: no storage space; log records are lost\n"
    );
}

#[test]
fn an_outage_that_lasts_to_the_end_is_told_also_soon_after_another() {
    let Some(text) = stderr_of("an_outage_that_lasts_to_the_end_is_told_also_soon_after_another")
    else {
        // Of ten records, the second one is written; the next call is the report.
        return log_to(|call, text| match call {
            1 | 2 => Ok(text.len()),
            _ => Err(std::io::ErrorKind::StorageFull.into()),
        });
    };
    assert_eq!(
        text,
        "logging: cannot write to the log writer: no storage space; log records are lost\n\
         logging: 8 log records are lost\n"
    );
}

/// `kata-ctl --json-logging | head`, or whoever else has the other end of a pipe or socket.
#[test]
fn a_closed_standard_output_is_not_worth_a_word() {
    const TEST: &str = "a_closed_standard_output_is_not_worth_a_word";
    if std::env::var_os(ROLE).is_some() {
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, std::io::stdout());
        info!(logger, "hello");
        logger.flush().unwrap();
        wait_for_the_end_of_the_reader();
        for _ in 0..10 {
            info!(logger, "hello");
            logger.flush().ok();
        }
        drop(guard);
        assert_eq!(logging::stats(&logger).unwrap().failed, 10);
        // libtest itself would fail to write its result.
        std::process::exit(7);
    }
    let run = |reader: OwnedFd, writer: OwnedFd| {
        let child = command_of_test(TEST)
            .env(ROLE, "1")
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Nothing may be left unread, for which a socket has another error.
        let mut out = std::io::BufReader::new(File::from(reader));
        let mut line = String::new();
        // With one thread, libtest has begun the line with the name of the test.
        let begin = loop {
            line.clear();
            let count = std::io::BufRead::read_line(&mut out, &mut line).unwrap();
            assert_ne!(count, 0, "the record comes before the end");
            if let Some(begin) = line.find('{') {
                break begin;
            }
        };
        support::record(line[begin..].trim_end());
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(7), "{output:?}");
    };
    let (reader, writer) = std::io::pipe().unwrap();
    run(reader.into(), writer.into());
    let (reader, writer) = UnixStream::pair().unwrap();
    run(reader.into(), writer.into());
}

/// That of standard output.
fn wait_for_the_end_of_the_reader() {
    let mut poll = libc::pollfd {
        fd: libc::STDOUT_FILENO,
        events: 0,
        revents: 0,
    };
    // SAFETY: the structure is one, and lives during the call.
    assert_eq!(unsafe { libc::poll(&raw mut poll, 1, -1) }, 1);
}

/// A header line that was not written stands above nothing.
#[test]
fn headers_of_a_record_that_failed_are_shown_with_the_next() {
    const TEST: &str = "headers_of_a_record_that_failed_are_shown_with_the_next";
    if std::env::var_os(ROLE).is_some() {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the disposition is a constant.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        // SAFETY: the structure lives during the call.
        let result = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
        assert_eq!(result, 0);
        let set_limit = |bytes| {
            let limit = libc::rlimit {
                rlim_cur: bytes,
                ..limit
            };
            // SAFETY: the structure lives during the call.
            let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
            assert_eq!(result, 0);
        };
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let child = logger.new(o!("component" => "agent"));
        set_limit(0);
        info!(child, "lost");
        logger.flush().unwrap();
        set_limit(limit.rlim_max);
        info!(child, "kept");
        drop(guard);
        assert_eq!(logging::stats(&logger).unwrap().failed, 1);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("errors");
    let status = command_of_test(TEST)
        .env(ROLE, "1")
        .stdout(Stdio::null())
        .stderr(File::create(&path).unwrap())
        .status()
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(status.success(), "{status}: {text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..2],
        ["subsystem: root", " component: agent"],
        "{text}"
    );
    assert!(lines[2].ends_with(" INFO kept"), "{text}");
}

/// What a test of this file writes to a terminal as its standard error.
fn terminal_of(test: &str, variables: &[(&str, &str)]) -> String {
    // SAFETY: the call takes numbers.
    let master = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
    assert!(master >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the descriptor was just opened, and nobody else has it.
    let mut master = unsafe { File::from_raw_fd(master) };
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::unlockpt(master.as_raw_fd()) }, 0);
    let mut name = [0; 64];
    // SAFETY: the buffer is as long as is said.
    let result = unsafe { libc::ptsname_r(master.as_raw_fd(), name.as_mut_ptr(), name.len()) };
    assert_eq!(result, 0);
    let name = name.map(|byte| byte as u8);
    let name = std::ffi::CStr::from_bytes_until_nul(&name).unwrap();
    let slave = File::options()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let status = command_of_test(test)
        .env(ROLE, "1")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .stderr(slave)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let mut text = Vec::new();
    // It ends with EIO, when nobody has the other side open.
    let _ = std::io::Read::read_to_end(&mut master, &mut text);
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_terminal_gets_colours_if_it_has_some() {
    const TEST: &str = "a_terminal_gets_colours_if_it_has_some";
    if std::env::var_os(ROLE).is_some() {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let child = logger.new(o!("component" => "agent"));
        slog::error!(child, "hello"; "k" => 1);
        drop(guard);
        return;
    }
    let coloured = terminal_of(TEST, &[("TERM", "xterm-256color")]);
    let end = "\u{1b}[31mERRO\u{1b}[0m \u{1b}[1mhello\u{1b}[0m, \u{1b}[1mk\u{1b}[0m: 1\n";
    assert!(coloured.ends_with(end), "{coloured:?}");
    assert!(
        coloured.contains("\n \u{1b}[1mcomponent\u{1b}[0m: agent\n"),
        "{coloured:?}"
    );

    let plain = [
        &[("TERM", "dumb")][..],
        &[("TERM", "")],
        &[("TERM", "xterm"), ("NO_COLOR", "1")],
    ];
    for variables in plain {
        let text = terminal_of(TEST, variables);
        assert!(
            text.ends_with(" ERRO hello, k: 1\n"),
            "{variables:?}: {text:?}"
        );
        assert!(!text.contains('\u{1b}'), "{variables:?}: {text:?}");
    }
}
