use std::collections::HashMap;

use super::super::config::{CgroupConfig, CgroupOptionConfig, SingleOptionConfig};
use super::*;
use crate::env::NodeLook;
use crate::psi::Totals;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn node(node: u32, max_seq: u64) -> NodeLook {
    NodeLook {
        node,
        min_seq: 0,
        max_seq,
        youngest_age_ms: 120_000,
        anon: 1,
        file: 2,
    }
}

/// Path, id, inode and nodes.
type Cgroup = (&'static str, u64, u64, &'static [u32]);

fn snapshot(taken: u64, cgroups: &[Cgroup]) -> Snapshot {
    let mut snapshot = Snapshot::new(secs(taken));
    for (path, id, ino, nodes) in cgroups {
        snapshot.push(path, *id, *ino, nodes.iter().map(|number| node(*number, 3)));
    }
    snapshot
}

fn refresh(state: &mut State, taken: u64, cgroups: &[Cgroup]) {
    state.refresh(&snapshot(taken, cgroups), Utc::now());
}

fn state(cgroups: &[Cgroup]) -> State {
    let mut state = State::new(Config::default());
    refresh(&mut state, 0, cgroups);
    state
}

fn default(default: SingleOptionConfig) -> OptionConfig {
    OptionConfig {
        default,
        ..Default::default()
    }
}

fn period(period_secs: u64) -> SingleOptionConfig {
    SingleOptionConfig {
        period_secs: Some(period_secs),
        ..Default::default()
    }
}

fn add(path: &str, config: SingleOptionConfig) -> OptionConfig {
    let entry = CgroupOptionConfig {
        path: path.to_owned(),
        config,
        ..Default::default()
    };
    OptionConfig {
        add: vec![entry],
        ..Default::default()
    }
}

fn paths(paths: &[&str]) -> HashSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn aging_counts(state: &State) -> HashMap<String, Vec<(u32, u64)>> {
    let counts = |cgroup: MemCgroup| {
        let mut counts: Vec<_> = cgroup
            .numa
            .iter()
            .map(|(node, numa)| (*node, numa.run_aging_count))
            .collect();
        counts.sort_unstable();
        counts
    };
    state
        .status()
        .into_iter()
        .map(|(path, cgroup)| (path, counts(cgroup)))
        .collect()
}

#[test]
fn live_cgroups_are_managed_and_due() {
    let state = state(&[
        ("/", 1, 1, &[0]),
        ("/a", 12, 7, &[0, 1]),
        ("/gone", 0, 9, &[0]),
    ]);
    assert_eq!(state.status().len(), 2, "id 0 is offline");
    assert_eq!(state.expired(secs(0)), [600]);
    assert_eq!(state.remaining(secs(0)), Duration::ZERO);
    assert_eq!(state.members(600).len(), 3);
    assert_eq!(state.members(60), []);
}

/// D11.
#[test]
fn ids_of_64_bits_are_kept() {
    let state = state(&[("/a", 70_211, 5, &[0])]);
    let cgroup = &state.status()["/a"];
    assert_eq!(
        (cgroup.id, cgroup.kernel_id(), cgroup.ino),
        (4675, 70_211, 5)
    );
    let command = state.aging(&state.members(600)[0], secs(0)).unwrap();
    assert_eq!(command.to_string(), "+ 70211 0 3 0 1");
}

#[test]
fn another_cgroup_at_the_same_path_starts_anew() {
    let same: &[Cgroup] = &[("/a", 1, 1, &[0])];
    let cases: [(&str, &[Cgroup], u64); 4] = [
        ("the same", same, 1),
        ("another id", &[("/a", 2, 1, &[0])], 0),
        ("another inode", &[("/a", 1, 2, &[0])], 0),
        ("another path", &[("/b", 1, 1, &[0])], 0),
    ];
    for (name, cgroups, count) in cases {
        let mut state = state(same);
        let member = state.members(600).remove(0);
        assert!(!state.aged(&member));
        refresh(&mut state, 1, cgroups);
        let counts: Vec<_> = aging_counts(&state).into_values().collect();
        assert_eq!(counts, [[(0, count)]], "{name}");
    }
}

/// D17.
#[test]
fn nodes_come_and_go() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    let member = state.members(600).remove(0);
    state.aged(&member);
    refresh(&mut state, 1, &[("/a", 1, 1, &[0, 2])]);
    assert_eq!(aging_counts(&state)["/a"], [(0, 1), (2, 0)]);
    assert_eq!(state.members(600).len(), 2);
    refresh(&mut state, 2, &[("/a", 1, 1, &[2, 3])]);
    assert_eq!(aging_counts(&state)["/a"], [(2, 0), (3, 0)]);
    assert!(state.settings(&member).is_none());
}

