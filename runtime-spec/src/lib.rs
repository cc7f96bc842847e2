#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod annotations;
mod container_state;
mod json;
mod state;

pub use container_state::{ContainerState, ParseContainerStateError};
pub use state::{InvalidState, State};

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
