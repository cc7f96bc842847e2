//! Descriptors of the whole process: none is leaked, none reaches a child, and strings resolve when
//! there are none left. A process of its own, since others would open some meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

#[allow(dead_code, reason = "only the tree and the paths are needed")]
#[path = "../src/tests/table.rs"]
mod table;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve};

/// The tests of this file count or use up descriptors: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn temporary() -> (tempfile::TempDir, PathBuf) {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    table::build(&root);
    (tmp, root)
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to writable memory of the right type.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(result, 0);
    limit
}

fn set_limit(limit: libc::rlimit) {
    // SAFETY: the pointer is to readable memory of the right type.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
}

#[test]
fn none_is_leaked() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (_tmp, root) = temporary();
    symlink("loop", root.join("loop")).unwrap();
    let handle = ScopedRoot::open(&root).unwrap();
    let mut builder = ScopedDirBuilder::new(&root).unwrap();
    let before = open_descriptors();
    for recursive in [true, false] {
        builder.recursive(recursive);
        for path in table::CASES
            .iter()
            .map(|case| case.1)
            .chain(["loop/x", "a\0b"])
        {
            let _ = scoped_join(&root, path);
            let _ = scoped_resolve(&root, path);
            if let Ok(pin) = PinnedPathBuf::new(&root, path) {
                let _ = pin.try_clone();
                let _ = pin.open_child("sub".as_ref());
                let _ = pin.mkdir("new".as_ref(), 0o755);
            }
            let _ = PinnedPathBuf::from_path(root.join(path));
            let _ = builder.create(path);
            let _ = builder.create_with_unscoped_path(root.join(path));
            let _ = handle.resolve(path);
            let _ = handle.open_file(path, OpenOptions::new().read(true));
            let _ = handle.open_file(path, OpenOptions::new().write(true).create(true));
            let _ = handle.mkdir_all(path, 0o755);
            let _ = handle.join_child(path);
        }
    }
    assert_eq!(open_descriptors(), before);
}

#[test]
fn none_reaches_a_child_process() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (_tmp, root) = temporary();
    let pin = PinnedPathBuf::new(&root, "dirlink").unwrap();
    let mut builder = ScopedDirBuilder::new(&root).unwrap();
    let handle = ScopedRoot::open(&root).unwrap();
    let _kept = [
        pin.try_clone().unwrap(),
        pin.open_child("sub".as_ref()).unwrap(),
        pin.mkdir("new".as_ref(), 0o755).unwrap(),
        PinnedPathBuf::from_path(root.join("d")).unwrap(),
        builder.recursive(true).create("/").unwrap(),
        builder.create("a/b").unwrap(),
        handle.resolve("d/sub").unwrap(),
        handle.mkdir_all("c/d", 0o755).unwrap(),
    ];
    let output = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let listing = String::from_utf8_lossy(&output.stdout);
    assert!(listing.contains("->"), "{listing}");
    assert!(!listing.contains(root.to_str().unwrap()), "{listing}");
}

#[test]
fn strings_resolve_when_there_are_none_left() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (_tmp, root) = temporary();
    symlink(&root, root.join("root-link")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("end", root.join("l1")).unwrap();
    for link in 2..=256 {
        symlink(format!("l{}", link - 1), root.join(format!("l{link}"))).unwrap();
    }
    let limit = limit();
    set_limit(libc::rlimit {
        rlim_cur: 64,
        ..limit
    });
    let used: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();

    let resolved: Vec<_> = table::CASES
        .iter()
        .flat_map(|(rule, path, expected, _)| {
            [&root, &root.join("root-link")]
                .map(|root| (rule, path, expected, scoped_resolve(root, path)))
        })
        .collect();
    let chain = scoped_join(&root, "l255/x");
    let too_many = scoped_join(&root, "l256");
    let long = scoped_join(&root, "a/".repeat(5000));
    let missing_root = scoped_join(root.join("missing"), "x");
    let pin = PinnedPathBuf::new(&root, "d");
    let builder = ScopedDirBuilder::new(&root);

    drop(used);
    set_limit(limit);
    for (rule, path, expected, result) in resolved {
        assert_eq!(result.unwrap(), Path::new(expected), "{rule}: {path:?}");
    }
    assert_eq!(chain.unwrap(), root.join("end/x"));
    assert_eq!(
        too_many.unwrap_err().to_string(),
        "Too many levels of symlinks: l256"
    );
    assert!(long.is_ok());
    assert_eq!(missing_root.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    assert_eq!(pin.unwrap_err().raw_os_error(), Some(libc::EMFILE));
    assert_eq!(builder.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}
