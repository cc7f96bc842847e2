//! Network namespaces: a thread is in the one that it has been told, or at home.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;

use kata_sys_util::netns::NetnsGuard;
use test_utils::faults::at_every_call;
use test_utils::isolate;
use test_utils::isolation::{Isolation, unshare};

const NAMESPACE: &str = "/proc/thread-self/ns/net";

#[test]
fn thread_that_cannot_change_its_namespace_stays_at_home() {
    isolate!(
        Isolation::new()
            .namespaces(libc::CLONE_NEWNET)
            .or_namespaces(libc::CLONE_NEWNET | libc::CLONE_NEWUSER)
    );
    let current = || fs::read_link(NAMESPACE).ok();
    let (other, held) = (current(), File::open(NAMESPACE).unwrap());
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    unshare(libc::CLONE_NEWNET).unwrap();
    let home = current();
    assert_ne!(home, other);
    let visit = || {
        let guard = NetnsGuard::new(&path);
        let (has_entered, inside) = (guard.is_ok(), current());
        drop(guard);
        (has_entered, inside, current())
    };
    // Nothing is found if that question is the one that fails.
    let is =
        |found: Option<PathBuf>, expected: &Option<PathBuf>| found.is_none() || found == *expected;
    at_every_call(
        "NetnsGuard",
        || (),
        // One that cannot go home must not be there the next time.
        |()| {
            thread::scope(|scope| {
                let thread = thread::Builder::new().spawn_scoped(scope, visit);
                thread.map(|thread| thread.join().unwrap())
            })
        },
        |(), visit, fault| match visit {
            Ok((has_entered, inside, after)) => {
                assert!(has_entered || fault.is_some());
                assert!(is(inside, if has_entered { &other } else { &home }));
                let may_stay = has_entered && fault.is_some_and(|fault| fault.concerns("setns"));
                assert!(is(after, &home) || may_stay);
            }
            Err(error) => assert!(fault.is_some(), "{error}"),
        },
    );
}
