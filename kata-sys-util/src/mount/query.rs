//! Questions about one path: is something mounted there, and what?
//!
//! The kernel answers them in time that does not depend on how many mounts there are: with
//! [`statx(2)`](https://man7.org/linux/man-pages/man2/statx.2.html) whether a path is the root of a
//! mount (Linux 5.8), with
//! [`statmount(2)`](https://man7.org/linux/man-pages/man2/statmount.2.html) what that mount is
//! (Linux 6.8; its source since 6.13). Neither asks the server of a network or FUSE file system, so
//! that a dead one cannot hang them. Where they are missing, the mount table decides.

use std::ffi::CStr;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::error::{Error, Result};
use super::sys::{self, CWD, FileStatus, Follow};
use super::{LinuxMountInfo, table};
use crate::SysRoot;

const STATMOUNT_MNT_BASIC: u64 = 0x2;
const STATMOUNT_MNT_POINT: u64 = 0x10;
const STATMOUNT_FS_TYPE: u64 = 0x20;
const STATMOUNT_FS_SUBTYPE: u64 = 0x100;
const STATMOUNT_SB_SOURCE: u64 = 0x200;

/// What is mounted at `mount_point`: the topmost mount, as a lookup of the path finds it.
///
/// `mount_point` must be written as the mount table has it: absolute, without `.`, `..` or links.
/// Slashes at its end are ignored. Device and path are decoded, so that a mount at `/a b` is found
/// by that name.
///
/// The answer "nothing is mounted there" takes one system call on Linux 5.8 or later, the other
/// one two on Linux 6.13 or later, however many mounts there are; else the table of the calling
/// thread's mount namespace is read.
///
/// # Errors
///
/// [`NoMountEntry`](Error::NoMountEntry) if nothing is mounted there, be it that the path does not
/// exist or is empty; [`Io`](Error::Io) if the table cannot be read, and
/// [`InvalidMountEntry`](Error::InvalidMountEntry) if its line for this path is damaged.
///
/// ```
/// use kata_sys_util::mount::{Error, get_linux_mount_info};
///
/// assert_eq!(get_linux_mount_info("/proc/")?.fs_type, "proc");
/// assert!(matches!(get_linux_mount_info("/proc/1"), Err(Error::NoMountEntry(_))));
/// # Ok::<(), Error>(())
/// ```
pub fn get_linux_mount_info(mount_point: &str) -> Result<LinuxMountInfo> {
    // An unreadable or unknown answer is no answer: the table decides.
    if let Ok(status) = sys::status(CWD, Path::new(mount_point), Follow::No) {
        if status.is_mount_root == Some(false) {
            return Err(Error::NoMountEntry(mount_point.to_owned()));
        }
        if let Some(info) = describe(&status)
            && info.path == table::without_trailing_slashes(mount_point)
        {
            return Ok(info);
        }
    }
    get_linux_mount_info_in(&SysRoot::default(), mount_point)
}

/// As [`get_linux_mount_info`], from the mount table alone: `thread-self/mounts` of the proc file
/// system of `root`, or `mounts` if there is no such file.
///
/// # Errors
///
/// As [`get_linux_mount_info`].
///
/// ```
/// use kata_sys_util::{SysRoot, mount::get_linux_mount_info_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// std::fs::create_dir(dir.join("proc"))?;
/// std::fs::write(dir.join("proc/mounts"), r"/dev/sdb1 /my\040data xfs rw 0 0")?;
///
/// let info = get_linux_mount_info_in(&SysRoot::under(dir), "/my data")?;
/// assert_eq!((info.device.as_str(), info.fs_type.as_str()), ("/dev/sdb1", "xfs"));
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn get_linux_mount_info_in(root: &SysRoot, mount_point: &str) -> Result<LinuxMountInfo> {
    table::find(root, mount_point)
}

