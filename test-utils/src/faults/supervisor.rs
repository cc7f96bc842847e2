//! Making the n-th call fail: a filter hands the calls of a thread to its *supervisor*, which counts
//! them and lets them go on or answers with an error
//! ([`seccomp_unotify(2)`](https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html), Linux 5.5).

use std::ffi::{c_int, c_long};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::mpsc;
use std::thread;

use super::calls::{CALLS, find};
use super::{Extent, Fault};
use crate::ioctl::NATIVE;
use crate::seccomp::{Filter, Rule};
use crate::sys::check;

/// The call by which the thread tells that the operation has ended, and its argument, with which
/// nobody else makes it: the number of no process.
const END: (c_long, u64) = (libc::SYS_getpgid, 0x7fff_fa17);

// The requests of a listener (`linux/seccomp.h`): `libc` has them from 0.2.187 on, which is more than
// the lock files of many users of this crate have.
const NOTIF_RECV: u32 = NATIVE.iowr::<libc::seccomp_notif>(b'!', 0);
const NOTIF_SEND: u32 = NATIVE.iowr::<libc::seccomp_notif_resp>(b'!', 1);
const NOTIF_SET_FLAGS: u32 = NATIVE.iow::<u64>(b'!', 4);

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`
const SYNC_WAKE_UP: u64 = 1;

/// Longer than anything may take that is tested this way, in milliseconds.
const HANG: c_int = 60_000;

/// What the supervisor has seen of an operation.
#[derive(Debug)]
pub(super) struct Seen {
    /// How often each of [`CALLS`] was made.
    counts: Vec<u32>,
    /// Whether the fault has happened.
    pub(super) is_hit: bool,
}

impl Seen {
    fn new() -> Self {
        Self {
            counts: vec![0; CALLS.len()],
            is_hit: false,
        }
    }

    /// The places in [`CALLS`] of those that were made.
    pub(super) fn calls(&self) -> Vec<usize> {
        let counts = self.counts.iter().enumerate();
        counts.filter(|(_, n)| **n > 0).map(|(i, _)| i).collect()
    }

    fn count(&mut self, place: usize) -> u32 {
        let Some(count) = self.counts.get_mut(place) else {
            return 0;
        };
        *count = count.saturating_add(1);
        *count
    }

    /// The error that a call gets.
    fn verdict(&mut self, place: usize, fault: Option<&Fault>) -> Option<c_int> {
        let count = self.count(place);
        let (call, fault) = (CALLS.get(place)?, fault?);
        if fault.call == call.name && fault.nth == count {
            self.is_hit = true;
            return Some(fault.error);
        }
        let goes_on = self.is_hit
            && match fault.extent {
                Extent::Once => false,
                Extent::SameCall => fault.call == call.name,
                Extent::EveryCall => call.errors.contains(&fault.error),
            };
        goes_on.then_some(fault.error)
    }
}

/// A thread that runs an operation again and again, under a filter.
///
/// One thread for all runs: starting one takes longer than all else on a busy machine.
///
/// While nobody answers, the thread must make no call that is asked about. glibc opens a file when it
/// gives memory back to the kernel, with a lock that we may be waiting for to free what comes from
/// there. So the channels have their memory from the start.
pub(super) struct Worker<S, T> {
    /// The first to go: nothing is asked any more when the thread ends.
    listener: OwnedFd,
    states: mpsc::SyncSender<S>,
    results: mpsc::Receiver<thread::Result<(S, T)>>,
    thread: libc::pid_t,
}

impl<S: Send, T: Send> Worker<S, T> {
    /// Starts the thread, which ends with the worker.
    ///
    /// # Errors
    ///
    /// The kernel does not hand calls to a supervisor.
    pub(super) fn start<'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        act: &'scope (impl Fn(&mut S) -> T + Sync),
    ) -> io::Result<Self>
    where
        S: 'scope,
        T: 'scope,
    {
        let rules = CALLS.iter().map(|call| match call.argument {
            Some((index, mask, value)) => Rule::ask(call.number).if_argument(index, mask, value),
            None => Rule::ask(call.number),
        });
        let rules: Vec<Rule> = rules.chain([Rule::ask(END.0)]).collect();
        let filter = Filter::new(&rules)?;
        let (states, jobs) = mpsc::sync_channel::<S>(1);
        let (done, results) = mpsc::sync_channel(1);
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || {
            let listener = filter.install_with_listener();
            let is_installed = listener.is_ok();
            // SAFETY: gettid takes nothing and cannot fail.
            let thread = unsafe { libc::gettid() };
            let is_sent = sender.send(listener.map(|fd| (fd, thread))).is_ok();
            if !is_installed || !is_sent {
                return;
            }
            for mut state in jobs {
                let result = panic::catch_unwind(AssertUnwindSafe(|| act(&mut state)));
                let is_sent = done.send(result.map(|value| (state, value))).is_ok();
                // SAFETY: the call takes a number, and has no effect.
                unsafe { libc::syscall(END.0, END.1) };
                if !is_sent {
                    return;
                }
            }
        });
        let (listener, thread) = receiver.recv().map_err(io::Error::other)??;
        // Linux 6.6: the two threads run in turn on one CPU, which is faster. Not by the thread
        // itself, which would wait for an answer to this call.
        let fd = listener.as_raw_fd();
        // SAFETY: the request takes a number.
        unsafe { libc::ioctl(fd, NOTIF_SET_FLAGS as _, SYNC_WAKE_UP) };
        Ok(Self {
            listener,
            states,
            results,
            thread,
        })
    }

    /// Runs the operation on `state`, with this fault.
    ///
    /// # Errors
    ///
    /// The thread is gone.
    ///
    /// # Panics
    ///
    /// With the operation.
    pub(super) fn run(&self, state: S, fault: Option<&Fault>) -> io::Result<(S, T, Seen)> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let mut seen = Seen::new();
        self.states.send(state).map_err(|_| gone())?;
        while self.answer_one(fault, &mut seen)? {}
        match self.results.recv().map_err(|_| gone())? {
            Ok((state, value)) => Ok((state, value, seen)),
            Err(payload) => panic::resume_unwind(payload),
        }
    }

    /// Answers a call. Returns whether there will be another one.
    fn answer_one(&self, fault: Option<&Fault>, seen: &mut Seen) -> io::Result<bool> {
        let fd = self.listener.as_raw_fd();
        let mut ready = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the structure is one, as is said.
        if unsafe { libc::poll(&raw mut ready, 1, HANG) } == 0 {
            hang(fault);
        }
        if ready.revents & libc::POLLIN == 0 {
            return match ready.revents {
                0 => Ok(true), // interrupted
                _ => Err(io::ErrorKind::BrokenPipe.into()),
            };
        }
        let mut request = MaybeUninit::<libc::seccomp_notif>::zeroed();
        // SAFETY: the kernel wants zeroes, and fills one such structure.
        let result = unsafe { libc::ioctl(fd, NOTIF_RECV as _, request.as_mut_ptr()) };
        if check(result).is_err() {
            return Ok(true); // killed or interrupted meanwhile
        }
        // SAFETY: all zeroes are valid, and the kernel has filled it.
        let request = unsafe { request.assume_init() };
        let number = c_long::from(request.data.nr);
        let is_end = (number, request.data.args.first()) == (END.0, Some(&END.1));
        let error = match find(number, &request.data.args) {
            Some(place) if self.concerns(place, request.pid) => seen.verdict(place, fault),
            _ => None,
        };
        let mut answer = libc::seccomp_notif_resp {
            id: request.id,
            val: 0,
            error: -error.unwrap_or(0),
            flags: match error {
                Some(_) => 0,
                None => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            },
        };
        // An error is that nobody waits for the answer any more.
        // SAFETY: the kernel reads one such structure.
        unsafe { libc::ioctl(fd, NOTIF_SEND as _, &raw mut answer) };
        Ok(!is_end)
    }
}

impl<S, T> Worker<S, T> {
    /// Whether a call by this thread counts.
    fn concerns(&self, place: usize, caller: u32) -> bool {
        let is_own = i64::from(caller) == i64::from(self.thread);
        let is_for_own = CALLS.get(place).is_some_and(|call| call.is_for_own_thread);
        is_own || (!is_for_own && runs_our_program(caller))
    }
}

/// A thread cannot be stopped, so the process has to.
fn hang(fault: Option<&Fault>) -> ! {
    let fault = fault.map_or("no fault".to_owned(), Fault::to_string);
    eprintln!("no end and no system call for {HANG} ms, after {fault}");
    process::abort()
}

/// Whether a thread runs our program: not one that the operation has started.
fn runs_our_program(caller: u32) -> bool {
    let program = |path: &str| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    match (
        program(&format!("/proc/{caller}/exe")),
        program("/proc/self/exe"),
    ) {
        (Ok(theirs), Ok(ours)) => theirs == ours,
        _ => false,
    }
}

impl Filter {
    /// As [`install`](Self::install); who has the descriptor is asked what becomes of calls with
    /// the verdict [`ask`](Rule::ask).
    fn install_with_listener(&self) -> io::Result<OwnedFd> {
        self.with_program(|program| {
            let operation = libc::SECCOMP_SET_MODE_FILTER;
            let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
            // SAFETY: the kernel only reads the program, which outlives the call.
            let fd = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, program) };
            let fd = c_int::try_from(fd).unwrap_or(-1);
            check(fd)?;
            // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that `strace` prints, of 80 and of 24 bytes (`linux/seccomp.h`).
    #[test]
    fn requests_have_the_sizes_of_the_structures_of_the_kernel() {
        let without_direction = |request: u32| request & 0x1fff_ffff;
        assert_eq!(without_direction(NOTIF_RECV), 0x0050_2100);
        assert_eq!(without_direction(NOTIF_SEND), 0x0018_2101);
        assert_eq!(without_direction(NOTIF_SET_FLAGS), 0x0008_2104);
    }
}
