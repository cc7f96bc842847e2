//! The configuration of the Rust runtime: `configuration.toml`, a [TOML](https://toml.io/en/v1.0.0)
//! document.
//!
//! | Section | Type |
//! |---|---|
//! | `[hypervisor.<name>]` | [`Hypervisor`] |
//! | `[agent.<name>]` | [`Agent`] |
//! | `[runtime]` | [`Runtime`] |
//!
//! [`TomlConfig`] is the whole. It goes through three stages: loading (the file, with the drop-ins
//! beside it), [adjusting](TomlConfig::adjust_config) (defaults, canonical paths, limits of this
//! machine) and [validating](TomlConfig::validate). Adjusting is idempotent, so that it can be
//! repeated after a change, such as a pod annotation.
//!
//! What is special about a hypervisor is in its [`ConfigPlugin`]. Those of the five known
//! hypervisors are built in.
//!
//! ```
//! use kata_types::config::{Hypervisor, TomlConfig};
//!
//! let mut config = TomlConfig::default();
//! let mut firecracker = Hypervisor::default();
//! firecracker.path = "/bin/sh".into();
//! firecracker.boot_info.kernel = "/dev/null".into();
//! firecracker.boot_info.image = "/dev/null".into();
//! config.hypervisor.insert("firecracker".into(), firecracker);
//! config.runtime.hypervisor_name = "firecracker".into();
//!
//! config.adjust_config()?;
//! config.validate()?;
//! assert_eq!(config.hypervisor["firecracker"].cpu_info.default_vcpus, 1.0);
//! # Ok::<(), std::io::Error>(())
//! ```

mod adjust;
mod agent;
mod agents;
mod bounded_file;
mod check;
mod cpu_count;
pub mod default;
mod diagnostics;
mod dotted_key;
mod drop_in;
mod glob;
mod host;
pub mod hypervisor;
mod kata_config;
mod kernel_params;
pub(crate) mod keys;
mod load;
mod load_error;
mod loader;
mod ops;
mod origins;
mod path;
pub(crate) mod redact;
mod runtime;
pub(crate) mod sorted_map;
mod toml_config;
mod toml_merge;
mod toml_tree;
mod validate;

pub use agent::{AGENT_NAME_KATA, Agent};
pub use agents::AgentVendor;
pub use diagnostics::{ConfigDiagnostic, DiagnosticKind, Severity, json_schema};
pub use hypervisor::{
    BootInfo, CloudHypervisorConfig, DragonballConfig, Factory, FirecrackerConfig,
    HYPERVISOR_NAME_DRAGONBALL, HYPERVISOR_NAME_FIRECRACKER, HYPERVISOR_NAME_QEMU, Hypervisor,
    QemuConfig, RemoteConfig,
};
pub use kata_config::KataConfig;
pub use kernel_params::{
    CONTAINER_PIPE_SIZE_OPTION, DEBUG_CONSOLE_FLAG, DEBUG_CONSOLE_VPORT_OPTION,
    LAUNCH_PROCESS_TIMEOUT_OPTION, LOG_LEVEL_DEBUG, LOG_LEVEL_OPTION, LOG_VPORT_OPTION,
    PASSFD_LISTENER_PORT, TRACE_MODE_ENABLE, TRACE_MODE_OPTION, VISIBLE_CDI_DEVICES_OPTION,
};
pub use load_error::{LoadError, LoadProblem};
pub use loader::{ConfigLoader, LoadedConfig};
pub use ops::{ConfigObjectOps, ConfigOps, ConfigPlugin};
pub use origins::{ConfigOrigins, Origin};
pub use runtime::{
    EMPTYDIR_MODE_BLOCK_ENCRYPTED, EMPTYDIR_MODE_BLOCK_PLAIN, EMPTYDIR_MODE_SHARED_FS,
    INTERNETWORKING_MODEL_L3FORWARDING, RUNTIME_NAME_VIRTCONTAINER, Runtime, RuntimeVendor,
};
pub use toml_config::TomlConfig;
pub use validate::validate_path_pattern;

/// Settings of the memory agent in an [`Agent`] section.
pub type MemAgent = agent::MemAgent;

/// A mount that containers of a pod share, in [`Runtime::shared_mounts`].
pub type SharedMount = runtime::shared_mount::SharedMount;

/// Run directory of the runtime.
pub const KATA_PATH: &str = "/run/kata";
