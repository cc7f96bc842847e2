//! A mount that is held by a descriptor while it is changed, so that every step of an operation
//! meets the same mount, whatever happens to the path in between.

use std::borrow::Cow;
use std::ffi::{OsStr, c_ulong};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::MsFlags;

use super::sys::{self, CWD, FileStatus, Follow, MountAttr, Scope};
use super::target::Target;

/// Where the kernel shows the descriptors of this thread, or if that is missing of the process.
const FD_DIRS: [&str; 2] = ["/proc/thread-self/fd", "/proc/self/fd"];

/// Flags that a read-only remount leaves as they are (M6): as `statvfs` reports them (`ST_…` of
/// `include/linux/statfs.h`), and as `mount(2)` takes them. The kernel keeps the access time flags
/// by itself if none is given.
const KEPT_FLAGS: [(c_ulong, c_ulong); 4] = [
    (0x2, libc::MS_NOSUID),
    (0x4, libc::MS_NODEV),
    (0x8, libc::MS_NOEXEC),
    (0x2000, MS_NOSYMFOLLOW),
];
const MS_NOSYMFOLLOW: c_ulong = 0x100; // Linux 5.10

/// Access time flags, as `statvfs` reports them.
const ST_NOATIME: c_ulong = 0x400;
const ST_NODIRATIME: c_ulong = 0x800;
const ST_RELATIME: c_ulong = 0x1000;

/// Flags of a single mount, as `mount(2)` and as `mount_setattr(2)` call them.
const ATTRIBUTES: [(MsFlags, u64); 4] = [
    (MsFlags::MS_RDONLY, 0x1),
    (MsFlags::MS_NOSUID, 0x2),
    (MsFlags::MS_NODEV, 0x4),
    (MsFlags::MS_NOEXEC, 0x8),
];
const MOUNT_ATTR_NOATIME: u64 = 0x10;
const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
const MOUNT_ATTR_ATIME_MASK: u64 = 0x70;
const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
const ACCESS_TIME: MsFlags = MsFlags::MS_NOATIME
    .union(MsFlags::MS_RELATIME)
    .union(MsFlags::MS_STRICTATIME);

/// The flags that a mount is to have besides being read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadOnly {
    /// Flags that the caller asked for; others stay as they are …
    pub(super) set: MsFlags,
    /// … unless the caller asked to switch them off.
    pub(super) cleared: MsFlags,
}

impl ReadOnly {
    /// Nothing changes but that the mount becomes read-only.
    pub(super) const PLAIN: Self = Self {
        set: MsFlags::empty(),
        cleared: MsFlags::empty(),
    };

    pub(super) fn attributes(self) -> MountAttr {
        let set = self.set | MsFlags::MS_RDONLY;
        let mut attr = mount_attributes(set);
        if set.intersects(ACCESS_TIME) {
            attr.attr_clr |= MOUNT_ATTR_ATIME_MASK;
        }
        for (flag, bit) in ATTRIBUTES {
            if self.cleared.contains(flag) && !set.contains(flag) {
                attr.attr_clr |= bit;
            }
        }
        attr
    }
}

/// The flags of a new mount that `mount(2)` would take from `flags`.
pub(super) fn mount_attributes(flags: MsFlags) -> MountAttr {
    let mut attr = MountAttr::default();
    for (flag, bit) in ATTRIBUTES {
        if flags.contains(flag) {
            attr.attr_set |= bit;
        }
    }
    // As mount(2) ranks them; `relatime` is the value zero.
    if flags.contains(MsFlags::MS_STRICTATIME) {
        attr.attr_set |= MOUNT_ATTR_STRICTATIME;
    } else if flags.contains(MsFlags::MS_NOATIME) {
        attr.attr_set |= MOUNT_ATTR_NOATIME;
    }
    if flags.contains(MsFlags::MS_NODIRATIME) {
        attr.attr_set |= MOUNT_ATTR_NODIRATIME;
    }
    attr
}

/// A mount, held by a descriptor of its root. Without `/proc`, some of the older calls can reach it
/// only by its path.
#[derive(Debug)]
pub(super) struct MountHandle {
    fd: Option<OwnedFd>,
    path: PathBuf,
}

impl MountHandle {
    /// The mount that `fd`, from `open_tree` or `fsmount`, is; it is or will be attached at `path`.
    pub(super) fn new(fd: OwnedFd, path: &Path) -> Self {
        Self {
            fd: Some(fd),
            path: path.to_owned(),
        }
    }

