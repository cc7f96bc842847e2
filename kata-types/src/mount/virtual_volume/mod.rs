//! Virtual volumes: volumes and images that the runtime describes to the agent in a mount option.

mod convert;
mod validate;

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bounded_items;
use crate::config::redact::{Options, Secret, Secrets, redacted_debug};
use crate::config::sorted_map;
use crate::{encoding, terse};

pub use convert::adjust_rootfs_mounts;

/// dm-verity parameters of a block device; see the [kernel documentation].
///
/// [kernel documentation]: https://docs.kernel.org/admin-guide/device-mapper/verity.html
#[derive(Debug, Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct DmVerityInfo {
    /// Hash algorithm, such as `sha256`.
    pub hashtype: String,
    /// Root hash, hexadecimal.
    pub hash: String,
    /// Number of data blocks.
    pub blocknum: u64,
    /// Size of a data block, in bytes.
    pub blocksize: u64,
    /// Size of a hash block, in bytes.
    pub hashsize: u64,
    /// Offset of the hash tree, in bytes.
    pub offset: u64,
}

/// Facts about a directly assigned volume.
///
/// [`Debug`](std::fmt::Debug) shows metadata without their values.
#[derive(Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectAssignedVolume {
    /// Further facts for the runtime and the agent.
    #[serde(
        default,
        skip_serializing_if = "HashMap::is_empty",
        serialize_with = "sorted_map::serialize",
        deserialize_with = "bounded_items::metadata"
    )]
    pub metadata: HashMap<String, String>,
}

redacted_debug!(DirectAssignedVolume {
    metadata: Secrets(metadata)
});

/// Facts about an image that the guest pulls.
///
/// [`Debug`](std::fmt::Debug) shows metadata without their values.
#[derive(Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct ImagePullVolume {
    /// Further facts for the agent.
    #[serde(
        default,
        skip_serializing_if = "HashMap::is_empty",
        serialize_with = "sorted_map::serialize",
        deserialize_with = "bounded_items::metadata"
    )]
    pub metadata: HashMap<String, String>,
}

redacted_debug!(ImagePullVolume {
    metadata: Secrets(metadata)
});

/// Facts about a nydus image.
///
/// [`Debug`](std::fmt::Debug) does not show `config`, which may hold registry credentials.
#[derive(Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct NydusImageVolume {
    /// Configuration of nydusd, as JSON text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// Directory of the snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot_dir: String,
}

redacted_debug!(NydusImageVolume {
    config: Secret(config),
    snapshot_dir
});

/// A volume or image, described in a mount option that starts with
/// [`KATA_VIRTUAL_VOLUME_PREFIX`](super::KATA_VIRTUAL_VOLUME_PREFIX).
///
/// When it is deserialized, more than 65536 options or entries of metadata are an error.
///
/// ```
/// use kata_types::mount::KataVirtualVolume;
///
/// let mut volume = KataVirtualVolume::new("image_guest_pull".to_string());
/// volume.source = "docker.io/library/busybox".to_string();
/// let option = format!("io.katacontainers.volume={}", volume.to_base64()?);
///
/// let value = option.strip_prefix("io.katacontainers.volume=").unwrap();
/// assert_eq!(KataVirtualVolume::from_base64_and_validate(value)?, volume);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// [`Debug`](std::fmt::Debug) shows an option `name=value` without its value.
#[derive(Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct KataVirtualVolume {
    /// Kind of the volume: one of the `KATA_VIRTUAL_VOLUME_*` constants.
    pub volume_type: String,
    /// Device, image reference or metadata blob, as the kind requires.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// File system type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fs_type: String,
    /// Mount options.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded_items::options"
    )]
    pub options: Vec<String>,
    /// For `direct_block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_volume: Option<DirectAssignedVolume>,
    /// For `image_guest_pull`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull: Option<ImagePullVolume>,
    /// For the nydus kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nydus_image: Option<NydusImageVolume>,
    /// dm-verity parameters of the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dm_verity: Option<DmVerityInfo>,
}

redacted_debug!(KataVirtualVolume {
    volume_type,
    source,
    fs_type,
    options: Options(options),
    direct_volume,
    image_pull,
    nydus_image,
    dm_verity,
});

impl KataVirtualVolume {
    /// A volume of this kind, with all else empty.
    pub fn new(volume_type: String) -> Self {
        Self {
            volume_type,
            ..Default::default()
        }
    }

    /// Checks that what the kind of volume needs is there. Unknown kinds are accepted.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    ///
    /// ```
    /// use kata_types::mount::KataVirtualVolume;
    /// let volume = KataVirtualVolume::new("image_guest_pull".to_string());
    /// assert_eq!(
    ///     volume.validate().unwrap_err().to_string(),
    ///     "missing image reference for guest pulling volume"
    /// );
    /// ```
    pub fn validate(&self) -> Result<()> {
        validate::check(self)
    }

