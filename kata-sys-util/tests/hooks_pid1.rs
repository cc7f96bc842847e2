//! Hooks of a process that is the first of its PID namespace, as an agent is in its guest: it reaps
//! whatever ends, daemons that hooks leave become its children, and its id is what orphans elsewhere
//! see of their parent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod hook;

use std::ffi::CStr;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use hook::{Script, large_state, long, state, wait_until};
use kata_sys_util::hooks::HookStates;
use test_utils::isolate;
use test_utils::isolation::{Isolation, command_of_test, unshare};

/// Set in the process that is the first one.
const FIRST: &str = "KATA_TEST_FIRST_PROCESS";

/// Between fork and exec: goes on as the first process of a PID namespace, and leaves the process
/// that was forked to end as that one does.
fn become_first() -> io::Result<()> {
    unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS)?;
    // SAFETY: the process has one thread.
    let first = unsafe { libc::fork() };
    if first < 0 {
        return Err(io::Error::last_os_error());
    }
    if first == 0 {
        return mount_proc();
    }
    // Whoever has started us waits for the descriptor that tells a failed exec.
    // SAFETY: close_range takes numbers; what is open here belongs to nobody else.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    let mut status = 0;
    // SAFETY: the status may be written.
    unsafe { libc::waitpid(first, &raw mut status, 0) };
    let code = match libc::WIFEXITED(status) {
        true => libc::WEXITSTATUS(status),
        false => 128 + libc::WTERMSIG(status),
    };
    // SAFETY: _exit takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// That of the new PID namespace. What is there stays in the way if it cannot be had, as in a
/// container with parts of it hidden.
fn mount_proc() -> io::Result<()> {
    let proc: &CStr = c"proc";
    // SAFETY: strings that end in NUL, and no data.
    unsafe {
        libc::mount(
            proc.as_ptr(),
            c"/proc".as_ptr(),
            proc.as_ptr(),
            0,
            ptr::null(),
        )
    };
    Ok(())
}

/// Reaps until there is nothing left and nothing more to come; the number of processes.
fn reap(no_more: &AtomicBool, reaped: &AtomicU32) {
    loop {
        let is_last = no_more.load(Ordering::Acquire);
        // SAFETY: the status may be null.
        let pid = unsafe { libc::waitpid(-1, ptr::null_mut(), libc::__WALL) };
        if pid > 0 {
            reaped.fetch_add(1, Ordering::Relaxed);
        } else if is_last {
            return;
        } else {
            thread::sleep(Duration::from_millis(1)); // no child now
        }
    }
}

fn run(script: &Script) -> io::Result<()> {
    HookStates::new().execute_hook(&script.hook, Some(large_state()))
}

fn is_there(pid: i32) -> bool {
    // SAFETY: kill takes numbers, and sends nothing here.
    unsafe { libc::kill(pid, 0) == 0 }
}

#[test]
fn agent_that_is_the_first_process_reaps_and_runs_hooks() {
    let namespaces = libc::CLONE_NEWNS;
    isolate!(
        Isolation::new()
            .namespaces(namespaces)
            .or_namespaces(namespaces | libc::CLONE_NEWUSER)
    );
    if std::env::var_os(FIRST).is_none() {
        let mut command = command_of_test("agent_that_is_the_first_process_reaps_and_runs_hooks");
        // SAFETY: `become_first` makes system calls only.
        unsafe { command.env(FIRST, "1").pre_exec(become_first) };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    assert_eq!(std::process::id(), 1);
    let (no_more, reaped) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| reap(&no_more, &reaped));
        statuses_are_those_of_the_hooks();
        orphans_of_hooks_are_adopted_and_reaped(&reaped);
        hook_that_does_not_end_is_killed_with_its_children();
        no_more.store(true, Ordering::Release);
    });
    // SAFETY: the status may be null.
    let left = unsafe { libc::waitpid(-1, ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
    assert_eq!(left, -1, "a child is left");
}

fn statuses_are_those_of_the_hooks() {
    for round in 0..20 {
        let code = round % 5;
        let script = Script::new(&format!("exit {code}"), long());
        match (
            code,
            HookStates::new().execute_hook(&script.hook, Some(state())),
        ) {
            (0, result) => result.unwrap(),
            (code, Err(error)) => {
                let expected = format!("hook \"/bin/sh\" exit status with {code}");
                assert_eq!(error.to_string(), expected, "round {round}");
            }
            (code, Ok(())) => panic!("round {round}: exit status {code} is no failure"),
        }
    }
}

/// Daemons that end while, or after, the hook does.
fn orphans_of_hooks_are_adopted_and_reaped(reaped: &AtomicU32) {
    let before = reaped.load(Ordering::Relaxed);
    let rounds = 8;
    for round in 0..rounds {
        let code = round % 2;
        let orphans = format!("(sleep 0.0{round} &) ; (exit 9 &) ; exit {code}");
        let result = run(&Script::new(&orphans, long()));
        assert_eq!(result.is_ok(), code == 0, "round {round}: {result:?}");
    }
    wait_until("the end of all orphans", || {
        reaped.load(Ordering::Relaxed) >= before + 2 * rounds
    });

    let script = Script::new("(sleep 1000 & echo $! > $OUT) ; exit 0", long());
    run(&script).unwrap();
    let daemon = script.await_pid();
    assert!(is_there(daemon), "a hook that succeeds may leave a daemon");
    hook::kill(daemon);
    wait_until("the end of the daemon", || !is_there(daemon));
}

fn hook_that_does_not_end_is_killed_with_its_children() {
    let child = Script::run_until_timeout("sleep 1000 & echo $! > $OUT; wait", |script| {
        let error = run(script).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    });
    wait_until("the end of the hook's child", || !is_there(child));
}
