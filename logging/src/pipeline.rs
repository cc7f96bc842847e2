//! What the parts of one logger share: the threads that log, the worker, the guard, the exit hook.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use slog::Level;

use crate::exit_hook;
use crate::queue::{Push, Queue, Reached};
use crate::stats::{Counters, Stats};

/// How long one waits for a worker whose writer accepts nothing, before one gives up (D7).
pub(crate) const PATIENCE: Duration = Duration::from_secs(6);

/// How long the last words of a process may hold it up (D6).
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often one looks whether the writer has made progress.
const LOOK: Duration = Duration::from_millis(200);

thread_local! {
    /// The pipeline that this thread is the worker of.
    static WORKER_OF: Cell<*const Pipeline> = const { Cell::new(ptr::null()) };
}

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    /// Advances with every byte that the writer accepts.
    progress: AtomicU64,
    /// The flush that the exit hook asked for, plus one.
    exit_ticket: AtomicU64,
    /// Nobody waits for the worker any more: it shall end as soon as its writer lets it.
    abandoned: AtomicBool,
    /// Threads do not survive fork(2), and locks stay as they are: the child has no use for this.
    pid: u32,
    generation: u32,
}

impl Pipeline {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Queue::default(),
            counters: Counters::default(),
            progress: AtomicU64::new(0),
            exit_ticket: AtomicU64::new(0),
            abandoned: AtomicBool::new(false),
            pid: std::process::id(),
            generation: exit_hook::generation(),
        })
    }

    /// Queues a record, or counts it as dropped.
    pub(crate) fn push(&self, level: Level, head: usize, record: &[u8]) {
        if self.try_push(level, head, record) != Push::Queued {
            self.counters.drop_one(level);
        }
    }

    /// The same for what may be the last words of the process: waits for room, and until they are
    /// written, but neither for long.
    pub(crate) fn push_last_words(&self, level: Level, head: usize, record: &[u8]) {
        let deadline = Instant::now() + LAST_WORDS;
        let mut push = self.try_push(level, head, record);
        if push == Push::Full {
            self.wait_for_worker(deadline);
            push = self.try_push(level, head, record);
        }
        match push {
            Push::Queued => self.wait_for_worker(deadline),
            Push::Full | Push::Closed => self.counters.drop_one(level),
        }
    }

    fn try_push(&self, level: Level, head: usize, record: &[u8]) -> Push {
        match self.is_inherited() {
            false => self.queue.push(level, head, record),
            true => Push::Closed,
        }
    }

    /// Whether this is a forked child of the process that has made the logger. A lock that another
    /// thread had there is never free here.
    pub(crate) fn is_inherited(&self) -> bool {
        exit_hook::generation() != self.generation
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            // First: what is completed in between must not be missing in both.
            queued: match self.is_inherited() {
                false => self.queue.pending(),
                true => 0, // what waits does so in the parent
            },
            written: self.counters.written.load(Relaxed),
            filtered: self.counters.filtered.sum(),
            dropped: self.counters.dropped(),
            failed: self.counters.failed.load(Relaxed),
        }
    }

    pub(crate) fn advance(&self) {
        self.progress.fetch_add(1, Relaxed);
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    pub(crate) fn set_exit_ticket(&self, ticket: Option<u64>) {
        self.exit_ticket.store(ticket.map_or(0, |t| t + 1), Relaxed);
    }

    pub(crate) fn exit_ticket(&self) -> Option<u64> {
        self.exit_ticket.load(Relaxed).checked_sub(1)
    }

    /// Makes this thread the worker.
    pub(crate) fn become_worker(&self) {
        WORKER_OF.set(self);
    }

    fn is_worker(&self) -> bool {
        ptr::eq(WORKER_OF.get(), self)
    }

    /// Whether this thread can wait for the worker: it is not that, and not in a forked child.
    pub(crate) fn can_be_waited_for(&self) -> bool {
        !self.is_worker() && std::process::id() == self.pid
    }

    /// Waits until all that was logged before has been handed to the writer, and that was flushed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        if !self.can_be_waited_for() {
            return Err(io::Error::new(
                io::ErrorKind::Deadlock,
                match self.is_worker() {
                    true => "the thread that writes the log cannot wait for itself",
                    false => "a forked child has no thread that writes the log",
                },
            ));
        }
        let ticket = self.queue.ask_flush();
        let mut reached = Reached::Pending;
        self.while_it_moves(|time| {
            reached = self.queue.wait_flushed(ticket, time);
            reached != Reached::Pending
        });
        match reached {
            Reached::Done(None) => Ok(()),
            Reached::Done(Some(kind)) => Err(kind.into()),
            Reached::Pending => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the log writer has accepted nothing for some seconds",
            )),
        }
    }

    /// The same for somebody who must not be held up for long, and only while there is hope.
    fn wait_for_worker(&self, deadline: Instant) {
        let progress = || self.progress.load(Relaxed);
        if !self.can_be_waited_for() || self.queue.is_stuck(progress()) {
            return;
        }
        let ticket = self.queue.ask_flush();
        let time = deadline.saturating_duration_since(Instant::now());
        if self.queue.wait_flushed(ticket, time) == Reached::Pending {
            self.queue.note_stuck(ticket, progress());
        }
    }

    /// Lets `wait` wait, a short time at once, until it says that it is done. False if the writer
    /// has not accepted a byte for long.
    pub(crate) fn while_it_moves(&self, mut wait: impl FnMut(Duration) -> bool) -> bool {
        let mut progress = self.progress.load(Relaxed);
        let mut since = Instant::now();
        while !wait(LOOK) {
            let now = self.progress.load(Relaxed);
            if now != progress {
                (progress, since) = (now, Instant::now());
            } else if since.elapsed() >= PATIENCE {
                return false;
            }
        }
        true
    }
}
