//! Diagnostics and origins of configurations made of several files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::path::PathBuf;

use kata_types::config::{ConfigLoader, DiagnosticKind, Origin, Severity, TomlConfig, json_schema};
use tempfile::TempDir;

/// A configuration `c.toml` with drop-ins; the directory is canonical.
fn config(base: &str, drop_ins: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::write(root.join("c.toml"), base).unwrap();
    fs::create_dir(root.join("config.d")).unwrap();
    for (name, text) in drop_ins {
        fs::write(root.join("config.d").join(name), text).unwrap();
    }
    (dir, root)
}

#[test]
fn diagnostics_name_the_file_and_line_of_the_key_that_is_used() {
    let (_dir, root) = config(
        "[runtime]\nenable_pprof = true\nxyzzy = 1\n",
        &[
            ("10-a", "\n[runtime]\n  keep_abnormall = true\n"),
            ("20-b", "[runtime]\n\n\nxyzzy = 2\n"),
            ("30-c.bak", ""),
        ],
    );
    let (_, path, found) =
        TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
    assert_eq!(path, root.join("c.toml"));
    let found: Vec<_> = found.iter().map(|d| d.to_string()).collect();
    let root = root.display();
    assert_eq!(
        found,
        [
            format!(
                "{root}/config.d/30-c.bak: warning: skipped: a backup of an editor or a package manager"
            ),
            format!(
                "{root}/c.toml:2:1: warning: runtime.enable_pprof: is accepted, but nothing acts on it"
            ),
            format!(
                "{root}/config.d/10-a:3:3: warning: runtime.keep_abnormall: ignored: no such key; did you mean `keep_abnormal`?"
            ),
            format!("{root}/config.d/20-b:4:1: warning: runtime.xyzzy: ignored: no such key"),
        ]
    );
}

#[test]
fn keys_that_only_change_other_keys_say_which() {
    let (_dir, root) = config(
        "[runtime]\nhypervisor_name = 'dragonball'\n[agent.kata]\n[hypervisor.dragonball]\n\
         kernel = '/dev/null'\nshared_fs = 'inline-virtio-fs'\nvirtio_fs_is_dax = true\n\
         disable_block_device_use = true\nblock_device_driver = 'virtio-blk-pci'\n",
        &[],
    );
    let (config, _, found) =
        TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
    let hv = &config.hypervisor["dragonball"];
    assert_eq!(hv.shared_fs.virtio_fs_cache_size, 1024);
    assert_eq!(hv.blockdev_info.block_device_driver, "");
    for (key, changed) in [
        ("virtio_fs_is_dax", "virtio_fs_cache_size"),
        ("disable_block_device_use", "block_device_driver"),
    ] {
        let diagnostic = found.iter().find(|d| d.key.ends_with(key)).unwrap();
        assert_eq!(diagnostic.kind, DiagnosticKind::NoEffect);
        assert!(diagnostic.message.contains(changed), "{diagnostic}");
        let properties = &json_schema()["$defs"]["hypervisor"]["properties"];
        let description = properties[key]["description"].as_str().unwrap();
        assert!(description.contains(changed), "{description}");
        assert!(description.contains("except that it"), "{description}");
        let example = include_str!("../examples/config/configuration-qemu.toml");
        let comment = example.split(&format!("\n#{key} = ")).next().unwrap();
        let comment = comment.rsplit("\n\n").next().unwrap().replace("\n#", "");
        assert!(comment.contains("except that it"), "{comment}");
        assert!(comment.contains(changed), "{comment}");
    }
}

