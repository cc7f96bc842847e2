//! The guard, and what comes after it (3.2, D6c).

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

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use slog::{Drain, Level, Logger, error, info, o};
use support::Received;
use test_utils::isolate;
use test_utils::isolation::Isolation;

#[test]
fn dropping_the_guard_writes_everything_and_closes_the_writer() {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    for n in 0..1000 {
        info!(logger, "record {n}");
    }
    drop(guard);
    assert_eq!(received.records().len(), 1000);
    assert!(received.is_closed());
    assert_eq!(received.flushes(), 0, "flush makes a FileRotator rotate");
}

#[test]
fn a_reader_sees_the_end_after_the_guard_is_gone() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, ours);
    info!(logger, "hello");
    drop(guard);
    let mut text = String::new();
    theirs.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn the_order_of_logger_and_guard_does_not_matter() {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    info!(logger, "hello");
    drop(logger);
    drop(guard);
    assert_eq!(received.messages(), ["hello"]);
}

#[test]
fn a_logger_without_guard_is_silent() {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    drop(guard);
    for _ in 0..100_000 {
        info!(logger, "late");
    }
    assert_eq!(received.text(), "");
    let stats = logging::stats(&logger).unwrap();
    assert_eq!(stats.dropped.of(Level::Info), 100_000);
    assert!(logger.flush().is_ok(), "there is nothing to wait for");
}

#[test]
fn creating_a_logger_touches_nothing() {
    let received = Received::default();
    let (_logger, guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    drop(guard);
    assert_eq!((received.writes(), received.flushes()), (0, 0));
}

#[test]
fn flush_waits_for_the_queue_and_flushes_the_writer() {
    let received = Received::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    for n in 1..100 {
        info!(logger, "hello");
        logger.flush().unwrap();
        assert_eq!(received.records().len(), n);
        assert_eq!(received.flushes(), n);
    }
    drop(guard);
}

#[test]
fn flush_reports_what_the_writer_says() {
    struct Stubborn;
    impl Write for Stubborn {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(ErrorKind::StorageFull.into())
        }
    }
    let (logger, _guard) = logging::create_logger("n", "s", Level::Info, Stubborn);
    info!(logger, "hello");
    match logger.flush() {
        Err(slog::FlushError::Io(error)) => assert_eq!(error.kind(), ErrorKind::StorageFull),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flush_is_not_held_up_by_others_who_keep_logging() {
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    info!(logger, "noise");
                }
            });
        }
        for _ in 0..50 {
            logger.flush().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(guard);
}

#[test]
fn a_slow_writer_is_waited_for_as_long_as_it_moves() {
    let received = Received::default();
    let writer = received.scripted(|_, text| {
        std::thread::sleep(Duration::from_millis(5));
        Ok(text.len().min(100))
    });
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    for _ in 0..100 {
        info!(logger, "hello");
    }
    drop(guard);
    assert_eq!(received.records().len(), 100);
}

#[test]
fn the_writer_itself_may_log() {
    struct Chatty(Received, Option<Logger>);
    impl Write for Chatty {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            if let Some(logger) = self.1.take() {
                error!(logger, "from the writer");
                assert!(logger.flush().is_err(), "it would wait for itself");
            }
            self.0.writer().write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let received = Received::default();
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<Logger>));
    struct Late(std::sync::Arc<std::sync::Mutex<Option<Logger>>>, Chatty);
    impl Write for Late {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.1.1 = self.0.lock().unwrap().take();
            self.1.write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let writer = Late(slot.clone(), Chatty(received.clone(), None));
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    *slot.lock().unwrap() = Some(logger.clone());
    info!(logger, "first");
    drop(guard);
    // The guard is gone by then, or not: it is written, or counted.
    let stats = logging::stats(&logger).unwrap();
    assert_eq!(stats.offered(), 2);
    assert_eq!(
        received.records().len() as u64,
        stats.written + u64::from(stats.dropped.total() > 0)
    );
}

#[test]
fn the_writer_may_wait_for_another_logger() {
    let received = Received::default();
    let (other, other_guard) = logging::create_logger("n", "s", Level::Info, received.writer());
    let (send, sent) = std::sync::mpsc::channel();
    let seen = received.clone();
    let writer = Received::default().scripted(move |_, text| {
        info!(other, "from the writer");
        let result = other.flush();
        send.send((result.is_ok(), seen.messages())).unwrap();
        Ok(text.len())
    });
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    info!(logger, "hello");
    logger.flush().unwrap();
    assert_eq!(
        sent.recv().unwrap(),
        (true, vec!["from the writer".to_owned()])
    );
    drop((guard, other_guard));
}

#[test]
fn stats_add_up_over_several_destinations() {
    let (one, _guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
    let (two, _guard2) = logging::create_logger("n", "s", Level::Error, std::io::sink());
    let both = Logger::root(slog::Duplicate(one, two).ignore_res(), o!());
    info!(both, "hello");
    both.flush().unwrap();
    let stats = logging::stats(&both).unwrap();
    assert_eq!((stats.written, stats.filtered), (1, 1));
    assert_eq!(logging::stats(&Logger::root(slog::Discard, o!())), None);
}

#[test]
fn the_writer_runs_on_a_thread_of_its_own() {
    let (send, sent) = std::sync::mpsc::channel();
    let received = Received::default();
    let writer = received.scripted(move |_, text| {
        let thread = std::thread::current();
        send.send((thread.id(), thread.name().map(str::to_owned)))
            .unwrap();
        Ok(text.len())
    });
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    info!(logger, "hello");
    drop(guard);
    let (id, name) = sent.recv().unwrap();
    assert_ne!(id, std::thread::current().id());
    assert_eq!(name.unwrap(), "slog-async-logger");
}

#[test]
fn threads_and_descriptors_end_with_the_guard() {
    isolate!(Isolation::new());
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/self/{what}"))
            .unwrap()
            .count()
    };
    let path = test_utils::isolation::scratch().join("log");
    let use_one = || {
        let mut rotator = logging::FileRotator::new(&path).unwrap();
        rotator.rotate_threshold(100).rotate_count(2);
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, rotator);
        for _ in 0..20 {
            info!(logger, "hello");
        }
        drop(guard);
    };
    use_one();
    let before = (count("fd"), count("task"));
    for _ in 0..20 {
        use_one();
    }
    assert_eq!((count("fd"), count("task")), before);
}
