//! Pressure over the last moments (D22).

use std::collections::VecDeque;
use std::time::Duration;

use super::sampler::percent;
use super::{Pressure, Sampler};

/// Shortest time that a percentage may be of: 1 % of one batch of reclaim would be some µs.
const SPAN: Duration = Duration::from_millis(500);

/// Pressure in percent of the last 500 ms or a little more.
#[derive(Clone, Debug, Default)]
pub struct Window {
    sampler: Sampler,
    /// Time and the stall in µs up to it. The first is at the window's begin or before it.
    samples: VecDeque<(Duration, u64)>,
}

impl Window {
    /// Adds a sample. Returns the percentage, rounded down: 0 for the first sample. Before 500 ms
    /// have passed, it is of 500 ms, so that a stall that is too long for those counts at once.
    pub fn sample(&mut self, pressure: Pressure, now: Duration) -> u64 {
        let so_far = self.samples.back().map_or(0, |(_, stall)| *stall);
        let stall = match self.sampler.advance(pressure, now) {
            Some((more, _)) => so_far.saturating_add(more),
            None => so_far,
        };
        self.samples.push_back((now, stall));
        let begin = now.saturating_sub(SPAN);
        while self.samples.get(1).is_some_and(|(time, _)| *time <= begin) {
            self.samples.pop_front();
        }
        let since = |(time, before): (Duration, u64)| {
            let elapsed = now.saturating_sub(time).max(SPAN);
            percent(stall.saturating_sub(before), elapsed)
        };
        let Some(first) = self.samples.front().copied() else {
            return 0;
        };
        // After a gap, the first sample is from long ago, and would make anything little: what has
        // come since counts as it does at the beginning.
        let is_after_gap = now.saturating_sub(first.0) > SPAN.saturating_mul(2);
        let second = self.samples.get(1).filter(|_| is_after_gap);
        since(first).max(second.copied().map_or(0, since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::psi::Totals;

    fn stalled(memory: u64) -> Pressure {
        Pressure {
            total: Totals { memory, io: 0 },
            children: Vec::new(),
        }
    }

    #[test]
    fn a_gap_does_not_make_the_stall_after_it_little() {
        let mut window = Window::default();
        assert_eq!(window.sample(stalled(0), Duration::ZERO), 0);
        // 1 % of 10 s.
        let after_the_gap = Duration::from_secs(10);
        assert_eq!(window.sample(stalled(100_000), after_the_gap), 1);
        let soon = after_the_gap + Duration::from_millis(100);
        assert_eq!(window.sample(stalled(120_000), soon), 4);
        let later = after_the_gap + Duration::from_millis(400);
        assert_eq!(window.sample(stalled(120_000), later), 4);
        let after_the_window = after_the_gap + Duration::from_millis(550);
        assert_eq!(window.sample(stalled(120_000), after_the_window), 3);
    }

    #[test]
    fn a_short_stall_in_a_short_time_is_not_much() {
        let mut window = Window::default();
        assert_eq!(window.sample(stalled(0), Duration::ZERO), 0);
        assert_eq!(window.sample(stalled(1_000), Duration::from_millis(2)), 0);
        assert_eq!(
            window.sample(stalled(10_000), Duration::from_millis(100)),
            2
        );
    }

    #[test]
    fn old_stalls_leave_the_window() {
        let mut window = Window::default();
        window.sample(stalled(0), Duration::ZERO);
        assert_eq!(
            window.sample(stalled(50_000), Duration::from_millis(100)),
            10
        );
        for tenth in 2..=5 {
            assert_eq!(
                window.sample(stalled(50_000), Duration::from_millis(100 * tenth)),
                10
            );
        }
        assert_eq!(
            window.sample(stalled(50_000), Duration::from_millis(600)),
            0
        );
        assert!(window.samples.len() <= 7);
    }

    #[test]
    fn looks_that_are_far_apart_count_for_the_whole_time() {
        let mut window = Window::default();
        window.sample(stalled(0), Duration::ZERO);
        assert_eq!(window.sample(stalled(200_000), Duration::from_secs(10)), 2);
    }
}
