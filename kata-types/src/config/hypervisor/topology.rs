//! What decides about the PCIe topology of a VM.

use super::{
    DeviceInfo, HYPERVISOR_NAME_CH, HYPERVISOR_NAME_DRAGONBALL, HYPERVISOR_NAME_FIRECRACKER,
    HYPERVISOR_NAME_QEMU, HYPERVISOR_NAME_REMOTE,
};
use crate::config::TomlConfig;

/// Device settings of the active hypervisor.
#[derive(Clone, Debug, Default)]
pub struct TopologyConfigInfo {
    /// Name of the hypervisor.
    pub hypervisor_name: String,
    /// Its device settings.
    pub device_info: DeviceInfo,
}

const KNOWN_HYPERVISORS: [&str; 5] = [
    HYPERVISOR_NAME_QEMU,
    HYPERVISOR_NAME_CH,
    HYPERVISOR_NAME_DRAGONBALL,
    HYPERVISOR_NAME_FIRECRACKER,
    HYPERVISOR_NAME_REMOTE,
];

impl TopologyConfigInfo {
    /// The settings of the hypervisor that `runtime.hypervisor_name` names; `None` unless that is
    /// one of the five known ones and has a section.
    ///
    /// ```
    /// use kata_types::config::{Hypervisor, TomlConfig, hypervisor::TopologyConfigInfo};
    ///
    /// let mut config = TomlConfig::default();
    /// config.runtime.hypervisor_name = "qemu".into();
    /// assert!(TopologyConfigInfo::new(&config).is_none());
    /// config.hypervisor.insert("qemu".into(), Hypervisor::default());
    /// assert!(TopologyConfigInfo::new(&config).is_some());
    /// ```
    pub fn new(toml_config: &TomlConfig) -> Option<Self> {
        let name = &toml_config.runtime.hypervisor_name;
        if !KNOWN_HYPERVISORS.contains(&name.as_str()) {
            return None;
        }
        toml_config
            .hypervisor
            .get(name)
            .map(|hv| TopologyConfigInfo {
                hypervisor_name: name.clone(),
                device_info: hv.device_info.clone(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hypervisor;

    #[test]
    fn only_known_hypervisors_with_a_section_have_a_topology() {
        let mut config = TomlConfig::default();
        for name in KNOWN_HYPERVISORS.into_iter().chain(["stratovirt", ""]) {
            let mut hv = Hypervisor::default();
            hv.device_info.pcie_root_port = 3;
            config.hypervisor.insert(name.to_owned(), hv);
        }
        for name in KNOWN_HYPERVISORS {
            config.runtime.hypervisor_name = name.to_owned();
            let info = TopologyConfigInfo::new(&config).unwrap();
            assert_eq!(info.hypervisor_name, name);
            assert_eq!(info.device_info.pcie_root_port, 3);
        }
        for name in ["stratovirt", ""] {
            config.runtime.hypervisor_name = name.to_owned();
            assert!(TopologyConfigInfo::new(&config).is_none());
        }
        config.runtime.hypervisor_name = "qemu".to_owned();
        config.hypervisor.clear();
        assert!(TopologyConfigInfo::new(&config).is_none());
    }
}
