//! The agent's part of the configuration as guest kernel parameters.

use std::collections::BTreeMap;

use super::{Agent, MemAgent, default};

/// The agent offers a debug console.
pub const DEBUG_CONSOLE_FLAG: &str = "agent.debug_console";
/// The agent sends traces; see [`TRACE_MODE_ENABLE`].
pub const TRACE_MODE_OPTION: &str = "agent.trace";
/// Value of [`TRACE_MODE_OPTION`].
pub const TRACE_MODE_ENABLE: &str = "true";
/// Log level of the agent.
pub const LOG_LEVEL_OPTION: &str = "agent.log";
/// Value of [`LOG_LEVEL_OPTION`].
pub const LOG_LEVEL_DEBUG: &str = "debug";
/// Vsock port of the debug console.
pub const DEBUG_CONSOLE_VPORT_OPTION: &str = "agent.debug_console_vport";
/// Vsock port for the agent's log.
pub const LOG_VPORT_OPTION: &str = "agent.log_vport";
/// Size of the pipes of containers' stdio, in bytes.
pub const CONTAINER_PIPE_SIZE_OPTION: &str = "agent.container_pipe_size";
/// Time for starting a process, in s.
pub const LAUNCH_PROCESS_TIMEOUT_OPTION: &str = "agent.launch_process_timeout";
/// Vsock port for passed stdio streams.
pub const PASSFD_LISTENER_PORT: &str = "agent.passfd_listener_port";
/// The agent tells containers about their CDI devices.
pub const VISIBLE_CDI_DEVICES_OPTION: &str = "agent.visible_cdi_devices";

/// Time for one call of the confidential data hub, in s.
const CDH_API_TIMEOUT_OPTION: &str = "agent.cdh_api_timeout";
const MEM_AGENT_ENABLE_OPTION: &str = "agent.mem_agent_enable";
/// Pressure stall information; Kata guest kernels have it, but do not start it.
const PSI_OPTION: &str = "psi";

/// Parameters by name; a parameter without value has the empty text.
pub(super) fn of_agent(agent: &Agent) -> BTreeMap<String, String> {
    let mut params = BTreeMap::new();
    let mut add = |name: &str, value: String| {
        params.insert(name.to_owned(), value);
    };
    if agent.debug {
        add(LOG_LEVEL_OPTION, LOG_LEVEL_DEBUG.to_owned());
    }
    if agent.enable_tracing {
        add(TRACE_MODE_OPTION, TRACE_MODE_ENABLE.to_owned());
    }
    for (name, number) in [
        (CONTAINER_PIPE_SIZE_OPTION, agent.container_pipe_size),
        (LAUNCH_PROCESS_TIMEOUT_OPTION, agent.launch_process_timeout),
        // D16: rounded up, because the agent would ignore 0.
        (
            CDH_API_TIMEOUT_OPTION,
            agent.cdh_api_timeout_ms.div_ceil(1000),
        ),
    ] {
        if number > 0 {
            add(name, number.to_string());
        }
    }
    if agent.debug_console_enabled {
        add(DEBUG_CONSOLE_FLAG, String::new());
        add(
            DEBUG_CONSOLE_VPORT_OPTION,
            default::DEFAULT_AGENT_DBG_CONSOLE_PORT.to_string(),
        );
    }
    if agent.visible_cdi_devices {
        add(VISIBLE_CDI_DEVICES_OPTION, "true".to_owned());
    }
    if agent.mem_agent.enable {
        add(PSI_OPTION, "1".to_owned());
        add(MEM_AGENT_ENABLE_OPTION, enable_mem_agent(&agent.mem_agent));
        for (name, value) in agent.mem_agent.memcg_settings() {
            add(&mem_agent_option(name), value);
        }
    }
    params
}

/// Value of the enabling word. The agent ignores `mem_agent` words before it, and `compact_*`
/// comes before `enable` in the map; so these words follow it in its value (mem-agent D32).
fn enable_mem_agent(mem_agent: &MemAgent) -> String {
    let mut value = String::from("1");
    for (name, setting) in mem_agent.compact_settings() {
        value += &format!(" {}={setting}", mem_agent_option(name));
    }
    value
}

