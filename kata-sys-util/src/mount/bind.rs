//! Bind mounts: a directory or file that appears at a second place
//! ([`mount(2)`](https://man7.org/linux/man-pages/man2/mount.2.html), `MS_BIND`).
//!
//! Since Linux 5.12 a bind mount gets its flags before it is attached (`open_tree(2)`,
//! `mount_setattr(2)`, `move_mount(2)`), so that nobody ever meets a writable mount where a
//! read-only one was asked for. On older kernels, and where a seccomp filter keeps those calls away,
//! the classic sequence is used: bind, set propagation, remount read-only. There a mount that is to
//! be read-only is writable for a moment.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use fail::fail_point;
use nix::errno::Errno;
use nix::mount::MsFlags;

use super::destination::create_mount_destination;
use super::error::{Error, Result};
use super::handle::{MountHandle, ReadOnly, fd_path, pin, scope_of};
use super::sys::{self, CWD, FileStatus, Follow};

/// Changes an existing mount at `dst`, the topmost one, to read-only or to writable. Mounts below
/// it, and copies of it elsewhere, stay as they are.
///
/// With `readonly`, all other flags stay: `nosuid`, `nodev`, `noexec`, `nosymfollow` and the access
/// time flags. Without, the flags are **reset**: besides `ro`, `nosuid`, `nodev`, `noexec` and
/// `nosymfollow` are cleared. In a user namespace that may not clear them (see *Restrictions on
/// mount namespaces* in
/// [`mount_namespaces(7)`](https://man7.org/linux/man-pages/man7/mount_namespaces.7.html)) they
/// are kept.
///
/// # Errors
///
/// [`NullMountPointPath`](Error::NullMountPointPath) if `dst` is empty,
/// [`InvalidPath`](Error::InvalidPath) if it does not exist, and [`Remount`](Error::Remount) if the
/// kernel refuses: `EINVAL` if `dst` is no mount point, `EPERM` without `CAP_SYS_ADMIN`, `EBUSY` if
/// a file is open for writing.
///
/// ```no_run
/// use kata_sys_util::mount::bind_remount;
///
/// bind_remount("/run/kata-containers/shared/sandboxes/id/ro", true)?;
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn bind_remount<P: AsRef<Path>>(dst: P, readonly: bool) -> Result<()> {
    let dst = dst.as_ref();
    if dst.as_os_str().is_empty() {
        return Err(Error::NullMountPointPath);
    }
    let invalid = || Error::InvalidPath(dst.to_owned());
    let dst = dst.canonicalize().map_err(|_| invalid())?;
    let mount = MountHandle::open(&dst, Follow::No).map_err(|e| Error::Remount(dst.clone(), e))?;
    let result = if readonly {
        mount.set_read_only(ReadOnly::PLAIN)
    } else {
        reset_flags(&mount)
    };
    result.map_err(|errno| Error::Remount(dst, errno))
}

fn reset_flags(mount: &MountHandle) -> sys::Result<()> {
    let reset = libc::MS_BIND | libc::MS_REMOUNT;
    match mount.remount(reset) {
        // Flags that a more privileged mount namespace has set cannot be cleared (M6).
        Err(Errno::EPERM) => mount.remount(reset | mount.kept_flags()?),
        other => other,
    }
}

