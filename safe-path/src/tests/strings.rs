//! `scoped_join` and `scoped_resolve`: section 3.1, and the rows of 3.2 that no table holds.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::table::{self, Pinned};
use super::{BACKENDS, join, pin, pinned_id, resolve, temporary};
use crate::PathError;

#[test]
fn every_case_of_the_table_holds_with_every_back_end() {
    for backend in BACKENDS {
        table::check(
            |root, path| join(backend, root, path),
            |root, path| {
                let pin = pin(backend, root, path)?;
                Ok(Pinned {
                    target: pin.target().to_owned(),
                    id: pinned_id(&pin),
                })
            },
        );
    }
}

#[test]
fn a_relative_result_is_the_joined_one_without_the_root() {
    let (_tmp, root) = temporary();
    table::build(&root);
    for backend in BACKENDS {
        for (rule, path, resolved, _) in table::CASES {
            let relative = resolve(backend, &root, path).unwrap();
            assert_eq!(relative.as_os_str(), *resolved, "{rule}: {path:?}");
        }
    }
}

#[test]
fn the_joined_path_has_no_trailing_separator_except_for_the_root_directory() {
    for backend in BACKENDS {
        for path in ["", "/", "..", "proc/..", "no such name/.."] {
            assert_eq!(
                join(backend, Path::new("/"), Path::new(path))
                    .unwrap()
                    .as_os_str(),
                "/"
            );
            assert_eq!(resolve(backend, "/", path).unwrap().as_os_str(), "");
        }
        assert_eq!(
            join(backend, Path::new("//"), Path::new("proc/"))
                .unwrap()
                .as_os_str(),
            "/proc"
        );
    }
}

#[test]
fn the_root_is_followed_through_symlinks_and_made_canonical() {
    let (_tmp, base) = temporary();
    fs::create_dir_all(base.join("real/d")).unwrap();
    symlink("real", base.join("link")).unwrap();
    symlink("link/d", base.join("link2")).unwrap();
    symlink("/d", base.join("real/inner")).unwrap();
    for backend in BACKENDS {
        for root in [
            "link",
            "./link/.",
            "link/",
            "link2/..",
            "real/d/..",
            "real//",
        ] {
            let root = base.join(root);
            for (path, expected) in [("d", "real/d"), ("inner", "real/d"), ("x/y", "real/x/y")] {
                let joined = join(backend, &root, Path::new(path)).unwrap();
                assert_eq!(joined, base.join(expected), "{backend:?} {root:?} {path}");
            }
            assert_eq!(
                join(backend, &root, Path::new("..")).unwrap().as_os_str(),
                base.join("real")
            );
            assert_eq!(
                pin(backend, &root, "inner").unwrap().target(),
                base.join("real/d")
            );
        }
    }
}

#[test]
fn a_root_that_does_not_exist_is_the_error_of_the_kernel() {
    let (_tmp, base) = temporary();
    symlink("nowhere", base.join("dangling")).unwrap();
    symlink("loop", base.join("loop")).unwrap();
    fs::write(base.join("file"), "").unwrap();
    let missing = [
        "",
        "./nope",
        "C:",
        "\\\\server\\test",
        "http://h/t",
        "ñö/。。",
        "nope",
    ];
    for backend in BACKENDS {
        for root in missing.map(Path::new).into_iter().chain([
            base.join("nope").as_path(),
            base.join("nope/..").as_path(),
            base.join("dangling").as_path(),
        ]) {
            for path in ["", "x", "x/../y"] {
                let error = join(backend, root, Path::new(path)).unwrap_err();
                assert_eq!(
                    error.raw_os_error(),
                    Some(libc::ENOENT),
                    "{backend:?} {root:?} {path}"
                );
                let error = pin(backend, root, path).unwrap_err();
                assert_eq!(
                    error.raw_os_error(),
                    Some(libc::ENOENT),
                    "{backend:?} {root:?} {path}"
                );
            }
        }
        for (root, errno) in [
            ("file/", libc::ENOTDIR),
            ("file/.", libc::ENOTDIR),
            ("file/x", libc::ENOTDIR),
            ("loop", libc::ELOOP),
        ] {
            for path in ["", "x"] {
                let error = join(backend, &base.join(root), Path::new(path)).unwrap_err();
                assert_eq!(
                    error.raw_os_error(),
                    Some(errno),
                    "{backend:?} {root} {path}"
                );
            }
        }
    }
}

#[test]
fn a_relative_root_starts_at_the_current_directory() {
    let here = std::env::current_dir().unwrap();
    let above = here.parent().unwrap();
    for backend in BACKENDS {
        for (root, expected) in [
            (".", &*here),
            ("./", &*here),
            ("..", above),
            ("./..", above),
        ] {
            let joined = join(backend, Path::new(root), Path::new("x")).unwrap();
            assert_eq!(joined, expected.join("x"), "{backend:?} {root}");
            let joined = join(backend, Path::new(root), Path::new("..")).unwrap();
            assert_eq!(joined.as_os_str(), expected, "{backend:?} {root}");
            let pin = pin(backend, root, "no such name/../../..").unwrap();
            assert_eq!(pin.target(), expected, "{backend:?} {root}");
        }
    }
}

