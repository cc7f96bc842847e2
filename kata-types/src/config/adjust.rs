//! The working state of one adjustment: what it may look up, and what it has to report.

use std::collections::HashMap;
use std::fmt;
use std::io;

use super::diagnostics::{DiagnosticKind, Severity};
use super::dotted_key::shown_key;
use super::host::Host;
use super::path;

/// What an adjustment or a validation found beside an error.
#[derive(Debug, Default)]
pub(crate) struct AdjustReport {
    /// Remarks, in the order in which they were found.
    pub(crate) notes: Vec<AdjustNote>,
    /// When it failed: the dotted key of the value that is wrong, or of its section.
    pub(crate) failed_key: Option<String>,
}

/// One remark of an [`AdjustReport`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdjustNote {
    /// Dotted key, such as `hypervisor.qemu.default_vcpus`.
    pub(crate) key: String,
    pub(crate) kind: DiagnosticKind,
    pub(crate) message: String,
    /// What to write instead, if that is known.
    pub(crate) suggestion: Option<String>,
}

impl AdjustReport {
    /// Notes an error in a section that is not used (D10).
    pub(crate) fn note_inactive(&mut self, error: KeyedError) {
        self.notes.push(AdjustNote {
            key: error.key,
            kind: DiagnosticKind::InactiveSection,
            message: format!(
                "the section is not in use and has an error: {}",
                error.error
            ),
            suggestion: None,
        });
    }

    /// Writes one log line per note.
    pub(crate) fn log(&self) {
        let logger = slog_scope::logger();
        for note in &self.notes {
            let key = shown_key(&note.key);
            match note.kind.severity() {
                Severity::Info => slog::info!(logger, "{key}: {}", note.message),
                _ => match &note.suggestion {
                    Some(instead) => slog::warn!(
                        logger, "{key}: {}", note.message; "suggestion" => instead
                    ),
                    None => slog::warn!(logger, "{key}: {}", note.message),
                },
            }
        }
    }
}

/// An error and the key of the value that caused it.
#[derive(Debug)]
pub(crate) struct KeyedError {
    /// Key below the section or, after [`KeyedError::below`], from the root of the configuration.
    pub(crate) key: String,
    pub(crate) error: io::Error,
}

/// Result of a rule.
pub(crate) type Checked<T = ()> = Result<T, KeyedError>;

impl KeyedError {
    /// An error of kind [`io::ErrorKind::Other`], the kind of all adjust and validate errors.
    pub(crate) fn other(key: &str, message: impl Into<String>) -> Self {
        KeyedError {
            key: key.to_owned(),
            error: io::Error::other(message.into()),
        }
    }

    pub(crate) fn new(key: &str, error: io::Error) -> Self {
        KeyedError {
            key: key.to_owned(),
            error,
        }
    }

    /// The same error, with its key seen from the table that contains `section`.
    pub(crate) fn below(mut self, section: &str) -> Self {
        self.key = below(section, &self.key);
        self
    }

    /// The error alone; its key goes to the report.
    pub(crate) fn report_to(self, report: &mut AdjustReport) -> io::Error {
        report.failed_key = Some(self.key);
        self.error
    }
}

/// State of one adjustment: the host, the paths that are known already, and the report.
pub(crate) struct Adjuster<'a> {
    pub(crate) host: &'a Host,
    pub(crate) report: &'a mut AdjustReport,
    /// Dotted key of the section that is being adjusted.
    section: String,
    /// Configured path → canonical path.
    resolved: HashMap<String, String>,
}

impl<'a> Adjuster<'a> {
    pub(crate) fn new(host: &'a Host, report: &'a mut AdjustReport) -> Self {
        Adjuster {
            host,
            report,
            section: String::new(),
            resolved: HashMap::new(),
        }
    }

    /// Says which section the following notes are about.
    pub(crate) fn enter(&mut self, section: String) {
        self.section = section;
    }

    /// Adds a remark about a key of the section.
    pub(crate) fn note(
        &mut self,
        key: &str,
        kind: DiagnosticKind,
        message: String,
        suggestion: Option<&str>,
    ) {
        self.report.notes.push(AdjustNote {
            key: below(&self.section, key),
            kind,
            message,
            suggestion: suggestion.map(str::to_owned),
        });
    }

    /// Adds a remark about a key of another section.
    pub(crate) fn note_at(&mut self, key: &str, kind: DiagnosticKind, message: String) {
        self.report.notes.push(AdjustNote {
            key: key.to_owned(),
            kind,
            message,
            suggestion: None,
        });
    }

    /// Notes that a configured value was limited (D43).
    pub(crate) fn clamped(
        &mut self,
        key: &str,
        old: impl fmt::Display,
        new: impl fmt::Display,
        why: impl fmt::Display,
    ) {
        let message = format!("changed from {old} to {new}: {why}");
        self.note(key, DiagnosticKind::Clamped, message, None);
    }

    /// Replaces a path by its canonical form; an empty one stays empty.
    ///
    /// `message` is the error text, with `{}` for the path and `{}` for the reason.
    pub(crate) fn resolve(&mut self, value: &mut String, key: &str, message: &str) -> Checked {
        if value.is_empty() {
            return Ok(());
        }
        let canonical = self
            .canonical(value)
            .map_err(|e| KeyedError::other(key, fill(message, value, &e)))?;
        *value = canonical;
        Ok(())
    }

    /// The canonical form of a path that is not empty.
    pub(crate) fn canonical(&mut self, value: &str) -> io::Result<String> {
        if let Some(known) = self.resolved.get(value) {
            return Ok(known.clone());
        }
        let canonical = path::canonical_text(value)?;
        self.resolved.insert(canonical.clone(), canonical.clone());
        self.resolved.insert(value.to_owned(), canonical.clone());
        Ok(canonical)
    }
}

/// Adjusts one structure that stands for itself: notes become log lines.
pub(crate) fn adjust_alone(adjust: impl FnOnce(&mut Adjuster<'_>) -> Checked) -> io::Result<()> {
    let host = Host::real();
    let mut report = AdjustReport::default();
    let result = adjust(&mut Adjuster::new(&host, &mut report));
    report.log();
    result.map_err(|e| e.error)
}

/// `key` below `section`; either may be empty.
fn below(section: &str, key: &str) -> String {
    match (section, key) {
        ("", key) => key.to_owned(),
        (section, "") => section.to_owned(),
        (section, key) => format!("{section}.{key}"),
    }
}

/// An error text: the first `{}` of `template` is the path, the second the reason.
pub(crate) fn fill(template: &str, path: &str, reason: &dyn fmt::Display) -> String {
    let mut parts = template.splitn(3, "{}");
    let mut next = || parts.next().unwrap_or_default();
    format!("{}{path}{}{reason}{}", next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in_order_and_only_once() {
        assert_eq!(fill("a `{}` is b: {}", "{}", &"{}"), "a `{}` is b: {}");
        assert_eq!(fill("x {} y {}", "p", &"r"), "x p y r");
    }

    #[test]
    fn a_path_is_resolved_once_per_adjustment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "").unwrap();
        let host = Host::with(1, 1);
        let mut report = AdjustReport::default();
        let mut cx = Adjuster::new(&host, &mut report);

        let mut first = file.to_str().unwrap().to_owned();
        cx.resolve(&mut first, "k", "{}: {}").unwrap();
        std::fs::remove_file(&file).unwrap();
        // A second look at the disk would fail.
        let mut second = first.clone();
        cx.resolve(&mut second, "k", "{}: {}").unwrap();
        assert_eq!(first, second);
    }
}
