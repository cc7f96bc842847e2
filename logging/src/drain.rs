//! The side of the threads that log: filter, render, queue.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use slog::{Drain, FlushError, Level, Never, OwnedKVList, Record};

use crate::format::{Format, Scratch};
use crate::pipeline::Pipeline;
use crate::timestamp::since_epoch;
use crate::{level_filter, stats};

/// Capacity that the buffers of a thread keep after a large record.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

/// The drain of every logger of this crate.
#[derive(Debug)]
pub(crate) struct Front<F> {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) format: Arc<F>,
    /// For components without a rule.
    pub(crate) level: Level,
}

impl<F: Format> Drain for Front<F> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if self.pipeline.is_inherited() {
            // Not even rendered: values may want locks, and so does the local time.
            self.pipeline.counters.drop_one(record.level());
        } else if level_filter::allows(record, values, self.format.root(), self.level) {
            self.accept(record, values);
        } else {
            self.pipeline.counters.filtered.add_one();
        }
        Ok(())
    }

    fn is_enabled(&self, level: Level) -> bool {
        if stats::answer(|| self.pipeline.stats()) {
            return false; // to be asked does not end at the first of several drains
        }
        level_filter::may_allow(level, self.level)
    }

    fn flush(&self) -> Result<(), FlushError> {
        self.pipeline.flush().map_err(FlushError::Io)
    }
}

impl<F: Format> Front<F> {
    fn accept(&self, record: &Record<'_>, values: &OwnedKVList) {
        let time = since_epoch(SystemTime::now()); // when it happened, not when it is written (D5)
        let done = SCRATCH.try_with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => {
                self.push(record, values, time, &mut scratch);
                true
            }
            // It is in use if formatting a value logs as well.
            Err(_) => false,
        });
        if done != Ok(true) {
            // Also while the thread ends.
            self.push(record, values, time, &mut Scratch::new());
        }
    }

    fn push(
        &self,
        record: &Record<'_>,
        values: &OwnedKVList,
        time: Duration,
        scratch: &mut Scratch,
    ) {
        let head = self.format.render(scratch, record, values, time);
        if thread::panicking() {
            self.pipeline
                .push_last_words(record.level(), head, &scratch.line);
        } else {
            self.pipeline.push(record.level(), head, &scratch.line);
        }
        scratch.shrink_to(KEPT);
    }
}
