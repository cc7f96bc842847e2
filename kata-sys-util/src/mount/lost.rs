//! Takes a mount away that no path leads to any more: the file that it covers is held open, but has
//! been renamed, or something else has been mounted over a directory further up.

use std::path::Path;

use nix::errno::Errno;

use super::mountinfo::Place;
use super::sys::{self, FileStatus};

/// Detaches the topmost mount on a file whose path in `/proc` is `below_path`, and whose status is
/// `below`.
///
/// `umount2` goes on from a file into what is mounted on it, also from one that a link in `/proc`
/// leads to, so that neither names nor other mounts come in between.
///
/// # Errors
///
/// `EINVAL` if nothing is mounted on it, or if that cannot be told and matters; else that of the
/// call.
pub(super) fn detach_from(below: &FileStatus, below_path: &Path) -> sys::Result<()> {
    // Of a root that nothing is mounted on, the kernel would take the mount that it is the root of.
    let is_safe = below.is_mount_root == Some(false)
        || Place::read(below_path).is_ok_and(|place| match below.is_mount_root {
            Some(_) => place.is_covered,
            None => place.is_covered || !place.is_root,
        });
    if !is_safe {
        return Err(Errno::EINVAL);
    }
    // Without UMOUNT_NOFOLLOW: the last component is a magic link of our own.
    sys::umount(below_path, libc::MNT_DETACH)
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, c_ulong};
    use std::fs;
    use std::os::fd::{AsFd, OwnedFd};
    use std::path::PathBuf;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, JoinHandle};

    use test_utils::isolate;
    use test_utils::isolation::{Isolation, scratch, unshare};
    use test_utils::seccomp::{Rule, run_under};

    use super::super::handle::{fd_path, pin};
    use super::super::mountinfo::is_mount_root;
    use super::super::sys::Follow;
    use super::*;

    /// Before Linux 5.8, it is not known whether a file is the root of a mount.
    const KERNELS: [&[Rule]; 2] = [&[], &[Rule::fail(libc::SYS_statx, libc::ENOSYS)]];

    fn detach(below: &OwnedFd, below_path: &Path) -> sys::Result<()> {
        let status = sys::status(below.as_fd(), Path::new(""), Follow::No)?;
        detach_from(&status, below_path)
    }

    fn own_mounts() -> Isolation<'static> {
        let mounts = libc::CLONE_NEWNS;
        let isolation = Isolation::new().namespaces(mounts);
        isolation.or_namespaces(mounts | libc::CLONE_NEWUSER)
    }

    fn mount(fs_type: &str, target: &Path, flags: c_ulong) {
        let (none, fs_type) = (OsStr::new("none"), OsStr::new(fs_type));
        sys::mount(none, target, fs_type, flags, OsStr::new("")).unwrap();
    }

    fn tmpfs_with(name: &str, target: &Path) {
        mount("tmpfs", target, 0);
        fs::write(target.join(name), "").unwrap();
    }

    fn dir(path: PathBuf) -> PathBuf {
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Holds `path` and mounts on it, as the library does.
    fn hold_and_mount(path: &Path) -> (OwnedFd, PathBuf) {
        let below = pin(path, Follow::Yes).unwrap();
        let below_path = fd_path(below.as_fd()).unwrap();
        mount("tmpfs", &below_path, 0);
        (below, below_path)
    }

    fn number_of_mounts() -> usize {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        table.lines().count()
    }

    #[test]
    fn mount_is_detached_wherever_its_place_has_gone() {
        isolate!(own_mounts());
        for (index, rules) in KERNELS.into_iter().enumerate() {
            let root = dir(scratch().join(index.to_string()));
            let before = number_of_mounts();
            let target = dir(root.join("target"));
            let attacker = Attacker::new();
            let (below, path) = hold_and_mount(&target);
            attacker.rename(&target, &root.join("elsewhere"));
            tmpfs_with("other", &dir(target));
            run_under(rules, || detach(&below, &path)).unwrap();
            assert_eq!(number_of_mounts(), before + 1);
            assert!(root.join("target/other").exists());
        }
    }

    #[test]
    fn mount_is_detached_below_one_that_hides_it() {
        isolate!(own_mounts());
        for (index, rules) in KERNELS.into_iter().enumerate() {
            let root = dir(scratch().join(index.to_string()));
            let before = number_of_mounts();
            let (below, path) = hold_and_mount(&dir(root.join("parent/target")));
            tmpfs_with("other", &root.join("parent"));
            run_under(rules, || detach(&below, &path)).unwrap();
            assert_eq!(number_of_mounts(), before + 1);
            assert!(root.join("parent/other").exists());
        }
    }

    #[test]
    fn mount_is_detached_from_the_root_of_another_which_stays() {
        isolate!(own_mounts());
        for (index, rules) in KERNELS.into_iter().enumerate() {
            let target = dir(scratch().join(index.to_string()).join("with blank"));
            tmpfs_with("first", &target);
            let before = number_of_mounts();
            let (below, path) = hold_and_mount(&target);
            run_under(rules, || {
                detach(&below, &path).unwrap();
                assert_eq!(number_of_mounts(), before);
                assert!(target.join("first").exists());
                // A second time, there is nothing to detach.
                assert_eq!(detach(&below, &path), Err(Errno::EINVAL));
            });
            assert_eq!(number_of_mounts(), before);
            assert!(target.join("first").exists());
        }
    }

    #[test]
    fn place_without_a_mount_is_left_alone() {
        isolate!(own_mounts());
        let before = number_of_mounts();
        for rules in KERNELS {
            for place in [scratch(), PathBuf::from("/"), PathBuf::from("/proc")] {
                let below = pin(&place, Follow::Yes).unwrap();
                let path = fd_path(below.as_fd()).unwrap();
                let result = run_under(rules, || detach(&below, &path));
                assert_eq!(result, Err(Errno::EINVAL), "{place:?}");
            }
        }
        assert_eq!(number_of_mounts(), before);
    }

    /// As in a container: without the mounts that are made from now on, but on the same files. Only
    /// there can a name be given away on which something is mounted here.
    struct Attacker {
        order: Sender<(PathBuf, PathBuf)>,
        thread: JoinHandle<()>,
    }

    impl Attacker {
        fn new() -> Self {
            let (order, orders) = channel::<(PathBuf, PathBuf)>();
            let (tell, ready) = channel();
            let thread = thread::spawn(move || {
                unshare(libc::CLONE_NEWNS).unwrap();
                tell.send(()).unwrap();
                for (from, to) in orders {
                    fs::rename(from, to).unwrap();
                }
            });
            ready.recv().unwrap();
            Self { order, thread }
        }

        fn rename(self, from: &Path, to: &Path) {
            self.order.send((from.to_owned(), to.to_owned())).unwrap();
            drop(self.order);
            self.thread.join().unwrap();
        }
    }

    #[test]
    fn root_of_a_mount_is_told_by_the_table() {
        isolate!(own_mounts());
        let root = dir(scratch().join("root"));
        mount("tmpfs", &root, 0);
        for (path, expected) in [(dir(root.join("d")), false), (root, true)] {
            let below = pin(&path, Follow::Yes).unwrap();
            let below_path = fd_path(below.as_fd()).unwrap();
            assert_eq!(is_mount_root(&below_path), Ok(expected), "{path:?}");
        }
        let none = Path::new("/proc/self/fd/none");
        assert_eq!(is_mount_root(none), Err(Errno::ENOENT));
    }

    #[test]
    fn mount_that_cannot_be_looked_at_is_taken_away() {
        isolate!(own_mounts());
        let target = dir(scratch().join("target"));
        for rules in KERNELS {
            let below = pin(&target, Follow::Yes).unwrap();
            let below_path = fd_path(below.as_fd()).unwrap();
            let detached = run_under(rules, || {
                let mut status = sys::status(below.as_fd(), Path::new(""), Follow::No)?;
                let is_root = || is_mount_root(&below_path).ok();
                status.is_mount_root = status.is_mount_root.or_else(is_root);
                tmpfs_with("new", &target);
                let no_descriptors = [Rule::fail(libc::SYS_openat, libc::EMFILE)];
                run_under(&no_descriptors, || detach_from(&status, &below_path))
            });
            assert_eq!(detached, Ok(()));
            assert!(!target.join("new").exists());
        }
    }
}
