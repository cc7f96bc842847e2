//! What a process logs just before its end is written, whatever the end (D6).
//!
//! Each test starts itself as the process that ends; the directory of its log is in the environment.

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
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use slog::{Level, Logger, error, info};
use support::{Door, behind_a_door};
use test_utils::isolation::command_of_test;

const DIRECTORY: &str = "KATA_TEST_LOG_DIRECTORY";
const LAST: &str = "the last word";

/// How often the default run tries each end.
const ROUNDS: usize = 25;

/// Where to log, in the process that ends.
fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Runs a test of this file as the process that ends.
fn run(test: &str, directory: &Path) -> ExitStatus {
    command_of_test(test)
        .env(DIRECTORY, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// Lets the process end `rounds` times, and insists on its last word each time.
fn must_be_heard(test: &str, rounds: usize, is_expected: impl Fn(ExitStatus) -> bool) {
    for round in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let status = run(test, directory.path());
        assert!(is_expected(status), "round {round}: {status}");
        let text = std::fs::read_to_string(directory.path().join("log")).unwrap();
        let last = text.lines().rfind(|line| line.contains(LAST));
        assert!(last.is_some(), "round {round}: {text}");
        for line in text.lines() {
            support::record(line);
        }
    }
}

fn logger(directory: &Path) -> (Logger, slog_async::AsyncGuard) {
    let file = File::create(directory.join("log")).unwrap();
    logging::create_logger("n", "s", Level::Info, file)
}

fn exit_now(directory: &Path) {
    let (logger, _guard) = logger(directory);
    for n in 0..100 {
        info!(logger, "record {n}");
    }
    error!(logger, "{LAST}");
    std::process::exit(1);
}

#[test]
fn exit() {
    if let Some(directory) = directory() {
        return exit_now(&directory);
    }
    must_be_heard("exit", ROUNDS, |status| status.code() == Some(1));
}

#[test]
#[ignore = "takes a minute"]
fn exit_a_thousand_times() {
    must_be_heard("exit", 1000, |status| status.code() == Some(1));
}

/// As the hook of the shim: it logs, then it aborts.
fn panic_now(directory: &Path) {
    let (logger, _guard) = logger(directory);
    let hooked = logger.clone();
    std::panic::set_hook(Box::new(move |_| {
        error!(hooked, "{LAST}");
        std::process::abort();
    }));
    for n in 0..100 {
        info!(logger, "record {n}");
    }
    panic!("the end");
}

#[test]
fn panic_with_abort() {
    if let Some(directory) = directory() {
        return panic_now(&directory);
    }
    let is_abort = |status: ExitStatus| status.signal() == Some(libc::SIGABRT);
    must_be_heard("panic_with_abort", ROUNDS, is_abort);
}

#[test]
#[ignore = "takes a minute"]
fn panic_with_abort_a_thousand_times() {
    let is_abort = |status: ExitStatus| status.signal() == Some(libc::SIGABRT);
    must_be_heard("panic_with_abort", 1000, is_abort);
}

/// The guard is dropped while the queue is full.
fn drop_in_full_queue(directory: &Path) {
    let (logger, guard) = logger(directory);
    let large = "x".repeat(1000);
    for _ in 0..8000 {
        info!(logger, "{large}");
    }
    error!(logger, "{LAST}");
    drop(guard);
    // Nothing behind it: no exit hook, no destructor.
    // SAFETY: _exit does not return.
    unsafe { libc::_exit(0) };
}

#[test]
fn guard_dropped_in_a_full_queue() {
    if let Some(directory) = directory() {
        return drop_in_full_queue(&directory);
    }
    must_be_heard("guard_dropped_in_a_full_queue", ROUNDS / 5, |status| {
        status.success()
    });
}

#[test]
#[ignore = "takes minutes"]
fn guard_dropped_in_a_full_queue_a_thousand_times() {
    must_be_heard("guard_dropped_in_a_full_queue", 1000, |status| {
        status.success()
    });
}

#[test]
fn exit_with_a_writer_that_buffers() {
    if let Some(directory) = directory() {
        let file = File::create(directory.join("log")).unwrap();
        let writer = std::io::BufWriter::new(file);
        let (logger, _guard) = logging::create_logger("n", "s", Level::Info, writer);
        error!(logger, "{LAST}");
        std::process::exit(0);
    }
    must_be_heard("exit_with_a_writer_that_buffers", 5, |s| s.success());
}

#[test]
fn exit_with_a_stuck_writer_takes_half_a_second() {
    if directory().is_some() {
        let (logger, _guard, _received, door) = behind_a_door(Level::Info);
        error!(logger, "{LAST}");
        door.wait_for_visitor();
        std::process::exit(3);
    }
    let directory = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let status = run(
        "exit_with_a_stuck_writer_takes_half_a_second",
        directory.path(),
    );
    assert_eq!(status.code(), Some(3));
    // Far from for ever, on a loaded machine.
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// Forked children run the exit hooks as well, but have no worker to wait for.
#[test]
fn a_forked_child_exits_at_once() {
    if let Some(directory) = directory() {
        let (logger, guard) = logger(&directory);
        info!(logger, "before");
        logger.flush().unwrap();
        let start = Instant::now();
        // SAFETY: the child does nothing that depends on another thread.
        match unsafe { libc::fork() } {
            0 => {
                let is_refused =
                    is_refused_in_a_child(&logger, || error!(logger, "from the child"));
                // SAFETY: exit does not return; it runs the hooks.
                unsafe { libc::exit(libc::c_int::from(!is_refused)) };
            }
            child => {
                let mut status = 0;
                // SAFETY: the status lives during the call.
                let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
                assert_eq!((waited, status), (child, 0));
            }
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        error!(logger, "{LAST}");
        drop(guard);
        return;
    }
    must_be_heard("a_forked_child_exits_at_once", 3, |s| s.success());
}

/// Logs in a forked child, and asks what became of it.
fn is_refused_in_a_child(logger: &Logger, log: impl Fn()) -> bool {
    let dropped = || logging::stats(logger).map(|stats| (stats.queued, stats.dropped.total()));
    let before = dropped();
    log();
    let is_dropped = match (before, dropped()) {
        (Some((_, before)), Some((queued, after))) => (queued, after) == (0, before + 1),
        _ => false,
    };
    let error = logger.flush().map_err(|error| match error {
        slog::FlushError::Io(error) => error.to_string(),
        other => format!("{other:?}"),
    });
    is_dropped && error == Err("a forked child has no thread that writes the log".to_owned())
}

/// Forks again and again while another thread is at work, and insists that no child that logs waits
/// for a lock that this one has.
fn children_end(logger: &Logger, work: impl Fn() + Sync, log: impl Fn() + Sync) {
    let done = AtomicBool::new(false);
    let bad = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                work();
            }
        });
        let fork = |_| {
            // SAFETY: the child does nothing that depends on another thread: that is the test.
            match unsafe { libc::fork() } {
                0 => {
                    // SAFETY: alarm takes a number.
                    unsafe { libc::alarm(20) };
                    let is_refused = is_refused_in_a_child(logger, &log);
                    // SAFETY: exit does not return; it runs the hooks.
                    unsafe { libc::exit(libc::c_int::from(!is_refused)) };
                }
                child => {
                    let mut status = 0;
                    // SAFETY: the status lives during the call.
                    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
                    assert_eq!(waited, child);
                    ExitStatus::from_raw(status)
                }
            }
        };
        let bad = (0..200).map(fork).find(|status| !status.success());
        done.store(true, Ordering::Relaxed);
        bad
    });
    assert_eq!(bad, None);
}

