//! `umount_timeout` and `umount_all`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kata_sys_util::mount::{Error, umount_all, umount_timeout};
use nix::mount::MsFlags;
use test_utils::isolation::change_root;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

const LONG: u64 = 60_000;

fn scratch() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

#[track_caller]
fn assert_refused(result: Result<(), Error>, path: &Path, errno: libc::c_int) {
    match result {
        Err(Error::Umount(p, e)) => {
            assert_eq!((p.as_path(), e.raw_os_error()), (path, Some(errno)));
        }
        other => panic!("{other:?}"),
    }
}

/// Lazy unmounting fails.
fn no_lazy_unmount() -> Rule {
    let detach = libc::MNT_DETACH as u32;
    Rule::fail(libc::SYS_umount2, libc::EACCES).if_argument(1, detach, detach)
}

#[test]
fn mount_is_unmounted_at_once() {
    private_mounts!();
    on_kernels(|_| {
        for timeout in [0, LONG, u64::MAX] {
            let mount = tmpfs(scratch(), 0);
            umount_timeout(&mount, timeout).unwrap();
            assert!(!is_listed(&mount));
        }
        for lazy in [true, false] {
            let mount = tmpfs(scratch(), 0);
            umount_all(&mount, lazy).unwrap();
            assert!(!is_listed(&mount));
        }
    });
}

#[test]
fn one_call_takes_one_mount_or_all() {
    private_mounts!();
    let mount = scratch();
    let stack = || {
        for i in 0..3 {
            tmpfs(mount.clone(), 0);
            file(mount.join(i.to_string()), "");
        }
    };
    stack();
    umount_timeout(&mount, 0).unwrap();
    assert!(mount.join("1").exists(), "the newest mount went first");
    assert_eq!(entries_at(&mount).len(), 2);
    umount_timeout(&mount, LONG).unwrap();
    assert!(mount.join("0").exists());
    umount_all(&mount, false).unwrap();
    assert_eq!(entries_at(&mount).len(), 0);
    stack();
    umount_all(&mount, true).unwrap();
    assert_eq!(entries_at(&mount).len(), 0);
}

#[test]
fn path_may_be_written_in_many_ways() {
    private_mounts!();
    let root = scratch();
    let mount = dir(root.join("a b/mnt"));
    link(&root, root.join("grandparent"));
    std::env::set_current_dir(mount.parent().unwrap()).unwrap();
    let not_utf8 = root.join(OsString::from_vec(b"\xff\xfe".to_vec()));
    for path in [
        mount.clone(),
        PathBuf::from("mnt"),
        PathBuf::from("./mnt/."),
        PathBuf::from("mnt///"),
        PathBuf::from("../a b/mnt"),
        root.join("grandparent/a b/mnt"),
        root.join("grandparent/a b/../a b/mnt"),
        not_utf8,
    ] {
        tmpfs(path.clone(), 0);
        umount_timeout(&path, 0).unwrap();
        assert!(!is_listed(&mount), "{}", path.display());
        tmpfs(path.clone(), 0);
        umount_all(&path, false).unwrap();
        assert!(!is_listed(&mount), "{}", path.display());
    }
    // Paths that end in no name: here, the parent of the mount's directory.
    for path in [mount.join("x/.."), mount.join("x/../.")] {
        tmpfs(mount.clone(), 0);
        dir(mount.join("x"));
        umount_timeout(&path, 0).unwrap();
        assert!(!is_listed(&mount), "{}", path.display());
    }
}

#[test]
fn what_is_no_mount_point_is_an_error_only_without_timeout() {
    private_mounts!();
    on_kernels(|_| {
        let dir = scratch();
        assert_refused(umount_timeout(&dir, 0), &dir, libc::EINVAL);
        umount_timeout(&dir, LONG).unwrap();
        umount_all(&dir, false).unwrap();
        umount_all(&dir, true).unwrap();
    });
}

