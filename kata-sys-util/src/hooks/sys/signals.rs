//! Signal masks and dispositions ([`signal(7)`](https://man7.org/linux/man-pages/man7/signal.7.html)).

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

/// Signals that exist.
const SIGNALS: std::ops::RangeInclusive<c_int> = 1..=64;

/// Size of the kernel's signal mask in bytes.
const MASK_SIZE: usize = 8;

/// Blocks signals in the calling thread, until dropped.
pub(super) struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    /// Blocks all signals.
    pub(super) fn all() -> Self {
        Self::set(&full())
    }

    /// Blocks the signals that have a handler.
    pub(super) fn handled() -> Self {
        let mut set = empty();
        for signal in SIGNALS.filter(|signal| has_handler(*signal)) {
            // SAFETY: the set is initialised.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        Self::set(&set)
    }

    fn set(set: &libc::sigset_t) -> Self {
        let mut before = empty();
        // SAFETY: both sets are initialised and outlive the call.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, &raw mut before) };
        Self { before }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(&self.before);
    }
}

/// Blocks all signals in the calling thread, for good.
pub(super) fn block_all() {
    set_mask(&full());
}

/// Blocks no signal in the calling thread.
pub(super) fn unblock_all() {
    set_mask(&empty());
}

/// Sets all signals of this process to their default, those that are ignored included.
pub(super) fn reset_all() {
    SIGNALS.for_each(reset);
}

/// Sets a signal of this process to its default.
pub(super) fn reset(signal: c_int) {
    // The function of the C library refuses 32 and 33, which it keeps for itself, but a caller may
    // have been started with them ignored. All zero is the default on every architecture, whatever
    // the order of the fields, and nothing is longer than this.
    const DEFAULT: [u64; 4] = [0; 4];
    let before: *mut u64 = ptr::null_mut();
    // SAFETY: the default is no handler. Signals that cannot be set are refused.
    unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &DEFAULT, before, MASK_SIZE) };
}

fn has_handler(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and the buffer has the type that sigaction fills.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    if result != 0 {
        return false;
    }
    // SAFETY: sigaction succeeded.
    let handler = unsafe { action.assume_init() }.sa_sigaction;
    handler != libc::SIG_DFL && handler != libc::SIG_IGN
}

fn set_mask(set: &libc::sigset_t) {
    // SAFETY: the set is initialised and outlives the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, set, ptr::null_mut()) };
}

fn empty() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the buffer has the type that sigemptyset fills.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: sigemptyset has filled it.
    unsafe { set.assume_init() }
}

fn full() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the buffer has the type that sigfillset fills.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: sigfillset has filled it.
    unsafe { set.assume_init() }
}
