//! What became of each record: nothing is lost without being counted.

use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

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
    /// Records for which the queue had no room, or that came after the guard was gone or in a forked
    /// child, or that were left when the guard gave up, by level.
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
/// In a forked child, which does not log, what was queued is left out: the parent writes that.
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

/// A counter that many threads advance without waiting for each other: some have a part that they
/// alone write, where they need no locked instruction; the others share one.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    own: [CacheLine; OWN_PARTS],
    shared: CacheLine,
}

/// Alone on its cache line, or pair of lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheLine(AtomicU64);

/// How many threads at a time have a part of their own.
const OWN_PARTS: usize = 16;

/// The part of a thread that has none of its own, and of one that has not asked.
const SHARED: usize = OWN_PARTS;
const UNKNOWN: usize = usize::MAX;

/// One bit for each part that no thread has.
static FREE: AtomicU32 = AtomicU32::new((1 << OWN_PARTS) - 1);

thread_local! {
    static PART: Cell<usize> = const { Cell::new(UNKNOWN) };
    static CLAIM: Claim = Claim::new();
}

impl Spread {
    #[inline]
    pub(crate) fn add_one(&self) {
        match self.own.get(PART.get()) {
            Some(part) => part.0.store(part.0.load(Relaxed).wrapping_add(1), Relaxed),
            None => self.add_one_shared(),
        }
    }

    #[inline(never)]
    fn add_one_shared(&self) {
        if PART.get() == UNKNOWN {
            // While the thread ends, there is nothing to claim.
            PART.set(CLAIM.try_with(|claim| claim.0).unwrap_or(SHARED));
            return self.add_one();
        }
        self.shared.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn sum(&self) -> u64 {
        let own: u64 = self.own.iter().map(|part| part.0.load(Relaxed)).sum();
        own + self.shared.0.load(Relaxed)
    }
}

/// The part that a thread has until it ends.
struct Claim(usize);

impl Claim {
    fn new() -> Self {
        // Acquire, and Release below: the next one goes on counting where the last one ended.
        let lowest = |free: u32| (free != 0).then(|| free & (free - 1));
        match FREE.fetch_update(Acquire, Relaxed, lowest) {
            Ok(free) => Self(free.trailing_zeros() as usize),
            Err(_) => Self(SHARED),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        PART.set(SHARED); // for what is logged later, by other destructors
        if self.0 < OWN_PARTS {
            FREE.fetch_or(1 << self.0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_count_exactly_however_many_there_are() {
        let spread = Spread::default();
        for threads in [1, 2, OWN_PARTS + 10, 3] {
            let before = spread.sum();
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..1000).for_each(|_| spread.add_one()));
                }
            });
            assert_eq!(spread.sum() - before, 1000 * threads as u64);
        }
    }

    #[test]
    fn parts_of_ended_threads_are_used_again() {
        let parts = (0..5 * OWN_PARTS).map(|_| {
            let part = || CLAIM.with(|claim| claim.0);
            thread::spawn(part).join().unwrap()
        });
        // Tests beside this one have some as well, but never all.
        assert!(parts.filter(|part| *part < OWN_PARTS).count() > OWN_PARTS);
    }

    #[test]
    fn the_last_destructor_of_a_thread_may_count() {
        static SPREAD: Spread = Spread {
            own: [const { CacheLine(AtomicU64::new(0)) }; OWN_PARTS],
            shared: CacheLine(AtomicU64::new(0)),
        };
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                SPREAD.add_one();
            }
        }
        thread_local! {
            static BEFORE: Last = const { Last };
            static AFTER: Last = const { Last };
        }
        let run = || {
            BEFORE.with(|_| ());
            SPREAD.add_one();
            AFTER.with(|_| ());
        };
        thread::spawn(run).join().unwrap();
        assert_eq!(SPREAD.sum(), 3);
    }
}