#[test]
fn snapshots_that_come_late_are_ignored() {
    let mut state = state(&[]);
    refresh(&mut state, 5, &[("/a", 1, 1, &[0])]);
    refresh(&mut state, 4, &[]);
    assert_eq!(state.status().len(), 1);
    let mut late = Snapshot::new(secs(4));
    late.push("/a", 1, 1, [node(0, 99)]);
    state.update(&paths(&["/a"]), &late, Utc::now());
    assert_eq!(state.status()["/a"].numa[&0].max_seq, 3);
}

#[test]
fn update_neither_adds_nor_drops() {
    let mut state = state(&[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0])]);
    let mut look = Snapshot::new(secs(1));
    look.push("/a", 1, 1, [node(0, 9), node(1, 9)]);
    look.push("/b", 3, 2, [node(0, 9)]);
    look.push("/c", 4, 4, [node(0, 9)]);
    state.update(&paths(&["/a", "/b", "/c"]), &look, Utc::now());
    let status = state.status();
    assert_eq!(status.len(), 2);
    assert_eq!(
        (status["/a"].numa.len(), status["/a"].numa[&0].max_seq),
        (1, 9)
    );
    assert_eq!(status["/b"].numa[&0].max_seq, 3, "another id");
}

#[test]
fn what_a_look_misses_is_not_aged_until_it_is_seen_again() {
    let mut state = state(&[
        ("/a", 1, 1, &[0, 1]),
        ("/b", 2, 2, &[0]),
        ("/c", 3, 3, &[0]),
    ]);
    let now = secs(1_000);
    let ages = |state: &State| {
        let members = state.members(600).into_iter();
        let aged = members.filter(|member| state.aging(member, now).is_some());
        aged.map(|member| (member.path, member.node))
            .collect::<Vec<_>>()
    };
    let name = |path: &str, node: u32| (path.to_owned(), node);
    let all = [name("/a", 0), name("/a", 1), name("/b", 0), name("/c", 0)];
    assert_eq!(ages(&state), all);

    // Node 1 of /a is gone, and so is /b; /c was not asked for.
    let mut look = Snapshot::new(secs(2));
    look.push("/a", 1, 1, [node(0, 9)]);
    state.update(&paths(&["/a", "/b"]), &look, Utc::now());
    assert_eq!(ages(&state), [name("/a", 0), name("/c", 0)]);
    assert_eq!(state.members(600).len(), 4, "nothing is dropped");

    // Seen in between, and told late.
    let earlier = Snapshot::new(secs(1));
    state.update(&paths(&["/a"]), &earlier, Utc::now());
    assert_eq!(ages(&state), [name("/a", 0), name("/c", 0)]);

    let mut look = Snapshot::new(secs(3));
    look.push("/a", 1, 1, [node(0, 9), node(1, 9)]);
    look.push("/b", 2, 2, [node(0, 9)]);
    state.update(&paths(&["/a", "/b"]), &look, Utc::now());
    assert_eq!(ages(&state), all);
}

#[test]
fn youngest_generation_must_be_a_minute_old() {
    let mut state = state(&[]);
    let cases = [
        (-5, 0, false),
        (0, 0, false),
        (59_999, 0, false),
        (60_000, 0, true),
        (30_000, 29, false),
        (30_000, 30, true),
        (4_294_967_295, 0, true),
    ];
    for (age_ms, later, ages) in cases {
        let mut snapshot = Snapshot::new(secs(1));
        snapshot.push(
            "/a",
            1,
            1,
            [NodeLook {
                youngest_age_ms: age_ms,
                ..node(0, 3)
            }],
        );
        state.refresh(&snapshot, Utc::now());
        let member = state.members(600).remove(0);
        assert_eq!(
            state.aging(&member, secs(1 + later)).is_some(),
            ages,
            "{age_ms} {later}"
        );
    }
}

#[test]
fn wall_clock_is_of_the_youngest_generation() {
    let mut state = State::new(Config::default());
    let now = Utc::now();
    for (age_ms, seconds) in [(120_000, 120), (-1_000, -1), (i64::MIN, 0), (i64::MAX, 0)] {
        let mut snapshot = Snapshot::new(secs(1));
        snapshot.push(
            "/a",
            1,
            1,
            [NodeLook {
                youngest_age_ms: age_ms,
                ..node(0, 3)
            }],
        );
        state.refresh(&snapshot, now);
        let time = state.status()["/a"].numa[&0].last_inc_time;
        assert_eq!((now - time).num_seconds(), seconds, "{age_ms}");
    }
}

