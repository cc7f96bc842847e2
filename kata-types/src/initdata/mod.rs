//! Initdata: the document that configures a confidential guest and is part of its launch
//! measurement.
//!
//! Source: the [initdata specification] of Confidential Containers. A document is TOML text with a
//! version, a digest algorithm and named files (`data`). It travels as an annotation (gzip, then
//! base64), and its digest goes into a field of the TEE's launch measurement. **The digest is over
//! the text as it is**, so text that was received is never parsed and written again; and text that
//! is written here depends on the document alone: keys are sorted, and the gzip header is fixed.
//!
//! [initdata specification]: https://github.com/confidential-containers/trustee/blob/main/kbs/docs/initdata.md

mod canonical;
mod codec;
mod digest;
mod document;
mod text;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::config::redact::{Digests, redacted_debug};
use crate::config::sorted_map;
use crate::excerpt::Excerpt;

pub use codec::{
    INITDATA_MAX_DECOMPRESSED_SIZE, add_hypervisor_initdata_overrides, decode_initdata,
    encode_initdata,
};
pub use digest::{ProtectedPlatform, calculate_initdata_digest};
pub use document::parse_initdata;

/// The only version of the document format.
const VERSION: &str = "0.1.0";

/// Why an initdata document or annotation is refused. It is in the chain of the errors of this
/// module: `error.downcast_ref::<kata_types::initdata::Error>()`.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The annotation is not standard base64.
    #[error("base64 decode")]
    Base64(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The annotation does not hold gzip of UTF-8 text, or of too much text.
    #[error("gz decoder failed")]
    Gzip(#[source] std::io::Error),
    /// The document is not TOML, or lacks a field.
    #[error("line {line}, column {column}: {reason}")]
    Document {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// `version` is not 0.1.0. Like those below, a text of more than 1024 bytes is cut.
    #[error("unsupported version: {0}, expected: 0.1.0")]
    UnsupportedVersion(String),
    /// `algorithm` is unknown.
    #[error("unsupported algorithm: {0}, supported algorithms: sha256, sha384, sha512")]
    UnsupportedAlgorithm(String),
    /// There is no hash function of this name.
    #[error("unsupported Hash algorithm: {0}")]
    UnsupportedHash(String),
}

/// An initdata document.
///
/// ```
/// use kata_types::initdata::{InitData, decode_initdata, encode_initdata};
///
/// let mut document = InitData::new("sha384", "0.1.0");
/// document.insert_data("aa.toml", "[token_configs]\n");
/// assert_eq!(
///     document.to_string()?,
///     "version = '0.1.0'\nalgorithm = 'sha384'\n\n[data]\n\"aa.toml\" = '''\n[token_configs]\n'''\n"
/// );
///
/// let annotation = encode_initdata(&document);
/// assert_eq!(decode_initdata(&annotation)?.data(), document.data());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// [`Debug`](std::fmt::Debug) shows the files as length and digest only.
#[derive(Clone, Serialize, Deserialize)]
pub struct InitData {
    version: String,
    algorithm: String,
    #[serde(serialize_with = "sorted_map::serialize")]
    data: HashMap<String, String>,
}

redacted_debug!(InitData {
    version,
    algorithm,
    data: Digests(data),
});

impl InitData {
    /// A document without data. **The algorithm comes first.**
    ///
    /// ```
    /// let document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// assert!(document.data().is_empty());
    /// ```
    pub fn new(algorithm: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            algorithm: algorithm.into(),
            data: HashMap::new(),
        }
    }

    /// The content of one of the named files.
    ///
    /// ```
    /// let mut document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// document.insert_data("aa.toml", "[token_configs]\n");
    /// assert_eq!(document.get_coco_data("aa.toml").map(String::as_str), Some("[token_configs]\n"));
    /// assert_eq!(document.get_coco_data("cdh.toml"), None);
    /// ```
    pub fn get_coco_data(&self, key: &str) -> Option<&String> {
        self.data.get(key)
    }

    /// Adds a named file, replacing an earlier one of that name.
    ///
    /// ```
    /// let mut document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// document.insert_data("policy.rego", "package agent_policy\n");
    /// document.insert_data("policy.rego", "package other\n");
    /// assert_eq!(document.data().len(), 1);
    /// ```
    pub fn insert_data(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.data.insert(key.into(), value.into());
    }

    /// The digest algorithm: `sha256`, `sha384` or `sha512` in a [valid](Self::validate) document.
    ///
    /// ```
    /// let document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// assert_eq!(document.algorithm(), "sha384");
    /// ```
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The version of the format: `0.1.0` in a [valid](Self::validate) document.
    ///
    /// ```
    /// let document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// assert_eq!(document.version(), "0.1.0");
    /// ```
    pub fn version(&self) -> &str {
        &self.version
    }

    /// All named files.
    ///
    /// ```
    /// let mut document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// document.insert_data("aa.toml", "");
    /// assert!(document.data().contains_key("aa.toml"));
    /// ```
    pub fn data(&self) -> &HashMap<String, String> {
        &self.data
    }

    /// The document as compact TOML: every string in double quotes, on one line.
    ///
    /// # Errors
    /// None at present.
    ///
    /// ```
    /// let mut document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// document.insert_data("k", "a\nb");
    /// assert_eq!(
    ///     document.to_vec()?,
    ///     b"version = \"0.1.0\"\nalgorithm = \"sha384\"\n\n[data]\nk = \"a\\nb\"\n"
    /// );
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn to_vec(&self) -> anyhow::Result<Vec<u8>> {
        Ok(text::write(self, text::Style::Compact).into_bytes())
    }

    /// The document as TOML with keys in byte order and real line breaks in multi-line values:
    /// what [`encode_initdata`] puts into an annotation.
    ///
    /// # Errors
    /// None at present.
    ///
    /// ```
    /// let mut document = kata_types::initdata::InitData::new("sha384", "0.1.0");
    /// document.insert_data("k", "a\nb");
    /// assert_eq!(
    ///     document.to_string()?,
    ///     "version = '0.1.0'\nalgorithm = 'sha384'\n\n[data]\nk = '''\na\nb'''\n"
    /// );
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn to_string(&self) -> anyhow::Result<String> {
        Ok(text::write(self, text::Style::Pretty))
    }

    /// Checks version and algorithm.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`], then [`Error::UnsupportedAlgorithm`].
    ///
    /// ```
    /// use kata_types::initdata::InitData;
    /// assert!(InitData::new("sha512", "0.1.0").validate().is_ok());
    /// let error = InitData::new("md5", "0.1.0").validate().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "unsupported algorithm: md5, supported algorithms: sha256, sha384, sha512"
    /// );
    /// ```
    pub fn validate(&self) -> anyhow::Result<()> {
        if self.version != VERSION {
            return Err(Error::UnsupportedVersion(Excerpt(&self.version).to_string()).into());
        }
        if !digest::is_supported(&self.algorithm) {
            return Err(Error::UnsupportedAlgorithm(Excerpt(&self.algorithm).to_string()).into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_checked_before_the_algorithm() {
        for algorithm in ["sha256", "sha384", "sha512"] {
            InitData::new(algorithm, "0.1.0").validate().unwrap();
        }
        for (algorithm, version, text) in [
            (
                "md5",
                "0.2.0",
                "unsupported version: 0.2.0, expected: 0.1.0",
            ),
            ("sha256", "", "unsupported version: , expected: 0.1.0"),
            (
                "SHA256",
                "0.1.0",
                "unsupported algorithm: SHA256, supported algorithms: sha256, sha384, sha512",
            ),
        ] {
            let error = InitData::new(algorithm, version).validate().unwrap_err();
            assert_eq!(error.to_string(), text);
            assert!(error.downcast_ref::<Error>().is_some());
        }
    }

    #[test]
    fn inserting_again_replaces_the_value() {
        let mut document = InitData::new("sha256", "0.1.0");
        document.insert_data("k", "1");
        document.insert_data("k".to_string(), "2".to_string());
        assert_eq!(document.get_coco_data("k").cloned(), Some("2".to_string()));
        assert_eq!(document.get_coco_data("x"), None);
        assert_eq!(document.data().len(), 1);
        assert_eq!(
            (document.algorithm(), document.version()),
            ("sha256", "0.1.0")
        );
    }

    #[test]
    fn serde_names_are_those_of_the_document() {
        let mut document = InitData::new("sha256", "0.1.0");
        // The keys are in order here as well (D-19).
        for key in ["c", "a", "d", "b"] {
            document.insert_data(key, "v");
        }
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            r#"{"version":"0.1.0","algorithm":"sha256","data":{"a":"v","b":"v","c":"v","d":"v"}}"#
        );
    }
}
