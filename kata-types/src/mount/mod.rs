//! Mounts, volumes and storage devices, as the runtime, the agent and
//! [CSI](https://github.com/container-storage-interface/spec/blob/master/spec.md) drivers describe
//! them.
//!
//! A [`Mount`] holds the arguments of
//! [`mount(2)`](https://man7.org/linux/man-pages/man2/mount.2.html); it comes from a mount of the
//! OCI spec ([*Mounts*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts)) or
//! from a container's root file system. What only the guest can mount is a [`StorageDevice`] or a
//! [`KataVirtualVolume`].
//!
//! The functions on direct volumes need the feature `safe-path`.

#[cfg(feature = "safe-path")]
mod direct_volume;
mod nydus;
mod virtual_volume;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bounded_items;
use crate::config::redact::{Options, Secrets, redacted_debug};
use crate::config::sorted_map;
use crate::handler::HandlerManager;

#[cfg(feature = "safe-path")]
pub use direct_volume::{
    add_volume_mount_info, add_volume_mount_info_in, get_volume_mount_info,
    get_volume_mount_info_in, is_volume_mounted, is_volume_mounted_in, join_path,
    remove_volume_path, remove_volume_path_in,
};
pub use nydus::NydusExtraOptions;
pub use virtual_volume::{
    DirectAssignedVolume, DmVerityInfo, ImagePullVolume, KataVirtualVolume, NydusImageVolume,
    adjust_rootfs_mounts,
};

/// Prefix of mount types that only Kata understands.
pub const KATA_VOLUME_TYPE_PREFIX: &str = "kata:";
/// Prefix of mount types whose source lies in the guest.
pub const KATA_GUEST_MOUNT_PREFIX: &str = "kata:guest-mount:";
/// Tag of the file system share that the agent mounts at start.
pub const KATA_SHAREDFS_GUEST_PREMOUNT_TAG: &str = "kataShared";
/// Type of memory-backed volumes (`emptyDir` with medium `Memory`).
pub const KATA_EPHEMERAL_VOLUME_TYPE: &str = "ephemeral";
/// Type of `emptyDir` volumes that live in the guest.
pub const KATA_K8S_LOCAL_STORAGE_TYPE: &str = "local";
/// File below a direct-volume directory that holds its [`DirectVolumeMountInfo`].
pub const KATA_MOUNT_INFO_FILE_NAME: &str = "mountInfo.json";
/// Storage option with the group id that shall own a volume.
pub const KATA_MOUNT_OPTION_FS_GID: &str = "fsgid";
/// Host directory of direct volumes; see [`kata_direct_volume_root_path`].
pub const DEFAULT_KATA_DIRECT_VOLUME_ROOT_PATH: &str = "/run/kata-containers/shared/direct-volumes";
/// Storage option that lets the agent create a directory for overlayfs.
pub const KATA_VOLUME_OVERLAYFS_CREATE_DIR: &str =
    "io.katacontainers.volume.overlayfs.create_directory";
/// Directory, below the shared one, of sandbox bind mounts.
pub const SANDBOX_BIND_MOUNTS_DIR: &str = "sandbox-mounts";
/// Suffix of read-only sandbox bind mounts.
pub const SANDBOX_BIND_MOUNTS_RO: &str = ":ro";
/// Suffix of writable sandbox bind mounts.
pub const SANDBOX_BIND_MOUNTS_RW: &str = ":rw";

