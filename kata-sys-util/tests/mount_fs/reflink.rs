//! `reflink_copy`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kata_sys_util::fs::reflink_copy;
use tempfile::TempDir;
use test_utils::isolation::as_ordinary_user;
use test_utils::seccomp::{Rule, run_under};

use crate::support::*;

/// The text of the error, which must be of kind `Other`.
#[track_caller]
fn refused(src: &Path, dst: &Path) -> String {
    let error = reflink_copy(src, dst).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    error.to_string()
}

/// A directory with a source; nothing else may be left in it.
struct Place {
    dir: TempDir,
    src: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let src = file(dir.path().join("src"), "the source");
        Self { dir, src }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    #[track_caller]
    fn assert_holds(&self, names: &[&str]) {
        let mut found: Vec<_> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
    }
}

#[test]
fn copy_has_the_data_and_nothing_else_of_the_source() {
    let place = Place::new();
    fs::set_permissions(&place.src, fs::Permissions::from_mode(0o400)).unwrap();
    let dst = place.path("dst");
    reflink_copy(&place.src, &dst).unwrap();
    assert_eq!(fs::read(&dst).unwrap(), b"the source");
    let plain = file(place.path("plain"), "");
    let mode = |p: &Path| fs::metadata(p).unwrap().mode();
    assert_eq!(mode(&dst), mode(&plain));
    place.assert_holds(&["dst", "plain", "src"]);
}

#[test]
fn existing_target_is_replaced() {
    let place = Place::new();
    let dst = file(
        place.path("dst"),
        "something that is longer than the source",
    );
    fs::set_permissions(&dst, fs::Permissions::from_mode(0o600)).unwrap();
    let reader = File::open(&dst).unwrap();
    for _ in 0..2 {
        reflink_copy(&place.src, &dst).unwrap();
        assert_eq!(fs::read(&dst).unwrap(), b"the source");
    }
    let mut old = [0; 9];
    reader.read_exact_at(&mut old, 0).unwrap();
    assert_eq!(&old, b"something", "the old file was written to");
    place.assert_holds(&["dst", "src"]);
}

#[test]
fn missing_parents_are_created() {
    let place = Place::new();
    let dst = place.path("a/b/c");
    reflink_copy(&place.src, &dst).unwrap();
    assert_eq!(fs::read(&dst).unwrap(), b"the source");
}

#[test]
fn source_may_be_a_link_but_must_lead_to_a_file() {
    let place = Place::new();
    let link_to_src = link(&place.src, place.path("link"));
    reflink_copy(&link_to_src, place.path("dst")).unwrap();
    assert_eq!(fs::read(place.path("dst")).unwrap(), b"the source");

    make_fifo(&place.path("fifo"));
    let dangling = link("none", place.path("dangling"));
    for src in [
        place.path("none"),
        place.path("fifo"),
        dangling,
        place.dir.path().to_owned(),
        PathBuf::new(),
        PathBuf::from("/dev/null"),
    ] {
        let text = refused(&src, &place.path("dst"));
        assert_eq!(
            text,
            format!("reflink_copy src {} is not a regular file", src.display())
        );
    }
    assert_eq!(fs::read(place.path("dst")).unwrap(), b"the source");
    place.assert_holds(&["dangling", "dst", "fifo", "link", "src"]);
}

#[test]
fn target_must_not_be_anything_but_a_file() {
    let place = Place::new();
    let target = dir(place.path("dir"));
    make_fifo(&place.path("fifo"));
    let link_to_dir = link(&target, place.path("link"));
    for dst in [
        target,
        place.path("fifo"),
        link_to_dir,
        place.path("dir/.."),
        PathBuf::from("/dev/null"),
    ] {
        let text = refused(&place.src, &dst);
        assert_eq!(
            text,
            format!("reflink_copy dst {} is not a regular file", dst.display())
        );
    }
    place.assert_holds(&["dir", "fifo", "link", "src"]);
}

