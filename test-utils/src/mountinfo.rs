//! The mount table (`proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// That of the calling thread.
pub(crate) fn read() -> io::Result<Vec<u8>> {
    fs::read("/proc/thread-self/mountinfo")
}

/// Where each mount of a table is, by the fifth field of its line, and that line.
pub(crate) fn mounts(table: &[u8]) -> impl Iterator<Item = (PathBuf, &[u8])> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let field = line.split(|byte| *byte == b' ').nth(4)?;
        Some((OsString::from_vec(unescape(field)).into(), line))
    })
}

/// `\040` is a space: four characters stand for each byte that would end the field, or begin such a
/// sequence.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.split_at_checked(3).filter(|_| *first == b'\\');
        let escaped = digits.and_then(|(digits, tail)| Some((octal(digits)?, tail)));
        let (byte, tail) = escaped.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn mount_points_are_read_as_they_are_named() {
        let table = b"29 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
            30 29 0:5 /a\\040b /m/with\\040space\\134040 rw shared:1 - tmpfs none rw\n\
            31 29 0:6 / /m/\xff\\01 rw - proc proc rw\n";
        let points: Vec<_> = mounts(table).map(|(point, _)| point).collect();
        let bytes: Vec<_> = points
            .iter()
            .map(|point| point.as_os_str().as_bytes())
            .collect();
        assert_eq!(bytes, [&b"/"[..], b"/m/with space\\040", b"/m/\xff\\01"]);
    }

    #[test]
    fn place_of_a_mount_is_what_the_table_means() {
        assert_eq!(unescape(b"/tmp/a\\040b\\134c"), b"/tmp/a b\\c");
        assert_eq!(unescape(b"/plain"), b"/plain");
    }
}
