//! The one kind of error of the example: a paragraph that names file, field and value.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest piece of an offending value that is repeated in a message, in characters.
const MAX_SHOWN_CHARS: usize = 120;

/// What is wrong, where it stands, and what would be accepted.
#[derive(Debug)]
pub(crate) struct Problem {
    file: PathBuf,
    field: Option<String>,
    value: Option<String>,
    reason: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub(crate) fn file(file: &Path, reason: impl fmt::Display) -> Self {
        Self {
            file: file.to_path_buf(),
            field: None,
            value: None,
            reason: reason.to_string(),
        }
    }

    /// A problem of one field (`mounts[2].source`) and its value.
    pub(crate) fn field(
        file: &Path,
        field: impl Into<String>,
        value: impl fmt::Debug,
        reason: impl fmt::Display,
    ) -> Self {
        Self {
            field: Some(field.into()),
            value: Some(shorten(&format!("{value:?}"))),
            ..Self::file(file, reason)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` escapes control characters and bytes that are not UTF-8.
        let file = format!("{:?}", self.file);
        write!(f, "{}", file.trim_matches('"'))?;
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.reason.replace(['\n', '\r', '\0'], " "))
    }
}

impl std::error::Error for Problem {}

fn shorten(text: &str) -> String {
    if text.chars().count() <= MAX_SHOWN_CHARS {
        return text.to_string();
    }
    let head: String = text.chars().take(MAX_SHOWN_CHARS).collect();
    format!("{head}… ({} bytes)", text.len())
}
