//! Pressure between two looks.

use std::time::Duration;

use super::Pressure;

/// Turns stall times into percent of the time between two samples (P4).
#[derive(Clone, Debug, Default)]
pub struct Sampler {
    last: Option<(Duration, Pressure)>,
}

impl Sampler {
    /// Percent of the time since the last sample, rounded down: 0 for the first one. More than 100
    /// is possible, as memory and I/O are added up.
    pub fn sample(&mut self, pressure: Pressure, now: Duration) -> u64 {
        self.advance(pressure, now)
            .map_or(0, |(stalled, elapsed)| percent(stalled, elapsed))
    }

    /// Stall in µs since the last sample, and that time; none for the first one.
    pub(super) fn advance(&mut self, pressure: Pressure, now: Duration) -> Option<(u64, Duration)> {
        let (then, before) = self.last.replace((now, pressure))?;
        let (_, after) = self.last.as_ref()?;
        Some((after.own_since(&before), now.saturating_sub(then)))
    }
}

/// `stalled` µs in percent of `elapsed`, rounded down; 0 of no time at all.
pub(super) fn percent(stalled: u64, elapsed: Duration) -> u64 {
    let stalled = u128::from(stalled).saturating_mul(100_000);
    let percent = stalled.checked_div(elapsed.as_nanos()).unwrap_or(0);
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::psi::Totals;

    fn stalled(memory: u64, io: u64) -> Pressure {
        Pressure {
            total: Totals { memory, io },
            children: Vec::new(),
        }
    }

    #[test]
    fn percent_is_of_the_time_between_samples() {
        let after_5_s = [
            ("1 %", 30_000, 20_000, 1),
            ("1.2 % rounded down", 35_000, 25_000, 1),
            ("2 %", 60_000, 40_000, 2),
            ("nothing", 0, 0, 0),
            ("both stalled all the time", 5_000_000, 5_000_000, 200),
        ];
        for (name, memory, io, percent) in after_5_s {
            let mut sampler = Sampler::default();
            assert_eq!(
                sampler.sample(stalled(900_000, 410_000), Duration::from_secs(7)),
                0
            );
            let pressure = stalled(900_000 + memory, 410_000 + io);
            assert_eq!(
                sampler.sample(pressure, Duration::from_secs(12)),
                percent,
                "{name}"
            );
        }
    }

    /// D21.
    #[test]
    fn pressure_that_rises_from_zero_counts() {
        let mut sampler = Sampler::default();
        assert_eq!(sampler.sample(stalled(0, 0), Duration::ZERO), 0);
        assert_eq!(
            sampler.sample(stalled(50_000, 0), Duration::from_secs(1)),
            5
        );
    }

    /// D21.
    #[test]
    fn intervals_below_a_millisecond_count_exactly() {
        let mut sampler = Sampler::default();
        sampler.sample(stalled(0, 0), Duration::ZERO);
        assert_eq!(
            sampler.sample(stalled(190, 0), Duration::from_micros(1_900)),
            10
        );
        assert_eq!(
            sampler.sample(stalled(290, 0), Duration::from_micros(2_100)),
            50
        );
    }

    #[test]
    fn no_time_is_no_pressure_and_nothing_overflows() {
        let mut sampler = Sampler::default();
        sampler.sample(stalled(0, 0), Duration::from_secs(1));
        assert_eq!(sampler.sample(stalled(9, 9), Duration::from_secs(1)), 0);
        let most = sampler.sample(
            stalled(u64::MAX, u64::MAX),
            Duration::from_nanos(1_000_000_001),
        );
        assert_eq!(most, u64::MAX);
    }
}
