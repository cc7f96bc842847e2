//! Text that is escaped while it is written, and cut where a record would become too long.

use std::fmt;

/// Stands for what was cut off.
const ELLIPSIS: &str = "…";

/// What a panic while formatting leaves in the place of the value.
pub(crate) const PANICKED: &str = "<panicked while formatting>";

/// No style needs more than this many bytes for one byte of text.
const WORST_GROWTH: usize = 6;

/// How a format represents text.
pub(crate) trait Escape {
    /// Appends `text` in its representation, at most six bytes for each byte of it.
    fn escape(text: &str, out: &mut Vec<u8>);
}

/// Appends escaped text to a buffer, which will not grow beyond a limit.
pub(crate) struct Bounded<'a, E> {
    pub(crate) out: &'a mut Vec<u8>,
    /// Length that `out` must not exceed.
    limit: usize,
    /// Whether something was cut off. Nothing is written any more then.
    pub(crate) cut: bool,
    escape: std::marker::PhantomData<E>,
}

impl<'a, E: Escape> Bounded<'a, E> {
    pub(crate) fn new(out: &'a mut Vec<u8>, limit: usize) -> Self {
        Self {
            out,
            limit,
            cut: false,
            escape: std::marker::PhantomData,
        }
    }

    pub(crate) fn push(&mut self, mut text: &str) {
        while !self.cut {
            let room = self.limit.saturating_sub(self.out.len() + ELLIPSIS.len());
            let whole = room / WORST_GROWTH;
            if text.len() <= whole {
                E::escape(text, self.out);
                return;
            }
            let (head, tail) = split_at_char_boundary(text, whole);
            E::escape(head, self.out);
            text = tail;
            if head.is_empty() {
                self.out.extend_from_slice(ELLIPSIS.as_bytes());
                self.cut = true;
            }
        }
    }
}

impl<E: Escape> fmt::Write for Bounded<'_, E> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        // The error ends the formatting of what would be cut off anyway.
        if self.cut { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Splits at the last character boundary that is not behind `at`.
pub(crate) fn split_at_char_boundary(text: &str, at: usize) -> (&str, &str) {
    let mut at = at.min(text.len());
    loop {
        if let Some(parts) = text.split_at_checked(at) {
            return parts;
        }
        at = at.saturating_sub(1); // ends at 0, which is a boundary
    }
}

/// Text inside of a JSON string (RFC 8259, section 7).
pub(crate) struct JsonText;

impl Escape for JsonText {
    fn escape(text: &str, out: &mut Vec<u8>) {
        let mut rest = text.as_bytes();
        if is_clean(rest) {
            return out.extend_from_slice(rest);
        }
        while let Some((clean, byte, tail)) = split_at_special(rest) {
            out.extend_from_slice(clean);
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                _ => out.extend_from_slice(&[
                    b'\\',
                    b'u',
                    b'0',
                    b'0',
                    b'0' + (byte >> 4),
                    hex(byte & 15),
                ]),
            }
            rest = tail;
        }
        out.extend_from_slice(rest);
    }
}

fn hex(digit: u8) -> u8 {
    if digit < 10 {
        b'0' + digit
    } else {
        b'a' + digit - 10
    }
}

/// Whether there is nothing that JSON must escape.
#[inline]
fn is_clean(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
    !words.any(has_special) && (tail.is_empty() || !has_special(last_word(bytes)))
}

/// The last eight bytes, or all of them, some repeated: all bytes of a short text at once, faster
/// than one by one.
#[inline]
pub(crate) fn last_word(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_ne_bytes(*last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let [first, last] = [first, last].map(|half| u64::from(u32::from_ne_bytes(*half)));
        return first << 32 | last;
    }
    let middle = bytes.get(bytes.len() / 2);
    [bytes.first(), middle, bytes.last()]
        .into_iter()
        .fold(u64::from_ne_bytes([b' '; 8]), |word, byte| {
            word << 8 | u64::from(byte.copied().unwrap_or(b' '))
        })
}

