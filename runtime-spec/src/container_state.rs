//! The status of a container, as in the OCI runtime specification,
//! [State](https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state).

use std::error::Error;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a container is doing: the `status` of a [`State`](crate::State).
///
/// It prints, parses and serialises as its lower-case name, and is parsed from nothing else. There
/// is no default, as no status is a safe guess.
///
/// ```
/// use runtime_spec::ContainerState;
///
/// let status = ContainerState::Running;
/// assert_eq!(status.as_str(), "running");
/// assert_eq!(status.to_string().parse(), Ok(status));
/// assert_eq!(serde_json::to_string(&status)?, r#""running""#);
/// assert_eq!(serde_json::from_str::<ContainerState>(r#""running""#)?, status);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    /// `creating`: the container is being created.
    Creating,
    /// `created`: the runtime has finished the create operation, and the container process has
    /// neither exited nor run the user's program.
    Created,
    /// `running`: the container process runs the user's program.
    Running,
    /// `stopped`: the container process has exited.
    Stopped,
    /// `paused`: the processes of the container are frozen. OCI does not define this status; it is
    /// a common extension of runtimes.
    Paused,
}

impl ContainerState {
    /// The status as it is written in JSON.
    ///
    /// ```
    /// assert_eq!(runtime_spec::ContainerState::Creating.as_str(), "creating");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
        }
    }
}

impl Display for ContainerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const ALL: [ContainerState; 5] = [
    ContainerState::Creating,
    ContainerState::Created,
    ContainerState::Running,
    ContainerState::Stopped,
    ContainerState::Paused,
];

impl FromStr for ContainerState {
    type Err = ParseContainerStateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ALL.into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| ParseContainerStateError {
                text: text.to_owned(),
            })
    }
}

/// A text that is not the name of a [`ContainerState`].
///
/// ```
/// use runtime_spec::ContainerState;
///
/// let error = "Running".parse::<ContainerState>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"container status "Running": expected creating, created, running, stopped or paused"#
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseContainerStateError {
    text: String,
}

impl Display for ParseContainerStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "container status {:?}: expected creating, created, running, stopped or paused",
            self.text
        )
    }
}

impl Error for ParseContainerStateError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 5] = ["creating", "created", "running", "stopped", "paused"];

    #[test]
    fn names_are_the_same_in_every_form() {
        for (status, name) in ALL.into_iter().zip(NAMES) {
            assert_eq!(status.as_str(), name);
            assert_eq!(status.to_string(), name);
            assert_eq!(name.parse(), Ok(status));
            let json = format!("{name:?}");
            assert_eq!(serde_json::to_string(&status).unwrap(), json);
            let parsed: ContainerState = serde_json::from_str(&json).unwrap();
            assert_eq!(parsed, status);
        }
    }

    #[test]
    fn order_is_that_of_the_life_cycle() {
        assert_eq!(ALL.map(|status| status as u8), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn other_texts_are_errors_that_list_the_five() {
        for text in ["", "Running", "RUNNING", " running", "runnin", "deleted"] {
            let error = text.parse::<ContainerState>().unwrap_err().to_string();
            let from_json = serde_json::from_str::<ContainerState>(&format!("{text:?}"))
                .unwrap_err()
                .to_string();
            for name in NAMES {
                assert!(error.contains(name), "{error}");
                assert!(from_json.contains(name), "{from_json}");
            }
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn derived_map_form_is_read_too() {
        let parsed: ContainerState = serde_json::from_str(r#"{"running":null}"#).unwrap();
        assert_eq!(parsed, ContainerState::Running);
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("{:>9}|", ContainerState::Paused), "   paused|");
    }
}
