//! `bind_mount_unchecked` and `bind_remount`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kata_sys_util::mount::{Error, bind_mount_unchecked, bind_remount};
use nix::errno::Errno;
use nix::mount::MsFlags;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

const SLAVE: MsFlags = MsFlags::MS_SLAVE;
const SHARED: MsFlags = MsFlags::MS_SHARED;
const RESTRICTED: libc::c_ulong =
    libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;

fn scratch() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

#[test]
fn read_only_bind_keeps_the_flags_of_its_source() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("src"), RESTRICTED);
        file(src.join("file"), "text");
        bind_mount_unchecked(&src, root.join("dst"), true, SLAVE).unwrap();
        let entry = entry_at(&root.join("dst"));
        assert_eq!(entry.flags, ["ro", "nosuid", "nodev", "noexec", "noatime"]);
        assert_eq!(fs::read(root.join("dst/file")).unwrap(), b"text");
        assert!(!can_write(&root.join("dst/file")));
        assert!(can_write(&src.join("file")), "the source changed");
    });
}

#[test]
fn nosymfollow_stays_too() {
    private_mounts!();
    if is_older_than((5, 10), "nosymfollow") {
        return;
    }
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("src"), 0x100);
        bind_mount_unchecked(&src, root.join("dst"), true, SLAVE).unwrap();
        assert_eq!(entry_at(&root.join("dst")).flags, ["ro", "nosymfollow"]);
    });
}

#[test]
fn writable_bind_is_writable_and_keeps_the_flags() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("src"), libc::MS_NODEV);
        bind_mount_unchecked(&src, root.join("a/b/dst"), false, SLAVE).unwrap();
        assert_eq!(entry_at(&root.join("a/b/dst")).flags, ["nodev"]);
        file(root.join("a/b/dst/new"), "");
        assert!(src.join("new").exists());
    });
}

#[test]
fn propagation_type_is_that_of_the_flag() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let private = tmpfs(root.join("private"), 0);
        let shared = tmpfs(root.join("shared"), 0);
        raw_mount("", &shared, "", libc::MS_SHARED, "");
        let none: [&str; 0] = [];
        for (src, flag, expected) in [
            (&private, SLAVE, &none[..]),
            (&private, SHARED, &["shared"]),
            (&shared, SLAVE, &["master"]),
            (&shared, SHARED, &["shared"]),
        ] {
            // Below a private and below a shared directory.
            for (place, read_only) in [(&private, true), (&shared, false)] {
                let dst = tempfile::tempdir_in(place).unwrap().keep();
                bind_mount_unchecked(src, &dst, read_only, flag).unwrap();
                let entry = entry_at(&dst);
                assert_eq!(entry.propagation, expected, "{} {flag:?}", dst.display());
                assert_eq!(entry.flags.contains(&"ro".to_owned()), read_only);
            }
        }
    });
}

#[test]
fn mount_below_a_shared_directory_appears_read_only_in_its_copy() {
    private_mounts!();
    on_kernels(|kernel| {
        let root = scratch();
        let shared = tmpfs(root.join("rw"), 0);
        raw_mount("", &shared, "", libc::MS_SHARED, "");
        bind_mount_unchecked(&shared, root.join("ro"), true, SLAVE).unwrap();
        let src = dir(root.join("src"));
        bind_mount_unchecked(&src, shared.join("volume"), true, SLAVE).unwrap();
        let copy = entry_at(&root.join("ro/volume"));
        if matches!(kernel, Kernel::Current) {
            assert_eq!(copy.flags, ["ro"], "attached with its flags");
        } else {
            // A remount does not propagate.
            assert!(copy.flags.is_empty());
        }
    });
}

#[test]
fn other_propagation_types_are_refused_before_anything_happens() {
    private_mounts!();
    let root = scratch();
    let src = dir(root.join("src"));
    for flag in [
        MsFlags::MS_PRIVATE,
        MsFlags::MS_UNBINDABLE,
        MsFlags::empty(),
        SLAVE | MsFlags::MS_REC,
        SLAVE | SHARED,
    ] {
        let result = bind_mount_unchecked(&src, root.join("dst"), true, flag);
        assert!(
            matches!(result, Err(Error::InvalidPgMountFlag)),
            "{flag:?}: {result:?}"
        );
        assert!(!root.join("dst").exists());
    }
    // The paths are looked at first.
    let result = bind_mount_unchecked(root.join("none"), root.join("dst"), true, MsFlags::empty());
    assert!(matches!(result, Err(Error::InvalidPath(path)) if path == root.join("none")));
}

