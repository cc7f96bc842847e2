//! What the memcg half is told to do, and changes of it (spec 3.7).

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Result, anyhow};

/// Settings of the memory cgroups that no other entry matches, or of one entry.
///
/// Percentages are of the time in which some task stalled, memory and I/O added up
/// ([PSI](https://docs.kernel.org/accounting/psi.html)): 0 to 200, rounded down, and more than 200
/// is no limit.
///
/// ```
/// use mem_agent::memcg::SingleConfig;
///
/// let config = SingleConfig {
///     swap: true,
///     period_secs: 300,
///     ..Default::default()
/// };
/// assert_eq!(config.swappiness_max, 50);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SingleConfig {
    /// Leaves the cgroups alone. Default: false.
    pub disabled: bool,
    /// Whether anonymous pages are aged and swapped out, as long as there is swap space.
    /// Default: false.
    pub swap: bool,
    /// Most swappiness for evictions that also take file pages: 0 (file pages only) to 200 (more is
    /// the same), as in [`vm.swappiness`](https://docs.kernel.org/admin-guide/sysctl/vm.html#swappiness).
    /// Where only anonymous pages are cold, it does not count. Default: 50.
    pub swappiness_max: u8,
    /// Seconds from run to run; less than 1 is 1, more than about 100 years is never. Default: 600.
    pub period_secs: u64,
    /// A cgroup is passed over for a period if it has stalled on memory and I/O for more than this
    /// percentage of the last period. Default: 1.
    pub period_psi_percent_limit: u8,
    /// Eviction of a cgroup ends if it stalls for more than this percentage of the time.
    /// Default: 1.
    pub eviction_psi_percent_limit: u8,
    /// How often a cgroup is aged before its first eviction, on each NUMA node; the aging of the
    /// same run counts, so 0 and 1 are the same. Default: 3.
    pub eviction_run_aging_count_min: u64,
}

impl Default for SingleConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            swap: false,
            swappiness_max: 50,
            period_secs: 600,
            period_psi_percent_limit: 1,
            eviction_psi_percent_limit: 1,
            eviction_run_aging_count_min: 3,
        }
    }
}

/// Settings of the cgroups at and below a path, on some NUMA nodes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CgroupConfig {
    /// Only the cgroup at the path itself, none below it.
    pub no_subdir: bool,
    /// The NUMA nodes; empty for all that no other entry of the path names.
    pub numa_id: Vec<u32>,
    /// The settings.
    pub config: SingleConfig,
}

/// How cold pages are taken from a cgroup.
///
/// ```
/// use mem_agent::memcg::{Actuator, Config};
///
/// assert_eq!(Config::default().actuator, Actuator::LruGen);
/// let config = Config { actuator: Actuator::MemoryReclaim, ..Default::default() };
/// # let _ = config;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Actuator {
    /// Eviction commands of `lru_gen`
    /// ([Proactive reclaim](https://docs.kernel.org/admin-guide/mm/multigen_lru.html#proactive-reclaim)).
    #[default]
    LruGen,
    /// [`memory.reclaim`](https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files)
    /// of cgroup v2 (Linux 5.19), steered by refaults besides PSI; MGLRU tells how
    /// much is cold. `lru_gen` is used for cgroups that have children, and where the kernel cannot
    /// leave anonymous pages alone as configured. Without MGLRU, what is cold is estimated from
    /// `memory.stat`.
    MemoryReclaim,
}

/// Configuration of the memcg half.
///
/// For each cgroup and NUMA node, the entry of the nearest ancestor with one counts, and else
/// `default`.
///
/// ```
/// use mem_agent::memcg::{CgroupConfig, Config, SingleConfig};
///
/// let careful = CgroupConfig {
///     config: SingleConfig { eviction_psi_percent_limit: 0, ..Default::default() },
///     ..Default::default()
/// };
/// let config = Config {
///     cgroups: [("/kubepods/burstable".to_owned(), vec![careful])].into(),
///     ..Default::default()
/// };
/// assert_eq!(config.default.period_secs, 600);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Directory whose sub-directories have the `memory.pressure` and `io.pressure` files of
    /// cgroups. Empty: the cgroup root on v2, on v1 the first directory in `/sys/fs/cgroup` that has
    /// such files.
    pub psi_path: PathBuf,
    /// Settings where no entry of `cgroups` matches.
    pub default: SingleConfig,
    /// Settings by path, such as `/kubepods`.
    pub cgroups: HashMap<String, Vec<CgroupConfig>>,
    /// How pages are taken. Default: [`Actuator::LruGen`].
    pub actuator: Actuator,
}

impl Default for Config {
    #[allow(clippy::derivable_impls, reason = "contract")]
    fn default() -> Self {
        Self {
            psi_path: PathBuf::new(),
            default: SingleConfig::default(),
            cgroups: HashMap::new(),
            actuator: Actuator::LruGen,
        }
    }
}

