//! Hooks that do what hooks should not, all at once, on kernels of different ages: each ends as its
//! rules say, and nothing is left of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod hook;

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use hook::{
    NO_PIDFD, NO_SUPERVISOR, Script, descriptors, hang, has_children, is_running, kill,
    large_state, long, state, wait_until,
};
use kata_sys_util::hooks::{HookState, HookStates};
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::HookBuilder;
use test_utils::isolation::{Isolation, change_root, scratch};
use test_utils::seccomp::Rule;
use test_utils::{is_guest, isolate};

const NO_PIDFD_SIGNAL: Rule = Rule::fail(libc::SYS_pidfd_send_signal, libc::ENOSYS);
const NO_CLOSE_RANGE: Rule = Rule::fail(libc::SYS_close_range, libc::EPERM);
/// Without it, `/proc` cannot be listed.
const NO_GETDENTS: Rule = Rule::fail(libc::SYS_getdents64, libc::EPERM);

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    TimedOut,
    Failed(String),
}

use Outcome::{Done, TimedOut};

fn failed(text: &str) -> Outcome {
    Outcome::Failed(text.to_owned())
}

/// What the process leaves whose id it has written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Nothing,
    /// It must be gone.
    Killed,
    /// It must still run.
    Running,
}

/// Name, script, timeout in seconds, how it ends, what it leaves. What times out does so after a
/// second.
fn cases() -> Vec<(&'static str, &'static str, i64, Outcome, Leaves)> {
    let sh = |text: &str| failed(&text.replace("HOOK", "hook \"/bin/sh\""));
    vec![
        ("exits at once", "exit 0", long(), Done, Leaves::Nothing),
        (
            "fails",
            "exit 7",
            long(),
            sh("HOOK exit status with 7"),
            Leaves::Nothing,
        ),
        (
            "kills itself",
            "kill -9 $$",
            long(),
            sh("no exit code for HOOK: Signaled(9)"),
            Leaves::Nothing,
        ),
        (
            "reads all of its input",
            "test $(wc -c) -gt 1048576",
            long(),
            Done,
            Leaves::Nothing,
        ),
        (
            "ignores signals",
            "trap '' TERM INT HUP PIPE; echo $$ > $OUT; while :; do sleep 100; done",
            1,
            TimedOut,
            Leaves::Killed,
        ),
        (
            "waits for a child",
            "sleep 100 & echo $! > $OUT; wait",
            1,
            TimedOut,
            Leaves::Killed,
        ),
        (
            "stops itself",
            "echo $$ > $OUT; kill -STOP $$",
            1,
            TimedOut,
            Leaves::Killed,
        ),
        (
            "leaves a daemon that holds its pipes",
            "sleep 1000 & echo $! > $OUT",
            long(),
            Done,
            Leaves::Running,
        ),
        (
            "fails and leaves a daemon",
            "sleep 1000 & echo $! > $OUT; exit 3",
            long(),
            sh("HOOK exit status with 3"),
            Leaves::Running,
        ),
        (
            "leaves a daemon that floods its pipes",
            "cat /dev/zero & echo $! > $OUT; cat /dev/zero >&2 & exit 0",
            long(),
            Done,
            Leaves::Killed,
        ),
        (
            "closes its pipes and goes on",
            "exec <&- >&- 2>&-; echo $$ > $OUT; sleep 100",
            1,
            TimedOut,
            Leaves::Killed,
        ),
        (
            "closes its pipes and ends later",
            "exec <&- >&- 2>&-; sleep 0.3; exit 5",
            long(),
            sh("HOOK exit status with 5"),
            Leaves::Nothing,
        ),
        (
            "floods both pipes for ever",
            "cat /dev/zero & cat /dev/zero >&2",
            1,
            TimedOut,
            Leaves::Nothing,
        ),
        (
            "fills both pipes",
            "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 0",
            long(),
            Done,
            Leaves::Nothing,
        ),
    ]
}

fn run(name: &str, script: &Script) -> Outcome {
    let mut states = HookStates::new();
    let begin = Instant::now();
    // Too large for the pipe, and few of the scripts read it.
    let result = states.execute_hook(&script.hook, Some(large_state()));
    let elapsed = begin.elapsed();
    assert!(elapsed < hang(), "{name}: {elapsed:?}");
    let outcome = match result {
        Ok(()) => Done,
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            let timeout = script.hook.timeout().unwrap().unsigned_abs();
            assert!(
                elapsed >= Duration::from_secs(timeout),
                "{name}: {elapsed:?}"
            );
            TimedOut
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Other, "{name}");
            Outcome::Failed(error.to_string())
        }
    };
    let is_done = states.get(&script.hook) == HookState::Done;
    assert_eq!(is_done, outcome == Done, "{name}");
    outcome
}

