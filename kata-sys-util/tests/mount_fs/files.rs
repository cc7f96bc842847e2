//! `get_base_name` and the questions about file types.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;

use kata_sys_util::fs::{
    FUSE_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC, fs_magic, get_base_name, is_fuse_fs,
    is_overlay_fs, is_symlink,
};

use crate::support::*;

#[test]
fn base_name_is_that_of_the_final_target() {
    let dir = tempfile::tempdir().unwrap();
    let real = file(dir.path().join("a/real name"), "");
    let link = link("a/real name", dir.path().join("link"));
    for path in [real.clone(), link, dir.path().join("a/./../a/real name")] {
        assert_eq!(get_base_name(&path).unwrap(), "real name");
    }
    assert_eq!(get_base_name(dir.path().join("a/")).unwrap(), "a");
    let not_utf8: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    let path = file(dir.path().join(not_utf8), "");
    assert_eq!(get_base_name(path).unwrap(), not_utf8);
}

#[test]
fn base_name_of_root_and_of_nothing_is_an_error() {
    for path in ["/", "//", "/proc/..", "/."] {
        let error = get_base_name(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(
            error.to_string(),
            format!("failed to get base name of path {path}")
        );
    }
    for path in ["", "/no/such/path"] {
        assert_eq!(get_base_name(path).unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn link_is_a_link_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path().join("file"), "");
    assert!(is_symlink(link(&file, dir.path().join("link"))).unwrap());
    assert!(is_symlink(link("nowhere", dir.path().join("dangling"))).unwrap());
    assert!(!is_symlink(&file).unwrap());
    assert!(!is_symlink(dir.path()).unwrap());
    let error = is_symlink(dir.path().join("none")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn file_systems_are_told_apart() {
    private_mounts!();
    let root = tempfile::tempdir().unwrap().keep();
    let (lower, upper) = (dir(root.join("lower")), dir(root.join("upper")));
    let overlay = dir(root.join("overlay"));
    let lowerdir = format!("lowerdir={}:{}", lower.display(), upper.display());
    raw_mount("overlay", &overlay, "overlay", 0, &lowerdir);
    let link = link(&overlay, root.join("link"));
    for path in [&overlay, &link] {
        assert!(is_overlay_fs(path) && !is_fuse_fs(path));
        assert_eq!(fs_magic(path).unwrap(), OVERLAYFS_SUPER_MAGIC);
    }
    assert_eq!(fs_magic(&root).unwrap(), TMPFS_MAGIC);
    for path in [&root, Path::new(""), Path::new("/no/such/path")] {
        assert!(!is_overlay_fs(path) && !is_fuse_fs(path));
    }
    assert_eq!(
        fs_magic("/no/such/path").unwrap_err().kind(),
        ErrorKind::NotFound
    );

    let Ok(fuse) = File::options().read(true).write(true).open("/dev/fuse") else {
        println!(
            "INFO: skipping files::file_systems_are_told_apart for FUSE, which needs /dev/fuse"
        );
        return;
    };
    let mount = dir(root.join("fuse"));
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0",
        fuse.as_raw_fd()
    );
    raw_mount("server", &mount, "fuse", 0, &options);
    // Without a server, statfs of a FUSE mount still knows its type.
    drop(fuse);
    if let Ok(magic) = fs_magic(&mount) {
        assert_eq!(magic, FUSE_SUPER_MAGIC);
        assert!(is_fuse_fs(&mount) && !is_overlay_fs(&mount));
    }
    raw_umount(&mount, libc::MNT_DETACH).unwrap();
}
