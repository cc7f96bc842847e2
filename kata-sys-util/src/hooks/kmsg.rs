//! Failures of hooks in the kernel's log
//! ([`/dev/kmsg`](https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg)), for processes
//! without a logger.
//!
//! The process that becomes the container runs the hooks `createContainer` and `startContainer`
//! before any logger exists in it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// The kernel takes about a thousand bytes as one record.
const LONGEST_RECORD: usize = 900;

/// For a device that a container could have put there: a FIFO must not block, a terminal not become
/// that of the process, and a link not lead out of the container.
const OPEN_FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// Writes one record about a failed hook to `device`, if that is a character device.
pub(super) fn report_failure(device: &Path, hook: &Path, error: &str) -> io::Result<()> {
    let record = record(hook, error);
    // Not created where there is none: it would be a file in the container.
    let mut options = OpenOptions::new();
    let mut device = options.write(true).custom_flags(OPEN_FLAGS).open(device)?;
    if !device.metadata()?.file_type().is_char_device() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    // Each `write` is a record, so there must be only one.
    device.write(record.as_bytes()).map(drop)
}

fn record(hook: &Path, error: &str) -> String {
    let mut record = format!("kata-agent: hook failed: {}: {error}", hook.display());
    while record.len() > LONGEST_RECORD {
        record.pop();
    }
    record.replace(['\n', '\r', '\0'], " ")
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn report(device: &Path) -> io::Result<()> {
        report_failure(device, Path::new("/bin/hook"), "exit 1")
    }

    #[test]
    fn record_is_one_line_of_at_most_900_bytes() {
        let hook = Path::new("/bin/hook");
        for (error, expected) in [
            ("exit 1", "kata-agent: hook failed: /bin/hook: exit 1"),
            ("a\nb\r\nc", "kata-agent: hook failed: /bin/hook: a b  c"),
        ] {
            assert_eq!(record(hook, error), expected);
        }
        for filler in ["x", "é", "€", "\n"] {
            let record = record(hook, &filler.repeat(900));
            assert!(
                record.len() <= 900 && record.len() > 896,
                "{filler:?}: {}",
                record.len()
            );
            assert_eq!(record.lines().count(), 1);
        }
    }

    fn make_fifo(path: PathBuf) -> PathBuf {
        let text = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that ends in NUL and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        path
    }

    #[test]
    fn character_device_gets_the_record() {
        report(Path::new("/dev/null")).unwrap();
        let error = report(Path::new("/dev/full")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    }

    #[test]
    fn fifo_without_a_reader_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = make_fifo(dir.path().join("kmsg"));
        let error = report(&fifo).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    }

    #[test]
    fn fifo_with_a_reader_gets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = make_fifo(dir.path().join("kmsg"));
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK);
        let mut reader = options.open(&fifo).unwrap();
        let error = report(&fifo).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        let mut text = String::new();
        assert_eq!(reader.read_to_string(&mut text).unwrap(), 0);
    }

    #[test]
    fn regular_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kmsg");
        fs::write(&file, "text").unwrap();
        let error = report(&file).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
        assert_eq!(fs::read(file).unwrap(), b"text");
    }

    #[test]
    fn link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("kmsg");
        symlink("/dev/null", &link).unwrap();
        let error = report(&link).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn missing_device_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("kmsg");
        assert!(report(&device).is_err());
        assert!(!fs::exists(device).unwrap());
    }
}