    /// The topmost mount at `path`.
    pub(super) fn open(path: &Path, follow: Follow) -> sys::Result<Self> {
        Ok(Self::new(pin(path, follow)?, path))
    }

    /// Makes a mount on `target` with `mount`, which gets the path that it is to mount on, and
    /// holds it. The mount must show `expected`, if that is known.
    ///
    /// # Errors
    ///
    /// Of `mount`; before it, with nothing mounted, of `mount_error`; of `lost_error` if the mount
    /// cannot be found again, which is then taken away.
    pub(super) fn mount_at<E>(
        target: &Path,
        expected: Option<FileStatus>,
        mount: impl FnOnce(&Path) -> Result<(), E>,
        mount_error: impl FnOnce(Errno) -> E,
        lost_error: impl FnOnce(Errno) -> E,
    ) -> Result<Self, E> {
        let held = match Target::open(target) {
            Ok(held) => held,
            // A target that others can spoil for a moment must not lead to the way without /proc.
            Err(errno) => return Err(mount_error(errno)),
        };
        let Some(held) = held else {
            // Links are followed only once, so that what is mounted can be taken away again (M5).
            let path = target.canonicalize();
            let path = path.unwrap_or_else(|_| target.to_owned());
            mount(&path)?;
            return Ok(Self { fd: None, path });
        };
        mount(held.path())?;
        match held.mounted(expected) {
            Ok(fd) => Ok(Self::new(fd, target)),
            Err(errno) => {
                // The first error counts, as for any step that fails after the mount (M5).
                let _ = held.detach();
                Err(lost_error(errno))
            }
        }
    }

    /// Changes how the mount, and with `MS_REC` those below it, are shared with their copies.
    pub(super) fn set_propagation(&self, flags: MsFlags) -> sys::Result<()> {
        if let Some(fd) = &self.fd {
            let attr = MountAttr {
                propagation: (flags - MsFlags::MS_REC - MsFlags::MS_SILENT).bits(),
                ..MountAttr::default()
            };
            match sys::mount_setattr(fd.as_fd(), scope_of(flags), &attr) {
                Err(errno) if sys::is_unsupported(errno) => {}
                other => return other,
            }
        }
        self.remount(flags.bits())
    }

    /// Makes this mount, but not those below it, read-only.
    pub(super) fn set_read_only(&self, wanted: ReadOnly) -> sys::Result<()> {
        if let Some(fd) = &self.fd {
            match sys::mount_setattr(fd.as_fd(), Scope::TopMount, &wanted.attributes()) {
                Err(errno) if sys::is_unsupported(errno) => {}
                other => return other,
            }
        }
        let current = self.current_flags()?;
        let kept = kept_flags(current) & !wanted.cleared.bits();
        let access_time = kept_access_time(current, wanted.set);
        let read_only = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        self.remount(wanted.set.bits() | kept | access_time | read_only)
    }

    /// The flags of [`KEPT_FLAGS`] that the mount has now, for `mount(2)`.
    pub(super) fn kept_flags(&self) -> sys::Result<c_ulong> {
        Ok(kept_flags(self.current_flags()?))
    }

    /// The flags that the mount has now, as `ST_*`.
    fn current_flags(&self) -> sys::Result<c_ulong> {
        match &self.fd {
            Some(fd) => sys::mount_flags(fd.as_fd()),
            None => sys::mount_flags(pin(&self.path, Follow::Yes)?.as_fd()),
        }
    }

    /// `mount("", this, "", flags, "")`.
    pub(super) fn remount(&self, flags: c_ulong) -> sys::Result<()> {
        let none = OsStr::new("");
        sys::mount(none, &self.reach(), none, flags, none)
    }

    /// Takes the mount away again.
    pub(super) fn detach(&self) -> sys::Result<()> {
        match self.reach() {
            // The last component is a magic link of our own.
            Cow::Owned(path) => sys::umount(&path, libc::MNT_DETACH),
            Cow::Borrowed(path) => sys::umount(path, libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW),
        }
    }

    /// A path to this mount for calls that take no descriptor.
    fn reach(&self) -> Cow<'_, Path> {
        match self.fd.as_ref().and_then(|fd| fd_path(fd.as_fd())) {
            Some(path) => Cow::Owned(path),
            None => Cow::Borrowed(&self.path),
        }
    }
}

fn kept_flags(current: c_ulong) -> c_ulong {
    let kept = KEPT_FLAGS.iter().filter(|(st, _)| current & st != 0);
    kept.fold(0, |flags, (_, ms)| flags | ms)
}

