//! Taking mounts away, and questions about them, in a mount namespace of their own.

use std::fs;
use std::path::Path;

use kata_sys_util::fs::is_overlay_fs;
use kata_sys_util::mount::{
    Mounter, get_linux_mount_info, is_mount_point, mount_point_magic, umount_all, umount_timeout,
};
use nix::mount::MsFlags;
use test_utils::faults::{AllocationFault, at_every_allocation, at_every_call};
use test_utils::isolate;
use test_utils::isolation::scratch;

use crate::mounts::{Place, mount_of, mount_tmpfs, mount_tmpfs_with, on_kernels, private_mounts};

const TMPFS_MAGIC: u32 = 0x0102_1994;

#[test]
fn umount_is_done_or_an_error() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        for (what, umount) in [
            (
                "umount_timeout, detaching",
                (|target| umount_timeout(target, 0)) as fn(&Path) -> _,
            ),
            ("umount_timeout", |target| umount_timeout(target, 2)),
            ("umount_all", |target| umount_all(target, false)),
            ("umount_all, lazy", |target| umount_all(target, true)),
        ] {
            let operation = format!("{what}{kernel}");
            at_every_call(
                &operation,
                Place::with_tmpfs,
                |place| umount(&place.target),
                |place, umounted, fault| {
                    let left = place.clear();
                    match umounted {
                        Ok(()) => assert_eq!(left, 0),
                        Err(error) => assert!(fault.is_some(), "{error}"),
                    }
                },
            );
            at_every_allocation(
                &operation,
                Place::with_tmpfs,
                |place| drop(umount(&place.target)),
                |place, end| {
                    let left = place.clear();
                    assert!(left == 0 || (left == 1 && end != AllocationFault::None));
                },
            );
        }
    });
}

#[test]
fn stacked_mounts_go_from_the_newest_to_the_oldest() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        let stacked = || {
            let place = Place::new();
            for layer in LAYERS {
                mount_tmpfs_with(&place.target, layer);
            }
            place
        };
        for is_lazy in [false, true] {
            at_every_call(
                &format!("umount_all of stacked mounts, lazy {is_lazy}{kernel}"),
                stacked,
                |place| umount_all(&place.target, is_lazy),
                |place, umounted, fault| {
                    let left = place.mounts();
                    match umounted {
                        Ok(()) => assert_eq!(left, [""; 0]),
                        Err(error) => assert!(fault.is_some(), "{error}"),
                    }
                    for (options, layer) in left.iter().zip(LAYERS) {
                        assert_eq!(options.contains("nosuid"), layer & libc::MS_NOSUID != 0);
                        assert_eq!(options.contains("nodev"), layer & libc::MS_NODEV != 0);
                    }
                    place.clear();
                },
            );
        }
    });
}

/// Mounts that can be told apart, the oldest first.
const LAYERS: [libc::c_ulong; 3] = [0, libc::MS_NOSUID, libc::MS_NOSUID | libc::MS_NODEV];

/// A process whose root directory has a name in its working directory.
#[test]
fn root_directory_is_never_unmounted() {
    isolate!(private_mounts());
    let root = scratch().join("root");
    fs::create_dir(&root).unwrap();
    mount_tmpfs(&root);
    fs::create_dir(root.join("proc")).unwrap();
    let none = None::<&str>;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    nix::mount::mount(Some("/proc"), &root.join("proc"), none, flags, none).unwrap();
    std::env::set_current_dir(scratch()).unwrap();
    std::os::unix::fs::chroot("root").unwrap();
    on_kernels(|kernel| {
        for (what, umount) in [
            (
                "umount_timeout",
                (|target| umount_timeout(target, 0)) as fn(&str) -> _,
            ),
            ("umount_all", |target| umount_all(target, true)),
        ] {
            at_every_call(
                &format!("{what} of the root directory{kernel}"),
                || (),
                |()| umount("root"),
                |(), umounted, _| {
                    umounted.unwrap_err();
                    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
                    assert!(
                        table
                            .lines()
                            .any(|line| line.split(' ').nth(4) == Some("/"))
                    );
                },
            );
        }
    });
}

#[test]
fn question_about_a_mount_that_cannot_be_answered_is_an_error() {
    isolate!(private_mounts());
    on_kernels(|kernel| {
        let place = Place::with_tmpfs();
        let target = place.target.to_str().unwrap();
        at_every_call(
            &format!("get_linux_mount_info{kernel}"),
            || (),
            |()| get_linux_mount_info(target),
            |(), info, fault| {
                assert!(info.map_or(fault.is_some(), |info| info.fs_type == "tmpfs"));
            },
        );
        at_every_allocation(
            &format!("get_linux_mount_info{kernel}"),
            || (),
            |()| assert!(get_linux_mount_info(target).is_ok_and(|info| info.fs_type == "tmpfs")),
            |(), _| (),
        );
        at_every_call(
            &format!("is_mount_point{kernel}"),
            || (),
            |()| is_mount_point(target),
            |(), is, fault| {
                assert!(is.ok().unwrap_or(fault.is_some()));
            },
        );
        at_every_allocation(
            &format!("is_mount_point{kernel}"),
            || (),
            |()| assert!(is_mount_point(target).unwrap()),
            |(), _| (),
        );
        at_every_call(
            &format!("mount_point_magic{kernel}"),
            || (),
            |()| mount_point_magic(target),
            |(), magic, fault| {
                assert!(magic.map_or(fault.is_some(), |magic| magic == Some(TMPFS_MAGIC)));
            },
        );
        place.clear();
    });
}

#[test]
fn only_an_overlay_is_taken_for_one() {
    isolate!(private_mounts());
    let place = Place::new();
    let lower = format!("lowerdir={0}:{0}-lower", place.source.display());
    let overlay = mount_of(Path::new("overlay"), "overlay", &[&lower]);
    overlay.mount(&place.target).unwrap();
    for (path, expected) in [(&place.target, true), (&place.source, false)] {
        at_every_call(
            &format!("is_overlay_fs, {expected}"),
            || (),
            |()| is_overlay_fs(path),
            // What cannot be told is none.
            |(), is, fault| assert!(is == expected || (!is && fault.is_some())),
        );
    }
}
