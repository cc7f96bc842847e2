//! What paths mean in a tree: a slow model of their resolution below a root.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Node, Tree};

const MAX_SYMLINKS: u32 = 255;

/// Where a path leads.
pub struct Resolved {
    /// The names on the way from the root, none of them a link.
    pub names: Vec<String>,
    /// Whether it has tried to leave the root.
    pub is_clamped: bool,
}

/// Where a path leads in a tree whose root directory is `base` below the root of the path; `None`
/// after too many links. Outside of the tree nothing is known: it is asked what is there.
pub fn resolve(
    tree: &Tree,
    base: &[String],
    path: &str,
    mut outside: impl FnMut(&[String]),
) -> Option<Resolved> {
    let mut pending: VecDeque<String> = path.split('/').map(str::to_owned).collect();
    let (mut names, mut is_clamped, mut links) = (Vec::<String>::new(), false, 0);
    while let Some(name) = pending.pop_front() {
        match &*name {
            "" | "." => {}
            ".." => is_clamped |= names.pop().is_none(),
            _ => {
                names.push(name);
                if !names.starts_with(base) && !base.starts_with(&names) {
                    outside(&names);
                }
                let below = names.strip_prefix(base).unwrap_or_default();
                if let Some(Node::Link(target)) = tree.get(below) {
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
    Some(Resolved { names, is_clamped })
}

/// The error of opening these names, if any.
pub fn errno(tree: &Tree, names: &[String]) -> Option<i32> {
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

/// All objects below a directory.
pub fn list(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            found.extend(list(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_expanded_below_their_root() {
        let tree = Tree::parse("a/b/\nl->/a/b\nup->../..\nloop->loop\n");
        let names = |path| resolve(&tree, &[], path, |_| {}).map(|found| found.names.join("/"));
        assert_eq!(names("l/../c"), Some("a/c".to_owned()));
        assert_eq!(names("up/x/./y"), Some("x/y".to_owned()));
        assert_eq!(names("loop"), None);

        let base = ["root".to_owned()];
        let mut outside = Vec::new();
        let found = resolve(&tree, &base, "/root/a/../l", |names| {
            outside.push(names.join("/"));
        });
        assert_eq!(found.expect("no loop").names, ["a", "b"]);
        assert_eq!(outside, ["a", "a/b"]);
    }
}
