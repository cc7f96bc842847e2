//! Why a sandbox is not found.

use std::fmt;
use std::io;
use std::path::PathBuf;

use kata_sys_util::validate::{self, verify_id};

use crate::Sandbox;

/// How many ids an error lists.
const LISTED_IDS: usize = 10;

/// Why there is no sandbox, or not one alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The id is empty.
    #[error("Empty sandbox id for acquiring socket address for shim_mgmt")]
    EmptyId,
    /// Neither an id nor the beginning of one: [`verify_id`] refuses it.
    #[error("The short id contains invalid characters.")]
    InvalidId(#[source] InvalidId),
    /// No sandbox has this id, and none has an id that begins like this.
    #[error("sandbox with the provided prefix {prefix:?} is not found")]
    NotFound {
        /// What was looked for.
        prefix: String,
        /// Why no sandbox can be there: the directory of all sandboxes does not exist.
        source: Option<io::Error>,
    },
    /// Several sandboxes have an id that begins like this, or both runtimes have this id.
    #[error(
        "more than one sandbox exists with the provided prefix {prefix:?}, \
         please provide a unique prefix"
    )]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// Those that match, in the order of their ids.
        #[source]
        matches: Matches,
    },
    /// This user may not read the directory of the sandboxes.
    #[error("root privileges are needed to read {}", dir.display())]
    PermissionDenied {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory of the sandboxes leads nowhere.
    #[error("failed to canonicalize path {}", dir.display())]
    Canonicalize {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory of the sandboxes cannot be read.
    #[error("failed to read the directory of sandboxes {}", dir.display())]
    Read {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directory of the sandboxes cannot be part of an address.
    #[error("the directory of sandboxes {dir:?} is not UTF-8")]
    NotUtf8 {
        /// The directory, without symlinks.
        dir: PathBuf,
    },
}

/// An id that [`verify_id`] refuses. Its source says what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct InvalidId {
    error: validate::Error,
    #[source]
    reason: IdFault,
}

/// What is wrong with an id (D10).
#[derive(Debug, thiserror::Error)]
enum IdFault {
    #[error("too short: at least 2 characters are needed")]
    TooShort,
    #[error("bad character {0:?} at index 0: an id begins with an ASCII letter or digit")]
    BadStart(char),
    #[error(
        "bad character {character:?} at index {index}: \
         an id has ASCII letters, digits, '.', '_' and '-' only"
    )]
    BadCharacter { index: usize, character: char },
}

/// The sandboxes that match an ambiguous prefix.
#[derive(Debug)]
pub struct Matches(pub(crate) Vec<Sandbox>);

impl Matches {
    /// In the order of their ids.
    pub fn sandboxes(&self) -> &[Sandbox] {
        &self.0
    }
}

impl fmt::Display for Matches {
    /// At most ten ids, and how many more there are. If two runtimes are concerned: directories,
    /// since an id alone would not tell them apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.0.first().map(Sandbox::layout);
        let is_one_layout = self.0.iter().all(|found| Some(found.layout()) == layout);
        for (index, found) in self.0.iter().take(LISTED_IDS).enumerate() {
            let name = if is_one_layout {
                found.id()
            } else {
                found.dir()
            };
            write!(f, "{}{name}", if index == 0 { "it may be " } else { ", " })?;
        }
        match self.0.len().saturating_sub(LISTED_IDS) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for Matches {}

/// Refuses what can be neither an id nor the beginning of one.
pub(crate) fn check_id(sid: &str) -> Result<(), StorageError> {
    if sid.is_empty() {
        return Err(StorageError::EmptyId);
    }
    verify_id(sid).map_err(|error| {
        let reason = id_fault(sid);
        StorageError::InvalidId(InvalidId { error, reason })
    })
}

/// Why [`verify_id`] refuses `id`.
fn id_fault(id: &str) -> IdFault {
    for (index, character) in id.chars().enumerate() {
        let is_alphanumeric = character.is_ascii_alphanumeric();
        if index == 0 && !is_alphanumeric {
            return IdFault::BadStart(character);
        }
        if !is_alphanumeric && !"_.-".contains(character) {
            return IdFault::BadCharacter { index, character };
        }
    }
    IdFault::TooShort
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;

    use super::*;
    use crate::Layout;

    #[test]
    fn an_invalid_id_says_what_is_wrong_with_it() {
        for (id, reason) in [
            ("a", "too short: at least 2 characters are needed"),
            (
                ".a",
                "bad character '.' at index 0: an id begins with an ASCII letter or digit",
            ),
            (
                "é1",
                "bad character 'é' at index 0: an id begins with an ASCII letter or digit",
            ),
            (
                "a/b",
                "bad character '/' at index 1: \
                 an id has ASCII letters, digits, '.', '_' and '-' only",
            ),
        ] {
            let error = check_id(id).unwrap_err();
            assert_eq!(
                error.to_string(),
                "The short id contains invalid characters."
            );
            let cause = error.source().unwrap();
            assert_eq!(cause.to_string(), format!("invalid container ID {id}"));
            assert_eq!(cause.source().unwrap().to_string(), reason);
        }
    }

    #[test]
    fn ambiguous_matches_are_listed_up_to_ten() {
        let matches = |count: usize| {
            let sandboxes = (0..count)
                .map(|n| Sandbox::new(Layout::Go, "/run/vc/sbs", format!("s{n:02}")))
                .collect();
            Matches(sandboxes).to_string()
        };
        assert_eq!(matches(2), "it may be s00, s01");
        let ten = "it may be s00, s01, s02, s03, s04, s05, s06, s07, s08, s09";
        assert_eq!(matches(10), ten);
        assert_eq!(matches(13), format!("{ten} and 3 more"));
    }

    #[test]
    fn ambiguous_matches_of_both_runtimes_are_told_apart() {
        let matches = Matches(vec![
            Sandbox::new(Layout::RuntimeRs, "/run/kata", "web-1".to_owned()),
            Sandbox::new(Layout::Go, "/run/vc/sbs", "web-1".to_owned()),
        ]);
        assert_eq!(
            matches.to_string(),
            "it may be /run/kata/web-1, /run/vc/sbs/web-1"
        );
    }

    proptest! {
        #[test]
        fn a_fault_is_found_exactly_in_ids_that_are_refused(id in "\\PC{0,4}|[a-z0-9._/ -]{0,5}") {
            prop_assume!(!id.is_empty());
            match check_id(&id) {
                Ok(()) => prop_assert!(verify_id(&id).is_ok()),
                Err(StorageError::InvalidId(_)) => {
                    let is_short = matches!(id_fault(&id), IdFault::TooShort);
                    prop_assert_eq!(is_short, id.len() == 1 && id.as_bytes()[0].is_ascii_alphanumeric());
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
