//! Test cases of plugins as tables.

use std::io;

use super::rules::BuiltInPlugin;
use crate::config::adjust::{AdjustNote, AdjustReport, Adjuster};
use crate::config::check::Checker;
use crate::config::host::Host;
use crate::config::{Hypervisor, TomlConfig};

pub(super) const CPUS: u32 = 8;
pub(super) const MEMORY_MIB: u32 = 4096;

fn host() -> Host {
    Host::with(CPUS, MEMORY_MIB)
}

/// A section with a program, a kernel, an image and that much memory.
pub(super) fn bootable(memory_mib: u32) -> Hypervisor {
    let mut hv = Hypervisor {
        path: "/dev/null".into(),
        ..Default::default()
    };
    hv.boot_info.kernel = "/dev/null".into();
    hv.boot_info.image = "/dev/null".into();
    hv.memory_info.default_memory = memory_mib;
    hv
}

/// A configuration with one section, which is active.
pub(super) fn config(name: &str, hv: Hypervisor) -> TomlConfig {
    let mut config = TomlConfig::default();
    config.hypervisor.insert(name.to_owned(), hv);
    config.runtime.hypervisor_name = name.to_owned();
    config
}

/// Runs the steps of a plugin.
pub(super) fn adjust(
    plugin: &BuiltInPlugin,
    hv: Hypervisor,
) -> (io::Result<Hypervisor>, Vec<AdjustNote>) {
    let mut config = config(plugin.name, hv);
    let host = host();
    let mut report = AdjustReport::default();
    let result = plugin.adjust(&mut config, &mut Adjuster::new(&host, &mut report));
    let hv = config.hypervisor.remove(plugin.name).unwrap();
    (result.map(|()| hv).map_err(|e| e.error), report.notes)
}

/// What a test changes in a section.
pub(super) type Change = fn(&mut Hypervisor);

/// Each change makes the plugin refuse a valid section for the given key with the given text, and
/// the checks are in the order of the table.
pub(super) fn assert_checks(
    plugin: &BuiltInPlugin,
    valid: fn() -> Hypervisor,
    cases: &[(&str, Change, &str)],
) {
    let validate = |changes: &[(&str, Change, &str)]| {
        let mut hv = valid();
        for (_, change, _) in changes {
            change(&mut hv);
        }
        let host = host();
        plugin
            .validate(&config(plugin.name, hv), &Checker::new(&host))
            .map_err(|e| (e.key, e.error.kind(), e.error.to_string()))
    };
    validate(&[]).unwrap();
    for (index, case) in cases.iter().enumerate() {
        let (key, _, text) = *case;
        let expected = Err((key.to_owned(), io::ErrorKind::Other, text.to_owned()));
        assert_eq!(validate(&cases[index..=index]), expected);
        assert_eq!(validate(&cases[index..]), expected, "order of {text:?}");
    }
}

/// Each change is accepted.
pub(super) fn assert_accepts(
    plugin: &BuiltInPlugin,
    valid: fn() -> Hypervisor,
    changes: &[Change],
) {
    for (index, change) in changes.iter().enumerate() {
        let mut hv = valid();
        change(&mut hv);
        let host = host();
        plugin
            .validate(&config(plugin.name, hv), &Checker::new(&host))
            .map_err(|e| (index, e))
            .unwrap();
    }
}

/// The plugin does nothing to a configuration without its section.
pub(super) fn assert_ignores_other_sections(plugin: &BuiltInPlugin) {
    let mut config = config("other", Hypervisor::default());
    plugin.adjust_config(&mut config).unwrap();
    plugin.validate_config(&config).unwrap();
    let untouched = serde_json::to_value(Hypervisor::default()).unwrap();
    assert_eq!(
        serde_json::to_value(&config.hypervisor["other"]).unwrap(),
        untouched
    );
}

pub(super) const MISSING: &str = "No such file or directory (os error 2)";
