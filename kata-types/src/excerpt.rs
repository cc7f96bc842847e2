//! Foreign text in errors: a pod's annotation may have megabytes, and a log line repeats the error.

use std::fmt;

/// How many bytes of a text an error repeats.
const SHOWN: usize = 1024;

/// How many texts of a list an error repeats.
const SHOWN_TEXTS: usize = 64;

/// A text for an error, of which only the beginning is written if it is long.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl Excerpt<'_> {
    /// What is written, and the length of the whole if that is more.
    fn shown(&self) -> (&str, Option<usize>) {
        if self.0.len() <= SHOWN {
            return (self.0, None);
        }
        // A character has at most four bytes.
        let start = (SHOWN - 3..=SHOWN).rev().find_map(|end| self.0.get(..end));
        (start.unwrap_or_default(), Some(self.0.len()))
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, length) = self.shown();
        f.write_str(text)?;
        length.map_or(Ok(()), |length| write!(f, "… ({length} bytes)"))
    }
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, length) = self.shown();
        fmt::Debug::fmt(text, f)?;
        length.map_or(Ok(()), |length| write!(f, "… ({length} bytes)"))
    }
}

/// A list of texts for an error, of which only the first are written if there are many.
pub(crate) struct Excerpts<'a>(pub(crate) &'a [String]);

impl fmt::Debug for Excerpts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(SHOWN_TEXTS).map(|text| Excerpt(text));
        f.debug_list().entries(shown).finish()?;
        match self.0.len().checked_sub(SHOWN_TEXTS) {
            Some(1..) => write!(f, "… ({} items)", self.0.len()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_written_as_it_is() {
        let text = "é\"".repeat(300);
        assert_eq!(Excerpt(&text).to_string(), text);
        assert_eq!(format!("{:?}", Excerpt(&text)), format!("{text:?}"));
        let list = vec![text; 64];
        assert_eq!(format!("{:?}", Excerpts(&list)), format!("{list:?}"));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        let text = format!("x{}", "é".repeat(1000));
        let start = format!("x{}", "é".repeat(511));
        assert_eq!(Excerpt(&text).to_string(), format!("{start}… (2001 bytes)"));
        assert_eq!(
            format!("{:?}", Excerpt(&text)),
            format!("{start:?}… (2001 bytes)")
        );
    }

    #[test]
    fn long_list_is_cut() {
        let list = vec![String::new(); 65];
        let text = format!("{:?}", Excerpts(&list));
        assert_eq!(text.matches("\"\"").count(), 64);
        assert!(text.ends_with("]… (65 items)"), "{text}");
    }
}
