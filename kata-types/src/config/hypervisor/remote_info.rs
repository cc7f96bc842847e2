//! The remote hypervisor service.

use serde::{Deserialize, Serialize};

/// Settings of the `remote` hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "RemoteInfo::default")]
pub struct RemoteInfo {
    /// Path of the socket of the service. `remote_hypervisor_socket` is accepted too (D2).
    ///
    /// Default: `/run/peerpod/hypervisor.sock`.
    #[serde(alias = "remote_hypervisor_socket")]
    pub hypervisor_socket: String,

    /// Time for one call of the service, in s. `remote_hypervisor_timeout` is accepted too (D2).
    ///
    /// Default: 600.
    #[serde(alias = "remote_hypervisor_timeout")]
    pub hypervisor_timeout: i32,

    /// GPUs of a VM. Default: 0.
    pub default_gpus: u32,

    /// Model of the GPUs of a VM. Default: empty.
    pub default_gpu_model: String,
}
