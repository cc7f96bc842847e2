//! What `/proc` says about the mount that an open file lies on: `fdinfo` has its id, `mountinfo` how
//! it hangs together with others
//! ([`proc_pid_fdinfo(5)`](https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html),
//! [`proc_pid_mountinfo(5)`](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)).
//!
//! Every kernel tells it this way; newer calls tell only parts of it. All paths are those of files in
//! `/proc/PID/fd`.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::sys;
use super::table::unescape;

/// What the mount table says about a file.
pub(super) struct Place {
    /// It is the root of the mount that it is on.
    pub(super) is_root: bool,
    /// A mount is on the root of that mount.
    pub(super) is_covered: bool,
}

/// Whether a file is the root of a mount, for kernels that do not tell with its status.
///
/// # Errors
///
/// The mount table cannot be read, or does not tell either (`EINVAL`).
pub(super) fn is_mount_root(path: &Path) -> sys::Result<bool> {
    Place::read(path).map(|place| place.is_root)
}

impl Place {
    pub(super) fn read(path: &Path) -> sys::Result<Self> {
        let (info, table) = (read_info(path)?, read_table(path)?);
        let link = path.read_link().map_err(errno_of)?;
        Self::find(&info, &table, &link).ok_or(Errno::EINVAL)
    }

    /// `None` if the table does not tell.
    fn find(info: &[u8], table: &[u8], link: &Path) -> Option<Self> {
        let id = mount_id(info)?;
        let own = lines(table).find(|mount| mount.id == id)?;
        Some(Self {
            is_root: link.as_os_str().as_bytes() == &*unescape(own.point),
            is_covered: lines(table).any(|mount| mount.parent == id && mount.point == own.point),
        })
    }
}

/// The mounts that were on one mount at one time, so that a later one can be told from them. Names
/// do not matter.
#[derive(Debug)]
pub(super) struct Children {
    /// Id of the mount that they are on.
    parent: Vec<u8>,
    known: Vec<Identity>,
}

/// Id and device number of a mount: ids are given again soon after a mount has gone.
type Identity = (Vec<u8>, Vec<u8>);

impl Children {
    /// The mounts on the one that a file lies on.
    ///
    /// # Errors
    ///
    /// The files in `/proc` cannot be read, or say nothing (`EINVAL`).
    pub(super) fn read(path: &Path) -> sys::Result<Self> {
        let (info, table) = (read_info(path)?, read_table(path)?);
        let parent = mount_id(&info).ok_or(Errno::EINVAL)?;
        let children = lines(&table).filter(|mount| mount.parent == parent);
        Ok(Self {
            known: children.map(|mount| mount.identity()).collect(),
            parent: parent.to_owned(),
        })
    }

    /// Whether a file lies on a mount that has joined these.
    ///
    /// # Errors
    ///
    /// As of [`read`](Self::read).
    pub(super) fn has_new(&self, path: &Path) -> sys::Result<bool> {
        let info = read_info(path)?;
        let id = mount_id(&info).ok_or(Errno::EINVAL)?;
        if id == self.parent {
            return Ok(false);
        }
        let table = read_table(path)?;
        let mut children = lines(&table).filter(|mount| mount.parent == self.parent);
        let found = children.find(|mount| mount.id == id);
        Ok(found.is_some_and(|mount| !self.known.contains(&mount.identity())))
    }
}

/// A line of `/proc/PID/mountinfo`.
struct MountLine<'a> {
    id: &'a [u8],
    parent: &'a [u8],
    device: &'a [u8],
    /// With escapes.
    point: &'a [u8],
}

impl MountLine<'_> {
    fn identity(&self) -> Identity {
        (self.id.to_owned(), self.device.to_owned())
    }
}

fn lines(table: &[u8]) -> impl Iterator<Item = MountLine<'_>> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<MountLine<'_>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (id, parent, device) = (fields.next()?, fields.next()?, fields.next()?);
    let (_root, point) = (fields.next()?, fields.next()?);
    Some(MountLine {
        id,
        parent,
        device,
        point,
    })
}

fn mount_id(info: &[u8]) -> Option<&[u8]> {
    let mut lines = info.split(|byte| *byte == b'\n');
    let id = lines.find_map(|line| line.strip_prefix(b"mnt_id:"))?;
    Some(id.trim_ascii())
}

fn read_info(path: &Path) -> sys::Result<Vec<u8>> {
    let name = path.file_name().ok_or(Errno::EINVAL)?;
    read_of_process(path, &Path::new("fdinfo").join(name))
}

fn read_table(path: &Path) -> sys::Result<Vec<u8>> {
    read_of_process(path, Path::new("mountinfo"))
}

fn read_of_process(path: &Path, name: &Path) -> sys::Result<Vec<u8>> {
    let process = path.parent().and_then(Path::parent);
    fs::read(process.ok_or(Errno::EINVAL)?.join(name)).map_err(errno_of)
}

fn errno_of(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_i32)
}
