//! Copies that share their data with the original
//! ([`ioctl_ficlone(2)`](https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html)).

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use slog::warn;

use super::copy::{copy_data, is_final};
use crate::mount::sys::{self, CWD, Follow};
use crate::mount::{fd_path, pin};
use crate::open::open;

/// How many names of temporary files may be taken.
const ATTEMPTS: usize = 64;

/// Copies the regular file `src`, links followed, to `dst`, sharing the data on disk where the file
/// system can (btrfs, XFS, bcachefs, NFS, …), else copying them with all holes kept.
///
/// An existing `dst` is replaced in one step: whoever opens it finds the old file or the whole
/// copy, and after an error `dst` is what it was. A link at `dst` is replaced, not followed. Missing
/// parent directories are created. Whoever has a lease on `src` is given the time to give it up
/// (`/proc/sys/fs/lease-break-time`). If `src` and `dst` are the same file, nothing happens.
///
/// Only data are copied. The copy is a new file with mode `0o666` less the umask, owned by the
/// caller. Files that do not know their size, as those of procfs, are copied as they are read.
///
/// # Errors
///
/// Of kind [`Other`](io::ErrorKind::Other): `src` or an existing `dst` is no regular file, the
/// parent of `dst` is no directory or cannot be created, it cannot be told what `dst` is, or the data
/// cannot be copied.
///
/// ```
/// use kata_sys_util::fs::reflink_copy;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// std::fs::write(dir.join("image"), "disk")?;
/// reflink_copy(dir.join("image"), dir.join("clones/1/image"))?;
/// assert_eq!(std::fs::read(dir.join("clones/1/image"))?, b"disk");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn reflink_copy<S: AsRef<Path>, D: AsRef<Path>>(src: S, dst: D) -> io::Result<()> {
    let (src, dst) = (src.as_ref(), dst.as_ref());
    let copy_failed = |e: io::Error| {
        other(format_args!(
            "reflink_copy: copy {} to {} failed: {e:?}",
            src.display(),
            dst.display()
        ))
    };
    let no_file = || {
        other(format_args!(
            "reflink_copy src {} is not a regular file",
            src.display()
        ))
    };

    let source = open_regular(src).map_err(copy_failed)?;
    let source = source.ok_or_else(no_file)?;
    let source_status = source.metadata().map_err(copy_failed)?;

    // F1, F6: identity is that of `dst` itself; type is that of what it leads to.
    match fs::symlink_metadata(dst) {
        Ok(found) => {
            if (found.dev(), found.ino()) == (source_status.dev(), source_status.ino()) {
                return Ok(());
            }
            if leads_to_no_file(dst, &found).map_err(copy_failed)? {
                return Err(no_regular_target(dst));
            }
        }
        Err(error) if is_absent(&error) => create_parent(dst)?,
        Err(error) => return Err(copy_failed(error)),
    }

    let (parent, name) = open_parent(dst, copy_failed)?;
    let temporary = TemporaryFile::create(&parent).map_err(copy_failed)?;
    match sys::clone_file(&source, &temporary.file) {
        Ok(()) => {}
        Err(errno) if is_final(errno) => return Err(copy_failed(errno.into())),
        Err(errno) => {
            warn!(crate::sl!(), "reflink_copy: data are copied, as they cannot be shared";
                "source" => src.display(), "target" => dst.display(), "reason" => %errno);
            copy_data(&source, &temporary.file).map_err(|e| {
                other(format_args!(
                    "reflink_copy: regular copy {} to {} failed: {e:?}",
                    src.display(),
                    dst.display()
                ))
            })?;
        }
    }
    temporary
        .rename_to(name)
        .map_err(|errno| copy_failed(errno.into()))
}

