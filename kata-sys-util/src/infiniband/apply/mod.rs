//! What the device nodes change in an OCI spec
//! ([`config-linux.md`](https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md),
//! *Devices* and *Allowed Device list*).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, anyhow};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Spec};

use super::InfinibandDevice;

/// Reading, writing and making a device node.
const ACCESS: &str = "rwm";

/// Major and minor number.
type Numbers = (i64, i64);

/// Puts device nodes into an OCI spec, with rules of the device controller that allow to use them.
///
/// - Each gets one entry in `linux.devices`. If the path has one already, as a device plugin of the
///   host makes it, that gets the type and the numbers of the guest; its mode and owner stay, if it
///   has them. Of devices with the same path, the first counts.
/// - Each gets one rule at the end of `linux.resources.devices`, which is made if there is none. The
///   same rule elsewhere is removed.
/// - Rules that allow the numbers that an entry had before are removed, unless another entry has
///   them: in the guest they may belong to something else.
///
/// Applied twice, it changes nothing more. Reads and writes no file.
///
/// # Errors
///
/// The spec has no `linux`, and is left as it is.
///
/// ```
/// use kata_sys_util::infiniband::{InfinibandDevice, apply_infiniband_devices};
/// use oci_spec::runtime::{LinuxBuilder, LinuxDeviceBuilder, LinuxDeviceType, Spec};
///
/// // With the numbers of the host, from a device plugin.
/// let path = "/dev/infiniband/rdma_cm";
/// let host = LinuxDeviceBuilder::default().path(path).typ(LinuxDeviceType::C).major(10).minor(121);
/// let linux = LinuxBuilder::default().devices([host.build()?]).build()?;
/// let mut spec = Spec::default();
/// spec.set_linux(Some(linux));
///
/// let guest = InfinibandDevice {
///     name: "rdma_cm".to_owned(),
///     path: path.into(),
///     major: 10,
///     minor: 58,
///     mode: 0o666,
///     uid: 0,
///     gid: 0,
/// };
/// apply_infiniband_devices(&[guest], &mut spec)?;
///
/// let devices = spec.linux().as_ref().unwrap().devices().as_ref().unwrap();
/// assert_eq!(devices.len(), 1);
/// assert_eq!(devices[0].minor(), 58);
/// # anyhow::Ok(())
/// ```
pub fn apply_infiniband_devices(devices: &[InfinibandDevice], spec: &mut Spec) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let no_linux = || anyhow!("Spec didn't contain linux field");
    // Nothing fails after this (I3).
    let linux = spec.linux_mut().as_mut().ok_or_else(no_linux)?;
    let mut paths = HashSet::new();
    let devices: Vec<_> = devices.iter().filter(|d| paths.insert(&d.path)).collect();

    let entries = linux.devices_mut().get_or_insert_default();
    let replaced = update_entries(entries, &devices);
    let of_characters = entries.iter().filter(|entry| is_character(entry.typ()));
    let in_use: HashSet<_> = of_characters.map(numbers_of).collect();
    let stale = &replaced - &in_use;

    let resources = linux.resources_mut().get_or_insert_default();
    let rules = resources.devices_mut().get_or_insert_default();
    rules.retain(|rule| !allowed_by(rule).is_some_and(|numbers| stale.contains(&numbers)));
    append_rules(rules, &devices);
    Ok(())
}