fn mem_agent_option(name: &str) -> String {
    format!("agent.mem_agent_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(agent: &Agent) -> Vec<(String, String)> {
        of_agent(agent).into_iter().collect()
    }

    fn quiet() -> Agent {
        Agent {
            cdh_api_timeout_ms: 0,
            ..Default::default()
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |&(k, v): &(&str, &str)| (k.to_owned(), v.to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn each_setting_has_its_parameter() {
        type Change = fn(&mut Agent);
        let cases: [(Change, &[(&str, &str)]); 11] = [
            (|_| {}, &[]),
            (|a| a.debug = true, &[("agent.log", "debug")]),
            (|a| a.enable_tracing = true, &[("agent.trace", "true")]),
            (
                |a| a.container_pipe_size = 20,
                &[("agent.container_pipe_size", "20")],
            ),
            (
                |a| a.launch_process_timeout = 6,
                &[("agent.launch_process_timeout", "6")],
            ),
            (
                |a| a.cdh_api_timeout_ms = 50_000,
                &[("agent.cdh_api_timeout", "50")],
            ),
            (
                |a| a.debug_console_enabled = true,
                &[
                    ("agent.debug_console", ""),
                    ("agent.debug_console_vport", "1026"),
                ],
            ),
            (
                |a| a.visible_cdi_devices = true,
                &[("agent.visible_cdi_devices", "true")],
            ),
            (
                |a| a.mem_agent.enable = true,
                &[("agent.mem_agent_enable", "1"), ("psi", "1")],
            ),
            (|a| a.mem_agent.memcg_swap = Some(true), &[]),
            (
                |a| {
                    a.log_level = "debug".into();
                    a.server_port = 1;
                    a.log_port = 2;
                    a.passfd_listener_port = 3;
                },
                &[],
            ),
        ];
        for (change, expected) in cases {
            let mut agent = quiet();
            change(&mut agent);
            assert_eq!(params(&agent), pairs(expected));
        }
        assert_eq!(
            params(&Agent::default()),
            pairs(&[("agent.cdh_api_timeout", "50")])
        );
    }

    #[test]
    fn cdh_timeout_is_rounded_up_to_seconds() {
        for (ms, seconds) in [
            (1, "1"),
            (500, "1"),
            (1000, "1"),
            (1999, "2"),
            (50_000, "50"),
        ] {
            let agent = Agent {
                cdh_api_timeout_ms: ms,
                ..Default::default()
            };
            assert_eq!(of_agent(&agent)["agent.cdh_api_timeout"], seconds);
        }
    }

    /// All settings of the memory agent, as the agent's parser sees them: a word counts only after
    /// the enabling word, and must have exactly one `=`.
    #[test]
    fn the_agent_sees_every_mem_agent_setting() {
        let text = r#"{
            "enable": true,
            "memcg_disable": false, "memcg_swap": true, "memcg_swappiness_max": 1,
            "memcg_period_secs": 2, "memcg_period_psi_percent_limit": 3,
            "memcg_eviction_psi_percent_limit": 4, "memcg_eviction_run_aging_count_min": 5,
            "compact_disable": true, "compact_period_secs": 6,
            "compact_period_psi_percent_limit": 7, "compact_psi_percent_limit": 8,
            "compact_sec_max": -9, "compact_order": 10, "compact_threshold": 11,
            "compact_force_times": 18446744073709551615
        }"#;
        let settings: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).unwrap();
        let agent = Agent {
            mem_agent: serde_json::from_str(text).unwrap(),
            ..quiet()
        };

        let line = params(&agent)
            .into_iter()
            .map(|(k, v)| if v.is_empty() { k } else { format!("{k}={v}") })
            .collect::<Vec<_>>()
            .join(" ");
        let mut enabled = false;
        let mut seen = serde_json::Map::new();
        for word in line.split(' ') {
            let (name, value) = word.split_once('=').unwrap();
            assert!(!value.contains('='), "{word}");
            match name.strip_prefix("agent.mem_agent_") {
                Some("enable") => {
                    assert!(!enabled && value == "1");
                    enabled = true;
                }
                Some(name) => {
                    assert!(enabled, "{word} comes too early in {line}");
                    seen.insert(name.to_owned(), serde_json::from_str(value).unwrap());
                }
                None => assert_eq!(word, "psi=1"),
            }
        }
        seen.insert("enable".to_owned(), enabled.into());
        assert_eq!(seen, settings);
    }

    #[test]
    fn no_setting_of_the_memory_agent_is_forgotten() {
        let serde_json::Value::Object(keys) = serde_json::to_value(MemAgent::default()).unwrap()
        else {
            panic!("MemAgent is an object");
        };
        // The 15 settings above, and `enable`.
        assert_eq!(keys.len(), 16);
    }
}
