//! Memory that texts of 64 MiB, and documents nested 100 000 levels deep, make their readers take.
//! For lists and maps that a reader keeps, see `small_items.rs`.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::permissive_config;
use kata_types::annotations::{
    Annotation, KATA_ANNO_CFG_DISABLE_GUEST_SECCOMP, KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS,
    KATA_ANNO_CFG_HYPERVISOR_KERNEL_PARAMS,
};
use kata_types::config::TomlConfig;
use kata_types::config::hypervisor::parse_kernel_verity_params;
use kata_types::cpu::CpuSet;
use kata_types::initdata::{decode_initdata, parse_initdata};
use kata_types::mount::{KataVirtualVolume, Mount, NydusExtraOptions};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;

/// The size of texts that are harder to read.
const HARD: usize = 1 << 20;
const DEEP: usize = 100_000;

/// What reading takes beside the value: buffers, and what an error says.
const CONSTANT: usize = 128 << 10;

/// Reads a text, and checks that it took at most eight times its size, the error included.
#[track_caller]
fn check<T, E: Display>(what: &str, text: &str, read: impl FnOnce(&str) -> Result<T, E>) -> bool {
    check_with(CONSTANT, what, text, read)
}

/// As [`check`], for a reader that takes more beside the value.
#[track_caller]
fn check_with<T, E: Display>(
    constant: usize,
    what: &str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> bool {
    let (result, allocated) = allocated_by(|| {
        let result = read(text);
        if let Err(error) = &result {
            assert!(!format!("{error:#}").is_empty());
        }
        result.is_ok()
    });
    let limit = 8 * text.len() + constant;
    assert!(
        allocated.peak <= limit,
        "{what}: {allocated:?} for {}",
        text.len()
    );
    result
}

/// Numbers of characters with which a buffer of a text that quotes them has just been doubled, or will be
/// soon.
const QUOTED: [usize; 4] = [175_000, 240_000, 300_000, 345_000];

/// JSON objects of text and depth, in members that a reader skips and in those that it wants.
fn hostile_json(size: usize) -> Vec<(&'static str, String)> {
    let nested_in = |member: &str, open: &str, close: &str| {
        format!(
            r#"{{"{member}":{}1{}}}"#,
            open.repeat(DEEP),
            close.repeat(DEEP)
        )
    };
    let nested = |open: &str, close: &str| nested_in("x", open, close);
    let long = "x".repeat(size);
    let mut documents = vec![
        ("unknown text", format!(r#"{{"x":"{long}"}}"#)),
        (
            "unknown list",
            format!(r#"{{"x":[{}1]}}"#, "1,".repeat(HARD / 2)),
        ),
        (
            "text of a known member",
            format!(r#"{{"volume_type":"{}"}}"#, "x".repeat(HARD)),
        ),
        (
            "escapes",
            format!(r#"{{"volume_type":"{}"}}"#, r"\u0001".repeat(HARD / 6)),
        ),
        ("blanks", format!("{{{}}}", " ".repeat(HARD))),
        ("nested lists", nested("[", "]")),
        ("nested objects", nested(r#"{"a":"#, "}")),
        ("nested options", nested_in("options", "[", "]")),
        (
            "nested metadata",
            nested_in("metadata", r#"{"metadata":"#, "}"),
        ),
        (
            "nested volumes",
            nested_in("direct_volume", r#"{"metadata":"#, "}"),
        ),
        ("lists that are not closed", "[".repeat(DEEP)),
        ("no JSON", "x".repeat(HARD)),
    ];
    // Quoted in an error, the delete character takes six bytes instead of one.
    for member in [
        "options",
        "metadata",
        "direct_volume",
        "volume_type",
        "source",
    ] {
        for count in QUOTED {
            let text = "\u{7f}".repeat(count);
            documents.push((member, format!(r#"{{"{member}":"{text}"}}"#)));
        }
    }
    documents
}

#[test]
fn virtual_volumes() {
    for (what, json) in hostile_json(LARGE) {
        check(what, &json, KataVirtualVolume::from_json);
    }
    for (what, json) in hostile_json(HARD) {
        check(
            what,
            &STANDARD.encode(&json),
            KataVirtualVolume::from_base64_and_validate,
        );
    }
    check(
        "no base64",
        &"%".repeat(HARD),
        KataVirtualVolume::from_base64,
    );
}

#[test]
fn nydus_options() {
    let read = |option: &str| {
        let mount = Mount {
            options: vec![option.to_owned()],
            ..Default::default()
        };
        NydusExtraOptions::new(&mount)
    };
    for (what, json) in hostile_json(HARD) {
        check(
            what,
            &format!("extraoption={}", STANDARD.encode(&json)),
            read,
        );
        check(what, &json, read);
    }
    check("control characters", &"\u{1}".repeat(HARD), read);
}

#[test]
#[cfg(feature = "safe-path")]
fn records_of_direct_volumes() {
    use std::fs;

    use kata_types::mount::{add_volume_mount_info_in, get_volume_mount_info_in};

    let dir = tempfile::tempdir().unwrap();
    add_volume_mount_info_in(dir.path(), "/volume", &Default::default()).unwrap();
    let directory = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
    let record = fs::read_dir(directory.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    for (what, json) in hostile_json(HARD) {
        fs::write(record.path(), &json).unwrap();
        assert!(!check(what, &json, |_| get_volume_mount_info_in(
            dir.path(),
            "/volume"
        )));
    }
}

#[test]
fn cpu_lists() {
    for (what, item) in [
        ("one id", "1,"),
        ("ids", "1,3,5,7,9,11,13,"),
        ("ranges", "0-3,8-11,"),
        ("large ranges", "0-1048575,"),
        ("zeros", "0"),
        ("commas", ","),
        ("hyphens", "0-"),
    ] {
        check(
            what,
            &item.repeat(8 * HARD / item.len()),
            str::parse::<CpuSet>,
        );
    }
}

#[test]
fn parameters_of_verity() {
    for (what, item) in [
        ("one value", "x"),
        ("members", "root_hash=1,"),
        ("commas", ","),
        ("equals signs", "="),
    ] {
        check(
            what,
            &item.repeat(HARD / item.len()),
            parse_kernel_verity_params,
        );
    }
    let entries: String = (0..HARD / 8).map(|n| format!("{n}=,")).collect();
    check("entries", &entries, parse_kernel_verity_params);
}

#[test]
fn annotations() {
    for (what, key) in [
        ("number", KATA_ANNO_CFG_HYPERVISOR_DEFAULT_VCPUS),
        ("parameters", KATA_ANNO_CFG_HYPERVISOR_KERNEL_PARAMS),
        ("switch", KATA_ANNO_CFG_DISABLE_GUEST_SECCOMP),
    ] {
        for piece in ["x", "1", "a=b ", "\u{1}", "\"", "é"] {
            let value = piece.repeat(HARD / piece.len());
            let mut config = permissive_config();
            check(what, &value, |value| {
                let annotations = [(key.to_owned(), value.to_owned())].into();
                Annotation::new(annotations).update_config_by_annotation(&mut config)
            });
        }
    }
}

/// Documents of text and depth.
fn hostile_toml(size: usize) -> Vec<(&'static str, String)> {
    let mut documents = vec![
        ("comments", "# a comment\n".repeat(size / 12)),
        (
            "text",
            format!("[agent.kata]\npolicy = '{}'\n", "x".repeat(size)),
        ),
        (
            "nested lists",
            format!("x = {}{}", "[".repeat(DEEP), "]".repeat(DEEP)),
        ),
        (
            "nested tables",
            format!("x = {}1{}", "{a=".repeat(DEEP), "}".repeat(DEEP)),
        ),
        ("dotted key", format!("x{} = 1", ".a".repeat(DEEP))),
        ("dotted header", format!("[x{}]", ".a".repeat(DEEP))),
        ("words", "a ".repeat(size / 2)),
    ];
    // Texts where something else belongs, of characters that are longer when they are quoted.
    for head in [
        "data = ",
        "[data]\nx.y = ",
        "[hypervisor]\nqemu = ",
        "[runtime]\nenable_debug = ",
        "[agent.kata]\nkernel_modules = ",
    ] {
        for (piece, count) in ["\u{80}", "\\"]
            .into_iter()
            .flat_map(|p| QUOTED.map(|n| (p, n)))
        {
            documents.push((head, format!("{head}'{}'\n", piece.repeat(count))));
        }
    }
    documents
}

/// Sections of long names, with everything that is remarkable about them.
fn long_names(size: usize) -> Vec<(&'static str, String)> {
    let agent = "dial_timeout_ms = 9\nreconnect_timeout_ms = 1\nenable_tracing = true\n\
        debug_console_enabled = true\nkernel_modules = ['x']\nserver_port = 1\nlog_port = 1\n\
        container_pipe_size = 1\nmem_agent = { enable = true, memcg_swap = true }\n";
    let hypervisor = "default_vcpus = 1\nxyzzy = 1\ndefault_memry = 1\nkernel = 'x'\n\
        factory = { enable_template = true }\nrootless_user = { uid = '1' }\n";
    let mut documents = Vec::new();
    for number in [1, 17, 1000] {
        let name = "k".repeat(size / number - 500);
        for (what, keys) in [("agent", agent), ("hypervisor", hypervisor)] {
            for name in [&name, &format!("\"{}\"", name.replace("kkkkkk", "\\u0001"))] {
                let text = (0..number)
                    .map(|n| match name.strip_suffix('"') {
                        Some(name) => format!("[{what}.{name}{n}\"]\n{keys}"),
                        None => format!("[{what}.{name}{n}]\n{keys}"),
                    })
                    .collect();
                documents.push((what, text));
            }
        }
    }
    documents
}

#[test]
fn configurations() {
    // The size that a file can have.
    for (what, text) in hostile_toml(8 << 20) {
        check(what, &text, TomlConfig::load);
    }
}

#[test]
fn configurations_with_long_names_of_sections() {
    // An eighth of the largest file, and of what may be taken beside it.
    for (what, text) in long_names(HARD) {
        check_with(8 << 20, what, &text, TomlConfig::load);
    }
}

#[test]
fn initdata() {
    for (what, text) in hostile_toml(HARD) {
        check(what, &text, parse_initdata);
        check(what, &text, decode_initdata);
    }
    check("no gzip", &"A".repeat(LARGE), decode_initdata);
}
