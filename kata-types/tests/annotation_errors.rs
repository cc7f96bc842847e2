//! What annotations are refused for, and that a refusal changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use std::io::{Error, ErrorKind};

use fixture::{PREFIX, applied, apply, config, hypervisor};
use kata_types::annotations::Annotation;
use kata_types::config::TomlConfig;
use kata_types::initdata::{InitData, encode_initdata};
use proptest::prelude::*;

/// The error of an annotation, which must leave the configuration as it was.
fn refused(annotations: &[(&str, &str)]) -> Error {
    let mut config = config();
    let before = serde_json::to_value(&config).unwrap();
    let error = apply(&mut config, annotations).unwrap_err();
    assert_eq!(serde_json::to_value(&config).unwrap(), before);
    error
}

#[test]
fn malformed_values_name_key_value_and_reason() {
    let digit = "invalid digit found in string";
    let boolean = "provided string was not `true` or `false`";
    for (key, value, what, reason) in [
        (
            "hypervisor.enable_guest_swap",
            "false1",
            "parse bool error",
            boolean,
        ),
        (
            "hypervisor.enable_iommu",
            "True",
            "parse bool error",
            boolean,
        ),
        ("hypervisor.memory_slots", "-1", "parse u32 error", digit),
        ("hypervisor.memory_offset", "x", "parse u64 error", digit),
        (
            "hypervisor.block_device_num_queues",
            "1.5",
            "parse usize error",
            digit,
        ),
        (
            "hypervisor.default_vcpus",
            " ddc",
            "parse f32 error",
            "invalid float literal",
        ),
        (
            "hypervisor.default_vcpus",
            "NaN",
            "parse f32 error",
            "not a finite number",
        ),
        (
            "hypervisor.default_vcpus",
            "-inf",
            "parse f32 error",
            "not a finite number",
        ),
        (
            "hypervisor.default_vcpus",
            "1e39",
            "parse f32 error",
            "not a finite number",
        ),
        (
            "hypervisor.default_memory",
            "2048r",
            "parse memory error",
            "expected MiB, or a number with a unit such as 2GiB",
        ),
        (
            "hypervisor.default_memory",
            "4PiB",
            "parse memory error",
            "more than 4294967295 MiB",
        ),
        (
            "hypervisor.hugepage_type",
            "1G",
            r#"parse huge pages type: 1G, error: invalid hugepage_type "1G", expected "hugetlbfs" or "thp""#,
            r#"invalid hugepage_type "1G", expected "hugetlbfs" or "thp""#,
        ),
        ("agent.enable_tracing", "", "parse bool error", boolean),
        (
            "agent.container_pipe_size",
            "a\"b",
            "parse u32 error",
            digit,
        ),
        (
            "runtime.create_container_timeout",
            "4294967296",
            "parse u32 error",
            "number too large to fit in target type",
        ),
        (
            "runtime.disable_new_netns",
            "1",
            "parse bool error",
            boolean,
        ),
        (
            "runtime.shared_mounts",
            "x",
            "expected value at line 1 column 1",
            "expected value at line 1 column 1",
        ),
    ] {
        let error = refused(&[(key, value)]);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{key}");
        assert_eq!(
            error.to_string(),
            format!("{what}: annotation {PREFIX}{key} has invalid value {value:?}: {reason}")
        );
    }
}

