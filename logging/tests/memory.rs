//! Memory that records and text of any content can make the loggers take, their threads included.
//! Each test is a process of its own: others would be counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;

use slog::{KV, Key, Level, Logger, Record, Serializer, info, o, warn};
use support::journald::{journald, with_own_run};
use support::{Door, Keys};
use test_utils::isolate;
use test_utils::isolation::Isolation;

/// The system's allocator, which counts what the process has in use.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn add(size: usize) {
    let used = USED.fetch_add(size, SeqCst) + size;
    PEAK.fetch_max(used, SeqCst);
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps what it must.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), SeqCst);
        // SAFETY: the caller keeps what it must.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        USED.fetch_sub(layout.size(), SeqCst);
        add(size);
        // SAFETY: the caller keeps what it must.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were in use at a time, beyond those in use before.
fn peak_of(action: impl FnOnce()) -> usize {
    let before = USED.load(SeqCst);
    PEAK.store(before, SeqCst);
    action();
    PEAK.load(SeqCst).saturating_sub(before)
}

const LARGE: usize = 64 << 20;
/// The size of texts that are harder to write.
const HARD: usize = 2 << 20;

/// Two queues of 4 MiB each, and a record of 1 MiB on each side with what is made of it.
const CONSTANT: usize = 12 << 20;

/// One key, which is long.
struct LongKey;

impl KV for LongKey {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_usize(Key::from("k".repeat(1 << 20)), 1)
    }
}

/// Logs what is large or many in one way, and checks what that takes.
fn check(logger: &Logger) {
    let check = |what: &str, log: &dyn Fn()| {
        let peak = peak_of(|| {
            log();
            logger.flush().unwrap();
        });
        assert!(peak <= CONSTANT, "{what}: {peak} bytes");
    };
    let long = "x".repeat(LARGE);
    check("message", &|| info!(logger, "{long}"));
    check("value", &|| info!(logger, "m"; "k" => &long));
    check(
        "values",
        &|| info!(logger, "m"; "a" => &long, "b" => &long, "c" => &long),
    );
    check("key", &|| info!(logger, "m"; o!(LongKey)));
    for piece in ["\n", "\u{1}", "\"", "\\", "é", "\u{fffd}", "a\n"] {
        let text = piece.repeat(HARD / piece.len());
        check(piece, &|| info!(logger, "{text}"; "k" => &text));
        check(piece, &|| info!(logger, "m"; "k" => ?text));
    }
    for count in [(1 << 10) + 1, (1 << 12) + 1] {
        check("keys", &|| info!(logger, "m"; o!(Keys(count))));
        let child = logger.new(o!(Keys(count)));
        check("keys of a logger", &|| info!(child, "m"));
    }
    check("records", &|| {
        for n in 0..(1 << 16) + 1 {
            info!(logger, ""; "n" => n);
        }
    });
    check("records of a megabyte", &|| {
        let text = long.get(..1 << 20).unwrap();
        for _ in 0..33 {
            warn!(logger, "{text}");
        }
    });
}

#[test]
fn json_records_take_a_constant() {
    isolate!(Isolation::new());
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
    check(&logger);
    drop(guard);
}

#[test]
fn records_for_people_take_a_constant() {
    isolate!(Isolation::new());
    // Standard error is a terminal's.
    let null = File::options().write(true).open("/dev/null").unwrap();
    // SAFETY: dup2 takes numbers.
    let saved = unsafe { libc::dup(libc::STDERR_FILENO) };
    // SAFETY: as above.
    assert!(unsafe { libc::dup2(null.as_raw_fd(), libc::STDERR_FILENO) } >= 0);
    let (logger, guard) = logging::create_term_logger(Level::Info);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&logger)));
    drop(guard);
    // SAFETY: as above.
    assert!(unsafe { libc::dup2(saved, libc::STDERR_FILENO) } >= 0);
    result.expect("within the limit");
}

#[test]
fn records_for_the_journal_take_a_constant() {
    with_own_run!();
    let socket = journald();
    // Takes the records away, into no memory: those that come as a file are closed with it.
    std::thread::spawn(move || {
        let mut byte = [0; 1];
        while socket.recv(&mut byte).is_ok() {}
    });
    let (logger, guard) = support::journald::logger(Level::Info);
    check(&logger);
    drop(guard);
}

