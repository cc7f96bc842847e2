//! The rotating file, as its user sees it (3.6).

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

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use logging::{FileRotator, LogWriter};
use slog::{Level, info};
use tempfile::TempDir;

struct Fixture {
    _directory: TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join("log.txt"),
            _directory: directory,
        }
    }

    fn rotator(&self, threshold: u64, count: usize) -> FileRotator {
        let mut rotator = FileRotator::new(&self.path).unwrap();
        rotator.rotate_threshold(threshold).rotate_count(count);
        rotator
    }

    fn at(&self, suffix: &str) -> PathBuf {
        format!("{}{suffix}", self.path.display()).into()
    }

    /// What is in `<path><suffix>`, if it exists.
    fn content(&self, suffix: &str) -> Option<String> {
        fs::read_to_string(self.at(suffix)).ok()
    }

    /// All files, and what is in them.
    fn assert(&self, expected: &[(&str, &str)]) {
        for (suffix, content) in expected {
            assert_eq!(self.content(suffix).as_deref(), Some(*content), "{suffix}");
        }
        let count = fs::read_dir(self.path.parent().unwrap()).unwrap().count();
        assert_eq!(count, expected.len(), "files beside the expected ones");
    }
}

#[test]
fn paths_are_checked() {
    let fixture = Fixture::new();
    let directory = fixture.path.parent().unwrap().to_owned();
    let file = directory.join("file");
    fs::write(&file, "").unwrap();
    symlink("/dev/null", directory.join("null")).unwrap();
    symlink(&file, directory.join("link")).unwrap();
    symlink("missing", directory.join("dangling")).unwrap();
    symlink("loop", directory.join("loop")).unwrap();

    let kind = |path: &Path| FileRotator::new(path).map(drop).map_err(|e| e.kind());
    let invalid = Err(ErrorKind::InvalidInput);
    let cases: [(PathBuf, Result<(), ErrorKind>); 16] = [
        (file.clone(), Ok(())),
        (directory.join("link"), Ok(())),
        (directory.join("dangling"), Ok(())),
        (directory.join("missing"), Ok(())),
        ("log.txt".into(), Ok(())),
        ("".into(), invalid),
        ("/".into(), invalid),
        ("..".into(), invalid),
        (directory.join(".."), invalid),
        (directory.join("."), invalid),
        (directory.join("x/"), invalid),
        (directory.clone(), invalid),
        ("/dev/null".into(), Err(ErrorKind::Other)),
        (directory.join("null"), Err(ErrorKind::Other)),
        (directory.join("no/log"), Err(ErrorKind::NotFound)),
        (file.join("log"), Err(ErrorKind::NotADirectory)),
    ];
    for (path, expected) in cases {
        assert_eq!(kind(&path), expected, "{}", path.display());
    }
    assert!(kind(&directory.join("loop")).is_err());
    let error = FileRotator::new("/dev/null").unwrap_err();
    assert_eq!(error.to_string(), "path '/dev/null' is not a file");
    let error = FileRotator::new(&directory).unwrap_err().to_string();
    let path = directory.display();
    assert_eq!(
        error,
        format!("path '{path}' is not a file: it is a directory")
    );
    assert!(!directory.join("missing").exists());
}

#[test]
fn nothing_is_created_before_the_first_write() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(10, 3);
    rotator.flush().unwrap();
    fixture.assert(&[]);
    rotator.write_all(b"").unwrap();
    fixture.assert(&[]);
    rotator.write_all(b"x\n").unwrap();
    fixture.assert(&[("", "x\n")]);
}

#[test]
fn the_file_is_appended_to_or_truncated() {
    let fixture = Fixture::new();
    fs::write(&fixture.path, "old\n").unwrap();
    writeln!(fixture.rotator(1000, 3), "new").unwrap();
    fixture.assert(&[("", "old\nnew\n")]);
    let mut rotator = fixture.rotator(1000, 3);
    rotator.truncate_mode(true);
    writeln!(rotator, "newer").unwrap();
    fixture.assert(&[("", "newer\n")]);
    // Only when it is opened first: what somebody else put there is left alone.
    fs::remove_file(&fixture.path).unwrap();
    fs::write(&fixture.path, "foreign\n").unwrap();
    writeln!(rotator, "newest").unwrap();
    fixture.assert(&[("", "foreign\nnewest\n")]);
}