#[test]
fn a_root_that_is_no_directory_is_no_error_by_itself() {
    let (_tmp, base) = temporary();
    let root = base.join("file");
    fs::write(&root, "").unwrap();
    for backend in BACKENDS {
        for (path, expected) in [("x", "x"), ("x/../y", "y"), ("x/y", "x/y"), ("../x/", "x")] {
            assert_eq!(
                join(backend, &root, Path::new(path)).unwrap(),
                root.join(expected)
            );
            let error = pin(backend, &root, path).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::ENOTDIR),
                "{backend:?} {path}"
            );
        }
        for path in ["", "/", "..", "x/.."] {
            assert_eq!(
                join(backend, &root, Path::new(path)).unwrap().as_os_str(),
                &root
            );
            assert_eq!(pin(backend, &root, path).unwrap().target(), root);
        }
    }
}

#[test]
fn exactly_255_symlinks_are_expanded() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("end")).unwrap();
    symlink("end", root.join("l1")).unwrap();
    for link in 2..=256 {
        symlink(format!("l{}", link - 1), root.join(format!("l{link}"))).unwrap();
    }
    symlink("loop", root.join("loop")).unwrap();
    symlink("b", root.join("a")).unwrap();
    symlink("a/x", root.join("b")).unwrap();
    for backend in BACKENDS {
        for count in [1, 39, 40, 41, 42, 254, 255] {
            let path = format!("l{count}");
            assert_eq!(
                resolve(backend, &root, &path).unwrap(),
                Path::new("end"),
                "{backend:?}"
            );
            assert_eq!(
                pin(backend, &root, &path).unwrap().target(),
                root.join("end")
            );
            let below = format!("l{count}/../end/m/./x");
            assert_eq!(
                resolve(backend, &root, &below).unwrap(),
                Path::new("end/m/x")
            );
        }
        for path in [
            "l256",
            "l256/x",
            "l255/../l1",
            "loop",
            "loop/x",
            "a",
            "b/c/d/e/f",
        ] {
            for error in [
                resolve(backend, &root, path).unwrap_err(),
                pin(backend, &root, path).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Other);
                assert_eq!(
                    error.to_string(),
                    format!("Too many levels of symlinks: {path}")
                );
                let reason = PathError::of(&error).unwrap();
                assert_eq!(reason.raw_os_error(), Some(libc::ELOOP));
            }
        }
    }
}

#[test]
fn bytes_of_names_are_preserved() {
    let (_tmp, root) = temporary();
    let odd = OsStr::from_bytes(b"\xff\xfe \n(deleted)");
    fs::create_dir(root.join(odd)).unwrap();
    symlink(odd, root.join("link")).unwrap();
    for name in ["x (deleted)", " (deleted)"] {
        fs::write(root.join(name), "").unwrap();
    }
    for backend in BACKENDS {
        assert_eq!(resolve(backend, &root, odd).unwrap(), Path::new(odd));
        let below = resolve(backend, &root, Path::new("link/a/../b").join(odd)).unwrap();
        assert_eq!(below, Path::new(odd).join("b").join(odd));
        assert_eq!(
            pin(backend, &root, "link").unwrap().target(),
            root.join(odd)
        );
        for name in [
            "x (deleted)",
            "q/../x (deleted)",
            "q/../r/../s/../x (deleted)",
        ] {
            assert_eq!(
                pin(backend, &root, name).unwrap().target(),
                root.join("x (deleted)")
            );
            assert_eq!(
                resolve(backend, &root, name).unwrap(),
                Path::new("x (deleted)")
            );
        }
    }
}

#[test]
fn a_nul_byte_is_invalid_input_and_the_argument_is_named() {
    let (_tmp, root) = temporary();
    let nul = Path::new("a\0b");
    for backend in BACKENDS {
        for (error, argument) in [
            (join(backend, &root, nul).unwrap_err(), "unsafe_path"),
            (join(backend, nul, Path::new("a")).unwrap_err(), "root"),
            (pin(backend, &root, nul).unwrap_err(), "path"),
            (pin(backend, nul, "a").unwrap_err(), "root"),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let text = error.to_string();
            assert!(
                text.starts_with(&format!("{argument} contains a NUL byte")),
                "{text}"
            );
        }
    }
}

#[test]
fn a_name_that_is_too_long_counts_as_missing_in_text_and_is_refused_in_pins() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    symlink("d", root.join("link")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    let long = "n".repeat(300);
    for backend in BACKENDS {
        for (path, expected) in [
            (long.clone(), long.clone()),
            (format!("d/{long}"), format!("d/{long}")),
            (format!("link/{long}/x"), format!("d/{long}/x")),
            (format!("missing/{long}"), format!("missing/{long}")),
            (format!("file/{long}"), format!("file/{long}")),
            (format!("missing/x/{long}/y"), format!("missing/x/{long}/y")),
        ] {
            assert_eq!(
                resolve(backend, &root, &path).unwrap(),
                Path::new(&expected),
                "{backend:?}"
            );
            let error = pin(backend, &root, &path).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::ENAMETOOLONG),
                "{backend:?} {path}"
            );
        }
        let dropped = format!("{long}/../link");
        assert_eq!(resolve(backend, &root, &dropped).unwrap(), Path::new("d"));
        assert_eq!(
            pin(backend, &root, &dropped).unwrap().target(),
            root.join("d")
        );
    }
}

#[test]
fn nothing_is_created_or_changed() {
    let (_tmp, root) = temporary();
    table::build(&root);
    let list = || {
        let mut names: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        (names, fs::metadata(&root).unwrap().modified().unwrap())
    };
    let before = list();
    for backend in BACKENDS {
        for (_, path, _, _) in table::CASES {
            let _ = join(backend, &root, Path::new(path));
            let _ = pin(backend, &root, path);
        }
    }
    assert_eq!(list(), before);
}