#[test]
fn changed_values_are_diagnosed_at_their_place() {
    let (_dir, root) = config(
        "[runtime]\nhypervisor_name = 'firecracker'\n\
         [hypervisor.firecracker]\nkernel = '/dev/null'\nenable_annotations = ['kernel', '(']\n\
         [agent.kata]\n",
        &[
            ("10", "[hypervisor.firecracker]\nnetwork_queues = 1000\n"),
            ("20", "agent.kata.dial_timeout_ms = 5000\n"),
        ],
    );
    let (config, _, found) =
        TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
    assert_eq!(
        config.hypervisor["firecracker"].network_info.network_queues,
        256
    );
    let place = |kind: DiagnosticKind| {
        let diagnostic = found.iter().find(|d| d.kind == kind).unwrap();
        let file = diagnostic
            .file
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap();
        (
            file,
            diagnostic.line,
            diagnostic.key.as_str(),
            diagnostic.severity,
        )
    };
    assert_eq!(
        place(DiagnosticKind::Clamped),
        (
            "config.d/10",
            Some(2),
            "hypervisor.firecracker.network_queues",
            Severity::Info
        )
    );
    assert_eq!(
        place(DiagnosticKind::InvalidPattern),
        (
            "c.toml",
            Some(5),
            "hypervisor.firecracker.enable_annotations",
            Severity::Warning
        )
    );
    // The key itself is in no file: the place is that of its table.
    assert_eq!(
        place(DiagnosticKind::Policy),
        (
            "c.toml",
            Some(6),
            "agent.kata.reconnect_timeout_ms",
            Severity::Warning
        )
    );
}

#[test]
fn origins_follow_each_value_through_the_files() {
    let (_dir, root) = config(
        "[runtime]\nname = 'a'\nlog_level = 'debug'\n\
         [hypervisor.firecracker]\nkernel = '/dev/./null'\ndefault_memory = 512\nnetwork_queues = 1000\n\
         default_vcpus = 0\nblock_device_aio = ''\n",
        &[
            ("10", "[hypervisor.firecracker]\ndefault_memory = 1024\n"),
            ("20", "[hypervisor.firecracker]\n\n  default_memory = 256\n"),
        ],
    );
    let (_, path, origins) = TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    let base = |line: usize| Origin::BaseFile {
        file: path.clone(),
        line,
        column: 1,
    };
    for (key, expected) in [
        ("runtime.name", base(2)),
        ("runtime.log_level", base(3)),
        ("runtime.keep_abnormal", Origin::Default),
        ("runtime.internetworking_model", Origin::Default),
        (
            "hypervisor.firecracker.default_memory",
            Origin::DropIn {
                number: 2,
                file: root.join("config.d/20"),
                line: 3,
                column: 3,
            },
        ),
        (
            "hypervisor.firecracker.kernel",
            Origin::Adjusted {
                from: Box::new(base(5)),
                reason: "was \"/dev/./null\"".into(),
            },
        ),
        (
            "hypervisor.firecracker.default_vcpus",
            Origin::Adjusted {
                from: Box::new(base(8)),
                reason: "was 0.0".into(),
            },
        ),
        (
            "hypervisor.firecracker.block_device_aio",
            Origin::Adjusted {
                from: Box::new(base(9)),
                reason: "was empty".into(),
            },
        ),
    ] {
        assert_eq!(origins.origin_of(key), Some(&expected), "{key}");
    }
    let queues = origins
        .origin_of("hypervisor.firecracker.network_queues")
        .unwrap();
    let Origin::Adjusted { from, reason } = queues else {
        panic!("{queues:?}")
    };
    assert_eq!((**from).clone(), base(7));
    assert!(
        reason.contains("1000") && reason.contains("256"),
        "{reason}"
    );
    for key in ["", "runtime", "runtime.xyzzy", "hypervisor.qemu.path"] {
        assert_eq!(origins.origin_of(key), None, "{key}");
    }
    assert_eq!(
        origins
            .iter()
            .filter(|(_, origin)| **origin == base(2))
            .count(),
        1
    );
}

#[test]
fn values_set_under_an_alias_are_known_by_the_name_of_the_key() {
    let (_dir, root) = config("[agent.kata.mem_agent]\nmem_agent_enable = true\n", &[]);
    let (_, path, origins) = TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    assert_eq!(
        origins.origin_of("agent.kata.mem_agent.enable"),
        Some(&Origin::BaseFile {
            file: path,
            line: 2,
            column: 1
        })
    );
}

