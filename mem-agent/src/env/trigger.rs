//! PSI triggers ([monitoring for pressure thresholds](https://docs.kernel.org/accounting/psi.html)).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use crate::psi::{IO_PRESSURE, MEMORY_PRESSURE};

use super::host::Watch;
use super::sys;

/// Windows in µs: the kernel's shortest one, and the one for those without `CAP_SYS_RESOURCE`
/// (Linux 6.4).
const WINDOWS: [u64; 2] = [500_000, 2_000_000];
/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC`. Elsewhere a trigger would overwrite a file.
const CGROUP_MAGICS: [i64; 2] = [0x0027_e0eb, 0x6367_7270];

/// Fires when one of memory and I/O has stalled for a part of 500 ms, or of 2 s.
pub(crate) struct Trigger {
    files: Vec<File>,
}

impl Trigger {
    /// For more than `percent`, rounded down as everywhere (P4). None where the kernel has no
    /// triggers, or forbids them, or where nothing is too much.
    pub(super) fn open(dir: &Path, percent: u8) -> Option<Self> {
        let percent = u64::from(percent).saturating_add(1);
        if percent > 100 {
            return None;
        }
        let files = [MEMORY_PRESSURE, IO_PRESSURE];
        let files: Vec<File> = files
            .iter()
            .filter_map(|name| watched(&dir.join(name), percent))
            .collect();
        (!files.is_empty()).then_some(Self { files })
    }

    /// To be polled for `POLLPRI`.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(AsFd::as_fd)
    }
}

fn watched(path: &Path, percent: u64) -> Option<File> {
    let mut file = File::options().read(true).write(true).open(path).ok()?;
    let magic = sys::file_system_magic_of(file.as_fd()).ok()?;
    if !CGROUP_MAGICS.contains(&magic) {
        return None;
    }
    let is_taken = WINDOWS.iter().any(|window| {
        let stall = (window / 100).saturating_mul(percent);
        file.write_all(format!("some {stall} {window}\0").as_bytes())
            .is_ok()
    });
    is_taken.then_some(file)
}

impl Watch for Trigger {
    fn has_fired(&mut self) -> bool {
        sys::wait_for_any(std::iter::empty(), self.descriptors(), Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn pressure_of_a_real_cgroup_can_be_watched() {
        test_utils::skip_if_not_root!();
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let Some(root) = roots
            .into_iter()
            .find(|root| root.join(MEMORY_PRESSURE).exists())
        else {
            return println!("INFO: skipping: no cgroup with {MEMORY_PRESSURE}");
        };
        let mut trigger = Trigger::open(root, 99).unwrap();
        assert_eq!(trigger.descriptors().count(), 2);
        // All of half a second cannot have passed since.
        assert!(!trigger.has_fired());
        assert!(Trigger::open(root, 100).is_none(), "there is no more");
    }

    #[test]
    fn ordinary_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in [MEMORY_PRESSURE, IO_PRESSURE] {
            fs::write(dir.path().join(name), "some total=1\n").unwrap();
        }
        assert!(Trigger::open(dir.path(), 1).is_none());
        let text = fs::read_to_string(dir.path().join(MEMORY_PRESSURE)).unwrap();
        assert_eq!(text, "some total=1\n");
    }
}
