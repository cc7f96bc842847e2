//! The machine: type, accelerators, flash images, entropy.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::list_text::trim_items;
use crate::config::adjust::{Adjuster, Checked, adjust_alone};
use crate::config::check::{Checker, check_alone};
use crate::config::validate::{note_bad_patterns, validate_path_pattern};

/// Machine settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "MachineInfo::default")]
pub struct MachineInfo {
    /// Machine type: `q35`, `virt`, `s390-ccw-virtio`, … Default: empty, `q35` for QEMU.
    pub machine_type: String,

    /// Machine options for QEMU, separated by commas. Default: empty.
    pub machine_accelerators: String,

    /// Paths of flash images. Default: none. Ignored by the runtime of this version.
    pub pflashes: Vec<String>,

    /// Host source of guest entropy. Default: empty; `/dev/urandom` except for `remote`.
    pub entropy_source: String,

    /// Shell patterns of the paths that a pod annotation may set as `entropy_source`; see
    /// [`validate_path_pattern`]. Default: none.
    pub valid_entropy_sources: Vec<String>,
}

const FLASH: (&str, &str) = ("pflashes", "Flash image file {} is invalid: {}");
const ENTROPY: (&str, &str) = ("entropy_source", "Entropy source {} is invalid: {}");

impl MachineInfo {
    /// Trims `machine_accelerators`, and resolves `pflashes` and `entropy_source`.
    ///
    /// # Errors
    ///
    /// The first path that does not resolve.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Checks that the same paths exist.
    ///
    /// # Errors
    ///
    /// The first path that does not resolve.
    pub fn validate(&self) -> io::Result<()> {
        check_alone(|cx| self.validate_in(cx))
    }

    /// Checks that `valid_entropy_sources` permits `path`.
    ///
    /// # Errors
    ///
    /// See [`validate_path_pattern`].
    pub fn validate_entropy_source<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        validate_path_pattern(&self.valid_entropy_sources, path)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        note_bad_patterns(cx, "valid_entropy_sources", &self.valid_entropy_sources);
        self.machine_accelerators = trim_items(&self.machine_accelerators);
        for flash in &mut self.pflashes {
            cx.resolve(flash, FLASH.0, FLASH.1)?;
        }
        cx.resolve(&mut self.entropy_source, ENTROPY.0, ENTROPY.1)
    }

    pub(crate) fn validate_in(&self, cx: &Checker<'_>) -> Checked {
        for flash in &self.pflashes {
            cx.exists(flash, FLASH.0, FLASH.1)?;
        }
        cx.exists(&self.entropy_source, ENTROPY.0, ENTROPY.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adjust_trims_and_resolves() {
        let mut info = MachineInfo {
            machine_accelerators: " kernel_irqchip=split , x".into(),
            pflashes: vec!["".into(), "/proc/../dev/null".into()],
            entropy_source: "/dev/./urandom".into(),
            ..Default::default()
        };
        info.adjust_config().unwrap();
        assert_eq!(info.machine_accelerators, "kernel_irqchip=split,x");
        assert_eq!(info.pflashes, ["", "/dev/null"]);
        assert_eq!(info.entropy_source, "/dev/urandom");
    }

    #[test]
    fn missing_files_are_errors_of_adjust_and_of_validate() {
        for (mut info, name) in [
            (
                MachineInfo {
                    pflashes: vec!["/dev/null".into(), "/missing".into()],
                    ..Default::default()
                },
                "Flash image file",
            ),
            (
                MachineInfo {
                    entropy_source: "/missing".into(),
                    ..Default::default()
                },
                "Entropy source",
            ),
        ] {
            let text =
                format!("{name} /missing is invalid: No such file or directory (os error 2)");
            assert_eq!(info.validate().unwrap_err().to_string(), text);
            assert_eq!(info.adjust_config().unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn entropy_source_obeys_its_allow_list() {
        let info = MachineInfo {
            valid_entropy_sources: vec!["/dev/*random".into()],
            ..Default::default()
        };
        info.validate_entropy_source("/dev/urandom").unwrap();
        info.validate_entropy_source("/dev/zero").unwrap_err();
    }
}