/// Prefix of the mount option that carries a [`KataVirtualVolume`] in base64.
pub const KATA_VIRTUAL_VOLUME_PREFIX: &str = "io.katacontainers.volume=";
/// Virtual volume: a block device with a file system, assigned directly.
pub const KATA_VIRTUAL_VOLUME_DIRECT_BLOCK: &str = "direct_block";
/// Virtual volume: a raw disk with a whole container image.
pub const KATA_VIRTUAL_VOLUME_IMAGE_RAW_BLOCK: &str = "image_raw_block";
/// Virtual volume: a raw disk with one image layer.
pub const KATA_VIRTUAL_VOLUME_LAYER_RAW_BLOCK: &str = "layer_raw_block";
/// Virtual volume: an image as a nydus block device.
pub const KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_BLOCK: &str = "image_nydus_block";
/// Virtual volume: a layer as a nydus block device.
pub const KATA_VIRTUAL_VOLUME_LAYER_NYDUS_BLOCK: &str = "layer_nydus_block";
/// Virtual volume: an image as a nydus file system.
pub const KATA_VIRTUAL_VOLUME_IMAGE_NYDUS_FS: &str = "image_nydus_fs";
/// Virtual volume: a layer as a nydus file system.
pub const KATA_VIRTUAL_VOLUME_LAYER_NYDUS_FS: &str = "layer_nydus_fs";
/// Virtual volume: an image that the guest pulls itself.
pub const KATA_VIRTUAL_VOLUME_IMAGE_GUEST_PULL: &str = "image_guest_pull";
/// Storage option that makes the guest pull an image in any case.
pub const KATA_IMAGE_FORCE_GUEST_PULL: &str = "force_guest_pull";
/// Metadata key of block volumes on which the agent shall create the file system.
pub const KATA_BLOCK_VOLUME_CREATE_FS: &str = "create_filesystem";

/// Guest directory of the sandbox; see [`kata_guest_sandbox_dir`].
pub const DEFAULT_KATA_GUEST_SANDBOX_DIR: &str = "/run/kata-containers/sandbox";
/// Name of the shared memory directory below the sandbox directory.
pub const SHM_DIR: &str = "shm";
/// Where containers expect shared memory; see shm_overview(7).
pub const SHM_DEVICE: &str = "/dev/shm";

/// A mount of a container: the runtime's view of it.
///
/// When it is deserialized, more than 65536 options are an error.
///
/// ```
/// use kata_types::mount::Mount;
/// let mount = Mount {
///     source: "/dev/vda".to_string(),
///     destination: "/data".into(),
///     fs_type: "ext4".to_string(),
///     options: vec!["ro".to_string(), "noatime".to_string()],
///     ..Default::default()
/// };
/// assert_eq!(mount.option_size(), "ro,noatime,".len());
/// ```
///
/// [`Debug`](std::fmt::Debug) shows an option `name=value` without its value.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted: a device, a directory or a name, as `fs_type` requires.
    pub source: String,
    /// Where it is mounted.
    pub destination: PathBuf,
    /// File system type.
    pub fs_type: String,
    /// Mount options.
    #[serde(deserialize_with = "bounded_items::options")]
    pub options: Vec<String>,
    /// Id of the device behind the mount.
    pub device_id: Option<String>,
    /// Where the source is visible to the guest on the shared file system.
    pub host_shared_fs_path: Option<PathBuf>,
    /// Whether the mount is read-only.
    pub read_only: bool,
}

redacted_debug!(Mount {
    source,
    destination,
    fs_type,
    options: Options(options),
    device_id,
    host_shared_fs_path,
    read_only,
});

impl Mount {
    /// The bytes that the options need, each with one separator.
    ///
    /// ```
    /// use kata_types::mount::Mount;
    ///
    /// let mount = Mount { options: vec!["ro".to_string(), "noatime".to_string()], ..Default::default() };
    /// assert_eq!(mount.option_size(), "ro,noatime,".len());
    /// ```
    pub fn option_size(&self) -> usize {
        self.options.iter().fold(0usize, |size, option| {
            size.saturating_add(option.len()).saturating_add(1)
        })
    }
}

/// How a directly assigned volume is to be mounted in the guest.
///
/// CSI drivers and `kata-ctl` write it as `mountInfo.json`; the Go runtime reads the same file. When it
/// is deserialized, more than 65536 options or entries of metadata are an error.
///
/// ```
/// use kata_types::mount::DirectVolumeMountInfo;
/// let info: DirectVolumeMountInfo =
///     serde_json::from_str(r#"{"volume-type":"block","device":"/dev/sda","fstype":"ext4"}"#)?;
/// assert_eq!(info.fs_type, "ext4");
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// [`Debug`](std::fmt::Debug) shows metadata and an option `name=value` without their values.
#[derive(Clone, Eq, PartialEq, Default, Serialize, Deserialize)]
pub struct DirectVolumeMountInfo {
    /// Kind of the volume, such as `block`.
    #[serde(rename = "volume-type")]
    pub volume_type: String,
    /// Device or other source of the volume on the host.
    pub device: String,
    /// File system on the device.
    #[serde(rename = "fstype")]
    pub fs_type: String,
    /// Further facts for the runtime and the agent.
    #[serde(
        default,
        skip_serializing_if = "HashMap::is_empty",
        serialize_with = "sorted_map::serialize",
        deserialize_with = "bounded_items::metadata"
    )]
    pub metadata: HashMap<String, String>,
    /// Mount options.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "bounded_items::options"
    )]
    pub options: Vec<String>,
}