/// The bytes before the first that JSON must escape, that byte, and the bytes behind it.
fn split_at_special(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let mut clean = 0;
    let (words, _) = bytes.as_chunks::<8>();
    for word in words {
        if has_special(u64::from_ne_bytes(*word)) {
            break;
        }
        clean += 8;
    }
    let tail = bytes.get(clean..)?;
    let at = clean + tail.iter().position(|byte| is_special(*byte))?;
    let (before, from) = bytes.split_at_checked(at)?;
    let (byte, after) = from.split_first()?;
    Some((before, *byte, after))
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether one of eight bytes is special. Bytes from 0x80 on may hide behind their neighbours, but
/// never make a special byte go unnoticed.
fn has_special(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = word ^ (ONES * b'"' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = word ^ (ONES * b'\\' as u64);
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (below_space | quote | backslash) & HIGH != 0
}

/// Text as it is.
pub(crate) struct PlainText;

impl Escape for PlainText {
    fn escape(text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
    }
}

/// A value on a terminal: a control character cannot act on it, nor start a new line.
pub(crate) struct TerminalText;

impl Escape for TerminalText {
    fn escape(text: &str, out: &mut Vec<u8>) {
        escape_controls(text, "", out);
    }
}

/// A message on a terminal, which may have tabs and several lines.
pub(crate) struct TerminalMessage;

impl Escape for TerminalMessage {
    fn escape(text: &str, out: &mut Vec<u8>) {
        escape_controls(text, "\t\n", out);
    }
}

/// Appends `text`, with its C0 and C1 control characters and DEL as Rust would escape them, except
/// those `allowed`.
fn escape_controls(text: &str, allowed: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_control() && !allowed.contains(c)) {
        let (clean, from) = split_at_char_boundary(rest, at);
        out.extend_from_slice(clean.as_bytes());
        let mut chars = from.chars();
        for escaped in chars.by_ref().take(1).flat_map(char::escape_default) {
            out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped<E: Escape>(text: &str) -> String {
        let mut out = Vec::new();
        E::escape(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_text_is_escaped_like_everybody_does() {
        let cases = [
            ("", ""),
            ("plain, with ümläute and 👍", "plain, with ümläute and 👍"),
            ("a\"b\\c", "a\\\"b\\\\c"),
            ("\n\r\t", "\\n\\r\\t"),
            ("\0\u{1b}\u{1f}\u{7f}", "\\u0000\\u001b\\u001f\u{7f}"),
            ("12345678\n", "12345678\\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped::<JsonText>(text), expected);
        }
    }

    #[test]
    fn terminal_text_has_no_control_character() {
        let text = "a\u{1b}[31mb\u{9b}2J\r\n\tc\u{7f}";
        assert_eq!(
            escaped::<TerminalText>(text),
            "a\\u{1b}[31mb\\u{9b}2J\\r\\n\\tc\\u{7f}"
        );
        assert_eq!(
            escaped::<TerminalMessage>(text),
            "a\\u{1b}[31mb\\u{9b}2J\\r\n\tc\\u{7f}"
        );
    }

    #[test]
    fn text_is_cut_at_a_character_boundary() {
        for limit in 0..200 {
            let mut out = Vec::new();
            let mut bounded = Bounded::<JsonText>::new(&mut out, limit);
            bounded.push(&"ä\n".repeat(100));
            assert!(bounded.cut);
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with('…'), "{limit}: {text}");
            assert!(text.len() <= limit.max(3), "{limit}: {}", text.len());
            assert!(text.len() + 30 > limit, "{limit}: {}", text.len());
        }
    }

    proptest! {
        #[test]
        fn json_text_reads_back(text in ".*|[\\x00-\\x7f]{0,40}") {
            let json = format!("\"{}\"", escaped::<JsonText>(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            prop_assert!(!json.contains(|c: char| c < ' '));
        }
    }
}