/// Opens a regular file to read it; `None` if there is none.
///
/// What it is, is known before it is opened: opening waits until whoever has a lease on it
/// (`F_SETLEASE` of [`fcntl(2)`](https://man7.org/linux/man-pages/man2/fcntl.2.html)) gives that up,
/// but for no writer of a FIFO.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let held = match pin(path, Follow::Yes) {
        Ok(held) => held,
        Err(errno) if sys::is_shortage(errno) => return Err(errno.into()),
        Err(_) => return Ok(None),
    };
    if !sys::status(held.as_fd(), Path::new(""), Follow::No)?.is_file() {
        return Ok(None);
    }
    if let Some(path) = fd_path(held.as_fd()) {
        return File::open(path).map(Some);
    }
    // Without /proc, it can become a FIFO meanwhile.
    let file = open(path)?;
    Ok(file.metadata()?.is_file().then_some(file))
}

fn other(text: impl Display) -> io::Error {
    io::Error::other(text.to_string())
}

fn no_regular_target(dst: &Path) -> io::Error {
    other(format_args!(
        "reflink_copy dst {} is not a regular file",
        dst.display()
    ))
}

/// Whether `dst`, which has been found, is or leads to something that must not be replaced. A link
/// that leads nowhere may be.
fn leads_to_no_file(dst: &Path, found: &Metadata) -> io::Result<bool> {
    if !found.is_symlink() {
        return Ok(!found.is_file());
    }
    match fs::metadata(dst) {
        Ok(target) => Ok(!target.is_file()),
        Err(error) if is_absent(&error) || error.raw_os_error() == Some(libc::ELOOP) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the error says that there is surely nothing at the path.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn parent_of(dst: &Path) -> &Path {
    match dst.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn create_parent(dst: &Path) -> io::Result<()> {
    let parent = parent_of(dst);
    match fs::metadata(parent) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(no_directory(dst)),
        Err(_) => {}
    }
    fs::create_dir_all(parent).map_err(|e| {
        other(format_args!(
            "reflink_copy: create_dir_all {} failed: {e:?}",
            parent.display()
        ))
    })
}

fn no_directory(dst: &Path) -> io::Error {
    other(format_args!(
        "reflink_copy parent of {} is not a directory",
        dst.display()
    ))
}

/// The directory of `dst`, held open: temporary file and copy are names in the same directory,
/// whatever happens to its path.
fn open_parent(
    dst: &Path,
    copy_failed: impl FnOnce(io::Error) -> io::Error,
) -> io::Result<(OwnedFd, &OsStr)> {
    let name = dst.file_name().ok_or_else(|| no_regular_target(dst))?;
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match sys::open_at(CWD, parent_of(dst), flags, 0) {
        Ok(parent) => Ok((parent, name)),
        Err(Errno::ENOTDIR) => Err(no_directory(dst)),
        Err(errno) => Err(copy_failed(errno.into())),
    }
}

/// A file that disappears unless it gets its final name.
struct TemporaryFile<'a> {
    parent: &'a OwnedFd,
    name: Option<OsString>,
    file: File,
}

impl<'a> TemporaryFile<'a> {
    fn create(parent: &'a OwnedFd) -> io::Result<Self> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        for _ in 0..ATTEMPTS {
            // Every `RandomState` has other keys.
            let number = RandomState::new().hash_one(std::process::id());
            let name = OsString::from(format!(".reflink-{number:016x}"));
            match sys::open_at(parent.as_fd(), Path::new(&name), flags, 0o666) {
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
                Ok(fd) => {
                    return Ok(Self {
                        parent,
                        name: Some(name),
                        file: fd.into(),
                    });
                }
            }
        }
        Err(Errno::EEXIST.into())
    }

    fn rename_to(mut self, name: &OsStr) -> sys::Result<()> {
        if let Some(temporary) = &self.name {
            sys::rename_at(self.parent.as_fd(), temporary, name)?;
            self.name = None;
        }
        Ok(())
    }
}

impl Drop for TemporaryFile<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing can be done about a file that stays.
            let _ = sys::unlink_at(self.parent.as_fd(), name);
        }
    }
}
