//! Unmounting, without being led astray by links
//! ([`umount2(2)`](https://man7.org/linux/man-pages/man2/umount2.2.html)).
//!
//! `UMOUNT_NOFOLLOW` only protects the last component, and not if a slash follows it. Here the
//! parent directory is opened first, and the mount is addressed by its name in that directory.

use std::ffi::{OsStr, OsString, c_int};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use slog::warn;

use super::error::{Error, Result};
use super::handle::{fd_path, pin};
use super::sys::{self, CWD, FileStatus, Follow};
use super::workdir;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// More mounts on one path than anybody stacks; one that comes back for ever ends here (M18).
const MAX_ROUNDS: usize = 4096;

/// Unmounts the topmost mount at `path`, waiting up to `timeout` **milliseconds** while it is busy.
///
/// If it is still busy then, and at once if `timeout` is 0, the mount is detached: it disappears
/// from the directory tree now and ends when nobody uses it any more (`MNT_DETACH`).
///
/// Nothing is unmounted, and the result is `Ok`, if `path` or its parent directory is a symbolic
/// link; links further up are followed. Slashes at the end of `path` do not change that. If `path`
/// is no mount point, that is `Ok` with a timeout, as somebody else may have unmounted it, and an
/// error without one.
///
/// # Errors
///
/// [`InvalidPath`](Error::InvalidPath) if `path` is empty or the root directory of the process, in
/// whatever spelling; [`ReadMetadata`](Error::ReadMetadata) with the path that cannot be looked at;
/// [`Umount`](Error::Umount) if the kernel refuses.
///
/// ```no_run
/// use kata_sys_util::mount::umount_timeout;
///
/// umount_timeout("/run/kata-containers/shared/volume", 500)?; // Half a second.
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn umount_timeout<P: AsRef<Path>>(path: P, timeout: u64) -> Result<()> {
    let given = path.as_ref();
    if given.as_os_str().is_empty() || spells_root(given) {
        return Err(Error::InvalidPath(given.to_owned()));
    }
    let path = normalize(given).map_err(|e| Error::ReadMetadata(given.to_owned(), e))?;
    let Some((parent, name)) = split(&path) else {
        return Err(Error::InvalidPath(given.to_owned()));
    };
    let read_metadata =
        |path: &Path, errno: Errno| Error::ReadMetadata(path.to_owned(), errno.into());

    let parent_fd = pin(parent, Follow::No).map_err(|errno| {
        // The path that is missing altogether is the one that the caller knows.
        match sys::status(CWD, &path, Follow::No) {
            Err(errno) => read_metadata(given, errno),
            Ok(_) => read_metadata(parent, errno),
        }
    })?;
    let status = sys::status(parent_fd.as_fd(), Path::new(""), Follow::No)
        .map_err(|errno| read_metadata(parent, errno))?;
    if status.is_symlink() {
        warn!(crate::sl!(), "parent of a mount point is a link; nothing is unmounted"; "path" => given.display());
        return Ok(());
    }
    if !status.is_dir() {
        return Err(read_metadata(given, Errno::ENOTDIR));
    }
    let place = Place::new(parent_fd, name, given);
    match place.status() {
        Ok(status) if status.is_symlink() => {
            place.warn_of_link();
            return Ok(());
        }
        Ok(status) => {
            if is_root(&status).map_err(|errno| read_metadata(Path::new("/"), errno))? {
                return Err(Error::InvalidPath(given.to_owned()));
            }
        }
        // Only what is mounted can have lost its server.
        Err(Errno::ENOTCONN | Errno::ESTALE) => {}
        Err(errno) => return Err(read_metadata(given, errno)),
    }
    place.unmount_within(timeout)
}

/// Unmounts everything that is mounted at `mountpoint`, the newest mount first; with `lazy_umount`
/// also what is busy (`MNT_DETACH`).
///
/// Nothing to unmount is no error: an empty path, one that does not exist, and one that is no
/// mount point are `Ok`. A symbolic link at the end of the path is not followed. A mount whose
/// server is dead is unmounted like any other.
///
/// # Errors
///
/// [`InvalidPath`](Error::InvalidPath) if `mountpoint` is the root directory of the process, in
/// whatever spelling; [`Umount`](Error::Umount) if the kernel refuses, or with `EBUSY` after 4096
/// mounts.
///
/// ```no_run
/// use kata_sys_util::mount::umount_all;
///
/// umount_all("/run/kata-containers/shared/sandboxes/id/mounts", false)
///     .or_else(|_| umount_all("/run/kata-containers/shared/sandboxes/id/mounts", true))?;
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn umount_all<P: AsRef<Path>>(mountpoint: P, lazy_umount: bool) -> Result<()> {
    let given = mountpoint.as_ref();
    if given.as_os_str().is_empty() {
        return Ok(());
    }
    if spells_root(given) {
        return Err(Error::InvalidPath(given.to_owned()));
    }
    let umount_error = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => Ok(()),
        _ => Err(Error::Umount(given.to_owned(), error)),
    };
    let path = match normalize(given) {
        Ok(path) => path,
        Err(error) => return umount_error(error),
    };
    let Some((parent, name)) = split(&path) else {
        return Err(Error::InvalidPath(given.to_owned()));
    };
    let parent = match pin(parent, Follow::Yes) {
        Ok(parent) => parent,
        Err(errno) => return umount_error(errno.into()),
    };
    let place = Place::new(parent, name, given);
    let status = match place.status() {
        // A mount that can never be looked at (M17) is not the root.
        Err(_) => {
            root_status().map_err(|errno| place.error(errno))?;
            place.status()
        }
        known => known,
    };
    match status {
        Ok(status) if status.is_symlink() => {
            place.warn_of_link();
            return Ok(());
        }
        Ok(status) => {
            if is_root(&status).map_err(|errno| place.error(errno))? {
                return Err(Error::InvalidPath(given.to_owned()));
            }
        }
        Err(_) => {}
    }
    place.unmount_all(if lazy_umount { libc::MNT_DETACH } else { 0 })
}

