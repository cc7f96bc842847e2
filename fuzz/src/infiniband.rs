//! InfiniBand device nodes and the specification that they are put into: both as lines of text, and
//! what must come out.

use std::path::Path;

use kata_sys_util::infiniband::InfinibandDevice;
use oci_spec::runtime::{
    LinuxBuilder, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder,
    LinuxDeviceType, Spec,
};

use crate::lines;

/// The most lines of each kind.
const MAX_LINES: usize = 32;

/// Lines `NAME MAJOR MINOR MODE`.
pub fn devices(text: &str) -> Vec<InfinibandDevice> {
    let device = |line: String| {
        let [name, major, minor, mode] = words(&line)?;
        Some(InfinibandDevice {
            name: name.to_owned(),
            path: Path::new("/dev/infiniband").join(name),
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            mode: mode.parse().ok()?,
            uid: 7,
            gid: 8,
        })
    };
    let lines = lines(text).into_iter();
    lines.take(MAX_LINES).filter_map(device).collect()
}

/// A specification with entries `PATH TYPE MAJOR MINOR` and rules `allow|deny TYPE MAJOR MINOR`,
/// where `-` stands for what is not there. They are added to those of `base`.
pub fn spec(base: Option<Spec>, entries: &str, rules: &str) -> Spec {
    let mut spec = base.unwrap_or_else(|| {
        let mut spec = Spec::default();
        let linux = LinuxBuilder::default().build().expect("all is optional");
        spec.set_linux(Some(linux));
        spec
    });
    let Some(linux) = spec.linux_mut() else {
        return spec;
    };
    let entries = lines(entries).into_iter().take(MAX_LINES);
    linux
        .devices_mut()
        .get_or_insert_default()
        .extend(entries.filter_map(|line| entry(&line)));
    let rules = lines(rules).into_iter().take(MAX_LINES);
    linux
        .resources_mut()
        .get_or_insert_default()
        .devices_mut()
        .get_or_insert_default()
        .extend(rules.filter_map(|line| rule(&line)));
    spec
}

fn entry(line: &str) -> Option<LinuxDevice> {
    let [path, device_type, major, minor] = words(line)?;
    let builder = LinuxDeviceBuilder::default()
        .path(Path::new("/dev/infiniband").join(path))
        .typ(type_of(device_type)?)
        .major(major.parse::<i64>().ok()?)
        .minor(minor.parse::<i64>().ok()?);
    builder.build().ok()
}

fn rule(line: &str) -> Option<LinuxDeviceCgroup> {
    let [allow, device_type, major, minor] = words(line)?;
    let mut rule = LinuxDeviceCgroupBuilder::default()
        .allow(allow == "allow")
        .access("rwm")
        .build()
        .ok()?;
    rule.set_typ(type_of(device_type));
    rule.set_major(major.parse().ok());
    rule.set_minor(minor.parse().ok());
    Some(rule)
}

fn type_of(word: &str) -> Option<LinuxDeviceType> {
    let all = [
        LinuxDeviceType::A,
        LinuxDeviceType::B,
        LinuxDeviceType::C,
        LinuxDeviceType::U,
        LinuxDeviceType::P,
    ];
    all.into_iter().find(|known| known.as_str() == word)
}

fn words(line: &str) -> Option<[&str; 4]> {
    let words: Vec<_> = line.split(' ').collect();
    words.try_into().ok()
}