#[test]
fn parent_of_the_target_must_be_a_directory() {
    let place = Place::new();
    let dst = place.path("src/dst");
    let text = refused(&place.src, &dst);
    assert_eq!(
        text,
        format!(
            "reflink_copy parent of {} is not a directory",
            dst.display()
        )
    );

    let parent = place.path("src/a/b");
    let text = refused(&place.src, &parent.join("dst"));
    assert_eq!(
        text,
        format!(
            "reflink_copy: create_dir_all {} failed: {:?}",
            parent.display(),
            std::io::Error::from_raw_os_error(libc::ENOTDIR)
        )
    );
    // A parent that is no text does not panic.
    let parent = place.path("src/a").join(OsStr::from_bytes(b"\xff"));
    assert!(refused(&place.src, &parent.join("dst")).contains("create_dir_all"));
}

fn copy_failed(src: &Path, dst: &Path, errno: i32) -> String {
    format!(
        "reflink_copy: copy {} to {} failed: {:?}",
        src.display(),
        dst.display(),
        std::io::Error::from_raw_os_error(errno)
    )
}

#[test]
fn parent_that_cannot_be_opened_is_told_with_the_reason() {
    let place = Place::new();
    let flags = (libc::O_PATH | libc::O_DIRECTORY) as u32;
    for errno in [libc::EMFILE, libc::ENOMEM, libc::EACCES, libc::ENOENT] {
        let rules = [Rule::fail(libc::SYS_openat, errno).if_argument(2, flags, flags)];
        let dst = place.path("dst");
        let text = run_under(&rules, || refused(&place.src, &dst));
        assert_eq!(text, copy_failed(&place.src, &dst, errno));
    }
    place.assert_holds(&["src"]);
}

#[test]
fn source_that_cannot_be_looked_at_is_told_with_the_reason() {
    let place = Place::new();
    let rules = [Rule::fail(libc::SYS_openat, libc::EMFILE)];
    let text = run_under(&rules, || refused(&place.src, &place.path("dst")));
    assert!(text.contains("Too many open files"), "{text}");
}

#[test]
fn copy_needs_no_proc() {
    private_mounts!();
    let place = Place::new();
    make_fifo(&place.path("fifo"));
    raw_mount("none", Path::new("/proc"), "tmpfs", 0, "");
    reflink_copy(&place.src, place.path("dst")).unwrap();
    assert_eq!(fs::read(place.path("dst")).unwrap(), b"the source");
    assert!(refused(&place.path("fifo"), &place.path("dst")).ends_with("is not a regular file"));
}

#[test]
fn file_copied_to_itself_stays() {
    let place = Place::new();
    let hard_link = place.path("hard");
    fs::hard_link(&place.src, &hard_link).unwrap();
    let link_to_src = link(&place.src, place.path("link"));
    for src in [&place.src, &link_to_src] {
        for dst in [&place.src, &hard_link, &place.dir.path().join("./src")] {
            reflink_copy(src, dst).unwrap();
        }
    }
    assert_eq!(fs::read(&place.src).unwrap(), b"the source");
    assert_eq!(fs::metadata(&place.src).unwrap().nlink(), 2);
    place.assert_holds(&["hard", "link", "src"]);
}

#[test]
fn link_at_the_target_is_replaced_and_not_followed() {
    let place = Place::new();
    let other = file(place.path("other"), "other");
    for target in [place.path("none"), other.clone(), place.src.clone()] {
        let dst = link(&target, place.path("dst"));
        reflink_copy(&place.src, &dst).unwrap();
        assert!(fs::symlink_metadata(&dst).unwrap().is_file());
        assert_eq!(fs::read(&dst).unwrap(), b"the source");
        fs::remove_file(&dst).unwrap();
    }
    assert_eq!(fs::read(other).unwrap(), b"other");
    place.assert_holds(&["other", "src"]);
}

#[test]
fn names_may_be_odd() {
    private_mounts!(); // For a working directory of its own.
    let place = Place::new();
    std::env::set_current_dir(place.dir.path()).unwrap();
    for name in [&b"-rf"[..], b"--", b"\xff\xfe", b" \n", b"x"] {
        let name = OsStr::from_bytes(name);
        fs::write(name, name.as_bytes()).unwrap();
        let dst = Path::new("copies").join(name);
        reflink_copy(name, &dst).unwrap();
        assert_eq!(fs::read(dst).unwrap(), name.as_bytes());
    }
    reflink_copy("src", "here").unwrap();
    assert_eq!(fs::read("here").unwrap(), b"the source");
    let long = "n".repeat(255);
    reflink_copy("src", &long).unwrap();
    assert!(reflink_copy("src", "n".repeat(256)).is_err());
}

