//! What an operation must give back: descriptors, children, mounts.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use crate::mountinfo;

/// What this process has of each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resources {
    /// Numbers, and what they are open for.
    descriptors: Vec<(String, String)>,
    /// Lines of the mount table.
    mounts: Vec<String>,
    /// Any, running or dead.
    has_children: bool,
}

impl Resources {
    /// `directory` is that below which mounts are of interest.
    ///
    /// # Errors
    ///
    /// `/proc` does not tell: nothing that is left behind would be noticed.
    pub(super) fn now(directory: Option<&str>) -> io::Result<Self> {
        Ok(Self {
            descriptors: descriptors(Path::new("/proc/self/fd"))?,
            mounts: directory.map_or(Ok(Vec::new()), mounts_below)?,
            has_children: has_children(),
        })
    }

    /// What there is now that was not there before, and the other way round; empty if nothing.
    pub(super) fn changes_since(&self, before: &Self) -> String {
        let mut text = String::new();
        let differences = [
            ("leaked descriptor", &self.descriptors, &before.descriptors),
            ("closed descriptor", &before.descriptors, &self.descriptors),
        ];
        for (what, these, others) in differences {
            for (number, target) in these.iter().filter(|one| !others.contains(one)) {
                let _ = write!(text, "{what} {number}: {target}; ");
            }
        }
        for (what, these, others) in [
            ("mount left behind", &self.mounts, &before.mounts),
            ("mount lost", &before.mounts, &self.mounts),
        ] {
            for line in these.iter().filter(|line| !others.contains(line)) {
                let _ = write!(text, "{what}: {line}; ");
            }
        }
        if self.has_children && !before.has_children {
            text.push_str("child left behind; ");
        }
        text
    }
}

fn descriptors(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let target = match fs::read_link(entry.path()) {
            Ok(target) => target.display().to_string(),
            Err(error) => error.to_string(), // open all the same
        };
        all.push((entry.file_name().display().to_string(), target));
    }
    all.sort();
    // One of them is that of this listing; any other is somebody's.
    let is_listing = |target: &str| target.starts_with("/proc/") && target.ends_with("/fd");
    if let Some(listing) = all.iter().position(|(_, target)| is_listing(target)) {
        all.remove(listing);
    }
    Ok(all)
}

fn mounts_below(directory: &str) -> io::Result<Vec<String>> {
    let table = mountinfo::read()?;
    let mounts = mountinfo::mounts(&table).filter(|(point, _)| point.starts_with(directory));
    let lines = mounts.map(|(_, line)| String::from_utf8_lossy(line).into_owned());
    Ok(lines.collect())
}

fn has_children() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::__WALL;
    // SAFETY: the structure is only written to.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), flags) };
    !(result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn resources(descriptors: &[(&str, &str)], mounts: &[&str], has_children: bool) -> Resources {
        let own = |text: &&str| (*text).to_owned();
        Resources {
            descriptors: descriptors.iter().map(|(a, b)| (own(a), own(b))).collect(),
            mounts: mounts.iter().map(own).collect(),
            has_children,
        }
    }

    #[test]
    fn each_change_is_named() {
        let before = resources(&[("0", "/dev/null")], &["a"], false);
        let same = resources(&[("0", "/dev/null")], &["a"], false);
        assert_eq!(same.changes_since(&before), "");
        let after = resources(&[("0", "/dev/zero")], &["b"], true);
        assert_eq!(
            after.changes_since(&before),
            "leaked descriptor 0: /dev/zero; closed descriptor 0: /dev/null; \
             mount left behind: b; mount lost: a; child left behind; "
        );
    }

    #[test]
    fn open_file_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        let all = descriptors(Path::new("/proc/self/fd")).unwrap();
        assert!(all.iter().any(|(_, target)| *target == path));
    }

    #[test]
    fn one_listing_is_ours_and_another_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for number in ["3", "5"] {
            symlink("/proc/7/fd", directory.path().join(number)).unwrap();
        }
        let left = descriptors(directory.path()).unwrap();
        assert_eq!(left, [("5".to_owned(), "/proc/7/fd".to_owned())]);
    }

    #[test]
    fn descriptor_without_a_readable_target_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("7"), "no link").unwrap();
        let all = descriptors(directory.path()).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, "7");
    }

    #[test]
    fn list_that_cannot_be_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(descriptors(&directory.path().join("fd")).is_err());
    }
}
