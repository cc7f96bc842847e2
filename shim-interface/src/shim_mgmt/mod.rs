//! The management service of a shim: its vocabulary, and clients.
//!
//! | Request | Answer (status 200) |
//! |---|---|
//! | GET [`AGENT_URL`] | address of the agent's socket, `:` and port |
//! | GET [`METRICS_URL`] | metrics in [Prometheus' text format](https://prometheus.io/docs/instrumenting/exposition_formats/) |
//! | GET [`IP_TABLE_URL`], [`IP6_TABLE_URL`] | what [`iptables-save(8)`](https://man7.org/linux/man-pages/man8/iptables-save.8.html) prints in the guest |
//! | PUT [`IP_TABLE_URL`], [`IP6_TABLE_URL`] with the input of [`iptables-restore(8)`](https://man7.org/linux/man-pages/man8/iptables-restore.8.html) | its output |
//! | POST [`DIRECT_VOLUME_STATS_URL`]`?path=…` | statistics of a volume, JSON |
//! | POST [`DIRECT_VOLUME_RESIZE_URL`] with path and size, JSON | nothing |
//! | PUT [`AGENT_POLICY_URL`] with a policy | nothing |
//!
//! `runtime-rs` answers 404 to anything else, and closes the connection without an answer if a
//! request fails. The Go runtime answers 500 and a text.

pub mod blocking;
mod call;
pub mod client;
mod error;

pub use call::IpVersion;
pub use error::{RequestError, RequestErrorKind};

/// Query key of [`DIRECT_VOLUME_STATS_URL`]: the path of the volume in the guest.
pub const DIRECT_VOLUME_PATH_KEY: &str = "path";
/// Statistics of a directly assigned volume.
pub const DIRECT_VOLUME_STATS_URL: &str = "/direct-volume/stats";
/// Resizes a directly assigned volume.
pub const DIRECT_VOLUME_RESIZE_URL: &str = "/direct-volume/resize";
/// The address of the agent, for debug consoles.
pub const AGENT_URL: &str = "/agent-url";
/// IPv4 packet filter rules of the guest.
pub const IP_TABLE_URL: &str = "/iptables";
/// IPv6 packet filter rules of the guest.
pub const IP6_TABLE_URL: &str = "/ip6tables";
/// Metrics of agent, hypervisor and shim.
pub const METRICS_URL: &str = "/metrics";
/// The policy that the agent enforces.
pub const AGENT_POLICY_URL: &str = "/policy";
/// What a shim reports if it cannot serve at all.
pub const ERR_NO_SHIM_SERVER: &str = "Failed to create shim management server";
