//! A bound on the shape of TOML text, checked before it is parsed (config D34, I-9).
//!
//! Parsing, converting and dropping a tree are recursive: without a bound, a few kilobytes of
//! `[[[[…` overflow the stack and abort the process. The check works on the tokens of the parser's
//! own lexer, so that the two cannot disagree about where a string or a comment ends.
//!
//! It is exact for correct documents. For incorrect ones the parser goes on behind an error, and
//! what it nests then is never more than what is counted here: every level that the parser opens
//! belongs to an opening bracket, which is only taken back when the matching closing bracket comes
//! while it is the innermost one; the parser closes the level there too.

use std::fmt;

use toml_parser::Source;
use toml_parser::lexer::TokenKind;

/// The shape that a document may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Tables and arrays inside each other, the document itself not counted.
    pub(crate) levels: usize,
    /// Words, strings, brackets, commas and so on: with `tokens`, a bound on the memory that
    /// parsing takes beyond the size of the text.
    pub(crate) words: usize,
    /// The same with line ends, comments and blanks.
    pub(crate) tokens: usize,
}

/// Why a document is not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooComplex {
    /// The token at this byte offset is nested deeper than this many levels.
    Deep { offset: usize, levels: usize },
    /// The document has more than this many words, or too many tokens altogether.
    Large { words: usize },
}

impl fmt::Display for TooComplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TooComplex::Deep { levels, .. } => write!(
                f,
                "tables and arrays are nested deeper than {levels} levels"
            ),
            TooComplex::Large { words } => write!(f, "more than {words} words of TOML"),
        }
    }
}

/// Checks that no value of `text` is nested deeper than the limit, in linear time.
///
/// Arrays, inline tables and the tables of headers and dotted keys count alike; `[[a]]` is an array
/// and a table. Returns the number of words.
///
/// # Errors
///
/// The document has a deeper value, or is too large.
pub(crate) fn check_nesting(text: &str, limits: Limits) -> Result<usize, TooComplex> {
    let mut levels = Levels::default();
    let mut words = 0;
    for (number, token) in Source::new(text).lex().enumerate() {
        let is_word = !matches!(
            token.kind(),
            TokenKind::Whitespace | TokenKind::Newline | TokenKind::Comment | TokenKind::Eof
        );
        words += usize::from(is_word);
        if words > limits.words || number > limits.tokens {
            return Err(TooComplex::Large {
                words: limits.words,
            });
        }
        levels.count(token.kind());
        if levels.depth() > limits.levels {
            return Err(TooComplex::Deep {
                offset: token.span().start(),
                levels: limits.levels,
            });
        }
    }
    Ok(words)
}

/// Where in a document a token stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// Before the value of a line outside all brackets.
    #[default]
    Key,
    /// In the `[header]` of a table.
    Header,
    /// Behind the equals sign of a line, or in brackets.
    Value,
}

#[derive(Debug, Default)]
struct Levels {
    place: Place,
    /// Levels of the last header.
    header: usize,
    /// Brackets that are open: what closes each, and the levels it stands for.
    open: Vec<(TokenKind, usize)>,
    /// Sum of the levels of `open`.
    inside: usize,
    /// Tables of the dotted key before the value.
    key: usize,
    /// Dots of what may become a key.
    dots: usize,
}

impl Levels {
    fn depth(&self) -> usize {
        self.header + self.inside + self.key + self.dots
    }

    fn count(&mut self, token: TokenKind) {
        match (token, self.place) {
            (TokenKind::Newline, _) if self.open.is_empty() => {
                self.place = Place::Key;
                (self.key, self.dots) = (0, 0);
            }
            (TokenKind::LeftSquareBracket | TokenKind::Dot, Place::Header) => self.header += 1,
            (_, Place::Header) => {}
            (TokenKind::LeftSquareBracket, Place::Key) => {
                self.place = Place::Header;
                self.header = 1;
                self.dots = 0;
            }
            (TokenKind::Dot, _) => self.dots += 1,
            (TokenKind::Equals, _) => {
                self.place = Place::Value;
                self.key = std::mem::take(&mut self.dots);
            }
            (TokenKind::Comma, _) => (self.key, self.dots) = (0, 0),
            (TokenKind::LeftSquareBracket, Place::Value) => {
                self.open(TokenKind::RightSquareBracket);
            }
            (TokenKind::LeftCurlyBracket, _) => {
                self.place = Place::Value;
                self.open(TokenKind::RightCurlyBracket);
            }
            (closing, _) => {
                if let Some(&(expected, levels)) = self.open.last()
                    && expected == closing
                {
                    self.open.pop();
                    self.inside -= levels;
                    self.dots = 0;
                }
            }
        }
    }