/// A writer that stands still until it is told to go on.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn destination_that_stands_still_makes_no_more_than_the_queue() {
    isolate!(Isolation::new());
    let (go_on, stopped) = mpsc::channel();
    let writer = std::sync::Mutex::new(Stuck(stopped));
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, Locked(writer));
    let text = "x".repeat(1 << 20);
    let peak = peak_of(|| {
        for n in 0..(1 << 16) + 1 {
            info!(logger, "small"; "n" => n);
            warn!(logger, "small"; "n" => n);
        }
        for _ in 0..100 {
            info!(logger, "{text}");
            warn!(logger, "{text}");
        }
    });
    println!("{peak} bytes");
    assert!(peak <= CONSTANT, "{peak} bytes");
    drop(go_on);
    drop(guard);
}

#[test]
fn records_of_any_size_take_no_more_than_the_queue() {
    isolate!(Isolation::new());
    for sizes in [
        &[22 << 10][..],
        &[33 << 10],
        &[13_000],
        &[1],
        &[1, 65 << 10],
        &[20_000, 60_000],
    ] {
        let (go_on, stopped) = mpsc::channel();
        let writer = std::sync::Mutex::new(Stuck(stopped));
        let texts: Vec<String> = sizes.iter().map(|size| "x".repeat(*size)).collect();
        let count = (16 << 20) / sizes.iter().sum::<usize>().max(100);
        let (logger, guard) = logging::create_logger("n", "s", Level::Info, Locked(writer));
        let peak = peak_of(|| {
            for _ in 0..count {
                for text in &texts {
                    info!(logger, "{text}");
                }
                for text in &texts {
                    warn!(logger, "{text}");
                }
            }
        });
        println!("{sizes:?}: {peak} bytes");
        assert!(peak <= CONSTANT, "{sizes:?}: {peak} bytes");
        drop(go_on);
        drop(guard);
    }
}

#[test]
fn what_one_burst_needed_is_not_kept_during_another() {
    isolate!(Isolation::new());
    let door = Door::default();
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, AtDoor(door.clone()));
    let large = "x".repeat(1 << 20);
    let peak = peak_of(|| {
        while logging::stats(&logger).unwrap().dropped.total() == 0 {
            warn!(logger, "small");
        }
        door.open();
        logger.flush().unwrap();
        door.close();
        for _ in 0..100 {
            warn!(logger, "{large}");
        }
    });
    println!("{peak} bytes");
    assert!(peak <= CONSTANT, "{peak} bytes");
    door.open();
    drop(guard);
}

/// A writer that takes anything while the door is open.
struct AtDoor(Door);

impl Write for AtDoor {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.pass();
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A receiver is not `Sync`.
struct Locked(std::sync::Mutex<Stuck>);

impl Write for Locked {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().unwrap().write(text)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn text_that_becomes_records_takes_a_constant() {
    isolate!(Isolation::new());
    let (logger, guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
    for (what, piece, size) in [
        ("no line end", &b"x"[..], LARGE),
        ("line ends", b"\n", HARD),
        ("shortest lines", b"x\n", 1 << 16),
        ("no UTF-8", b"\xff", 1 << 20),
        ("zeros", b"\0", 1 << 20),
        ("CR", b"\r", 1 << 20),
        ("escapes", b"\x1b[", 1 << 20),
    ] {
        let text = piece.repeat(size / piece.len());
        let peak = peak_of(|| {
            let mut writer = logging::LogWriter::new(logger.clone());
            writer.write_all(&text).unwrap();
            // In pieces of another length, too.
            let mut pieces = text.get(..1 << 16).unwrap();
            let mut piece = [0; 7];
            while let Ok(1..) = pieces.read(&mut piece) {
                writer.write_all(&piece).unwrap();
            }
            drop(writer);
            logger.flush().unwrap();
        });
        println!("{what}: {peak} bytes");
        assert!(peak <= CONSTANT, "{what}: {peak} bytes");
    }
    drop(guard);
}
