//! Destinations that accept nothing do not hold up the end for ever (D7, D13). In parallel, for each
//! takes some seconds.

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

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use slog::{Level, error, info, warn};
use support::journald::{journald, logger, receive, with_own_run};
use support::{behind_a_door, stderr_of, text};
use test_utils::isolate;
use test_utils::isolation::Isolation;

/// A writer that gets stuck, of which nobody will ever hear again.
#[test]
fn a_stuck_writer_does_not_hold_up_shutdown_for_ever() {
    isolate!(Isolation::new());
    let (logger, guard, received, door) = behind_a_door(Level::Info);
    info!(logger, "in its hands");
    door.wait_for_visitor();
    for _ in 0..100 {
        info!(logger, "behind it");
    }
    let start = Instant::now();
    let told = stderr_of(|| drop(guard));
    let waited = start.elapsed();
    assert_eq!(
        told,
        "logging: the log writer is stuck, gave up on 101 log records\n"
    );
    assert!(waited >= Duration::from_secs(5), "gave up after {waited:?}");
    assert!(
        waited <= Duration::from_secs(30),
        "gave up after {waited:?}"
    );
    let stats = logging::stats(&logger).unwrap();
    assert_eq!((stats.dropped.total(), stats.queued), (100, 1));
    assert_eq!(stats.offered(), 101);

    // If it comes free after all, what it has is written, and it ends.
    door.open();
    while !received.is_closed() {
        std::thread::yield_now();
    }
    assert_eq!(received.messages()[0], "in its hands");
    assert_eq!(logging::stats(&logger).unwrap().offered(), 101);
}

/// One that is stopped: it does not read, and its queue fills up.
#[test]
fn a_stopped_journald_does_not_stop_the_process() {
    with_own_run!();
    let journald = journald();
    let (logger, guard) = logger(Level::Info);
    let start = Instant::now();
    for n in 0..5000 {
        info!(logger, "record {n}");
    }
    assert!(start.elapsed().as_secs() < 5, "logging does not wait");
    drop(guard);
    let waited = start.elapsed().as_secs();
    assert!((5..30).contains(&waited), "gave up after {waited} s");
    let stats = logging::stats(&logger).unwrap();
    assert!(
        stats.failed >= 1 && stats.failed + stats.dropped.total() > 1000,
        "{stats:?}"
    );
    for n in 0..stats.written {
        assert_eq!(receive(&journald)["MESSAGE"], format!("record {n}"));
    }
}

/// What matters goes to standard error then, as if it were not there.
#[test]
fn a_stopped_journald_does_not_keep_errors_from_standard_error() {
    with_own_run!();
    let _journald = journald();
    let told = stderr_of(|| {
        let (logger, guard) = logger(Level::Info);
        for n in 0..1000 {
            info!(logger, "more than its queue takes {n}");
        }
        for n in 0..300 {
            error!(logger, "error {n}");
        }
        drop(guard);
        let stats = logging::stats(&logger).unwrap();
        assert_eq!((stats.queued, stats.dropped.total()), (0, 0));
        assert_eq!(stats.offered(), 1300);
    });
    let json = told.lines().filter(|line| line.starts_with('{'));
    let errors: Vec<_> = json
        .map(support::record)
        .filter(|record| text(record, "level") == "ERRO")
        .map(|record| text(&record, "msg").to_owned())
        .collect();
    let expected: Vec<_> = (0..300).map(|n| format!("error {n}")).collect();
    assert_eq!(errors, expected, "{told}");
}

/// Nor one whose standard error, where warnings go without journald, is a pipe that nobody reads.
#[test]
fn a_full_standard_error_is_not_waited_for() {
    with_own_run!();
    let (reader, writer) = std::io::pipe().unwrap();
    // SAFETY: dup takes a number.
    let saved = unsafe { libc::dup(libc::STDERR_FILENO) };
    let point_stderr_to = |fd| {
        // SAFETY: dup2 takes numbers.
        assert!(unsafe { libc::dup2(fd, libc::STDERR_FILENO) } >= 0);
    };
    point_stderr_to(writer.as_raw_fd());
    let (logger, guard) = logger(Level::Info);
    for _ in 0..3 {
        warn!(logger, "{}", "x".repeat(200_000));
    }
    let result = logger.flush();
    // Else, not even a failure of this test could be told.
    point_stderr_to(saved);
    drop((reader, writer));
    assert!(result.is_ok(), "{result:?}");
    drop(guard);
    assert_eq!(logging::stats(&logger).unwrap().failed, 3);
}
