//! Fault injection: what is hit, what is not, and what is noticed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, Stdio};
use std::thread;

use test_utils::faults::{
    AllocationFault, Extent, FailingAllocator, Fault, at_every_allocation, at_every_call,
};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;

/// Whether the kernel has what it takes: else every test here would pass by being skipped.
fn is_supported() -> bool {
    let mut runs = 0;
    at_every_call(
        "look",
        || (),
        |()| fs::metadata("/").is_ok(),
        |(), _, _| runs += 1,
    );
    runs > 0
}

fn message(test: impl FnOnce()) -> String {
    let payload = panic::catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.unwrap_or_else(|| payload.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn every_call_fails_once_with_every_error_and_from_then_on() {
    isolate!(Isolation::new());
    let seen = RefCell::new(Vec::new());
    let file = scratch().join("file");
    at_every_call(
        "two syncs",
        || File::create(&file).unwrap(),
        |file| [file.sync_all(), file.sync_all()].map(|r| r.err().and_then(|e| e.raw_os_error())),
        |_, results, fault| seen.borrow_mut().push((fault.copied(), results)),
    );
    let seen = seen.into_inner();
    if !is_supported() {
        return;
    }
    assert_eq!(seen[0], (None, [None, None]));
    for error in [libc::EIO, libc::ENOSPC, libc::EINTR] {
        for (nth, extent, expected) in [
            (1, Extent::Once, [Some(error), None]),
            (2, Extent::Once, [None, Some(error)]),
            (1, Extent::SameCall, [Some(error); 2]),
            (2, Extent::SameCall, [None, Some(error)]),
            (1, Extent::EveryCall, [Some(error); 2]),
        ] {
            let found = seen.iter().filter(|(fault, _)| {
                fault.is_some_and(|fault| {
                    (fault.call, fault.nth, fault.error, fault.extent)
                        == ("fsync", nth, error, extent)
                })
            });
            let found: Vec<_> = found.map(|(_, results)| *results).collect();
            if error == libc::EINTR {
                // The standard library tries again; for ever, so it is not let fail for ever.
                let expected: &[_] = if extent == Extent::Once {
                    &[[None, None]]
                } else {
                    &[]
                };
                assert_eq!(found, expected);
            } else {
                assert_eq!(found, [expected], "{error} {nth} {extent:?}");
            }
        }
    }
    let not_hit = seen.iter().filter(|(fault, _)| fault.is_none());
    assert!(
        not_hit.clone().count() > 1,
        "the search ends with a run without a hit"
    );
    assert!(
        not_hit
            .into_iter()
            .all(|(_, results)| *results == [None, None])
    );
}

#[test]
fn everything_that_may_fail_so_fails_later_and_nothing_else() {
    isolate!(Isolation::new());
    let file = scratch().join("file");
    at_every_call(
        "replace",
        || fs::write(&file, "old").unwrap(),
        |()| {
            (
                fs::write(&file, "new"),
                fs::remove_file(&file),
                fs::read_dir("/"),
            )
        },
        |(), (write, remove, list), fault| {
            let Some(fault) = fault.filter(|fault| fault.extent == Extent::EveryCall) else {
                return;
            };
            if fault.call == "openat, O_CREAT" && fault.nth == 1 {
                assert!(write.is_err());
                assert_eq!(list.is_err(), fault.error != libc::ENOSPC);
                assert_eq!(remove.is_err(), fault.error != libc::EMFILE);
                assert_eq!(fault.concerns("unlink"), fault.error != libc::EMFILE);
            }
        },
    );
}

#[test]
fn threads_and_processes_are_counted_and_programs_are_not() {
    isolate!(Isolation::new());
    if !is_supported() {
        return;
    }
    let calls = RefCell::new(BTreeSet::new());
    let collect = |fault: Option<&Fault>| calls.borrow_mut().extend(fault.map(|f| f.call));
    at_every_call(
        "thread",
        || (),
        |()| {
            thread::scope(|scope| {
                let open = thread::Builder::new().spawn_scoped(scope, || File::open("/dev/null"));
                open.and_then(|thread| thread.join().unwrap())
            })
        },
        |(), file, fault| {
            assert!(file.is_ok() || fault.is_some());
            collect(fault);
        },
    );
    assert!(calls.take().contains("openat"));
    let collect = |fault: Option<&Fault>| calls.borrow_mut().extend(fault.map(|f| f.call));
    at_every_call(
        "program",
        || (),
        // It lists a directory, which we do not.
        |()| Command::new("/bin/ls").stdout(Stdio::null()).status(),
        |(), status, fault| {
            collect(fault);
            assert!(status.is_ok_and(|status| status.success()) || fault.is_some());
        },
    );
    let calls = calls.into_inner();
    assert!(calls.contains("execve"), "{calls:?}");
    assert!(!calls.contains("getdents64"), "{calls:?}");
}

#[test]
fn what_is_not_given_back_fails_the_test() {
    isolate!(Isolation::new());
    if !is_supported() {
        return;
    }
    let text = message(|| {
        at_every_call(
            "leak",
            || (),
            |()| mem::forget(File::open("/dev/zero")),
            |(), (), _| (),
        );
    });
    assert!(text.contains("leak: leaked descriptor"), "{text}");
    assert!(text.contains("/dev/zero"), "{text}");
    let text = message(|| {
        let start = |_: &mut ()| mem::forget(Command::new("/bin/true").spawn());
        at_every_call("zombie", || (), start, |(), (), _| ());
    });
    assert!(text.contains("zombie: child left behind"), "{text}");
}

#[test]
fn what_cannot_be_seen_fails_the_test() {
    let (user, mounts) = (libc::CLONE_NEWUSER, libc::CLONE_NEWNS);
    isolate!(
        Isolation::new()
            .namespaces(user | mounts)
            .or_namespaces(mounts)
    );
    if !is_supported() {
        return;
    }
    let tmpfs = c"tmpfs".as_ptr();
    // SAFETY: strings that end in NUL, or null where the kernel allows it.
    let result = unsafe { libc::mount(tmpfs, c"/proc".as_ptr(), tmpfs, 0, std::ptr::null()) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let text = message(|| {
        let open = |_: &mut ()| drop(File::open("/dev/zero"));
        at_every_call("blind", || (), open, |(), (), _| ());
    });
    assert!(
        text.starts_with("blind: what it gives back cannot be seen: "),
        "{text}"
    );
}

#[test]
fn leak_under_a_fault_only_is_found() {
    isolate!(Isolation::new());
    if !is_supported() {
        return;
    }
    let text = message(|| {
        let act = |_: &mut ()| {
            let file = File::open("/dev/zero")?;
            if file
                .sync_all()
                .is_err_and(|error| error.kind() != ErrorKind::InvalidInput)
            {
                mem::forget(file);
            }
            io::Result::Ok(())
        };
        at_every_call("leak", || (), act, |(), _, _| ());
    });
    assert!(text.contains("leaked descriptor"), "{text}");
}

#[test]
fn panic_of_the_operation_is_handed_on() {
    isolate!(Isolation::new());
    if !is_supported() {
        return;
    }
    let text = message(|| {
        let act = |_: &mut ()| assert!(fs::metadata("/").is_ok(), "expected panic");
        at_every_call("panic", || (), act, |(), (), _| ());
    });
    assert_eq!(text, "expected panic");
    let text = message(|| at_every_call("nothing", || (), |()| (), |(), (), _| ()));
    assert_eq!(text, "nothing makes no call that can fail");
}

#[test]
fn every_allocation_fails_once() {
    isolate!(Isolation::new());
    let mut ends = Vec::new();
    at_every_allocation(
        "three vectors",
        || (),
        |()| {
            let mut first = Vec::<u8>::new();
            let _ = first.try_reserve_exact(10); // goes on
            drop([vec![1_u8; 10], vec![2_u8; 10]]);
        },
        |(), end| ends.push(end),
    );
    use AllocationFault::{Aborted, None, Survived};
    assert_eq!(ends, [Survived, Aborted, Aborted, None]);
}
