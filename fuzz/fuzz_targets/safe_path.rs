//! Paths below a root with a tree of files: sections `=== paths` (lines) and `=== new` (lines) after
//! the lines of the tree.
//!
//! * With openat2 and, in a thread where a filter denies it, without, a path means what it means to a
//!   slow model, and what it means to the kernel with `RESOLVE_IN_ROOT`.
//! * What is pinned is the object at that path, and lies below the root; so do its children. A path
//!   pins without a root only if it has no links. What is opened has the content of the file.
//! * New directories are where the model says, and nothing else is new: with all their parents, alone,
//!   by a path from outside, and in a directory that is pinned.
#![no_main]

use std::ffi::OsStr;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use kata_libs_fuzz::paths::{errno, list, resolve};
use kata_libs_fuzz::{Node, Scratch, Tree, lines, sections};
use libfuzzer_sys::fuzz_target;
use safe_path::{
    PathError, PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve,
};
use test_utils::seccomp::{Rule, install};

/// The permissions of new directories.
const MODE: u32 = 0o700;

macro_rules! assert_kind {
    ($result:expr, $kind:pat) => {
        let error = $result.expect_err("not accepted");
        assert!(matches!(PathError::of(&error), Some($kind)), "{error:?}");
    };
}

/// Names longer than any file system has, and paths longer than the kernel takes, are errors of their
/// own.
fn is_too_long(path: &str, names: &[String]) -> bool {
    let is_long = |name: &String| name.len() > 255;
    names.iter().any(is_long) || path.len() > 3000 || names.join("/").len() > 3000
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn check_path(tree: &Tree, root: &Path, path: &str) {
    let (joined, relative) = (scoped_join(root, path), scoped_resolve(root, path));
    let pin = PinnedPathBuf::new(root, path);
    let handle = ScopedRoot::open(root).expect("the root is there");
    let child = handle.join_child(path);
    let file = handle.open_file(path, OpenOptions::new().read(true));
    check_without_root(tree, root, path);
    assert_kind!(
        handle.open_file(path, OpenOptions::new().write(true).create(true)),
        PathError::CreatesFiles { .. }
    );
    if path.contains('\0') {
        assert!(joined.is_err() && relative.is_err() && pin.is_err() && child.is_err());
        return assert!(file.is_err());
    }
    let Some(resolved) = resolve(tree, &[], path, |_| {}) else {
        assert_kind!(joined, PathError::TooManySymlinks { .. });
        assert_kind!(relative, PathError::TooManySymlinks { .. });
        assert_kind!(pin, PathError::TooManySymlinks { .. });
        assert_kind!(child, PathError::TooManySymlinks { .. });
        assert_kind!(file, PathError::TooManySymlinks { .. });
        return;
    };
    let names = resolved.names;
    if is_too_long(path, &names) {
        return;
    }
    let expected = names.join("/");
    assert_eq!(relative.expect("resolved"), Path::new(&expected));
    let object = root.join(&expected);
    assert_eq!(
        joined.expect("joined").as_os_str(),
        object.components().as_path().as_os_str()
    );
    match (errno(tree, &names), pin) {
        (None, Ok(pin)) => {
            let again = handle.resolve(path).expect("as above");
            assert_eq!(again.target(), pin.target());
            let clone = pin.try_clone().expect("another descriptor");
            assert_eq!(clone.target(), pin.target());
            check_object(tree, &names, &object, &pin);
            check_file(
                tree,
                &names,
                file,
                handle.open_file(path, OpenOptions::new().write(true)),
            );
        }
        (Some(errno), Err(error)) => {
            assert_eq!(error.raw_os_error(), Some(errno));
            assert_eq!(file.expect_err("as above").raw_os_error(), Some(errno));
        }
        (expected, pin) => panic!("{pin:?}, expected error {expected:?}"),
    }
    if !resolved.is_clamped && !names.is_empty() {
        assert_eq!(child.expect("below the root"), object);
    } else {
        assert_kind!(child, PathError::NotAChild { .. });
    }
}

/// The object that is pinned, at these names, and its children.
fn check_object(tree: &Tree, names: &[String], object: &Path, pin: &PinnedPathBuf) {
    assert_eq!(pin.target(), object.components().as_path());
    let pinned = pin.metadata().expect("it is open");
    let there = fs::symlink_metadata(object).expect("it is there");
    assert!(is_same(&pinned, &there));
    let canonical = PinnedPathBuf::from_path(object).expect("no links");
    assert!(is_same(&pinned, &canonical.metadata().expect("it is open")));
    assert_eq!(canonical.target(), pin.target());

    for wrong in ["", ".", "..", "a/b", "/", "a/", "\0"] {
        assert_kind!(
            pin.open_child(wrong.as_ref()),
            PathError::InvalidName { .. }
        );
    }
    if !there.is_dir() {
        let error = pin.open_child("a".as_ref()).expect_err("no directory");
        return assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }
    for name in ["a", "b", "l"] {
        let path = [names, &[name.to_owned()]].concat();
        let child = pin.open_child(OsStr::new(name));
        let errno = child.as_ref().err().and_then(io::Error::raw_os_error);
        match tree.get(&path) {
            None => assert_eq!(errno, Some(libc::ENOENT)),
            Some(Node::Link(_)) => assert_eq!(errno, Some(libc::ELOOP)),
            Some(_) => {
                let child = child.expect("it is there");
                assert_eq!(child.target(), pin.target().join(name));
                let there = fs::symlink_metadata(child.target()).expect("it is there");
                assert!(is_same(&child.metadata().expect("it is open"), &there));
            }
        }
    }
}

/// What is opened for reading, and for writing.
fn check_file(
    tree: &Tree,
    names: &[String],
    read: io::Result<fs::File>,
    write: io::Result<fs::File>,
) {
    match tree.get(names) {
        Some(Node::File(content)) => {
            let mut found = Vec::new();
            let file = read.expect("it may be read");
            (&file).read_to_end(&mut found).expect("read");
            assert_eq!(&found, content);
            write.expect("it may be written");
        }
        Some(Node::Device) => assert!(read.is_err() && write.is_err()),
        _ => {
            read.expect("it may be read");
            let error = write.expect_err("a directory");
            assert_eq!(error.raw_os_error(), Some(libc::EISDIR));
        }
    }
}

/// The path as one that is canonical already.
fn check_without_root(tree: &Tree, root: &Path, path: &str) {
    let pin = PinnedPathBuf::from_path(format!("{}/{path}", root.display()));
    let parts = path.split('/').filter(|name| !matches!(*name, "" | "."));
    let names: Vec<String> = parts.map(str::to_owned).collect();
    if names.iter().any(|name| name == "..") {
        return assert!(pin.is_err());
    }
    let has_link =
        (1..=names.len()).any(|end| matches!(tree.get(&names[..end]), Some(Node::Link(_))));
    if has_link || path.contains('\0') || is_too_long(path, &names) {
        return assert!(pin.is_err() || !has_link && !path.contains('\0'));
    }
    // As the kernel has it: what has a separator behind it is a directory.
    let is_dir = matches!(path.rsplit('/').next(), Some("" | "."));
    let is_file = is_dir && matches!(tree.get(&names), Some(Node::File(_) | Node::Device));
    match errno(tree, &names).or(is_file.then_some(libc::ENOTDIR)) {
        None => assert_eq!(
            pin.expect("it is there").target(),
            root.join(names.join("/")).components().as_path()
        ),
        Some(errno) => {
            let error = pin.expect_err("it is not there");
            assert_eq!(error.raw_os_error(), Some(errno));
        }
    }
}

/// How a directory is made.
#[derive(Clone, Copy, PartialEq)]
enum Making {
    WithParents,
    FromOutside,
    ByHandle,
    Alone,
}

fn make(how: Making, root: &Path, path: &str) -> io::Result<PinnedPathBuf> {
    let mut builder = ScopedDirBuilder::new(root).expect("the root is there");
    builder.mode(MODE).recursive(how != Making::Alone);
    match how {
        Making::WithParents | Making::Alone => builder.create(path),
        Making::FromOutside => {
            builder.create_with_unscoped_path(format!("{}/{path}", root.display()))
        }
        Making::ByHandle => {
            let root = ScopedRoot::open(root).expect("the root is there");
            root.mkdir_all(path, MODE)
        }
    }
}

fn check_new(how: Making, tree: &Tree, root: &Path, path: &str) {
    let mut expected = list(root);
    let made = make(how, root, path);
    if path.contains('\0') {
        return assert!(made.is_err());
    }
    let root_names: Vec<String> = root
        .to_str()
        .expect("UTF-8")
        .split('/')
        .skip(1)
        .map(str::to_owned)
        .collect();
    let mut was_outside = false;
    let resolved = match how {
        Making::FromOutside => {
            let path = format!("{}/{path}", root.display());
            resolve(tree, &root_names, &path, |_| was_outside = true)
        }
        _ => resolve(tree, &[], path, |_| {}),
    };
    if was_outside {
        // Of what is outside of the tree, nothing is known but that it is left alone.
        return assert!(made.is_err() || made.is_ok_and(|pin| pin.target().starts_with(root)));
    }
    let Some(mut names) = resolved.map(|resolved| resolved.names) else {
        assert_kind!(made, PathError::TooManySymlinks { .. });
        return;
    };
    if how == Making::FromOutside {
        let Some(below) = names.strip_prefix(&*root_names) else {
            assert_kind!(made, PathError::NotUnderRoot { .. });
            return;
        };
        names = below.to_vec();
    }
    if is_too_long(path, &names) || names.len() > 100 {
        return;
    }
    let node = |end: usize| tree.get(&names[..end]);
    let is_there = |end: usize| end == 0 || node(end).is_some();
    let is_blocked = |end| matches!(node(end), Some(Node::File(_) | Node::Device));
    let count = names.len();
    if (1..=count).any(is_blocked) {
        assert_kind!(made, PathError::NotADirectory { .. });
        // Directories before the file may be new.
        return;
    }
    if how == Making::Alone && is_there(count) {
        assert_kind!(made, PathError::DirectoryExists);
        return assert_eq!(list(root), expected);
    }
    if how == Making::Alone && !is_there(count - 1) {
        assert_kind!(made, PathError::ParentMissing);
        return assert_eq!(list(root), expected);
    }
    let pin = made.expect("nothing is in the way");
    let place = root.join(names.join("/"));
    assert_eq!(pin.target(), place.components().as_path());
    expected.extend((1..=count).map(|end| root.join(names[..end].join("/"))));
    assert_eq!(list(root), expected);
    if !is_there(count) {
        let metadata = pin.metadata().expect("it is open");
        assert_eq!(metadata.permissions().mode() & 0o7777, MODE);
    }

    // The last name once more, in the new directory.
    let name = path.rsplit('/').next().unwrap_or_default();
    let made = pin.mkdir(name.as_ref(), MODE);
    if matches!(name, "" | "." | "..") {
        assert_kind!(made, PathError::InvalidName { .. });
    } else if tree.get(&[&*names, &[name.to_owned()]].concat()).is_some() {
        let error = made.expect_err("it is there");
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
    } else if name.len() <= 255 {
        assert_eq!(made.expect("a new one").target(), pin.target().join(name));
        expected.insert(place.components().as_path().join(name));
    }
    assert_eq!(list(root), expected);
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
    let ways = [
        Making::WithParents,
        Making::FromOutside,
        Making::ByHandle,
        Making::Alone,
    ];
    for (number, (path, how)) in paths_of("new").iter().zip(ways).enumerate() {
        let root = scratch.path().join(format!("new{number}"));
        fs::create_dir(&root).expect("a new directory");
        tree.build(&root);
        check_new(how, &tree, &root, path);
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
