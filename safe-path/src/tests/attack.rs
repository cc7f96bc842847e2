//! Containment under attack (7.1): threads exchange directories with symlinks to the outside, swap
//! symlinks, move directories and remove parents, while others resolve, open and create.
//!
//! What is asserted: nothing outside is opened or created, paths that no attacker touches never
//! fail, other paths hardly ever fail as "changed" or for want of a directory, every descriptor is
//! close-on-exec, and none stays open.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use test_utils::exchange;

use super::{BACKENDS, id, join, pin, pinned_id, temporary};
use crate::resolver::Backend;
use crate::{PathError, PinnedPathBuf, ScopedDirBuilder, ScopedRoot};

/// How often each resolving thread looks at the descriptors of the process.
const CALLS_PER_INSPECTION: usize = 5_000;

/// Most calls that may fail only because the tree was changed: 0.12 %.
const SPURIOUS_PER_MILLION: usize = 1_200;

/// Nobody touches what these go through.
const STABLE: &[&str] = &[
    "stable/a/b/file",
    "stable/../stable/a/../a/b/file",
    "stable/link/file",
    "stable/link/../b/./../../a/b/file",
    "stable/../missing/../stable/far/file",
];

/// An attacker exchanges, moves or removes a part of these.
const ATTACKED: &[&str] = &[
    "x/swap/d/file",
    "x/swap/d/../d/file",
    "x/swap-link/d/file",
    "x/swap/d/../../swap-link/d/../d/file",
    "l/link/d/file",
    "l/link2/d/../d/file",
    "l/link/../swap/d/file",
    "here/dir/x/y/file",
    "here/dir/x/../x/y/../y/file",
    "there/dir/x/y/../../../dir/x/y/file",
    "there/deeper/dir/x/../../../../stable/a/b/file",
    "gone/x/y",
    "gone/x/../x/y/..",
];

/// Below which directories are created, and whether these stay where they are. Where an attacker
/// takes them away, calls that created something have to fail.
const CREATED: &[(&str, bool)] = &[
    ("x/swap", true),
    ("x/swap-link", true),
    ("l/link", true),
    ("gone/x", false),
    ("there/dir", false),
];

struct Arena {
    _tmp: tempfile::TempDir,
    root: PathBuf,
    outside: PathBuf,
    /// Objects that must never be reached.
    canaries: HashSet<(u64, u64)>,
}

