//! The digest of a document, in the form of a TEE's launch measurement.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::{Error, parse_initdata};
use crate::encoding;
use crate::excerpt::Excerpt;

/// The kind of protection that a guest runs under; it fixes the length of the digest field.
///
/// ```
/// use kata_types::initdata::ProtectedPlatform;
/// assert!(matches!(ProtectedPlatform::default(), ProtectedPlatform::NoProtection));
/// ```
#[derive(Debug, Default, Clone, Copy)]
pub enum ProtectedPlatform {
    /// Intel TDX: `MRCONFIGID`, 48 bytes.
    Tdx,
    /// AMD SEV-SNP: `HOSTDATA`, 32 bytes.
    Snp,
    /// Arm CCA: realm personalization value, 64 bytes.
    Cca,
    /// IBM Secure Execution: user data, 256 bytes.
    Se,
    /// None: the digest as it is.
    #[default]
    NoProtection,
}

/// The digest of a document's text for a platform, in padded standard base64.
///
/// The text is hashed as it is, with the algorithm that it names. A digest that is longer than the
/// platform's field is cut at its end, a shorter one is filled with zero bytes.
///
/// # Errors
/// `parse initdata` when the text is not a valid document.
///
/// ```
/// use kata_types::initdata::{ProtectedPlatform, calculate_initdata_digest};
/// let text = "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\n";
/// assert_eq!(
///     calculate_initdata_digest(text, ProtectedPlatform::Snp)?,
///     "XCNS0vwwxzkiEpSiz7pxCFvtJau5LMOTAysiegIO4vA="
/// );
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn calculate_initdata_digest(
    initdata_toml: &str,
    platform: ProtectedPlatform,
) -> Result<String> {
    let document = parse_initdata(initdata_toml).context("parse initdata")?;
    let mut digest =
        hash(document.algorithm(), initdata_toml.as_bytes()).context("calculate digest")?;
    if let Some(length) = field_length(platform) {
        digest.resize(length, 0);
    }
    Ok(encoding::encode_standard(&digest))
}

pub(super) fn is_supported(algorithm: &str) -> bool {
    matches!(algorithm, "sha256" | "sha384" | "sha512")
}

fn hash(algorithm: &str, bytes: &[u8]) -> std::result::Result<Vec<u8>, Error> {
    Ok(match algorithm {
        "sha256" => Sha256::digest(bytes).to_vec(),
        "sha384" => Sha384::digest(bytes).to_vec(),
        "sha512" => Sha512::digest(bytes).to_vec(),
        _ => return Err(Error::UnsupportedHash(Excerpt(algorithm).to_string())),
    })
}

fn field_length(platform: ProtectedPlatform) -> Option<usize> {
    match platform {
        ProtectedPlatform::Tdx => Some(48),
        ProtectedPlatform::Snp => Some(32),
        ProtectedPlatform::Cca => Some(64),
        ProtectedPlatform::Se => Some(256),
        ProtectedPlatform::NoProtection => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_cut_or_filled_to_the_field() {
        for (algorithm, own) in [("sha256", 32), ("sha384", 48), ("sha512", 64)] {
            let text = format!("version = '0.1.0'\nalgorithm = '{algorithm}'\n[data]\n");
            let digest = hash(algorithm, text.as_bytes()).unwrap();
            assert_eq!(digest.len(), own);
            for (platform, length) in [
                (ProtectedPlatform::Tdx, 48),
                (ProtectedPlatform::Snp, 32),
                (ProtectedPlatform::Cca, 64),
                (ProtectedPlatform::Se, 256),
                (ProtectedPlatform::NoProtection, own),
            ] {
                let field = calculate_initdata_digest(&text, platform).unwrap();
                let field = encoding::decode_standard(&field).unwrap();
                assert_eq!(field.len(), length);
                let kept = own.min(length);
                assert_eq!(field[..kept], digest[..kept]);
                assert!(field[kept..].iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn text_is_hashed_as_it_is() {
        let plain = "version = '0.1.0'\nalgorithm = 'sha256'\n[data]\n";
        let commented = format!("{plain}# comment\n");
        let digest = |text| calculate_initdata_digest(text, ProtectedPlatform::Snp).unwrap();
        assert_ne!(digest(plain), digest(&commented));
    }

    #[test]
    fn invalid_documents_have_no_digest() {
        for text in ["", "version = '0.1.0'\nalgorithm = 'md5'\n[data]\n"] {
            let error = calculate_initdata_digest(text, ProtectedPlatform::Tdx).unwrap_err();
            assert_eq!(error.to_string(), "parse initdata");
        }
        assert_eq!(
            hash("md5", b"").unwrap_err().to_string(),
            "unsupported Hash algorithm: md5"
        );
    }
}
