//! Names of the device and storage drivers that the runtime and the agent agree on.
//!
//! The names travel in the agent protocol (`Device.type`, `Storage.driver`). Most are transports of
//! the [VIRTIO specification](https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html), or
//! ways to hand a device through with [VFIO](https://docs.kernel.org/driver-api/vfio.html).

use crate::handler::HandlerManager;

/// virtio block device, found by its PCI path.
pub const DRIVER_BLK_PCI_TYPE: &str = "blk";
/// virtio block device on the s390x channel subsystem (CCW).
pub const DRIVER_BLK_CCW_TYPE: &str = "blk-ccw";
/// virtio block device on the MMIO transport, found by its node name.
pub const DRIVER_BLK_MMIO_TYPE: &str = "mmioblk";
/// Disk behind a virtio-scsi controller, found by its SCSI address.
pub const DRIVER_SCSI_TYPE: &str = "scsi";
/// NVDIMM, a persistent memory device.
pub const DRIVER_NVDIMM_TYPE: &str = "nvdimm";
/// VFIO PCI device that keeps its guest kernel driver.
pub const DRIVER_VFIO_PCI_GK_TYPE: &str = "vfio-pci-gk";
/// VFIO PCI device that is bound to `vfio-pci` inside the guest as well.
pub const DRIVER_VFIO_PCI_TYPE: &str = "vfio-pci";
/// VFIO-AP (s390x crypto) device, hot-plugged.
pub const DRIVER_VFIO_AP_TYPE: &str = "vfio-ap";
/// VFIO-AP (s390x crypto) device, present when the guest boots.
pub const DRIVER_VFIO_AP_COLD_TYPE: &str = "vfio-ap-cold";
/// Memory-backed (tmpfs) volume inside the guest.
pub const DRIVER_EPHEMERAL_TYPE: &str = "ephemeral";
/// Directory in the sandbox file system of the guest.
pub const DRIVER_LOCAL_TYPE: &str = "local";
/// overlayfs assembled inside the guest.
pub const DRIVER_OVERLAYFS_TYPE: &str = "overlayfs";
/// virtio-fs share.
pub const DRIVER_VIRTIOFS_TYPE: &str = "virtio-fs";
/// Bind mount whose source is watched and copied on change.
pub const DRIVER_WATCHABLE_BIND_TYPE: &str = "watchable-bind";

/// Registry of device handlers by driver name.
///
/// ```
/// use kata_types::device::{DRIVER_SCSI_TYPE, DeviceHandlerManager};
/// let mut handlers = DeviceHandlerManager::new();
/// handlers.add_handler(&[DRIVER_SCSI_TYPE], "scsi handler")?;
/// assert_eq!(handlers.handler(DRIVER_SCSI_TYPE), Some(&"scsi handler"));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub type DeviceHandlerManager<H> = HandlerManager<H>;
