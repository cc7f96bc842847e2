//! Everything that was found, as diagnostics in the order of the files and lines.

use std::collections::HashMap;

use super::walk::{Finding, Walk};
use super::{ConfigDiagnostic, DiagnosticKind, Severity};
use crate::config::adjust::AdjustNote;
use crate::config::dotted_key::shown_key;
use crate::config::drop_in::Skipped;
use crate::config::toml_tree::Sources;

/// So many notes look for their places one by one.
const FEW_NOTES: usize = 16;

/// Puts together what reading, the walk and adjusting have to say.
pub(crate) fn report(
    sources: &Sources,
    walk: &Walk,
    skipped: &[Skipped],
    notes: &[AdjustNote],
) -> Vec<ConfigDiagnostic> {
    let files = skipped.iter().map(|skipped| ConfigDiagnostic {
        severity: skipped.severity,
        file: skipped.path.clone(),
        line: None,
        column: None,
        key: String::new(),
        kind: DiagnosticKind::SkippedFile,
        message: skipped.reason.to_owned(),
        suggestion: None,
    });
    let mut diagnostics: Vec<_> = files.collect();

    let found = walk
        .findings
        .iter()
        .map(|finding| (Some(finding.at), Remark::from(finding)));
    // Looking a key up in the walk reads all of it: not for each of very many notes.
    let places: Option<HashMap<_, _>> = (notes.len() > FEW_NOTES).then(|| walk.keys().collect());
    let find = |key: &str| match &places {
        Some(places) => {
            let place = key.rsplit_once('.').unwrap_or(("", key));
            places
                .get(&place)
                .copied()
                .or_else(|| walk.find_section(key))
        }
        None => walk.find(key),
    };
    let noted = notes
        .iter()
        .map(|note| (find(&note.key), Remark::from(note)));
    let mut remarks: Vec<_> = found.chain(noted).collect();
    // Those without a place come last.
    remarks.sort_by_key(|(at, _)| at.unwrap_or(usize::MAX));
    let mut locator = sources.locator();
    for (at, remark) in remarks {
        let place = at.map(|at| locator.locate(at));
        diagnostics.push(ConfigDiagnostic {
            severity: remark.kind.severity(),
            file: sources.path(place.map_or(0, |place| place.file)).to_owned(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            key: shown_key(remark.key),
            kind: remark.kind,
            message: remark.message.to_owned(),
            suggestion: remark.suggestion.map(str::to_owned),
        });
    }
    if walk.unlisted > 0 {
        diagnostics.push(ConfigDiagnostic {
            severity: Severity::Warning,
            file: sources.path(0).to_owned(),
            line: None,
            column: None,
            key: String::new(),
            kind: DiagnosticKind::UnknownKey,
            message: format!("{} more remarks are not listed", walk.unlisted),
            suggestion: None,
        });
    }
    diagnostics
}

/// What findings and notes have in common.
struct Remark<'a> {
    key: &'a str,
    kind: DiagnosticKind,
    message: &'a str,
    suggestion: Option<&'a str>,
}

impl<'a> From<&'a Finding> for Remark<'a> {
    fn from(finding: &'a Finding) -> Self {
        Remark {
            key: &finding.key,
            kind: finding.kind,
            message: &finding.message,
            suggestion: finding.suggestion.as_deref(),
        }
    }
}

impl<'a> From<&'a AdjustNote> for Remark<'a> {
    fn from(note: &'a AdjustNote) -> Self {
        Remark {
            key: &note.key,
            kind: note.kind,
            message: &note.message,
            suggestion: note.suggestion.as_deref(),
        }
    }
}