/// Whether something is mounted exactly at `path`. A symbolic link is no mount point, whatever it
/// points to and also with a slash after it; links before the last component are followed.
///
/// One system call on Linux 5.8 or later.
///
/// # Errors
///
/// [`ReadMetadata`](Error::ReadMetadata) if the path does not exist or cannot be reached.
///
/// ```
/// use kata_sys_util::mount::is_mount_point;
///
/// assert!(is_mount_point("/proc")?);
/// assert!(!is_mount_point("/proc/1")?);
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn is_mount_point<P: AsRef<Path>>(path: P) -> Result<bool> {
    let path = path.as_ref();
    // An empty path would be the working directory.
    if path.as_os_str().is_empty() {
        return Err(read_metadata(path, Errno::ENOENT));
    }
    // Without `/` and `/.` at the end, after which a link would be followed.
    let name: PathBuf = path.components().collect();
    let status = sys::status(CWD, &name, Follow::No).map_err(|e| read_metadata(path, e))?;
    match status.is_mount_root {
        Some(answer) => Ok(answer),
        None => is_in_table(&name),
    }
}

/// The magic number (`f_type` of
/// [`statfs(2)`](https://man7.org/linux/man-pages/man2/statfs.2.html)) of the file system that is
/// mounted exactly at `path`, or `None` if `path` is no mount point.
///
/// This tells a tmpfs or hugetlbfs `emptyDir` volume from a plain directory in two system calls,
/// however many mounts there are.
///
/// # Errors
///
/// As [`is_mount_point`].
///
/// ```
/// use kata_sys_util::fs::PROC_SUPER_MAGIC;
/// use kata_sys_util::mount::mount_point_magic;
///
/// assert_eq!(mount_point_magic("/proc")?, Some(PROC_SUPER_MAGIC));
/// assert_eq!(mount_point_magic("/proc/1")?, None);
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn mount_point_magic<P: AsRef<Path>>(path: P) -> Result<Option<u32>> {
    let path = path.as_ref();
    if !is_mount_point(path)? {
        return Ok(None);
    }
    let magic = sys::statfs_magic(path).map_err(|errno| read_metadata(path, errno))?;
    Ok(Some(magic))
}

fn read_metadata(path: &Path, errno: Errno) -> Error {
    Error::ReadMetadata(path.to_owned(), errno.into())
}

/// The answer of the table, which has absolute paths without links.
fn is_in_table(path: &Path) -> Result<bool> {
    let absolute = resolve_parent(path).map_err(|e| Error::ReadMetadata(path.to_owned(), e))?;
    table::contains(&SysRoot::default(), &absolute)
}

/// The path without links, but for its last component.
fn resolve_parent(path: &Path) -> io::Result<PathBuf> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => {
            Ok(Path::new(".").canonicalize()?.join(name))
        }
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => path.canonicalize(),
    }
}

/// The table's entry for a mount, from `statmount(2)`. `None` if the kernel does not tell all of
/// it.
fn describe(status: &FileStatus) -> Option<LinuxMountInfo> {
    let id = status.mount_id.filter(|_| status.mount_id_is_unique)?;
    let wanted =
        STATMOUNT_MNT_POINT | STATMOUNT_FS_TYPE | STATMOUNT_FS_SUBTYPE | STATMOUNT_SB_SOURCE;
    // Room for two paths of the longest kind; on the heap, this would be slower than the call.
    let mut buffer = [0_u8; 9 * 1024];
    sys::statmount(id, wanted, &mut buffer).ok()?;
    StatMount { buffer: &buffer }.mount_info()
}

/// The id of the mount that a mount is on, both of the unique kind.
///
/// # Errors
///
/// Those of `statmount`, with `ENOENT` for a mount that is not there any more.
pub(super) fn parent_of(mount_id: u64) -> sys::Result<u64> {
    let mut buffer = [0_u8; StatMount::STRINGS];
    sys::statmount(mount_id, STATMOUNT_MNT_BASIC, &mut buffer)?;
    let answer = StatMount { buffer: &buffer };
    answer.parent_id().ok_or(Errno::EINVAL)
}

/// `struct statmount` of `include/uapi/linux/mount.h`: numbers, and strings by their offsets.
struct StatMount<'a> {
    buffer: &'a [u8],
}

