//! What a reader wants to know once the container has been created.

mod json;
mod text;

use kata_types::config::ConfigDiagnostic;
use protocols::trans::Lossy;
use runtime_spec::State;

use crate::bundle::Bundle;
use crate::configuration::Configuration;
use crate::guest::{Created, Memory};
use crate::hooks::{Phase, Ran};
use crate::identity::Identity;
use crate::journal::Record;
use crate::resolve::ResolvedPaths;
use crate::stages::Stages;
use crate::vfio::Passed;

/// What happened, stage by stage.
pub(crate) struct Summary {
    pub(crate) identity: Identity,
    pub(crate) configuration: Configuration,
    /// The kernel parameters of the guest.
    pub(crate) command_line: String,
    /// The bundle, with its paths resolved.
    pub(crate) bundle: Bundle,
    pub(crate) paths: ResolvedPaths,
    /// Devices that were passed through.
    pub(crate) passed: Vec<Passed>,
    /// Hooks that were run on the host.
    pub(crate) hooks: Vec<Ran>,
    /// Configured values for which the request has no field.
    pub(crate) dropped: Vec<Lossy>,
    /// Where the shim said that the agent is.
    pub(crate) address: String,
    /// What the agent did.
    pub(crate) created: Created,
    pub(crate) memory: Memory,
    pub(crate) agent_log: Vec<Record>,
    /// What the hooks were told.
    pub(crate) state: State,
    pub(crate) stages: Stages,
    /// What the libraries logged on the host.
    pub(crate) log: Vec<Record>,
}

impl Summary {
    /// All hooks, in the order in which they were run, and on which side.
    fn hooks(&self) -> impl Iterator<Item = (&'static str, &Ran)> {
        let before = self.hooks.iter().filter(|ran| ran.phase == Phase::Create);
        let after = self.hooks.iter().filter(|ran| ran.phase != Phase::Create);
        let all = before.chain(&self.created.hooks).chain(after);
        all.map(|ran| match ran.phase {
            Phase::InGuest => ("guest", ran),
            Phase::Create | Phase::Started | Phase::Stopped => ("host", ran),
        })
    }

    /// Warnings about the configuration, and warnings that were logged.
    fn warnings(&self) -> Vec<String> {
        let remarks = &self.configuration.remarks;
        let mut warnings: Vec<_> = remarks.iter().map(ConfigDiagnostic::to_string).collect();
        let logged = self.log.iter().filter(|record| record.is_warning());
        warnings.extend(logged.map(|record| record.message.clone()));
        warnings
    }
}