/// Changes of a [`SingleConfig`]: each `Some` replaces a field. Units and ranges are those of the
/// fields.
#[derive(Debug, Clone, Default)]
pub struct SingleOptionConfig {
    /// [`SingleConfig::disabled`]
    pub disabled: Option<bool>,
    /// [`SingleConfig::swap`]
    pub swap: Option<bool>,
    /// [`SingleConfig::swappiness_max`]
    pub swappiness_max: Option<u8>,
    /// [`SingleConfig::period_secs`]
    pub period_secs: Option<u64>,
    /// [`SingleConfig::period_psi_percent_limit`]
    pub period_psi_percent_limit: Option<u8>,
    /// [`SingleConfig::eviction_psi_percent_limit`]
    pub eviction_psi_percent_limit: Option<u8>,
    /// [`SingleConfig::eviction_run_aging_count_min`]
    pub eviction_run_aging_count_min: Option<u64>,
}

/// An entry to add to [`Config::cgroups`], or changes of one.
#[derive(Debug, Clone, Default)]
pub struct CgroupOptionConfig {
    /// Its path; a `/` at the begin is added, those at the end are removed.
    pub path: String,
    /// Its NUMA nodes, in any order.
    pub numa_id: Vec<u32>,
    /// [`CgroupConfig::no_subdir`]
    pub no_subdir: Option<bool>,
    /// Its settings.
    pub config: SingleOptionConfig,
}

/// Changes of a [`Config`], applied in the order of the fields: all of them, or none if one is
/// refused.
///
/// ```
/// use mem_agent::memcg::{CgroupOptionConfig, OptionConfig, SingleOptionConfig};
///
/// let change = OptionConfig {
///     del: vec![("/old".to_owned(), vec![])],
///     add: vec![CgroupOptionConfig { path: "/new".to_owned(), ..Default::default() }],
///     default: SingleOptionConfig { swap: Some(true), ..Default::default() },
///     ..Default::default()
/// };
/// assert!(change.set.is_empty());
/// ```
#[derive(Debug, Clone, Default)]
pub struct OptionConfig {
    /// Entries to remove, by path and NUMA nodes. Unknown ones are ignored.
    pub del: Vec<(String, Vec<u32>)>,
    /// Entries to add: the crate's defaults, with these settings. Refused if there is one with the
    /// same path and NUMA nodes.
    pub add: Vec<CgroupOptionConfig>,
    /// Entries to change. Refused if there is none with this path and NUMA nodes.
    pub set: Vec<CgroupOptionConfig>,
    /// Changes of [`Config::default`].
    pub default: SingleOptionConfig,
    /// Replaces [`Config::actuator`]. Refused if the machine lacks what the new one needs.
    pub actuator: Option<Actuator>,
}

/// What a change means for the timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Needed,
    NotNeeded,
}

impl Reset {
    fn or(self, other: bool) -> Self {
        if other { Self::Needed } else { self }
    }
}

impl SingleConfig {
    /// Whether `disabled` or `period_secs` has changed (G5).
    fn overlay(&mut self, change: &SingleOptionConfig) -> bool {
        let before = (self.disabled, self.period_secs);
        replace(&mut self.disabled, change.disabled);
        replace(&mut self.swap, change.swap);
        replace(&mut self.swappiness_max, change.swappiness_max);
        replace(&mut self.period_secs, change.period_secs);
        replace(
            &mut self.period_psi_percent_limit,
            change.period_psi_percent_limit,
        );
        replace(
            &mut self.eviction_psi_percent_limit,
            change.eviction_psi_percent_limit,
        );
        replace(
            &mut self.eviction_run_aging_count_min,
            change.eviction_run_aging_count_min,
        );
        before != (self.disabled, self.period_secs)
    }
}

fn replace<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

impl Config {
    /// Brings paths and entries into the form that lookups need (G2).
    pub(super) fn normalise(&mut self) {
        let mut old: Vec<_> = std::mem::take(&mut self.cgroups).into_iter().collect();
        old.sort_by(|a, b| a.0.cmp(&b.0)); // which of two duplicates stays is not up to the hasher
        for (path, mut entries) in old {
            for entry in &mut entries {
                sort_numa(&mut entry.numa_id);
            }
            let path = normalise_path(&path);
            let merged = self.cgroups.entry(path).or_default();
            for entry in entries {
                if !merged.iter().any(|known| known.numa_id == entry.numa_id) {
                    merged.push(entry);
                }
            }
        }
        self.cgroups.retain(|_, entries| !entries.is_empty());
        for entries in self.cgroups.values_mut() {
            entries.sort_by_key(|entry| entry.numa_id.is_empty());
        }
    }

    /// Whether nothing can be managed.
    pub(super) fn is_disabled(&self) -> bool {
        self.enabled().next().is_none()
    }

    /// All settings that are enabled.
    pub(super) fn enabled(&self) -> impl Iterator<Item = &SingleConfig> {
        let entries = self.cgroups.values().flatten().map(|entry| &entry.config);
        std::iter::once(&self.default)
            .chain(entries)
            .filter(|config| !config.disabled)
    }

