//! The one kind of error of the example: a paragraph that names file, field and value.

use std::fmt;
use std::path::Path;

/// Longest piece of an offending value that is repeated in a message, in characters.
const MAX_VALUE_CHARS: usize = 120;

/// Longest reason, in characters: a library may repeat a long value in it.
const MAX_REASON_CHARS: usize = 600;

/// What is wrong, where it stands, and what would be accepted.
#[derive(Debug)]
pub(crate) struct Problem {
    file: Option<String>,
    field: Option<(String, String)>,
    reason: String,
}

impl Problem {
    /// A problem whose reason says where it is.
    pub(crate) fn new(reason: impl fmt::Display) -> Self {
        Self {
            file: None,
            field: None,
            reason: shorten(&reason.to_string(), MAX_REASON_CHARS),
        }
    }

    /// A problem of a file as a whole.
    pub(crate) fn file(file: &Path, reason: impl fmt::Display) -> Self {
        // `Debug` escapes control characters and bytes that are not UTF-8.
        let file = format!("{file:?}").trim_matches('"').to_owned();
        Self {
            file: Some(file),
            ..Self::new(reason)
        }
    }

    /// A problem of one field of a file (`mounts[2].source`) and its value.
    pub(crate) fn field(
        file: &Path,
        field: impl Into<String>,
        value: impl fmt::Debug,
        reason: impl fmt::Display,
    ) -> Self {
        let value = shorten(&format!("{value:?}"), MAX_VALUE_CHARS);
        Self {
            field: Some((field.into(), value)),
            ..Self::file(file, reason)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if let Some((field, value)) = &self.field {
            write!(f, "{field} = {value}: ")?;
        }
        // One paragraph, and nothing that a terminal would obey.
        f.write_str(&self.reason.replace(char::is_control, " "))
    }
}

impl std::error::Error for Problem {}

fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let head: String = text.chars().take(limit).collect();
    format!("{head}… ({} bytes)", text.len())
}
