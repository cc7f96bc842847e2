//! Files and file systems: what type they are
//! ([`statfs(2)`](https://man7.org/linux/man-pages/man2/statfs.2.html)), and copies that share
//! their data ([`ioctl_ficlone(2)`](https://man7.org/linux/man-pages/man2/ioctl_ficlone.2.html),
//! [`copy_file_range(2)`](https://man7.org/linux/man-pages/man2/copy_file_range.2.html)).

mod copy;
mod reflink;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::mount::sys;

pub use reflink::reflink_copy;

/// Magic number of FUSE file systems, from `include/uapi/linux/magic.h`.
pub const FUSE_SUPER_MAGIC: u32 = 0x6573_5546;
/// Magic number of overlayfs.
pub const OVERLAYFS_SUPER_MAGIC: u32 = 0x794c_7630;
/// Magic number of procfs.
pub const PROC_SUPER_MAGIC: u32 = 0x9fa0;
/// Magic number of tmpfs.
pub const TMPFS_MAGIC: u32 = 0x0102_1994;
/// Magic number of hugetlbfs.
pub const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// The last component of the path that `src` is, once all links in it are resolved.
///
/// # Errors
///
/// If `src` does not exist or cannot be resolved, and for the root directory, which has no name.
///
/// ```
/// use kata_sys_util::fs::get_base_name;
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// std::fs::create_dir(dir.join("real"))?;
/// std::os::unix::fs::symlink("real", dir.join("link"))?;
/// assert_eq!(get_base_name(dir.join("link"))?, "real");
/// assert!(get_base_name("/").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn get_base_name<P: AsRef<Path>>(src: P) -> io::Result<OsString> {
    let src = src.as_ref();
    match src.canonicalize()?.file_name() {
        Some(name) => Ok(name.to_owned()),
        None => Err(io::Error::other(format!(
            "failed to get base name of path {}",
            src.display()
        ))),
    }
}

/// Whether `path`, with links followed, lies on a FUSE file system. `false` also means that there
/// is no answer; [`fs_magic`] tells the two apart.
///
/// ```
/// use kata_sys_util::fs::is_fuse_fs;
///
/// assert!(!is_fuse_fs("/proc"));
/// assert!(!is_fuse_fs("/no/such/path"));
/// ```
pub fn is_fuse_fs<P: AsRef<Path>>(path: P) -> bool {
    fs_magic(path).is_ok_and(|magic| magic == FUSE_SUPER_MAGIC)
}

/// Whether `path`, with links followed, lies on an overlay. `false` also means that there is no
/// answer; [`fs_magic`] tells the two apart.
///
/// ```
/// use kata_sys_util::fs::is_overlay_fs;
///
/// assert!(!is_overlay_fs("/proc"));
/// ```
pub fn is_overlay_fs<P: AsRef<Path>>(path: P) -> bool {
    fs_magic(path).is_ok_and(|magic| magic == OVERLAYFS_SUPER_MAGIC)
}

/// The magic number of the file system that `path`, with links followed, lies on: `f_type` of
/// [`statfs(2)`](https://man7.org/linux/man-pages/man2/statfs.2.html).
///
/// # Errors
///
/// What `statfs` answers.
///
/// ```
/// use kata_sys_util::fs::{PROC_SUPER_MAGIC, fs_magic};
///
/// assert_eq!(fs_magic("/proc/self/status")?, PROC_SUPER_MAGIC);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn fs_magic<P: AsRef<Path>>(path: P) -> io::Result<u32> {
    Ok(sys::statfs_magic(path.as_ref())?)
}

/// Whether `path` itself, the last component not followed, is a symbolic link.
///
/// # Errors
///
/// What `lstat(2)` answers, `NotFound` for a path that does not exist.
///
/// ```
/// use kata_sys_util::fs::is_symlink;
///
/// assert!(is_symlink("/proc/self")?);
/// assert!(!is_symlink("/proc")?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_symlink<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_symlink())
}