    fn open(&mut self, closing: TokenKind) {
        let levels = 1 + std::mem::take(&mut self.key);
        self.open.push((closing, levels));
        self.inside += levels;
        self.dots = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        levels: 128,
        words: 1 << 18,
        tokens: 1 << 21,
    };

    fn nested(open: &str, close: &str, levels: usize) -> String {
        format!("a = {}{}", open.repeat(levels), close.repeat(levels))
    }

    #[test]
    fn the_limit_is_exact() {
        let dots = |n: usize| vec!["k"; n + 1].join(".");
        let documents: [(&str, &dyn Fn(usize) -> String); 8] = [
            ("arrays", &|n| nested("[", "]", n)),
            ("inline tables", &|n| {
                format!("a = {}1{}", "{b = ".repeat(n), "}".repeat(n))
            }),
            ("dotted key", &|n| format!("{} = 1", dots(n))),
            ("header", &|n| format!("[{}]\na = 1", dots(n - 1))),
            ("header of an array", &|n| format!("[[{}]]", dots(n - 2))),
            ("header and dotted key", &|n| {
                format!("[{}]\n{} = 1", dots(63), dots(n - 64))
            }),
            ("dotted keys in inline tables", &|n| {
                format!("a = {{ {} = {{ {} = 1 }} }}", dots(61), dots(n - 63))
            }),
            ("arrays and inline tables", &|n| {
                format!("a = {}{}", "[{x = ".repeat(n / 2), "[".repeat(n % 2))
            }),
        ];
        for (name, document) in documents {
            assert!(
                check_nesting(&document(LIMITS.levels), LIMITS).is_ok(),
                "{name}"
            );
            let deeper = check_nesting(&document(LIMITS.levels + 1), LIMITS);
            assert!(matches!(deeper, Err(TooComplex::Deep { .. })), "{name}");
        }
    }

    #[test]
    fn long_documents_are_not_deep() {
        let line = "[a.b.c]\nx.y = [1.5, {a.b = 1}, [\"[[[[\", '''{{{{\n''']] # [[[[ ....\n";
        assert_eq!(check_nesting(&line.repeat(1000), LIMITS), Ok(30_000));
        let array = format!("a = [{}]", "1.25, 1979-05-27T07:32:00.999,\n".repeat(1000));
        assert!(check_nesting(&array, LIMITS).is_ok());
    }

    #[test]
    fn the_number_of_words_and_of_lines_is_limited() {
        let limits = Limits {
            levels: 128,
            words: 100,
            tokens: 1000,
        };
        for (piece, number) in [("\n", 1000), ("#\n", 500), ("x=", 50)] {
            let check = |number: usize| check_nesting(&piece.repeat(number), limits);
            assert!(check(number).is_ok(), "{piece:?}");
            let more = Err(TooComplex::Large { words: 100 });
            assert_eq!(check(number + 1), more, "{piece:?}");
        }
    }

    /// Levels of the deepest value.
    fn depth(value: &toml::de::DeValue<'_>) -> usize {
        match value {
            toml::de::DeValue::Array(items) => {
                1 + items
                    .iter()
                    .map(|item| depth(item.get_ref()))
                    .max()
                    .unwrap_or(0)
            }
            toml::de::DeValue::Table(table) => 1 + deepest(table),
            _ => 0,
        }
    }

    fn deepest(table: &toml::de::DeTable<'_>) -> usize {
        table
            .values()
            .map(|value| depth(value.get_ref()))
            .max()
            .unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever passes the check, correct or not, the parser nests no deeper, and so it fits
        /// into the stack that a thread has by default.
        #[test]
        fn the_parser_never_nests_deeper(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "[", "]", "[[", "]]", "{", "}", "a", ".", "=", "a = ", ",", "\n", "#", "'", "\"",
                    "'''", "\"\"\"", " ", "1", "a.b.c = ", "[a.b]\n", "{a = ", "[{", "\r", "\\",
                ]),
                1..12,
            ),
            repeat in 1_usize..200,
        ) {
            let text = pieces.concat().repeat(repeat);
            if check_nesting(&text, LIMITS).is_ok() {
                let parse = move || {
                    let (table, _errors) = toml::de::DeTable::parse_recoverable(&text);
                    deepest(table.get_ref())
                };
                let depth = std::thread::Builder::new().stack_size(2 << 20).spawn(parse);
                prop_assert!(depth.unwrap().join().unwrap() <= 2 * LIMITS.levels);
            }
        }
    }
}
