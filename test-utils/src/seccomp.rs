//! System calls that fail: what an older kernel, or the seccomp filter of a container engine, does
//! to the code under test.
//!
//! A filter ([`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html)) needs no
//! privilege, concerns one thread and what it starts, and cannot be taken away. So [`run_under`]
//! makes a thread for it, and [`Isolation::seccomp`](crate::isolation::Isolation::seccomp) a
//! process. Each filter sets `no_new_privs`.

use std::ffi::{c_int, c_long};
use std::io::{self, ErrorKind};
use std::panic;
use std::thread;

use crate::sys::check;

/// What happens at a system call. Of several rules for a call, the first that applies counts.
///
/// ```
/// use std::fs::File;
/// use test_utils::seccomp::{Rule, run_under};
///
/// // A kernel before Linux 5.6.
/// const NO_OPENAT2: Rule = Rule::fail(libc::SYS_openat2, libc::ENOSYS);
/// // A file system without room: `open` with O_CREAT.
/// const FULL: Rule = Rule::fail(libc::SYS_openat, libc::ENOSPC)
///     .if_argument(2, libc::O_CREAT as u32, libc::O_CREAT as u32);
///
/// let dir = tempfile::tempdir().unwrap();
/// let error = run_under(&[NO_OPENAT2, FULL], || File::create(dir.path().join("x"))).unwrap_err();
/// assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    call: c_long,
    verdict: u32,
    /// Only if argument number `.0` has the bits `.2` under the mask `.1`.
    argument: Option<(u8, u32, u32)>,
}

impl Rule {
    /// The call fails with this error number, 1 to 4095, and has no effect. `call` is one of the
    /// `SYS_` constants of `libc`.
    ///
    /// ```
    /// use test_utils::seccomp::{Rule, run_under};
    ///
    /// let rules = [Rule::fail(libc::SYS_fsync, libc::EIO)];
    /// let file = tempfile::tempfile().unwrap();
    /// assert!(run_under(&rules, || file.sync_all()).is_err());
    /// ```
    pub const fn fail(call: c_long, errno: c_int) -> Self {
        Self {
            call,
            verdict: libc::SECCOMP_RET_ERRNO | errno as u32,
            argument: None,
        }
    }

    /// The call ends the process with SIGSYS: nothing may make it.
    ///
    /// ```
    /// use test_utils::seccomp::{Rule, run_under};
    ///
    /// // Never called: the process would end.
    /// let rules = [Rule::kill(libc::SYS_reboot)];
    /// assert_eq!(run_under(&rules, || 6 * 7), 42);
    /// ```
    pub const fn kill(call: c_long) -> Self {
        Self {
            call,
            verdict: libc::SECCOMP_RET_KILL_PROCESS,
            argument: None,
        }
    }

    /// Whoever has the filter's listener decides what happens.
    pub(crate) const fn ask(call: c_long) -> Self {
        Self {
            call,
            verdict: libc::SECCOMP_RET_USER_NOTIF,
            argument: None,
        }
    }

    /// `clone` fails with this error number if it has all the flags `with` and none of `without`.
    ///
    /// `clone3`, whose flags are in memory, cannot be told apart by them.
    ///
    /// ```
    /// use test_utils::seccomp::{Rule, run_under};
    ///
    /// // No new processes; threads (CLONE_THREAD) are fine.
    /// let rules = [
    ///     Rule::fail_clone(0, libc::CLONE_THREAD, libc::EAGAIN),
    ///     Rule::fail(libc::SYS_clone3, libc::ENOSYS),
    ///     Rule::fail(libc::SYS_fork, libc::EAGAIN),
    ///     Rule::fail(libc::SYS_vfork, libc::EAGAIN),
    /// ];
    /// run_under(&rules, || {
    ///     assert!(std::process::Command::new("/bin/true").spawn().is_err());
    ///     std::thread::spawn(|| ()).join().unwrap();
    /// });
    /// ```
    pub const fn fail_clone(with: c_int, without: c_int, errno: c_int) -> Self {
        // On s390x, the stack comes first (clone(2)).
        let flags = if cfg!(target_arch = "s390x") { 1 } else { 0 };
        let mask = (with | without) as u32;
        Self::fail(libc::SYS_clone, errno).if_argument(flags, mask, with as u32)
    }

    /// Applies only if argument number `index`, 0 to 5, has the value `value` in the bits of
    /// `mask`. Of 64 bits, the lower 32 are looked at. The last condition replaces those before it.
    ///
    /// ```
    /// use test_utils::seccomp::{Rule, run_under};
    ///
    /// // Files can be opened, but not created.
    /// let create = libc::O_CREAT as u32;
    /// let rules = [Rule::fail(libc::SYS_openat, libc::ENOSPC).if_argument(2, create, create)];
    /// run_under(&rules, || {
    ///     assert!(std::fs::File::open("/dev/null").is_ok());
    ///     assert!(std::fs::File::create("/dev/null").is_err());
    /// });
    /// ```
    #[must_use]
    pub const fn if_argument(mut self, index: u8, mask: u32, value: u32) -> Self {
        self.argument = Some((index, mask, value));
        self
    }
}

