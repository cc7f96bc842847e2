//! Annotations of a pod, applied to a configuration. The first line of an input has the patterns of
//! `enable_annotations`, separated by `;`; the others are `KEY=VALUE`, where a key that begins with
//! `.` is one below `io.katacontainers.config`.
//!
//! * All are applied, or none: after an error the configuration is as it was.
//! * The result is adjusted: adjusting it again changes nothing.
//! * What the operator has not enabled, as the `regex` crate reads the patterns, has no effect, and no
//!   error; of what is enabled, some settings are looked at.
//! * Other getters of annotations take the same text.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use kata_libs_fuzz::unescape;
use kata_types::annotations::{Annotation, KATA_ANNO_CFG_HYPERVISOR_PREFIX};
use kata_types::config::{Agent, Hypervisor, TomlConfig};
use libfuzzer_sys::fuzz_target;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

static CONFIG: LazyLock<TomlConfig> = LazyLock::new(|| {
    let devices = vec!["/dev/*".to_owned()];
    let mut hypervisor = Hypervisor {
        path: "/dev/null".to_owned(),
        valid_hypervisor_paths: devices.clone(),
        valid_jailer_paths: devices.clone(),
        ..Default::default()
    };
    hypervisor.boot_info.kernel = "/dev/null".to_owned();
    hypervisor.boot_info.kernel_params = "a=1 b=1".to_owned();
    hypervisor.blockdev_info.valid_vhost_user_store_paths = devices.clone();
    hypervisor.machine_info.valid_entropy_sources = devices.clone();
    hypervisor.memory_info.valid_file_mem_backends = devices.clone();
    hypervisor.shared_fs.valid_virtio_fs_daemon_paths = devices;

    let mut config = TomlConfig::default();
    for name in ["qemu", "dragonball"] {
        config
            .hypervisor
            .insert(name.to_owned(), hypervisor.clone());
    }
    config.agent.insert("kata".to_owned(), Agent::default());
    config.runtime.name = "virt_container".to_owned();
    config.runtime.hypervisor_name = "qemu".to_owned();
    config.runtime.agent_name = "kata".to_owned();
    config.adjust_config().expect("a correct configuration");
    config
});

fn text(config: &TomlConfig) -> String {
    serde_json::to_string(config).expect("every configuration has a JSON form")
}

/// The result for a configuration that has been adjusted.
fn applied(config: &TomlConfig, annotations: HashMap<String, String>) -> Option<String> {
    let mut changed = config.clone();
    match Annotation::new(annotations).update_config_by_annotation(&mut changed) {
        Ok(()) => {
            let applied = text(&changed);
            changed.adjust_config().expect("it was adjusted before");
            assert_eq!(text(&changed), applied, "adjusting again changes something");
            Some(applied)
        }
        Err(_) => {
            assert_eq!(text(&changed), text(config), "some were applied");
            None
        }
    }
}

/// The most patterns, and the memory that one may take.
const MAX_PATTERNS: usize = 100;
const MAX_BYTES: usize = 256 << 10;

fn regex(text: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(text);
    builder.size_limit(MAX_BYTES).build().ok()
}

/// The patterns that can be read, each for a whole name.
fn whole_patterns(patterns: &[String]) -> Vec<Regex> {
    // Each must be a pattern by itself: parentheses could end the group.
    let whole = |text: &String| regex(text).and_then(|_| regex(&format!("^(?:{text})$")));
    patterns.iter().filter_map(whole).collect()
}

fn is_enabled(patterns: &[Regex], key: &str) -> bool {
    let name = key.strip_prefix(KATA_ANNO_CFG_HYPERVISOR_PREFIX);
    name.is_none_or(|name| patterns.iter().any(|pattern| pattern.is_match(name)))
}

/// The value of a member, wherever it is.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    members
        .get(name)
        .or_else(|| members.values().find_map(|value| find(value, name)))
}

/// Settings that are what their annotations say, if they are enabled.
fn check_effects(result: &str, annotations: &HashMap<String, String>) {
    let result: Value = serde_json::from_str(result).expect("JSON");
    let name = result["runtime"]["hypervisor_name"]
        .as_str()
        .unwrap_or_default();
    let hypervisor = &result["hypervisor"][name];
    let value = |name: &str| {
        let value = annotations.get(&format!("{KATA_ANNO_CFG_HYPERVISOR_PREFIX}{name}"))?;
        Some((value.trim(), find(hypervisor, name).expect("a setting")))
    };
    for name in [
        "disable_vhost_net",
        "enable_iommu",
        "enable_iothreads",
        "rootless",
    ] {
        if let Some((text, found)) = value(name) {
            assert_eq!(
                Some(found),
                serde_json::from_str(text).ok().as_ref(),
                "{name}"
            );
        }
    }
    for name in ["rx_rate_limiter_max_rate", "tx_rate_limiter_max_rate"] {
        if let Some((text, found)) = value(name) {
            assert_eq!(found.as_u64(), text.parse().ok(), "{name}");
        }
    }
    if let Some((text, found)) = value("default_gpu_model") {
        assert_eq!(found.as_str().map(str::trim), Some(text));
    }
}

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    let (enabled, lines) = input.split_once('\n').unwrap_or((&input, ""));
    let mut config = CONFIG.clone();
    let patterns = enabled.split(';').filter(|pattern| !pattern.is_empty());
    let patterns: Vec<String> = patterns.map(str::to_owned).take(MAX_PATTERNS).collect();
    for hypervisor in config.hypervisor.values_mut() {
        hypervisor.security_info.enable_annotations = patterns.clone();
    }
    let annotations: HashMap<String, String> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| match key.strip_prefix('.') {
            Some(key) => (format!("io.katacontainers.config.{key}"), unescape(value)),
            None => (key.to_owned(), unescape(value)),
        })
        .collect();

    let all = Annotation::new(annotations.clone());
    let _ = (
        all.get_container_resource_swappiness(),
        all.get_container_resource_swap_in_bytes(),
    );
    let _ = (
        all.get_sandbox_cpu_quota(),
        all.get_sandbox_cpu_period(),
        all.get_sandbox_mem(),
    );

    if config.adjust_config().is_ok() {
        let mut enabled = annotations.clone();
        let patterns = whole_patterns(&patterns);
        enabled.retain(|key, _| is_enabled(&patterns, key));
        let result = applied(&config, annotations.clone());
        assert_eq!(result, applied(&config, enabled.clone()));
        if let Some(result) = result {
            check_effects(&result, &enabled);
        }
    }
    // Nothing is enabled: the gated ones need not be there.
    let ungated = annotations
        .iter()
        .filter(|(key, _)| !key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(applied(&CONFIG, annotations), applied(&CONFIG, ungated));
});
