//! Every public function while one system call or allocation after the other fails: an error, or
//! the same answer as without; never another path.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve};
use test_utils::faults::{
    AllocationFault, FailingAllocator, Fault, at_every_allocation, at_every_call,
};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};
use test_utils::seccomp::Rule;

#[global_allocator]
static ALLOCATOR: FailingAllocator = FailingAllocator;

const NO_OPENAT2: Rule = Rule::fail(libc::SYS_openat2, libc::ENOSYS);

/// A path with a link to the root, one that leads up, and names enough to be worth a run.
const LINKS: &str = "links/absolute/b/../up/a/b/c/file";

/// What is below the root.
fn build() -> PathBuf {
    let root = scratch().join("root");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::create_dir_all(root.join("a/up")).unwrap();
    fs::create_dir_all(root.join("links")).unwrap();
    fs::write(root.join("a/b/c/file"), "text").unwrap();
    symlink("/a", root.join("links/absolute")).unwrap();
    symlink("../../../a", root.join("a/up/a")).unwrap();
    root
}

/// `find` gives the same at every fault, or an error.
fn answers_are_true<F>(operation: &str, find: F)
where
    F: Fn(&Path) -> io::Result<PathBuf> + Sync,
{
    let root = build();
    let answer = find(&root).unwrap();
    let check = |(): &mut (), found: io::Result<PathBuf>, fault: Option<&Fault>| match found {
        Ok(path) => assert_eq!(path, answer),
        Err(error) => assert!(fault.is_some(), "{error}"),
    };
    at_every_call(operation, || (), |()| find(&root), check);
    at_every_allocation(
        operation,
        || (),
        // Reading a whole file is the one thing that reports it.
        |()| assert!(find(&root).map_or_else(is_out_of_memory, |path| path == answer)),
        |(), _| (),
    );
}

fn is_out_of_memory(error: io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
}

fn lookups() {
    answers_are_true("scoped_join", |root| scoped_join(root, "a/b/c/file"));
    answers_are_true("scoped_join, links", |root| scoped_join(root, LINKS));
    answers_are_true("scoped_join, missing", |root| {
        scoped_join(root, "links/absolute/no/such/../file")
    });
    answers_are_true("PinnedPathBuf::new", |root| {
        target(PinnedPathBuf::new(root, LINKS))
    });
    answers_are_true("PinnedPathBuf::from_path", |root| {
        target(PinnedPathBuf::from_path(
            fs::canonicalize(root)?.join("a/b/c"),
        ))
    });
}

fn other_lookups() {
    answers_are_true("scoped_join, relative root", |_| scoped_join(".", "x/y"));
    answers_are_true("scoped_resolve", |root| scoped_resolve(root, LINKS));
    answers_are_true("PinnedPathBuf::new, few names", |root| {
        target(PinnedPathBuf::new(root, "links/absolute/b"))
    });
    answers_are_true("PinnedPathBuf, its methods", |root| {
        let pinned = PinnedPathBuf::new(root, "a/b")?.try_clone()?;
        let child = pinned.open_child("c".as_ref())?;
        assert!(child.metadata()?.is_dir());
        target(Ok(child))
    });
    answers_are_true("ScopedRoot, lookups", |root| {
        let root = ScopedRoot::open(root)?;
        let pinned = root.resolve(LINKS)?;
        assert!(root.join_child("a/b/c/file")?.ends_with("a/b/c/file"));
        target(Ok(pinned))
    });
    answers_are_true("ScopedRoot::open_file", |root| {
        let file = ScopedRoot::open(root)?.open_file(LINKS, OpenOptions::new().read(true))?;
        io::read_to_string(file).map(PathBuf::from)
    });
}

fn target(pinned: io::Result<PinnedPathBuf>) -> io::Result<PathBuf> {
    Ok(pinned?.target().to_owned())
}

/// `create` makes what it says, or is an error and can be repeated; nothing else changes.
fn directories_are_made<F>(operation: &str, new: &str, create: F)
where
    F: Fn(&Path) -> io::Result<PathBuf> + Sync,
{
    at_every_call(
        operation,
        build,
        |root| create(root),
        |root, made, fault| {
            match made {
                Ok(path) => {
                    assert_eq!(path, root.join(new));
                    assert!(path.is_dir(), "{fault:?}");
                }
                Err(error) => assert!(fault.is_some(), "{error}"),
            }
            can_be_made(root, new, &create);
        },
    );
    at_every_allocation(
        operation,
        build,
        |root| assert!(create(root).map_or_else(is_out_of_memory, |path| path.is_dir())),
        |root, end| {
            assert!(root.join(new).is_dir() || end != AllocationFault::None);
            can_be_made(root, new, &create);
        },
    );
}

/// Whatever the attempt before has left.
fn can_be_made(root: &Path, new: &str, create: impl Fn(&Path) -> io::Result<PathBuf>) {
    assert_eq!(create(root).map_err(|e| e.kind()), Ok(root.join(new)));
    assert!(root.join(new).is_dir());
    assert_eq!(fs::read(root.join("a/b/c/file")).unwrap(), b"text");
    assert_eq!(fs::read_dir(root).unwrap().count(), 2);
}

fn creations() {
    directories_are_made("ScopedDirBuilder::create", "a/x/y/z", |root| {
        let mut builder = ScopedDirBuilder::new(root)?;
        builder.recursive(true).mode(0o700);
        target(builder.create("links/absolute/x/y/z"))
    });
    directories_are_made("PinnedPathBuf::mkdir", "a/x", |root| {
        let parent = PinnedPathBuf::new(root, "links/absolute")?;
        match parent.mkdir("x".as_ref(), 0o755) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                target(parent.open_child("x".as_ref()))
            }
            made => target(made),
        }
    });
}

fn other_creations() {
    directories_are_made(
        "ScopedDirBuilder::create_with_unscoped_path",
        "a/x/y/z",
        |root| {
            let mut builder = ScopedDirBuilder::new(root)?;
            let below = root.join("a/x/y/z");
            target(builder.recursive(true).create_with_unscoped_path(below))
        },
    );
    directories_are_made("ScopedRoot::mkdir_all", "a/x/y/z", |root| {
        target(ScopedRoot::open(root)?.mkdir_all("links/absolute/x/y/z", 0o755))
    });
}

#[test]
fn failing_call_never_changes_an_answer() {
    isolate!(Isolation::new());
    std::env::set_current_dir(scratch()).unwrap();
    lookups();
    other_lookups();
}

#[test]
fn failing_call_never_changes_an_answer_without_openat2() {
    isolate!(Isolation::new().seccomp(&[NO_OPENAT2]));
    std::env::set_current_dir(scratch()).unwrap();
    lookups();
}

#[test]
fn failing_call_never_changes_an_answer_of_a_handle_without_openat2() {
    isolate!(Isolation::new().seccomp(&[NO_OPENAT2]));
    std::env::set_current_dir(scratch()).unwrap();
    other_lookups();
}

#[test]
fn failing_call_leaves_a_directory_that_can_be_made() {
    isolate!(Isolation::new());
    creations();
    other_creations();
}

#[test]
fn failing_call_leaves_a_directory_that_can_be_made_without_openat2() {
    isolate!(Isolation::new().seccomp(&[NO_OPENAT2]));
    creations();
    other_creations();
}
