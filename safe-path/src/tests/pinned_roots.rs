//! Roots that are given through a pin or another magic link: what is pinned is the root, whatever
//! stands at its path by now.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use test_utils::exchange;

use super::{BACKENDS, id, join, pin, pinned_id, resolve, temporary};
use crate::{PathError, PinnedPathBuf, ScopedDirBuilder, ScopedRoot};

/// How often each back end and entry point is called under attack.
const ROUNDS: usize = 2_000;

/// How many directories are created under attack.
const NEW_DIRECTORIES: usize = 2_000;

/// Roots that lead to `pin`; `link` becomes a symlink to it.
fn roots(pin: &PinnedPathBuf, link: &Path) -> Vec<PathBuf> {
    let number = pin.path_fd();
    symlink(pin.as_path(), link).unwrap();
    vec![
        pin.as_path().to_owned(),
        pin.join("."),
        PathBuf::from(format!("/proc/thread-self/fd/{number}")),
        PathBuf::from(format!("/proc/{}/fd/{number}", std::process::id())),
        link.to_owned(),
    ]
}

#[test]
fn a_removed_directory_is_no_root_whatever_stands_at_its_marked_path() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        let outside = base.join("outside");
        fs::create_dir_all(base.join("r/d")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("passwd"), "").unwrap();
        let pinned = pin(backend, base.join("r"), "d").unwrap();
        fs::remove_dir(base.join("r/d")).unwrap();
        symlink(&outside, base.join("r/d (deleted)")).unwrap();
        for root in roots(&pinned, &base.join("link")) {
            for error in [
                join(backend, &root, Path::new("passwd")).unwrap_err(),
                join(backend, &root, Path::new("a/../b/c/d/e")).unwrap_err(),
                resolve(backend, &root, "passwd").unwrap_err(),
                pin(backend, &root, "passwd").unwrap_err(),
                pin(backend, &root, "").unwrap_err(),
                ScopedRoot::with_backend(backend, &root).unwrap_err(),
                ScopedDirBuilder::with_backend(backend, &root).unwrap_err(),
            ] {
                let errno = error.raw_os_error();
                assert_eq!(errno, Some(libc::ENOENT), "{backend:?} {root:?}");
            }
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }
}

#[test]
fn a_renamed_directory_is_the_root_and_not_what_took_its_place() {
    for backend in BACKENDS {
        let (_tmp, base) = temporary();
        let outside = base.join("outside");
        fs::create_dir_all(base.join("d/sub")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink("/sub", base.join("d/link")).unwrap();
        let pinned = pin(backend, &base, "d").unwrap();
        let moved = base.join("d (deleted)"); // a name like that is no obstacle
        fs::rename(base.join("d"), &moved).unwrap();
        symlink(&outside, base.join("d")).unwrap();
        for root in roots(&pinned, &base.join("link")) {
            let joined = join(backend, &root, Path::new("link/x")).unwrap();
            assert_eq!(joined, moved.join("sub/x"));
            let joined = join(backend, &root, Path::new("sub/x")).unwrap();
            assert_eq!(joined, moved.join("sub/x"));
            assert_eq!(resolve(backend, &root, "link").unwrap(), Path::new("sub"));
            let sub = pin(backend, &root, "link").unwrap();
            assert_eq!(sub.target(), moved.join("sub"));
            let handle = ScopedRoot::with_backend(backend, &root).unwrap();
            assert_eq!(handle.path(), moved);
            handle.mkdir_all("new", 0o755).unwrap();
            let mut builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
            builder.recursive(true).create("new/new").unwrap();
        }
        assert!(moved.join("new/new").is_dir());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}

/// Lets the attacker go home at the end, also when a check fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `None` if the tree was changed too fast, which is all that may go wrong.
fn unless_interfered<T>(result: io::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let reason = PathError::of(&error);
            assert!(
                reason.is_some_and(PathError::is_interference),
                "{error}: nothing that was asked for is ever missing"
            );
            None
        }
    }
}

#[test]
fn a_pinned_root_stays_the_root_while_others_take_its_place() {
    let (_tmp, base) = temporary();
    let [d, away, outside, other] = ["d", "away", "outside", "other"].map(|name| base.join(name));
    for (dir, target) in [(&d, "file"), (&outside, "wrong"), (&other, "wrong")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        symlink(target, dir.join("link")).unwrap();
    }
    let (root_id, file_id) = (id(&d), id(d.join("file")));
    let pinned = PinnedPathBuf::new(&base, "d").unwrap();
    let root = pinned.as_path();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let attacker = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&d, &away).unwrap();
                symlink(&outside, &d).unwrap();
                fs::remove_file(&d).unwrap();
                fs::rename(&other, &d).unwrap();
                fs::rename(&d, &other).unwrap();
                fs::rename(&away, &d).unwrap();
            }
        });
        for round in 0..ROUNDS {
            assert!(!attacker.is_finished());
            for backend in BACKENDS {
                let joined = join(backend, root, Path::new("link")).unwrap();
                assert!(
                    [d.join("file"), away.join("file")].contains(&joined),
                    "{joined:?}"
                );
                let resolved = resolve(backend, root, "link").unwrap();
                assert_eq!(resolved, Path::new("file"), "{backend:?}");
                if let Some(file) = unless_interfered(pin(backend, root, "link")) {
                    assert_eq!(pinned_id(&file), file_id, "{backend:?}");
                }
                let handle = ScopedRoot::with_backend(backend, root).unwrap();
                assert_eq!(
                    crate::sys::fstat(handle.as_fd()).unwrap().id,
                    root_id,
                    "{backend:?}"
                );
                unless_interfered(handle.mkdir_all(format!("h{}", round % 64), 0o755));
                let mut builder = ScopedDirBuilder::with_backend(backend, root).unwrap();
                builder.recursive(true);
                unless_interfered(builder.create(format!("b{}", round % 64)));
            }
        }
    });
    for dir in [&outside, &other] {
        assert_eq!(fs::read_dir(dir).unwrap().count(), 2, "{dir:?}");
    }
}

#[test]
fn a_new_directory_that_was_replaced_by_a_file_is_not_pinned() {
    let (_tmp, base) = temporary();
    let [new, file, spare] = ["new", "file", "spare"].map(|name| base.join(name));
    fs::write(&file, "").unwrap();
    let dir = PinnedPathBuf::new(&base, "").unwrap();
    let stop = AtomicBool::new(false);
    let replaced = AtomicUsize::new(0);
    let mut noticed = 0_usize;
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = fs::hard_link(&file, &spare);
                while !new.is_dir() && !stop.load(Ordering::Relaxed) {}
                if exchange(&new, &spare).is_ok() {
                    replaced.fetch_add(1, Ordering::Relaxed);
                }
                let _ = fs::remove_dir(&spare);
            }
        });
        for _ in 0..NEW_DIRECTORIES {
            match dir.mkdir("new".as_ref(), 0o755) {
                Ok(pin) => assert!(pin.metadata().unwrap().is_dir(), "{pin:?}"),
                Err(error) => {
                    let reason = PathError::of(&error);
                    let is_file = matches!(reason, Some(PathError::NotADirectory { .. }));
                    noticed += usize::from(is_file);
                    let is_known = is_file
                        || reason.is_some_and(PathError::is_interference)
                        || matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EEXIST));
                    assert!(is_known, "{error}");
                }
            }
            let _ = fs::remove_file(&new);
            let _ = fs::remove_dir(&new);
        }
    });
    println!(
        "{} replaced, {noticed} of them before they were pinned",
        replaced.into_inner()
    );
}
