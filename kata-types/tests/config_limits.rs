//! Limits on what is loaded at all.
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

use common::tree;
use kata_types::config::TomlConfig;

#[test]
fn at_most_1024_drop_ins_are_read() {
    let (_dir, root) = tree(&[("c.toml", ""), ("config.d/", "")]);
    let drop_ins = root.join("config.d");
    for number in 0..1024 {
        fs::write(
            drop_ins.join(format!("{number:04}")),
            format!("runtime.name = '{number}'"),
        )
        .unwrap();
        // Neither of these is read.
        fs::write(drop_ins.join(format!("{number:04}.bak")), "=").unwrap();
    }
    fs::create_dir(drop_ins.join("directory")).unwrap();
    let (config, _) = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap();
    assert_eq!(config.runtime.name, "1023");

    fs::write(drop_ins.join("one-more"), "").unwrap();
    let error = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .contains("/config.d: more than 1024 drop-in files"),
        "{error}"
    );
}

#[test]
fn drop_ins_of_at_most_64_mib_are_read() {
    let (_dir, root) = tree(&[("c.toml", ""), ("config.d/", "")]);
    let drop_ins = root.join("config.d");
    let first = drop_ins.join("0");
    fs::write(&first, "\n".repeat(8 << 20)).unwrap();
    for number in 1..8 {
        fs::hard_link(&first, drop_ins.join(number.to_string())).unwrap();
    }
    fs::write(drop_ins.join("8"), "\n").unwrap();
    let error = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected = "/config.d: more than 1024 drop-in files or 67108864 bytes in them";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn skipped_names_are_at_most_16384() {
    let (_dir, root) = tree(&[("c.toml", ""), ("config.d/", "")]);
    let drop_ins = root.join("config.d");
    for number in 0..1 << 14 {
        fs::write(drop_ins.join(format!(".{number}")), "").unwrap();
    }
    let load = || TomlConfig::load_raw_from_file(root.join("c.toml"));
    load().unwrap();
    fs::write(drop_ins.join("x.bak"), "").unwrap();
    let error = load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let expected = "/config.d: more than 16384 names";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn files_of_up_to_8_mib_are_read() {
    let (_dir, root) = tree(&[]);
    let file = root.join("c.toml");
    let start = "[runtime]\nname = 'x'\n[agent.kata]\npolicy = '";
    let end = "'\n";
    let fill = (8 << 20) - start.len() - end.len();
    fs::write(&file, format!("{start}{}{end}", "p".repeat(fill))).unwrap();
    let (config, _) = TomlConfig::load_raw_from_file(&file).unwrap();
    assert_eq!(config.agent["kata"].policy.len(), fill);

    fs::write(&file, format!("{start}{}{end}", "p".repeat(fill + 1))).unwrap();
    let error = TomlConfig::load_raw_from_file(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .ends_with("c.toml: larger than 8388608 bytes"),
        "{error}"
    );
}

#[test]
fn comments_and_blank_lines_are_not_limited_in_number() {
    let (_dir, root) = tree(&[]);
    let file = root.join("c.toml");
    for piece in ["\n", "# x\n"] {
        let fill = piece.repeat(((8 << 20) - 100) / piece.len());
        fs::write(&file, format!("{fill}runtime.name = 'x' # y\n")).unwrap();
        let (config, _) = TomlConfig::load_raw_from_file(&file).unwrap();
        assert_eq!(config.runtime.name, "x", "{piece:?}");
    }
}

#[test]
fn many_patterns_that_cannot_be_read_are_a_few_remarks() {
    let patterns: String = (0..20_000).map(|n| format!("'[{n}',")).collect();
    for key in ["enable_annotations", "valid_hypervisor_paths"] {
        let text =
            format!("[hypervisor.firecracker]\nkernel = '/dev/null'\n{key} = [{patterns}]\n");
        let (_dir, root) = tree(&[("c.toml", &text)]);
        let (_, _, remarks) =
            TomlConfig::load_from_file_with_diagnostics(root.join("c.toml")).unwrap();
        assert!((2..100).contains(&remarks.len()), "{}", remarks.len());
    }
}

#[test]
fn values_nested_up_to_128_levels_are_read() {
    for (open, close) in [("[", "]"), ("{a = ", "}")] {
        let nested =
            |levels: usize| format!("unknown = {}1{}", open.repeat(levels), close.repeat(levels));
        TomlConfig::load(&nested(128)).unwrap();
        for levels in [129, 20_000] {
            let error = TomlConfig::load(&nested(levels)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            assert!(
                error.to_string().contains("nested deeper than 128 levels"),
                "{error}"
            );
        }
    }
    let keys = |levels: usize| format!("{} = 1", vec!["k"; levels + 1].join("."));
    TomlConfig::load(&keys(128)).unwrap();
    assert_eq!(
        TomlConfig::load(&keys(129)).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
    assert_eq!(
        TomlConfig::load(&keys(20_000)).unwrap_err().kind(),
        ErrorKind::InvalidData
    );
}

#[test]
fn the_memory_that_a_small_file_can_take_is_limited() {
    let dense = |words: usize| format!("unknown = [{}]", "1,".repeat(words / 2));
    TomlConfig::load(&dense(200_000)).unwrap();
    let error = TomlConfig::load(&dense(300_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "more than 262144 words of TOML");
    // All files together.
    let (_dir, root) = tree(&[
        ("c.toml", &dense(200_000)),
        ("config.d/10", &dense(100_000)),
    ]);
    let error = TomlConfig::load_raw_from_file(root.join("c.toml")).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/config.d/10: more than 262144 words of TOML"),
        "{error}"
    );

    let sections =
        |number: usize| -> String { (0..number).map(|n| format!("[agent.a{n}]\n")).collect() };
    assert_eq!(TomlConfig::load(&sections(1024)).unwrap().agent.len(), 1024);
    let error = TomlConfig::load(&sections(1025)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("agent: more than 1024 sections"),
        "{error}"
    );
}