    /// The JSON form. Empty members are left out.
    ///
    /// # Errors
    /// None at present.
    ///
    /// ```
    /// use kata_types::mount::KataVirtualVolume;
    /// let volume = KataVirtualVolume::new("direct_block".to_string());
    /// assert_eq!(volume.to_json()?, r#"{"volume_type":"direct_block"}"#);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).context("serialize virtual volume")
    }

    /// Reads the JSON form, and [validates](Self::validate) it.
    ///
    /// # Errors
    /// When the text is not such JSON, or the volume is not valid.
    ///
    /// ```
    /// use kata_types::mount::KataVirtualVolume;
    /// let json = r#"{"volume_type":"image_raw_block","source":"/dev/sdb","fs_type":"erofs"}"#;
    /// assert_eq!(KataVirtualVolume::from_json(json)?.source, "/dev/sdb");
    /// assert!(KataVirtualVolume::from_json(r#"{"volume_type":"image_raw_block"}"#).is_err());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn from_json(value: &str) -> Result<Self> {
        let volume: Self =
            terse::from_json(value.as_bytes()).context("deserialize virtual volume from JSON")?;
        volume.validate()?;
        Ok(volume)
    }

    /// The JSON form in padded standard base64, for a mount option.
    ///
    /// # Errors
    /// None at present.
    pub fn to_base64(&self) -> Result<String> {
        Ok(encoding::encode_standard(self.to_json()?.as_bytes()))
    }

    /// Reads the base64 form **without** validating it; padding may be missing.
    ///
    /// # Errors
    /// When the text is not base64 of such JSON.
    ///
    /// ```
    /// use kata_types::mount::KataVirtualVolume;
    /// // {"volume_type":"image_guest_pull"}: the source comes later.
    /// let volume = KataVirtualVolume::from_base64("eyJ2b2x1bWVfdHlwZSI6ImltYWdlX2d1ZXN0X3B1bGwifQ")?;
    /// assert_eq!(volume.volume_type, "image_guest_pull");
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn from_base64(value: &str) -> Result<Self> {
        let json = encoding::decode_standard(value).context("decode virtual volume from base64")?;
        terse::from_json(&json).context("deserialize virtual volume from JSON")
    }

    /// Reads the base64 form, and [validates](Self::validate) it.
    ///
    /// # Errors
    /// When the text is not base64 of such JSON, or the volume is not valid.
    pub fn from_base64_and_validate(value: &str) -> Result<Self> {
        let volume = Self::from_base64(value)?;
        volume.validate()?;
        Ok(volume)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_has_the_listed_members_in_order() {
        let volume = KataVirtualVolume {
            volume_type: "image_nydus_fs".to_string(),
            source: "s".to_string(),
            fs_type: "rafsv6".to_string(),
            options: vec!["o".to_string()],
            direct_volume: Some(DirectAssignedVolume::default()),
            image_pull: Some(ImagePullVolume {
                metadata: ["d", "b", "a", "c"]
                    .map(|key| (key.to_string(), "v".to_string()))
                    .into(),
            }),
            nydus_image: Some(NydusImageVolume {
                config: "c".to_string(),
                snapshot_dir: "d".to_string(),
            }),
            dm_verity: Some(DmVerityInfo {
                hashtype: "sha256".to_string(),
                ..Default::default()
            }),
        };
        let json = volume.to_json().unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"volume_type":"image_nydus_fs","source":"s","fs_type":"rafsv6","options":["o"],"#,
                r#""direct_volume":{},"image_pull":{"metadata":{"a":"v","b":"v","c":"v","d":"v"}},"#,
                r#""nydus_image":{"config":"c","snapshot_dir":"d"},"#,
                r#""dm_verity":{"hashtype":"sha256","hash":"","blocknum":0,"blocksize":0,"hashsize":0,"offset":0}}"#
            )
        );
        assert_eq!(KataVirtualVolume::from_json(&json).unwrap(), volume);
        assert!(KataVirtualVolume::from_json(r#"{"source":"s"}"#).is_err());
        assert!(serde_json::from_str::<DmVerityInfo>(r#"{"hashtype":"a"}"#).is_err());
    }

    proptest! {
        #[test]
        fn round_trip_keeps_every_field(
            kind in any::<String>(),
            source in any::<String>(),
            fs_type in any::<String>(),
            options in proptest::collection::vec(any::<String>(), 0..4),
            metadata in proptest::option::of(proptest::collection::hash_map(any::<String>(), any::<String>(), 0..4)),
            image in any::<Option<(String, String)>>(),
            verity in any::<Option<(String, u64, u64)>>(),
        ) {
            let volume = KataVirtualVolume {
                volume_type: kind,
                source,
                fs_type,
                options,
                direct_volume: metadata.clone().map(|metadata| DirectAssignedVolume { metadata }),
                image_pull: metadata.map(|metadata| ImagePullVolume { metadata }),
                nydus_image: image.map(|(config, snapshot_dir)| NydusImageVolume { config, snapshot_dir }),
                dm_verity: verity.map(|(hash, blocknum, offset)| DmVerityInfo {
                    hash, blocknum, offset, ..Default::default()
                }),
            };
            prop_assert_eq!(KataVirtualVolume::from_base64(&volume.to_base64().unwrap()).unwrap(), volume);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), bytes in any::<Vec<u8>>()) {
            let _ = KataVirtualVolume::from_json(&text);
            let _ = KataVirtualVolume::from_base64(&text);
            let _ = KataVirtualVolume::from_base64(&encoding::encode_standard(&bytes));
        }
    }
}