/// Runs all hooks, each on its own thread, in a process that SIGPIPE would kill.
fn run_all() {
    // SAFETY: the default is no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let before = descriptors();
    thread::scope(|scope| {
        for (name, script, timeout, expected, leaves) in cases() {
            scope.spawn(move || {
                let run = |script: &Script| assert_eq!(run(name, script), expected, "{name}");
                let pid = match leaves {
                    Leaves::Nothing => return run(&Script::new(script, timeout)),
                    Leaves::Killed if expected == TimedOut => {
                        Script::run_until_timeout(script, run)
                    }
                    Leaves::Killed | Leaves::Running => {
                        let script = Script::new(script, timeout);
                        run(&script);
                        script.await_pid()
                    }
                };
                if leaves == Leaves::Running {
                    assert!(is_running(pid), "{name}");
                    kill(pid);
                }
                wait_until("the end of a hook's process", || !is_running(pid));
            });
        }
        scope.spawn(run_busy_file);
    });
    // One that takes long to be killed may be there for a moment, and then nobody else reaps it.
    wait_until("the end of all children", || !has_children());
    // The C library opens a file for a moment where a thread ends that has freed much memory.
    wait_until("no more descriptors than before", || {
        descriptors() == before
    });
}

/// A program that is open for writing, and stays so.
fn run_busy_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    fs::copy("/bin/true", &path).unwrap();
    let writer = OpenOptions::new().append(true).open(&path).unwrap();
    let hook = HookBuilder::default().path(&path).build().unwrap();
    let error = HookStates::new()
        .execute_hook(&hook, Some(state()))
        .unwrap_err();
    let expected =
        format!("failed to create subprocess for hook {path:?}: Text file busy (os error 26)");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.kind(), ErrorKind::Other);
    drop(writer);
}

#[test]
fn on_this_kernel() {
    isolate!(Isolation::new());
    run_all();
}

#[test]
fn without_descriptors_of_processes() {
    isolate!(Isolation::new().seccomp(&[NO_PIDFD]));
    run_all();
}

#[test]
fn without_signals_by_descriptor() {
    isolate!(Isolation::new().seccomp(&[NO_PIDFD_SIGNAL]));
    run_all();
}

#[test]
fn without_closing_ranges_of_descriptors() {
    isolate!(Isolation::new().seccomp(&[NO_CLOSE_RANGE]));
    run_all();
}

#[test]
fn without_a_supervisor() {
    isolate!(Isolation::new().seccomp(&[NO_SUPERVISOR]));
    run_all();
}

#[test]
fn without_anything_new() {
    let rules = [NO_PIDFD, NO_PIDFD_SIGNAL, NO_CLOSE_RANGE, NO_SUPERVISOR];
    isolate!(Isolation::new().seccomp(&rules));
    run_all();
}

#[test]
fn hook_that_cannot_be_killed_is_reaped_when_it_ends() {
    let no_kill =
        [libc::SYS_kill, libc::SYS_pidfd_send_signal].map(|call| Rule::fail(call, libc::EPERM));
    isolate!(Isolation::new().seccomp(&no_kill).seccomp(&[NO_SUPERVISOR]));
    let before = descriptors();
    let script = Script::new("sleep 4", 1);
    assert_eq!(run("cannot be killed", &script), TimedOut);
    wait_until("the end of the hook", || !has_children());
    // Whoever has reaped it closes its descriptor only then.
    wait_until("the end of its descriptor", || descriptors() == before);
}

/// In each of these, a descriptor that may be inherited is open, and must not be.
fn check_that_nothing_is_inherited() {
    let script = Script::new(
        "for fd in 3 9 200 1000; do test -e /proc/self/fd/$fd && exit 1; done; exit 0",
        long(),
    );
    let null = fs::File::open("/dev/null").unwrap();
    for number in [9, 200, 1000] {
        // SAFETY: dup2 takes numbers.
        let result = unsafe { libc::dup2(null.as_raw_fd(), number) };
        assert_eq!(result, number);
    }
    assert_eq!(run("inherited descriptors", &script), Done);
    for number in [9, 200, 1000] {
        // SAFETY: fcntl takes numbers.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        assert_eq!(flags, 0, "the descriptors of the caller stay as they are");
    }
}

