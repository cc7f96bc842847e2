//! A file over another one (§3.2.5): tables key by key, anything else as a whole.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{KeySpec, Kind};

/// Merges `over` into `base`, which are of this kind if they are known.
///
/// Another spelling of a key that `over` has goes from `base`: what is later wins, whatever it is
/// called. If `over` has both, they stay for whoever reports them.
pub(super) fn merge<'i>(base: &mut DeTable<'i>, over: DeTable<'i>, kind: Option<Kind>) {
    if let Some(Kind::Table(section)) = kind {
        let spellings = |name| section.find(name).into_iter().flat_map(KeySpec::spellings);
        for key in over.keys() {
            let key = key.get_ref().as_ref();
            for other in spellings(key).filter(|other| !over.contains_key(*other)) {
                base.remove(other);
            }
        }
    }
    for (key, value) in over {
        let span = value.span();
        match (base.get_mut(key.get_ref().as_ref()), value.into_inner()) {
            (Some(old), DeValue::Table(new)) if old.get_ref().is_table() => {
                let below = match kind {
                    Some(Kind::Table(section)) => section.find(key.get_ref()).map(|spec| spec.kind),
                    Some(Kind::Named(section)) => Some(Kind::Table(section)),
                    _ => None,
                };
                if let DeValue::Table(old) = old.get_mut() {
                    merge(old, new, below);
                }
            }
            (_, new) => {
                // Not replaced in place: the key has to come from the file of the value.
                base.remove(key.get_ref().as_ref());
                base.insert(key, Spanned::new(span, new));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::keys::Section;

    fn merged(base: &str, over: &str) -> toml::Table {
        let [mut base, over] = [base, over].map(|text| DeTable::parse(text).unwrap().into_inner());
        merge(&mut base, over, Some(Kind::Table(Section::Root)));
        let whole = Spanned::new(0..0, base);
        toml::Table::deserialize(toml::de::Deserializer::from(whole)).unwrap()
    }

    #[test]
    fn tables_merge_and_everything_else_is_replaced() {
        for (name, base, over, expected) in [
            ("keys are added", "a = 1", "b = 2", "a = 1\nb = 2"),
            ("scalars are replaced", "a = 1", "a = 2", "a = 2"),
            ("types may change", "a = 1", "a = 'x'", "a = 'x'"),
            ("arrays are replaced", "a = [1, 2]", "a = [3]", "a = [3]"),
            (
                "arrays of tables are replaced",
                "[[a]]\nx = 1\n[[a]]",
                "[[a]]\ny = 1",
                "[[a]]\ny = 1",
            ),
            (
                "tables merge",
                "[t]\na = 1\nb = 1",
                "[t]\nb = 2\nc = 3",
                "[t]\na = 1\nb = 2\nc = 3",
            ),
            (
                "nested tables merge",
                "[t.u]\na = 1",
                "t.u.b = 2",
                "[t.u]\na = 1\nb = 2",
            ),
            (
                "inline tables merge",
                "t = {a = 1}",
                "t = {b = 2}",
                "t = {a = 1, b = 2}",
            ),
            (
                "a table replaces a scalar",
                "t = 1",
                "[t]\na = 1",
                "[t]\na = 1",
            ),
            ("a scalar replaces a table", "[t]\na = 1", "t = 1", "t = 1"),
            (
                "an empty table changes nothing",
                "[t]\na = 1",
                "[t]",
                "[t]\na = 1",
            ),
        ] {
            let expected: toml::Table = expected.parse().unwrap();
            assert_eq!(merged(base, over), expected, "{name}");
        }
    }

    #[test]
    fn later_spelling_of_a_key_replaces_an_earlier_one() {
        for (base, over, expected) in [
            (
                "hypervisor.remote.remote_hypervisor_socket = '/a'",
                "[hypervisor.remote]\nhypervisor_socket = '/b'",
                "[hypervisor.remote]\nhypervisor_socket = '/b'",
            ),
            (
                "agent.a.mem_agent.enable = true",
                "agent.a.mem_agent.mem_agent_enable = false",
                "agent.a.mem_agent.mem_agent_enable = false",
            ),
            // Of one file, or where nothing is known about the name.
            (
                "[hypervisor.a]\nhypervisor_timeout = 1",
                "[hypervisor.a]\nremote_hypervisor_timeout = 2\nhypervisor_timeout = 3",
                "[hypervisor.a]\nremote_hypervisor_timeout = 2\nhypervisor_timeout = 3",
            ),
            (
                "[runtime]\nhypervisor_timeout = 1",
                "[runtime]\nremote_hypervisor_timeout = 2",
                "[runtime]\nhypervisor_timeout = 1\nremote_hypervisor_timeout = 2",
            ),
        ] {
            let expected: toml::Table = expected.parse().unwrap();
            assert_eq!(merged(base, over), expected, "{base}");
        }
    }
}