#[test]
fn flushed_chunks_are_rotated_at_once() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(10, 2);
    for chunk in [
        "0123456789",
        "abcdefghijklm\n",
        "third chunk",
        "fourth chunk",
    ] {
        assert_eq!(rotator.write(chunk.as_bytes()).unwrap(), chunk.len());
        rotator.flush().unwrap();
        assert_eq!(fixture.content("").unwrap(), "");
        assert_eq!(fixture.content(".1").unwrap(), chunk);
    }
    fixture.assert(&[("", ""), (".1", "fourth chunk"), (".2", "third chunk")]);
    rotator.write_all(b"short").unwrap();
    rotator.flush().unwrap();
    fixture.assert(&[("", "short"), (".1", "fourth chunk"), (".2", "third chunk")]);
}

#[test]
fn rotation_needs_no_flush() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(6, 2);
    for n in 1..=6 {
        writeln!(rotator, "{n}{n}{n}").unwrap();
    }
    fixture.assert(&[
        ("", "555\n666\n"),
        (".1", "333\n444\n"),
        (".2", "111\n222\n"),
    ]);
}

#[test]
fn lines_written_at_once_are_rotated_one_by_one() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(6, 2);
    rotator
        .write_all(b"111\n222\n333\n444\n555\n666\n77")
        .unwrap();
    fixture.assert(&[
        ("", "555\n666\n"),
        (".1", "333\n444\n"),
        (".2", "111\n222\n"),
    ]);
    drop(rotator);
    fixture.assert(&[("", "77"), (".1", "555\n666\n"), (".2", "333\n444\n")]);
}

#[test]
fn a_line_is_never_split() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(5, 9);
    for _ in 0..4 {
        for piece in ["a long ", "line ", "in pieces\n"] {
            rotator.write_all(piece.as_bytes()).unwrap();
        }
    }
    let line = "a long line in pieces\n";
    fixture.assert(&[("", line), (".1", line), (".2", line), (".3", line)]);
}

#[test]
fn an_existing_large_file_counts() {
    let fixture = Fixture::new();
    fs::write(&fixture.path, "0123456789").unwrap();
    writeln!(fixture.rotator(10, 3), "new").unwrap();
    fixture.assert(&[("", "new\n"), (".1", "0123456789")]);
}

#[test]
fn count_zero_keeps_none() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(4, 0);
    for n in 0..5 {
        writeln!(rotator, "{n}{n}{n}").unwrap();
    }
    fixture.assert(&[("", "444\n")]);
}

#[test]
fn threshold_zero_rotates_after_each_line_but_never_an_empty_file() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(0, 2);
    writeln!(rotator, "1").unwrap();
    writeln!(rotator, "2").unwrap();
    for _ in 0..4 {
        rotator.flush().unwrap();
    }
    fixture.assert(&[("", ""), (".1", "2\n"), (".2", "1\n")]);
}

#[test]
fn a_huge_count_costs_nothing() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(0, usize::MAX);
    for n in 0..20 {
        writeln!(rotator, "{n}").unwrap();
    }
    assert_eq!(fixture.content("").unwrap(), "19\n");
    assert_eq!(fixture.content(".19").unwrap(), "0\n");
}

#[test]
fn files_beyond_a_lower_count_are_removed() {
    let fixture = Fixture::new();
    for suffix in [".1", ".2", ".3", ".7", ".4294967296"] {
        fs::write(fixture.at(suffix), suffix).unwrap();
    }
    let foreign = [(".01", "01"), (".bak", "bak"), (".1.gz", "gz"), ("9", "9")];
    for (suffix, content) in foreign {
        fs::write(fixture.at(suffix), content).unwrap();
    }
    let mut rotator = fixture.rotator(1, 2);
    writeln!(rotator, "a").unwrap();
    writeln!(rotator, "b").unwrap();
    let ours = [("", "b\n"), (".1", "a\n"), (".2", ".1")];
    fixture.assert(&[&ours[..], &foreign[..]].concat());
}

#[test]
fn a_file_that_was_moved_or_removed_is_opened_anew() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(1000, 3);
    writeln!(rotator, "1").unwrap();
    fs::remove_file(&fixture.path).unwrap();
    writeln!(rotator, "2").unwrap();
    fixture.assert(&[("", "2\n")]);
    // As logrotate does, with `create`.
    fs::rename(&fixture.path, fixture.at("-old")).unwrap();
    File::create(&fixture.path).unwrap();
    writeln!(rotator, "3").unwrap();
    fixture.assert(&[("", "3\n"), ("-old", "2\n")]);
    // With `copytruncate`: the end of the file is where the next line goes.
    fs::write(&fixture.path, "").unwrap();
    writeln!(rotator, "4").unwrap();
    fixture.assert(&[("", "4\n"), ("-old", "2\n")]);
}

