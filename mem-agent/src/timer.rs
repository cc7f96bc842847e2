//! A timer on the monotonic clock (T1, T4).

use std::time::Duration;

/// Longer ones, of about 100 years, never expire.
const LONGEST_PERIOD_SECS: u64 = 100 * 365 * 24 * 60 * 60;

/// Expires a period after it was started. A new one has expired.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    period: Duration,
    started: Option<Duration>,
}

impl Timer {
    /// A period of less than 1 s is one of 1 s (D9).
    pub(crate) fn new(period_secs: u64) -> Self {
        Self {
            period: period(period_secs),
            started: None,
        }
    }

    /// Changes the period and keeps the start.
    pub(crate) fn set_period(&mut self, period_secs: u64) {
        self.period = period(period_secs);
    }

    /// Starts it.
    pub(crate) fn reset(&mut self, now: Duration) {
        self.started = Some(now);
    }

    /// Makes it expire now.
    pub(crate) fn expire(&mut self) {
        self.started = None;
    }

    pub(crate) fn is_expired(&self, now: Duration) -> bool {
        self.remaining(now).is_zero()
    }

    /// [`Duration::MAX`] is never.
    pub(crate) fn remaining(&self, now: Duration) -> Duration {
        let Some(started) = self.started else {
            return Duration::ZERO;
        };
        if self.period == Duration::MAX {
            return Duration::MAX;
        }
        started.saturating_add(self.period).saturating_sub(now)
    }
}

/// A period of the configuration, as it counts.
pub(crate) fn period(secs: u64) -> Duration {
    match secs {
        0 => Duration::from_secs(1),
        1..=LONGEST_PERIOD_SECS => Duration::from_secs(secs),
        _ => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn new_timer_has_expired() {
        assert!(Timer::new(600).is_expired(Duration::ZERO));
        assert!(Timer::new(u64::MAX).is_expired(Duration::ZERO));
    }

    #[test]
    fn period_counts_from_the_start() {
        let mut timer = Timer::new(600);
        timer.reset(secs(100));
        assert_eq!(timer.remaining(secs(100)), secs(600));
        assert_eq!(timer.remaining(secs(699)), secs(1));
        assert!(!timer.is_expired(secs(699)));
        assert!(timer.is_expired(secs(700)));
        timer.set_period(60);
        assert_eq!(timer.remaining(secs(110)), secs(50));
        timer.expire();
        assert!(timer.is_expired(secs(110)));
    }

    /// D9.
    #[test]
    fn any_period_is_accepted() {
        let cases = [
            (0, secs(1)),
            (1, secs(1)),
            (LONGEST_PERIOD_SECS, secs(LONGEST_PERIOD_SECS)),
            (LONGEST_PERIOD_SECS + 1, Duration::MAX),
            (9_000_000_000_000, Duration::MAX),
            (u64::MAX, Duration::MAX),
        ];
        for (period, remaining) in cases {
            let mut timer = Timer::new(period);
            timer.reset(secs(5));
            assert_eq!(timer.remaining(secs(5)), remaining, "{period}");
        }
        let mut timer = Timer::new(600);
        timer.reset(Duration::MAX);
        assert!(timer.is_expired(Duration::MAX));
    }
}
