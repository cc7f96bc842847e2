//! Why a configuration could not be loaded: every problem with its place.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::diagnostics::{ConfigDiagnostic, write_place};
use super::toml_tree::{Position, Sources};

/// The problems that keep a configuration from being loaded.
///
/// The [`io::Error`] of the loading functions carries one of these when a value is at fault:
///
/// ```
/// use kata_types::config::{LoadError, TomlConfig};
///
/// let error = TomlConfig::load("[runtime]\nenable_debug = 1\nkeep_abnormal = 2\n").unwrap_err();
/// let load_error = error.get_ref().and_then(|e| e.downcast_ref::<LoadError>()).unwrap();
/// assert_eq!(
///     load_error.problems().iter().map(|problem| problem.to_string()).collect::<Vec<_>>(),
///     [
///         "2:16: runtime.enable_debug: invalid type: integer `1`, expected a boolean",
///         "3:17: runtime.keep_abnormal: invalid type: integer `2`, expected a boolean",
///     ],
/// );
/// ```
///
/// It is displayed as its first problem, followed by the number of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadError {
    problems: Vec<LoadProblem>,
    remarks: Vec<ConfigDiagnostic>,
}

/// One problem of a [`LoadError`], displayed as `file:line:column: key: reason` without the parts
/// that are unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadProblem {
    /// The file; empty when the configuration did not come from a file.
    pub file: PathBuf,
    /// Line in `file`, counted from 1.
    pub line: Option<usize>,
    /// Column in `line`, in characters, counted from 1.
    pub column: Option<usize>,
    /// Dotted key, such as `hypervisor.qemu.default_vcpus`; empty when it is about a whole file or
    /// about its syntax.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

impl LoadError {
    /// All problems, in the order of the files and of the places in them. At most 100 are listed.
    pub fn problems(&self) -> &[LoadProblem] {
        &self.problems
    }

    /// What else there is to say about the configuration, as far as it was understood.
    pub fn remarks(&self) -> &[ConfigDiagnostic] {
        &self.remarks
    }

    /// An error of kind [`io::ErrorKind::InvalidData`].
    pub(crate) fn invalid_data(problems: Vec<LoadProblem>) -> io::Error {
        LoadError::of_kind(io::ErrorKind::InvalidData, problems, Vec::new())
    }

    /// An error of the given kind.
    pub(crate) fn of_kind(
        kind: io::ErrorKind,
        problems: Vec<LoadProblem>,
        remarks: Vec<ConfigDiagnostic>,
    ) -> io::Error {
        io::Error::new(kind, LoadError { problems, remarks })
    }

    /// An error about a whole file.
    pub(crate) fn about_file(
        kind: io::ErrorKind,
        file: &Path,
        reason: impl fmt::Display,
    ) -> io::Error {
        LoadError::of_kind(
            kind,
            vec![LoadProblem::in_file(file, "", reason)],
            Vec::new(),
        )
    }
}

impl LoadProblem {
    /// A problem somewhere in a file.
    pub(crate) fn in_file(file: &Path, key: &str, reason: impl fmt::Display) -> Self {
        LoadProblem {
            file: file.to_owned(),
            line: None,
            column: None,
            key: key.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// A problem at a place.
    pub(crate) fn at(
        sources: &Sources,
        place: Position,
        key: &str,
        reason: impl fmt::Display,
    ) -> Self {
        LoadProblem {
            line: Some(place.line),
            column: Some(place.column),
            ..LoadProblem::in_file(sources.path(place.file), key, reason)
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [] => f.write_str("invalid configuration"),
            [only] => only.fmt(f),
            [first, others @ ..] => write!(f, "{first} (and {} more)", others.len()),
        }
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.reason)
    }
}
