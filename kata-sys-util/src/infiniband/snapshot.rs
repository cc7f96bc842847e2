//! What is there of InfiniBand, in one line for a log.

use std::fmt::Write;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::InfinibandRoots;
use super::list::numbers;
use crate::open::open;

/// The most that is read of a file: as much as one of sysfs can have.
const FILE_MAX: u64 = 4096;

/// What is there of InfiniBand on this machine, in one line: the devices with their PCI functions,
/// node types and firmware versions, the devices for direct use, and the device nodes.
///
/// Never fails: what is not there is left out.
///
/// ```
/// use kata_sys_util::infiniband::snapshot_infiniband;
///
/// // On a machine without: `ib_devices=[] uverbs=[] chardevs=[]`
/// assert!(snapshot_infiniband().starts_with("ib_devices=["));
/// ```
pub fn snapshot_infiniband() -> String {
    snapshot_infiniband_in(&InfinibandRoots::default())
}

/// As [`snapshot_infiniband`], in other directories.
///
/// ```
/// use kata_sys_util::infiniband::{InfinibandRoots, snapshot_infiniband_in};
/// # let dir = tempfile::tempdir()?;
///
/// let roots = InfinibandRoots::under(dir.path());
/// let device = roots.ib_class_dir.join("mlx5_0");
/// std::fs::create_dir_all(&device)?;
/// std::fs::write(device.join("node_type"), "1: CA\n")?;
/// std::fs::write(device.join("fw_ver"), "20.31.1014\n")?;
/// std::os::unix::fs::symlink("../../../0000:3b:00.0", device.join("device"))?;
/// assert_eq!(
///     snapshot_infiniband_in(&roots),
///     r#"ib_devices=[mlx5_0=[bdf=0000:3b:00.0,node_type="1: CA",fw=20.31.1014]] uverbs=[] chardevs=[]"#
/// );
/// # std::io::Result::Ok(())
/// ```
pub fn snapshot_infiniband_in(roots: &InfinibandRoots) -> String {
    let devices = entries(&roots.ib_class_dir).into_iter().map(ib_device);
    let verbs = entries(&roots.verbs_class_dir).into_iter();
    let verbs = verbs.filter(|(name, _)| name.starts_with("uverbs"));
    let nodes = entries(&roots.dev_dir).into_iter();
    let mut text = String::new();
    append(&mut text, "ib_devices=[", devices);
    append(&mut text, "] uverbs=[", verbs.map(uverbs));
    append(&mut text, "] chardevs=[", nodes.filter_map(node));
    text.push(']');
    one_line(text)
}

/// Names and contents that the kernel would not write do not begin a new line of the log.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.into(),
    };
    text.chars().map(escaped).collect()
}

fn append(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    text.push_str(title);
    for (index, item) in items.enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{item}");
    }
}

/// Names and paths of a directory's entries, sorted.
fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path())
        })
        .collect();
    entries.sort_unstable();
    entries
}

fn ib_device((name, path): (String, PathBuf)) -> String {
    let target = fs::read_link(path.join("device")).ok();
    let bdf = target.as_deref().and_then(Path::file_name);
    let bdf = bdf.map_or("<none>".into(), |bdf| bdf.to_string_lossy());
    let node_type = read(&path.join("node_type"));
    let fw = read(&path.join("fw_ver"));
    format!("{name}=[bdf={bdf},node_type={node_type:?},fw={fw}]")
}

fn uverbs((name, path): (String, PathBuf)) -> String {
    let ibdev = read(&path.join("ibdev"));
    let dev = read(&path.join("dev"));
    format!("{name}=[ibdev={ibdev},dev={dev}]")
}

/// `None` if it is gone meanwhile.
fn node((name, path): (String, PathBuf)) -> Option<String> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let kind = kind(&metadata);
    let (major, minor) = numbers(&metadata);
    Some(format!("{name}=[{kind},{major}:{minor}]"))
}

fn kind(metadata: &Metadata) -> &'static str {
    let file_type = metadata.file_type();
    if file_type.is_char_device() {
        "char"
    } else if file_type.is_block_device() {
        "block"
    } else {
        "other"
    }
}

/// A trimmed file, or nothing if it cannot be read.
fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let text = match open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes),
        Err(_) => return String::new(),
    };
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_in_names_and_files_stay_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let roots = InfinibandRoots::under(dir.path());
        let device = roots.ib_class_dir.join("a\nb");
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("node_type"), "1:\nCA\n").unwrap();
        fs::write(device.join("fw_ver"), "20\r\n31\u{85}é\n").unwrap();
        assert_eq!(
            snapshot_infiniband_in(&roots),
            r#"ib_devices=[a\nb=[bdf=<none>,node_type="1:\nCA",fw=20\r\n31\u{85}é]] uverbs=[] chardevs=[]"#
        );
    }
}
