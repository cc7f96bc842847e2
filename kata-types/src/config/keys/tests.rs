//! The table of keys is complete and says the truth.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::hypervisor::RootlessUser;
use crate::config::{Agent, Factory, Hypervisor, MemAgent, Runtime, SharedMount, TomlConfig};

/// The JSON form of the type behind a section, with defaults.
fn defaults(section: Section) -> Map<String, Value> {
    let value = match section {
        Section::Root => serde_json::to_value(TomlConfig::default()),
        Section::Hypervisor => serde_json::to_value(Hypervisor::default()),
        Section::Factory => serde_json::to_value(Factory::default()),
        Section::RootlessUser => serde_json::to_value(RootlessUser::default()),
        Section::Agent => serde_json::to_value(Agent::default()),
        Section::MemAgent => serde_json::to_value(MemAgent::default()),
        Section::Runtime => serde_json::to_value(Runtime::default()),
        Section::SharedMount => serde_json::to_value(SharedMount::default()),
    };
    match value.unwrap() {
        Value::Object(keys) => keys,
        other => panic!("{section:?} is no table but {other}"),
    }
}

#[test]
fn the_table_has_exactly_the_keys_of_the_structs() {
    for section in Section::ALL {
        let mut of_struct: BTreeSet<_> = defaults(section).keys().cloned().collect();
        of_struct.remove("log_prefix"); // of the sample vendor extension
        let of_table: BTreeSet<_> = section.keys().map(|spec| spec.name.to_owned()).collect();
        assert_eq!(of_table, of_struct, "{section:?}");
    }
}

#[test]
fn defaults_in_the_table_are_those_of_the_code() {
    for section in Section::ALL {
        let defaults = defaults(section);
        for spec in section.keys() {
            let of_code = &defaults[spec.name];
            if spec.default.is_empty() {
                let is_table = matches!(spec.kind, Kind::Table(_) | Kind::Named(_));
                assert!(
                    of_code.is_null() || is_table,
                    "{section:?} {}: {of_code}",
                    spec.name
                );
                continue;
            }
            let document: toml::Table = format!("value = {}", spec.default).parse().unwrap();
            let documented = serde_json::to_value(&document["value"]).unwrap();
            assert_eq!(&documented, of_code, "{section:?} {}", spec.name);
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    for section in Section::ALL {
        let mut seen = BTreeSet::new();
        for spec in section.keys() {
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert!(seen.insert(*name), "{section:?} {name} is listed twice");
                assert!(std::ptr::eq(section.find(name).unwrap(), spec), "{name}");
            }
        }
        for unknown in ["", "a", "zzz", "kernel_", "kerne"] {
            assert!(section.find(unknown).is_none(), "{section:?} {unknown}");
        }
    }
}

#[test]
fn every_key_is_explained_in_a_sentence() {
    for section in Section::ALL {
        for spec in section.keys() {
            assert!(
                spec.help.ends_with('.') && !spec.help.contains('\n'),
                "{}",
                spec.name
            );
            assert!(
                spec.help.starts_with(|c: char| !c.is_lowercase()
                    || spec.help.starts_with("dm-")
                    || spec.help.starts_with("vsock")),
                "{}",
                spec.name
            );
            assert!(!section.readers(spec).is_empty(), "{}", spec.name);
            assert!(
                spec.exception.is_empty() || spec.has_no_effect(),
                "{}",
                spec.name
            );
            assert!(
                !spec.readers.contains("annotations"),
                "{}: derived",
                spec.name
            );
        }
    }
}

/// Deserialises one key and returns what became of it.
fn through<T: DeserializeOwned + serde::Serialize>(key: &str, value: Value) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert(key.to_owned(), value);
    let parsed: T = serde_json::from_value(Value::Object(keys)).unwrap();
    match serde_json::to_value(parsed).unwrap() {
        Value::Object(keys) => keys,
        other => panic!("{other}"),
    }
}

#[test]
fn aliases_reach_the_key() {
    let mut aliases = 0;
    for section in Section::ALL {
        for spec in section.keys() {
            for alias in spec.aliases {
                aliases += 1;
                let value = match spec.kind {
                    Kind::Bool => json!(true),
                    Kind::I32 => json!(7),
                    _ => json!("x"),
                };
                let keys = match section {
                    Section::Hypervisor => through::<Hypervisor>(alias, value.clone()),
                    Section::MemAgent => through::<MemAgent>(alias, value.clone()),
                    other => panic!("{other:?} has no aliases"),
                };
                assert_eq!(keys[spec.name], value, "{alias}");
            }
        }
    }
    assert_eq!(aliases, 4);
}

#[test]
fn what_adjustment_fills_in_is_of_the_right_type() {
    for section in Section::ALL {
        for spec in section.keys() {
            for (hypervisor, value) in spec.adjusted {
                assert_ne!(*value, spec.default, "{} {hypervisor}", spec.name);
                value
                    .parse::<toml::Value>()
                    .or_else(|_| {
                        format!("v = {value}")
                            .parse::<toml::Table>()
                            .map(|t| t["v"].clone())
                    })
                    .unwrap();
            }
        }
    }
}
