//! The user that runs a hypervisor without root privilege.

use serde::{Deserialize, Serialize};

/// The table `rootless_user` of a hypervisor section, filled in by the runtime when it creates the
/// user. Unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "RootlessUser::default", deny_unknown_fields)]
pub struct RootlessUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Ids of supplementary groups.
    pub groups: Vec<u32>,
    /// User name.
    pub user_name: String,
}
