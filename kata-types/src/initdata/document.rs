//! Reading a document.

use serde::Deserialize;

use super::{Error, InitData, canonical};
use crate::excerpt::Excerpt;
use crate::terse::Terse;
use crate::toml_extract::{Extract, LongStrings, with_line_feeds};
use crate::toml_nesting::{Limits, TooComplex, check_nesting};

/// The documents that are parsed at all (I-9). They have two levels, and a few words per named file;
/// the rest is for unknown keys.
const LIMITS: Limits = Limits {
    levels: 64,
    // A word can take some 700 bytes: `.k` is a table.
    words: 1 << 15,
    // Line ends and comments are left out before parsing.
    tokens: usize::MAX,
};

/// Parses and [validates](InitData::validate) a document.
///
/// Any TOML spelling is accepted, and unknown keys are ignored. Reading takes at most 8 times the memory
/// of the text, and 24 MiB.
///
/// # Errors
/// [`Error::Document`] when the text is not TOML, is nested deeper than 64 levels, or lacks `version`,
/// `algorithm` or the table `data` of strings; when it has more than 65,536 named files, or, unless it
/// is spelt as [`InitData::to_string`] and [`InitData::to_vec`] do, more than 32,768 words (keys,
/// values, punctuation); and the errors of [`validate`](InitData::validate).
///
/// ```
/// let document = kata_types::initdata::parse_initdata(
///     "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\nkey = 'value'\n",
/// )?;
/// assert_eq!(document.get_coco_data("key").unwrap(), "value");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn parse_initdata(initdata_str: &str) -> anyhow::Result<InitData> {
    let document = match canonical::read(initdata_str) {
        Some(document) => document,
        None => read_any(initdata_str)?,
    };
    document.validate()?;
    Ok(document)
}

/// Reads a document in any spelling.
fn read_any(text: &str) -> Result<InitData, Error> {
    let text = &*with_line_feeds(text);
    let too_complex = |error: TooComplex| {
        let offset = match error {
            TooComplex::Deep { offset, .. } => offset,
            TooComplex::Large { .. } => 0,
        };
        locate(text, offset, error.to_string())
    };
    check_nesting(text, LIMITS).map_err(too_complex)?;
    let words = LIMITS.words;
    let extract = Extract::of(text, words, LongStrings::Stay)
        .ok_or_else(|| too_complex(TooComplex::Large { words }))?;
    // A copy of about the whole text is not worth its memory. The delete character, which `toml` 0.5
    // takes in comments, the parser does not.
    let smaller = extract.text().len() < text.len() - text.len() / 32;
    let extract = (smaller || text.contains('\u{7f}')).then_some(extract);
    let parsed = extract.as_ref().map_or(text, Extract::text);
    let document = toml::Deserializer::parse(parsed);
    document
        .and_then(|document| InitData::deserialize(Terse(document)))
        .map_err(|mut error| {
            error.set_input(None); // of which only the key would be shown
            let span = error.span().unwrap_or(0..0);
            let offset = match &extract {
                Some(extract) => extract.original(span.start),
                None => span.start,
            };
            let message = Excerpt(error.message().trim_end());
            let shown = error.to_string();
            let key = shown
                .get(error.message().len()..)
                .unwrap_or_default()
                .trim();
            let reason = match parsed.get(span) {
                Some(key) if error.message().contains("duplicate key") => {
                    format!("{message} {}", Excerpt(key))
                }
                _ if key.is_empty() => message.to_string(),
                _ => format!("{message} {}", Excerpt(key)),
            };
            locate(text, offset, reason)
        })
}

