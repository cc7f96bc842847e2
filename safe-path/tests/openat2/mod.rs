//! The system call itself.

/// The error number of openat2 on `/`, if it fails.
pub fn errno() -> Option<i32> {
    // SAFETY: all zero is a valid `open_how`.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = libc::O_PATH as u64;
    // SAFETY: the path is NUL-terminated, and the size is that of `how`.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            &raw const how,
            size_of_val(&how),
        )
    };
    if fd < 0 {
        return std::io::Error::last_os_error().raw_os_error();
    }
    // SAFETY: the descriptor was opened just now.
    unsafe { libc::close(fd as i32) };
    None
}
