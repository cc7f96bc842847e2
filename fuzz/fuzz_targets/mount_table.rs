//! A mount table. The first line of an input is the path that is looked for.
//!
//! * The answer is that of a slow model, which reads the whole table into memory.
//! * Every line of six fields is found by its decoded path.
#![no_main]

use std::fs;

use kata_libs_fuzz::{Scratch, unescape};
use kata_sys_util::SysRoot;
use kata_sys_util::mount::{Error, LinuxMountInfo, get_linux_mount_info_in};
use libfuzzer_sys::fuzz_target;

/// Replaces `\ooo` by the byte with that octal number.
fn decode(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut at = 0;
    while at < field.len() {
        let digits = field
            .get(at + 1..at + 4)
            .and_then(|d| std::str::from_utf8(d).ok());
        let is_octal = |d: &&str| d.bytes().all(|d| (b'0'..=b'7').contains(&d));
        let byte = digits
            .filter(is_octal)
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match byte {
            Some(byte) if field[at] == b'\\' => {
                plain.push(byte);
                at += 4;
            }
            _ => {
                plain.push(field[at]);
                at += 1;
            }
        }
    }
    plain
}

/// The last line for the path, split into fields.
fn last<'a>(table: &'a [u8], path: &str) -> Option<Vec<&'a [u8]>> {
    let trimmed = path.trim_end_matches('/');
    let path = if trimmed.is_empty() && !path.is_empty() {
        "/"
    } else {
        trimmed
    };
    let mut lines: Vec<_> = table.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let mut lines = lines.into_iter().rev();
    lines.find_map(|line| {
        let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
        (fields.len() > 1 && decode(fields[1]) == path.as_bytes()).then_some(fields)
    })
}

fn check(root: &SysRoot, table: &[u8], path: &str) {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (get_linux_mount_info_in(root, path), last(table, path)) {
        (Ok(info), Some(fields)) => {
            assert!(fields.len() >= 6);
            let expected = LinuxMountInfo {
                device: lossy(&decode(fields[0])),
                path: lossy(&decode(fields[1])),
                fs_type: lossy(fields[2]),
            };
            assert_eq!(info, expected);
        }
        (Err(Error::NoMountEntry(name)), None) => assert_eq!(name, path),
        (Err(Error::InvalidMountEntry(6, count, _)), Some(fields)) => {
            assert_eq!(count, fields.len());
            assert!(count < 6);
        }
        (found, expected) => panic!("{found:?}, expected {expected:?}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let end = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (path, table) = data.split_at(end);
    let table = table.get(1..).unwrap_or_default();
    let scratch = Scratch::new();
    let root = SysRoot::under(scratch.path());
    fs::create_dir(&root.proc).expect("a new directory");
    fs::write(root.proc.join("mounts"), table).expect("a new file");

    check(&root, table, &unescape(&String::from_utf8_lossy(path)));
    for line in table.split(|byte| *byte == b'\n').take(8) {
        if let Some(field) = line.split(|byte| *byte == b' ').nth(1)
            && let Ok(path) = String::from_utf8(decode(field))
        {
            check(&root, table, &path);
        }
    }
});
