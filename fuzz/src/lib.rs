//! What the fuzz targets share: inputs as readable text, and trees of files made from them.
//!
//! Inputs that have parts are text, so that seeds can be written by hand: see [`sections`],
//! [`unescape`] and [`Tree::parse`].

mod capture;
mod scratch;
mod tree;

pub use capture::capture_log;
pub use scratch::Scratch;
pub use tree::{Node, Tree};

/// The parts of an input, which begin with lines `=== NAME`: names and contents. What is before the
/// first such line has an empty name, and is always there.
pub fn sections(text: &str) -> Vec<(&str, &str)> {
    let mut sections = Vec::new();
    let (mut name, mut start, mut end) = ("", 0, 0);
    for line in text.split_inclusive('\n') {
        if let Some(next) = line.strip_prefix("=== ") {
            sections.push((name, &text[start..end]));
            name = next.trim_end();
            start = end + line.len();
        }
        end += line.len();
    }
    sections.push((name, &text[start..]));
    sections
}

/// Replaces `\n`, `\t`, `\0` and `\\` by what they stand for.
pub fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let next = match character {
            '\\' => characters.next().unwrap_or('\\'),
            other => {
                plain.push(other);
                continue;
            }
        };
        plain.push(match next {
            'n' => '\n',
            't' => '\t',
            '0' => '\0',
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
    text.replace("\r\n", "\n").replace('\u{7f}', " ")
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
        assert_eq!(unescape(r"a\nb\\n\q\"), "a\nb\\nq\\");
    }
}
