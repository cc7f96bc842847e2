//! Two names that change places, for tests of races.

use std::ffi::c_int;
use std::io;
use std::path::Path;

use crate::sys::{c_path, check};

/// Lets two names change what they are names of, at once: nobody sees one of them missing, or both
/// be the same. What an attacker does to code that looks at a path twice.
///
/// Links are exchanged themselves. Names in a user's own directories need no privilege.
///
/// # Errors
///
/// A name does not exist, they are on different file systems, or theirs cannot do it
/// ([`renameat2(2)`](https://man7.org/linux/man-pages/man2/rename.2.html) with `RENAME_EXCHANGE`).
///
/// ```
/// use std::fs;
/// use test_utils::exchange;
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let (volume, escape) = (dir.join("volume"), dir.join("escape"));
/// fs::create_dir(&volume)?;
/// std::os::unix::fs::symlink("/", &escape)?;
/// exchange(&volume, &escape)?;
/// assert_eq!(fs::read_link(&volume)?.to_str(), Some("/"));
/// assert!(escape.is_dir());
/// # std::io::Result::Ok(())
/// ```
pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let (a, b) = (c_path(a)?, c_path(b)?);
    // SAFETY: both paths end in NUL and outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    check(result as c_int)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn missing_name_is_an_error_and_the_other_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        for missing in ["missing", "missing/below", "with\0nul"] {
            let missing = dir.path().join(missing);
            for (a, b) in [(&*file, &*missing), (&missing, &file)] {
                let error = exchange(a, b).unwrap_err();
                let kinds = [ErrorKind::NotFound, ErrorKind::InvalidInput];
                assert!(kinds.contains(&error.kind()), "{error}");
                assert_eq!(fs::read(&file).unwrap(), b"text");
            }
        }
    }
}