/// M5.
#[test]
fn pressure_above_the_limit_closes_the_gate() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    let member = state.members(600).remove(0);
    let stalled = |memory| Pressure {
        total: Totals { memory, io: 0 },
        children: Vec::new(),
    };
    assert_eq!(
        state.gate(&member, stalled(900_000), secs(0)),
        Some(Gate::Open),
        "no history"
    );
    assert_eq!(
        state.gate(&member, stalled(950_000), secs(5)),
        Some(Gate::Open),
        "1 %"
    );
    assert_eq!(
        state.gate(&member, stalled(1_050_000), secs(10)),
        Some(Gate::Closed),
        "2 %"
    );
    assert_eq!(state.status()["/a"].numa[&0].sleep_psi_exceeds_limit, 1);
    state
        .change(&default(SingleOptionConfig {
            disabled: Some(true),
            ..Default::default()
        }))
        .unwrap();
    assert_eq!(state.gate(&member, stalled(0), secs(15)), None);
}

/// D15.
#[test]
fn eviction_follows_the_aging_count_of_the_cgroup_itself() {
    let mut state = state(&[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0])]);
    let config = SingleOptionConfig {
        eviction_run_aging_count_min: Some(1),
        ..Default::default()
    };
    state.change(&add("/b", config)).unwrap();
    let [a, b] = state.members(600).try_into().unwrap();
    assert!(state.aged(&b));
    assert!(!state.aged(&a) && !state.aged(&a));
    assert!(state.aged(&a) && state.aged(&a));
}

#[test]
fn ends_of_evictions_are_counted() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    let member = state.members(600).remove(0);
    for stop in [
        Stop::NoMinLru,
        Stop::MinLruInc,
        Stop::Psi,
        Stop::Error,
        Stop::Other,
        Stop::Other,
    ] {
        state.evicted(&member, 10, stop);
    }
    state.reclaimed(&member, 100..150);
    state.reclaimed(&member, 120..155); // of another node, at about the same time
    let cgroup = &state.status()["/a"];
    let count = &cgroup.numa[&0].eviction_count;
    let counts = [
        count.page,
        count.no_min_lru_file,
        count.min_lru_inc,
        count.psi_exceeds_limit,
        count.error,
        count.other_error,
    ];
    assert_eq!(counts, [60, 1, 1, 1, 1, 2]);
    assert_eq!(cgroup.reclaimed_pages(), 55);
    state.evicted(&Member { id: 9, ..member }, 10, Stop::Other);
    assert_eq!(state.status()["/a"].numa[&0].eviction_count.page, 60);
}

#[test]
fn groups_have_a_timer_per_period() {
    let mut state = state(&[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0])]);
    state.change(&add("/b", period(60))).unwrap();
    assert_eq!(state.expired(secs(0)), [60, 600]);
    state.restart(&[60, 600, 7], secs(0));
    assert_eq!(state.expired(secs(59)), []);
    assert_eq!(state.remaining(secs(10)), secs(50));
    assert_eq!(state.expired(secs(60)), [60]);
    refresh(&mut state, 70, &[("/a", 1, 1, &[0])]);
    assert_eq!(
        state.expired(secs(1000)),
        [600],
        "the group of /b has gone with it"
    );
}

/// G7.
#[test]
fn only_groups_that_changed_become_due() {
    let mut state = state(&[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0]), ("/c", 3, 3, &[0])]);
    state.change(&add("/b", period(60))).unwrap();
    state.change(&add("/c", period(30))).unwrap();
    let all = [30, 60, 600];
    let cases = [
        (
            "swap of all",
            default(SingleOptionConfig {
                swap: Some(true),
                ..Default::default()
            }),
            false,
            vec![],
        ),
        (
            "an entry for a cgroup that is not there",
            add("/d", period(30)),
            true,
            vec![],
        ),
        (
            "the same entry again, below",
            add("/b/x", period(30)),
            true,
            vec![],
        ),
        (
            "move of /c to 60",
            OptionConfig {
                set: vec![CgroupOptionConfig {
                    path: "/c".to_owned(),
                    config: period(60),
                    ..Default::default()
                }],
                ..Default::default()
            },
            true,
            vec![60],
        ),
        (
            "back to the default",
            OptionConfig {
                del: vec![("/c".to_owned(), vec![])],
                ..Default::default()
            },
            true,
            vec![60, 600],
        ),
    ];
    for (name, change, reset, due) in cases {
        state.restart(&all, secs(100));
        assert_eq!(state.change(&change).unwrap(), reset, "{name}");
        assert_eq!(state.expired(secs(100)), due, "{name}");
    }
}