    /// The configuration after a change (G4).
    ///
    /// # Errors
    ///
    /// An entry to add exists, or one to set does not.
    pub(super) fn changed(&self, change: &OptionConfig) -> Result<(Self, Reset)> {
        let mut new = self.clone();
        let mut reset = Reset::NotNeeded;
        for (path, numa) in &change.del {
            reset = reset.or(new.delete(path, numa));
        }
        for entry in &change.add {
            new.add(entry)?;
            reset = Reset::Needed;
        }
        for entry in &change.set {
            reset = reset.or(new.set(entry)?);
        }
        reset = reset.or(new.default.overlay(&change.default));
        replace(&mut new.actuator, change.actuator);
        new.normalise();
        Ok((new, reset))
    }

    fn delete(&mut self, path: &str, numa: &[u32]) -> bool {
        let (path, numa) = (normalise_path(path), sorted_numa(numa));
        let Some(entries) = self.cgroups.get_mut(&path) else {
            return false;
        };
        let before = entries.len();
        entries.retain(|entry| entry.numa_id != numa);
        let is_gone = entries.len() < before;
        if entries.is_empty() {
            self.cgroups.remove(&path);
        }
        is_gone
    }

    fn add(&mut self, entry: &CgroupOptionConfig) -> Result<()> {
        let (path, numa) = (normalise_path(&entry.path), sorted_numa(&entry.numa_id));
        let entries = self.cgroups.entry(path).or_default();
        if entries.iter().any(|known| known.numa_id == numa) {
            let path = normalise_path(&entry.path);
            return Err(anyhow!("path {path} numa_id {numa:?} already exists"));
        }
        let mut new = CgroupConfig {
            no_subdir: entry.no_subdir.unwrap_or(false),
            numa_id: numa,
            config: SingleConfig::default(),
        };
        new.config.overlay(&entry.config);
        entries.push(new);
        Ok(())
    }

    fn set(&mut self, change: &CgroupOptionConfig) -> Result<bool> {
        let (path, numa) = (normalise_path(&change.path), sorted_numa(&change.numa_id));
        let entries = self.cgroups.get_mut(&path).into_iter().flatten();
        let Some(entry) = entries.into_iter().find(|entry| entry.numa_id == numa) else {
            return Err(anyhow!("path {path} numa_id {numa:?} not exists"));
        };
        replace(&mut entry.no_subdir, change.no_subdir);
        Ok(entry.config.overlay(&change.config) || change.no_subdir.is_some())
    }

    /// Which settings count for the nodes of the cgroup at `path` (G3). A node is in one result
    /// only, settings too (M3), and no result is without nodes.
    pub(super) fn lookup(&self, path: &str, nodes: &[u32]) -> Vec<(Vec<u32>, SingleConfig)> {
        let mut left = sorted_numa(nodes);
        let mut found: Vec<(Vec<u32>, SingleConfig)> = Vec::new();
        let mut add = |mut nodes: Vec<u32>, config: &SingleConfig| {
            if nodes.is_empty() {
                return;
            }
            match found.iter_mut().find(|(_, known)| known == config) {
                Some((known, _)) => {
                    known.append(&mut nodes);
                    known.sort_unstable();
                }
                None => found.push((nodes, config.clone())),
            }
        };
        // Of a long path, most ancestors are longer than any that has an entry.
        if let Some(longest) = self.cgroups.keys().map(String::len).max() {
            for ancestor in self_and_ancestors(path).filter(|path| path.len() <= longest) {
                for entry in self.cgroups.get(ancestor).into_iter().flatten() {
                    if left.is_empty() || (entry.no_subdir && ancestor != path) {
                        continue;
                    }
                    let (taken, rest) = std::mem::take(&mut left)
                        .into_iter()
                        .partition(|node| entry.numa_id.is_empty() || entry.numa_id.contains(node));
                    left = rest;
                    add(taken, &entry.config);
                }
            }
        }
        add(left, &self.default);
        found
    }
}

/// With a `/` at the begin and none at the end; the empty path is `/` (G1).
pub(super) fn normalise_path(path: &str) -> String {
    let path = path.trim_end_matches('/');
    match path.strip_prefix('/') {
        Some(_) => path.to_owned(),
        None => format!("/{path}"),
    }
}

/// `/a/b`, `/a`, `/`.
pub(super) fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        if *path == "/" {
            return None;
        }
        match path.rsplit_once('/') {
            Some(("", _)) | None => Some("/"),
            Some((parent, _)) => Some(parent),
        }
    })
}

fn sorted_numa(numa: &[u32]) -> Vec<u32> {
    let mut numa = numa.to_vec();
    sort_numa(&mut numa);
    numa
}

fn sort_numa(numa: &mut Vec<u32>) {
    numa.sort_unstable();
    numa.dedup();
}

#[cfg(test)]
mod tests;
