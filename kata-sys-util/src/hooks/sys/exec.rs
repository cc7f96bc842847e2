//! The new process from its start until it is the hook
//! ([`execve(2)`](https://man7.org/linux/man-pages/man2/execve.2.html)).
//!
//! It shares our memory until then, so this code does nothing but system calls: no allocation, no
//! lock.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{check, inherited, signals};

/// The exit status of a process whose program could not be executed; nobody sees it.
const EXIT_NOT_EXECUTED: c_int = 127;

/// A program, its arguments and its environment, as `execve(2)` wants them.
pub(in crate::hooks) struct Program {
    path: CString,
    args: StringArray,
    env: StringArray,
}

impl Program {
    /// `args` begin with the name of the program.
    pub(in crate::hooks) fn new(path: CString, args: Vec<CString>, env: Vec<CString>) -> Self {
        Self {
            path,
            args: StringArray::new(args),
            env: StringArray::new(env),
        }
    }
}

/// Strings, and an array of pointers to them that ends in null.
struct StringArray {
    pointers: Vec<*const c_char>,
    _strings: Vec<CString>,
}

impl StringArray {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr());
        Self {
            pointers: pointers.chain([ptr::null()]).collect(),
            _strings: strings,
        }
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// What the new process needs, and how it tells why it failed.
pub(super) struct Start<'a> {
    program: &'a Program,
    stdio: [RawFd; 3],
    pid: &'a AtomicI32,
    errno: AtomicI32,
}

impl<'a> Start<'a> {
    /// `stdio` are descriptors above the standard streams. `pid` is where the process writes its id.
    pub(super) fn new(program: &'a Program, stdio: [RawFd; 3], pid: &'a AtomicI32) -> Self {
        Self {
            program,
            stdio,
            pid,
            errno: AtomicI32::new(0),
        }
    }

    /// Why the program could not be executed.
    pub(super) fn error(&self) -> Option<io::Error> {
        match self.errno.load(Ordering::Relaxed) {
            0 => None,
            errno => Some(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// The first function of the new process, whose signals are all blocked. `start` points to a
/// [`Start`].
pub(super) extern "C" fn enter(start: *mut c_void) -> c_int {
    // SAFETY: the parent gives a pointer to a `Start` and is suspended.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    // SAFETY: getpid takes nothing and cannot fail.
    start
        .pid
        .store(unsafe { libc::getpid() }, Ordering::Relaxed);
    let error = execute(start);
    // Where there is no number, any that is not 0 tells of a failure.
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    start.errno.store(errno, Ordering::Relaxed);
    EXIT_NOT_EXECUTED
}

/// Becomes the program, or returns why not.
fn execute(start: &Start<'_>) -> io::Error {
    // SAFETY: setpgid takes numbers. Where a filter forbids it, only the hook itself is killed.
    unsafe { libc::setpgid(0, 0) };
    signals::reset_all();
    for (source, target) in start.stdio.into_iter().zip(0..) {
        // SAFETY: dup2 takes numbers.
        if let Err(error) = check(unsafe { libc::dup2(source, target) }) {
            return error;
        }
    }
    inherited::close_on_exec();
    signals::unblock_all();
    let Program { path, args, env } = start.program;
    // SAFETY: path and entries of both arrays end in NUL, both arrays in null, and all live.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}