#[test]
fn rendering_is_toml_without_secrets() {
    let (_dir, root) = config(
        "[runtime]\njaeger_password = 'hunter2'\njaeger_user = \"a\\\"\\n\\u0001\\\\'''\"\n\
         experimental = [\"a\\nb\"]\n\
         [[runtime.shared_mounts]]\nname = 'm'\nsrc_ctr = 's'\n\
         [agent.kata]\npolicy = 'package p'\n[agent.\"a.b\"]\n\
         [hypervisor.firecracker]\nkernel = '/dev/null'\ninitdata = 'H4sI'\ndefault_vcpus = 0.3\n",
        &[("10\nevil = 1", "runtime.name = 'x'")],
    );
    let (config, _, origins) =
        TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    let text = origins.render();
    for secret in ["hunter2", "package p", "H4sI"] {
        assert!(!text.contains(secret), "{secret} in {text}");
        assert!(!format!("{origins:?}").contains(secret));
    }
    assert!(text.contains("\njaeger_password = \"***\" # "), "{text}");
    assert!(text.contains("\npolicy = \"<9 bytes, sha256 "), "{text}");
    assert!(text.contains("\ndefault_vcpus = 0.3 # "), "{text}");

    let parsed: TomlConfig = toml::from_str(&text).unwrap();
    assert_eq!(parsed.runtime.name, "x");
    assert_eq!(parsed.runtime.jaeger_user, config.runtime.jaeger_user);
    assert_eq!(parsed.runtime.experimental, config.runtime.experimental);
    assert_eq!(parsed.runtime.shared_mounts.len(), 1);
    assert!(parsed.agent.contains_key("a.b"));
    assert_eq!(parsed.hypervisor["firecracker"].cpu_info.default_vcpus, 0.3);
}

#[test]
fn annotations_are_an_origin() {
    let (_dir, root) = config("[runtime]\nname = 'a'\nlog_level = 'warn'\n", &[]);
    let (mut config, path, mut origins) =
        TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    config.runtime.log_level = "debug".into();
    config.runtime.keep_abnormal = true;
    origins.record_annotations(&config);
    assert_eq!(
        origins.origin_of("runtime.log_level"),
        Some(&Origin::Annotation)
    );
    assert_eq!(
        origins.origin_of("runtime.keep_abnormal"),
        Some(&Origin::Annotation)
    );
    assert_eq!(
        origins.origin_of("runtime.name"),
        Some(&Origin::BaseFile {
            file: path,
            line: 2,
            column: 1
        })
    );
    assert!(
        origins
            .render()
            .contains("\nlog_level = \"debug\" # annotation\n")
    );
}

#[test]
fn steps_can_be_repeated() {
    let (_dir, root) = config("[runtime]\n[agent.kata]\ndial_timeout_ms = 5000\n", &[]);
    let mut loaded = ConfigLoader::new(root.join("c.toml")).read().unwrap();
    assert_eq!(loaded.path(), root.join("c.toml"));
    assert_eq!(loaded.diagnostics(), []);
    loaded.adjust().unwrap();
    let once = loaded.diagnostics();
    assert_eq!(once.len(), 1);
    loaded.adjust().unwrap();
    assert_eq!(loaded.diagnostics(), once);
}

#[test]
fn origins_of_what_toml_has_no_number_for_are_known() {
    let text =
        "[hypervisor.firecracker]\nkernel = '/dev/null'\nmemory_offset = 18446744073709551615\n";
    let (_dir, root) = config(text, &[]);
    let file = root.join("c.toml");
    let (_, _, origins) = TomlConfig::load_from_file_with_origins(&file).unwrap();
    assert_eq!(
        origins.origin_of("runtime.log_level"),
        Some(&Origin::Default)
    );
    assert_eq!(
        origins.origin_of("hypervisor.firecracker.memory_offset"),
        Some(&Origin::BaseFile {
            file,
            line: 3,
            column: 1
        })
    );
    let rendered = origins.render();
    assert!(
        rendered.contains("memory_offset = 18446744073709551615 # "),
        "{rendered}"
    );
    TomlConfig::load(&rendered).unwrap();
}

#[test]
fn key_that_an_annotation_takes_away_has_no_origin() {
    let (_dir, root) = config(
        "[hypervisor.qemu]\nshared_fs = 'inline-virtio-fs'\npath = '/dev/null'\nkernel = '/dev/null'\nimage = '/dev/null'\n",
        &[],
    );
    let (mut config, _, mut origins) =
        TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    let key = "hypervisor.qemu.shared_fs";
    assert!(matches!(
        origins.origin_of(key),
        Some(Origin::BaseFile { .. })
    ));
    config
        .hypervisor
        .get_mut("qemu")
        .unwrap()
        .shared_fs
        .shared_fs = None;
    origins.record_annotations(&config);
    assert_eq!(origins.origin_of(key), None);
}

