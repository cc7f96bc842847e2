//! The mount table as text: `/proc/PID/mounts`, in the format of `fstab(5)`
//! ([`proc_pid_mounts(5)`](https://man7.org/linux/man-pages/man5/proc_pid_mounts.5.html)).
//!
//! Its length is that of the node's mounts, so it is read only where the kernel cannot be asked
//! about one path.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::{Error, Result};
use super::{LinuxMountInfo, PROC_MOUNTS_FILE};
use crate::SysRoot;
use crate::open::open as open_file;

/// Device, mount point, type, options, and two numbers.
const FIELDS: usize = 6;

/// Bytes read at a time. The kernel gives out about a page per call anyway.
const READ_SIZE: usize = 16 * 1024;

/// The topmost mount in the table whose mount point is `mount_point`, without regard to slashes at
/// its end.
pub(super) fn find(root: &SysRoot, mount_point: &str) -> Result<LinuxMountInfo> {
    let path = without_trailing_slashes(mount_point);
    match search(open(root)?, path.as_bytes())? {
        Some(info) => Ok(info),
        None => Err(Error::NoMountEntry(mount_point.to_owned())),
    }
}

/// Whether the table has a mount at `path`, which must be absolute and without links.
pub(super) fn contains(root: &SysRoot, path: &Path) -> Result<bool> {
    Ok(search(open(root)?, path.as_os_str().as_bytes())?.is_some())
}

/// The path without the slashes at its end, but for the root itself.
pub(super) fn without_trailing_slashes(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if !path.is_empty() => "/",
        trimmed => trimmed,
    }
}

/// The table of this thread's mount namespace: that of the process's first thread may be another
/// one (M20).
pub(crate) fn open(root: &SysRoot) -> io::Result<File> {
    open_file(&root.proc.join("thread-self/mounts")).or_else(|_| {
        let name = PROC_MOUNTS_FILE.trim_start_matches("/proc/");
        open_file(&root.proc.join(name))
    })
}

/// Reads the table to its end: of mounts stacked on one path, the last line is the visible one.
pub(crate) fn search<R: io::Read>(table: R, mount_point: &[u8]) -> Result<Option<LinuxMountInfo>> {
    let mut reader = BufReader::with_capacity(READ_SIZE, table);
    let mut line = Vec::with_capacity(512);
    let mut found = None;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return found.transpose();
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(info) = parse_line(text, mount_point) {
            found = Some(info);
        }
    }
}

/// The mount of this line, if it is at `mount_point`. Lines about other paths are never an error
/// (M9).
fn parse_line(line: &[u8], mount_point: &[u8]) -> Option<Result<LinuxMountInfo>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = fields.next()?;
    let path = unescape(fields.next()?);
    if *path != *mount_point {
        return None;
    }
    let fs_type = fields.next();
    let count = line.split(|byte| *byte == b' ').count();
    Some(match fs_type {
        Some(fs_type) if count >= FIELDS => Ok(LinuxMountInfo {
            device: text(&unescape(device)),
            path: text(&path),
            fs_type: text(fs_type),
        }),
        _ => Err(Error::InvalidMountEntry(FIELDS, count, text(line))),
    })
}

