//! What each look says: whether to go on, and what has left.

use super::*;

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

/// A trigger has kept the item back, or its command was refused along with others.
#[test]
fn what_was_sent_nothing_need_not_shrink() {
    let mut eviction = begun(10, 100, &config());
    let idle = Observation {
        has_obeyed: false,
        ..seen(10, 100)
    };
    for _ in 0..10 {
        assert_eq!(eviction.look(&idle, &config(), SwapSpace::Unusable), Ok(()));
    }
    assert_eq!(
        eviction.look(&seen(10, 100), &config(), SwapSpace::Unusable),
        Err(Stop::MinLruInc)
    );
}