/// Of the C library, whoever asks for the local time has a lock.
#[test]
fn a_forked_child_does_not_wait_for_the_local_time() {
    if directory().is_some() {
        let (logger, guard) = logging::create_term_logger(Level::Info);
        let log = || info!(logger, "hello");
        let work = || {
            for seconds in 0..100 {
                let mut time = std::mem::MaybeUninit::<libc::tm>::uninit();
                // SAFETY: both pointers are valid during the call.
                unsafe { libc::localtime_r(&raw const seconds, time.as_mut_ptr()) };
            }
            log();
        };
        children_end(&logger, work, log);
        drop(guard);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let status = run(
        "a_forked_child_does_not_wait_for_the_local_time",
        directory.path(),
    );
    assert!(status.success(), "{status}");
}

/// How it is formatted is up to a value.
#[test]
fn a_forked_child_does_not_wait_for_the_lock_of_a_value() {
    struct Locked<'a>(&'a Mutex<u32>);
    impl std::fmt::Display for Locked<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", self.0.lock().unwrap())
        }
    }
    if directory().is_some() {
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
        let value = Mutex::new(1);
        let log = || info!(logger, "{}", Locked(&value); "component" => %Locked(&value));
        children_end(&logger, log, log);
        drop(guard);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let status = run(
        "a_forked_child_does_not_wait_for_the_lock_of_a_value",
        directory.path(),
    );
    assert!(status.success(), "{status}");
}

