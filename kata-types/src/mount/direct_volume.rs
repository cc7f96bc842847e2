//! Direct volumes: directories below a root, named after the volume path, whose `mountInfo.json`
//! says how the volume is to be mounted in the guest.
//!
//! A directory is named with the padded URL-safe base64 of the volume path; the Go runtime, CSI
//! drivers and `kata-ctl` share this layout. Beside `mountInfo.json` it may hold files named after
//! sandboxes, so temporary files are made in the root, under names that are no such base64.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use slog::error;

use super::{DirectVolumeMountInfo, KATA_MOUNT_INFO_FILE_NAME, kata_direct_volume_root_path};
use crate::atomic_file::TemporaryFile;
use crate::bounded_items::MAX_ENTRIES;
use crate::{encoding, terse};

/// `NAME_MAX` of every Linux file system; see limits.h(0p).
const MAX_NAME_LENGTH: usize = 255;

/// The most bytes of a `mountInfo.json` that are read, and so written.
const MAX_MOUNT_INFO_SIZE: u64 = 1 << 20;

/// The directory of a volume below `prefix`, which must exist.
///
/// The volume path is encoded to a single name, so it cannot leave the prefix.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// When the volume path is empty or so long that its encoding exceeds 255 bytes, and when the prefix
/// cannot be resolved.
///
/// ```
/// # let prefix = std::env::temp_dir().canonicalize()?;
/// # let prefix = prefix.to_str().unwrap();
/// let path = kata_types::mount::join_path(prefix, "../../etc/passwd")?;
/// assert_eq!(path.to_str().unwrap(), format!("{prefix}/Li4vLi4vZXRjL3Bhc3N3ZA=="));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn join_path(prefix: &str, volume_path: &str) -> Result<PathBuf> {
    let name = directory_name(volume_path)?;
    volume_directory(Path::new(prefix), &name)
}

/// Reads how a volume is to be mounted.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// When the root, the directory or the file is missing, unreadable or malformed.
///
/// ```no_run
/// let info = kata_types::mount::get_volume_mount_info("/var/lib/kubelet/pods/1/volumes/v")?;
/// assert_eq!(info.fs_type, "ext4");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn get_volume_mount_info(volume_path: &str) -> Result<DirectVolumeMountInfo> {
    get_volume_mount_info_in(Path::new(&kata_direct_volume_root_path()), volume_path)
}

/// [`get_volume_mount_info`] with another root directory.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// See [`get_volume_mount_info`].
pub fn get_volume_mount_info_in(root: &Path, volume_path: &str) -> Result<DirectVolumeMountInfo> {
    let name = directory_name(volume_path)?;
    let path = volume_directory(root, &name)?.join(KATA_MOUNT_INFO_FILE_NAME);
    let json = read_mount_info(&path).with_context(|| format!("read {}", path.display()))?;
    terse::from_json(&json).with_context(|| format!("parse {}", path.display()))
}

/// Records how a volume is to be mounted, replacing an earlier record.
///
/// Readers, also after a crash at any point, find the earlier record or the new one, whole.
/// Directories that are created get mode 0700 and the file 0600; a missing root is created as well.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// When the volume path is empty or too long, the record has more than 1 MiB or more than 65536 options
/// or entries of metadata, or a file operation fails; the message names the path.
///
/// ```no_run
/// use kata_types::mount::{DirectVolumeMountInfo, add_volume_mount_info};
/// let info = DirectVolumeMountInfo {
///     volume_type: "block".to_string(),
///     device: "/dev/sdb".to_string(),
///     fs_type: "ext4".to_string(),
///     ..Default::default()
/// };
/// add_volume_mount_info("/var/lib/kubelet/pods/1/volumes/v", &info)?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn add_volume_mount_info(volume_path: &str, mount_info: &DirectVolumeMountInfo) -> Result<()> {
    add_volume_mount_info_in(
        Path::new(&kata_direct_volume_root_path()),
        volume_path,
        mount_info,
    )
}

/// [`add_volume_mount_info`] with another root directory.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// See [`add_volume_mount_info`].
///
/// ```
/// use kata_types::mount::*;
/// # let dir = tempfile::tempdir()?;
/// # let root = dir.path();
/// let info = DirectVolumeMountInfo::default();
/// add_volume_mount_info_in(root, "/volumes/v", &info)?;
/// assert!(is_volume_mounted_in(root, "/volumes/v"));
/// assert_eq!(get_volume_mount_info_in(root, "/volumes/v")?, info);
/// remove_volume_path_in(root, "/volumes/v")?;
/// assert!(!is_volume_mounted_in(root, "/volumes/v"));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn add_volume_mount_info_in(
    root: &Path,
    volume_path: &str,
    mount_info: &DirectVolumeMountInfo,
) -> Result<()> {
    let name = directory_name(volume_path)?;
    for (list, length) in [
        ("options", mount_info.options.len()),
        ("metadata", mount_info.metadata.len()),
    ] {
        if length > MAX_ENTRIES {
            bail!(
                "mount record of {volume_path} has {length} items in `{list}`, at most {MAX_ENTRIES} \
                 are possible"
            );
        }
    }
    let json = serde_json::to_vec(mount_info).context("serialize mount info")?;
    if json.len() as u64 > MAX_MOUNT_INFO_SIZE {
        bail!(
            "mount record of {volume_path} has {} bytes, at most {MAX_MOUNT_INFO_SIZE} are possible",
            json.len()
        );
    }
    create_private_directory(root)?;
    let directory = volume_directory(root, &name)?;
    create_private_directory(&directory)?;
    let target = directory.join(KATA_MOUNT_INFO_FILE_NAME);
    write_and_rename(root, &target, &json)
        .with_context(|| format!("write {}", target.display()))?;
    // The new name must survive a crash, and so must the directory that holds it.
    sync_directory(&directory)?;
    sync_directory(root)
}

