//! Loading: which files count, how they merge, and what errors say.
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
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::tree;
use kata_types::config::{ConfigLoader, LoadError, TomlConfig};

/// `runtime.name` of the configuration `c.toml` with the given drop-ins.
fn name_with(drop_ins: &[(&str, &str)]) -> Result<String, std::io::Error> {
    let (_dir, root) = tree(&[("c.toml", "[runtime]\nname = 'base'"), ("config.d/", "")]);
    for (name, content) in drop_ins {
        let path = root.join("config.d").join(name.trim_end_matches('/'));
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, path).unwrap(),
            None if name.ends_with('/') => fs::create_dir_all(path).unwrap(),
            None => fs::write(path, content).unwrap(),
        }
    }
    let (config, _) = TomlConfig::load_raw_from_file(root.join("c.toml"))?;
    Ok(config.runtime.name)
}

#[test]
fn drop_ins_apply_in_the_order_of_the_bytes_of_their_names() {
    for (winner, names) in [
        ("20", &["10", "20"][..]),
        ("20", &["20", "10"]),
        ("9", &["10", "9"]),
        ("a", &["B", "a"]),
        ("10-base", &["10-base"]),
        ("x.anything", &["x.anything"]),
        ("é", &["e", "é", "z"]),
    ] {
        let files: Vec<_> = names
            .iter()
            .map(|name| (*name, format!("runtime.name = '{name}'")))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        assert_eq!(name_with(&files).unwrap(), winner, "{names:?}");
    }
}

#[test]
fn leftovers_of_editors_and_package_managers_are_skipped() {
    for name in [
        ".10-x.toml.swp",
        ".hidden",
        "x~",
        "x.bak",
        "x.swp",
        "x.orig",
        "x.rpmsave",
        "x.rpmnew",
        "x.dpkg-old",
        "x.dpkg-dist",
        "x.dpkg-new",
    ] {
        assert_eq!(
            name_with(&[(name, "\u{0}not TOML")]).unwrap(),
            "base",
            "{name}"
        );
    }
}

#[test]
fn a_mounted_config_map_works() {
    let (_dir, root) = tree(&[
        ("c.toml", "[runtime]\nname = 'base'"),
        ("config.d/..2026_01_01/", ""),
        ("config.d/..2026_01_01/10-a", "runtime.name = 'a'"),
        ("config.d/..2026_01_01/20-b", "runtime.keep_abnormal = true"),
        ("config.d/..data", "-> ..2026_01_01"),
        ("config.d/10-a", "-> ..data/10-a"),
        ("config.d/20-b", "-> ..data/20-b"),
    ]);
    let (config, _, diagnostics) =
        TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
    assert_eq!(config.runtime.name, "a");
    assert!(config.runtime.keep_abnormal);
    let skipped: Vec<_> = diagnostics
        .iter()
        .map(|d| d.file.file_name().unwrap())
        .collect();
    assert_eq!(skipped, ["..2026_01_01", "..data"]);
}

#[test]
fn directories_are_skipped_with_a_warning_and_so_are_links_to_them() {
    assert_eq!(name_with(&[("dir/", "")]).unwrap(), "base");
    assert_eq!(
        name_with(&[("link", "-> /"), ("10", "runtime.name = 'x'")]).unwrap(),
        "x"
    );
}

#[test]
fn other_entries_are_errors_that_name_them() {
    for (target, kind, reason) in [
        (
            "/no/such/file",
            ErrorKind::NotFound,
            "No such file or directory (os error 2)",
        ),
        (
            "/dev/zero",
            ErrorKind::InvalidInput,
            "drop-in cfg file can only be a regular file or a symlink, not a character device",
        ),
    ] {
        let error = name_with(&[("10-x", &format!("-> {target}"))]).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(
            error
                .to_string()
                .ends_with(&format!("/config.d/10-x: {reason}")),
            "{error}"
        );
    }
}

