//! Trees of files, made from text.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::unescape_bytes;

/// The most objects of a tree.
const MAX_NODES: usize = 64;

/// The longest name that file systems have.
const NAME_MAX: usize = 255;

/// An object of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Dir,
    File(Vec<u8>),
    Link(String),
    /// A character device with the number 0:0, which everybody may make and nobody can open.
    Device,
}

/// A tree by the paths of its objects; the parents of all are directories.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<Vec<String>, Node>,
}

impl Tree {
    /// The tree that lines like these describe: `dir/`, `dir/file=content`, `link->target`,
    /// `device!`. Directories on the way to an object are made. A line that contradicts those before
    /// it has no effect.
    ///
    /// Contents need not be text.
    pub fn parse(text: impl AsRef<[u8]>) -> Self {
        let mut tree = Self::default();
        for line in text.as_ref().split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if let Some((path, target)) = split_once(line, b"->") {
                let target = String::from_utf8_lossy(&unescape_bytes(target)).into_owned();
                tree.insert(path, Node::Link(target));
            } else if let Some((path, content)) = split_once(line, b"=") {
                tree.insert(path, Node::File(unescape_bytes(content)));
            } else if let Some(path) = line.strip_suffix(b"!") {
                tree.insert(path, Node::Device);
            } else {
                tree.insert(line, Node::Dir);
            }
        }
        tree
    }

    fn insert(&mut self, path: &[u8], node: Node) {
        let path = String::from_utf8_lossy(path);
        let is_name = |name: &&str| !matches!(*name, "" | "." | "..");
        let path: Vec<String> = path.split('/').filter(is_name).map(str::to_owned).collect();
        let is_valid = |name: &String| name.len() <= NAME_MAX && !name.contains('\0');
        if path.is_empty() || path.len() > 16 || !path.iter().all(is_valid) {
            return;
        }
        if let Node::Link(target) = &node
            && !is_harmless(target)
        {
            return;
        }
        for end in 1..path.len() {
            if !self.insert_one(path[..end].to_vec(), Node::Dir) {
                return;
            }
        }
        self.insert_one(path, node);
    }

    /// Whether the object is there now, as a directory if it was to be one.
    fn insert_one(&mut self, path: Vec<String>, node: Node) -> bool {
        let is_full = self.nodes.len() >= MAX_NODES && !self.nodes.contains_key(&path);
        !is_full && *self.nodes.entry(path).or_insert(node.clone()) == node
    }

    /// The objects, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = (&[String], &Node)> {
        self.nodes.iter().map(|(path, node)| (&**path, node))
    }

    pub fn get(&self, path: &[String]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Makes the objects below `root`, an existing directory.
    pub fn build(&self, root: &Path) {
        for (path, node) in &self.nodes {
            let path = root.join(path.join("/"));
            let made = match node {
                Node::Dir => fs::create_dir_all(&path),
                Node::File(content) => fs::write(&path, content),
                Node::Link(target) => symlink(target, &path),
                Node::Device => make_device(&path),
            };
            made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}

fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut parts = line.windows(separator.len());
    let at = parts.position(|part| part == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

fn make_device(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a string that ends with 0, and numbers.
    match unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o644, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a link with this target cannot lead to the devices of this machine: it does not go far
/// up, and an absolute one only leads where a root directory is given.
fn is_harmless(target: &str) -> bool {
    let ups = target.split('/').filter(|name| *name == "..").count();
    let is_short = !target.is_empty() && target.len() < 256 && !target.contains('\0');
    let of_kernel = |name: &str| matches!(name, "dev" | "proc" | "sys");
    is_short && ups <= 8 && !target.split('/').any(of_kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_make_objects_and_their_parents() {
        let tree = Tree::parse(
            b"a/b/c=\xff\\n\na/l->../b\nd/\na=file\n../e/./f\nn->/dev/null\nx->/devices/y\nz!\n",
        );
        let nodes: Vec<_> = tree
            .nodes()
            .map(|(path, node)| (path.join("/"), node.clone()))
            .collect();
        let expected = [
            ("a", Node::Dir),
            ("a/b", Node::Dir),
            ("a/b/c", Node::File(b"\xff\n".into())),
            ("a/l", Node::Link("../b".into())),
            ("d", Node::Dir),
            ("e", Node::Dir),
            ("e/f", Node::Dir),
            ("x", Node::Link("/devices/y".into())),
            ("z", Node::Device),
        ];
        let expected: Vec<_> = expected.map(|(path, node)| (path.to_owned(), node)).into();
        assert_eq!(nodes, expected);
    }
}
