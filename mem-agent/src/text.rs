//! Words of the kernel's files.

use std::borrow::Cow;

use anyhow::{Context, Result};

/// Most bytes of a file that an error message shows.
const EXCERPT: usize = 120;

/// A decimal number.
///
/// # Errors
///
/// It is none, or does not fit into 64 bits.
pub(crate) fn parse_number(word: &[u8]) -> Result<u64> {
    let word = std::str::from_utf8(word).context("not a number")?;
    Ok(word.parse()?)
}

/// The beginning of a text, for a message.
pub(crate) fn excerpt(text: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(text.get(..text.len().min(EXCERPT)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits_only_and_fit() {
        assert_eq!(parse_number(b"18446744073709551615").unwrap(), u64::MAX);
        for word in [
            &b""[..],
            b"x",
            b"-1",
            b"1 ",
            b"18446744073709551616",
            b"1\xff",
        ] {
            assert!(parse_number(word).is_err(), "{word:?}");
        }
    }

    #[test]
    fn messages_show_the_beginning_only() {
        assert_eq!(excerpt(b"total=x"), "total=x");
        assert_eq!(excerpt(&[b'x'; 1000]).len(), EXCERPT);
    }
}
