//! Starting a hook, waiting for it and killing it
//! ([`pidfd_open(2)`](https://man7.org/linux/man-pages/man2/pidfd_open.2.html)).

use std::ffi::{c_int, c_long, c_uint};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::exec::{self, Program, Start};
use super::signals::Blocked;
use super::{Stack, check, uninterrupted};

const SYS_PIDFD_SEND_SIGNAL: c_long = 424;

/// `include/uapi/linux/pidfd.h`: the process group whose leader the descriptor names (Linux 6.9).
const PIDFD_SIGNAL_PROCESS_GROUP: c_uint = 1 << 2;

/// `_IOWR(0xff, 11, struct pidfd_info)` with the 64 bytes of its first version. The number is the
/// same on powerpc, where the direction bits differ.
const PIDFD_GET_INFO: u32 = 0xc040_ff0b;

/// The exit status of a process that has been waited for (Linux 6.15).
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// After which pauses a program is tried again that is open for writing: somebody has just written
/// it, and a process that was forked meanwhile still holds the descriptor (H13). That may be the
/// new process itself, so each try takes another one.
const BUSY_PAUSES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
];

/// How long a new process may take to write down its id.
const FIRST_STEP: Duration = Duration::from_millis(100);

/// `struct pidfd_info`.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// A process that executes a program.
///
/// It is known before the process does anything: the kernel writes the descriptor, and the process
/// itself its id. Whoever has started it may be killed before it hears of that, or at any time after
/// it: each number is always whole.
pub(in crate::hooks) struct Child {
    /// 0 if it is not known.
    pid: AtomicI32,
    /// -1 if there is none.
    pidfd: AtomicI32,
}