#[test]
fn values_out_of_range_have_the_texts_of_the_contract() {
    for (key, value, kind, text) in [
        (
            "hypervisor.default_vcpus",
            "400",
            ErrorKind::InvalidData,
            "Vcpus specified in annotation 400 is more than maximum limitation 256",
        ),
        (
            "hypervisor.default_memory",
            "10",
            ErrorKind::InvalidData,
            "memory specified in annotation 10 is less than minimum limitation 64",
        ),
        (
            "hypervisor.pcie_root_port",
            "17",
            ErrorKind::InvalidData,
            "root ports allocated exceeds the max 16",
        ),
        (
            "hypervisor.pcie_switch_port",
            "17",
            ErrorKind::InvalidData,
            "switch ports allocated exceeds the max 16",
        ),
        (
            "hypervisor.blk_logical_sector_size",
            "1000",
            ErrorKind::InvalidData,
            "invalid sector size 1000: must be 0 or a power of 2 between 512 and 65536",
        ),
        (
            "hypervisor.blk_physical_sector_size",
            "131072",
            ErrorKind::InvalidData,
            "invalid sector size 131072: must be 0 or a power of 2 between 512 and 65536",
        ),
        (
            "runtime.name",
            "virt_container",
            ErrorKind::InvalidData,
            r#"runtime specified in annotation virt_container is not in ["virt-container", "linux-container", "wasm-container"]"#,
        ),
        (
            "hypervisor.path",
            "/etc/passwd",
            ErrorKind::Other,
            "Path /etc/passwd is not permitted",
        ),
        (
            "hypervisor.kernel",
            "/no/kernel",
            ErrorKind::Other,
            "path /no/kernel is invalid: No such file or directory (os error 2)",
        ),
        (
            "hypervisor.guest_hook_path",
            "/no/hooks",
            ErrorKind::Other,
            "path /no/hooks is invalid: No such file or directory (os error 2)",
        ),
        (
            "hypervisor.kernel_verity_params",
            "root_hash=abc",
            ErrorKind::InvalidData,
            "Missing kernel_verity_params data_blocks",
        ),
        (
            "hypervisor.path_hash",
            "00",
            ErrorKind::InvalidInput,
            "Invalid annotation type io.katacontainers.config.hypervisor.path_hash",
        ),
        (
            "hypervisor.asset_hash_type",
            "sha512",
            ErrorKind::InvalidInput,
            "Invalid annotation type io.katacontainers.config.hypervisor.asset_hash_type",
        ),
        (
            "hypervisor.unheard_of",
            "1",
            ErrorKind::InvalidInput,
            "Invalid annotation type io.katacontainers.config.hypervisor.unheard_of",
        ),
    ] {
        let error = refused(&[(key, value)]);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), kind, "{key}");
    }
}

#[test]
fn paths_with_parent_components_are_not_permitted() {
    for name in [
        "path",
        "jailer_path",
        "vhost_user_store_path",
        "entropy_source",
        "file_mem_backend",
        "virtio_fs_daemon",
    ] {
        let error = refused(&[(&format!("hypervisor.{name}"), "/dev/../etc/passwd")]);
        assert_eq!(
            error.to_string(),
            "Path /dev/../etc/passwd is not permitted"
        );
    }
}

#[test]
fn malformed_initdata_is_an_error_with_its_chain() {
    let mut document = InitData::new("sha256", "0.1.0");
    document.insert_data("k", "v".repeat(1000));
    let good = encode_initdata(&document);
    for (value, step) in [
        ("!", "base64 decode"),
        (good.split_at(40).0, "gz decoder failed"),
    ] {
        let error = refused(&[("hypervisor.cc_init_data", value)]);
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let text = error.to_string();
        let expected = format!(
            "annotation {PREFIX}hypervisor.cc_init_data is invalid: decoding initdata annotation \
             failed: {step}: "
        );
        assert!(text.starts_with(&expected), "{text}");
    }
}

#[test]
fn sector_sizes_are_checked_together_in_any_order() {
    let logical = "hypervisor.blk_logical_sector_size";
    let physical = "hypervisor.blk_physical_sector_size";
    for (l, p) in [
        ("0", "0"),
        ("512", "4096"),
        ("4096", "0"),
        ("0", "512"),
        ("512", "512"),
    ] {
        let config = applied(&[(logical, l), (physical, p)]);
        let info = &hypervisor(&config).blockdev_info;
        assert_eq!(info.block_device_logical_sector_size.to_string(), l);
        assert_eq!(info.block_device_physical_sector_size.to_string(), p);
    }
    let error = refused(&[(logical, "4096"), (physical, "512")]);
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.to_string(),
        "invalid sector sizes: logical (4096) must not be larger than physical (512)"
    );
    // The other one may be configured.
    let mut config = config();
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .blockdev_info
        .block_device_physical_sector_size = 512;
    assert!(apply(&mut config, &[(logical, "4096")]).is_err());
}

