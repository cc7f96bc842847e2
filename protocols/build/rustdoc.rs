//! Plain comment text as rustdoc Markdown.
//!
//! A comment in a `.proto` file is written for readers of every language. What Markdown would take
//! as markup by accident is escaped; paragraphs, lists, code spans, fenced blocks, `*emphasis*` and
//! `[text](https://…)` links keep their meaning.

/// Refuses a link whose label begins on another line: [`lines`] would escape its brackets.
pub(crate) fn check(comment: &str) -> Result<(), String> {
    let is_cut = |line: &&str| {
        line.match_indices("](http").any(|(end, _)| {
            let label = first(line, end).rsplit_once('[');
            label.is_none_or(|(_, label)| label.contains(']'))
        })
    };
    match comment.lines().find(is_cut) {
        Some(line) => Err(format!(
            "the label of a link must stand on one line with its address: `{line}`"
        )),
        None => Ok(()),
    }
}

/// Lines of rustdoc Markdown for `comment`, without the `///`.
pub(crate) fn lines(comment: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut fenced = false;
    for paragraph in paragraphs(comment) {
        // A lone backtick would open a code span that never closes.
        let code = paragraph
            .iter()
            .map(|line| line.matches('`').count())
            .sum::<usize>()
            % 2
            == 0;
        let mut in_code = false;
        for line in paragraph {
            let bare = line.trim_start();
            if bare.starts_with("```") {
                // Without a language rustdoc would compile the block.
                lines.push(if !fenced && bare == "```" {
                    "```text".to_owned()
                } else {
                    bare.to_owned()
                });
                fenced = !fenced;
            } else if fenced {
                lines.push(line.to_owned());
            } else {
                lines.push(escape_line(line, code, &mut in_code));
            }
        }
        lines.push(String::new());
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    if fenced {
        lines.push("```".to_owned());
    }
    lines
}

/// The first paragraph of `comment` as one line of rustdoc Markdown.
pub(crate) fn summary(comment: &str) -> String {
    let lines = lines(comment);
    let first = lines.split(String::is_empty).next().unwrap_or_default();
    first
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

fn paragraphs(comment: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = comment.lines().map(str::trim_end).collect();
    lines
        .split(|line| line.is_empty())
        .filter(|paragraph| !paragraph.is_empty())
        .map(<[&str]>::to_vec)
        .collect()
}

/// `code`: whether backticks delimit code spans in this paragraph.
fn escape_line(line: &str, code: bool, in_code: &mut bool) -> String {
    let text = line.trim_start();
    // Four spaces would make a code block, which rustdoc would compile.
    let indent = (line.len() - text.len()).min(3);
    let mut out = " ".repeat(indent);
    let mut rest = text;
    if let Some(item) = ["* ", "- ", "+ "]
        .iter()
        .find_map(|bullet| text.strip_prefix(bullet))
    {
        out.push_str("- ");
        rest = item;
    } else if text.starts_with('>') {
        out.push('\\');
    }
    let mut previous = ' ';
    while let Some(c) = rest.chars().next() {
        let mut piece = first(rest, c.len_utf8());
        match c {
            '`' if code => {
                *in_code = !*in_code;
                out.push(c);
            }
            _ if *in_code => out.push(c),
            'h' if !previous.is_alphanumeric() && !url(rest).is_empty() => {
                piece = url(rest);
                out.push_str(&format!("<{piece}>"));
            }
            '[' if !link(rest).is_empty() => {
                piece = link(rest);
                out.push_str(piece);
            }
            '*' if !previous.is_alphanumeric() && !emphasis(rest).is_empty() => {
                piece = emphasis(rest);
                out.push_str(piece);
            }
            '_' if is_inside_word(previous, rest) => out.push(c),
            '`' | '<' | '[' | ']' | '*' | '_' | '\\' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        previous = c;
        rest = rest.get(piece.len()..).unwrap_or_default();
    }
    out
}

fn is_inside_word(previous: char, rest: &str) -> bool {
    let after = rest.trim_start_matches('_').chars().next();
    previous.is_alphanumeric() && after.is_some_and(char::is_alphanumeric)
}

/// The `*words*` that `text` starts with.
fn emphasis(text: &str) -> &str {
    let Some((words, after)) = text.get(1..).and_then(|text| text.split_once('*')) else {
        return "";
    };
    let is_words = words
        .chars()
        .all(|c| c.is_alphanumeric() || " -'".contains(c))
        && words.starts_with(char::is_alphanumeric)
        && words.ends_with(char::is_alphanumeric)
        && !after.starts_with(char::is_alphanumeric);
    if is_words {
        first(text, words.len() + 2)
    } else {
        ""
    }
}

/// The URL that `text` starts with, without the punctuation of the sentence around it.
fn url(text: &str) -> &str {
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return "";
    }
    let end = text.find(|c: char| c.is_whitespace() || "<>\"`".contains(c));
    let url = first(text, end.unwrap_or(text.len()));
    let url = url.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    if url.contains('(') {
        return url;
    }
    url.trim_end_matches(')').trim_end_matches(['.', ','])
}

/// The `[text](https://…)` link that `text` starts with.
fn link(text: &str) -> &str {
    let Some((label, target)) = text.split_once(']') else {
        return "";
    };
    if !target.starts_with("(https://") && !target.starts_with("(http://") {
        return "";
    }
    let end = target.find(')').map_or(0, |end| label.len() + 1 + end + 1);
    first(text, end)
}

fn first(text: &str, length: usize) -> &str {
    text.get(..length).unwrap_or(text)
}
