//! When memory is compacted and when that ends, against the rules (spec 3.10), over random periods.

use std::time::Duration;

use mem_agent::compact::Config;
use mem_agent::testing::compact_policy::{Decision, Memory, State, Verdict};
use mem_agent::testing::{Pressure, Totals};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is seen in a period.
#[derive(Clone, Copy, Debug)]
struct Period {
    secs: u64,
    /// Stall in µs; none if it cannot be read.
    stalled: Option<u64>,
    memory: Memory,
    /// Whether memory can be read again after a compaction (D41).
    is_known_after: bool,
}

fn periods() -> impl Strategy<Value = Period> {
    let stalled = proptest::option::weighted(0.9, 0..30_000_000_u64);
    let memory = (0..3_000_000_u64, 0..400_000_u64);
    (1..2_000_u64, stalled, memory, any::<bool>()).prop_map(
        |(secs, stalled, (free_kb, fragments), is_known_after)| Period {
            secs,
            stalled,
            memory: Memory { free_kb, fragments },
            is_known_after,
        },
    )
}

fn configs() -> impl Strategy<Value = Config> {
    let threshold = prop_oneof![0..50_000_u64, Just(u64::MAX)];
    let force = prop_oneof![0..4_u64, Just(i64::MAX as u64), Just(u64::MAX)];
    (0..5_u8, threshold, force, any::<bool>()).prop_map(|(limit, threshold, force, disabled)| {
        Config {
            disabled,
            period_psi_percent_limit: limit,
            compact_threshold: threshold,
            compact_force_times: force,
            ..Config::default()
        }
    })
}

fn pressure(memory: u64) -> Pressure {
    Pressure {
        total: Totals { memory, io: 0 },
        children: Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_compacted_by_the_rules(
        config in configs(),
        page_kb in prop_oneof![Just(4_u64), Just(64)],
        periods in vec(periods(), 1..20),
    ) {
        let mut state = State::new(config.clone());
        let (mut now, mut total) = (Duration::ZERO, 0);
        let mut sampled: Option<(Duration, u64)> = None;
        let (mut without, mut last) = (0, Memory::default());
        for period in periods {
            now += Duration::from_secs(period.secs);
            total += period.stalled.unwrap_or(0);
            let is_calm = period.stalled.is_some() && {
                let percent = sampled.map_or(0, |(then, before)| {
                    (total - before) * 100 / (now - then).as_micros() as u64
                });
                sampled = Some((now, total));
                percent <= u64::from(config.period_psi_percent_limit)
            };
            let force = config.compact_force_times;
            let is_forced = force < i64::MAX as u64 && without >= force;
            let threshold = u128::from(config.compact_threshold);
            let (before, seen) = (last, period.memory);
            let has_fallen = u128::from(before.free_kb)
                > u128::from(seen.free_kb) + threshold * u128::from(page_kb);
            let has_grown = u128::from(seen.fragments) > threshold + u128::from(before.fragments);
            let expected = !config.disabled && is_calm && (is_forced || has_fallen || has_grown);

            let compacts = match state.decide(period.stalled.map(|_| pressure(total)), now) {
                Decision::Skip => false,
                Decision::Compact => true,
                Decision::CheckMemory => state.exceeds_threshold(seen, page_kb * 1024),
            };
            prop_assert_eq!(compacts, expected);
            if compacts {
                state.compacted(period.is_known_after.then_some(seen));
                without = 0;
                if period.is_known_after {
                    last = seen;
                }
            } else {
                state.skipped();
                without += 1;
            }
        }
    }

    #[test]
    fn a_compaction_is_stopped_by_the_rules(
        sec_max in -5..20_i64,
        limit in 0..5_u8,
        millis in 0..20_000_u64,
        percent in proptest::option::of(0..10_u64),
    ) {
        let config = Config {
            compact_sec_max: sec_max,
            compact_psi_percent_limit: limit,
            ..Config::default()
        };
        let verdict = State::new(config).watch(Duration::from_millis(millis), percent);
        let is_late = sec_max <= 0 || millis >= sec_max as u64 * 1_000;
        let is_pressed = percent.is_none_or(|percent| percent > u64::from(limit));
        prop_assert_eq!(verdict != Verdict::Wait, is_late || is_pressed);
    }
}
