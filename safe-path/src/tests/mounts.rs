//! Containment under an attacker who mounts: a mounted tree is moved out of the root and back,
//! directories are mounted over and uncovered, while others resolve through them.
//!
//! What is asserted: no `..` in a tree that has just left the root leads outside, and what nobody
//! touches never fails.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::procfs::{mount, with_private_mounts};
use super::{BACKENDS, c_path, id, pin, pinned_id, resolve, temporary};
use crate::PathError;
use crate::resolver::Backend;

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
        // SAFETY: the path is NUL-terminated and outlives the call.
        let result = unsafe { libc::umount2(c_path(&covered).as_ptr(), libc::MNT_DETACH) };
        assert_eq!(result, 0);
    }
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
