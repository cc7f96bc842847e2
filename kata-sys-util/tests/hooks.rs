//! What a hook gets.

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
use std::os::unix::fs::PermissionsExt;
use std::thread;

use hook::{Script, large_state, state};
use kata_sys_util::hooks::HookStates;
use messages::messages_of;
use oci_spec::runtime::HookBuilder;
use test_utils::isolate;
use test_utils::isolation::{Isolation, unshare};

/// Runs the script, with a state, and returns what it has written to `OUT`.
fn output_of(script: &str) -> String {
    let script = Script::new(script, 60);
    HookStates::new()
        .execute_hook(&script.hook, Some(state()))
        .unwrap();
    script.output()
}

#[test]
fn state_is_the_standard_input_and_then_it_ends() {
    assert_eq!(output_of("cat > $OUT"), state().to_json());
    assert!(output_of("cat > $OUT").ends_with('}'));
}

#[test]
fn large_state_arrives_whole() {
    let script = Script::new("cat > $OUT", 60);
    HookStates::new()
        .execute_hook(&script.hook, Some(large_state()))
        .unwrap();
    assert_eq!(script.output(), large_state().to_json());
}

#[test]
fn standard_input_can_be_opened_by_name() {
    assert_eq!(output_of("cat /dev/stdin > $OUT"), state().to_json());
}

#[test]
fn without_a_state_the_standard_input_is_dev_null() {
    let script = Script::new("readlink /proc/self/fd/0 > $OUT; cat >> $OUT", 60);
    HookStates::new().execute_hook(&script.hook, None).unwrap();
    assert_eq!(script.output(), "/dev/null\n");
}

#[test]
fn arguments_are_passed_as_they_are() {
    let script = Script::new("", 60);
    let args = [
        "name of program",
        "-c",
        "tr '\\0' '|' < /proc/$$/cmdline > $OUT",
        "",
        "a b",
    ];
    let hook = HookBuilder::default()
        .path("/bin/sh")
        .args(args.map(String::from))
        .env(script.hook.env().clone().unwrap())
        .build()
        .unwrap();
    HookStates::new().execute_hook(&hook, None).unwrap();
    assert_eq!(script.output(), args.join("|") + "|");
}

#[test]
fn script_without_arguments_has_its_path_as_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a script");
    let out = dir.path().join("out");
    fs::write(&path, "#!/bin/sh\necho \"$0|$#|$WORD\" > \"$OUT\"\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let env = ["WORD=word".to_owned(), format!("OUT={}", out.display())];
    let with = |args: Option<Vec<String>>| {
        let mut hook = HookBuilder::default()
            .path(&path)
            .env(env.clone())
            .build()
            .unwrap();
        hook.set_args(args);
        HookStates::new()
            .execute_hook(&hook, Some(state()))
            .unwrap();
        fs::read_to_string(&out).unwrap()
    };
    let expected = format!("{}|0|word\n", path.display());
    assert_eq!(with(None), expected);
    assert_eq!(with(Some(vec![])), expected);
}

#[test]
fn environment_is_the_valid_entries_and_nothing_else() {
    let script = Script::new("", 60);
    let out = script.out();
    let env = [
        "B=1",
        "A=first",
        "no-equals-sign",
        "=no key",
        " =blank key",
        "NUL=a\0b",
        " C = trimmed ",
        "A=last=2",
        "EMPTY=",
        &format!("OUT={}", out.display()),
    ];
    let hook = HookBuilder::default()
        .path("/bin/sh")
        .args(
            [
                "sh",
                "-c",
                "/usr/bin/tr '\\0' '|' < /proc/$$/environ > $OUT",
            ]
            .map(String::from),
        )
        .env(env.map(String::from))
        .build()
        .unwrap();
    HookStates::new().execute_hook(&hook, None).unwrap();
    let expected = format!("B=1|A=last=2|C=trimmed|EMPTY=|OUT={}|", out.display());
    assert_eq!(script.output(), expected);
}

#[test]
fn without_an_environment_nothing_is_inherited() {
    let script = Script::new("", 60);
    let command = format!(
        "/usr/bin/tr '\\0' '|' < /proc/$$/environ > {}",
        script.out().display()
    );
    let hook = HookBuilder::default()
        .path("/bin/sh")
        .args(["sh".to_owned(), "-c".to_owned(), command])
        .build()
        .unwrap();
    HookStates::new().execute_hook(&hook, None).unwrap();
    assert_eq!(script.output(), "");
}

#[test]
fn signals_are_at_their_default_and_not_blocked() {
    isolate!(Isolation::new());
    for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGCHLD, libc::SIGRTMIN()] {
        // SAFETY: to ignore a signal is no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the set is what sigfillset fills.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: it has filled it.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
    let before = signals_of("thread-self");
    assert!(before.contains("SigBlk:\tfff"), "{before}");

    // Read by the shell itself, which has not set anything yet.
    let script = "while read -r key value; do case $key in Sig[BI]*) echo $key $value;; esac; done \
        < /proc/self/status > $OUT";
    let expected = "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n";
    assert_eq!(output_of(script), expected);
    assert_eq!(
        signals_of("thread-self"),
        before,
        "those of the caller stay"
    );
}

fn signals_of(task: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{task}/status")).unwrap();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn process_group_is_its_own_and_session_is_the_callers() {
    let script = "read -r pid comm state parent group session rest < /proc/self/stat; \
        echo $(($$ == pid)) $(($$ == group)) $session > $OUT";
    // SAFETY: getsid takes a number.
    let session = unsafe { libc::getsid(0) };
    assert_eq!(output_of(script), format!("1 1 {session}\n"));
}

#[test]
fn working_directory_and_umask_are_those_of_the_calling_thread() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let output = thread::spawn({
        let dir = dir.clone();
        move || {
            // Only this thread is concerned from now on.
            unshare(libc::CLONE_FS).unwrap();
            std::env::set_current_dir(dir).unwrap();
            // SAFETY: umask takes a number.
            unsafe { libc::umask(0o027) };
            output_of("echo $(pwd -P) $(umask) > $OUT")
        }
    });
    assert_eq!(output.join().unwrap(), format!("{} 0027\n", dir.display()));
    assert_ne!(std::env::current_dir().unwrap(), dir);
}

#[test]
fn caller_without_standard_streams_is_fine() {
    isolate!(Isolation::new());
    let saved = [0, 1, 2].map(|fd| {
        // SAFETY: dup takes a number.
        let saved = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) };
        // SAFETY: close takes a number.
        unsafe { libc::close(fd) };
        saved
    });
    let script = Script::new("cat > $OUT; echo out; echo err >&2", 60);
    let mut result = Ok(());
    let messages = messages_of(|| {
        result = HookStates::new().execute_hook(&script.hook, Some(state()));
    });
    for (fd, saved) in (0..).zip(saved) {
        // SAFETY: dup2 takes numbers.
        unsafe { libc::dup2(saved, fd) };
    }
    result.unwrap();
    assert_eq!(script.output(), state().to_json());
    for expected in [
        "stdout of hook \"/bin/sh\": out\n",
        "stderr of hook \"/bin/sh\": err\n",
    ] {
        assert!(
            messages.iter().any(|(_, message)| message == expected),
            "{messages:?}"
        );
    }
}
