//! Filters for system calls: what they do, and to whom.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::process::Command;
use std::thread;

use test_utils::isolation::command_of_test;
use test_utils::seccomp::{Rule, install, run_under};

/// Set in a process that may not live.
const CHILD: &str = "KATA_TEST_SECCOMP_CHILD";

const NO_SYNC: Rule = Rule::fail(libc::SYS_fsync, libc::EIO);

/// The error number of `fsync` on a regular file.
fn sync() -> Option<i32> {
    let file = tempfile::tempfile().unwrap();
    file.sync_all().err().and_then(|error| error.raw_os_error())
}

/// The mode of the filter of the calling thread: 0 for none.
fn mode_of_this_thread() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let mut lines = status.lines();
    let mode = lines.find_map(|line| line.strip_prefix("Seccomp:"));
    mode.unwrap().trim().to_owned()
}

#[test]
fn call_of_a_rule_fails_with_its_number_and_others_work() {
    for errno in [libc::EPERM, libc::ENOSYS, 4095] {
        let rule = Rule::fail(libc::SYS_fsync, errno);
        run_under(&[rule], || {
            assert_eq!(sync(), Some(errno));
            assert!(tempfile::tempfile().unwrap().sync_data().is_ok());
        });
    }
}

#[test]
fn only_the_thread_and_what_it_starts_are_concerned() {
    let before = mode_of_this_thread();
    run_under(&[NO_SYNC], || {
        assert_eq!(mode_of_this_thread(), "2");
        assert_eq!(thread::spawn(sync).join().unwrap(), Some(libc::EIO));
        let no_new_programs = [Rule::fail(libc::SYS_execve, libc::EACCES)];
        install(&no_new_programs).unwrap();
        assert_eq!(sync(), Some(libc::EIO), "filters add up");
        let error = Command::new("/bin/true").status().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
    });
    assert_eq!(mode_of_this_thread(), before);
    assert_eq!(sync(), None);
    assert!(Command::new("/bin/true").status().unwrap().success());
}

#[test]
fn program_started_under_a_filter_has_it() {
    let rules = [Rule::fail(libc::SYS_unlinkat, libc::EROFS)];
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    let remove = || {
        Command::new("rm")
            .arg("-r")
            .arg(dir.path().join("d"))
            .output()
            .unwrap()
    };
    let output = run_under(&rules, remove);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"));
    assert!(remove().status.success());
}

#[test]
fn without_rules_there_is_no_filter() {
    let before = mode_of_this_thread();
    assert_eq!(run_under(&[], mode_of_this_thread), before);
}

#[test]
fn rule_may_depend_on_bits_of_an_argument() {
    let (mask, value) = (libc::O_ACCMODE as u32, libc::O_WRONLY as u32);
    let rule = Rule::fail(libc::SYS_openat, libc::EROFS).if_argument(2, mask, value);
    let file = tempfile::NamedTempFile::new().unwrap();
    run_under(&[rule], || {
        let number = |result: io::Result<File>| result.err().and_then(|e| e.raw_os_error());
        assert_eq!(number(File::open(file.path())), None);
        assert_eq!(number(File::create(file.path())), Some(libc::EROFS));
        let mut both = File::options();
        assert_eq!(number(both.read(true).write(true).open(file.path())), None);
    });
}

#[test]
fn first_rule_that_applies_counts() {
    let any = Rule::fail(libc::SYS_fsync, libc::EIO);
    let other = Rule::fail(libc::SYS_fsync, libc::ENOSPC);
    let never = other.if_argument(0, u32::MAX, u32::MAX);
    for (rules, expected) in [
        ([any, other], libc::EIO),
        ([other, any], libc::ENOSPC),
        ([never, any], libc::EIO),
    ] {
        assert_eq!(run_under(&rules, sync), Some(expected));
    }
}

#[test]
fn clone_is_told_apart_by_its_flags() {
    let clone = |flags: libc::c_int| {
        // A child, as `fork` makes one, that only ends.
        // SAFETY: there is neither a stack nor a place for ids.
        match unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) } {
            // SAFETY: _exit takes a number.
            0 => unsafe { libc::_exit(0) },
            -1 => io::Error::last_os_error().raw_os_error(),
            child => {
                // SAFETY: the status may be null.
                unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) };
                None
            }
        }
    };
    let (files, fs) = (libc::CLONE_FILES, libc::CLONE_FS);
    let rule = Rule::fail_clone(files, fs, libc::EPERM);
    let results = run_under(&[rule], || [0, files, fs, files | fs].map(clone));
    assert_eq!(results, [None, Some(libc::EPERM), None, None]);
}

#[test]
fn forbidden_call_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        run_under(&[Rule::kill(libc::SYS_fsync)], sync);
        return;
    }
    let mut command = command_of_test("forbidden_call_ends_the_process");
    let output = command.env(CHILD, "1").output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
}

#[test]
fn result_and_panic_of_the_function_are_handed_on() {
    let text = String::from("borrowed");
    assert_eq!(run_under(&[NO_SYNC], || text.as_str()), "borrowed");
    let result = panic::catch_unwind(|| run_under(&[NO_SYNC], || panic!("expected")));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"expected"));
}

#[test]
fn too_many_rules_are_an_error() {
    thread::spawn(|| {
        let plain = vec![NO_SYNC; 1365];
        install(&plain).unwrap();
        assert_eq!(sync(), Some(libc::EIO));
        let error = install(&[NO_SYNC; 1366]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "1366 rules do not fit into a filter");
    })
    .join()
    .unwrap();
}