/// Runs `f` in a thread of its own whose system calls, and those of what it starts, follow `rules`.
/// Returns what `f` does, and panics with it.
///
/// # Panics
///
/// As `f`, and if the filter cannot be installed.
///
/// ```
/// use test_utils::seccomp::{Rule, run_under};
///
/// let no_sync = [Rule::fail(libc::SYS_fsync, libc::EIO)];
/// let file = tempfile::tempfile().unwrap();
/// assert!(run_under(&no_sync, || file.sync_all()).is_err());
/// assert!(file.sync_all().is_ok());
/// ```
pub fn run_under<T, F>(rules: &[Rule], f: F) -> T
where
    T: Send,
    F: FnOnce() -> T + Send,
{
    #[expect(
        clippy::expect_used,
        reason = "a test without its filter tests nothing"
    )]
    let run = || {
        install(rules).expect("install a seccomp filter");
        f()
    };
    let result = thread::scope(|scope| scope.spawn(run).join());
    result.unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Makes the calling thread, and what it starts from now on, follow `rules`, until it ends. Filters
/// add up, and the strictest one wins. No rules, no filter.
///
/// Only for a thread or a process that ends with the test; else, [`run_under`].
///
/// # Errors
///
/// More rules than fit into a filter, about 680 at least, or a kernel without seccomp.
///
/// ```
/// use test_utils::seccomp::{Rule, install};
///
/// std::thread::spawn(|| {
///     install(&[Rule::fail(libc::SYS_fsync, libc::EIO)]).unwrap();
///     assert!(tempfile::tempfile().unwrap().sync_all().is_err());
/// })
/// .join()
/// .unwrap();
/// ```
pub fn install(rules: &[Rule]) -> io::Result<()> {
    Filter::new(rules)?.install()
}

/// The rules as the kernel takes them.
#[derive(Clone)]
pub(crate) struct Filter(Vec<libc::sock_filter>);

impl Filter {
    pub(crate) fn new(rules: &[Rule]) -> io::Result<Self> {
        let mut program = Vec::new();
        for rule in rules {
            let condition = rule.argument.map(|(index, mask, value)| {
                [
                    statement(LOAD, offset_of_argument(index)),
                    statement(AND, mask),
                    jump_unless_equal(value, 1),
                ]
            });
            let skipped = if condition.is_some() { 4 } else { 1 };
            program.push(statement(LOAD, OFFSET_OF_NUMBER));
            program.push(jump_unless_equal(rule.call as u32, skipped));
            program.extend(condition.into_iter().flatten());
            program.push(statement(RETURN, rule.verdict));
        }
        if !rules.is_empty() {
            program.push(statement(RETURN, libc::SECCOMP_RET_ALLOW));
        }
        if program.len() > libc::BPF_MAXINSNS as usize {
            let what = format!("{} rules do not fit into a filter", rules.len());
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        Ok(Self(program))
    }

    /// Only makes system calls, so that it may run between `fork` and `exec`.
    pub(crate) fn install(&self) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.with_program(|program| {
            let mode = libc::SECCOMP_MODE_FILTER;
            // SAFETY: the kernel only reads the program, which outlives the call.
            check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, program) })
        })
    }

    /// Sets `no_new_privs`, and hands `install` the program as the kernel takes it.
    pub(crate) fn with_program<T>(
        &self,
        install: impl FnOnce(*const libc::sock_fprog) -> io::Result<T>,
    ) -> io::Result<T> {
        let program = libc::sock_fprog {
            len: self.0.len() as u16,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the arguments are numbers.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        install(&raw const program)
    }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// In `struct seccomp_data`: the number of the call, and its arguments of 64 bits.
const OFFSET_OF_NUMBER: u32 = 0;
const OFFSET_OF_ARGUMENTS: u32 = 16;

/// That of the lower half.
fn offset_of_argument(index: u8) -> u32 {
    let lower_half = if cfg!(target_endian = "big") { 4 } else { 0 };
    OFFSET_OF_ARGUMENTS + 8 * u32::from(index) + lower_half
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Goes on behind the next `skipped` statements unless the value is `k`.
fn jump_unless_equal(k: u32, skipped: u8) -> libc::sock_filter {
    libc::sock_filter {
        jf: skipped,
        ..statement(JUMP_IF_EQUAL, k)
    }
}
