//! Which volumes are small enough to be watched and copied into the guest file by file.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{is_configmap, is_secret};

/// The most files that a watchable volume may hold.
const MAX_WATCHABLE_FILES: usize = 8;

/// The most directory entries that are looked at (D-21).
const MAX_ENTRIES: usize = 1024;

/// Whether the path is a `secret` or `configMap` volume of 1 to 8 files.
///
/// Everything that is not a directory counts as a file. Symbolic links are followed, so the files
/// of a linked directory count again; a dangling link counts as one file. The answer is `false` for
/// a path that is missing or has an unreadable part, for a directory that contains itself through a
/// link, and for trees of more than 1,024 entries.
///
/// ```no_run
/// use kata_types::k8s::is_watchable_mount;
/// assert!(is_watchable_mount("/var/lib/kubelet/pods/1/volumes/kubernetes.io~secret/token"));
/// assert!(!is_watchable_mount("/etc"));
/// ```
pub fn is_watchable_mount<P: AsRef<Path>>(path: P) -> bool {
    let path = path.as_ref();
    (is_secret(path) || is_configmap(path))
        && count_files(path).is_some_and(|files| (1..=MAX_WATCHABLE_FILES).contains(&files))
}

/// One directory on the path from the volume to the entry being looked at.
struct Level {
    device: u64,
    inode: u64,
    remaining: Vec<PathBuf>,
}

/// The number of files below `path`, or `None` when it cannot be told or exceeds a limit.
fn count_files(path: &Path) -> Option<usize> {
    let mut files = 0usize;
    let mut entries = 0usize;
    let mut stack: Vec<Level> = Vec::new();
    let mut next = Some(path.to_path_buf());
    loop {
        if let Some(path) = next {
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    let (device, inode) = (metadata.dev(), metadata.ino());
                    if stack
                        .iter()
                        .any(|level| level.device == device && level.inode == inode)
                    {
                        return None;
                    }
                    let remaining = list(&path, MAX_ENTRIES.saturating_sub(entries))?;
                    entries = entries.saturating_add(remaining.len());
                    stack.push(Level {
                        device,
                        inode,
                        remaining,
                    });
                }
                Ok(_) => files = files.saturating_add(1),
                // The volume itself is missing.
                Err(_) if stack.is_empty() => return None,
                // A dangling link, whose target or a directory on the way to it does not exist.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    files = files.saturating_add(1);
                }
                Err(_) => return None,
            }
            if files > MAX_WATCHABLE_FILES {
                return None;
            }
        }
        let Some(level) = stack.last_mut() else {
            return Some(files);
        };
        next = level.remaining.pop();
        if next.is_none() {
            stack.pop();
        }
    }
}

/// The entries of a directory, or `None` when it is unreadable or has more than `limit`.
fn list(directory: &Path, limit: usize) -> Option<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).ok()? {
        if paths.len() >= limit {
            return None;
        }
        paths.push(entry.ok()?.path());
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Volume {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    fn volume(kind: &str) -> Volume {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(kind).join("v");
        fs::create_dir_all(&path).unwrap();
        Volume { _dir: dir, path }
    }

    fn secret() -> Volume {
        volume("kubernetes.io~secret")
    }

    fn files(directory: &Path, count: usize) {
        for n in 0..count {
            fs::write(directory.join(format!("f{n}")), "").unwrap();
        }
    }

    #[test]
    fn one_to_eight_files_are_watchable() {
        for (count, watchable) in [(0, false), (1, true), (8, true), (9, false), (200, false)] {
            for kind in ["kubernetes.io~secret", "kubernetes.io~configmap"] {
                let volume = volume(kind);
                files(&volume.path, count);
                assert_eq!(is_watchable_mount(&volume.path), watchable, "{count}");
            }
        }
    }

    #[test]
    fn other_volumes_and_missing_paths_are_not_watchable() {
        let projected = volume("kubernetes.io~projected");
        files(&projected.path, 1);
        assert!(!is_watchable_mount(&projected.path));
        assert!(!is_watchable_mount(""));
        assert!(!is_watchable_mount("/no/kubernetes.io~secret/v"));
    }

    #[test]
    fn files_in_directories_count() {
        let volume = secret();
        fs::create_dir_all(volume.path.join("a/b")).unwrap();
        files(&volume.path.join("a"), 4);
        files(&volume.path.join("a/b"), 4);
        assert!(is_watchable_mount(&volume.path));
        files(&volume.path, 1);
        assert!(!is_watchable_mount(&volume.path));
    }

    #[test]
    fn volume_that_is_a_file_counts_as_one() {
        let volume = secret();
        fs::remove_dir(&volume.path).unwrap();
        fs::write(&volume.path, "").unwrap();
        assert!(is_watchable_mount(&volume.path));
    }

    #[test]
    fn linked_directories_count_again_and_dangling_links_count_once() {
        // The layout of a ConfigMap volume: ..data -> ..2026, key -> ..data/key.
        let volume = secret();
        fs::create_dir(volume.path.join("..2026")).unwrap();
        files(&volume.path.join("..2026"), 2);
        symlink("..2026", volume.path.join("..data")).unwrap();
        symlink("..data/f0", volume.path.join("f0")).unwrap();
        symlink("..data/f1", volume.path.join("f1")).unwrap();
        assert_eq!(count_files(&volume.path), Some(6));
        symlink("nowhere", volume.path.join("dangling")).unwrap();
        assert_eq!(count_files(&volume.path), Some(7));
        symlink("..2026/f0/x", volume.path.join("through-a-file")).unwrap();
        assert_eq!(count_files(&volume.path), Some(8));
        assert!(is_watchable_mount(&volume.path));
        fs::remove_dir_all(&volume.path).unwrap();
        symlink("nowhere", &volume.path).unwrap();
        assert!(!is_watchable_mount(&volume.path));
    }

    #[test]
    fn directory_that_contains_itself_is_not_watchable() {
        let volume = secret();
        files(&volume.path, 1);
        symlink(".", volume.path.join("loop")).unwrap();
        assert!(!is_watchable_mount(&volume.path));
        fs::remove_file(volume.path.join("loop")).unwrap();
        fs::create_dir(volume.path.join("a")).unwrap();
        assert!(is_watchable_mount(&volume.path));
        symlink("..", volume.path.join("a/up")).unwrap();
        assert!(!is_watchable_mount(&volume.path));
    }

    #[test]
    fn search_stops_after_1024_entries() {
        let volume = secret();
        for n in 0..1023 {
            fs::create_dir(volume.path.join(n.to_string())).unwrap();
        }
        files(&volume.path, 1);
        assert!(is_watchable_mount(&volume.path));
        fs::create_dir(volume.path.join("one-more")).unwrap();
        assert!(!is_watchable_mount(&volume.path));
    }

    #[test]
    fn deep_tree_of_empty_directories_is_not_watchable() {
        let volume = secret();
        let mut path = volume.path.clone();
        for _ in 0..1000 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        assert!(!is_watchable_mount(&volume.path));
    }

    #[test]
    fn unreadable_directory_is_not_watchable() {
        test_utils::skip_if_root!();
        let volume = secret();
        files(&volume.path, 1);
        let locked = volume.path.join("locked");
        fs::create_dir(&locked).unwrap();
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
        assert!(!is_watchable_mount(&volume.path));
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    }
}
