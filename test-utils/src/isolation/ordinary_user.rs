//! A thread without privileges.

use std::io;
use std::ptr;
use std::thread;

use crate::sys::check;

/// Runs `f` in a thread that has no privilege: of root, as the user and group 65534 (`nobody`), of
/// an ordinary user, as that one. Threads that it starts are like it, those that were there before
/// are not. Its panic is that of the caller.
///
/// Directories that root alone may enter are closed to it: it makes its own in
/// [`temp_dir`](std::env::temp_dir).
///
/// # Panics
///
/// If root may not change its user.
///
/// ```
/// use test_utils::isolation::as_ordinary_user;
///
/// let error = as_ordinary_user(|| std::fs::write("/proc/version", "").unwrap_err());
/// assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
/// ```
#[expect(clippy::panic, reason = "the test cannot go on")]
pub fn as_ordinary_user<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    // SAFETY: geteuid takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return f();
    }
    let result = thread::scope(|scope| {
        let thread = scope.spawn(|| match drop_privileges() {
            Ok(()) => f(),
            Err(error) => panic!("cannot become an ordinary user: {error}"),
        });
        thread.join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Makes the calling thread, and no other, one of `nobody`.
fn drop_privileges() -> io::Result<()> {
    const NOBODY: libc::c_uint = 65534;
    let check = |result| check(if result < 0 { -1 } else { 0 });
    // The functions of the C library change all threads.
    // SAFETY: no group is read from null.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()) })?;
    // SAFETY: setresgid takes numbers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) })?;
    // SAFETY: setresuid takes numbers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) })
}
