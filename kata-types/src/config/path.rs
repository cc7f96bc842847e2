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

/// `realpath(3)` in two or three system calls instead of one per component: the kernel walks the
/// path once, and says that it met no symlink, or where it arrived.
#[cfg(target_os = "linux")]
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::OpenOptionsExt;

    if is_plain(path) && exists_without_symlinks(path) {
        return Ok(path.to_owned());
    }
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

/// Whether a path is absolute, and each of its components a name: then it is canonical, unless it
/// leads over a symlink.
#[cfg(target_os = "linux")]
fn is_plain(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;

    let Some(names) = path.as_os_str().as_bytes().strip_prefix(b"/") else {
        return false;
    };
    names
        .split(|byte| *byte == b'/')
        .all(|name| !matches!(name, b"" | b"." | b".."))
}

/// Whether a path leads to something without any symlink, as far as the kernel can tell
/// ([openat2(2)](https://man7.org/linux/man-pages/man2/openat2.2.html), Linux 5.6).
#[cfg(target_os = "linux")]
fn exists_without_symlinks(path: &Path) -> bool {
    use std::ffi::CString;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: `open_how` is three integers; all zero is valid and means "nothing asked for".
    let mut how: libc::open_how = unsafe { std::mem::MaybeUninit::zeroed().assume_init() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_NO_SYMLINKS;
    // SAFETY: `path` is NUL-terminated, `how` is initialised and of the size told; both outlive the
    // call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    match i32::try_from(fd) {
        Ok(fd) if fd >= 0 => {
            // SAFETY: the kernel just returned this descriptor, and nobody else knows it.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            true
        }
        _ => false,
    }
}

/// The canonical path of an open file, from
/// [`/proc/thread-self/fd`](https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html): a thread may
/// have a table of descriptors of its own. `None` without /proc, and for a pipe or socket without a
/// name, or a file that is gone by now.
#[cfg(target_os = "linux")]
pub(crate) fn place_of(file: &fs::File) -> Option<PathBuf> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;

    const OF_THREAD: &str = "/proc/thread-self/fd";
    const OF_PROCESS: &str = "/proc/self/fd"; // before Linux 3.17

    let link = |dir: &str| fs::read_link(format!("{dir}/{}", file.as_raw_fd()));
    let place = link(OF_THREAD)
        .or_else(|error| match fs::exists(OF_THREAD) {
            Ok(false) => link(OF_PROCESS),
            _ => Err(error),
        })
        .ok()?;
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
            // Where the directory itself is reached without symlinks, and where it is not.
            assert_like_canonicalize(&root.canonicalize().unwrap().join(name));
            symlink(root, root.join("here")).unwrap();
            assert_like_canonicalize(&root.join("here").join(name));
            fs::remove_file(root.join("here")).unwrap();
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
    fn only_absolute_paths_of_names_are_plain() {
        for (path, plain) in [
            ("/", false),
            ("/a", true),
            ("/a/b.c/..d/e..", true),
            ("", false),
            ("a", false),
            ("./a", false),
            ("/a/", false),
            ("//a", false),
            ("/a//b", false),
            ("/./a", false),
            ("/a/.", false),
            ("/a/../b", false),
            ("/..", false),
        ] {
            assert_eq!(is_plain(Path::new(path)), plain, "{path:?}");
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