/// Starts a program with these standard streams, in a process group of its own, with every signal
/// at its default and none blocked, and without any other descriptor.
///
/// Cwd, umask, credentials and namespaces are those of the calling thread. `stdio` must be above
/// the standard streams. The caller must wait for the child.
///
/// `child` is it from the moment at which there is one. Should the caller be killed before this
/// returns, the child may still be using `stack` and the stack of the caller.
///
/// # Errors
///
/// No process could be started, or the program could not be executed. Nothing is left then.
pub(in crate::hooks) fn spawn(
    program: &Program,
    stdio: [BorrowedFd<'_>; 3],
    stack: &Stack,
    child: &mut Child,
) -> io::Result<()> {
    let stdio = stdio.map(|fd| fd.as_raw_fd());
    let mut pauses = BUSY_PAUSES.into_iter();
    loop {
        let result = try_spawn(program, stdio, stack, child);
        if result.is_err() {
            child.forget();
        }
        match (result, pauses.next()) {
            (Err(error), Some(pause)) if error.raw_os_error() == Some(libc::ETXTBSY) => {
                thread::sleep(pause);
            }
            (result, _) => return result,
        }
    }
}

fn try_spawn(program: &Program, stdio: [RawFd; 3], stack: &Stack, child: &Child) -> io::Result<()> {
    let start = Start::new(program, stdio, &child.pid);
    // A handler that ran in the child before it has reset them would find itself in our memory.
    let blocked = Blocked::all();
    let started = clone(&start, stack, libc::CLONE_PIDFD, &child.pidfd).or_else(|_| {
        // What a clone writes that fails late is the number of no descriptor of ours any more.
        child.pidfd.store(-1, Ordering::Relaxed);
        // Flags that the kernel does not know, or a filter does not like.
        clone(&start, stack, libc::CLONE_PARENT_SETTID, &child.pid)
    });
    drop(blocked);
    child.pid.store(started?, Ordering::Relaxed);
    match start.error() {
        None => Ok(()),
        Some(error) => {
            child.reap(0);
            Err(error)
        }
    }
}

/// The new process shares our memory, as after `vfork(2)`: we go on when it has executed its
/// program or has ended. So the cost does not depend on how much memory we have.
///
/// Before it begins, the kernel writes to `place` what the flag says. One from before 5.2 does not
/// know `CLONE_PIDFD` and leaves it alone.
fn clone(
    start: &Start<'_>,
    stack: &Stack,
    flag: c_int,
    place: &AtomicI32,
) -> io::Result<libc::pid_t> {
    let flags = flag | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let start = ptr::from_ref(start).cast_mut().cast();
    // SAFETY: `enter` gets the `Start` it wants; that and the stack outlive the time in which the
    // child uses our memory; the place is only written to.
    let pid = unsafe { libc::clone(exec::enter, stack.top(), flags, start, place.as_ptr()) };
    check(pid)?;
    Ok(pid)
}

impl Child {
    /// Not started.
    pub(in crate::hooks) fn new() -> Self {
        Self {
            pid: AtomicI32::new(0),
            pidfd: AtomicI32::new(-1),
        }
    }

    /// Whether it has been started, and is not known to be gone.
    pub(in crate::hooks) fn is_known(&self) -> bool {
        self.pid().is_some() || self.pidfd().is_some()
    }

    /// It is gone.
    pub(in crate::hooks) fn forget(&mut self) {
        *self.pid.get_mut() = 0;
        self.forget_pidfd();
    }

    fn pid(&self) -> Option<libc::pid_t> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// What becomes readable when the child has ended, if the kernel has that.
    pub(in crate::hooks) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        let pidfd = self.pidfd.load(Ordering::Relaxed);
        // SAFETY: the kernel has made this descriptor for us, and it is closed with us.
        (pidfd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(pidfd) })
    }

    /// Goes on without that, if it has turned out to be of no use.
    pub(in crate::hooks) fn forget_pidfd(&mut self) {
        let pidfd = std::mem::replace(self.pidfd.get_mut(), -1);
        if pidfd >= 0 {
            // SAFETY: the kernel has made this descriptor for us, and nobody knows it any more.
            drop(unsafe { OwnedFd::from_raw_fd(pidfd) });
        }
    }

    /// How the child has ended, or `None` if it has not.
    ///
    /// # Errors
    ///
    /// `ECHILD` if somebody else has waited for the child and the kernel does not tell its status.
    pub(in crate::hooks) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        match self.waitpid(libc::WNOHANG) {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => self
                .status_after_reaping()
                .map_or(Err(error), |status| Ok(Some(status))),
            other => other,
        }
    }

    /// Waits for the end of the child in a thread of its own, if there can be one. One that is not
    /// ours is left alone.
    pub(in crate::hooks) fn reap_later(self) {
        let thread = thread::Builder::new().name("reap-hook".to_owned());
        // Without one, the child is left to whoever waits for all children.
        let _ = thread.spawn(move || self.reap(0));
    }

    /// Reaps the child, which has ended, if it is ours.
    pub(in crate::hooks) fn reap_now(&mut self) {
        self.reap(libc::WNOHANG);
        self.forget();
    }

    /// By the descriptor, if there is one: the id may be one of another namespace.
    fn reap(&self, flags: c_int) {
        let by_descriptor = self.pidfd().map(|pidfd| {
            let id = pidfd.as_raw_fd().cast_unsigned();
            let flags = flags | libc::WEXITED | libc::__WALL;
            uninterrupted(|| {
                // SAFETY: nothing is told of the child.
                check(unsafe { libc::waitid(libc::P_PIDFD, id, ptr::null_mut(), flags) })
            })
        });
        // Before Linux 5.4, that is not known.
        let is_unknown = |error: io::Error| error.raw_os_error() == Some(libc::EINVAL);
        if by_descriptor.is_none_or(|result| result.is_err_and(is_unknown)) {
            // One that is not ours is left alone.
            let _ = uninterrupted(|| self.waitpid(flags));
        }
    }

    fn waitpid(&self, flags: c_int) -> io::Result<Option<ExitStatus>> {
        let pid = self
            .pid()
            .ok_or(io::Error::from_raw_os_error(libc::ECHILD))?;
        let mut status: c_int = 0;
        // SAFETY: the status is only written to.
        let pid = unsafe { libc::waitpid(pid, ptr::from_mut(&mut status), flags) };
        check(pid)?;
        Ok((pid != 0).then(|| ExitStatus::from_raw(status)))
    }

    /// The status of a child that somebody else has waited for.
    fn status_after_reaping(&self) -> Option<ExitStatus> {
        let pidfd = self.pidfd()?;
        let mut info = PidfdInfo {
            mask: PIDFD_INFO_EXIT,
            ..PidfdInfo::default()
        };
        // SAFETY: the kernel fills at most the size that is part of the request.
        let result = unsafe {
            libc::ioctl(
                pidfd.as_raw_fd(),
                PIDFD_GET_INFO as _,
                ptr::from_mut(&mut info),
            )
        };
        check(result).ok()?;
        (info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::from_raw(info.exit_code))
    }

    /// Kills the child and its process group.
    pub(in crate::hooks) fn kill(&self) {
        let group = self.pidfd_kill(PIDFD_SIGNAL_PROCESS_GROUP);
        // It may have moved to another group.
        let leader = self.pidfd_kill(0);
        let Some(pid) = self.pid().filter(|_| leader != Killed::Gone) else {
            return; // the id may be that of another process by now
        };
        for (target, killed) in [(-pid, group), (pid, leader)] {
            if killed == Killed::Unknown {
                // SAFETY: kill takes numbers.
                unsafe { libc::kill(target, libc::SIGKILL) };
            }
        }
    }

    /// [`kill`](Self::kill), after the end of the process that has started the child. False if there
    /// is no child.
    pub(in crate::hooks) fn kill_orphan(&mut self) -> bool {
        // With a descriptor and no id, either it has not run yet, or there is none and the number
        // stands for nothing: the kernel takes it back when it cannot start the process after all.
        let begin = Instant::now();
        while self.pid().is_none() && self.pidfd().is_some() {
            if begin.elapsed() > FIRST_STEP {
                *self.pidfd.get_mut() = -1;
            }
            thread::yield_now();
        }
        // Of a PID namespace that the calling thread has made for its children.
        if self.pidfd().is_some_and(|pidfd| id_of(pidfd) != self.pid()) {
            self.pidfd_kill(PIDFD_SIGNAL_PROCESS_GROUP);
            self.pidfd_kill(0);
        } else {
            self.kill();
        }
        self.is_known()
    }

    /// Whether there may be such a process, be it a zombie.
    pub(in crate::hooks) fn is_there(&self) -> bool {
        if self.pidfd().is_some() {
            return true; // it tells of the end itself
        }
        // SAFETY: kill takes numbers, and 0 sends nothing.
        self.pid()
            .is_some_and(|pid| unsafe { libc::kill(pid, 0) } == 0)
    }

    /// Sends SIGKILL by the descriptor.
    fn pidfd_kill(&self, flags: c_uint) -> Killed {
        let Some(pidfd) = self.pidfd() else {
            return Killed::Unknown;
        };
        let info: *const libc::siginfo_t = ptr::null();
        let fd = pidfd.as_raw_fd();
        // SAFETY: without a siginfo, the kernel makes the one of kill(2).
        let result =
            unsafe { libc::syscall(SYS_PIDFD_SEND_SIGNAL, fd, libc::SIGKILL, info, flags) };
        match result {
            0 => Killed::Sent,
            _ if io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) => Killed::Gone,
            _ => Killed::Unknown,
        }
    }
}

/// What has come of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Sent,
    /// There is nobody.
    Gone,
    /// It has to be sent by the process id, which only a child that has not been waited for has for
    /// sure.
    Unknown,
}

/// The id of a process by its descriptor, as this process sees it.
fn id_of(pidfd: BorrowedFd<'_>) -> Option<libc::pid_t> {
    let path = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    id.trim().parse().ok()
}

impl Drop for Child {
    fn drop(&mut self) {
        self.forget_pidfd();
    }
}
