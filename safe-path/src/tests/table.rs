//! One tree and what paths in it mean: R2–R8 and the rows of section 3.2, as data.
//!
//! Also included by the integration tests, so it knows nothing of this crate.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Something in the tree.
pub enum Node {
    Dir,
    File,
    Link(&'static str),
}

use Node::{Dir, File, Link};

/// Parents come before children.
pub const TREE: &[(&str, Node)] = &[
    ("b", Dir),
    ("d", Dir),
    ("d/file", File),
    ("d/sub", Dir),
    ("d/sub/rel", Link("../file")),
    ("d/sub/abs", Link("/d/file")),
    ("f", File),
    ("dirlink", Link("d")),
    ("abslink", Link("/d")),
    ("filelink", Link("f")),
    ("up", Link("..")),
    ("dangling", Link("nowhere/x")),
    ("dangling-abs", Link("/nowhere")),
    ("ends-in-parent", Link("d/sub/..")),
    ("ends-in-slash", Link("d/")),
    ("file-slash", Link("f/")),
    ("file-below", Link("f/../d")),
    ("to-root", Link("/")),
    ("crooked", Link("d/.././/d/./sub//")),
    ("escape", Link("../../../../etc")),
    ("abs-escape", Link("/../../etc/passwd")),
    ("to-link", Link("dirlink/sub")),
];

/// What pinning a path gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The object at the resolved path.
    Object,
    /// This error number.
    Errno(i32),
}

const OBJECT: Pin = Pin::Object;
const ENOENT: Pin = Pin::Errno(libc::ENOENT);
const ENOTDIR: Pin = Pin::Errno(libc::ENOTDIR);

/// Rule, path, resolved path, pin.
pub const CASES: &[(&str, &str, &str, Pin)] = &[
    ("row 1", "f/../b", "b", OBJECT),
    ("row 1", "d/file/../sub", "d/sub", OBJECT),
    ("row 2", "missing/../b", "b", OBJECT),
    ("row 2", "missing/..", "", OBJECT),
    ("row 2", "d/missing/..", "d", OBJECT),
    ("row 3", "missing/../dirlink/file", "d/file", OBJECT),
    ("row 3", "missing/../dirlink/../x", "x", ENOENT),
    (
        "row 3",
        "m1/m2/../../dirlink/m/../sub/rel",
        "d/file",
        OBJECT,
    ),
    ("row 3", "f/../dirlink/..", "", OBJECT),
    ("row 4", "f/x", "f/x", ENOTDIR),
    ("row 4", "f/x/y/z", "f/x/y/z", ENOTDIR),
    ("row 4", "filelink/x", "f/x", ENOTDIR),
    ("row 5", "f/", "f", OBJECT),
    ("row 5", "f/.", "f", OBJECT),
    ("row 5", "f/././/", "f", OBJECT),
    ("row 5", "file-slash", "f", OBJECT),
    ("row 5", "file-slash/..", "", OBJECT),
    ("row 6", "missing", "missing", ENOENT),
    ("row 6", "missing/x", "missing/x", ENOENT),
    ("row 6", "d/missing/x", "d/missing/x", ENOENT),
    ("row 7", "", "", OBJECT),
    ("row 8", "dirlink/..", "", OBJECT),
    ("row 8", "crooked/..", "d", OBJECT),
    ("row 8", "to-link/../file", "d/file", OBJECT),
    ("row 9", "..", "", OBJECT),
    ("row 9", "../..", "", OBJECT),
    ("row 9", "/..", "", OBJECT),
    ("row 9", "/../../d", "d", OBJECT),
    ("row 9", "/d/sub", "d/sub", OBJECT),
    ("row 9", "abslink/sub", "d/sub", OBJECT),
    ("row 9", "escape", "etc", ENOENT),
    ("row 9", "abs-escape", "etc/passwd", ENOENT),
    ("row 9", "up/up/d", "d", OBJECT),
    ("row 9", "to-root", "", OBJECT),
    ("row 9", "to-root/../d/../b", "b", OBJECT),
    ("row 10", "dangling", "nowhere/x", ENOENT),
    ("row 10", "dangling-abs", "nowhere", ENOENT),
    ("row 10", "dangling/..", "nowhere", ENOENT),
    ("row 10", "dangling/../..", "", OBJECT),
    ("row 10", "dangling/../../abslink", "d", OBJECT),
    ("R3", ".", "", OBJECT),
    ("R3", "/", "", OBJECT),
    ("R3", "//", "", OBJECT),
    ("R3", "/./", "", OBJECT),
    ("R3", "//d//./sub///", "d/sub", OBJECT),
    ("R3", "d", "d", OBJECT),
    ("R3", "d/sub/rel", "d/file", OBJECT),
    ("R3", "d/sub/abs", "d/file", OBJECT),
    ("R3", "dirlink/sub/rel", "d/file", OBJECT),
    ("R3", "abslink/sub/../../dirlink/sub/abs", "d/file", OBJECT),
    ("R3", "filelink", "f", OBJECT),
    ("R4", "ends-in-parent", "d", OBJECT),
    ("R4", "ends-in-parent/file", "d/file", OBJECT),
    ("R4", "ends-in-parent/..", "", OBJECT),
    ("R4", "ends-in-slash/sub", "d/sub", OBJECT),
    ("R4", "file-below", "d", OBJECT),
    ("R4", "file-below/sub", "d/sub", OBJECT),
    ("R4", "f/x/..", "f", OBJECT),
    ("R4", "f/x/../y", "f/y", ENOTDIR),
    ("R4", "f/x/../../b", "b", OBJECT),
    ("R4", "filelink/../b", "b", OBJECT),
    ("R4", "d/sub/../../d/file/../sub/..", "d", OBJECT),
    ("R5", "m1/m2/m3/m4", "m1/m2/m3/m4", ENOENT),
    ("R5", "m1/../m2/../m3", "m3", ENOENT),
    ("R5", "m1/m2/..", "m1", ENOENT),
    ("R7", "。。/x", "。。/x", ENOENT),
    ("R7", "...", "...", ENOENT),
    ("R7", "..d", "..d", ENOENT),
    ("R7", " ", " ", ENOENT),
    ("R7", "a\nb\\", "a\nb\\", ENOENT),
];

