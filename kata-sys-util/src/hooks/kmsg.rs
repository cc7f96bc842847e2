//! Failures of hooks in the kernel's log
//! ([`/dev/kmsg`](https://www.kernel.org/doc/Documentation/ABI/testing/dev-kmsg)), for processes
//! without a logger.
//!
//! The process that becomes the container runs the hooks `createContainer` and `startContainer`
//! before any logger exists in it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// The kernel takes about a thousand bytes as one record.
const LONGEST_RECORD: usize = 900;

/// Writes one record about a failed hook to `device`.
pub(super) fn report_failure(device: &Path, hook: &Path, error: &str) -> io::Result<()> {
    let record = record(hook, error);
    // Not created where there is none: it would be a file in the container.
    let mut device = OpenOptions::new().write(true).open(device)?;
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
    use std::fs;
    use std::io::Read;

    use super::*;

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

    #[test]
    fn record_is_written_at_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        report_failure(Path::new(&path), Path::new("/bin/hook"), "exit 1").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kata-agent: hook failed: /bin/hook: exit 1");
    }

    #[test]
    fn missing_device_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("kmsg");
        assert!(report_failure(&device, Path::new("/bin/hook"), "exit 1").is_err());
        assert!(!fs::exists(device).unwrap());
    }
}