/// Takes device nodes out of an OCI spec that are not the container's `own`: entries below `dir`, or with
/// the numbers of these `devices`, and rules that allow these numbers, or those that the entries had,
/// and no others.
pub(super) fn withhold_devices(
    dir: &Path,
    devices: &[InfinibandDevice],
    own: &[InfinibandDevice],
    spec: &mut Spec,
) {
    let Some(linux) = spec.linux_mut() else {
        return;
    };
    let of_device = |device: &InfinibandDevice| (device.major, device.minor);
    let own_paths: HashSet<_> = own.iter().map(|d| d.path.as_path()).collect();
    let own: HashSet<_> = own.iter().map(of_device).collect();
    let mut withheld: HashSet<_> = devices.iter().map(of_device).collect();
    withheld.retain(|numbers| !own.contains(numbers));

    let mut removed = HashSet::new();
    let mut in_use = own;
    if let Some(entries) = linux.devices_mut() {
        entries.retain(|entry| {
            let numbers = numbers_of(entry);
            let is_character = is_character(entry.typ());
            let path = entry.path().as_path();
            let is_named = path.starts_with(dir) && !own_paths.contains(path);
            let is_kept = !(is_named || is_character && withheld.contains(&numbers));
            if is_character {
                let seen = if is_kept { &mut in_use } else { &mut removed };
                seen.insert(numbers);
            }
            is_kept
        });
    }
    withheld.extend(removed.difference(&in_use));
    if let Some(rules) = linux
        .resources_mut()
        .as_mut()
        .and_then(|resources| resources.devices_mut().as_mut())
    {
        rules.retain(|rule| !allowed_by(rule).is_some_and(|numbers| withheld.contains(&numbers)));
    }
}

/// Adds or updates the entry of each device, and returns the numbers of character devices that
/// entries have had before (I4).
fn update_entries(
    entries: &mut Vec<LinuxDevice>,
    devices: &[&InfinibandDevice],
) -> HashSet<Numbers> {
    let by_path: HashMap<&Path, _> = devices.iter().map(|d| (d.path.as_path(), *d)).collect();
    let mut done = HashSet::new();
    let mut replaced = HashSet::new();
    entries.retain_mut(|entry| {
        let Some(device) = by_path.get(entry.path().as_path()) else {
            return true;
        };
        let numbers = numbers_of(entry);
        if is_character(entry.typ()) && numbers != (device.major, device.minor) {
            replaced.insert(numbers);
        }
        // The first entry of the path is kept. No path may have two.
        let is_first = done.insert(&device.path);
        if is_first {
            update_entry(entry, device);
        }
        is_first
    });
    let absent = devices.iter().filter(|device| !done.contains(&device.path));
    entries.extend(absent.map(|device| {
        let mut new = LinuxDevice::default();
        new.set_path(device.path.clone());
        update_entry(&mut new, device);
        new
    }));
    replaced
}

fn update_entry(entry: &mut LinuxDevice, device: &InfinibandDevice) {
    entry.set_typ(LinuxDeviceType::C);
    entry.set_major(device.major);
    entry.set_minor(device.minor);
    entry.file_mode_mut().get_or_insert(device.mode);
    entry.uid_mut().get_or_insert(device.uid);
    entry.gid_mut().get_or_insert(device.gid);
}

/// Puts the rule of each device at the end, where no other overrides it (I5).
fn append_rules(rules: &mut Vec<LinuxDeviceCgroup>, devices: &[&InfinibandDevice]) {
    let mut pairs = HashSet::new();
    let numbers = devices.iter().map(|device| (device.major, device.minor));
    let new: Vec<_> = numbers.filter(|n| pairs.insert(*n)).map(rule_for).collect();
    let is_new = |rule: &LinuxDeviceCgroup, n| pairs.contains(&n) && *rule == rule_for(n);
    rules.retain(|rule| !allowed_by(rule).is_some_and(|numbers| is_new(rule, numbers)));
    rules.extend(new);
}

fn rule_for((major, minor): Numbers) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true);
    rule.set_typ(Some(LinuxDeviceType::C));
    rule.set_major(Some(major));
    rule.set_minor(Some(minor));
    rule.set_access(Some(ACCESS.to_owned()));
    rule
}

/// The numbers of the character device that a rule allows, if it is about a single one (I6).
fn allowed_by(rule: &LinuxDeviceCgroup) -> Option<Numbers> {
    if rule.allow() && rule.typ().is_none_or(is_character) {
        rule.major().zip(rule.minor())
    } else {
        None
    }
}

fn is_character(device_type: LinuxDeviceType) -> bool {
    matches!(device_type, LinuxDeviceType::C | LinuxDeviceType::U)
}

fn numbers_of(entry: &LinuxDevice) -> Numbers {
    (entry.major(), entry.minor())
}

#[cfg(test)]
mod tests;