impl Arena {
    fn new() -> Self {
        let (tmp, base) = temporary();
        let root = base.join("root");
        let outside = base.join("outside");
        // Where symlinks to the outside lead if the root is `/`.
        let decoy = root.join(outside.strip_prefix("/").unwrap());
        for dir in [
            "l",
            "x/swap/d",
            "stable/a/b",
            "here/dir/x/y",
            "there/deeper",
            "gone/x/y",
        ] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        for dir in [&outside.join("d"), &decoy.join("d")] {
            fs::create_dir_all(dir).unwrap();
        }
        for file in ["x/swap/d/file", "stable/a/b/file", "here/dir/x/y/file"] {
            fs::write(root.join(file), "inside").unwrap();
        }
        fs::write(decoy.join("d/file"), "inside").unwrap();
        fs::write(outside.join("d/file"), "outside").unwrap();
        symlink(&outside, root.join("x/swap-link")).unwrap();
        symlink("/x/swap", root.join("l/link")).unwrap();
        symlink("../../../outside", root.join("l/link2")).unwrap();
        symlink("a/b", root.join("stable/link")).unwrap();
        symlink("/../stable/./a/b", root.join("stable/far")).unwrap();
        let canaries = [&outside, &outside.join("d"), &outside.join("d/file"), &base].map(id);
        Self {
            _tmp: tmp,
            root,
            outside,
            canaries: canaries.into_iter().collect(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Exchanges a directory with a symlink to the outside, several times, then lets others run.
    fn exchange_directory(&self) {
        for _ in 0..8 {
            exchange(&self.at("x/swap"), &self.at("x/swap-link")).unwrap();
        }
        std::thread::yield_now();
    }

    /// Swaps symlinks, moves a directory up, down and sideways, removes and recreates parents.
    fn rearrange(&self) {
        exchange(&self.at("l/link"), &self.at("l/link2")).unwrap();
        if fs::rename(self.at("here/dir"), self.at("there/dir")).is_err() {
            // A victim created something of that name meanwhile.
            let _ = fs::remove_dir_all(self.at("there/dir"));
            return;
        }
        fs::rename(self.at("there/dir"), self.at("there/deeper/dir")).unwrap();
        fs::rename(self.at("there/deeper/dir"), self.at("here/dir")).unwrap();
        // Victims may have created something in it meanwhile.
        let _ = fs::remove_dir_all(self.at("gone/x"));
        let _ = fs::create_dir_all(self.at("gone/x/y"));
    }

    fn assert_inside(&self, pin: &PinnedPathBuf, call: &str) {
        assert!(
            !self.canaries.contains(&pinned_id(pin)),
            "{call}: {pin:?} is outside"
        );
        self.assert_text_inside(pin.target(), call);
    }

    fn assert_text_inside(&self, path: &Path, call: &str) {
        let is_clean = path
            .components()
            .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        assert!(path.starts_with(&self.root) && is_clean, "{call}: {path:?}");
    }

    fn assert_outside_untouched(&self) {
        let names = |dir: &Path| -> Vec<_> {
            fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect()
        };
        assert_eq!(names(&self.outside), ["d"]);
        assert_eq!(names(&self.outside.join("d")), ["file"]);
        assert_eq!(
            fs::read_to_string(self.outside.join("d/file")).unwrap(),
            "outside"
        );
        let mut beside = names(self.root.parent().unwrap());
        beside.sort();
        assert_eq!(beside, ["outside", "root"]);
    }

    /// Descriptors of the process for something in the arena: all are close-on-exec.
    fn inspect_descriptors(&self) -> usize {
        let base = self.root.parent().unwrap();
        let mut count = 0;
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let is_ours = || fs::read_link(entry.path()).is_ok_and(|path| path.starts_with(base));
            if !is_ours() {
                continue;
            }
            let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
            let Ok(info) = fs::read_to_string(info) else {
                continue;
            };
            let flags = info
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            if is_ours() {
                count += 1;
                assert_ne!(flags & libc::O_CLOEXEC, 0, "descriptor {entry:?}");
            }
        }
        count
    }
}

/// Counts of one attack, by what the calls are for.
#[derive(Default)]
struct Scores {
    finding: Score,
    creating: Score,
}

impl Scores {
    fn calls(&self) -> usize {
        [&self.finding, &self.creating]
            .map(|score| score.calls.load(Ordering::Relaxed))
            .iter()
            .sum()
    }
}

#[derive(Default)]
struct Score {
    calls: AtomicUsize,
    succeeded: AtomicUsize,
    spurious: AtomicUsize,
}

impl Score {
    /// Takes the result of a call on a path that is attacked: it may fail, but not spuriously.
    fn count<T>(&self, result: io::Result<T>) -> Option<T> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(value) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                let interference = PathError::of(&error).is_some_and(PathError::is_interference);
                // At no moment is there anything but directories and symlinks in mid-path.
                let is_file = error.kind() == io::ErrorKind::NotADirectory;
                if interference || is_file || error.raw_os_error() == Some(libc::EAGAIN) {
                    self.spurious.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
        }
    }

    fn check(self, what: &str) {
        let calls = self.calls.into_inner();
        let succeeded = self.succeeded.into_inner();
        let spurious = self.spurious.into_inner();
        println!(
            "{what}: {calls} calls; on attacked paths {succeeded} succeeded, {spurious} failed \
             spuriously"
        );
        assert!(
            succeeded > calls / 10,
            "{what}: {succeeded} of {calls} succeeded"
        );
        let limit = calls * SPURIOUS_PER_MILLION / 1_000_000;
        assert!(
            spurious <= limit,
            "{what}: {spurious} of {calls} failed only because of the changes"
        );
    }
}

struct Victim<'a> {
    arena: &'a Arena,
    backend: Backend,
    root: ScopedRoot,
    builder: ScopedDirBuilder,
    scores: &'a Scores,
}

impl<'a> Victim<'a> {
    fn new(arena: &'a Arena, backend: Backend, scores: &'a Scores) -> Self {
        let mut builder = ScopedDirBuilder::with_backend(backend, &arena.root).unwrap();
        builder.recursive(true);
        let root = ScopedRoot::with_backend(backend, &arena.root).unwrap();
        Self {
            arena,
            backend,
            root,
            builder,
            scores,
        }
    }

    /// The `number`th call of a thread: mostly pins, and now and then everything else.
    fn call(&self, number: usize) {
        let (backend, arena, score) = (self.backend, self.arena, &self.scores.finding);
        let path = ATTACKED[number / 16 % ATTACKED.len()];
        match number % 16 {
            0..6 => {
                if let Some(pin) = score.count(pin(backend, &arena.root, path)) {
                    arena.assert_inside(&pin, path);
                }
            }
            6..11 => {
                if let Some(joined) = score.count(join(backend, &arena.root, Path::new(path))) {
                    arena.assert_text_inside(&joined, path);
                }
            }
            11 => {
                let path = STABLE[number / 16 % STABLE.len()];
                let pinned = pin(backend, &arena.root, path)
                    .unwrap_or_else(|error| panic!("{path} is not touched by anybody: {error}"));
                assert_eq!(pinned.target(), arena.at("stable/a/b/file"));
                let joined = join(backend, &arena.root, Path::new(path)).unwrap();
                assert_eq!(joined, arena.at("stable/a/b/file"));
                score.calls.fetch_add(2, Ordering::Relaxed);
            }
            12 => {
                if let Some(pin) = score.count(self.root.resolve(path)) {
                    arena.assert_inside(&pin, path);
                }
            }
            13 => {
                let mut options = OpenOptions::new();
                let file = "x/swap/../../l/link/d/../../swap/d/file";
                if let Some(file) = score.count(self.root.open_file(file, options.read(true))) {
                    assert_eq!(io::read_to_string(file).unwrap(), "inside");
                }
            }
            14 => {
                // Fails where the directory is exchanged in between: that is what it is for.
                if let Ok(dir) = pin(backend, &arena.root, "x/swap") {
                    for child in ["d", "new"] {
                        if let Ok(child) = dir.open_child(child.as_ref()) {
                            arena.assert_inside(&child, "open_child");
                        }
                    }
                    if let Ok(new) = dir.mkdir(format!("m{}", number % 64).as_ref(), 0o755) {
                        arena.assert_inside(&new, "mkdir");
                    }
                }
                score.calls.fetch_add(4, Ordering::Relaxed);
            }
            _ => {
                let (parents, is_left_alone) = CREATED[number / 16 % CREATED.len()];
                let path = format!("{parents}/new/{}", number % 7);
                let created = self.builder.create(&path);
                let created = if is_left_alone {
                    self.scores.creating.count(created)
                } else {
                    score.calls.fetch_add(1, Ordering::Relaxed);
                    created.ok()
                };
                if let Some(new) = created {
                    arena.assert_inside(&new, &path);
                }
            }
        }
    }
}

