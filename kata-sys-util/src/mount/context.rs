//! Mounts with more data than a page, through the file system context of Linux 5.2
//! (`fsopen(2)`, `fsconfig(2)`, `fsmount(2)`), which takes one parameter at a time.
//!
//! An overlay gets its layers one by one (`lowerdir+`, Linux 6.8), up to the kernel's limit of 500.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;
use slog::warn;

use super::handle::{MountHandle, mount_attributes, pin};
use super::overlay::{self, Layer};
use super::sys::{self, Follow, FsConfig};

/// Longest value of a string parameter in bytes.
const MAX_STRING: usize = 255;

/// What `mount(2)` takes as flags and a context as parameters of the superblock.
const SUPERBLOCK_FLAGS: [(MsFlags, &str); 4] = [
    (MsFlags::MS_RDONLY, "ro"),
    (MsFlags::MS_SYNCHRONOUS, "sync"),
    (MsFlags::MS_DIRSYNC, "dirsync"),
    (MsFlags::MS_MANDLOCK, "mand"),
];

/// One parameter.
#[derive(Debug, PartialEq, Eq)]
enum Parameter {
    Flag(String),
    String(String, String),
}

/// Mounts a new file system on `target`. `None`, with nothing mounted, if the kernel cannot take
/// these data this way.
pub(super) fn mount(
    source: &str,
    target: &Path,
    fs_type: &str,
    flags: MsFlags,
    data: &str,
) -> sys::Result<Option<MountHandle>> {
    let Some(parameters) = parameters(fs_type, flags, data) else {
        return Ok(None);
    };
    let context = match sys::fsopen(OsStr::new(fs_type)) {
        Err(errno) if sys::is_unsupported(errno) => return Ok(None),
        other => other?,
    };
    let created = create(context.as_fd(), source, &parameters)
        .and_then(|()| sys::fsmount(context.as_fd(), mount_attributes(flags).attr_set));
    match created {
        Ok(mount) => attach(mount, target),
        // Without a mount namespace left, there is no mount that is not attached yet: ENOSPC.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::E2BIG | Errno::ENOSPC) => Ok(None),
        Err(Errno::EINVAL) if !takes_many_parameters(fs_type) => Ok(None),
        Err(errno) => {
            log_messages(context);
            Err(errno)
        }
    }
}