#[test]
fn missing_paths_are_errors_and_create_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (src, dst) = (root.path().join("src"), root.path().join("dst"));
    let result = bind_mount_unchecked("", &dst, false, SLAVE);
    assert!(
        matches!(result, Err(Error::NullMountPointPath)),
        "{result:?}"
    );
    let result = bind_mount_unchecked(&src, "", false, SLAVE);
    assert!(
        matches!(result, Err(Error::NullMountPointPath)),
        "{result:?}"
    );
    let result = bind_mount_unchecked(&src, &dst, false, SLAVE);
    assert!(matches!(result, Err(Error::InvalidPath(path)) if path == src));
    assert!(!dst.exists());
}

#[test]
fn path_is_bound_onto_itself() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let path = file(root.join("dir/file"), "text");
        for path in [path.parent().unwrap(), &path] {
            bind_mount_unchecked(path, path, true, SLAVE).unwrap();
            assert_eq!(entry_at(path).flags, ["ro"]);
        }
        assert_eq!(fs::read(&path).unwrap(), b"text");
    });
}

#[test]
fn file_is_bound_to_a_file_that_is_created() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = link(file(root.join("file"), "text"), root.join("link"));
        bind_mount_unchecked(&src, root.join("new/dst"), true, SHARED).unwrap();
        assert_eq!(fs::read(root.join("new/dst")).unwrap(), b"text");
        assert!(!can_write(&root.join("new/dst")));
        // Through a link to a file, which is what is mounted on.
        let dst = link(file(root.join("real"), ""), root.join("to-real"));
        bind_mount_unchecked(&src, &dst, false, SLAVE).unwrap();
        assert!(is_listed(&root.join("real")));
    });
}

#[test]
fn mounts_below_the_source_do_not_appear() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = dir(root.join("src"));
        file(tmpfs(src.join("sub"), 0).join("hidden"), "");
        bind_mount_unchecked(&src, root.join("dst"), false, SLAVE).unwrap();
        assert!(root.join("dst/sub").exists());
        assert!(!root.join("dst/sub/hidden").exists());
    });
}

#[test]
fn wrong_type_of_target_is_an_error() {
    private_mounts!();
    let root = scratch();
    let (dir, file) = (dir(root.join("dir")), file(root.join("file"), ""));
    for (src, dst) in [(&dir, &file), (&file, &dir)] {
        let result = bind_mount_unchecked(src, dst, false, SLAVE);
        assert!(matches!(result, Err(Error::InvalidPath(path)) if path == *dst));
        assert!(!is_listed(dst));
    }
}

#[test]
fn refused_bind_names_canonical_source_and_target() {
    private_mounts!();
    let root = scratch();
    let src = dir(root.join("src"));
    let given = link(&src, root.join("link"));
    let rules = [
        Rule::fail(OPEN_TREE, libc::ENOSYS),
        Rule::fail(libc::SYS_mount, libc::EPERM),
    ];
    let result = run_under(&rules, || {
        bind_mount_unchecked(&given, root.join("dst"), true, SLAVE)
    });
    let Err(Error::BindMount(from, to, errno)) = result else {
        panic!("{result:?}");
    };
    assert_eq!((from, to, errno), (src, root.join("dst"), Errno::EPERM));
}

#[test]
fn refused_propagation_takes_the_mount_away() {
    private_mounts!();
    let no_slave =
        Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(3, u32::MAX, libc::MS_SLAVE as u32);
    let no_setattr = Rule::fail(MOUNT_SETATTR, libc::EPERM);
    for rules in [
        vec![no_setattr, no_slave],
        [Kernel::Old.rules(), vec![no_slave]].concat(),
        // Nothing below falls back: an errno of its own.
        vec![Rule::fail(MOUNT_SETATTR, libc::ENOMEM)],
    ] {
        let root = scratch();
        let (src, dst) = (dir(root.join("src")), root.join("dst"));
        let result = run_under(&rules, || bind_mount_unchecked(&src, &dst, false, SLAVE));
        let Err(Error::Mount(source, target, errno)) = result else {
            panic!("{result:?}");
        };
        assert_eq!((source.as_path(), target), (Path::new(""), dst.clone()));
        assert!(matches!(errno, Errno::EACCES | Errno::ENOMEM));
        assert!(!is_listed(&dst));
    }
}

