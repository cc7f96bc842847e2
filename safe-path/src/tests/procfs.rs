//! procfs as a tree to resolve in (R9), and as a source of truth (W7).

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{BACKENDS, c_path, join, pin, resolve, skip, temporary};
use crate::procfs::{FdTable, Location};
use crate::{PathError, ScopedDirBuilder, ScopedRoot};

#[test]
fn magic_links_are_expanded_by_their_text() {
    for backend in BACKENDS {
        assert_eq!(
            resolve(backend, "/proc/self", "root/etc").unwrap(),
            Path::new("etc")
        );
        assert_eq!(
            resolve(backend, "/proc/self", "root").unwrap(),
            Path::new("")
        );
        let (reader, _writer) = std::io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let text = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
        let resolved = resolve(backend, "/proc/self", format!("fd/{number}/x")).unwrap();
        assert_eq!(
            resolved,
            Path::new("fd").join(&text).join("x"),
            "{backend:?}"
        );
        let error = pin(backend, "/proc/self", format!("fd/{number}")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{backend:?}");
        // Below `/`, the text of `cwd` leads to the current directory; nothing was jumped to.
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            join(backend, Path::new("/"), Path::new("proc/self/cwd")).unwrap(),
            here
        );
        assert_eq!(pin(backend, "/", "proc/self/cwd").unwrap().target(), here);
    }
}

#[test]
fn a_magic_link_without_target_is_no_link() {
    // Kernel threads have no program: reading `exe` is ENOENT although it exists.
    let Some(thread) = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let exe = path.join("exe");
            exe.symlink_metadata().is_ok()
                && fs::read_link(&exe)
                    .is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT))
        })
    else {
        return skip(
            "a_magic_link_without_target_is_no_link",
            "no readable kernel thread",
        );
    };
    for backend in BACKENDS {
        assert_eq!(resolve(backend, &thread, "exe").unwrap(), Path::new("exe"));
        assert_eq!(
            resolve(backend, &thread, "exe/x").unwrap(),
            Path::new("exe/x")
        );
        assert_eq!(
            resolve(backend, &thread, "exe/../fd").unwrap(),
            Path::new("fd")
        );
        let error = pin(backend, &thread, "exe").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{backend:?}");
    }
}

#[test]
fn a_pinned_directory_can_be_a_root() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    symlink("/d", root.join("link")).unwrap();
    for backend in BACKENDS {
        let pinned = pin(backend, &root, "/").unwrap();
        assert_eq!(
            join(backend, pinned.as_path(), Path::new("link/x")).unwrap(),
            root.join("d/x")
        );
        assert_eq!(
            pin(backend, pinned.as_path(), "link").unwrap().target(),
            root.join("d")
        );
    }
}

#[test]
fn a_thread_with_a_descriptor_table_of_its_own_is_served() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/file"), "content").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: only this thread gets a copy of the table.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES) }, 0);
            for backend in BACKENDS {
                let dir = pin(backend, &root, "m/../d").unwrap();
                assert_eq!(dir.target(), root.join("d"));
                let child = dir.open_child("file".as_ref()).unwrap();
                assert_eq!(child.target(), root.join("d/file"));
                let handle = ScopedRoot::with_backend(backend, &root).unwrap();
                let mut options = fs::OpenOptions::new();
                let file = handle.open_file("d/file", options.read(true)).unwrap();
                assert_eq!(std::io::read_to_string(file).unwrap(), "content");
                handle.mkdir_all("new/dir", 0o755).unwrap();
            }
        });
    });
}

#[test]
fn a_removed_object_is_told_from_one_with_such_a_name() {
    let (_tmp, root) = temporary();
    let table = FdTable::open().unwrap();
    let locate = |path: &Path| {
        let fd = crate::sys::openat(crate::sys::CWD, &c_path(path), crate::sys::Last::Follow);
        let fd = fd.unwrap();
        let before = table.locate(fd.as_fd()).unwrap();
        fs::remove_dir(path).unwrap();
        (before, table.locate(fd.as_fd()).unwrap())
    };
    let path = root.join("x (deleted)");
    fs::create_dir(&path).unwrap();
    let mut removed = path.clone().into_os_string();
    removed.push(" (deleted)");
    let expected = (
        Location::At(path.clone()),
        Location::Removed(PathBuf::from(removed)),
    );
    assert_eq!(locate(&path), expected);
}

