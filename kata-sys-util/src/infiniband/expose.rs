//! The device nodes that there are, put into an OCI spec.

use std::collections::HashSet;
use std::io;

use anyhow::{Result, anyhow};
use oci_spec::runtime::Spec;
use slog::{FnValue, info, warn};

use super::apply::withhold_devices;
use super::function::function_of;
use super::list::list;
use super::{InfinibandDevice, InfinibandRoots, apply_infiniband_devices, snapshot_infiniband_in};
use crate::pcilibs::Address;
use crate::sl;

/// The node of the connection manager, which belongs to no function and is of use with any.
const RDMA_CM: &str = "rdma_cm";

/// Puts the InfiniBand device nodes of this guest into the OCI spec of a container, and returns
/// them. See [`apply_infiniband_devices`] for what becomes of the spec.
///
/// Only for containers with a VFIO device: see [`container_has_vfio_device`]. They get the nodes of
/// all functions; to give each container its own, use [`expose_guest_infiniband_devices_for`].
///
/// Call it *after* the numbers of the host in the spec have been replaced by those of the guest: a
/// rule that is added here could be taken for one of the host otherwise.
///
/// There may be no node (yet): a driver may need a while to make them after the device has been
/// bound to it. The spec is left as it is then, and a list without nodes is returned. It is so, too,
/// if the directory cannot be read, which is logged as a warning.
///
/// # Errors
///
/// There are nodes, and the spec has no `linux`. It is left as it is.
///
/// ```
/// use kata_sys_util::infiniband::{container_has_vfio_device, expose_guest_infiniband_devices};
/// use oci_spec::runtime::Spec;
///
/// let mut spec = Spec::default();
/// if container_has_vfio_device(["vfio-pci-gk"]) {
///     let exposed = expose_guest_infiniband_devices(&mut spec)?;
///     println!("{} InfiniBand device nodes", exposed.len());
/// }
/// # anyhow::Ok(())
/// ```
///
/// [`container_has_vfio_device`]: super::container_has_vfio_device
pub fn expose_guest_infiniband_devices(spec: &mut Spec) -> Result<Vec<InfinibandDevice>> {
    expose_guest_infiniband_devices_in(&InfinibandRoots::default(), spec)
}

/// As [`expose_guest_infiniband_devices`], with other directories.
///
/// # Errors
///
/// As [`expose_guest_infiniband_devices`].
///
/// ```
/// use kata_sys_util::infiniband::{InfinibandRoots, expose_guest_infiniband_devices_in};
/// use oci_spec::runtime::Spec;
/// # let dir = tempfile::tempdir()?;
///
/// let roots = InfinibandRoots::under(dir.path());
/// let mut spec = Spec::default();
/// assert!(expose_guest_infiniband_devices_in(&roots, &mut spec)?.is_empty());
/// assert_eq!(spec, Spec::default());
/// # anyhow::Ok(())
/// ```
pub fn expose_guest_infiniband_devices_in(
    roots: &InfinibandRoots,
    spec: &mut Spec,
) -> Result<Vec<InfinibandDevice>> {
    let listed = list(roots);
    let Ok(Some(devices)) = listed else {
        log_not_listed(roots, &listed);
        return Ok(Vec::new());
    };
    apply_infiniband_devices(&devices, spec)?;
    log_exposed(roots, devices.is_empty(), &devices);
    Ok(devices)
}

