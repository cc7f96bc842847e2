//! `reflink_copy` of a file that somebody has a lease on (`F_SETLEASE` of `fcntl(2)`).

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::channel;
use std::thread;

use kata_sys_util::fs::reflink_copy;

use crate::support::*;

/// Who has a lease is told that somebody wants the file, and has time to finish with it.
#[test]
fn lease_on_the_source_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let src = file(place.path().join("src"), "the source");
    let dst = place.path().join("dst");
    let (tell, told) = channel();
    let name = src.clone();
    let holder = thread::spawn(move || {
        let signal = block_signal(libc::SIGUSR1);
        let held = File::options().write(true).open(name).unwrap();
        if !take_lease(&held, libc::SIGUSR1) {
            return tell.send(false).unwrap();
        }
        tell.send(true).unwrap();
        wait_for(&signal);
        held.write_all_at(b"THE", 0).unwrap();
        give_lease_up(&held);
    });
    if told.recv().unwrap() {
        reflink_copy(&src, &dst).unwrap();
        assert_eq!(fs::read(&dst).unwrap(), b"THE source");
    } else {
        println!("INFO: skipping lease::lease_on_the_source_is_waited_for which needs leases");
    }
    holder.join().unwrap();
}

fn block_signal(signal: libc::c_int) -> libc::sigset_t {
    // SAFETY: an array of numbers, which may all be zero.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is only written to.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: the set is only written to.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: the set is only read.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    assert_eq!(result, 0);
    set
}

fn wait_for(set: &libc::sigset_t) {
    let limit = libc::timespec {
        tv_sec: 40,
        tv_nsec: 0,
    };
    let (set, none) = (std::ptr::from_ref(set), std::ptr::null_mut());
    // SAFETY: set and limit are only read, and nothing is written to null.
    let signal = unsafe { libc::sigtimedwait(set, none, &raw const limit) };
    assert!(signal > 0, "nobody wanted the file");
}

/// Whether there is a lease now, of which this thread is told by a signal.
fn take_lease(file: &File, signal: libc::c_int) -> bool {
    const F_SETSIG: libc::c_int = 10;
    const F_SETOWN_EX: libc::c_int = 15;
    const F_OWNER_TID: libc::c_int = 0;
    let (fd, owner) = (file.as_raw_fd(), [F_OWNER_TID, thread_id()]);
    // SAFETY: fcntl takes a number.
    assert_eq!(unsafe { libc::fcntl(fd, F_SETSIG, signal) }, 0);
    // SAFETY: fcntl reads a `struct f_owner_ex`, which is two numbers.
    let result = unsafe { libc::fcntl(fd, F_SETOWN_EX, owner.as_ptr()) };
    assert_eq!(result, 0);
    // SAFETY: fcntl takes a number.
    unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0 }
}

fn give_lease_up(file: &File) {
    // SAFETY: fcntl takes a number.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    assert_eq!(result, 0);
}