/// Whether a volume has a mount record.
///
/// `false` when the volume path is empty or the root, the directory or the file does not exist.
/// `true` when the file exists, also if it is malformed or cannot be examined for lack of
/// permission; an error is logged then. (A caller that took such a volume for unused would
/// overwrite a disk in use.)
///
/// Needs the feature `safe-path`.
///
/// ```no_run
/// use kata_types::mount::is_volume_mounted;
/// assert!(!is_volume_mounted("/var/lib/kubelet/pods/1/volumes/none"));
/// ```
pub fn is_volume_mounted(volume_path: &str) -> bool {
    is_volume_mounted_in(Path::new(&kata_direct_volume_root_path()), volume_path)
}

/// [`is_volume_mounted`] with another root directory.
///
/// Needs the feature `safe-path`.
pub fn is_volume_mounted_in(root: &Path, volume_path: &str) -> bool {
    // No file can have the name of an empty or overlong path.
    let Ok(name) = directory_name(volume_path) else {
        return false;
    };
    let result = safe_path::scoped_join(root, name)
        .and_then(|directory| read_mount_info(&directory.join(KATA_MOUNT_INFO_FILE_NAME)))
        .map(|json| terse::from_json::<DirectVolumeMountInfo>(&json));
    match result {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            error!(sl!(), "mount record of a direct volume is malformed";
                "volume" => volume_path, "error" => %error);
            true
        }
        Err(error) if is_absent(&error) => false,
        Err(error) => {
            error!(sl!(), "mount record of a direct volume cannot be read";
                "volume" => volume_path, "error" => %error);
            true
        }
    }
}

/// Removes the mount record of a volume and all else in its directory. Success when there is none.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// `InvalidInput` when the volume path is empty; otherwise what the removal failed with.
///
/// ```no_run
/// kata_types::mount::remove_volume_path("/var/lib/kubelet/pods/1/volumes/v")?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn remove_volume_path(volume_path: &str) -> Result<()> {
    remove_volume_path_in(Path::new(&kata_direct_volume_root_path()), volume_path)
}

/// [`remove_volume_path`] with another root directory.
///
/// Needs the feature `safe-path`.
///
/// # Errors
/// See [`remove_volume_path`].
pub fn remove_volume_path_in(root: &Path, volume_path: &str) -> Result<()> {
    if volume_path.is_empty() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "volume path is empty").into());
    }
    // The name is a single component. If it is a link, the link goes, and nothing it points to.
    let directory = root.join(directory_name(volume_path)?);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::new(error).context(format!("remove {}", directory.display())))
        }
        _ => Ok(()),
    }
}

fn directory_name(volume_path: &str) -> Result<String> {
    if volume_path.is_empty() {
        return Err(anyhow!(ErrorKind::NotFound));
    }
    let name = encoding::encode_url_safe(volume_path.as_bytes());
    if name.len() > MAX_NAME_LENGTH {
        bail!(
            "volume path is too long: its encoding has {} bytes, at most {MAX_NAME_LENGTH} are possible",
            name.len()
        );
    }
    Ok(name)
}

fn volume_directory(root: &Path, name: &str) -> Result<PathBuf> {
    safe_path::scoped_join(root, name)
        .with_context(|| format!("resolve {name} below {}", root.display()))
}

/// Reads a regular file of bounded size. A FIFO or device is refused without blocking on it.
fn read_mount_info(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut json = Vec::new();
    let length = file
        .take(MAX_MOUNT_INFO_SIZE.saturating_add(1))
        .read_to_end(&mut json)?;
    if length as u64 > MAX_MOUNT_INFO_SIZE {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            format!("larger than {MAX_MOUNT_INFO_SIZE} bytes"),
        ));
    }
    Ok(json)
}

fn create_private_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("create {}", path.display()))
}

fn write_and_rename(temporary_directory: &Path, target: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary =
        TemporaryFile::create_in(temporary_directory, KATA_MOUNT_INFO_FILE_NAME, 0o600)?;
    temporary.file.write_all(content)?;
    temporary.file.sync_all()?;
    temporary.rename_to(target)
}

fn sync_directory(path: &Path) -> Result<()> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // Some file systems have nothing to sync for a directory: fsync(2), EINVAL.
        Err(error) if error.kind() != ErrorKind::InvalidInput => {
            Err(Error::new(error).context(format!("sync {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Whether the error says that some part of the path does not exist.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