redacted_debug!(DirectVolumeMountInfo {
    volume_type,
    device,
    fs_type,
    metadata: Secrets(metadata),
    options: Options(options),
});

/// Registry of storage handlers by driver name.
pub type StorageHandlerManager<H> = HandlerManager<H>;

/// A storage device that the agent has set up.
///
/// ```
/// use kata_types::mount::StorageDevice;
/// use std::sync::Arc;
///
/// struct Directory(String);
/// impl StorageDevice for Directory {
///     fn path(&self) -> Option<&str> {
///         Some(&self.0)
///     }
///     fn cleanup(&self) -> anyhow::Result<()> {
///         Ok(())
///     }
/// }
/// let device: Arc<dyn StorageDevice> = Arc::new(Directory("/data".to_string()));
/// assert_eq!(device.path(), Some("/data"));
/// ```
pub trait StorageDevice: Send + Sync {
    /// Where the device is mounted, if it is.
    fn path(&self) -> Option<&str>;

    /// Releases the device: unmounts and removes what was set up for it.
    ///
    /// # Errors
    /// When something could not be released.
    fn cleanup(&self) -> Result<()>;
}

/// Whether a mount type is one that only Kata understands: `kata:` and at least one more character.
///
/// ```
/// use kata_types::mount::is_kata_special_volume;
/// assert!(is_kata_special_volume("kata:guest-mount:nfs"));
/// assert!(!is_kata_special_volume("kata:"));
/// ```
pub fn is_kata_special_volume(ty: &str) -> bool {
    has_longer_prefix(ty, KATA_VOLUME_TYPE_PREFIX)
}

/// Whether the source of a mount lies in the guest: `kata:guest-mount:` and at least one more
/// character.
///
/// ```
/// use kata_types::mount::is_kata_guest_mount_volume;
/// assert!(is_kata_guest_mount_volume("kata:guest-mount:nfs"));
/// assert!(!is_kata_guest_mount_volume("kata:guest-mount:"));
/// ```
pub fn is_kata_guest_mount_volume(ty: &str) -> bool {
    has_longer_prefix(ty, KATA_GUEST_MOUNT_PREFIX)
}

/// Whether a mount type is [`KATA_EPHEMERAL_VOLUME_TYPE`].
///
/// ```
/// assert!(kata_types::mount::is_kata_ephemeral_volume("ephemeral"));
/// ```
pub fn is_kata_ephemeral_volume(ty: &str) -> bool {
    ty == KATA_EPHEMERAL_VOLUME_TYPE
}

/// Splits a sandbox bind mount into its path and its mode, [`:ro`](SANDBOX_BIND_MOUNTS_RO),
/// [`:rw`](SANDBOX_BIND_MOUNTS_RW) or nothing. One suffix is split off, no more.
///
/// ```
/// use kata_types::mount::split_bind_mounts;
/// assert_eq!(split_bind_mounts("/data:ro"), ("/data", ":ro"));
/// assert_eq!(split_bind_mounts("/data"), ("/data", ""));
/// assert_eq!(split_bind_mounts("/data:xy"), ("/data:xy", ""));
/// ```
pub fn split_bind_mounts(bindmount: &str) -> (&str, &str) {
    for mode in [SANDBOX_BIND_MOUNTS_RO, SANDBOX_BIND_MOUNTS_RW] {
        if let Some(path) = bindmount.strip_suffix(mode) {
            return (path, mode);
        }
    }
    (bindmount, "")
}

/// The host directory of direct volumes, below the rootless directory when the process is rootless.
///
/// ```
/// assert_eq!(
///     kata_types::mount::kata_direct_volume_root_path(),
///     "/run/kata-containers/shared/direct-volumes" // not rootless
/// );
/// ```
pub fn kata_direct_volume_root_path() -> String {
    crate::prefix_with_rootless_dir(DEFAULT_KATA_DIRECT_VOLUME_ROOT_PATH)
}

