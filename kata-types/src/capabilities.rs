//! What a hypervisor can do, as a set of bits. The devices are those of the
//! [VIRTIO specification](https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html).

use bitmask_enum::bitmask;

/// One or several capabilities of a hypervisor.
///
/// Values combine with `|`, `&`, `^` and `!`. By definition of the underlying bit set,
/// `bits.intersects(CapabilityBits::none())` is `true`.
///
/// ```
/// use kata_types::capabilities::CapabilityBits;
/// let disks = CapabilityBits::BlockDeviceSupport | CapabilityBits::BlockDeviceHotplugSupport;
/// assert_eq!(disks.bits(), 3);
/// assert!(disks.contains(CapabilityBits::BlockDeviceSupport));
/// ```
#[bitmask(u8)]
pub enum CapabilityBits {
    /// Block devices can be attached.
    BlockDeviceSupport = 1,
    /// Block devices can be attached while the guest runs.
    BlockDeviceHotplugSupport = 2,
    /// Network devices can have several queues.
    MultiQueueSupport = 4,
    /// A host directory can be shared with the guest.
    FsSharingSupport = 8,
    /// vsock is reached through a Unix socket on the host.
    HybridVsockSupport = 16,
    /// The guest must be told to probe hot-plugged memory.
    GuestMemoryProbe = 32,
    /// Block devices accept discard requests.
    BlockDeviceDiscardSupport = 64,
    /// Network devices can be attached while the guest runs.
    NetworkDeviceHotplugSupport = 128,
}

/// The capabilities of one hypervisor.
///
/// ```
/// use kata_types::capabilities::{Capabilities, CapabilityBits};
///
/// let mut capabilities = Capabilities::new();
/// assert!(!capabilities.is_fs_sharing_supported());
/// capabilities.set(CapabilityBits::FsSharingSupport);
/// capabilities.add(CapabilityBits::MultiQueueSupport);
/// assert!(capabilities.is_fs_sharing_supported());
/// assert!(capabilities.is_multi_queue_supported());
/// ```
#[derive(Debug, Clone)]
pub struct Capabilities {
    flags: CapabilityBits,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new()
    }
}

impl Capabilities {
    /// No capability at all.
    ///
    /// ```
    /// assert!(!kata_types::capabilities::Capabilities::new().is_fs_sharing_supported());
    /// ```
    pub fn new() -> Self {
        Self {
            flags: CapabilityBits::none(),
        }
    }

    /// Replaces all bits by `flags`.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.set(CapabilityBits::BlockDeviceSupport);
    /// capabilities.set(CapabilityBits::FsSharingSupport);
    /// assert!(!capabilities.is_block_device_supported());
    /// ```
    pub fn set(&mut self, flags: CapabilityBits) {
        self.flags = flags;
    }

    /// Adds `flags` to the bits already set.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::BlockDeviceSupport);
    /// capabilities.add(CapabilityBits::FsSharingSupport);
    /// assert!(capabilities.is_block_device_supported());
    /// ```
    pub fn add(&mut self, flags: CapabilityBits) {
        self.flags |= flags;
    }

    /// Whether block devices can be attached.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::BlockDeviceSupport);
    /// assert!(capabilities.is_block_device_supported());
    /// ```
    pub fn is_block_device_supported(&self) -> bool {
        self.flags.contains(CapabilityBits::BlockDeviceSupport)
    }

    /// Whether block devices can be attached while the guest runs.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::BlockDeviceHotplugSupport);
    /// assert!(capabilities.is_block_device_hotplug_supported());
    /// ```
    pub fn is_block_device_hotplug_supported(&self) -> bool {
        self.flags
            .contains(CapabilityBits::BlockDeviceHotplugSupport)
    }

    /// Whether network devices can have several queues.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::MultiQueueSupport);
    /// assert!(capabilities.is_multi_queue_supported());
    /// ```
    pub fn is_multi_queue_supported(&self) -> bool {
        self.flags.contains(CapabilityBits::MultiQueueSupport)
    }

    /// Whether vsock is reached through a Unix socket on the host.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::HybridVsockSupport);
    /// assert!(capabilities.is_hybrid_vsock_supported());
    /// ```
    pub fn is_hybrid_vsock_supported(&self) -> bool {
        self.flags.contains(CapabilityBits::HybridVsockSupport)
    }

