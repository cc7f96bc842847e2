//! What the end of a hook means: errors, bookkeeping, lists, and what is logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod hook;
mod messages;

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use hook::{Script, descriptors, hang, has_children, state};
use kata_sys_util::hooks::{HookFailure, HookState, HookStates};
use messages::messages_of;
use oci_spec::runtime::{Hook, HookBuilder};
use slog::Level;
use test_utils::isolation::Isolation;
use test_utils::{is_guest, isolate};

fn hook(path: &str) -> Hook {
    HookBuilder::default().path(path).build().unwrap()
}

fn error_of(hook: &Hook) -> std::io::Error {
    HookStates::new()
        .execute_hook(hook, Some(state()))
        .unwrap_err()
}

#[test]
fn paths_are_checked_in_order() {
    for (path, expected) in [
        ("", "path of hook \"\" is empty"),
        ("no/such", "path of hook \"no/such\" is not absolute"),
        ("/no/such", "path of hook \"/no/such\" does not exist"),
        ("/bin/sh/x", "path of hook \"/bin/sh/x\" does not exist"),
        (
            "/no \"quote\"",
            "path of hook \"/no \\\"quote\\\"\" does not exist",
        ),
    ] {
        let error = error_of(&hook(path));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Other);
    }
}

#[test]
fn path_is_not_searched_for() {
    for name in ["sh", "./sh", "bin/sh"] {
        let error = error_of(&hook(name));
        assert_eq!(
            error.to_string(),
            format!("path of hook {name:?} is not absolute")
        );
    }
}

#[test]
fn what_cannot_be_executed_is_told_with_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (path, cause) in [
        ("/".to_owned(), "Permission denied (os error 13)"),
        (
            file("no-x", "#!/bin/sh", 0o644),
            "Permission denied (os error 13)",
        ),
        (
            file("text", "echo", 0o755),
            "Exec format error (os error 8)",
        ),
        (
            file("lost", "#!/no/such/shell", 0o755),
            "No such file or directory (os error 2)",
        ),
    ] {
        let error = error_of(&hook(&path));
        let expected = format!("failed to create subprocess for hook {path:?}: {cause}");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Other);
    }
    let nul = HookBuilder::default()
        .path("/bin/sh")
        .args(["a\0b".to_owned()])
        .build()
        .unwrap();
    let error = error_of(&nul).to_string();
    let expected = "failed to create subprocess for hook \"/bin/sh\": nul byte found";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn failed_start_leaves_no_process_and_no_descriptor() {
    isolate!(Isolation::new());
    let before = descriptors();
    for _ in 0..20 {
        for path in ["/", "/no/such", "", "/etc/passwd"] {
            error_of(&hook(path));
        }
    }
    assert!(!has_children());
    assert_eq!(descriptors(), before);
}

#[test]
fn many_runs_leave_no_process_and_no_descriptor() {
    isolate!(Isolation::new());
    let before = descriptors();
    let runs = if is_guest() { 50 } else { 300 };
    for _ in 0..runs {
        HookStates::new()
            .execute_hook(&hook("/bin/true"), Some(state()))
            .unwrap();
        error_of(&hook("/bin/false"));
    }
    assert!(!has_children());
    assert_eq!(descriptors(), before);
}

#[test]
fn deadline_holds_without_a_state_too() {
    let script = Script::new("sleep 100", 1);
    let begin = Instant::now();
    let error = HookStates::new()
        .execute_hook(&script.hook, None)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let elapsed = begin.elapsed();
    assert!(
        elapsed >= Duration::from_secs(1) && elapsed < hang(),
        "{elapsed:?}"
    );
}

#[test]
fn largest_timeout_is_for_ever() {
    for timeout in [i64::MAX, i64::MAX - 1, i64::MAX / 1000] {
        let script = Script::new("sleep 0.01; exit 4", timeout);
        let error = error_of(&script.hook);
        assert_eq!(error.to_string(), "hook \"/bin/sh\" exit status with 4");
    }
}

