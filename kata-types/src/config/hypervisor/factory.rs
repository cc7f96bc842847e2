//! Creating VMs from a template.

use serde::{Deserialize, Serialize};

/// The table `factory` of a hypervisor section. Unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "Factory::default", deny_unknown_fields)]
pub struct Factory {
    /// New VMs are cloned from a template, sharing its memory read-only. Default: false.
    pub enable_template: bool,

    /// Directory of the template. Default: `/run/vc/vm/template`, except for Firecracker.
    pub template_path: String,
}
