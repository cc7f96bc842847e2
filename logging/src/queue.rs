//! The queue between the threads that log and the worker: rendered records, bounded by bytes (D2).
//!
//! Chunks of records are used again; those that a burst needed are given back when they have been of
//! no use for a while. All of them together take a quarter more than the records may, at most.
//!
//! Waking a sleeping thread is a system call of some microseconds. After work the worker therefore
//! *lingers* for a millisecond at a time, from which it wakes by itself, before it sleeps.

mod spare;

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError, WaitTimeoutResult};
use std::time::{Duration, Instant};

use slog::Level;

use crate::chunk::{CHUNK, Chunk, OVERHEAD, with_slack};
use spare::Spare;

/// Room for records below Warning, in bytes.
const LIMIT: usize = 4 << 20;

/// Room that only Warning and above may use, in addition.
const RESERVE: usize = 4 << 20;

/// Memory for chunks, those that are empty included.
const MEMORY: usize = with_slack(LIMIT + RESERVE);

/// How long the worker lingers at a time, and how often, before it sleeps.
const LINGER: Duration = Duration::from_millis(1);
const LINGERS: u32 = 20;

/// So many bytes wake a worker that lingers.
const PLENTY: usize = 256 << 10;

/// What became of a record that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Push {
    Queued,
    Full,
    Closed,
}

/// What the worker is to do next.
#[derive(Debug)]
pub(crate) enum Job {
    Deliver(Chunk),
    Flush,
    End,
}

/// How far the worker has come, as far as one waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Done; how the flush went.
    Done(Option<io::ErrorKind>),
    Pending,
}

/// How a flush has found the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Works,
    /// The record before it failed.
    Fails,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// For the worker.
    wake: Condvar,
    /// For those who wait for it.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    spare: Spare,
    /// Cost of all records that are not completed, also those that the worker has in its hands.
    cost: usize,
    accepted: u64,
    completed: u64,
    worker: Activity,
    /// How often the worker has lingered in vain since spare chunks were given back.
    idle: u32,
    /// How many flushes were asked for, and the number of the last that was done.
    asked: u64,
    flushed: u64,
    /// The next flush to do, and the last that is asked for; what comes between is done with that.
    next_flush: Option<Flush>,
    last_flush: Flush,
    flush_error: Option<io::ErrorKind>,
    /// The progress of the writer when somebody had waited for a flush in vain.
    stuck_at: Option<u64>,
    waiting: usize,
    closed: bool,
    finished: bool,
}

/// A flush that is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Flush {
    number: u64,
    /// How many records must be completed before.
    after: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Activity {
    #[default]
    Busy,
    Lingers,
    Sleeps,
}

