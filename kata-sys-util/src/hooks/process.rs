//! One hook from its start to its end: one loop, one deadline.

use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::stream::{CAPTURE_LIMIT, Captured, Input, Output};
use super::sys::{self, Child, Program, Stack};

/// Enough for the loop that waits for a hook. It keeps its buffers elsewhere.
const SUPERVISOR_STACK: usize = 256 * 1024;

/// Enough for what happens between the start of the process and that of the program.
const CHILD_STACK: usize = 64 * 1024;

/// Pauses between looks at a child that nothing tells the end of.
const SHORTEST_PAUSE: Duration = Duration::from_micros(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// How long a killed hook may take to be gone. Only one that the kernel cannot interrupt, or that
/// we may not kill, takes longer.
const KILL_GRACE: Duration = Duration::from_secs(1);

/// How a hook has ended.
#[derive(Debug)]
pub(super) enum End {
    /// It could not be started.
    NotStarted(io::Error),
    /// It has ended by itself.
    Ended(Status),
    /// It has been killed after the deadline.
    TimedOut,
    /// Waiting for it failed, and it has been killed.
    WaitFailed(io::Error),
}

impl End {
    fn is_for_lack_of_processes(&self) -> bool {
        matches!(self, Self::NotStarted(error) if error.raw_os_error() == Some(libc::EAGAIN))
    }
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// Nobody knows.
    Undetermined,
}

/// What is left of a hook.
pub(super) struct Report {
    pub(super) end: End,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
}

/// Runs `program` with `input` as its standard input until it has ended, or kills it when
/// `timeout` has passed; a time beyond what the clock has means for ever.
///
/// # Errors
///
/// Pipes or memory cannot be had: nothing has been started.
pub(super) fn run(
    program: &Program,
    input: Option<&[u8]>,
    timeout: Duration,
) -> io::Result<Report> {
    let deadline = Instant::now().checked_add(timeout);
    let mut hook = RunningHook {
        program,
        deadline,
        stack: Stack::new(CHILD_STACK)?,
        stdin: Input::new(input)?,
        stdout: Output::new()?,
        stderr: Output::new()?,
        scratch: vec![0; CAPTURE_LIMIT],
    };
    // Not freed before the hook has left our memory.
    let stack = Stack::new(SUPERVISOR_STACK);
    let (mut child, mut end) = (Child::new(), None);
    let is_supervised = stack.as_ref().is_ok_and(|stack| {
        sys::run_in_child(stack, || end = Some(hook.supervise(&mut child))).is_ok()
    });
    // The supervisor has been killed.
    if is_supervised && end.is_none() && child.kill_orphan() && await_end(&child) {
        child.reap_now();
    }
    if !is_supervised || end.as_ref().is_some_and(End::is_for_lack_of_processes) {
        // No second process may be had: the hook is a child of ours.
        end = Some(hook.supervise(&mut child));
    }
    // One that takes longer to be gone than we wait must not stay a zombie, should we be whom it is
    // left to.
    if child.is_known() {
        child.reap_later();
    }
    let end = end.unwrap_or(End::Ended(Status::Undetermined));
    Ok(Report {
        end,
        stdout: hook.stdout.into_captured(),
        stderr: hook.stderr.into_captured(),
    })
}

/// All that [`supervise`](Self::supervise) works on. It allocates nothing, as it runs in a process
/// that may be killed and that shares our heap.
struct RunningHook<'a> {
    program: &'a Program,
    deadline: Option<Instant>,
    stack: Stack,
    stdin: Input<'a>,
    stdout: Output,
    stderr: Output,
    scratch: Vec<u8>,
}

