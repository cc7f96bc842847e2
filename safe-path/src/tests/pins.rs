//! `PinnedPathBuf`: section 3.3.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{BACKENDS, id, pin, pinned_id, temporary, umask};
use crate::{PathError, PinnedPathBuf};

fn is_close_on_exec(pin: &PinnedPathBuf) -> bool {
    // SAFETY: F_GETFD reads a flag of an open descriptor.
    let flags = unsafe { libc::fcntl(pin.path_fd(), libc::F_GETFD) };
    flags & libc::FD_CLOEXEC != 0
}

fn is_path_only(pin: &PinnedPathBuf) -> bool {
    // SAFETY: F_GETFL reads flags of an open descriptor.
    let flags = unsafe { libc::fcntl(pin.path_fd(), libc::F_GETFL) };
    flags & libc::O_PATH != 0
}

#[test]
fn a_pin_is_a_magic_link_to_a_close_on_exec_path_descriptor() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    for backend in BACKENDS {
        let dir = pin(backend, &root, "d").unwrap();
        let name = format!("new{backend:?}");
        let new = dir.mkdir(OsStr::new(&name), 0o755).unwrap();
        let child = dir.open_child(OsStr::new(&name)).unwrap();
        let clone = child.try_clone().unwrap();
        let from_path = PinnedPathBuf::open_canonical(backend, &root.join("d")).unwrap();
        let mut paths = Vec::new();
        for pin in [&dir, &new, &child, &clone, &from_path] {
            assert_eq!(
                pin.as_path(),
                Path::new(&format!("/proc/self/fd/{}", pin.path_fd()))
            );
            assert_eq!(pin.as_path(), pin.deref());
            assert_eq!(pin.as_path(), AsRef::<Path>::as_ref(pin));
            assert_eq!(pin.path_fd(), pin.as_raw_fd());
            assert_eq!(fs::read_link(pin.as_path()).unwrap(), pin.target());
            assert!(is_close_on_exec(pin));
            assert!(is_path_only(pin));
            paths.push(pin.as_path());
        }
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), 5, "every pin has a path of its own");
        assert_eq!(clone.target(), child.target());
        assert_eq!(pinned_id(&clone), pinned_id(&new));
    }
}

#[test]
fn a_pin_works_with_the_functions_of_std() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/file"), "content").unwrap();
    for backend in BACKENDS {
        let dir = pin(backend, &root, "d").unwrap();
        assert!(dir.is_dir());
        fs::write(dir.join("child"), "new").unwrap();
        assert_eq!(fs::read_to_string(root.join("d/child")).unwrap(), "new");
        let file = pin(backend, &root, "d/file").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "content");
        assert_eq!(file.metadata().unwrap().len(), 7);
        let std::path::Component::Normal(name) = file.components().next_back().unwrap() else {
            panic!("the path ends with a number");
        };
        assert_eq!(name, &*file.path_fd().to_string());
    }
}

#[test]
fn a_pin_stays_with_its_object() {
    let (_tmp, root) = temporary();
    for backend in BACKENDS {
        fs::write(root.join("file"), "old").unwrap();
        let pin = pin(backend, &root, "file").unwrap();
        fs::rename(root.join("file"), root.join("moved")).unwrap();
        fs::write(root.join("file"), "another").unwrap();
        assert_eq!(fs::read_to_string(&pin).unwrap(), "old");
        assert_eq!(pin.target(), root.join("file"));
        assert_eq!(fs::read_link(pin.as_path()).unwrap(), root.join("moved"));
        fs::remove_file(root.join("moved")).unwrap();
        assert_eq!(fs::read_to_string(&pin).unwrap(), "old");
        let text = fs::read_link(pin.as_path()).unwrap();
        assert_eq!(
            text.to_str().unwrap(),
            format!("{} (deleted)", root.join("moved").display())
        );
        let path = pin.as_path().to_owned();
        let number = pin.path_fd();
        drop(pin);
        // The number may be in use again by another test; then it is for something else.
        assert_ne!(
            fs::read_link(path).ok(),
            Some(text),
            "descriptor {number} was closed"
        );
    }
}

