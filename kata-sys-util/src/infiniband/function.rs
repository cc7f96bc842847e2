//! Which PCI function a device node belongs to.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::{InfinibandDevice, InfinibandRoots};
use crate::pcilibs::Address;

/// The class of the devices for management, beside that of the devices for direct use.
const MAD_CLASS: &str = "infiniband_mad";

/// Classes of device nodes, by the beginning of their names.
const UVERBS: &str = "uverbs";
const MANAGEMENT: [&str; 2] = ["umad", "issm"];

/// The PCI function of a device node; `None` if it has none, such as one of software RDMA or
/// `rdma_cm`.
pub(super) fn function_of(roots: &InfinibandRoots, device: &InfinibandDevice) -> Option<Address> {
    // Not the name in the struct, which need not be exact.
    let name = device.path.file_name()?.to_str()?;
    address_of(&class_dir(roots, name)?.join(name).join("device"))
}

fn class_dir(roots: &InfinibandRoots, name: &str) -> Option<PathBuf> {
    let is_numbered = |prefix: &str| {
        let number = name.strip_prefix(prefix);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
    };
    if is_numbered(UVERBS) {
        return Some(roots.verbs_class_dir.clone());
    }
    let is_management = MANAGEMENT.into_iter().any(is_numbered);
    is_management.then(|| roots.verbs_class_dir.with_file_name(MAD_CLASS))
}

/// The function that a link `device` of sysfs leads to: itself, or the nearest above it, as with the
/// auxiliary devices of scalable functions (`0000:3b:00.0/mlx5_core.sf.4`).
fn address_of(link: &Path) -> Option<Address> {
    let address = |name: &OsStr| name.to_str().and_then(Address::of_entry);
    let target = fs::read_link(link).ok()?;
    if let Some(address) = target.file_name().and_then(address) {
        return Some(address);
    }
    let device = fs::canonicalize(link).ok()?;
    device
        .ancestors()
        .find_map(|path| address(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn device(name: &str) -> InfinibandDevice {
        InfinibandDevice {
            name: "not used".to_owned(),
            path: Path::new("/dev/infiniband").join(name),
            major: 231,
            minor: 0,
            mode: 0,
            uid: 0,
            gid: 0,
        }
    }

    #[test]
    fn node_belongs_to_the_nearest_function_above_its_device() {
        let dir = tempfile::tempdir().unwrap();
        let roots = InfinibandRoots::under(dir.path());
        let bus = dir
            .path()
            .join("sys/devices/pci0000:00/0000:00:02.0/0000:3b:00.0");
        let scalable = bus.join("mlx5_core.sf.4");
        let software = dir.path().join("sys/devices/virtual/net/eth0");
        for directory in [&scalable, &software] {
            fs::create_dir_all(directory).unwrap();
        }
        let classes = dir.path().join("sys/class");
        for (class, name, target) in [
            ("infiniband_verbs", "uverbs0", &bus),
            ("infiniband_verbs", "uverbs1", &scalable),
            ("infiniband_verbs", "uverbs2", &software),
            // It need not be reachable.
            (
                "infiniband_verbs",
                "uverbs3",
                &PathBuf::from("../../../0000:3b:00.1"),
            ),
            (
                "infiniband_verbs",
                "uverbs4",
                &PathBuf::from("../../../nowhere"),
            ),
            ("infiniband_verbs", "rdma_cm", &bus),
            ("infiniband_verbs", "umad1", &bus),
            ("infiniband_mad", "umad0", &bus),
            ("infiniband_mad", "issm0", &bus),
            ("infiniband_mad", "uverbs5", &bus),
        ] {
            fs::create_dir_all(classes.join(class).join(name)).unwrap();
            symlink(target, classes.join(class).join(name).join("device")).unwrap();
        }
        let first = Address::parse("3b:00.0");
        for (name, expected) in [
            ("uverbs0", first),
            ("uverbs1", first),
            ("uverbs2", None),
            ("uverbs3", Address::parse("3b:00.1")),
            ("uverbs4", None),
            ("uverbs5", None),
            ("umad0", first),
            ("umad1", None),
            ("issm0", first),
            ("rdma_cm", None),
            ("uverbs", None),
            ("uverbs0x", None),
            ("uverbs-0", None),
        ] {
            assert_eq!(function_of(&roots, &device(name)), expected, "{name}");
        }
    }
}
