//! Overflow and writers that fail: what is lost is counted and told, what matters is kept (D2, D4).

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

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use slog::{Level, error, info, warn};
use support::{Received, behind_a_door, number, text};

const REPORT: &str = "log records lost";

#[test]
fn a_burst_is_written_completely() {
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    for n in 0..15_000 {
        info!(logger, "record {n}");
    }
    door.open();
    drop(guard);
    let expected: Vec<_> = (0..15_000).map(|n| format!("record {n}")).collect();
    assert_eq!(received.messages(), expected);
}

#[test]
fn rejected_records_take_no_room() {
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    info!(logger, "first");
    for _ in 0..100_000 {
        slog::debug!(logger, "x"; "large" => "x".repeat(1000));
    }
    info!(logger, "last");
    door.open();
    drop(guard);
    assert_eq!(received.messages(), ["first", "last"]);
    assert_eq!(logging::stats(&logger).unwrap().filtered, 100_000);
}

#[test]
fn overflow_is_reported_with_counts_by_level() {
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    let large = "x".repeat(10_000);
    for _ in 0..1000 {
        info!(logger, "{large}");
    }
    // Above that, there is room for warnings and errors only.
    for n in 0..100 {
        warn!(logger, "warning {n}");
        error!(logger, "error {n}"; "large" => &large);
    }
    door.open();
    drop(guard);

    let messages = received.messages();
    for n in 0..100 {
        assert!(messages.contains(&format!("warning {n}")));
        assert!(messages.contains(&format!("error {n}")));
    }
    let kept = messages.iter().filter(|message| **message == large).count();
    assert!((400..500).contains(&kept), "{kept} of 10 kB");

    let records = received.records();
    let reports: Vec<_> = records
        .iter()
        .filter(|r| text(r, "msg") == REPORT)
        .collect();
    let lost: u64 = reports
        .iter()
        .map(|report| number(report, "dropped_info"))
        .sum();
    assert_eq!(lost, 1000 - kept as u64);
    for report in reports {
        assert_eq!(text(report, "level"), "WARN");
        assert_eq!(text(report, "subsystem"), "logging");
        assert_eq!(text(report, "name"), "n");
        assert_eq!(number(report, "count"), number(report, "dropped_info"));
        assert_eq!(number(report, "failed"), 0);
        for level in ["critical", "error", "warn", "debug", "trace"] {
            assert_eq!(number(report, &format!("dropped_{level}")), 0);
        }
    }
    let stats = logging::stats(&logger).unwrap();
    assert_eq!(stats.dropped.of(Level::Info), lost);
    assert_eq!(stats.written, kept as u64 + 200);
    assert_eq!(stats.offered(), 1200);
}

#[test]
fn the_report_passes_any_level() {
    let (logger, guard, received, door) = behind_a_door(Level::Critical);
    for _ in 0..20 {
        slog::crit!(logger, "{}", "x".repeat(1 << 20));
    }
    door.open();
    drop(guard);
    let records = received.records();
    assert_eq!(text(records.last().unwrap(), "msg"), REPORT);
}

/// Logs `count` records to a writer that answers like this, and returns what it received.
fn logged(
    count: usize,
    answer: impl FnMut(usize, &[u8]) -> io::Result<usize> + Send + Sync + 'static,
) -> (Received, logging::Stats) {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, received.scripted(answer));
    for n in 0..count {
        info!(logger, "record {n}");
        logger.flush().unwrap(); // one write for each
    }
    drop(guard);
    let stats = logging::stats(&logger).unwrap();
    (received, stats)
}

#[test]
fn failing_writes_lose_their_records_only() {
    let (received, stats) = logged(5, |call, text| match call {
        1 | 3 => Err(ErrorKind::StorageFull.into()),
        _ => Ok(text.len()),
    });
    // Calls: record 0, record 1 fails, its report, ...
    assert_eq!(stats.written + stats.failed, 5);
    let records = received.records();
    let reported: u64 = records
        .iter()
        .filter(|record| text(record, "msg") == REPORT)
        .map(|record| number(record, "failed"))
        .sum();
    assert_eq!(reported, stats.failed);
    assert!(stats.failed > 0);
}

#[test]
fn the_loss_is_reported_after_the_first_record_that_succeeds() {
    let broken = Arc::new(AtomicBool::new(true));
    let received = Received::default();
    let is_broken = Arc::clone(&broken);
    let writer = received.scripted(move |_, text| {
        if is_broken.load(Ordering::Relaxed) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(text.len())
    });
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    for n in 0..10 {
        info!(logger, "lost {n}");
    }
    logger.flush().unwrap();
    assert_eq!(received.text(), "");
    broken.store(false, Ordering::Relaxed);
    info!(logger, "kept");
    drop(guard);
    assert_eq!(received.messages(), ["kept", REPORT]);
    assert_eq!(number(&received.records()[1], "failed"), 10);
    assert_eq!(number(&received.records()[1], "count"), 10);
}

