//! Resolution without any descriptor, for a process that has run out of them (row 16).
//!
//! Each prefix is read by its path, so that a tree that changes meanwhile can mix two states: good
//! enough for the string functions, whose results are only ever true for a moment.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::pending::Pending;
use super::root::canonical_text;
use super::walk::{MAX_SYMLINKS, NAME_MAX};
use super::{Joined, PathError};
use crate::lexical::{self, CPath, Component, push_name};
use crate::sys::{self, CWD, Errno, PATH_MAX};

/// As [`super::resolve_text`]; `error` is returned if this cannot decide either.
pub(crate) fn resolve_text(root: &Path, path: &Path, error: io::Error) -> io::Result<Joined> {
    let opened = std::fs::metadata(root)?;
    let Some(root) = canonical_text(root, (opened.dev(), opened.ino()))? else {
        return Err(error);
    };
    let root = lexical::clean_bytes(&root);
    let mut pending = Pending::new(lexical::path_bytes(path, "unsafe_path")?);
    let mut bytes = root.to_vec();
    let mut beyond = 0_usize; // names behind the first one that is missing
    let mut expanded = 0;
    let mut buffer = CPath::default();
    let mut text = Vec::new();
    loop {
        let mut after = pending.cursor();
        match pending.next(&mut after) {
            None => {
                return Ok(Joined {
                    bytes,
                    root: root.len(),
                });
            }
            Some(Component::Parent) => {
                let below = bytes.get(root.len()..).unwrap_or_default();
                if let Some(end) = below.iter().rposition(|byte| *byte == b'/') {
                    bytes.truncate(root.len() + end);
                    beyond = beyond.saturating_sub(1);
                }
                pending.consume(after, 1);
            }
            Some(Component::Name(name)) => {
                let parent = bytes.len();
                let length = name.len();
                push_name(&mut bytes, name);
                pending.consume(after, 0);
                if beyond > 0 {
                    beyond += 1;
                    continue;
                }
                if bytes.len() >= PATH_MAX {
                    return Err(error);
                }
                match sys::readlinkat(CWD, buffer.set([&bytes]), &mut text) {
                    Ok(()) if !text.is_empty() => {
                        expanded += 1;
                        if expanded > MAX_SYMLINKS {
                            return Err(PathError::TooManySymlinks {
                                path: path.to_owned(),
                            }
                            .into());
                        }
                        bytes.truncate(if text.starts_with(b"/") {
                            root.len()
                        } else {
                            parent
                        });
                        pending.push_front(Cow::Owned(text.clone()));
                    }
                    Ok(()) | Err(Errno(libc::EINVAL)) => {}
                    Err(Errno(libc::ENOENT | libc::ENOTDIR)) => beyond = 1,
                    Err(Errno(libc::ENAMETOOLONG)) if is_too_long(length, &bytes) => beyond = 1,
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
    }
}

/// Whether the last name of `path`, which is so long, is longer than its filesystem takes; otherwise
/// it was the text of a symlink that was too long.
fn is_too_long(length: usize, path: &[u8]) -> bool {
    length > NAME_MAX
        || std::fs::symlink_metadata(OsStr::from_bytes(path))
            .is_err_and(|error| error.raw_os_error() == Some(libc::ENAMETOOLONG))
}