#[test]
fn files_without_a_size_are_copied_as_they_are_read() {
    let place = Place::new();
    let dst = place.path("dst");
    for _ in 0..2 {
        reflink_copy("/proc/self/status", &dst).unwrap();
        assert!(fs::read_to_string(&dst).unwrap().starts_with("Name:"));
    }
    reflink_copy("/sys/kernel/mm/transparent_hugepage/enabled", &dst)
        .or_else(|_| reflink_copy("/proc/version", &dst))
        .unwrap();
    assert!(!fs::read(&dst).unwrap().is_empty());
    let empty = file(place.path("empty"), "");
    reflink_copy(empty, &dst).unwrap();
    assert!(fs::read(&dst).unwrap().is_empty());
}

fn sparse_file(path: PathBuf) -> PathBuf {
    let file = File::create_new(&path).unwrap();
    file.set_len(32 << 20).unwrap();
    for (position, byte) in [(0, 1), (1 << 20, 2), (10 << 20, 3), ((20 << 20) + 5, 4)] {
        file.write_all_at(&vec![byte; 300_000], position).unwrap();
    }
    path
}

#[test]
fn holes_and_data_are_kept_whatever_the_kernel_lacks() {
    let place = Place::new();
    let src = sparse_file(place.path("sparse"));
    let deny = Rule::fail;
    let lseek = |whence: libc::c_int, errno| {
        deny(libc::SYS_lseek, errno).if_argument(2, u32::MAX, whence.cast_unsigned())
    };
    let cases: [(&[Rule], bool); 9] = [
        (&[], true),
        (&[deny(libc::SYS_ioctl, libc::ENOTTY)], true),
        (&[deny(libc::SYS_copy_file_range, libc::ENOSYS)], true),
        (&[deny(libc::SYS_copy_file_range, libc::EXDEV)], true),
        (&[deny(libc::SYS_copy_file_range, libc::EPERM)], true),
        // "0 bytes copied", as Linux before 5.19 says of some file systems.
        (&[deny(libc::SYS_copy_file_range, 0)], true),
        (
            &[
                deny(libc::SYS_copy_file_range, libc::EINVAL),
                deny(libc::SYS_statx, libc::ENOSYS),
            ],
            true,
        ),
        (&[lseek(libc::SEEK_HOLE, libc::EINVAL)], false),
        (&[lseek(libc::SEEK_DATA, libc::EINVAL)], false),
    ];
    let expected = fs::metadata(&src).unwrap();
    for (rules, keeps_holes) in cases {
        let dst = place.path("dst");
        run_under(rules, || reflink_copy(&src, &dst)).unwrap();
        let found = fs::metadata(&dst).unwrap();
        assert_eq!(found.len(), expected.len(), "{rules:?}");
        if keeps_holes {
            assert_eq!(found.blocks(), expected.blocks(), "{rules:?}");
        }
        assert!(has_same_data(&src, &dst), "{rules:?}");
        fs::remove_file(dst).unwrap();
    }
    place.assert_holds(&["sparse", "src"]);
}

fn has_same_data(a: &Path, b: &Path) -> bool {
    let (a, b) = (File::open(a).unwrap(), File::open(b).unwrap());
    let length = a.metadata().unwrap().len();
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    (0..length).step_by(1 << 20).all(|position| {
        a.read_exact_at(&mut x, position).unwrap();
        b.read_exact_at(&mut y, position).unwrap();
        x == y
    })
}

#[test]
fn data_are_copied_when_they_cannot_be_shared() {
    let place = Place::new();
    for errno in [
        libc::EXDEV,
        libc::EOPNOTSUPP,
        libc::EINVAL,
        libc::ENOTTY,
        libc::ENOSYS,
        libc::EPERM,
        libc::ETXTBSY,
        libc::EACCES,
    ] {
        let dst = place.path("dst");
        let rules = [Rule::fail(libc::SYS_ioctl, errno)];
        run_under(&rules, || reflink_copy(&place.src, &dst)).unwrap();
        assert_eq!(fs::read(&dst).unwrap(), b"the source");
        fs::remove_file(dst).unwrap();
    }
}