    /// Whether a host directory can be shared with the guest.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::FsSharingSupport);
    /// assert!(capabilities.is_fs_sharing_supported());
    /// ```
    pub fn is_fs_sharing_supported(&self) -> bool {
        self.flags.contains(CapabilityBits::FsSharingSupport)
    }

    /// Whether the guest must be told to probe hot-plugged memory.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::GuestMemoryProbe);
    /// assert!(capabilities.is_mem_hotplug_probe_supported());
    /// ```
    pub fn is_mem_hotplug_probe_supported(&self) -> bool {
        self.flags.contains(CapabilityBits::GuestMemoryProbe)
    }

    /// Whether block devices accept discard requests.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::BlockDeviceDiscardSupport);
    /// assert!(capabilities.is_block_device_discard_supported());
    /// ```
    pub fn is_block_device_discard_supported(&self) -> bool {
        self.flags
            .contains(CapabilityBits::BlockDeviceDiscardSupport)
    }

    /// Whether network devices can be attached while the guest runs.
    ///
    /// ```
    /// use kata_types::capabilities::{Capabilities, CapabilityBits};
    ///
    /// let mut capabilities = Capabilities::new();
    /// capabilities.add(CapabilityBits::NetworkDeviceHotplugSupport);
    /// assert!(capabilities.is_network_device_hotplug_supported());
    /// ```
    pub fn is_network_device_hotplug_supported(&self) -> bool {
        self.flags
            .contains(CapabilityBits::NetworkDeviceHotplugSupport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Query = fn(&Capabilities) -> bool;
    const QUERIES: [(CapabilityBits, u8, Query); 8] = [
        (
            CapabilityBits::BlockDeviceSupport,
            1,
            Capabilities::is_block_device_supported,
        ),
        (
            CapabilityBits::BlockDeviceHotplugSupport,
            2,
            Capabilities::is_block_device_hotplug_supported,
        ),
        (
            CapabilityBits::MultiQueueSupport,
            4,
            Capabilities::is_multi_queue_supported,
        ),
        (
            CapabilityBits::FsSharingSupport,
            8,
            Capabilities::is_fs_sharing_supported,
        ),
        (
            CapabilityBits::HybridVsockSupport,
            16,
            Capabilities::is_hybrid_vsock_supported,
        ),
        (
            CapabilityBits::GuestMemoryProbe,
            32,
            Capabilities::is_mem_hotplug_probe_supported,
        ),
        (
            CapabilityBits::BlockDeviceDiscardSupport,
            64,
            Capabilities::is_block_device_discard_supported,
        ),
        (
            CapabilityBits::NetworkDeviceHotplugSupport,
            128,
            Capabilities::is_network_device_hotplug_supported,
        ),
    ];

    #[test]
    fn each_query_tests_its_own_bit() {
        for (flag, bit, _) in QUERIES {
            assert_eq!(flag.bits(), bit);
            let mut capabilities = Capabilities::default();
            capabilities.set(flag);
            for (other, _, query) in QUERIES {
                assert_eq!(query(&capabilities), other == flag);
            }
        }
    }

    #[test]
    fn set_replaces_and_add_unions() {
        let mut capabilities = Capabilities::new();
        assert!(QUERIES.iter().all(|(_, _, query)| !query(&capabilities)));
        capabilities.set(CapabilityBits::BlockDeviceSupport);
        capabilities.add(CapabilityBits::MultiQueueSupport);
        assert!(capabilities.is_block_device_supported());
        assert!(capabilities.is_multi_queue_supported());
        capabilities.set(CapabilityBits::GuestMemoryProbe);
        assert!(!capabilities.is_block_device_supported());
        assert!(!capabilities.is_multi_queue_supported());
        assert!(capabilities.is_mem_hotplug_probe_supported());
    }

    #[test]
    fn bits_print_and_compare_as_the_contract_says() {
        let bits = CapabilityBits::from(5);
        assert_eq!(format!("{bits:?}"), "CapabilityBits { bits: 5 }");
        assert_eq!(format!("{bits:b} {bits:x} {bits:X} {bits:o}"), "101 5 5 5");
        assert!(bits == 5u8);
        assert_eq!(u8::from(bits), 5);
        assert!(bits.intersects(CapabilityBits::none()));
    }
}
