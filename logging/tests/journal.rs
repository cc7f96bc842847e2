//! systemd-journald, played by a datagram socket in a mount namespace of its own (4.3, D10, D13).

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

use slog::{Level, info, o, warn};
use support::journald::{SOCKET, journald, logger, receive, with_own_run};
use support::{LEVELS, log, open_descriptors, stderr_of};

#[test]
fn records_have_their_fields() {
    with_own_run!();
    let journald = journald();
    let (logger, guard) = logger(Level::Trace);
    let child = logger.new(o!("component" => "agent", "subsystem" => "rpc"));
    let line = line!() + 1;
    info!(child, "two\nlines"; "container-id" => "web", "msg" => "m", "priority" => 9,
        "a.b" => 1, "a-b" => 2, "9" => "no", "code_line" => "mine");
    drop(guard);
    let record = receive(&journald);
    let pid = std::process::id().to_string();
    let line = line.to_string();
    let expected = [
        ("MESSAGE", "two\nlines"),
        ("PRIORITY", "5"),
        ("CODE_FILE", file!()),
        ("CODE_LINE", line.as_str()),
        ("CODE_MODULE", module_path!()),
        ("CODE_FUNCTION", ""),
        ("VERSION", "0.1.0"),
        ("SUBSYSTEM", "rpc"),
        ("PID", pid.as_str()),
        ("NAME", "n"),
        ("SOURCE", "sandbox"),
        ("SYSLOG_IDENTIFIER", "kata"),
        ("COMPONENT", "agent"),
        ("CONTAINER_ID", "web"),
        ("MSG", "m"),
        ("KV_PRIORITY", "9"),
        ("KV_CODE_LINE", "mine"),
        ("A_B", "2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(record, expected.into());
}

#[test]
fn levels_have_their_priorities() {
    with_own_run!();
    let journald = journald();
    let (logger, guard) = logger(Level::Trace);
    for level in LEVELS {
        log(&logger, level, "");
    }
    drop(guard);
    let priorities: Vec<_> = (0..6)
        .map(|_| receive(&journald)["PRIORITY"].clone())
        .collect();
    assert_eq!(priorities, ["2", "3", "4", "5", "6", "7"]);
}

#[test]
fn large_records_come_as_a_sealed_file() {
    with_own_run!();
    let journald = journald();
    let (logger, guard) = logger(Level::Info);
    let huge = "x".repeat(900_000);
    let before = open_descriptors();
    let receiving = std::thread::spawn(move || [(); 3].map(|()| receive(&journald)));
    info!(logger, "{huge}");
    info!(logger, "{}", "y".repeat(3 << 20));
    info!(logger, "small");
    drop(guard);
    let records = receiving.join().unwrap();
    assert_eq!(records[0]["MESSAGE"], huge);
    assert!(records[1]["MESSAGE"].ends_with('…'));
    assert_eq!(records[1]["TRUNCATED"], "true");
    assert_eq!(records[2]["MESSAGE"], "small");
    assert!(
        open_descriptors() < before,
        "those of the files, the sockets"
    );
}

/// A value with line breaks takes more room, for its length.
#[test]
fn a_huge_value_is_cut_but_never_dropped() {
    with_own_run!();
    let journald = journald();
    let (root, guard) = logger(Level::Info);
    let child = root.new(o!("component" => "agent", "subsystem" => "agent"));
    for (n, huge) in ["x".repeat(2 << 20), "\n".repeat(2 << 20)]
        .iter()
        .enumerate()
    {
        for length in 0..20 {
            info!(child, "{}", "m".repeat(length); "k" => "v", "dump" => huge);
            let record = receive(&journald);
            for (name, value) in [("COMPONENT", "agent"), ("SUBSYSTEM", "agent"), ("K", "v")] {
                assert_eq!(record[name], value);
            }
            let dump = record.get("DUMP").map_or("", String::as_str);
            assert!(
                dump.len() > 1_000_000 && dump.ends_with('…'),
                "{n}, {length}"
            );
            assert_eq!(record["TRUNCATED"], "true");
        }
    }
    // Nothing but the value: it has all the room but for FIELD_ROOM, the second half of that.
    let several = "x\n".repeat(1 << 20);
    info!(child, "{several}"; "k" => "v", "a" => &several, "b" => &several, "c" => &several);
    let record = receive(&journald);
    let len: usize = record
        .iter()
        .map(|(name, value)| name.len() + value.len() + 10)
        .sum();
    assert!(len <= 1 << 20, "{len}");
    assert_eq!((&*record["K"], &*record["SUBSYSTEM"]), ("v", "agent"));
    for name in ["A", "B", "C", "MESSAGE"] {
        assert!(record[name].ends_with('…'), "{name}");
    }
    drop(guard);
}

/// Without journald, what matters goes to standard error; with it again, the loss is told.
#[test]
fn an_outage_is_told_once_and_its_end_too() {
    with_own_run!();
    let text = stderr_of(|| {
        let (logger, guard) = logger(Level::Info);
        for n in 0..5 {
            info!(logger, "info {n}");
            warn!(logger, "warning {n}");
        }
        logger.flush().unwrap();
        let journald = journald();
        info!(logger, "kept");
        drop(guard);
        assert_eq!(receive(&journald)["MESSAGE"], "kept");
        let report = receive(&journald);
        assert_eq!(report["MESSAGE"], "log records lost");
        assert_eq!((&*report["FAILED"], &*report["PRIORITY"]), ("10", "4"));
        assert_eq!(report["SUBSYSTEM"], "logging");
        assert_eq!(report["SYSLOG_IDENTIFIER"], "kata");
    });
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("logging: cannot write to journald: "),
        "{text}"
    );
    for (n, line) in lines[1..6].iter().enumerate() {
        let record = support::record(line);
        assert_eq!(support::text(&record, "msg"), format!("warning {n}"));
        assert_eq!(support::text(&record, "level"), "WARN");
        assert_eq!(support::text(&record, "source"), "sandbox");
    }
    let last = "logging: journald is back; 10 log records did not reach it";
    assert_eq!(lines[6..], [last]);
}

#[test]
fn outages_that_follow_each_other_are_all_told() {
    with_own_run!();
    let text = stderr_of(|| {
        let (logger, guard) = logger(Level::Info);
        for n in 0..3 {
            let journald = journald();
            info!(logger, "round {n}");
            assert_eq!(receive(&journald)["MESSAGE"], format!("round {n}"));
            if n > 0 {
                assert_eq!(receive(&journald)["MESSAGE"], "log records lost");
            }
            drop(journald);
            std::fs::remove_file(SOCKET).unwrap();
            for _ in 0..=n {
                info!(logger, "lost");
            }
            logger.flush().unwrap();
        }
        drop(guard);
    });
    let expected = [
        "logging: cannot write to journald: ",
        "logging: journald is back; 1 log records ",
        "logging: cannot write to journald: ",
        "logging: journald is back; 2 log records ",
        "logging: cannot write to journald: ",
        // The report at the end is a warning.
        r#"{"msg":"log records lost","level":"WARN","#,
    ];
    for (line, start) in text.lines().zip(expected) {
        assert!(line.starts_with(start), "{text}");
    }
    assert_eq!(text.lines().count(), expected.len(), "{text}");
}

/// A destination that comes and goes all the time does not flood standard error.
#[test]
fn of_very_many_outages_some_are_told() {
    with_own_run!();
    let text = stderr_of(|| {
        let (logger, guard) = logger(Level::Info);
        for n in 0..100 {
            info!(logger, "lost");
            logger.flush().unwrap();
            let journald = journald();
            info!(logger, "kept");
            assert_eq!(receive(&journald)["MESSAGE"], "kept");
            // What is told or not there, is told here.
            assert_eq!(receive(&journald)["FAILED"], "1", "{n}");
            drop(journald);
            std::fs::remove_file(SOCKET).unwrap();
        }
        info!(logger, "lost");
        drop(guard);
    });
    let count = text.lines().count();
    // Ten lines for beginnings, and as many for ends, within ten seconds.
    assert!((21..90).contains(&count), "{count} lines: {text}");
    let last = text.lines().last().unwrap();
    let is_told = last.starts_with("logging: cannot write to journald: ")
        || last == "logging: 1 log records are lost";
    assert!(is_told, "{text}");
}

#[test]
fn a_journald_that_comes_back_is_found() {
    with_own_run!();
    let before = open_descriptors();
    let (logger, guard) = logger(Level::Info);
    for n in 0..3 {
        let journald = journald();
        info!(logger, "round {n}");
        assert_eq!(receive(&journald)["MESSAGE"], format!("round {n}"));
        drop(journald);
        std::fs::remove_file(SOCKET).unwrap();
        info!(logger, "lost");
        logger.flush().unwrap();
    }
    drop(guard);
    assert_eq!(logging::stats(&logger).unwrap().failed, 3);
    assert_eq!(open_descriptors(), before);
}
