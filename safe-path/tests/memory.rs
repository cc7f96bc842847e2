//! Memory that a path of any length can make the resolver take.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::os::unix::fs::symlink;
use std::path::Path;

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join};
use test_utils::allocation::{CountingAllocator, allocated_by};
use test_utils::seccomp::{Rule, run_under};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;

/// Buffers, and the path of the root.
const CONSTANT: usize = 128 << 10;

fn paths() -> [(&'static str, String); 6] {
    [
        ("separators", "/".repeat(1 << 20)),
        ("dots", "./".repeat(1 << 19)),
        ("names", "a/".repeat(DEEP)),
        ("up", "../".repeat(DEEP)),
        ("a link, again and again", "link/../../".repeat(300)),
        ("existing and missing", "d/../missing/../".repeat(1000)),
    ]
}

fn check(what: &str, path: &str, action: impl FnOnce()) {
    let ((), allocated) = allocated_by(action);
    assert!(
        allocated.peak <= 8 * path.len() + CONSTANT,
        "{what}: {allocated:?}"
    );
}

/// All of these end, whether with an answer or an error.
fn check_all(root: &Path) {
    let long = "x".repeat(LARGE);
    check("one long name", &long, || drop(scoped_join(root, &long)));
    check("one long name", &long, || {
        drop(PinnedPathBuf::new(root, &long))
    });
    let handle = ScopedRoot::open(root).unwrap();
    let builder = ScopedDirBuilder::new(root).unwrap();
    for (what, path) in paths() {
        let check = |action: &dyn Fn()| check(what, &path, action);
        check(&|| drop(scoped_join(root, &path)));
        check(&|| drop(PinnedPathBuf::new(root, &path)));
        check(&|| drop(PinnedPathBuf::from_path(&path)));
        check(&|| drop(handle.join_child(&path)));
        check(&|| drop(handle.resolve(&path)));
        check(&|| drop(builder.create(&path)));
    }
}

fn with_tree(action: impl FnOnce(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("d/e")).unwrap();
    symlink("/d/e", root.join("link")).unwrap();
    action(&root);
}

#[test]
fn path_of_any_length_takes_at_most_eight_times_its_size() {
    with_tree(check_all);
}

#[test]
fn path_of_any_length_takes_at_most_eight_times_its_size_without_openat2() {
    with_tree(|root| {
        run_under(&[Rule::fail(libc::SYS_openat2, libc::EPERM)], || {
            check_all(root)
        })
    });
}

/// 255 links of almost `PATH_MAX` bytes, one after the other.
#[test]
fn links_take_no_more_memory_than_their_text() {
    with_tree(|root| {
        for number in 0..=254 {
            let target = format!("{}{}", "./".repeat(2000), number + 1);
            symlink(target, root.join(number.to_string())).unwrap();
        }
        let (joined, allocated) = allocated_by(|| scoped_join(root, "0").unwrap());
        assert_eq!(joined, root.join("255"));
        assert!(allocated.peak <= 8 * 4096 + CONSTANT, "{allocated:?}");
    });
}
