// The README's links lead to source files, where there is no rustdoc; here, these come before them.
//! [`ContainerState`]: ContainerState
//! [`ContainerState::Paused`]: ContainerState::Paused
//! [`State`]: State
//! [`State::to_json`]: State::to_json
//! [`State::validate`]: State::validate
#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod annotations;
mod container_state;
mod json;
mod state;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use container_state::{ContainerState, ParseContainerStateError};
pub use state::InvalidState;

// Defined here, because the path of its definition is what tools show for it in other crates.
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

/// File name of a container's configuration in its bundle directory (OCI runtime specification,
/// [bundle](https://github.com/opencontainers/runtime-spec/blob/main/bundle.md)).
pub const OCI_SPEC_CONFIG_FILE_NAME: &str = "config.json";

/// Type of a bind mount, as in `mounts[].type` of the configuration (OCI runtime specification,
/// [mounts](https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts)).
pub const OCI_MOUNT_BIND_TYPE: &str = "bind";

/// OCI namespace type of process ids
/// ([`pid_namespaces(7)`](https://man7.org/linux/man-pages/man7/pid_namespaces.7.html)).
///
/// This and the other `…NAMESPACE` constants are what `linux.namespaces[].type` of the
/// configuration holds (OCI runtime specification,
/// [namespaces](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#namespaces)).
pub const PIDNAMESPACE: &str = "pid";

/// OCI namespace type of network devices, addresses and ports
/// ([`network_namespaces(7)`](https://man7.org/linux/man-pages/man7/network_namespaces.7.html)).
pub const NETWORKNAMESPACE: &str = "network";

/// OCI namespace type of mount points
/// ([`mount_namespaces(7)`](https://man7.org/linux/man-pages/man7/mount_namespaces.7.html)).
pub const MOUNTNAMESPACE: &str = "mount";

/// OCI namespace type of System V IPC and POSIX message queues
/// ([`ipc_namespaces(7)`](https://man7.org/linux/man-pages/man7/ipc_namespaces.7.html)).
pub const IPCNAMESPACE: &str = "ipc";

/// OCI namespace type of user and group ids
/// ([`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html)).
pub const USERNAMESPACE: &str = "user";

/// OCI namespace type of the host and domain name
/// ([`uts_namespaces(7)`](https://man7.org/linux/man-pages/man7/uts_namespaces.7.html)).
pub const UTSNAMESPACE: &str = "uts";

/// OCI namespace type of the cgroup root
/// ([`cgroup_namespaces(7)`](https://man7.org/linux/man-pages/man7/cgroup_namespaces.7.html)).
pub const CGROUPNAMESPACE: &str = "cgroup";

/// OCI namespace type of the monotonic and boot-time clocks, since OCI 1.1
/// ([`time_namespaces(7)`](https://man7.org/linux/man-pages/man7/time_namespaces.7.html)).
pub const TIMENAMESPACE: &str = "time";
