//! Questions about files, and copies.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use kata_sys_util::fs::{fs_magic, get_base_name, is_fuse_fs, is_symlink, reflink_copy};
use test_utils::faults::{AllocationFault, Fault, at_every_allocation, at_every_call};
use test_utils::isolate;
use test_utils::isolation::{Isolation, scratch};

const OLD: &[u8] = b"old";

/// More than one block of a copy, with a hole.
fn content() -> Vec<u8> {
    let mut content = vec![b'n'; 300_000];
    content[8192..200_000].fill(0);
    content
}

struct Copy {
    source: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn new(target: &str) -> Self {
        let directory = scratch().join("copy");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        let source = directory.join("source");
        let (file, content) = (File::create(&source).unwrap(), content());
        file.set_len(300_000).unwrap();
        file.write_all_at(&content[..8192], 0).unwrap();
        file.write_all_at(&content[200_000..], 200_000).unwrap();
        let target = directory.join(target);
        Self { source, target }
    }

    fn over_old() -> Self {
        let copy = Self::new("target");
        fs::write(&copy.target, OLD).unwrap();
        copy
    }

    fn copy(&mut self) -> std::io::Result<()> {
        reflink_copy(&self.source, &self.target)
    }

    /// The target is the whole source, or as before.
    fn is_new(&self, before: Option<&[u8]>) -> bool {
        let found = fs::read(&self.target).ok();
        let is_new = found.as_deref() == Some(&content()[..]);
        assert!(is_new || found.as_deref() == before, "neither old nor new");
        is_new
    }

    fn has_temporary(&self) -> bool {
        let names = fs::read_dir(self.target.parent().unwrap())
            .into_iter()
            .flatten();
        let mut names = names.map(|entry| entry.unwrap().file_name());
        names.any(|name| name.as_encoded_bytes().starts_with(b".reflink-"))
    }
}

fn check(copy: &Copy, copied: std::io::Result<()>, fault: Option<&Fault>, before: Option<&[u8]>) {
    match copied {
        Ok(()) => assert!(copy.is_new(before)),
        Err(error) => {
            assert!(fault.is_some(), "{error}");
            assert!(!copy.is_new(before), "{error}");
        }
    }
    assert!(!copy.has_temporary() || fault.is_some_and(|fault| fault.concerns("unlinkat")));
    assert!(fs::read(&copy.source).unwrap() == content());
}

#[test]
fn copy_that_fails_leaves_the_target_as_it_was() {
    isolate!(Isolation::new());
    at_every_call(
        "reflink_copy",
        Copy::over_old,
        Copy::copy,
        |copy, copied, fault| {
            check(copy, copied, fault, Some(OLD));
        },
    );
    at_every_call(
        "reflink_copy to a new directory",
        || Copy::new("new/directory/target"),
        Copy::copy,
        |copy, copied, fault| check(copy, copied, fault, None),
    );
    at_every_allocation(
        "reflink_copy",
        Copy::over_old,
        |copy| drop(copy.copy()),
        |copy, end| assert!(copy.is_new(Some(OLD)) || end != AllocationFault::None),
    );
}

#[test]
fn target_that_is_no_file_is_never_replaced() {
    isolate!(Isolation::new());
    for is_link in [false, true] {
        let fifo = |copy: &Copy| match is_link {
            false => copy.target.clone(),
            true => copy.target.with_extension("fifo"),
        };
        let to_fifo = || {
            let copy = Copy::new("target");
            let path = CString::new(fifo(&copy).into_os_string().into_encoded_bytes()).unwrap();
            // SAFETY: the path ends in NUL.
            assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
            if is_link {
                symlink(fifo(&copy), &copy.target).unwrap();
            }
            copy
        };
        let is_as_it_was = |copy: &Copy| {
            let found = fs::symlink_metadata(&copy.target).unwrap();
            assert_eq!(found.is_symlink(), is_link);
            assert!(fs::metadata(fifo(copy)).unwrap().file_type().is_fifo());
        };
        let operation = match is_link {
            false => "reflink_copy to a FIFO",
            true => "reflink_copy to a link to a FIFO",
        };
        at_every_call(operation, to_fifo, Copy::copy, |copy, copied, _| {
            copied.unwrap_err();
            is_as_it_was(copy);
            assert!(!copy.has_temporary());
        });
        at_every_allocation(
            operation,
            to_fifo,
            |copy| assert!(copy.copy().is_err()),
            |copy, _| is_as_it_was(copy),
        );
    }
}

#[test]
fn file_copied_to_itself_is_never_lost() {
    isolate!(Isolation::new());
    at_every_call(
        "reflink_copy to itself",
        || {
            let mut copy = Copy::new("target");
            copy.target.clone_from(&copy.source);
            copy
        },
        Copy::copy,
        |copy, copied, fault| {
            assert!(copied.is_ok() || fault.is_some(), "{copied:?}");
            assert!(copy.is_new(None));
            assert!(!copy.has_temporary());
        },
    );
}

#[test]
fn question_that_cannot_be_answered_is_an_error() {
    isolate!(Isolation::new());
    let link = scratch().join("link");
    symlink("/proc/self", &link).unwrap();
    at_every_call(
        "get_base_name",
        || (),
        |()| get_base_name("/proc/sys/../sys/kernel"),
        |(), name, fault| {
            assert!(name.map_or(fault.is_some(), |name| name == "kernel"));
        },
    );
    at_every_call(
        "fs_magic",
        || (),
        |()| fs_magic("/proc"),
        |(), magic, fault| {
            assert!(magic.map_or(fault.is_some(), |magic| magic == 0x9fa0));
        },
    );
    at_every_call(
        "is_symlink",
        || (),
        |()| is_symlink(&link),
        |(), is_link, fault| {
            assert!(is_link.ok().unwrap_or(fault.is_some()));
        },
    );
    at_every_call(
        "is_fuse_fs",
        || (),
        |()| is_fuse_fs(Path::new("/proc")),
        |(), is_fuse, _| {
            assert!(!is_fuse);
        },
    );
}
