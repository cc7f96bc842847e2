//! All hypervisor sections together: order, strictness, plugins.

use std::io;
use std::sync::Arc;

use super::boot::KernelSource;
use super::section::SectionLimits;
use super::{HYPERVISOR_NAME_REMOTE, Hypervisor, HypervisorVendor, get_hypervisor_plugin};
use crate::config::adjust::{AdjustReport, Adjuster, Checked, KeyedError};
use crate::config::check::Checker;
use crate::config::dotted_key::dotted;
use crate::config::host::Host;
use crate::config::{ConfigOps, ConfigPlugin, TomlConfig};
use crate::excerpt::Excerpt;

impl ConfigOps for Hypervisor {
    /// Adjusts all hypervisor sections, each with its plugin first.
    ///
    /// The active section comes first and must be correct; an error in another one is logged and
    /// leaves that section as it was. Without an active section all must be correct.
    fn adjust_config(conf: &mut TomlConfig) -> io::Result<()> {
        let host = Host::real();
        let mut report = AdjustReport::default();
        let result = adjust_sections(conf, &mut Adjuster::new(&host, &mut report));
        report.log();
        result.map_err(|e| e.error)
    }

    /// Validates all hypervisor sections, each with its plugin first; as strict as
    /// [`adjust_config`](Self::adjust_config).
    fn validate(conf: &TomlConfig) -> io::Result<()> {
        let host = Host::real();
        let mut report = AdjustReport::default();
        let result = validate_sections(conf, &Checker::new(&host), &mut report);
        report.log();
        result.map_err(|e| e.error)
    }
}

/// Adjusts all sections, the active one first, then by name (D11).
pub(crate) fn adjust_sections(conf: &mut TomlConfig, cx: &mut Adjuster<'_>) -> Checked {
    HypervisorVendor::adjust_config(conf).map_err(|e| KeyedError::new("hypervisor", e))?;

    let active = conf.active_hypervisor().map(str::to_owned);
    let names = section_names(conf);
    slog::info!(
        slog_scope::logger(),
        "Adjusting hypervisor configuration {names:?}"
    );
    for name in names {
        let section = dotted("hypervisor", &name);
        cx.enter(section.clone());
        let notes = cx.report.notes.len();
        let backup = conf.hypervisor.get(&name).cloned();
        if let Err(error) = adjust_section(conf, &name, cx) {
            if let Some(hv) = backup {
                conf.hypervisor.insert(name.clone(), hv);
            }
            let error = error.below(&section);
            if active.as_ref().is_none_or(|active| *active == name) {
                return Err(error);
            }
            cx.report.notes.truncate(notes);
            cx.report.note_inactive(error);
        }
    }
    Ok(())
}

/// Validates all sections, in the same order.
pub(crate) fn validate_sections(
    conf: &TomlConfig,
    cx: &Checker<'_>,
    report: &mut AdjustReport,
) -> Checked {
    HypervisorVendor::validate(conf).map_err(|e| KeyedError::new("hypervisor", e))?;

    let active = conf.active_hypervisor();
    for name in section_names(conf) {
        if let Err(error) = validate_section(conf, &name, cx) {
            let section = dotted("hypervisor", &name);
            let error = error.below(&section);
            if active.is_none_or(|active| active == name) {
                return Err(error);
            }
            report.note_inactive(error);
        }
    }
    Ok(())
}

fn section_names(conf: &TomlConfig) -> Vec<String> {
    let active = conf.active_hypervisor();
    let mut names: Vec<String> = conf.hypervisor.keys().cloned().collect();
    names.sort_by(|a, b| {
        let is_other = |name: &str| active != Some(name);
        (is_other(a), a).cmp(&(is_other(b), b))
    });
    names
}

fn adjust_section(conf: &mut TomlConfig, name: &str, cx: &mut Adjuster<'_>) -> Checked {
    let plugin = plugin_of(name)?;
    let kernel = |conf: &TomlConfig| {
        conf.hypervisor
            .get(name)
            .map(|hv| hv.boot_info.kernel.clone())
            .unwrap_or_default()
    };
    let configured = kernel(conf);
    match plugin.built_in() {
        Some(rules) => rules.adjust(conf, cx)?,
        None => plugin
            .adjust_config(conf)
            .map_err(|e| KeyedError::new("", e))?,
    }
    // Relative, because it is a file name without directory.
    let defaulted = configured.is_empty() && {
        let kernel = kernel(conf);
        !kernel.is_empty() && !kernel.starts_with('/')
    };

    let limits = SectionLimits {
        kernel: if defaulted {
            KernelSource::Default
        } else {
            KernelSource::Configured
        },
        // The remote plugin demands as many CPUs as the host has (D4).
        max_vcpus: (plugin.name() != HYPERVISOR_NAME_REMOTE).then(|| plugin.get_max_cpus()),
    };
    match conf.hypervisor.get_mut(name) {
        Some(hv) => hv.adjust_in(cx, limits),
        // Only a foreign plugin could have removed it.
        None => Ok(()),
    }
}

fn validate_section(conf: &TomlConfig, name: &str, cx: &Checker<'_>) -> Checked {
    let plugin = plugin_of(name)?;
    match plugin.built_in() {
        Some(rules) => rules.validate(conf, cx)?,
        None => plugin.validate(conf).map_err(|e| KeyedError::new("", e))?,
    }
    match conf.hypervisor.get(name) {
        Some(hv) => hv.validate_in(cx),
        None => Ok(()),
    }
}

fn plugin_of(name: &str) -> Checked<Arc<dyn ConfigPlugin>> {
    get_hypervisor_plugin(name).ok_or_else(|| {
        let name = Excerpt(name);
        KeyedError::other("", format!("Can not find plugin for hypervisor {name}"))
    })
}

#[cfg(test)]
mod tests;