#[test]
fn hook_is_known_by_its_whole_value() {
    let base = || {
        HookBuilder::default()
            .path("/no/such")
            .args(["a".to_owned()])
            .env(["A=1".to_owned()])
            .timeout(1)
            .build()
            .unwrap()
    };
    let changed = |change: fn(&mut Hook)| {
        let mut hook = base();
        change(&mut hook);
        hook
    };
    let others = [
        changed(|hook| {
            hook.set_path("/no/such/other".into());
        }),
        changed(|hook| {
            hook.set_args(None);
        }),
        changed(|hook| {
            hook.set_args(Some(vec![]));
        }),
        changed(|hook| {
            hook.set_args(Some(vec!["b".to_owned()]));
        }),
        changed(|hook| {
            hook.set_env(None);
        }),
        changed(|hook| {
            hook.set_env(Some(vec![]));
        }),
        changed(|hook| {
            hook.set_env(Some(vec!["A=2".to_owned()]));
        }),
        changed(|hook| {
            hook.set_timeout(None);
        }),
        changed(|hook| {
            hook.set_timeout(Some(0));
        }),
    ];
    let mut states = HookStates::new();
    states.update(&base(), HookState::Done);
    for (index, other) in others.iter().enumerate() {
        assert_eq!(states.get(other), HookState::Pending, "{other:?}");
        states.update(other, HookState::Ignored);
        for later in others.iter().skip(index + 1) {
            assert_eq!(states.get(later), HookState::Pending, "{later:?}");
        }
    }
    assert_eq!(states.get(&base()), HookState::Done);
}

#[test]
fn bookkeeping_follows_what_is_recorded() {
    let mut states = HookStates::default();
    let [one, two] = ["/no/such/one", "/no/such/two"].map(hook);
    assert_eq!(states.get(&one), HookState::Pending);
    assert!(!states.should_retry(), "nothing is recorded");
    states.update(&one, HookState::Done);
    states.update(&two, HookState::Ignored);
    assert!(!states.should_retry());
    states.update(&one, HookState::Pending);
    assert!(states.should_retry());
    states.remove(&one);
    assert!(!states.should_retry());
    states.remove(&one);
    assert_eq!(states.get(&one), HookState::Pending);
    assert_eq!(states.get(&two), HookState::Ignored);
}

#[test]
fn done_and_ignored_hooks_are_not_run() {
    let mut states = HookStates::new();
    for state in [HookState::Done, HookState::Ignored] {
        states.update(&hook("/no/such"), state);
        states.execute_hook(&hook("/no/such"), None).unwrap();
        assert_eq!(states.get(&hook("/no/such")), state);
    }
    assert!(states.failures().is_empty());
}

#[test]
fn failed_hook_is_pending_and_can_be_tried_again() {
    let script = Script::new("test -e $OUT || { : > $OUT; exit 1; }", 60);
    let mut states = HookStates::new();
    states.execute_hook(&script.hook, None).unwrap_err();
    assert_eq!(states.get(&script.hook), HookState::Pending);
    assert!(states.should_retry());
    states.execute_hook(&script.hook, None).unwrap();
    assert_eq!(states.get(&script.hook), HookState::Done);
    assert!(!states.should_retry());
    // Also one that could not even be started.
    states.execute_hook(&hook("relative"), None).unwrap_err();
    assert!(states.should_retry());
}

#[test]
fn list_is_run_in_order_and_goes_on_after_failures() {
    let script = Script::new("echo one >> $OUT", 60);
    let two = Script::new("", 60);
    let mut last = two.hook.clone();
    last.set_args(Some(["sh", "-c", "cat >> $OUT"].map(String::from).into()));
    last.set_env(script.hook.env().clone());
    let hooks = [
        script.hook.clone(),
        hook("/no/such"),
        script.hook.clone(),
        hook("/bin/false"),
        last.clone(),
    ];
    let mut states = HookStates::new();
    states.execute_hooks(&hooks, Some(state())).unwrap();
    // The hook that is twice in the list has run once, and the last one has got the state.
    assert_eq!(script.output(), format!("one\n{}", state().to_json()));
    assert_eq!(states.get(&last), HookState::Done);
    let failure = |path: &str, error: &str| HookFailure {
        path: path.into(),
        error: error.to_owned(),
    };
    assert_eq!(
        states.failures(),
        [
            failure("/no/such", "path of hook \"/no/such\" does not exist"),
            failure("/bin/false", "hook \"/bin/false\" exit status with 1"),
        ]
    );
}

#[test]
fn strict_list_stops_at_the_first_failure() {
    let script = Script::new("echo run >> $OUT", 60);
    let mut after = script.hook.clone();
    after.set_timeout(Some(59));
    let hooks = [script.hook.clone(), hook("/bin/false"), after.clone()];
    let mut states = HookStates::new();
    let error = states
        .execute_hooks_strict(&hooks, Some(state()))
        .unwrap_err();
    assert_eq!(error.to_string(), "hook \"/bin/false\" exit status with 1");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(script.output(), "run\n");
    assert_eq!(states.get(&after), HookState::Pending);
    assert_eq!(states.failures().len(), 1);

    states.execute_hooks_strict(&[after.clone()], None).unwrap();
    assert_eq!(states.get(&after), HookState::Done);
    states.execute_hooks_strict(&[], None).unwrap();
}