#[test]
fn refused_read_only_takes_the_mount_away() {
    private_mounts!();
    let read_only = libc::MS_RDONLY as u32;
    let no_remount = Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(3, read_only, read_only);
    for rules in [
        vec![Rule::fail(MOUNT_SETATTR, libc::EINVAL), no_remount],
        [Kernel::Old.rules(), vec![no_remount]].concat(),
        vec![Rule::fail(MOUNT_SETATTR, libc::EACCES)],
    ] {
        let root = scratch();
        let (src, dst) = (dir(root.join("src")), root.join("dst"));
        let result = run_under(&rules, || bind_mount_unchecked(&src, &dst, true, SLAVE));
        let Err(Error::Remount(target, errno)) = result else {
            panic!("{result:?}");
        };
        assert_eq!((target, errno), (dst.clone(), Errno::EACCES));
        assert!(!is_listed(&dst));
    }
}

/// In the classic sequence, the mount is looked for by its name in the directory that it is in.
#[test]
fn mount_that_cannot_be_found_again_is_taken_away() {
    private_mounts!();
    // Not relative to the working directory, whose number is negative.
    let never_found = Rule::fail(libc::SYS_openat, libc::ENOENT).if_argument(0, 1 << 31, 0);
    for kernel in Kernel::ALL.into_iter().filter(|k| *k != Kernel::Current) {
        let rules = [kernel.rules(), vec![never_found]].concat();
        let root = scratch();
        let src = dir(root.join("src"));
        let on_file = (file(root.join("file"), ""), file(root.join("on file"), ""));
        let on_root = (src.clone(), tmpfs(root.join("on root"), 0));
        for (src, dst) in [(src, root.join("on dir")), on_file, on_root] {
            let before = all_entries();
            let result = run_under(&rules, || bind_mount_unchecked(&src, &dst, true, SLAVE));
            let Err(Error::Mount(source, target, errno)) = result else {
                panic!("{kernel:?}: {result:?}");
            };
            assert_eq!((source.as_path(), target), (Path::new(""), dst));
            assert_eq!(errno, Errno::ESTALE);
            assert_eq!(all_entries(), before, "{kernel:?}");
        }
    }
}

#[test]
fn mount_is_taken_away_without_proc_also_behind_a_link() {
    private_mounts!();
    let read_only = libc::MS_RDONLY as u32;
    let no_remount = Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(3, read_only, read_only);
    let rules = [Kernel::Old.rules(), vec![no_remount]].concat();
    let root = scratch();
    let (src, target) = (dir(root.join("src")), dir(root.join("target")));
    file(src.join("file"), "text");
    let link = link(&target, root.join("link"));
    raw_mount("none", Path::new("/proc"), "tmpfs", 0, "");
    for dst in [&target, &link] {
        let result = run_under(&rules, || bind_mount_unchecked(&src, dst, true, SLAVE));
        assert!(matches!(result, Err(Error::Remount(..))), "{result:?}");
        assert!(!target.join("file").exists(), "{}", dst.display());
    }
    // Where nothing fails, the mount is where the link leads.
    run_under(&Kernel::Old.rules(), || {
        bind_mount_unchecked(&src, &link, true, SLAVE).unwrap();
    });
    assert!(target.join("file").exists() && !can_write(&target.join("file")));
}

#[test]
fn bind_works_without_proc() {
    private_mounts!();
    let src = tmpfs(scratch().join("src"), libc::MS_NOSUID);
    let file = file(src.join("file"), "text");
    on_kernels(|kernel| {
        let (read_only, writable) = (scratch(), scratch());
        unshare_mounts();
        raw_mount("none", Path::new("/proc"), "tmpfs", 0, "");
        bind_mount_unchecked(&src, &read_only, true, SLAVE).unwrap();
        bind_mount_unchecked(&src, &writable, false, SLAVE).unwrap();
        assert!(!can_write(&read_only.join("file")));
        assert!(can_write(&writable.join("file")));
        // Also the way back.
        let no_slave = Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(
            3,
            u32::MAX,
            libc::MS_SLAVE as u32,
        );
        let rules = [
            kernel.rules(),
            vec![Rule::fail(MOUNT_SETATTR, libc::EPERM), no_slave],
        ]
        .concat();
        let dst = scratch();
        run_under(&rules, || {
            bind_mount_unchecked(&src, &dst, false, SLAVE).unwrap_err();
        });
        assert!(!dst.join("file").exists());
    });
    assert!(can_write(&file));
}

