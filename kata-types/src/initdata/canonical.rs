//! A fast reader for documents as this crate, and `toml` 0.5 before it, write them.
//!
//! Almost all documents are of that form, and most of their text is one literal string with a policy.
//! What differs in any way, be it correct or not, is left to the TOML parser.

use std::borrow::Cow;
use std::collections::HashMap;

use super::InitData;
use super::text::{all_literal, triple_quote};

/// The most entries that are read. It bounds the memory that a document takes: an entry of 8 bytes
/// needs 200.
const MAX_ENTRIES: usize = 1 << 16;

/// The document in `text`, or `None` when it is not in a form of section 4.3. Entries may be in any
/// order.
pub(super) fn read(text: &str) -> Option<InitData> {
    let (version, rest) = value(text.strip_prefix("version = ")?)?;
    let (algorithm, rest) = value(rest.strip_prefix("algorithm = ")?)?;
    let mut rest = rest.strip_prefix("\n[data]\n")?;
    let mut data = HashMap::new();
    while !rest.is_empty() {
        let (key, after_key) = key(rest)?;
        let (value, after_value) = value(after_key)?;
        // A repeated key is an error, which is not for here to report.
        let repeated = data.insert(key.into_owned(), value.into_owned()).is_some();
        if repeated || data.len() > MAX_ENTRIES {
            return None;
        }
        rest = after_value;
    }
    Some(InitData {
        version: version.into_owned(),
        algorithm: algorithm.into_owned(),
        data,
    })
}

/// A bare key or a basic string, and what follows the equals sign.
fn key(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (key, rest) = match text.strip_prefix('"') {
        Some(text) => basic(text, Form::Line)?,
        None => {
            let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let end = text.find(|c| !is_bare(c)).filter(|end| *end > 0)?;
            let (key, rest) = text.split_at_checked(end)?;
            (key.into(), rest)
        }
    };
    Some((key, rest.strip_prefix(" = ")?))
}

/// A string, and what follows its line.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let (value, rest) = if let Some(text) = text.strip_prefix("\"\"\"\n") {
        basic(text, Form::Lines)?
    } else if text.starts_with("\"\"\"") {
        return None;
    } else if let Some(text) = text.strip_prefix('"') {
        basic(text, Form::Line)?
    } else {
        let (value, rest) = literal(text)?;
        (value.into(), rest)
    };
    // More quotes may belong to the value.
    Some((value, rest.strip_prefix('\n')?))
}

/// A literal string, and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
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
    all_literal(value).then_some((value, rest))
}

/// Whether a basic string is on one line or several.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Line,
    Lines,
}

/// A basic string whose opening quotes have been taken, with the escapes that are written here, and
/// what follows its closing quotes.
fn basic(text: &str, form: Form) -> Option<(Cow<'_, str>, &str)> {
    let closing = match form {
        Form::Line => "\"",
        Form::Lines => "\"\"\"",
    };
    let mut value = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (plain, after) = rest.split_at_checked(rest.find(['"', '\\'])?)?;
        if !all_literal(plain) || (form == Form::Line && plain.contains('\n')) {
            return None;
        }
        value += plain;
        if let Some(after) = after.strip_prefix(closing) {
            return Some((value, after));
        }
        let (character, after) = unescape(after.strip_prefix('\\')?)?;
        value.to_mut().push(character);
        rest = after;
    }
}

/// The character of an escape without its backslash, and what follows it.
fn unescape(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    let character = match characters.next()? {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        '"' => '"',
        '\\' => '\\',
        'u' => {
            let (digits, rest) = characters.as_str().split_at_checked(4)?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            let code = u32::from_str_radix(digits, 16).ok()?;
            return Some((char::from_u32(code)?, rest));
        }
        _ => return None,
    };
    Some((character, characters.as_str()))
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
    fn basic_strings_are_read() {
        let text = format!(
            "{HEAD}a = \"\"\nb = \"x'\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\u001Fé\ty\"\n\
             \"k\\n = \\\"\" = 'v'\nc = \"\"\"\none\\r\ntwo\\\"\\\"\\\"'\"\"\"\n"
        );
        let document = read(&text).unwrap();
        for (key, value) in [
            ("a", ""),
            ("b", "x'\u{8}\t\n\u{c}\r\"\\é\u{1f}é\ty"),
            ("k\n = \"", "v"),
            ("c", "one\r\ntwo\"\"\"'"),
        ] {
            assert_eq!(document.data[key], value, "{key}");
        }
        assert_eq!(document.data.len(), 4);
    }

    #[test]
    fn everything_else_is_left_to_the_parser() {
        for entries in [
            "a = \"x\ny\"\n",
            "a = \"x\r\"\n",
            "a = \"x\u{7f}\"\n",
            "a = \"x\n",
            "a = \"x\"",
            "a = \"x\"\"\n",
            "a = \"\\x41\"\n",
            "a = \"\\e\"\n",
            "a = \"\\u00\"\n",
            "a = \"\\u+041\"\n",
            "a = \"\\ud800\"\n",
            "a = \"\\U00000041\"\n",
            "a = \"\\\n\"\n",
            "a = \"\"\"x\"\"\"\n",
            "a = \"\"\"\nx\"y\"\"\"\n",
            "a = \"\"\"\nx\\\ny\"\"\"\n",
            "a = \"\"\"\nx\"\"\"\"\n",
            "a = \"\"\"\nx\r\n\"\"\"\n",
            "a = \"\"\"\"\n",
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
            for style in [Style::Pretty, Style::Compact] {
                let text = write(&document, style);
                // Nothing that is written here takes the slow way.
                prop_assert!(read(&text).is_some(), "{text:?}");
                check(&text)?;
            }
        }

        #[test]
        fn similar_texts_are_read_as_by_the_parser(
            entries in "((a|b|\"a\"|\"\"|'a'|\"\\\\n\"|.)( = |=| =)('''|\"\"\"\n|\"|'|)([a'\n\r\"\\\\]|\\\\[bntu\"]|00e9){0,4}('''|\"\"\"|'|\"|)\n?){0,4}",
        ) {
            check(&format!("{HEAD}{entries}"))?;
        }
    }
}
