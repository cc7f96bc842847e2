//! One rotation: `<path>` becomes `<path>.1`, and what was rotated before moves up (D16, D20).
//!
//! First `<path>` is moved to `<path>.rotating`, which must not exist: of several processes, one
//! succeeds, and only that touches the history. It holds a lock on the file meanwhile. Whoever finds
//! `<path>.rotating` without a lock finds a rotation that was cut off by a crash, and finishes it.
//! Files move up from the highest number on, then `<path>.rotating` becomes `<path>.1`. Only then, when
//! nothing can fail any more, those beyond the count are removed. A crash before that leaves one file
//! too many, which goes when the file is opened next.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::FileId;
use super::disk::Disk;
use super::open;
use crate::sys;

/// How a rotation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotation {
    Done,
    /// The file at the path is another one than ours.
    NotOurs,
    /// Somebody else is just rotating.
    InProgress,
    /// It is not possible; everything is as before.
    Failed,
}

/// Rotates `file`, which is the one at `path` as far as we know.
pub(super) fn rotate(
    path: &Path,
    file: &File,
    id: FileId,
    count: u64,
    disk: &mut Disk,
) -> Rotation {
    if !sys::try_lock_exclusive(file.as_fd()) {
        return Rotation::InProgress;
    }
    let rotation = rotate_locked(path, id, count, disk);
    sys::unlock(file.as_fd());
    rotation
}

/// What was found at `<path>.rotating`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// Nothing, or nothing any more.
    None,
    /// Somebody is just rotating.
    InUse,
    /// Something that cannot become history.
    Obstacle,
}

/// Finishes a rotation that was cut off, if there is one.
pub(super) fn recover(path: &Path, count: u64, disk: &mut Disk) -> Leftover {
    let moved = moved(path);
    let open = |flags| {
        OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&moved)
    };
    let file = match open::flags(&moved).and_then(open) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Leftover::None,
        Err(_) => return Leftover::Obstacle,
    };
    let Some(found) = file.metadata().ok().filter(Metadata::is_file) else {
        return Leftover::Obstacle;
    };
    if !sys::try_lock_exclusive(file.as_fd()) {
        return Leftover::InUse;
    }
    if id_of(&moved) != Some((found.dev(), found.ino())) {
        return Leftover::None; // whoever had the lock is done
    }
    match finish(path, count, Shift::UpToGap, disk) {
        Ok(()) => Leftover::None,
        Err(_) => Leftover::Obstacle,
    }
}

/// Removes the file that a rotation has left which was cut off before it could, if there is one: it
/// comes after a history that is full. `file` is the one at `path` as far as we know.
pub(super) fn trim(path: &Path, file: &File, id: FileId, count: u64, disk: &mut Disk) {
    let Some(excess) = count.checked_add(1).filter(|_| count > 0) else {
        return;
    };
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if !(1..=excess).all(|number| is_there(&numbered(path, number))) {
        return;
    }
    // With the lock, nobody else can begin to rotate; who has done so before holds one on the file
    // that is found as `<path>.rotating`, and may still need all of the history.
    if !sys::try_lock_exclusive(file.as_fd()) {
        return;
    }
    let is_absent = |path: &Path| is(&fs::symlink_metadata(path), io::ErrorKind::NotFound);
    if id_of(path) == Some(id) && is_absent(&moved(path)) {
        remove_above(path, count, &[excess], disk);
    }
    sys::unlock(file.as_fd());
}