#[test]
fn a_file_that_somebody_has_emptied_is_not_rotated_by_flush() {
    let fixture = Fixture::new();
    fs::write(fixture.at(".1"), "old\n").unwrap();
    let mut rotator = fixture.rotator(10, 1);
    writeln!(rotator, "0123456789").unwrap();
    File::create(&fixture.path).unwrap();
    rotator.flush().unwrap();
    fixture.assert(&[("", ""), (".1", "old\n")]);
    // One that somebody else has filled is due.
    writeln!(rotator, "012").unwrap();
    let mut other = File::options().append(true).open(&fixture.path).unwrap();
    other.write_all(b"of another\n").unwrap();
    rotator.flush().unwrap();
    fixture.assert(&[("", ""), (".1", "012\nof another\n")]);
}

/// Also in the middle of a line: what was flushed of it needs no line break.
#[test]
fn a_file_that_was_moved_or_removed_is_opened_anew_in_the_middle_of_a_line() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(1000, 3);
    let mut flushed = |text: &str| {
        rotator.write_all(text.as_bytes()).unwrap();
        rotator.flush().unwrap();
    };
    flushed("first");
    fs::rename(&fixture.path, fixture.at("-old")).unwrap();
    flushed("second");
    fixture.assert(&[("", "second"), ("-old", "first")]);
    fs::remove_file(&fixture.path).unwrap();
    flushed("third");
    fixture.assert(&[("", "third"), ("-old", "first")]);
    fs::rename(&fixture.path, fixture.at("-old")).unwrap();
    File::create(&fixture.path).unwrap();
    flushed("fourth");
    fixture.assert(&[("", "fourth"), ("-old", "third")]);
    // A line is not split where nobody has touched the file.
    flushed(" and the rest\n");
    fixture.assert(&[("", "fourth and the rest\n"), ("-old", "third")]);
}

#[test]
fn a_relative_path_does_not_follow_the_working_directory() {
    let rotator = FileRotator::new("relative.log").unwrap();
    let absolute = std::env::current_dir().unwrap().join("relative.log");
    assert!(format!("{rotator:?}").contains(absolute.to_str().unwrap()));
}

#[test]
fn other_things_that_appear_at_the_path_are_refused() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(1000, 3);
    let path = std::ffi::CString::new(fixture.path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let error = writeln!(rotator, "lost").unwrap_err();
    assert!(error.to_string().ends_with("is not a file"), "{error}");
    fs::remove_file(&fixture.path).unwrap();

    fs::create_dir(&fixture.path).unwrap();
    writeln!(rotator, "lost").unwrap_err();
    fs::remove_dir(&fixture.path).unwrap();

    writeln!(rotator, "kept").unwrap();
    assert_eq!(rotator.error_count(), 2);
    fixture.assert(&[("", "kept\n")]);
}

#[test]
fn symlinks_are_refused_where_others_can_put_them() {
    let fixture = Fixture::new();
    let directory = fixture.path.parent().unwrap();
    let target = fixture.at("-target");
    symlink(&target, &fixture.path).unwrap();
    writeln!(fixture.rotator(1000, 3), "followed").unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "followed\n");

    for mode in [0o1777, 0o777, 0o770, 0o702] {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        let error = FileRotator::new(&fixture.path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{mode:o}");
    }
    // And if it comes later.
    fs::remove_file(&fixture.path).unwrap();
    let mut rotator = fixture.rotator(1000, 3);
    symlink(&target, &fixture.path).unwrap();
    let error = writeln!(rotator, "lost").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(fs::read_to_string(&target).unwrap(), "followed\n");
}

#[test]
fn new_files_are_not_for_everybody() {
    let fixture = Fixture::new();
    let mut rotator = fixture.rotator(1, 1);
    writeln!(rotator, "1").unwrap();
    writeln!(rotator, "2").unwrap();
    for suffix in ["", ".1"] {
        let mode = fs::metadata(fixture.at(suffix)).unwrap().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }
}

#[test]
fn ignored_errors_are_counted() {
    let fixture = Fixture::new();
    fs::create_dir(&fixture.path).ok();
    fs::remove_dir(&fixture.path).unwrap();
    let mut rotator = fixture.rotator(1000, 3);
    rotator.ignore_errors(true);
    fs::create_dir(&fixture.path).unwrap();
    assert_eq!(rotator.write(b"lost\n").unwrap(), 5);
    assert_eq!(rotator.write(b"lost").unwrap(), 4);
    rotator.flush().unwrap();
    assert_eq!(rotator.error_count(), 2);
    // Each line is tried.
    assert_eq!(rotator.write(b"one\ntwo\nthree\n").unwrap(), 14);
    assert_eq!(rotator.error_count(), 5);
    fs::remove_dir(&fixture.path).unwrap();
    writeln!(rotator, "kept").unwrap();
    fixture.assert(&[("", "kept\n")]);
}

