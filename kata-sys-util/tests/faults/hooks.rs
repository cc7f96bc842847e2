//! Hooks: they run as a whole or are an error, and no process is left.

use std::fs;
use std::path::PathBuf;

use kata_sys_util::hooks::HookStates;
use oci_spec::runtime::{Hook, HookBuilder};
use runtime_spec::{ContainerState, State};
use test_utils::faults::{AllocationFault, at_every_allocation, at_every_call};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};
use test_utils::seccomp::Rule;

const NO_PIDFD: Rule = Rule::fail_clone(libc::CLONE_PIDFD, 0, libc::EINVAL);
const NO_SUPERVISOR: Rule = Rule::fail_clone(
    libc::CLONE_FILES | libc::CLONE_VFORK,
    libc::CLONE_THREAD,
    libc::EPERM,
);

fn state() -> State {
    State {
        version: "1.1.0".to_owned(),
        id: "web".to_owned(),
        status: ContainerState::Created,
        pid: 4242,
        bundle: "/run/bundles/web".to_owned(),
        annotations: Default::default(),
    }
}

fn output() -> PathBuf {
    scratch().join("out")
}

/// Copies its standard input to a file, or exits with another `status` than 0. It is one process.
fn hook(status: u8) -> Hook {
    let _ = fs::remove_file(output());
    let end = match status {
        0 => format!("exec cat > {}", output().display()),
        status => format!("exit {status}"),
    };
    let script = format!("echo text; echo error >&2; {end}");
    HookBuilder::default()
        .path("/bin/sh")
        .args(["sh", "-c", &script].map(String::from))
        .env(["PATH=/usr/bin:/bin".to_owned()])
        .timeout(20_i64)
        .build()
        .unwrap()
}

/// Whoever loses its parent becomes a child of ours, and is noticed.
fn adopt_orphans() {
    // SAFETY: the option takes a number.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    assert_eq!(result, 0);
}

fn hooks_run_or_fail(what: &str) {
    adopt_orphans();
    at_every_call(
        &format!("execute_hook{what}"),
        || hook(0),
        |hook| HookStates::new().execute_hook(hook, Some(state())),
        |_, result, fault| match result {
            Ok(()) => {
                let seen: State = serde_json::from_slice(&fs::read(output()).unwrap()).unwrap();
                assert_eq!(seen, state());
            }
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
}

#[test]
fn failing_hook_is_an_error() {
    isolate!(Isolation::new());
    adopt_orphans();
    at_every_call(
        "execute_hook that fails",
        || hook(7),
        |hook| {
            let result = HookStates::new().execute_hook(hook, None);
            result.map_err(|error| error.to_string())
        },
        |_, result, fault| {
            let error = result.expect_err("it has not succeeded");
            assert!(
                error.ends_with("exit status with 7") || fault.is_some(),
                "{error}"
            );
        },
    );
}

#[test]
fn hooks_stop_at_the_first_that_cannot_run() {
    isolate!(Isolation::new());
    adopt_orphans();
    at_every_call(
        "execute_hooks_strict",
        || [hook(0), hook(0)],
        |hooks| HookStates::new().execute_hooks_strict(hooks, Some(state())),
        |_, result, fault| match result {
            Ok(()) => assert!(output().exists()),
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
}

#[test]
fn hook_runs_as_a_whole_or_is_an_error() {
    isolate!(Isolation::new());
    hooks_run_or_fail("");
}

#[test]
fn hook_runs_as_a_whole_or_is_an_error_without_pidfd() {
    isolate!(Isolation::new().seccomp(&[NO_PIDFD]));
    hooks_run_or_fail(", no pidfd");
}

#[test]
fn hook_runs_as_a_whole_or_is_an_error_without_supervisor() {
    isolate!(Isolation::new().seccomp(&[NO_SUPERVISOR]));
    hooks_run_or_fail(", no supervisor");
}

#[test]
fn failing_allocation_comes_before_the_hook_or_after_its_end() {
    isolate!(Isolation::new());
    adopt_orphans();
    at_every_allocation(
        "execute_hook",
        || hook(0),
        |hook| drop(HookStates::new().execute_hook(hook, Some(state()))),
        |_, end| match fs::read(output()) {
            Ok(seen) => assert_eq!(serde_json::from_slice::<State>(&seen).unwrap(), state()),
            Err(_) => assert_ne!(end, AllocationFault::None),
        },
    );
}
