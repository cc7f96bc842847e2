use std::path::PathBuf;

use super::*;
use crate::psi::Totals;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn stalled(memory: u64) -> Option<Pressure> {
    Some(Pressure {
        total: Totals { memory, io: 0 },
        children: Vec::new(),
    })
}

fn state(config: Config) -> State {
    State::new(config)
}

#[test]
fn defaults_are_those_of_the_contract() {
    let expected = Config {
        disabled: false,
        psi_path: PathBuf::new(),
        period_secs: 600,
        period_psi_percent_limit: 1,
        compact_psi_percent_limit: 5,
        compact_sec_max: 300,
        compact_order: 9,
        compact_threshold: 1024,
        compact_force_times: 9_223_372_036_854_775_807,
    };
    assert_eq!(Config::default(), expected);
}

#[test]
fn new_half_is_due_and_a_disabled_one_never() {
    let mut on = state(Config::default());
    assert!(on.is_due(secs(0)));
    on.restart(secs(10));
    assert_eq!((on.is_due(secs(609)), on.is_due(secs(610))), (false, true));
    assert_eq!(on.remaining(secs(110)), secs(500));
    let off = state(Config {
        disabled: true,
        ..Default::default()
    });
    assert!(!off.is_due(secs(9999)));
    assert_eq!(off.remaining(secs(9999)), Duration::MAX);
}

#[test]
fn pressure_since_the_last_period_decides_first() {
    let mut state = state(Config::default());
    assert_eq!(
        state.decide(stalled(0), secs(0)),
        Decision::CheckMemory,
        "no history"
    );
    assert_eq!(
        state.decide(stalled(100_000), secs(10)),
        Decision::CheckMemory,
        "1 %"
    );
    assert_eq!(
        state.decide(stalled(300_000), secs(20)),
        Decision::Skip,
        "2 %"
    );
    assert_eq!(state.decide(None, secs(30)), Decision::Skip, "unknown");
}

/// C3.
#[test]
fn compaction_is_forced_after_so_many_periods_without() {
    for never in [NEVER_FORCED, u64::MAX - 1, u64::MAX] {
        let mut state = state(Config {
            compact_force_times: never,
            ..Default::default()
        });
        state.periods_without = u64::MAX;
        assert_eq!(
            state.decide(stalled(0), secs(0)),
            Decision::CheckMemory,
            "{never}"
        );
        state.skipped();
        assert_eq!(state.periods_without, u64::MAX);
    }
    let mut state = state(Config {
        compact_force_times: 2,
        ..Default::default()
    });
    for _ in 0..2 {
        assert_eq!(state.decide(stalled(0), secs(0)), Decision::CheckMemory);
        state.skipped();
    }
    assert_eq!(
        state.decide(None, secs(0)),
        Decision::Skip,
        "pressure still counts"
    );
    assert_eq!(state.decide(stalled(0), secs(0)), Decision::Compact);
    state.compacted(None);
    assert_eq!(state.decide(stalled(0), secs(0)), Decision::CheckMemory);
    let mut always = State::new(Config {
        compact_force_times: 0,
        ..Default::default()
    });
    assert_eq!(always.decide(stalled(0), secs(0)), Decision::Compact);
}

/// C4, D28.
#[test]
fn threshold_is_in_pages_of_this_machine() {
    let before = Memory {
        free_kb: 1_000_000,
        fragments: 5_000,
    };
    let cases = [
        ("nothing has changed", 1_000_000, 5_000, 4096, 1024, false),
        (
            "free memory fell to the threshold",
            995_904,
            5_000,
            4096,
            1024,
            false,
        ),
        ("and below", 995_903, 5_000, 4096, 1024, true),
        ("pages are larger", 995_903, 5_000, 65_536, 1024, false),
        (
            "pages are larger, below",
            934_463,
            5_000,
            65_536,
            1024,
            true,
        ),
        (
            "fragments grew to the threshold",
            1_000_000,
            6_024,
            4096,
            1024,
            false,
        ),
        ("and above", 1_000_000, 6_025, 4096, 1024, true),
        ("no threshold", 999_999, 5_000, 4096, 0, true),
        ("the largest threshold", 0, u64::MAX, 4096, u64::MAX, false),
    ];
    for (name, free_kb, fragments, page_size, compact_threshold, expected) in cases {
        let mut state = state(Config {
            compact_threshold,
            ..Default::default()
        });
        state.compacted(Some(before));
        let now = Memory { free_kb, fragments };
        assert_eq!(state.exceeds_threshold(now, page_size), expected, "{name}");
    }
}

