//! What a mount is made on, held so that the mount can be found there whatever happens to the path.
//!
//! No call goes from an open directory to what is mounted on it: a name must lead there. The
//! directory of that name is held open as well, so that only the name itself could be given to
//! something else, which is noticed: the mount must be one that was not there before, on the mount
//! that the held file lies on.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::handle::{fd_path, is_same, pin};
use super::lost;
use super::mountinfo::{self, Children};
use super::query;
use super::sys::{self, CWD, FileStatus, Follow, Scope, is_shortage};

/// How often a target that is renamed all the time is looked for. On a busy machine an attacker can
/// spoil dozens of looks in a row; a look takes microseconds.
const LOOKUPS: usize = 4096;

/// A file to mount on.
#[derive(Debug)]
pub(super) struct Target {
    /// Its path in `/proc`, which leads to it wherever it is.
    path: PathBuf,
    status: FileStatus,
    /// The directory that it is in, or that the mounts are in which it is the root of.
    parent: OwnedFd,
    name: OsString,
    /// The mounts that were there before, if that can be known.
    earlier: Option<Earlier>,
    /// What `path` leads through.
    _below: OwnedFd,
}

/// What the mounts are told by that were there before another one.
#[derive(Debug)]
enum Earlier {
    /// None of them has a greater id: the kernel gives ascending ones (Linux 6.8).
    UpTo(u64),
    /// Those on the mount that the target lies on, from the mount table.
    Listed(Children),
}

impl Target {
    /// What is at `path` now, links followed. `None` without `/proc`.
    ///
    /// # Errors
    ///
    /// Those of `open`; `ESTALE` if it has no name, as `/`, or if its name is changed all the time.
    pub(super) fn open(path: &Path) -> sys::Result<Option<Self>> {
        let below = pin(path, Follow::Yes)?;
        let Some(path) = fd_path(below.as_fd()) else {
            return Ok(None);
        };
        let mut status = sys::status(below.as_fd(), Path::new(""), Follow::No)?;
        let (parent, name) = locate(&below, &path, &status)?;
        if status.is_mount_root.is_none() {
            status.is_mount_root = unless_short(mountinfo::is_mount_root(&path))?;
        }
        let earlier = match fresh_id(&path, &status) {
            Some(id) => Some(Earlier::UpTo(id)),
            None => unless_short(Children::read(&path))?.map(Earlier::Listed),
        };
        Ok(Some(Self {
            path,
            status,
            parent,
            name,
            earlier,
            _below: below,
        }))
    }

    /// The path for the call that mounts.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The mount that was made on it since, which shows `expected`, if that is known. From another
    /// mount namespace, its name can be given to something else meanwhile: then it is looked for
    /// again, unless that is another mount.
    ///
    /// # Errors
    ///
    /// `ESTALE` if it is not found.
    pub(super) fn mounted(&self, expected: Option<FileStatus>) -> sys::Result<OwnedFd> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        for _ in 0..LOOKUPS {
            let name = Path::new(&self.name);
            let fd = match sys::open_at(self.parent.as_fd(), name, flags, 0) {
                Ok(fd) => fd,
                Err(errno) if is_shortage(errno) => return Err(errno),
                Err(_) => continue,
            };
            let found = sys::status(fd.as_fd(), Path::new(""), Follow::No)?;
            let is_mount = found.is_mount_root != Some(false);
            let is_other = found.mount_id.is_none() || found.mount_id != self.status.mount_id;
            let is_expected = expected.is_none_or(|e| (e.dev, e.ino) == (found.dev, found.ino));
            if is_mount && is_other && is_expected {
                // Not again: reading the mount table takes longer than the other looks.
                return if self.is_new(&fd, &found)? {
                    Ok(fd)
                } else {
                    Err(Errno::ESTALE)
                };
            }
        }
        Err(Errno::ESTALE)
    }

    fn is_new(&self, fd: &OwnedFd, found: &FileStatus) -> sys::Result<bool> {
        match &self.earlier {
            None => Ok(true),
            Some(Earlier::Listed(children)) => {
                children.has_new(&self.path.with_file_name(fd.as_raw_fd().to_string()))
            }
            Some(Earlier::UpTo(newest)) => match unique_id(found).filter(|id| id > newest) {
                // Not only later, but on the same mount.
                Some(id) => Ok(unless_short(query::parent_of(id))? == self.status.mount_id),
                None => Ok(false),
            },
        }
    }

    /// Takes the mount on it away, wherever its name is.
    ///
    /// # Errors
    ///
    /// As of [`lost::detach_from`].
    pub(super) fn detach(&self) -> sys::Result<()> {
        lost::detach_from(&self.status, &self.path)
    }
}

