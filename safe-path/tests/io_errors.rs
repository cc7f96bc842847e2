//! A filesystem that fails: what cannot be examined is an error with its number, never "no symlink"
//! (D3, D6, row 16). The failures come from a seccomp filter.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]

use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve};
use test_utils::seccomp::{Rule, run_under};

/// The number with which each function fails on `path`, while `call` fails with `errno`.
fn errnos(call: libc::c_long, errno: i32, path: &'static str) -> Vec<Option<i32>> {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("d/sub")).unwrap();
    symlink("d", root.join("link")).unwrap();
    let handle = ScopedRoot::open(&root).unwrap();
    let mut builder = ScopedDirBuilder::new(&root).unwrap();
    builder.recursive(true);
    let failures = run_under(&[Rule::fail(call, errno)], move || {
        let number = |error: io::Error| error.raw_os_error();
        vec![
            number(scoped_join(&root, path).unwrap_err()),
            number(scoped_resolve(&root, path).unwrap_err()),
            number(PinnedPathBuf::new(&root, path).unwrap_err()),
            number(handle.join_child(path).unwrap_err()),
            number(builder.create(path).unwrap_err()),
        ]
    });
    assert!(!tmp.path().join("new").exists(), "nothing was created");
    failures
}

#[test]
fn a_name_that_cannot_be_read_is_an_error() {
    for errno in [libc::EIO, libc::ESTALE, libc::ENOMEM] {
        for path in ["link", "sub/../link/new", "link/../new", "new/../d/../link"] {
            let failures = errnos(libc::SYS_readlinkat, errno, path);
            assert!(
                failures.iter().all(|number| *number == Some(errno)),
                "{path}: {failures:?}"
            );
        }
    }
}

#[test]
fn a_name_that_cannot_be_opened_is_an_error() {
    for errno in [libc::EIO, libc::ESTALE, libc::ENOMEM, libc::EACCES] {
        for path in ["link/new", "d/link/../../link/x"] {
            let failures = errnos(libc::SYS_openat, errno, path);
            assert!(
                failures.iter().all(|number| *number == Some(errno)),
                "{path}: {failures:?}"
            );
        }
    }
}
