//! What a TOML parser has to see of a text.
//!
//! The parser makes room for seven times its input before it reads the first word, and keeps two
//! entries of 24 bytes for every comment, line end and indentation. So it gets an extract: comments,
//! blank lines and long blanks are left out, and a long string can be replaced by an empty one, which
//! is decoded here and put back into the tree. Offsets in the extract can be turned into offsets in
//! the text.

use std::borrow::Cow;

use toml_parser::decoder::Encoding;
use toml_parser::lexer::TokenKind;
use toml_parser::{ParseError, Raw, Source, Span};

/// Blanks of at most this length are kept, so that columns stay exact.
const LONG_BLANK: usize = 8;

/// Strings of at least this length are replaced.
const LONG_STRING: usize = 1024;

/// What stands for a long string.
const STAND_IN: &str = "''";

/// Skipped by the parser at the start of a text, and nowhere else.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// What becomes of long strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LongStrings {
    Stay,
    /// They are replaced; see [`Extract::decode_strings`].
    StandIn,
}

/// Gives a text the line ends that `toml` 0.5 hands on: all of them are line feeds, also in strings.
///
/// A carriage return elsewhere makes the text no TOML; that is left for the parser to say.
pub(crate) fn fold_line_ends(text: &mut String) {
    let line_ends = text.matches("\r\n").count();
    if line_ends > 0 && line_ends == text.matches('\r').count() {
        text.retain(|c| c != '\r');
    }
}

/// The same for a borrowed text, if it has strings in which it makes a difference.
pub(crate) fn with_line_feeds(text: &str) -> Cow<'_, str> {
    let has_long_strings = || text.contains("'''") || text.contains("\"\"\"");
    if !(text.contains("\r\n") && has_long_strings()) {
        return Cow::Borrowed(text);
    }
    let mut folded = text.to_owned();
    fold_line_ends(&mut folded);
    Cow::Owned(folded)
}

/// The extract of a text.
#[derive(Debug, Default)]
pub(crate) struct Extract {
    text: String,
    /// Where the extract goes on behind something that was left out, in order.
    cuts: Vec<Cut>,
    strings: Vec<LongString>,
}

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Offset in the extract.
    at: usize,
    /// The same place in the text.
    original: usize,
}

#[derive(Clone, Copy, Debug)]
struct LongString {
    /// Offset in the extract.
    at: usize,
    encoding: Encoding,
    span: Span,
}

/// A decoded string, and its offset in the extract.
pub(crate) type Decoded<'t> = (usize, Cow<'t, str>);

impl Extract {
    /// The extract of `text`; `None` if it has more than so many words.
    pub(crate) fn of(text: &str, words: usize, strings: LongStrings) -> Option<Self> {
        let source = Source::new(text);
        let mut builder = Builder::default();
        let mut found = 0;
        let mut is_value = false;
        for token in source.lex() {
            let (kind, span) = (token.kind(), token.span());
            let raw = text.get(span.start()..span.end()).unwrap_or_default();
            match kind {
                TokenKind::Whitespace if raw.len() <= LONG_BLANK => builder.blank(raw, span),
                TokenKind::Whitespace => builder.blank(" ", span),
                // Between a stray carriage return and a line feed even a comment means something.
                TokenKind::Comment if is_plain(raw) && !builder.extract.text.ends_with('\r') => {}
                TokenKind::Newline if raw != "\r" => builder.line_end(raw, span),
                TokenKind::Eof => builder.skip_to(span.start()),
                _ => {
                    found += 1;
                    if found > words {
                        return None;
                    }
                    match kind.encoding() {
                        Some(encoding)
                            if is_value
                                && raw.len() >= LONG_STRING
                                && strings == LongStrings::StandIn =>
                        {
                            builder.long_string(encoding, span);
                        }
                        _ => builder.word(raw, span),
                    }
                    is_value = kind == TokenKind::Equals;
                }
            }
        }
        let mut extract = builder.extract;
        extract.text.shrink_to_fit(); // growing may have reserved twice its size
        Some(extract)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The place in the text of an offset in the extract.
    pub(crate) fn original(&self, offset: usize) -> usize {
        let passed = self.cuts.partition_point(|cut| cut.at <= offset);
        match passed.checked_sub(1).and_then(|last| self.cuts.get(last)) {
            Some(cut) => cut.original + (offset - cut.at),
            None => offset,
        }
    }

    /// The strings that were replaced, in order; `text` is the one that this is the extract of.
    ///
    /// # Errors
    ///
    /// One of them is no correct string: offset in the text, and what is wrong.
    pub(crate) fn decode_strings<'t>(
        &self,
        text: &'t str,
    ) -> Result<Vec<Decoded<'t>>, (usize, String)> {
        self.strings
            .iter()
            .map(|string| {
                let span = string.span;
                let raw = text.get(span.start()..span.end()).unwrap_or_default();
                let mut decoded = Cow::Borrowed("");
                let mut error: Option<ParseError> = None;
                // The kind is known: it is a string.
                let _ = Raw::new_unchecked(raw, Some(string.encoding), span)
                    .decode_scalar(&mut decoded, &mut error);
                match error {
                    None => Ok((string.at, decoded)),
                    Some(error) => {
                        let place = error.unexpected().or(error.context()).unwrap_or(span);
                        Err((place.start(), error.description().to_owned()))
                    }
                }
            })
            .collect()
    }
}

