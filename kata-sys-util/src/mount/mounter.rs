//! Mounting what a container runtime asks for in words.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{self, Path, PathBuf};

use fail::fail_point;
use kata_types::mount::Mount;
use nix::errno::Errno;
use nix::mount::MsFlags;
use slog::{info, warn};

use super::bind::{Bind, Failure};
use super::context;
use super::error::{Error, Result};
use super::handle::{MountHandle, ReadOnly, pin};
use super::options::{MountOptions, PROPAGATION, fits_mount_call};
use super::overlay;
use super::sys::{self, Follow};
use super::workdir;

const OVERLAY: &str = "overlay";

/// Something that can be mounted on a directory or file.
///
/// ```no_run
/// use kata_sys_util::mount::Mounter;
/// use kata_types::mount::Mount;
///
/// let rootfs = Mount {
///     source: "overlay".to_owned(),
///     fs_type: "overlay".to_owned(),
///     options: vec!["lowerdir=/layers/2:/layers/1".to_owned(), "nosuid".to_owned()],
///     ..Mount::default()
/// };
/// rootfs.mount("/run/kata-containers/rootfs")?;
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub trait Mounter {
    /// Mounts it on `target`, which must exist; links in `target` are followed.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or the mount cannot be described to it.
    fn mount<P: AsRef<Path>>(&self, target: P) -> Result<()>;
}

/// Mounts `source` with `fs_type` and `options`, which mean what [`parse_mount_options`] says; the
/// other fields are not used.
///
/// * A propagation type among the options is set on the new mount, with `MS_REC` also on those
///   below it. With `remount`, and without data or `bind,ro`, nothing else is changed.
/// * `bind` and `rbind` need no `fs_type`. With `ro`, the mount that `target` shows (not those that
///   `rbind` brings along) is read-only from the moment that it can be seen (Linux 5.12; see the
///   [module](super) for older kernels). It keeps the `nosuid`, `nodev`, `noexec`, `nosymfollow` and
///   access time flags of the source's mount unless an option says otherwise (`suid`, `noatime`, …).
///   Without `ro`, options such as `nosuid` have no effect on a bind mount.
/// * Data beyond a page go to the kernel one parameter at a time; an overlay can have 500 layers on
///   Linux 6.8 and later. On older kernels the directory that an overlay's lower directories have in
///   common is taken out of their paths. The working directory of the process does not change. With
///   `remount` or a bind mount, data must fit into a page.
///
/// When a step after the mount itself fails, the mount is taken away again.
///
/// # Errors
///
/// [`Mount`](Error::Mount) with source and target if the mount is refused, and with an empty source
/// if its propagation type is; [`Remount`](Error::Remount) if the flags of a `remount` or of a
/// read-only bind mount are; [`InvalidMountOption`](Error::InvalidMountOption) for `loop`;
/// [`MountOptionTooBig`](Error::MountOptionTooBig) if the data fit into a page in no way, or do not as
/// they are for a `remount` or a bind mount;
/// [`OpenByPath`](Error::OpenByPath), [`ReadMetadata`](Error::ReadMetadata) and
/// [`InvalidPath`](Error::InvalidPath) about the directory in common, and [`Join`](Error::Join)
/// about the thread that works in it.
///
/// [`parse_mount_options`]: super::parse_mount_options
impl Mounter for Mount {
    fn mount<P: AsRef<Path>>(&self, target: P) -> Result<()> {
        fail_point!("Mount::mount", |_| {
            Err(Error::FailureInject(
                "Mount::mount() fail point injection".to_owned(),
            ))
        });
        let request = Request {
            source: &self.source,
            fs_type: &self.fs_type,
            options: MountOptions::parse(&self.options)?,
            target: target.as_ref(),
        };
        request.mount()
    }
}

struct Request<'a> {
    source: &'a str,
    fs_type: &'a str,
    options: MountOptions,
    target: &'a Path,
}

