//! What the fuzz targets share: inputs as readable text, and trees of files made from them.
//!
//! Inputs that have parts are text, so that seeds can be written by hand: see [`sections`],
//! [`unescape`] and [`Tree::parse`].

pub mod config_shape;
pub mod glob;
pub mod http;
pub mod infiniband;
pub mod log_entry;
pub mod mem_files;
pub mod message_json;
pub mod oci_faults;
pub mod own_run;
pub mod paths;
pub mod sandboxes;

mod capture;
mod scratch;
mod tree;

pub use capture::capture_log;
pub use scratch::Scratch;
pub use tree::{Node, Tree};

/// The parts of an input, which begin with lines `=== NAME`: names and contents. What is before the
/// first such line has an empty name, and is always there.
pub fn sections(text: &str) -> Vec<(&str, &str)> {
    let text_of = |bytes| std::str::from_utf8(bytes).expect("split at line breaks");
    sections_of_bytes(text.as_bytes())
        .into_iter()
        .map(|(name, part)| (text_of(name), text_of(part)))
        .collect()
}

/// As [`sections`], of an input that need not be text.
pub fn sections_of_bytes(data: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut sections = Vec::new();
    let (mut name, mut start, mut end) = (&b""[..], 0, 0);
    for line in data.split_inclusive(|byte| *byte == b'\n') {
        if let Some(next) = line.strip_prefix(b"=== ") {
            sections.push((name, &data[start..end]));
            name = next.trim_ascii_end();
            start = end + line.len();
        }
        end += line.len();
    }
    sections.push((name, &data[start..]));
    sections
}

/// The content of the first section with a title that is this one, or nothing.
pub fn titled<'a>(sections: &[(&[u8], &'a [u8])], title: &str) -> &'a [u8] {
    let mut sections = sections.iter().skip(1);
    sections
        .find(|(name, _)| *name == title.as_bytes())
        .map_or(&b""[..], |(_, content)| content)
}

/// Replaces `\n`, `\t`, `\0` and `\\` by what they stand for.
pub fn unescape(text: &str) -> String {
    String::from_utf8(unescape_bytes(text.as_bytes())).expect("only ASCII is replaced")
}

/// As [`unescape`], of what need not be text.
pub fn unescape_bytes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next().unwrap_or(b'\\') {
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => b'\0',
                other => other,
            },
            other => other,
        });
    }
    plain
}

/// The lines of a text, unescaped.
pub fn lines(text: &str) -> Vec<String> {
    text.lines().map(unescape).collect()
}

/// A text that is TOML 0.5, as one that means the same to readers of newer versions: they leave line
/// ends in strings as they are, and take no delete character in comments.
pub fn newer_toml(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut newer = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => string_length(rest, first),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '#' => newer.push_str(&token.replace('\u{7f}', " ")),
            _ => newer.push_str(token),
        }
        rest = after;
    }
    newer
}

/// The length of the string that `text` begins with, quotes included. One without an end ends with the
/// line, or with the text if it may have several.
fn string_length(text: &str, quote: char) -> usize {
    let long = String::from(quote).repeat(3);
    let is_long = text.starts_with(&long);
    let end = if is_long { &*long } else { &long[..1] };
    let mut at = end.len();
    while let Some(next) = text[at..].chars().next() {
        if text[at..].starts_with(end) {
            // Up to two quotes before the end belong to the string.
            let quotes = text[at..].chars().take_while(|c| *c == quote).count();
            return at + if is_long { quotes.min(5) } else { 1 };
        }
        if next == '\n' && !is_long {
            break;
        }
        at += next.len_utf8();
        if next == '\\' && quote == '"' {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_split_at_their_titles() {
        assert_eq!(sections(""), [("", "")]);
        assert_eq!(
            sections("a\n=== b \nc\n=== d\n=== e"),
            [("", "a\n"), ("b", "c\n"), ("d", ""), ("e", "")]
        );
        assert_eq!(sections("===\n== x\n"), [("", "===\n== x\n")]);
    }

    #[test]
    fn escapes_stand_for_characters() {
        assert_eq!(unescape(r"a\nb\\n\q\é\"), "a\nb\\nqé\\");
        assert_eq!(unescape_bytes(b"\xff\\n"), b"\xff\n");
    }

    #[test]
    fn delete_characters_become_blanks_in_comments_only() {
        for (text, newer) in [
            ("a=1 # x\u{7f}y\n\u{7f}", "a=1 # x y\n\u{7f}"),
            ("'#\u{7f}' # '\u{7f}", "'#\u{7f}' # ' "),
            ("\"\\\"#\u{7f}\" #\u{7f}", "\"\\\"#\u{7f}\" # "),
            ("'''\n#\u{7f}''''' #\u{7f}", "'''\n#\u{7f}''''' # "),
            ("\"\"\"#\u{7f}", "\"\"\"#\u{7f}"),
            ("'a\r\n#\u{7f}", "'a\n# "),
            ("\"\\", "\"\\"),
            ("\"\"#\u{7f}", "\"\"# "),
        ] {
            assert_eq!(newer_toml(text), newer, "{text:?}");
        }
    }
}
