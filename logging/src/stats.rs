//! What became of each record: nothing is lost without being counted.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use slog::{Drain, Level, Logger};

use crate::level;

/// What became of the records that were offered to a logger, see [`stats`].
///
/// Once the queue is empty (`queued` is 0), `written + filtered + dropped + failed` is the number
/// of records that were offered. The records that a logger writes about its own losses are not in
/// any of these counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that the writer has taken entirely.
    pub written: u64,
    /// Records below the level that applies to them.
    pub filtered: u64,
    /// Records for which the queue had no room, or that came after the guard was gone, or that
    /// were left when it gave up, by level.
    pub dropped: LevelCounts,
    /// Records that the writer refused, or has taken in part only.
    pub failed: u64,
    /// Records that wait to be written.
    pub queued: u64,
}

impl Stats {
    /// All records that were offered until now.
    ///
    /// ```
    /// assert_eq!(logging::Stats::default().offered(), 0);
    /// ```
    pub fn offered(&self) -> u64 {
        self.written + self.filtered + self.dropped.total() + self.failed + self.queued
    }
}

/// A count for each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelCounts([u64; level::COUNT]);

impl LevelCounts {
    /// The count of one level.
    ///
    /// ```
    /// use slog::Level;
    ///
    /// assert_eq!(logging::LevelCounts::default().of(Level::Error), 0);
    /// ```
    pub fn of(&self, level: Level) -> u64 {
        self.0.get(level::index(level)).copied().unwrap_or(0)
    }

    /// The sum over all levels.
    ///
    /// ```
    /// assert_eq!(logging::LevelCounts::default().total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut counts = *self;
        for (count, earlier) in counts.0.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(earlier);
        }
        counts
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        let mut counts = *self;
        for (count, other) in counts.0.iter_mut().zip(other.0) {
            *count += other;
        }
        counts
    }
}

/// What became of the records that were offered to `logger` and all loggers that share its
/// destination, since that was created; nothing if this crate has not made it.
///
/// If the logger writes to several destinations of this crate (as through [`slog::Duplicate`](https://docs.rs/slog/2/slog/struct.Duplicate.html)), it
/// is the sum over them.
///
/// ```
/// use slog::Level;
///
/// let (logger, guard) = logging::create_logger("shim", "sandbox-1", Level::Info, std::io::sink());
/// slog::info!(logger, "written");
/// slog::debug!(logger, "filtered");
/// drop(guard);
/// slog::error!(logger, "dropped: too late");
///
/// let stats = logging::stats(&logger).unwrap_or_default();
/// assert_eq!((stats.written, stats.filtered), (1, 1));
/// assert_eq!(stats.dropped.of(Level::Error), 1);
/// assert_eq!(stats.offered(), 3);
/// ```
pub fn stats(logger: &Logger) -> Option<Stats> {
    struct Restore(Option<Probe>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PROBE.set(self.0);
        }
    }
    let _restore = Restore(PROBE.replace(Some(Probe::default())));
    // The one question that every drain passes on to those below it, and that has no effect.
    logger.is_enabled(Level::Critical);
    PROBE.get().and_then(|probe| probe.sum)
}

/// Counts that a question for them collects on its way.
#[derive(Clone, Copy, Default)]
struct Probe {
    sum: Option<Stats>,
}

thread_local! {
    static PROBE: Cell<Option<Probe>> = const { Cell::new(None) };
}

/// Answers [`stats`], if this thread is asking.
pub(crate) fn answer(of: impl FnOnce() -> Stats) -> bool {
    let Some(probe) = PROBE.get() else {
        return false;
    };
    let mut sum = probe.sum.unwrap_or_default();
    let more = of();
    sum.written += more.written;
    sum.filtered += more.filtered;
    sum.dropped = sum.dropped.plus(&more.dropped);
    sum.failed += more.failed;
    sum.queued += more.queued;
    PROBE.set(Some(Probe { sum: Some(sum) }));
    true
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) written: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) filtered: Spread,
    dropped: [AtomicU64; level::COUNT],
}

impl Counters {
    pub(crate) fn drop_one(&self, level: Level) {
        if let Some(count) = self.dropped.get(level::index(level)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn dropped(&self) -> LevelCounts {
        LevelCounts(std::array::from_fn(|index| {
            self.dropped.get(index).map_or(0, |c| c.load(Relaxed))
        }))
    }
}

/// A counter that many threads advance without waiting for each other.
#[derive(Debug, Default)]
pub(crate) struct Spread([CacheLine; Spread::PARTS]);

/// Alone on its cache line, or pair of lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheLine(AtomicU64);

impl Spread {
    const PARTS: usize = 8;

    #[inline]
    pub(crate) fn add_one(&self) {
        if let Some(part) = self.0.get(part_of_this_thread()) {
            part.0.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.iter().map(|part| part.0.load(Relaxed)).sum()
    }
}

#[inline]
fn part_of_this_thread() -> usize {
    thread_local! {
        static PART: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let part = PART.get();
    if part != usize::MAX {
        return part;
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let part = NEXT.fetch_add(1, Relaxed) % Spread::PARTS;
    PART.set(part);
    part
}
