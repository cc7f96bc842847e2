//! Allocations that fail.
//!
//! Most code cannot go on then: the standard library ends the process
//! ([`handle_alloc_error`](std::alloc::handle_alloc_error)). What is to be seen is what such an end
//! leaves behind, so each attempt is made in a forked child.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_int;
use std::io;
use std::ptr;

use super::Context;
use crate::sys::check;

/// More than any operation makes.
const MOST_ALLOCATIONS: u32 = 20_000;

/// Exit statuses of the child.
const WITHOUT_FAULT: c_int = 0;
const IN_SPITE_OF_FAULT: c_int = 1;

/// The system's allocator, until [`at_every_allocation`] lets it fail.
///
/// ```
/// use test_utils::faults::FailingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: FailingAllocator = FailingAllocator;
///
/// assert_eq!(vec![7; 1000].len(), 1000);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingAllocator;

/// How an operation has ended in which an allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocationFault {
    /// There was none.
    None,
    /// It has gone on and returned.
    Survived,
    /// It has ended the process, as the standard library does.
    Aborted,
}

thread_local! {
    /// How many allocations are left until one fails; 0 if none is to fail.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Runs an operation in a child process again and again, with one allocation of its thread failing
/// after the other, until it makes no more. `check` looks at what it leaves.
///
/// `prepare` and `check` run in the calling process, in which [`FailingAllocator`] must be the global
/// allocator. A line on standard output that begins with `INFO: faults` tells how many there were.
///
/// # Panics
///
/// With `prepare` and `check`; if the child ends in another way than an [`AllocationFault`], or the
/// operation allocates nothing.
pub fn at_every_allocation<S>(
    operation: &str,
    mut prepare: impl FnMut() -> S,
    mut act: impl FnMut(&mut S),
    mut check: impl FnMut(&mut S, AllocationFault),
) {
    let (mut aborted, mut survived) = (0_u32, 0_u32);
    for nth in 1..=MOST_ALLOCATIONS {
        let fault = format!("allocation number {nth} fails");
        let _context = Context::new(operation, Some(fault));
        let mut state = prepare();
        let status = in_child(|| {
            LEFT.set(nth);
            act(&mut state);
            match LEFT.replace(0) {
                0 => IN_SPITE_OF_FAULT,
                _ => WITHOUT_FAULT,
            }
        });
        let end = match status {
            Ok(status) if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGABRT => {
                AllocationFault::Aborted
            }
            Ok(status) if libc::WIFEXITED(status) => match libc::WEXITSTATUS(status) {
                WITHOUT_FAULT => AllocationFault::None,
                IN_SPITE_OF_FAULT => AllocationFault::Survived,
                code => unexpected(operation, nth, &format_args!("exit status {code}")),
            },
            Ok(status) => unexpected(operation, nth, &format_args!("wait status {status:#x}")),
            Err(error) => unexpected(operation, nth, &error),
        };
        check(&mut state, end);
        match end {
            AllocationFault::Aborted => aborted += 1,
            AllocationFault::Survived => survived += 1,
            AllocationFault::None => {
                assert!(nth > 1, "{operation} allocates nothing that can fail");
                return report(operation, aborted, survived);
            }
        }
    }
    unexpected(operation, MOST_ALLOCATIONS, &"allocates without end")
}

#[expect(clippy::panic, reason = "the test fails")]
fn unexpected(operation: &str, nth: u32, what: &dyn std::fmt::Display) -> ! {
    panic!("{operation}, allocation number {nth} fails: {what}")
}

#[expect(clippy::print_stdout, reason = "for the output of the test")]
fn report(operation: &str, aborted: u32, survived: u32) {
    println!("INFO: faults in {operation}: allocations: {aborted} aborted, {survived} survived");
}

/// Runs `f` in a copy of this process, whose exit status it returns. Gives the status as of
/// `waitpid(2)`.
fn in_child(f: impl FnOnce() -> c_int) -> io::Result<c_int> {
    // SAFETY: the child has one thread. glibc makes its allocator usable there.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            be_quiet();
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
            // SAFETY: _exit takes a number.
            unsafe { libc::_exit(status.unwrap_or(101)) }
        }
        child => {
            let mut status = 0;
            loop {
                // SAFETY: the status is only written to.
                let result = unsafe { libc::waitpid(child, ptr::from_mut(&mut status), 0) };
                match check(result) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => break other.map(|()| status),
                }
            }
        }
    }
}

/// An abort writes no message, no backtrace (which takes longer than the rest), and no core.
fn be_quiet() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel reads one such structure.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // SAFETY: no other thread is there.
    unsafe { std::env::set_var("RUST_BACKTRACE", "0") };
    // SAFETY: the path ends in NUL.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    // SAFETY: dup2 takes numbers.
    unsafe { libc::dup2(null, libc::STDERR_FILENO) };
    // SAFETY: close takes a number, of a descriptor that nobody else knows.
    unsafe { libc::close(null) };
}

/// Whether the allocation fails that is made just now.
fn is_due() -> bool {
    // The counter is gone while the thread ends.
    let result = LEFT.try_with(|left| {
        let before = left.get();
        left.set(before.saturating_sub(1));
        before == 1
    });
    result.unwrap_or(false)
}

// SAFETY: every request is handed to the system's allocator unchanged, or fails.
unsafe impl GlobalAlloc for FailingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_due() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_due() {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_due() {
            return ptr::null_mut();
        }
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
