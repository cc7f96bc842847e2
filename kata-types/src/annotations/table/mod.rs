//! The annotations that change the configuration, one row each.

mod hypervisor;
mod ungated;

use super::keys::*;
use super::setting::Setting;
use crate::config::keys::Section;

pub(in crate::annotations) use hypervisor::GATED;
pub(in crate::annotations) use ungated::UNGATED;

/// One annotation: its key, the configuration key that it sets, and how.
pub(in crate::annotations) struct Row {
    pub(in crate::annotations) key: &'static str,
    /// The key in the configuration file, below the section that the annotation belongs to.
    pub(in crate::annotations) config_key: &'static str,
    pub(in crate::annotations) setting: Setting,
}

impl Row {
    /// The section that the annotation belongs to.
    pub(in crate::annotations) fn section(&self) -> Section {
        if self.key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX) {
            return Section::Hypervisor;
        }
        // The one runtime annotation that belongs to the agent's section.
        let is_of_agent = matches!(self.setting, Setting::Seconds(_));
        if is_of_agent || self.key.starts_with(KATA_ANNO_CFG_AGENT_PREFIX) {
            Section::Agent
        } else {
            Section::Runtime
        }
    }
}

/// The row of a key that operators must enable.
pub(in crate::annotations) fn gated(key: &str) -> Option<&'static Row> {
    find(GATED, key)
}

/// The row of a key that is always honoured.
pub(in crate::annotations) fn ungated(key: &str) -> Option<&'static Row> {
    find(UNGATED, key)
}

/// Whether annotations set a key of a section, are checked against it, or are enabled by it.
pub(crate) fn act_on(section: Section, key: &str) -> bool {
    if section == Section::Hypervisor && key == "enable_annotations" {
        return true;
    }
    GATED
        .iter()
        .chain(UNGATED)
        .filter(|row| row.section() == section)
        .any(|row| match row.setting {
            Setting::Forbidden => false,
            Setting::PermittedPath(_, _, list) => row.config_key == key || list == key,
            _ => row.config_key == key,
        })
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
    fn every_row_sets_a_known_key() {
        for row in GATED.iter().chain(UNGATED) {
            assert!(row.section().find(row.config_key).is_some(), "{}", row.key);
        }
    }

    /// Paths that a list must permit, with their lists; `SECURITY.md` names them.
    const LISTED_PATHS: &[(&str, &str)] = &[
        ("entropy_source", "valid_entropy_sources"),
        ("file_mem_backend", "valid_file_mem_backends"),
        ("jailer_path", "valid_jailer_paths"),
        ("path", "valid_hypervisor_paths"),
        ("vhost_user_store_path", "valid_vhost_user_store_paths"),
        ("virtio_fs_daemon", "valid_virtio_fs_daemon_paths"),
    ];
    /// Paths that no list restricts; `SECURITY.md` names them too.
    const FREE_PATHS: &[&str] = &[
        "firmware",
        "guest_hook_path",
        "image",
        "initrd",
        "kernel",
        "prefetch_files.list",
    ];

    #[test]
    fn paths_that_a_list_must_permit_are_those_that_are_described_so() {
        let permitted: Vec<(&str, &str)> = GATED
            .iter()
            .filter_map(|row| match row.setting {
                Setting::PermittedPath(_, _, list) => Some((row.config_key, list)),
                _ => None,
            })
            .collect();
        assert_eq!(permitted, LISTED_PATHS);
        for (key, list) in LISTED_PATHS {
            let help = Section::Hypervisor.find(list).unwrap().help;
            assert!(help.contains(&format!(" as `{key}`")), "{list}: {help}");
        }
        // No other list says that a pod annotation may choose something.
        let lists = Section::Hypervisor
            .keys()
            .filter(|spec| spec.help.contains("a pod annotation may choose"));
        assert_eq!(lists.count(), LISTED_PATHS.len());

        for row in GATED {
            let name = row.key.strip_prefix(KATA_ANNO_CFG_HYPERVISOR_PREFIX);
            let is_path = matches!(row.setting, Setting::ExistingPath(..));
            assert!(
                !is_path || FREE_PATHS.contains(&name.unwrap()),
                "{}",
                row.key
            );
        }
    }

    #[test]
    fn the_security_policy_names_the_paths_that_lists_restrict() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../SECURITY.md");
        let Ok(policy) = std::fs::read_to_string(file) else {
            eprintln!("INFO: skipping a test of SECURITY.md: it is not beside the crate");
            return;
        };
        let policy = policy.split_whitespace().collect::<Vec<_>>().join(" ");
        let names = |start: &str, end: &str| -> Vec<String> {
            let (_, rest) = policy.split_once(start).unwrap();
            let (names, _) = rest.split_once(end).unwrap();
            let mut names: Vec<String> = names
                .split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            names.sort_unstable();
            names
        };
        let listed: Vec<&str> = LISTED_PATHS.iter().map(|(key, _)| *key).collect();
        assert_eq!(names("all or none; the paths ", " must match"), listed);
        assert_eq!(names("No list restricts ", ": whoever"), FREE_PATHS);
    }

    /// Written from the rows anew, because the schema derives it in another way.
    #[test]
    fn the_schema_says_which_keys_annotations_use() {
        let schema = crate::config::json_schema();
        for (section, name) in [
            (Section::Hypervisor, "hypervisor"),
            (Section::Factory, "factory"),
            (Section::RootlessUser, "rootless_user"),
            (Section::Agent, "agent"),
            (Section::MemAgent, "mem_agent"),
            (Section::Runtime, "runtime"),
            (Section::SharedMount, "shared_mount"),
        ] {
            let mut used: BTreeSet<&str> = GATED
                .iter()
                .chain(UNGATED)
                .filter(|row| row.section() == section)
                .filter(|row| !matches!(row.setting, Setting::Forbidden))
                .map(|row| row.config_key)
                .collect();
            if section == Section::Hypervisor {
                used.extend(LISTED_PATHS.iter().map(|(_, list)| *list));
                used.insert("enable_annotations");
            }
            for spec in section.keys().filter(|spec| !spec.has_no_effect()) {
                for spelling in spec.spellings() {
                    let property = &schema["$defs"][name]["properties"][spelling];
                    let description = property["description"].as_str().unwrap();
                    let (_, readers) = description.split_once(" Used by: ").unwrap();
                    let (readers, _) = readers.split_once('.').unwrap();
                    let is_listed = readers.split(", ").any(|reader| reader == "annotations");
                    assert_eq!(is_listed, used.contains(spec.name), "{name}.{spelling}");
                }
            }
        }
    }

    #[test]
    fn names_fit_the_limit_of_kubernetes() {
        // The annotation is `prefix/name` or `name`, and a name has at most 63 characters.
        for row in GATED.iter().chain(UNGATED) {
            assert!(row.key.len() <= 63, "{}", row.key);
        }
    }
}
