//! The traits of the parts of a configuration.

use std::io;

use super::TomlConfig;
use super::hypervisor::BuiltInPlugin;

/// What is special about one hypervisor: defaults, rules and limits.
///
/// Plugins of the five known hypervisors are part of this crate and need no registration.
/// Others are made known with
/// [`register_hypervisor_plugin`](super::hypervisor::register_hypervisor_plugin).
///
/// ```
/// use std::io::Result;
/// use std::sync::Arc;
/// use kata_types::config::{ConfigPlugin, TomlConfig, hypervisor};
///
/// struct MyVmm;
///
/// impl ConfigPlugin for MyVmm {
///     fn name(&self) -> &str {
///         "my-vmm"
///     }
///     fn adjust_config(&self, conf: &mut TomlConfig) -> Result<()> {
///         if let Some(hv) = conf.hypervisor.get_mut(self.name()) {
///             if hv.memory_info.default_memory == 0 {
///                 hv.memory_info.default_memory = 256;
///             }
///         }
///         Ok(())
///     }
///     fn validate(&self, _conf: &TomlConfig) -> Result<()> {
///         Ok(())
///     }
///     fn get_min_memory(&self) -> u32 {
///         64
///     }
///     fn get_max_cpus(&self) -> u32 {
///         16
///     }
/// }
///
/// hypervisor::register_hypervisor_plugin("my-vmm", Arc::new(MyVmm));
/// assert!(hypervisor::get_hypervisor_plugin("my-vmm").is_some());
/// ```
pub trait ConfigPlugin: Send + Sync {
    /// Name of the hypervisor, and of its section.
    fn name(&self) -> &str;

    /// Fills in what is special about the hypervisor, before everything else is adjusted. Must be
    /// idempotent.
    ///
    /// # Errors
    ///
    /// A value that cannot be adjusted, such as a path that does not exist.
    fn adjust_config(&self, _conf: &mut TomlConfig) -> io::Result<()>;

    /// Checks what is special about the hypervisor, before everything else is checked.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    fn validate(&self, _conf: &TomlConfig) -> io::Result<()>;

    /// Least memory of a VM, in MiB.
    fn get_min_memory(&self) -> u32;

    /// Most virtual CPUs of a VM.
    fn get_max_cpus(&self) -> u32;

    /// The rules behind a plugin of this crate. Not for other plugins.
    #[doc(hidden)]
    fn built_in(&self) -> Option<&'static BuiltInPlugin> {
        None
    }
}

/// Adjusting and validating a part of a [`TomlConfig`].
pub trait ConfigOps {
    /// Fills in defaults and brings values into their normal form.
    ///
    /// # Errors
    ///
    /// A value that cannot be adjusted.
    fn adjust_config(_conf: &mut TomlConfig) -> io::Result<()> {
        Ok(())
    }

    /// Checks the adjusted values.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    fn validate(_conf: &TomlConfig) -> io::Result<()> {
        Ok(())
    }
}

/// Adjusting and validating a configuration object by itself.
pub trait ConfigObjectOps {
    /// Fills in defaults and brings values into their normal form.
    ///
    /// # Errors
    ///
    /// A value that cannot be adjusted.
    fn adjust_config(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Checks the adjusted values.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    fn validate(&self) -> io::Result<()> {
        Ok(())
    }
}
