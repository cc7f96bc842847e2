//! A seccomp filter for the calling thread: what happens at one system call.

/// What the kernel does at the call.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "each test file uses some")]
pub enum Verdict {
    /// Fails with this error number.
    Fail(i32),
    /// Kills the process with SIGSYS.
    Kill,
}

/// Installs the filter in this thread, which needs no privilege.
pub fn install(call: libc::c_long, verdict: Verdict) {
    let verdict = match verdict {
        Verdict::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // The first word of `struct seccomp_data` is the number of the system call.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            call as u32,
            0,
            1,
        ),
        statement(libc::BPF_RET | libc::BPF_K, verdict, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: only a flag of this thread is set.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the program and its filter outlive the call.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The error number of openat2 on `/`.
#[allow(dead_code, reason = "each test file uses some")]
pub fn openat2_errno() -> Option<i32> {
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