#[test]
fn descriptors_are_closed_by_range() {
    isolate!(Isolation::new().seccomp(&[NO_GETDENTS]));
    check_that_nothing_is_inherited();
}

#[test]
fn descriptors_are_closed_by_listing() {
    isolate!(Isolation::new().seccomp(&[NO_CLOSE_RANGE]));
    check_that_nothing_is_inherited();
}

#[test]
fn descriptors_are_closed_one_by_one() {
    let rules = [NO_CLOSE_RANGE, NO_GETDENTS];
    isolate!(Isolation::new().seccomp(&rules));
    check_that_nothing_is_inherited();
}

/// As for a container's hook after its root has been changed: no `/proc`, no `/dev`.
#[test]
fn without_proc_and_dev() {
    test_utils::skip_if_not_root!();
    isolate!(
        Isolation::new()
            .namespaces(libc::CLONE_NEWNS)
            .seccomp(&[NO_CLOSE_RANGE])
    );
    let null = fs::File::open("/dev/null").unwrap();
    // SAFETY: dup2 takes numbers.
    let result = unsafe { libc::dup2(null.as_raw_fd(), 9) };
    assert_eq!(result, 9);
    let root = scratch();
    // Without what is mounted on it.
    let none = None::<&str>;
    mount(Some("/"), &root, none, MsFlags::MS_BIND, none).unwrap();
    change_root(&root).unwrap();
    if fs::exists("/proc/self").unwrap() || fs::exists("/dev/null").unwrap() {
        println!("INFO: skipping without_proc_and_dev: no mounts of their own");
        return;
    }
    // A descriptor that is not open cannot be duplicated.
    let closed = "(exec 8<&9) && exit 1; exit 0";
    for (script, state, expected) in [
        ("test \"$(cat)\" = \"\"", None, Done),
        ("cat; cat >&2", Some(state()), Done),
        (closed, None, Done),
        ("sleep 100; exit 0", Some(state()), TimedOut),
    ] {
        let hook = HookBuilder::default()
            .path("/bin/sh")
            .args(["sh", "-c", script].map(String::from))
            .env(["PATH=/usr/bin:/bin".to_owned()])
            .timeout(1)
            .build()
            .unwrap();
        let outcome = match HookStates::new().execute_hook(&hook, state) {
            Ok(()) => Done,
            Err(error) if error.kind() == ErrorKind::TimedOut => TimedOut,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        assert_eq!(outcome, expected, "{script}");
    }
    assert!(!has_children());
}

#[test]
fn flood_of_a_gib_is_read_to_its_end_and_not_kept() {
    // An emulated machine would need minutes for all of it.
    let bytes: u64 = if is_guest() { 64 << 20 } else { 1 << 30 };
    let script = format!("head -c {bytes} /dev/zero; echo $? > $OUT");
    let script = Script::new(&script, long());
    assert_eq!(run("flood", &script), Done);
    assert_eq!(script.output(), "0\n");
}

#[test]
fn program_that_is_busy_for_a_moment_is_tried_again() {
    isolate!(Isolation::new());
    if !fs::exists("/proc/thread-self/children").unwrap() {
        println!("INFO: skipping busy program: kernel without CONFIG_PROC_CHILDREN");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy");
    fs::copy("/bin/true", &path).unwrap();
    let hook = HookBuilder::default().path(&path).build().unwrap();
    // A machine under load may notice the pause only when it is over.
    for _ in 0..20 {
        let writer = OpenOptions::new().append(true).open(&path).unwrap();
        let result = thread::scope(|scope| {
            let runner = scope.spawn(|| HookStates::new().execute_hook(&hook, None));
            wait_until("a process that waits for its program", || {
                runner.is_finished() || waits_for_its_program()
            });
            drop(writer);
            runner.join().unwrap()
        });
        match result {
            Ok(()) => return,
            Err(error) => assert!(error.to_string().contains("Text file busy"), "{error}"),
        }
    }
    panic!("never tried again");
}

/// Whether a child of this process sleeps: a supervisor whose hook has not been started, as it does
/// not sleep before.
fn waits_for_its_program() -> bool {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    children
        .collect::<Vec<_>>()
        .join(" ")
        .split_whitespace()
        .any(|child| {
            let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            stat.contains(") S ")
        })
}
