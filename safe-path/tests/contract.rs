//! The public interface as its users name it: signatures, traits and argument types.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use safe_path::{
    PathError, PinnedPathBuf, ScopedDirBuilder, ScopedRoot, scoped_join, scoped_resolve,
};

#[test]
fn signatures_are_those_of_the_contract() {
    let _: fn(PathBuf, String) -> io::Result<PathBuf> = scoped_join;
    let _: fn(String, OsString) -> io::Result<PathBuf> = scoped_resolve;
    let _: fn(PathBuf, PathBuf) -> io::Result<PinnedPathBuf> = PinnedPathBuf::new;
    let _: fn(String) -> io::Result<PinnedPathBuf> = PinnedPathBuf::from_path;
    let _: fn(&PinnedPathBuf) -> io::Result<PinnedPathBuf> = PinnedPathBuf::try_clone;
    let _: fn(&PinnedPathBuf) -> RawFd = PinnedPathBuf::path_fd;
    let _: fn(&PinnedPathBuf) -> &Path = PinnedPathBuf::as_path;
    let _: fn(&PinnedPathBuf) -> &Path = PinnedPathBuf::target;
    let _: fn(&PinnedPathBuf) -> io::Result<fs::Metadata> = PinnedPathBuf::metadata;
    let _: fn(&PinnedPathBuf, &OsStr) -> io::Result<PinnedPathBuf> = PinnedPathBuf::open_child;
    let _: fn(&PinnedPathBuf, &OsStr, libc::mode_t) -> io::Result<PinnedPathBuf> =
        PinnedPathBuf::mkdir;
    let _: fn(&PinnedPathBuf) -> &PathBuf = PinnedPathBuf::deref;
    let _: fn(String) -> io::Result<ScopedDirBuilder> = ScopedDirBuilder::new;
    let _: fn(&mut ScopedDirBuilder, bool) -> &mut ScopedDirBuilder = ScopedDirBuilder::recursive;
    let _: fn(&mut ScopedDirBuilder, u32) -> &mut ScopedDirBuilder = ScopedDirBuilder::mode;
    let _: fn(&ScopedDirBuilder, PathBuf) -> io::Result<PinnedPathBuf> = ScopedDirBuilder::create;
    let _: fn(&ScopedDirBuilder, PathBuf) -> io::Result<PinnedPathBuf> =
        ScopedDirBuilder::create_with_unscoped_path;
    let _: fn(String) -> io::Result<ScopedRoot> = ScopedRoot::open;
    let _: fn(&ScopedRoot, String) -> io::Result<PinnedPathBuf> = ScopedRoot::resolve;
    let _: fn(&ScopedRoot, String, &OpenOptions) -> io::Result<File> = ScopedRoot::open_file;
    let _: fn(&ScopedRoot, String, u32) -> io::Result<PinnedPathBuf> = ScopedRoot::mkdir_all;
    let _: fn(&ScopedRoot, String) -> io::Result<PathBuf> = ScopedRoot::join_child;
    let _: fn(&ScopedRoot) -> &Path = ScopedRoot::path;
}

#[test]
fn types_have_the_traits_that_users_rely_on() {
    fn thread_safe<T: Send + Sync + Debug>() {}
    fn descriptor<T: AsFd + AsRawFd + Into<OwnedFd> + AsRef<Path> + Deref<Target = PathBuf>>() {}
    thread_safe::<PinnedPathBuf>();
    thread_safe::<ScopedDirBuilder>();
    thread_safe::<ScopedRoot>();
    thread_safe::<PathError>();
    descriptor::<PinnedPathBuf>();
}

#[test]
fn every_mix_of_argument_types_of_the_consumers_is_accepted() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path();
    let owned: PathBuf = path.to_owned();
    let text: String = path.to_str().unwrap().to_owned();
    let id = String::from("container");
    let id_path = PathBuf::from(&id);
    let expected = path.canonicalize().unwrap().join("container");
    for joined in [
        scoped_join(path, "container"),
        scoped_join(&owned, "container"),
        scoped_join(text.as_str(), &id),
        scoped_join(&text, id.clone()),
        scoped_join(path, &id_path),
        scoped_join(text, id.as_str()),
    ] {
        assert_eq!(joined.unwrap(), expected);
    }
}
