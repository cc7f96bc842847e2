//! The documented examples in `examples/config/`: they work, and what they say is true.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;

use common::{EXAMPLES, below, example};
use kata_types::config::{ConfigLoader, DiagnosticKind, LoadedConfig, TomlConfig};

/// Loads a configuration from a file of its own.
fn load(text: &str) -> LoadedConfig {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("configuration.toml");
    fs::write(&file, text).unwrap();
    let mut loaded = ConfigLoader::new(&file).read().unwrap();
    loaded.adjust().unwrap();
    loaded
}

#[test]
fn every_example_loads_validates_and_is_unremarkable() {
    for name in EXAMPLES {
        let root = tempfile::tempdir().unwrap();
        let mut text = below(root.path(), &example(name));
        if name == "remote" {
            // The only hypervisor that demands the size of the host.
            let cpus = format!("default_maxvcpus = {}", num_cpus::get());
            text = text.replace("#default_maxvcpus = 0", &cpus);
        }
        let mut loaded = load(&text);
        // Whether 8 GiB are more than this machine has is not the example's fault.
        let remarks: Vec<_> = loaded
            .diagnostics()
            .into_iter()
            .filter(|diagnostic| diagnostic.kind != DiagnosticKind::Clamped)
            .collect();
        assert_eq!(remarks, [], "{name}");
        loaded.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            loaded
                .config
                .hypervisor
                .contains_key(&loaded.config.runtime.hypervisor_name)
        );
        assert_eq!(loaded.config.runtime.agent_name, "kata", "{name}");
    }
}

#[test]
fn documented_defaults_are_those_of_the_code() {
    for name in EXAMPLES {
        let root = tempfile::tempdir().unwrap();
        let text = below(root.path(), &example(name));
        let mut keys = 0;
        let mut explicit = String::new();
        for line in text.lines() {
            let commented = line
                .strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            keys += usize::from(commented.is_some());
            explicit.push_str(commented.unwrap_or(line));
            explicit.push('\n');
        }
        assert!(keys > 100, "{name}: {keys}");
        let [implied, explicit] = [&text, &explicit].map(|text| {
            let loaded = load(text);
            assert!(
                loaded
                    .diagnostics()
                    .iter()
                    .all(|d| d.kind == DiagnosticKind::Clamped),
                "{name}: {:?}",
                loaded.diagnostics()
            );
            serde_json::to_value(&loaded.config).unwrap()
        });
        assert_eq!(implied, explicit, "{name}");
    }
}

#[test]
fn effective_configurations_can_be_loaded_again() {
    for name in EXAMPLES {
        let root = tempfile::tempdir().unwrap();
        let loaded = load(&below(root.path(), &example(name)));
        let again = TomlConfig::load(&loaded.origins().render()).unwrap();
        assert_eq!(
            serde_json::to_value(&again).unwrap(),
            serde_json::to_value(&loaded.config).unwrap(),
            "{name}"
        );
    }
}
