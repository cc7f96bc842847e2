//! Containment under an attacker who mounts: a mounted tree is moved out of the root and back,
//! directories are mounted over and uncovered, while others resolve through them.
//!
//! What is asserted: no `..` in a tree that has just left the root leads outside, and what nobody
//! touches never fails.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::procfs::{mount, mount_with, with_private_mounts};
use super::{BACKENDS, c_path, id, join, pin, pinned_id, resolve, skip, temporary};
use crate::resolver::Backend;
use crate::{PathError, ScopedDirBuilder, ScopedRoot};

const CALLS: usize = 3_000;
const MOVES: usize = 1_000;

/// Each ends at `file` of the root, whatever is mounted where, or fails.
const PATHS: [&str; 5] = [
    "moved/a/b/../../../file",
    "moved/../file",
    "moved/a/b/../../../moved/a/../../file",
    "covered/x/../../file",
    "moved/a/../../covered/../moved/a/b/../../../file",
];

struct Arena {
    _tmp: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
}

impl Arena {
    fn new() -> Self {
        let (tmp, base) = temporary();
        let (root, outside) = (base.join("root"), base.join("outside"));
        for dir in [
            "root/moved",
            "root/covered/x",
            "root/still",
            "outside/moved",
        ] {
            fs::create_dir_all(base.join(dir)).unwrap();
        }
        for file in [&base, &root, &outside] {
            fs::write(file.join("file"), "").unwrap();
        }
        assert!(mount(Some(c"tmpfs"), &root.join("moved"), 0, "tmpfs"));
        fs::create_dir_all(root.join("moved/a/b")).unwrap();
        Self {
            _tmp: tmp,
            root,
            outside,
        }
    }

    fn move_out_and_back(&self) {
        let (inside, outside) = (self.root.join("moved"), self.outside.join("moved"));
        assert!(move_mount(&inside, &outside));
        assert!(move_mount(&outside, &inside));
    }

    fn cover_and_uncover(&self) {
        let covered = self.root.join("covered");
        assert!(mount(Some(c"tmpfs"), &covered, 0, "tmpfs"));
        fs::create_dir(covered.join("x")).unwrap();
        detach(&covered);
    }
}

fn detach(at: &Path) {
    assert!(try_detach(at));
}

/// False if nothing is mounted there, or it may not be taken away.
fn try_detach(at: &Path) -> bool {
    // SAFETY: the path is NUL-terminated and outlives the call.
    unsafe { libc::umount2(c_path(at).as_ptr(), libc::MNT_DETACH) == 0 }
}

fn move_mount(from: &Path, to: &Path) -> bool {
    mount(None::<&CStr>, to, libc::MS_MOVE, from.to_str().unwrap())
}

/// Resolves until so many calls were made and so many moves seen; the number of calls, and of those
/// that succeeded.
fn resolve_under_attack(arena: &Arena, backend: Backend, moves: &AtomicUsize) -> (usize, usize) {
    let root = &arena.root;
    let base = root.parent().unwrap();
    let canaries: HashSet<_> = [base, &arena.outside, &base.join("file")]
        .into_iter()
        .chain([&*arena.outside.join("file"), &*arena.outside.join("moved")])
        .map(id)
        .collect();
    let expected = id(root.join("file"));
    let (mut calls, mut succeeded) = (0, 0);
    while calls < CALLS || moves.load(Ordering::Relaxed) < MOVES {
        let path = PATHS[calls % PATHS.len()];
        calls += 1;
        match pin(backend, root, path) {
            Ok(pin) => {
                assert!(!canaries.contains(&pinned_id(&pin)), "{path}: {pin:?}");
                assert_eq!(pinned_id(&pin), expected, "{backend:?} {path}: {pin:?}");
                succeeded += 1;
            }
            Err(error) => {
                let is_known = PathError::of(&error).is_some_and(PathError::is_interference)
                    || matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EAGAIN));
                assert!(is_known, "{backend:?} {path}: {error:?}");
            }
        }
        let still = pin(backend, root, "still/../still").unwrap();
        assert_eq!(still.target(), root.join("still"));
        if let Ok(text) = resolve(backend, root, path) {
            assert_eq!(text, Path::new("file"), "{backend:?} {path}");
        }
    }
    (calls, succeeded)
}