#[test]
fn fifos_and_sockets_are_rejected_without_waiting() {
    let (_dir, root) = tree(&[("c.toml", ""), ("config.d/", "")]);
    let special = root.join("config.d/special");
    let _socket = std::os::unix::net::UnixListener::bind(&special).unwrap();
    let error = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("not a socket"), "{error}");

    fs::remove_file(&special).unwrap();
    let status = std::process::Command::new("mkfifo").arg(&special).status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("INFO: skipping fifos_and_sockets_are_rejected_without_waiting: no mkfifo");
        return;
    }
    for path in [root.join("c.toml"), special.clone()] {
        let error = TomlConfig::load_raw_from_file(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("a FIFO"), "{error}");
    }
}

#[test]
fn the_drop_in_directory_may_be_missing_but_not_unlistable() {
    let (_dir, root) = tree(&[("c.toml", "[runtime]")]);
    TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap();
    fs::write(root.join("config.d"), "").unwrap();
    let error = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory);
    assert!(error.to_string().contains("/config.d: "), "{error}");
}

#[test]
fn a_linked_base_file_uses_the_directory_of_its_target() {
    let (_dir, root) = tree(&[
        ("real/c.toml", "[runtime]\nname = 'base'"),
        ("real/config.d/10", "runtime.name = 'real'"),
        ("link/c.toml", "-> ../real/c.toml"),
        ("link/config.d/10", "runtime.name = 'link'"),
    ]);
    let (config, path) = TomlConfig::load_raw_from_file(root.join("link/c.toml")).unwrap();
    assert_eq!(config.runtime.name, "real");
    assert_eq!(path, root.join("real/c.toml"));
}

#[test]
fn files_of_one_directory_share_their_drop_ins() {
    let (_dir, root) = tree(&[
        (
            "a.toml",
            "[runtime]\nhypervisor_name = 'firecracker'\n[hypervisor.firecracker]\nkernel = '/dev/null'",
        ),
        ("config.d/10", "[hypervisor.qemu]\ndefault_memory = 4096\n"),
    ]);
    // There is no QEMU here, and nobody wants it.
    let (config, _, diagnostics) =
        TomlConfig::load_from_file_with_diagnostics(root.join("a.toml")).unwrap();
    assert_eq!(config.hypervisor["qemu"].memory_info.default_memory, 4096);
    assert!(
        diagnostics
            .iter()
            .any(|d| d.kind == kata_types::config::DiagnosticKind::InactiveSection)
            || Path::new("/usr/bin/qemu-system-x86_64").exists(),
        "{diagnostics:?}"
    );
}