/// Whether a comment may contain all that it contains. `toml` 0.5, by which these files have been
/// read for years, accepts the delete character too.
fn is_plain(comment: &str) -> bool {
    comment.bytes().all(|byte| byte == b'\t' || byte >= b' ')
}

#[derive(Debug, Default)]
struct Builder {
    extract: Extract,
    /// What the text goes on with.
    next: usize,
    /// Start of the current line of the extract.
    line: usize,
    line_has_words: bool,
}

impl Builder {
    fn word(&mut self, raw: &str, span: Span) {
        if self.extract.text.is_empty() && raw.starts_with(BYTE_ORDER_MARK) {
            // Not at the start of the text, and so must not be at that of the extract.
            self.push(BYTE_ORDER_MARK, Span::new_unchecked(0, 0));
        }
        self.push(raw, span);
        self.line_has_words = true;
    }

    fn blank(&mut self, raw: &str, span: Span) {
        self.push(raw, span);
    }

    fn long_string(&mut self, encoding: Encoding, span: Span) {
        self.skip_to(span.start());
        let at = self.extract.text.len();
        self.extract.strings.push(LongString { at, encoding, span });
        self.word(STAND_IN, span);
    }

    /// Ends a line; one without words is left out.
    fn line_end(&mut self, raw: &str, span: Span) {
        if self.line_has_words {
            self.push(raw, span);
            self.line = self.extract.text.len();
            self.line_has_words = false;
            return;
        }
        let line = self.line;
        self.extract.text.truncate(line);
        while self.extract.cuts.pop_if(|cut| cut.at > line).is_some() {}
        self.next = usize::MAX; // is behind what was just taken away
    }

    fn push(&mut self, raw: &str, span: Span) {
        self.skip_to(span.start());
        self.extract.text.push_str(raw);
        self.next = span.start() + raw.len();
    }

