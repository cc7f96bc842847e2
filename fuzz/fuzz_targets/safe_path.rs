//! Paths below a root with a tree of files: sections `=== paths` (lines) and `=== new` (lines) after
//! the lines of the tree.
//!
//! * With openat2 and, in a thread where a filter denies it, without, a path means what it means to a
//!   slow model, and what it means to the kernel with `RESOLVE_IN_ROOT`.
//! * What is pinned is the object at that path, and lies below the root.
//! * New directories are where the model says, and nothing else is new.
#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use kata_libs_fuzz::{Node, Scratch, Tree, lines, sections};
use libfuzzer_sys::fuzz_target;
use safe_path::{
    PathError, PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve,
};
use test_utils::seccomp::{Rule, install};

const MAX_SYMLINKS: u32 = 255;

/// Where a path leads, and whether it has tried to leave the root; `None` after too many links.
fn resolve(tree: &Tree, path: &str) -> Option<(Vec<String>, bool)> {
    let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let (mut names, mut is_clamped, mut links) = (Vec::<String>::new(), false, 0);
    while let Some(name) = pending.pop_front() {
        match &*name {
            "" | "." => {}
            ".." => is_clamped |= names.pop().is_none(),
            _ => {
                names.push(name);
                if let Some(Node::Link(target)) = tree.get(&names) {
                    links += 1;
                    if links > MAX_SYMLINKS {
                        return None;
                    }
                    names.pop();
                    if target.starts_with('/') {
                        names.clear();
                    }
                    for part in target.split('/').rev() {
                        pending.push_front(part.to_owned());
                    }
                }
            }
        }
    }
    Some((names, is_clamped))
}

/// The error of opening these names, if any.
fn errno(tree: &Tree, names: &[String]) -> Option<i32> {
    for end in 1..=names.len() {
        match tree.get(&names[..end]) {
            Some(Node::Dir) => {}
            Some(_) if end == names.len() => {}
            Some(_) => return Some(libc::ENOTDIR),
            None => return Some(libc::ENOENT),
        }
    }
    None
}

fn is_kind(error: &io::Error, is: impl Fn(&PathError) -> bool) -> bool {
    PathError::of(error).is_some_and(is)
}

fn check_path(tree: &Tree, root: &Path, path: &str) {
    let (joined, relative) = (scoped_join(root, path), scoped_resolve(root, path));
    let pin = PinnedPathBuf::new(root, path);
    let handle = ScopedRoot::open(root).expect("the root is there");
    let child = handle.join_child(path);
    if path.contains('\0') {
        assert!(joined.is_err() && relative.is_err() && pin.is_err() && child.is_err());
        return;
    }
    let Some((names, is_clamped)) = resolve(tree, path) else {
        let is_loop = |error: &PathError| matches!(error, PathError::TooManySymlinks { .. });
        for error in [joined.err(), relative.err(), pin.err(), child.err()] {
            assert!(is_kind(&error.expect("too many links"), is_loop));
        }
        return;
    };
    let expected = names.join("/");
    // Names longer than any file system has, and paths longer than the kernel takes, are errors of
    // their own.
    if names.iter().any(|name| name.len() > 255) || path.len() > 3000 || expected.len() > 3000 {
        return;
    }
    assert_eq!(relative.expect("resolved"), Path::new(&expected));
    let object = root.join(&expected);
    assert_eq!(
        joined.expect("joined").as_os_str(),
        object.components().as_path().as_os_str()
    );
    match (errno(tree, &names), pin) {
        (None, Ok(pin)) => {
            assert_eq!(pin.target(), object.components().as_path());
            let (pinned, there) = (
                pin.metadata().expect("it is open"),
                fs::symlink_metadata(&object).expect("it is there"),
            );
            assert_eq!((pinned.dev(), pinned.ino()), (there.dev(), there.ino()));
            let resolved = handle.resolve(path).expect("as above");
            assert_eq!(resolved.target(), pin.target());
        }
        (Some(errno), Err(error)) => assert_eq!(error.raw_os_error(), Some(errno)),
        (expected, pin) => panic!("{pin:?}, expected error {expected:?}"),
    }
    let is_child = !is_clamped && !names.is_empty();
    match child {
        Ok(child) => assert!(is_child && child == object),
        Err(error) => {
            assert!(!is_child);
            assert!(is_kind(&error, |error| matches!(
                error,
                PathError::NotAChild { .. }
            )));
        }
    }
}

/// All objects below a directory.
fn list(dir: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        found.insert(entry.path());
        if entry.file_type().expect("a type").is_dir() {
            list(&entry.path(), found);
        }
    }
}

fn check_new(tree: &Tree, root: &Path, path: &str) {
    let Some((names, _)) = resolve(tree, path).filter(|_| !path.contains('\0')) else {
        return;
    };
    if names.iter().any(|name| name.len() > 255) || path.len() > 3000 || names.len() > 100 {
        return;
    }
    let mut expected = BTreeSet::new();
    list(root, &mut expected);
    let is_blocked =
        (1..=names.len()).any(|end| matches!(tree.get(&names[..end]), Some(Node::File(_))));
    let mut builder = ScopedDirBuilder::new(root).expect("the root is there");
    match builder.recursive(true).create(path) {
        Ok(pin) => {
            assert!(!is_blocked);
            assert_eq!(
                pin.target(),
                root.join(names.join("/")).components().as_path()
            );
            expected.extend((1..=names.len()).map(|end| root.join(names[..end].join("/"))));
        }
        Err(error) => {
            assert!(is_blocked, "{error}");
            assert!(is_kind(&error, |error| matches!(
                error,
                PathError::NotADirectory { .. }
            )));
            // Directories before the file may be new.
            return;
        }
    }
    let mut found = BTreeSet::new();
    list(root, &mut found);
    assert_eq!(found, expected);
}

fn check(input: &str) {
    let sections = sections(input);
    let tree = Tree::parse(sections[0].1);
    let paths_of = |wanted: &str| {
        let texts = sections.iter().filter(move |(name, _)| *name == wanted);
        texts
            .flat_map(|(_, text)| lines(text))
            .take(8)
            .collect::<Vec<_>>()
    };
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    fs::create_dir(&root).expect("a new directory");
    tree.build(&root);
    for path in paths_of("paths") {
        check_path(&tree, &root, &path);
    }
    if let Some(path) = paths_of("new").first() {
        check_new(&tree, &root, path);
    }
}

type Worker = (SyncSender<String>, Receiver<()>);

/// A thread whose calls of openat2 are denied, as by older container engines.
static WITHOUT_OPENAT2: LazyLock<std::sync::Mutex<Worker>> = LazyLock::new(|| {
    let (inputs, next) = sync_channel::<String>(1);
    let (done, finished) = sync_channel(1);
    std::thread::spawn(move || {
        install(&[Rule::fail(libc::SYS_openat2, libc::EPERM)]).expect("a filter");
        while let Ok(input) = next.recv() {
            check(&input);
            done.send(()).expect("somebody waits");
        }
    });
    std::sync::Mutex::new((inputs, finished))
});

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    check(&input);
    let worker = WITHOUT_OPENAT2.lock().expect("no panic while locked");
    worker
        .0
        .send(input.into_owned())
        .expect("the thread is there");
    worker.1.recv().expect("the thread is there");
});