impl Queue {
    /// Appends a record.
    pub(crate) fn push(&self, level: Level, head: usize, record: &[u8]) -> Push {
        let mut state = self.lock();
        if state.closed {
            return Push::Closed;
        }
        let urgent = level.is_at_least(Level::Warning);
        let limit = if urgent { LIMIT + RESERVE } else { LIMIT };
        if state.cost + record.len() + OVERHEAD > limit {
            return Push::Full;
        }
        state.append(level, head, record);
        let wake = match state.worker {
            Activity::Busy => false,
            Activity::Lingers => urgent || state.cost > PLENTY,
            Activity::Sleeps => true,
        };
        if wake {
            state.worker = Activity::Busy; // it is on its way: nobody else needs to call it
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Push::Queued
    }

    /// Waits until there is something to do.
    pub(crate) fn next_job(&self) -> Job {
        let mut state = self.lock();
        let mut lingers = 0;
        loop {
            if let Some(job) = state.job() {
                return job;
            }
            if lingers < LINGERS {
                lingers += 1;
                state.worker = Activity::Lingers;
                let timeout;
                (state, timeout) = wait(&self.wake, state, LINGER);
                if timeout.timed_out() {
                    state.be_idle();
                }
            } else {
                state.spare.release_all();
                state.worker = Activity::Sleeps;
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.worker = Activity::Busy;
        }
    }

    /// The worker is done with the records of a chunk.
    pub(crate) fn complete(&self, chunk: Chunk) {
        let mut state = self.lock();
        state.cost = state.cost.saturating_sub(chunk.cost());
        state.completed += chunk.frames.len() as u64;
        state.spare.put(chunk);
        state.limit_spare();
    }

    /// Whether no record waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().chunks.is_empty()
    }

    /// Records that were accepted and are not completed.
    pub(crate) fn pending(&self) -> u64 {
        let state = self.lock();
        state.accepted.saturating_sub(state.completed)
    }

    /// Asks the worker to hand over all records until now and to flush. Returns a ticket.
    pub(crate) fn ask_flush(&self) -> u64 {
        self.ask(self.lock())
    }

    /// The same, if the lock is to be had now.
    pub(crate) fn try_ask_flush(&self) -> Option<u64> {
        Some(self.ask(self.try_lock()?))
    }

    fn ask(&self, mut state: MutexGuard<'_, State>) -> u64 {
        state.asked += 1;
        let flush = Flush {
            number: state.asked,
            after: state.accepted,
        };
        state.last_flush = flush;
        match &mut state.next_flush {
            Some(next) if next.after < flush.after => {}
            next => *next = Some(flush),
        }
        let ticket = flush.number;
        drop(state);
        self.wake.notify_one();
        ticket
    }

    /// The worker has flushed.
    pub(crate) fn flushed(&self, result: &io::Result<()>, destination: Destination) {
        let mut state = self.lock();
        let last = state.last_flush;
        let is_last = last.after <= state.completed;
        if is_last {
            state.flushed = last.number;
        } else if let Some(next) = state.next_flush {
            state.flushed = next.number;
        }
        state.next_flush = (!is_last).then_some(last);
        state.flush_error = result.as_ref().err().map(io::Error::kind);
        if destination == Destination::Works {
            state.stuck_at = None;
        }
        self.tell(state);
    }

    /// Waits, for that time at most, until the flush of `ticket` is done or the worker has ended.
    pub(crate) fn wait_flushed(&self, ticket: u64, time: Duration) -> Reached {
        self.wait_until(time, |state| state.reached(ticket))
    }

    /// Somebody has waited for the flush of `ticket` in vain. The next one need not try, until there
    /// is progress or a flush of a destination that works.
    pub(crate) fn note_stuck(&self, ticket: u64, progress: u64) {
        let mut state = self.lock();
        if state.reached(ticket) == Reached::Pending {
            state.stuck_at = Some(progress);
        }
    }

    /// Whether somebody has waited in vain, and nothing has changed since.
    pub(crate) fn is_stuck(&self, progress: u64) -> bool {
        self.lock().stuck_at == Some(progress)
    }

    /// Whether the flush is done, if the lock is to be had now. Calls the worker again, which may
    /// have missed it: whoever cannot wait for the lock must not rely on it.
    pub(crate) fn try_flushed(&self, ticket: u64) -> Reached {
        let reached = match self.try_lock() {
            Some(state) => state.reached(ticket),
            None => Reached::Pending,
        };
        if reached == Reached::Pending {
            self.wake.notify_one();
        }
        reached
    }

    /// Accepts no more records, and lets the worker end when it has handed over the rest.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// Takes all records that the worker has not taken yet.
    pub(crate) fn abandon(&self) -> VecDeque<Chunk> {
        std::mem::take(&mut self.lock().chunks)
    }

    /// The worker has ended, and the writer is closed.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.finished = true;
        self.tell(state);
    }

    /// Waits, for that time at most, until the worker has ended.
    pub(crate) fn wait_finished(&self, time: Duration) -> bool {
        let reached = self.wait_until(time, |state| match state.finished {
            true => Reached::Done(None),
            false => Reached::Pending,
        });
        reached != Reached::Pending
    }

    fn wait_until(&self, time: Duration, reached: impl Fn(&State) -> Reached) -> Reached {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        state.waiting += 1;
        let result = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let result = reached(&state);
            if result != Reached::Pending || left.is_zero() {
                break result;
            }
            state = wait(&self.done, state, left).0;
        };
        state.waiting -= 1;
        result
    }

    /// Wakes those who wait for the worker.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.done.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl State {
    fn append(&mut self, level: Level, head: usize, record: &[u8]) {
        self.cost += record.len() + OVERHEAD;
        self.accepted += 1;
        let fits = |chunk: &Chunk| chunk.bytes.capacity() - chunk.bytes.len() >= record.len();
        if !self.chunks.back().is_some_and(fits) {
            if let Some(chunk) = self.chunks.back_mut() {
                chunk.close();
            }
            let spare = match record.len() {
                0..=CHUNK => self.spare.take(),
                _ => None,
            };
            self.limit_spare();
            let chunk = spare.unwrap_or_else(|| Chunk::for_record(record.len()));
            self.chunks.push_back(chunk);
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(level, head, record);
        }
    }

    /// What waits has its memory first.
    fn limit_spare(&mut self) {
        self.spare
            .limit(MEMORY.saturating_sub(with_slack(self.cost)));
    }

    /// A steady trickle of records lets the worker never sleep.
    fn be_idle(&mut self) {
        self.idle += 1;
        if self.idle >= LINGERS {
            self.idle = 0;
            self.spare.release();
        }
    }

    fn job(&mut self) -> Option<Job> {
        if self
            .next_flush
            .is_some_and(|next| next.after <= self.completed)
        {
            return Some(Job::Flush);
        }
        let chunk = self.chunks.pop_front();
        chunk.map(Job::Deliver).or(self.closed.then_some(Job::End))
    }

    fn reached(&self, ticket: u64) -> Reached {
        if self.flushed >= ticket {
            Reached::Done(self.flush_error)
        } else if self.finished {
            Reached::Done(None)
        } else {
            Reached::Pending
        }
    }
}

fn wait<'a>(
    condition: &Condvar,
    state: MutexGuard<'a, State>,
    time: Duration,
) -> (MutexGuard<'a, State>, WaitTimeoutResult) {
    condition
        .wait_timeout(state, time)
        .unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
