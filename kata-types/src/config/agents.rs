//! All agent sections together: adjustment and validation.

use std::io;

use serde::{Deserialize, Serialize};

use super::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use super::diagnostics::DiagnosticKind;
use super::dotted_key::dotted;
use super::{Agent, ConfigOps, TomlConfig};

impl ConfigOps for Agent {
    /// Adjusts all agent sections: the time for all attempts to reach the agent becomes at least
    /// that for one.
    fn adjust_config(conf: &mut TomlConfig) -> io::Result<()> {
        adjust_alone(|cx| adjust_agents(conf, cx))
    }

    /// Validates all agent sections.
    fn validate(conf: &TomlConfig) -> io::Result<()> {
        validate_agents(conf).map_err(|e| e.error)
    }
}

/// Vendor extension of agents; there is none.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct AgentVendor {}

impl ConfigOps for AgentVendor {}

pub(super) fn adjust_agents(conf: &mut TomlConfig, cx: &mut Adjuster<'_>) -> Checked {
    AgentVendor::adjust_config(conf).map_err(|e| KeyedError::new("agent", e))?;
    for name in section_names(conf) {
        cx.enter(dotted("agent", &name));
        if let Some(agent) = conf.agent.get_mut(&name) {
            agent.adjust_in(cx);
        }
    }
    Ok(())
}

pub(super) fn validate_agents(conf: &TomlConfig) -> Checked {
    AgentVendor::validate(conf).map_err(|e| KeyedError::new("agent", e))?;
    for name in section_names(conf) {
        if let Some(agent) = conf.agent.get(&name) {
            agent
                .validate_in()
                .map_err(|e| e.below(&dotted("agent", &name)))?;
        }
    }
    Ok(())
}

/// Names of all agents, the active one first, then sorted (D11).
fn section_names(conf: &TomlConfig) -> Vec<String> {
    let mut names: Vec<String> = conf.agent.keys().cloned().collect();
    names.sort_by(|a, b| {
        let is_other = |name: &String| *name != conf.runtime.agent_name;
        (is_other(a), a).cmp(&(is_other(b), b))
    });
    names
}

impl Agent {
    /// With less time for all attempts than for one, there would be no attempt (D3). So the time
    /// for one is meant to be the time for all.
    fn adjust_in(&mut self, cx: &mut Adjuster<'_>) {
        const SHORT_DIAL_MS: u32 = 100;

        let (dial, reconnect) = (self.dial_timeout_ms, self.reconnect_timeout_ms);
        if dial == 0 || reconnect >= dial {
            return;
        }
        self.reconnect_timeout_ms = dial;
        self.dial_timeout_ms = dial.min(SHORT_DIAL_MS);
        let message = format!(
            "reconnect_timeout_ms ({reconnect}) is less than dial_timeout_ms ({dial}); using \
             reconnect_timeout_ms = {}, dial_timeout_ms = {}",
            self.reconnect_timeout_ms, self.dial_timeout_ms
        );
        cx.note(
            "reconnect_timeout_ms",
            DiagnosticKind::Policy,
            message,
            None,
        );
    }

    fn validate_in(&self) -> Checked {
        if self.dial_timeout_ms == 0 {
            return Err(KeyedError::other(
                "dial_timeout_ms",
                "dial_timeout_ms couldn't be 0.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::host::Host;

    fn agent(dial_timeout_ms: u32, reconnect_timeout_ms: u32) -> Agent {
        Agent {
            dial_timeout_ms,
            reconnect_timeout_ms,
            ..Default::default()
        }
    }

    #[test]
    fn reconnect_time_is_at_least_dial_time() {
        let host = Host::with(1, 1);
        for (dial, reconnect, adjusted) in [
            (10, 3000, (10, 3000)),
            (3000, 3000, (3000, 3000)),
            (30_000, 3000, (100, 30_000)),
            (45_000, 0, (100, 45_000)),
            (50, 20, (50, 50)),
            (0, 0, (0, 0)),
            (0, 10, (0, 10)),
        ] {
            let mut report = AdjustReport::default();
            let mut agent = agent(dial, reconnect);
            let mut cx = Adjuster::new(&host, &mut report);
            agent.adjust_in(&mut cx);
            assert_eq!(
                (agent.dial_timeout_ms, agent.reconnect_timeout_ms),
                adjusted
            );
            agent.adjust_in(&mut cx);
            assert_eq!(
                (agent.dial_timeout_ms, agent.reconnect_timeout_ms),
                adjusted
            );
            let notes = usize::from((dial, reconnect) != adjusted);
            assert_eq!(report.notes.len(), notes);
            assert!(
                report
                    .notes
                    .iter()
                    .all(|n| n.kind == DiagnosticKind::Policy)
            );
        }
    }

    #[test]
    fn dial_time_of_every_agent_is_not_zero() {
        let mut conf = TomlConfig::default();
        conf.agent.insert("a".into(), agent(1, 1));
        <Agent as ConfigOps>::validate(&conf).unwrap();
        conf.agent.insert("b".into(), agent(0, 1));
        assert_eq!(
            <Agent as ConfigOps>::validate(&conf)
                .unwrap_err()
                .to_string(),
            "dial_timeout_ms couldn't be 0."
        );
    }

    #[test]
    fn the_active_agent_is_the_first_to_be_reported() {
        let mut conf = TomlConfig::default();
        for name in ["c", "b", "a.x"] {
            conf.agent.insert(name.into(), agent(0, 1));
        }
        assert_eq!(
            validate_agents(&conf).unwrap_err().key,
            "agent.\"a.x\".dial_timeout_ms"
        );
        conf.runtime.agent_name = "c".into();
        assert_eq!(
            validate_agents(&conf).unwrap_err().key,
            "agent.c.dial_timeout_ms"
        );
    }
}
