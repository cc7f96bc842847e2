//! What a diagnostic says.

use std::fmt;
use std::path::{Path, PathBuf};

/// How much a [`ConfigDiagnostic`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing, nothing to do: a value was limited to what this machine has.
    Info,
    /// The configuration is used, but probably not as its author meant it.
    Warning,
    /// The configuration, or the section, cannot be used.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// What a [`ConfigDiagnostic`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiagnosticKind {
    /// No section of this kind has such a key; it is ignored.
    UnknownKey,
    /// The key is unknown, but very close to a known one.
    Misspelt,
    /// The key has another name, and perhaps another unit, in this runtime.
    Renamed,
    /// The key belongs to another section.
    WrongSection,
    /// The key is understood, but no part of a runtime acts on its value; the message says what it
    /// changes all the same, if anything.
    NoEffect,
    /// The value was limited.
    Clamped,
    /// The value is still accepted, but has a better spelling.
    Deprecated,
    /// A file of the drop-in directory was left out.
    SkippedFile,
    /// A section that is not in use could not be adjusted or validated.
    InactiveSection,
    /// A pattern of an allow-list cannot be read, or enables less than its author may expect.
    InvalidPattern,
    /// Values do not go together, or were changed to fit each other.
    Policy,
}

impl DiagnosticKind {
    /// The severity that goes with this kind: [`Severity::Info`] for clamped values,
    /// [`Severity::Warning`] for all others.
    pub fn severity(self) -> Severity {
        match self {
            DiagnosticKind::Clamped => Severity::Info,
            _ => Severity::Warning,
        }
    }
}

/// One remark about a configuration: where, what, and what to write instead.
///
/// It is displayed as `file:line:column: severity: key: message`, without the parts that are
/// unknown.
///
/// ```
/// use kata_types::config::{ConfigDiagnostic, DiagnosticKind, Severity};
///
/// let diagnostic = ConfigDiagnostic {
///     severity: Severity::Warning,
///     file: "/etc/kata/configuration.toml".into(),
///     line: Some(12),
///     column: Some(1),
///     key: "hypervisor.qemu.defalt_vcpus".into(),
///     kind: DiagnosticKind::Misspelt,
///     message: "unknown key".into(),
///     suggestion: Some("default_vcpus".into()),
/// };
/// assert_eq!(
///     diagnostic.to_string(),
///     "/etc/kata/configuration.toml:12:1: warning: hypervisor.qemu.defalt_vcpus: unknown key",
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigDiagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The file it is about; empty when the configuration did not come from a file.
    pub file: PathBuf,
    /// Line in `file`, counted from 1.
    pub line: Option<usize>,
    /// Column in `line`, in characters, counted from 1.
    pub column: Option<usize>,
    /// Dotted key, such as `hypervisor.qemu.default_vcpus`; empty when it is about a whole file.
    pub key: String,
    /// What it is about.
    pub kind: DiagnosticKind,
    /// What is the matter.
    pub message: String,
    /// What to write instead, if that is known.
    pub suggestion: Option<String>,
}

impl fmt::Display for ConfigDiagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.filter(|_| !self.file.as_os_str().is_empty());
        write_place(f, &self.file, line, self.column)?;
        write!(f, "{}: ", self.severity)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// `file:line:column: `, as far as it is known.
pub(crate) fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: &Path,
    line: Option<usize>,
    column: Option<usize>,
) -> fmt::Result {
    let has_file = !file.as_os_str().is_empty();
    if has_file {
        write!(f, "{}:", file.display())?;
    }
    if let Some(line) = line {
        write!(f, "{line}:")?;
        if let Some(column) = column {
            write!(f, "{column}:")?;
        }
    }
    if has_file || line.is_some() {
        f.write_str(" ")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(file: &str, line: Option<usize>, column: Option<usize>, key: &str) -> String {
        ConfigDiagnostic {
            severity: Severity::Error,
            file: file.into(),
            line,
            column,
            key: key.into(),
            kind: DiagnosticKind::Policy,
            message: "m".into(),
            suggestion: None,
        }
        .to_string()
    }

    #[test]
    fn display_leaves_out_what_is_unknown() {
        for (text, file, line, column, key) in [
            ("f:1:2: error: k: m", "f", Some(1), Some(2), "k"),
            ("f:1: error: k: m", "f", Some(1), None, "k"),
            ("f: error: k: m", "f", None, None, "k"),
            ("f: error: k: m", "f", None, Some(2), "k"),
            ("error: k: m", "", Some(1), Some(2), "k"),
            ("f: error: m", "f", None, None, ""),
            ("error: m", "", None, None, ""),
        ] {
            assert_eq!(diagnostic(file, line, column, key), text);
        }
    }
}
