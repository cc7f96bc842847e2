//! Paths as bytes: splitting and cleaning, without looking at the filesystem.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::PathError;

/// A component that means something: not empty and not `.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component<'a> {
    /// `..`
    Parent,
    /// Anything else.
    Name(&'a [u8]),
}

/// A path contains `..`, so that it has no meaning without its filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasParent;

/// The component of `path` at or after `position`, which moves behind it.
pub(crate) fn next_component<'a>(path: &'a [u8], position: &mut usize) -> Option<Component<'a>> {
    loop {
        let rest = path.get(*position..)?;
        let Some(start) = rest.iter().position(|byte| *byte != b'/') else {
            *position = path.len();
            return None;
        };
        let name = rest.get(start..)?;
        let length = name
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(name.len());
        *position += start + length;
        match name.get(..length)? {
            b"." => {}
            b".." => return Some(Component::Parent),
            name => return Some(Component::Name(name)),
        }
    }
}

/// The components of `path`.
pub(crate) fn components(path: &[u8]) -> impl Iterator<Item = Component<'_>> {
    let mut position = 0;
    std::iter::from_fn(move || next_component(path, &mut position))
}

/// Appends `/name` for each name of `path`.
///
/// In this form the root directory is the empty string, and one path is put behind another by
/// concatenation. See [`to_path`] for the way back.
pub(crate) fn push_clean(bytes: &mut Vec<u8>, path: &[u8]) -> Result<(), HasParent> {
    for component in components(path) {
        match component {
            Component::Parent => return Err(HasParent),
            Component::Name(name) => push_name(bytes, name),
        }
    }
    Ok(())
}

/// Appends `/name`.
pub(crate) fn push_name(bytes: &mut Vec<u8>, name: &[u8]) {
    bytes.push(b'/');
    bytes.extend_from_slice(name);
}

/// `/a/b` as a path; the empty string is `/`.
pub(crate) fn to_path(mut bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    if bytes.is_empty() {
        bytes.push(b'/');
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The bytes of an absolute, clean path in the form of [`push_clean`]: the root directory is empty.
pub(crate) fn clean_bytes(path: &Path) -> &[u8] {
    match path.as_os_str().as_bytes() {
        b"/" => b"",
        bytes => bytes,
    }
}

/// `path` without the separators and `.` at its end.
pub(crate) fn without_trailing_dots(path: &[u8]) -> &[u8] {
    let mut path = path;
    loop {
        path = match path {
            [rest @ .., b'/'] => rest,
            [rest @ .., b'/', b'.'] => rest,
            b"." => b"",
            _ => return path,
        };
    }
}

/// Whether the kernel takes `path` for a directory only because of how it ends.
pub(crate) fn demands_directory(path: &[u8]) -> bool {
    path.ends_with(b"/") || path.ends_with(b"/.")
}

/// The bytes of a path argument, which has no NUL.
pub(crate) fn path_bytes<'a>(
    path: &'a Path,
    argument: &'static str,
) -> Result<&'a [u8], PathError> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(PathError::ContainsNul {
            argument,
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// A buffer that holds one path at a time as a C string.
#[derive(Default)]
pub(crate) struct CPath(Vec<u8>);

impl CPath {
    /// The concatenation of `parts` as a C string.
    pub(crate) fn set<const N: usize>(&mut self, parts: [&[u8]; N]) -> &std::ffi::CStr {
        self.0.clear();
        self.0
            .reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.push(0);
        // Callers checked their input for NUL, and no text of the kernel has one.
        std::ffi::CStr::from_bytes_with_nul(&self.0).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(path: &str) -> Option<String> {
        let mut bytes = Vec::new();
        push_clean(&mut bytes, path.as_bytes()).ok()?;
        Some(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn separators_and_dots_are_dropped_and_other_names_kept() {
        for (path, expected) in [
            ("", Some("")),
            ("/", Some("")),
            (".", Some("")),
            ("//.//./", Some("")),
            ("a", Some("/a")),
            ("/a//b/./c/.", Some("/a/b/c")),
            ("...", Some("/...")),
            (".a/b.", Some("/.a/b.")),
            ("a/..", None),
            ("..", None),
            ("..a", Some("/..a")),
        ] {
            assert_eq!(clean(path).as_deref(), expected, "{path:?}");
        }
    }

    #[test]
    fn only_separators_and_dots_at_the_end_are_trimmed() {
        for (path, expected) in [
            ("", ""),
            ("/", ""),
            (".", ""),
            ("/./.", ""),
            ("a/", "a"),
            ("a/././/", "a"),
            ("a.", "a."),
            ("./a", "./a"),
            ("a/..", "a/.."),
            ("a/../", "a/.."),
        ] {
            let trimmed = without_trailing_dots(path.as_bytes());
            assert_eq!(trimmed, expected.as_bytes(), "{path:?}");
        }
    }
}