/// A name in a directory that is held open.
struct Place<'a> {
    parent: OwnedFd,
    name: OsString,
    /// As the caller gave it.
    given: &'a Path,
}

impl<'a> Place<'a> {
    fn new(parent: OwnedFd, name: &OsStr, given: &'a Path) -> Self {
        Self {
            parent,
            name: name.to_owned(),
            given,
        }
    }

    fn status(&self) -> sys::Result<FileStatus> {
        sys::status(self.parent.as_fd(), Path::new(&self.name), Follow::No)
    }

    fn warn_of_link(&self) {
        warn!(crate::sl!(), "mount point is a link; nothing is unmounted"; "path" => self.given.display());
    }

    fn error(&self, errno: Errno) -> Error {
        Error::Umount(self.given.to_owned(), errno.into())
    }

    fn unmount_within(&self, timeout: u64) -> Result<()> {
        if timeout > 0 {
            // A deadline beyond the end of time never comes.
            let deadline = Instant::now().checked_add(Duration::from_millis(timeout));
            let mut pause = FIRST_PAUSE;
            loop {
                match self.unmount(0) {
                    // EINVAL: somebody else has unmounted it.
                    Ok(()) | Err(Errno::EINVAL) => return Ok(()),
                    Err(Errno::EBUSY | Errno::EAGAIN) => {}
                    Err(errno) => return Err(self.error(errno)),
                }
                let left = deadline.map_or(pause, |d| d.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    break;
                }
                thread::sleep(pause.min(left));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            warn!(crate::sl!(), "mount stays busy and is detached"; "path" => self.given.display(), "timeout in ms" => timeout);
        }
        self.unmount(libc::MNT_DETACH).map_err(|e| self.error(e))
    }

    fn unmount_all(&self, flags: c_int) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            match self.unmount(flags) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
                Err(errno) => return Err(self.error(errno)),
            }
        }
        Err(self.error(Errno::EBUSY))
    }

    /// One `umount2` of the name in its directory.
    fn unmount(&self, flags: c_int) -> sys::Result<()> {
        let flags = flags | libc::UMOUNT_NOFOLLOW;
        if let Some(parent) = fd_path(self.parent.as_fd()) {
            return sys::umount(&parent.join(&self.name), flags);
        }
        // Without /proc, a thread goes to the directory.
        let call = || sys::umount(Path::new(&self.name), flags);
        match workdir::run_in(self.parent.as_fd(), call) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(workdir::Failure::Call(errno))) => Err(errno),
            Ok(Err(workdir::Failure::Enter(_))) | Err(_) => sys::umount(self.given, flags),
        }
    }
}

/// Whether `path` is the root directory by its letters alone.
fn spells_root(path: &Path) -> bool {
    let mut depth = 0_usize;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth = depth.saturating_add(1),
            Component::ParentDir => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    path.is_absolute() && depth == 0
}

/// Whether this is the root directory of the process, on the same mount: a bind mount of it
/// somewhere else may be unmounted.
fn is_root(status: &FileStatus) -> sys::Result<bool> {
    let root = root_status()?;
    let is_same_mount = root.mount_id.is_none() || root.mount_id == status.mount_id;
    Ok((root.dev, root.ino) == (status.dev, status.ino) && is_same_mount)
}

fn root_status() -> sys::Result<FileStatus> {
    sys::status(CWD, Path::new("/"), Follow::No)
}

/// The path without `.` and slashes at its end, and if that leaves `..` (or nothing), the directory
/// that it leads to.
fn normalize(path: &Path) -> io::Result<PathBuf> {
    match path.components().next_back() {
        Some(Component::Normal(_)) => Ok(path.components().collect()),
        _ => path.canonicalize(),
    }
}

fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let parent = match path.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    Some((parent, path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_its_spelling() {
        for path in ["/", "//", "/.", "/..", "/a/..", "/a/./../", "/../a/b/../.."] {
            assert!(spells_root(Path::new(path)), "{path}");
        }
        for path in ["", ".", "..", "a/..", "/a", "/../a", "/a/../b"] {
            assert!(!spells_root(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn last_component_is_a_name() {
        for (path, parent, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b//", "/a", "b"),
            ("/a/b/./", "/a", "b"),
            ("/a", "/", "a"),
            ("a", ".", "a"),
            ("./a/", ".", "a"),
            ("a/../b", "a/..", "b"),
        ] {
            let normal = normalize(Path::new(path)).unwrap();
            assert_eq!(
                split(&normal),
                Some((Path::new(parent), OsStr::new(name))),
                "{path}"
            );
        }
        let normal = normalize(Path::new("/proc/self/..")).unwrap();
        assert_eq!(normal, Path::new("/proc"));
        assert_eq!(
            normalize(Path::new(".")).unwrap(),
            std::env::current_dir().unwrap()
        );
        assert_eq!(split(Path::new("/")), None);
    }
}
