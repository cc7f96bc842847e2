//! Tokens as text, as people write it.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// `tokens` on one line.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let mut words = Vec::new();
    flatten(tokens.into_token_stream(), &mut words);
    let mut text = String::new();
    let mut previous = "";
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).map(String::as_str);
        if word == "," && matches!(next, None | Some(")" | "]" | ">" | "}" | "{")) {
            continue; // a comma that only stands at the end of a line
        }
        if !text.is_empty() && is_apart(previous, word) {
            text.push(' ');
        }
        text.push_str(word);
        previous = word;
    }
    text
}

fn flatten(tokens: TokenStream, words: &mut Vec<String>) {
    let mut joint = String::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) => {
                joint.push(punct.as_char());
                if punct.spacing() == Spacing::Alone {
                    words.push(std::mem::take(&mut joint));
                }
                continue;
            }
            TokenTree::Group(group) => {
                words.extend(Some(std::mem::take(&mut joint)).filter(|joint| !joint.is_empty()));
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                words.extend(Some(open.to_owned()).filter(|open| !open.is_empty()));
                flatten(group.stream(), words);
                words.extend(Some(close.to_owned()).filter(|close| !close.is_empty()));
            }
            // A lifetime is a joint `'` and a name.
            other => words.push(std::mem::take(&mut joint) + &other.to_string()),
        }
    }
    words.extend(Some(joint).filter(|joint| !joint.is_empty()));
}

fn is_apart(previous: &str, next: &str) -> bool {
    const OPERATORS: [&str; 14] = [
        "->", "=", "=>", ",", ":", "+", "|", "for", "dyn", "impl", "mut", "const", "where", "as",
    ];
    match (previous, next) {
        ("(" | "[" | "<" | "&" | "::" | "#" | "!" | "." | ".." | "..=" | "?" | "-" | "$", _) => {
            false
        }
        ("*", "const" | "mut") => false,
        (_, ")" | "]" | ">" | "," | ";" | ":" | "." | "?" | "..=") => false,
        (_, "!") => false,
        (_, "::") => OPERATORS.contains(&previous),
        ("for", "<") | ("impl", "<") => false,
        (_, "<" | "(") => OPERATORS.contains(&previous),
        _ => true,
    }
}
