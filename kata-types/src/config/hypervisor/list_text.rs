//! Lists that are written as one text.

/// Trims the items of a list separated by commas; empty items stay.
pub(super) fn trim_items(text: &str) -> String {
    // A list of the items would take many times the text of a pod.
    let mut trimmed = String::with_capacity(text.len());
    for (index, item) in text.split(',').enumerate() {
        if index > 0 {
            trimmed.push(',');
        }
        trimmed.push_str(item.trim());
    }
    trimmed
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
