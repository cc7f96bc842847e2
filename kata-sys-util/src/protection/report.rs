//! Why guests of a machine are protected, or why not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{GuestProtection, ProtectionError};

/// What protects guests of a machine, and what is known about each technology.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProtectionReport {
    /// What [`available_guest_protection`](super::available_guest_protection) says.
    pub selected: Result<GuestProtection, ProtectionError>,
    /// The technologies of the architecture, in the order in which one is selected.
    ///
    /// If a protection is selected, it is that of the first candidate that can be used; if it is
    /// [`GuestProtection::NoProtection`], none can. With an error there may be one that can: the
    /// parameter of one before it is not readable, or the user may not ask.
    pub candidates: Vec<ProtectionCandidate>,
}

/// What is known about a technology. Of the three answers, `None` is that it cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProtectionCandidate {
    /// Which one.
    pub technology: Technology,
    /// The CPU, or the firmware, has it.
    pub hardware: Option<bool>,
    /// The running kernel, with the modules that are loaded, supports it.
    pub kernel: Option<bool>,
    /// It is switched on.
    pub enabled: Option<bool>,
    /// Why it can or cannot be used, in words.
    pub reason: String,
}

impl ProtectionCandidate {
    /// Whether guests can be protected by it.
    pub fn is_usable(&self) -> bool {
        [self.hardware, self.kernel, self.enabled] == [Some(true); 3]
    }
}

/// A confidential-computing technology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Technology {
    /// Intel Trust Domain Extensions.
    Tdx,
    /// AMD SEV with Secure Nested Paging.
    Snp,
    /// AMD Secure Encrypted Virtualization.
    Sev,
    /// IBM Secure Execution.
    Se,
    /// IBM Protected Execution Facility.
    Pef,
}

impl fmt::Display for Technology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tdx => "tdx",
            Self::Snp => "snp",
            Self::Sev => "sev",
            Self::Se => "se",
            Self::Pef => "pef",
        })
    }
}
