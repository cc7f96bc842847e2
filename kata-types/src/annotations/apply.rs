//! Applying the annotations of a pod to a configuration: all of them, or on error none.
//!
//! First everything is read and checked, in ascending order of the keys; then a copy of the
//! configuration is changed and adjusted; only then does it take the place of the original (D-9).

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};

use slog::{info, warn};

use super::setting::{Change, Context, Entry, Sections, Setting, invalid_data};
use super::table::{self, Row};
use super::{KATA_ANNO_CFG_PREFIX, KATA_ANNO_CFG_RUNTIME_AGENT, KATA_ANNO_CFG_RUNTIME_HYPERVISOR};
use crate::config::hypervisor::{AnnotationGate, HYPERVISOR_NAME_REMOTE};
use crate::config::{Agent, Hypervisor, TomlConfig};
use crate::excerpt::Excerpt;

/// See [`Annotation::update_config_by_annotation`](super::Annotation::update_config_by_annotation).
pub(super) fn apply(annotations: &HashMap<String, String>, config: &mut TomlConfig) -> Result<()> {
    let selection = Selection::of(annotations, config)?;
    let (hypervisor, agent) = selection.sections(config)?;
    let changes = read(annotations, &selection, hypervisor)?;

    let mut hypervisor = hypervisor.clone();
    let mut agent = agent.clone();
    let mut runtime = config.runtime.clone();
    if selection.hypervisor != HYPERVISOR_NAME_REMOTE {
        // First, so that what the pod says about its network wins.
        runtime.restore_network(|key, change| info!(sl!(), "{key}: {change}"));
    }
    let mut sections = Sections {
        hypervisor: &mut hypervisor,
        agent: &mut agent,
        runtime: &mut runtime,
    };
    for change in changes {
        change(&mut sections);
    }
    check_sector_sizes(&hypervisor)?;

    runtime.hypervisor_name = selection.hypervisor.clone();
    runtime.agent_name = selection.agent.clone();
    let mut changed = TomlConfig {
        agent: config.agent.clone(),
        hypervisor: config.hypervisor.clone(),
        runtime,
    };
    changed.hypervisor.insert(selection.hypervisor, hypervisor);
    changed.agent.insert(selection.agent, agent);
    changed.adjust_config()?;
    *config = changed;
    Ok(())
}

/// The names of the sections that the annotations apply to.
struct Selection {
    hypervisor: String,
    agent: String,
}

impl Selection {
    /// The configured names, unless annotations name other configured sections.
    fn of(annotations: &HashMap<String, String>, config: &TomlConfig) -> Result<Self> {
        let selection = Self {
            hypervisor: select(
                annotations,
                KATA_ANNO_CFG_RUNTIME_HYPERVISOR,
                &config.hypervisor,
                &config.runtime.hypervisor_name,
            ),
            agent: select(
                annotations,
                KATA_ANNO_CFG_RUNTIME_AGENT,
                &config.agent,
                &config.runtime.agent_name,
            ),
        };
        for (what, name) in [
            ("Runtime", &config.runtime.name),
            ("Hypervisor", &selection.hypervisor),
            ("Agent", &selection.agent),
        ] {
            if name.is_empty() {
                return Err(invalid_data(format!(
                    "{what} name is missing in the configuration"
                )));
            }
        }
        Ok(selection)
    }

    fn sections<'c>(&self, config: &'c TomlConfig) -> Result<(&'c Hypervisor, &'c Agent)> {
        let hypervisor = config
            .hypervisor
            .get(&self.hypervisor)
            .ok_or_else(|| invalid_data(format!("Invalid hypervisor name {}", self.hypervisor)))?;
        let agent = config
            .agent
            .get(&self.agent)
            .ok_or_else(|| invalid_data(format!("Invalid agent name {}", self.agent)))?;
        Ok((hypervisor, agent))
    }
}

fn select<T>(
    annotations: &HashMap<String, String>,
    key: &str,
    configured: &HashMap<String, T>,
    current: &str,
) -> String {
    match annotations.get(key) {
        Some(name) if configured.contains_key(name) => name.clone(),
        Some(name) => {
            warn!(
                sl!(),
                "Annotation {key} names {:?}, which is not configured",
                Excerpt(name)
            );
            current.to_string()
        }
        None => current.to_string(),
    }
}

/// Reads and checks all annotations that are honoured.
fn read<'a>(
    annotations: &'a HashMap<String, String>,
    selection: &Selection,
    hypervisor: &Hypervisor,
) -> Result<Vec<Change<'a>>> {
    let context = Context {
        hypervisor_name: &selection.hypervisor,
        hypervisor,
    };
    let gate = AnnotationGate::of(&hypervisor.security_info.enable_annotations);
    // All other annotations are somebody else's.
    let mut entries: Vec<Entry<'a>> = annotations
        .iter()
        .filter(|(key, _)| key.starts_with(KATA_ANNO_CFG_PREFIX))
        .map(|(key, value)| Entry { key, value })
        .collect();
    entries.sort_unstable_by_key(|entry| entry.key);

    let mut changes = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(row) = honoured_row(entry.key, &gate)? {
            changes.push(row.setting.read(entry, &context)?);
        }
    }
    Ok(changes)
}

/// The row that an annotation is read with, or nothing, with a log line, when it is ignored.
fn honoured_row(key: &str, gate: &AnnotationGate) -> Result<Option<&'static Row>> {
    if gate.is_enabled(key) {
        return match table::gated(key) {
            Some(row) => Ok(Some(row)),
            None => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("Invalid annotation type {key}"),
            )),
        };
    }
    let row = table::ungated(key);
    match row {
        Some(Row {
            setting: Setting::Forbidden,
            ..
        }) => warn!(
            sl!(),
            "Annotation {key} is not permitted from workload annotations"
        ),
        Some(_) => {}
        None => warn!(sl!(), "Annotation {key} not enabled"),
    }
    Ok(row)
}

/// Each size has been checked alone; which of the two came first makes no difference here.
fn check_sector_sizes(hypervisor: &Hypervisor) -> Result<()> {
    let logical = hypervisor.blockdev_info.block_device_logical_sector_size;
    let physical = hypervisor.blockdev_info.block_device_physical_sector_size;
    if logical != 0 && physical != 0 && logical > physical {
        return Err(invalid_data(format!(
            "invalid sector sizes: logical ({logical}) must not be larger than physical ({physical})"
        )));
    }
    Ok(())
}