#[test]
fn interrupted_and_unready_writers_are_tried_again() {
    let (received, stats) = logged(3, |call, text| match call % 4 {
        0 => Err(ErrorKind::Interrupted.into()),
        1 | 2 => Err(ErrorKind::WouldBlock.into()),
        _ => Ok(text.len().min(7)),
    });
    assert_eq!(received.messages(), ["record 0", "record 1", "record 2"]);
    assert_eq!((stats.written, stats.failed), (3, 0));
}

#[test]
fn a_torn_record_stands_on_a_line_of_its_own() {
    let (received, stats) = logged(3, |call, text| match call {
        1 => Ok(10),
        2 => Err(ErrorKind::StorageFull.into()),
        _ => Ok(text.len()),
    });
    assert_eq!((stats.written, stats.failed), (2, 1));
    let lines = received.lines();
    assert_eq!(lines[1], r#"{"msg":"re"#);
    for line in lines.iter().filter(|line| **line != lines[1]) {
        support::record(line);
    }
    assert_eq!(lines.len(), 4, "{}", received.text());
}

#[test]
fn a_writer_that_takes_nothing_has_failed() {
    let (received, stats) = logged(3, |call, text| Ok(if call == 0 { 0 } else { text.len() }));
    assert_eq!((stats.written, stats.failed), (2, 1));
    assert_eq!(received.messages(), ["record 1", REPORT, "record 2"]);
}

#[test]
fn a_panicking_writer_does_not_end_logging() {
    let (received, stats) = logged(4, |call, text| {
        if call == 1 {
            std::panic::resume_unwind(Box::new("bad writer"));
        }
        Ok(text.len())
    });
    assert_eq!((stats.written, stats.failed), (3, 1));
    assert_eq!(received.messages().len(), 4);
}

#[test]
fn a_writer_that_claims_too_much_is_not_believed() {
    struct Liar(Received);
    impl io::Write for Liar {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.writer().write(text).map(|count| count + 1000)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let received = Received::default();
    let liar = Liar(received.clone());
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, liar);
    for n in 0..10 {
        info!(logger, "record {n}");
    }
    drop(guard);
    assert_eq!(received.records().len(), 10);
    assert_eq!(logging::stats(&logger).unwrap().written, 10);
}

#[test]
fn an_error_that_panics_when_it_is_told_does_not_end_logging() {
    #[derive(Debug)]
    struct Bad;
    impl std::fmt::Display for Bad {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            std::panic::resume_unwind(Box::new("bad error"));
        }
    }
    impl std::error::Error for Bad {}
    let (received, stats) = logged(4, |call, text| match call {
        1 => Err(io::Error::other(Bad)),
        _ => Ok(text.len()),
    });
    assert_eq!((stats.written, stats.failed, stats.queued), (3, 1, 0));
    assert_eq!(
        received.messages(),
        ["record 0", "record 2", REPORT, "record 3"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Written, filtered, dropped and failed are all that was offered, and what was written is what
    /// a reader finds, however the writer behaves.
    #[test]
    fn nothing_is_lost_without_being_counted(
        script in proptest::collection::vec(0u8..12, 1..40),
        threads in 1usize..4,
        size in 1usize..3000,
    ) {
        let received = Received::default();
        let writer = received.scripted(move |call, text| match *script.get(call % (script.len() + 1)).unwrap_or(&u8::MAX) {
            0 => Err(ErrorKind::StorageFull.into()),
            1 => Err(ErrorKind::Interrupted.into()),
            2 if call < 50 => Err(ErrorKind::WouldBlock.into()),
            3 => Ok(text.len() / 2),
            4 => Ok(text.len().min(1)),
            5 => Ok(0),
            6 => std::panic::resume_unwind(Box::new("bad writer")),
            _ => Ok(text.len()),
        });
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let large = "x".repeat(size);
                    for n in 0..1000 {
                        info!(logger, "record"; "large" => &large);
                        slog::debug!(logger, "filtered");
                        if n % 10 == 0 {
                            warn!(logger, "warning");
                        }
                    }
                });
            }
        });
        drop(guard);

        let stats = logging::stats(&logger).unwrap();
        let threads = threads as u64;
        prop_assert_eq!(stats.queued, 0);
        prop_assert_eq!(stats.filtered, 1000 * threads);
        prop_assert_eq!(stats.dropped.of(Level::Warning), 0);
        prop_assert_eq!(
            stats.written + stats.filtered + stats.dropped.total() + stats.failed,
            2100 * threads
        );
        // Every line is a record or the beginning of one.
        let mut records = 0;
        let mut told = 0;
        let text = String::from_utf8(received.bytes()).unwrap();
        for line in text.split('\n').filter(|line| line.ends_with('}')) {
            let record = support::record(line);
            if support::text(&record, "msg") == REPORT {
                told += number(&record, "count");
            } else {
                records += 1;
            }
        }
        prop_assert_eq!(records, stats.written);
        prop_assert!(told <= stats.dropped.total() + stats.failed);
    }
}
