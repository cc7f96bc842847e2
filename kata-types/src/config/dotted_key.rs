//! Dotted keys ([TOML](https://toml.io/en/v1.0.0#keys)), whole to look places up by and short to show
//! them in messages.

use std::fmt::Write;

/// Longest key or value shown in a message, in characters.
const MAX_SHOWN: usize = 64;

/// Dotted key of `name` in the table `parent`, as TOML: quoted where that needs it, and whole, as two
/// names may begin alike. Messages have [`shown_below`] and [`shown_key`].
pub(crate) fn dotted(parent: &str, name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let mut key = String::with_capacity(parent.len() + name.len() + 3);
    key.push_str(parent);
    if !parent.is_empty() {
        key.push('.');
    }
    if !name.is_empty() && name.bytes().all(bare) {
        key.push_str(name);
    } else {
        push_quoted(&mut key, name);
    }
    key
}

/// [`dotted`] for a message: `parent` is shown already, and `name` becomes short.
pub(crate) fn shown_below(parent: &str, name: &str) -> String {
    dotted(parent, &shortened(name))
}

/// A dotted key for a message: what [`shown_below`] makes of its parts.
pub(crate) fn shown_key(key: &str) -> String {
    let mut shown = String::new();
    let mut rest = key;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            if !shown.is_empty() {
                shown.push('.');
            }
            rest = push_shortened_quoted(&mut shown, quoted);
            rest = rest.strip_prefix('.').unwrap_or(rest);
        } else {
            let (name, after) = rest.split_once('.').unwrap_or((rest, ""));
            shown = match name.len() {
                0..=MAX_SHOWN if shown.is_empty() => name.to_owned(),
                0..=MAX_SHOWN => format!("{shown}.{name}"), // has an index, perhaps
                _ => shown_below(&shown, name),
            };
            rest = after;
        }
    }
    shown
}

/// Appends the beginning of a name whose opening quote has been read; returns what follows it.
fn push_shortened_quoted<'k>(shown: &mut String, mut text: &'k str) -> &'k str {
    shown.push('"');
    let mut characters = 0;
    while let Some(c) = text.chars().next().filter(|c| *c != '"') {
        // An escape stands for one character.
        let length = match c {
            '\\' if text.starts_with("\\u") => "\\u0000".len(),
            '\\' => "\\n".len(),
            c => c.len_utf8(),
        };
        let (character, after) = text.split_at_checked(length).unwrap_or((text, ""));
        match characters {
            0..MAX_SHOWN => shown.push_str(character),
            MAX_SHOWN => shown.push('…'),
            _ => {}
        }
        characters += 1;
        text = after;
    }
    shown.push('"');
    text.strip_prefix('"').unwrap_or(text)
}

/// A TOML basic string: one line, whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_quoted(&mut quoted, text);
    quoted
}

fn push_quoted(quoted: &mut String, text: &str) {
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
}

/// Characters that end lines, turn the direction of the text, or have no width.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// At most the first 64 characters.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_quoted_when_toml_needs_it() {
        for (parent, name, key) in [
            ("", "a", "a"),
            ("t", "a-b_1", "t.a-b_1"),
            ("t", "a.b", "t.\"a.b\""),
            ("t", "", "t.\"\""),
            ("t", "a\nb", "t.\"a\\nb\""),
            ("t", "\u{1}\u{7f}é\u{2028}", "t.\"\\u0001\\u007Fé\\u2028\""),
            ("t", "\"\\\r\t'", "t.\"\\\"\\\\\\r\\t'\""),
            ("hypervisor", "qemu", "hypervisor.qemu"),
            ("hypervisor", "a.b", "hypervisor.\"a.b\""),
        ] {
            assert_eq!(dotted(parent, name), key);
        }
        let long = "k".repeat(1000);
        assert_eq!(dotted("t", &long), format!("t.{long}"));
    }

    #[test]
    fn keys_in_messages_are_short() {
        for key in [
            "",
            "a",
            "runtime.shared_mounts[3].x",
            "t.\"a.b\\\"\\u0001\".x",
        ] {
            assert_eq!(shown_key(key), key);
        }
        assert_eq!(
            shown_key(&dotted(&dotted("t", &"k".repeat(65)), "x")),
            format!("t.\"{}…\".x", "k".repeat(64))
        );
    }

    proptest! {
        #[test]
        fn keys_are_toml(name in "([ab.\"\\\\\u{0}-\u{1f}\u{7f}-\u{9f}\u{feff}]|\\PC){0,80}") {
            let key = dotted(&dotted("t", &name), "x");
            let table: toml::Table = format!("{key} = 1").parse().unwrap();
            prop_assert_eq!(table["t"][&name]["x"].as_integer(), Some(1));
            prop_assert_eq!(shown_key(&key), dotted(&shown_below("t", &name), "x"));
        }
    }
}
