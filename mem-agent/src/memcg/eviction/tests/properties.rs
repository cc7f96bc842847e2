//! What holds whatever is seen.

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