impl RunningHook<'_> {
    /// `child` is where the caller finds what has been started and is not gone.
    fn supervise(&mut self, child: &mut Child) -> End {
        if let Err(error) = self.start(child) {
            return End::NotStarted(error);
        }
        let end = self.wait(child).unwrap_or_else(End::WaitFailed);
        let is_gone = matches!(end, End::Ended(_)) || {
            child.kill();
            await_death(child)
        };
        self.stdout.drain(&mut self.scratch);
        self.stderr.drain(&mut self.scratch);
        if is_gone {
            child.forget();
        }
        end
    }

    fn start(&mut self, child: &mut Child) -> io::Result<()> {
        let stdio = self.stdout.hook_end().zip(self.stderr.hook_end());
        let (stdout, stderr) = stdio.ok_or(ErrorKind::BrokenPipe)?;
        let stdio = [self.stdin.hook_end(), stdout, stderr];
        sys::spawn(self.program, stdio, &self.stack, child)?;
        self.stdout.close_hook_end();
        self.stderr.close_hook_end();
        Ok(())
    }

    fn wait(&mut self, child: &mut Child) -> io::Result<End> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let left = self.time_left();
            let is_over = left == Some(Duration::ZERO);
            if self.wait_for_events(child, left, pause)? || is_over {
                match child.try_wait() {
                    Ok(Some(status)) => return Ok(End::Ended(status.into())),
                    Ok(None) if is_over => return Ok(End::TimedOut),
                    // Linux 5.2 has descriptors of processes that are always ready.
                    Ok(None) => child.forget_pidfd(),
                    Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                        return Ok(End::Ended(Status::Undetermined));
                    }
                    Err(error) => return Err(error),
                }
            }
            pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
        }
    }

    /// `None` is for ever.
    fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// Serves the streams, and tells whether it is time to look at the child.
    fn wait_for_events(
        &mut self,
        child: &Child,
        left: Option<Duration>,
        pause: Duration,
    ) -> io::Result<bool> {
        let exit = child.pidfd();
        let mut fds = [
            event(exit, libc::POLLIN),
            event(self.stdout.readable(), libc::POLLIN),
            event(self.stderr.readable(), libc::POLLIN),
            event(self.stdin.writable(), libc::POLLOUT),
        ];
        let must_look = exit.is_none();
        let timeout = match left {
            _ if !must_look => left,
            Some(left) => Some(left.min(pause)),
            None => Some(pause),
        };
        sys::poll(&mut fds, timeout)?;
        let [exit, stdout, stderr, stdin] = fds.map(|fd| fd.revents != 0);
        if stdout {
            self.stdout.read(&mut self.scratch);
        }
        if stderr {
            self.stderr.read(&mut self.scratch);
        }
        if stdin {
            self.stdin.write()?;
        }
        Ok(exit || must_look)
    }
}

/// Waits for a child that has been killed, and tells whether it is gone. One that is not is left to
/// whoever adopts it.
fn await_death(child: &mut Child) -> bool {
    let Some(deadline) = Instant::now().checked_add(KILL_GRACE) else {
        return false;
    };
    let mut pause = SHORTEST_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        let timeout = if child.pidfd().is_some() { left } else { pause };
        let mut exit = [event(child.pidfd(), libc::POLLIN)];
        let is_ready =
            sys::poll(&mut exit, Some(timeout)).is_ok() && exit.iter().any(|fd| fd.revents != 0);
        if is_ready && matches!(child.try_wait(), Ok(None)) {
            child.forget_pidfd();
        }
        pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
    }
}

/// Waits for the end of a killed process that may be another's child, and tells whether it has ended.
fn await_end(child: &Child) -> bool {
    let begin = Instant::now();
    let pause = match child.pidfd() {
        Some(_) => KILL_GRACE,
        None => LONGEST_PAUSE,
    };
    while child.is_there() {
        let mut exit = [event(child.pidfd(), libc::POLLIN)];
        let is_ready = sys::poll(&mut exit, Some(pause)).is_ok();
        if is_ready && exit.iter().any(|fd| fd.revents & libc::POLLIN != 0) {
            return true;
        }
        if begin.elapsed() >= KILL_GRACE {
            return false;
        }
    }
    true
}

/// What [`poll`](sys::poll) waits for; nothing without a descriptor.
fn event(fd: Option<BorrowedFd<'_>>, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events,
        revents: 0,
    }
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Undetermined,
        }
    }
}
