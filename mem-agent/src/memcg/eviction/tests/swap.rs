//! Which type of pages is taken.

use super::*;

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
