//! `Mounter` for `kata_types::mount::Mount`.

use std::fs;
use std::path::{Path, PathBuf};

use kata_sys_util::mount::{Error, Mounter};
use kata_types::mount::Mount;
use nix::errno::Errno;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

fn scratch() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

fn mount(source: &str, fs_type: &str, options: &[&str]) -> Mount {
    Mount {
        source: source.to_owned(),
        fs_type: fs_type.to_owned(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        // What is not used.
        destination: PathBuf::from("/nowhere"),
        read_only: true,
        device_id: Some("device".to_owned()),
        host_shared_fs_path: Some(PathBuf::from("/nowhere")),
    }
}

/// The target could not be made read-only, and nothing is left on it.
#[track_caller]
fn assert_refused_to_remount(result: &Result<(), Error>, target: &Path, errno: Errno) {
    assert!(
        matches!(result, Err(Error::Remount(p, e)) if p == target && *e == errno),
        "{result:?}"
    );
    assert!(!is_listed(target));
}

fn bind(source: &Path, options: &[&str]) -> Mount {
    mount(source.to_str().unwrap(), "bind", options)
}

const RESTRICTED: libc::c_ulong =
    libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_NOATIME;

#[test]
fn file_system_is_mounted_with_flags_and_data() {
    private_mounts!();
    on_kernels(|_| {
        let target = scratch();
        let options = [
            "noexec", "nodev", "rw", "size=64k", "", "nofail", "mode=700", "ro",
        ];
        mount("a name", "tmpfs", &options).mount(&target).unwrap();
        let entry = entry_at(&target);
        assert_eq!(entry.flags, ["ro", "nodev", "noexec"]);
        assert_eq!(
            (entry.fs_type.as_str(), entry.source.as_str()),
            ("tmpfs", "a\\040name")
        );
        assert!(entry.options.contains(&"size=64k".to_owned()));
        assert!(entry.options.contains(&"mode=700".to_owned()));
    });
}

#[test]
fn target_may_be_a_link_or_relative() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let target = dir(root.join("target"));
        let link = link(&target, root.join("link"));
        let tmpfs = mount("tmpfs", "tmpfs", &["shared"]);
        tmpfs.mount(&link).unwrap();
        assert_eq!(entry_at(&target).propagation, ["shared"]);
    });
    let target = dir(scratch().join("here"));
    std::env::set_current_dir(target.parent().unwrap()).unwrap();
    mount("tmpfs", "tmpfs", &[]).mount("here").unwrap();
    assert!(is_listed(&target));
}

#[test]
fn refused_mount_names_source_target_and_reason() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let (dir, none) = (dir(root.join("dir")), root.join("none"));
        let cases = [
            (mount("src", "no-such-fs", &[]), &dir, Errno::ENODEV),
            (
                mount("src", "no-such-fs", &["private"]),
                &dir,
                Errno::ENODEV,
            ),
            (mount("src", "tmpfs", &[]), &none, Errno::ENOENT),
            (mount("src", "tmpfs", &["shared"]), &none, Errno::ENOENT),
            (
                mount("src", "tmpfs", &["no-such-option"]),
                &dir,
                Errno::EINVAL,
            ),
            (bind(&none, &["bind"]), &dir, Errno::ENOENT),
            (bind(&none, &["rbind", "ro", "slave"]), &dir, Errno::ENOENT),
            (bind(&dir, &["bind", "ro"]), &none, Errno::ENOENT),
            (mount("", "bind", &["bind"]), &dir, Errno::EINVAL),
            (mount("a\0b", "tmpfs", &[]), &dir, Errno::EINVAL),
        ];
        for (mount, target, errno) in cases {
            let result = mount.mount(target);
            let Err(Error::Mount(source, to, reason)) = result else {
                panic!("{mount:?}: {result:?}");
            };
            assert_eq!((source.as_path(), &to), (Path::new(&mount.source), target));
            assert_eq!(reason, errno, "{mount:?}");
            assert!(!is_listed(target));
        }
        let result = mount("src", "tmpfs", &[]).mount("");
        assert!(matches!(result, Err(Error::Mount(_, p, Errno::ENOENT)) if p == Path::new("")));
    });
}

#[test]
fn options_that_cannot_be_are_errors() {
    let target = tempfile::tempdir().unwrap();
    let result = mount("/image", "ext4", &["loop", "ro"]).mount(target.path());
    assert!(matches!(result, Err(Error::InvalidMountOption(o)) if o == "loop"));
    // With these, data go to the kernel in one page only.
    let big = "x".repeat(70_000);
    for kind in ["bind", "remount"] {
        let result = mount("/image", "bind", &[kind, &big]).mount(target.path());
        assert!(
            matches!(result, Err(Error::MountOptionTooBig)),
            "{result:?}"
        );
    }
}

