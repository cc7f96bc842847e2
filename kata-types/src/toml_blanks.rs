//! TOML text without comments and blank lines, which cost the parser far more memory than they have
//! bytes.
//!
//! The parser first turns its whole input into tokens of 24 bytes, twice, and a line end is a token.
//! A text of nothing but line ends would so take fifty times its size. What is left out here is
//! told apart by the parser's own lexer.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// A text is copied only when this part of it, or more, can be left out.
///
/// A copy takes the size of the text; the tokens of what is left in place take 24 times theirs.
const WORTHWHILE: usize = 32;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// `text` without comments, blank lines and indentation; the text itself where that is about all of
/// it. The two are the same document, and are faulty in the same way.
pub(crate) fn without_blanks(text: &str) -> Cow<'_, str> {
    let kept = || kept(text).filter_map(|range| text.get(range));
    let size: usize = kept().map(str::len).sum();
    if text.len().saturating_sub(size) < text.len() / WORTHWHILE {
        return Cow::Borrowed(text);
    }
    let mut condensed = String::with_capacity(size);
    condensed.extend(kept());
    Cow::Owned(condensed)
}

/// Where a byte of [`without_blanks`] stands in `text`; the end of the text for the end.
pub(crate) fn original_offset(text: &str, condensed: &str, offset: usize) -> usize {
    if condensed.len() == text.len() {
        return offset;
    }
    let mut rest = offset;
    for range in kept(text) {
        match rest.checked_sub(range.len()) {
            Some(behind) => rest = behind,
            None => return range.start.saturating_add(rest),
        }
    }
    text.len()
}

/// The parts of `text` that are kept, in order.
fn kept(text: &str) -> impl Iterator<Item = Range<usize>> {
    // A byte order mark is no token, and an error anywhere but at the very start: so it is kept there,
    // and what is in front of another one must not vanish altogether.
    let mark = text.starts_with(BYTE_ORDER_MARK);
    let mark = mark.then_some(0..BYTE_ORDER_MARK.len_utf8());
    let mut line_is_empty = false;
    let words = Source::new(text).lex().filter_map(move |token| {
        let range = token.span().start()..token.span().end();
        let piece = text.get(range.clone())?;
        let keep = match token.kind() {
            TokenKind::Eof => false,
            TokenKind::Whitespace => !line_is_empty,
            // A bare CR and a comment with control characters are errors, for the parser to report.
            TokenKind::Newline => !line_is_empty || piece == "\r",
            TokenKind::Comment => !piece.bytes().all(may_be_in_comment),
            _ => true,
        };
        if keep {
            line_is_empty = token.kind() == TokenKind::Newline;
        }
        keep.then_some(range)
    });
    mark.into_iter().chain(words)
}

fn may_be_in_comment(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text as it would be if leaving out were always worthwhile.
    fn condensed(text: &str) -> String {
        kept(text).filter_map(|range| text.get(range)).collect()
    }

    #[test]
    fn comments_and_blank_lines_are_left_out() {
        for (text, expected) in [
            ("", ""),
            ("\n\r\n\t\n# c\n  # é\n", "\n"),
            ("\u{feff}\n\n# c\na = 1", "\u{feff}\na = 1"),
            ("a = 1\n", "a = 1\n"),
            ("  a = 1 # c\n\n\n  b = 2 # d", "  a = 1 \nb = 2 "),
            ("a = [ # c\r\n\r\n 1, # d\n\n] # e\n", "a = [ \r\n1, \n] \n"),
            ("[t] # c\n\n# d\nx = {a = 1}\n", "[t] \nx = {a = 1}\n"),
            ("a = '#' # '\n", "a = '#' \n"),
            (
                "a = \"\"\"\n# x\n\n\"\"\"\n\n",
                "a = \"\"\"\n# x\n\n\"\"\"\n",
            ),
            ("a = '''\n\n#'''\n", "a = '''\n\n#'''\n"),
            // Errors stay.
            ("\r", "\r"),
            ("# c\rd\n", "\rd\n"),
            ("# \u{1}\n\n", "# \u{1}\n"),
            ("a # c\n\n = 1\n", "a \n= 1\n"),
            ("# c\n\n\u{feff}", "\n\u{feff}"),
            ("\u{feff}\u{feff}", "\u{feff}\u{feff}"),
        ] {
            assert_eq!(condensed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn small_savings_are_not_worth_a_copy() {
        let text = format!("# c\nkey = '{}'\n", "v".repeat(200));
        assert!(matches!(without_blanks(&text), Cow::Borrowed(_)));
        let text = format!("# {}\nkey = 1\n", "c".repeat(200));
        assert_eq!(without_blanks(&text), "\nkey = 1\n");
        assert!(matches!(without_blanks(&text), Cow::Owned(_)));
    }

    #[test]
    fn offsets_lead_back_to_the_text() {
        let text = "# comment\n\n  key = 1 # é\n\n\nother = 2";
        let short = without_blanks(text);
        assert_eq!(short, "\nkey = 1 \nother = 2");
        for word in ["key", "1", "other", "2"] {
            let offset = short.find(word).unwrap();
            assert_eq!(
                original_offset(text, &short, offset),
                text.find(word).unwrap()
            );
        }
        assert_eq!(original_offset(text, &short, short.len()), text.len());
        assert_eq!(original_offset(text, &short, usize::MAX), text.len());
        assert_eq!(original_offset(text, text, 7), 7);
    }

    fn parse(text: &str) -> Result<toml::Table, String> {
        toml::from_str(text).map_err(|error| error.message().to_string())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn the_document_stays_the_same(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "b", "c.d", " = ", "=", "1", "'x # y'", "\"z\"", "\n", "\n\n", "\r\n", "\r",
                    " ", "\t", "# c", "# c\n", "#\u{1}", "[", "]", "[t]\n", "[[u]]\n", "{", "}", ",",
                    "'''\n#\n\n'''", "\"\"\"\n\n", "\"", "'", "x = 1 # c\n", "y = [1, # c\n\n2]\n",
                    "z = {a = 1}\n", "\u{feff}", "é",
                ]),
                0..14,
            ),
        ) {
            let text = pieces.concat();
            prop_assert_eq!(parse(&text).ok(), parse(&condensed(&text)).ok(), "{:?}", text);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), offset: usize) {
            let short = without_blanks(&text);
            prop_assert!(original_offset(&text, &short, offset % (text.len() + 1)) <= text.len());
        }
    }
}