/// Binds `src` to `dst`, creating `dst` first if needed, and sets the propagation type of the new
/// mount.
///
/// Links in `src` and `dst` are followed: neither path is confined to a directory, hence
/// "unchecked". Who can change `dst` meanwhile chooses where the mount goes, unless `dst` is the path
/// of a [`PinnedPathBuf`](safe_path::PinnedPathBuf). Submounts of `src` do not appear at `dst`. `src`
/// and `dst` may be the same path. A missing `dst` is created as [`create_mount_destination`] does,
/// as a directory if `src` is one, else as an empty file.
///
/// `pgflag` is `MS_SHARED` or `MS_SLAVE`. With `readonly` the mount is read-only from the moment
/// that it can be seen (Linux 5.12; see the [module](super) for older kernels), and keeps the
/// `nosuid`, `nodev`, `noexec` and `nosymfollow` flags of the mount that `src` is on.
///
/// When a step fails, the mount is taken away again; a `dst` that was created stays.
///
/// # Errors
///
/// [`NullMountPointPath`](Error::NullMountPointPath) if a path is empty,
/// [`InvalidPath`](Error::InvalidPath) if `src` does not exist,
/// [`InvalidPgMountFlag`](Error::InvalidPgMountFlag) for any other `pgflag`, all before anything is
/// changed; the errors of [`create_mount_destination`]; [`BindMount`](Error::BindMount) (with the
/// canonical `src`), [`Mount`](Error::Mount) (with an empty source) or [`Remount`](Error::Remount) if
/// the kernel refuses the mount, its propagation type or the read-only flag.
///
/// ```no_run
/// use kata_sys_util::mount::bind_mount_unchecked;
/// use nix::mount::MsFlags;
///
/// bind_mount_unchecked("/srv/volume", "/run/shared/volume", true, MsFlags::MS_SLAVE)?;
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn bind_mount_unchecked<S: AsRef<Path>, D: AsRef<Path>>(
    src: S,
    dst: D,
    readonly: bool,
    pgflag: MsFlags,
) -> Result<()> {
    fail_point!("bind_mount", |_| {
        Err(Error::FailureInject(
            "Bind mount fail point injection".to_owned(),
        ))
    });
    let (src, dst) = (src.as_ref(), dst.as_ref());
    if src.as_os_str().is_empty() || dst.as_os_str().is_empty() {
        return Err(Error::NullMountPointPath);
    }
    let abs_src = src
        .canonicalize()
        .map_err(|_| Error::InvalidPath(src.to_owned()))?;
    // Before anything is changed (M5).
    if pgflag != MsFlags::MS_SHARED && pgflag != MsFlags::MS_SLAVE {
        return Err(Error::InvalidPgMountFlag);
    }
    create_mount_destination(&abs_src, dst, "/", "bind")?;
    let bind = Bind {
        source: &abs_src,
        follow: Follow::No,
        target: dst,
        flags: MsFlags::MS_BIND,
        propagation: pgflag,
        read_only: readonly.then_some(ReadOnly::PLAIN),
    };
    bind.attach().map_err(|failure| match failure {
        Failure::Bind(errno) => Error::BindMount(abs_src.clone(), dst.to_owned(), errno),
        Failure::Propagation(errno) => Error::Mount(PathBuf::new(), dst.to_owned(), errno),
        Failure::ReadOnly(errno) => Error::Remount(dst.to_owned(), errno),
    })
}

/// One bind mount with all that belongs to it.
pub(super) struct Bind<'a> {
    pub(super) source: &'a Path,
    /// Whether `source` may be a symbolic link.
    pub(super) follow: Follow,
    pub(super) target: &'a Path,
    /// `MS_BIND`, and `MS_REC` to take the mounts below `source` along.
    pub(super) flags: MsFlags,
    /// For [`MountHandle::set_propagation`], or empty.
    pub(super) propagation: MsFlags,
    pub(super) read_only: Option<ReadOnly>,
}

/// The step that failed. Nothing is left mounted.
#[derive(Debug)]
pub(super) enum Failure {
    Bind(Errno),
    Propagation(Errno),
    ReadOnly(Errno),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Bind(errno)
    }
}