/// Space, tab, newline, backslash and `#` are written as `\` and three octal digits.
pub(super) fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match octal(rest) {
            Some((byte, after)) => {
                plain.push(byte);
                rest = after;
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    Cow::Owned(plain)
}

/// The byte that `\ooo` at the beginning stands for, and what follows it.
fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let [
        b'\\',
        a @ b'0'..=b'3',
        b @ b'0'..=b'7',
        c @ b'0'..=b'7',
        rest @ ..,
    ] = text
    else {
        return None;
    };
    Some((((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), rest))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    const TABLE: &[u8] = b"\
proc /proc proc rw,relatime 0 0
odd line
broken /broken ext4
/dev/sda1 / ext4 rw 0 0
tmpfs /data tmpfs rw 0 0
\xff\xfe /\xff\xfe tmpfs rw 0 0

overlay /data overlay rw,lowerdir=/a\\040b 0 0
/dev/my\\040disk /a\\040b\\011c\\012d\\134e\\043f xfs rw 0 0
extra /extra tmpfs rw 0 0 more fields
sda /open/bro ext4 rw 0 0
last /last ext2 rw 0 0";

    fn lookup(mount_point: &str) -> Result<Option<LinuxMountInfo>> {
        search(TABLE, without_trailing_slashes(mount_point).as_bytes())
    }

    fn found(mount_point: &str) -> (String, String, String) {
        let info = lookup(mount_point).unwrap().unwrap();
        (info.device, info.path, info.fs_type)
    }

    fn entry(device: &str, path: &str, fs_type: &str) -> (String, String, String) {
        (device.to_owned(), path.to_owned(), fs_type.to_owned())
    }

    #[test]
    fn mount_is_found_by_its_whole_path() {
        assert_eq!(found("/proc"), entry("proc", "/proc", "proc"));
        assert_eq!(found("/"), entry("/dev/sda1", "/", "ext4"));
        assert_eq!(found("/last"), entry("last", "/last", "ext2"));
        for path in ["", "/pro", "/proc/1", "proc", "/a", "/a b", "/open", "//"] {
            let expected = (path == "//").then(|| found("/"));
            let actual = lookup(path).unwrap();
            assert_eq!(
                actual.map(|i| (i.device, i.path, i.fs_type)),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn topmost_of_stacked_mounts_is_found() {
        assert_eq!(found("/data"), entry("overlay", "/data", "overlay"));
    }

    #[test]
    fn escapes_are_decoded_in_device_and_path() {
        assert_eq!(
            found("/a b\tc\nd\\e#f"),
            entry("/dev/my disk", "/a b\tc\nd\\e#f", "xfs")
        );
    }

    #[test]
    fn trailing_slashes_are_ignored() {
        assert_eq!(found("/data//"), found("/data"));
        assert_eq!(found("///"), found("/"));
    }

    #[test]
    fn short_line_is_an_error_only_for_its_own_path() {
        let error = lookup("/broken").unwrap_err();
        assert!(
            matches!(&error, Error::InvalidMountEntry(6, 3, line) if line == "broken /broken ext4"),
            "{error:?}"
        );
        let error = lookup("line").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid mountpoint entry (expected 6 fields, got 2) fields: odd line"
        );
    }

    #[test]
    fn short_line_below_a_good_one_is_no_error() {
        let table: &[u8] = b"a /m\nb /m tmpfs rw 0 0\n";
        assert_eq!(search(table, b"/m").unwrap().unwrap().device, "b");
    }

    #[test]
    fn surplus_fields_are_ignored() {
        assert_eq!(found("/extra"), entry("extra", "/extra", "tmpfs"));
    }

    #[test]
    fn table_of_the_thread_goes_before_that_of_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        assert!(
            matches!(find(&root, "/m"), Err(Error::Io(e)) if e.kind() == io::ErrorKind::NotFound)
        );
        fs::create_dir_all(root.proc.join("thread-self")).unwrap();
        fs::write(root.proc.join("mounts"), "process /m tmpfs rw 0 0\n").unwrap();
        assert_eq!(find(&root, "/m").unwrap().device, "process");
        fs::write(
            root.proc.join("thread-self/mounts"),
            "thread /m tmpfs rw 0 0\n",
        )
        .unwrap();
        assert_eq!(find(&root, "/m/").unwrap().device, "thread");
        assert!(matches!(find(&root, "/n/"), Err(Error::NoMountEntry(p)) if p == "/n/"));
    }

    proptest! {
        #[test]
        fn every_path_is_found_again_however_it_is_escaped(name in "[ -~\t\n]{1,20}") {
            let path = format!("/{}", name.replace('/', "_"));
            let escaped: String = path
                .chars()
                .map(|c| match c {
                    ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", u32::from(c)),
                    c => c.to_string(),
                })
                .collect();
            let line = format!("none {escaped} tmpfs rw 0 0\n");
            let info = search(line.as_bytes(), path.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(info.path, path);
        }

        #[test]
        fn no_table_makes_the_parser_panic(table: Vec<u8>, path in "\\PC*") {
            let _ = search(table.as_slice(), path.as_bytes());
        }
    }
}
