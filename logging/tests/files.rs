//! Real files, pipes and sockets: a disk that fills up, readers that go away, processes that are
//! killed, neighbours on the same path.

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

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};

use logging::FileRotator;
use slog::{Level, info, warn};
use support::mounts::{bind, mount_tmpfs, own_mounts};
use support::{number, text};
use test_utils::faults::at_every_call;
use test_utils::isolate;
use test_utils::isolation::{Isolation, command_of_test, scratch};

/// The rest of the test runs in a process that has a small disk of its own.
macro_rules! on_small_disk {
    () => {{
        isolate!(own_mounts());
        let disk = scratch();
        mount_tmpfs(&disk, 256 << 10);
        disk
    }};
}

/// Complete records, and how many lines are none.
fn read_back(text: &str) -> (Vec<serde_json::Map<String, serde_json::Value>>, usize) {
    let (records, torn): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.ends_with('}'));
    let records = records.into_iter().map(support::record).collect();
    (records, torn.len())
}

fn fill_disk(disk: &Path, open: fn(&Path) -> Box<dyn Write + Send + Sync>) {
    let path = disk.join("log");
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 128 << 10]).unwrap();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, open(&path));
    let large = "x".repeat(300);
    for n in 0..1000 {
        info!(logger, "before"; "n" => n, "large" => &large);
    }
    logger.flush().unwrap();
    let failed = logging::stats(&logger).unwrap().failed;
    assert!(failed > 500, "{failed} of 1000");
    assert!(failed < 900, "{failed} of 1000");

    fs::remove_file(&ballast).unwrap();
    for n in 0..100 {
        warn!(logger, "after"; "n" => n);
    }
    drop(guard);

    let content = fs::read_to_string(&path).unwrap();
    let (records, torn) = read_back(&content);
    assert!(torn <= 1, "{torn} torn lines");
    let count = |msg: &str| records.iter().filter(|r| text(r, "msg") == msg).count() as u64;
    let stats = logging::stats(&logger).unwrap();
    assert_eq!(count("before") + count("after"), stats.written);
    assert_eq!(count("after"), 100);
    assert_eq!((stats.failed, stats.dropped.total()), (failed, 0));
    let report = records
        .iter()
        .find(|r| text(r, "msg") == "log records lost");
    assert_eq!(number(report.unwrap(), "failed"), failed);
}

#[test]
fn a_full_disk_costs_what_did_not_fit() {
    let disk = on_small_disk!();
    fill_disk(&disk, |path| Box::new(File::create(path).unwrap()));
}

#[test]
fn a_full_disk_below_a_rotator_costs_what_did_not_fit() {
    let disk = on_small_disk!();
    fill_disk(&disk, |path| Box::new(FileRotator::new(path).unwrap()));
}

