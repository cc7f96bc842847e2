//! The network of a sandbox with the remote hypervisor: what of the section it replaces, and how
//! that comes back when a pod selects another hypervisor.

use super::{INTERNETWORKING_MODEL_NONE, Runtime};
use crate::excerpt::Excerpt;

/// What the remote hypervisor replaced in `[runtime]`: the configured values.
///
/// It belongs to the configuration in memory, not to files.
#[derive(Clone, Debug, Default)]
pub struct ReplacedNetwork {
    internetworking_model: Option<String>,
    disable_new_netns: Option<bool>,
}

impl Runtime {
    /// Leaves the network to the remote hypervisor, and keeps what was configured. `tell` gets key
    /// and change.
    pub(in crate::config) fn replace_network(&mut self, mut tell: impl FnMut(&str, String)) {
        let why = "the remote hypervisor connects its VMs itself";
        if self.internetworking_model != INTERNETWORKING_MODEL_NONE {
            let old = std::mem::replace(
                &mut self.internetworking_model,
                INTERNETWORKING_MODEL_NONE.to_owned(),
            );
            if !old.is_empty() {
                tell(
                    "runtime.internetworking_model",
                    format!(
                        "changed from {:?} to {INTERNETWORKING_MODEL_NONE:?}: {why}",
                        Excerpt(&old)
                    ),
                );
            }
            self.replaced_network.internetworking_model = Some(old);
        }
        if self.disable_new_netns {
            self.disable_new_netns = false;
            tell(
                "runtime.disable_new_netns",
                format!("changed from true to false: {why}"),
            );
            self.replaced_network.disable_new_netns = Some(true);
        }
    }

    /// Brings back what [`replace_network`](Self::replace_network) replaced, unless it was changed
    /// since. `tell` gets key and change.
    pub(crate) fn restore_network(&mut self, mut tell: impl FnMut(&str, String)) {
        let why = "as configured: the remote hypervisor is not in use any more";
        let replaced = std::mem::take(&mut self.replaced_network);
        if let Some(model) = replaced.internetworking_model
            && self.internetworking_model == INTERNETWORKING_MODEL_NONE
        {
            tell(
                "runtime.internetworking_model",
                format!(
                    "changed from {INTERNETWORKING_MODEL_NONE:?} to {:?}, {why}",
                    Excerpt(&model)
                ),
            );
            self.internetworking_model = model;
        }
        if let Some(value) = replaced.disable_new_netns
            && value != self.disable_new_netns
        {
            tell(
                "runtime.disable_new_netns",
                format!("changed from {} to {value}, {why}", self.disable_new_netns),
            );
            self.disable_new_netns = value;
        }
    }
}
