//! The annotation form: base64 of gzip of the text.
//!
//! Source: [RFC 1952] for gzip.
//!
//! [RFC 1952]: https://www.rfc-editor.org/rfc/rfc1952

use std::io::{self, ErrorKind, Read, Write};

use anyhow::{Context, Result};
use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use slog::info;

use super::{Error, InitData, parse_initdata};
use crate::encoding;

/// The most bytes that an annotation may decompress to: 16 MiB.
///
/// The text is decompressed in the runtime on behalf of a pod author, and gzip can expand a
/// thousandfold (D-2).
pub const INITDATA_MAX_DECOMPRESSED_SIZE: u64 = 16 << 20;

/// Level 6, and with it XFL 0 in the header.
const LEVEL: u32 = 6;

const CHUNK: usize = 32 << 10;

/// Encodes a document, as [`InitData::to_string`] writes it, for the annotation
/// [`KATA_ANNO_CFG_HYPERVISOR_INIT_DATA`].
///
/// The document is not validated. Equal documents give equal annotations.
///
/// [`KATA_ANNO_CFG_HYPERVISOR_INIT_DATA`]: crate::annotations::KATA_ANNO_CFG_HYPERVISOR_INIT_DATA
///
/// ```
/// use kata_types::initdata::{InitData, encode_initdata};
/// let annotation = encode_initdata(&InitData::new("sha384", "0.1.0"));
/// assert!(annotation.starts_with("H4sIAAAAAAAA/")); // 1f 8b 08 00 00 00 00 00 00 ff
/// ```
pub fn encode_initdata(init_data: &InitData) -> String {
    let text = super::text::write(init_data, super::text::Style::Pretty);
    encoding::encode_standard(&gzip(text.as_bytes()))
}

/// Decodes, parses and validates an annotation.
///
/// # Errors
/// The chain of causes contains `base64 decode`, `gz decoder failed` or `parse initdata overrides`,
/// and an [`Error`].
///
/// ```
/// use kata_types::initdata::{Error, decode_initdata};
/// let error = decode_initdata("!").unwrap_err();
/// assert!(matches!(error.downcast_ref(), Some(Error::Base64(_))));
/// ```
pub fn decode_initdata(initdata_annotation: &str) -> Result<InitData> {
    let text = decode_text(initdata_annotation)?;
    parse_initdata(&text).context("parse initdata overrides")
}

/// Decodes an annotation to the text of its document, byte for byte: nothing is parsed, because the
/// guest measures this very text. An empty annotation gives an empty text.
///
/// # Errors
/// `decoding initdata annotation failed`, whose causes contain `base64 decode` or
/// `gz decoder failed`, and an [`Error`].
///
/// ```
/// use kata_types::initdata::{InitData, add_hypervisor_initdata_overrides, encode_initdata};
/// let document = InitData::new("sha384", "0.1.0");
/// assert_eq!(
///     add_hypervisor_initdata_overrides(&encode_initdata(&document))?,
///     document.to_string()?
/// );
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn add_hypervisor_initdata_overrides(initdata_annotation: &str) -> Result<String> {
    if initdata_annotation.is_empty() {
        info!(sl!(), "initdata_annotation is empty");
        return Ok(String::new());
    }
    decode_text(initdata_annotation).context("decoding initdata annotation failed")
}

fn decode_text(annotation: &str) -> std::result::Result<String, Error> {
    let compressed =
        encoding::decode_standard(annotation).map_err(|error| Error::Base64(Box::new(error)))?;
    gunzip(&compressed).map_err(Error::Gzip)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::new(LEVEL));
    // Writing to a vector cannot fail, and deflate accepts every input.
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .unwrap_or_default()
}