impl StatMount<'_> {
    const MASK: usize = 8;
    const FS_TYPE: usize = 36;
    const MNT_PARENT_ID: usize = 48;
    const MNT_POINT: usize = 108;
    const FS_SUBTYPE: usize = 120;
    const SB_SOURCE: usize = 124;
    const STRINGS: usize = 512;

    fn mount_info(&self) -> Option<LinuxMountInfo> {
        let mut fs_type = self.string(STATMOUNT_FS_TYPE, Self::FS_TYPE)?;
        if let Some(subtype) = self.string(STATMOUNT_FS_SUBTYPE, Self::FS_SUBTYPE) {
            fs_type.push('.');
            fs_type.push_str(&subtype);
        }
        Some(LinuxMountInfo {
            device: self.string(STATMOUNT_SB_SOURCE, Self::SB_SOURCE)?,
            path: self.string(STATMOUNT_MNT_POINT, Self::MNT_POINT)?,
            fs_type,
        })
    }

    fn parent_id(&self) -> Option<u64> {
        let is_set = self.number(Self::MASK)? & STATMOUNT_MNT_BASIC != 0;
        self.number(Self::MNT_PARENT_ID).filter(|_| is_set)
    }

    fn number(&self, field: usize) -> Option<u64> {
        let bytes = self.buffer.get(field..field.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// The string whose offset is at `field`, if the kernel has set it.
    fn string(&self, bit: u64, field: usize) -> Option<String> {
        if self.number(Self::MASK)? & bit == 0 {
            return None;
        }
        let offset = self.buffer.get(field..field + 4)?;
        let offset = u32::from_ne_bytes(offset.try_into().ok()?);
        let start = Self::STRINGS.checked_add(usize::try_from(offset).ok()?)?;
        let text = CStr::from_bytes_until_nul(self.buffer.get(start..)?).ok()?;
        Some(String::from_utf8_lossy(text.to_bytes()).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A `struct statmount` with these results, and strings at these offsets.
    fn answer(mask: u64, fields: &[(usize, u32)], strings: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; StatMount::STRINGS];
        buffer[StatMount::MASK..StatMount::MASK + 8].copy_from_slice(&mask.to_ne_bytes());
        for (field, offset) in fields {
            buffer[*field..field + 4].copy_from_slice(&offset.to_ne_bytes());
        }
        buffer.extend_from_slice(strings);
        buffer
    }

    const ALL: u64 = STATMOUNT_MNT_POINT | STATMOUNT_FS_TYPE | STATMOUNT_SB_SOURCE;
    const FIELDS: [(usize, u32); 4] = [
        (StatMount::MNT_POINT, 0),
        (StatMount::FS_TYPE, 5),
        (StatMount::FS_SUBTYPE, 10),
        (StatMount::SB_SOURCE, 14),
    ];
    const STRINGS: &[u8] = b"/a b\0fuse\0sub\0srv\0";

    fn parse(buffer: &[u8]) -> Option<(String, String, String)> {
        let info = StatMount { buffer }.mount_info()?;
        Some((info.device, info.path, info.fs_type))
    }

    #[test]
    fn answer_of_the_kernel_is_read_by_its_offsets() {
        let of = |fs_type: &str| Some(("srv".to_owned(), "/a b".to_owned(), fs_type.to_owned()));
        assert_eq!(parse(&answer(ALL, &FIELDS, STRINGS)), of("fuse"));
        let with_subtype = answer(ALL | STATMOUNT_FS_SUBTYPE, &FIELDS, STRINGS);
        assert_eq!(parse(&with_subtype), of("fuse.sub"));
    }

    #[test]
    fn parent_is_told_only_if_the_kernel_has_set_it() {
        for (mask, expected) in [(STATMOUNT_MNT_BASIC, Some(7)), (ALL, None)] {
            let mut buffer = answer(mask, &[], &[]);
            let field = StatMount::MNT_PARENT_ID;
            buffer[field..field + 8].copy_from_slice(&7_u64.to_ne_bytes());
            assert_eq!(StatMount { buffer: &buffer }.parent_id(), expected);
        }
        assert_eq!(StatMount { buffer: &[0; 40] }.parent_id(), None);
    }

    #[test]
    fn answer_that_is_not_complete_is_none() {
        for missing in [STATMOUNT_MNT_POINT, STATMOUNT_FS_TYPE, STATMOUNT_SB_SOURCE] {
            assert_eq!(parse(&answer(ALL & !missing, &FIELDS, STRINGS)), None);
        }
        let cut = answer(ALL, &FIELDS, &STRINGS[..STRINGS.len() - 1]);
        assert_eq!(parse(&cut), None);
        assert_eq!(
            parse(&answer(ALL, &[(StatMount::FS_TYPE, u32::MAX)], STRINGS)),
            None
        );
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic(buffer in proptest::collection::vec(any::<u8>(), 0..700)) {
            let _ = parse(&buffer);
        }
    }
}
