//! What the configuration means, one cgroup and one NUMA node at a time: written from the rules
//! (spec 3.7), not from the code.

use std::collections::BTreeMap;

use mem_agent::memcg::{
    CgroupConfig, CgroupOptionConfig, Config, OptionConfig, SingleConfig, SingleOptionConfig,
};

/// A configuration, with paths in their normal form and NUMA nodes in order.
#[derive(Clone, Debug)]
pub struct Settings {
    pub default: SingleConfig,
    entries: BTreeMap<String, Vec<CgroupConfig>>,
}

impl Settings {
    pub fn new(config: &Config) -> Self {
        let mut settings = Self {
            default: config.default.clone(),
            entries: BTreeMap::new(),
        };
        for (path, entries) in &config.cgroups {
            for entry in entries {
                let mut entry = entry.clone();
                entry.numa_id.sort_unstable();
                settings
                    .entries
                    .entry(normal(path))
                    .or_default()
                    .push(entry);
            }
        }
        settings
    }

    /// The settings of a cgroup on a node (G3).
    pub fn of(&self, path: &str, node: u32) -> &SingleConfig {
        let mut ancestor = path;
        loop {
            let entries = self.entries.get(ancestor).into_iter().flatten();
            let mut entries = entries.filter(|entry| !entry.no_subdir || ancestor == path);
            // Those that name nodes come first.
            let named = entries.clone().find(|entry| entry.numa_id.contains(&node));
            let found = named.or_else(|| entries.find(|entry| entry.numa_id.is_empty()));
            if let Some(entry) = found {
                return &entry.config;
            }
            if ancestor == "/" {
                return &self.default;
            }
            ancestor = crate::sim::parent(ancestor);
        }
    }

    /// Paths and nodes of the entries.
    pub fn entries(&self) -> Vec<(String, Vec<u32>)> {
        let entries = self.entries.iter();
        entries
            .flat_map(|(path, list)| list.iter().map(|e| (path.clone(), e.numa_id.clone())))
            .collect()
    }

    /// Whether anything is enabled.
    pub fn is_enabled(&self) -> bool {
        let entries = self.entries.values().flatten().map(|entry| &entry.config);
        entries
            .chain([&self.default])
            .any(|config| !config.disabled)
    }

    /// The settings after a change; none if it is to be refused (G4).
    pub fn changed(&self, change: &OptionConfig) -> Option<Self> {
        let mut new = self.clone();
        for (path, nodes) in &change.del {
            let (path, nodes) = (normal(path), sorted(nodes));
            if let Some(list) = new.entries.get_mut(&path) {
                list.retain(|entry| entry.numa_id != nodes);
            }
        }
        for add in &change.add {
            let mut config = SingleConfig::default();
            overlay(&mut config, &add.config);
            if new.entry(add).is_some() {
                return None;
            }
            new.entries
                .entry(normal(&add.path))
                .or_default()
                .push(CgroupConfig {
                    no_subdir: add.no_subdir == Some(true),
                    numa_id: sorted(&add.numa_id),
                    config,
                });
        }
        for set in &change.set {
            let entry = new.entry(set)?;
            entry.no_subdir = set.no_subdir.unwrap_or(entry.no_subdir);
            overlay(&mut entry.config, &set.config);
        }
        overlay(&mut new.default, &change.default);
        Some(new)
    }

    fn entry(&mut self, change: &CgroupOptionConfig) -> Option<&mut CgroupConfig> {
        let nodes = sorted(&change.numa_id);
        let list = self.entries.get_mut(&normal(&change.path))?;
        list.iter_mut().find(|entry| entry.numa_id == nodes)
    }
}

fn overlay(config: &mut SingleConfig, change: &SingleOptionConfig) {
    let SingleConfig {
        disabled,
        swap,
        swappiness_max,
        period_secs,
        period_psi_percent_limit,
        eviction_psi_percent_limit,
        eviction_run_aging_count_min,
    } = config.clone();
    *config = SingleConfig {
        disabled: change.disabled.unwrap_or(disabled),
        swap: change.swap.unwrap_or(swap),
        swappiness_max: change.swappiness_max.unwrap_or(swappiness_max),
        period_secs: change.period_secs.unwrap_or(period_secs),
        period_psi_percent_limit: change
            .period_psi_percent_limit
            .unwrap_or(period_psi_percent_limit),
        eviction_psi_percent_limit: change
            .eviction_psi_percent_limit
            .unwrap_or(eviction_psi_percent_limit),
        eviction_run_aging_count_min: change
            .eviction_run_aging_count_min
            .unwrap_or(eviction_run_aging_count_min),
    };
}

fn normal(path: &str) -> String {
    format!("/{}", path.trim_end_matches('/').trim_start_matches('/'))
}

fn sorted(nodes: &[u32]) -> Vec<u32> {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
