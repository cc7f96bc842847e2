//! The cargo runner `guest/run`: what goes in and comes out of the guest. Boots one guest per
//! case, so it runs on demand: `cargo test -p test-utils --test guest_runner -- --include-ignored`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

const RUNNER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/run");

/// The runner with a payload of `/bin/sh`.
fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    command
        .args(["/bin/sh", "-c", script, "sh"])
        .args(arguments)
        .env_remove("CARGO_MANIFEST_DIR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Puts the run of `command` off to `batch`.
#[track_caller]
fn put_off(batch: &Path, command: &mut Command) {
    let output = command.env("GUEST_BATCH", batch).output().unwrap();
    passed(&output);
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}

fn run_batch(batch: &Path) -> Output {
    let mut command = Command::new(RUNNER);
    command.arg("--batch").arg(batch).output().unwrap()
}

#[track_caller]
fn passed(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
#[ignore = "boots a guest"]
fn arguments_output_and_status_are_passed_on() {
    let odd = [
        "",
        "two words",
        "it's \"$HOME\" `x` \\ *",
        "line\nline",
        "ümläut",
    ];
    let script = r#"for a; do printf '[%s]' "$a"; done; printf 'to stderr' >&2; exit 7"#;
    let output = shell(script, &odd).output().unwrap();

    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let expected: String = odd.iter().map(|a| format!("[{a}]")).collect();
    assert_eq!(text(&output.stdout), expected);
    assert_eq!(text(&output.stderr), "to stderr");
}

#[test]
#[ignore = "boots a guest"]
fn bytes_of_every_value_come_out() {
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done";
    let output = shell(script, &[]).output().unwrap();
    passed(&output);
    assert_eq!(output.stdout, (0..=255).collect::<Vec<u8>>());
}

#[test]
#[ignore = "boots a guest"]
fn variables_for_tests_are_passed_on_and_others_are_not() {
    let script = r#"echo "$RUST_TEST_THREADS|$KATA_X|$OTHER|$KATA_TEST_GUEST|$KATA_TEST_STRICT""#;
    let output = shell(script, &[])
        .env("RUST_TEST_THREADS", "it's 3")
        .env("KATA_X", "a b")
        .env("OTHER", "x")
        .output()
        .unwrap();
    passed(&output);
    assert_eq!(
        text(&output.stdout),
        "it's 3|a b||1|root,cap,guest,faults\n"
    );
}

#[test]
#[ignore = "boots a guest"]
fn payload_that_a_signal_ends_has_the_status_of_a_shell() {
    let output = shell("kill -KILL $$", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 9), "{output:?}");
}

#[test]
#[ignore = "boots a guest"]
fn guest_that_does_not_end_is_ended() {
    let mut command = shell("echo started; sleep 1000", &[]);
    let output = command.env("GUEST_TIMEOUT", "30").output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert_eq!(text(&output.stdout), "started\n");
    let message = text(&output.stderr);
    assert!(message.contains("did not end within 30 s"), "{message}");
}

#[test]
#[ignore = "boots a guest"]
fn guest_that_hangs_is_started_three_times() {
    let mut command = shell("echo started; sleep 1000", &[]);
    let output = command.env("GUEST_SILENCE", "0").output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let message = text(&output.stderr);
    let again = "the guest has hung";
    assert_eq!(message.matches(again).count(), 2, "{message}");
    assert!(message.contains("was silent for 0 s"), "{message}");
}

/// What ended before is not run again.
#[test]
#[ignore = "boots a guest"]
fn guest_that_has_hung_goes_on_where_it_came_to() {
    // Whatever can be stopped: all but process 1, which waits for this one.
    let hang = "case $(cat /proc/cmdline) in *guest_done=1*) exit ;; esac
        for p in /proc/[0-9]*; do [ -z \"$(cat $p/cmdline)\" ] || kill -STOP ${p#/proc/}; done";
    let directory = tempfile::tempdir().unwrap();
    for script in ["echo first", hang, "echo \"third after $guest_done\""] {
        put_off(
            directory.path(),
            shell(script, &[]).env("GUEST_SILENCE", "15"),
        );
    }
    let output = run_batch(directory.path());
    passed(&output);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(out.matches("\nfirst\n").count(), 1, "{out}");
    assert_eq!(out.matches("\nthird after \n").count(), 1, "{out}");
    assert_eq!(err.matches("the guest has hung").count(), 1, "{err}");
}

#[test]
#[ignore = "boots a guest"]
fn guest_that_goes_down_shows_its_console() {
    let output = shell("echo c >/proc/sysrq-trigger; sleep 60", &[])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let message = text(&output.stderr);
    assert!(
        message.contains("went down without an exit status"),
        "{message}"
    );
    assert!(message.contains("sysrq triggered crash"), "{message}");
}

#[test]
#[ignore = "boots guests"]
fn machine_is_what_the_variables_say() {
    let count = "grep -c ^processor /proc/cpuinfo; ls -d /sys/devices/system/node/node* | wc -l;
        awk '/SwapTotal/ { print ($2 > 30000) }' /proc/meminfo; grep -c ' cgroup2 ' /proc/mounts;
        grep -ow psi=1 /proc/cmdline";
    let output = shell(count, &[])
        .envs([
            ("GUEST_CPUS", "3"),
            ("GUEST_NUMA", "2"),
            ("GUEST_SWAP", "32M"),
            ("GUEST_CGROUP", "v2"),
            ("GUEST_CMDLINE", "psi=1"),
        ])
        .output()
        .unwrap();
    passed(&output);
    assert_eq!(text(&output.stdout), "3\n2\n1\n1\npsi=1\n");

    let v1 = "grep -c ' cgroup ' /proc/mounts; ls /sys/fs/cgroup/memory/cgroup.procs";
    let output = shell(v1, &[]).env("GUEST_CGROUP", "v1").output().unwrap();
    passed(&output);
    assert!(text(&output.stdout).ends_with("/sys/fs/cgroup/memory/cgroup.procs\n"));
}

#[test]
#[ignore = "boots guests"]
fn runs_that_were_put_off_share_a_machine_if_they_can() {
    let directory = tempfile::tempdir().unwrap();
    let on = |cpus: &str, script: &str, argument: &str| {
        put_off(
            directory.path(),
            shell(script, &[argument]).env("GUEST_CPUS", cpus),
        );
    };
    on("2", "echo \"$1\" >/tmp/here; cat /tmp/here", "it's\nfirst");
    on(
        "2",
        "cat /tmp/here; echo \"$KATA_X\" >&2; kill -KILL $$",
        "",
    );
    on("1", "ls /tmp; grep -c ^processor /proc/cpuinfo; exit 0", "");

    let output = run_batch(directory.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(out.matches("on a machine of").count(), 2, "{out}");
    let shared = "guest: dash\nit's\nfirst\nguest: dash\nit's\nfirst\n";
    assert!(
        out.replace("guest: sh\n", "guest: dash\n").contains(shared),
        "{out}"
    );
    assert!(out.contains("\n1\nguest: 1 test binaries"), "{out}");
    assert!(err.contains("exit status 137"), "{err}");
}

/// A directory with links to `programs` alone, as the search path of a bare machine.
fn bare(programs: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for program in programs {
        let path = ["/usr/bin", "/bin"]
            .map(|d| Path::new(d).join(program))
            .into_iter()
            .find(|path| path.exists());
        symlink(path.unwrap(), directory.path().join(program)).unwrap();
    }
    directory
}

#[test]
fn missing_programs_are_named_in_one_line_with_the_command_that_installs_them() {
    let directory = bare(&["bash", "basename", "dirname", "realpath"]);
    let output = Command::new("/bin/bash")
        .args([RUNNER, "/bin/sh"])
        .env("PATH", directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let message = text(&output.stderr);
    let start = "guest: missing programs; install them with: apt-get install ";
    assert!(message.starts_with(start), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn wrong_use_is_one_line() {
    for arguments in [&[][..], &["/no/such/binary"]] {
        let output = Command::new(RUNNER).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert!(text(&output.stderr).contains("guest: "), "{output:?}");
    }
}
