//! Races that a container could try to win: somebody exchanges names while a function works on
//! them, or tries to write while a mount becomes read-only.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use kata_sys_util::mount::{
    Error, Mounter, bind_mount_unchecked, create_mount_destination, umount_all, umount_timeout,
};
use kata_types::mount::Mount;
use nix::mount::MsFlags;
use safe_path::PinnedPathBuf;
use test_utils::seccomp::run_under;
use test_utils::{exchange, is_guest};

use crate::support::*;

/// Runs `round` again and again while another thread does `attack` all the time, until there were
/// enough of both for a race to be lost; a quarter of the attacks where the processor is emulated.
fn under_attack(
    attack: impl Fn() + Send,
    rounds: usize,
    attacks: usize,
    mut round: impl FnMut(usize),
) {
    let attacks = if is_guest() { attacks / 4 } else { attacks };
    let stop = AtomicBool::new(false);
    let attacked = AtomicUsize::new(0);
    let result = thread::scope(|scope| {
        let (stop, attacked) = (&stop, &attacked);
        let attacker = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                attack();
                attacked.fetch_add(1, Ordering::Relaxed);
            }
        });
        while attacked.load(Ordering::Relaxed) == 0 && !attacker.is_finished() {
            thread::yield_now();
        }
        // Also if a round panics, so that the attacker ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut number = 0;
            while (number < rounds || attacked.load(Ordering::Relaxed) < attacks)
                && !attacker.is_finished()
            {
                round(number);
                number += 1;
            }
        }));
        stop.store(true, Ordering::Relaxed);
        result
    });
    result.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().count() == 0
}

