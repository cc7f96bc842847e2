//! What the tests share: a private set of mounts, kernels with calls missing, and a look at the
//! mount table.

#[macro_use]
mod namespace;
mod kernel;
mod table;

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(crate) use kernel::*;
pub(crate) use namespace::{locked_mounts, private_mounts, unshare_mounts};
pub(crate) use table::{Entry, all_entries, entries_at, entry_at, is_listed};

/// `mount(2)` as it is, for what a test needs beforehand.
#[track_caller]
pub(crate) fn raw_mount(
    source: &str,
    target: &Path,
    fs_type: &str,
    flags: libc::c_ulong,
    data: &str,
) {
    let text = |s: &str| CString::new(s).unwrap();
    let target_text = CString::new(target.as_os_str().as_bytes()).unwrap();
    let (source, fs_type, data) = (text(source), text(fs_type), text(data));
    // SAFETY: all five arguments are strings that end in NUL and outlive the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target_text.as_ptr(),
            fs_type.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    };
    let error = std::io::Error::last_os_error();
    assert_eq!(result, 0, "mount on {}: {error}", target.display());
}

/// A new directory with a tmpfs on it.
#[track_caller]
pub(crate) fn tmpfs(path: PathBuf, flags: libc::c_ulong) -> PathBuf {
    fs::create_dir_all(&path).unwrap();
    raw_mount("tmpfs", &path, "tmpfs", flags, "mode=755");
    path
}

/// A new directory.
#[track_caller]
pub(crate) fn dir(path: PathBuf) -> PathBuf {
    fs::create_dir_all(&path).unwrap();
    path
}

/// A new file with this text, its parents created.
#[track_caller]
pub(crate) fn file(path: PathBuf, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

#[track_caller]
pub(crate) fn link(target: impl AsRef<Path>, path: PathBuf) -> PathBuf {
    std::os::unix::fs::symlink(target, &path).unwrap();
    path
}

pub(crate) fn can_write(path: &Path) -> bool {
    File::options().write(true).open(path).is_ok()
}

/// The release of the running kernel, as (major, minor).
pub(crate) fn kernel_release() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Whether to skip, loudly, what needs a newer kernel.
pub(crate) fn is_older_than(release: (u32, u32), what: &str) -> bool {
    let is_older = kernel_release() < release;
    if is_older {
        println!(
            "INFO: skipping {what} which needs Linux {}.{}",
            release.0, release.1
        );
    }
    is_older
}

/// The state letter of a thread of this process.
pub(crate) fn thread_state(tid: libc::pid_t) -> char {
    let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    after_name.chars().next().unwrap()
}

pub(crate) fn thread_id() -> libc::pid_t {
    // SAFETY: gettid takes no argument and cannot fail.
    unsafe { libc::gettid() }
}

pub(crate) fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask takes a number and cannot fail.
    unsafe { libc::umask(mask) };
}

/// `umount2(2)` as it is.
pub(crate) fn raw_umount(path: &Path, flags: libc::c_int) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends in NUL and outlives the call.
    match unsafe { libc::umount2(path.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// A name for a device number, for `mknod(2)` of a FIFO.
pub(crate) fn make_fifo(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends in NUL and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}
