//! Reading the small files of procfs, sysfs and cgroups.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Enough for every file with one value per line that is read here.
const BUFFER: usize = 8 * 1024;

/// Reads a file of at most 8 KiB by one `open` and one `read` into a buffer on the stack, and
/// gives its content to `use_content`. Of a longer file, the lines that are whole: a number that is
/// cut off would be another number.
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
    let mut content = buffer.get(..filled).unwrap_or_default();
    if filled == BUFFER {
        let lines = content.iter().rposition(|b| *b == b'\n');
        content = content.get(..lines.unwrap_or(0)).unwrap_or_default();
    }
    Ok(use_content(content))
}

/// A path for a system call.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A number that fills a file, such as `memory.current`; `max` is `u64::MAX`.
pub(super) fn read_number(path: &Path) -> io::Result<u64> {
    let number = read_small(path, |text| {
        let text = std::str::from_utf8(text).ok()?.trim();
        if text == "max" {
            return Some(u64::MAX);
        }
        text.parse().ok()
    })?;
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fill_their_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cases = [
            ("0\n", Some(0)),
            ("max\n", Some(u64::MAX)),
            (" 18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616\n", None),
            ("-1\n", None),
            ("1 2\n", None),
            ("", None),
        ];
        for (text, number) in cases {
            std::fs::write(file.path(), text).unwrap();
            assert_eq!(read_number(file.path()).ok(), number, "{text:?}");
        }
        let error = read_number(Path::new("/proc/no such file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn of_a_long_file_the_whole_lines_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = "pgsteal 123456\n";
        for length in [BUFFER - 1, BUFFER, BUFFER + 1, 10 * BUFFER] {
            let text = line.repeat(length / line.len() + 1);
            std::fs::write(file.path(), &text.as_bytes()[..length]).unwrap();
            let read = read_small(file.path(), <[u8]>::to_vec).unwrap();
            if length < BUFFER {
                assert_eq!(read, text.as_bytes()[..length]);
            } else {
                assert!(read.ends_with(b"\npgsteal 123456"), "{length}");
                assert!(read.len() > BUFFER - 2 * line.len(), "{length}");
            }
        }
        std::fs::write(file.path(), "1".repeat(BUFFER)).unwrap();
        let error = read_number(file.path()).unwrap_err();
        assert_eq!(
            error.kind(),
            io::ErrorKind::InvalidData,
            "a line without an end"
        );
    }
}