#[test]
fn a_rotator_returns_what_it_wrote_before_the_disk_was_full() {
    let disk = on_small_disk!();
    let path = disk.join("log");
    let mut rotator = FileRotator::new(&path).unwrap();
    let line = format!("{}\n", "x".repeat(999));
    let text = line.repeat(400);
    let written = rotator.write(text.as_bytes()).unwrap();
    assert_eq!(written % 1000, 0);
    assert!((200_000..263_000).contains(&written));
    let error = rotator.write(&text.as_bytes()[written..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let content = fs::read_to_string(&path).unwrap();
    assert_eq!(content[..written], text[..written]);
    assert_eq!(rotator.error_count(), 2);

    // The line that was torn is on a line of its own.
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(written as u64 + 10)
        .unwrap();
    writeln!(rotator, "next").unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert!(content.ends_with("xxxxxxxxxx\nnext\n"));
}

#[test]
fn a_rotator_writes_nothing_twice_that_a_full_disk_has_taken() {
    let disk = on_small_disk!();
    let path = disk.join("log");
    let mut rotator = FileRotator::new(&path).unwrap();
    // The disk has whole pages only: six bytes are left.
    rotator.write_all(&[b'\n'; 4090]).unwrap();
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(rotator.write(b"abc").unwrap(), 3);
    let error = rotator.write(b"0123456789\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    fs::remove_file(ballast).unwrap();
    rotator.write_all(b"0123456789\n").unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert_eq!(content.trim_start(), "abc012\n0123456789\n");
}

#[test]
fn a_rotator_on_a_read_only_history_goes_on() {
    let disk = on_small_disk!();
    // What cannot be renamed: a mount point.
    let path = disk.join("log");
    let source = disk.join("source");
    File::create(&path).unwrap();
    File::create(&source).unwrap();
    bind(&source, &path);
    fs::write(disk.join("log.1"), "history\n").unwrap();
    let mut rotator = FileRotator::new(&path).unwrap();
    rotator.rotate_threshold(4).rotate_count(1);
    for n in 0..10 {
        writeln!(rotator, "{n}").unwrap();
        rotator.flush().unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 10);
    assert_eq!(fs::read_to_string(disk.join("log.1")).unwrap(), "history\n");
    assert!(
        (3..=5).contains(&rotator.error_count()),
        "{}",
        rotator.error_count()
    );
}

/// The init-mode agent: more than the pipe holds is logged before anybody reads.
#[test]
fn a_pipe_may_be_read_later() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    for n in 0..5000 {
        info!(logger, "record {n}");
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    drop(guard);
    let text = reading.join().unwrap();
    assert_eq!(read_back(&text).0.len(), 5000);
}

#[test]
fn a_fifo_without_reader_costs_records_until_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    // A reader is needed to open it for writing.
    let reader = File::options().read(true).write(true).open(&path).unwrap();
    let writer = File::options().write(true).open(&path).unwrap();
    drop(reader);
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    for _ in 0..10 {
        info!(logger, "nobody reads this");
    }
    logger.flush().unwrap();
    assert_eq!(logging::stats(&logger).unwrap().failed, 10);

    let opening = path.clone();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        File::open(opening)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    });
    // Until the reader is there, each record fails.
    let failed = loop {
        info!(logger, "somebody may read this");
        logger.flush().unwrap();
        let stats = logging::stats(&logger).unwrap();
        if stats.written > 0 {
            break stats.failed;
        }
    };
    drop(guard);
    let (records, _) = read_back(&reading.join().unwrap());
    assert_eq!(records.len(), 2);
    assert_eq!(number(&records[1], "failed"), failed);
}

#[test]
fn a_non_blocking_socket_is_waited_for() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, ours);
    let large = "x".repeat(2000);
    for n in 0..1000 {
        info!(logger, "record {n}"; "large" => &large);
    }
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        text
    });
    drop(guard);
    let (records, torn) = read_back(&reading.join().unwrap());
    assert_eq!((records.len(), torn), (1000, 0));
    assert_eq!(logging::stats(&logger).unwrap().written, 1000);
}

const PATH: &str = "KATA_TEST_LOG_PATH";
const NAME: &str = "KATA_TEST_LOG_NAME";

