//! What protects guests from this machine.

use kata_sys_util::protection::{Platform, ProtectionCandidate, protection_report_in};
use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, answer, row};

#[derive(Serialize)]
pub(crate) struct Protection {
    /// `null` if it cannot be told.
    selected: Option<String>,
    /// Why it cannot be told.
    error: Option<String>,
    candidates: Vec<Candidate>,
}

#[derive(Serialize)]
struct Candidate {
    technology: String,
    usable: bool,
    hardware: Option<bool>,
    kernel: Option<bool>,
    enabled: Option<bool>,
    reason: String,
}

impl Protection {
    pub(crate) fn read(reader: &Reader) -> Self {
        let report = protection_report_in(&reader.root, &Platform::current());
        let (selected, error) = match report.selected {
            Ok(protection) => (Some(protection.to_string()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Self {
            selected,
            error,
            candidates: report.candidates.into_iter().map(Candidate::from).collect(),
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let selected = self.selected.as_ref().or(self.error.as_ref());
        let mut rows = vec![row("guests", selected.map_or("", String::as_str))];
        for candidate in &self.candidates {
            let answers = format!(
                "hardware {}, kernel {}, enabled {}: {}",
                answer(candidate.hardware),
                answer(candidate.kernel),
                answer(candidate.enabled),
                candidate.reason
            );
            rows.push(row(&candidate.technology, answers));
        }
        rows
    }
}

impl From<ProtectionCandidate> for Candidate {
    fn from(candidate: ProtectionCandidate) -> Self {
        Self {
            technology: candidate.technology.to_string(),
            usable: candidate.is_usable(),
            hardware: candidate.hardware,
            kernel: candidate.kernel,
            enabled: candidate.enabled,
            reason: candidate.reason,
        }
    }
}
