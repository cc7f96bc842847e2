//! `ScopedRoot`: section 7.3.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use super::table::{self, Pinned};
use super::{BACKENDS, id, join, pinned_id, temporary, umask};
use crate::{PathError, ScopedRoot};

#[test]
fn a_handle_resolves_like_the_functions() {
    for backend in BACKENDS {
        table::check(
            |root, path| join(backend, root, path),
            |root, path| {
                let pin = ScopedRoot::with_backend(backend, root)?.resolve(path)?;
                Ok(Pinned {
                    target: pin.target().to_owned(),
                    id: pinned_id(&pin),
                })
            },
        );
    }
}

#[test]
fn a_handle_is_a_directory_and_knows_its_path() {
    let (_tmp, base) = temporary();
    fs::create_dir(base.join("real")).unwrap();
    fs::write(base.join("file"), "").unwrap();
    symlink("real", base.join("link")).unwrap();
    for backend in BACKENDS {
        let root = ScopedRoot::with_backend(backend, &base.join("link")).unwrap();
        assert_eq!(root.path(), base.join("real"));
        let fd = root.as_fd().try_clone_to_owned().unwrap();
        assert_eq!(
            crate::sys::fstat(fd.as_fd()).unwrap().id,
            id(base.join("real"))
        );
        let open = |path: &str| ScopedRoot::with_backend(backend, &base.join(path)).unwrap_err();
        assert_eq!(open("file").kind(), ErrorKind::NotADirectory);
        assert_eq!(open("missing").raw_os_error(), Some(libc::ENOENT));
    }
}

#[test]
fn files_are_opened_as_asked_and_never_created() {
    let (_tmp, base) = temporary();
    fs::create_dir(base.join("d")).unwrap();
    fs::write(base.join("d/file"), "content").unwrap();
    symlink("/d/file", base.join("link")).unwrap();
    for backend in BACKENDS {
        let root = ScopedRoot::with_backend(backend, &base).unwrap();
        for path in ["link", "/d/file", "x/../../d/./file"] {
            let mut text = String::new();
            let mut file = root.open_file(path, OpenOptions::new().read(true)).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "content");
            assert!(file.write(b"x").is_err(), "opened for reading only");
        }
        let mut file = root
            .open_file("link", OpenOptions::new().write(true))
            .unwrap();
        file.write_all(b"C").unwrap();
        let mut file = root
            .open_file("link", OpenOptions::new().append(true))
            .unwrap();
        file.write_all(b"s").unwrap();
        assert_eq!(fs::read_to_string(base.join("d/file")).unwrap(), "Contents");
        root.open_file("link", OpenOptions::new().write(true).truncate(true))
            .unwrap();
        assert_eq!(fs::read_to_string(base.join("d/file")).unwrap(), "");
        fs::write(base.join("d/file"), "content").unwrap();
        assert!(
            root.open_file("d", OpenOptions::new().read(true))
                .unwrap()
                .metadata()
                .unwrap()
                .is_dir()
        );

        for options in [
            OpenOptions::new().write(true).create(true),
            OpenOptions::new().write(true).create_new(true),
            OpenOptions::new().append(true).create(true),
            OpenOptions::new().read(true).custom_flags(libc::O_CREAT),
            OpenOptions::new().read(true).create(true), // invalid in itself
            &mut OpenOptions::new(),                    // nothing asked for
        ] {
            for path in ["link", "new"] {
                let error = root.open_file(path, options).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{options:?}");
            }
        }
        let error = root
            .open_file("new", OpenOptions::new().write(true))
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        assert!(!base.join("new").exists());
        let error = root
            .open_file("d", OpenOptions::new().write(true))
            .unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EISDIR));

        let mut options = OpenOptions::new();
        for options in [
            options.write(true).custom_flags(libc::O_TMPFILE),
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_TMPFILE | libc::O_EXCL),
        ] {
            for path in ["d", "/"] {
                let error = root.open_file(path, options).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}: {error}");
                assert!(matches!(
                    PathError::of(&error),
                    Some(PathError::CreatesFiles { .. })
                ));
            }
            let error = root.open_file("link", options).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
        }
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        assert!(root.open_file("d", &options).is_ok());
    }
}

#[test]
fn mkdir_all_creates_what_is_missing_inside() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        symlink("/var/lib", base.join("link")).unwrap();
        let root = ScopedRoot::with_backend(backend, &base).unwrap();
        let new = root.mkdir_all("link/../../no/../link/app", 0o7750).unwrap();
        assert_eq!(new.target(), base.join("var/lib/app"));
        for path in ["var", "var/lib", "var/lib/app"] {
            let mode = fs::metadata(base.join(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o750 & !umask(), "{path}");
        }
        assert_eq!(fs::read_dir(&base).unwrap().count(), 2);
        assert_eq!(root.mkdir_all("var", 0).unwrap().target(), base.join("var"));
        assert_eq!(root.mkdir_all("..", 0).unwrap().target(), base);
    }
}

