//! A kernel without openat2(2): `ENOSYS`, for real, through a seccomp filter.
//!
//! A process of its own, since it remembers.

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

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join};
use test_utils::seccomp::{Rule, run_under};

/// Everything that this crate can do, once.
fn use_everything() {
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
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().canonicalize().unwrap();
    table::build(&path);

    let mut builder = ScopedDirBuilder::new(&path).unwrap();
    let new = builder.recursive(true).create("dangling/../y").unwrap();
    assert_eq!(new.target(), path.join("nowhere/y"));
    let new = builder.create_with_unscoped_path(path.join("b/c")).unwrap();
    assert_eq!(new.target(), path.join("b/c"));
    let new = new.mkdir("new".as_ref(), 0o755).unwrap();
    assert_eq!(new.target(), path.join("b/c/new"));

    assert_eq!(
        PinnedPathBuf::from_path(path.join("d/file"))
            .unwrap()
            .target(),
        path.join("d/file")
    );
    let error = PinnedPathBuf::from_path(path.join("dirlink/file")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let root = ScopedRoot::open(&path).unwrap();
    let file = root
        .open_file("dirlink/file", OpenOptions::new().read(true))
        .unwrap();
    let content = io::read_to_string(file).unwrap();
    assert_eq!(Path::new(&content), path.join("d/file"));
    assert_eq!(root.join_child("dirlink").unwrap(), path.join("d"));
    assert!(root.join_child("to-root").is_err());
}

#[test]
fn everything_works_without_openat2_which_is_not_tried_again() {
    let missing = [Rule::fail(libc::SYS_openat2, libc::ENOSYS)];
    run_under(&missing, || {
        assert_eq!(openat2::errno(), Some(libc::ENOSYS));
        use_everything();
    });
    // Were it called by any thread now, this process would not live to tell.
    run_under(&[Rule::kill(libc::SYS_openat2)], use_everything);
}
