//! Kinds and states of containers, and the annotations that the runtime adds to an OCI spec
//! ([*Annotations*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#annotations)).
//!
//! The states are those of a sandbox, fewer than OCI's of a container
//! ([*State*](https://github.com/opencontainers/runtime-spec/blob/main/runtime.md#state)); the
//! latter are in the crate `runtime-spec`.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// Annotation value of a container that belongs to a pod.
pub const POD_CONTAINER: &str = "pod_container";
/// Annotation value of the sandbox (pause) container of a pod.
pub const POD_SANDBOX: &str = "pod_sandbox";

pub(crate) const CONTAINER: &str = "container";
pub(crate) const SANDBOX: &str = "sandbox";
pub(crate) const PODSANDBOX: &str = "podsandbox";
pub(crate) const SINGLE_CONTAINER: &str = "single_container";

/// Errors of this module.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The text names no [`ContainerType`].
    #[error("Invalid container type {0}")]
    InvalidContainerType(String),
    /// The text names no [`State`].
    #[error("Invalid sandbox state {0}")]
    InvalidState(String),
    /// The state may not follow the other one; see [`State::check_transition`].
    #[error("Can not transit from {0} to {1}")]
    InvalidStateTransition(State, State),
}

/// The part that a container plays in a pod.
///
/// Parsing accepts the words of the runtime and of the CRI implementations, exactly as written:
///
/// ```
/// use kata_types::container::ContainerType;
/// assert_eq!("sandbox".parse::<ContainerType>()?, ContainerType::PodSandbox);
/// assert_eq!(ContainerType::PodSandbox.to_string(), "pod_sandbox");
/// assert!("Sandbox".parse::<ContainerType>().is_err());
/// # Ok::<(), kata_types::container::Error>(())
/// ```
#[derive(PartialEq, Eq, Hash, Debug, Clone, Copy)]
pub enum ContainerType {
    /// A container that shares the sandbox of a pod.
    PodContainer,
    /// The container that stands for the pod sandbox itself.
    PodSandbox,
    /// A container without a pod.
    SingleContainer,
}

impl ContainerType {
    /// Whether this is a container inside a pod.
    ///
    /// ```
    /// use kata_types::container::ContainerType;
    ///
    /// assert!(ContainerType::PodContainer.is_pod_container());
    /// assert!(!ContainerType::SingleContainer.is_pod_container());
    /// ```
    pub fn is_pod_container(&self) -> bool {
        matches!(self, ContainerType::PodContainer)
    }

    /// Whether this is the sandbox container of a pod.
    ///
    /// ```
    /// use kata_types::container::ContainerType;
    ///
    /// assert!(ContainerType::PodSandbox.is_pod_sandbox());
    /// assert!(!ContainerType::SingleContainer.is_pod_sandbox());
    /// ```
    pub fn is_pod_sandbox(&self) -> bool {
        matches!(self, ContainerType::PodSandbox)
    }
}

impl Display for ContainerType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContainerType::PodContainer => POD_CONTAINER,
            ContainerType::PodSandbox => POD_SANDBOX,
            ContainerType::SingleContainer => SINGLE_CONTAINER,
        })
    }
}

impl FromStr for ContainerType {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            POD_CONTAINER | CONTAINER => Ok(ContainerType::PodContainer),
            POD_SANDBOX | SANDBOX | PODSANDBOX => Ok(ContainerType::PodSandbox),
            SINGLE_CONTAINER => Ok(ContainerType::SingleContainer),
            _ => Err(Error::InvalidContainerType(value.to_string())),
        }
    }
}

/// The state of a sandbox.
///
/// ```
/// use kata_types::container::State;
/// assert_eq!("running".parse::<State>()?, State::Running);
/// assert_eq!(State::Running.to_string(), "running");
/// # Ok::<(), kata_types::container::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// Created and not yet started.
    Ready,
    /// Started.
    Running,
    /// Ended.
    Stopped,
    /// Frozen.
    Paused,
}

impl State {
    /// Checks that `new_state` may follow this state.
    ///
    /// Allowed are ready → running, ready → stopped, running → stopped, stopped → running and
    /// paused → paused.
    ///
    /// # Errors
    /// [`Error::InvalidStateTransition`] for every other pair.
    ///
    /// ```
    /// use kata_types::container::State;
    /// assert!(State::Ready.check_transition(State::Running).is_ok());
    /// let error = State::Running.check_transition(State::Ready).unwrap_err();
    /// assert_eq!(error.to_string(), "Can not transit from running to ready");
    /// ```
    pub fn check_transition(self, new_state: State) -> Result<(), Error> {
        use State::*;
        match (self, new_state) {
            (Ready, Running | Stopped)
            | (Running, Stopped)
            | (Stopped, Running)
            | (Paused, Paused) => Ok(()),
            _ => Err(Error::InvalidStateTransition(self, new_state)),
        }
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Ready => "ready",
            State::Running => "running",
            State::Stopped => "stopped",
            State::Paused => "paused",
        })
    }
}

