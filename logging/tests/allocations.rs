//! Logging allocates nothing in the long run (7.1), nor does looking up a registered logger (D15).
//! One test alone: others would be counted.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slog::{Level, Logger, debug, error, info, o};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps what it must.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps what it must.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller keeps what it must.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the whole process, the worker included, while `run` runs. The fewest of some
/// runs: the main thread of the test harness allocates now and then.
fn allocations(run: impl Fn()) -> u64 {
    let counts = (0..10).map(|_| {
        let before = ALLOCATIONS.load(Relaxed);
        run();
        ALLOCATIONS.load(Relaxed) - before
    });
    counts.min().unwrap()
}

/// 100 records with six keys of loggers and records, of several types.
fn log(logger: &Logger) {
    for n in 0..100 {
        let value = [1, 2, n];
        info!(logger, "attached {}", n; "device" => "vda", "queues" => 2, "list" => ?value,
            "ratio" => 0.5, "name" => "overridden");
        error!(logger, "quoted \"message\"\n");
    }
    logger.flush().unwrap();
}

#[test]
fn nothing_is_allocated_in_the_long_run() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["sink", "rotator"] {
        let writer: Box<dyn std::io::Write + Send + Sync> = match name {
            "sink" => Box::new(std::io::sink()),
            _ => Box::new(logging::FileRotator::new(directory.path().join("log")).unwrap()),
        };
        let (root, guard) = logging::create_logger("n", "s", Level::Info, writer);
        let logger = root.new(o!("component" => "agent", "subsystem" => "agent"));
        // The buffers grow to what they need.
        for _ in 0..20 {
            log(&logger);
        }
        let count = allocations(|| {
            for _ in 0..5 {
                log(&logger);
            }
        });
        assert_eq!(count, 0, "{name}: for 1000 records");
        drop(guard);
    }

    let (root, guard) = logging::create_logger("n", "s", Level::Info, std::io::sink());
    let logger = root.new(o!("component" => "agent"));
    for rules in [&[][..], &["shim"], &["shim", "root"], &["agent"]] {
        let level = |name: &str| match name {
            "agent" => Level::Info,
            _ => Level::Debug,
        };
        let rules = rules.iter().map(|name| ((*name).to_owned(), level(name)));
        logging::FILTER_RULE.store(std::sync::Arc::new(rules.collect()));
        let reject = || debug!(logger, "rejected {}", 1; "a" => 1, "b" => ?Some(2));
        reject(); // looks at the new rules
        let count = allocations(|| (0..1000).for_each(|_| reject()));
        assert_eq!(count, 0, "for 1000 rejected records");
    }

    logging::logger_with_subsystem!(sl, "agent");
    slog_scope::scope(&root, || logging::register_component_logger("agent"));
    drop(sl!()); // the first look of a thread
    let count = allocations(|| (0..1000).for_each(|_| drop(sl!())));
    assert_eq!(count, 0, "for 1000 loggers");
    drop(guard);
}