/// What becomes of the specification: an error, as `None`, if it has no part for Linux.
pub fn applied(devices: &[InfinibandDevice], spec: &Spec) -> Option<Spec> {
    let mut spec = spec.clone();
    if devices.is_empty() {
        return Some(spec);
    }
    let linux = spec.linux_mut().as_mut()?;
    let mut wanted: Vec<&InfinibandDevice> = Vec::new();
    for device in devices {
        if wanted.iter().all(|other| other.path != device.path) {
            wanted.push(device);
        }
    }

    let old = linux.devices().clone().unwrap_or_default();
    let mut entries: Vec<LinuxDevice> = Vec::new();
    for entry in &old {
        match wanted.iter().find(|device| device.path == *entry.path()) {
            None => entries.push(entry.clone()),
            Some(device) if entries.iter().all(|other| other.path() != &device.path) => {
                entries.push(updated(entry.clone(), device));
            }
            Some(_) => {}
        }
    }
    for device in &wanted {
        if entries.iter().all(|entry| entry.path() != &device.path) {
            let mut entry = LinuxDevice::default();
            entry.set_path(device.path.clone());
            entries.push(updated(entry, device));
        }
    }

    let is_stale = |major, minor| {
        let has = |entry: &&LinuxDevice| {
            is_character(entry.typ()) && (entry.major(), entry.minor()) == (major, minor)
        };
        let is_replaced = |entry: &LinuxDevice| {
            let mut wanted = wanted.iter();
            wanted.any(|device| {
                device.path == *entry.path() && (device.major, device.minor) != (major, minor)
            })
        };
        old.iter().filter(has).any(is_replaced) && !entries.iter().any(|entry| has(&entry))
    };
    let mut new: Vec<LinuxDeviceCgroup> = Vec::new();
    for device in &wanted {
        let rule = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(LinuxDeviceType::C)
            .major(device.major)
            .minor(device.minor)
            .access("rwm")
            .build()
            .expect("all that is needed");
        if !new.contains(&rule) {
            new.push(rule);
        }
    }
    let resources = linux.resources_mut().get_or_insert_default();
    let rules = resources.devices_mut().get_or_insert_default();
    rules.retain(|rule| {
        let about = rule.major().zip(rule.minor());
        let is_allowed = rule.allow() && rule.typ().is_none_or(is_character);
        let is_gone = about.is_some_and(|(major, minor)| is_allowed && is_stale(major, minor));
        !is_gone && !new.contains(rule)
    });
    rules.extend(new);
    linux.set_devices(Some(entries));
    Some(spec)
}

/// What becomes of a specification that must not have these `devices` of others, nor any in `dir`.
pub fn withheld(
    dir: &Path,
    devices: &[InfinibandDevice],
    own: &[InfinibandDevice],
    mut spec: Spec,
) -> Spec {
    let Some(linux) = spec.linux_mut() else {
        return spec;
    };
    let is_own = |numbers| {
        own.iter()
            .any(|device| numbers == (device.major, device.minor))
    };
    let is_others = |numbers| {
        let mut others = devices.iter();
        others.any(|device| numbers == (device.major, device.minor)) && !is_own(numbers)
    };
    let numbers_of = |entry: &LinuxDevice| (entry.major(), entry.minor());
    let is_kept = |entry: &LinuxDevice| {
        let is_below = entry.path().ancestors().any(|path| path == dir);
        let is_named = is_below && own.iter().all(|device| device.path != *entry.path());
        !(is_named || is_character(entry.typ()) && is_others(numbers_of(entry)))
    };
    let entries = linux.devices().clone().unwrap_or_default();
    let is_stale = |numbers| {
        let mut has = entries
            .iter()
            .filter(|entry| is_character(entry.typ()) && numbers_of(entry) == numbers);
        has.clone().next().is_some() && has.all(|entry| !is_kept(entry)) && !is_own(numbers)
    };
    if let Some(resources) = linux.resources_mut()
        && let Some(rules) = resources.devices_mut()
    {
        rules.retain(|rule| {
            let about = rule.major().zip(rule.minor());
            let is_allowed = rule.allow() && rule.typ().is_none_or(is_character);
            !about.is_some_and(|numbers| is_allowed && (is_others(numbers) || is_stale(numbers)))
        });
    }
    if let Some(entries) = linux.devices_mut() {
        entries.retain(is_kept);
    }
    spec
}

fn updated(mut entry: LinuxDevice, device: &InfinibandDevice) -> LinuxDevice {
    entry.set_typ(LinuxDeviceType::C);
    entry.set_major(device.major);
    entry.set_minor(device.minor);
    entry.set_file_mode(entry.file_mode().or(Some(device.mode)));
    entry.set_uid(entry.uid().or(Some(device.uid)));
    entry.set_gid(entry.gid().or(Some(device.gid)));
    entry
}

fn is_character(device_type: LinuxDeviceType) -> bool {
    matches!(device_type, LinuxDeviceType::C | LinuxDeviceType::U)
}