#[test]
fn missing_path_is_an_error_but_not_for_umount_all() {
    let root = tempfile::tempdir().unwrap();
    let file = file(root.path().join("file"), "");
    for path in [
        root.path().join("none"),
        root.path().join("none/x"),
        root.path().join("none/.."),
        file.join("x"),
    ] {
        for timeout in [0, LONG] {
            let result = umount_timeout(&path, timeout);
            let Err(Error::ReadMetadata(named, error)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(named, path);
            let kinds = [ErrorKind::NotFound, ErrorKind::NotADirectory];
            assert!(kinds.contains(&error.kind()));
        }
        for lazy in [true, false] {
            umount_all(&path, lazy).unwrap();
        }
    }
}

#[test]
fn unreadable_parent_is_named() {
    private_mounts!();
    let mount = tmpfs(scratch(), 0);
    // The parent cannot be opened, though the path can be looked at.
    let rules = [Rule::fail(libc::SYS_openat, libc::EMFILE)];
    let result = run_under(&rules, || umount_timeout(&mount, 0));
    let parent = mount.parent().unwrap();
    assert!(
        matches!(&result, Err(Error::ReadMetadata(p, e)) if p == parent && e.raw_os_error() == Some(libc::EMFILE)),
        "{result:?}"
    );
    let result = run_under(&rules, || umount_all(&mount, true));
    assert_refused(result, &mount, libc::EMFILE);
}

#[test]
fn empty_path_and_root_are_never_unmounted() {
    private_mounts!();
    // Unmounting the root of a process makes it read-only.
    let root = tmpfs(scratch(), 0);
    dir(root.join("a"));
    link("/", root.join("link"));
    let proc = dir(root.join("proc"));
    raw_mount("/proc", &proc, "", libc::MS_BIND | libc::MS_REC, "");
    change_root(&root).unwrap();
    on_kernels(|kernel| {
        for path in [
            "/", "//", "/.", "/..", "/a/..", "/none/..", ".", "..", "a/..", "./", "a/../.",
        ] {
            for result in [
                umount_timeout(path, 0),
                umount_timeout(path, LONG),
                umount_all(path, false),
                umount_all(path, true),
            ] {
                assert!(
                    matches!(&result, Err(Error::InvalidPath(p)) if p == Path::new(path)),
                    "{path}: {result:?}"
                );
            }
        }
        assert!(matches!(umount_timeout("", 0), Err(Error::InvalidPath(p)) if p == Path::new("")));
        umount_all("", false).unwrap();
        for path in [
            "/link",
            "/link/",
            "link",
            "/proc/self/root",
            "/proc/self/cwd/",
        ] {
            umount_timeout(path, 0).unwrap();
            umount_all(path, false).unwrap();
        }
        let name = format!("/writable on {kernel:?}");
        fs::write(name, "").unwrap();
    });
}

#[test]
fn bind_mount_of_the_root_is_not_the_root() {
    private_mounts!();
    if is_older_than((5, 8), "mount ids in statx") {
        return;
    }
    let mount = scratch();
    for unmount in [
        |p: &Path| umount_timeout(p, 0),
        |p: &Path| umount_all(p, false),
    ] {
        raw_mount("/", &mount, "", libc::MS_BIND | libc::MS_REC, "");
        // Where the kernel does not tell, nothing is risked.
        let result = run_under(&Kernel::Old.rules(), || unmount(&mount));
        assert!(matches!(result, Err(Error::InvalidPath(p)) if p == mount));
        raw_umount(&mount, libc::MNT_DETACH).unwrap();
        raw_mount("/proc", &mount, "", libc::MS_BIND | libc::MS_REC, "");
        raw_mount("/", &mount, "", libc::MS_BIND | libc::MS_REC, "");
        umount_timeout(&mount, 0).unwrap();
        assert_eq!(entries_at(&mount).len(), 1);
        raw_umount(&mount, libc::MNT_DETACH).unwrap();
    }
}

#[test]
fn link_is_not_followed() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let mount = tmpfs(root.join("mount"), 0);
        let below = tmpfs(mount.join("below"), 0);
        link(&mount, root.join("link"));
        for path in ["link", "link/", "link//", "link/.", "./link/./"] {
            let path = root.join(path);
            for timeout in [0, LONG] {
                umount_timeout(&path, timeout).unwrap();
            }
            for lazy in [true, false] {
                umount_all(&path, lazy).unwrap();
            }
        }
        // Nor at the parent.
        for path in ["link/below", "link/below/"] {
            umount_timeout(root.join(path), 0).unwrap();
            umount_timeout(root.join(path), LONG).unwrap();
        }
        assert!(is_listed(&mount) && is_listed(&below));
        // For umount_all only the end counts.
        umount_all(root.join("link/below"), false).unwrap();
        assert!(is_listed(&mount) && !is_listed(&below));
    });
}

