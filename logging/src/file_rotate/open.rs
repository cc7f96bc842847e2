//! Which paths are accepted, and how they are opened (3.6.1, D21, D22).

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{self, Path, PathBuf};

use crate::sys;

/// Less the umask, as always.
const MODE: u32 = 0o640;

/// The absolute form of a path at which a log file may be.
pub(super) fn checked(path: &Path) -> io::Result<PathBuf> {
    let absolute = absolute(path)?;
    if is_symlink_of_others(&absolute)? {
        return Err(symlink(path));
    }
    match fs::metadata(&absolute) {
        Ok(found) if found.is_dir() => {
            return Err(invalid(path, "is not a file: it is a directory"));
        }
        Ok(found) if !found.is_file() => return Err(not_a_file(path)),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if let Some(parent) = absolute.parent()
        && !fs::metadata(parent)?.is_dir()
    {
        let parent = parent.display();
        return Err(io::Error::other(format!("'{parent}' is not a directory")));
    }
    Ok(absolute)
}

/// Opens a regular file for appending, or creates it.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    options.custom_flags(flags(path)?);
    let file = options
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => symlink(path),
            Some(libc::ENXIO) => not_a_file(path), // a FIFO or socket
            _ => error,
        })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_a_file(path));
    }
    sys::set_blocking(file.as_fd())?;
    Ok((file, metadata))
}

/// How to open what may be something else than we expect. Non-blocking: a FIFO would keep us waiting
/// for a reader.
///
/// # Errors
///
/// It cannot be told whether a link there may be followed.
pub(super) fn flags(path: &Path) -> io::Result<libc::c_int> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    Ok(match others_can_write_beside(path)? {
        true => flags | libc::O_NOFOLLOW,
        false => flags,
    })
}

fn absolute(path: &Path) -> io::Result<PathBuf> {
    let last = path
        .as_os_str()
        .as_bytes()
        .rsplit(|byte| *byte == b'/')
        .next();
    if matches!(last, None | Some(b"" | b"." | b"..")) {
        return Err(invalid(path, "has no file name"));
    }
    path::absolute(path)
}

fn is_symlink_of_others(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(found.is_symlink() && others_can_write_beside(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether group or others can put something into the directory of `path`.
fn others_can_write_beside(path: &Path) -> io::Result<bool> {
    let Some(directory) = path.parent() else {
        return Ok(false);
    };
    Ok(fs::metadata(directory)?.mode() & 0o022 != 0)
}

fn not_a_file(path: &Path) -> io::Error {
    io::Error::other(format!("path '{}' is not a file", path.display()))
}

fn invalid(path: &Path, why: &str) -> io::Error {
    let path = path.display();
    io::Error::new(io::ErrorKind::InvalidInput, format!("path '{path}' {why}"))
}

fn symlink(path: &Path) -> io::Error {
    let path = path.display();
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("path '{path}' is a symlink, and others can write to its directory"),
    )
}
