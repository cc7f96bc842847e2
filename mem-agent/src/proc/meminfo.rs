//! `/proc/meminfo` ([proc_meminfo(5)](https://man7.org/linux/man-pages/man5/proc_meminfo.5.html)).

use anyhow::{Context, Result, anyhow};

use crate::text::{excerpt, parse_number};

pub(crate) const MEM_FREE: &str = "MemFree:";
pub(crate) const SWAP_FREE: &str = "SwapFree:";

/// The second word, in kB, of the first line that starts with `key`.
///
/// # Errors
///
/// There is no such line, or the word is no number.
pub(crate) fn meminfo_kb(text: &[u8], key: &str) -> Result<u64> {
    let line = text
        .split(|b| *b == b'\n')
        .find_map(|line| line.strip_prefix(key.as_bytes()))
        .ok_or_else(|| anyhow!("no {key} found"))?;
    let word = line
        .split(u8::is_ascii_whitespace)
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    parse_number(word).with_context(|| format!("parse {key} {:?} failed", excerpt(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"MemTotal:        4026532 kB\nMemFree:          812340 kB\nSwapTotal:       2097148 kB\nSwapFree:        1998000 kB\n";

    #[test]
    fn value_of_a_key_is_in_kb() {
        assert_eq!(meminfo_kb(TEXT, MEM_FREE).unwrap(), 812_340);
        assert_eq!(meminfo_kb(TEXT, SWAP_FREE).unwrap(), 1_998_000);
    }

    #[test]
    fn missing_keys_and_bad_values_are_named() {
        let bad: [(&[u8], &str); 4] = [
            (b"", "no SwapFree: found"),
            (b"XSwapFree: 1 kB\n", "no SwapFree: found"),
            (b"SwapFree:\n", "parse SwapFree: \"\" failed"),
            (
                b"SwapFree: -1 kB\nSwapFree: 1 kB\n",
                "parse SwapFree: \"-1\" failed",
            ),
        ];
        for (text, message) in bad {
            let error = meminfo_kb(text, SWAP_FREE).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