fn rotate_locked(path: &Path, id: FileId, count: u64, disk: &mut Disk) -> Rotation {
    let moved = moved(path);
    let mut result = disk.move_base(path, &moved);
    if is(&result, io::ErrorKind::AlreadyExists) {
        match recover(path, count, disk) {
            Leftover::None => result = disk.move_base(path, &moved),
            Leftover::InUse => return Rotation::InProgress,
            Leftover::Obstacle => return Rotation::Failed,
        }
    }
    if let Err(error) = result {
        return match error.kind() {
            io::ErrorKind::NotFound => Rotation::NotOurs,
            io::ErrorKind::AlreadyExists => Rotation::InProgress, // the next one
            _ => Rotation::Failed,
        };
    }
    if id_of(&moved) != Some(id) {
        // Somebody put a new file there just now: it is too young to be rotated, and our lock is
        // on another one.
        if disk.rename_no_replace(&moved, path).is_err() {
            recover(path, count, disk);
        }
        return Rotation::NotOurs;
    }
    match finish(path, count, Shift::All, disk) {
        Ok(()) => Rotation::Done,
        Err(_) => match disk.rename_no_replace(&moved, path) {
            Ok(()) => Rotation::Failed,
            // There is a new one already. The moved one is history, as soon as that is possible.
            Err(_) => Rotation::NotOurs,
        },
    }
}

/// Which of the files of the history move up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shift {
    All,
    /// Those before the first number that is free: the others did so before the crash.
    UpToGap,
}

/// Makes room for the moved file, and makes it the first of the history. If that fails, the history is
/// as before; else what is beyond the count is removed.
fn finish(path: &Path, count: u64, shift: Shift, disk: &mut Disk) -> io::Result<()> {
    let moved = moved(path);
    if count == 0 {
        disk.remove(&moved)?;
        remove_above(path, 0, &numbers(path)?, disk);
        return Ok(());
    }
    let mut numbers = numbers(path)?;
    let shifted: Vec<u64> = match shift {
        Shift::All => numbers.iter().copied().filter(|n| *n <= count).collect(),
        Shift::UpToGap => (1..=count)
            .zip(&numbers)
            .map_while(|(expected, found)| (expected == *found).then_some(expected))
            .collect(),
    };
    let downwards = shifted.iter().rev();
    for (done, number) in downwards.clone().enumerate() {
        let result = disk.rename(&numbered(path, *number), &numbered(path, number + 1));
        if let Err(error) = result {
            shift_back(path, downwards.take(done), disk);
            return Err(error);
        }
    }
    if shifted.last() == Some(&count) {
        numbers.push(count + 1);
    }
    let result = disk.rename(&moved, &numbered(path, 1));
    if result.is_err() {
        shift_back(path, downwards, disk);
        return result;
    }
    remove_above(path, count, &numbers, disk);
    Ok(())
}

/// Undoes the moves of these numbers, which were made in this order.
fn shift_back<'a>(path: &Path, numbers: impl DoubleEndedIterator<Item = &'a u64>, disk: &mut Disk) {
    for number in numbers.rev() {
        let _ = disk.rename(&numbered(path, number + 1), &numbered(path, *number));
    }
}

/// Removes the files of the history with a number above `count` (D19).
fn remove_above(path: &Path, count: u64, numbers: &[u64], disk: &mut Disk) {
    for number in numbers.iter().filter(|number| **number > count) {
        // A directory of that name, or what we may not remove, stays.
        let _ = disk.remove(&numbered(path, *number));
    }
}

/// The numbers of the files in the history, in ascending order.
fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        if let Some(number) = number(&entry?.file_name(), name) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The number of the file `<name>.<number>`. Only as we would write it: no `01`, no `+1`.
fn number(file: &OsStr, name: &OsStr) -> Option<u64> {
    let rest = file.as_bytes().strip_prefix(name.as_bytes())?;
    let digits = str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let number: u64 = digits.parse().ok()?;
    let is_ours = number > 0 && number < u64::MAX && number.to_string() == digits;
    is_ours.then_some(number)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    with_suffix(path, &format!(".{number}"))
}

/// Where the file is while it is rotated.
fn moved(path: &Path) -> PathBuf {
    with_suffix(path, ".rotating")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

fn id_of(path: &Path) -> Option<FileId> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn is<T>(result: &io::Result<T>, kind: io::ErrorKind) -> bool {
    matches!(result, Err(error) if error.kind() == kind)
}
