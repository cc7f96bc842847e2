//! Methods of the state document, as in the OCI runtime specification,
//! [State](https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state).

use std::error::Error;
use std::fmt::{self, Display};

use crate::{State, json};

impl State {
    /// Checks that no member is missing that the OCI runtime specification requires.
    ///
    /// `status` is always there; `ociVersion`, `id` and `bundle` are missing if empty, as they are
    /// then left out of the document. Nothing else is checked.
    ///
    /// # Errors
    ///
    /// [`InvalidState`] with the first missing member, in the order `ociVersion`, `id`, `bundle`.
    ///
    /// ```
    /// use runtime_spec::State;
    ///
    /// let state: State = serde_json::from_str(r#"{"ociVersion":"1.1.0","status":"running"}"#)?;
    /// let error = state.validate().unwrap_err();
    /// assert_eq!(error.member(), "id");
    /// assert_eq!(error.to_string(), "container state: required member `id` is missing or empty");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn validate(&self) -> Result<(), InvalidState> {
        let required = [
            ("ociVersion", &self.version),
            ("id", &self.id),
            ("bundle", &self.bundle),
        ];
        match required.into_iter().find(|(_, value)| value.is_empty()) {
            Some((member, _)) => Err(InvalidState { member }),
            None => Ok(()),
        }
    }

    /// The state as JSON, the same bytes as `serde_json::to_string` gives, and cheaper.
    ///
    /// The string is allocated once, with the exact size. Sorting the annotations needs no
    /// allocation up to 32 of them, and one temporary one beyond. To run several hooks, call this
    /// once and give each the same document.
    ///
    /// ```
    /// use runtime_spec::State;
    ///
    /// let state: State = serde_json::from_str(r#"{"status":"stopped"}"#)?;
    /// assert_eq!(state.to_json(), r#"{"status":"stopped","pid":0}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn to_json(&self) -> String {
        json::write(self)
    }
}

/// A [`State`] that lacks a member that the OCI runtime specification requires.
///
/// Its `Display` names the JSON member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidState {
    member: &'static str,
}

impl InvalidState {
    /// The JSON member that is missing: `ociVersion`, `id` or `bundle`.
    ///
    /// ```
    /// # use runtime_spec::State;
    /// let state: State = serde_json::from_str(r#"{"status":"stopped"}"#)?;
    /// assert_eq!(state.validate().unwrap_err().member(), "ociVersion");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub const fn member(&self) -> &'static str {
        self.member
    }
}

impl Display for InvalidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = self.member;
        write!(
            f,
            "container state: required member `{member}` is missing or empty"
        )
    }
}

impl Error for InvalidState {}
