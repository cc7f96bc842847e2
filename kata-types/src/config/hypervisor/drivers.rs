//! Names of the block device drivers.

use crate::config::adjust::{Checked, KeyedError};

/// virtio-blk on the PCI bus.
pub const VIRTIO_BLK_PCI: &str = "virtio-blk-pci";
/// virtio-blk on the MMIO bus.
pub const VIRTIO_BLK_MMIO: &str = "virtio-blk-mmio";
/// virtio-blk on the channel subsystem of s390x.
pub const VIRTIO_BLK_CCW: &str = "virtio-blk-ccw";
/// A disk of a virtio SCSI controller.
pub const VIRTIO_SCSI: &str = "virtio-scsi";
/// Persistent memory.
pub const VIRTIO_PMEM: &str = "virtio-pmem";

const DRIVERS: [&str; 5] = [
    VIRTIO_BLK_PCI,
    VIRTIO_BLK_CCW,
    VIRTIO_BLK_MMIO,
    VIRTIO_PMEM,
    VIRTIO_SCSI,
];

/// Checks that `driver` is one of the five.
pub(super) fn check_driver(key: &str, driver: &str) -> Checked {
    if DRIVERS.contains(&driver) {
        return Ok(());
    }
    Err(unsupported_driver(key, driver))
}

/// The error for a driver that is unknown, or unknown to one hypervisor.
pub(super) fn unsupported_driver(key: &str, driver: &str) -> KeyedError {
    KeyedError::other(key, format!("{driver} is unsupported block device type."))
}
