//! Hooks: they run as a whole or are an error, and no process is left.

use std::fs;
use std::path::{Path, PathBuf};

use kata_sys_util::hooks::{HookState, HookStates};
use nix::mount::{MsFlags, mount};
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

fn output(name: &str) -> PathBuf {
    scratch().join(name)
}

/// Copies its standard input to the file `name`, and ends with this status. It is one process.
fn hook(name: &str, status: u8) -> Hook {
    let _ = fs::remove_file(output(name));
    let out = output(name).display().to_string();
    let end = match status {
        0 => format!("exec cat > {out}"),
        // Without a process of its own.
        _ => format!("read -r line; printf %s \"$line\" > {out}; exit {status}"),
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

/// What the hook `name` has been given, if it has come so far.
fn seen_by(name: &str) -> Option<State> {
    let text = fs::read(output(name)).ok()?;
    Some(serde_json::from_slice(&text).unwrap())
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
        || hook("out", 0),
        |hook| HookStates::new().execute_hook(hook, Some(state())),
        |_, result, fault| match result {
            Ok(()) => assert_eq!(seen_by("out"), Some(state())),
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
        || hook("out", 7),
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
        || [hook("first", 0), hook("second", 0)],
        |hooks| {
            let mut states = HookStates::new();
            let result = states.execute_hooks_strict(hooks, Some(state()));
            (states, result.map_err(|error| error.to_string()))
        },
        |hooks, (states, result), fault| {
            let done = hooks
                .each_ref()
                .map(|hook| states.get(hook) == HookState::Done);
            let failures: Vec<_> = states.failures().iter().map(|f| f.error.clone()).collect();
            match result {
                Ok(()) => {
                    assert_eq!(done, [true, true]);
                    assert_eq!(failures, [""; 0]);
                }
                Err(error) => {
                    assert!(fault.is_some(), "{error}");
                    assert!(!done[1]);
                    assert_eq!(failures, [error]);
                }
            }
            for (name, is_done) in ["first", "second"].into_iter().zip(done) {
                assert!(!is_done || seen_by(name) == Some(state()), "{name}");
            }
            assert!(done[0] || !output("second").exists());
        },
    );
    at_every_allocation(
        "execute_hooks_strict",
        || [hook("first", 0), hook("second", 0)],
        |hooks| drop(HookStates::new().execute_hooks_strict(hooks, Some(state()))),
        |_, end| match seen_by("second") {
            Some(seen) => assert_eq!(
                [seen_by("first"), Some(seen)],
                [(); 2].map(|()| Some(state()))
            ),
            None => assert_ne!(end, AllocationFault::None),
        },
    );
}

#[test]
fn hooks_go_on_after_one_that_cannot_run_and_each_failure_is_recorded() {
    let (user, mounts) = (libc::CLONE_NEWUSER, libc::CLONE_NEWNS);
    isolate!(
        Isolation::new()
            .namespaces(user | mounts)
            .or_namespaces(mounts)
            .tmpfs()
    );
    adopt_orphans();
    replace_kernel_log();
    at_every_call(
        "execute_hooks",
        || [hook("first", 7), hook("second", 0)],
        |hooks| {
            let mut states = HookStates::new();
            states.execute_hooks(hooks, Some(state())).unwrap();
            states
        },
        |hooks, states, fault| {
            let done = hooks
                .each_ref()
                .map(|hook| states.get(hook) == HookState::Done);
            assert!(!done[0], "its status is not 0");
            let errors: Vec<_> = states.failures().iter().map(|f| &f.error).collect();
            assert_eq!(errors.len(), 2 - usize::from(done[1]), "{errors:?}");
            assert!(fault.is_some() || errors[0].ends_with("exit status with 7"));
            assert!(done[1] || fault.is_some(), "{errors:?}");
            assert!(!done[1] || seen_by("second") == Some(state()));
            assert!(states.should_retry());
        },
    );
}

/// What is written to the kernel's log is discarded.
fn replace_kernel_log() {
    let null = scratch().join("null");
    fs::write(&null, "").unwrap();
    bind(Path::new("/dev/null"), &null);
    // There may be no `kmsg` in the directory of devices that is there.
    let tmpfs = Some("tmpfs");
    mount(tmpfs, "/dev", tmpfs, MsFlags::empty(), None::<&str>).unwrap();
    for device in ["/dev/null", "/dev/kmsg"] {
        fs::write(device, "").unwrap();
        bind(&null, Path::new(device));
    }
}

fn bind(source: &Path, target: &Path) {
    let none = None::<&str>;
    mount(Some(source), target, none, MsFlags::MS_BIND, none).unwrap();
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
        || hook("out", 0),
        |hook| drop(HookStates::new().execute_hook(hook, Some(state()))),
        |_, end| match seen_by("out") {
            Some(seen) => assert_eq!(seen, state()),
            None => assert_ne!(end, AllocationFault::None),
        },
    );
}
