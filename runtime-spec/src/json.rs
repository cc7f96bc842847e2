//! The JSON form of a state without a general serialiser: the same text is written twice, first to
//! count its bytes, then to a string of that size. Follows
//! [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), and `serde_json` in what it leaves open.

use crate::{State, annotations};

/// The state as JSON, in a string whose capacity is its length.
pub(crate) fn write(state: &State) -> String {
    annotations::sorted(&state.annotations, |annotations| {
        let mut length = Length(0);
        write_state(&mut length, state, annotations);
        let mut json = String::with_capacity(length.0);
        write_state(&mut json, state, annotations);
        json
    })
}

trait Sink {
    fn put(&mut self, text: &str);
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// Counts bytes.
struct Length(usize);

impl Sink for Length {
    fn put(&mut self, text: &str) {
        self.0 = self.0.saturating_add(text.len());
    }
}

fn write_state(out: &mut impl Sink, state: &State, annotations: &[(&str, &str)]) {
    out.put("{");
    for (name, value) in [("\"ociVersion\":", &state.version), ("\"id\":", &state.id)] {
        if !value.is_empty() {
            out.put(name);
            write_string(out, value);
            out.put(",");
        }
    }
    out.put("\"status\":\"");
    out.put(state.status.as_str());
    out.put("\",\"pid\":");
    write_number(out, state.pid);
    if !state.bundle.is_empty() {
        out.put(",\"bundle\":");
        write_string(out, &state.bundle);
    }
    let mut before = ",\"annotations\":{";
    for (key, value) in annotations {
        out.put(before);
        write_string(out, key);
        out.put(":");
        write_string(out, value);
        before = ",";
    }
    out.put(if annotations.is_empty() { "}" } else { "}}" });
}

fn write_number(out: &mut impl Sink, number: i32) {
    const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    if number < 0 {
        out.put("-");
    }
    let number = number.unsigned_abs();
    for exponent in (0..=number.checked_ilog10().unwrap_or(0)).rev() {
        let digit = number / 10_u32.pow(exponent) % 10;
        out.put(DIGITS.get(digit as usize).copied().unwrap_or_default());
    }
}

/// `text` in quotes, with the least escaping that JSON allows.
fn write_string(out: &mut impl Sink, text: &str) {
    out.put("\"");
    if is_plain(text.as_bytes()) {
        out.put(text);
    } else {
        write_escaped(out, text);
    }
    out.put("\"");
}

/// Whether nothing in `text` needs an escape. Looks at eight bytes at a time, as nearly all text
/// is plain.
fn is_plain(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks();
    match text.last_chunk() {
        // The last eight bytes may overlap those before them.
        Some(last) => words.iter().chain([last]).all(is_plain_word),
        None => !text.iter().copied().any(needs_escape),
    }
}

/// Whether none of eight bytes needs an escape. A byte below `n` is one that borrows from its top
/// bit when `n` is taken off it; a byte of 0x80 or more is none.
fn is_plain_word(bytes: &[u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(*bytes);
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & TOPS == 0
}

#[cold]
fn write_escaped(out: &mut impl Sink, text: &str) {
    let mut rest = text;
    while let Some((plain, escape, tail)) = split_at_escape(rest) {
        out.put(plain);
        out.put(escape);
        rest = tail;
    }
    out.put(rest);
}

/// What is before the first character to escape, its escape, and what is after it.
fn split_at_escape(text: &str) -> Option<(&str, &'static str, &str)> {
    let at = text.bytes().position(needs_escape)?;
    let (plain, rest) = text.split_at_checked(at)?;
    let mut rest = rest.chars();
    let escape = escape(rest.next()?)?;
    Some((plain, escape, rest.as_str()))
}

fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\')
}

fn escape(character: char) -> Option<&'static str> {
    match character {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        control => CONTROL.get(control as usize).copied(),
    }
}

/// The escapes of U+0000 to U+001F.
const CONTROL: [&str; 32] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007", "\\b",
    "\\t", "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011", "\\u0012",
    "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019", "\\u001a",
    "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_escaped_as_serde_json_does() {
        for character in ('\0'..='\u{2ff}').chain(['\u{2028}', '\u{fffd}', '\u{10ffff}']) {
            for text in [
                format!("{character}"),
                format!("a{character}{character}z"),
                format!("é{character}234567890123"),
                format!("12345678901ÿ34{character}"),
            ] {
                let mut written = String::new();
                write_string(&mut written, &text);
                assert_eq!(written, serde_json::to_string(&text).unwrap());
            }
        }
    }

    #[test]
    fn plain_text_is_told_by_any_byte_at_any_place() {
        // 0x21 and 0x5b borrow from nothing, but stand next to what does.
        for around in [b'a', 0x21, 0x23, 0x5b, 0x7f, 0x80, 0xff] {
            for length in 1..=24 {
                for at in 0..length {
                    for byte in 0..=u8::MAX {
                        let mut text = vec![around; length];
                        text[at] = byte;
                        assert_eq!(is_plain(&text), !needs_escape(byte), "{text:x?}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn numbers_are_decimal() {
        let edges = (0..31).flat_map(|bit| [(1 << bit) - 1, 1 << bit]);
        let tens = (0..10).flat_map(|exponent| [10_i32.pow(exponent) - 1, 10_i32.pow(exponent)]);
        for number in edges.chain(tens).chain([i32::MAX]) {
            for number in [number, -number, !number] {
                let mut written = String::new();
                write_number(&mut written, number);
                assert_eq!(written, number.to_string());
            }
        }
    }

    #[test]
    fn all_that_needs_an_escape_has_one() {
        for byte in 0..=u8::MAX {
            assert_eq!(needs_escape(byte), escape(byte.into()).is_some(), "{byte}");
        }
    }
}