impl FromStr for State {
    type Err = Error;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "ready" => Ok(State::Ready),
            "running" => Ok(State::Running),
            "stopped" => Ok(State::Stopped),
            "paused" => Ok(State::Paused),
            _ => Err(Error::InvalidState(value.to_string())),
        }
    }
}

/// A copy of `annotations` without `keys_to_remove` and with `keys_to_add`.
///
/// **An existing value wins over an added one**, and the first of two additions of one key wins. A
/// pod author can therefore preset a key that the runtime adds here; a caller that must override it
/// lists the key in `keys_to_remove` as well.
///
/// ```
/// use kata_types::container::update_ocispec_annotations;
/// use std::collections::HashMap;
///
/// let annotations = HashMap::from([("drop".to_string(), "1".to_string())]);
/// let updated = update_ocispec_annotations(
///     &annotations,
///     &["drop"],
///     &[("bundle".to_string(), "/run/b".to_string())],
/// );
/// assert_eq!(updated, HashMap::from([("bundle".to_string(), "/run/b".to_string())]));
/// ```
pub fn update_ocispec_annotations(
    annotations: &HashMap<String, String>,
    keys_to_remove: &[&str],
    keys_to_add: &[(String, String)],
) -> HashMap<String, String> {
    let removed: HashSet<&str> = keys_to_remove.iter().copied().collect();
    let mut updated: HashMap<String, String> = annotations
        .iter()
        .filter(|(key, _)| !removed.contains(key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in keys_to_add {
        if !updated.contains_key(key) {
            updated.insert(key.clone(), value.clone());
        }
    }
    updated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_types_parse_from_every_spelling_and_round_trip() {
        use ContainerType::*;
        for (text, kind) in [
            ("pod_container", PodContainer),
            ("container", PodContainer),
            ("pod_sandbox", PodSandbox),
            ("sandbox", PodSandbox),
            ("podsandbox", PodSandbox),
            ("single_container", SingleContainer),
        ] {
            assert_eq!(text.parse::<ContainerType>().unwrap(), kind, "{text}");
            assert_eq!(kind.to_string().parse::<ContainerType>().unwrap(), kind);
        }
        for text in ["", "Sandbox", " sandbox", "pod", "pod_container\n"] {
            let error = text.parse::<ContainerType>().unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid container type {text}"));
        }
    }

    #[test]
    fn kinds_answer_for_themselves() {
        assert!(ContainerType::PodContainer.is_pod_container());
        assert!(!ContainerType::PodContainer.is_pod_sandbox());
        assert!(ContainerType::PodSandbox.is_pod_sandbox());
        assert!(!ContainerType::SingleContainer.is_pod_container());
        assert!(!ContainerType::SingleContainer.is_pod_sandbox());
    }

    const STATES: [State; 4] = [State::Ready, State::Running, State::Stopped, State::Paused];

    #[test]
    fn states_round_trip() {
        for state in STATES {
            assert_eq!(state.to_string().parse::<State>().unwrap(), state);
        }
        let error = "Ready".parse::<State>().unwrap_err();
        assert_eq!(error.to_string(), "Invalid sandbox state Ready");
    }

    #[test]
    fn exactly_five_transitions_are_allowed() {
        use State::*;
        let allowed = [
            (Ready, Running),
            (Ready, Stopped),
            (Running, Stopped),
            (Stopped, Running),
            (Paused, Paused),
        ];
        for from in STATES {
            for to in STATES {
                let result = from.check_transition(to);
                assert_eq!(result.is_ok(), allowed.contains(&(from, to)), "{from} {to}");
                if let Err(error) = result {
                    assert_eq!(
                        error.to_string(),
                        format!("Can not transit from {from} to {to}")
                    );
                }
            }
        }
    }

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_string(), value.to_string())
    }

    #[test]
    fn existing_annotations_win_over_added_ones() {
        let original = map(&[("a", "1"), ("b", "2")]);
        let updated = update_ocispec_annotations(
            &original,
            &["b", "absent"],
            &[pair("a", "x"), pair("c", "3"), pair("c", "4")],
        );
        assert_eq!(updated, map(&[("a", "1"), ("c", "3")]));
    }

    #[test]
    fn key_both_removed_and_added_ends_with_the_added_value() {
        let original = map(&[("a", "1")]);
        let updated = update_ocispec_annotations(&original, &["a"], &[pair("a", "2")]);
        assert_eq!(updated, map(&[("a", "2")]));
    }

    #[test]
    fn no_changes_is_a_clone() {
        let original = map(&[("a", "1")]);
        assert_eq!(update_ocispec_annotations(&original, &[], &[]), original);
    }
}