impl Request<'_> {
    fn mount(&self) -> Result<()> {
        let flags = self.flags();
        if !self.options.fits_mount_call() {
            // A bind mount has no use for data, and a remount takes them as mount(2) does.
            return if flags.intersects(MsFlags::MS_REMOUNT | MsFlags::MS_BIND) {
                Err(Error::MountOptionTooBig)
            } else {
                self.mount_big()
            };
        }
        if flags.contains(MsFlags::MS_REMOUNT) {
            self.change()
        } else if flags.contains(MsFlags::MS_BIND) {
            self.bind()
        } else {
            self.mount_and_propagate(self.target, |path| self.call(path))
        }
    }

    /// The flags for the mount itself.
    fn flags(&self) -> MsFlags {
        self.options.flags - PROPAGATION
    }

    /// The flags for the call that sets the propagation type, or none.
    fn propagation(&self) -> MsFlags {
        let flags = self.options.flags;
        if flags.intersects(PROPAGATION) {
            flags & (PROPAGATION | MsFlags::MS_REC | MsFlags::MS_SILENT)
        } else {
            MsFlags::empty()
        }
    }

    fn read_only(&self) -> Option<ReadOnly> {
        let wanted = ReadOnly {
            set: self.flags(),
            cleared: self.options.cleared,
        };
        self.flags()
            .contains(MsFlags::MS_BIND | MsFlags::MS_RDONLY)
            .then_some(wanted)
    }

    fn mount_error(&self, errno: Errno) -> Error {
        Error::Mount(PathBuf::from(self.source), self.target.to_owned(), errno)
    }

    fn propagation_error(&self, errno: Errno) -> Error {
        Error::Mount(PathBuf::new(), self.target.to_owned(), errno)
    }

    fn remount_error(&self, errno: Errno) -> Error {
        Error::Remount(self.target.to_owned(), errno)
    }

    /// `mount(source, path, fs_type, flags, data)`.
    fn call(&self, path: &Path) -> Result<()> {
        let (flags, data) = (self.flags().bits(), OsStr::new(&self.options.data));
        let (source, fs_type) = (OsStr::new(self.source), OsStr::new(self.fs_type));
        sys::mount(source, path, fs_type, flags, data).map_err(|e| self.mount_error(e))
    }

    /// Changes an existing mount.
    fn change(&self) -> Result<()> {
        let (propagation, read_only) = (self.propagation(), self.read_only());
        let has_data = !self.options.data.is_empty();
        if propagation.is_empty() && read_only.is_none() {
            return match self.call(self.target) {
                // M10
                Err(Error::Mount(_, _, errno)) if !has_data => Err(self.remount_error(errno)),
                other => other,
            };
        }
        // Without data, `remount,private` does not make a read-only file system writable. With
        // `bind,ro`, this call has no use for data and would clear flags that are to stay (M6).
        if has_data && read_only.is_none() {
            self.call(self.target)?;
        }
        let mount = MountHandle::open(self.target, Follow::Yes).map_err(|errno| {
            if propagation.is_empty() {
                self.remount_error(errno)
            } else {
                self.propagation_error(errno)
            }
        })?;
        if !propagation.is_empty() {
            let result = mount.set_propagation(propagation);
            result.map_err(|errno| self.propagation_error(errno))?;
        }
        match read_only {
            Some(wanted) => {
                let result = mount.set_read_only(wanted);
                result.map_err(|errno| self.remount_error(errno))
            }
            None => Ok(()),
        }
    }

    fn bind(&self) -> Result<()> {
        let bind = Bind {
            source: Path::new(self.source),
            follow: Follow::Yes,
            target: self.target,
            flags: self.flags() & (MsFlags::MS_BIND | MsFlags::MS_REC),
            propagation: self.propagation(),
            read_only: self.read_only(),
        };
        bind.attach().map_err(|failure| match failure {
            Failure::Bind(errno) => self.mount_error(errno),
            Failure::Propagation(errno) => self.propagation_error(errno),
            Failure::ReadOnly(errno) => self.remount_error(errno),
        })
    }

    /// Makes a new mount with `mount`, which gets the path to mount on, and sets its propagation
    /// type if one is asked for.
    fn mount_and_propagate(
        &self,
        target: &Path,
        mount: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        if self.propagation().is_empty() {
            return mount(target);
        }
        let mount_error = |errno| self.mount_error(errno);
        let lost_error = |errno| self.propagation_error(errno);
        let mounted = MountHandle::mount_at(target, None, mount, mount_error, lost_error)?;
        self.propagate(&mounted)
    }

    fn propagate(&self, mounted: &MountHandle) -> Result<()> {
        let propagation = self.propagation();
        if propagation.is_empty() {
            return Ok(());
        }
        mounted.set_propagation(propagation).map_err(|errno| {
            // The first error counts (M5).
            let _ = mounted.detach();
            self.propagation_error(errno)
        })
    }

    /// Mounts with data that are longer than a page.
    fn mount_big(&self) -> Result<()> {
        let (flags, data) = (self.flags(), &self.options.data);
        let mounted = context::mount(self.source, self.target, self.fs_type, flags, data)
            .map_err(|errno| self.mount_error(errno))?;
        match mounted {
            Some(mounted) => self.propagate(&mounted),
            None if self.fs_type == OVERLAY => self.mount_compacted(),
            None => Err(Error::MountOptionTooBig),
        }
    }

    /// Mounts an overlay in the directory that its lower directories have in common.
    fn mount_compacted(&self) -> Result<()> {
        let options: Vec<_> = overlay::split_options(&self.options.data)
            .map(str::to_owned)
            .collect();
        let (Some(directory), mut options) = overlay::compact_lowerdirs(&options) else {
            return Err(Error::MountOptionTooBig);
        };
        overlay::make_absolute(&mut options)?;
        let data = options.join(",");
        if !fits_mount_call(&data) {
            return Err(Error::MountOptionTooBig);
        }
        info!(crate::sl!(), "overlay options are made shorter"; "directory" => directory.display());

        let work_dir = open_work_dir(&directory)?;
        let (source, fs_type) = (OsStr::new(self.source), OsStr::new(self.fs_type));
        let (flags, data) = (self.flags().bits(), OsStr::new(&data));
        let target = path::absolute(self.target).map_err(|_| self.mount_error(Errno::ENOENT))?;
        self.mount_and_propagate(&target, |path| {
            let call = || sys::mount(source, path, fs_type, flags, data);
            workdir::run_in(work_dir.as_fd(), call)?.map_err(|failure| {
                warn!(crate::sl!(), "overlay mount failed"; "failure" => ?failure);
                let (workdir::Failure::Enter(errno) | workdir::Failure::Call(errno)) = failure;
                self.mount_error(errno)
            })
        })
    }
}

fn open_work_dir(directory: &Path) -> Result<OwnedFd> {
    let fd = pin(directory, Follow::Yes)
        .map_err(|errno| Error::OpenByPath(directory.to_owned(), errno.into()))?;
    let status = sys::status(fd.as_fd(), Path::new(""), Follow::No)
        .map_err(|errno| Error::ReadMetadata(directory.to_owned(), io::Error::from(errno)))?;
    if !status.is_dir() {
        return Err(Error::InvalidPath(directory.to_owned()));
    }
    Ok(fd)
}
