//! The guards go by the credentials of the calling thread that count: the effective ones.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fmt::Display;
use std::io;
use std::panic;
use std::thread;

use test_utils::{
    TestUserType, skip_if_no_cap, skip_if_not_root, skip_if_root, skip_loop_by_user,
    skip_loop_if_not_root, skip_loop_if_root,
};

const KEEP: libc::c_long = -1;
const ORDINARY_USER: libc::c_long = 65534;

/// Whether the guard lets the calling thread through. Strict mode, if on, refuses with a panic.
fn lets_through(guard: fn() -> bool) -> bool {
    panic::catch_unwind(guard).unwrap_or(false)
}

fn seen_as_root() -> bool {
    let root = lets_through(|| {
        skip_if_not_root!(false);
        true
    });
    let ordinary_user = lets_through(|| {
        skip_if_root!(false);
        true
    });
    assert_ne!(root, ordinary_user);
    root
}

/// Changes the user ids of the calling thread alone: the system call knows nothing of processes.
fn set_thread_uids(real: libc::c_long, effective: libc::c_long) {
    // SAFETY: setresuid takes three numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, real, effective, KEEP) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn real_user_id_does_not_count() {
    skip_if_not_root!();
    skip_if_no_cap!(CAP_SETUID);
    for (real, effective, root) in [
        (KEEP, ORDINARY_USER, false),
        (ORDINARY_USER, KEEP, true),
        (ORDINARY_USER, ORDINARY_USER, false),
        (KEEP, KEEP, true),
    ] {
        thread::spawn(move || {
            set_thread_uids(real, effective);
            assert_eq!(seen_as_root(), root, "real {real}, effective {effective}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn capability_that_only_this_thread_has_dropped_is_missed() {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    fn capable() -> bool {
        lets_through(|| {
            skip_if_no_cap!(CAP_CHOWN, false);
            true
        })
    }

    skip_if_no_cap!(CAP_CHOWN);
    thread::spawn(|| {
        assert!(capable());
        let header = Header {
            version: 0x2008_0522, // _LINUX_CAPABILITY_VERSION_3
            pid: 0,
        };
        let none = [Data::default(); 2];
        // SAFETY: both point to values laid out as capset(2) wants them, alive during the call.
        let result = unsafe { libc::syscall(libc::SYS_capset, &header, &none) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        assert!(!capable());
    })
    .join()
    .unwrap();
    assert!(capable(), "the other threads keep it");
}

#[test]
fn arguments_are_evaluated_once() {
    let mut messages = 0;
    let mut users = 0;
    for i in 0..6 {
        let table = [
            TestUserType::RootOnly,
            TestUserType::NonRootOnly,
            TestUserType::Any,
        ];
        skip_loop_by_user!(
            {
                messages += 1;
                format!("test[{i}]")
            },
            {
                users += 1;
                table.get(i % 3).unwrap()
            }
        );
    }
    assert_eq!((messages, users), (6, 6));
}

#[test]
fn message_of_a_turn_that_is_not_skipped_is_not_evaluated() {
    let mut as_root = 0;
    let mut as_ordinary_user = 0;
    for _ in 0..3 {
        skip_loop_if_not_root!({
            as_ordinary_user += 1;
            "needs root"
        });
    }
    for _ in 0..3 {
        skip_loop_if_root!({
            as_root += 1;
            "needs non-root"
        });
    }
    let expected = if seen_as_root() { (3, 0) } else { (0, 3) };
    assert_eq!((as_root, as_ordinary_user), expected);
}

#[test]
fn message_may_be_anything_displayable_and_is_not_consumed() {
    fn turns(message: impl Display, user: &TestUserType) -> usize {
        let mut turns = 0;
        for _ in 0..1 {
            skip_loop_by_user!(message, *user);
            turns += 1;
        }
        for _ in 0..1 {
            skip_loop_by_user!(message, user);
            turns += 1;
        }
        assert!(!message.to_string().is_empty());
        turns
    }
    assert_eq!(turns(7, &TestUserType::Any), 2);
    assert_eq!(turns("text", &TestUserType::Any), 2);
    let for_root = turns('c', &TestUserType::RootOnly);
    let for_others = turns(String::from("text"), &TestUserType::NonRootOnly);
    assert_eq!(
        (for_root, for_others),
        if seen_as_root() { (2, 0) } else { (0, 2) }
    );
}
