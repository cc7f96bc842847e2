//! A seccomp filter that denies openat2(2) with `EPERM`, as those of older container engines do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod openat2;
#[path = "../src/tests/table.rs"]
mod table;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;

use safe_path::{PinnedPathBuf, scoped_join};
use test_utils::isolation::command_of_test;
use test_utils::seccomp::{Rule, run_under};

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

const fn openat2_fails_with(errno: i32) -> [Rule; 1] {
    [Rule::fail(libc::SYS_openat2, errno)]
}

#[test]
fn the_walk_takes_over_where_openat2_is_denied() {
    run_under(&openat2_fails_with(libc::EPERM), || {
        assert_eq!(openat2::errno(), Some(libc::EPERM));
        check_table();
    });
}

#[test]
fn the_walk_takes_over_where_openat2_does_not_like_its_arguments() {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("d/".repeat(100))).unwrap();
    std::fs::create_dir(root.join("d/d/d/e")).unwrap();
    std::os::unix::fs::symlink("d", root.join("link")).unwrap();
    // More levels than stay open, so that going up re-opens some.
    let deep = format!("{}{}e", "d/".repeat(100), "../".repeat(97));
    let expected = root.join("d/d/d/e");
    for errno in [libc::EINVAL, libc::E2BIG, libc::EAGAIN, libc::EACCES] {
        run_under(&openat2_fails_with(errno), || {
            check_table();
            assert_eq!(scoped_join(&root, &deep).unwrap(), expected, "{errno}");
            let pin = PinnedPathBuf::new(&root, &deep).unwrap();
            assert_eq!(pin.target(), expected, "{errno}");
            let pin = PinnedPathBuf::from_path(&expected).unwrap();
            assert_eq!(pin.target(), expected, "{errno}");
            // A root that is not given by its canonical path.
            assert_eq!(scoped_join(pin.as_path(), "x").unwrap(), expected.join("x"));
            assert_eq!(
                scoped_join(root.join("link"), "x").unwrap(),
                root.join("d/x")
            );
            let error = PinnedPathBuf::from_path(root.join("link")).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{errno}");
            let error = PinnedPathBuf::from_path(root.join("missing")).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{errno}");
        });
    }
}

#[test]
fn a_denial_is_not_remembered() {
    if std::env::var_os(CHILD).is_some() {
        run_under(&openat2_fails_with(libc::EPERM), check_table);
        run_under(&[Rule::kill(libc::SYS_openat2)], || {
            drop(scoped_join("/", "x"))
        });
        return;
    }
    let mut command = command_of_test("a_denial_is_not_remembered");
    let status = command.env(CHILD, "1").output().unwrap().status;
    assert_eq!(
        status.signal(),
        Some(libc::SIGSYS),
        "openat2 was tried again: {status}"
    );
}
