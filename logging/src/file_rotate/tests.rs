use std::collections::BTreeMap;
use std::fs;

use super::disk::Fault;
use super::*;

/// The files of a log, by what follows its name; empty for the log itself.
fn files(path: &Path) -> BTreeMap<String, String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let file = entry.file_name().into_string().unwrap();
        let suffix = file.strip_prefix(name).unwrap().to_owned();
        files.insert(suffix, fs::read_to_string(entry.path()).unwrap());
    }
    files
}

fn expect(path: &Path, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(a, b)| ((*a).into(), (*b).into()));
    assert_eq!(files(path), expected.collect());
}

fn log(directory: &tempfile::TempDir, threshold: u64, count: usize) -> FileRotator {
    let mut log = FileRotator::new(directory.path().join("log")).unwrap();
    log.rotate_threshold(threshold).rotate_count(count);
    log
}

#[test]
fn history_is_untouched_if_the_file_cannot_be_moved() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(&directory, 4, 2);
    let path = log.path.clone();
    for line in ["111", "222", "333"] {
        writeln!(log, "{line}").unwrap();
    }
    let history = [(".1", "222\n"), (".2", "111\n")];
    expect(&path, &[("", "333\n"), history[0], history[1]]);

    log.disk.fault = Fault::Base;
    writeln!(log, "444").unwrap();
    expect(&path, &[("", "333\n444\n"), history[0], history[1]]);
    assert_eq!(log.error_count(), 1);
    // Not at each line again, but after another threshold.
    writeln!(log, "5").unwrap();
    assert_eq!(log.error_count(), 2);
    log.flush().unwrap();
    assert_eq!(log.error_count(), 2);
    expect(&path, &[("", "333\n444\n5\n"), history[0], history[1]]);

    log.disk.fault = Fault::None;
    writeln!(log, "6").unwrap();
    writeln!(log, "7").unwrap();
    expect(
        &path,
        &[("", "7\n"), (".1", "333\n444\n5\n6\n"), (".2", "222\n")],
    );
}

#[test]
fn failed_rotation_in_truncate_mode_keeps_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(&directory, 4, 2);
    let path = log.path.clone();
    log.truncate_mode(true);
    log.disk.fault = Fault::Base;
    for line in ["111", "222", "333"] {
        writeln!(log, "{line}").unwrap();
        log.flush().unwrap();
    }
    expect(&path, &[("", "111\n222\n333\n")]);
}

#[test]
fn a_step_that_fails_undoes_the_rotation() {
    // Steps of a rotation with three files in the history, all of which are kept but the oldest.
    for step in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(&directory, 4, 3);
        let path = log.path.clone();
        for line in ["111", "222", "333", "444"] {
            writeln!(log, "{line}").unwrap();
        }
        log.disk.steps = 0;
        log.disk.fault = Fault::At(step);
        writeln!(log, "555").unwrap();

        let history = [(".1", "333\n"), (".2", "222\n"), (".3", "111\n")];
        let expected = match step {
            // Moving the file itself, a file of the history up, or the file to its place there.
            0..5 => vec![("", "444\n555\n"), history[0], history[1], history[2]],
            // Removing the oldest, which is not worth stopping for.
            _ => vec![
                ("", "555\n"),
                (".1", "444\n"),
                (".2", "333\n"),
                (".3", "222\n"),
                (".4", "111\n"),
            ],
        };
        expect(&path, &expected);
        // And it goes on.
        log.disk.fault = Fault::None;
        for line in ["666", "777", "888"] {
            writeln!(log, "{line}").unwrap();
        }
        let files = files(&path);
        assert_eq!(files[""], "888\n", "step {step}");
        assert_eq!(files.len(), 4, "step {step}: {files:?}");
    }
}

