//! `create_mount_destination`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kata_sys_util::mount::{Error, create_mount_destination};
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

/// A root with some files, and something outside that must stay as it is.
struct Tree {
    base: PathBuf,
    root: PathBuf,
    outside: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap().keep().canonicalize().unwrap();
        let (root, outside) = (base.join("root"), base.join("outside"));
        dir(root.join("dir"));
        file(root.join("file"), "text");
        dir(outside.clone());
        link("nowhere", root.join("dangling"));
        link("file", root.join("to-file"));
        link("dir", root.join("to-dir"));
        link(&outside, root.join("escape"));
        link("../../../../..", root.join("up"));
        Self {
            base,
            root,
            outside,
        }
    }

    fn outside_is_untouched(&self) -> bool {
        fs::read_dir(&self.outside).unwrap().count() == 0
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.base).unwrap();
    }
}

/// Where it was created, or the path that is invalid.
fn create(src: &str, dst: &Path, root: &Path, fs_type: &str) -> Result<PathBuf, PathBuf> {
    match create_mount_destination(src, dst, root, fs_type) {
        Ok(path) => Ok(path.as_ref().to_owned()),
        Err(Error::InvalidPath(path)) => Err(path),
        Err(error) => panic!("{}: {error:?}", dst.display()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

const ANYWHERE: [&str; 4] = ["", "/", "//", "/."];

#[test]
fn directory_is_created_for_all_but_a_bound_file() {
    for root in ANYWHERE {
        let tree = Tree::new();
        let src = tree.root.join("file");
        for (src, fs_type) in [
            ("/proc", "bind"),
            ("tmpfs", "tmpfs"),
            (src.to_str().unwrap(), "ext4"),
            (src.to_str().unwrap(), "Bind"),
            ("", ""),
        ] {
            let dst = tree.root.join(format!("new/{fs_type}/x"));
            assert_eq!(create(src, &dst, Path::new(root), fs_type), Ok(dst.clone()));
            assert!(dst.is_dir());
            // Again: it exists.
            assert_eq!(create(src, &dst, Path::new(root), fs_type), Ok(dst));
        }
    }
}

#[test]
fn file_is_created_for_a_bound_file_or_nothing() {
    for root in ANYWHERE {
        let tree = Tree::new();
        for (i, src) in ["/proc/self/status", "/dev/null", "/no/such/source", ""]
            .iter()
            .enumerate()
        {
            let dst = tree.root.join(format!("new/{i}"));
            assert_eq!(create(src, &dst, Path::new(root), "bind"), Ok(dst.clone()));
            assert!(dst.is_file());
        }
        // An existing one keeps its text.
        let dst = tree.root.join("file");
        assert_eq!(
            create("/dev/null", &dst, Path::new(root), "bind"),
            Ok(dst.clone())
        );
        assert_eq!(fs::read(dst).unwrap(), b"text");
    }
}

#[test]
fn path_without_parent_is_invalid() {
    for dst in ["/", ""] {
        for root in ["", "/", "/proc"] {
            assert_eq!(
                create("tmpfs", Path::new(dst), Path::new(root), "tmpfs"),
                Err(dst.into())
            );
        }
    }
}

#[test]
fn modes_are_those_of_mounts_less_the_umask() {
    private_mounts!();
    for (mask, dir_mode, file_mode) in [(0, 0o755, 0o644), (0o027, 0o750, 0o640)] {
        set_umask(mask);
        let tree = Tree::new();
        for root in [Path::new("/"), &tree.root] {
            let base = tree.root.join(format!("new-{}", root.components().count()));
            create("x", &base.join("a/dir"), root, "tmpfs").unwrap();
            create("x", &base.join("b/file"), root, "bind").unwrap();
            for (path, expected) in [("a", dir_mode), ("a/dir", dir_mode), ("b/file", file_mode)] {
                assert_eq!(mode(&base.join(path)), expected, "{path}");
            }
        }
    }
}

#[test]
fn existing_mode_is_not_changed() {
    let tree = Tree::new();
    for root in [Path::new(""), &tree.root] {
        for (path, fs_type) in [("dir", "tmpfs"), ("file", "bind")] {
            let path = tree.root.join(path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).unwrap();
            create("x", &path, root, fs_type).unwrap();
            assert_eq!(mode(&path), 0o711);
        }
    }
}

#[test]
fn file_destination_may_be_anything_but_a_directory_and_is_not_opened() {
    let tree = Tree::new();
    let fifo = tree.root.join("fifo");
    make_fifo(&fifo);
    let socket = tree.root.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for root in [Path::new("/"), &tree.root] {
        // Opened, the FIFO would block for ever.
        for dst in [&fifo, &socket] {
            assert_eq!(create("/dev/null", dst, root, "bind"), Ok(dst.clone()));
        }
        let dst = tree.root.join("dir");
        assert_eq!(create("/dev/null", &dst, root, "bind"), Err(dst));
    }
    let device = Path::new("/dev/null");
    assert_eq!(
        create("/dev/zero", device, Path::new(""), "bind"),
        Ok(device.to_owned())
    );
    let program = std::env::current_exe().unwrap();
    assert_eq!(
        create("/dev/zero", &program, Path::new(""), "bind"),
        Ok(program)
    );
}

#[test]
fn link_at_a_file_destination_must_lead_to_a_file() {
    let tree = Tree::new();
    for (dst, is_valid) in [("to-file", true), ("to-dir", false), ("dangling", false)] {
        let dst = tree.root.join(dst);
        let expected = if is_valid {
            Ok(dst.clone())
        } else {
            Err(dst.clone())
        };
        assert_eq!(create("/dev/null", &dst, Path::new(""), "bind"), expected);
    }
    assert!(
        !tree.root.join("nowhere").exists(),
        "created through a dangling link"
    );
}

#[test]
fn directory_destination_must_be_a_directory_in_the_end() {
    let tree = Tree::new();
    for (dst, is_valid) in [
        ("to-dir", true),
        ("to-file", false),
        ("file", false),
        ("dangling", false),
    ] {
        let dst = tree.root.join(dst);
        for src in ["/proc", "tmpfs"] {
            let fs_type = if src == "/proc" { "bind" } else { "tmpfs" };
            let expected = if is_valid {
                Ok(dst.clone())
            } else {
                Err(dst.clone())
            };
            assert_eq!(create(src, &dst, Path::new(""), fs_type), expected);
        }
    }
    assert!(!tree.root.join("nowhere").exists());
}

#[test]
fn parent_that_cannot_be_created_is_an_io_error() {
    let tree = Tree::new();
    for fs_type in ["bind", "tmpfs"] {
        let dst = tree.root.join("file/x");
        let error = create_mount_destination("x", &dst, "", fs_type).unwrap_err();
        assert!(
            matches!(&error, Error::Io(e) if e.kind() == ErrorKind::AlreadyExists),
            "{error:?}"
        );
        // Inside a root, the path is at fault.
        assert_eq!(create("x", &dst, &tree.root, fs_type), Err(dst));
    }
}

#[test]
fn read_only_file_system_is_no_obstacle_to_what_exists() {
    private_mounts!();
    let tree = Tree::new();
    let mount = tmpfs(tree.root.join("mount"), 0);
    dir(mount.join("dir"));
    file(mount.join("file"), "");
    raw_mount(
        "",
        &mount,
        "",
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
        "",
    );
    for root in [Path::new("/"), &tree.root] {
        create("x", &mount.join("dir"), root, "tmpfs").unwrap();
        create("x", &mount.join("file"), root, "bind").unwrap();
        for fs_type in ["tmpfs", "bind"] {
            let error =
                create_mount_destination("x", mount.join("new"), root, fs_type).unwrap_err();
            assert!(matches!(&error, Error::Io(e) if e.kind() == ErrorKind::ReadOnlyFilesystem));
        }
    }
    raw_umount(&mount, 0).unwrap();
}

#[test]
fn directory_that_exists_needs_no_working_mkdir() {
    // virtio-fs has been seen to answer so.
    let rules = [libc::SYS_mkdirat, MKDIR].map(|call| Rule::fail(call, libc::ENOSYS));
    run_under(&rules, || {
        let existing = Path::new("/proc/self");
        assert_eq!(
            create("x", existing, Path::new("/"), "tmpfs"),
            Ok(existing.to_owned())
        );
        let missing = std::env::temp_dir().join("no-such-directory-here");
        assert_eq!(
            create("x", &missing, Path::new("/"), "tmpfs"),
            Err(missing.clone())
        );
        let error = create_mount_destination("x", missing.join("x"), "/", "tmpfs").unwrap_err();
        assert!(matches!(&error, Error::Io(e) if e.raw_os_error() == Some(libc::ENOSYS)));
    });
    // The same inside a root.
    let tree = Tree::new();
    dir(tree.root.join("dir/below"));
    run_under(&rules, || {
        for existing in ["dir", "dir/below", "to-dir/below"] {
            let expected = tree.root.join(existing.replace("to-", ""));
            let dst = tree.root.join(existing);
            assert_eq!(create("x", &dst, &tree.root, "tmpfs"), Ok(expected));
        }
        let dst = tree.root.join("dir/below/file");
        assert_eq!(create("x", &dst, &tree.root, "bind"), Ok(dst.clone()));
        let missing = tree.root.join("dir/new");
        assert!(create_mount_destination("x", &missing, &tree.root, "tmpfs").is_err());
    });
}

#[cfg(target_arch = "x86_64")]
const MKDIR: libc::c_long = libc::SYS_mkdir;
#[cfg(not(target_arch = "x86_64"))]
const MKDIR: libc::c_long = libc::SYS_mkdirat;

#[test]
fn inside_a_root_all_links_stay_inside() {
    let tree = Tree::new();
    let root = &tree.root;
    let inside = |p: &Path| p.strip_prefix("/").map(|p| root.join(p)).unwrap();
    let outside = inside(&tree.outside);
    let cases = [
        ("a/b", root.join("a/b")),
        ("dir/x", root.join("dir/x")),
        ("to-dir/x", root.join("dir/x")),
        ("escape/x", outside.join("x")),
        ("up/x", root.join("x")),
        ("../../x2", root.join("x2")),
        ("dir/../../../x3", root.join("x3")),
        ("none/../x4", root.join("x4")),
        ("dangling/x5", root.join("nowhere/x5")),
        ("./a//c/./d", root.join("a/c/d")),
    ];
    for fs_type in ["tmpfs", "bind"] {
        for (dst, expected) in &cases {
            let dst = root.join(format!("{dst}-{fs_type}"));
            let expected = PathBuf::from(format!("{}-{fs_type}", expected.display()));
            assert_eq!(
                create("x", &dst, root, fs_type),
                Ok(expected.clone()),
                "{}",
                dst.display()
            );
            assert_eq!(expected.is_dir(), fs_type == "tmpfs");
            assert!(expected.exists() && expected.canonicalize().unwrap() == expected);
        }
    }
    assert!(tree.outside_is_untouched());
    assert!(!root.join("none").exists(), "created what `..` took back");
}

#[test]
fn link_at_the_end_is_resolved_inside_the_root() {
    let tree = Tree::new();
    let root = &tree.root;
    for (dst, fs_type, expected) in [
        ("to-dir", "tmpfs", Ok("dir")),
        ("to-file", "bind", Ok("file")),
        ("up", "tmpfs", Ok("")),
        ("to-dir", "bind", Err("to-dir")),
        ("to-file", "tmpfs", Err("to-file")),
        ("up", "bind", Err("up")),
        ("dangling", "bind", Err("dangling")),
        ("dangling", "tmpfs", Err("dangling")),
        ("escape", "tmpfs", Err("escape")),
        ("file", "tmpfs", Err("file")),
    ] {
        let expected = expected.map(|p| root.join(p)).map_err(|p| root.join(p));
        assert_eq!(
            create("x", &root.join(dst), root, fs_type),
            expected,
            "{dst} {fs_type}"
        );
    }
    // What the link leads to now exists inside.
    dir(root.join(tree.outside.strip_prefix("/").unwrap()));
    let inside = root.join(tree.outside.strip_prefix("/").unwrap());
    assert_eq!(create("x", &root.join("escape"), root, "tmpfs"), Ok(inside));
    assert!(!root.join("nowhere").exists());
    assert!(tree.outside_is_untouched());
}

#[test]
fn destination_must_be_below_the_root() {
    let tree = Tree::new();
    for fs_type in ["tmpfs", "bind"] {
        for dst in ["/x", "relative/x"] {
            assert_eq!(
                create("x", Path::new(dst), &tree.root, fs_type),
                Err(dst.into())
            );
        }
        // A longer name is no subdirectory.
        let sibling = tree.base.join("root-2/x");
        assert_eq!(
            create("x", &sibling, &tree.root, fs_type),
            Err(sibling.clone())
        );
        assert!(!tree.base.join("root-2").exists());
    }
}

#[test]
fn root_itself_is_a_directory_destination() {
    let tree = Tree::new();
    let root = &tree.root;
    for dst in [
        root.clone(),
        root.join("."),
        root.join(".."),
        root.join("dir/.."),
    ] {
        assert_eq!(
            create("x", &dst, root, "tmpfs"),
            Ok(root.clone()),
            "{}",
            dst.display()
        );
        assert_eq!(create("x", &dst, root, "bind"), Err(dst.clone()));
    }
}

#[test]
fn root_must_be_absolute_and_a_directory() {
    let tree = Tree::new();
    let dst = tree.root.join("x");
    for root in [
        Path::new("root"),
        Path::new("."),
        &tree.root.join("none"),
        &tree.root.join("file"),
    ] {
        assert_eq!(create("x", &dst, root, "tmpfs"), Err(root.to_owned()));
    }
    assert!(!dst.exists());
}

#[test]
fn root_may_be_reached_through_a_link() {
    let tree = Tree::new();
    let root = link(&tree.root, tree.base.join("link"));
    let real = tree.root.join("a/b");
    assert_eq!(
        create("x", &root.join("a/b"), &root, "tmpfs"),
        Ok(real.clone())
    );
    assert_eq!(create("x", &real, &root, "tmpfs"), Ok(real));
}
