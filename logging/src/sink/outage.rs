//! Outages of a destination, and which of them get a line on standard error (D4, D13).

use std::time::{Duration, Instant};

/// Outages that follow each other more closely are one story.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lines that a destination may have within the interval if each outage is worth one. More often
/// than that it does not come back, it flaps.
const FLAPS: u32 = 10;

/// How much an outage is worth on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A line, but one within the interval is enough.
    Line,
    /// A line, whatever was told before.
    LineForEach,
    Quiet,
}

/// An outage begins with a record that fails and ends with one that succeeds.
#[derive(Debug, Default)]
pub(super) struct Outages {
    state: State,
    /// Of the last outage: whether standard error knows of it, or need not.
    is_settled: bool,
    /// How many were told since when.
    told: u32,
    since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    Lasts,
    /// Over, and not yet reported.
    Over,
}

impl Outages {
    /// A record has failed. Whether that is to be told now: it may be too early for it at the
    /// beginning of an outage, and not any more with a later record.
    pub(super) fn fail(&mut self, notice: Notice, now: Instant) -> bool {
        if self.state != State::Lasts {
            self.state = State::Lasts;
            self.is_settled = notice == Notice::Quiet;
        }
        if self.is_settled {
            return false;
        }
        let is_past = |since| now.duration_since(since) >= INTERVAL;
        if self.since.is_none_or(is_past) {
            (self.told, self.since) = (0, Some(now));
        }
        let most = match notice {
            Notice::Line => 1,
            Notice::LineForEach => FLAPS,
            Notice::Quiet => 0,
        };
        self.is_settled = self.told < most;
        self.told += u32::from(self.is_settled);
        self.is_settled
    }

    /// A record has succeeded.
    pub(super) fn succeed(&mut self) {
        if self.state == State::Lasts {
            self.state = State::Over;
        }
    }

    /// What was lost in an outage that is over has been reported.
    pub(super) fn reported(&mut self) {
        if self.state == State::Over {
            self.state = State::None;
        }
    }

    pub(super) fn lasts(&self) -> bool {
        self.state == State::Lasts
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether standard error knows of the last outage, or need not.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets records fail and succeed at these times, in seconds; returns when that was told.
    fn told(notice: Notice, records: &[(u64, bool)]) -> Vec<u64> {
        let start = Instant::now();
        let mut outages = Outages::default();
        let mut told = Vec::new();
        for (second, fails) in records {
            if !*fails {
                outages.succeed();
            } else if outages.fail(notice, start + Duration::from_secs(*second)) {
                told.push(*second);
            }
        }
        told
    }

    #[test]
    fn an_outage_is_told_when_it_begins() {
        let records = [(0, false), (1, true), (2, true), (50, true), (51, false)];
        assert_eq!(told(Notice::Line, &records), [1]);
        assert_eq!(told(Notice::LineForEach, &records), [1]);
        assert!(told(Notice::Quiet, &records).is_empty());
    }

    #[test]
    fn an_outage_soon_after_another_is_told_if_it_lasts() {
        let records = [(0, true), (1, false), (2, true), (9, true), (10, true)];
        assert_eq!(told(Notice::Line, &records), [0, 10]);
        assert_eq!(told(Notice::LineForEach, &records), [0, 2]);
        let later = [(0, true), (1, false), (10, true), (11, false), (12, true)];
        assert_eq!(told(Notice::Line, &later), [0, 10]);
    }

    #[test]
    fn flapping_is_not_told_each_time() {
        let records: Vec<_> = (0..1000).map(|n| (n / 100, n % 2 == 0)).collect();
        assert_eq!(told(Notice::Line, &records).len(), 1);
        assert_eq!(told(Notice::LineForEach, &records).len(), FLAPS as usize);
    }

    #[test]
    fn only_an_outage_that_was_told_or_is_quiet_is_settled() {
        let now = Instant::now();
        let mut outages = Outages::default();
        outages.fail(Notice::Line, now);
        assert!(outages.lasts() && outages.is_settled());
        outages.succeed();
        outages.fail(Notice::Line, now);
        assert!(outages.lasts() && !outages.is_settled());
        outages.fail(Notice::Quiet, now);
        assert!(!outages.is_settled(), "the loss before is still to be told");
        outages.succeed();
        outages.fail(Notice::Quiet, now);
        assert!(outages.is_settled());
    }
}
