//! The configuration of the runtime, as `kata-types` loads it: a file and its drop-ins, changed by
//! the annotations of the pod as far as the operator allows, adjusted to this machine, validated.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use kata_types::annotations::Annotation;
use kata_types::config::{
    ConfigDiagnostic, ConfigLoader, Hypervisor, LoadedConfig, Origin, TomlConfig,
};

use crate::problem::Problem;

/// A configuration that can be used, and where it comes from.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) config: TomlConfig,
    /// The configuration file, then its drop-ins.
    pub(crate) files: Vec<PathBuf>,
    /// Keys that a drop-in or an annotation has set, and where.
    pub(crate) changed: Vec<(String, Origin)>,
    /// Misspelt keys, limited values, and whatever else its author should know.
    pub(crate) remarks: Vec<ConfigDiagnostic>,
}

/// Reads `file` and the drop-ins beside it.
pub(crate) fn load(file: &Path) -> Result<LoadedConfig, Problem> {
    let mut loaded = ConfigLoader::new(file)
        .read()
        .map_err(|e| about(file, &e))?;
    loaded.adjust().map_err(|e| about(file, &e))?;
    Ok(loaded)
}

/// Applies the annotations of a pod, and checks the result.
pub(crate) fn apply(
    mut loaded: LoadedConfig,
    annotations: &HashMap<String, String>,
) -> Result<Configuration, Problem> {
    let mut origins = loaded.origins();
    Annotation::new(annotations.clone())
        .update_config_by_annotation(&mut loaded.config)
        .map_err(|e| Problem::new(format!("annotation refused: {e}")))?;
    let file = loaded.path().to_owned();
    loaded.validate().map_err(|e| about(&file, &e))?;
    origins.record_annotations(&loaded.config);
    Ok(Configuration {
        files: loaded.files().map(Path::to_owned).collect(),
        changed: origins
            .iter()
            .filter(|(_, origin)| is_changed(origin))
            .map(|(key, origin)| (key.to_owned(), origin.clone()))
            .collect(),
        remarks: loaded.diagnostics(),
        config: loaded.config,
    })
}

impl Configuration {
    /// The section of the hypervisor that is to be used.
    pub(crate) fn hypervisor(&self) -> Option<&Hypervisor> {
        self.config
            .hypervisor
            .get(&self.config.runtime.hypervisor_name)
    }

    /// How long the agent may take to create a container, in ms.
    pub(crate) fn create_timeout_ms(&self) -> u32 {
        let agent = self.config.agent.get(&self.config.runtime.agent_name);
        agent.map_or(30_000, |agent| agent.request_timeout_ms)
    }

    /// The part of the kernel's command line that is for the agent.
    pub(crate) fn kernel_command_line(&self) -> Result<String, Problem> {
        let parameters = self
            .config
            .get_agent_kernel_params()
            .map_err(Problem::new)?;
        let words = parameters.iter().map(|(key, value)| {
            if value.is_empty() {
                key.clone()
            } else {
                format!("{key}={value}")
            }
        });
        Ok(words.collect::<Vec<_>>().join(" "))
    }
}

/// Errors of `kata-types` name file, line and key, except those of files that cannot be opened.
fn about(file: &Path, error: &std::io::Error) -> Problem {
    let text = error.to_string();
    if text.contains('/') {
        Problem::new(text)
    } else {
        Problem::file(file, text)
    }
}

fn is_changed(origin: &Origin) -> bool {
    match origin {
        Origin::DropIn { .. } | Origin::Annotation => true,
        Origin::Adjusted { from, .. } => is_changed(from),
        _ => false,
    }
}
