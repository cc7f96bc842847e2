use super::*;

fn node(anon: u64, file: u64) -> NodeLook {
    NodeLook {
        node: 0,
        min_seq: 9,
        max_seq: 12,
        youngest_age_ms: 120_000,
        anon,
        file,
    }
}

fn seen(anon: u64, file: u64) -> Observation {
    Observation {
        node: node(anon, file),
        psi_percent: Some(0),
        is_protected: false,
        refaults_exceed: false,
    }
}

fn config() -> SingleConfig {
    SingleConfig::default()
}

fn with_swap() -> SingleConfig {
    SingleConfig {
        swap: true,
        ..config()
    }
}

/// An eviction after a first look without objection.
fn begun(anon: u64, file: u64, config: &SingleConfig) -> Eviction {
    let mut eviction = Eviction::default();
    eviction
        .look(&seen(anon, file), config, SwapSpace::Usable)
        .unwrap();
    eviction
}

fn batch(
    eviction: &mut Eviction,
    config: &SingleConfig,
    swap: SwapSpace,
) -> Result<Option<(u8, u64)>, Stop> {
    let batch = eviction.next_batch(config, swap)?;
    Ok(batch.map(|batch| (batch.swappiness, batch.pages)))
}

#[test]
fn swap_is_usable_with_more_than_256_pages() {
    let cases = [
        (1024, 4096, SwapSpace::Unusable),
        (1025, 4096, SwapSpace::Usable),
        (16_384, 65_536, SwapSpace::Unusable),
        (16_385, 65_536, SwapSpace::Usable),
        (0, 4096, SwapSpace::Unusable),
    ];
    for (kb, page_size, expected) in cases {
        assert_eq!(SwapSpace::of(kb, page_size), expected, "{kb} {page_size}");
    }
}

#[test]
fn first_look_needs_four_generations_and_pages_that_may_go() {
    use SwapSpace::{Unusable, Usable};
    let three = Observation {
        node: NodeLook {
            min_seq: 10,
            ..node(5, 5)
        },
        ..seen(5, 5)
    };
    let five = Observation {
        node: NodeLook {
            min_seq: 8,
            ..node(5, 5)
        },
        ..seen(5, 5)
    };
    let backwards = Observation {
        node: NodeLook {
            min_seq: 20,
            ..node(5, 5)
        },
        ..seen(5, 5)
    };
    let protected = Observation {
        is_protected: true,
        ..seen(5, 5)
    };
    let unknown = Observation {
        psi_percent: None,
        ..seen(5, 5)
    };
    let off = SingleConfig {
        disabled: true,
        ..config()
    };
    let cases = [
        ("file pages", seen(0, 1), config(), Unusable, Ok(())),
        (
            "no file page, no swap",
            seen(9, 0),
            config(),
            Usable,
            Err(Stop::NoMinLru),
        ),
        (
            "no file page, swap full",
            seen(9, 0),
            with_swap(),
            Unusable,
            Err(Stop::NoMinLru),
        ),
        (
            "no page at all",
            seen(0, 0),
            with_swap(),
            Usable,
            Err(Stop::NoMinLru),
        ),
        ("anonymous pages", seen(9, 0), with_swap(), Usable, Ok(())),
        (
            "three generations",
            three,
            config(),
            Usable,
            Err(Stop::Other),
        ),
        ("five generations", five, config(), Usable, Err(Stop::Other)),
        ("nonsense", backwards, config(), Usable, Err(Stop::Other)),
        ("protected", protected, config(), Usable, Err(Stop::Other)),
        (
            "pressure unknown",
            unknown,
            config(),
            Usable,
            Err(Stop::Error),
        ),
        ("disabled", seen(5, 5), off, Usable, Err(Stop::Other)),
    ];
    for (name, seen, config, swap, expected) in cases {
        assert_eq!(
            Eviction::default().look(&seen, &config, swap),
            expected,
            "{name}"
        );
    }
}

/// E1.4.
#[test]
fn swappiness_follows_the_share_of_anonymous_pages() {
    use SwapSpace::{Unusable, Usable};
    let any = SingleConfig {
        swappiness_max: 200,
        ..with_swap()
    };
    let cases = [
        ("no swap configured", 1536, 512, config(), Usable, 0),
        ("swap full", 1536, 512, any.clone(), Unusable, 0),
        ("no anonymous page", 0, 512, any.clone(), Usable, 0),
        ("three times as many", 1536, 512, any.clone(), Usable, 150),
        ("limited", 1536, 512, with_swap(), Usable, 50),
        ("equal", 7, 7, any.clone(), Usable, 100),
        ("half is rounded up", 1, 399, any.clone(), Usable, 1),
        (
            "less than half is rounded down",
            1,
            400,
            any.clone(),
            Usable,
            0,
        ),
        ("not beyond 200", u64::MAX, 1, any, Usable, 200),
    ];
    for (name, anon, file, config, swap, expected) in cases {
        let mut eviction = begun(anon, file, &config);
        assert_eq!(
            batch(&mut eviction, &config, swap).unwrap().unwrap().0,
            expected,
            "{name}"
        );
    }
}