/// The guest directory of the sandbox. It lies in the guest, so it is never prefixed.
///
/// ```
/// assert_eq!(
///     kata_types::mount::kata_guest_sandbox_dir(),
///     "/run/kata-containers/sandbox"
/// );
/// ```
pub fn kata_guest_sandbox_dir() -> String {
    DEFAULT_KATA_GUEST_SANDBOX_DIR.to_string()
}

fn has_longer_prefix(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_size_counts_one_separator_each() {
        let mut mount = Mount::default();
        assert_eq!(mount.option_size(), 0);
        mount.options = vec!["ro".to_string(), String::new()];
        assert_eq!(mount.option_size(), 4);
    }

    #[test]
    fn volume_types_need_more_than_their_prefix() {
        for (ty, special, guest, ephemeral) in [
            ("kata:x", true, false, false),
            ("kata:guest-mount:nfs", true, true, false),
            ("kata:guest-mount:", true, false, false),
            ("kata:guest-mountx", true, false, false),
            ("kata:", false, false, false),
            ("Kata:x", false, false, false),
            ("ephemeral", false, false, true),
            ("ephemeral ", false, false, false),
            ("", false, false, false),
        ] {
            assert_eq!(is_kata_special_volume(ty), special, "{ty}");
            assert_eq!(is_kata_guest_mount_volume(ty), guest, "{ty}");
            assert_eq!(is_kata_ephemeral_volume(ty), ephemeral, "{ty}");
        }
    }

    #[test]
    fn one_mode_suffix_is_split_off() {
        for (text, parts) in [
            ("/data:ro", ("/data", ":ro")),
            ("/data:rw", ("/data", ":rw")),
            ("/data:ro:ro", ("/data:ro", ":ro")),
            ("/data:ro:rw", ("/data:ro", ":rw")),
            ("/data:rx", ("/data:rx", "")),
            ("/data", ("/data", "")),
            (":ro", ("", ":ro")),
            ("", ("", "")),
        ] {
            assert_eq!(split_bind_mounts(text), parts, "{text}");
        }
    }

    #[test]
    fn mount_info_json_is_that_of_the_go_runtime() {
        let info = DirectVolumeMountInfo {
            volume_type: "block".to_string(),
            device: "/dev/sda".to_string(),
            fs_type: "ext4".to_string(),
            metadata: ["d", "b", "a", "c"]
                .map(|key| (key.to_string(), "v".to_string()))
                .into(),
            options: vec!["ro".to_string()],
        };
        let json = serde_json::to_string(&info).unwrap();
        assert_eq!(
            json,
            r#"{"volume-type":"block","device":"/dev/sda","fstype":"ext4","metadata":{"a":"v","b":"v","c":"v","d":"v"},"options":["ro"]}"#
        );
        assert_eq!(
            serde_json::from_str::<DirectVolumeMountInfo>(&json).unwrap(),
            info
        );
        assert_eq!(
            serde_json::to_string(&DirectVolumeMountInfo::default()).unwrap(),
            r#"{"volume-type":"","device":"","fstype":""}"#
        );
        for incomplete in [
            r#"{"device":"d","fstype":"f"}"#,
            r#"{"volume-type":"v","fstype":"f"}"#,
            r#"{"volume-type":"v","device":"d"}"#,
        ] {
            assert!(serde_json::from_str::<DirectVolumeMountInfo>(incomplete).is_err());
        }
    }

    #[test]
    fn mount_json_keeps_its_field_names_and_optional_members() {
        let json = serde_json::to_string(&Mount::default()).unwrap();
        assert_eq!(
            json,
            r#"{"source":"","destination":"","fs_type":"","options":[],"device_id":null,"host_shared_fs_path":null,"read_only":false}"#
        );
        let mount: Mount = serde_json::from_str(
            r#"{"source":"s","destination":"/d","fs_type":"f","options":[],"read_only":true}"#,
        )
        .unwrap();
        assert_eq!(mount.device_id, None);
        assert!(mount.read_only);
    }
}
