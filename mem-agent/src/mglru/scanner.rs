//! A cursor over the bytes of `lru_gen`: one pass, no copies.

use std::io::BufRead;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Passes over blanks and tabs.
    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        // The kernel pads numbers to ten columns.
        while let Some((first, rest)) = self.rest.split_first_chunk::<4>() {
            if first != b"    " {
                break;
            }
            self.rest = rest;
        }
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Passes over `word` if it is next.
    #[inline]
    pub(super) fn accept(&mut self, word: &[u8]) -> bool {
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A decimal number that fits into `u64`.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        let (&first, mut rest) = self.rest.split_first()?;
        let mut value = digit(first)?;
        // Up to 19 digits cannot overflow.
        let mut unchecked = 18_u8;
        while let Some((&next, tail)) = rest.split_first() {
            let Some(digit) = digit(next) else { break };
            if unchecked == 0 {
                value = value.checked_mul(10)?.checked_add(digit)?;
            } else {
                unchecked = unchecked.wrapping_sub(1);
                value = value.wrapping_mul(10).wrapping_add(digit);
            }
            rest = tail;
        }
        self.rest = rest;
        Some(value)
    }

    /// A number that may be negative.
    #[inline]
    pub(super) fn signed_number(&mut self) -> Option<i64> {
        if self.accept(b"-") {
            return 0_i64.checked_sub_unsigned(self.number()?);
        }
        i64::try_from(self.number()?).ok()
    }

    /// Whether a word ends here.
    #[inline]
    pub(super) fn is_at_word_end(&self) -> bool {
        matches!(self.rest.first(), None | Some(b' ' | b'\t' | b'\n'))
    }

    /// Passes over blanks and the end of the line; false, and nothing else, if more is in the line.
    #[inline]
    pub(super) fn end_line(&mut self) -> bool {
        self.skip_blanks();
        match self.rest {
            [] => true,
            [b'\n', rest @ ..] => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The rest of the line, which is passed over with its end.
    #[inline]
    pub(super) fn take_line(&mut self) -> &'a [u8] {
        let line = self.rest;
        let length = self.skip_past(b'\n');
        let line = line.get(..length).unwrap_or_default();
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// From the begin of a line, passes over all lines before the next one that begins with `word`
    /// and a blank.
    pub(super) fn skip_to_line(&mut self, word: &[u8]) {
        let Some(first) = word.first() else { return };
        let (text, mut position) = (self.rest, 0_usize);
        loop {
            let skipped = self.skip_past(*first);
            position = position.saturating_add(skipped);
            let start = position.saturating_sub(1);
            let found = text.get(start..).unwrap_or_default();
            if skipped == 0 || found.is_empty() {
                return;
            }
            let mut candidate = Scanner { rest: found };
            let before = text.get(..start).unwrap_or_default();
            let is_word = candidate.accept(word) && candidate.is_at_word_end();
            if is_word && is_at_line_start(before) {
                self.rest = found;
                return;
            }
        }
    }

    /// Passes over everything up to and including `byte`, by the C library's `memchr`. Returns how
    /// much that was.
    fn skip_past(&mut self, byte: u8) -> usize {
        // Memory is read without error.
        self.rest.skip_until(byte).unwrap_or(0)
    }
}

/// Whether nothing but blanks follows the last end of line.
fn is_at_line_start(before: &[u8]) -> bool {
    let last = before.iter().rev().find(|b| !matches!(b, b' ' | b'\t'));
    matches!(last, None | Some(b'\n'))
}

fn digit(byte: u8) -> Option<u64> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(u64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_or_are_refused() {
        let cases: [(&[u8], Option<u64>); 8] = [
            (b"0", Some(0)),
            (b"00012 ", Some(12)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"99999999999999999999999", None),
            (b"00000000000000000000000000007", Some(7)),
            (b"", None),
            (b"-1", None),
        ];
        for (text, value) in cases {
            assert_eq!(Scanner::new(text).number(), value, "{text:?}");
        }
        assert_eq!(Scanner::new(b"-5").signed_number(), Some(-5));
        assert_eq!(
            Scanner::new(b"-9223372036854775808").signed_number(),
            Some(i64::MIN)
        );
        assert_eq!(Scanner::new(b"9223372036854775808").signed_number(), None);
    }

    proptest::proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(digits in "[0-9]{0,21}", rest in "([ -/:-~\u{80}-\u{ff}].{0,9})?") {
            let text = format!("{digits}{rest}");
            let mut scanner = Scanner::new(text.as_bytes());
            let number = scanner.number();
            proptest::prop_assert_eq!(number, digits.parse().ok());
            if number.is_some() {
                proptest::prop_assert_eq!(scanner.rest, rest.as_bytes());
            }
        }
    }

    #[test]
    fn lines_are_skipped_up_to_one_with_the_word() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"memcg 1", b"memcg 1"),
            (b"a\nmemcg 1\nmemcg 2", b"memcg 1\nmemcg 2"),
            (b" 1 m 2\n \t memcg\t2", b"memcg\t2"),
            (b"x memcg 1\nmemcgs 1\nmem\nmemcg", b"memcg"),
            (b"memc", b""),
            (b"mmm\nmm", b""),
            (b"", b""),
            (b"12 34\n", b""),
        ];
        for (text, rest) in cases {
            let mut scanner = Scanner::new(text);
            scanner.skip_to_line(b"memcg");
            assert_eq!(scanner.rest, rest, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn lines_and_blanks_are_passed_over() {
        let mut scanner = Scanner::new(b" \t     x\n\nlast");
        scanner.skip_blanks();
        assert!(!scanner.end_line());
        assert_eq!(scanner.take_line(), b"x");
        assert!(scanner.end_line());
        assert_eq!(scanner.take_line(), b"last");
        assert!(scanner.is_at_end() && scanner.end_line() && scanner.take_line().is_empty());
    }
}