/// Builds [`TREE`] below `root`.
pub fn build(root: &Path) {
    for (path, node) in TREE {
        let path = root.join(path);
        match node {
            Dir => fs::create_dir(&path),
            File => fs::write(&path, path.to_str().unwrap()),
            Link(text) => symlink(text, &path),
        }
        .unwrap();
    }
}

/// What was pinned.
#[derive(Debug)]
pub struct Pinned {
    pub target: PathBuf,
    /// Device and inode.
    pub id: (u64, u64),
}

/// Checks every case with `join` and `pin`, which take the root and a path.
pub fn check(
    join: impl Fn(&Path, &Path) -> io::Result<PathBuf>,
    pin: impl Fn(&Path, &Path) -> io::Result<Pinned>,
) {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().canonicalize().unwrap();
    build(&root);
    for (rule, path, resolved, expected) in CASES {
        let name = format!("{rule}: {path:?}");
        let resolved = match *resolved {
            "" => root.clone(),
            resolved => root.join(resolved),
        };
        let joined = join(&root, Path::new(path)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(joined.as_os_str(), resolved.as_os_str(), "{name}");

        match (pin(&root, Path::new(path)), expected) {
            (Ok(pinned), Pin::Object) => {
                let metadata = fs::symlink_metadata(&resolved).unwrap();
                assert_eq!(pinned.target.as_os_str(), resolved.as_os_str(), "{name}");
                assert_eq!(pinned.id, (metadata.dev(), metadata.ino()), "{name}");
            }
            (Err(error), Pin::Errno(errno)) => {
                assert_eq!(error.raw_os_error(), Some(*errno), "{name}: {error}");
            }
            (result, expected) => panic!("{name}: {result:?}, expected {expected:?}"),
        }
    }
}