#[test]
fn no_second_try_where_there_is_no_room() {
    let place = Place::new();
    let dst = file(place.path("dst"), "the old one");
    for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS] {
        let rules = [Rule::fail(libc::SYS_ioctl, errno)];
        let text = run_under(&rules, || refused(&place.src, &dst));
        assert_eq!(text, copy_failed(&place.src, &dst, errno));
        assert_eq!(fs::read(&dst).unwrap(), b"the old one");
    }
    place.assert_holds(&["dst", "src"]);
}

/// The clone itself, for which no file system is at hand: the kernel says that it has been made.
#[test]
fn clone_is_not_copied_again() {
    let place = Place::new();
    let dst = place.path("dst");
    run_under(&[Rule::fail(libc::SYS_ioctl, 0)], || {
        reflink_copy(&place.src, &dst)
    })
    .unwrap();
    assert_eq!(fs::metadata(&dst).unwrap().len(), 0);
    place.assert_holds(&["dst", "src"]);
}

#[test]
fn target_is_what_it_was_after_a_failed_copy() {
    private_mounts!();
    let src = file(
        tempfile::tempdir().unwrap().keep().join("src"),
        &"x".repeat(1 << 20),
    );
    let small = dir(std::env::temp_dir().join("small"));
    raw_mount("tmpfs", &small, "tmpfs", 0, "size=64k");
    let dst = file(small.join("dst"), "the old one");
    for rules in [
        &[][..],
        &[Rule::fail(libc::SYS_copy_file_range, libc::ENOSYS)],
    ] {
        let text = run_under(rules, || refused(&src, &dst));
        assert_eq!(
            text,
            format!(
                "reflink_copy: regular copy {} to {} failed: {:?}",
                src.display(),
                dst.display(),
                std::io::Error::from_raw_os_error(libc::ENOSPC)
            )
        );
        assert_eq!(fs::read(&dst).unwrap(), b"the old one");
        assert_eq!(
            fs::read_dir(&small).unwrap().count(),
            1,
            "something is left"
        );
        assert!(refused(&src, &small.join("new")).contains("regular copy"));
        assert!(!small.join("new").exists());
    }
    raw_mount(
        "",
        &small,
        "",
        libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY,
        "",
    );
    assert!(refused(&src, &dst).contains("failed: Os { code: 30"));
}

#[test]
fn unreadable_source_leaves_the_target() {
    as_ordinary_user(|| {
        let place = Place::new();
        let dst = file(place.path("dst"), "the old one");
        fs::set_permissions(&place.src, fs::Permissions::from_mode(0o000)).unwrap();
        let text = refused(&place.src, &dst);
        assert!(
            text.starts_with("reflink_copy: copy ") && text.contains("code: 13"),
            "{text}"
        );
        assert_eq!(fs::read(&dst).unwrap(), b"the old one");
        place.assert_holds(&["dst", "src"]);
    });
}

#[test]
fn reader_finds_the_old_file_or_the_whole_copy() {
    let place = Place::new();
    let dst = file(place.path("dst"), &"old".repeat(100_000));
    let sources = [
        file(place.path("a"), &"a".repeat(400_000)),
        file(place.path("b"), &"b".repeat(250_000)),
    ];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let data = fs::read(&dst).expect("the target is always there");
                assert!(
                    matches!(
                        (data[0], data.len()),
                        (b'o', 300_000) | (b'a', 400_000) | (b'b', 250_000)
                    ),
                    "{} bytes of {}",
                    data.len(),
                    char::from(data[0])
                );
            }
        });
        for source in sources.iter().cycle().take(50) {
            reflink_copy(source, &dst).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    place.assert_holds(&["a", "b", "dst", "src"]);
}

#[test]
fn many_copies_to_one_target_do_not_disturb_each_other() {
    let place = Place::new();
    let dst = place.path("new/dst");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..20).for_each(|_| reflink_copy(&place.src, &dst).unwrap()));
        }
    });
    assert_eq!(fs::read(&dst).unwrap(), b"the source");
    assert_eq!(fs::read_dir(dst.parent().unwrap()).unwrap().count(), 1);
}