fn attach(mount: OwnedFd, target: &Path) -> sys::Result<Option<MountHandle>> {
    match sys::move_mount(mount.as_fd(), target) {
        Ok(()) => Ok(Some(MountHandle::new(mount, target))),
        Err(Errno::ENOSYS | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn create(context: BorrowedFd<'_>, source: &str, parameters: &[Parameter]) -> sys::Result<()> {
    set_string(context, "source", source)?;
    for parameter in parameters {
        match parameter {
            Parameter::Flag(key) => sys::fsconfig(context, FsConfig::Flag(OsStr::new(key)))?,
            Parameter::String(key, value) => set_string(context, key, value)?,
        }
    }
    sys::fsconfig(context, FsConfig::Create)
}

fn set_string(context: BorrowedFd<'_>, key: &str, value: &str) -> sys::Result<()> {
    let key = OsStr::new(key);
    if value.len() <= MAX_STRING {
        return sys::fsconfig(context, FsConfig::String(key, OsStr::new(value)));
    }
    // A long path goes in as an open directory (Linux 6.13); any other long value cannot.
    if !is_path_of_overlay(key) {
        return Err(Errno::E2BIG);
    }
    let is_unescaped = key == "upperdir" || key == "workdir";
    let path = if is_unescaped {
        overlay::unescape(value)
    } else {
        value.to_owned()
    };
    let directory = pin(Path::new(&path), Follow::Yes)?;
    match sys::fsconfig(context, FsConfig::Fd(key, directory.as_fd())) {
        Err(Errno::EINVAL) => Err(Errno::E2BIG),
        other => other,
    }
}

fn is_path_of_overlay(key: &OsStr) -> bool {
    ["lowerdir+", "datadir+", "upperdir", "workdir"]
        .iter()
        .any(|path| key == *path)
}

/// Flags and data as parameters. `None` if they are malformed, or if something is quoted: only what
/// mount(2) gives to SELinux loses its quotes, and what is between them may have commas.
fn parameters(fs_type: &str, flags: MsFlags, data: &str) -> Option<Vec<Parameter>> {
    if data.contains('"') {
        return None;
    }
    let mut parameters: Vec<_> = SUPERBLOCK_FLAGS
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, key)| Parameter::Flag((*key).to_owned()))
        .collect();
    if fs_type != "overlay" {
        parameters.extend(data.split(',').filter(|o| !o.is_empty()).map(parameter));
        return Some(parameters);
    }
    let mut layers = Vec::new();
    for option in overlay::split_options(data).filter(|o| !o.is_empty()) {
        match option.strip_prefix("lowerdir=") {
            // A later list replaces an earlier one.
            Some(lowerdir) => layers = overlay::layers(lowerdir)?,
            None => parameters.push(parameter(option)),
        }
    }
    parameters.extend(layers.into_iter().map(|layer| match layer {
        Layer::Lower(path) => Parameter::String("lowerdir+".to_owned(), path),
        Layer::Data(path) => Parameter::String("datadir+".to_owned(), path),
    }));
    Some(parameters)
}

fn parameter(option: &str) -> Parameter {
    match option.split_once('=') {
        Some((key, value)) => Parameter::String(key.to_owned(), value.to_owned()),
        None => Parameter::Flag(option.to_owned()),
    }
}

/// Whether `EINVAL` is about the parameters themselves: the file system checks them one by one, so
/// that it refuses one that does not exist, and overlayfs knows `lowerdir+`. One that does not
/// check them only collects them, up to a page.
fn takes_many_parameters(fs_type: &str) -> bool {
    let Ok(context) = sys::fsopen(OsStr::new(fs_type)) else {
        return false;
    };
    let set = |key| {
        let value = OsStr::new("/");
        sys::fsconfig(context.as_fd(), FsConfig::String(OsStr::new(key), value))
    };
    set("no-such-parameter") == Err(Errno::EINVAL)
        && (fs_type != "overlay" || set("lowerdir+").is_ok())
}

/// The context says more than an errno, one message per `read`.
fn log_messages(context: OwnedFd) {
    let mut context = File::from(context);
    let mut message = [0_u8; 512];
    while let Ok(length) = context.read(&mut message) {
        let text = message.get(..length).unwrap_or_default();
        if text.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(text);
        warn!(crate::sl!(), "new mount refused"; "kernel message" => text.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(key: &str) -> Parameter {
        Parameter::Flag(key.to_owned())
    }

    fn string(key: &str, value: &str) -> Parameter {
        Parameter::String(key.to_owned(), value.to_owned())
    }

    #[test]
    fn overlay_layers_come_one_by_one_and_last() {
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
        let data = r"lowerdir=/old,upperdir=/u\,x,lowerdir=/a\:1:/b::/d,volatile";
        assert_eq!(
            parameters("overlay", flags, data).unwrap(),
            [
                flag("ro"),
                string("upperdir", r"/u\,x"),
                flag("volatile"),
                string("lowerdir+", "/a:1"),
                string("lowerdir+", "/b"),
                string("datadir+", "/d"),
            ]
        );
        assert_eq!(parameters("overlay", flags, "lowerdir=/a:"), None);
    }

    #[test]
    fn quoted_options_are_for_mount_to_take_apart() {
        let data = r#"context="u:object_r:container_file_t:s0:c1,c2",lowerdir=/a"#;
        for fs_type in ["overlay", "tmpfs"] {
            assert_eq!(parameters(fs_type, MsFlags::empty(), data), None);
        }
    }

    #[test]
    fn other_file_systems_get_their_options_as_they_are() {
        let flags = MsFlags::MS_SYNCHRONOUS | MsFlags::MS_DIRSYNC | MsFlags::MS_MANDLOCK;
        assert_eq!(
            parameters("tmpfs", flags, r"size=1m,lowerdir=/a:/b,,inode64,x=y=z\").unwrap(),
            [
                flag("sync"),
                flag("dirsync"),
                flag("mand"),
                string("size", "1m"),
                string("lowerdir", "/a:/b"),
                flag("inode64"),
                string("x", r"y=z\"),
            ]
        );
    }
}