/// D14, G8.
#[test]
fn changes_count_for_known_cgroups_at_once_and_keep_counters() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    let member = state.members(600).remove(0);
    state.aged(&member);
    state
        .change(&default(SingleOptionConfig {
            swap: Some(true),
            swappiness_max: Some(9),
            ..period(60)
        }))
        .unwrap();
    let settings = state.settings(&member).unwrap();
    assert_eq!((settings.swap, settings.swappiness_max), (true, 9));
    assert_eq!(state.members(60), [member]);
    assert_eq!(aging_counts(&state)["/a"], [(0, 1)]);
}

#[test]
fn refused_change_changes_nothing() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    let before = state.config.clone();
    let change = OptionConfig {
        default: period(1),
        set: vec![CgroupOptionConfig::default()],
        ..Default::default()
    };
    assert!(state.change(&change).is_err());
    assert_eq!(state.config, before);
}

/// D4.
#[test]
fn change_during_a_run_keeps_its_groups_due() {
    let mut state = state(&[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0])]);
    state.change(&add("/b", period(60))).unwrap();
    assert!(state.begin_run(&[60, 600]));
    assert!(!state.begin_run(&[]), "one run at a time");
    let change = CgroupOptionConfig {
        path: "/b".to_owned(),
        no_subdir: Some(true),
        config: SingleOptionConfig {
            swap: Some(true),
            ..Default::default()
        },
        ..Default::default()
    };
    state
        .change(&OptionConfig {
            set: vec![change],
            ..Default::default()
        })
        .unwrap();
    state.end_run();
    state.restart(&[60, 600], secs(5));
    assert_eq!(state.expired(secs(5)), [60]);
    assert!(state.begin_run(&[60]));
    state.end_run();
    state.restart(&[60], secs(5));
    assert_eq!(state.expired(secs(5)), []);
}

/// D4: the timers are restarted some time after the end of the run.
#[test]
fn change_between_the_end_of_a_run_and_the_restart_keeps_its_groups_due() {
    let mut state = state(&[("/a", 1, 1, &[0])]);
    assert!(state.begin_run(&[600]));
    state.end_run();
    let swap = SingleOptionConfig {
        swap: Some(true),
        ..Default::default()
    };
    state.change(&add("/a", swap)).unwrap();
    state.restart(&[600], secs(5));
    assert_eq!(state.expired(secs(5)), [600]);
    assert!(state.begin_run(&[600]));
    state.end_run();
    state.restart(&[600], secs(5));
    assert_eq!(state.expired(secs(5)), []);
}

/// D18, M7.
#[test]
fn without_cgroups_the_next_scan_is_a_period_away() {
    let mut state = State::new(Config::default());
    assert!(state.needs_scan(secs(0)));
    refresh(&mut state, 100, &[]);
    assert_eq!(state.remaining(secs(100)), secs(600));
    assert!(!state.needs_scan(secs(699)) && state.needs_scan(secs(700)));
    assert_eq!(state.expired(secs(700)), []);
    refresh(&mut state, 700, &[("/a", 1, 1, &[0])]);
    assert!(!state.needs_scan(secs(9999)));
    assert_eq!(state.remaining(secs(700)), Duration::ZERO);
}

#[test]
fn disabled_cgroups_are_left_alone() {
    let off = SingleConfig {
        disabled: true,
        ..Default::default()
    };
    let entry = CgroupConfig {
        config: SingleConfig {
            period_secs: 60,
            ..Default::default()
        },
        ..Default::default()
    };
    let config = Config {
        default: off,
        cgroups: [("/a".to_owned(), vec![entry])].into(),
        ..Default::default()
    };
    let mut state = State::new(config);
    refresh(&mut state, 0, &[("/a", 1, 1, &[0]), ("/b", 2, 2, &[0])]);
    assert_eq!(state.expired(secs(0)), [60, 600], "harmless");
    assert_eq!(state.members(600), []);
    state.restart(&[60], secs(0));
    assert_eq!(
        state.remaining(secs(0)),
        secs(60),
        "the group that is disabled does not count"
    );
    let change = OptionConfig {
        del: vec![("/a".to_owned(), vec![])],
        ..Default::default()
    };
    state.change(&change).unwrap();
    assert!(state.is_disabled());
    assert_eq!(state.remaining(secs(0)), Duration::MAX);
    assert!(!state.needs_scan(secs(9999)));
}