#[test]
fn nothing_outside_is_reached_while_mounts_move() {
    with_private_mounts("nothing_outside_is_reached_while_mounts_move", || {
        let arena = Arena::new();
        for backend in BACKENDS {
            let (stop, moves) = (AtomicBool::new(false), AtomicUsize::new(0));
            let (calls, succeeded) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        arena.move_out_and_back();
                        moves.fetch_add(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        arena.cover_and_uncover();
                    }
                });
                let victim = scope.spawn(|| resolve_under_attack(&arena, backend, &moves));
                let counts = victim.join();
                stop.store(true, Ordering::Relaxed);
                counts.unwrap()
            });
            println!("{backend:?}: {succeeded} of {calls} succeeded, {moves:?} moves");
            assert!(
                succeeded > calls / 10,
                "{backend:?}: {succeeded} of {calls}"
            );
        }
    });
}

/// Mounts debugfs, whose directory `tracing` is an automount point; that is not triggered by this.
fn mount_tracing() -> Option<PathBuf> {
    let debug = Path::new("/sys/kernel/debug");
    // It cannot be mounted twice at one place.
    while try_detach(debug) {}
    if !debug.is_dir() || !mount(Some(c"debugfs"), debug, 0, "debugfs") {
        return None;
    }
    // Looking at the directory itself would trigger it.
    let mut names = fs::read_dir(debug)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .any(|name| name == "tracing")
        .then(|| debug.join("tracing"))
}

#[test]
fn a_root_that_is_an_automount_point_is_what_is_mounted_there() {
    const NAME: &str = "a_root_that_is_an_automount_point_is_what_is_mounted_there";
    for backend in BACKENDS {
        for (path, below) in [("x/../events", "events"), ("", "")] {
            // A namespace each: what was mounted once needs no trigger.
            with_private_mounts(NAME, || {
                let Some(root) = mount_tracing() else {
                    return skip(NAME, "no debugfs with tracing");
                };
                let pin = pin(backend, &root, path).unwrap();
                let case = format!("{backend:?} {path}");
                assert_eq!(pin.target(), root.join(below), "{case}");
                assert_eq!(pinned_id(&pin), id(root.join(below).join(".")), "{case}");
            });
            with_private_mounts(NAME, || {
                let Some(root) = mount_tracing() else { return };
                let (_tmp, base) = temporary();
                symlink(&root, base.join("link")).unwrap();
                let handle = ScopedRoot::with_backend(backend, &base.join("link")).unwrap();
                assert_eq!(handle.path(), root, "{backend:?}");
                let pin = handle.resolve(path).unwrap();
                assert_eq!(pinned_id(&pin), id(root.join(below).join(".")));
            });
        }
    }
}

/// That none of these operations takes `root` for a root.
fn expect_no_root(backend: Backend, root: &Path) {
    for error in [
        join(backend, root, Path::new("x")).unwrap_err(),
        join(backend, root, Path::new("a/../b/c/d/e")).unwrap_err(),
        resolve(backend, root, "x").unwrap_err(),
        pin(backend, root, "d").unwrap_err(),
        pin(backend, root, "x/../d").unwrap_err(),
        ScopedRoot::with_backend(backend, root).unwrap_err(),
        ScopedDirBuilder::with_backend(backend, root).unwrap_err(),
    ] {
        let errno = error.raw_os_error();
        assert_eq!(errno, Some(libc::ENOENT), "{backend:?} {root:?}: {error}");
    }
}

#[test]
fn a_root_of_a_detached_mount_is_not_what_stands_at_its_text() {
    with_private_mounts(
        "a_root_of_a_detached_mount_is_not_what_stands_at_its_text",
        || {
            let (_tmp, base) = temporary();
            let at = base.join("m");
            // The text of the second one is the same before and after.
            let below = at.join("d");
            fs::create_dir(&at).unwrap();
            for backend in BACKENDS {
                assert!(mount(Some(c"tmpfs"), &at, 0, "tmpfs"));
                fs::create_dir_all(below.join("d")).unwrap();
                let pins = [&at, &below].map(|dir| pin(backend, dir, "").unwrap());
                for pin in &pins {
                    let joined = join(backend, pin.as_path(), Path::new("x")).unwrap();
                    assert_eq!(joined, pin.target().join("x"), "{backend:?}");
                }
                let handle = ScopedRoot::with_backend(backend, &at).unwrap();
                detach(&at);
                for pin in &pins {
                    expect_no_root(backend, pin.as_path());
                }
                let error = handle.resolve("d").unwrap_err();
                assert!(PathError::of(&error).is_some_and(PathError::is_interference));
            }
        },
    );
}

