//! Virtual volumes from other descriptions.

use anyhow::{Error, Result, bail, ensure};

use super::super::{
    DirectVolumeMountInfo, KATA_VIRTUAL_VOLUME_DIRECT_BLOCK, KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL,
    KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS, KATA_VIRTUAL_VOLUME_PREFIX, Mount, NydusExtraOptions,
};
use super::validate::{RAFS_V5, RAFS_V6};
use super::{DirectAssignedVolume, KataVirtualVolume, NydusImageVolume};
use crate::excerpt::Excerpt;

impl TryFrom<&DirectVolumeMountInfo> for KataVirtualVolume {
    type Error = Error;

    /// Converts a direct volume whose type is exactly `block`. Other types that CSI drivers write, such
    /// as `blk` or `vfiovol`, are handled by the runtime and have no virtual volume.
    fn try_from(value: &DirectVolumeMountInfo) -> std::result::Result<Self, Self::Error> {
        ensure!(
            value.volume_type == "block",
            "unknown directly assigned volume type: {}",
            Excerpt(&value.volume_type)
        );
        Ok(Self {
            volume_type: KATA_VIRTUAL_VOLUME_DIRECT_BLOCK.to_string(),
            source: value.device.clone(),
            fs_type: value.fs_type.clone(),
            options: value.options.clone(),
            direct_volume: Some(DirectAssignedVolume {
                metadata: value.metadata.clone(),
            }),
            ..Default::default()
        })
    }
}

impl TryFrom<&NydusExtraOptions> for KataVirtualVolume {
    type Error = Error;

    /// Converts to a volume of kind `image_nydus_fs`.
    fn try_from(value: &NydusExtraOptions) -> std::result::Result<Self, Self::Error> {
        let fs_type = match value.fs_version.as_str() {
            "v6" | RAFS_V6 => RAFS_V6,
            "v5" | RAFS_V5 => RAFS_V5,
            version => bail!("unknown RAFS version: {}", Excerpt(version)),
        };
        Ok(Self {
            volume_type: KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS.to_string(),
            source: value.source.clone(),
            fs_type: fs_type.to_string(),
            nydus_image: Some(NydusImageVolume {
                config: value.config.clone(),
                snapshot_dir: value.snapshot_dir.clone(),
            }),
            ..Default::default()
        })
    }
}

/// The root file system mounts of a container whose image the guest pulls: one mount, which only
/// has the option that says so.
///
/// # Errors
/// None at present.
///
/// ```
/// let mounts = kata_types::mount::adjust_rootfs_mounts()?;
/// assert_eq!(
///     mounts[0].options,
///     ["io.katacontainers.volume=eyJ2b2x1bWVfdHlwZSI6ImltYWdlX2d1ZXN0X3B1bGwifQ=="]
/// );
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn adjust_rootfs_mounts() -> Result<Vec<Mount>> {
    let volume = KataVirtualVolume::new(KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL.to_string());
    Ok(vec![Mount {
        options: vec![format!(
            "{KATA_VIRTUAL_VOLUME_PREFIX}{}",
            volume.to_base64()?
        )],
        ..Default::default()
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_volumes_convert_from_block_only() {
        let mut info = DirectVolumeMountInfo {
            volume_type: "block".to_string(),
            device: "/dev/sda".to_string(),
            fs_type: "ext4".to_string(),
            metadata: [("k".to_string(), "v".to_string())].into(),
            options: vec!["ro".to_string()],
        };
        let volume = KataVirtualVolume::try_from(&info).unwrap();
        assert_eq!(volume.volume_type, "direct_block");
        assert_eq!(volume.source, "/dev/sda");
        assert_eq!(volume.fs_type, "ext4");
        assert_eq!(volume.options, ["ro"]);
        assert_eq!(volume.direct_volume.unwrap().metadata, info.metadata);
        info.volume_type = "blk".to_string();
        assert_eq!(
            KataVirtualVolume::try_from(&info).unwrap_err().to_string(),
            "unknown directly assigned volume type: blk"
        );
    }

    #[test]
    fn nydus_options_convert_by_rafs_version() {
        for (version, fs_type) in [
            ("v5", "rafsv5"),
            ("rafsv5", "rafsv5"),
            ("v6", "rafsv6"),
            ("rafsv6", "rafsv6"),
        ] {
            let options = NydusExtraOptions {
                source: "s".to_string(),
                config: "c".to_string(),
                snapshot_dir: "d".to_string(),
                fs_version: version.to_string(),
            };
            let converted = KataVirtualVolume::try_from(&options).unwrap();
            let expected = KataVirtualVolume {
                volume_type: "image_nydus_fs".to_string(),
                source: "s".to_string(),
                fs_type: fs_type.to_string(),
                nydus_image: Some(NydusImageVolume {
                    config: "c".to_string(),
                    snapshot_dir: "d".to_string(),
                }),
                ..Default::default()
            };
            assert_eq!(converted, expected);
            converted.validate().unwrap();
        }
        let options = NydusExtraOptions {
            source: String::new(),
            config: String::new(),
            snapshot_dir: String::new(),
            fs_version: "v7".to_string(),
        };
        assert_eq!(
            KataVirtualVolume::try_from(&options)
                .unwrap_err()
                .to_string(),
            "unknown RAFS version: v7"
        );
    }

    #[test]
    fn guest_pull_mount_has_only_its_option() {
        let mounts = adjust_rootfs_mounts().unwrap();
        assert_eq!(mounts.len(), 1);
        let mount = &mounts[0];
        assert_eq!((mount.source.as_str(), mount.fs_type.as_str()), ("", ""));
        assert_eq!(mount.destination, std::path::PathBuf::new());
        assert!(!mount.read_only && mount.device_id.is_none());
        let value = mount.options[0]
            .strip_prefix(KATA_VIRTUAL_VOLUME_PREFIX)
            .unwrap();
        assert_eq!(
            KataVirtualVolume::from_base64(value).unwrap(),
            KataVirtualVolume::new("image_guest_pull".to_string())
        );
    }
}
