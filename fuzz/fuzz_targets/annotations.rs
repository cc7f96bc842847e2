//! Annotations of a pod, applied to a configuration. The first line of an input has the patterns of
//! `enable_annotations`, separated by `;`; the others are `KEY=VALUE`, where a key that begins with
//! `.` is one below `io.katacontainers.config`.
//!
//! * All are applied, or none: after an error the configuration is as it was.
//! * The result is adjusted: adjusting it again changes nothing.
//! * What the operator has not enabled has no effect, and no error.
//! * Other getters of annotations take the same text.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use kata_libs_fuzz::unescape;
use kata_types::annotations::{Annotation, KATA_ANNO_CFG_HYPERVISOR_PREFIX};
use kata_types::config::{Agent, Hypervisor, TomlConfig};
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    let (enabled, lines) = input.split_once('\n').unwrap_or((&input, ""));
    let mut config = CONFIG.clone();
    for hypervisor in config.hypervisor.values_mut() {
        let patterns = enabled.split(';').filter(|pattern| !pattern.is_empty());
        hypervisor.security_info.enable_annotations = patterns.map(str::to_owned).collect();
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
        applied(&config, annotations.clone());
    }
    // Nothing is enabled: the gated ones need not be there.
    let ungated = annotations
        .iter()
        .filter(|(key, _)| !key.starts_with(KATA_ANNO_CFG_HYPERVISOR_PREFIX))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(applied(&CONFIG, annotations), applied(&CONFIG, ungated));
});
