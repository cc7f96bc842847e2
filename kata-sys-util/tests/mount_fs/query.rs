//! `get_linux_mount_info`, `is_mount_point` and `mount_point_magic`.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use kata_sys_util::fs::{OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC};
use kata_sys_util::mount::{Error, get_linux_mount_info, is_mount_point, mount_point_magic};
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

fn scratch() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

/// The kernels that answer in different ways.
fn on_each_source(test: impl Fn() + Sync) {
    let no_statx = Rule::fail(libc::SYS_statx, libc::EPERM);
    let no_statmount = Rule::fail(STATMOUNT, libc::ENOSYS);
    for rules in [&[][..], &[no_statmount], &[no_statx]] {
        println!("{rules:?}");
        run_under(rules, &test);
    }
}

fn found(path: &str) -> (String, String, String) {
    let info = get_linux_mount_info(path).unwrap();
    (info.device, info.path, info.fs_type)
}

fn is_nothing(path: &str) -> bool {
    matches!(get_linux_mount_info(path), Err(Error::NoMountEntry(p)) if p == path)
}

#[test]
fn mount_is_described_as_in_the_table() {
    private_mounts!();
    let root = scratch();
    let mount = dir(root.join("a b\\c#d"));
    raw_mount("a disk\\#1", &mount, "tmpfs", 0, "");
    let path = mount.to_str().unwrap();
    on_each_source(|| {
        let expected = ("a disk\\#1".to_owned(), path.to_owned(), "tmpfs".to_owned());
        assert_eq!(found(path), expected);
        assert_eq!(found(&format!("{path}//")), expected);
        assert_eq!(found("/proc").2, "proc");
        assert_eq!(found("/").1, "/");
        assert_eq!(found("//"), found("/"));
        for table_line in fs::read_to_string("/proc/thread-self/mounts")
            .unwrap()
            .lines()
        {
            let fields: Vec<_> = table_line.split(' ').collect();
            if entries_at(Path::new(fields[1])).len() == 1 && !fields[1].contains('\\') {
                let Ok(info) = get_linux_mount_info(fields[1]) else {
                    assert!(!is_mount_point(fields[1]).unwrap_or(false), "{table_line}");
                    continue;
                };
                assert_eq!([&info.device, &info.fs_type], [fields[0], fields[2]]);
            }
        }
    });
}

#[test]
fn topmost_of_stacked_mounts_counts() {
    private_mounts!();
    let mount = tmpfs(scratch(), 0);
    raw_mount("topmost", &mount, "ramfs", 0, "");
    on_each_source(|| {
        assert_eq!(found(mount.to_str().unwrap()).0, "topmost");
        assert_eq!(found(mount.to_str().unwrap()).2, "ramfs");
    });
}

#[test]
fn what_is_no_mount_point_has_no_entry() {
    private_mounts!();
    let root = scratch();
    let mount = tmpfs(root.join("mount"), 0);
    link(&mount, root.join("link"));
    link(&root, root.join("other"));
    dir(mount.join("dir"));
    let text = |p: &str| root.join(p).to_str().unwrap().to_owned();
    on_each_source(|| {
        assert!(!is_nothing(&text("mount")));
        for path in [
            "link",
            "other/mount",
            "mount/dir",
            "none",
            "./none",
            "mount/dir/../../mount",
        ] {
            assert!(is_nothing(&text(path)), "{path}");
        }
        for path in ["", ".", "no/such", "mount", "\0"] {
            assert!(is_nothing(path), "{path:?}");
        }
    });
}

#[test]
fn table_of_this_thread_is_asked() {
    private_mounts!();
    let dir = scratch();
    on_each_source(|| {
        unshare_mounts();
        raw_mount("tmpfs", &dir, "tmpfs", 0, "");
        assert_eq!(found(dir.to_str().unwrap()).2, "tmpfs");
        assert!(is_mount_point(&dir).unwrap());
    });
    assert!(is_nothing(dir.to_str().unwrap()));
}

#[test]
fn mount_points_are_told_from_other_paths() {
    private_mounts!();
    let root = scratch();
    let mount = tmpfs(root.join("mount"), 0);
    let file = file(root.join("file"), "");
    raw_mount(file.to_str().unwrap(), &file, "", libc::MS_BIND, "");
    link(&mount, root.join("link"));
    link(&root, root.join("other"));
    std::env::set_current_dir(&root).unwrap();
    on_each_source(|| {
        for path in [
            &mount,
            &file,
            Path::new("mount"),
            Path::new("./mount/"),
            &root.join("other/mount"),
            Path::new("/"),
        ] {
            assert!(is_mount_point(path).unwrap(), "{}", path.display());
        }
        for path in [
            &root,
            &root.join("link"),
            &root.join("link/."),
            Path::new("other"),
        ] {
            assert!(!is_mount_point(path).unwrap(), "{}", path.display());
        }
        for path in [Path::new(""), &root.join("none"), &file.join("x")] {
            let result = is_mount_point(path);
            assert!(matches!(result, Err(Error::ReadMetadata(p, _)) if p == path));
        }
    });
}

#[test]
fn file_system_of_a_mount_point_is_known_by_its_magic() {
    private_mounts!();
    let root = scratch();
    let mount = tmpfs(root.join("tmpfs"), 0);
    let (lower, overlay) = (dir(root.join("lower")), dir(root.join("overlay")));
    let lowerdir = format!("lowerdir={}:{}", lower.display(), mount.display());
    raw_mount("overlay", &overlay, "overlay", 0, &lowerdir);
    let dir = dir(mount.join("dir"));
    on_each_source(|| {
        assert_eq!(mount_point_magic(&mount).unwrap(), Some(TMPFS_MAGIC));
        assert_eq!(
            mount_point_magic(&overlay).unwrap(),
            Some(OVERLAYFS_SUPER_MAGIC)
        );
        assert_eq!(mount_point_magic(&dir).unwrap(), None);
        assert!(matches!(
            mount_point_magic(root.join("none")),
            Err(Error::ReadMetadata(..))
        ));
    });
}

#[test]
fn table_is_not_opened_where_the_kernel_knows_the_answer() {
    private_mounts!();
    let root = scratch();
    let mount = tmpfs(root.join("mount"), 0);
    let (yes, no) = (mount.to_str().unwrap(), root.to_str().unwrap());
    let has_statx = !is_older_than((5, 8), "mount attributes in statx");
    let has_statmount = !is_older_than((6, 13), "the source of a mount in statmount");
    // Whoever opens a file gets another answer.
    run_under(&[Rule::fail(libc::SYS_openat, libc::EMFILE)], || {
        assert!(fs::read("/proc/self/mounts").is_err());
        if has_statx {
            assert!(is_nothing(no));
            assert!(is_mount_point(yes).unwrap() && !is_mount_point(no).unwrap());
            assert_eq!(mount_point_magic(yes).unwrap(), Some(TMPFS_MAGIC));
        }
        if has_statmount {
            assert_eq!(found(yes).2, "tmpfs");
        }
    });
}

#[test]
fn subtype_is_part_of_the_type() {
    private_mounts!();
    let Ok(fuse) = File::options().read(true).write(true).open("/dev/fuse") else {
        println!("INFO: skipping query::subtype_is_part_of_the_type which needs /dev/fuse");
        return;
    };
    let mount = scratch();
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    raw_mount("server", &mount, "fuse.sub", 0, &options);
    drop(fuse); // Without a server nobody waits for it.
    on_each_source(|| {
        let info = found(mount.to_str().unwrap());
        assert_eq!((info.0.as_str(), info.2.as_str()), ("server", "fuse.sub"));
    });
}
