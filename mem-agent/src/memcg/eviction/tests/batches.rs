//! How many pages are taken at once.

use super::*;

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

#[test]
fn nothing_is_sent_before_the_first_look() {
    let mut eviction = Eviction::default();
    assert!(eviction.is_new());
    assert_eq!(
        eviction.next_batch(&config(), SwapSpace::Usable),
        Err(Stop::Other)
    );
}