/// Starts a test of this file as a process that writes to `path`.
fn start(test: &str, path: &Path, name: &str) -> Child {
    command_of_test(test)
        .env(PATH, path)
        .env(NAME, name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines of all files of a log.
fn all_lines(path: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

/// Whatever the moment at which a rotating process is killed.
#[test]
fn killed_processes_lose_no_line_that_was_written() {
    const COUNT: usize = 3;
    if let Some(path) = std::env::var_os(PATH) {
        let mut rotator = FileRotator::new(path).unwrap();
        rotator.rotate_threshold(20).rotate_count(COUNT);
        for n in 0.. {
            writeln!(rotator, "line {n}").unwrap();
            // What is told was written before.
            let mut out = std::io::stdout().lock();
            if writeln!(out, "told {n}")
                .and_then(|()| out.flush())
                .is_err()
            {
                return;
            }
        }
    }
    let test = "killed_processes_lose_no_line_that_was_written";
    for round in 0..15 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut child = start(test, &path, "");
        let mut told = std::io::BufReader::new(child.stdout.take().unwrap());
        let number = |line: &str| line.strip_prefix("told ")?.strip_suffix('\n')?.parse().ok();
        let mut line = String::new();
        while number(&line).is_none_or(|n: usize| n < 50 + round * 7) {
            line.clear();
            std::io::BufRead::read_line(&mut told, &mut line).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // It was ahead of us.
        let mut rest = String::new();
        told.read_to_string(&mut rest).unwrap();
        let mut rest = rest.split_inclusive('\n').rev();
        let last = rest.find_map(number).or(number(&line)).unwrap();

        let files = fs::read_dir(directory.path()).unwrap().count();
        assert!(files <= COUNT + 1, "round {round}: {files} files");
        // Whoever comes next finishes what was begun.
        let mut rotator = FileRotator::new(&path).unwrap();
        rotator.rotate_threshold(1 << 20).rotate_count(COUNT);
        writeln!(rotator, "next").unwrap();
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert!(
            files <= COUNT + 1,
            "round {round}: {files} files afterwards"
        );
        let lines: BTreeSet<_> = all_lines(&path).into_iter().collect();
        // Each file has three lines; the newest files are kept.
        for n in last - 2 * COUNT..=last {
            assert!(
                lines.contains(&format!("line {n}")),
                "round {round}: line {n}, {lines:?}"
            );
        }
        assert!(lines.contains("next"));
    }
}

/// Each process writes as if it were alone.
#[test]
fn processes_on_one_path_keep_each_others_lines() {
    const LINES: usize = 500;
    if let Some(path) = std::env::var_os(PATH) {
        let name = std::env::var(NAME).unwrap();
        let mut rotator = FileRotator::new(path).unwrap();
        rotator.rotate_threshold(200).rotate_count(100_000);
        for n in 0..LINES {
            writeln!(rotator, "{name} {n}").unwrap();
        }
        assert_eq!(rotator.error_count(), 0);
        return;
    }
    let test = "processes_on_one_path_keep_each_others_lines";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let names = ["one", "two", "three"];
    let children = names.map(|name| start(test, &path, name));
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let mut lines = all_lines(&path);
    lines.sort();
    let mut expected: Vec<_> = names
        .iter()
        .flat_map(|name| (0..LINES).map(move |n| format!("{name} {n}")))
        .collect();
    expected.sort();
    assert_eq!(lines, expected);
    // Not as often as by one alone: while one rotates, the others go on.
    let files = fs::read_dir(directory.path()).unwrap().count();
    assert!(files > 2, "{files} files");
}

/// Takes the lock that a rotation needs, as whoever may read the log can (`flock(1)`).
fn lock(path: &Path) -> File {
    let file = File::open(path).unwrap();
    // SAFETY: flock takes a descriptor and a number.
    let result = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_SH) };
    assert_eq!(result, 0);
    file
}

/// So many bytes, in lines of eight.
fn lines(bytes: u64) -> Vec<u8> {
    "1234567\n".repeat(bytes as usize / 8).into_bytes()
}

#[test]
fn a_lock_of_somebody_else_puts_rotation_off() {
    isolate!(Isolation::new()); // a child that another test starts has the lock as well, for a moment
    for (threshold, until_next) in [(1000, 1000), (1 << 20, 64 << 10)] {
        let path = scratch().join(format!("log-{threshold}"));
        let mut rotator = FileRotator::new(&path).unwrap();
        rotator.rotate_threshold(threshold).rotate_count(2);
        rotator.write_all(&lines(threshold)).unwrap();
        let lock = lock(&path);
        rotator.write_all(&lines(10 * until_next)).unwrap();
        rotator.flush().unwrap();
        assert!(!path.with_extension("1").exists());

        drop(lock);
        rotator.write_all(&lines(until_next)).unwrap();
        rotator.write_all(b"next\n").unwrap();
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, "next\n");
        let rotated = fs::metadata(path.with_extension("1")).unwrap().len();
        assert_eq!(rotated, threshold + 11 * until_next);
    }
}

/// Each call that can fail is made to: the number of the last one is how many there are.
#[test]
fn a_lock_of_somebody_else_costs_no_calls_for_each_line() {
    const THRESHOLD: u64 = 80;
    isolate!(Isolation::new());
    let path = scratch().join("logs/log");
    let mut counts = BTreeMap::new();
    at_every_call(
        "FileRotator, locked by somebody else",
        || {
            let _ = fs::remove_dir_all(path.parent().unwrap());
            fs::create_dir(path.parent().unwrap()).unwrap();
            fs::write(&path, lines(THRESHOLD)).unwrap();
            lock(&path)
        },
        |_| {
            let mut rotator = FileRotator::new(&path)?;
            rotator.rotate_threshold(THRESHOLD);
            rotator.write_all(&lines(3 * THRESHOLD))
        },
        |_, result, fault| match fault {
            Some(fault) => {
                let count = counts.entry(fault.call).or_insert(0);
                *count = fault.nth.max(*count);
            }
            None => result.unwrap(),
        },
    );
    // Nothing is there if the kernel cannot do it, which is told.
    for call in ["write", "flock"] {
        assert!(
            counts.get(call).is_none_or(|count| *count == 3),
            "{counts:?}"
        );
    }
}
