//! Making sure that there is something to mount on.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use safe_path::{PinnedPathBuf, ScopedDirBuilder};

use super::error::{Error, Result};
use super::sys::{self, Follow};

const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

/// `O_EXCL` makes sure that nothing that exists is opened: no FIFO that blocks, no device, no
/// file behind a link (M4).
const CREATE_ONLY: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_WRONLY;

/// How often a name is tried again that others create and remove all the time.
const ATTEMPTS: usize = 32;

/// A path that exists and can be mounted on.
#[derive(Debug)]
struct MountDestination(PathBuf);

// No other `AsRef`: with two, callers' `as_ref()` would be ambiguous.
impl AsRef<Path> for MountDestination {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// Makes sure that `dst` exists and can be mounted on, and returns its path.
///
/// `dst` becomes an empty file if `fs_type` is exactly `bind` and `src` is anything but a
/// directory (a missing `src` included), else a directory. What exists is left as it is and not
/// opened. Missing parents are created. Directories get mode `0o755` and files `0o644`, less the
/// umask.
///
/// # Confinement
///
/// With an empty `root` or `/`, links in `dst` are followed anywhere, and `dst` is returned as
/// given. With any other `root`, which must be absolute and exist, `dst` must be the path of `root`
/// with something appended, and that is resolved as if `root` were the root directory
/// ([`chroot(2)`](https://man7.org/linux/man-pages/man2/chroot.2.html)): absolute links start at
/// `root`, and `..` does not leave it. The result, a path without links below the canonical `root`,
/// is returned. Nothing is created outside `root`, also while somebody exchanges directories for
/// links inside it (CVE-2021-30465). The returned path is only as stable as the directories it
/// names.
///
/// # Errors
///
/// [`InvalidPath`](Error::InvalidPath) with `root` if that is relative or does not exist;
/// `InvalidPath` with `dst` if it has no parent, is not below `root`, is of the wrong type, is a
/// link to nothing, or cannot be resolved inside `root`; [`ReadMetadata`](Error::ReadMetadata) with
/// `src` if the disk, a lack of memory or a signal keeps its type from being known (`EIO`, `ENOMEM`,
/// `EINTR`);
/// [`Io`](Error::Io) if something cannot be created or looked at.
///
/// ```
/// use kata_sys_util::mount::create_mount_destination;
/// # let dir = tempfile::tempdir()?;
/// # let rootfs = dir.path().canonicalize()?;
///
/// // A container image brings a link to the host's /etc.
/// std::os::unix::fs::symlink("/etc", rootfs.join("data"))?;
/// let dst = create_mount_destination("tmpfs", rootfs.join("data/cache"), &rootfs, "tmpfs")?;
/// assert_eq!(dst.as_ref(), rootfs.join("etc/cache"));
/// assert!(dst.as_ref().is_dir());
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn create_mount_destination<S: AsRef<Path>, D: AsRef<Path>, R: AsRef<Path>>(
    src: S,
    dst: D,
    root: R,
    fs_type: &str,
) -> Result<impl AsRef<Path> + std::fmt::Debug> {
    let (dst, root) = (dst.as_ref(), root.as_ref());
    let Some(parent) = dst.parent() else {
        return Err(invalid(dst));
    };
    let kind = match fs_type {
        "bind" => kind_of_source(src.as_ref())?,
        _ => Kind::Directory,
    };
    if root.as_os_str().is_empty() || root == Path::new("/") {
        if !parent.as_os_str().is_empty() && !parent.is_dir() {
            create_directories(parent)?;
        }
        match kind {
            Kind::File => create_file(dst)?,
            Kind::Directory => create_directory(dst)?,
        }
        return Ok(MountDestination(dst.to_owned()));
    }
    let scope = Scope::open(root, dst)?;
    scope.create(kind).map(MountDestination)
}

/// What is to be mounted on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// What can be bound to: a file, unless the source is known to be a directory.
fn kind_of_source(src: &Path) -> Result<Kind> {
    match fs::metadata(src) {
        Ok(found) if found.is_dir() => Ok(Kind::Directory),
        // It may be a directory: a file in its place would stay there for ever.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EINTR | libc::EIO | libc::ENOMEM)
            ) =>
        {
            Err(Error::ReadMetadata(src.to_owned(), error))
        }
        _ => Ok(Kind::File),
    }
}

fn invalid(path: &Path) -> Error {
    Error::InvalidPath(path.to_owned())
}

/// Creates a directory and those above it. What exists in the end is no error, whatever `mkdir(2)`
/// said: virtio-fs may answer `ENOSYS`.
fn create_directories(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(DIRECTORY_MODE);
    let create = || match builder.create(path) {
        Err(_) if path.is_dir() => Ok(()),
        other => other,
    };
    match (create(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            if parent.as_os_str().is_empty() {
                return Err(error); // The working directory is gone.
            }
            create_directories(parent)?;
            create()
        }
        (result, _) => result,
    }
}