#[test]
fn a_relative_root_outside_of_the_root_directory_of_the_process_is_none() {
    with_private_mounts(
        "a_relative_root_outside_of_the_root_directory_of_the_process_is_none",
        || {
            let (_tmp, base) = temporary();
            let (jail, outside) = (base.join("jail"), base.join("outside"));
            fs::create_dir_all(jail.join("proc")).unwrap();
            fs::create_dir_all(outside.join("d")).unwrap();
            // What stands inside at the text of the directory outside.
            let inside = jail.join(outside.strip_prefix("/").unwrap());
            fs::create_dir_all(inside.join("d")).unwrap();
            let bind = libc::MS_BIND | libc::MS_REC;
            assert!(mount(None, &jail.join("proc"), bind, "/proc"));
            std::env::set_current_dir(&outside).unwrap(); // of this thread only
            // SAFETY: the path is NUL-terminated; only this thread has another root directory.
            assert_eq!(unsafe { libc::chroot(c_path(&jail).as_ptr()) }, 0);
            let chdir = |path: &str| std::env::set_current_dir(path).unwrap();
            for backend in BACKENDS {
                expect_no_root(backend, Path::new("."));
                expect_no_root(backend, Path::new("d/.."));
                let root = Path::new("/proc/self/cwd"); // of the process: it has no such path
                expect_no_root(backend, root);
            }
            chdir(outside.to_str().unwrap());
            for backend in BACKENDS {
                let joined = join(backend, Path::new("."), Path::new("d/x")).unwrap();
                assert_eq!(joined, outside.join("d/x"), "{backend:?}");
            }
        },
    );
}

#[test]
fn a_file_with_other_names_in_a_lower_layer_is_opened_for_writing() {
    const NAME: &str = "a_file_with_other_names_in_a_lower_layer_is_opened_for_writing";
    with_private_mounts(NAME, || {
        let (_tmp, base) = temporary();
        let (layers, root) = (base.join("layers"), base.join("root"));
        for dir in [&layers, &root] {
            fs::create_dir(dir).unwrap();
        }
        assert!(mount(Some(c"tmpfs"), &layers, 0, "tmpfs"));
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| layers.join(name));
        for dir in [&lower, &upper, &work] {
            fs::create_dir(dir).unwrap();
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={},index=off",
            lower.display(),
            upper.display(),
            work.display()
        );
        let ways = [
            (OpenOptions::new().write(true).clone(), "new"),
            (OpenOptions::new().append(true).clone(), "oldnew"),
            (OpenOptions::new().write(true).truncate(true).clone(), "new"),
        ];
        let names: Vec<_> = BACKENDS
            .into_iter()
            .flat_map(|backend| ways.iter().map(move |way| (backend, way)))
            .enumerate()
            .map(|(number, (backend, way))| (format!("f{number}"), backend, way))
            .collect();
        for (name, ..) in &names {
            fs::write(lower.join(name), "old").unwrap();
            fs::hard_link(lower.join(name), lower.join(format!("{name}-too"))).unwrap();
        }
        if !mount_with(Some(c"overlay"), &root, 0, "overlay", &options) {
            detach(&layers);
            return skip(NAME, "no overlayfs with these options");
        }
        for (name, backend, (options, content)) in names {
            let file = root.join(&name);
            let before = id(&file);
            let handle = ScopedRoot::with_backend(backend, &root).unwrap();
            let mut opened = handle.open_file(&name, options).unwrap();
            assert_ne!(id(&file), before, "the file was copied");
            opened.write_all(b"new").unwrap();
            drop(opened);
            let found = fs::read_to_string(&file).unwrap();
            assert_eq!(found, *content, "{backend:?}");
            let other = fs::read_to_string(root.join(format!("{name}-too")));
            assert_eq!(other.unwrap(), "old");
        }
        detach(&root);
        detach(&layers);
    });
}