#[test]
fn propagation_type_is_set_on_the_new_mount() {
    private_mounts!();
    on_kernels(|_| {
        let root = tmpfs(scratch(), 0);
        let src = tmpfs(root.join("src"), 0);
        raw_mount("", &src, "", libc::MS_SHARED, "");
        for (option, expected) in [
            ("shared", &["shared"][..]),
            ("private", &[]),
            ("slave", &["master"]),
            ("unbindable", &["unbindable"]),
        ] {
            let target = dir(root.join(option));
            bind(&src, &["bind", option]).mount(&target).unwrap();
            assert_eq!(entry_at(&target).propagation, expected, "{option}");
        }
        let target = dir(root.join("tmpfs"));
        mount("t", "tmpfs", &["private", "rshared", "silent"])
            .mount(&target)
            .unwrap();
        assert_eq!(entry_at(&target).propagation, ["shared"]);
    });
}

#[test]
fn new_mount_with_a_propagation_type_is_not_searched_in_the_table() {
    private_mounts!();
    if is_older_than((6, 8), "ids of mounts that are not used again") {
        return;
    }
    let target = scratch();
    // Files can be held, but not opened.
    let no_table =
        [Rule::fail(libc::SYS_openat, libc::EMFILE).if_argument(2, libc::O_PATH as u32, 0)];
    for number in 1..=2 {
        run_under(&no_table, || {
            assert!(fs::read("/proc/self/mountinfo").is_err());
            mount("tmpfs", "tmpfs", &["shared"]).mount(&target).unwrap();
        });
        assert_eq!(entries_at(&target).len(), number);
        assert_eq!(entry_at(&target).propagation, ["shared"]);
    }
}

#[test]
fn recursive_bind_takes_everything_along_and_changes_its_propagation() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("src"), 0);
        let below = tmpfs(src.join("below"), 0);
        raw_mount("", &below, "", libc::MS_SHARED, "");
        let target = dir(root.join("target"));
        bind(&src, &["rbind", "private", "ro"])
            .mount(&target)
            .unwrap();
        assert_eq!(entry_at(&target).flags, ["ro"]);
        let copy = entry_at(&target.join("below"));
        assert!(copy.propagation.is_empty(), "not recursive");
        assert!(copy.flags.is_empty(), "only the top is read-only");
        // Not recursive: nothing comes along.
        let target = dir(root.join("alone"));
        bind(&src, &["bind", "private"]).mount(&target).unwrap();
        assert!(!is_listed(&target.join("below")));
        // Recursive, and only the top is private.
        let target = dir(root.join("as-it-is"));
        bind(&src, &["rbind"]).mount(&target).unwrap();
        assert_eq!(entry_at(&target.join("below")).propagation, ["shared"]);
    });
}

#[test]
fn read_only_bind_keeps_flags_unless_told_otherwise() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("restricted"), RESTRICTED);
        let plain = tmpfs(root.join("plain"), 0);
        let nodiratime = tmpfs(root.join("nodiratime"), libc::MS_NODIRATIME);
        let cases: [(&Path, &[&str], &[&str]); 10] = [
            (
                &src,
                &["nodiratime"],
                &["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"],
            ),
            (&nodiratime, &["noatime"], &["ro", "noatime", "nodiratime"]),
            (&src, &[], &["ro", "nosuid", "nodev", "noexec", "noatime"]),
            (&src, &["suid"], &["ro", "nodev", "noexec", "noatime"]),
            (&src, &["dev", "exec"], &["ro", "nosuid", "noatime"]),
            (
                &src,
                &["exec", "noexec"],
                &["ro", "nosuid", "nodev", "noexec", "noatime"],
            ),
            (&src, &["relatime"], &["ro", "nosuid", "nodev", "noexec"]),
            (&plain, &[], &["ro"]),
            (
                &plain,
                &["nosuid", "nodev", "noexec"],
                &["ro", "nosuid", "nodev", "noexec"],
            ),
            (
                &plain,
                &["noatime", "nodiratime"],
                &["ro", "noatime", "nodiratime"],
            ),
        ];
        for (i, (src, options, expected)) in cases.into_iter().enumerate() {
            let target = dir(root.join(i.to_string()));
            bind(src, &[&["bind", "ro"], options].concat())
                .mount(&target)
                .unwrap();
            assert_eq!(entry_at(&target).flags, expected, "{options:?}");
        }
    });
}

