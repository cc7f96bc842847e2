//! A slow matcher of shell patterns.

/// What a character must be.
enum Token {
    Char(char),
    Any,
    Stars,
    Set { chars: Vec<char>, is_negated: bool },
}

/// Whether the pattern matches all of the text; `None` if it cannot be read.
pub fn matches(pattern: &str, text: &str) -> Option<bool> {
    let tokens = tokens(pattern)?;
    let text: Vec<char> = text.chars().collect();
    // Which beginnings of the text the tokens so far can match.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in &tokens {
        let mut next = vec![false; text.len() + 1];
        for at in (0..=text.len()).filter(|at| reached[*at]) {
            if let Token::Stars = token {
                next[at..].fill(true);
            } else if text.get(at).is_some_and(|c| token.has(*c)) {
                next[at + 1] = true;
            }
        }
        reached = next;
    }
    Some(reached[text.len()])
}

impl Token {
    fn has(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any => true,
            Self::Stars => false,
            Self::Set { chars, is_negated } => is_in(chars, c) != *is_negated,
        }
    }
}

/// A dash between two characters makes a range.
fn is_in(chars: &[char], c: char) -> bool {
    match chars {
        [low, '-', high, rest @ ..] => (*low <= c && c <= *high) || is_in(rest, c),
        [own, rest @ ..] => *own == c || is_in(rest, c),
        [] => false,
    }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let chars: Vec<char> = pattern.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        match chars[at] {
            '?' => tokens.push(Token::Any),
            '*' => {
                let count = chars[at..].iter().take_while(|c| **c == '*').count();
                let is_before = at == 0 || chars[at - 1] == '/';
                let is_behind = chars.get(at + count).is_none_or(|c| *c == '/');
                if count > 2 || (count == 2 && !(is_before && is_behind)) {
                    return None;
                }
                tokens.push(Token::Stars);
                at += count - 1;
            }
            '[' => {
                let is_negated = chars.get(at + 1) == Some(&'!');
                let start = at + 1 + usize::from(is_negated);
                // The first character does not end it.
                let length = chars.get(start + 1..)?.iter().position(|c| *c == ']')? + 1;
                let chars = chars[start..start + length].to_vec();
                tokens.push(Token::Set { chars, is_negated });
                at = start + length;
            }
            c => tokens.push(Token::Char(c)),
        }
        at += 1;
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", Some(true)),
            ("/a/*/[!x-z]?", "/a/b/c/yé", Some(false)),
            ("/a/*/[!x-z]?", "/a/b/c/wé", Some(true)),
            ("[]-]", "-", Some(true)),
            ("/**/b", "/a/b", Some(true)),
            ("a**", "a", None),
            ("***", "a", None),
            ("[a", "a", None),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern}");
        }
    }
}
