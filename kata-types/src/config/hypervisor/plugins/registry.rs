//! Which plugin belongs to which name.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::{
    CloudHypervisorConfig, DragonballConfig, FirecrackerConfig, HYPERVISOR_NAME_CH,
    HYPERVISOR_NAME_DRAGONBALL, HYPERVISOR_NAME_FIRECRACKER, HYPERVISOR_NAME_QEMU,
    HYPERVISOR_NAME_REMOTE, QemuConfig, RemoteConfig,
};
use crate::config::ConfigPlugin;

type Plugins = HashMap<String, Arc<dyn ConfigPlugin>>;

/// Known from the start are the five of this crate (D13).
static PLUGINS: LazyLock<RwLock<Plugins>> = LazyLock::new(|| {
    let known: [(&str, Arc<dyn ConfigPlugin>); 5] = [
        (HYPERVISOR_NAME_CH, Arc::new(CloudHypervisorConfig::new())),
        (
            HYPERVISOR_NAME_DRAGONBALL,
            Arc::new(DragonballConfig::new()),
        ),
        (
            HYPERVISOR_NAME_FIRECRACKER,
            Arc::new(FirecrackerConfig::new()),
        ),
        (HYPERVISOR_NAME_QEMU, Arc::new(QemuConfig::new())),
        (HYPERVISOR_NAME_REMOTE, Arc::new(RemoteConfig::new())),
    ];
    RwLock::new(
        known
            .into_iter()
            .map(|(name, plugin)| (name.to_owned(), plugin))
            .collect(),
    )
});

/// Makes the plugin of the hypervisor `name` known to this process, in place of any other for that
/// name.
///
/// See [`ConfigPlugin`] for an example.
pub fn register_hypervisor_plugin(name: &str, plugin: Arc<dyn ConfigPlugin>) {
    PLUGINS
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.to_owned(), plugin);
}

/// The plugin of the hypervisor `name`: the one registered last, or the one of this crate.
///
/// ```
/// use kata_types::config::hypervisor::get_hypervisor_plugin;
///
/// let most = get_hypervisor_plugin("firecracker").map(|plugin| plugin.get_max_cpus());
/// assert_eq!(most, Some(32));
/// assert!(get_hypervisor_plugin("unheard-of").is_none());
/// ```
pub fn get_hypervisor_plugin(name: &str) -> Option<Arc<dyn ConfigPlugin>> {
    PLUGINS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(name)
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TomlConfig;
    use std::io;

    struct Named(&'static str);

    impl ConfigPlugin for Named {
        fn name(&self) -> &str {
            self.0
        }
        fn adjust_config(&self, _conf: &mut TomlConfig) -> io::Result<()> {
            Ok(())
        }
        fn validate(&self, _conf: &TomlConfig) -> io::Result<()> {
            Ok(())
        }
        fn get_min_memory(&self) -> u32 {
            1
        }
        fn get_max_cpus(&self) -> u32 {
            2
        }
    }

    #[test]
    fn the_five_are_known_without_registration() {
        for (name, min_memory, max_cpus) in [
            ("qemu", 64, 256),
            ("clh", 64, 256),
            ("dragonball", 64, 256),
            ("firecracker", 128, 32),
            ("remote", 64, 32),
        ] {
            let plugin = get_hypervisor_plugin(name).unwrap();
            assert_eq!(plugin.name(), name);
            assert_eq!(plugin.get_min_memory(), min_memory);
            assert_eq!(plugin.get_max_cpus(), max_cpus);
        }
        assert!(get_hypervisor_plugin("").is_none());
        assert!(get_hypervisor_plugin("QEMU").is_none());
    }

    #[test]
    fn registering_again_replaces() {
        let name = "registry-test";
        assert!(get_hypervisor_plugin(name).is_none());
        register_hypervisor_plugin(name, Arc::new(Named("first")));
        register_hypervisor_plugin(name, Arc::new(Named("second")));
        assert_eq!(get_hypervisor_plugin(name).unwrap().name(), "second");
    }

    #[test]
    fn registering_under_another_name_keeps_the_own_name() {
        register_hypervisor_plugin("registry-test-alias", Arc::new(QemuConfig::new()));
        let plugin = get_hypervisor_plugin("registry-test-alias").unwrap();
        assert_eq!(plugin.name(), "qemu");
    }

    #[test]
    fn register_uses_the_own_name() {
        QemuConfig::new().register();
        CloudHypervisorConfig::new().register();
        DragonballConfig::new().register();
        FirecrackerConfig::new().register();
        RemoteConfig::new().register();
        assert_eq!(get_hypervisor_plugin("qemu").unwrap().name(), "qemu");
    }
}
