//! Canonical paths as text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The canonical form of `path`: absolute, without symlinks, as text.
///
/// # Errors
///
/// The error of the operating system, or that the canonical path is not UTF-8 (D41): a lossy
/// conversion would name another file.
pub(crate) fn canonical_text(path: &str) -> io::Result<String> {
    canonical(Path::new(path))?
        .into_os_string()
        .into_string()
        .map_err(|raw| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not valid UTF-8", Path::new(&raw).display()),
            )
        })
}

/// Checks that `path` resolves, following symlinks: one system call.
pub(crate) fn check_exists(path: &str) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

/// `realpath(3)` in three system calls instead of one per component: the kernel walks the path
/// once, and says where it arrived.
#[cfg(target_os = "linux")]
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;

    // O_PATH opens nothing: no device, FIFO or permission of the file itself is involved.
    let found = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    match place_of(&found) {
        Some(place) => Ok(place),
        None => fs::canonicalize(path),
    }
}

/// The canonical path of an open file, from
/// [`/proc/self/fd`](https://man7.org/linux/man-pages/man5/proc.5.html). `None` without /proc, and
/// for a pipe or socket without a name, or a file that is gone by now.
#[cfg(target_os = "linux")]
pub(crate) fn place_of(file: &fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    let place = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    let is_gone = place.as_os_str().as_bytes().ends_with(b" (deleted)");
    (place.is_absolute() && !is_gone).then_some(place)
}

/// Not known on this system.
#[cfg(not(target_os = "linux"))]
pub(crate) fn place_of(_file: &fs::File) -> Option<PathBuf> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same answer as realpath(3), errors included.
    fn assert_like_canonicalize(path: &Path) {
        let expected = fs::canonicalize(path);
        let ours = canonical(path);
        match (expected, ours) {
            (Ok(expected), Ok(ours)) => assert_eq!(ours, expected, "{}", path.display()),
            (Err(expected), Err(ours)) => assert_eq!(
                ours.raw_os_error(),
                expected.raw_os_error(),
                "{}",
                path.display()
            ),
            (expected, ours) => panic!("{}: {ours:?} instead of {expected:?}", path.display()),
        }
    }

    #[cfg(unix)]
    #[test]
    fn canonical_is_like_realpath() {
        use std::os::unix::fs::symlink;

        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "").unwrap();
        fs::write(root.join("a/x (deleted)"), "").unwrap();
        symlink("a/b", root.join("link")).unwrap();
        symlink("b/../b/file", root.join("a/deep")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for name in [
            "a",
            "a/",
            "a/b/file",
            "a/b/file/",
            "a/b/file/x",
            "a/b/../b/./file",
            "a//b//file",
            "link",
            "link/file",
            "link/../b",
            "a/deep",
            "dangling",
            "loop",
            "missing",
            "missing/../a",
            "a/x (deleted)",
        ] {
            assert_like_canonicalize(&root.join(name));
        }
        for name in [
            "/",
            ".",
            "..",
            "/dev/null",
            "/proc/self",
            "/proc/mounts",
            "/dev/stdin",
            "/tmp",
            "no-such-file",
            "/proc/self/root/tmp",
            "\0",
        ] {
            assert_like_canonicalize(Path::new(name));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_target_that_is_not_utf8_is_an_error() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join(OsStr::from_bytes(b"k\xff"));
        fs::write(&target, "").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = canonical_text(link.to_str().unwrap()).unwrap_err();
        assert!(error.to_string().ends_with("is not valid UTF-8"), "{error}");
        check_exists(link.to_str().unwrap()).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let status = std::process::Command::new("mkfifo").arg(&fifo).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("INFO: skipping a_fifo_does_not_block: no mkfifo");
            return;
        }
        let canonical = canonical_text(fifo.to_str().unwrap()).unwrap();
        assert!(canonical.ends_with("/fifo"));
    }
}
