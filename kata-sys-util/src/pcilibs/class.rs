//! What a PCI function is, by its class code (PCI Code and ID Assignment Specification).

use super::PCIDevice;

/// Base classes: the upper 8 bits of a class code.
const NETWORK: u32 = 0x02;

/// Classes with their subclasses: the upper 16 bits of a class code.
const VGA: u32 = 0x0300;
const DISPLAY_3D: u32 = 0x0302;
const AUDIO: u32 = 0x0403;
const HOST_BRIDGE: u32 = 0x0600;
const PCI_BRIDGE: u32 = 0x0604;
const OTHER_BRIDGE: u32 = 0x0680;

const NVIDIA: u16 = 0x10de;
const MELLANOX: u16 = 0x15b3;

/// What the names of data processing units have in common: their class is that of any network
/// controller.
const DPU: &str = "BlueField";

/// Whether a function of this 24-bit class can be passed to a virtual machine.
///
/// Host bridges and PCI bridges cannot, and the audio function of a graphics card is of no use
/// there. They are often in the IOMMU group of a function that is to be passed, and are left out
/// then.
///
/// ```
/// use kata_sys_util::pcilibs::is_passthrough_capable_class;
///
/// assert!(is_passthrough_capable_class(0x03_02_00)); // a GPU,
/// assert!(!is_passthrough_capable_class(0x04_03_00)); // its audio function,
/// assert!(!is_passthrough_capable_class(0x06_00_00)); // and the host bridge
/// ```
pub fn is_passthrough_capable_class(class: u32) -> bool {
    !matches!(class >> 8, HOST_BRIDGE | PCI_BRIDGE | AUDIO)
}

/// What the function is, by its class.
///
/// ```
/// use kata_sys_util::pcilibs::PCIDevice;
///
/// let device = PCIDevice { class: 0x03_02_00, ..PCIDevice::default() };
/// assert!(device.is_gpu() && device.is_3d_controller() && !device.is_vga_controller());
/// ```
impl PCIDevice {
    /// Whether it is a graphics card that can drive a display from the start.
    pub fn is_vga_controller(&self) -> bool {
        self.class >> 8 == VGA
    }

    /// Whether it is a graphics or compute device without a display.
    pub fn is_3d_controller(&self) -> bool {
        self.class >> 8 == DISPLAY_3D
    }

    /// Whether it is a VGA or 3D controller.
    pub fn is_gpu(&self) -> bool {
        self.is_vga_controller() || self.is_3d_controller()
    }

    /// Whether it is an NVSwitch: a bridge of NVIDIA's to something that is no bus.
    pub fn is_nvswitch(&self) -> bool {
        self.vendor == NVIDIA && self.class >> 8 == OTHER_BRIDGE
    }

    /// Whether it is a network controller, be it for Ethernet, InfiniBand or something else.
    pub fn is_network_controller(&self) -> bool {
        self.class >> 16 == NETWORK
    }

    /// Whether it is the network controller of a data processing unit: a BlueField of NVIDIA's
    /// (Mellanox's), known by its [`device_name`](Self::device_name). `false` without the crate's
    /// feature `pci-names`.
    pub fn is_dpu(&self) -> bool {
        self.vendor == MELLANOX && self.is_network_controller() && self.device_name.contains(DPU)
    }

    /// Whether it is a bridge to another PCI bus.
    pub fn is_pci_bridge(&self) -> bool {
        self.class >> 8 == PCI_BRIDGE
    }

    /// Whether its class is one that can be [passed to a virtual
    /// machine](is_passthrough_capable_class).
    pub fn is_passthrough_capable(&self) -> bool {
        is_passthrough_capable_class(self.class)
    }
}

#[cfg(test)]
mod tests {
    use super::super::UNKNOWN_DEVICE;
    use super::*;

    #[test]
    fn companions_in_an_iommu_group_are_not_passed() {
        for (class, is_capable) in [
            (0x03_00_00, true),
            (0x03_02_00, true),
            (0x06_80_00, true),
            (0x02_00_00, true),
            (0x01_08_02, true),
            (0x04_01_00, true),
            (0x04_03_00, false),
            (0x04_03_80, false),
            (0x06_00_00, false),
            (0x06_04_01, false),
            (0, true),
            (u32::MAX, true),
        ] {
            assert_eq!(
                is_passthrough_capable_class(class),
                is_capable,
                "{class:06x}"
            );
        }
    }

    #[test]
    fn dpu_is_a_network_controller_known_by_its_name() {
        const NIC: u32 = 0x02_00_00;
        let bluefield = "MT43244 BlueField-3 integrated ConnectX-7 network controller";
        for (vendor, class, name, is_dpu) in [
            (MELLANOX, NIC, bluefield, true),
            (MELLANOX, 0x02_07_00, bluefield, true),
            (MELLANOX, NIC, "MT28908 Family [ConnectX-6]", false),
            (MELLANOX, NIC, UNKNOWN_DEVICE, false),
            // Its other functions.
            (MELLANOX, 0x06_04_00, "BlueField-2 SoC PCIe Bridge", false),
            (NVIDIA, NIC, bluefield, false),
        ] {
            let device = PCIDevice {
                vendor,
                class,
                device_name: name.to_owned(),
                ..Default::default()
            };
            assert_eq!(device.is_dpu(), is_dpu, "{vendor:x} {class:06x} {name}");
        }
    }

    #[test]
    fn device_is_what_its_class_says() {
        let answers = |vendor, class| {
            let device = PCIDevice {
                vendor,
                class,
                ..Default::default()
            };
            [
                device.is_vga_controller(),
                device.is_3d_controller(),
                device.is_gpu(),
                device.is_nvswitch(),
                device.is_network_controller(),
                device.is_pci_bridge(),
                device.is_passthrough_capable(),
            ]
            .map(u8::from)
        };
        for (vendor, class, expected) in [
            (NVIDIA, 0x03_00_00, [1, 0, 1, 0, 0, 0, 1]),
            (NVIDIA, 0x03_02_00, [0, 1, 1, 0, 0, 0, 1]),
            (NVIDIA, 0x03_80_00, [0, 0, 0, 0, 0, 0, 1]),
            (NVIDIA, 0x06_80_00, [0, 0, 0, 1, 0, 0, 1]),
            (0x8086, 0x06_80_00, [0, 0, 0, 0, 0, 0, 1]),
            (0x15b3, 0x02_00_00, [0, 0, 0, 0, 1, 0, 1]),
            (0x15b3, 0x02_07_00, [0, 0, 0, 0, 1, 0, 1]),
            (0x8086, 0x06_04_00, [0, 0, 0, 0, 0, 1, 0]),
            (0x8086, 0x06_00_00, [0, 0, 0, 0, 0, 0, 0]),
            (0, 0, [0, 0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(answers(vendor, class), expected, "{class:06x}");
        }
    }
}
