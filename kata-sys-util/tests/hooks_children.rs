//! Hooks in a process that is not kind to its children: one that reaps whatever ends, that ignores
//! their end, or that is killed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod hook;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use hook::{
    NO_PIDFD, NO_SUPERVISOR, Script, descriptors, has_children, is_running, kill, state, wait_until,
};
use kata_sys_util::hooks::HookStates;
use test_utils::isolation::{Isolation, command_of_test};
use test_utils::{is_guest, isolate, skip_if_not_root};

const UNDETERMINED: &str = "no exit code for hook \"/bin/sh\": Undetermined";

/// Runs hooks with different ends while another thread waits for any child.
fn run_beside_reaper(flags: libc::c_int) {
    // The other thread takes all that an emulated processor has.
    let runs = if is_guest() { 25 } else { 100 };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // SAFETY: the status may be null.
                let pid = unsafe { libc::waitpid(-1, std::ptr::null_mut(), flags) };
                if pid < 0 {
                    thread::yield_now(); // no child now
                }
            }
        });
        for run in 0..runs {
            let code = run % 5;
            let script = Script::new(&format!("exit {code}"), 60);
            let result = HookStates::new().execute_hook(&script.hook, Some(state()));
            match (code, result) {
                (0, result) => result.unwrap(),
                (code, Err(error)) => {
                    let expected = format!("hook \"/bin/sh\" exit status with {code}");
                    assert_eq!(error.to_string(), expected, "run {run}");
                }
                (code, Ok(())) => panic!("run {run}: exit status {code} is no failure"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

fn exit_7() -> String {
    let script = Script::new("exit 7", 60);
    let error = HookStates::new()
        .execute_hook(&script.hook, Some(state()))
        .unwrap_err();
    error.to_string()
}

/// Whether the kernel tells the status of a process that somebody else has waited for. Ignoring
/// SIGCHLD is such a case.
fn kernel_keeps_status() -> bool {
    exit_7() == "hook \"/bin/sh\" exit status with 7"
}

fn ignore_sigchld() {
    // SAFETY: to ignore a signal is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

#[test]
fn status_is_not_lost_to_a_reaper() {
    isolate!(Isolation::new());
    run_beside_reaper(0);
}

#[test]
fn status_is_not_lost_to_a_reaper_of_all_kinds_of_children() {
    isolate!(Isolation::new());
    run_beside_reaper(libc::__WALL);
}

#[test]
fn status_is_not_lost_if_sigchld_is_ignored() {
    isolate!(Isolation::new());
    ignore_sigchld();
    for _ in 0..20 {
        assert_eq!(exit_7(), "hook \"/bin/sh\" exit status with 7");
    }
    assert!(!has_children());
}

#[test]
fn status_is_known_from_the_kernel_without_a_supervisor() {
    isolate!(Isolation::new().seccomp(&[NO_SUPERVISOR]));
    ignore_sigchld();
    if !kernel_keeps_status() {
        println!("INFO: skipping status of reaped children which needs Linux 6.15");
        assert_eq!(exit_7(), UNDETERMINED);
        return;
    }
    // SAFETY: the default is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    run_beside_reaper(libc::__WALL);
}

#[test]
fn lost_status_is_told_as_such() {
    isolate!(Isolation::new().seccomp(&[NO_SUPERVISOR, NO_PIDFD]));
    ignore_sigchld();
    assert_eq!(exit_7(), UNDETERMINED);
    // Success cannot be told from failure then.
    let script = Script::new("exit 0", 60);
    let error = HookStates::new()
        .execute_hook(&script.hook, None)
        .unwrap_err();
    assert_eq!(error.to_string(), UNDETERMINED);
}

#[test]
fn hook_is_killed_if_its_supervisor_is() {
    isolate!(Isolation::new());
    let before = descriptors();
    let script = Script::new(
        "echo $PPID > $OUT.new; echo $$ > $OUT; mv $OUT.new $OUT.parent; sleep 100",
        60,
    );
    let parent = script.out().with_extension("parent");
    thread::scope(|scope| {
        let runner = scope.spawn(|| HookStates::new().execute_hook(&script.hook, Some(state())));
        wait_until("the supervisor's id", || parent.exists());
        let supervisor = fs::read_to_string(&parent).unwrap().trim().parse().unwrap();
        assert_ne!(supervisor, std::process::id() as i32);
        // One that is killed just before it closes a descriptor leaves it open.
        wait_until("the supervisor to wait", || waits_for_events(supervisor));
        kill(supervisor);
        let error = runner.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), UNDETERMINED);
    });
    let hook = script.await_pid();
    wait_until("the end of the hook", || !is_running(hook));
    assert!(!has_children());
    assert_eq!(descriptors(), before);
}

/// As early as that, the supervisor may not have heard yet that the hook has been started.
#[test]
fn hook_that_kills_its_supervisor_is_killed() {
    isolate!(Isolation::new());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _at_the_end = SetAtTheEnd(&is_over);
        for _ in 0..8 {
            // So that it has to wait for a processor.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        for _ in 0..if is_guest() { 5 } else { 50 } {
            let script = Script::new("echo $$ > $OUT; kill -KILL $PPID; sleep 100", 60);
            let result = HookStates::new().execute_hook(&script.hook, Some(state()));
            assert_eq!(result.unwrap_err().to_string(), UNDETERMINED);
            let hook = script.await_pid();
            wait_until("the end of the hook", || !is_running(hook));
        }
    });
    assert!(!has_children());
    let is_pidfd = |(_, target): &(_, PathBuf)| target.ends_with("anon_inode:[pidfd]");
    assert!(!descriptors().iter().any(is_pidfd));
}

