//! A `/run` that no other process sees.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::ptr;

use test_utils::isolation::unshare;

/// Gives this process, which must not have other threads, an empty `/run`: in a mount namespace, and
/// for an ordinary user in a user namespace.
///
/// # Errors
///
/// The system does not allow either.
pub fn enter_own_run() -> io::Result<()> {
    // SAFETY: there is nothing to be observed.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    if unshare(libc::CLONE_NEWNS).is_err() {
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))?;
    }
    mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"tmpfs", c"/run", 0)
}

fn mount(kind: &CStr, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let (kind, target) = (kind.as_ptr(), target.as_ptr());
    // SAFETY: strings that end with 0, and no data.
    match unsafe { libc::mount(kind, target, kind, flags, ptr::null()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