#[test]
fn beginning_of_a_line_that_was_accepted_survives_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("logs");
    let path = folder.join("log");
    fs::create_dir(&folder).unwrap();
    let mut rotator = FileRotator::new(&path).unwrap();
    assert_eq!(rotator.write(b"abc").unwrap(), 3);
    fs::remove_dir(&folder).unwrap();
    for _ in 0..2 {
        rotator.write(b"def\n").unwrap_err();
        rotator.write(&[b'x'; 70_000]).unwrap_err(); // more than is kept
        rotator.flush().unwrap_err();
    }
    fs::create_dir(&folder).unwrap();
    assert_eq!(rotator.write(b"def\n").unwrap(), 4);
    assert_eq!(fs::read_to_string(&path).unwrap(), "abcdef\n");

    // Whoever ignores errors loses the whole line, and that alone.
    fs::remove_dir_all(&folder).unwrap();
    rotator.ignore_errors(true);
    assert_eq!(rotator.write(b"abc").unwrap(), 3);
    assert_eq!(rotator.write(b"def\n").unwrap(), 4);
    fs::create_dir(&folder).unwrap();
    assert_eq!(rotator.write(b"ghi\n").unwrap(), 4);
    assert_eq!(fs::read_to_string(&path).unwrap(), "ghi\n");
    assert_eq!(rotator.error_count(), 7);
}

#[test]
fn settings_can_be_chained_and_the_writer_shared() {
    fn shareable<T: Send + Sync + 'static>(_: &T) {}
    let fixture = Fixture::new();
    let mut rotator = FileRotator::new(&fixture.path).unwrap();
    rotator
        .truncate_mode(false)
        .rotate_threshold(1 << 20)
        .rotate_count(3)
        .ignore_errors(false);
    shareable(&rotator);
}

/// A rotator below a logger below a `LogWriter` (3.7.3).
#[test]
fn a_logger_rotates_and_leaves_its_last_record_in_place() {
    let fixture = Fixture::new();
    let rotator = fixture.rotator(10, 3);
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, rotator);
    let mut writer = LogWriter::new(logger);
    for n in 0..5 {
        writeln!(writer, "line {n}").unwrap();
        writer.flush().unwrap();
    }
    drop(guard);
    for (suffix, n) in [("", 4), (".1", 3), (".2", 2), (".3", 1)] {
        let content = fixture.content(suffix).unwrap();
        let record = support::record(content.trim_end());
        assert_eq!(
            support::text(&record, "msg"),
            format!("line {n}"),
            "{suffix}"
        );
    }
    assert!(fixture.content(".4").is_none());
}

#[test]
fn a_loggers_batch_does_not_defeat_the_threshold() {
    let fixture = Fixture::new();
    let rotator = fixture.rotator(1000, 100);
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, rotator);
    for n in 0..100 {
        info!(logger, "record {n}");
    }
    drop(guard);
    let mut records = Vec::new();
    for number in (0..).map_while(|n| fixture.content(&format!(".{}", n + 1)).map(|c| (n, c))) {
        assert!((1000..1300).contains(&number.1.len()), "{}", number.1.len());
        records.insert(0, number.1);
    }
    records.push(fixture.content("").unwrap());
    assert!(records.len() > 10);
    let messages: Vec<_> = records
        .concat()
        .lines()
        .map(|line| support::text(&support::record(line), "msg").to_owned())
        .collect();
    let expected: Vec<_> = (0..100).map(|n| format!("record {n}")).collect();
    assert_eq!(messages, expected);
}

#[test]
fn by_default_files_are_rotated_at_10_mib_and_three_are_kept() {
    let fixture = Fixture::new();
    for suffix in [".1", ".2", ".3"] {
        fs::write(fixture.at(suffix), suffix).unwrap();
    }
    let mut rotator = FileRotator::new(&fixture.path).unwrap();
    let file = File::create(&fixture.path).unwrap();
    file.set_len(10_485_758).unwrap();
    rotator.write_all(b"\n").unwrap();
    rotator.flush().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 10_485_759);
    assert_eq!(fixture.content(".1").unwrap(), ".1", "one byte too few");
    rotator.write_all(b"\n").unwrap();
    rotator.flush().unwrap();
    assert_eq!(fs::metadata(fixture.at(".1")).unwrap().len(), 10_485_760);
    fs::write(fixture.at(".1"), "10 MiB").unwrap();
    fixture.assert(&[("", ""), (".1", "10 MiB"), (".2", ".1"), (".3", ".2")]);
}