#[test]
fn a_removed_file_with_another_link_is_not_what_stands_at_its_marked_path() {
    let (_tmp, root) = temporary();
    let file = root.join("f");
    fs::write(&file, "").unwrap();
    fs::hard_link(&file, root.join("other")).unwrap();
    let fd = crate::sys::openat(crate::sys::CWD, &c_path(&file), crate::sys::Last::Follow).unwrap();
    fs::remove_file(&file).unwrap();
    let marked = root.join("f (deleted)");
    let table = FdTable::open().unwrap();
    let locate = || table.locate(fd.as_fd()).unwrap();
    assert_eq!(locate(), Location::Removed(marked.clone()));
    symlink("/etc", &marked).unwrap();
    assert_eq!(locate(), Location::Removed(marked.clone()));
    fs::write(&file, "").unwrap();
    assert_eq!(locate(), Location::Removed(marked.clone()));
    fs::remove_file(&file).unwrap();
    symlink("other", &file).unwrap();
    assert_eq!(locate(), Location::Removed(marked));
}

#[test]
fn a_removed_object_whose_name_is_taken_stays_removed() {
    for backend in BACKENDS {
        let (_tmp, root) = temporary();
        fs::create_dir_all(root.join("d/child")).unwrap();
        let handle = ScopedRoot::with_backend(backend, &root.join("d")).unwrap();
        let dir = pin(backend, &root, "d").unwrap();
        fs::remove_dir_all(root.join("d")).unwrap();
        fs::create_dir_all(root.join("d/child")).unwrap();
        for error in [
            dir.mkdir("new".as_ref(), 0o755).unwrap_err(),
            handle.resolve("child").unwrap_err(),
            handle.mkdir_all("new", 0o755).unwrap_err(),
            ScopedRoot::with_backend(backend, dir.as_path()).unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{backend:?}");
        }
        let error = handle.resolve("/").unwrap_err();
        assert!(PathError::of(&error).is_some_and(PathError::is_interference));
    }
}

#[test]
fn a_mounted_object_whose_source_was_removed_is_where_it_is_mounted() {
    const NAME: &str = "a_mounted_object_whose_source_was_removed_is_where_it_is_mounted";
    with_private_mounts(NAME, || {
        let (_tmp, base) = temporary();
        let root = base.join("root");
        let (file, dir) = (root.join("etc/resolv.conf"), root.join("mnt"));
        for path in [&dir, &root.join("etc"), &base.join("dir")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(&file, "below").unwrap();
        let source = base.join("resolv.conf");
        fs::write(&source, "mounted").unwrap();
        assert!(mount(None, &file, libc::MS_BIND, source.to_str().unwrap()));
        let directory = base.join("dir");
        assert!(mount(
            None,
            &dir,
            libc::MS_BIND,
            directory.to_str().unwrap()
        ));
        fs::write(base.join("new"), "new").unwrap();
        fs::rename(base.join("new"), &source).unwrap();
        fs::remove_dir(&directory).unwrap();
        for backend in BACKENDS {
            let handle = ScopedRoot::with_backend(backend, &root).unwrap();
            let etc = pin(backend, &root, "etc").unwrap();
            let pins = [
                pin(backend, &root, "etc/resolv.conf").unwrap(),
                pin(backend, &root, "etc/../etc/resolv.conf").unwrap(),
                handle.resolve("x/../etc/resolv.conf").unwrap(),
                etc.open_child("resolv.conf".as_ref()).unwrap(),
            ];
            for pin in &pins {
                assert_eq!(pin.target(), file, "{backend:?}");
                assert_eq!(fs::read_to_string(pin).unwrap(), "mounted");
            }
            let mut options = fs::OpenOptions::new();
            let opened = handle.open_file("etc/resolv.conf", options.read(true));
            assert_eq!(
                std::io::read_to_string(opened.unwrap()).unwrap(),
                "mounted",
                "{backend:?}"
            );
            assert_eq!(handle.resolve("mnt").unwrap().target(), dir);
            assert_eq!(handle.mkdir_all("mnt", 0o755).unwrap().target(), dir);
            let error = handle.mkdir_all("mnt/new", 0o755).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{backend:?}");
        }
        // Out of its place, it is nowhere, whatever stands there then.
        let table = FdTable::open().unwrap();
        let pin = pin(BACKENDS[0], &root, "etc/resolv.conf").unwrap();
        assert_eq!(
            table.locate(pin.as_fd()).unwrap(),
            Location::At(file.clone())
        );
        for at in [&file, &dir] {
            // SAFETY: the path is NUL-terminated and outlives the call.
            let result = unsafe { libc::umount2(c_path(at).as_ptr(), libc::MNT_DETACH) };
            assert_eq!(result, 0);
        }
        assert!(matches!(
            table.locate(pin.as_fd()).unwrap(),
            Location::Removed(_)
        ));
    });
}

/// Runs `test` in a thread with a mount namespace of its own, if that is allowed.
pub(super) fn with_private_mounts(name: &str, test: impl FnOnce() + Send) {
    test_utils::skip_if_no_cap!(CAP_SYS_ADMIN);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: only this thread changes its namespace.
            let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) } == 0;
            if unshared && mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "") {
                test();
            } else {
                skip(name, "no mount namespace allowed");
            }
        });
    });
}

