//! A seccomp filter that denies openat2(2) with `EPERM`, as those of older container engines do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod seccomp;
#[path = "../src/tests/table.rs"]
mod table;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use safe_path::{PinnedPathBuf, scoped_join};
use seccomp::Verdict;

/// Set in the child process that is expected to be killed.
const CHILD: &str = "SAFE_PATH_TEST_CHILD";

fn check_table() {
    table::check(
        |root, path| scoped_join(root, path),
        |root, path| {
            let pin = PinnedPathBuf::new(root, path)?;
            let metadata = pin.metadata()?;
            let id = (metadata.dev(), metadata.ino());
            Ok(table::Pinned {
                target: pin.target().to_owned(),
                id,
            })
        },
    );
}

fn in_thread(at: Verdict, body: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        seccomp::install(libc::SYS_openat2, at);
        body();
    })
    .join()
    .unwrap();
}

#[test]
fn the_walk_takes_over_where_openat2_is_denied() {
    in_thread(Verdict::Fail(libc::EPERM), || {
        assert_eq!(seccomp::openat2_errno(), Some(libc::EPERM));
        check_table();
    });
}

#[test]
fn the_walk_takes_over_where_openat2_does_not_like_its_arguments() {
    for errno in [libc::EINVAL, libc::E2BIG, libc::EAGAIN, libc::EACCES] {
        in_thread(Verdict::Fail(errno), check_table);
    }
}

#[test]
fn a_denial_is_not_remembered() {
    if std::env::var_os(CHILD).is_some() {
        in_thread(Verdict::Fail(libc::EPERM), check_table);
        in_thread(Verdict::Kill, || drop(scoped_join("/", "x")));
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_denial_is_not_remembered"])
        .env(CHILD, "1")
        .output()
        .unwrap()
        .status;
    assert_eq!(
        status.signal(),
        Some(libc::SIGSYS),
        "openat2 was tried again: {status}"
    );
}