/// Lets each back end do so many calls under the same attack.
fn attack(calls: [(Backend, usize); 3]) {
    let arena = Arena::new();
    let scores: [Scores; 3] = Default::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for attack in [Arena::exchange_directory, Arena::rearrange] {
            let (arena, stop) = (&arena, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    attack(arena);
                }
            });
        }
        let running = Arc::new(StopAtEnd(&stop));
        for ((backend, calls), scores) in calls.into_iter().zip(&scores) {
            let (arena, running) = (&arena, Arc::clone(&running));
            scope.spawn(move || {
                let victim = Victim::new(arena, backend, scores);
                let mut number = 0;
                while scores.calls() < calls {
                    victim.call(number);
                    number += 1;
                    if number % CALLS_PER_INSPECTION == 0 {
                        arena.inspect_descriptors();
                    }
                }
                drop(running);
            });
        }
    });
    arena.assert_outside_untouched();
    assert_eq!(
        arena.inspect_descriptors(),
        0,
        "every descriptor was closed"
    );
    for ((backend, _), scores) in calls.into_iter().zip(scores) {
        scores.finding.check(&format!("{backend:?}, finding"));
        scores.creating.check(&format!("{backend:?}, creating"));
    }
}

/// Stops the attackers when the last victim is done, or has failed.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn nothing_outside_is_reached_in_a_million_calls() {
    attack([
        (Backend::Openat2, 600_000),
        (Backend::WalkByRuns, 200_000),
        (Backend::WalkBySteps, 200_000),
    ]);
}

#[test]
#[ignore = "takes minutes: a million calls with each back end"]
fn nothing_outside_is_reached_in_a_million_calls_each() {
    attack(BACKENDS.map(|backend| (backend, 1_000_000)));
}

#[test]
fn what_is_a_directory_or_a_symlink_at_each_moment_is_never_taken_for_a_file() {
    const CALLS: usize = 10_000;
    /// Paths through `swap`, which is a directory or a link to `other`, and where they lead. (The
    /// directory is called `link` as soon as it is exchanged.)
    const PATHS: [(&str, &[&str]); 2] = [
        ("x/swap/l/d/e", &["target/d/e"]),
        ("x/swap/d/e", &["x/swap/d/e", "x/link/d/e", "other/d/e"]),
    ];
    let (_tmp, root) = temporary();
    for dir in ["x/swap", "other", "target"] {
        fs::create_dir_all(root.join(dir).join("d/e")).unwrap();
    }
    for dir in ["x/swap", "other"] {
        symlink("/target", root.join(dir).join("l")).unwrap();
    }
    symlink("../other", root.join("x/link")).unwrap();
    for backend in BACKENDS {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    exchange(&root.join("x/swap"), &root.join("x/link")).unwrap();
                }
            });
            let mut builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
            builder.recursive(true);
            for call in 0..CALLS {
                let (path, leads_to) = PATHS[call % PATHS.len()];
                let is_right = |found: &Path| {
                    let found = found.strip_prefix(&root);
                    found.is_ok_and(|found| leads_to.iter().any(|to| Path::new(to) == found))
                };
                let joined = join(backend, &root, Path::new(path)).unwrap();
                assert!(is_right(&joined), "{backend:?} {path}: {joined:?}");
                for pinned in [pin(backend, &root, path), builder.create(path)] {
                    match pinned.as_ref().map(PinnedPathBuf::target) {
                        Ok(target) => assert!(is_right(target), "{backend:?} {path}: {target:?}"),
                        Err(error) => {
                            let error = PathError::of(error);
                            let is_known = error.is_some_and(PathError::is_interference);
                            assert!(is_known, "{backend:?} {path}: {pinned:?}");
                        }
                    }
                }
            }
        });
    }
}
