//! The text form of a document, written directly so that it depends on the document alone.
//!
//! The pretty style is that of `toml` 0.5, which other components measure; see the golden vectors in
//! `tests/initdata_vectors.rs`.

use super::InitData;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Literal and multi-line strings wherever TOML allows.
    Pretty,
    /// Basic strings on one line.
    Compact,
}

pub(super) fn write(document: &InitData, style: Style) -> String {
    let mut entries: Vec<(&String, &String)> = document.data.iter().collect();
    entries.sort_unstable();
    let size = entries.iter().fold(64usize, |size, (key, value)| {
        size.saturating_add(key.len())
            .saturating_add(value.len())
            .saturating_add(16)
    });
    let mut out = String::with_capacity(size);
    out.push_str("version = ");
    push_value(&mut out, &document.version, style);
    out.push_str("\nalgorithm = ");
    push_value(&mut out, &document.algorithm, style);
    out.push_str("\n\n[data]\n");
    for (key, value) in entries {
        push_key(&mut out, key);
        out.push_str(" = ");
        push_value(&mut out, value, style);
        out.push('\n');
    }
    out
}

fn push_key(out: &mut String, key: &str) {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        out.push_str(key);
    } else {
        push_basic(out, key);
    }
}

fn push_value(out: &mut String, value: &str, style: Style) {
    if style == Style::Compact {
        return push_basic(out, value);
    }
    let multi_line = value.contains('\n');
    match (is_literal(value), multi_line) {
        (true, true) => {
            out.push_str("'''\n");
            out.push_str(value);
            out.push_str("'''");
        }
        (true, false) => {
            let quotes = if value.contains('\'') { "'''" } else { "'" };
            out.push_str(quotes);
            out.push_str(value);
            out.push_str(quotes);
        }
        (false, true) => {
            out.push_str("\"\"\"\n");
            push_escaped(out, value, "\n");
            out.push_str("\"\"\"");
        }
        (false, false) => push_basic(out, value),
    }
}

/// Whether a literal string, single-line or multi-line, can hold the value.
fn is_literal(value: &str) -> bool {
    all_literal(value) && triple_quote(value).is_none() && !value.ends_with('\'')
}

/// Whether all characters can stand in a multi-line literal string.
pub(super) fn all_literal(value: &str) -> bool {
    // Without an early exit, which would keep the compiler from vectorizing it.
    value
        .bytes()
        .fold(true, |all, byte| all & is_literal_byte(byte))
}

/// Whether a byte can stand in a multi-line literal string.
pub(super) fn is_literal_byte(byte: u8) -> bool {
    (byte > 0x1f && byte != 0x7f) || byte == b'\t' || byte == b'\n'
}

/// Where the first three quotes in a row are.
pub(super) fn triple_quote(text: &str) -> Option<usize> {
    let mut start = 0;
    loop {
        // Looking for one character is much faster than for three.
        let quote = start + text.get(start..)?.find('\'')?;
        if text.get(quote..)?.starts_with("'''") {
            return Some(quote);
        }
        start = quote + 1;
    }
}

fn push_basic(out: &mut String, value: &str) {
    out.push('"');
    push_escaped(out, value, "\\n");
    out.push('"');
}

fn push_escaped(out: &mut String, value: &str, line_feed: &str) {
    for character in value.chars() {
        match character {
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str(line_feed),
            '\0'..='\u{1f}' | '\u{7f}' => {
                out.push_str(&format!("\\u{:04X}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str, style: Style) -> String {
        let mut out = String::new();
        push_value(&mut out, text, style);
        out
    }

    #[test]
    fn values_use_the_first_form_that_can_hold_them() {
        for (text, pretty, compact) in [
            ("", "''", r#""""#),
            ("abc", "'abc'", r#""abc""#),
            ("a\tb", "'a\tb'", r#""a\tb""#),
            (r#"a"b\c"#, r#"'a"b\c'"#, r#""a\"b\\c""#),
            ("a'b", "'''a'b'''", r#""a'b""#),
            ("'a", "''''a'''", r#""'a""#),
            ("a''b", "'''a''b'''", r#""a''b""#),
            ("a'", r#""a'""#, r#""a'""#),
            ("a'''b", r#""a'''b""#, r#""a'''b""#),
            ("a\nb", "'''\na\nb'''", r#""a\nb""#),
            ("\n", "'''\n\n'''", r#""\n""#),
            ("a'\nb", "'''\na'\nb'''", r#""a'\nb""#),
            ("a\nb'", "\"\"\"\na\nb'\"\"\"", r#""a\nb'""#),
            (
                "a\r\nb\"\"\"\\",
                "\"\"\"\na\\r\nb\\\"\\\"\\\"\\\\\"\"\"",
                r#""a\r\nb\"\"\"\\""#,
            ),
            (
                "\0\u{8}\u{c}\u{1f}\u{7f}\u{80}é😀",
                "\"\\u0000\\b\\f\\u001F\\u007F\u{80}é😀\"",
                "\"\\u0000\\b\\f\\u001F\\u007F\u{80}é😀\"",
            ),
        ] {
            assert_eq!(value(text, Style::Pretty), pretty, "{text:?}");
            assert_eq!(value(text, Style::Compact), compact, "{text:?}");
        }
    }

    #[test]
    fn keys_are_bare_where_toml_allows() {
        for (key, text) in [
            ("a-Z_09", "a-Z_09"),
            ("policy.rego", r#""policy.rego""#),
            ("", r#""""#),
            ("é", r#""é""#),
            ("a b", r#""a b""#),
            ("a\nb\"", r#""a\nb\"""#),
        ] {
            let mut out = String::new();
            push_key(&mut out, key);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn entries_are_in_byte_order_of_their_keys() {
        let mut document = InitData::new("sha256", "0.1.0");
        for key in ["b", "é", "a", "B", "a.b", ""] {
            document.insert_data(key, "v");
        }
        assert_eq!(
            write(&document, Style::Pretty),
            concat!(
                "version = '0.1.0'\nalgorithm = 'sha256'\n\n[data]\n",
                "\"\" = 'v'\nB = 'v'\na = 'v'\n\"a.b\" = 'v'\nb = 'v'\n\"é\" = 'v'\n"
            )
        );
        assert_eq!(
            write(&InitData::new("a'", "v\n"), Style::Pretty),
            "version = '''\nv\n'''\nalgorithm = \"a'\"\n\n[data]\n"
        );
    }

    proptest! {
        #[test]
        fn written_text_parses_back(
            version in any::<String>(),
            algorithm in "[a'\"\\\\\n\t\r\u{7f}]{0,8}",
            data in proptest::collection::hash_map(
                any::<String>(),
                prop_oneof![any::<String>(), "[a'\"\\\\\n\t\r\u{0}\u{7f}é]{0,16}"],
                0..6
            ),
        ) {
            let mut document = InitData::new(algorithm, version);
            document.data = data;
            for style in [Style::Pretty, Style::Compact] {
                let parsed: InitData = toml::from_str(&write(&document, style)).unwrap();
                prop_assert_eq!(&parsed.version, &document.version);
                prop_assert_eq!(&parsed.algorithm, &document.algorithm);
                prop_assert_eq!(&parsed.data, &document.data);
            }
        }
    }
}