#[test]
fn busy_mount_is_waited_for() {
    private_mounts!();
    let mount = tmpfs(scratch(), 0);
    let busy = File::create(mount.join("file")).unwrap();
    let waiter = thread_id();
    let rules = [no_lazy_unmount()];
    thread::scope(|scope| {
        let (tid, started) = (std::sync::mpsc::channel(), waiter);
        let (send, receive) = tid;
        scope.spawn(move || {
            let tid = receive.recv().unwrap();
            assert_ne!(tid, started);
            // Asleep: the first try has failed.
            while thread_state(tid) != 'S' {
                thread::yield_now();
            }
            drop(busy);
        });
        run_under(&rules, || {
            send.send(thread_id()).unwrap();
            umount_timeout(&mount, LONG).unwrap();
        });
    });
    assert!(!is_listed(&mount));
}

/// Threads that use a mount at the same time.
const USERS: usize = 4;

/// A file below a directory that only the mount has.
fn create(mount: &Path, user: usize, round: usize) -> std::io::Result<File> {
    let mut file = File::create(mount.join(format!("d/{user}-{}", round % 8)))?;
    file.write_all(b"text")?;
    Ok(file)
}

#[test]
fn mount_under_load_is_waited_for_until_its_last_user_is_done() {
    private_mounts!();
    for kernel in [Kernel::Current, Kernel::Old] {
        let mount = tmpfs(scratch(), 0);
        dir(mount.join("d"));
        let (started, done) = (Barrier::new(USERS + 1), AtomicUsize::new(0));
        thread::scope(|scope| {
            for user in 0..USERS {
                let (mount, started, done) = (&mount, &started, &done);
                scope.spawn(move || {
                    // The next one is open before this one is closed.
                    let mut open = create(mount, user, 0).unwrap();
                    started.wait();
                    for round in 1..500 {
                        open = create(mount, user, round).unwrap();
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    drop(open);
                });
            }
            started.wait();
            let mut rules = kernel.rules();
            rules.push(no_lazy_unmount());
            run_under(&rules, || umount_timeout(&mount, LONG).unwrap());
            assert_eq!(done.load(Ordering::SeqCst), USERS);
        });
        assert!(!is_listed(&mount) && !mount.join("d").exists());
    }
}

#[test]
fn mount_under_endless_load_is_detached_and_open_files_stay() {
    private_mounts!();
    for timeout in [0, 1, 50] {
        let mount = tmpfs(scratch(), 0);
        dir(mount.join("d"));
        let (started, stop) = (Barrier::new(USERS + 1), AtomicBool::new(false));
        thread::scope(|scope| {
            for user in 0..USERS {
                let (mount, started, stop) = (&mount, &started, &stop);
                scope.spawn(move || {
                    let mut open = create(mount, user, 0).unwrap();
                    started.wait();
                    while !stop.load(Ordering::Relaxed) {
                        match create(mount, user, 1) {
                            Ok(next) => open = next,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::NotFound);
                                break;
                            }
                        }
                    }
                    open.write_all(b"still there").unwrap();
                });
            }
            started.wait();
            let result = umount_timeout(&mount, timeout);
            // Those who found it gone have stopped by themselves.
            stop.store(result.is_err(), Ordering::Relaxed);
            result.unwrap();
        });
        assert!(!is_listed(&mount));
    }
}

#[test]
fn mount_that_stays_busy_is_detached_after_the_deadline() {
    private_mounts!();
    for timeout in [0, 1, 30] {
        let mount = tmpfs(scratch(), 0);
        let mut busy = File::create(mount.join("file")).unwrap();
        let start = Instant::now();
        umount_timeout(&mount, timeout).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(timeout));
        assert!(!is_listed(&mount));
        busy.write_all(b"still there").unwrap();
    }
}

