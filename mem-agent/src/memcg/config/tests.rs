use super::*;

fn single(period_secs: u64) -> SingleConfig {
    SingleConfig {
        period_secs,
        ..Default::default()
    }
}

fn entry(numa_id: &[u32], period_secs: u64) -> CgroupConfig {
    CgroupConfig {
        no_subdir: false,
        numa_id: numa_id.to_vec(),
        config: single(period_secs),
    }
}

fn config(cgroups: &[(&str, Vec<CgroupConfig>)]) -> Config {
    let mut config = Config {
        cgroups: cgroups
            .iter()
            .map(|(path, entries)| ((*path).to_owned(), entries.clone()))
            .collect(),
        ..Default::default()
    };
    config.normalise();
    config
}

/// Nodes and period of each result.
fn lookup(config: &Config, path: &str, nodes: &[u32]) -> Vec<(Vec<u32>, u64)> {
    let found = config.lookup(path, nodes);
    found
        .into_iter()
        .map(|(nodes, config)| (nodes, config.period_secs))
        .collect()
}

fn option(path: &str, numa_id: &[u32], period_secs: Option<u64>) -> CgroupOptionConfig {
    CgroupOptionConfig {
        path: path.to_owned(),
        numa_id: numa_id.to_vec(),
        config: SingleOptionConfig {
            period_secs,
            ..Default::default()
        },
        ..Default::default()
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = Config::default();
    assert!(!config.default.disabled && !config.default.swap);
    assert_eq!(config.default.swappiness_max, 50);
    assert_eq!(config.default.period_secs, 600);
    assert_eq!(config.default.period_psi_percent_limit, 1);
    assert_eq!(config.default.eviction_psi_percent_limit, 1);
    assert_eq!(config.default.eviction_run_aging_count_min, 3);
    assert!(config.psi_path.as_os_str().is_empty() && config.cgroups.is_empty());
    assert_eq!(config.actuator, Actuator::LruGen);
}

#[test]
fn paths_get_a_slash_at_the_begin_and_none_at_the_end() {
    let cases = [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("a", "/a"),
        ("/a/", "/a"),
        ("a/b//", "/a/b"),
        ("/a b ", "/a b "),
    ];
    for (path, normal) in cases {
        assert_eq!(normalise_path(path), normal, "{path:?}");
    }
}

#[test]
fn ancestors_end_with_the_root() {
    assert_eq!(
        self_and_ancestors("/a/b c/d").collect::<Vec<_>>(),
        ["/a/b c/d", "/a/b c", "/a", "/"]
    );
    assert_eq!(self_and_ancestors("/").collect::<Vec<_>>(), ["/"]);
}

/// D20, G2.
#[test]
fn keys_that_mean_the_same_path_are_merged() {
    let merged = config(&[
        ("pods/", vec![entry(&[], 1), entry(&[1, 0], 2)]),
        ("/pods", vec![entry(&[0, 1], 3), entry(&[2], 4)]),
        ("/none", vec![]),
    ]);
    assert_eq!(merged.cgroups.len(), 1);
    // "/pods" sorts before "pods/", so of two entries for nodes 0 and 1 its own stays.
    assert_eq!(
        merged.cgroups["/pods"],
        [entry(&[0, 1], 3), entry(&[2], 4), entry(&[], 1)]
    );
    assert_eq!(
        lookup(&merged, "/pods/a", &[0, 1, 2, 3]),
        [(vec![0, 1], 3), (vec![2], 4), (vec![3], 1)]
    );
}

#[test]
fn nearest_ancestor_with_an_entry_counts() {
    let config = config(&[
        ("/", vec![entry(&[], 1)]),
        ("/a", vec![entry(&[0], 2)]),
        (
            "/a/b",
            vec![CgroupConfig {
                no_subdir: true,
                ..entry(&[], 3)
            }],
        ),
    ]);
    let cases = [
        ("/a/b", vec![(vec![0, 1], 3)]),
        ("/a/b/c", vec![(vec![0], 2), (vec![1], 1)]),
        ("/a", vec![(vec![0], 2), (vec![1], 1)]),
        ("/ab", vec![(vec![0, 1], 1)]),
        ("/", vec![(vec![0, 1], 1)]),
    ];
    for (path, expected) in cases {
        assert_eq!(lookup(&config, path, &[1, 0]), expected, "{path}");
    }
}

/// D16.
#[test]
fn nodes_that_no_entry_takes_get_the_default() {
    let config = config(&[("/a", vec![entry(&[0], 1)])]);
    assert_eq!(
        lookup(&config, "/a", &[0, 1]),
        [(vec![0], 1), (vec![1], 600)]
    );
    assert_eq!(lookup(&config, "/a", &[]), []);
    assert_eq!(lookup(&config, "/b", &[7]), [(vec![7], 600)]);
}

/// M3.
#[test]
fn nodes_with_equal_settings_are_one_result() {
    let config = config(&[("/a", vec![entry(&[0], 1), entry(&[2], 600), entry(&[1], 1)])]);
    assert_eq!(
        lookup(&config, "/a", &[0, 1, 2, 3]),
        [(vec![0, 1], 1), (vec![2, 3], 600)]
    );
}

#[test]
fn changes_are_applied_in_order() {
    let old = config(&[("/a", vec![entry(&[0, 1], 1)])]);
    let change = OptionConfig {
        del: vec![
            ("a/".to_owned(), vec![1, 0]),
            ("/unknown".to_owned(), vec![]),
        ],
        add: vec![option("/a/", &[1, 0], None)],
        set: vec![option("a", &[0, 1], Some(7))],
        default: SingleOptionConfig {
            swap: Some(true),
            ..Default::default()
        },
        ..Default::default()
    };
    let (new, reset) = old.changed(&change).unwrap();
    assert_eq!(reset, Reset::Needed);
    // An added entry has the crate's defaults, not the current ones.
    assert_eq!(new.cgroups["/a"], [entry(&[0, 1], 7)]);
    assert!(new.default.swap);
}

#[test]
fn refused_changes_say_why() {
    let old = config(&[("/a", vec![entry(&[0, 1], 1)])]);
    let add = OptionConfig {
        add: vec![option("/b", &[], None), option("a", &[1, 0], None)],
        ..Default::default()
    };
    assert_eq!(
        old.changed(&add).unwrap_err().to_string(),
        "path /a numa_id [0, 1] already exists"
    );
    let set = OptionConfig {
        set: vec![option("/a", &[0], None)],
        ..Default::default()
    };
    assert_eq!(
        old.changed(&set).unwrap_err().to_string(),
        "path /a numa_id [0] not exists"
    );
    let set = OptionConfig {
        set: vec![option("/b", &[], None)],
        ..Default::default()
    };
    assert_eq!(
        old.changed(&set).unwrap_err().to_string(),
        "path /b numa_id [] not exists"
    );
}

#[test]
fn reset_is_needed_when_the_schedule_may_change() {
    let old = config(&[("/a", vec![entry(&[0], 1), entry(&[], 2)])]);
    let default = |default| OptionConfig {
        default,
        ..Default::default()
    };
    let set = |entry| OptionConfig {
        set: vec![entry],
        ..Default::default()
    };
    let cases = [
        ("nothing", OptionConfig::default(), Reset::NotNeeded),
        (
            "swap",
            default(SingleOptionConfig {
                swap: Some(true),
                ..Default::default()
            }),
            Reset::NotNeeded,
        ),
        (
            "same period",
            default(SingleOptionConfig {
                period_secs: Some(600),
                ..Default::default()
            }),
            Reset::NotNeeded,
        ),
        (
            "period",
            default(SingleOptionConfig {
                period_secs: Some(60),
                ..Default::default()
            }),
            Reset::Needed,
        ),
        (
            "same state",
            default(SingleOptionConfig {
                disabled: Some(false),
                ..Default::default()
            }),
            Reset::NotNeeded,
        ),
        (
            "disabled",
            default(SingleOptionConfig {
                disabled: Some(true),
                ..Default::default()
            }),
            Reset::Needed,
        ),
        (
            "period of an entry",
            set(option("/a", &[0], Some(9))),
            Reset::Needed,
        ),
        (
            "same no_subdir",
            set(CgroupOptionConfig {
                no_subdir: Some(false),
                ..option("/a", &[0], None)
            }),
            Reset::Needed,
        ),
        (
            "unknown removed",
            OptionConfig {
                del: vec![("/a".to_owned(), vec![5])],
                ..Default::default()
            },
            Reset::NotNeeded,
        ),
        (
            "one of two removed",
            OptionConfig {
                del: vec![("/a".to_owned(), vec![0])],
                ..Default::default()
            },
            Reset::Needed,
        ),
        (
            "added",
            OptionConfig {
                add: vec![option("/b", &[], None)],
                ..Default::default()
            },
            Reset::Needed,
        ),
    ];
    for (name, change, reset) in cases {
        assert_eq!(old.changed(&change).unwrap().1, reset, "{name}");
    }
}

#[test]
fn half_is_disabled_when_everything_is() {
    let off = SingleConfig {
        disabled: true,
        ..Default::default()
    };
    let mut config = Config {
        default: off,
        ..config(&[("/a", vec![entry(&[], 1)])])
    };
    assert!(!config.is_disabled());
    config.cgroups.get_mut("/a").unwrap()[0].config.disabled = true;
    assert!(config.is_disabled());
}
