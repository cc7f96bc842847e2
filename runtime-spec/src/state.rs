//! The state document, as in the OCI runtime specification,
//! [State](https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state).

use std::collections::HashMap;
use std::error::Error;
use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::{ContainerState, annotations, json};

/// The state of a container: what a hook reads from its standard input.
///
/// As JSON, members come in the order of the fields, annotations sorted by key, so that equal
/// states give equal documents. Empty strings and empty annotations are left out, also where OCI
/// requires the member: [`validate`](Self::validate) tells before a document leaves for others.
///
/// Reading requires `status` alone; the other members are empty or 0 if absent. Unknown members
/// are ignored, as runtimes add their own. A member that is there twice, has another type or is
/// `null` is an error, except that `"annotations": null` means none.
///
/// ```
/// use std::collections::HashMap;
/// use runtime_spec::{ContainerState, State};
///
/// let state = State {
///     version: "1.0.2".to_owned(),
///     id: "web".to_owned(),
///     status: ContainerState::Created,
///     pid: 4242,
///     bundle: "/run/bundles/web".to_owned(),
///     annotations: HashMap::from([("com.example.team".to_owned(), "red".to_owned())]),
/// };
/// state.validate()?;
///
/// let document = serde_json::to_string(&state)?;
/// assert_eq!(
///     document,
///     r#"{"ociVersion":"1.0.2","id":"web","status":"created","pid":4242,"#.to_owned()
///         + r#""bundle":"/run/bundles/web","annotations":{"com.example.team":"red"}}"#
/// );
/// assert_eq!(serde_json::from_str::<State>(&document)?, state);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Version of the OCI runtime specification that the state follows, such as `1.0.2`. JSON
    /// member `ociVersion`, required by OCI.
    #[serde(
        default,
        rename = "ociVersion",
        skip_serializing_if = "String::is_empty"
    )]
    pub version: String,
    /// The container's id, unique on its host. Required by OCI.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What the container is doing. Required by OCI, and to read a document.
    pub status: ContainerState,
    /// Process id of the container's process as the host sees it; 0 if there is none. OCI requires
    /// it while the container is created or running. Written always, and any number is accepted.
    #[serde(default)]
    pub pid: i32,
    /// Absolute path of the container's bundle directory. Required by OCI.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bundle: String,
    /// The annotations of the container's configuration.
    #[serde(
        default,
        skip_serializing_if = "HashMap::is_empty",
        serialize_with = "annotations::serialize",
        deserialize_with = "annotations::deserialize"
    )]
    pub annotations: HashMap<String, String>,
}

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
