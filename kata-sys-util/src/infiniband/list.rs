//! The device nodes that there are.

use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use slog::warn;

use super::{InfinibandDevice, InfinibandRoots};
use crate::pcilibs::named;
use crate::sl;

/// Bits of a file's mode that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// The InfiniBand device nodes of this machine, sorted by name: the character devices in
/// `/dev/infiniband`. Links to device nodes are none.
///
/// There are none if the directory does not exist.
///
/// # Errors
///
/// The directory cannot be read.
///
/// ```
/// for device in kata_sys_util::infiniband::list_infiniband_devices()? {
///     println!("{} {}:{}", device.name, device.major, device.minor);
/// }
/// # std::io::Result::Ok(())
/// ```
pub fn list_infiniband_devices() -> io::Result<Vec<InfinibandDevice>> {
    list_infiniband_devices_in(&InfinibandRoots::default())
}

/// As [`list_infiniband_devices`], in other directories.
///
/// # Errors
///
/// As [`list_infiniband_devices`].
///
/// ```
/// use kata_sys_util::infiniband::{InfinibandRoots, list_infiniband_devices_in};
/// # let dir = tempfile::tempdir()?;
///
/// let roots = InfinibandRoots::under(dir.path());
/// assert!(list_infiniband_devices_in(&roots)?.is_empty());
/// # std::io::Result::Ok(())
/// ```
pub fn list_infiniband_devices_in(roots: &InfinibandRoots) -> io::Result<Vec<InfinibandDevice>> {
    Ok(list(roots)?.unwrap_or_default())
}

/// `None` if the directory does not exist (I2).
pub(super) fn list(roots: &InfinibandRoots) -> io::Result<Option<Vec<InfinibandDevice>>> {
    let in_dir = |error| named(&roots.dev_dir, &error);
    let entries = match fs::read_dir(&roots.dev_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(in_dir(error)),
    };
    let mut devices = Vec::new();
    for entry in entries {
        let entry = entry.map_err(in_dir)?;
        // Does not follow a link (D-17).
        match entry.metadata() {
            Ok(metadata) if metadata.file_type().is_char_device() => {
                devices.push(device(roots, &entry, &metadata));
            }
            Ok(_) => {}
            Err(error) => {
                let path = entry.path();
                warn!(sl!(), "InfiniBand device is left out: {error}"; "path" => path.display());
            }
        }
    }
    devices.sort_unstable_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(Some(devices))
}

/// Major and minor number of a device node.
pub(super) fn numbers(metadata: &Metadata) -> (i64, i64) {
    let device = metadata.rdev();
    (libc::major(device).into(), libc::minor(device).into())
}

fn device(roots: &InfinibandRoots, entry: &DirEntry, metadata: &Metadata) -> InfinibandDevice {
    let name = entry.file_name();
    let (major, minor) = numbers(metadata);
    InfinibandDevice {
        name: name.to_string_lossy().into_owned(),
        path: roots.container_dir.join(&name),
        major,
        minor,
        mode: metadata.mode() & PERMISSIONS,
        uid: metadata.uid(),
        gid: metadata.gid(),
    }
}