    /// Makes the extract go on with this place of the text.
    fn skip_to(&mut self, original: usize) {
        if self.next == original {
            return;
        }
        let at = self.extract.text.len();
        match self.extract.cuts.last_mut() {
            Some(cut) if cut.at == at => cut.original = original,
            _ => self.extract.cuts.push(Cut { at, original }),
        }
        self.next = original;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extract(text: &str) -> Extract {
        Extract::of(text, usize::MAX, LongStrings::StandIn).unwrap()
    }

    #[test]
    fn what_means_nothing_is_left_out() {
        for (text, expected) in [
            ("", ""),
            ("# x", ""),
            ("\u{feff}# x\n", ""),
            ("\n\n  \n\t# x\n\r\n", ""),
            ("a = 1 # x\n", "a = 1 \n"),
            ("a = 1\n\n# x\n  # y\n  b = 2\n#", "a = 1\n  b = 2\n"),
            ("a = [ # x\n\n # y\n 1, # z\n]\r\n", "a = [ \n 1, \n]\r\n"),
            ("a =                  1", "a = 1"),
            ("a = '''\n# x\n\n'''\n\n", "a = '''\n# x\n\n'''\n"),
            ("a = 1 # \u{7f}é", "a = 1 "),
            // Mistakes are left to the parser.
            ("\u{feff}\u{feff}", "\u{feff}\u{feff}"),
            ("# x\n\n\u{feff}a = 1", "\u{feff}\u{feff}a = 1"),
            ("# \u{1}\n", "# \u{1}\n"),
            ("a = 1\r", "a = 1\r"),
            ("\r\n\r\n\r", "\r"),
        ] {
            assert_eq!(extract(text).text(), expected, "{text:?}");
        }
    }

    #[test]
    fn only_values_are_replaced_by_a_stand_in() {
        let long = "x".repeat(LONG_STRING);
        for (text, expected) in [
            (format!("a = '{long}'\nb = 1"), "a = ''\nb = 1".to_owned()),
            (format!("a = \"\"\"{long}\"\"\""), "a = ''".to_owned()),
            (format!("'{long}' = 1"), format!("'{long}' = 1")),
            (format!("['{long}']"), format!("['{long}']")),
            (format!("a = ['{long}']"), format!("a = ['{long}']")),
        ] {
            assert_eq!(extract(&text).text(), expected);
            let whole = Extract::of(&text, usize::MAX, LongStrings::Stay).unwrap();
            assert_eq!(whole.text(), text);
        }
    }

    #[test]
    fn long_strings_are_decoded_and_their_mistakes_located() {
        let long = "é".repeat(LONG_STRING);
        let text = format!("# x\na = \"\\t{long}\"\nb = '{long}'");
        let found = extract(&text).decode_strings(&text).unwrap();
        assert_eq!(
            found,
            [
                (4, Cow::Owned(format!("\t{long}"))),
                (11, Cow::Borrowed(long.as_str())),
            ]
        );
        for mistake in ["\\q", "\u{1}"] {
            let text = format!("a = 1\nb = \"{long}{mistake}\"");
            let (offset, reason) = extract(&text).decode_strings(&text).unwrap_err();
            assert_eq!(text.get(..offset).unwrap().lines().count(), 2, "{reason}");
            assert!(offset >= text.len() - 4, "{offset} {reason}");
        }
        for open in ["\"", "'", "'''", "\"\"\""] {
            let text = format!("b = {open}{long}");
            assert!(extract(&text).decode_strings(&text).is_err(), "{open}");
        }
    }

    #[test]
    fn line_ends_become_line_feeds() {
        for (text, expected) in [
            ("", ""),
            ("a = 1\n", "a = 1\n"),
            ("a = 1\r\n\r\nb = '''\r\n\n'''", "a = 1\n\nb = '''\n\n'''"),
            ("a = \"\\r\\n\"", "a = \"\\r\\n\""),
        ] {
            let mut folded = text.to_owned();
            fold_line_ends(&mut folded);
            assert_eq!(folded, expected);
            let borrowed = with_line_feeds(text);
            assert!(borrowed == expected || borrowed == text && !text.contains("'''"));
        }
    }

    #[test]
    fn stray_carriage_return_stays_a_mistake() {
        for text in ["a = 1\r\r\n", "# \r\r\n", "a = '''\r\r\n'''", "a = 1\r\n\r"] {
            let text = with_line_feeds(text);
            assert!(toml::de::DeTable::parse(&text).is_err(), "{text:?}");
            assert!(toml::de::DeTable::parse(extract(&text).text()).is_err());
        }
    }

    #[test]
    fn words_are_limited() {
        let of = |text, words| Extract::of(text, words, LongStrings::Stay);
        assert!(of("a = 1", 3).is_some());
        assert!(of("a = 1", 2).is_none());
        assert!(of(&"\n# x\n \t\r\n".repeat(1000), 0).is_some());
    }

    proptest! {
        /// The parser says the same about an extract as about the text, and at the same place.
        #[test]
        fn an_extract_means_the_same(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "b = 1", "'c' = ", "[t]", "[[u]]", "\n", "\r\n", "  ", "          ", "\t",
                    "# x", "# é\n", "\n\n\n", "#\u{1}", "\r", "= ", "[", "]", "{", "}", ",", ".",
                    "'''", "\"\"\"", "\"", "'x'", "2", "\u{feff}",
                ]),
                0..14,
            ),
        ) {
            let text = pieces.concat();
            let extract = extract(&text);
            let whole = toml::de::DeTable::parse(&text);
            let part = toml::de::DeTable::parse(extract.text());
            match (whole, part) {
                (Ok(whole), Ok(part)) => {
                    let spans = |table: &toml::de::DeTable<'_>, place: &dyn Fn(usize) -> usize| {
                        table
                            .iter()
                            .map(|(key, value)| {
                                (
                                    key.get_ref().to_string(),
                                    place(key.span().start),
                                    place(value.span().start),
                                    format!("{:?}", std::mem::discriminant(value.get_ref())),
                                )
                            })
                            .collect::<Vec<_>>()
                    };
                    prop_assert_eq!(
                        spans(part.get_ref(), &|offset| extract.original(offset)),
                        spans(whole.get_ref(), &|offset| offset)
                    );
                }
                (Err(whole), Err(part)) => {
                    prop_assert_eq!(part.message(), whole.message());
                }
                (whole, part) => prop_assert!(
                    false,
                    "{:?}: {:?} but {:?}", text, whole.map(drop), part.map(drop)
                ),
            }
        }
    }
}
