//! Reading the small files of procfs, sysfs and cgroups.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Enough for every file with one value per line that is read here.
const BUFFER: usize = 8 * 1024;

/// Reads a file of at most 8 KiB by one `open` and one `read` into a buffer on the stack, and
/// gives its content to `use_content`. Of a longer file, the beginning.
///
/// # Errors
///
/// The file cannot be opened or read.
pub(crate) fn read_small<T>(path: &Path, use_content: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    let mut buffer = [0; BUFFER];
    let mut file = File::open(path)?;
    let mut filled: usize = 0;
    // procfs and cgroup files come whole with the first read; others may come in parts.
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(use_content(buffer.get(..filled).unwrap_or_default()))
}

/// A path for a system call.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A number that fills a file, such as `memory.current`; `max` is `u64::MAX`.
pub(super) fn read_number(path: &Path) -> Option<u64> {
    read_small(path, |text| {
        let text = std::str::from_utf8(text).ok()?.trim();
        if text == "max" {
            return Some(u64::MAX);
        }
        text.parse().ok()
    })
    .ok()
    .flatten()
}
