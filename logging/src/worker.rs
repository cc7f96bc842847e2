//! The thread that hands records over to their destination, and reports what was lost.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use slog::{Discard, Level, Logger, OwnedKVList, b, o, record};

use crate::chunk::Chunk;
use crate::format::{Format, Scratch};
use crate::pipeline::Pipeline;
use crate::queue::{Destination, Job};
use crate::root::RootKv;
use crate::sink::{Ledger, Notice, Sink};
use crate::stats::LevelCounts;
use crate::timestamp::since_epoch;

/// The name that `slog_async` gives to such a thread; operators know it.
const NAME: &str = "slog-async-logger";

/// While records are lost all the time, that is reported this often.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the worker. It ends when the queue is closed and empty, after it has dropped `sink`.
pub(crate) fn start<F: Format, S: Sink + 'static>(
    pipeline: Arc<Pipeline>,
    format: Arc<F>,
    sink: S,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(NAME.to_owned()).spawn(move || {
        pipeline.become_worker();
        let worker = Worker {
            reporter: Reporter::new(format),
            ledger: Ledger::new(Arc::clone(&pipeline)),
            sink,
        };
        // A foreign destructor may panic as well. Whatever happens, nobody waits for ever.
        let _ = catch_unwind(AssertUnwindSafe(|| worker.run()));
        pipeline.queue.finish();
    })
}

struct Worker<F, S> {
    reporter: Reporter<F>,
    ledger: Ledger,
    sink: S,
}

impl<F: Format, S: Sink> Worker<F, S> {
    fn run(mut self) {
        let pipeline = Arc::clone(&self.ledger.pipeline);
        let queue = &pipeline.queue;
        loop {
            match queue.next_job() {
                Job::Deliver(chunk) => {
                    deliver(&mut self.sink, &chunk, &mut self.ledger);
                    queue.complete(chunk);
                    self.report(When::IfDue);
                }
                Job::Flush => {
                    self.report(When::IfDue);
                    let result = self.sink.flush(&mut self.ledger);
                    let destination = match self.ledger.is_outage() {
                        true => Destination::Fails,
                        false => Destination::Works,
                    };
                    queue.flushed(&result, destination);
                }
                Job::End => break,
            }
        }
        self.report(When::Last);
        self.sink.close(&mut self.ledger);
        self.ledger.close();
    }

    /// Writes a record about what was lost since the last one, if anything.
    fn report(&mut self, when: When) {
        let loss = self.ledger.unreported();
        if loss.is_none() {
            return;
        }
        let is_due = match when {
            When::Last => true,
            // During an outage it would be lost as well.
            When::IfDue => {
                !self.ledger.is_outage()
                    && (self.ledger.has_recovered()
                        || self.reporter.last.elapsed() >= REPORT_INTERVAL
                        || self.ledger.pipeline.queue.is_empty())
            }
        };
        if is_due {
            let report = self.reporter.render(&loss);
            self.ledger
                .report(&loss, |ledger| deliver(&mut self.sink, report, ledger));
        }
    }
}

/// Delivers a chunk, and survives what is foreign in it: an error's `Display`, its destructor.
fn deliver<S: Sink>(sink: &mut S, chunk: &Chunk, ledger: &mut Ledger) {
    let before = ledger.outcomes();
    let result = catch_unwind(AssertUnwindSafe(|| sink.deliver(chunk, ledger)));
    if result.is_err() {
        let settled = ledger.outcomes() - before;
        let left = (chunk.frames.len() as u64).saturating_sub(settled);
        for _ in 0..left {
            let error = io::Error::other("the destination panicked");
            ledger.failed("the destination", &error, Notice::Line);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// If the writer works, and there is time or a reason for it.
    IfDue,
    /// There is no other chance.
    Last,
}

/// What was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) dropped: LevelCounts,
    pub(crate) failed: u64,
}

impl Loss {
    pub(crate) fn is_none(&self) -> bool {
        self.total() == 0
    }

    pub(crate) fn total(&self) -> u64 {
        self.dropped.total() + self.failed
    }
}

/// Renders the records about losses.
struct Reporter<F> {
    format: Arc<F>,
    scratch: Scratch,
    chunk: Chunk,
    last: Instant,
}

impl<F: Format> Reporter<F> {
    fn new(format: Arc<F>) -> Self {
        Self {
            format,
            scratch: Scratch::new(),
            chunk: Chunk::default(),
            last: Instant::now(),
        }
    }

    fn render(&mut self, loss: &Loss) -> &Chunk {
        self.last = Instant::now();
        let values = self.values();
        let dropped = |level| loss.dropped.of(level);
        let head = self.format.render(
            &mut self.scratch,
            &record!(
                Level::Warning,
                "logging",
                &format_args!("log records lost"),
                b!(
                    "count" => loss.total(),
                    "dropped_critical" => dropped(Level::Critical),
                    "dropped_error" => dropped(Level::Error),
                    "dropped_warn" => dropped(Level::Warning),
                    "dropped_info" => dropped(Level::Info),
                    "dropped_debug" => dropped(Level::Debug),
                    "dropped_trace" => dropped(Level::Trace),
                    "failed" => loss.failed,
                )
            ),
            &values,
            since_epoch(SystemTime::now()),
        );
        self.chunk.clear();
        self.chunk.push(Level::Warning, head, &self.scratch.line);
        &self.chunk
    }

    /// Those of the logger, with a subsystem of our own.
    fn values(&self) -> OwnedKVList {
        let root = Logger::root(Discard, o!(RootKv(self.format.shared_root())));
        root.new(o!("subsystem" => "logging")).list().clone()
    }
}

/// The time that a failed attempt waits before the next: 1 ms, doubling up to 50 ms.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) const fn new() -> Self {
        Self(Duration::from_millis(1))
    }

    pub(crate) fn wait(&mut self) {
        thread::sleep(self.0);
        self.0 = (self.0 * 2).min(Duration::from_millis(50));
    }
}