/// The directory and the name in it that a file has.
fn locate(
    below: &OwnedFd,
    below_path: &Path,
    status: &FileStatus,
) -> sys::Result<(OwnedFd, OsString)> {
    for _ in 0..LOOKUPS {
        let Ok(place) = below_path.read_link() else {
            continue;
        };
        let (Some(directory), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(Errno::ESTALE);
        };
        // The first is for directories, also if a mount further up hides them; files, and
        // directories that may not be searched, need the second.
        for (base, path) in [(below.as_fd(), Path::new("..")), (CWD, directory)] {
            let parent = match sys::open_at(base, path, libc::O_PATH | libc::O_DIRECTORY, 0) {
                Ok(parent) => parent,
                Err(errno) if is_shortage(errno) => return Err(errno),
                Err(_) => continue,
            };
            let found = sys::status(parent.as_fd(), Path::new(name), Follow::No);
            if found.is_ok_and(|found| is_same(&found, status)) {
                return Ok((parent, name.to_owned()));
            }
        }
    }
    Err(Errno::ESTALE)
}

/// The id of a mount that is made for it and attached nowhere, so that all that are there have smaller
/// ones. `None` where ids are used again, or the kernel does not tell how mounts hang together.
fn fresh_id(path: &Path, status: &FileStatus) -> Option<u64> {
    query::parent_of(unique_id(status)?).ok()?;
    let mount = sys::clone_tree(path, Scope::TopMount, Follow::Yes).ok()?;
    unique_id(&sys::status(mount.as_fd(), Path::new(""), Follow::No).ok()?)
}

fn unique_id(status: &FileStatus) -> Option<u64> {
    status.mount_id.filter(|_| status.mount_id_is_unique)
}

