//! Whatever is in the files, loading returns.
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

use kata_types::config::{ConfigLoader, TomlConfig};
use proptest::prelude::*;

/// Loads `base` with one drop-in, in every way there is. Returns whether it could be loaded.
fn load(base: &[u8], drop_in: &[u8]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("configuration.toml");
    fs::write(&file, base).unwrap();
    fs::create_dir(dir.path().join("config.d")).unwrap();
    fs::write(dir.path().join("config.d/10"), drop_in).unwrap();
    if let Ok(text) = std::str::from_utf8(base) {
        let _ = TomlConfig::load(text);
    }
    match ConfigLoader::new(&file).read() {
        Ok(mut loaded) => {
            let _ = loaded.adjust();
            let _ = loaded.validate();
            for diagnostic in loaded.diagnostics() {
                let _ = diagnostic.to_string();
            }
            let text = loaded.origins().render();
            toml::from_str::<toml::Table>(&text).unwrap();
            true
        }
        Err(error) => {
            let text = error.to_string();
            let root = dir.path().canonicalize().unwrap();
            assert!(
                text.starts_with(root.to_str().unwrap()),
                "no file in {text:?}"
            );
            assert!(text.len() < 2000, "{} bytes of text", text.len());
            false
        }
    }
}

/// Pieces of configuration files, correct and not.
fn piece() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "hypervisor",
        "agent",
        "runtime",
        "qemu",
        "kata",
        "path",
        "default_vcpus",
        "name",
        "factory",
        "mem_agent",
        "shared_mounts",
        "hugepage_type",
        "dbg_monitor_socket",
        "extra_monitor_socket",
        "enable_annotations",
        "\"\"",
        "'a.b'",
        "\"\\u00e9\\n\"",
        "rootless_user",
        "hypervisor_name",
        "x",
        "log_level",
        "experimental",
        "default_memory",
        "policy",
        "dial_timeout",
    ]);
    let values = prop::sample::select(vec![
        "1",
        "-1",
        "1.5",
        "nan",
        "inf",
        "true",
        "'x'",
        "\"\\t\"",
        "'''\n'''",
        "[]",
        "['x', 1]",
        "{}",
        "{a.b = 1}",
        "[{name = ''}]",
        "1979-05-27",
        "99999999999999999999",
        "0xFF",
        "\"",
        "[",
        "{",
        "'thp'",
        "'qemu'",
        "[[[[1]]]]",
        "1e999",
    ]);
    let path = prop::collection::vec(keys, 1..4).prop_map(|keys| keys.join("."));
    prop_oneof![
        (path.clone(), values).prop_map(|(key, value)| format!("{key} = {value}\n")),
        path.clone().prop_map(|key| format!("[{key}]\n")),
        path.prop_map(|key| format!("[[{key}]]\n")),
        "[ -~\n]{0,20}",
    ]
}

fn document() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_an_answer_or_an_error(
        base in prop::collection::vec(any::<u8>(), 0..200),
        drop_in in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        load(&base, b"");
        load(b"", &drop_in);
    }

    #[test]
    fn any_document_is_an_answer_or_an_error(base in document(), drop_in in document()) {
        load(base.as_bytes(), drop_in.as_bytes());
    }

    #[test]
    fn a_damaged_example_is_an_answer_or_an_error(
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0_usize..20,
    ) {
        let mut text = common::example("qemu").replace("\n#", "\n").into_bytes();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, bytes);
        load(&text, b"");
    }
}

#[test]
fn the_pieces_of_documents_are_often_correct() {
    // Otherwise the properties above would say little.
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let loaded = (0..200)
        .filter(|_| {
            let text = piece().new_tree(&mut runner).unwrap().current();
            load(text.as_bytes(), b"")
        })
        .count();
    assert!(loaded > 40, "{loaded} of 200");
}

#[test]
fn large_documents_of_every_shape_are_an_answer_or_an_error() {
    let size = 32 << 10;
    let numbered = |line: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        let mut number = 0;
        while text.len() < size {
            text.push_str(&line(number));
            number += 1;
        }
        text
    };
    let shapes: Vec<(&str, String)> = vec![
        ("blank lines", "\n".repeat(size)),
        ("comments", "# x\n".repeat(size / 4)),
        ("unknown keys", numbered(&|n| format!("k{n} = 1\n"))),
        (
            "unknown keys on one line",
            format!("x = {{{}}}", numbered(&|n| format!("k{n} = 1, "))),
        ),
        (
            "unknown keys of a section on one line",
            format!("runtime = {{{}}}", numbered(&|n| format!("k{n} = 1, "))),
        ),
        ("tables", numbered(&|n| format!("[t{n}]\n"))),
        (
            "hypervisors",
            numbered(&|n| format!("[hypervisor.h{n}]\nkernel = 1\n")),
        ),
        ("agents", numbered(&|n| format!("[agent.a{n}]\n"))),
        ("an array", format!("x = [{}]", "1,".repeat(size / 2))),
        (
            "array of tables",
            "[[runtime.shared_mounts]]\n".repeat(size / 26),
        ),
        ("one key", format!("{} = 1", "k".repeat(size))),
        (
            "one long text",
            format!("[runtime]\nname = '{}'", "x".repeat(size)),
        ),
        (
            "a long text of the wrong type",
            format!("[runtime]\nenable_debug = '{}'", "x".repeat(size)),
        ),
        (
            "a long number",
            format!("[hypervisor.qemu]\ndefault_memory = {}", "9".repeat(size)),
        ),
        ("errors", numbered(&|_| "[agent.a]\n".to_owned())),
        ("unclosed", "x = [\n'".repeat(size / 7)),
        ("quotes", "\"'".repeat(size / 2)),
        ("dots", ".".repeat(size)),
        ("equals signs", "=".repeat(size)),
        ("headers without end", "[".repeat(size)),
        ("escapes", format!("x = \"{}\"", "\\\\".repeat(size / 2))),
    ];
    for (name, text) in shapes {
        println!("{name}"); // the last one is to blame when the process is killed
        load(text.as_bytes(), b"");
        load(b"", text.as_bytes());
    }
}
