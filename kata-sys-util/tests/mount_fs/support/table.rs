//! The mount table as the kernel shows it, read in another way than the library does.

use std::fs;
use std::path::{Path, PathBuf};

/// One line of `/proc/thread-self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) root: String,
    /// Flags of the mount, without `rw` and `relatime`, which are the default.
    pub(crate) flags: Vec<String>,
    /// `shared`, `master`, `unbindable`; without the numbers.
    pub(crate) propagation: Vec<String>,
    pub(crate) fs_type: String,
    pub(crate) source: String,
    /// Options of the superblock.
    pub(crate) options: Vec<String>,
}

/// All mounts at `path`, the visible one last.
pub(crate) fn entries_at(path: &Path) -> Vec<Entry> {
    all_entries()
        .into_iter()
        .filter(|entry| entry.path == path)
        .collect()
}

pub(crate) fn all_entries() -> Vec<Entry> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    table.lines().map(parse).collect()
}

/// The visible mount at `path`.
#[track_caller]
pub(crate) fn entry_at(path: &Path) -> Entry {
    let found = entries_at(path).pop();
    found.unwrap_or_else(|| panic!("nothing is mounted at {}", path.display()))
}

pub(crate) fn is_listed(path: &Path) -> bool {
    !entries_at(path).is_empty()
}

fn parse(line: &str) -> Entry {
    let (mount, fs) = line.split_once(" - ").unwrap();
    let mount: Vec<_> = mount.split(' ').collect();
    let fs: Vec<_> = fs.split(' ').collect();
    let words = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let flags = words(mount[5]);
    Entry {
        path: mount[4].replace("\\040", " ").replace("\\134", "\\").into(),
        root: mount[3].to_owned(),
        flags: flags
            .into_iter()
            .filter(|f| f != "rw" && f != "relatime")
            .collect(),
        propagation: mount[6..]
            .iter()
            .map(|f| f.split(':').next().unwrap().to_owned())
            .collect(),
        fs_type: fs[0].to_owned(),
        source: fs[1].to_owned(),
        options: words(fs[2]),
    }
}
