//! How much of what is cold may be reclaimed, given how much came back (spec 7.2).

use std::time::Duration;

/// Refaults per minute that are fine, in millionths of the working set: 0.2 %.
const TARGET_PPM: u64 = 2_000;
/// Refaults that are fine whatever the working set is.
const FEW_PAGES: u64 = 64;
/// Questions within it are about the same period: those of the NUMA nodes of a cgroup.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);
/// Shares are in thousandths.
const ALL: u64 = 1_000;

/// Learns how well the estimate of cold pages holds: the share of them that is reclaimed is halved
/// after a period with too many refaults, and grows by a quarter after others.
#[derive(Clone, Debug)]
pub struct Refaults {
    last: Option<(Duration, u64)>,
    share: u64,
}

impl Default for Refaults {
    fn default() -> Self {
        Self {
            last: None,
            share: ALL,
        }
    }
}

impl Refaults {
    /// Pages to reclaim now of `cold` ones. `refaulted` is the kernel's counter.
    pub fn goal(&mut self, cold: u64, working_set: u64, refaulted: u64, now: Duration) -> u64 {
        let (then, before) = *self.last.get_or_insert((now, refaulted));
        let elapsed = now.saturating_sub(then);
        if elapsed >= SHORTEST_PERIOD {
            self.last = Some((now, refaulted));
            let more = refaulted.saturating_sub(before);
            self.share = if more <= allowance(working_set, elapsed) {
                let quarter = self.share / 4;
                self.share
                    .saturating_add(quarter)
                    .saturating_add(1)
                    .min(ALL)
            } else {
                (self.share / 2).max(1)
            };
        }
        let goal = u128::from(cold).saturating_mul(u128::from(self.share)) / u128::from(ALL);
        u64::try_from(goal).unwrap_or(cold)
    }
}

/// Refaults that are fine in a time: those of a minute at least.
pub fn allowance(working_set: u64, elapsed: Duration) -> u64 {
    let secs = u128::from(elapsed.as_secs().max(60));
    let ppm = u128::from(working_set).saturating_mul(u128::from(TARGET_PPM));
    let pages = ppm.saturating_mul(secs) / 60 / 1_000_000;
    u64::try_from(pages).unwrap_or(u64::MAX).max(FEW_PAGES)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: u64 = 1_000_000;

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn two_thousandths_of_the_working_set_may_come_back_each_minute() {
        let cases = [
            (SET, minutes(1), 2_000),
            (SET, minutes(10), 20_000),
            (SET, Duration::ZERO, 2_000),
            (0, minutes(1), FEW_PAGES),
            (u64::MAX, Duration::MAX, u64::MAX),
        ];
        for (set, elapsed, pages) in cases {
            assert_eq!(allowance(set, elapsed), pages, "{set} {elapsed:?}");
        }
    }

    #[test]
    fn share_falls_with_refaults_and_recovers_without() {
        let mut refaults = Refaults::default();
        assert_eq!(
            refaults.goal(1_000, SET, 500, minutes(0)),
            1_000,
            "no history"
        );
        assert_eq!(
            refaults.goal(1_000, SET, 20_500, minutes(10)),
            1_000,
            "just fine"
        );
        assert_eq!(
            refaults.goal(1_000, SET, 40_501, minutes(20)),
            500,
            "one too many"
        );
        assert_eq!(refaults.goal(1_000, SET, 90_000, minutes(30)), 250);
        assert_eq!(refaults.goal(1_000, SET, 90_000, minutes(40)), 313);
        for n in 5..15 {
            refaults.goal(1_000, SET, 90_000, minutes(10 * n));
        }
        assert_eq!(refaults.goal(1_000, SET, 90_000, minutes(150)), 1_000);
    }

    #[test]
    fn nodes_of_a_cgroup_have_the_same_share() {
        let mut refaults = Refaults::default();
        refaults.goal(1_000, SET, 0, minutes(0));
        let later = minutes(10) + Duration::from_millis(5);
        assert_eq!(refaults.goal(1_000, SET, 50_000, minutes(10)), 500);
        assert_eq!(refaults.goal(2_000, SET, 50_000, later), 1_000);
    }

    #[test]
    fn share_never_reaches_zero() {
        let mut refaults = Refaults::default();
        for n in 0..50 {
            refaults.goal(1, SET, n * 1_000_000, minutes(n));
        }
        assert_eq!(
            refaults.goal(1_000_000, SET, 100_000_000, minutes(50)),
            1_000
        );
        assert!(refaults.goal(1_000_000, SET, 100_000_000, minutes(51)) > 1_000);
    }
}
