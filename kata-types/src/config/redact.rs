//! Debug output without secrets (D9).

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
}
