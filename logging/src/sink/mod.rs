//! Where records go, and the books about it.

mod journal;
mod terminal;
mod text;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

pub(crate) use journal::{JournalSink, SOCKET as JOURNAL_SOCKET};
pub(crate) use terminal::TerminalSink;
pub(crate) use text::TextSink;

use crate::chunk::Chunk;
use crate::pipeline::Pipeline;
use crate::stats::LevelCounts;
use crate::sys;
use crate::worker::Loss;

/// Outages that follow each other more closely get no line of their own on standard error.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// A destination, used by one worker.
pub(crate) trait Sink: Send {
    /// Hands all records of `chunk` over, in order, and enters the outcome of each.
    fn deliver(&mut self, chunk: &Chunk, ledger: &mut Ledger);

    /// Flushes what the destination buffers.
    fn flush(&mut self, ledger: &mut Ledger) -> io::Result<()>;
}

/// What happened to the records, and what has been reported of it.
///
/// An *outage* begins with a record that fails and ends with one that succeeds.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) pipeline: Arc<Pipeline>,
    /// How many records have an outcome, reports included.
    outcomes: u64,
    /// Failed in all, by this worker.
    failed: u64,
    reported_failed: u64,
    reported_dropped: LevelCounts,
    outage: Outage,
    /// When standard error was told last of an outage.
    told: Option<Instant>,
    /// What is delivered is a report: whether it has succeeded.
    report: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    None,
    Lasts,
    /// Over, and not yet reported.
    Over,
}

/// Whether an outage is worth a line on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Line,
    Quiet,
}

impl Ledger {
    pub(crate) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            pipeline,
            outcomes: 0,
            failed: 0,
            reported_failed: 0,
            reported_dropped: LevelCounts::default(),
            outage: Outage::None,
            told: None,
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
        if self.outage == Outage::Lasts {
            self.outage = Outage::Over;
        }
    }

    /// A record has failed. `what` is the destination, for the line about the outage.
    pub(crate) fn failed(&mut self, what: &str, error: &io::Error, notice: Notice) {
        self.outcomes += 1;
        if self.report.is_none() {
            self.failed += 1;
            self.pipeline.counters.failed.fetch_add(1, Relaxed);
        }
        if self.outage == Outage::Lasts {
            return;
        }
        self.outage = Outage::Lasts;
        // A writer that fails now and then is one story.
        let is_news = self.told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL);
        if notice == Notice::Line && is_news {
            self.told = Some(Instant::now());
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
        self.outage == Outage::Lasts
    }

    /// Whether an outage has ended that has not been reported.
    pub(crate) fn has_recovered(&self) -> bool {
        self.outage == Outage::Over
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
            if self.outage == Outage::Over {
                self.outage = Outage::None;
            }
        }
    }

    /// The last chance to tell what no report could.
    pub(crate) fn close(&self) {
        let lost = self.unreported().total();
        if lost > 0 && self.outage != Outage::Lasts {
            sys::write_stderr(format!("logging: {lost} log records are lost\n").as_bytes());
        }
    }
}
