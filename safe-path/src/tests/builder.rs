//! `ScopedDirBuilder`: section 3.4.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;

use super::{BACKENDS, id, pinned_id, temporary, umask};
use crate::resolver::create::{Create, NewDirectory};
use crate::resolver::{Backend, Root, Symlinks};
use crate::{PathError, ScopedDirBuilder};

fn builder(backend: Backend, root: impl AsRef<Path>) -> ScopedDirBuilder {
    ScopedDirBuilder::with_backend(backend, root.as_ref()).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// All paths below `root`, sorted.
fn listing(root: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
            paths.push(entry.path().strip_prefix(root).unwrap().to_owned());
        }
    }
    paths.sort();
    paths
}

#[test]
fn the_root_is_followed_pinned_and_has_to_be_a_directory() {
    let (_tmp, base) = temporary();
    fs::create_dir(base.join("real")).unwrap();
    fs::write(base.join("file"), "").unwrap();
    symlink("real", base.join("link")).unwrap();
    for backend in BACKENDS {
        let name = format!("new{backend:?}");
        let new = builder(backend, base.join("link")).create(&name).unwrap();
        assert_eq!(new.target(), base.join("real").join(name));

        let open =
            |root: &str| ScopedDirBuilder::with_backend(backend, &base.join(root)).unwrap_err();
        assert_eq!(open("missing").raw_os_error(), Some(libc::ENOENT));
        let error = open("file");
        assert_eq!(error.kind(), ErrorKind::NotADirectory);
        let text = format!("Invalid root path: {}", base.join("file").display());
        assert_eq!(error.to_string(), text);
    }
    let text = format!("{:?}", builder(Backend::Openat2, &base));
    assert!(text.starts_with("ScopedDirBuilder"), "{text}");
}

#[test]
fn new_directories_get_the_mode_without_the_umask_and_old_ones_keep_theirs() {
    let (_tmp, root) = temporary();
    for backend in BACKENDS {
        let base = root.join(format!("{backend:?}"));
        fs::create_dir_all(base.join("old")).unwrap();
        fs::set_permissions(base.join("old"), fs::Permissions::from_mode(0o701)).unwrap();
        let mut builder = builder(backend, &base);
        builder.create("default").unwrap();
        assert_eq!(mode(base.join("default")), 0o777 & !umask());
        builder
            .mode(0o7755)
            .recursive(true)
            .create("old/a/b")
            .unwrap();
        builder.create("old/a").unwrap();
        for (path, expected) in [
            ("old", 0o701),
            ("old/a", 0o755 & !umask()),
            ("old/a/b", 0o755 & !umask()),
        ] {
            assert_eq!(mode(base.join(path)), expected, "{path}");
        }
    }
}

#[test]
fn paths_are_resolved_completely_before_anything_is_created() {
    let (_tmp, root) = temporary();
    for backend in BACKENDS {
        let base = root.join(format!("{backend:?}"));
        fs::create_dir_all(base.join("real/sub")).unwrap();
        symlink("/real", base.join("abs")).unwrap();
        symlink("real/sub/../..", base.join("crooked")).unwrap();
        symlink("/var/lib", base.join("dangling")).unwrap();
        let mut builder = builder(backend, &base);
        builder.recursive(true);
        for (path, target) in [
            ("no1/../no2/x", "no2/x"),
            ("abs/new/../new2", "real/new2"),
            ("crooked/../../up", "up"),
            ("dangling/app", "var/lib/app"),
            ("dangling/..", "var"),
            ("/x//y/./z/", "x/y/z"),
            ("real/sub", "real/sub"),
        ] {
            let new = builder.create(path).unwrap();
            assert_eq!(new.target(), base.join(target), "{path}");
            assert_eq!(pinned_id(&new), id(base.join(target)), "{path}");
        }
        let expected: Vec<PathBuf> = [
            "abs",
            "crooked",
            "dangling",
            "no2",
            "no2/x",
            "real",
            "real/new2",
            "real/sub",
            "up",
            "var",
            "var/lib",
            "var/lib/app",
            "x",
            "x/y",
            "x/y/z",
        ]
        .map(PathBuf::from)
        .to_vec();
        assert_eq!(listing(&base), expected);
    }
}

