//! One agent section, and the memory agent in it.

use serde::{Deserialize, Serialize};

use super::default;
use super::redact::{Digest, redacted_debug};

/// Name of the Kata agent in the configuration, `[agent.kata]`.
pub const AGENT_NAME_KATA: &str = "kata";

/// One `[agent.<name>]` section. Unknown keys are errors.
///
/// [`Debug`](std::fmt::Debug) shows `policy` as length and digest only.
///
/// ```
/// use kata_types::config::Agent;
///
/// let agent: Agent = serde_json::from_str(r#"{"create_container_timeout": 60}"#)?;
/// assert_eq!(agent.request_timeout_ms, 60_000);
/// assert_eq!(agent.server_port, 1024);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize, Serialize)]
#[serde(default = "Agent::default", deny_unknown_fields)]
pub struct Agent {
    /// The agent logs more; the key is `enable_debug`. Default: false.
    #[serde(rename = "enable_debug")]
    pub debug: bool,

    /// Log level: `trace`, `debug`, `info`, `warn`, `error` or `critical`. Default: `info`.
    pub log_level: String,

    /// The agent sends OpenTelemetry traces. Default: false.
    pub enable_tracing: bool,

    /// The agent offers a debug console. Default: false.
    pub debug_console_enabled: bool,

    /// Vsock port of the agent's ttrpc API. Default: 1024.
    pub server_port: u32,

    /// Vsock port for the agent's log. Default: 1025.
    pub log_port: u32,

    /// Vsock port for passed stdio streams. Default: 1027. The runtime of this version uses
    /// `runtime.passfd_listener_port` instead.
    pub passfd_listener_port: u32,

    /// Time for one attempt to reach the agent, in ms; not 0. Default: 10.
    pub dial_timeout_ms: u32,

    /// Time for all attempts to reach the agent, in ms; at least `dial_timeout_ms`. Default: 3000.
    pub reconnect_timeout_ms: u32,

    /// Time for one call of the confidential data hub, in ms. Default: 50000.
    pub cdh_api_timeout_ms: u32,

    /// Time for one call of the agent, in ms; the key is `create_container_timeout`, **in s**.
    /// Default: 30 s.
    ///
    /// Serialising rounds up to whole seconds.
    #[serde(rename = "create_container_timeout", with = "seconds")]
    pub request_timeout_ms: u32,

    /// Time for one health check, in ms. Default: 90000.
    pub health_check_request_timeout_ms: u32,

    /// Kernel modules to load in the guest, with their parameters: `e1000e IntMode=1`.
    /// Default: none.
    pub kernel_modules: Vec<String>,

    /// Size of the pipes of containers' stdio, in bytes; 0 is the kernel's default. Default: 0.
    pub container_pipe_size: u32,

    /// Time for the start of a process that the agent needs, such as the confidential data hub, in
    /// s; 0 is the agent's default. Default: 0.
    pub launch_process_timeout: u32,

    /// The agent tells containers about their CDI devices. Default: false. Agents before that
    /// ignore it.
    pub visible_cdi_devices: bool,

    /// Policy for the agent's API, in Rego. Default: empty, the one of the guest image.
    pub policy: String,

    /// Memory reclaim and compaction in the guest, the table `mem_agent`.
    // The last field, because it is a table (D25).
    pub mem_agent: MemAgent,
}

impl Default for Agent {
    fn default() -> Self {
        Agent {
            debug: false,
            log_level: "info".to_owned(),
            enable_tracing: false,
            debug_console_enabled: false,
            server_port: default::DEFAULT_AGENT_VSOCK_PORT,
            log_port: default::DEFAULT_AGENT_LOG_PORT,
            passfd_listener_port: default::DEFAULT_PASSFD_LISTENER_PORT,
            dial_timeout_ms: default::DEFAULT_AGENT_DIAL_TIMEOUT_MS,
            reconnect_timeout_ms: 3_000,
            cdh_api_timeout_ms: 50_000,
            request_timeout_ms: 30_000,
            health_check_request_timeout_ms: 90_000,
            kernel_modules: Vec::new(),
            container_pipe_size: 0,
            launch_process_timeout: 0,
            visible_cdi_devices: false,
            policy: String::new(),
            mem_agent: MemAgent::default(),
        }
    }
}

redacted_debug!(Agent {
    debug,
    log_level,
    enable_tracing,
    debug_console_enabled,
    server_port,
    log_port,
    passfd_listener_port,
    dial_timeout_ms,
    reconnect_timeout_ms,
    cdh_api_timeout_ms,
    request_timeout_ms,
    health_check_request_timeout_ms,
    kernel_modules,
    container_pipe_size,
    launch_process_timeout,
    visible_cdi_devices,
    policy: Digest(policy),
    mem_agent,
});

/// The table `mem_agent` of an agent section. Unknown keys are errors.
///
/// The settings reach the agent as kernel parameters `agent.mem_agent_<key>`, but only if
/// `enable` is true. The agent ignores those that come before `agent.mem_agent_enable=1`, and the
/// parameters are written in the order of their names; therefore the settings of compaction are
/// part of the *value* of `agent.mem_agent_enable`:
///
/// ```
/// use kata_types::config::{Agent, MemAgent, TomlConfig};
///
/// let mut config = TomlConfig::default();
/// config.runtime.agent_name = "kata".into();
/// let mem_agent = MemAgent {
///     enable: true,
///     memcg_swap: Some(true),
///     compact_order: Some(7),
///     ..Default::default()
/// };
/// config.agent.insert("kata".into(), Agent { mem_agent, ..Default::default() });
///
/// let params = config.get_agent_kernel_params()?;
/// assert_eq!(params["agent.mem_agent_enable"], "1 agent.mem_agent_compact_order=7");
/// assert_eq!(params["agent.mem_agent_memcg_swap"], "true");
/// assert_eq!(params["psi"], "1");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default, Debug, Deserialize, Serialize, Clone)]
#[serde(default = "MemAgent::default", deny_unknown_fields)]
pub struct MemAgent {
    /// The agent reclaims and compacts memory. `mem_agent_enable` is accepted too. Default: false.
    #[serde(alias = "mem_agent_enable")]
    pub enable: bool,

