//! The InfiniBand device nodes of a guest, for containers with a VFIO device.
//!
//! A function that is passed to a virtual machine is bound to a driver there, which makes device
//! nodes in `/dev/infiniband`: `uverbs0`, `umad0`, `issm0` and the common `rdma_cm`
//! ([`Documentation/infiniband/user_verbs.rst`](https://docs.kernel.org/infiniband/user_verbs.html),
//! [`user_mad.rst`](https://docs.kernel.org/infiniband/user_mad.html)). The OCI spec of the
//! container has none of them, or has them with the numbers of the host.
//! [`expose_guest_infiniband_devices`] puts those of the guest in: the device nodes, and the rules of
//! the device controller that allow to use them.
//! [`expose_guest_infiniband_devices_for`] does so for the functions of one container only.
//!
//! ```
//! use kata_sys_util::infiniband::{InfinibandDevice, apply_infiniband_devices};
//! use oci_spec::runtime::Spec;
//!
//! let device = InfinibandDevice {
//!     name: "uverbs0".to_owned(),
//!     path: "/dev/infiniband/uverbs0".into(),
//!     major: 231,
//!     minor: 192,
//!     mode: 0o666,
//!     uid: 0,
//!     gid: 0,
//! };
//! let mut spec = Spec::default();
//! apply_infiniband_devices(&[device], &mut spec)?;
//!
//! let linux = spec.linux().as_ref().unwrap();
//! assert_eq!(linux.devices().as_ref().unwrap()[0].major(), 231);
//! let resources = linux.resources().as_ref().unwrap();
//! let rule = resources.devices().as_ref().unwrap().last().unwrap();
//! assert_eq!((rule.allow(), rule.minor()), (true, Some(192)));
//! # anyhow::Ok(())
//! ```

mod apply;
mod expose;
mod function;
mod list;
mod snapshot;

use std::path::{Path, PathBuf};

use crate::SysRoot;
use crate::pcilibs::is_vfio_device_type;

pub use self::apply::apply_infiniband_devices;
pub use self::expose::{
    expose_guest_infiniband_devices, expose_guest_infiniband_devices_for,
    expose_guest_infiniband_devices_in,
};
pub use self::list::{list_infiniband_devices, list_infiniband_devices_in};
pub use self::snapshot::{snapshot_infiniband, snapshot_infiniband_in};

/// The directory with the device nodes.
pub const INFINIBAND_DEV_DIR: &str = "/dev/infiniband";

/// The directory with the InfiniBand devices in sysfs.
pub const INFINIBAND_CLASS_DIR: &str = "/sys/class/infiniband";

/// The directory with the devices that programs use directly, in sysfs.
pub const INFINIBAND_VERBS_CLASS_DIR: &str = "/sys/class/infiniband_verbs";

/// Where InfiniBand devices are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfinibandRoots {
    /// The device nodes: [`INFINIBAND_DEV_DIR`].
    pub dev_dir: PathBuf,
    /// The device nodes in the container: [`INFINIBAND_DEV_DIR`].
    pub container_dir: PathBuf,
    /// The devices in sysfs: [`INFINIBAND_CLASS_DIR`].
    pub ib_class_dir: PathBuf,
    /// The devices for direct use in sysfs: [`INFINIBAND_VERBS_CLASS_DIR`]. Those for management are
    /// in `infiniband_mad` beside it.
    pub verbs_class_dir: PathBuf,
}

impl InfinibandRoots {
    /// The directories of a tree below `root`. In the container the device nodes are where they
    /// always are.
    ///
    /// ```
    /// use std::path::Path;
    /// use kata_sys_util::infiniband::InfinibandRoots;
    ///
    /// let roots = InfinibandRoots::under("/tmp/root");
    /// assert_eq!(roots.dev_dir, Path::new("/tmp/root/dev/infiniband"));
    /// assert_eq!(roots.container_dir, Path::new("/dev/infiniband"));
    /// assert_eq!(InfinibandRoots::under("/"), InfinibandRoots::default());
    /// ```
    pub fn under<P: AsRef<Path>>(root: P) -> Self {
        Self::from(&SysRoot::under(root))
    }
}

impl Default for InfinibandRoots {
    /// The real system.
    fn default() -> Self {
        Self::from(&SysRoot::default())
    }
}

impl From<&SysRoot> for InfinibandRoots {
    fn from(root: &SysRoot) -> Self {
        Self {
            dev_dir: root.dev.join("infiniband"),
            container_dir: INFINIBAND_DEV_DIR.into(),
            ib_class_dir: root.sys.join("class/infiniband"),
            verbs_class_dir: root.sys.join("class/infiniband_verbs"),
        }
    }
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfinibandDevice {
    /// Its name, such as `uverbs0`.
    pub name: String,
    /// Its path in the container.
    pub path: PathBuf,
    /// The major number in the guest.
    pub major: i64,
    /// The minor number in the guest.
    pub minor: i64,
    /// The permissions: bits of `0o7777`.
    pub mode: u32,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
}

/// Whether a device of a container is one of VFIO, given the types of all of them.
///
/// Only then may InfiniBand devices be exposed to it.
///
/// ```
/// use kata_sys_util::infiniband::container_has_vfio_device;
///
/// assert!(container_has_vfio_device(["blk", "vfio-pci-gk"]));
/// assert!(!container_has_vfio_device(["blk"]));
/// assert!(!container_has_vfio_device(Vec::<String>::new()));
/// ```
pub fn container_has_vfio_device<I>(device_types: I) -> bool
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    device_types
        .into_iter()
        .any(|device_type| is_vfio_device_type(device_type.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_directories_are_the_constants() {
        let expected = InfinibandRoots {
            dev_dir: INFINIBAND_DEV_DIR.into(),
            container_dir: INFINIBAND_DEV_DIR.into(),
            ib_class_dir: INFINIBAND_CLASS_DIR.into(),
            verbs_class_dir: INFINIBAND_VERBS_CLASS_DIR.into(),
        };
        assert_eq!(InfinibandRoots::default(), expected);
    }

    #[test]
    fn gate_opens_for_vfio_devices_only() {
        for (types, is_open) in [
            (vec![], false),
            (vec![""], false),
            (vec!["blk", "scsi", "vfio"], false),
            (vec!["vfio-pci"], true),
            (vec!["blk", "vfio-ap"], true),
            (vec!["vfio-ap-cold", "blk"], true),
        ] {
            assert_eq!(container_has_vfio_device(&types), is_open, "{types:?}");
        }
    }
}