#[test]
fn each_kind_of_component_has_its_answer() {
    for backend in BACKENDS {
        let (_tmp, root) = temporary();
        fs::create_dir_all(root.join("d/sub")).unwrap();
        fs::write(root.join("d/file"), "").unwrap();
        symlink("d/file", root.join("filelink")).unwrap();
        let long = "n".repeat(300);
        let before = listing(&root);
        let mut builder = builder(backend, &root);

        for path in ["", "/", "..", "d/..", "d", "d/sub", "missing/../d/"] {
            let error = builder.create(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{path}");
            assert_eq!(error.to_string(), "directory already exists", "{path}");
        }
        for path in ["a/b", "d/a/b", "a/b/c"] {
            let error = builder.create(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
            assert_eq!(
                error.to_string(),
                "parent directory does not exist",
                "{path}"
            );
        }
        for recursive in [false, true] {
            builder.recursive(recursive);
            for path in [
                "d/file",
                "d/file/x",
                "filelink",
                "filelink/x/y",
                "d/sub/../file/.",
                "d/file/x/..",
            ] {
                let error = builder.create(path).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotADirectory, "{path}");
                let text = format!("Path {} is not a directory", root.join("d/file").display());
                assert_eq!(error.to_string(), text, "{path}");
            }
            for path in [
                long.clone(),
                format!("d/{long}"),
                format!("a/{long}/b"),
                format!("a/b/{long}"),
            ] {
                let error = builder.create(&path).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG), "{path}");
            }
            assert_eq!(
                builder.create("a\0b").unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }
        assert_eq!(listing(&root), before, "errors created nothing");

        for (path, existing) in [
            ("", ""),
            ("/", ""),
            ("..", ""),
            ("d/..", ""),
            ("/d", "d"),
            ("d/sub", "d/sub"),
        ] {
            let pin = builder.create(path).unwrap();
            assert_eq!(pinned_id(&pin), id(root.join(existing)), "{path}");
        }
        builder.recursive(false);
        assert_eq!(
            builder.create("d/new").unwrap().target(),
            root.join("d/new")
        );
        assert_eq!(
            builder.create("d/new").unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
    }
}

#[test]
fn the_clone_of_the_root_is_close_on_exec() {
    let (_tmp, root) = temporary();
    for backend in BACKENDS {
        let pin = builder(backend, &root).recursive(true).create("/").unwrap();
        // SAFETY: F_GETFD reads a flag of an open descriptor.
        let flags = unsafe { libc::fcntl(pin.path_fd(), libc::F_GETFD) };
        assert_eq!(flags, libc::FD_CLOEXEC);
        assert_eq!(pin.target(), root);
    }
}

#[test]
fn an_unscoped_path_is_that_of_the_host_and_has_to_lead_below_the_root() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        let root = base.join("root");
        fs::create_dir_all(root.join("d")).unwrap();
        fs::create_dir_all(base.join("rootling")).unwrap();
        fs::create_dir_all(base.join("sibling")).unwrap();
        symlink("root", base.join("link")).unwrap();
        symlink("/etc", root.join("host")).unwrap();
        symlink("../sibling", root.join("out")).unwrap();
        let mut builder = builder(backend, &root);

        for path in ["", "a", "./a", "../root/a"] {
            let error = builder.create_with_unscoped_path(path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
            assert_eq!(
                error.to_string(),
                format!("Expected absolute directory path: {path}")
            );
        }
        for (path, resolved) in [
            ("root/../sibling", "sibling"),
            ("root/..", ""),
            ("rootling/a", "rootling/a"),
            ("root/out/a", "sibling/a"),
        ] {
            let error = builder
                .create_with_unscoped_path(base.join(path))
                .unwrap_err();
            assert!(
                matches!(PathError::of(&error), Some(PathError::NotUnderRoot { .. })),
                "{error}"
            );
            let resolved = if resolved.is_empty() {
                base.clone()
            } else {
                base.join(resolved)
            };
            let text = format!(
                "Path {} is not under {}",
                resolved.display(),
                root.display()
            );
            assert_eq!(error.to_string(), text);
        }
        for path in [Path::new("/"), Path::new("/txt/a"), &root.join("host/x")] {
            let error = builder.create_with_unscoped_path(path).unwrap_err();
            assert!(
                matches!(PathError::of(&error), Some(PathError::NotUnderRoot { .. })),
                "{error}"
            );
        }
        for path in ["root", "root/.", "root/d", "link", "root/x/.."] {
            let error = builder
                .create_with_unscoped_path(base.join(path))
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{path}");
        }
        let error = builder
            .create_with_unscoped_path(root.join("a/b"))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let new = builder
            .create_with_unscoped_path(base.join("link/new"))
            .unwrap();
        assert_eq!(new.target(), root.join("new"));

        builder.recursive(true);
        for (path, target) in [
            ("root", ""),
            ("root/.", ""),
            ("link/a/b", "a/b"),
            ("root/d/c", "d/c"),
        ] {
            let new = builder.create_with_unscoped_path(base.join(path)).unwrap();
            assert_eq!(pinned_id(&new), id(root.join(target)), "{path}");
        }
        assert_eq!(fs::read_dir(base.join("sibling")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(base.join("rootling")).unwrap().count(), 0);
    }
}

#[test]
fn a_symlink_planted_after_the_resolution_is_not_followed() {
    let (_tmp, root) = temporary();
    fs::create_dir_all(root.join("real")).unwrap();
    symlink("real", root.join("planted")).unwrap();
    for backend in BACKENDS {
        let opened = Root::open_directory(backend, &root).unwrap();
        // What `create_with_unscoped_path` does once its path is resolved.
        for create in [Create::Last, Create::All] {
            for path in ["planted/new", "planted"] {
                let error = opened
                    .resolver(backend)
                    .create_directory(NewDirectory {
                        path: Path::new(path),
                        symlinks: Symlinks::Refuse,
                        create,
                        mode: 0o777,
                    })
                    .unwrap_err();
                let path = root.join(path);
                assert_eq!(
                    PathError::of(&error),
                    Some(&PathError::NotADirectory { path })
                );
            }
        }
    }
    assert_eq!(fs::read_dir(root.join("real")).unwrap().count(), 0);
}

#[test]
fn the_root_directory_of_the_process_can_be_the_root() {
    for backend in BACKENDS {
        let mut builder = builder(backend, "/");
        for path in ["/", ".", "..", "../../.", ""] {
            assert_eq!(
                builder.create(path).unwrap_err().kind(),
                ErrorKind::AlreadyExists
            );
        }
        builder.recursive(true);
        for path in ["/", ".", "..", "../../.", ""] {
            assert_eq!(
                builder.create(path).unwrap().target(),
                Path::new("/"),
                "{path}"
            );
        }
        for path in ["/", "/..", "/../."] {
            let pin = builder.create_with_unscoped_path(path).unwrap();
            assert_eq!(pin.target(), Path::new("/"), "{path}");
        }
        let (_tmp, root) = temporary();
        let new = builder.create_with_unscoped_path(root.join("a/b")).unwrap();
        assert_eq!(new.target(), root.join("a/b"));
    }
}

#[test]
fn a_renamed_root_is_not_written_to() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        let root = base.join("root");
        fs::create_dir_all(root.join("old")).unwrap();
        let mut builder = builder(backend, &root);
        fs::rename(&root, base.join("moved")).unwrap();
        for recursive in [false, true] {
            builder.recursive(recursive);
            for path in ["new", "old", "old/new", "a/b"] {
                for error in [
                    builder.create(path).unwrap_err(),
                    builder
                        .create_with_unscoped_path(root.join(path))
                        .unwrap_err(),
                ] {
                    assert_eq!(error.kind(), ErrorKind::Other, "{path}: {error}");
                    let text = format!(
                        "Path changed from {} to {} on open, possible attack",
                        root.display(),
                        base.join("moved").display()
                    );
                    assert_eq!(error.to_string(), text);
                }
            }
        }
        assert_eq!(
            pinned_id(&builder.create("/").unwrap()),
            id(base.join("moved"))
        );
        assert_eq!(listing(&base), ["moved", "moved/old"].map(PathBuf::from));

        fs::remove_dir_all(base.join("moved")).unwrap();
        for path in ["", "new", "old", "a/b"] {
            let error = builder.create(path).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{path}: {error}");
        }
    }
}

#[test]
fn many_may_create_the_same_trees_at_once() {
    const TREES: usize = 300;
    const THREADS: usize = 4;
    for backend in BACKENDS {
        let (_tmp, root) = temporary();
        let barrier = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut builder = builder(backend, &root);
                    builder.recursive(true);
                    for tree in 0..TREES {
                        if tree % 25 == 0 {
                            barrier.wait();
                        }
                        let path = format!("t{tree}/a/b");
                        let new = builder.create(&path).unwrap();
                        assert_eq!(new.target(), root.join(&path));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(&root).unwrap().count(), TREES);
    }
}

#[test]
fn a_loop_is_reported_with_the_path_of_the_caller() {
    let (_tmp, root) = temporary();
    symlink("loop", root.join("loop")).unwrap();
    for backend in BACKENDS {
        let error = builder(backend, &root).create("loop/x").unwrap_err();
        assert_eq!(error.to_string(), "Too many levels of symlinks: loop/x");
    }
}