#[test]
fn busy_mount_is_an_error_for_umount_all_unless_lazy() {
    private_mounts!();
    let mount = tmpfs(scratch(), 0);
    let _busy = File::create(mount.join("file")).unwrap();
    assert_refused(umount_all(&mount, false), &mount, libc::EBUSY);
    assert!(is_listed(&mount));
    umount_all(&mount, true).unwrap();
    assert!(!is_listed(&mount));
}

#[test]
fn refusal_is_an_error() {
    private_mounts!();
    let mount = tmpfs(scratch(), 0);
    run_under(&[Rule::fail(libc::SYS_umount2, libc::EPERM)], || {
        for result in [
            umount_timeout(&mount, 0),
            umount_timeout(&mount, LONG),
            umount_all(&mount, false),
        ] {
            assert_refused(result, &mount, libc::EPERM);
        }
    });
}

#[test]
fn stack_without_end_is_given_up() {
    private_mounts!();
    // The kernel says yes for ever.
    let mount = tmpfs(scratch(), 0);
    let always = [Rule::fail(libc::SYS_umount2, 0)];
    let result = run_under(&always, || umount_all(&mount, true));
    assert_refused(result, &mount, libc::EBUSY);
}

#[test]
fn unmounts_without_proc() {
    private_mounts!();
    on_kernels(|_| {
        unshare_mounts();
        let root = scratch();
        let (one, two) = (tmpfs(root.join("one"), 0), tmpfs(root.join("two"), 0));
        let (one, two) = (file(one.join("file"), ""), file(two.join("file"), ""));
        link("one", root.join("link"));
        raw_mount("none", Path::new("/proc"), "tmpfs", 0, "");
        umount_timeout(root.join("link/"), 0).unwrap();
        assert!(one.exists());
        umount_timeout(root.join("one"), LONG).unwrap();
        umount_all(root.join("two"), false).unwrap();
        assert!(!one.exists() && !two.exists());
        // Nor can the directory be entered.
        tmpfs(root.join("one"), 0);
        run_under(&[Rule::fail(libc::SYS_unshare, libc::EPERM)], || {
            umount_timeout(root.join("one"), 0).unwrap();
        });
        umount_timeout(root.join("one"), 0).unwrap_err();
    });
}

#[test]
fn mount_of_a_dead_server_is_unmounted() {
    private_mounts!();
    let Ok(mut fuse) = File::options().read(true).write(true).open("/dev/fuse") else {
        println!(
            "INFO: skipping umount::mount_of_a_dead_server_is_unmounted which needs /dev/fuse"
        );
        return;
    };
    let mount = scratch();
    for kernel in [Kernel::Current, Kernel::Old] {
        for unmount in [
            |p: &Path| umount_all(p, false),
            |p: &Path| umount_timeout(p, 0),
            |p: &Path| umount_timeout(p, LONG),
        ] {
            let options = format!(
                "fd={},rootmode=40000,user_id=0,group_id=0",
                fuse.as_raw_fd()
            );
            raw_mount("server", &mount, "fuse", 0, &options);
            let mut request = [0; 8192];
            let _ = fuse.read(&mut request).unwrap(); // FUSE_INIT, never answered.
            fuse = File::options()
                .read(true)
                .write(true)
                .open("/dev/fuse")
                .unwrap();
            let error = fs::read_dir(&mount).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
            run_under(&kernel.rules(), || unmount(&mount).unwrap());
            assert!(!is_listed(&mount));
        }
    }
}

#[test]
fn unmounting_a_name_that_comes_and_goes_never_fails_otherwise() {
    private_mounts!();
    let mount = scratch();
    let results = thread::scope(|scope| {
        let mounting = scope.spawn(|| {
            for _ in 0..300 {
                // Fails when what it lands on is being unmounted.
                let (tmpfs, none) = (Some("tmpfs"), None::<&str>);
                let _ = nix::mount::mount(tmpfs, &mount, tmpfs, MsFlags::empty(), none);
            }
        });
        let mut results = Vec::new();
        while !mounting.is_finished() {
            results.push(umount_timeout(&mount, LONG));
            results.push(umount_all(&mount, true));
        }
        results
    });
    assert!(!results.is_empty());
    for result in results {
        result.unwrap();
    }
}