#[test]
fn a_strict_join_leads_below_the_root_or_nowhere() {
    let (_tmp, base) = temporary();
    table::build(&base);
    fs::create_dir(base.join("d/deep")).unwrap();
    symlink("../../x", base.join("d/out")).unwrap(); // one level too far
    symlink("../x", base.join("d/in")).unwrap();
    symlink("../../../b", base.join("d/deep/out")).unwrap();
    let all_bytes = "a/b".repeat(3000);
    for backend in BACKENDS {
        let root = ScopedRoot::with_backend(backend, &base).unwrap();
        for (path, expected) in [
            ("d", "d"),
            ("/d/", "d"),
            ("missing/x", "missing/x"),
            ("d/../b", "b"),
            ("missing/../b", "b"),
            ("f/../b", "b"),
            ("dirlink/file", "d/file"),
            ("abslink", "d"),
            ("dangling/..", "nowhere"),
            ("d/in", "x"),
            ("to-root/d", "d"),
            (&all_bytes, &all_bytes),
        ] {
            let joined = root
                .join_child(path)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(joined.as_os_str(), base.join(expected), "{path}");
        }
        for path in [
            "",
            "/",
            ".",
            "..",
            "d/..",
            "d/../..",
            "../d",
            "d/../../b",
            "to-root",
            "to-root/../d",
            "up",
            "up/d",
            "escape",
            "abs-escape",
            "d/out",
            "d/deep/out",
            "missing/../../b",
        ] {
            let error = root.join_child(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
            assert!(
                matches!(PathError::of(&error), Some(PathError::NotAChild { .. })),
                "{path}"
            );
        }
        assert_eq!(
            root.join_child("a\0b").unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
}

#[test]
fn a_handle_whose_root_was_renamed_or_removed_says_so() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        fs::create_dir_all(base.join("root/d")).unwrap();
        let root = ScopedRoot::with_backend(backend, &base.join("root")).unwrap();
        fs::rename(base.join("root"), base.join("moved")).unwrap();
        fs::create_dir_all(base.join("root/d")).unwrap();
        fs::write(base.join("moved/file"), "").unwrap();
        for error in [
            root.resolve("missing").unwrap_err(),
            root.resolve("missing/x/y/z").unwrap_err(),
            root.resolve("file/x").unwrap_err(),
            root.open_file("missing", OpenOptions::new().read(true))
                .unwrap_err(),
            root.resolve("d").unwrap_err(),
            root.open_file("d", OpenOptions::new().read(true))
                .unwrap_err(),
            root.mkdir_all("d/new", 0o755).unwrap_err(),
            root.join_child("d").unwrap_err(),
        ] {
            assert!(PathError::of(&error).unwrap().is_interference(), "{error}");
        }
        assert_eq!(fs::read_dir(base.join("moved/d")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(base.join("root/d")).unwrap().count(), 0);
        fs::remove_dir_all(base.join("moved")).unwrap();
        assert_eq!(
            root.resolve(Path::new("d")).unwrap_err().raw_os_error(),
            Some(libc::ENOENT)
        );
    }
}

#[test]
fn a_handle_whose_root_was_moved_below_its_own_place_says_so() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        fs::create_dir_all(base.join("root/d/e/f/g")).unwrap();
        symlink("/d", base.join("root/link")).unwrap();
        symlink("/", base.join("root/in")).unwrap(); // the new name of the root, as it were
        let root = ScopedRoot::with_backend(backend, &base.join("root")).unwrap();
        fs::rename(base.join("root"), base.join("moved")).unwrap();
        fs::create_dir(base.join("root")).unwrap();
        fs::rename(base.join("moved"), base.join("root/in")).unwrap();
        for path in [
            "", "d", "link", "in", "in/d", "m/../d", "d/e/f/g", "missing",
        ] {
            for error in [
                root.resolve(path).unwrap_err(),
                root.open_file(path, OpenOptions::new().read(true))
                    .unwrap_err(),
                root.join_child(format!("{path}/x")).unwrap_err(),
                root.mkdir_all(format!("{path}/x"), 0o755).unwrap_err(),
            ] {
                let reason = PathError::of(&error);
                assert!(
                    reason.is_some_and(PathError::is_interference),
                    "{backend:?} {path}: {error}"
                );
            }
        }
        fs::rename(base.join("root/in"), base.join("moved")).unwrap();
        fs::remove_dir(base.join("root")).unwrap();
        fs::rename(base.join("moved"), base.join("root")).unwrap();
        assert_eq!(
            root.resolve("link").unwrap().target(),
            base.join("root/d"),
            "{backend:?}: it is back"
        );
    }
}

#[test]
fn a_file_is_never_opened_with_nofollow() {
    let (_tmp, base) = temporary();
    fs::write(base.join("file"), "").unwrap();
    for backend in BACKENDS {
        let root = ScopedRoot::with_backend(backend, &base).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_NOFOLLOW);
        let error = root.open_file("file", &options).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP), "{backend:?}");
    }
}