#[test]
fn strict_list_returns_a_timeout_as_such() {
    let script = Script::new("sleep 100", 1);
    let hooks = [script.hook.clone()];
    let error = HookStates::new()
        .execute_hooks_strict(&hooks, Some(state()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn output_is_logged_by_stream_and_cut_at_64_kib() {
    let script = Script::new(
        "echo to out; printf 'to \\377 err' >&2; head -c 100000 /dev/zero | tr '\\0' x",
        60,
    );
    let messages = messages_of(|| {
        HookStates::new()
            .execute_hook(&script.hook, Some(state()))
            .unwrap();
    });
    let find = |prefix: &str| {
        let message = messages
            .iter()
            .find(|(_, message)| message.starts_with(prefix));
        message.unwrap_or_else(|| panic!("{prefix}")).clone()
    };
    let (level, err) = find("stderr of hook \"/bin/sh\": ");
    assert_eq!(
        (level, err.as_str()),
        (Level::Error, "stderr of hook \"/bin/sh\": to \u{fffd} err")
    );
    let (level, out) = find("stdout of hook \"/bin/sh\": to out\nxxx");
    assert_eq!(level, Level::Info);
    let kept = 65_536 - "to out\n".len();
    assert_eq!(out.matches('x').count(), kept);
    assert!(
        out.ends_with(&format!("x [cut: {} bytes more]", 100_000 - kept)),
        "{out}"
    );
}

#[test]
fn silent_hook_logs_no_output() {
    let messages = messages_of(|| {
        HookStates::new()
            .execute_hook(&hook("/bin/true"), None)
            .unwrap();
    });
    assert!(
        !messages
            .iter()
            .any(|(_, message)| message.contains("of hook")),
        "{messages:?}"
    );
}

#[test]
fn output_before_a_timeout_is_logged() {
    let script = Script::new("echo begun; sleep 100", 1);
    let messages = messages_of(|| {
        HookStates::new()
            .execute_hook(&script.hook, None)
            .unwrap_err();
    });
    let expected = "stdout of hook \"/bin/sh\": begun\n";
    assert!(
        messages.iter().any(|(_, message)| message == expected),
        "{messages:?}"
    );
}

#[test]
fn failures_in_a_list_are_logged_as_errors() {
    let hooks = [hook("/no/such"), hook("/bin/false")];
    let messages = messages_of(|| HookStates::new().execute_hooks(&hooks, None).unwrap());
    for expected in [
        "hook \"/no/such\" failed: path of hook \"/no/such\" does not exist",
        "hook \"/bin/false\" failed: hook \"/bin/false\" exit status with 1",
    ] {
        let expected = (Level::Error, expected.to_owned());
        assert!(messages.contains(&expected), "{messages:?}");
    }
}

#[test]
fn values_of_the_environment_are_never_told() {
    let with_secret = |path: &str| {
        let builder = HookBuilder::default()
            .path(path)
            .env(["TOKEN=secret".to_owned()]);
        builder.timeout(1).build().unwrap()
    };
    let mut sleeps = with_secret("/bin/sleep");
    sleeps.set_args(Some(["sleep", "100"].map(String::from).into()));
    let mut killed = with_secret("/bin/sh");
    killed.set_args(Some(["sh", "-c", "kill -9 $$"].map(String::from).into()));
    let hooks = [
        with_secret(""),
        with_secret("relative"),
        with_secret("/no/such"),
        with_secret("/"),
        with_secret("/bin/false"),
        with_secret("/bin/true"),
        sleeps,
        killed,
    ];
    let mut states = HookStates::new();
    let messages = messages_of(|| states.execute_hooks(&hooks, Some(state())).unwrap());
    assert_eq!(states.failures().len(), 7);
    assert!(messages.len() > 7);
    let told = format!("{messages:?} {:?}", states.failures());
    assert!(
        !told.contains("secret") && !told.contains("TOKEN"),
        "{told}"
    );
}

#[test]
fn states_can_be_sent_and_shared() {
    fn check<T: Send + Sync + Default>() {}
    check::<HookStates>();
}