    /// No memory is reclaimed. Default: not set; the agent's default is false.
    pub memcg_disable: Option<bool>,

    /// Anonymous memory is swapped out. Default: not set; the agent's default is false.
    pub memcg_swap: Option<bool>,

    /// Largest swappiness, 0 to 200. Default: not set; the agent's default is 50.
    pub memcg_swappiness_max: Option<u8>,

    /// Time between two rounds, in s. Default: not set; the agent's default is 600.
    pub memcg_period_secs: Option<u64>,

    /// No round while the memory pressure since the last one is higher, in percent. Default: not
    /// set; the agent's default is 1.
    pub memcg_period_psi_percent_limit: Option<u8>,

    /// Reclaiming stops while the memory pressure is higher, in percent. Default: not set; the
    /// agent's default is 1.
    pub memcg_eviction_psi_percent_limit: Option<u8>,

    /// Reclaiming needs so many generations of pages. Default: not set; the agent's default is 3.
    pub memcg_eviction_run_aging_count_min: Option<u64>,

    /// Memory is not compacted. Default: not set; the agent's default is false.
    pub compact_disable: Option<bool>,

    /// Time between two checks, in s. Default: not set; the agent's default is 600.
    pub compact_period_secs: Option<u64>,

    /// No compaction while the memory pressure since the last check is higher, in percent.
    /// Default: not set; the agent's default is 1.
    pub compact_period_psi_percent_limit: Option<u8>,

    /// Compaction is stopped when the memory pressure is higher, in percent. Default: not set; the
    /// agent's default is 5.
    pub compact_psi_percent_limit: Option<u8>,

    /// Longest time of a compaction, in s. Default: not set; the agent's default is 300.
    pub compact_sec_max: Option<i64>,

    /// Order of the pages that compaction is to provide. Default: not set; the agent's default
    /// is 9.
    pub compact_order: Option<u8>,

    /// Compaction starts when so many more pages are free in smaller blocks. Default: not set; the
    /// agent's default is 1024.
    pub compact_threshold: Option<u64>,

    /// Compaction is forced after so many checks without one. Default: not set; the agent's
    /// default is 9223372036854775807, never.
    pub compact_force_times: Option<u64>,
}

impl MemAgent {
    /// Settings of reclaim that are set, with their names.
    pub(super) fn memcg_settings(&self) -> Vec<(&'static str, String)> {
        present([
            ("memcg_disable", text(self.memcg_disable)),
            ("memcg_swap", text(self.memcg_swap)),
            ("memcg_swappiness_max", text(self.memcg_swappiness_max)),
            ("memcg_period_secs", text(self.memcg_period_secs)),
            (
                "memcg_period_psi_percent_limit",
                text(self.memcg_period_psi_percent_limit),
            ),
            (
                "memcg_eviction_psi_percent_limit",
                text(self.memcg_eviction_psi_percent_limit),
            ),
            (
                "memcg_eviction_run_aging_count_min",
                text(self.memcg_eviction_run_aging_count_min),
            ),
        ])
    }

    /// Settings of compaction that are set, with their names.
    pub(super) fn compact_settings(&self) -> Vec<(&'static str, String)> {
        present([
            ("compact_disable", text(self.compact_disable)),
            ("compact_period_secs", text(self.compact_period_secs)),
            (
                "compact_period_psi_percent_limit",
                text(self.compact_period_psi_percent_limit),
            ),
            (
                "compact_psi_percent_limit",
                text(self.compact_psi_percent_limit),
            ),
            ("compact_sec_max", text(self.compact_sec_max)),
            ("compact_order", text(self.compact_order)),
            ("compact_threshold", text(self.compact_threshold)),
            ("compact_force_times", text(self.compact_force_times)),
        ])
    }
}

fn text<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn present<const N: usize>(
    settings: [(&'static str, Option<String>); N],
) -> Vec<(&'static str, String)> {
    settings
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Seconds in the file, milliseconds in memory.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ms: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(ms.div_ceil(1000))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        u32::deserialize(deserializer).map(|s| s.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_timeout_is_in_seconds_in_the_file() {
        for (seconds, ms) in [(0, 0), (1, 1000), (60, 60_000), (u32::MAX, u32::MAX)] {
            let text = format!("create_container_timeout = {seconds}");
            assert_eq!(
                toml::from_str::<Agent>(&text).unwrap().request_timeout_ms,
                ms
            );
        }
        for (ms, seconds) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            let agent = Agent {
                request_timeout_ms: ms,
                ..Default::default()
            };
            let json = serde_json::to_value(&agent).unwrap();
            assert_eq!(json["create_container_timeout"], seconds);
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        for text in [
            "unknown = 1",
            "debug = true",
            "dial_timeout = 1",
            "[mem_agent]\nx = 1",
        ] {
            assert!(toml::from_str::<Agent>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_policy() {
        let agent = Agent {
            policy: "package agent_policy".into(),
            ..Default::default()
        };
        let text = format!("{agent:?}");
        assert!(!text.contains("agent_policy"), "{text}");
        assert!(text.contains("policy: <20 bytes, sha256 "), "{text}");
        assert!(text.contains("server_port: 1024"), "{text}");
    }
}
