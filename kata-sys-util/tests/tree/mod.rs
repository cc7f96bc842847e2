//! A tree of files like that of the kernel.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use kata_sys_util::SysRoot;
use kata_sys_util::pcilibs::{PCIDevice, PCIDeviceManager};
use tempfile::TempDir;

/// A root of the system, with files below `sys/bus/pci/devices`.
pub(crate) struct System {
    _dir: TempDir,
    pub(crate) root: SysRoot,
}

impl System {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        let system = Self { _dir: dir, root };
        fs::create_dir_all(system.devices()).unwrap();
        system.add(files);
        system
    }

    /// With one function that has all that is required, and these files.
    pub(crate) fn with_function(files: &[(&str, &str)]) -> Self {
        let system = Self::new(&[]);
        system.add_function("0000:3b:00.0", GPU);
        make(&system.devices().join("0000:3b:00.0"), files);
        system
    }

    pub(crate) fn add(&self, files: &[(&str, &str)]) {
        make(&self.devices(), files);
    }

    pub(crate) fn add_function(&self, address: &str, [vendor, device, class]: [&str; 3]) {
        let files = [("vendor", vendor), ("device", device), ("class", class)];
        make(&self.devices().join(address), &files);
    }

    pub(crate) fn devices(&self) -> PathBuf {
        self.root.sys.join("bus/pci/devices")
    }

    pub(crate) fn manager(&self) -> PCIDeviceManager {
        PCIDeviceManager::new(self.devices().to_str().unwrap())
    }

    pub(crate) fn all(&self) -> Vec<PCIDevice> {
        self.manager().get_all_devices(None).unwrap()
    }

    pub(crate) fn get(&self, address: &str) -> io::Result<Option<PCIDevice>> {
        let mut cache = HashMap::new();
        self.manager()
            .get_device_by_pci_bus_id(address, None, &mut cache)
    }
}

pub(crate) const GPU: [&str; 3] = ["0x10de\n", "0x2330\n", "0x030200\n"];
pub(crate) const NIC: [&str; 3] = ["0x15b3\n", "0x1017\n", "0x020000\n"];

/// Makes a FIFO, into which nobody writes.
pub(crate) fn fifo(path: &Path) {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

pub(crate) fn addresses(devices: &[PCIDevice]) -> Vec<&str> {
    devices.iter().map(|device| &*device.address).collect()
}

/// Makes files below `root` from paths and contents. A content that begins with `-> ` is the target
/// of a link, and a path that ends in `/` is a directory.
pub(crate) fn make(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let file = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(file).unwrap();
            continue;
        }
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        match content.strip_prefix("-> ") {
            Some(target) => symlink(target, file).unwrap(),
            None => fs::write(file, content).unwrap(),
        }
    }
}
