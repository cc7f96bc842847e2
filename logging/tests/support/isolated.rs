//! A test in a process of its own, for what concerns the whole process: signals, children,
//! namespaces, standard error.

#![allow(clippy::print_stdout, reason = "libtest captures nothing else")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Set in the process that runs the test itself.
const MARK: &str = "KATA_TEST_ISOLATED";

/// Its directory.
const SCRATCH: &str = "KATA_TEST_SCRATCH";

/// Whether this is the process of its own. Else that is started, on this very test, and must
/// succeed: the caller returns.
///
/// `test` is the path of the test below the crate root. `prepare` runs in the new process while it
/// has a single thread.
pub(crate) fn isolated<F>(test: &str, prepare: F) -> bool
where
    F: FnMut() -> io::Result<()> + Send + Sync + 'static,
{
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut command = command(test, prepare);
    let output = match command.env(SCRATCH, scratch.path()).output() {
        Ok(output) => output,
        Err(error) => {
            // Whoever has all privileges must be able to prepare it.
            test_utils::skip_if_no_cap!(CAP_SYS_ADMIN, false);
            panic!("{test}: {error}");
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test} in a process of its own: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// An empty directory for the process of its own, which is removed after it.
pub(crate) fn scratch() -> PathBuf {
    std::env::var_os(SCRATCH).unwrap().into()
}

/// The command that runs a test in a process of its own.
pub(crate) fn command<F>(test: &str, prepare: F) -> Command
where
    F: FnMut() -> io::Result<()> + Send + Sync + 'static,
{
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .stdin(Stdio::null());
    // SAFETY: the closures of these tests do nothing but system calls.
    unsafe { command.pre_exec(prepare) };
    command
}

/// Moves the process into namespaces of its own, with a user namespace unless it is root, in which
/// it is root then.
pub(crate) fn enter_namespaces(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: geteuid takes nothing.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: getegid takes nothing.
    let gid = unsafe { libc::getegid() };
    if uid == 0 {
        // SAFETY: unshare takes numbers.
        return check(unsafe { libc::unshare(flags) });
    }
    // SAFETY: unshare takes numbers.
    check(unsafe { libc::unshare(flags | libc::CLONE_NEWUSER) })?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}

/// Mounts an empty tmpfs of that size in bytes.
pub(crate) fn mount_tmpfs(target: &str, bytes: usize) -> io::Result<()> {
    let private = libc::MS_REC | libc::MS_PRIVATE;
    mount(c"none", c"/", c"", private, c"")?;
    let target = CString::new(target)?;
    let options = CString::new(format!("size={bytes}"))?;
    mount(c"tmpfs", &target, c"tmpfs", 0, &options)
}

fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    options: &CStr,
) -> io::Result<()> {
    // SAFETY: all texts end in NUL and live during the call.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
}

fn write(path: &str, text: &str) -> io::Result<()> {
    let path = CString::new(path)?;
    // SAFETY: the path ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(fd)?;
    // SAFETY: the text has the length that is given.
    let count = unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) };
    let result = check(count as libc::c_int);
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(fd) };
    result
}

pub(crate) fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
