//! Shell patterns, as in [glob(7)](https://man7.org/linux/man-pages/man7/glob.7.html), matched
//! against a whole text; `*`, `?` and sets match `/` and leading dots too.

use std::fmt;

/// A pattern that can be matched.
#[derive(Debug, PartialEq)]
pub(crate) struct Glob<'a> {
    tokens: Vec<Token<'a>>,
}

#[derive(Debug, PartialEq, Clone, Copy)]
enum Token<'a> {
    Char(char),
    /// `?`
    Any,
    /// `*` and `**`
    Sequence,
    /// `[…]`: what is between the brackets.
    OneOf(&'a str),
    /// `[!…]`
    NoneOf(&'a str),
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GlobError {
    TooManyStars,
    StarsInComponent,
    UnclosedSet,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GlobError::TooManyStars => "more than two stars in a row",
            GlobError::StarsInComponent => "`**` is not a whole path component",
            GlobError::UnclosedSet => "`[` without `]`",
        })
    }
}

impl<'a> Glob<'a> {
    pub(crate) fn parse(pattern: &'a str) -> Result<Self, GlobError> {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut rest = pattern;
        let mut at_component_start = true;
        while let Some(c) = rest.chars().next() {
            let after = rest.strip_prefix(c).unwrap_or_default();
            let (token, after) = match c {
                '?' => (Token::Any, after),
                '*' => (Token::Sequence, parse_stars(rest, at_component_start)?),
                '[' => parse_set(after)?,
                c => (Token::Char(c), after),
            };
            at_component_start = c == '/';
            tokens.push(token);
            rest = after;
        }
        Ok(Glob { tokens })
    }

    /// Whether the pattern matches all of `text`, in time proportional to the product of their
    /// lengths: when a token does not match, only the last star has to try further.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut text = text.chars();
        let mut tokens = self.tokens.iter();
        let mut retry = None;
        loop {
            let token = tokens.next();
            if let Some(Token::Sequence) = token {
                retry = Some((tokens.clone(), text.clone()));
                continue;
            }
            let c = text.next();
            match (token, c) {
                (None, None) => return true,
                (Some(token), Some(c)) if token.matches(c) => continue,
                // No text is left that a star could take.
                (Some(_), None) => return false,
                _ => {}
            }
            // The last star takes one character more.
            let Some((after_star, taken)) = &mut retry else {
                return false;
            };
            if taken.next().is_none() {
                return false;
            }
            tokens = after_star.clone();
            text = taken.clone();
        }
    }
}

impl Token<'_> {
    fn matches(self, c: char) -> bool {
        match self {
            Token::Char(own) => own == c,
            Token::Any => true,
            Token::OneOf(set) => set_contains(set, c),
            Token::NoneOf(set) => !set_contains(set, c),
            Token::Sequence => false,
        }
    }
}

/// `rest` starts with a star; returns what follows the star or stars.
fn parse_stars(rest: &str, at_component_start: bool) -> Result<&str, GlobError> {
    let after = rest.trim_start_matches('*');
    match rest.len() - after.len() {
        1 => Ok(after),
        2 if at_component_start && (after.is_empty() || after.starts_with('/')) => Ok(after),
        2 => Err(GlobError::StarsInComponent),
        _ => Err(GlobError::TooManyStars),
    }
}

/// `rest` follows `[`. The first character of a set is never its end: `[]]` is the set of `]`.
fn parse_set(rest: &str) -> Result<(Token<'_>, &str), GlobError> {
    let negated = rest.strip_prefix('!');
    let body = negated.unwrap_or(rest);
    let first = body.chars().next().ok_or(GlobError::UnclosedSet)?;
    let end = body
        .char_indices()
        .find_map(|(at, c)| (at >= first.len_utf8() && c == ']').then_some(at))
        .ok_or(GlobError::UnclosedSet)?;
    let (set, after) = body.split_at_checked(end).ok_or(GlobError::UnclosedSet)?;
    let after = after.strip_prefix(']').unwrap_or(after);
    let token = match negated {
        Some(_) => Token::NoneOf(set),
        None => Token::OneOf(set),
    };
    Ok((token, after))
}

/// Whether a set has `c`; `a-z` is a range, a dash at either end is a dash.
fn set_contains(set: &str, c: char) -> bool {
    let mut chars = set.chars();
    while let Some(low) = chars.next() {
        let mut ahead = chars.clone();
        if let (Some('-'), Some(high)) = (ahead.next(), ahead.next()) {
            if (low..=high).contains(&c) {
                return true;
            }
            chars = ahead;
        } else if low == c {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "", false),
            ("*", "", true),
            ("*", "/a/.b", true),
            ("/*", "/bin/ls", true),
            ("/bin/*/ls", "/bin/ls", false),
            ("/bin", "/bin/ls", false),
            ("./x", "./x", true),
            ("./x", "x", false),
            ("?", "/", true),
            ("?", "é", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b", "xaxbxab", true),
            ("*a*b", "xaxbxabx", false),
            ("[ab]x", "bx", true),
            ("[ab]x", "cx", false),
            ("[!ab]x", "cx", true),
            ("[!ab]x", "ax", false),
            ("[!a]", "/", true),
            ("[a-c]", "b", true),
            ("[a-c]", "d", false),
            ("[c-a]", "b", false),
            ("[-a]", "-", true),
            ("[a-]", "-", true),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[?]", "?", true),
            ("[?]", "a", false),
            ("[[]", "[", true),
            ("A", "a", false),
            ("**", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            // Not more than a single star.
            ("a/**/b", "a/b", false),
            ("/a/**", "/a/", true),
            ("]", "]", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn errors() {
        for (pattern, error) in [
            ("***", GlobError::TooManyStars),
            ("/a/****", GlobError::TooManyStars),
            ("a**", GlobError::StarsInComponent),
            ("**a", GlobError::StarsInComponent),
            ("/a**/", GlobError::StarsInComponent),
            ("[", GlobError::UnclosedSet),
            ("[]", GlobError::UnclosedSet),
            ("[!", GlobError::UnclosedSet),
            ("[!]", GlobError::UnclosedSet),
            ("a[b", GlobError::UnclosedSet),
        ] {
            assert_eq!(Glob::parse(pattern), Err(error), "{pattern:?}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = "*a".repeat(200);
        let text = "a".repeat(10_000) + "b";
        assert!(!matches(&pattern, &text));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(4096))]

        /// The `glob` crate is what users know; only `**` differs, which we treat like `*`.
        #[test]
        fn like_the_glob_crate(pattern in "[a-c/.*?!\\[\\]é-]{0,8}", text in "[a-c/.!\\]é-]{0,8}") {
            let theirs = glob::Pattern::new(&pattern);
            let ours = Glob::parse(&pattern);
            proptest::prop_assert_eq!(ours.is_ok(), theirs.is_ok());
            if let (Ok(ours), Ok(theirs)) = (ours, theirs)
                && !pattern.contains("**")
            {
                proptest::prop_assert_eq!(ours.matches(&text), theirs.matches(&text));
            }
        }
    }
}