/// Whether a process is in `ppoll(2)`, or nobody can tell.
fn waits_for_events(pid: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall"));
    let number = call.as_deref().map(|text| text.split(' ').next());
    number.is_ok_and(|number| number == Some(&libc::SYS_ppoll.to_string())) || call.is_err()
}

/// Also when the test fails.
struct SetAtTheEnd<'a>(&'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The supervisor must not take it.
#[test]
fn hook_gets_the_last_process_that_may_be_had() {
    skip_if_not_root!();
    isolate!(Isolation::new());
    let before = descriptors();
    let script = Script::new("exit 3", 60);
    thread::scope(|scope| {
        scope.spawn(|| {
            // One that nobody else is, as all processes of a user count.
            let user = 20_000 + std::process::id() % 20_000;
            let limit = libc::rlimit {
                rlim_cur: 2, // this thread is one
                rlim_max: 2,
            };
            // SAFETY: the limit is only read.
            let result = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) };
            assert_eq!(result, 0);
            // SAFETY: setresuid takes numbers. This is the call for a single thread.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) };
            assert_eq!(result, 0);
            let result = HookStates::new().execute_hook(&script.hook, Some(state()));
            let error = result.unwrap_err().to_string();
            assert_eq!(error, "hook \"/bin/sh\" exit status with 3");
        });
    });
    assert!(!has_children());
    assert_eq!(descriptors(), before);
}

#[test]
fn supervisor_dies_with_its_caller() {
    const OUT: &str = "KATA_TEST_OUT";
    let name = "supervisor_dies_with_its_caller";
    if let Some(out) = std::env::var_os(OUT) {
        let script = format!(
            "echo $PPID $$ > {0}.new; mv {0}.new {0}; sleep 100",
            out.display()
        );
        let script = Script::new(&script, 60);
        let _ = HookStates::new().execute_hook(&script.hook, Some(state()));
        panic!("survived");
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let mut caller = command_of_test(name)
        .env(OUT, &out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the process ids", || out.exists());
    let text = fs::read_to_string(&out).unwrap();
    let ids: Vec<i32> = text
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    let [supervisor, hook] = ids[..] else {
        panic!("{text}")
    };
    assert!(is_running(supervisor) && is_running(hook));
    // The calling thread is suspended, and yet a fatal signal ends its process at once.
    // SAFETY: kill takes numbers.
    unsafe { libc::kill(caller.id() as i32, libc::SIGTERM) };
    assert_eq!(caller.wait().unwrap().signal(), Some(libc::SIGTERM));
    wait_until("the end of the supervisor", || !is_running(supervisor));
    kill(hook);
}

#[test]
fn caller_gets_no_sigchld() {
    static COUNT: AtomicBool = AtomicBool::new(false);
    extern "C" fn count(_: libc::c_int) {
        COUNT.store(true, Ordering::Relaxed);
    }
    isolate!(Isolation::new());
    // SAFETY: the handler does nothing but store a value.
    unsafe { libc::signal(libc::SIGCHLD, count as extern "C" fn(libc::c_int) as usize) };
    assert_eq!(exit_7(), "hook \"/bin/sh\" exit status with 7");
    assert!(!COUNT.load(Ordering::Relaxed));
    // The handler works: it gets that of an ordinary child.
    std::process::Command::new("/bin/true").status().unwrap();
    wait_until("the signal", || {
        thread::sleep(Duration::from_millis(1));
        COUNT.load(Ordering::Relaxed)
    });
}
