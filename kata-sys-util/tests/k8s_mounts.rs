//! `emptyDir` volumes with real mounts on them, as the kernel tells them and as the mount table
//! does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use kata_sys_util::k8s::{
    is_disk_empty_dir, is_ephemeral_volume, is_host_empty_dir, is_hugepage_empty_dir,
    is_non_tmpfs_empty_dir, is_tmpfs_empty_dir, update_ephemeral_storage_type,
};
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::{Mount, MountBuilder, Spec};
use test_utils::isolate;
use test_utils::isolation::Isolation;
use test_utils::seccomp::{self, Rule};

fn bind_of(source: &Path) -> Mount {
    let builder = MountBuilder::default()
        .destination("/data")
        .typ("bind")
        .source(source);
    builder.build().unwrap()
}

fn updated_type(source: &Path) -> String {
    let mut spec = Spec::default();
    spec.set_mounts(Some(vec![bind_of(source)]));
    update_ephemeral_storage_type(&mut spec, false, "shared-fs");
    spec.mounts().as_ref().unwrap()[0].typ().clone().unwrap()
}

#[derive(Debug, PartialEq, Eq)]
struct Answers {
    tmpfs: bool,
    disk: bool,
    hugepage: bool,
    non_tmpfs: bool,
    updated: String,
}

fn answers(path: &Path) -> Answers {
    let text = path.to_str().unwrap();
    let answers = Answers {
        tmpfs: is_ephemeral_volume(&bind_of(path)),
        disk: is_host_empty_dir(text),
        hugepage: is_hugepage_empty_dir(text),
        non_tmpfs: is_non_tmpfs_empty_dir(text),
        updated: updated_type(path),
    };
    assert_eq!(is_tmpfs_empty_dir(&bind_of(path)), answers.tmpfs);
    assert_eq!(is_disk_empty_dir(text), answers.disk);
    answers
}

#[test]
fn volumes_are_told_by_what_is_mounted_on_them() {
    isolate!(
        Isolation::new()
            .namespaces(libc::CLONE_NEWNS)
            .or_namespaces(libc::CLONE_NEWNS | libc::CLONE_NEWUSER)
    );
    let dir = tempfile::tempdir().unwrap();
    let volumes = dir.path().join("kubernetes.io~empty-dir");
    let volume = |name: &str| {
        let path = volumes.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let none = None::<&str>;
    let new = |path: &Path, fs_type| mount(none, path, Some(fs_type), MsFlags::empty(), none);
    let tmpfs = |path: &Path| new(path, "tmpfs").unwrap();
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let bind = |path: &Path| mount(Some("/proc"), path, none, flags, none).unwrap();

    let answer = |tmpfs, disk, hugepage, updated: &str| Answers {
        tmpfs,
        disk,
        hugepage,
        non_tmpfs: !tmpfs,
        updated: updated.to_owned(),
    };
    let (in_memory, on_disk) = (
        answer(true, false, false, "ephemeral"),
        answer(false, true, false, "local"),
    );
    let huge = answer(false, false, true, "bind");

    let plain = volume("plain");
    let memory = volume("in memory");
    tmpfs(&memory);
    let other = volume("other");
    bind(&other);
    let covered = volume("covered");
    tmpfs(&covered);
    bind(&covered);
    let uncovered = volume("uncovered");
    bind(&uncovered);
    tmpfs(&uncovered);
    let below = volume("below");
    tmpfs(&volume("below/cache"));
    // No link is in the table, and a slash after it must not make it another path.
    let link = volumes.join("link");
    symlink(&memory, &link).unwrap();
    let mut expected = vec![
        (link.join(""), &on_disk),
        (link, &on_disk),
        (plain, &on_disk),
        (memory.clone(), &in_memory),
        (memory.join(""), &in_memory),
        (volumes.join("./in memory"), &in_memory),
        (other, &on_disk),
        (covered, &on_disk),
        (uncovered, &in_memory),
        (below, &on_disk),
    ];
    let pages = volume("pages");
    match new(&pages, "hugetlbfs") {
        Ok(()) => expected.push((pages, &huge)),
        Err(error) => println!("INFO: skipping hugetlbfs: {error}"),
    }

    for (path, expected) in &expected {
        assert_eq!(answers(path), **expected, "{path:?}");
    }
    // No answer from the kernel: the mount table.
    seccomp::install(&[Rule::fail(libc::SYS_statx, libc::ENOSYS)]).unwrap();
    for (path, expected) in &expected {
        assert_eq!(answers(path), **expected, "by table: {path:?}");
    }
}
