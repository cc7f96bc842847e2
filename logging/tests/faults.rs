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
use std::os::unix::fs::{PermissionsExt, symlink};
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

/// As [`write`], with other settings, and without looking at what becomes of the lines.
fn write_with(
    path: &Path,
    set: impl FnOnce(&mut FileRotator),
) -> io::Result<([io::Result<()>; NEW.len()], u64)> {
    let mut log = FileRotator::new(path)?;
    log.rotate_threshold(14);
    set(&mut log);
    let results = NEW.map(|line| write_line(&mut log, line));
    Ok((results, log.error_count()))
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

/// How many files are beside the log.
fn predecessors(path: &Path) -> usize {
    let files = fs::read_dir(path.parent().unwrap()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != "log").count()
}

#[test]
fn rotation_that_fails_costs_no_file_of_the_history() {
    isolate!(Isolation::new());
    for keep in [1, 2] {
        at_every_call(
            &format!("FileRotator, one rotation, which keeps {keep}"),
            old_log,
            |path| {
                let mut log = FileRotator::new(&*path)?;
                log.rotate_threshold(14).rotate_count(keep);
                write_line(&mut log, "new")
            },
            |path, written, fault| {
                assert!(written.is_ok() || fault.is_some(), "{written:?}");
                for is_recovered in [false, true] {
                    if is_recovered {
                        let mut log = FileRotator::new(&*path).unwrap();
                        log.rotate_threshold(1000).rotate_count(keep);
                        write_line(&mut log, LAST).unwrap();
                        assert_eq!(log.error_count(), 0);
                        assert!(predecessors(path) <= keep, "{fault:?}");
                    }
                    let found = lines(path);
                    assert_eq!(found.get("old one"), Some(&1), "{found:?}");
                    let first = fs::read_to_string(path.with_extension("1")).unwrap_or_default();
                    let is_rotated = first.starts_with("old one");
                    let last = found.get("rotated last");
                    assert!(last == Some(&1) || is_rotated && keep == 1, "{found:?}");
                    assert!(found.values().all(|count| *count == 1), "{found:?}");
                }
            },
        );
    }
}

#[test]
fn log_is_emptied_at_most_once() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, truncating",
        old_log,
        |path| {
            write_with(path, |log| {
                log.truncate_mode(true).rotate_count(50);
            })
        },
        |path, written, fault| {
            let found = lines(path);
            let [before, last, one, two] = OLD;
            for line in [before, last] {
                assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
            }
            assert_eq!(found.get(one), found.get(two));
            assert!(found.values().all(|count| *count == 1), "{found:?}");
            match written {
                Ok((results, _)) => {
                    let taken = results.iter().zip(NEW).filter(|(result, _)| result.is_ok());
                    let taken: Vec<_> = taken.map(|(_, line)| line).collect();
                    assert!(taken.len() == NEW.len() || fault.is_some(), "{results:?}");
                    for line in &taken {
                        assert_eq!(found.get(*line), Some(&1), "{line}: {found:?}");
                    }
                    // Whoever has written to the file has emptied it before.
                    assert!(taken.is_empty() || !found.contains_key(one), "{found:?}");
                }
                Err(error) => {
                    assert!(fault.is_some(), "{error}");
                    assert!(found.contains_key(one), "{found:?}");
                }
            }
            recovers(path, &found);
        },
    );
}

#[test]
fn ignored_errors_are_counted_for_each_line_that_is_lost() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, ignoring errors",
        old_log,
        |path| {
            write_with(path, |log| {
                log.ignore_errors(true).rotate_count(50);
            })
        },
        |path, written, fault| {
            let found = lines(path);
            match written {
                Ok((results, errors)) => {
                    assert!(results.iter().all(Result::is_ok), "{results:?}");
                    let lost = NEW.iter().filter(|line| !found.contains_key(**line));
                    assert!(lost.count() as u64 <= errors, "{errors}: {found:?}");
                    assert!(errors == 0 || fault.is_some(), "{errors}");
                }
                Err(error) => assert!(fault.is_some(), "{error}"),
            }
            for line in OLD {
                assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
            }
            assert!(found.values().all(|count| *count == 1), "{found:?}");
            recovers(path, &found);
        },
    );
}