/// D41.
#[test]
fn unknown_memory_leaves_the_old_values() {
    let mut state = state(Config::default());
    let before = Memory {
        free_kb: 9,
        fragments: 7,
    };
    state.compacted(Some(before));
    state.skipped();
    state.compacted(None);
    assert_eq!((state.last, state.periods_without), (before, 0));
}

/// C6.
#[test]
fn compaction_is_stopped_for_time_and_pressure() {
    let wait = Verdict::Wait;
    let late = Verdict::Kill("it takes too long");
    let cases = [
        (300, secs(0), Some(5), wait),
        (300, secs(299), Some(5), wait),
        (300, secs(300), Some(0), late),
        (
            300,
            secs(0),
            Some(6),
            Verdict::Kill("there is too much pressure"),
        ),
        (300, secs(0), None, Verdict::Kill("pressure is unknown")),
        (0, secs(0), Some(0), late),
        (-1, secs(0), Some(0), late),
        (i64::MIN, secs(0), Some(0), late),
        (i64::MAX, Duration::from_secs(1 << 40), Some(0), wait),
    ];
    for (compact_sec_max, elapsed, psi, expected) in cases {
        let state = state(Config {
            compact_sec_max,
            ..Default::default()
        });
        assert_eq!(
            state.watch(elapsed, psi),
            expected,
            "{compact_sec_max} {elapsed:?} {psi:?}"
        );
    }
    let off = state(Config {
        disabled: true,
        ..Default::default()
    });
    assert_eq!(off.watch(secs(0), Some(0)), Verdict::Kill("disabled"));
}

#[test]
fn order_is_that_of_the_balloon_unless_it_is_configured() {
    let default = state(Config::default());
    assert_eq!((default.order(None), default.order(Some(5))), (9, 5));
    let other = state(Config {
        compact_order: 4,
        ..Default::default()
    });
    assert_eq!((other.order(None), other.order(Some(5))), (4, 4));
}

/// C7.
#[test]
fn changes_tell_whether_the_schedule_may_change() {
    let on = Config::default();
    let off = Config {
        disabled: true,
        ..Default::default()
    };
    let disabled = |disabled| OptionConfig {
        disabled: Some(disabled),
        ..Default::default()
    };
    let period = OptionConfig {
        period_secs: Some(60),
        ..Default::default()
    };
    let limits = OptionConfig {
        compact_sec_max: Some(1),
        compact_order: Some(2),
        compact_threshold: Some(3),
        compact_force_times: Some(4),
        period_psi_percent_limit: Some(5),
        compact_psi_percent_limit: Some(6),
        ..Default::default()
    };
    let cases = [
        ("nothing", &on, OptionConfig::default(), false, secs(500)),
        ("the same", &on, disabled(false), false, secs(500)),
        ("disabled", &on, disabled(true), true, Duration::MAX),
        ("still disabled", &off, disabled(true), false, Duration::MAX),
        (
            "enabled waits a full period",
            &off,
            disabled(false),
            true,
            secs(600),
        ),
        ("period keeps the start", &on, period.clone(), true, secs(0)),
        ("period while disabled", &off, period, false, Duration::MAX),
        ("limits", &on, limits, false, secs(500)),
    ];
    for (name, config, change, reset, remaining) in cases {
        let mut state = state(config.clone());
        state.restart(secs(0));
        assert_eq!(state.change(&change, secs(100)), reset, "{name}");
        assert_eq!(state.remaining(secs(100)), remaining, "{name}");
        let mut expected = config.clone();
        expected.overlay(&change);
        assert_eq!(state.config, expected, "{name}");
    }
}