#[test]
fn pins_are_owned_descriptors() {
    fn is_send_sync<T: Send + Sync>() {}
    is_send_sync::<PinnedPathBuf>();
    let (_tmp, root) = temporary();
    let pin = PinnedPathBuf::new(&root, "").unwrap();
    let number = pin.path_fd();
    let fd: std::os::fd::OwnedFd = pin.into();
    assert_eq!(fd.as_raw_fd(), number);
}

#[test]
fn a_symlink_at_the_end_is_expanded_inside_the_root() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("symlink_dir")).unwrap();
    fs::write(root.join("endpoint"), "").unwrap();
    symlink("/endpoint", root.join("symlink_dir/endpoint")).unwrap();
    for backend in BACKENDS {
        let pin = pin(backend, &root, "symlink_dir/endpoint").unwrap();
        assert_eq!(pin.target(), root.join("endpoint"));
        assert!(pin.metadata().unwrap().is_file());
    }
}

#[test]
fn only_canonical_absolute_paths_are_taken_as_they_are() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/file"), "").unwrap();
    symlink("d", root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let at = |path: &str| PathBuf::from(format!("{}/{path}", root.display()));
    for backend in BACKENDS {
        let open = |path: &Path| PinnedPathBuf::open_canonical(backend, path);
        for (path, target) in [
            ("d", "d"),
            ("d/", "d"),
            ("/d//", "d"),
            ("./d/.", "d"),
            ("d//file", "d/file"),
            ("d/./file", "d/file"),
        ] {
            let pin = open(&at(path)).unwrap();
            assert_eq!(
                pin.target().as_os_str(),
                root.join(target),
                "{backend:?} {path}"
            );
            assert_eq!(pinned_id(&pin), id(root.join(target)));
        }
        assert_eq!(open(Path::new("/")).unwrap().target(), Path::new("/"));
        let relative = Path::new("src/lib.rs");
        for path in [
            "link",
            "link/file",
            "link/",
            "dangling",
            "dangling/x",
            "loop",
            "d/..",
            "d/../d",
            "nope/../d",
            "loop/x",
        ]
        .map(at)
        .iter()
        .map(PathBuf::as_path)
        .chain([relative, Path::new(""), Path::new("..")])
        {
            let error = open(path).unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::InvalidInput,
                "{backend:?} {path:?}"
            );
            let text = format!("not a canonical absolute path: {}", path.display());
            assert_eq!(error.to_string(), text);
        }
        for (path, errno) in [
            ("nope", libc::ENOENT),
            ("nope/x", libc::ENOENT),
            ("d/file/x", libc::ENOTDIR),
            ("d/file/", libc::ENOTDIR),
            ("d/file/.", libc::ENOTDIR),
        ] {
            let error = open(&at(path)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(errno), "{backend:?} {path}");
        }
        for long in ["n".repeat(256), "n/".repeat(2048)] {
            let error = open(&at(&long)).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::ENAMETOOLONG),
                "{backend:?}"
            );
        }
        assert_eq!(
            open(&at("a\0b")).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn a_child_name_is_exactly_one_plain_component() {
    let (_tmp, root) = temporary();
    let dir = PinnedPathBuf::new(&root, "").unwrap();
    for name in [
        "", ".", "..", "/", "//", "a/", "a/b", "./b", "a/.", "a/..", "a/./", "a/../", "a/./a",
        "a/../a", "/a", "a\0b", "\0",
    ] {
        for error in [
            dir.open_child(OsStr::new(name)).unwrap_err(),
            dir.mkdir(OsStr::new(name), 0o777).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(
                error.to_string(),
                format!("Path component {name} is invalid")
            );
        }
    }
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    let lossy = dir
        .open_child(OsStr::from_bytes(b"\xff/"))
        .unwrap_err()
        .to_string();
    assert_eq!(lossy, "Path component \u{fffd}/ is invalid");
    for name in [
        &b"a"[..],
        b"a.b",
        b"a..b",
        b"...",
        b"\xff",
        b" ",
        b"-",
        b"a\n",
    ] {
        let name = OsStr::from_bytes(name);
        assert_eq!(dir.mkdir(name, 0o777).unwrap().target(), root.join(name));
        assert_eq!(dir.open_child(name).unwrap().target(), root.join(name));
    }
}

#[test]
fn a_child_is_opened_in_the_pinned_directory_and_nowhere_else() {
    let (_tmp, root) = temporary();
    fs::create_dir_all(root.join("d/sub")).unwrap();
    fs::write(root.join("d/file"), "").unwrap();
    symlink("sub", root.join("d/link")).unwrap();
    symlink("nowhere", root.join("d/dangling")).unwrap();
    let dir = PinnedPathBuf::new(&root, "d").unwrap();
    let open = |pin: &PinnedPathBuf, name: &str| pin.open_child(OsStr::new(name));
    let errno = |pin: &PinnedPathBuf, name: &str| open(pin, name).unwrap_err().raw_os_error();
    assert_eq!(open(&dir, "sub").unwrap().target(), root.join("d/sub"));
    let file = open(&dir, "file").unwrap();
    assert_eq!(pinned_id(&file), id(root.join("d/file")));
    assert_eq!(errno(&dir, "link"), Some(libc::ELOOP));
    assert_eq!(errno(&dir, "dangling"), Some(libc::ELOOP));
    assert_eq!(errno(&dir, "missing"), Some(libc::ENOENT));
    assert_eq!(errno(&file, "x"), Some(libc::ENOTDIR));
    assert_eq!(errno(&dir, &"n".repeat(256)), Some(libc::ENAMETOOLONG));

    fs::rename(root.join("d"), root.join("moved")).unwrap();
    let error = open(&dir, "sub").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    let expected = format!(
        "Path changed from {} to {} on open, possible attack",
        root.join("d/sub").display(),
        root.join("moved/sub").display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(PathError::of(&error).unwrap().is_interference());

    fs::remove_dir_all(root.join("moved")).unwrap();
    assert_eq!(errno(&dir, "sub"), Some(libc::ENOENT));
}

#[test]
fn mkdir_creates_with_the_given_mode_and_never_opens_what_exists() {
    let (_tmp, root) = temporary();
    let dir = PinnedPathBuf::new(&root, "").unwrap();
    let new = dir.mkdir(OsStr::new("new"), 0o1751).unwrap();
    assert_eq!(
        new.metadata().unwrap().permissions().mode() & 0o7777,
        0o1751 & !umask()
    );
    assert_eq!(new.target(), root.join("new"));
    fs::write(root.join("file"), "").unwrap();
    symlink("new", root.join("link")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    for name in ["new", "file", "link", "dangling"] {
        let error = dir.mkdir(OsStr::new(name), 0o777).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST), "{name}");
    }
    assert!(!root.join("nowhere").exists());
    let file = PinnedPathBuf::new(&root, "file").unwrap();
    let error = file.mkdir(OsStr::new("x"), 0o777).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
}

#[test]
fn mkdir_leaves_nothing_in_a_directory_that_was_moved_or_removed() {
    let (_tmp, root) = temporary();
    let dir = PinnedPathBuf::new(&root, "")
        .unwrap()
        .mkdir(OsStr::new("p1"), 0o777)
        .unwrap();
    fs::rename(root.join("p1"), root.join("p2")).unwrap();
    let error = dir.mkdir(OsStr::new("new"), 0o777).unwrap_err();
    let expected = format!(
        "Path changed from {} to {} on open, possible attack",
        root.join("p1").display(),
        root.join("p2").display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(fs::read_dir(root.join("p2")).unwrap().count(), 0);
    fs::remove_dir(root.join("p2")).unwrap();
    let error = dir.mkdir(OsStr::new("new"), 0o777).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}
