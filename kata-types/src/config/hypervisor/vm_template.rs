//! Starting a VM from a template.

use std::io;

use serde::{Deserialize, Serialize};

/// Template settings of a hypervisor section. They are set by the runtime, not by an
/// administrator; see [`Factory`](super::Factory) for that.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "VmTemplateInfo::default")]
pub struct VmTemplateInfo {
    /// This VM becomes the template. Default: false.
    pub boot_to_be_template: bool,

    /// This VM is cloned from the template. Default: false.
    pub boot_from_template: bool,

    /// Path of the memory file of the template. Default: empty.
    pub memory_path: String,

    /// Path of the device state file of the template. Default: empty.
    pub device_state_path: String,
}

impl VmTemplateInfo {
    /// Changes nothing.
    ///
    /// # Errors
    ///
    /// None.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Accepts everything.
    ///
    /// # Errors
    ///
    /// None.
    pub fn validate(&self) -> io::Result<()> {
        Ok(())
    }
}