/// What `mount(2)` must be told with `set` so that the other access time flags stay: it keeps them
/// if it is given none, and else takes those that it is given for all (M6).
fn kept_access_time(current: c_ulong, set: MsFlags) -> c_ulong {
    let has = |flag: c_ulong| current & flag != 0;
    if set.intersects(ACCESS_TIME) {
        if has(ST_NODIRATIME) {
            libc::MS_NODIRATIME
        } else {
            0
        }
    } else if !set.contains(MsFlags::MS_NODIRATIME) {
        0
    } else if has(ST_NOATIME) {
        libc::MS_NOATIME
    } else if has(ST_RELATIME) {
        libc::MS_RELATIME
    } else {
        libc::MS_STRICTATIME
    }
}

pub(super) fn scope_of(flags: MsFlags) -> Scope {
    if flags.contains(MsFlags::MS_REC) {
        Scope::Recursive
    } else {
        Scope::TopMount
    }
}

/// Opens a path only to hold it.
pub(crate) fn pin(path: &Path, follow: Follow) -> sys::Result<OwnedFd> {
    let flags = match follow {
        Follow::Yes => libc::O_PATH,
        Follow::No => libc::O_PATH | libc::O_NOFOLLOW,
    };
    sys::open_at(CWD, path, flags, 0)
}

/// The path of an open file below `/proc`, which leads to it wherever it is. `None` if `/proc` is
/// missing or is of another process.
pub(crate) fn fd_path(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let expected = sys::status(fd, Path::new(""), Follow::No).ok()?;
    FD_DIRS.into_iter().find_map(|dir| {
        let path = Path::new(dir).join(fd.as_raw_fd().to_string());
        let found = sys::status(CWD, &path, Follow::Yes).ok()?;
        is_same(&found, &expected).then_some(path)
    })
}

/// Whether two are of the same file on the same mount, as far as that is known.
pub(super) fn is_same(a: &FileStatus, b: &FileStatus) -> bool {
    (a.dev, a.ino, a.mount_id) == (b.dev, b.ino, b.mount_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_alone_touches_nothing_else() {
        let attr = ReadOnly::PLAIN.attributes();
        assert_eq!((attr.attr_set, attr.attr_clr), (1, 0));
    }

    #[test]
    fn asked_flags_are_set_and_refused_flags_cleared() {
        let wanted = ReadOnly {
            set: MsFlags::MS_NOSUID | MsFlags::MS_NODIRATIME,
            cleared: MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY,
        };
        let attr = wanted.attributes();
        assert_eq!(
            (attr.attr_set, attr.attr_clr),
            (0x1 | 0x2 | 0x80, 0x4 | 0x8)
        );
    }

    #[test]
    fn access_time_is_one_value() {
        let of = |set| {
            let cleared = MsFlags::empty();
            let attr = ReadOnly { set, cleared }.attributes();
            (attr.attr_set, attr.attr_clr)
        };
        assert_eq!(of(MsFlags::MS_NOATIME), (0x11, 0x70));
        assert_eq!(of(MsFlags::MS_RELATIME), (0x01, 0x70));
        assert_eq!(of(ACCESS_TIME), (0x21, 0x70));
    }

    #[test]
    fn access_time_flags_that_are_not_changed_are_named_with_those_that_are() {
        let (noatime, nodiratime) = (MsFlags::MS_NOATIME, MsFlags::MS_NODIRATIME);
        for (current, set, expected) in [
            (ST_NOATIME | ST_NODIRATIME, MsFlags::MS_NOSUID, 0),
            (ST_NOATIME, nodiratime, libc::MS_NOATIME),
            (ST_RELATIME, nodiratime, libc::MS_RELATIME),
            (0, nodiratime, libc::MS_STRICTATIME),
            (ST_RELATIME | ST_NODIRATIME, noatime, libc::MS_NODIRATIME),
            (ST_RELATIME, noatime, 0),
            (ST_NOATIME, nodiratime | MsFlags::MS_RELATIME, 0),
        ] {
            assert_eq!(
                kept_access_time(current, set),
                expected,
                "{current:#x} {set:?}"
            );
        }
    }

    #[test]
    fn path_of_a_descriptor_leads_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "text").unwrap();
        let fd = pin(&file, Follow::No).unwrap();
        let path = fd_path(fd.as_fd()).unwrap();
        std::fs::rename(&file, dir.path().join("moved")).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"text");
    }
}