#[test]
fn a_crash_at_any_step_loses_no_line_and_leaves_no_file_too_many() {
    for count in 0..4 {
        for step in 0..9 {
            let directory = tempfile::tempdir().unwrap();
            let mut log = log(&directory, 4, count);
            let path = log.path.clone();
            for line in ["111", "222", "333", "444"] {
                writeln!(log, "{line}").unwrap();
            }
            let before = files(&path);
            log.disk.steps = 0;
            log.disk.fault = Fault::From(step);
            log.rotate();
            let crashed = files(&path);
            assert!(crashed.len() <= count + 1, "{count}, {step}: {crashed:?}");
            assert!(log.pending.is_empty());
            drop(log); // closes the file, as the kernel does

            // The lines that a complete rotation would have kept are there.
            let mut log = self::log(&directory, 4, count);
            log.rotate_threshold(1000);
            writeln!(log, "555").unwrap();
            let after = files(&path);
            assert!(after.len() <= count + 1, "{count}, {step}: {after:?}");
            let kept: String = after.values().map(String::as_str).collect();
            for (suffix, text) in before {
                let number: usize = suffix.trim_start_matches('.').parse().unwrap_or(0);
                if number < count || step == 0 {
                    assert!(kept.contains(&text), "{count}, {step}, {suffix}: {after:?}");
                }
            }
            assert!(after[""].ends_with("555\n"));
            assert!(!after.contains_key(".rotating"), "{count}, {step}");
        }
    }
}

#[test]
fn a_file_that_appeared_just_now_is_not_rotated() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(&directory, 4, 2);
    let path = log.path.clone();
    writeln!(log, "111").unwrap();
    // Between the look at the path and the rename.
    fs::rename(&path, path.with_extension("away")).unwrap();
    fs::write(&path, "young\n").unwrap();
    log.rotate();
    expect(&path, &[("", "young\n"), (".away", "111\n")]);
    writeln!(log, "222").unwrap();
    assert!(files(&path)[""].ends_with("222\n"));
}

#[test]
fn two_writers_that_rotate_in_turn_keep_each_others_lines() {
    let directory = tempfile::tempdir().unwrap();
    let mut one = log(&directory, 8, 100);
    let mut two = log(&directory, 8, 100);
    let path = one.path.clone();
    for n in 0..100 {
        writeln!(one, "one {n:03}").unwrap();
        writeln!(two, "two {n:03}").unwrap();
        if n % 7 == 0 {
            two.flush().unwrap();
        }
    }
    let all: String = files(&path).into_values().collect();
    // One line per file, so the oldest are gone.
    for n in 55..100 {
        for name in ["one", "two"] {
            assert!(all.contains(&format!("{name} {n:03}\n")), "{name} {n}");
        }
    }
}

#[test]
fn a_rotation_in_progress_elsewhere_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(&directory, 4, 2);
    let path = log.path.clone();
    writeln!(log, "111").unwrap();
    let other = File::options().append(true).open(&path).unwrap();
    assert!(crate::sys::try_lock_exclusive(std::os::fd::AsFd::as_fd(
        &other
    )));
    writeln!(log, "222").unwrap();
    expect(&path, &[("", "111\n222\n")]);
    assert_eq!(log.error_count(), 0);

    // Nobody rotates for so long.
    let file = log.file.as_mut().unwrap();
    file.locked_since = file.locked_since.unwrap().checked_sub(LONG_LOCK);
    writeln!(log, "333").unwrap();
    expect(&path, &[("", "111\n222\n333\n")]);
    assert_eq!(log.error_count(), 1);
    drop(other);
    writeln!(log, "444").unwrap();
    expect(&path, &[("", "444\n"), (".1", "111\n222\n333\n")]);
    assert_eq!(log.error_count(), 1);
}

#[test]
fn a_file_that_somebody_empties_is_rotated_at_the_threshold_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = log(&directory, 4, 2);
    let path = log.path.clone();
    log.disk.fault = Fault::Base;
    for line in ["111", "222", "333"] {
        writeln!(log, "{line}").unwrap();
    }
    log.disk.fault = Fault::None;
    fs::write(&path, "").unwrap();
    writeln!(log, "444").unwrap();
    writeln!(log, "555").unwrap();
    expect(&path, &[("", "555\n"), (".1", "444\n")]);
}
