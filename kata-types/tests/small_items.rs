//! Memory that many of the smallest items make the readers of lists and maps take.
//!
//! A vector that has just grown has room for twice its items, and a hash table the same: so the
//! numbers are just above powers of two.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

mod common;

use std::collections::HashMap;
use std::fmt::{Display, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::permissive_config;
use kata_types::annotations::{Annotation, KATA_ANNO_CFG_SHARED_MOUNTS, markdown_reference};
use kata_types::config::TomlConfig;
use kata_types::cpu::CpuSet;
use kata_types::mount::{DirectVolumeMountInfo, KataVirtualVolume, Mount};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;

/// The most items of a list in an annotation.
const MOST: usize = 4096;

/// The most items of other lists and maps.
const MOST_ENTRIES: usize = 1 << 16;

/// So many entries that the largest hash table has just been made.
const FULL: usize = 7 * (1 << 13) + 1;

/// Just above powers of two and the load of hash tables (7/8), and what is accepted at most.
const COUNTS: &[usize] = &[
    (1 << 17) + 1,
    MOST_ENTRIES + 1,
    MOST_ENTRIES,
    FULL,
    MOST + 1,
    MOST,
    7 * (1 << 9) + 1,
    (1 << 11) + 1,
    (1 << 10) + 1,
    (1 << 9) + 1,
];

/// What reading an annotation takes beside eight times the text: the most items of two lists.
const CONSTANT: usize = 1 << 20;

/// What reading something else takes: hash tables of the most entries, and one to grow from.
const ENTRIES_CONSTANT: usize = 12 << 20;

/// Reads a text, and checks that it took at most eight times its size and a constant, the error
/// included, which is returned.
#[track_caller]
fn check<T, E: Display>(
    what: &str,
    text: &str,
    constant: usize,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Option<String> {
    let (result, allocated) = allocated_by(|| read(text).map_err(|error| format!("{error:#}")));
    assert!(
        allocated.peak <= 8 * text.len() + constant,
        "{what}: {allocated:?} for {}",
        text.len()
    );
    result.err()
}

/// As [`check`], where lists of up to `most` items are accepted and others are refused by name.
#[track_caller]
fn check_list<T, E: Display>(
    (name, most): (&str, usize),
    count: usize,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) {
    let constant = if most == MOST {
        CONSTANT
    } else {
        ENTRIES_CONSTANT
    };
    let error = check(&format!("{count} {name}"), text, constant, read);
    assert_eq!(error.is_some(), count > most, "{count} {name}: {error:?}");
    if let Some(error) = error {
        let limit = format!("more than {most} items");
        assert!(error.contains(name) && error.contains(&limit), "{error}");
    }
}

/// JSON of a list of empty texts.
fn texts(count: usize) -> String {
    format!("[{}\"\"]", "\"\",".repeat(count - 1))
}

/// JSON of a map of the shortest keys there are, and empty texts.
fn entries(count: usize) -> String {
    let mut json = "{".to_owned();
    for n in 0..count {
        let separator = if n == 0 { "" } else { "," };
        write!(json, "{separator}\"{}\":\"\"", shortest(n)).unwrap();
    }
    json + "}"
}

/// The number-th text of printable ASCII.
fn shortest(mut number: usize) -> String {
    let mut text = String::new();
    loop {
        // Without quotes and backslashes, which JSON escapes.
        text.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}

fn apply(key: &str, value: &str) -> std::io::Result<TomlConfig> {
    let mut config = permissive_config();
    let annotations = [(key.to_owned(), value.to_owned())].into();
    Annotation::new(annotations).update_config_by_annotation(&mut config)?;
    Ok(config)
}

/// All annotations that change the configuration.
fn keys() -> Vec<String> {
    let page = markdown_reference();
    let mut prefix = "";
    let mut keys = Vec::new();
    for line in page.lines() {
        if let Some((_, rest)) = line.split_once(": `io.") {
            prefix = rest.trim_end_matches("…`");
        }
        if let Some((name, _)) = line.strip_prefix("| `").and_then(|row| row.split_once('`')) {
            keys.push(format!("io.{prefix}{name}"));
        }
    }
    keys
}

#[test]
fn annotations_of_any_key() {
    let keys = keys();
    assert!(keys.len() > 80, "{}", keys.len());
    for key in &keys {
        for item in [
            "a,", "a;", "a ", "a=,", "{},", "\"\",", "1,", ",", ";", "\"",
        ] {
            for count in [(1 << 11) + 1, (1 << 16) + 1] {
                let value = item.repeat(count);
                for value in [format!("[{}{{}}]", value), value] {
                    check(key, &value, CONSTANT, |value| apply(key, value));
                }
            }
        }
        // Quoted, each takes six bytes; and a buffer of them has just been doubled.
        let text = "\u{7f}".repeat((1 << 22) / 6 + 1);
        for value in [
            format!(r#"["{text}"]"#),
            format!(r#"[{{"{text}":1}}]"#),
            text,
        ] {
            check(key, &value, CONSTANT, |value| apply(key, value));
        }
    }
}

#[test]
fn lists_in_annotations() {
    for (key, separator) in [
        ("hypervisor.virtio_fs_extra_args", ","),
        ("agent.kernel_modules", ";"),
        ("runtime.experimental", ","),
    ] {
        let key = format!("io.katacontainers.config.{key}");
        for &count in COUNTS {
            let list = ["a", separator].concat().repeat(count);
            check_list((&key, MOST), count, &list, |list| apply(&key, list));
        }
        let large = ["a", separator].concat().repeat(LARGE / 2);
        check_list((&key, MOST), LARGE / 2, &large, |list| apply(&key, list));
        // No items: separators and blanks.
        let blanks = [" ", separator].concat().repeat(LARGE / 128);
        assert_eq!(
            check(&key, &blanks, CONSTANT, |list| apply(&key, list)),
            None
        );
    }
}

#[test]
fn shared_mounts_in_an_annotation() {
    let key = KATA_ANNO_CFG_SHARED_MOUNTS;
    let list = |count: usize| format!("[{}{{}}]", "{},".repeat(count - 1));
    for &count in COUNTS {
        check_list((key, MOST), count, &list(count), |list| apply(key, list));
    }
    let count = LARGE / 3;
    check_list((key, MOST), count, &list(count), |list| apply(key, list));
    let config = apply(key, &list(MOST)).unwrap();
    assert_eq!(config.runtime.shared_mounts.len(), MOST);
}

#[test]
fn virtual_volumes() {
    for &count in COUNTS {
        for (name, json) in [
            ("options", format!(r#""options":{}"#, texts(count))),
            (
                "metadata",
                format!(r#""direct_volume":{{"metadata":{}}}"#, entries(count)),
            ),
            (
                "metadata",
                format!(
                    r#""options":{},"direct_volume":{{"metadata":{}}},"image_pull":{{"metadata":{}}}"#,
                    texts((1 << 15) + 1),
                    entries(count.min(FULL)),
                    entries(count)
                ),
            ),
        ] {
            let json = format!(r#"{{"volume_type":"x",{json}}}"#);
            check_list(
                (name, MOST_ENTRIES),
                count,
                &json,
                KataVirtualVolume::from_json,
            );
            let base64 = STANDARD.encode(&json);
            check_list(
                (name, MOST_ENTRIES),
                count,
                &base64,
                KataVirtualVolume::from_base64,
            );
        }
    }
    let json = format!(r#"{{"volume_type":"","options":{}}}"#, texts(LARGE / 3));
    check_list(
        ("options", MOST_ENTRIES),
        LARGE / 3,
        &json,
        KataVirtualVolume::from_json,
    );
}

#[test]
fn mounts_and_records_of_direct_volumes() {
    for &count in COUNTS {
        let mount = format!(
            r#"{{"source":"","destination":"","fs_type":"","read_only":false,"options":{}}}"#,
            texts(count)
        );
        check_list(("options", MOST_ENTRIES), count, &mount, |json| {
            serde_json::from_str::<Mount>(json)
        });
        for (name, list) in [("options", texts(count)), ("metadata", entries(count))] {
            let json = format!(r#"{{"volume-type":"","device":"","fstype":"","{name}":{list}}}"#);
            check_list((name, MOST_ENTRIES), count, &json, |json| {
                serde_json::from_str::<DirectVolumeMountInfo>(json)
            });
        }
    }
}

#[test]
#[cfg(feature = "safe-path")]
fn what_could_not_be_read_is_not_recorded() {
    use kata_types::mount::{add_volume_mount_info_in, get_volume_mount_info_in};

    let dir = tempfile::tempdir().unwrap();
    for count in [MOST_ENTRIES, MOST_ENTRIES + 1] {
        let options = DirectVolumeMountInfo {
            options: vec![String::new(); count],
            ..Default::default()
        };
        let metadata = DirectVolumeMountInfo {
            metadata: (0..count).map(|n| (shortest(n), String::new())).collect(),
            ..Default::default()
        };
        for (name, info) in [("options", options), ("metadata", metadata)] {
            let added = add_volume_mount_info_in(dir.path(), name, &info);
            assert_eq!(added.is_ok(), count == MOST_ENTRIES, "{count} {name}");
            match added {
                Ok(()) => assert_eq!(get_volume_mount_info_in(dir.path(), name).unwrap(), info),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(error.contains(name) && error.contains("65536"), "{error}");
                }
            }
        }
    }
}

#[test]
fn annotations_in_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    for &count in COUNTS {
        let json = format!(r#"{{"annotations":{}}}"#, entries(count));
        std::fs::write(path, &json).unwrap();
        check_list(("annotations", MOST_ENTRIES), count, &json, |_| {
            Annotation::deserialize::<Annotation>(path)
        });
    }
}

/// Also those of others, of which nothing but the prefix is looked at.
#[test]
fn many_annotations() {
    for count in [(1 << 10) + 1, (1 << 16) + 1] {
        for prefix in [
            "",
            "io.katacontainers.config.",
            "io.katacontainers.config.hypervisor.",
        ] {
            let annotations: HashMap<String, String> = (0..count)
                .map(|n| (format!("{prefix}{}", shortest(n)), String::new()))
                .collect();
            let size: usize = annotations.keys().map(String::len).sum();
            let annotations = Annotation::new(annotations);
            let mut config = permissive_config();
            let (_, allocated) =
                allocated_by(|| annotations.update_config_by_annotation(&mut config).is_ok());
            assert!(
                allocated.peak <= 8 * size + CONSTANT,
                "{prefix}: {allocated:?} for {size}"
            );
        }
    }
}

#[test]
fn cpu_lists() {
    for count in [(1 << 18) + 1, (1 << 19) + 1, 1 << 20, (1 << 20) + 1] {
        for items in ["1,", "9,8,7,6,5,4,3,2,1,0,"] {
            let items = items.repeat(2 * count / items.len() + 1);
            let list = items.get(..2 * count - 1).unwrap();
            let error = check(items.get(..4).unwrap(), list, 1 << 10, str::parse::<CpuSet>);
            assert_eq!(error.is_some(), count > 1 << 20);
        }
    }
}
