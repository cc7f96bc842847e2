//! Devices: PCI topology, IOMMU, VFIO.

use std::io;

use serde::{Deserialize, Serialize};

use crate::config::adjust::{Adjuster, Checked, KeyedError, adjust_alone};

/// Most PCI bridges of a VM.
const MAX_BRIDGES: u32 = 5;

/// Device settings of a hypervisor section.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default = "DeviceInfo::default")]
pub struct DeviceInfo {
    /// PCI bridges of a VM, at most 5. Default: 0; 1 for QEMU, 2 for Cloud Hypervisor.
    pub default_bridges: u32,

    /// VFIO devices are plugged into the root bus instead of a bridge. Default: false.
    pub hotplug_vfio_on_root_bus: bool,

    /// Port type for VFIO devices that are present when the VM starts: empty, `no-port` or
    /// `root-port`. Default: empty.
    pub cold_plug_vfio: String,

    /// PCIe root ports to create before the VM starts. Excludes `pcie_switch_port`. Default: 0.
    pub pcie_root_port: u32,

    /// PCIe switch ports to create before the VM starts. Without effect, because they need root
    /// ports, which exclude them; the loader says so (D30). Default: 0.
    pub pcie_switch_port: u32,

    /// The VM has an IOMMU, and its kernel is told to use it. Default: false.
    pub enable_iommu: bool,

    /// Virtio devices are placed behind the IOMMU. Default: false.
    pub enable_iommu_platform: bool,

    /// Memory that the guest frees is given back to the host. Default: false.
    pub reclaim_guest_freed_memory: bool,
}

impl DeviceInfo {
    /// Limits `default_bridges` to 5.
    ///
    /// # Errors
    ///
    /// None.
    pub fn adjust_config(&mut self) -> io::Result<()> {
        adjust_alone(|cx| self.adjust_in(cx))
    }

    /// Checks the number of bridges, and that not both kinds of PCIe ports are asked for.
    ///
    /// # Errors
    ///
    /// The first rule that does not hold.
    pub fn validate(&self) -> io::Result<()> {
        self.validate_in().map_err(|e| e.error)
    }

    pub(crate) fn adjust_in(&mut self, cx: &mut Adjuster<'_>) -> Checked {
        if self.default_bridges > MAX_BRIDGES {
            let why = format!("a VM has at most {MAX_BRIDGES} PCI bridges");
            cx.clamped("default_bridges", self.default_bridges, MAX_BRIDGES, why);
            self.default_bridges = MAX_BRIDGES;
        }
        Ok(())
    }

    pub(crate) fn validate_in(&self) -> Checked {
        if self.default_bridges > MAX_BRIDGES {
            return Err(KeyedError::other(
                "default_bridges",
                format!(
                    "The configured PCI bridges {} are too many",
                    self.default_bridges
                ),
            ));
        }
        if self.pcie_root_port > 0 && self.pcie_switch_port > 0 {
            return Err(KeyedError::other(
                "pcie_switch_port",
                "Root Port and Switch Port set at the same time is forbidden.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::adjust::AdjustReport;
    use crate::config::diagnostics::DiagnosticKind;
    use crate::config::host::Host;

    fn info(default_bridges: u32, pcie_root_port: u32, pcie_switch_port: u32) -> DeviceInfo {
        DeviceInfo {
            default_bridges,
            pcie_root_port,
            pcie_switch_port,
            ..Default::default()
        }
    }

    #[test]
    fn bridges_are_limited_by_adjust_and_checked_by_validate() {
        for (bridges, adjusted) in [(0, 0), (1, 1), (5, 5), (6, 5), (u32::MAX, 5)] {
            let mut info = info(bridges, 0, 0);
            let valid = info.validate();
            info.adjust_config().unwrap();
            assert_eq!(info.default_bridges, adjusted);
            if bridges == adjusted {
                valid.unwrap();
            } else {
                assert_eq!(
                    valid.unwrap_err().to_string(),
                    format!("The configured PCI bridges {bridges} are too many")
                );
            }
        }
    }

    #[test]
    fn root_and_switch_ports_exclude_each_other() {
        info(0, 2, 0).validate().unwrap();
        info(0, 0, 2).validate().unwrap();
        assert_eq!(
            info(0, 1, 1).validate().unwrap_err().to_string(),
            "Root Port and Switch Port set at the same time is forbidden."
        );
    }

    #[test]
    fn limiting_is_noted() {
        let host = Host::with(1, 1);
        let mut report = AdjustReport::default();
        info(9, 0, 1)
            .adjust_in(&mut Adjuster::new(&host, &mut report))
            .unwrap();
        let notes: Vec<_> = report
            .notes
            .iter()
            .map(|note| (note.key.as_str(), note.kind, note.message.as_str()))
            .collect();
        assert_eq!(
            notes,
            [(
                "default_bridges",
                DiagnosticKind::Clamped,
                "changed from 9 to 5: a VM has at most 5 PCI bridges",
            )]
        );
    }
}
