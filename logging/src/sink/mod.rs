//! Where records go, and the books about it.

mod journal;
mod outage;
mod stdout;
mod terminal;
mod text;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

pub(crate) use journal::{JournalSink, SOCKET as JOURNAL_SOCKET};
pub(crate) use outage::Notice;
pub(crate) use stdout::UnbufferedStdout;
pub(crate) use terminal::TerminalSink;
pub(crate) use text::TextSink;

use crate::chunk::Chunk;
use crate::pipeline::Pipeline;
use crate::stats::LevelCounts;
use crate::sys;
use crate::worker::Loss;
use outage::Outages;

/// A destination, used by one worker.
pub(crate) trait Sink: Send {
    /// Hands all records of `chunk` over, in order, and enters the outcome of each.
    fn deliver(&mut self, chunk: &Chunk, ledger: &mut Ledger);

    /// Flushes what the destination buffers.
    fn flush(&mut self, ledger: &mut Ledger) -> io::Result<()>;

    /// After the last record: hands over what only a flush would, as far as that is no rotation
    /// (3.7.3).
    fn close(&mut self, _ledger: &mut Ledger) {}
}

/// What happened to the records, and what has been reported of it.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) pipeline: Arc<Pipeline>,
    /// How many records have an outcome, reports included.
    outcomes: u64,
    /// Failed in all, by this worker.
    failed: u64,
    reported_failed: u64,
    reported_dropped: LevelCounts,
    outages: Outages,
    /// What is delivered is a report: whether it has succeeded.
    report: Option<bool>,
}

impl Ledger {
    pub(crate) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            outcomes: 0,
            failed: 0,
            reported_failed: 0,
            reported_dropped: LevelCounts::default(),
            outages: Outages::default(),
            report: None,
        }
    }

    /// The destination has taken some bytes.
    pub(crate) fn advance(&self) {
        self.pipeline.advance();
    }

    /// So many records have been taken entirely.
    pub(crate) fn written(&mut self, records: usize) {
        if records == 0 {
            return;
        }
        self.outcomes += records as u64;
        match &mut self.report {
            Some(succeeded) => *succeeded = true,
            None => {
                let written = &self.pipeline.counters.written;
                written.fetch_add(records as u64, Relaxed);
            }
        }
        self.outages.succeed();
    }

    /// A record has failed. `what` is the destination, for the line about the outage.
    pub(crate) fn failed(&mut self, what: &str, error: &io::Error, notice: Notice) {
        self.outcomes += 1;
        if self.report.is_none() {
            self.failed += 1;
            self.pipeline.counters.failed.fetch_add(1, Relaxed);
        }
        if self.outages.fail(notice, Instant::now()) {
            sys::write_stderr(
                format!("logging: cannot write to {what}: {error}; log records are lost\n")
                    .as_bytes(),
            );
        }
    }

    /// How many records have been written or have failed.
    pub(crate) fn outcomes(&self) -> u64 {
        self.outcomes
    }

    pub(crate) fn is_outage(&self) -> bool {
        self.outages.lasts()
    }

    /// Whether an outage has ended that has not been reported.
    pub(crate) fn has_recovered(&self) -> bool {
        self.outages.is_over()
    }

    /// Whether standard error was told of the last outage.
    pub(crate) fn was_told(&self) -> bool {
        self.outages.is_settled()
    }

    /// The logger has given up: no more waiting for the destination.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.pipeline.is_abandoned()
    }

    /// What was lost and not reported.
    pub(crate) fn unreported(&self) -> Loss {
        Loss {
            dropped: self
                .pipeline
                .counters
                .dropped()
                .since(&self.reported_dropped),
            failed: self.failed - self.reported_failed,
        }
    }

    /// Delivers a report of `loss`. If it fails, the loss stays unreported.
    pub(crate) fn report(&mut self, loss: &Loss, deliver: impl FnOnce(&mut Self)) {
        self.report = Some(false);
        deliver(self);
        if self.report.take() == Some(true) {
            self.reported_failed += loss.failed;
            self.reported_dropped = self.reported_dropped.plus(&loss.dropped);
            self.outages.reported();
        }
    }

    /// The last chance to tell what no report could.
    pub(crate) fn close(&self) {
        let lost = self.unreported().total();
        let is_known = self.outages.lasts() && self.outages.is_settled();
        if lost > 0 && !is_known {
            sys::write_stderr(format!("logging: {lost} log records are lost\n").as_bytes());
        }
    }
}