#[test]
fn only_anonymous_pages_are_swapped_out_as_long_as_there_is_room() {
    let config = with_swap();
    let mut eviction = begun(500, 0, &config);
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable),
        Ok(Some((200, 64)))
    );
    // File pages that turn up are not taken.
    eviction
        .look(&seen(400, 3), &config, SwapSpace::Usable)
        .unwrap();
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable)
            .unwrap()
            .unwrap()
            .0,
        200
    );
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Unusable),
        Err(Stop::NoMinLru)
    );
    let off = SingleConfig {
        swap: false,
        ..config.clone()
    };
    assert_eq!(
        batch(&mut eviction, &off, SwapSpace::Usable),
        Err(Stop::NoMinLru)
    );
}

#[test]
fn batches_grow_without_pressure_and_shrink_with_it() {
    let config = SingleConfig {
        eviction_psi_percent_limit: 10,
        ..config()
    };
    let many = 10_000_000;
    let mut eviction = begun(0, many, &config);
    let mut sizes = Vec::new();
    for (n, psi) in [0, 0, 4, 5, 6, 10, 0].into_iter().enumerate() {
        sizes.push(
            batch(&mut eviction, &config, SwapSpace::Usable)
                .unwrap()
                .unwrap()
                .1,
        );
        let look = Observation {
            psi_percent: Some(psi),
            ..seen(0, many - 1 - n as u64)
        };
        eviction.look(&look, &config, SwapSpace::Usable).unwrap();
    }
    assert_eq!(sizes, [64, 128, 256, 512, 512, 256, 128]);
    for n in 10..30 {
        eviction
            .look(&seen(0, many - n), &config, SwapSpace::Usable)
            .unwrap();
    }
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable)
            .unwrap()
            .unwrap()
            .1,
        LARGEST_BATCH
    );
}

#[test]
fn batch_is_at_most_an_eighth_of_what_is_left_but_64_pages() {
    let config = config();
    let cases = [
        (16_000, 2_000),
        (600, 75),
        (512, 64),
        (100, 64),
        (63, 63),
        (1, 1),
    ];
    for (left, pages) in cases {
        let mut eviction = begun(0, 20_000_000, &config);
        for n in 1..10 {
            eviction
                .look(&seen(0, 20_000_000 - n), &config, SwapSpace::Usable)
                .unwrap();
        }
        eviction
            .look(&seen(0, left), &config, SwapSpace::Usable)
            .unwrap();
        assert_eq!(
            batch(&mut eviction, &config, SwapSpace::Usable),
            Ok(Some((0, pages))),
            "{left}"
        );
    }
}

#[test]
fn no_more_is_sent_between_looks_than_there_is() {
    let config = config();
    let mut eviction = begun(0, 150, &config);
    let sizes: Vec<_> = (0..4)
        .map(|_| batch(&mut eviction, &config, SwapSpace::Usable).unwrap())
        .collect();
    assert_eq!(sizes, [Some((0, 64)), Some((0, 64)), Some((0, 22)), None]);
    eviction
        .look(&seen(0, 20), &config, SwapSpace::Usable)
        .unwrap();
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable),
        Ok(Some((0, 20)))
    );
}

#[test]
fn goal_ends_the_eviction() {
    let config = config();
    let mut eviction = begun(0, 1000, &config);
    eviction.limit_to(70);
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable),
        Ok(Some((0, 64)))
    );
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable),
        Ok(Some((0, 6)))
    );
    assert_eq!(
        batch(&mut eviction, &config, SwapSpace::Usable),
        Err(Stop::NoMinLru)
    );
}

/// E1.3.
#[test]
fn later_looks_end_the_eviction_for_the_first_reason_that_holds() {
    let other_generation = |anon, file| Observation {
        node: NodeLook {
            min_seq: 10,
            max_seq: 13,
            ..node(anon, file)
        },
        ..seen(anon, file)
    };
    let emptied = Observation {
        node: NodeLook {
            min_seq: 10,
            ..node(9, 9)
        },
        ..seen(9, 9)
    };
    let psi = |percent| Observation {
        psi_percent: Some(percent),
        ..seen(100, 99)
    };
    let cases = [
        ("shrunk", seen(100, 99), Ok(())),
        ("neither shrank", seen(100, 100), Err(Stop::MinLruInc)),
        ("both grew", seen(101, 101), Err(Stop::MinLruInc)),
        ("one shrank, the other grew", seen(90, 200), Ok(())),
        ("no file page left", seen(100, 0), Err(Stop::NoMinLru)),
        ("pressure at the limit", psi(1), Ok(())),
        ("pressure above the limit", psi(2), Err(Stop::Psi)),
        (
            "pressure unknown",
            Observation {
                psi_percent: None,
                ..seen(100, 99)
            },
            Err(Stop::Error),
        ),
        (
            "refaults",
            Observation {
                refaults_exceed: true,
                ..seen(100, 99)
            },
            Err(Stop::Psi),
        ),
        ("emptied", emptied, Err(Stop::Other)),
        (
            "another generation",
            other_generation(1, 1),
            Err(Stop::Other),
        ),
    ];
    for (name, seen, expected) in cases {
        let mut eviction = begun(100, 100, &with_swap());
        assert_eq!(
            eviction.look(&seen, &with_swap(), SwapSpace::Usable),
            expected,
            "{name}"
        );
    }
}

