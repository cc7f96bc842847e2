//! The configuration of the process.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::{Agent, Hypervisor, TomlConfig};

/// A configuration with the names of the hypervisor and the agent to use.
///
/// A process has two: the *default* one, which the files say, and the *active* one, which pod
/// annotations may have changed. Both are empty at first. A snapshot stays as it is when another
/// configuration is set.
///
/// ```
/// use kata_types::config::{Agent, KataConfig, TomlConfig};
///
/// let mut config = TomlConfig::default();
/// config.agent.insert("kata".into(), Agent::default());
/// KataConfig::set_active_config(Some(config), "qemu", "kata");
///
/// let active = KataConfig::get_active_config();
/// assert!(active.get_agent().is_some());
/// assert!(active.get_hypervisor().is_none());
/// ```
pub struct KataConfig {
    config: Option<TomlConfig>,
    agent: String,
    hypervisor: String,
}

type Global = RwLock<Arc<KataConfig>>;

static DEFAULT_CONFIG: LazyLock<Global> = LazyLock::new(initial);
static ACTIVE_CONFIG: LazyLock<Global> = LazyLock::new(initial);
/// What an unset configuration is.
static UNSET: LazyLock<TomlConfig> = LazyLock::new(TomlConfig::default);

impl KataConfig {
    /// Sets the default configuration of the process.
    pub fn set_default_config(config: Option<TomlConfig>, hypervisor: &str, agent: &str) {
        set(&DEFAULT_CONFIG, config, hypervisor, agent);
    }

    /// The default configuration of the process.
    pub fn get_default_config() -> Arc<KataConfig> {
        get(&DEFAULT_CONFIG)
    }

    /// Sets the active configuration of the process.
    pub fn set_active_config(config: Option<TomlConfig>, hypervisor: &str, agent: &str) {
        set(&ACTIVE_CONFIG, config, hypervisor, agent);
    }

    /// The active configuration of the process.
    pub fn get_active_config() -> Arc<KataConfig> {
        get(&ACTIVE_CONFIG)
    }

    /// The configuration; [`TomlConfig::default`] if `None` was set.
    pub fn get_config(&self) -> &TomlConfig {
        self.config.as_ref().unwrap_or(&UNSET)
    }

    /// The agent to use, if it has a section.
    pub fn get_agent(&self) -> Option<&Agent> {
        named(&self.config.as_ref()?.agent, &self.agent)
    }

    /// The hypervisor to use, if it has a section.
    pub fn get_hypervisor(&self) -> Option<&Hypervisor> {
        named(&self.config.as_ref()?.hypervisor, &self.hypervisor)
    }
}

fn named<'a, T>(sections: &'a std::collections::HashMap<String, T>, name: &str) -> Option<&'a T> {
    if name.is_empty() {
        return None;
    }
    sections.get(name)
}

/// An empty configuration, adjusted.
fn initial() -> Global {
    let mut config = TomlConfig::default();
    // Without sections and mounts there is nothing to fail.
    let adjusted = config.adjust_config().is_ok();
    RwLock::new(Arc::new(KataConfig {
        config: adjusted.then_some(config),
        agent: String::new(),
        hypervisor: String::new(),
    }))
}

fn set(global: &Global, config: Option<TomlConfig>, hypervisor: &str, agent: &str) {
    let config = Arc::new(KataConfig {
        config,
        agent: agent.to_owned(),
        hypervisor: hypervisor.to_owned(),
    });
    *global.write().unwrap_or_else(PoisonError::into_inner) = config;
}

fn get(global: &Global) -> Arc<KataConfig> {
    Arc::clone(&global.read().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TomlConfig {
        let mut config = TomlConfig::default();
        config.agent.insert("kata".into(), Agent::default());
        config.agent.insert("".into(), Agent::default());
        config
            .hypervisor
            .insert("qemu".into(), Hypervisor::default());
        config.hypervisor.insert("".into(), Hypervisor::default());
        config.runtime.name = "mine".into();
        config
    }

    /// One test, because it is about globals of the process.
    #[test]
    fn default_and_active_are_independent_snapshots() {
        let initial = KataConfig::get_default_config();
        assert_eq!(
            initial.get_config().runtime.internetworking_model,
            "tcfilter"
        );
        assert!(initial.get_agent().is_none());
        assert!(initial.get_hypervisor().is_none());

        KataConfig::set_default_config(Some(config()), "qemu", "kata");
        let default = KataConfig::get_default_config();
        assert!(default.get_agent().is_some());
        assert!(default.get_hypervisor().is_some());
        assert_eq!(default.get_config().runtime.name, "mine");
        assert_eq!(
            KataConfig::get_active_config().get_config().runtime.name,
            ""
        );
        assert_eq!(initial.get_config().runtime.name, "");

        KataConfig::set_active_config(Some(config()), "", "other");
        let active = KataConfig::get_active_config();
        assert!(active.get_agent().is_none());
        assert!(active.get_hypervisor().is_none());

        KataConfig::set_active_config(None, "qemu", "kata");
        let unset = KataConfig::get_active_config();
        assert!(unset.get_agent().is_none());
        assert!(unset.get_hypervisor().is_none());
        assert_eq!(unset.get_config().runtime.internetworking_model, "");
        assert_eq!(unset.get_config().runtime.log_level, "info");
        assert!(KataConfig::get_default_config().get_agent().is_some());
    }
}