#[test]
fn only_the_final_type_of_a_value_matters() {
    assert_eq!(
        name_with(&[("10", "runtime.name = 1"), ("20", "runtime.name = 'x'")]).unwrap(),
        "x"
    );
    let error = name_with(&[("10", "\n\nruntime.name = 1")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error.to_string().ends_with(
            "/config.d/10:3:16: runtime.name: invalid type: integer `1`, expected a string"
        ),
        "{error}"
    );
    let error = name_with(&[("10", "runtime = 1")]).unwrap_err();
    assert!(
        error.to_string().ends_with(
            "/config.d/10:1:11: runtime: invalid type: integer `1`, expected struct Runtime"
        ),
        "{error}"
    );
}

#[test]
fn errors_name_file_line_column_and_key_of_the_value_at_fault() {
    let (_dir, root) = tree(&[(
        "c.toml",
        "[hypervisor.qemu]\npath = '/bin/sh'\n\ndefault_memory = 'much'\n[agent.kata]\n  dial_timeout = 1\n",
    )]);
    let file = root.join("c.toml");
    let error = TomlConfig::load_from_file(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let first = format!(
        "{}:4:18: hypervisor.qemu.default_memory: invalid type: string \"much\", expected u32",
        file.display()
    );
    assert_eq!(error.to_string(), format!("{first} (and 1 more)"));
    let error = error
        .get_ref()
        .unwrap()
        .downcast_ref::<LoadError>()
        .unwrap();
    let [memory, dial] = error.problems() else {
        panic!("{error:?}")
    };
    assert_eq!(memory.to_string(), first);
    assert_eq!((dial.line, dial.column), (Some(6), Some(3)));
    assert!(dial.reason.contains("`dial_timeout_ms` = 1000"), "{dial}");
}

#[test]
fn errors_of_adjusting_name_the_place_of_the_value() {
    let (_dir, root) = tree(&[
        (
            "c.toml",
            "[runtime]\nhypervisor_name = 'qemu'\n[hypervisor.qemu]\npath = '/bin/sh'\nkernel = '/no/such/kernel'\n",
        ),
        (
            "config.d/10",
            "\n[hypervisor.qemu]\nimage = '/no/such/image'\n",
        ),
    ]);
    let file = root.join("c.toml");
    let error = TomlConfig::load_from_file(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(
        error.to_string(),
        format!(
            "{}:5:1: hypervisor.qemu.kernel: guest kernel image file /no/such/kernel is invalid: No \
             such file or directory (os error 2)",
            file.display()
        )
    );
    fs::write(&file, "[runtime]\nhypervisor_name = 'qemu'\n[hypervisor.qemu]\npath = '/bin/sh'\nkernel = '/dev/null'\n").unwrap();
    let error = TomlConfig::load_from_file(&file).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/config.d/10:3:1: hypervisor.qemu.image: "),
        "{error}"
    );
}

#[test]
fn errors_of_validating_name_the_place_of_the_value() {
    let (_dir, root) = tree(&[("c.toml", "[agent.kata]\n\ndial_timeout_ms = 0\n")]);
    let mut loaded = ConfigLoader::new(root.join("c.toml")).read().unwrap();
    loaded.adjust().unwrap();
    let error = loaded.validate().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/c.toml:3:1: agent.kata.dial_timeout_ms: dial_timeout_ms couldn't be 0."),
        "{error}"
    );
}

#[test]
fn errors_in_sections_of_any_name_name_the_place_and_are_short() {
    let long = "k".repeat(5000);
    let cut = format!("\"{}…\"", "k".repeat(64));
    for (name, shown) in [
        (long.as_str(), cut.as_str()),
        (r#""x\u0001\"y.z""#, r#""x\u0001\"y.z""#),
    ] {
        let text = format!("[agent.{name}]\n  dial_timeout_ms = 0\n");
        let (_dir, root) = tree(&[("c.toml", &text)]);
        let mut loaded = ConfigLoader::new(root.join("c.toml")).read().unwrap();
        loaded.adjust().unwrap();
        assert_eq!(
            loaded.validate().unwrap_err().to_string(),
            format!(
                "{}/c.toml:2:3: agent.{shown}.dial_timeout_ms: dial_timeout_ms couldn't be 0.",
                root.display()
            )
        );

        let text = format!("\n[hypervisor.{name}]\n");
        let (_dir, root) = tree(&[("c.toml", &text)]);
        let error = TomlConfig::load_from_file(root.join("c.toml")).unwrap_err();
        let start = format!(
            "{}/c.toml:2:13: hypervisor.{shown}: Can not find plugin for hypervisor ",
            root.display()
        );
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().len() < 2000, "{error}");
    }
}

#[test]
fn missing_unreadable_and_special_base_files_are_named() {
    let (_dir, root) = tree(&[
        ("dir/", ""),
        ("dangling", "-> nowhere"),
        ("zero", "-> /dev/zero"),
    ]);
    for (name, kind, reason) in [
        (
            "missing",
            ErrorKind::NotFound,
            "missing: No such file or directory (os error 2)",
        ),
        (
            "dangling",
            ErrorKind::NotFound,
            "dangling: No such file or directory (os error 2)",
        ),
        (
            "dir",
            ErrorKind::InvalidInput,
            "dir: not a regular file but a directory",
        ),
        (
            "zero",
            ErrorKind::InvalidInput,
            "/dev/zero: not a regular file but a character device",
        ),
    ] {
        let error = TomlConfig::load_from_file(root.join(name)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().ends_with(reason), "{error}");
    }
    let error = TomlConfig::load_from_file("/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "/: base cfg file path too short");
}

#[test]
fn text_that_is_not_utf8_or_toml_is_located() {
    let (_dir, root) = tree(&[("c.toml", "[runtime]\nname = yes\n")]);
    let file = root.join("c.toml");
    let error = TomlConfig::load_from_file(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}:2:", file.display())),
        "{error}"
    );
    assert!(
        !error.to_string().contains("name ="),
        "the line is quoted: {error}"
    );

    fs::write(&file, b"a = 1\nb = \"\xff\"").unwrap();
    let error = TomlConfig::load_from_file(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(
        error.to_string(),
        format!("{}:2:6: stream did not contain valid UTF-8", file.display())
    );
}

#[test]
fn text_is_loaded_adjusted_and_without_drop_ins() {
    let config = TomlConfig::load("").unwrap();
    assert!(config.agent.is_empty() && config.hypervisor.is_empty());
    assert_eq!(config.runtime.internetworking_model, "tcfilter");
    assert_eq!(config.runtime.log_level, "info");
    let error = TomlConfig::load("[runtime]\nname = 1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "2:8: runtime.name: invalid type: integer `1`, expected a string"
    );
}

#[test]
fn raw_loading_does_not_adjust() {
    let (_dir, root) = tree(&[("c.toml", "[hypervisor.unheard-of]\n[runtime]\n")]);
    let (config, _) = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap();
    assert_eq!(config.runtime.internetworking_model, "");
    let error = TomlConfig::load_from_file(root.join("c.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(
        error
            .to_string()
            .ends_with("Can not find plugin for hypervisor unheard-of"),
        "{error}"
    );
    assert!(error.to_string().contains("/c.toml:1:"), "{error}");
}

#[test]
fn an_error_is_the_same_on_every_run() {
    let text = "[hypervisor.b]\n[hypervisor.a]\n[hypervisor.c]\n";
    for _ in 0..20 {
        let error = TomlConfig::load(text).unwrap_err().to_string();
        assert!(
            error.ends_with("Can not find plugin for hypervisor a"),
            "{error}"
        );
    }
}

#[test]
fn another_directory_of_drop_ins_can_be_named() {
    let (_dir, root) = tree(&[
        ("c.toml", "[runtime]\nname = 'base'\nagent_name = 'base'"),
        (
            "config.d/90",
            "runtime.name = 'beside'\nruntime.agent_name = 'beside'",
        ),
        ("other/10", "runtime.name = 'other'"),
    ]);
    let loaded = ConfigLoader::new(root.join("c.toml"))
        .drop_in_dir(root.join("other"))
        .read()
        .unwrap();
    assert_eq!(loaded.config.runtime.name, "other");
    assert_eq!(loaded.config.runtime.agent_name, "beside");
    let files: Vec<_> = loaded.files().map(Path::to_owned).collect();
    assert_eq!(
        files,
        [
            root.join("c.toml"),
            root.join("config.d/90"),
            root.join("other/10")
        ]
    );
}

#[test]
fn a_named_directory_of_drop_ins_must_exist() {
    let (_dir, root) = tree(&[
        ("c.toml", "[runtime]"),
        ("other/10", ""),
        ("dangling", "-> nowhere"),
    ]);
    for missing in ["missing", "missing/below", "dangling"] {
        let error = ConfigLoader::new(root.join("c.toml"))
            .drop_in_dir(root.join("other"))
            .drop_in_dir(root.join(missing))
            .read()
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(
            error.to_string(),
            format!(
                "{}: No such file or directory (os error 2)",
                root.join(missing).display()
            )
        );
    }
}
