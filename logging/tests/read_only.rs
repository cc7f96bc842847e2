//! A disk that becomes read-only, and writable again: what was logged meanwhile is accounted as
//! failed, nothing else is lost, and rotation goes on.
//!
//! The kernel refuses to remount a file system read-only while a file is open for writing, unless it
//! does so itself: after an error (`errors=remount-ro`), or when it is told to in an emergency. That
//! is tested in the guest alone, for it concerns all disks of a machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use logging::FileRotator;
use slog::{Level, info};
use support::mounts::{bind, mount, mount_tmpfs, own_mounts, try_mount, unmount};
use support::{number, text};
use test_utils::isolation::scratch;
use test_utils::{isolate, skip_if_not_guest};

/// Three records or four.
const THRESHOLD: u64 = 500;

const RECORDS: u64 = 20;

fn rotator(path: &Path) -> FileRotator {
    let mut rotator = FileRotator::new(path).unwrap();
    rotator.rotate_threshold(THRESHOLD).rotate_count(100);
    rotator
}

type Writer = Box<dyn Write + Send + Sync>;

fn logger(writer: Writer) -> (slog::Logger, slog_async::AsyncGuard) {
    logging::create_logger("n", "s", Level::Info, writer)
}

fn log(logger: &slog::Logger, message: &str) {
    for n in 0..RECORDS {
        info!(logger, "{message}"; "n" => n);
    }
    logger.flush().unwrap();
}

/// What is in the files of a log, the oldest first.
fn files(path: &Path) -> Vec<String> {
    let read = |n: u32| match n {
        0 => fs::read_to_string(path).ok(),
        n => fs::read_to_string(format!("{}.{n}", path.display())).ok(),
    };
    let mut files: Vec<_> = (0..).map_while(read).collect();
    files.reverse();
    files
}

/// Logs to a new writer before, while and after the disk is read-only. Returns the files.
fn outlive(
    path: &Path,
    writer: Writer,
    make_read_only: impl FnOnce(),
    make_writable: impl FnOnce(),
) -> Vec<String> {
    let (logger, guard) = logger(writer);
    log(&logger, "before");
    make_read_only();
    outlive_read_only(path, &logger, make_writable);
    drop(guard);
    let stats = logging::stats(&logger).unwrap();
    assert_eq!((stats.written, stats.failed), (2 * RECORDS, RECORDS));
    assert_eq!(stats.dropped.total(), 0);
    files(path)
}

fn outlive_read_only(path: &Path, logger: &slog::Logger, make_writable: impl FnOnce()) {
    let before = files(path);
    log(logger, "lost");
    assert_eq!(logging::stats(logger).unwrap().failed, RECORDS);
    assert_eq!(files(path), before);
    make_writable();
    log(logger, "after");
}

/// All records before and after, and a report of those between.
fn assert_complete(files: &[String]) {
    let mut expected = Vec::new();
    for message in ["before", "after"] {
        expected.extend((0..RECORDS).map(|n| (message.to_owned(), n)));
    }
    let all = files.concat();
    let records = all.lines().map(support::record);
    let (reports, records): (Vec<_>, Vec<_>) =
        records.partition(|record| text(record, "msg") == "log records lost");
    let found: Vec<_> = records
        .iter()
        .map(|record| (text(record, "msg").to_owned(), number(record, "n")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(reports.len(), 1);
    assert_eq!(number(&reports[0], "failed"), RECORDS);
}

/// A file that is not open meanwhile, as any user may see it.
#[test]
fn a_log_on_a_disk_that_is_remounted_read_only_recovers() {
    isolate!(own_mounts());
    let disk = scratch();
    mount_tmpfs(&disk, 1 << 20);
    let path = disk.join("log");
    let (earlier, guard) = logger(Box::new(rotator(&path)));
    log(&earlier, "before");
    drop(guard);
    let before = files(&path).len();
    assert!(before > 3, "{before} files");

    let (later, guard) = logger(Box::new(rotator(&path)));
    let remount = |flags| mount("", &disk, "", libc::MS_REMOUNT | flags, "");
    remount(libc::MS_RDONLY);
    outlive_read_only(&path, &later, || remount(0));
    drop(guard);
    let after = files(&path);
    assert_complete(&after);
    assert!(after.len() > before + 3, "{} files", after.len());
}

/// Whoever wants to remount it has to end the logger, after which nothing is in the way.
#[test]
fn a_disk_with_an_open_log_is_not_remounted_read_only() {
    isolate!(own_mounts());
    let disk = scratch();
    mount_tmpfs(&disk, 1 << 20);
    let (logger, guard) = logger(Box::new(rotator(&disk.join("log"))));
    log(&logger, "before");
    let read_only = libc::MS_REMOUNT | libc::MS_RDONLY;
    let error = try_mount("", &disk, "", read_only, "").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    drop(guard);
    mount("", &disk, "", read_only, ""); // no descriptor is left
}

/// The file is open on the mount below, but cannot be renamed through the one that covers it.
#[test]
fn a_log_below_a_read_only_mount_grows_until_that_is_gone() {
    isolate!(own_mounts());
    let disk = scratch();
    mount_tmpfs(&disk, 1 << 20);
    let path = disk.join("log");
    let mut log = rotator(&path);
    log.rotate_threshold(1000).rotate_count(2);
    let line = "x".repeat(99);
    let write = |log: &mut FileRotator, lines| {
        for _ in 0..lines {
            writeln!(log, "{line}").unwrap();
        }
    };
    write(&mut log, 25);
    let history = || files(&path).split_last().unwrap().1.to_vec();
    let before = history();
    assert_eq!(before.len(), 2);

    bind(&disk, &disk);
    let read_only = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
    mount("", &disk, "", read_only, "");
    write(&mut log, 45);
    // After 1000 bytes, and after each 1000 more.
    assert_eq!(log.error_count(), 4);
    assert_eq!(history(), before);
    assert_eq!(fs::metadata(&path).unwrap().len(), 5000);
    assert!(
        FileRotator::new(&path)
            .unwrap()
            .write(b"refused\n")
            .is_err()
    );

    unmount(&disk);
    write(&mut log, 25);
    let sizes: Vec<_> = files(&path).iter().map(String::len).collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    assert_eq!(log.error_count(), 4);
}

/// As after an error of the disk: read-only under the open file.
#[test]
fn a_log_on_a_disk_that_is_read_only_by_force_recovers() {
    skip_if_not_guest!();
    let disk = Path::new("/mnt");
    let make_read_only = || {
        // Emergency remount, which the kernel does when it finds the time.
        fs::write("/proc/sysrq-trigger", "u").unwrap();
        while !is_read_only(disk) {
            std::thread::yield_now();
        }
    };
    let make_writable = || mount("", disk, "", libc::MS_REMOUNT, "nodelalloc");

    let path = disk.join("rotated");
    let files = outlive(
        &path,
        Box::new(rotator(&path)),
        make_read_only,
        make_writable,
    );
    assert_complete(&files);
    assert!(files.len() > 5, "{} files", files.len());

    let path = disk.join("plain");
    let file = File::options()
        .append(true)
        .create(true)
        .open(&path)
        .unwrap();
    let files = outlive(&path, Box::new(file), make_read_only, make_writable);
    assert_complete(&files);
}

fn is_read_only(disk: &Path) -> bool {
    let path = std::ffi::CString::new(disk.to_str().unwrap()).unwrap();
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: both pointers are valid during the call.
    let result = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the call has filled it.
    let found = unsafe { found.assume_init() };
    found.f_flag & libc::ST_RDONLY != 0
}