/// What the kernel tells; `None` if it does not.
fn unless_short<T>(result: sys::Result<T>) -> sys::Result<Option<T>> {
    match result {
        Err(errno) if is_shortage(errno) => Err(errno),
        other => Ok(other.ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{OsStr, c_ulong};
    use std::fs;
    use std::sync::mpsc::channel;
    use std::thread;

    use test_utils::isolate;
    use test_utils::isolation::{Isolation, scratch, unshare};
    use test_utils::seccomp::{Rule, run_under};

    use super::*;

    /// Before Linux 5.8, neither ids nor roots of mounts are told with the status of a file.
    const KERNELS: [&[Rule]; 2] = [&[], &[Rule::fail(libc::SYS_statx, libc::ENOSYS)]];

    fn own_mounts() -> Isolation<'static> {
        let mounts = libc::CLONE_NEWNS;
        let isolation = Isolation::new().namespaces(mounts | libc::CLONE_NEWUSER);
        isolation.or_namespaces(mounts).tmpfs()
    }

    fn mount(source: &Path, target: &Path, flags: c_ulong) {
        let (none, fs_type) = (OsStr::new(""), OsStr::new("tmpfs"));
        sys::mount(source.as_os_str(), target, fs_type, flags, none).unwrap();
    }

    fn tmpfs_with(name: &str, target: &Path) {
        mount(Path::new("none"), target, 0);
        fs::write(target.join(name), "").unwrap();
    }

    fn dir(path: PathBuf) -> PathBuf {
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn names_in(fd: &OwnedFd) -> Vec<OsString> {
        let entries = fs::read_dir(fd_path(fd.as_fd()).unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    fn device_of(path: &Path) -> u64 {
        sys::status(CWD, path, Follow::Yes).unwrap().dev
    }

    /// In each kind of kernel, in an empty directory.
    fn on_kernels(test: impl Fn(PathBuf) + Sync) {
        for (index, rules) in KERNELS.into_iter().enumerate() {
            let root = dir(scratch().join(index.to_string()));
            run_under(rules, || test(root));
        }
    }

    /// As from a container: in a mount namespace where nothing is mounted there.
    fn elsewhere(action: impl FnOnce() + Send, meanwhile: impl FnOnce()) {
        let (tell, ready) = channel();
        let (go, goes) = channel();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                unshare(libc::CLONE_NEWNS).unwrap();
                tell.send(()).unwrap();
                goes.recv().unwrap();
                action();
            });
            ready.recv().unwrap();
            meanwhile();
            go.send(()).unwrap();
            thread.join().unwrap();
        });
    }

    #[test]
    fn mount_is_found_on_a_directory_a_file_and_a_mount() {
        isolate!(own_mounts());
        on_kernels(|root| {
            let (source, file) = (root.join("source"), root.join("file"));
            fs::write(&source, "").unwrap();
            fs::write(&file, "").unwrap();
            let mounted = dir(root.join("with blank"));
            tmpfs_with("below", &mounted);
            for (path, source) in [
                (dir(root.join("dir")), &root),
                (file, &source),
                (mounted, &root),
            ] {
                let target = Target::open(&path).unwrap().unwrap();
                assert_eq!(target.mounted(None).unwrap_err(), Errno::ESTALE);
                mount(source, target.path(), libc::MS_BIND);
                let expected = sys::status(CWD, source, Follow::Yes).unwrap();
                let fd = target.mounted(Some(expected)).unwrap();
                let found = sys::status(fd.as_fd(), Path::new(""), Follow::No).unwrap();
                assert_eq!((found.dev, found.ino), (expected.dev, expected.ino));
                target.detach().unwrap();
                assert_eq!(target.mounted(None).unwrap_err(), Errno::ESTALE);
            }
        });
    }

    #[test]
    fn mount_is_found_while_the_path_leads_to_another() {
        isolate!(own_mounts());
        on_kernels(|root| {
            let other = dir(root.join("other/t"));
            tmpfs_with("other", &other);
            let target = Target::open(&dir(root.join("a/t"))).unwrap().unwrap();
            mount(Path::new("ours"), target.path(), 0);
            fs::rename(root.join("a"), root.join("b")).unwrap();
            std::os::unix::fs::symlink("other", root.join("a")).unwrap();
            assert!(root.join("a/t/other").exists());
            fs::write(root.join("b/t/ours"), "").unwrap();
            let fd = target.mounted(None).unwrap();
            assert_eq!(names_in(&fd), ["ours"]);
        });
    }

    #[test]
    fn mount_is_found_below_one_that_hides_it() {
        isolate!(own_mounts());
        on_kernels(|root| {
            let path = dir(root.join("parent/directory/t"));
            let held = pin(&path, Follow::Yes).unwrap();
            tmpfs_with("cover", &root.join("parent"));
            let hidden = fd_path(held.as_fd()).unwrap();
            let target = Target::open(&hidden).unwrap().unwrap();
            mount(Path::new("ours"), target.path(), 0);
            let fd = target.mounted(None).unwrap();
            assert_ne!(device_of(&hidden), device_of(&fd_path(fd.as_fd()).unwrap()));
            assert!(root.join("parent/cover").exists());
        });
    }

    #[test]
    fn mount_that_gets_the_name_of_the_target_is_not_taken_for_the_new_one() {
        isolate!(own_mounts());
        on_kernels(|root| {
            for topmost in ["earlier", "later"] {
                other_gets_the_name(&root, topmost);
            }
        });
    }

    /// The other mount was there before, or has got another one on it since.
    fn other_gets_the_name(root: &Path, topmost: &str) {
        let root = dir(root.join(topmost));
        let (path, other) = (dir(root.join("t")), dir(root.join("other")));
        let swap = || {
            fs::rename(root.join("t"), root.join("away")).unwrap();
            fs::rename(root.join("other"), root.join("t")).unwrap();
        };
        let mut target = None;
        elsewhere(swap, || {
            // On the same mount as the new one will be.
            tmpfs_with("earlier", &other);
            let held = Target::open(&path).unwrap().unwrap();
            mount(Path::new("ours"), held.path(), 0);
            if topmost == "later" {
                tmpfs_with("later", &other);
            }
            target = Some(held);
        });
        let target = target.unwrap();
        assert!(path.join(topmost).exists());
        assert_ne!(device_of(&root), device_of(&root.join("away")));
        assert_eq!(target.mounted(None).unwrap_err(), Errno::ESTALE);
        target.detach().unwrap();
        assert!(path.join(topmost).exists());
        assert_eq!(device_of(&root), device_of(&root.join("away")));
    }

    #[test]
    fn root_directory_is_no_target() {
        isolate!(own_mounts());
        assert_eq!(Target::open(Path::new("/")).unwrap_err(), Errno::ESTALE);
    }
}
