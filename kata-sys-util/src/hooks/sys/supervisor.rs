//! A function in a child process that shares this one's memory, as after
//! [`vfork(2)`](https://man7.org/linux/man-pages/man2/vfork.2.html).
//!
//! A hook that is a child of this process can be lost to whoever else waits for children: an agent
//! that reaps with `waitpid(-1)`, or the kernel itself if `SIGCHLD` is ignored. Its status is gone
//! then, and its process id may soon be that of another process. So the hook becomes the child of
//! a process that nobody else knows: its *supervisor*. That one takes no copy of our memory, which
//! may be that of a whole virtual machine, and its own end is of no interest to anyone.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

use super::signals::{self, Blocked};
use super::{Stack, check, uninterrupted};

/// Runs `f` in a child process, to its end, while the calling thread is suspended.
///
/// The child shares memory and descriptors with this process, and has the thread-local data,
/// namespaces, working directory and credentials of the calling thread. All its signals are
/// blocked. It dies with the calling thread. `f` must not panic. If the child is killed from outside,
/// a process that it has started may still be using `stack`.
///
/// # Errors
///
/// The child could not be started: `f` was not called. If the child is killed from outside,
/// `f` ends early, and there is no error.
pub(in crate::hooks) fn run_in_child<F: FnMut()>(stack: &Stack, f: F) -> io::Result<()> {
    // SAFETY: getpid takes nothing and cannot fail.
    let parent = unsafe { libc::getpid() };
    let mut call = Call { f, parent };
    // No exit signal: the parent is not notified, and only `__WALL` or `__WCLONE` wait for it.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    // A handler would run in the child, too, if it came before `block_all` there. Signals without
    // one stay as they are, so that a fatal one still ends this process at once.
    let blocked = Blocked::handled();
    let argument = ptr::from_mut(&mut call).cast();
    // SAFETY: the call and the stack outlive the child, as this thread goes on when it has ended.
    let pid = unsafe { libc::clone(enter::<F>, stack.top(), flags, argument) };
    drop(blocked);
    check(pid)?;
    reap(pid);
    Ok(())
}

/// What the child is to do.
struct Call<F> {
    f: F,
    /// Its parent.
    parent: libc::pid_t,
}

/// The child's first function.
extern "C" fn enter<F: FnMut()>(call: *mut c_void) -> c_int {
    signals::block_all();
    // Children of a process that ignores SIGCHLD leave no status. Dispositions are not shared.
    signals::reset(libc::SIGCHLD);
    // SAFETY: PR_SET_PDEATHSIG takes a number.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: this is the pointer that `run_in_child` has made, and its thread is suspended.
    let call = unsafe { &mut *call.cast::<Call<F>>() };
    // SAFETY: getppid takes nothing and cannot fail.
    let parent = unsafe { libc::getppid() };
    // 0 in a PID namespace of its own. Otherwise the parent has died before it could take us along.
    if parent == 0 || parent == call.parent {
        (call.f)();
    }
    0
}

/// Waits for the end of a child that has no exit signal. If somebody else has waited for it, it is
/// gone as well.
fn reap(pid: libc::pid_t) {
    let _ = uninterrupted(|| {
        // SAFETY: the status may be null.
        check(unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) })
    });
}
