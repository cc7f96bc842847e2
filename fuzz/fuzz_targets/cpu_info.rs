//! `/proc/cpuinfo`, the kernel's command line, and other lists of words. The first line of an input
//! is the delimiter or key.
//!
//! * The first CPU is the text before the delimiter, as `str::find` sees it.
//! * The list of flags has the words of the flags, and a flag is in it or not.
//! * Facilities are the numbers of their line; a parameter of the kernel is a word of its line.
#![no_main]

use std::fs;

use kata_libs_fuzz::{Scratch, unescape};
use kata_sys_util::check_kernel_cmd_line;
use kata_sys_util::cpu::{
    contains_cpu_flag, get_cpu_flags, get_cpu_flags_vec, get_single_cpu_info,
    retrieve_cpu_facilities_from,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(data.len());
    let (key, text) = data.split_at(end);
    let key = unescape(&String::from_utf8_lossy(key));
    let text = text.get(1..).unwrap_or_default();
    let scratch = Scratch::new();
    let path = scratch.path().join("cpuinfo");
    fs::write(&path, text).expect("a new file");
    let name = path.to_str().expect("UTF-8");

    let position = text
        .windows(key.len().max(1))
        .position(|window| window == key.as_bytes());
    let before = if key.is_empty() {
        b""
    } else {
        &text[..position.unwrap_or(text.len())]
    };
    match get_single_cpu_info(name, &key) {
        Ok(first) => assert!(!text.is_empty() && first.as_bytes() == before),
        Err(_) => assert!(text.is_empty() || std::str::from_utf8(before).is_err()),
    }

    let text = String::from_utf8_lossy(text);
    match (get_cpu_flags(&text, &key), get_cpu_flags_vec(&text, &key)) {
        (Ok(flags), Ok(list)) => {
            assert!(flags.is_empty() || text.contains(&flags));
            assert!(!flags.contains([':', '\n']));
            assert!(flags.split_whitespace().eq(list.iter().map(String::as_str)));
            for flag in &list {
                assert!(contains_cpu_flag(&list, flag).expect("not empty"));
                assert!(!contains_cpu_flag(&list, &format!("{flag} ")).expect("not empty"));
            }
        }
        (flags, list) => {
            assert!(flags.is_err() && list.is_err() && (text.is_empty() || key.is_empty()))
        }
    }

    if let Ok(facilities) = retrieve_cpu_facilities_from(&path) {
        for (number, is_there) in facilities {
            assert!(is_there);
            assert!(number < 0 || text.contains(&number.to_string()));
        }
    }
    let is_word = text
        .split_whitespace()
        .any(|word| word.eq_ignore_ascii_case(&key));
    assert_eq!(
        check_kernel_cmd_line(name, &key, &[]).expect("it can be read"),
        is_word
    );
    if check_kernel_cmd_line(name, &key, &["1", "on"]).expect("it can be read") {
        assert!(text.contains(&key));
    }
});
