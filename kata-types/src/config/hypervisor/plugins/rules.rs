//! Rules of the known hypervisors as data.

use std::io;

use super::fields::{BRIDGES, Field, MEMORY};
use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::hypervisor::Hypervisor;
use crate::config::{Runtime, TomlConfig};

/// The rules of a known hypervisor.
#[doc(hidden)]
pub struct BuiltInPlugin {
    pub(super) name: &'static str,
    /// Least memory of a VM, in MiB.
    pub(super) min_memory: u32,
    pub(super) max_vcpus: u32,
    /// Steps to adjust a section, in order.
    pub(super) steps: &'static [Step],
    /// Checks of a section, in order.
    pub(super) checks: &'static [Check],
    /// What the runtime must do when this is the active hypervisor.
    pub(super) runtime: Option<fn(&mut Runtime, &mut Adjuster<'_>)>,
}

/// One step to adjust a section.
pub(super) enum Step {
    /// Fills in a text that is empty.
    Text(&'static Field<String>, &'static str),
    /// Fills in a number that is 0.
    Number(&'static Field<u32>, u32),
    /// Fills in a time that is 0.
    Time(&'static Field<i32>, i32),
    /// Resolves a path; with the error text.
    Resolve(&'static Field<String>, &'static str),
    /// Anything else.
    Apply(fn(&mut Hypervisor, &mut Adjuster<'_>)),
}

/// One check of a section, with its error text.
pub(super) enum Check {
    /// The path is empty or exists.
    Exists(&'static Field<String>, &'static str),
    /// The text is not empty.
    Set(&'static Field<String>, &'static str),
    /// The text is empty.
    Empty(&'static Field<String>, &'static str),
    /// The list is empty.
    EmptyList(&'static Field<Vec<String>>, &'static str),
    /// `default_vcpus` and `default_maxvcpus` are within the limit; `{}` is `default_maxvcpus`.
    VcpuLimit(&'static str),
    /// At most so many PCI bridges; `{}` is their number.
    BridgeLimit(u32, &'static str),
    /// `default_memory` is at least the minimum; `{}` is the minimum.
    MemoryLimit(&'static str),
    /// Something holds; with the key it is about.
    Must(&'static str, fn(&Hypervisor) -> bool, &'static str),
    /// Anything else.
    Rule(fn(&Hypervisor, &Checker<'_>) -> Checked),
}

impl BuiltInPlugin {
    /// Adjusts the section with the name of this hypervisor, if there is one.
    pub(crate) fn adjust(&self, conf: &mut TomlConfig, cx: &mut Adjuster<'_>) -> Checked {
        let Some(hv) = conf.hypervisor.get_mut(self.name) else {
            return Ok(());
        };
        for step in self.steps {
            step.apply(hv, cx)?;
        }
        match self.runtime {
            Some(adjust) if conf.runtime.hypervisor_name == self.name => {
                adjust(&mut conf.runtime, cx);
            }
            _ => {}
        }
        Ok(())
    }

    /// Validates the section with the name of this hypervisor, if there is one.
    pub(crate) fn validate(&self, conf: &TomlConfig, cx: &Checker<'_>) -> Checked {
        let Some(hv) = conf.hypervisor.get(self.name) else {
            return Ok(());
        };
        self.checks
            .iter()
            .try_for_each(|check| check.apply(self, hv, cx))
    }

    /// [`ConfigPlugin::adjust_config`](crate::config::ConfigPlugin::adjust_config) of the plugin.
    pub(super) fn adjust_config(&self, conf: &mut TomlConfig) -> io::Result<()> {
        adjust_alone(|cx| self.adjust(conf, cx))
    }

    /// [`ConfigPlugin::validate`](crate::config::ConfigPlugin::validate) of the plugin.
    pub(super) fn validate_config(&self, conf: &TomlConfig) -> io::Result<()> {
        check_alone(|cx| self.validate(conf, cx))
    }
}

impl Step {
    fn apply(&self, hv: &mut Hypervisor, cx: &mut Adjuster<'_>) -> Checked {
        match self {
            Step::Text(field, text) => {
                let value = (field.get_mut)(hv);
                if value.is_empty() {
                    value.push_str(text);
                }
            }
            Step::Number(field, number) => fill_in((field.get_mut)(hv), *number),
            Step::Time(field, time) => fill_in((field.get_mut)(hv), *time),
            Step::Resolve(field, message) => {
                cx.resolve((field.get_mut)(hv), field.key, message)?;
            }
            Step::Apply(apply) => apply(hv, cx),
        }
        Ok(())
    }
}

impl Check {
    fn apply(&self, plugin: &BuiltInPlugin, hv: &Hypervisor, cx: &Checker<'_>) -> Checked {
        let (holds, key, message) = match *self {
            Check::Exists(field, message) => {
                return cx.exists((field.get)(hv), field.key, message);
            }
            Check::Rule(rule) => return rule(hv, cx),
            Check::Set(field, message) => {
                (!(field.get)(hv).is_empty(), field.key, message.to_owned())
            }
            Check::Empty(field, message) => {
                ((field.get)(hv).is_empty(), field.key, message.to_owned())
            }
            Check::EmptyList(field, message) => {
                ((field.get)(hv).is_empty(), field.key, message.to_owned())
            }
            Check::VcpuLimit(message) => {
                let cpu = &hv.cpu_info;
                let fits = |vcpus| vcpus <= plugin.max_vcpus;
                // A cast of a negative number or NaN is 0.
                let holds = fits(cpu.default_vcpus as u32) && fits(cpu.default_maxvcpus);
                (
                    holds,
                    "default_maxvcpus",
                    with(message, cpu.default_maxvcpus),
                )
            }
            Check::BridgeLimit(most, message) => {
                let bridges = *(BRIDGES.get)(hv);
                (bridges <= most, BRIDGES.key, with(message, bridges))
            }
            Check::MemoryLimit(message) => {
                let holds = *(MEMORY.get)(hv) >= plugin.min_memory;
                (holds, MEMORY.key, with(message, plugin.min_memory))
            }
            Check::Must(key, holds, message) => (holds(hv), key, message.to_owned()),
        };
        if holds {
            return Ok(());
        }
        Err(KeyedError::other(key, message))
    }
}

fn fill_in<T: Default + PartialEq>(value: &mut T, default: T) {
    if *value == T::default() {
        *value = default;
    }
}

fn with(message: &str, number: u32) -> String {
    message.replacen("{}", &number.to_string(), 1)
}

/// Implements [`ConfigPlugin`](crate::config::ConfigPlugin) by rules.
macro_rules! built_in_plugin {
    ($name:ident, $rules:expr) => {
        impl $name {
            /// The plugin.
            pub fn new() -> Self {
                $name {}
            }

            /// Registers the plugin under its own name. Not necessary, unless another plugin was
            /// registered under this name.
            pub fn register(self) {
                let name = self.name().to_owned();
                $crate::config::hypervisor::register_hypervisor_plugin(
                    &name,
                    std::sync::Arc::new(self),
                );
            }
        }

        impl $crate::config::ConfigPlugin for $name {
            fn name(&self) -> &str {
                $rules.name
            }

            fn adjust_config(&self, conf: &mut $crate::config::TomlConfig) -> std::io::Result<()> {
                $rules.adjust_config(conf)
            }

            fn validate(&self, conf: &$crate::config::TomlConfig) -> std::io::Result<()> {
                $rules.validate_config(conf)
            }

            fn get_min_memory(&self) -> u32 {
                $rules.min_memory
            }

            fn get_max_cpus(&self) -> u32 {
                $rules.max_vcpus
            }

            fn built_in(&self) -> Option<&'static $crate::config::hypervisor::BuiltInPlugin> {
                Some(&$rules)
            }
        }
    };
}
pub(super) use built_in_plugin;
