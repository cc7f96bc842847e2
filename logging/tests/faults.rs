//! Rotation while one system call or allocation after the other fails: a line that was taken is in
//! exactly one file, whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use logging::FileRotator;
use test_utils::faults::{
    AllocationFault, FailingAllocator, Fault, at_every_allocation, at_every_call,
};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;

const OLD: [&str; 4] = ["rotated before", "rotated last", "old one", "old two"];
const NEW: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
const LAST: &str = "last";

/// A log with two predecessors, large enough to be rotated.
fn old_log() -> PathBuf {
    let directory = scratch().join("logs");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let path = directory.join("log");
    let [before, last, one, two] = OLD;
    fs::write(path.with_extension("2"), format!("{before}\n")).unwrap();
    fs::write(path.with_extension("1"), format!("{last}\n")).unwrap();
    fs::write(&path, format!("{one}\n{two}\n")).unwrap();
    path
}

/// One whose rotation was cut off.
fn crashed_log() -> PathBuf {
    let path = old_log();
    fs::rename(&path, path.with_extension("rotating")).unwrap();
    path
}

/// Opens, and writes lines of which each second one is followed by a rotation.
fn write(path: &Path, keep: usize) -> io::Result<[io::Result<()>; NEW.len()]> {
    let mut log = FileRotator::new(path)?;
    log.rotate_threshold(14).rotate_count(keep);
    Ok(NEW.map(|line| write_line(&mut log, line)))
}

fn write_line(log: &mut FileRotator, line: &str) -> io::Result<()> {
    let text = format!("{line}\n");
    log.write_all(text.as_bytes())?;
    log.flush()
}

/// All lines of all files, and how often each is there.
fn lines(path: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

/// All that was there, all that was taken, nothing twice and nothing else.
fn check(path: &Path, written: io::Result<[io::Result<()>; NEW.len()]>, fault: Option<&Fault>) {
    let found = lines(path);
    let taken = match &written {
        Ok(results) => results
            .iter()
            .zip(NEW)
            .filter(|(result, _)| result.is_ok())
            .collect(),
        Err(_) => Vec::new(),
    };
    assert!(fault.is_some() || taken.len() == NEW.len(), "{written:?}");
    for line in taken.iter().map(|(_, line)| *line).chain(OLD) {
        assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
    }
    for (line, count) in &found {
        assert!(OLD.contains(&&**line) || NEW.contains(&&**line), "{line}");
        assert_eq!(*count, 1, "{line}: {found:?}");
    }
    recovers(path, &found);
}

/// The next writer works, and loses nothing.
fn recovers(path: &Path, before: &BTreeMap<String, usize>) {
    let mut log = FileRotator::new(path).unwrap();
    log.rotate_threshold(1).rotate_count(50);
    write_line(&mut log, LAST).unwrap();
    assert_eq!(log.error_count(), 0);
    let mut found = lines(path);
    assert_eq!(found.remove(LAST), Some(1));
    assert_eq!(&found, before);
    assert!(!path.with_extension("rotating").exists());
}

#[test]
fn failing_call_loses_no_line_of_a_rotation() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator",
        old_log,
        |path| write(path, 50),
        |path, written, fault| check(path, written, fault),
    );
}

#[test]
fn failing_call_loses_no_line_of_a_rotation_that_was_cut_off() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, after a crash",
        crashed_log,
        |path| write(path, 50),
        |path, written, fault| check(path, written, fault),
    );
}

#[test]
fn failing_call_never_lets_more_files_than_wanted_be_lost() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, which keeps 1",
        old_log,
        |path| write(path, 1),
        |path, written, fault| {
            // The newest line that was taken is in the log or its predecessor.
            let found = lines(path);
            if let Ok(results) = &written {
                let taken = results.iter().zip(NEW).rfind(|(result, _)| result.is_ok());
                if let Some((_, line)) = taken {
                    assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
                }
            }
            assert!(found.values().all(|count| *count == 1), "{found:?}");
            assert!(fault.is_some() || written.is_ok_and(|all| all.iter().all(Result::is_ok)));
        },
    );
}

#[test]
fn failing_allocation_loses_no_line_of_a_rotation() {
    isolate!(Isolation::new());
    at_every_allocation(
        "FileRotator",
        old_log,
        |path| drop(write(path, 50)),
        |path, end| {
            let found = lines(path);
            for line in OLD {
                assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
            }
            for (line, count) in &found {
                assert!(OLD.contains(&&**line) || NEW.contains(&&**line), "{line}");
                assert_eq!(*count, 1, "{line}: {found:?}");
            }
            assert!(end != AllocationFault::None || found.len() == OLD.len() + NEW.len());
            recovers(path, &found);
        },
    );
}