#[test]
fn reader_of_a_read_only_bind_can_never_write() {
    private_mounts!();
    let root = tempfile::tempdir().unwrap().keep();
    let src = tmpfs(root.join("src"), 0);
    file(src.join("file"), "text");
    let target = dir(root.join("target"));
    let mount = Mount {
        source: src.to_str().unwrap().to_owned(),
        fs_type: "bind".to_owned(),
        options: vec!["rbind".to_owned(), "ro".to_owned(), "slave".to_owned()],
        ..Mount::default()
    };
    if is_older_than((5, 12), "read-only binds that are never writable") {
        return;
    }
    let (tries, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let written = AtomicBool::new(false);
    let file = target.join("file");
    let write = || {
        match File::options().write(true).open(&file) {
            Ok(_) => written.store(true, Ordering::Relaxed),
            Err(e) if e.raw_os_error() == Some(libc::EROFS) => {
                refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
            Err(_) => written.store(true, Ordering::Relaxed),
        }
        tries.fetch_add(1, Ordering::Relaxed);
    };
    let wait_for_a_try = || {
        let before = tries.load(Ordering::Relaxed);
        while tries.load(Ordering::Relaxed) < before + 2 {
            thread::yield_now();
        }
    };
    under_attack(write, 200, 20_000, |_| {
        bind_mount_unchecked(&src, &target, true, MsFlags::MS_SLAVE).unwrap();
        wait_for_a_try();
        umount_timeout(&target, 0).unwrap();
        mount.mount(&target).unwrap();
        wait_for_a_try();
        umount_all(&target, true).unwrap();
    });
    assert!(
        refused.load(Ordering::Relaxed) >= 400,
        "the attacker was not there"
    );
    assert!(
        !written.load(Ordering::Relaxed),
        "a read-only mount was writable, or the error was another one"
    );
    assert!(can_write(&src.join("file")));
}

#[test]
fn source_that_changes_its_kind_is_never_bound_writable() {
    private_mounts!();
    if is_older_than((5, 12), "read-only binds that are never writable") {
        return;
    }
    let root = tempfile::tempdir().unwrap().keep();
    let (src, other) = (dir(root.join("src")), file(root.join("other"), "text"));
    file(src.join("file"), "text");
    let target = dir(root.join("target"));
    let written = AtomicBool::new(false);
    let (mut bound, mut refused) = (0, 0);
    let attack = || {
        exchange(&src, &other).unwrap();
        if can_write(&target.join("file")) {
            written.store(true, Ordering::Relaxed);
        }
    };
    under_attack(attack, 300, 20_000, |_| {
        match bind_mount_unchecked(&src, &target, true, MsFlags::MS_SLAVE) {
            Ok(()) => {
                bound += 1;
                assert_eq!(entry_at(&target).flags, ["ro"]);
                umount_timeout(&target, 0).unwrap();
            }
            Err(error) => {
                refused += 1;
                assert!(!is_listed(&target), "{error}");
            }
        }
    });
    println!("{bound} bound, {refused} refused");
    assert!(bound > 0 && refused > 0);
    assert!(
        !written.load(Ordering::Relaxed),
        "a read-only mount was writable"
    );
}

/// With the classic sequence the moment exists: the test above can fail.
#[test]
fn reader_of_a_classic_read_only_bind_is_locked_out_in_the_end() {
    private_mounts!();
    let root = tempfile::tempdir().unwrap().keep();
    let src = tmpfs(root.join("src"), 0);
    file(src.join("file"), "text");
    let (target, was_written) = (dir(root.join("target")), AtomicBool::new(false));
    let write = || {
        if can_write(&target.join("file")) {
            was_written.store(true, Ordering::Relaxed);
        }
    };
    run_under(&Kernel::Old.rules(), || {
        under_attack(write, 150, 20_000, |_| {
            match bind_mount_unchecked(&src, &target, true, MsFlags::MS_SLAVE) {
                Ok(()) => {
                    assert!(!can_write(&target.join("file")));
                    umount_timeout(&target, 0).unwrap();
                }
                // The attacker had it open at that moment; nothing is left.
                Err(Error::Remount(_, nix::Error::EBUSY)) => assert!(!is_listed(&target)),
                Err(error) => panic!("{error}"),
            }
        });
    });
    println!(
        "written in the classic sequence: {}",
        was_written.load(Ordering::Relaxed)
    );
}

#[test]
fn link_swapped_in_at_the_target_never_changes_another_mount() {
    private_mounts!();
    on_kernels(|_| {
        let root = tempfile::tempdir().unwrap().keep();
        let src = dir(root.join("src"));
        // A mount of somebody else, to which the link leads.
        let other = tmpfs(root.join("other"), libc::MS_NODEV);
        raw_mount("", &other, "", libc::MS_SHARED, "");
        let before = entry_at(&other);
        let (target, link) = (dir(root.join("target")), link(&other, root.join("link")));
        let is_elsewhere = Cell::new(false);
        let attack = move || {
            // As in a container: with other mounts, on the same files.
            if !is_elsewhere.replace(true) {
                unshare_mounts();
            }
            exchange(&target, &link).unwrap();
        };
        under_attack(attack, 40, 4000, |_| {
            let target = root.join("target");
            let result = bind_mount_unchecked(&src, target, true, MsFlags::MS_SLAVE);
            // Wherever it has gone, it is complete.
            for copy in copies_of(&src) {
                assert_eq!(copy.flags, ["ro"], "{result:?}");
                assert!(
                    !copy.propagation.contains(&"shared".to_owned()),
                    "{result:?}"
                );
            }
            assert_eq!(entries_at(&other)[0], before, "{result:?}");
            while let Some(copy) = copies_of(&src).pop() {
                let _ = raw_umount(&copy.path, libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW);
            }
        });
        assert_eq!(entries_at(&other), [before]);
    });
}

#[test]
fn pinned_target_gets_the_mount_whatever_has_its_name() {
    private_mounts!();
    on_kernels(|_| {
        let root = tempfile::tempdir().unwrap().keep();
        let (src, other) = (dir(root.join("src")), dir(root.join("other")));
        let (target, link) = (dir(root.join("target")), link(&other, root.join("link")));
        let pinned = PinnedPathBuf::new(&root, "target").unwrap();
        let tmpfs = Mount {
            source: "ours".to_owned(),
            fs_type: "tmpfs".to_owned(),
            options: vec!["slave".to_owned()],
            ..Mount::default()
        };
        let is_elsewhere = Cell::new(false);
        let attack = move || {
            if !is_elsewhere.replace(true) {
                unshare_mounts();
            }
            exchange(&target, &link).unwrap();
        };
        let before = all_entries().len();
        let (mut mounted, mut refused) = (0, 0);
        under_attack(attack, 40, 4000, |number| {
            let result = if number % 2 == 0 {
                bind_mount_unchecked(&src, &pinned, true, MsFlags::MS_SLAVE)
            } else {
                tmpfs.mount(&pinned)
            };
            match &result {
                Ok(()) => mounted += 1,
                Err(_) => refused += 1,
            }
            assert_eq!(all_entries().len(), before + usize::from(result.is_ok()));
            assert!(!is_listed(&other), "{result:?}");
            if result.is_ok() {
                raw_umount(&pinned, libc::MNT_DETACH).unwrap();
            }
        });
        println!("{mounted} mounted, {refused} refused");
        assert!(mounted > 0);
    });
}

/// The last name of the target stays; a directory before it leads to another mount for moments.
#[test]
fn directory_swapped_before_the_target_never_changes_another_mount() {
    private_mounts!();
    on_kernels(|_| {
        let root = tempfile::tempdir().unwrap().keep();
        let src = dir(root.join("src"));
        // Below a shared mount, so that a new one is shared until its own propagation is set.
        let volume = tmpfs(root.join("volume"), 0);
        raw_mount("", &volume, "", libc::MS_SHARED, "");
        let other = tmpfs(root.join("other/t"), libc::MS_NODEV);
        raw_mount("", &other, "", libc::MS_SHARED, "");
        let before = entry_at(&other);
        let target = dir(volume.join("a/t"));
        let (directory, link) = (volume.join("a"), link(root.join("other"), volume.join("b")));
        // A path that the attacker does not change.
        let opened = File::open(&directory).unwrap();
        let held = PathBuf::from(format!("/proc/self/fd/{}/t", opened.as_raw_fd()));
        let tmpfs = Mount {
            source: "ours".to_owned(),
            fs_type: "tmpfs".to_owned(),
            options: vec!["slave".to_owned()],
            ..Mount::default()
        };
        let is_ours = |entry: &Entry| entry.source == "ours" || is_copy_of(&src, entry);
        let ours = || all_entries().into_iter().filter(is_ours);
        let swap = || exchange(&directory, &link).unwrap();
        let (mut mounted, mut refused) = (0, 0);
        under_attack(swap, 150, 6000, |number| {
            let result = if number % 2 == 0 {
                bind_mount_unchecked(&src, &target, true, MsFlags::MS_SLAVE)
            } else {
                tmpfs.mount(&target)
            };
            match &result {
                Ok(()) => mounted += 1,
                Err(_) => refused += 1,
            }
            assert_eq!(ours().count(), usize::from(result.is_ok()), "{result:?}");
            for entry in ours() {
                let is_complete = entry.source == "ours" || entry.flags == ["ro"];
                let is_shared = entry.propagation.contains(&"shared".to_owned());
                assert!(is_complete && !is_shared, "{result:?}: {entry:?}");
            }
            assert_eq!(entries_at(&other)[0], before, "{result:?}");
            for entry in ours() {
                let is_lured = entry.path == other;
                raw_umount(if is_lured { &other } else { &held }, libc::MNT_DETACH).unwrap();
            }
            assert_eq!(entries_at(&other), std::slice::from_ref(&before));
        });
        println!("{mounted} mounted, {refused} refused");
        assert!(mounted > 0);
    });
}

/// All bind mounts of this directory.
fn copies_of(src: &Path) -> Vec<Entry> {
    let entries = all_entries().into_iter();
    entries.filter(|entry| is_copy_of(src, entry)).collect()
}

fn is_copy_of(src: &Path, entry: &Entry) -> bool {
    let name = src.strip_prefix(std::env::temp_dir()).unwrap();
    entry.root == format!("/{}", name.display())
}

#[test]
fn nothing_is_created_outside_the_root_while_links_are_swapped_in() {
    private_mounts!();
    let base = tempfile::tempdir().unwrap().keep();
    let (root, outside) = (base.join("root"), dir(base.join("outside")));
    let (inside, escape) = (dir(root.join("a")), link(&outside, root.join("escape")));
    let (mut created, mut refused) = (0, 0);
    let swap = || exchange(&inside, &escape).unwrap();
    under_attack(swap, 50, 10_000, |i| {
        for (name, fs_type) in [("dir", "tmpfs"), ("file", "bind")] {
            let dst = root.join(format!("a/{name}-{i}/x"));
            match create_mount_destination("x", dst, &root, fs_type) {
                Ok(path) => {
                    created += 1;
                    assert!(path.as_ref().starts_with(&root));
                }
                Err(_) => refused += 1,
            }
        }
        assert!(is_empty(&outside), "created outside the root");
    });
    println!("{created} created, {refused} refused");
    assert!(created > 0);
}

#[test]
fn link_swapped_in_at_the_end_is_not_created_through() {
    private_mounts!();
    let base = tempfile::tempdir().unwrap().keep();
    let (root, outside) = (dir(base.join("root")), dir(base.join("outside")));
    let dst = root.join("dst");
    let spare = link(outside.join("made"), root.join("spare"));
    let swap = || {
        let _ = fs::rename(&spare, &dst);
        let _ = fs::remove_file(&dst);
        let _ = std::os::unix::fs::symlink(outside.join("made"), &spare);
    };
    under_attack(swap, 50, 5000, |i| {
        let root = if i % 2 == 0 { Path::new("/") } else { &root };
        let _ = create_mount_destination("/dev/null", &dst, root, "bind");
        assert!(is_empty(&outside), "created through a link");
    });
}

#[test]
fn unmounting_is_not_lured_to_another_mount() {
    private_mounts!();
    on_kernels(|_| {
        let root = tempfile::tempdir().unwrap().keep();
        let other = dir(root.join("other"));
        let precious = tmpfs(other.join("mnt"), 0);
        // The parent of the path, and the path itself, as a directory and as a link.
        let (parent, parent_link) = (dir(root.join("parent")), link(&other, root.join("link")));
        dir(parent.join("mnt"));
        let end = dir(root.join("end"));
        let end_link = link(&precious, root.join("end-link"));
        let swap = || {
            exchange(&parent, &parent_link).unwrap();
            exchange(&end, &end_link).unwrap();
        };
        under_attack(swap, 50, 3000, |_| {
            // Whatever the answers are.
            for path in ["parent/mnt", "parent/mnt/", "parent/./mnt"] {
                let _ = umount_timeout(root.join(path), 0);
                let _ = umount_timeout(root.join(path), 1);
            }
            for path in ["end", "end/", "end/."] {
                let _ = umount_timeout(root.join(path), 0);
                let _ = umount_all(root.join(path), true);
            }
        });
        assert_eq!(entries_at(&precious).len(), 1, "unmounted through a link");
    });
}
