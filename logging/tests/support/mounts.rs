//! Mounts in a namespace of the test's own.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use test_utils::isolation::Isolation;

/// A process with mounts of its own, as root or as root of a user namespace.
pub(crate) fn own_mounts() -> Isolation<'static> {
    Isolation::new()
        .namespaces(libc::CLONE_NEWNS)
        .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)
}

/// Mounts an empty tmpfs of that size in bytes.
pub(crate) fn mount_tmpfs(target: &Path, bytes: usize) {
    mount("tmpfs", target, "tmpfs", 0, &format!("size={bytes}"));
}

/// Makes `source` appear at `target` as well.
pub(crate) fn bind(source: &Path, target: &Path) {
    mount(source.to_str().unwrap(), target, "", libc::MS_BIND, "");
}

/// mount(2), which must succeed.
pub(crate) fn mount(source: &str, target: &Path, kind: &str, flags: libc::c_ulong, options: &str) {
    let result = try_mount(source, target, kind, flags, options);
    assert!(result.is_ok(), "mount {}: {result:?}", target.display());
}

pub(crate) fn try_mount(
    source: &str,
    target: &Path,
    kind: &str,
    flags: libc::c_ulong,
    options: &str,
) -> std::io::Result<()> {
    let [source, kind, options] = [source, kind, options].map(|text| CString::new(text).unwrap());
    let target = CString::new(target.as_os_str().as_bytes()).unwrap();
    // SAFETY: all texts end in NUL and live during the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// Takes the topmost mount at `target` away.
pub(crate) fn unmount(target: &Path) {
    let text = CString::new(target.as_os_str().as_bytes()).unwrap();
    // SAFETY: the text ends in NUL and lives during the call.
    let result = unsafe { libc::umount2(text.as_ptr(), 0) };
    let error = std::io::Error::last_os_error();
    assert_eq!(result, 0, "unmount {}: {error}", target.display());
}
