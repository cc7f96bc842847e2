//! The mount option that nydus' containerd snapshotter adds.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Mount;
use crate::config::redact::{Secret, redacted_debug};
use crate::excerpt::Excerpts;
use crate::{encoding, terse};

const EXTRA_OPTION: &str = "extraoption=";

/// The nydus snapshotter's description of an image, from the mount option `extraoption=`.
///
/// [`Debug`](std::fmt::Debug) does not show `config`, which may hold registry credentials.
#[derive(Deserialize)]
pub struct NydusExtraOptions {
    /// Path of the metadata blob (bootstrap).
    pub source: String,
    /// Configuration of nydusd, as JSON text.
    pub config: String,
    /// Directory of the snapshot.
    #[serde(rename = "snapshotdir")]
    pub snapshot_dir: String,
    /// RAFS version: `v5`, `v6`, `rafsv5` or `rafsv6`.
    pub fs_version: String,
}

redacted_debug!(NydusExtraOptions {
    source,
    config: Secret(config),
    snapshot_dir,
    fs_version,
});

impl NydusExtraOptions {
    /// Reads the options of a mount, of which exactly one must start with `extraoption=`; the rest
    /// of that option is base64 of a JSON object.
    ///
    /// # Errors
    /// When there is no such option or several, or its value is malformed.
    ///
    /// ```
    /// use kata_types::mount::{Mount, NydusExtraOptions};
    /// let mount = Mount {
    ///     // {"source":"/b","config":"{}","snapshotdir":"/s","fs_version":"v6"}
    ///     options: vec!["extraoption=eyJzb3VyY2UiOiIvYiIsImNvbmZpZyI6Int9Iiwic25hcHNob3RkaXIiOiIvcyIsImZzX3ZlcnNpb24iOiJ2NiJ9".to_string()],
    ///     ..Default::default()
    /// };
    /// let options = NydusExtraOptions::new(&mount)?;
    /// assert_eq!(options.snapshot_dir, "/s");
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn new(mount: &Mount) -> Result<Self> {
        let mut values = mount
            .options
            .iter()
            .filter_map(|option| option.strip_prefix(EXTRA_OPTION));
        let (Some(value), None) = (values.next(), values.next()) else {
            bail!(
                "get_nydus_extra_options: Invalid nydus options: {:?}",
                Excerpts(&mount.options)
            );
        };
        let json =
            encoding::decode_standard(value).context("decode the nydus's base64 extraoption")?;
        terse::from_json(&json).context("deserialize nydus's extraoption")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(options: &[String]) -> Mount {
        Mount {
            options: options.to_vec(),
            ..Default::default()
        }
    }

    fn option(json: &str) -> String {
        format!(
            "{EXTRA_OPTION}{}",
            encoding::encode_standard(json.as_bytes())
        )
    }

    const JSON: &str = r#"{"source":"/b","config":"c","snapshotdir":"/s","fs_version":"v5"}"#;

    #[test]
    fn the_one_extra_option_is_read() {
        for value in [
            option(JSON),
            option(JSON).trim_end_matches('=').to_string(), // lenient padding, I-2
        ] {
            let mount = mount(&["ro".to_string(), value]);
            let options = NydusExtraOptions::new(&mount).unwrap();
            assert_eq!(options.source, "/b");
            assert_eq!(options.config, "c");
            assert_eq!(options.snapshot_dir, "/s");
            assert_eq!(options.fs_version, "v5");
        }
    }

    #[test]
    fn none_or_several_extra_options_are_an_error() {
        for options in [vec!["ro".to_string()], vec![option(JSON), option(JSON)]] {
            let error = NydusExtraOptions::new(&mount(&options)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("get_nydus_extra_options: Invalid nydus options: {options:?}")
            );
        }
    }

    #[test]
    fn prefix_is_stripped_once() {
        let doubled = format!("{EXTRA_OPTION}{}", option(JSON));
        let error = NydusExtraOptions::new(&mount(&[doubled])).unwrap_err();
        assert_eq!(error.to_string(), "decode the nydus's base64 extraoption");
    }

    #[test]
    fn malformed_values_say_which_step_failed() {
        let error = NydusExtraOptions::new(&mount(&["extraoption=!".to_string()])).unwrap_err();
        assert_eq!(error.to_string(), "decode the nydus's base64 extraoption");
        for json in [
            "",
            "{}",
            r#"{"source":"/b","config":"c","snapshot_dir":"/s","fs_version":"v5"}"#,
        ] {
            let error = NydusExtraOptions::new(&mount(&[option(json)])).unwrap_err();
            assert_eq!(
                error.to_string(),
                "deserialize nydus's extraoption",
                "{json}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_option_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = NydusExtraOptions::new(&mount(&[format!("extraoption={text}")]));
            let encoded = encoding::encode_standard(&bytes);
            let _ = NydusExtraOptions::new(&mount(&[format!("extraoption={encoded}")]));
        }
    }
}