impl Bind<'_> {
    pub(super) fn attach(&self) -> std::result::Result<(), Failure> {
        let (mount, is_read_only) = match self.attach_complete()? {
            Some(mount) => (mount, true),
            None => (self.attach_classic()?, false),
        };
        self.finish(&mount, is_read_only).inspect_err(|_| {
            // The first error counts; what is left is a mount that nobody has asked for (M5).
            let _ = mount.detach();
        })
    }

    /// Attaches the mount with its flags already set. `None`, with nothing attached, where the
    /// kernel cannot do that, which whoever owns the source must have no say in: an error about the
    /// source or the target is final.
    fn attach_complete(&self) -> std::result::Result<Option<MountHandle>, Failure> {
        if self.source.as_os_str().is_empty() {
            return Ok(None); // For the errno that it has always had.
        }
        let tree = match sys::clone_tree(self.source, scope_of(self.flags), self.follow) {
            Err(errno) if sys::is_missing(errno) => return Ok(None),
            // A tree needs a mount namespace of its own, of which there may be none left, but it may
            // also be the owner's word. Only a read-only mount has a moment to lose.
            Err(Errno::ENOSPC) if self.read_only.is_none() => return Ok(None),
            other => other?,
        };
        let status = sys::status(tree.as_fd(), Path::new(""), Follow::No)?;
        if status.is_symlink() {
            // Put there after the source was resolved.
            return Err(Failure::Bind(Errno::ELOOP));
        }
        let attributes = self.read_only.map(ReadOnly::attributes);
        for attr in attributes.iter() {
            match sys::mount_setattr(tree.as_fd(), sys::Scope::TopMount, attr) {
                // EPERM is also for flags that a more privileged mount namespace has set (M6).
                Err(errno)
                    if sys::is_unsupported(errno) && !sys::has_mount_setattr(tree.as_fd()) =>
                {
                    return Ok(None);
                }
                other => other.map_err(Failure::ReadOnly)?,
            }
        }
        match sys::move_mount(tree.as_fd(), self.target) {
            Ok(()) => Ok(Some(MountHandle::new(tree, self.target))),
            Err(errno) if sys::is_missing(errno) => Ok(None),
            Err(Errno::EINVAL) if self.is_of_other_kind(&status) => {
                Err(Failure::Bind(Errno::ENOTDIR)) // As mount(2) says it.
            }
            Err(errno) => Err(Failure::Bind(errno)),
        }
    }

    /// Whether one of source and target is a directory, and the other is not.
    fn is_of_other_kind(&self, source: &FileStatus) -> bool {
        let target = sys::status(CWD, self.target, Follow::Yes);
        target.is_ok_and(|target| target.is_dir() != source.is_dir())
    }

    fn attach_classic(&self) -> std::result::Result<MountHandle, Failure> {
        let held = match self.follow {
            Follow::Yes => None, // Only mount(2) itself triggers an automount.
            Follow::No => Some(pin(self.source, Follow::No)?),
        };
        let status = match &held {
            None => sys::status(CWD, self.source, Follow::Yes).ok(),
            Some(held) => Some(sys::status(held.as_fd(), Path::new(""), Follow::No)?),
        };
        if status.is_some_and(|found| found.is_symlink()) {
            return Err(Failure::Bind(Errno::ELOOP)); // As above.
        }
        // Without /proc, the path is all there is.
        let reach = held.as_ref().and_then(|held| fd_path(held.as_fd()));
        let source = reach.as_deref().unwrap_or(self.source).as_os_str();
        let bind = |target: &Path| {
            let (fs_type, data) = (OsStr::new("bind"), OsStr::new(""));
            sys::mount(source, target, fs_type, self.flags.bits(), data).map_err(Failure::Bind)
        };
        let (mount_error, lost_error) = (Failure::Bind, Failure::Propagation);
        MountHandle::mount_at(self.target, status, bind, mount_error, lost_error)
    }

    fn finish(&self, mount: &MountHandle, is_read_only: bool) -> std::result::Result<(), Failure> {
        // Only now: below a shared parent, attaching a mount makes it shared again.
        if !self.propagation.is_empty() {
            let result = mount.set_propagation(self.propagation);
            result.map_err(Failure::Propagation)?;
        }
        match self.read_only {
            Some(wanted) if !is_read_only => mount.set_read_only(wanted).map_err(Failure::ReadOnly),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use test_utils::isolate;
    use test_utils::isolation::{Isolation, scratch};
    use test_utils::seccomp::{Rule, run_under};

    use super::*;

    /// This kernel, and one without `open_tree`.
    const KERNELS: [&[Rule]; 2] = [&[], &[Rule::fail(428, libc::ENOSYS)]];

    #[test]
    fn link_that_was_put_in_place_of_the_source_is_not_followed() {
        let mounts = libc::CLONE_NEWNS;
        let isolation = Isolation::new().namespaces(mounts | libc::CLONE_NEWUSER);
        isolate!(isolation.or_namespaces(mounts).tmpfs());
        let (other, target) = (scratch().join("other"), scratch().join("target"));
        fs::create_dir(&target).unwrap();
        fs::create_dir_all(other.join("entry")).unwrap();
        let link = scratch().join("link");
        symlink(&other, &link).unwrap();
        for rules in KERNELS {
            let bind = Bind {
                source: &link,
                follow: Follow::No,
                target: &target,
                flags: MsFlags::MS_BIND,
                propagation: MsFlags::MS_SLAVE,
                read_only: Some(ReadOnly::PLAIN),
            };
            let result = run_under(rules, || bind.attach());
            assert!(
                matches!(result, Err(Failure::Bind(Errno::ELOOP))),
                "{result:?}"
            );
            assert!(!target.join("entry").exists());
            // Where a link may be, it is followed.
            let follow = Follow::Yes;
            run_under(rules, || Bind { follow, ..bind }.attach()).unwrap();
            assert!(target.join("entry").exists());
            sys::umount(&target, libc::MNT_DETACH).unwrap();
        }
    }
}
