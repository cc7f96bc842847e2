//! Lists that are written as one text.

/// Trims the items of a list separated by commas; empty items stay.
pub(super) fn trim_items(text: &str) -> String {
    text.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_trimmed_and_kept() {
        for (text, trimmed) in [
            ("", ""),
            (" ", ""),
            ("a", "a"),
            (" a , b=1,c ", "a,b=1,c"),
            ("a,, ,b,", "a,,,b,"),
            ("a b,\tc", "a b,c"),
        ] {
            assert_eq!(trim_items(text), trimmed);
            assert_eq!(trim_items(trimmed), trimmed);
        }
    }
}
