//! What an ordinary user may not see is an error, not "no symlink" (D3, rows 15 and 18).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use test_utils::isolation::as_ordinary_user;

use super::{BACKENDS, pin, resolve, skip, temporary};
use crate::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_without_search_permission_is_an_error() {
    let (_tmp, root) = temporary();
    fs::create_dir_all(root.join("priv/d")).unwrap();
    symlink("/etc", root.join("priv/ln")).unwrap();
    symlink("priv/ln", root.join("through")).unwrap();
    set_mode(&root, 0o755);
    set_mode(&root.join("priv"), 0);
    as_ordinary_user(|| {
        for backend in BACKENDS {
            for path in [
                "priv/ln/x",
                "priv/ln",
                "priv/d",
                "priv/missing",
                "through/x",
                "x/../priv/ln/../y",
                "priv/ln/..",
            ] {
                for error in [
                    resolve(backend, &root, path).unwrap_err(),
                    pin(backend, &root, path).unwrap_err(),
                    ScopedRoot::with_backend(backend, &root)
                        .unwrap()
                        .join_child(path)
                        .unwrap_err(),
                    ScopedDirBuilder::with_backend(backend, &root)
                        .unwrap()
                        .create(path)
                        .unwrap_err(),
                ] {
                    assert_eq!(
                        error.raw_os_error(),
                        Some(libc::EACCES),
                        "{backend:?} {path}: {error}"
                    );
                }
            }
            // The directory itself can be reached, and left again by its name.
            assert_eq!(resolve(backend, &root, "priv").unwrap(), Path::new("priv"));
            assert_eq!(
                resolve(backend, &root, "priv/../x").unwrap(),
                Path::new("x")
            );
            let private = pin(backend, &root, "x/../priv").unwrap();
            let error = private.open_child("ln".as_ref()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EACCES));
            let from_path = PinnedPathBuf::open_canonical(backend, &root.join("priv/d"));
            assert_eq!(from_path.unwrap_err().raw_os_error(), Some(libc::EACCES));
            let error = resolve(backend, root.join("priv/d"), "x").unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EACCES),
                "a root that cannot be reached"
            );
        }
    });
    set_mode(&root.join("priv"), 0o700);
}

#[test]
fn a_removed_root_is_missing_also_where_its_place_cannot_be_seen() {
    let (_tmp, base) = temporary();
    fs::create_dir_all(base.join("priv/root")).unwrap();
    let root = base.join("priv/root");
    let handles = BACKENDS.map(|backend| ScopedRoot::with_backend(backend, &root).unwrap());
    fs::remove_dir(&root).unwrap();
    set_mode(&base.join("priv"), 0);
    as_ordinary_user(|| {
        for handle in &handles {
            for error in [
                handle.resolve("x").unwrap_err(),
                handle.mkdir_all("x", 0o755).unwrap_err(),
            ] {
                assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}");
            }
        }
    });
    set_mode(&base.join("priv"), 0o700);
}

#[test]
fn no_permission_on_the_object_itself_is_needed_to_pin_it() {
    let (_tmp, root) = temporary();
    fs::write(root.join("file"), "secret").unwrap();
    symlink("file", root.join("link")).unwrap();
    set_mode(&root, 0o755);
    set_mode(&root.join("file"), 0o200);
    as_ordinary_user(|| {
        for backend in BACKENDS {
            for path in ["file", "link", "x/../link"] {
                let pin = pin(backend, &root, path).unwrap();
                assert_eq!(pin.target(), root.join("file"));
                assert_eq!(pin.metadata().unwrap().len(), 6);
                assert!(fs::read(&pin).is_err(), "a pin gives no permission");
            }
        }
    });
}

#[test]
fn a_directory_without_write_permission_is_an_error_of_the_kernel() {
    let (_tmp, root) = temporary();
    set_mode(&root, 0o555);
    as_ordinary_user(|| {
        for backend in BACKENDS {
            let mut builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
            for recursive in [false, true] {
                let error = builder.recursive(recursive).create("new").unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::EACCES));
            }
        }
    });
    set_mode(&root, 0o755);
}

#[test]
fn protected_symlinks_do_not_matter() {
    test_utils::skip_if_not_root!();
    let protected = fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap_or_default();
    if protected.trim() != "1" {
        let name = "protected_symlinks_do_not_matter";
        return skip(name, "fs.protected_symlinks is not 1");
    }
    let (_tmp, root) = temporary();
    set_mode(&root, 0o755);
    let sticky = root.join("tmp");
    fs::create_dir_all(sticky.join("d")).unwrap();
    set_mode(&sticky, 0o1777);
    symlink("d", sticky.join("link")).unwrap();
    std::os::unix::fs::lchown(sticky.join("link"), Some(65533), None).unwrap();
    chown(&sticky, Some(0), None).unwrap();
    as_ordinary_user(|| {
        let kernel = fs::metadata(sticky.join("link")).unwrap_err();
        assert_eq!(
            kernel.raw_os_error(),
            Some(libc::EACCES),
            "the protection is in force"
        );
        for backend in BACKENDS {
            for path in ["tmp/link", "tmp/./d/../link", "a/../b/../tmp/link"] {
                assert_eq!(resolve(backend, &root, path).unwrap(), Path::new("tmp/d"));
                assert_eq!(
                    pin(backend, &root, path).unwrap().target(),
                    sticky.join("d")
                );
            }
        }
    });
}