#[test]
fn writable_bind_takes_no_flags() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let src = tmpfs(root.join("src"), libc::MS_NODEV);
        let target = dir(root.join("target"));
        bind(&src, &["bind", "nosuid", "dev", "rw", "size=1m"])
            .mount(&target)
            .unwrap();
        assert_eq!(entry_at(&target).flags, ["nodev"]);
    });
}

#[test]
fn remount_changes_what_it_is_told() {
    private_mounts!();
    on_kernels(|_| {
        let target = tmpfs(scratch(), libc::MS_NODEV | libc::MS_NOEXEC);
        let remount = |options: &[&str]| {
            mount("tmpfs", "tmpfs", &[&["remount"], options].concat())
                .mount(&target)
                .unwrap();
            entry_at(&target)
        };
        // The file system, with all flags of the mount.
        assert!(remount(&["ro"]).options.contains(&"ro".to_owned()));
        assert!(remount(&["rw"]).options.contains(&"rw".to_owned()));
        assert!(
            remount(&["size=8k"])
                .options
                .contains(&"size=8k".to_owned())
        );
        // The mount alone.
        raw_mount(
            "",
            &target,
            "",
            libc::MS_REMOUNT | libc::MS_BIND | libc::MS_NODEV,
            "",
        );
        assert_eq!(remount(&["bind", "ro"]).flags, ["ro", "nodev"]);
        assert_eq!(remount(&["bind", "ro", "data=no"]).flags, ["ro", "nodev"]);
        assert_eq!(
            remount(&["bind", "ro", "nosuid"]).flags,
            ["ro", "nosuid", "nodev"]
        );
        assert_eq!(remount(&["bind", "ro", "dev"]).flags, ["ro", "nosuid"]);
        assert_eq!(remount(&["bind", "rw", "noexec"]).flags, ["noexec"]);
        assert!(remount(&["bind", "rw"]).flags.is_empty());
        assert!(remount(&["bind"]).flags.is_empty());
    });
}

#[test]
fn remount_with_propagation_type_changes_only_that() {
    private_mounts!();
    on_kernels(|_| {
        let target = tmpfs(scratch(), libc::MS_RDONLY);
        mount("", "", &["remount", "shared"])
            .mount(&target)
            .unwrap();
        let entry = entry_at(&target);
        assert_eq!(
            (entry.flags, entry.propagation),
            (vec!["ro".to_owned()], vec!["shared".to_owned()])
        );
        // With data, the file system is remounted before.
        mount("tmpfs", "tmpfs", &["remount", "private", "size=8k"])
            .mount(&target)
            .unwrap();
        let entry = entry_at(&target);
        assert!(entry.propagation.is_empty() && entry.options.contains(&"size=8k".to_owned()));
        // And both for one mount.
        mount("", "", &["remount", "bind", "ro", "shared"])
            .mount(&target)
            .unwrap();
        let entry = entry_at(&target);
        assert_eq!(
            (entry.flags, entry.propagation),
            (vec!["ro".to_owned()], vec!["shared".to_owned()])
        );
    });
}

#[test]
fn refused_remount_is_an_error() {
    private_mounts!();
    on_kernels(|_| {
        let root = scratch();
        let dir = dir(root.join("dir"));
        let is_remount = |options: &[&str], target: &Path, errno| {
            let result = mount("src", "", options).mount(target);
            assert!(
                matches!(&result, Err(Error::Remount(p, e)) if p == target && *e == errno),
                "{options:?}: {result:?}"
            );
        };
        for options in [
            &["remount", "ro"][..],
            &["remount", "bind"],
            &["remount", "bind", "rw"],
            &["remount", "bind", "ro"],
        ] {
            is_remount(options, &dir, Errno::EINVAL);
            is_remount(options, &root.join("none"), Errno::ENOENT);
        }
        for options in [
            &["remount", "private"][..],
            &["remount", "bind", "ro", "private"],
        ] {
            for (target, errno) in [(&dir, Errno::EINVAL), (&root.join("none"), Errno::ENOENT)] {
                let result = mount("src", "", options).mount(target);
                assert!(
                    matches!(&result, Err(Error::Mount(s, p, e)) if s == Path::new("") && p == target && *e == errno),
                    "{options:?}: {result:?}"
                );
            }
        }
        let result = mount("src", "tmpfs", &["remount", "size=1m"]).mount(&dir);
        assert!(
            matches!(&result, Err(Error::Mount(s, p, Errno::EINVAL)) if s == Path::new("src") && *p == dir)
        );
    });
}