#[test]
fn missing_names_and_sections_are_errors() {
    type Change = fn(&mut TomlConfig);
    let rows: [(Change, &str); 6] = [
        (
            |c| c.runtime.name.clear(),
            "Runtime name is missing in the configuration",
        ),
        (
            |c| c.runtime.hypervisor_name.clear(),
            "Hypervisor name is missing in the configuration",
        ),
        (
            |c| c.runtime.agent_name.clear(),
            "Agent name is missing in the configuration",
        ),
        (
            |c| {
                c.runtime.name.clear();
                c.runtime.hypervisor_name.clear();
            },
            "Runtime name is missing in the configuration",
        ),
        (|c| c.hypervisor.clear(), "Invalid hypervisor name qemu"),
        (|c| c.agent.clear(), "Invalid agent name kata"),
    ];
    for (change, text) in rows {
        let mut config = config();
        change(&mut config);
        let error = apply(&mut config, &[]).unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn limits_need_a_plugin() {
    for (key, value) in [("default_vcpus", "1"), ("default_memory", "1024")] {
        let mut config = config();
        let section = config.hypervisor.remove("qemu").unwrap();
        config.hypervisor.insert("unheard-of".to_string(), section);
        config.runtime.hypervisor_name = "unheard-of".to_string();
        let error = apply(&mut config, &[(&format!("hypervisor.{key}"), value)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Can not find plugin for hypervisor unheard-of"
        );
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn first_key_in_order_is_the_one_reported_and_nothing_is_changed() {
    for _ in 0..20 {
        let error = refused(&[
            ("runtime.disable_new_netns", "bad"),
            ("runtime.hypervisor_name", "qemu"),
            ("hypervisor.memory_slots", "77"),
            ("hypervisor.memory_offset", "bad"),
            ("hypervisor.network_queues", "bad"),
            ("agent.container_pipe_size", "4096"),
            ("agent.kernel_modules", "m"),
        ]);
        assert!(
            error.to_string().contains("hypervisor.memory_offset"),
            "{error}"
        );
    }
}

#[test]
fn failing_adjustment_restores_the_configuration() {
    // Accepted here, and refused by the adjustment.
    let error = refused(&[
        ("hypervisor.prefetch_files.list", "/no/such/list"),
        ("hypervisor.memory_slots", "77"),
        ("agent.kernel_modules", "m"),
        ("runtime.experimental", "x"),
    ]);
    assert!(error.to_string().contains("/no/such/list"), "{error}");
}

/// A value that is right, nearly right or wrong for some key.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ 0-9.eE+-]{0,12}",
        "[0-9]{1,4} ?[KMGTPE]?i?[bB]?",
        "(true|false|thp|hugetlbfs|NaN|inf|-inf|/dev/null|/dev/zero|512|4096|qemu|kata)",
        "(/dev/null|\\.\\./|/|\\*|\\.){0,4}",
        "[A-Za-z0-9+/]{0,40}={0,2}",
        "\\[(\\{\"name\":\"n\"\\}){0,2}\\]",
        "(root_hash|salt|data_blocks|=|,|0|1|ab|18446744073709551615){0,12}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    let page = kata_types::annotations::markdown_reference();
    let mut keys = Vec::new();
    let mut prefix = String::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            prefix = title
                .split('`')
                .nth(1)
                .unwrap()
                .trim_end_matches('…')
                .to_string();
        } else if line.starts_with("| `") {
            keys.push(format!("{prefix}{}", line.split('`').nth(1).unwrap()));
        }
    }
    assert!(keys.len() > 80);
    prop_oneof![
        20 => proptest::sample::select(keys),
        1 => any::<String>(),
        1 => any::<String>().prop_map(|name| format!("{PREFIX}hypervisor.{name}")),
    ]
}

proptest! {
    #[test]
    fn any_annotations_are_applied_whole_or_not_at_all(
        annotations in proptest::collection::hash_map(key(), value(), 0..4),
        all_enabled: bool,
    ) {
        let mut config = config();
        if !all_enabled {
            config.hypervisor.get_mut("qemu").unwrap().security_info.enable_annotations =
                vec!["[a-m].*".to_string()];
        }
        let before = serde_json::to_value(&config).unwrap();
        match Annotation::new(annotations).update_config_by_annotation(&mut config) {
            Ok(()) => {
                // Adjusted: doing it again changes nothing.
                let after = serde_json::to_value(&config).unwrap();
                config.adjust_config().unwrap();
                prop_assert_eq!(serde_json::to_value(&config).unwrap(), after);
            }
            Err(_) => prop_assert_eq!(serde_json::to_value(&config).unwrap(), before),
        }
    }
}
