//! Random trees and paths: every back end against a model in memory, and against the kernel (7.4).

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{BACKENDS, c_path, id, pin, pinned_id, resolve, temporary};
use crate::resolver::Backend;
use crate::sys::{self, CWD, Last};
use crate::{PathError, ScopedDirBuilder, ScopedRoot};

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File,
    Link(String),
}

/// A tree by the paths of its objects; the parents of all are directories.
#[derive(Clone, Debug, Default)]
struct Tree(BTreeMap<Vec<String>, Node>);

/// R3–R6, word by word.
struct Resolved {
    names: Vec<String>,
    clamped: bool,
}

impl Tree {
    fn insert(&mut self, path: Vec<String>, node: Node) {
        let is_dir =
            |path: &[String]| path.is_empty() || matches!(self.0.get(path), Some(Node::Dir));
        if let Some((_, parent)) = path.split_last()
            && is_dir(parent)
        {
            self.0.entry(path).or_insert(node);
        }
    }

    fn build(&self, root: &Path) {
        for (path, node) in &self.0 {
            let path = root.join(path.join("/"));
            match node {
                Node::Dir => fs::create_dir(path),
                Node::File => fs::write(path, ""),
                Node::Link(text) => symlink(text, path),
            }
            .unwrap();
        }
    }

    /// `None` if there are too many symlinks.
    fn resolve(&self, path: &str) -> Option<Resolved> {
        let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut names: Vec<String> = Vec::new();
        let mut clamped = false;
        let mut links = 0;
        while let Some(name) = pending.pop_front() {
            match name.as_str() {
                "" | "." => {}
                ".." => clamped |= names.pop().is_none(),
                _ => {
                    names.push(name);
                    if let Some(Node::Link(text)) = self.0.get(&names) {
                        links += 1;
                        if links > 255 {
                            return None;
                        }
                        names.pop();
                        if text.starts_with('/') {
                            names.clear();
                        }
                        for part in text.split('/').rev() {
                            pending.push_front(part.to_owned());
                        }
                    }
                }
            }
        }
        Some(Resolved { names, clamped })
    }

    /// The error of pinning `names`, if any.
    fn errno(&self, names: &[String]) -> Option<i32> {
        for end in 1..=names.len() {
            match self.0.get(&names[..end]) {
                Some(Node::Dir) => {}
                Some(_) if end == names.len() => {}
                Some(_) => return Some(libc::ENOTDIR),
                None => return Some(libc::ENOENT),
            }
        }
        None
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => Just("a"),
        3 => Just("b"),
        3 => Just("c"),
        1 => Just("missing"),
        4 => Just(".."),
        1 => Just("."),
        1 => Just(""),
    ];
    (
        any::<bool>(),
        prop::collection::vec(part, 0..9),
        any::<bool>(),
    )
        .prop_map(|(absolute, parts, slash)| {
            let start = if absolute { "/" } else { "" };
            let end = if slash { "/" } else { "" };
            format!("{start}{}{end}", parts.join("/"))
        })
}

fn tree() -> impl Strategy<Value = Tree> {
    let node = prop_oneof![
        3 => Just(Node::Dir),
        1 => Just(Node::File),
        3 => path().prop_filter("symlinks have a text", |text| !text.is_empty()).prop_map(Node::Link),
    ];
    prop::collection::vec((prop::collection::vec(name(), 1..4), node), 0..16).prop_map(|nodes| {
        let mut tree = Tree::default();
        let mut nodes = nodes;
        nodes.sort_by_key(|(path, _)| path.len());
        for (path, node) in nodes {
            tree.insert(path, node);
        }
        tree
    })
}

/// What the kernel reaches, as if `root` were `/`.
fn kernel(root: &Path, path: &str) -> Option<(u64, u64)> {
    let root = sys::openat(CWD, &c_path(root), Last::Directory).unwrap();
    let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let path = c_path(Path::new(path));
    let fd = sys::openat2(root.as_fd(), &path, Last::Follow, resolve).ok()?;
    Some(sys::fstat(fd.as_fd()).unwrap().id)
}

fn check(backend: Backend, tree: &Tree, root: &Path, path: &str) {
    let text = resolve(backend, root, path);
    let pin = pin(backend, root, path);
    let child = ScopedRoot::with_backend(backend, root)
        .unwrap()
        .join_child(path);
    let Some(expected) = tree.resolve(path) else {
        for error in [text.unwrap_err(), pin.unwrap_err(), child.unwrap_err()] {
            assert!(matches!(
                PathError::of(&error),
                Some(PathError::TooManySymlinks { .. })
            ));
        }
        return;
    };
    let relative = expected.names.join("/");
    assert_eq!(text.unwrap().as_os_str(), &*relative);
    let object = root.join(&relative);
    match (tree.errno(&expected.names), pin) {
        (None, Ok(pin)) => {
            assert_eq!(pin.target(), object);
            assert_eq!(pinned_id(&pin), id(&object));
            if let Some(reached) = kernel(root, path) {
                assert_eq!(pinned_id(&pin), reached);
            }
        }
        (Some(errno), Err(error)) => {
            assert_eq!(error.raw_os_error(), Some(errno));
            assert_eq!(kernel(root, path), None);
        }
        (errno, pin) => panic!("{pin:?}, expected error {errno:?}"),
    }
    match child {
        Ok(joined) => {
            assert!(!expected.clamped && !expected.names.is_empty());
            assert_eq!(joined, object);
        }
        Err(error) => {
            assert!(expected.clamped || expected.names.is_empty(), "{error}");
            assert!(matches!(
                PathError::of(&error),
                Some(PathError::NotAChild { .. })
            ));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_back_end_means_what_the_model_means(
        tree in tree(),
        paths in prop::collection::vec(path(), 12),
    ) {
        let (_tmp, root) = temporary();
        tree.build(&root);
        for path in &paths {
            for backend in BACKENDS {
                check(backend, &tree, &root, path);
            }
        }
    }

    #[test]
    fn every_back_end_creates_what_the_model_lacks(tree in tree(), path in path()) {
        for backend in BACKENDS {
            let (_tmp, root) = temporary();
            tree.build(&root);
            let mut builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
            let result = builder.recursive(true).create(&path);
            let Some(Resolved { names, .. }) = tree.resolve(&path) else {
                prop_assert!(result.is_err());
                continue;
            };
            let blocked = (1..=names.len())
                .find(|end| matches!(tree.0.get(&names[..*end]), Some(Node::File)));
            match (result, blocked) {
                (Ok(pin), None) => {
                    prop_assert_eq!(pin.target(), root.join(names.join("/")));
                    let mut expected = tree.clone();
                    for end in 1..=names.len() {
                        expected.insert(names[..end].to_vec(), Node::Dir);
                    }
                    let expected: Vec<PathBuf> =
                        expected.0.keys().map(|path| root.join(path.join("/"))).collect();
                    let mut found = Vec::new();
                    list(&root, &mut found);
                    found.sort_by_key(|path| path.components().map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>());
                    prop_assert_eq!(found, expected);
                }
                (Err(error), Some(end)) => {
                    let path = root.join(names[..end].join("/"));
                    prop_assert_eq!(PathError::of(&error), Some(&PathError::NotADirectory { path }));
                }
                (result, blocked) => panic!("{result:?}, expected {blocked:?}"),
            }
        }
    }
}

fn list(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), found);
        }
    }
}
