//! Debugging of the hypervisor.

use std::io;

use serde::{Deserialize, Serialize};

/// Debug settings of a hypervisor section.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default = "DebugInfo::default")]
pub struct DebugInfo {
    /// The hypervisor and the guest log more. Default: false.
    pub enable_debug: bool,

    /// Log level of the hypervisor: `trace`, `debug`, `info`, `warn`, `error` or `critical`.
    ///
    /// Default: `info`.
    pub log_level: String,

    /// Memory dumps of the guest follow its page tables. Default: false. Ignored by the runtime of
    /// this version.
    pub guest_memory_dump_paging: bool,

    /// Directory for memory dumps of the guest. Default: empty. Ignored by the runtime of this
    /// version.
    pub guest_memory_dump_path: String,

    /// An additional monitor socket of QEMU: `hmp`, `qmp` or `qmp-pretty`. Anyone who can reach it
    /// controls the VM. The former key `dbg_monitor_socket` is accepted too. Default: empty, none.
    #[serde(alias = "dbg_monitor_socket")]
    pub extra_monitor_socket: String,
}

impl Default for DebugInfo {
    fn default() -> DebugInfo {
        DebugInfo {
            enable_debug: false,
            log_level: "info".to_owned(),
            guest_memory_dump_paging: false,
            guest_memory_dump_path: String::new(),
            extra_monitor_socket: String::new(),
        }
    }
}

impl DebugInfo {
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
