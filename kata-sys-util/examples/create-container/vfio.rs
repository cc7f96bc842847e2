//! Devices that are passed through with VFIO: from the device nodes that a container asks for to the
//! PCI functions behind them (`kata_sys_util::pcilibs`), and from there to the agent's request.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kata_sys_util::SysRoot;
use kata_sys_util::pcilibs::{PCIDevice, PCIDeviceManager};
use kata_types::config::Runtime;
use kata_types::device::{DRIVER_VFIO_PCI_GK_TYPE, DRIVER_VFIO_PCI_TYPE};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType, Spec};
use protocols::agent::Device;

use crate::bundle::Bundle;
use crate::problem::Problem;

/// Directory of the device nodes, in the container and on the host.
const VFIO_DIR: &str = "/dev/vfio";

/// The node of VFIO itself, which is no device.
const VFIO_CONTROL: &str = "/dev/vfio/vfio";

/// A device node of a container and the functions behind it.
#[derive(Debug)]
pub(crate) struct Passed {
    /// As in `config.json`.
    pub(crate) node: PathBuf,
    pub(crate) functions: Vec<PCIDevice>,
}

/// Asks for every device that is bound to VFIO, as a device plugin of Kubernetes would. Each function
/// is asked for once, though it may have a group and a character device.
pub(crate) fn ask_for_all(spec: &mut Spec, root: &SysRoot) {
    let manager = PCIDeviceManager::in_root(root);
    let mut known = BTreeSet::new();
    let mut devices = Vec::new();
    for node in nodes(root) {
        let Ok(functions) = manager.find_by_vfio_path_in(root, &on_host(root, &node)) else {
            continue;
        };
        let is_new = functions.iter().all(|f| known.insert(f.address.clone()));
        let device = LinuxDeviceBuilder::default()
            .path(node)
            .typ(LinuxDeviceType::C)
            .major(0)
            .minor(0)
            .build();
        if is_new && let Ok(device) = device {
            devices.push(device);
        }
    }
    if let Some(linux) = spec.linux_mut() {
        let mut all = linux.devices_mut().take().unwrap_or_default();
        all.append(&mut devices);
        linux.set_devices(Some(all));
    }
}

/// Takes the VFIO devices out of the specification, which would have the numbers of the host, and
/// returns them with their part of the request.
pub(crate) fn pass_through(
    bundle: &mut Bundle,
    runtime: &Runtime,
    root: &SysRoot,
) -> Result<(Vec<Passed>, Vec<Device>), Problem> {
    let manager = PCIDeviceManager::in_root(root);
    let mut passed = Vec::new();
    let mut devices = Vec::new();
    for (i, device) in listed(&bundle.spec).iter().enumerate() {
        if !is_vfio(device) {
            continue;
        }
        let node = device.path();
        let functions = manager
            .find_by_vfio_path_in(root, &on_host(root, node))
            .map_err(|error| {
                let reason = format!("cannot be passed to the guest: {error}");
                Problem::field(
                    &bundle.config,
                    format!("linux.devices[{i}].path"),
                    node,
                    reason,
                )
            })?;
        devices.push(to_request(node, &functions, runtime, devices.len()));
        passed.push(Passed {
            node: node.clone(),
            functions,
        });
    }
    if let Some(linux) = bundle.spec.linux_mut()
        && let Some(devices) = linux.devices_mut()
    {
        devices.retain(|device| !is_vfio(device));
    }
    Ok((passed, devices))
}

fn listed(spec: &Spec) -> &[LinuxDevice] {
    let devices = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.devices().as_deref());
    devices.unwrap_or_default()
}

fn is_vfio(device: &LinuxDevice) -> bool {
    device.path().starts_with(VFIO_DIR) && device.path() != Path::new(VFIO_CONTROL)
}

/// `vfio_mode` of the configuration says who drives the device: a driver of the guest's kernel, or
/// the container itself.
fn to_request(node: &Path, functions: &[PCIDevice], runtime: &Runtime, slot: usize) -> Device {
    let driver = match runtime.vfio_mode.as_str() {
        "guest-kernel" => DRIVER_VFIO_PCI_GK_TYPE,
        _ => DRIVER_VFIO_PCI_TYPE,
    };
    // Each device gets a slot behind the first bridge of the guest.
    let in_guest = |f: &PCIDevice| format!("{}=02/{:02x}", f.address, slot + 1);
    Device {
        id: format!("vfio{slot}"),
        type_: driver.to_owned(),
        container_path: node.display().to_string(),
        options: functions.iter().map(in_guest).collect(),
        ..Default::default()
    }
}

/// The character devices, then the groups, as a container would name them.
fn nodes(root: &SysRoot) -> Vec<PathBuf> {
    let mut nodes = Vec::new();
    for dir in ["vfio/devices", "vfio"] {
        let entries = fs::read_dir(root.dev.join(dir)).into_iter().flatten();
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        nodes.extend(
            names
                .iter()
                .map(|name| Path::new("/dev").join(dir).join(name)),
        );
    }
    nodes
}

fn on_host(root: &SysRoot, node: &Path) -> PathBuf {
    root.dev.join(node.strip_prefix("/dev").unwrap_or(node))
}
