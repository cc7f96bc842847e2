//! Debug output without secrets (D9).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use sha2::{Digest as _, Sha256};

/// Shows a text as its length and the first 8 hex digits of its SHA-256: enough to tell two
/// documents apart.
pub(crate) struct Digest<'a>(pub(crate) &'a str);

impl fmt::Debug for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        write!(f, "<{} bytes, sha256 ", self.0.len())?;
        for byte in Sha256::digest(self.0.as_bytes()).iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(">")
    }
}

/// Shows a secret as `***`.
pub(crate) struct Secret<'a>(pub(crate) &'a str);

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "***" })
    }
}

/// Shows texts by name, each as [`Digest`].
pub(crate) struct Digests<'a>(pub(crate) &'a HashMap<String, String>);

impl fmt::Debug for Digests<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted: BTreeMap<_, _> = self.0.iter().map(|(k, v)| (k, Digest(v))).collect();
        f.debug_map().entries(sorted).finish()
    }
}

/// Shows texts by name, each as [`Secret`].
pub(crate) struct Secrets<'a>(pub(crate) &'a HashMap<String, String>);

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sorted: BTreeMap<_, _> = self.0.iter().map(|(k, v)| (k, Secret(v))).collect();
        f.debug_map().entries(sorted).finish()
    }
}

/// Shows mount options: flags as they are, `name=value` as `name=***`. A value may be a password, or
/// a whole document with one.
pub(crate) struct Options<'a>(pub(crate) &'a [String]);

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for option in self.0 {
            match option.split_once('=') {
                Some((name, value)) if !value.is_empty() => list.entry(&format!("{name}=***")),
                _ => list.entry(option),
            };
        }
        list.finish()
    }
}

/// Implements `Debug` for a struct: `field` as it is, `field: Wrapper(field)` through `Wrapper`.
/// All fields must be named, so that a new one is not forgotten.
macro_rules! redacted_debug {
    ($name:ident { $($field:ident $(: $wrapper:ident($inner:ident))?),+ $(,)? }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $name { $($field),+ } = self;
                f.debug_struct(stringify!($name))
                    $(.field(
                        stringify!($field),
                        $crate::config::redact::redacted_debug!(@value $field $($wrapper)?),
                    ))+
                    .finish()
            }
        }
    };
    (@value $field:ident) => { $field };
    (@value $field:ident $wrapper:ident) => { &$wrapper($field) };
}
pub(crate) use redacted_debug;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_are_no_secrets() {
        assert_eq!(format!("{:?} {:?}", Digest(""), Secret("")), r#""" """#);
        assert_eq!(format!("{:?}", Secret("x")), "***");
        assert_eq!(format!("{:?}", Digest("abc")), "<3 bytes, sha256 ba7816bf>");
    }

    #[test]
    fn maps_are_shown_in_the_order_of_their_names() {
        let map: HashMap<String, String> = [("b", "abc"), ("a", ""), ("c", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let shown = format!("{:?}", Secrets(&map));
        assert_eq!(shown, r#"{"a": "", "b": ***, "c": ***}"#);
        let shown = format!("{:?}", Digests(&map));
        let expected =
            r#"{"a": "", "b": <3 bytes, sha256 ba7816bf>, "c": <1 bytes, sha256 2d711642>}"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn options_are_shown_without_their_values() {
        let options = ["ro", "size=", "password=x", "a=b=c", "=", "=x", ""].map(str::to_owned);
        let shown = format!("{:?}", Options(&options));
        let expected = r#"["ro", "size=", "password=***", "a=***", "=", "=***", ""]"#;
        assert_eq!(shown, expected);
    }
}