#[test]
fn without_predecessors_the_oldest_lines_go_first() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, which keeps none",
        old_log,
        |path| {
            write_with(path, |log| {
                log.rotate_count(0);
            })
        },
        |path, written, fault| {
            let found = lines(path);
            let results = match written {
                Ok((results, _)) => results.map(|result| result.is_ok()),
                Err(_) => [false; NEW.len()],
            };
            assert!(fault.is_some() || results == [true; NEW.len()]);
            // From the oldest line of the log itself on, all that were taken are there.
            let [_, _, one, two] = OLD;
            let mut may_be_gone = true;
            let all = [(one, true), (two, true)]
                .into_iter()
                .chain(NEW.into_iter().zip(results));
            for (line, is_taken) in all {
                let is_there = found.contains_key(line);
                assert!(is_there || !is_taken || may_be_gone, "{line}: {found:?}");
                may_be_gone &= !is_there;
            }
            if fault.is_none() {
                assert_eq!(found.len(), 2, "{found:?}");
                assert_eq!(predecessors(path), 0);
            }
            assert!(found.values().all(|count| *count == 1), "{found:?}");
            recovers(path, &found);
        },
    );
}

/// Lines that come in parts; the last one never ends.
const PARTS: [&str; 4] = ["fir", "st\nsec", "ond\nthird\nun", "finished"];

/// Writes the parts, and goes on with the next after an error. Returns what was accepted.
fn accepted(log: &mut FileRotator) -> String {
    let mut accepted = String::new();
    for mut rest in PARTS {
        while let Ok(count @ 1..) = log.write(rest.as_bytes()) {
            let (taken, left) = rest.split_at(count);
            accepted.push_str(taken);
            rest = left;
        }
    }
    accepted
}

#[test]
fn unfinished_line_is_written_in_the_end() {
    isolate!(Isolation::new());
    at_every_call(
        "FileRotator, unfinished lines",
        old_log,
        |path| {
            let mut log = FileRotator::new(&*path)?;
            log.rotate_threshold(14).rotate_count(50);
            // The one that never ends is for the drop.
            Ok(accepted(&mut log))
        },
        |path, accepted: io::Result<String>, fault| {
            let found = lines(path);
            for line in OLD {
                assert_eq!(found.get(line), Some(&1), "{line}: {found:?}");
            }
            let accepted = accepted.unwrap_or_default();
            assert!(accepted == PARTS.concat() || fault.is_some());
            for (line, count) in &found {
                let is_known = OLD.contains(&&**line) || accepted.lines().any(|l| l == &**line);
                assert!(is_known && *count == 1, "{line}: {found:?}");
            }
            for line in accepted.lines() {
                // The drop has nobody to tell.
                let is_free = fault.is_some() && accepted.ends_with(line);
                assert!(is_free || found.contains_key(line), "{line}: {found:?}");
            }
            recovers_after_unfinished(path, &found);
        },
    );
}

/// As [`recovers`], where the last line may have no end, so that the next goes on with it.
fn recovers_after_unfinished(path: &Path, before: &BTreeMap<String, usize>) {
    let mut log = FileRotator::new(path).unwrap();
    log.rotate_threshold(1).rotate_count(50);
    write_line(&mut log, LAST).unwrap();
    assert_eq!(log.error_count(), 0);
    let found = lines(path);
    assert!(
        before.keys().all(|line| {
            found.contains_key(line) || found.contains_key(&format!("{line}{LAST}"))
        })
    );
}

#[test]
fn link_of_others_is_never_followed() {
    isolate!(Isolation::new());
    let shared = || {
        let path = old_log();
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(path.parent().unwrap(), everybody).unwrap();
        fs::remove_file(&path).unwrap();
        path
    };
    let target = || scratch().join("target");
    let plant = |path: &Path| {
        fs::write(target(), "theirs").unwrap();
        symlink(target(), path).unwrap();
    };
    at_every_call(
        "FileRotator at a link of others",
        || {
            let path = shared();
            plant(&path);
            path
        },
        |path| write(path, 50),
        |_, written, _| {
            assert!(written.map_or(true, |lines| lines.iter().all(Result::is_err)));
            assert_eq!(fs::read(target()).unwrap(), b"theirs");
        },
    );
    at_every_call(
        "FileRotator, and then a link of others",
        || {
            let path = shared();
            let log = FileRotator::new(&path).unwrap();
            plant(&path);
            (path, log)
        },
        |(_, log)| write_line(log, "new"),
        |_, written, _| {
            assert!(written.is_err());
            assert_eq!(fs::read(target()).unwrap(), b"theirs");
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
