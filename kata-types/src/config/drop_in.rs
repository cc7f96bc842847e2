//! The directory `config.d` beside a configuration file: files that change parts of it.
//!
//! All files count, whatever they are called, in the order of the bytes of their names; a later
//! one wins. What editors and package managers leave behind is not configuration (D38), and a
//! mounted Kubernetes `ConfigMap` consists of symlinks and directories (D5).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::bounded_file::{self, Content};
use super::diagnostics::Severity;
use super::load_error::LoadError;

/// Name of the directory.
pub(crate) const DIRECTORY: &str = "config.d";

/// Files that one directory can contribute.
pub(crate) const MAX_FILES: usize = 1024;

/// Names that one directory can have: those of files that are skipped are told.
const MAX_NAMES: usize = 1 << 14;

/// Size of all files of one directory together: what is read is kept until the end of the load.
pub(crate) const MAX_TOTAL_BYTES: usize = 64 << 20;

/// Endings of names that are no configuration.
const LEFTOVERS: &[&str] = &[
    "~",
    ".bak",
    ".swp",
    ".orig",
    ".rpmsave",
    ".rpmnew",
    ".dpkg-old",
    ".dpkg-dist",
    ".dpkg-new",
];

/// What is in a drop-in directory.
#[derive(Debug, Default)]
pub(crate) struct DropIns {
    /// Path and text, in the order of their use.
    pub(crate) files: Vec<(PathBuf, String)>,
    pub(crate) skipped: Vec<Skipped>,
}

/// An entry that is not used.
#[derive(Debug, PartialEq)]
pub(crate) struct Skipped {
    pub(crate) path: PathBuf,
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
}

/// What it means that a directory does not exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Absent {
    /// It has no files: nobody asked for it by name.
    NoFiles,
    /// Whoever named it made a mistake.
    Mistake,
}

/// Reads all files of `dir`.
///
/// # Errors
///
/// The directory cannot be listed, or does not exist and that is a mistake; an entry cannot be read,
/// is neither a regular file nor a directory, or is too large; there are too many. All name the file.
pub(crate) fn read(dir: &Path, absent: Absent) -> io::Result<DropIns> {
    let mut found = DropIns::default();
    let mut total = 0;
    for name in names(dir, absent)? {
        let path = dir.join(&name);
        if let Some((severity, reason)) = leftover(&name) {
            found.skipped.push(Skipped {
                path,
                severity,
                reason,
            });
            continue;
        }
        match bounded_file::read(&path)? {
            Content::Text(text) => {
                total += text.len();
                if found.files.len() == MAX_FILES || total > MAX_TOTAL_BYTES {
                    let reason = format!(
                        "more than {MAX_FILES} drop-in files or {MAX_TOTAL_BYTES} bytes in them"
                    );
                    return Err(invalid(dir, reason));
                }
                found.files.push((path, text));
            }
            Content::Directory => found.skipped.push(Skipped {
                path,
                severity: Severity::Warning,
                reason: "skipped: a directory",
            }),
            Content::Special(what) => {
                let reason =
                    format!("drop-in cfg file can only be a regular file or a symlink, not {what}");
                return Err(invalid(&path, reason));
            }
        }
    }
    Ok(found)
}

fn invalid(path: &Path, reason: String) -> io::Error {
    LoadError::about_file(io::ErrorKind::InvalidInput, path, reason)
}

/// The names in `dir`, in the order of their bytes.
fn names(dir: &Path, absent: Absent) -> io::Result<Vec<OsString>> {
    let about = |e: io::Error| LoadError::about_file(e.kind(), dir, e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound && absent == Absent::NoFiles => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(about(e)),
    };
    let mut names = entries
        .take(MAX_NAMES + 1)
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(about)?;
    if names.len() > MAX_NAMES {
        return Err(invalid(dir, format!("more than {MAX_NAMES} names")));
    }
    names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    Ok(names)
}

/// Why an entry of this name is no configuration, if it is none.
fn leftover(name: &OsStr) -> Option<(Severity, &'static str)> {
    let name = name.as_encoded_bytes();
    if name.starts_with(b".") {
        // A ConfigMap always has two of these.
        return Some((Severity::Info, "skipped: a hidden name"));
    }
    LEFTOVERS
        .iter()
        .any(|ending| name.ends_with(ending.as_bytes()))
        .then_some((
            Severity::Warning,
            "skipped: a backup of an editor or a package manager",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_recognised_by_their_names() {
        for name in [
            ".",
            "..data",
            ".10-x.toml.swp",
            "x~",
            "x.toml~",
            "x.bak",
            "x.swp",
            "x.orig",
            "x.rpmsave",
            "x.rpmnew",
            "x.dpkg-old",
            "x.dpkg-dist",
            "x.dpkg-new",
        ] {
            assert!(leftover(OsStr::new(name)).is_some(), "{name}");
        }
        for name in [
            "10-base",
            "x",
            "x.toml",
            "x.conf",
            "x.bak.toml",
            "bak",
            "swp",
            "~x",
            "x.BAK",
            "x.old",
            "README",
            "x.",
            " ",
        ] {
            assert_eq!(leftover(OsStr::new(name)), None, "{name}");
        }
    }
}