pub(super) fn mount(
    filesystem: Option<&std::ffi::CStr>,
    at: &Path,
    flags: libc::c_ulong,
    source: &str,
) -> bool {
    mount_with(filesystem, at, flags, source, "")
}

/// As [`mount`], with options for the filesystem.
pub(super) fn mount_with(
    filesystem: Option<&std::ffi::CStr>,
    at: &Path,
    flags: libc::c_ulong,
    source: &str,
    options: &str,
) -> bool {
    let at = c_path(at);
    let source = c_path(Path::new(source));
    let options = c_path(Path::new(options));
    let filesystem = filesystem.map_or(std::ptr::null(), std::ffi::CStr::as_ptr);
    // SAFETY: all strings are NUL-terminated or null, the options included.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            at.as_ptr(),
            filesystem,
            flags,
            options.as_ptr().cast(),
        )
    };
    result == 0
}

#[test]
fn without_procfs_strings_still_resolve_and_pins_that_need_it_fail() {
    with_private_mounts(
        "without_procfs_strings_still_resolve_and_pins_that_need_it_fail",
        || {
            let (_tmp, root) = temporary();
            super::table::build(&root);
            symlink(&root, root.join("d/root-link")).unwrap();
            // Whatever is mounted there is no procfs (D14), and has a name that could be mistaken.
            assert!(mount(Some(c"tmpfs"), Path::new("/proc"), 0, "tmpfs"));
            for fake in [false, true] {
                if fake {
                    fs::create_dir_all("/proc/thread-self/fd").unwrap();
                    for number in 0..64 {
                        symlink("/etc", format!("/proc/thread-self/fd/{number}")).unwrap();
                    }
                }
                for backend in BACKENDS {
                    for (rule, path, resolved, _) in super::table::CASES {
                        let result = resolve(backend, root.join("d/root-link"), path).unwrap();
                        assert_eq!(result.as_os_str(), *resolved, "{rule}: {path:?}");
                    }
                    let handle = ScopedRoot::with_backend(backend, &root).unwrap();
                    let builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
                    for error in [
                        handle.resolve("d").unwrap_err(),
                        builder.create("new").unwrap_err(),
                    ] {
                        assert_eq!(PathError::of(&error), Some(&PathError::NoProcfs));
                    }
                    assert!(!root.join("new").exists());
                }
            }
        },
    );
}

#[test]
fn mount_points_are_crossed_and_nosymfollow_does_not_matter() {
    with_private_mounts(
        "mount_points_are_crossed_and_nosymfollow_does_not_matter",
        || {
            const MS_NOSYMFOLLOW: libc::c_ulong = 256; // Linux 5.10
            let (_tmp, root) = temporary();
            let at = root.join("mnt");
            fs::create_dir(&at).unwrap();
            assert!(mount(Some(c"tmpfs"), &at, MS_NOSYMFOLLOW, "tmpfs"));
            fs::create_dir(at.join("d")).unwrap();
            symlink("/mnt/d", at.join("link")).unwrap();
            assert!(
                fs::metadata(at.join("link")).is_err(),
                "nosymfollow is in force"
            );
            for backend in BACKENDS {
                for path in ["mnt/link/x", "mnt/link/../link/x", "x/../mnt/./d/../link/x"] {
                    assert_eq!(resolve(backend, &root, path).unwrap(), Path::new("mnt/d/x"));
                }
                for path in ["mnt/link", "mnt/d/../link"] {
                    assert_eq!(pin(backend, &root, path).unwrap().target(), at.join("d"));
                }
                let mut builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
                let name = format!("mnt/link/{backend:?}");
                let new = builder.recursive(true).create(&name).unwrap();
                assert_eq!(new.target(), at.join(format!("d/{backend:?}")));
            }
        },
    );
}