/// The text of the first gzip member; what follows it is ignored (I-6).
fn gunzip(compressed: &[u8]) -> io::Result<String> {
    let limit = usize::try_from(INITDATA_MAX_DECOMPRESSED_SIZE).unwrap_or(usize::MAX);
    let mut decoder = GzDecoder::new(compressed);
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    // Reading on to the end also checks the CRC and the length in the trailer.
    loop {
        let count = match decoder.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let size = bytes.len().saturating_add(count);
        if size > limit {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("decompresses to more than {limit} bytes"),
            ));
        }
        if size > bytes.capacity() {
            // Doubling, as a vector does, but never past the limit.
            let capacity = size.saturating_mul(2).min(limit);
            bytes.reserve_exact(capacity.saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(chunk.get(..count).unwrap_or(&chunk));
    }
    // The error must not keep the bytes.
    String::from_utf8(bytes)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn annotation(bytes: &[u8]) -> String {
        encoding::encode_standard(&gzip(bytes))
    }

    fn chain(error: &anyhow::Error) -> Vec<String> {
        error.chain().map(ToString::to_string).collect()
    }

    const TEXT: &str = "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\nk = 'v'\n";

    #[test]
    fn gzip_header_depends_on_nothing() {
        let compressed = gzip(TEXT.as_bytes());
        assert_eq!(compressed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
        let size = u32::try_from(TEXT.len()).unwrap();
        assert_eq!(compressed[compressed.len() - 4..], size.to_le_bytes());
        assert_eq!(compressed, gzip(TEXT.as_bytes()));
    }

    #[test]
    fn each_failing_step_is_named_in_the_chain() {
        let broken_crc = {
            let mut compressed = gzip(TEXT.as_bytes());
            let at = compressed.len() - 5;
            compressed[at] ^= 1;
            encoding::encode_standard(&compressed)
        };
        let truncated = encoding::encode_standard(&gzip(TEXT.as_bytes())[..30]);
        for (value, step) in [
            ("!", "base64 decode"),
            ("YWI=\n", "base64 decode"),
            ("YWI=", "gz decoder failed"),
            (broken_crc.as_str(), "gz decoder failed"),
            (truncated.as_str(), "gz decoder failed"),
            (annotation(b"\xff\xfe").as_str(), "gz decoder failed"),
        ] {
            let error = decode_initdata(value).unwrap_err();
            assert!(chain(&error).contains(&step.to_string()), "{error:#}");
            let error = add_hypervisor_initdata_overrides(value).unwrap_err();
            assert_eq!(error.to_string(), "decoding initdata annotation failed");
            assert!(chain(&error).contains(&step.to_string()), "{error:#}");
            assert!(error.downcast_ref::<Error>().is_some());
        }
        let error = decode_initdata(&annotation(b"x")).unwrap_err();
        assert_eq!(error.to_string(), "parse initdata overrides");
        assert!(decode_initdata("").is_err());
    }

    #[test]
    fn overrides_return_the_text_unparsed() {
        assert_eq!(add_hypervisor_initdata_overrides("").unwrap(), "");
        for text in [TEXT, "", "not toml \r\n", "version = '9'"] {
            assert_eq!(
                add_hypervisor_initdata_overrides(&annotation(text.as_bytes())).unwrap(),
                text
            );
        }
    }

    #[test]
    fn only_the_first_member_is_read() {
        let mut compressed = gzip(TEXT.as_bytes());
        compressed.extend(gzip(b"second"));
        compressed.extend(b"garbage");
        let value = encoding::encode_standard(&compressed);
        assert_eq!(add_hypervisor_initdata_overrides(&value).unwrap(), TEXT);
        decode_initdata(&value).unwrap();
    }

    #[test]
    fn padding_of_the_annotation_may_be_missing() {
        let value = annotation(TEXT.as_bytes());
        decode_initdata(value.trim_end_matches('=')).unwrap();
    }

    #[test]
    fn decompressed_size_is_bounded() {
        let limit = usize::try_from(INITDATA_MAX_DECOMPRESSED_SIZE).unwrap();
        let text = gunzip(&gzip(&vec![b'a'; limit])).unwrap();
        assert_eq!(text.len(), limit);
        assert_eq!(text.capacity(), limit);
        let value = annotation(&vec![b'a'; limit + 1]);
        assert!(value.len() < 32 << 10);
        let error = decode_initdata(&value).unwrap_err();
        assert_eq!(
            chain(&error),
            [
                "gz decoder failed",
                "decompresses to more than 16777216 bytes"
            ]
        );
    }

    proptest! {
        #[test]
        fn no_annotation_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = decode_initdata(&text);
            let _ = decode_initdata(&encoding::encode_standard(&bytes));
            let _ = decode_initdata(&annotation(&bytes));
        }

        #[test]
        fn damaged_annotations_do_not_panic(position in any::<prop::sample::Index>(), byte: u8) {
            let mut compressed = gzip(TEXT.as_bytes());
            let position = position.index(compressed.len());
            compressed[position] = byte;
            let _ = decode_initdata(&encoding::encode_standard(&compressed));
        }

        #[test]
        fn document_survives_its_annotation(
            data in proptest::collection::hash_map(any::<String>(), any::<String>(), 0..6)
        ) {
            let mut document = InitData::new("sha512", "0.1.0");
            for (key, value) in &data {
                document.insert_data(key, value);
            }
            let decoded = decode_initdata(&encode_initdata(&document)).unwrap();
            prop_assert_eq!(decoded.data(), &data);
        }
    }
}
