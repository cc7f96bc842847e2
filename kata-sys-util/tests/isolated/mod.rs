//! A test in a process of its own, for what concerns the whole process: signals, children,
//! descriptors, namespaces, system calls that fail.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::print_stdout, reason = "libtest captures nothing else")]

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
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

/// Makes a directory the root of this process, and the working directory.
pub(crate) fn change_root(root: &Path) {
    std::os::unix::fs::chroot(root).unwrap();
    std::env::set_current_dir("/").unwrap();
}

/// A system call that fails.
#[derive(Clone, Copy)]
pub(crate) struct Denied {
    pub(crate) number: libc::c_long,
    /// Only if these bits of the flags of `clone` ...
    pub(crate) mask: u32,
    /// ... have this value.
    pub(crate) value: u32,
    pub(crate) errno: i32,
}

impl Denied {
    pub(crate) const fn always(number: libc::c_long, errno: i32) -> Self {
        Self {
            number,
            mask: 0,
            value: 0,
            errno,
        }
    }

    /// `clone` with these flags, and without those others.
    pub(crate) const fn clone_with(with: i32, without: i32, errno: i32) -> Self {
        Self {
            number: libc::SYS_clone,
            mask: (with | without) as u32,
            value: with as u32,
            errno,
        }
    }
}

/// Makes system calls of this process and its children fail, with a seccomp filter.
pub(crate) fn deny(calls: &[Denied]) -> io::Result<()> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // `struct seccomp_data`; of the 64 bits of an argument, the flags are the lower half.
    const NUMBER: u32 = 0;
    let argument = if cfg!(target_arch = "s390x") { 24 } else { 16 };
    let flags = argument + if cfg!(target_endian = "big") { 4 } else { 0 };

    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let mut program = Vec::new();
    for call in calls {
        program.extend([
            step(LOAD, 0, 0, NUMBER),
            step(JUMP_IF_EQUAL, 0, 4, call.number as u32),
            step(LOAD, 0, 0, flags),
            step(AND, 0, 0, call.mask),
            step(JUMP_IF_EQUAL, 0, 1, call.value),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | call.errno as u32),
        ]);
    }
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: prctl takes numbers here.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    // SAFETY: the program lives during the call.
    check(unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
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
