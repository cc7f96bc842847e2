//! The walk and the openat2 questions by themselves, under attack: their containment does not rest
//! on any check afterwards.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::walk::{Descent, Goal, Symlinks, Walk};
use super::{Backend, openat2, resolve_object, unopened};
use crate::lexical::CPath;
use crate::sys::{self, CWD, Errno, Last};

const ROUNDS: usize = 4_000;

/// Nothing will be opened if nothing has been by then.
const LONG: Duration = Duration::from_secs(120);

/// Each goes through what is exchanged.
const PATHS: [&str; 4] = [
    "swap/d",
    "swap/d/file",
    "swap/d/../d/file",
    "a/../swap/d/missing/x",
];

fn id(path: &Path) -> (u64, u64) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

/// Calls `open` while `root/swap` and a symlink to the outside take turns, and until something was
/// opened: all calls may come while the other thread rests with nothing in place. Counts what was.
fn attack(open: impl Fn(BorrowedFd<'_>, &[u8]) -> Option<OwnedFd>) -> usize {
    let tmp = tempfile::tempdir().unwrap();
    let root = tmp.path().join("root");
    let outside = tmp.path().join("outside");
    for dir in [root.join("swap/d"), root.join("a"), outside.join("d")] {
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("file"), "").unwrap();
    }
    symlink(&outside, root.join("link")).unwrap();
    let canaries: HashSet<_> = [
        &outside,
        &outside.join("d"),
        &outside.join("d/file"),
        tmp.path(),
    ]
    .into_iter()
    .map(id)
    .collect();
    let stop = AtomicBool::new(false);
    let root_fd = sys::openat(
        CWD,
        CPath::default().set([root.as_os_str().as_bytes()]),
        Last::Follow,
    );
    let root_fd = root_fd.unwrap();
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let [swap, link, third] = ["swap", "link", "third"].map(|name| root.join(name));
            while !stop.load(Ordering::Relaxed) {
                fs::rename(&swap, &third).unwrap();
                fs::rename(&link, &swap).unwrap();
                fs::rename(&swap, &link).unwrap();
                fs::rename(&third, &swap).unwrap();
            }
        });
        let begin = Instant::now();
        let (mut opened, mut round) = (0, 0);
        while round < ROUNDS * PATHS.len() || opened == 0 {
            if attacker.is_finished() || begin.elapsed() > LONG {
                break;
            }
            let path = PATHS[round % PATHS.len()];
            if let Some(fd) = open(root_fd.as_fd(), path.as_bytes()) {
                let id = sys::fstat(fd.as_fd()).unwrap().id;
                if canaries.contains(&id) {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{path} led outside");
                }
                opened += 1;
            }
            round += 1;
        }
        stop.store(true, Ordering::Relaxed);
        opened
    })
}

#[test]
fn no_walk_leaves_the_root_for_a_moment() {
    for descent in [Descent::SingleSteps, Descent::Runs, Descent::RunsToSymlink] {
        for goal in [Goal::Object, Goal::Directory] {
            let opened = attack(|root, path| {
                Walk::new(root, path, goal, Symlinks::Expand, descent)
                    .run()
                    .ok()?
                    .fd
            });
            assert!(opened > 0, "{descent:?} {goal:?}");
        }
    }
}

#[test]
fn no_openat2_question_leaves_the_root_for_a_moment() {
    let opened = attack(|root, path| openat2::open_in_root(root, path).ok());
    assert!(opened > 0);
    let opened = attack(|root, path| {
        openat2::open_beneath(root, CPath::default().set([path]), Last::Follow).ok()
    });
    assert!(opened > 0);
}

/// Resolves as if there were no descriptors left.
fn resolve_unopened(root: &Path, path: &str) -> std::io::Result<std::path::PathBuf> {
    let error = Errno(libc::EMFILE).into();
    Ok(unopened::resolve_text(root, Path::new(path), error)?.into_path())
}

#[test]
fn without_descriptors_a_magic_link_to_the_root_is_not_followed_by_its_text() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().canonicalize().unwrap();
    fs::create_dir(base.join("d")).unwrap();
    fs::create_dir(base.join("outside")).unwrap();
    symlink("x", base.join("d/link")).unwrap();
    let (fd, _) = resolve_object(Backend::Openat2, &base, Path::new("d")).unwrap();
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let link = Path::new(&link);
    assert_eq!(resolve_unopened(link, "link").unwrap(), base.join("d/x"));

    fs::rename(base.join("d"), base.join("e")).unwrap();
    symlink("outside", base.join("d")).unwrap();
    assert_eq!(resolve_unopened(link, "link").unwrap(), base.join("e/x"));

    fs::remove_dir_all(base.join("e")).unwrap();
    let error = resolve_unopened(link, "link").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    symlink("outside", base.join("e (deleted)")).unwrap();
    let error = resolve_unopened(link, "link").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
}

#[test]
fn without_descriptors_only_a_name_that_is_too_long_is_no_link() {
    let tmp = tempfile::tempdir().unwrap();
    let name = "n".repeat(200);
    let name = CPath::default().set([name.as_bytes()]).to_owned();
    let root = CPath::default()
        .set([tmp.path().as_os_str().as_bytes()])
        .to_owned();
    let mut dir = sys::openat(CWD, &root, Last::Directory).unwrap();
    for _ in 0..30 {
        sys::mkdirat(dir.as_fd(), &name, 0o700).unwrap();
        dir = sys::openat(dir.as_fd(), &name, Last::Directory).unwrap();
    }
    let number = std::os::fd::AsRawFd::as_raw_fd(&dir).to_string();
    let error = resolve_unopened(Path::new("/proc/self/fd"), &number).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    let long = "n".repeat(256);
    let resolved = resolve_unopened(tmp.path(), &long).unwrap();
    assert!(resolved.ends_with(&long));
}
