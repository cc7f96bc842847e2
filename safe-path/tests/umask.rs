//! Permissions of new directories under several umasks (B2, P8). A process of its own, since the
//! umask is that of the process.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use safe_path::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot};

#[test]
fn every_new_directory_gets_the_mode_without_the_umask() {
    for umask in [0, 0o022, 0o027, 0o077] {
        let tmp = tempfile::tempdir().unwrap();
        // SAFETY: umask always succeeds.
        unsafe { libc::umask(umask) };
        let root = tmp.path();
        let check = |path: &str, expected: u32| {
            let mode = fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, expected, "{path} with umask {umask:o}");
        };

        let mut builder = ScopedDirBuilder::new(root).unwrap();
        builder.create("default").unwrap();
        check("default", 0o777 & !umask);
        builder
            .recursive(true)
            .mode(0o7755)
            .create("a/b/c")
            .unwrap();
        builder.mode(0o700).create("a/b/d").unwrap();
        builder
            .create_with_unscoped_path(tmp.path().join("e/f"))
            .unwrap();
        for (path, mode) in [
            ("a", 0o755),
            ("a/b", 0o755),
            ("a/b/c", 0o755),
            ("a/b/d", 0o700),
        ] {
            check(path, mode & !umask);
        }
        check("e/f", 0o700);

        let pin = PinnedPathBuf::new(root, "").unwrap();
        pin.mkdir("sticky".as_ref(), 0o1777).unwrap();
        check("sticky", 0o1777 & !umask);

        ScopedRoot::open(root)
            .unwrap()
            .mkdir_all("g/h", 0o6771)
            .unwrap();
        check("g", 0o771 & !umask);
        check("g/h", 0o771 & !umask);
    }
}
