//! A fast reader for documents as this crate, and `toml` 0.5 before it, write them.
//!
//! Almost all documents are of that form, and most of their text is one literal string with a policy.
//! What differs in any way, be it correct or not, is left to the TOML parser.

use std::collections::HashMap;

use super::InitData;
use super::text::{all_literal, is_literal_byte, triple_quote};

/// The document in `text`, or `None` when it is not in the form of section 4.3 with literal strings
/// alone. Entries may be in any order.
pub(super) fn read(text: &str) -> Option<InitData> {
    let (version, rest) = value(text.strip_prefix("version = ")?)?;
    let (algorithm, rest) = value(rest.strip_prefix("algorithm = ")?)?;
    let mut rest = rest.strip_prefix("\n[data]\n")?;
    let mut data = HashMap::new();
    while !rest.is_empty() {
        let (key, after_key) = key(rest)?;
        let (value, after_value) = value(after_key)?;
        // A repeated key is an error, which is not for here to report.
        if data.insert(key.to_string(), value.to_string()).is_some() {
            return None;
        }
        rest = after_value;
    }
    Some(InitData {
        version: version.to_string(),
        algorithm: algorithm.to_string(),
        data,
    })
}

/// A bare key, or a quoted one without escapes; and what follows the equals sign.
fn key(text: &str) -> Option<(&str, &str)> {
    let (key, rest) = text.split_once(" = ")?;
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(is_bare) {
        return Some((key, rest));
    }
    let key = key.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = |byte: u8| is_literal_byte(byte) && !matches!(byte, b'"' | b'\\' | b'\n');
    key.bytes().all(is_plain).then_some((key, rest))
}

/// A literal string, and what follows its line.
fn value(text: &str) -> Option<(&str, &str)> {
    let (value, rest) = match text.strip_prefix("'''") {
        Some(text) => {
            let text = text.strip_prefix('\n').unwrap_or(text);
            let end = triple_quote(text)?;
            (text.get(..end)?, text.get(end..)?.strip_prefix("'''")?)
        }
        None => {
            let (value, rest) = text.strip_prefix('\'')?.split_once('\'')?;
            if value.contains('\n') {
                return None;
            }
            (value, rest)
        }
    };
    // More quotes may belong to the value.
    let rest = rest.strip_prefix('\n')?;
    all_literal(value).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text::{Style, write};
    use super::*;

    const HEAD: &str = "version = '0.1.0'\nalgorithm = 'sha256'\n\n[data]\n";

    #[test]
    fn literal_documents_are_read() {
        let text = format!(
            "{HEAD}b = 'x\ty'\n\"a.b\" = '''\nline 'one'\n''two\n'''\nempty = ''\nq = '''it's'''\n\
             \"é\" = '''\n\n'''\n\"\" = '\"\\'\n"
        );
        let document = read(&text).unwrap();
        assert_eq!(document.version, "0.1.0");
        assert_eq!(document.algorithm, "sha256");
        for (key, value) in [
            ("b", "x\ty"),
            ("a.b", "line 'one'\n''two\n"),
            ("empty", ""),
            ("q", "it's"),
            ("é", "\n"),
            ("", "\"\\"),
        ] {
            assert_eq!(document.data[key], value, "{key}");
        }
        assert_eq!(document.data.len(), 6);
        assert!(read(HEAD).unwrap().data.is_empty());
    }

    #[test]
    fn everything_else_is_left_to_the_parser() {
        for entries in [
            "a = \"x\"\n",
            "a = '''\nx\r\n'''\n",
            "a = 'x\r'\n",
            "a = 'x\u{7f}'\n",
            "a = 'x\0'\n",
            "a = 'x",
            "a = 'x'",
            "a = 'x\ny'\n",
            "a = '''x",
            "a = '''x''''\n",
            "a = '''x'''''\n",
            "a = 'x' # comment\n",
            "a = 1\n",
            "a.b = 'x'\n",
            "é = 'x'\n",
            "a b = 'x'\n",
            " a = 'x'\n",
            "a='x'\n",
            " = 'x'\n",
            "\"a\\nb\" = 'x'\n",
            "\"a\"b\" = 'x'\n",
            "\"a\nb\" = 'x'\n",
            "\" = 'x'\n",
            "'a' = 'x'\n",
            "[x]\n",
            "\n",
            "a = 'x'\n\n",
            "a = 'x'\na = 'y'\n",
            "a = 'x'\n\"a\" = 'y'\n",
        ] {
            assert!(read(&format!("{HEAD}{entries}")).is_none(), "{entries:?}");
        }
        for text in [
            "",
            "version = '0.1.0'\n",
            "algorithm = 'sha256'\nversion = '0.1.0'\n\n[data]\n",
            "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\n",
            "\u{feff}version = '0.1.0'\nalgorithm = 'sha256'\n\n[data]\n",
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }

    /// Whatever is read is what the TOML parser reads.
    fn check(text: &str) -> Result<(), TestCaseError> {
        if let Some(document) = read(text) {
            let parsed: InitData = toml::from_str(text).unwrap();
            prop_assert_eq!(document.version, parsed.version);
            prop_assert_eq!(document.algorithm, parsed.algorithm);
            prop_assert_eq!(document.data, parsed.data);
        }
        Ok(())
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[a-c'\"\\\\\n\t\r\u{7f} =.é]{0,12}"]
    }

    proptest! {
        #[test]
        fn written_documents_are_read_as_by_the_parser(
            version in texts(),
            data in proptest::collection::hash_map(texts(), texts(), 0..5),
        ) {
            let mut document = InitData::new("sha256", version);
            document.data = data;
            check(&write(&document, Style::Pretty))?;
        }

        #[test]
        fn similar_texts_are_read_as_by_the_parser(
            entries in "((a|b|\"a\"|\"\"|'a'|.)( = |=| =)('''|\"|'|)[a'\n\r\"\\\\]{0,4}('''|'|\"|)\n?){0,4}",
        ) {
            check(&format!("{HEAD}{entries}"))?;
        }
    }
}