#[test]
fn remount_to_read_only_changes_nothing_else() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let mount = tmpfs(root.join("mount"), RESTRICTED);
        let below = tmpfs(mount.join("below"), 0);
        bind_remount(link(&mount, root.join("link")), true).unwrap();
        let flags = ["ro", "nosuid", "nodev", "noexec", "noatime"];
        assert_eq!(entry_at(&mount).flags, flags);
        assert!(entry_at(&below).flags.is_empty(), "remounted too");
    });
}

#[test]
fn only_the_topmost_mount_is_remounted() {
    private_mounts!();
    on_kernels(|_| {
        let mount = tmpfs(scratch(), 0);
        tmpfs(mount.clone(), 0);
        bind_remount(&mount, true).unwrap();
        let flags: Vec<_> = entries_at(&mount).into_iter().map(|e| e.flags).collect();
        assert_eq!(flags, [vec![], vec!["ro".to_owned()]]);
    });
}

#[test]
fn remount_to_writable_resets_all_flags() {
    private_mounts!();
    on_kernels(|_| {
        let mount = tmpfs(scratch(), RESTRICTED | libc::MS_RDONLY);
        bind_remount(&mount, false).unwrap();
        // The access time flags are kept by the kernel.
        assert_eq!(entry_at(&mount).flags, ["noatime"]);
    });
}

#[test]
fn locked_flags_stay_when_a_mount_becomes_writable() {
    private_mounts!();
    let mount = std::env::temp_dir().join("locked");
    locked_mounts!(drop(tmpfs(mount.clone(), RESTRICTED)));
    on_kernels(|_| {
        let reset = raw_remount(&mount, libc::MS_BIND | libc::MS_REMOUNT);
        assert_eq!(reset, Err(Errno::EPERM), "flags are not locked");
        let flags = ["nosuid", "nodev", "noexec", "noatime"];
        bind_remount(&mount, true).unwrap();
        assert_eq!(entry_at(&mount).flags, [&["ro"], &flags[..]].concat());
        bind_remount(&mount, false).unwrap();
        assert_eq!(entry_at(&mount).flags, flags);
    });
}

fn raw_remount(path: &Path, flags: libc::c_ulong) -> Result<(), Errno> {
    let flags = MsFlags::from_bits(flags).unwrap();
    nix::mount::mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
}

#[test]
fn locked_read_only_mount_does_not_become_writable() {
    private_mounts!();
    let mount = std::env::temp_dir().join("locked");
    locked_mounts!(drop(tmpfs(mount.clone(), libc::MS_RDONLY)));
    let result = bind_remount(&mount, false);
    assert!(matches!(result, Err(Error::Remount(path, Errno::EPERM)) if path == mount));
}

#[test]
fn remount_of_what_is_no_mount_is_an_error() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        for read_only in [true, false] {
            let result = bind_remount("", read_only);
            assert!(matches!(result, Err(Error::NullMountPointPath)));
            let result = bind_remount(root.join("x/../none"), read_only);
            assert!(
                matches!(result, Err(Error::InvalidPath(path)) if path == root.join("x/../none"))
            );
            let dir = dir(root.join("dir"));
            let result = bind_remount(root.join("./dir/."), read_only);
            assert!(matches!(result, Err(Error::Remount(path, Errno::EINVAL)) if path == dir));
        }
    });
}

#[test]
fn mount_with_a_writer_stays_writable() {
    private_mounts!();
    on_kernels(|_| {
        let mount = tmpfs(scratch(), 0);
        let writer = File::create(mount.join("file")).unwrap();
        let result = bind_remount(&mount, true);
        assert!(matches!(result, Err(Error::Remount(path, Errno::EBUSY)) if path == mount));
        drop(writer);
        bind_remount(&mount, true).unwrap();
    });
}
