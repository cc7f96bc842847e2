//! Pressure files, `/proc/pagetypeinfo`, `/proc/meminfo` and `memory.stat`: the same text for all
//! four parsers.
//!
//! * A number is one that stands in the text, and what slow models find.
//! * Of free pages, a higher order counts no fewer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mem_agent::testing::{parse_meminfo, parse_memory_stat, parse_pagetypeinfo, parse_pressure};

/// The number after `key` in the first line that begins with it.
fn value(text: &str, key: &str) -> Option<u64> {
    let line = text.split('\n').find(|line| line.starts_with(key))?;
    let rest = line[key.len()..].split(|c: char| c.is_ascii_whitespace());
    rest.into_iter().find(|word| !word.is_empty())?.parse().ok()
}

fn pressure(text: &str) -> Option<u64> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
    let line = text.split('\n').next()?;
    let mut words = line
        .split(|c: char| c.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    if words.next() != Some("some") {
        return None;
    }
    words
        .find_map(|word| word.strip_prefix("total="))?
        .parse()
        .ok()
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        let _ = (
            parse_pressure(data),
            parse_meminfo(data, "MemFree:"),
            parse_memory_stat(data),
        );
        return;
    };
    assert_eq!(parse_pressure(data).ok(), pressure(text));
    for key in ["MemFree:", "SwapFree:"] {
        assert_eq!(parse_meminfo(data, key).ok(), value(text, key));
    }

    let stat = parse_memory_stat(data);
    for (key, number) in [
        ("inactive_file", stat.inactive_file),
        ("inactive_anon", stat.inactive_anon),
    ] {
        assert!(number == 0 || text.contains(&format!("{key} ")));
    }
    assert!(stat.reclaimed == 0 || text.contains("pgsteal"));
    assert!(stat.refaulted == 0 || text.contains("workingset_refault"));

    let mut below = 0;
    for order in 0..=12 {
        let pages = parse_pagetypeinfo(text, order);
        assert!(pages >= below);
        assert!(pages == 0 || (order > 0 && text.contains("Movable")));
        below = pages;
    }
});