#[test]
fn failed_propagation_takes_the_mount_away() {
    private_mounts!();
    let no_propagation = Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(
        3,
        libc::MS_SLAVE as u32,
        libc::MS_SLAVE as u32,
    );
    for kernel in [
        vec![Rule::fail(MOUNT_SETATTR, libc::EPERM)],
        Kernel::Old.rules(),
    ] {
        let rules = [kernel, vec![no_propagation]].concat();
        let root = scratch();
        let src = dir(root.join("src"));
        for mount in [
            mount("tmpfs", "tmpfs", &["slave"]),
            bind(&src, &["bind", "slave"]),
            bind(&src, &["rbind", "rslave"]),
        ] {
            // Through a link, which unmounting does not follow.
            let (target, link) = (dir(root.join("target")), root.join("link"));
            if !link.exists() {
                std::os::unix::fs::symlink(&target, &link).unwrap();
            }
            let result = run_under(&rules, || mount.mount(&link));
            assert!(
                matches!(&result, Err(Error::Mount(s, p, Errno::EACCES)) if s == Path::new("") && *p == link),
                "{result:?}"
            );
            assert!(!is_listed(&target), "{mount:?}");
        }
    }
}

#[test]
fn failed_read_only_takes_the_bind_away() {
    private_mounts!();
    let read_only = libc::MS_RDONLY as u32;
    let no_remount = Rule::fail(libc::SYS_mount, libc::EACCES).if_argument(3, read_only, read_only);
    for kernel in [
        vec![Rule::fail(MOUNT_SETATTR, libc::EPERM)],
        Kernel::Old.rules(),
    ] {
        let root = scratch();
        let (src, target) = (dir(root.join("src")), dir(root.join("target")));
        let rules = [kernel, vec![no_remount]].concat();
        let result = run_under(&rules, || {
            bind(&src, &["bind", "ro", "private"]).mount(&target)
        });
        assert_refused_to_remount(&result, &target, Errno::EACCES);
    }
}

#[test]
fn failed_remount_leaves_the_mount_where_it_was() {
    private_mounts!();
    let rules = [
        Rule::fail(MOUNT_SETATTR, libc::EPERM),
        Rule::fail(libc::SYS_mount, libc::EACCES),
    ];
    let target = tmpfs(scratch(), 0);
    for options in [&["remount", "bind", "ro"][..], &["remount", "private"]] {
        run_under(&rules, || mount("", "", options).mount(&target)).unwrap_err();
        assert!(is_listed(&target));
    }
}

#[test]
fn locked_flags_cannot_be_cleared() {
    private_mounts!();
    let src = std::env::temp_dir().join("locked");
    locked_mounts!(drop(tmpfs(src.clone(), RESTRICTED)));
    on_kernels(|_| {
        let target = scratch();
        bind(&src, &["bind", "ro"]).mount(&target).unwrap();
        assert_eq!(
            entry_at(&target).flags,
            ["ro", "nosuid", "nodev", "noexec", "noatime"]
        );
        let target = scratch();
        let result = bind(&src, &["bind", "ro", "suid"]).mount(&target);
        assert_refused_to_remount(&result, &target, Errno::EPERM);
    });
}

#[test]
fn data_beyond_a_page_reach_any_file_system_that_takes_them() {
    private_mounts!();
    let size = vec!["size=64k"; 10_000];
    let target = scratch();
    let big = mount(
        "tmpfs",
        "tmpfs",
        &[&["nosuid", "ro", "shared"], &size[..]].concat(),
    );
    big.mount(&target).unwrap();
    let entry = entry_at(&target);
    assert_eq!(
        (entry.flags, entry.propagation),
        (
            vec!["ro".to_owned(), "nosuid".to_owned()],
            vec!["shared".to_owned()]
        )
    );
    assert!(
        entry.options.contains(&"size=64k".to_owned()) && entry.options.contains(&"ro".to_owned())
    );
    assert_eq!(entry.source, "tmpfs");

    let target = scratch();
    for call in [FSOPEN, FSCONFIG, FSMOUNT, MOVE_MOUNT] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let result = run_under(&[Rule::fail(call, errno)], || big.mount(&target));
            assert!(
                matches!(result, Err(Error::MountOptionTooBig)),
                "{call} {errno}: {result:?}"
            );
            assert!(!is_listed(&target));
        }
    }
    let bad = mount("tmpfs", "tmpfs", &[&size[..], &["no-such-option"]].concat());
    let result = bad.mount(&target);
    assert!(
        matches!(result, Err(Error::Mount(s, t, Errno::EINVAL)) if s == Path::new("tmpfs") && t == target)
    );
    let result = big.mount(target.join("none"));
    assert!(matches!(result, Err(Error::Mount(_, _, Errno::ENOENT))));
    fs::remove_dir(target).unwrap();
}
