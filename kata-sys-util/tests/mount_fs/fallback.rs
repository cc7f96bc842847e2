//! What must not lead to the classic sequence of a bind mount, in which a mount that is to be read-only
//! is writable for a moment.

use std::path::{Path, PathBuf};

use kata_sys_util::mount::{Error, Mounter, bind_mount_unchecked};
use kata_types::mount::Mount;
use nix::errno::Errno;
use nix::mount::MsFlags;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

/// Tells the classic sequence from the newer one.
const NO_CLASSIC: Rule = Rule::fail(libc::SYS_mount, libc::EACCES);

fn scratch() -> PathBuf {
    tempfile::tempdir().unwrap().keep()
}

fn bind(source: &Path, options: &[&str]) -> Mount {
    Mount {
        source: source.to_str().unwrap().to_owned(),
        fs_type: "bind".to_owned(),
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        ..Mount::default()
    }
}

/// Whoever owns the source can provoke errors of the kernel about it, and must not choose the
/// classic sequence with them.
#[test]
fn error_about_source_or_target_does_not_lead_to_the_classic_sequence() {
    private_mounts!();
    if is_older_than((5, 12), "mount_setattr") {
        return;
    }
    for call in [OPEN_TREE, MOVE_MOUNT] {
        let root = scratch();
        let (src, dst) = (dir(root.join("src")), root.join("dst"));
        let rules = [NO_CLASSIC, Rule::fail(call, libc::EINVAL)];
        let result = run_under(&rules, || {
            bind_mount_unchecked(&src, &dst, true, MsFlags::MS_SLAVE)
        });
        assert!(
            matches!(result, Err(Error::BindMount(_, _, Errno::EINVAL))),
            "{call}: {result:?}"
        );
        assert!(!is_listed(&dst));
    }
}

/// Without a mount namespace left, a tree cannot be cloned, but mounted.
#[test]
fn only_a_mount_that_stays_writable_needs_no_namespace() {
    private_mounts!();
    let rules = [Rule::fail(OPEN_TREE, libc::ENOSPC)];
    for options in [&["bind"][..], &["rbind", "nosuid", "slave"]] {
        let root = scratch();
        let (src, dst) = (dir(root.join("src")), dir(root.join("dst")));
        file(src.join("file"), "");
        run_under(&rules, || bind(&src, options).mount(&dst)).unwrap();
        assert!(dst.join("file").exists());
    }
    if is_older_than((5, 12), "mount_setattr") {
        return;
    }
    let root = scratch();
    let (src, dst) = (dir(root.join("src")), dir(root.join("dst")));
    let result = run_under(&rules, || bind(&src, &["bind", "ro"]).mount(&dst));
    assert!(
        matches!(&result, Err(Error::Mount(_, _, Errno::ENOSPC))),
        "{result:?}"
    );
    assert!(!is_listed(&dst));
}

/// The newer calls answer otherwise than `mount(2)`, and that must not lead to the classic sequence.
#[test]
fn directory_is_not_bound_to_a_file_nor_a_file_to_a_directory() {
    private_mounts!();
    on_kernels(|kernel| {
        let root = scratch();
        let (dir, file) = (dir(root.join("dir")), file(root.join("file"), ""));
        for (source, target) in [(&file, &dir), (&dir, &file)] {
            for options in [&["bind", "ro"][..], &["rbind", "slave"]] {
                let no_classic = match kernel {
                    Kernel::Current if kernel_release() >= (5, 12) => vec![NO_CLASSIC],
                    _ => vec![],
                };
                let result = run_under(&no_classic, || bind(source, options).mount(target));
                assert!(
                    matches!(&result, Err(Error::Mount(s, t, Errno::ENOTDIR)) if s == source && t == target),
                    "{result:?}"
                );
                assert!(!is_listed(target));
            }
        }
    });
}

#[test]
fn flag_that_cannot_be_cleared_does_not_lead_to_the_classic_sequence() {
    private_mounts!();
    if is_older_than((5, 12), "mount_setattr") {
        return;
    }
    let src = std::env::temp_dir().join("locked");
    locked_mounts!(drop(tmpfs(src.clone(), libc::MS_NOSUID)));
    let target = scratch();
    let result = run_under(&[NO_CLASSIC], || {
        bind(&src, &["bind", "ro", "suid"]).mount(&target)
    });
    assert!(
        matches!(&result, Err(Error::Remount(path, Errno::EPERM)) if *path == target),
        "{result:?}"
    );
    assert!(!is_listed(&target));
}
