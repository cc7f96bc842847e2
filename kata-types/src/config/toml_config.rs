//! The whole configuration.

use std::collections::{BTreeMap, HashMap};
use std::io;

use serde::{Deserialize, Serialize};

use super::adjust::{AdjustReport, Adjuster, KeyedError};
use super::agents::{adjust_agents, validate_agents};
use super::check::Checker;
use super::host::Host;
use super::hypervisor::{adjust_sections, validate_sections};
use super::kernel_params;
use super::runtime::{adjust_runtime, validate_runtime};
use super::{Agent, Factory, Hypervisor, Runtime, sorted_map};

/// The whole configuration: all agents and hypervisors, and the runtime that picks one of each.
///
/// Unknown top-level keys are ignored. [`Debug`] shows no secrets; [`Serialize`] shows everything,
/// and works with any version of the `toml` crate.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "TomlConfig::default")]
pub struct TomlConfig {
    /// Agent sections by name, `[agent.<name>]`.
    #[serde(serialize_with = "sorted_map::serialize")]
    pub agent: HashMap<String, Agent>,

    /// Hypervisor sections by name, `[hypervisor.<name>]`.
    #[serde(serialize_with = "sorted_map::serialize")]
    pub hypervisor: HashMap<String, Hypervisor>,

    /// The `[runtime]` section.
    pub runtime: Runtime,
}

impl TomlConfig {
    /// The VM template settings of the active hypervisor, or the default ones.
    pub fn get_factory(&self) -> Factory {
        self.hypervisor
            .get(&self.runtime.hypervisor_name)
            .map(|hv| hv.factory.clone())
            .unwrap_or_default()
    }

    /// Fills in defaults, resolves paths, and limits values to what this machine has.
    ///
    /// Hypervisors come first, then the runtime, then agents. If `runtime.hypervisor_name` names a
    /// section, only that one must be correct; an error in another one is logged, and the section
    /// stays as it was. Otherwise all must be correct. Values that had to be limited are logged.
    ///
    /// Doing it again changes nothing.
    ///
    /// # Errors
    ///
    /// A hypervisor without plugin, a path that does not exist, a value that cannot be used.
    ///
    /// ```
    /// use kata_types::config::TomlConfig;
    ///
    /// let mut config = TomlConfig::default();
    /// config.adjust_config()?;
    /// assert_eq!(config.runtime.internetworking_model, "tcfilter");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn adjust_config(&mut self) -> io::Result<()> {
        let mut report = AdjustReport::default();
        let result = self.adjust_with(&mut report);
        report.log();
        result
    }

    /// Checks an adjusted configuration, in the same order and as strict as
    /// [`adjust_config`](Self::adjust_config).
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    ///
    /// ```
    /// use kata_types::config::TomlConfig;
    ///
    /// let mut config = TomlConfig::default();
    /// config.runtime.vfio_mode = "guest".into();
    /// assert_eq!(
    ///     config.validate().map_err(|e| e.to_string()),
    ///     Err("Invalid vfio_mode `guest` in configuration file".to_string()),
    /// );
    /// ```
    pub fn validate(&self) -> io::Result<()> {
        let mut report = AdjustReport::default();
        let result = self.validate_with(&mut report);
        report.log();
        result
    }

    /// Kernel parameters that tell the guest agent its part of the configuration, by name. A
    /// parameter without value has the empty text.
    ///
    /// They are those of the agent that `runtime.agent_name` names; none if it has no section.
    /// Written in the order of the map, separated by spaces, they are correct for the agent; see
    /// [`MemAgent`](super::MemAgent) for the one case in which a value is more than one word.
    ///
    /// # Errors
    ///
    /// None.
    ///
    /// ```
    /// use kata_types::config::{Agent, TomlConfig};
    ///
    /// let mut config = TomlConfig::default();
    /// config.runtime.agent_name = "kata".into();
    /// config.agent.insert("kata".into(), Agent { debug: true, ..Default::default() });
    ///
    /// let params = config.get_agent_kernel_params()?;
    /// assert_eq!(params["agent.log"], "debug");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_agent_kernel_params(&self) -> io::Result<BTreeMap<String, String>> {
        Ok(self
            .agent
            .get(&self.runtime.agent_name)
            .map(kernel_params::of_agent)
            .unwrap_or_default())
    }

    /// [`adjust_config`](Self::adjust_config), with a report instead of log lines.
    pub(crate) fn adjust_with(&mut self, report: &mut AdjustReport) -> io::Result<()> {
        self.adjust_on(&Host::real(), report)
    }

    /// [`validate`](Self::validate), with a report instead of log lines.
    pub(crate) fn validate_with(&self, report: &mut AdjustReport) -> io::Result<()> {
        self.validate_on(&Host::real(), report)
    }

    /// The name in `runtime.hypervisor_name`, if there is such a section.
    pub(crate) fn active_hypervisor(&self) -> Option<&str> {
        let name = self.runtime.hypervisor_name.as_str();
        self.hypervisor.contains_key(name).then_some(name)
    }

    pub(super) fn adjust_on(&mut self, host: &Host, report: &mut AdjustReport) -> io::Result<()> {
        let mut cx = Adjuster::new(host, report);
        let result = adjust_sections(self, &mut cx)
            .and_then(|()| adjust_runtime(self, &mut cx))
            .and_then(|()| adjust_agents(self, &mut cx));
        result.map_err(|error: KeyedError| error.report_to(report))
    }

    pub(super) fn validate_on(&self, host: &Host, report: &mut AdjustReport) -> io::Result<()> {
        let cx = Checker::new(host);
        let result = validate_sections(self, &cx, report)
            .and_then(|()| validate_runtime(self, &cx))
            .and_then(|()| validate_agents(self));
        result.map_err(|error: KeyedError| error.report_to(report))
    }
}