/// E4e with its clarification.
#[test]
fn three_looks_without_progress_end_the_eviction() {
    let config = with_swap();
    let mut eviction = begun(100, 100, &config);
    let mut look = |anon, file| eviction.look(&seen(anon, file), &config, SwapSpace::Usable);
    assert_eq!(look(101, 99), Ok(()));
    assert_eq!(look(102, 98), Ok(()));
    assert_eq!(look(50, 98), Ok(()), "progress");
    assert_eq!(look(49, 100), Ok(()));
    assert_eq!(look(48, 102), Ok(()));
    assert_eq!(look(47, 104), Err(Stop::MinLruInc));
}

/// D10, E2.
#[test]
fn pages_that_left_are_counted_per_type() {
    let config = with_swap();
    let mut eviction = begun(100, 100, &config);
    eviction
        .look(&seen(150, 60), &config, SwapSpace::Usable)
        .unwrap();
    assert_eq!(eviction.evicted(), 40);
    eviction
        .look(&seen(100, 70), &config, SwapSpace::Usable)
        .unwrap();
    assert_eq!(eviction.evicted(), 90);
    // The whole generation is gone.
    let next = Observation {
        node: NodeLook {
            min_seq: 10,
            ..node(5_000, 5_000)
        },
        ..seen(0, 0)
    };
    assert_eq!(
        eviction.look(&next, &config, SwapSpace::Usable),
        Err(Stop::Other)
    );
    assert_eq!(eviction.evicted(), 260);
}

#[test]
fn pages_that_an_aging_moved_are_not_counted() {
    let config = config();
    let mut eviction = begun(0, 100, &config);
    let aged = Observation {
        node: NodeLook {
            min_seq: 10,
            max_seq: 13,
            ..node(0, 40)
        },
        ..seen(0, 40)
    };
    assert_eq!(
        eviction.look(&aged, &config, SwapSpace::Usable),
        Err(Stop::Other)
    );
    assert_eq!(eviction.evicted(), 0);
}

#[test]
fn change_of_the_configuration_counts_for_the_next_batch() {
    let on = SingleConfig {
        swappiness_max: 200,
        ..with_swap()
    };
    let mut eviction = begun(1536, 512, &on);
    assert_eq!(
        batch(&mut eviction, &on, SwapSpace::Usable)
            .unwrap()
            .unwrap()
            .0,
        150
    );
    let careful = SingleConfig {
        swappiness_max: 10,
        ..on.clone()
    };
    assert_eq!(
        batch(&mut eviction, &careful, SwapSpace::Usable)
            .unwrap()
            .unwrap()
            .0,
        10
    );
    let off = SingleConfig { swap: false, ..on };
    assert_eq!(
        batch(&mut eviction, &off, SwapSpace::Usable)
            .unwrap()
            .unwrap()
            .0,
        0
    );
    let disabled = SingleConfig {
        disabled: true,
        ..config()
    };
    assert_eq!(
        batch(&mut eviction, &disabled, SwapSpace::Usable),
        Err(Stop::Other)
    );
}

#[test]
fn nothing_is_sent_before_the_first_look() {
    let mut eviction = Eviction::default();
    assert!(eviction.is_new());
    assert_eq!(
        eviction.next_batch(&config(), SwapSpace::Usable),
        Err(Stop::Other)
    );
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is seen: an eviction ends, sends no more than there is, and keeps to its limits.
        #[test]
        fn every_eviction_ends(
            looks in proptest::collection::vec((0_u64..2000, 0_u64..2000, 0_u64..3), 1..60),
            swap: bool, usable: bool, swappiness_max: u8,
        ) {
            let config = SingleConfig { swap, swappiness_max, ..config() };
            let space = if usable { SwapSpace::Usable } else { SwapSpace::Unusable };
            let mut eviction = Eviction::default();
            let mut last: Option<u64> = None;
            let mut stuck = 0;
            for (anon, file, psi) in looks {
                let look = Observation { psi_percent: Some(psi), ..seen(anon, file) };
                if eviction.look(&look, &config, space).is_err() {
                    break;
                }
                stuck = if last.is_some_and(|last| anon + file >= last) { stuck + 1 } else { 0 };
                prop_assert!(stuck < 3);
                last = Some(anon + file);
                let mut sent = 0;
                while let Ok(Some(batch)) = eviction.next_batch(&config, space) {
                    prop_assert!(batch.pages > 0 && batch.swappiness <= 200);
                    prop_assert!(batch.swappiness <= swappiness_max || batch.swappiness == 200);
                    prop_assert!(batch.swappiness == 0 || (swap && usable));
                    sent += batch.pages;
                }
                prop_assert!(sent <= anon + file);
            }
        }
    }
}