/// The hook runs on the thread of the writer: that can wait for any logger but its own.
#[test]
fn panic_of_a_writer_with_abort() {
    if let Some(directory) = directory() {
        let (logger, _guard) = logger(&directory);
        std::panic::set_hook(Box::new(move |_| {
            error!(logger, "{LAST}");
            std::process::abort();
        }));
        let writer = support::Received::default().scripted(|_, _| panic!("the writer"));
        let (other, _other_guard) = logging::create_logger("n", "s", Level::Info, writer);
        info!(other, "hello");
        other.flush().ok();
        unreachable!("the writer has ended the process");
    }
    let is_abort = |status: ExitStatus| status.signal() == Some(libc::SIGABRT);
    must_be_heard("panic_of_a_writer_with_abort", ROUNDS, is_abort);
}

#[test]
fn a_panic_that_is_caught_is_on_disk_before_it_unwinds() {
    struct LogOnDrop(Logger, PathBuf);
    impl Drop for LogOnDrop {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            error!(self.0, "{LAST}");
            let text = std::fs::read_to_string(&self.1).unwrap();
            assert!(text.contains(LAST));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let (logger, guard) = logger(directory.path());
    let path = directory.path().join("log");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _log = LogOnDrop(logger.clone(), path.clone());
        std::panic::resume_unwind(Box::new("unwinds"));
    }));
    assert!(result.is_err());
    drop(guard);
}

/// Once in vain is enough for a writer that is stuck, but not for ever.
#[test]
fn last_words_are_waited_for_again_once_the_writer_is_free() {
    struct Slow {
        received: Arc<Mutex<String>>,
        second: Door,
        flush: Door,
    }
    impl Write for Slow {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            let text = std::str::from_utf8(text).unwrap();
            if text.contains("second") {
                self.second.pass();
            }
            self.received.lock().unwrap().push_str(text);
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.flush.pass();
            Ok(())
        }
    }
    struct LogOnDrop<'a>(&'a Logger, &'a str);
    impl Drop for LogOnDrop<'_> {
        fn drop(&mut self) {
            error!(self.0, "{}", self.1);
        }
    }
    let log_while_panicking = |logger: &Logger, message: &str| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _log = LogOnDrop(logger, message);
            std::panic::resume_unwind(Box::new("unwinds"));
        }))
        .unwrap_err();
    };
    let (received, second, flush) = (Arc::default(), Door::default(), Door::default());
    let writer = Slow {
        received: Arc::clone(&received),
        second: second.clone(),
        flush: flush.clone(),
    };
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, writer);
    log_while_panicking(&logger, "first"); // waits in vain
    flush.open();
    logger.flush().unwrap();

    let returned = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            log_while_panicking(&logger, "second");
            let text = received.lock().unwrap().clone();
            returned.store(true, Ordering::Relaxed);
            assert!(text.contains("second"), "{text}");
        });
        second.wait_for_visitor();
        // For a call that does not wait, time to be found out.
        let start = Instant::now();
        while !returned.load(Ordering::Relaxed) && start.elapsed() < Duration::from_millis(20) {
            std::thread::yield_now();
        }
        second.open();
    });
    drop(guard);
}

/// The queue is full of records of the same level when the hook logs.
#[test]
fn panic_with_a_full_queue() {
    struct BehindDoor(Door, File);
    impl Write for BehindDoor {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.pass();
            self.1.write(text)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    if let Some(directory) = directory() {
        let door = Door::default();
        let file = File::create(directory.join("log")).unwrap();
        let writer = BehindDoor(door.clone(), file);
        let (logger, _guard) = logging::create_logger("n", "s", Level::Info, writer);
        let large = "x".repeat(1000);
        while logging::stats(&logger).unwrap().dropped.total() == 0 {
            info!(logger, "{large}");
        }
        std::panic::set_hook(Box::new(move |_| {
            let door = door.clone();
            // The writer comes free while the hook waits for room.
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                door.open();
            });
            info!(logger, "{LAST}"; "large" => &large);
            std::process::abort();
        }));
        panic!("the end");
    }
    let is_abort = |status: ExitStatus| status.signal() == Some(libc::SIGABRT);
    must_be_heard("panic_with_a_full_queue", 5, is_abort);
}

/// Whoever exits on the thread that writes cannot wait for it.
#[test]
fn exit_by_the_writer_itself() {
    if directory().is_some() {
        let received = support::Received::default();
        let writer = received.scripted(|_, _| std::process::exit(4));
        let (logger, _guard) = logging::create_logger("n", "s", Level::Info, writer);
        info!(logger, "{LAST}");
        logger.flush().ok();
        unreachable!("the writer has ended the process");
    }
    let directory = tempfile::tempdir().unwrap();
    let status = run("exit_by_the_writer_itself", directory.path());
    assert_eq!(status.code(), Some(4));
}