fn create_directory(dst: &Path) -> Result<()> {
    match create_directories(dst) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EEXIST | libc::ENOSYS)) => {
            Err(invalid(dst))
        }
        other => Ok(other?),
    }
}

fn create_file(dst: &Path) -> Result<()> {
    let mut create = OpenOptions::new();
    create
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW);
    for _ in 0..ATTEMPTS {
        let Err(error) = create.open(dst) else {
            return Ok(());
        };
        match fs::symlink_metadata(dst) {
            Ok(found) if found.is_dir() => return Err(invalid(dst)),
            Ok(found) if found.is_symlink() => {
                let is_target = fs::metadata(dst).is_ok_and(|target| !target.is_dir());
                return is_target.then_some(()).ok_or_else(|| invalid(dst));
            }
            Ok(_) => return Ok(()),
            // Removed in between.
            Err(_) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => return Err(error.into()),
        }
    }
    Err(io::Error::from(Errno::EEXIST).into())
}

/// A destination inside a root that it must not leave.
struct Scope<'a> {
    root: PathBuf,
    /// As the caller gave it, for errors.
    dst: &'a Path,
    /// `dst` relative to the root.
    path: &'a Path,
}

impl<'a> Scope<'a> {
    fn open(root: &Path, dst: &'a Path) -> Result<Self> {
        if root.is_relative() {
            return Err(invalid(root));
        }
        let canonical = root.canonicalize().map_err(|_| invalid(root))?;
        if !canonical.is_dir() {
            return Err(invalid(root));
        }
        let path = dst
            .strip_prefix(root)
            .or_else(|_| dst.strip_prefix(&canonical))
            .map_err(|_| invalid(dst))?;
        Ok(Self {
            root: canonical,
            dst,
            path,
        })
    }

    fn create(&self, kind: Kind) -> Result<PathBuf> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            // The root itself, or a path that ends in `..`: a directory, as all that `..` leads to.
            return match kind {
                Kind::Directory => Ok(self.create_directories(self.path)?.target().to_owned()),
                Kind::File => Err(invalid(self.dst)),
            };
        };
        let parent = self.create_directories(parent)?;
        for _ in 0..ATTEMPTS {
            match self.create_in(&parent, name, kind)? {
                Step::Done(path) => return Ok(path),
                Step::Changed => {}
            }
        }
        Err(invalid(self.dst))
    }

    fn create_directories(&self, path: &Path) -> Result<PinnedPathBuf> {
        let mut builder = ScopedDirBuilder::new(&self.root).map_err(|e| self.error(e))?;
        builder.recursive(true).mode(DIRECTORY_MODE);
        builder.create(path).map_err(|e| self.error(e))
    }

    /// Makes `name` in a directory that cannot be exchanged any more.
    fn create_in(&self, parent: &PinnedPathBuf, name: &OsStr, kind: Kind) -> Result<Step> {
        let dir = parent.as_fd();
        let created = match kind {
            Kind::Directory => parent.mkdir(name, DIRECTORY_MODE).map(drop),
            Kind::File => sys::open_at(dir, Path::new(name), CREATE_ONLY, FILE_MODE)
                .map(drop)
                .map_err(io::Error::from),
        };
        let path = parent.target().join(name);
        let Err(error) = created else {
            return Ok(Step::Done(path));
        };
        match sys::status(dir, Path::new(name), Follow::No) {
            Ok(found) if found.is_symlink() => self.follow(&path, kind),
            Ok(found) if found.is_dir() == (kind == Kind::Directory) => Ok(Step::Done(path)),
            Ok(_) => Err(invalid(self.dst)),
            Err(_) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Step::Changed),
            Err(_) => Err(self.error(error)),
        }
    }

    /// What the link at the end of `path` leads to inside the root, if that exists.
    fn follow(&self, path: &Path, kind: Kind) -> Result<Step> {
        let inside = path
            .strip_prefix(&self.root)
            .map_err(|_| invalid(self.dst))?;
        let target = PinnedPathBuf::new(&self.root, inside).map_err(|_| invalid(self.dst))?;
        let is_dir = target.metadata().map_err(|e| self.error(e))?.is_dir();
        if is_dir == (kind == Kind::Directory) {
            Ok(Step::Done(target.target().to_owned()))
        } else {
            Err(invalid(self.dst))
        }
    }

    /// What the kernel refuses is an I/O error; anything else is about the path.
    fn error(&self, error: io::Error) -> Error {
        match error.raw_os_error() {
            Some(libc::ENOTDIR | libc::ELOOP) | None => invalid(self.dst),
            Some(_) => Error::Io(error),
        }
    }
}

enum Step {
    Done(PathBuf),
    /// Others changed the name meanwhile.
    Changed,
}