/// An error at a byte of the text, in the words of the parser.
fn locate(text: &str, offset: usize, reason: String) -> Error {
    let before = text.get(..offset).unwrap_or(text);
    let last_line = before.rsplit('\n').next().unwrap_or_default();
    Error::Document {
        line: before.matches('\n').count().saturating_add(1),
        column: last_line.chars().count().saturating_add(1),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "version = '0.1.0'\nalgorithm = 'sha256'\n";

    #[test]
    fn any_spelling_of_toml_is_accepted() {
        for text in [
            "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\nk = \"v\"\n",
            "version=\"0.1.0\"\r\nalgorithm=\"\"\"sha256\"\"\"\r\n[data]\r\n\"k\"='''v'''\r\n",
            "data = { k = 'v' }\nalgorithm = 'sha256' # comment\n\"version\" = '0.1.0'",
            "data.k = '''\nv'''\nalgorithm = 'sha256'\nversion = '0.1\\u002e0'\n"
                .replace("'0.1\\u002e0'", "\"0.1\\u002e0\"")
                .as_str(),
            "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\nk = \"\"\"\\\n   v\"\"\"",
        ] {
            let document = parse_initdata(text).unwrap();
            assert_eq!(document.get_coco_data("k").unwrap(), "v", "{text}");
        }
    }

    #[test]
    fn delete_character_in_a_comment_is_accepted_beside_anything() {
        for size in [10, 300] {
            let text = format!("{HEAD}# a\u{7f}b\n[data]\nk = '{}'\n", "v".repeat(size));
            parse_initdata(&text).unwrap();
            assert!(parse_initdata(&text.replace("'\n", "\u{7f}'\n")).is_err());
        }
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let text = format!("{HEAD}extra = [1, 1.5, 1979-05-27, {{ a.b = true }}]\n[data]\n[x.y]\n");
        assert!(parse_initdata(&text).unwrap().data().is_empty());
    }

    #[test]
    fn missing_and_mistyped_fields_are_refused() {
        for text in [
            "",
            HEAD,
            "version = '0.1.0'\n[data]\n",
            "algorithm = 'sha256'\n[data]\n",
            "version = 1\nalgorithm = 'sha256'\n[data]\n",
            &format!("{HEAD}[data]\nk = 1\n"),
            &format!("{HEAD}[data.k]\n"),
            &format!("{HEAD}data = ['k']\n"),
            &format!("{HEAD}[[data]]\n"),
            &format!("{HEAD}[data]\n[unknown]\nx = 1979-05-27x\n"),
            "not toml",
        ] {
            let error = parse_initdata(text).unwrap_err();
            assert!(
                matches!(error.downcast_ref(), Some(Error::Document { .. })),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn error_of_a_type_names_the_key() {
        for (text, expected) in [
            ("[data]\n'policy.rego' = 1\n", "in `data.policy.rego`"),
            ("[data]\n[data.k]\n", "in `data.k`"),
            ("data = 'x'\n", "in `data`"),
        ] {
            let error = parse_initdata(&format!("{HEAD}{text}")).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("invalid type") && error.ends_with(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn parsed_document_is_validated() {
        let error = parse_initdata("version = '1'\nalgorithm = 'x'\n[data]\n").unwrap_err();
        assert_eq!(error.to_string(), "unsupported version: 1, expected: 0.1.0");
    }

    #[test]
    fn errors_name_line_and_column_and_duplicate_keys() {
        let error = parse_initdata(&format!("{HEAD}[data]\nx = 'é'\nkey = 'v'\nkey = 'w'\n"));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("line "), "{text}");
        assert!(text.ends_with(" key"), "{text}");
        let error = parse_initdata("version = 'é' x\n").unwrap_err().to_string();
        assert!(error.starts_with("line 1, column 15: "), "{error}");
        // Lines that are not parsed count.
        let error = parse_initdata("# comment\n\n\n\n  version = 'é' x\n").unwrap_err();
        assert!(
            error.to_string().starts_with("line 5, column 17: "),
            "{error}"
        );
    }

    #[test]
    fn nesting_is_bounded_before_parsing() {
        let nested = |depth: usize| {
            format!(
                "{HEAD}x = {}{}\n[data]\n",
                "[".repeat(depth),
                "]".repeat(depth)
            )
        };
        parse_initdata(&nested(64)).unwrap();
        for text in [
            nested(65),
            nested(100_000),
            format!("{HEAD}{}x = 1\n[data]\n", "x.".repeat(100_000)),
            format!("{HEAD}x = {}", "{x=".repeat(100_000)),
            format!("[{}x]", "x.".repeat(100_000)),
        ] {
            let error = parse_initdata(&text).unwrap_err().to_string();
            assert!(error.ends_with("nested deeper than 64 levels"), "{error}");
        }
    }

    #[test]
    fn number_of_words_and_of_files_is_bounded() {
        let entries = |form: &str, count: usize| {
            let entries: String = (0..count)
                .map(|n| form.replace('#', &n.to_string()))
                .collect();
            parse_initdata(&format!("{HEAD}\n[data]\n{entries}"))
        };
        for form in ["k# = 'v'\n", "k# = \"v\\n\"\n"] {
            assert_eq!(entries(form, 1 << 16).unwrap().data().len(), 1 << 16);
        }
        for form in ["k# = 'v'\n", "k#='v'\n"] {
            let error = entries(form, (1 << 16) + 1).unwrap_err().to_string();
            assert_eq!(error, "line 1, column 1: more than 32768 words of TOML");
        }
        assert_eq!(entries("k#='v'\n", 10_000).unwrap().data().len(), 10_000);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), toml in "[a-c\\[\\]{}=.,#'\"\\\\\n 01]{0,80}") {
            let _ = parse_initdata(&text);
            let _ = parse_initdata(&toml);
        }
    }
}
