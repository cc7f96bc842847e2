//! Base64 as the formats of this crate use it ([RFC 4648]).
//!
//! [RFC 4648]: https://www.rfc-editor.org/rfc/rfc4648

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::PAD;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose};

/// Encodes with padding, and decodes with any number of padding characters up to the canonical one
/// (I-2): writers in the field omit them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Standard alphabet, padded.
pub(crate) fn encode_standard(bytes: &[u8]) -> String {
    LENIENT.encode(bytes)
}

/// Standard alphabet; padding may be short or absent. Anything else must be canonical.
pub(crate) fn decode_standard(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    LENIENT.decode(text)
}

/// URL-safe alphabet, padded.
#[cfg(feature = "safe-path")]
pub(crate) fn encode_url_safe(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE.encode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_may_be_short_and_nothing_else_is_lenient() {
        for (text, bytes) in [
            ("YWI=", "ab"),
            ("YWI", "ab"),
            ("YQ==", "a"),
            ("YQ=", "a"),
            ("YQ", "a"),
            ("", ""),
        ] {
            assert_eq!(decode_standard(text).unwrap(), bytes.as_bytes(), "{text}");
        }
        for text in [
            "YR==", "YR", "YWJ", "Y", "=", "====", "YQ===", "YWI==", "YWJj=", "YQ==YQ==", " YWI=",
            "YWI=\n", "YW\nI=", "_-==", "!",
        ] {
            assert!(decode_standard(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_short_padding_of_an_encoding_decodes(bytes in any::<Vec<u8>>()) {
            let mut text = encode_standard(&bytes);
            prop_assert_eq!(text.len() % 4, 0);
            loop {
                prop_assert_eq!(&decode_standard(&text).unwrap(), &bytes);
                if !text.ends_with('=') {
                    break;
                }
                text.pop();
            }
        }
    }
}
