//! The annotations that change the configuration, one row each.

mod hypervisor;
mod ungated;

use super::keys::*;
use super::setting::Setting;

pub(in crate::annotations) use hypervisor::GATED;
pub(in crate::annotations) use ungated::UNGATED;

/// One annotation: its key, the configuration key that it sets, and how.
pub(in crate::annotations) struct Row {
    pub(in crate::annotations) key: &'static str,
    /// The key in the configuration file, below the section that the annotation belongs to.
    pub(in crate::annotations) config_key: &'static str,
    pub(in crate::annotations) setting: Setting,
}

/// The row of a key that operators must enable.
pub(in crate::annotations) fn gated(key: &str) -> Option<&'static Row> {
    find(GATED, key)
}

/// The row of a key that is always honoured.
pub(in crate::annotations) fn ungated(key: &str) -> Option<&'static Row> {
    find(UNGATED, key)
}

fn find(rows: &'static [Row], key: &str) -> Option<&'static Row> {
    let position = rows.binary_search_by(|row| row.key.cmp(key)).ok()?;
    rows.get(position)
}

const fn row(key: &'static str, config_key: &'static str, setting: Setting) -> Row {
    Row {
        key,
        config_key,
        setting,
    }
}

/// Keys that are documented and do nothing; enabled ones are an error. No hash is ever checked.
pub(in crate::annotations) const NOT_APPLIED: &[&str] = &[
    KATA_ANNO_CFG_HYPERVISOR_ASSET_HASH_TYPE,
    KATA_ANNO_CFG_HYPERVISOR_FIRMWARE_HASH,
    KATA_ANNO_CFG_HYPERVISOR_IMAGE_HASH,
    KATA_ANNO_CFG_HYPERVISOR_INITRD_HASH,
    KATA_ANNO_CFG_HYPERVISOR_JAILER_HASH,
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_HASH,
    KATA_ANNO_CFG_HYPERVISOR_HASH,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        for rows in [GATED, UNGATED] {
            for pair in rows.windows(2) {
                assert!(pair[0].key < pair[1].key, "{}", pair[1].key);
            }
        }
    }

    #[test]
    fn every_key_is_in_the_table_or_not_applied_on_purpose() {
        let known: BTreeSet<&str> = [HYPERVISOR_KEYS, AGENT_KEYS, RUNTIME_KEYS]
            .into_iter()
            .flatten()
            .map(|key| key.key)
            .collect();
        let rows = || GATED.iter().chain(UNGATED).map(|row| row.key);
        let mut handled: Vec<&str> = rows().chain(NOT_APPLIED.iter().copied()).collect();
        handled.sort_unstable();
        assert_eq!(known.into_iter().collect::<Vec<_>>(), handled);
    }

    #[test]
    fn gate_follows_the_prefix() {
        assert!(
            GATED
                .iter()
                .all(|row| row.key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
        );
        assert!(
            NOT_APPLIED
                .iter()
                .all(|key| key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
        );
        assert!(
            !UNGATED
                .iter()
                .any(|row| row.key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
        );
    }

    #[test]
    fn names_fit_the_limit_of_kubernetes() {
        // The annotation is `prefix/name` or `name`, and a name has at most 63 characters.
        for row in GATED.iter().chain(UNGATED) {
            assert!(row.key.len() <= 63, "{}", row.key);
        }
    }
}
