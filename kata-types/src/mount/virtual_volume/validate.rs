//! What each kind of virtual volume needs.

use anyhow::{Result, bail, ensure};

use super::super::{
    KATA_VIRTUAL_VOLUME_DIRECT_BLOCK, KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL,
    KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_BLOCK, KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS,
    KATA_VIRTUAL_VOLUME_IMAGE_RAW_BLOCK, KATA_VIRTUAL_VOLUME_LAYER_NYDUS_BLOCK,
    KATA_VIRTUAL_VOLUME_LAYER_NYDUS_FS, KATA_VIRTUAL_VOLUME_LAYER_RAW_BLOCK,
};
use super::KataVirtualVolume;

/// RAFS, the file system of nydus, version 5.
pub(super) const RAFS_V5: &str = "rafsv5";
/// RAFS version 6, which is EROFS on disk and so can be a block device.
pub(super) const RAFS_V6: &str = "rafsv6";

/// See [`KataVirtualVolume::validate`].
pub(super) fn check(volume: &KataVirtualVolume) -> Result<()> {
    match volume.volume_type.as_str() {
        KATA_VIRTUAL_VOLUME_DIRECT_BLOCK => {
            require(
                &volume.source,
                "source device for directly assigned block volume",
            )?;
            require(
                &volume.fs_type,
                "filesystem for directly assigned block volume",
            )
        }
        KATA_VIRTUAL_VOLUME_IMAGE_RAW_BLOCK | KATA_VIRTUAL_VOLUME_LAYER_RAW_BLOCK => {
            require(&volume.source, "source device for raw block volume")?;
            require(&volume.fs_type, "filesystem for raw block volume")
        }
        KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_BLOCK | KATA_VIRTUAL_VOLUME_LAYER_NYDUS_BLOCK => {
            check_nydus(volume, "nydus block volume", &[RAFS_V6])
        }
        KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS | KATA_VIRTUAL_VOLUME_LAYER_NYDUS_FS => {
            check_nydus(volume, "nydus fs volume", &[RAFS_V5, RAFS_V6])
        }
        KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL => {
            require(&volume.source, "image reference for guest pulling volume")
        }
        _ => Ok(()),
    }
}

fn require(field: &str, what: &str) -> Result<()> {
    ensure!(!field.is_empty(), "missing {what}");
    Ok(())
}

fn check_nydus(volume: &KataVirtualVolume, kind: &str, fs_types: &[&str]) -> Result<()> {
    ensure!(!volume.source.is_empty(), "missing meta blob for {kind}");
    ensure!(
        fs_types.contains(&volume.fs_type.as_str()),
        "invalid filesystem for {kind}"
    );
    let Some(image) = &volume.nydus_image else {
        bail!("missing nydus configuration info for {kind}");
    };
    ensure!(
        !image.config.is_empty(),
        "missing configuration info for {kind}"
    );
    ensure!(
        !image.snapshot_dir.is_empty(),
        "missing snapshot directory for {kind}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::NydusImageVolume;
    use super::*;

    fn volume(
        kind: &str,
        source: &str,
        fs_type: &str,
        image: Option<(&str, &str)>,
    ) -> KataVirtualVolume {
        KataVirtualVolume {
            volume_type: kind.to_string(),
            source: source.to_string(),
            fs_type: fs_type.to_string(),
            nydus_image: image.map(|(config, snapshot_dir)| NydusImageVolume {
                config: config.to_string(),
                snapshot_dir: snapshot_dir.to_string(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn validation_reports_the_first_failing_check() {
        let full = Some(("c", "s"));
        type Row<'a> = (
            &'a [&'a str],
            &'a str,
            &'a str,
            Option<(&'a str, &'a str)>,
            &'a str,
        );
        let rows: &[Row<'_>] = &[
            (
                &["direct_block"],
                "",
                "",
                None,
                "missing source device for directly assigned block volume",
            ),
            (
                &["direct_block"],
                "s",
                "",
                None,
                "missing filesystem for directly assigned block volume",
            ),
            (&["direct_block"], "s", "f", None, ""),
            (
                &["image_raw_block", "layer_raw_block"],
                "",
                "",
                None,
                "missing source device for raw block volume",
            ),
            (
                &["image_raw_block", "layer_raw_block"],
                "s",
                "",
                None,
                "missing filesystem for raw block volume",
            ),
            (&["image_raw_block", "layer_raw_block"], "s", "f", None, ""),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "",
                "",
                None,
                "missing meta blob for nydus block volume",
            ),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "s",
                "rafsv5",
                full,
                "invalid filesystem for nydus block volume",
            ),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "s",
                "rafsv6",
                None,
                "missing nydus configuration info for nydus block volume",
            ),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "s",
                "rafsv6",
                Some(("", "")),
                "missing configuration info for nydus block volume",
            ),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "s",
                "rafsv6",
                Some(("c", "")),
                "missing snapshot directory for nydus block volume",
            ),
            (
                &["image_nydus_block", "layer_nydus_block"],
                "s",
                "rafsv6",
                full,
                "",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "",
                "",
                None,
                "missing meta blob for nydus fs volume",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "s",
                "ext4",
                full,
                "invalid filesystem for nydus fs volume",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "s",
                "rafsv5",
                None,
                "missing nydus configuration info for nydus fs volume",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "s",
                "rafsv6",
                Some(("", "s")),
                "missing configuration info for nydus fs volume",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "s",
                "rafsv6",
                Some(("c", "")),
                "missing snapshot directory for nydus fs volume",
            ),
            (
                &["image_nydus_fs", "layer_nydus_fs"],
                "s",
                "rafsv5",
                full,
                "",
            ),
            (
                &["image_guest_pull"],
                "",
                "",
                None,
                "missing image reference for guest pulling volume",
            ),
            (&["image_guest_pull"], "s", "", None, ""),
            (&["", "anything"], "", "", None, ""),
        ];
        for (kinds, source, fs_type, image, expected) in rows {
            for kind in *kinds {
                let volume = volume(kind, source, fs_type, *image);
                let text = volume
                    .validate()
                    .map_or_else(|error| error.to_string(), |()| String::new());
                assert_eq!(text, *expected, "{kind}");
                // Both validating readers refuse it, the plain one does not (M-6).
                let json = volume.to_json().unwrap();
                let base64 = volume.to_base64().unwrap();
                assert_eq!(
                    KataVirtualVolume::from_json(&json).is_ok(),
                    expected.is_empty()
                );
                assert_eq!(
                    KataVirtualVolume::from_base64_and_validate(&base64).is_ok(),
                    expected.is_empty()
                );
                assert_eq!(KataVirtualVolume::from_base64(&base64).unwrap(), volume);
            }
        }
    }
}