#[test]
fn many_remarks_name_their_places_as_few_do() {
    let bad = |number: usize| format!("[hypervisor.h{number}]\npath = '/missing/{number}'\n");
    let sections: String = (0..40).map(bad).collect();
    let text = format!(
        "[runtime]\nhypervisor_name = 'dragonball'\n[hypervisor.dragonball]\nkernel = '/dev/null'\nimage = '/dev/null'\n{sections}"
    );
    let (_dir, root) = config(&text, &[]);
    let (_, _, found) = TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
    let lines: Vec<_> = found.iter().filter_map(|d| d.line).collect();
    assert!(lines.windows(2).all(|pair| pair[0] <= pair[1]), "{found:?}");
    for number in 0..40 {
        let section = format!("hypervisor.h{number}");
        let of = |d: &&kata_types::config::ConfigDiagnostic| {
            d.key == section || d.key.starts_with(&format!("{section}."))
        };
        let remark = found.iter().find(of);
        assert!(
            remark.is_some_and(|d| d.line.is_some()),
            "{section}: {found:?}"
        );
    }
}

#[test]
fn origins_tell_sections_apart_whose_names_begin_alike() {
    let [first, second] = ["1", "2"].map(|end| format!("{}{end}", "k".repeat(70)));
    let text =
        format!("[agent.{first}]\nlog_level = 'debug'\n[agent.{second}]\nlog_level = 'error'\n");
    let (_dir, root) = config(&text, &[]);
    let (mut config, file, mut origins) =
        TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    for (name, line) in [(&first, 2), (&second, 4)] {
        let file = file.clone();
        let column = 1;
        assert_eq!(
            origins.origin_of(&format!("agent.{name}.log_level")),
            Some(&Origin::BaseFile { file, line, column })
        );
    }
    let rendered = origins.render();
    let table: toml::Table = rendered.parse().unwrap();
    assert_eq!(table["agent"][&first]["log_level"].as_str(), Some("debug"));
    assert_eq!(table["agent"][&second]["log_level"].as_str(), Some("error"));
    let comment = format!("log_level = \"debug\" # {}:2\n", file.display());
    assert!(rendered.contains(&comment), "{rendered}");

    config.agent.get_mut(&second).unwrap().log_level = "info".to_owned();
    origins.record_annotations(&config);
    let origin = |name| origins.origin_of(&format!("agent.{name}.log_level"));
    assert_eq!(origin(&second), Some(&Origin::Annotation));
    assert_ne!(origin(&first), Some(&Origin::Annotation));
}

#[test]
fn a_rendered_configuration_is_toml_whatever_its_sections_are_called() {
    let name = "x\u{1}y\u{7f}\u{85}é\"\\\n\u{feff}.";
    let quoted = r#""x\u0001y\u007F\u0085é\"\\\n\uFEFF.""#;
    let (_dir, root) = config(&format!("[agent.{quoted}]\nlog_level = 'debug'\n"), &[]);
    let (_, file, origins) = TomlConfig::load_from_file_with_origins(root.join("c.toml")).unwrap();
    let table: toml::Table = origins.render().parse().unwrap();
    assert_eq!(table["agent"][name]["log_level"].as_str(), Some("debug"));
    let (line, column) = (2, 1);
    assert_eq!(
        origins.origin_of(&format!("agent.{quoted}.log_level")),
        Some(&Origin::BaseFile { file, line, column })
    );
}

#[test]
fn remarks_about_a_section_with_a_long_name_have_a_place_and_are_short() {
    // Few remarks are looked up in another way than many.
    for sections in [1, 20] {
        let text: String = (0..sections)
            .map(|n| {
                let name = format!("{}{n}", "k".repeat(5000));
                format!("[agent.{name}]\ndial_timeout_ms = 2000\nreconnect_timeout_ms = 1\n")
            })
            .collect();
        let (_dir, root) = config(&text, &[]);
        let (_, _, found) =
            TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
        let lines: Vec<_> = found.iter().map(|remark| remark.line.unwrap()).collect();
        assert_eq!(lines, (0..sections).map(|n| 3 * n + 3).collect::<Vec<_>>());
        for remark in &found {
            let key = format!("agent.\"{}…\".reconnect_timeout_ms", "k".repeat(64));
            assert!(remark.key.starts_with(&key), "{remark}");
            assert!(remark.to_string().len() < 500, "{remark}");
        }
    }
}
