//! Which annotations are honoured, and what is said about the others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use fixture::{applied, apply, capture_log, config, hypervisor, warnings};
use kata_types::annotations::Annotation;

#[test]
fn keys_that_are_not_enabled_change_nothing_and_warn() {
    let mut config = config();
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .security_info
        .enable_annotations = vec!["kernel".to_string()];
    let before = serde_json::to_value(&config).unwrap();
    let log = capture_log(|| {
        apply(
            &mut config,
            &[
                ("hypervisor.path", "/etc/passwd"),
                ("hypervisor.kernel_params", "init=/bin/sh"),
                ("hypervisor.path_hash", "00"),
                ("runtime.unheard_of", "1"),
            ],
        )
        .unwrap();
    });
    assert_eq!(serde_json::to_value(&config).unwrap(), before);
    assert_eq!(
        warnings(&log),
        [
            "WARN Annotation io.katacontainers.config.hypervisor.kernel_params not enabled",
            "WARN Annotation io.katacontainers.config.hypervisor.path not enabled",
            "WARN Annotation io.katacontainers.config.hypervisor.path_hash not enabled",
            "WARN Annotation io.katacontainers.config.runtime.unheard_of not enabled",
        ]
    );
}

#[test]
fn annotations_of_others_are_passed_over_in_silence() {
    let log = capture_log(|| {
        let annotations = [
            ("io.kubernetes.cri.sandbox-memory", "0"),
            ("io.katacontainers.config_path", "/etc/evil.toml"),
            ("io.katacontainers.pkg.oci.bundle_path", "/b"),
            ("example.com/label", ""),
            ("", ""),
        ]
        .map(|(key, value)| (key.to_string(), value.to_string()));
        let mut config = config();
        let before = serde_json::to_value(&config).unwrap();
        Annotation::new(annotations.into())
            .update_config_by_annotation(&mut config)
            .unwrap();
        assert_eq!(serde_json::to_value(&config).unwrap(), before);
    });
    assert_eq!(warnings(&log), Vec::<&str>::new());
}

#[test]
fn bind_mounts_are_never_taken_from_annotations() {
    let log = capture_log(|| {
        let config = applied(&[("runtime.sandbox_bind_mounts", "/etc")]);
        assert!(config.runtime.sandbox_bind_mounts.is_empty());
    });
    assert_eq!(
        warnings(&log),
        [
            "WARN Annotation io.katacontainers.config.runtime.sandbox_bind_mounts is not permitted \
          from workload annotations"
        ]
    );
}

#[test]
fn sections_are_selected_first_and_only_among_the_configured() {
    let mut config = config();
    let mut other = hypervisor(&config).clone();
    other.security_info.enable_annotations = vec!["memory_slots".to_string()];
    config.hypervisor.insert("clh".to_string(), other);
    let agent = config.agent["kata"].clone();
    config.agent.insert("other".to_string(), agent);
    let log = capture_log(|| {
        apply(
            &mut config,
            &[
                ("runtime.hypervisor_name", "clh"),
                ("runtime.agent_name", "other"),
                ("hypervisor.memory_slots", "33"),
                ("hypervisor.enable_iommu", "true"),
                ("agent.container_pipe_size", "44"),
            ],
        )
        .unwrap();
    });
    // The gate is that of the section that was selected.
    assert_eq!(
        warnings(&log),
        ["WARN Annotation io.katacontainers.config.hypervisor.enable_iommu not enabled"]
    );
    assert_eq!(config.runtime.hypervisor_name, "clh");
    assert_eq!(config.runtime.agent_name, "other");
    assert_eq!(config.hypervisor["clh"].memory_info.memory_slots, 33);
    assert_ne!(config.hypervisor["qemu"].memory_info.memory_slots, 33);
    assert_eq!(config.agent["other"].container_pipe_size, 44);
    assert_eq!(config.agent["kata"].container_pipe_size, 0);
}

#[test]
fn unconfigured_sections_are_not_selected() {
    let log = capture_log(|| {
        let config = applied(&[
            ("runtime.hypervisor_name", " qemu"),
            ("runtime.agent_name", ""),
        ]);
        assert_eq!(config.runtime.hypervisor_name, "qemu");
        assert_eq!(config.runtime.agent_name, "kata");
    });
    assert_eq!(
        warnings(&log),
        [
            "WARN Annotation io.katacontainers.config.runtime.hypervisor_name names \" qemu\", which \
             is not configured",
            "WARN Annotation io.katacontainers.config.runtime.agent_name names \"\", which is not \
             configured",
        ]
    );
}

#[test]
fn invalid_patterns_leave_the_others_working() {
    let mut config = config();
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .security_info
        .enable_annotations = vec!["(".to_string(), "memory_.*".to_string()];
    apply(&mut config, &[("hypervisor.memory_slots", "77")]).unwrap();
    assert_eq!(hypervisor(&config).memory_info.memory_slots, 77);
}
