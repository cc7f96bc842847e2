//! Standard output, which keeps up to 1 KiB of what it says that it has taken (D4): nothing of that
//! is lost.
//!
//! Each test starts itself as the process that logs. It gets the output as its standard error, for
//! libtest writes to its standard output.

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
use std::io::{PipeReader, Read};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};

use slog::{Level, info};
use test_utils::isolation::command_of_test;

const ROLE: &str = "KATA_TEST_ROLE";

/// What the destination takes at once: a page, as does a pipe of the smallest size.
fn room() -> usize {
    // SAFETY: the call takes a number.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    size.try_into().unwrap()
}

/// How a program can say that its logger writes there.
const WRITER: &str = "create_logger";
const DESTINATION: &str = "LogDestination::stdout";

/// Starts a test of this file as the process that logs, to standard output by that `way`.
fn start(test: &str, way: &str, output: impl Into<Stdio>, errors: Stdio) -> Child {
    command_of_test(test)
        .env(ROLE, way)
        .stdin(errors)
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os(ROLE).is_some()
}

/// In the process that logs: its outputs are where they belong from now on.
fn take_outputs() {
    for (from, to) in [
        (libc::STDERR_FILENO, libc::STDOUT_FILENO),
        (libc::STDIN_FILENO, libc::STDERR_FILENO),
    ] {
        // SAFETY: dup2 takes numbers.
        assert!(unsafe { libc::dup2(from, to) } >= 0);
    }
}

/// Logs a record to standard output, and ends without the destructors of the standard library.
fn log_and_end(message: &str) -> ! {
    let (logger, guard) = match std::env::var(ROLE).as_deref() {
        Ok(WRITER) => logging::create_logger("n", "s", Level::Info, std::io::stdout()),
        Ok(DESTINATION) => {
            let stdout = logging::LogDestination::stdout();
            logging::create_logger_with_destination("n", "s", Level::Info, stdout)
        }
        way => panic!("{way:?}"),
    };
    info!(logger, "{message}");
    drop(guard);
    // SAFETY: _exit does not return.
    unsafe { libc::_exit(0) }
}

/// A message whose record needs a bit more than that.
fn large() -> String {
    "x".repeat(room() + 300)
}

/// Waits until the pipe is full, and reads on.
fn read_when_full(mut reader: PipeReader, writer: &mut Child) -> String {
    let mut waiting: libc::c_int = 0;
    while (waiting as usize) < room() && writer.try_wait().unwrap().is_none() {
        // SAFETY: the request writes an integer.
        let result = unsafe { libc::ioctl(reader.as_raw_fd(), libc::FIONREAD, &raw mut waiting) };
        assert_eq!(result, 0);
        std::thread::yield_now();
    }
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_pipe_that_is_full_gets_the_rest_at_the_end() {
    if is_child() {
        take_outputs();
        log_and_end(&large());
    }
    for way in [WRITER, DESTINATION] {
        let (reader, writer) = std::io::pipe().unwrap();
        let fd = writer.as_raw_fd();
        // SAFETY: the descriptor is open; the command takes an integer.
        let size = unsafe { libc::fcntl(fd, libc::F_SETPIPE_SZ, room()) };
        assert_eq!(size, room() as libc::c_int);
        // SAFETY: as before.
        let result = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(result, 0);
        let test = "a_pipe_that_is_full_gets_the_rest_at_the_end";
        let mut child = start(test, way, writer, Stdio::null());
        let text = read_when_full(reader, &mut child);
        assert!(child.wait().unwrap().success());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{way}: {text}");
        assert!((room() + 300..room() + 1024).contains(&lines[0].len()));
        assert_eq!(support::text(&support::record(lines[0]), "msg"), large());
    }
}

/// What the program itself has printed so far comes before it.
#[test]
fn a_record_comes_behind_what_was_printed_before() {
    if is_child() {
        take_outputs();
        print!("a prompt: ");
        log_and_end("hello");
    }
    for way in [WRITER, DESTINATION] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let test = "a_record_comes_behind_what_was_printed_before";
        let mut child = start(test, way, writer, Stdio::null());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success());
        let record = text
            .strip_prefix("a prompt: ")
            .unwrap_or_else(|| panic!("{way}: {text}"));
        assert_eq!(
            support::text(&support::record(record.trim_end()), "msg"),
            "hello"
        );
    }
}

/// The last record was taken, but there is no room for all of it: the least is to tell.
#[test]
fn what_cannot_be_written_at_the_end_is_told() {
    if is_child() {
        take_outputs();
        let limit = libc::rlimit {
            rlim_cur: room() as libc::rlim_t,
            rlim_max: room() as libc::rlim_t,
        };
        // SAFETY: the disposition is a constant.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        // SAFETY: the structure lives during the call.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
        assert_eq!(result, 0);
        log_and_end(&large());
    }
    let failed = "logging: cannot write to the log writer: File too large (os error 27); ";
    for (way, lost) in [
        (WRITER, "the last log records are lost\n"),
        (DESTINATION, "log records are lost\n"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let create = |name: &str| File::create(directory.path().join(name)).unwrap();
        let test = "what_cannot_be_written_at_the_end_is_told";
        let mut child = start(test, way, create("output"), create("errors").into());
        assert!(child.wait().unwrap().success());
        let content = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(content("output").len(), room(), "{way}");
        assert_eq!(content("errors"), format!("{failed}{lost}"), "{way}");
    }
}