/// As [`expose_guest_infiniband_devices_in`], but only the nodes of the functions that are the
/// container's own: their `uverbs`, `umad` and `issm`, and with them the common `rdma_cm`.
///
/// `guest_bdfs` are the addresses of the functions in the guest, as
/// [`normalize_bdf`](crate::pcilibs::normalize_bdf) takes them. If none of them has a node, nothing
/// is exposed, not even `rdma_cm`. Nodes whose function cannot be told are never exposed.
///
/// What the spec has of other nodes is taken out: entries below `container_dir`, also those that the
/// guest does not have (yet), entries with the numbers of the guest's other nodes, and the rules that
/// allow just these numbers. On a host with the same functions, the numbers of a device plugin are
/// those of somebody's node in the guest. It is so, too, if the guest has no nodes, or its directory
/// cannot be read. Rules with wildcards stay.
///
/// # Errors
///
/// Something in `guest_bdfs` is no address, or as [`expose_guest_infiniband_devices`]. The spec is
/// left as it is.
///
/// ```
/// use kata_sys_util::infiniband::{InfinibandRoots, expose_guest_infiniband_devices_for};
/// use oci_spec::runtime::Spec;
/// # let dir = tempfile::tempdir()?;
///
/// let roots = InfinibandRoots::under(dir.path());
/// let mut spec = Spec::default();
/// let own = ["0000:3b:00.2"];
/// assert!(expose_guest_infiniband_devices_for(&roots, &mut spec, &own)?.is_empty());
/// # anyhow::Ok(())
/// ```
pub fn expose_guest_infiniband_devices_for(
    roots: &InfinibandRoots,
    spec: &mut Spec,
    guest_bdfs: &[&str],
) -> Result<Vec<InfinibandDevice>> {
    let mut functions = HashSet::new();
    for bdf in guest_bdfs {
        let no_address = || anyhow!("{bdf:?} is not a PCI address such as 0000:3b:00.0");
        functions.insert(Address::parse(bdf).ok_or_else(no_address)?);
    }
    let listed = list(roots);
    let Ok(Some(devices)) = listed else {
        log_not_listed(roots, &listed);
        withhold_devices(&roots.container_dir, &[], &[], spec);
        return Ok(Vec::new());
    };
    let is_empty = devices.is_empty();
    let (own, others) = own_devices(roots, devices, &functions);
    apply_infiniband_devices(&own, spec)?;
    withhold_devices(&roots.container_dir, &others, &own, spec);
    log_exposed(roots, is_empty, &own);
    Ok(own)
}

/// The devices of these functions, and the others.
fn own_devices(
    roots: &InfinibandRoots,
    devices: Vec<InfinibandDevice>,
    functions: &HashSet<Address>,
) -> (Vec<InfinibandDevice>, Vec<InfinibandDevice>) {
    let mut has_own = false;
    let (mut own, mut others): (Vec<_>, Vec<_>) = devices.into_iter().partition(|device| {
        let function = function_of(roots, device);
        let is_own = function.is_some_and(|function| functions.contains(&function));
        has_own |= is_own;
        is_own || device.name == RDMA_CM
    });
    if !has_own {
        others.append(&mut own);
    }
    (own, others)
}

/// One line for each container (I8), which costs nothing if nobody wants it.
fn log_exposed(roots: &InfinibandRoots, is_dir_empty: bool, devices: &[InfinibandDevice]) {
    let dir = roots.dev_dir.display();
    let snapshot = FnValue(|_| snapshot_infiniband_in(roots));
    if is_dir_empty {
        info!(sl!(), "expose_guest_infiniband_devices: {dir} is empty, skipping";
            "snapshot" => snapshot);
        return;
    }
    let count = devices.len();
    let exposed = FnValue(|_| describe(devices));
    info!(sl!(), "expose_guest_infiniband_devices: injected {count} guest IB char device(s)";
        "exposed" => exposed, "snapshot" => snapshot);
}

fn log_not_listed(roots: &InfinibandRoots, listed: &io::Result<Option<Vec<InfinibandDevice>>>) {
    let snapshot = FnValue(|_| snapshot_infiniband_in(roots));
    match listed {
        Err(error) => {
            warn!(sl!(), "expose_guest_infiniband_devices: {error}, skipping";
                "snapshot" => snapshot);
        }
        Ok(_) => {
            let dir = roots.dev_dir.display();
            info!(sl!(), "expose_guest_infiniband_devices: {dir} does not exist, skipping \
                (no IB driver in guest, or VF not yet rebound)"; "snapshot" => snapshot);
        }
    }
}

fn describe(devices: &[InfinibandDevice]) -> String {
    let text = |device: &InfinibandDevice| {
        let InfinibandDevice {
            name,
            major,
            minor,
            mode,
            ..
        } = device;
        format!("{name}({major}:{minor},mode=0o{mode:o})")
    };
    devices.iter().map(text).collect::<Vec<_>>().join(",")
}
