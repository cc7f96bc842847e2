//! Lists of CPUs, in the kernel's list format.
//!
//! * A list is read as a slow model reads it.
//! * What is read is sorted, and its text is read as the same set and is its own text.
//! * Adding ids one by one, or in another order, gives the same.
#![no_main]

use kata_types::cpu::{CpuSet, LinuxContainerCpuResources, LinuxSandboxCpuResources};
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::LinuxCpuBuilder;

/// The most ids that a list may name.
const MAX: u64 = 1 << 20;

/// A sign in front of a number is accepted.
fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_decimal)
}

/// The ids of a list: `None` if it is malformed or too long.
fn model(list: &str) -> Option<Vec<u32>> {
    let mut ids = Vec::new();
    let mut count = 0;
    for item in list.split(',').filter(|_| !list.is_empty()) {
        let (first, last) = match item.split_once('-') {
            // The kernel writes no range of one.
            Some((first, last)) => {
                Some((number(first)?, number(last)?)).filter(|(first, last)| first < last)?
            }
            None => (number(item)?, number(item)?),
        };
        count += u64::from(last - first) + 1;
        if count > MAX {
            return None;
        }
        ids.extend(first..=last);
    }
    ids.sort_unstable();
    ids.dedup();
    Some(ids)
}

fuzz_target!(|data: &[u8]| {
    let Ok(list) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = list.parse::<CpuSet>().ok();
    let expected = model(list);
    assert_eq!(parsed.as_deref(), expected.as_deref());
    let Some(set) = parsed else {
        return;
    };
    let text = set.to_string();
    assert_eq!(text.parse::<CpuSet>().expect("read again"), set);
    assert!(set.len() == 1 || text.len() <= 11 * set.len());

    if set.len() < 1000 {
        let mut other = CpuSet::new();
        for id in set.iter().rev() {
            other.add(*id);
        }
        assert_eq!(other, set);
        other.extend(&set);
        assert_eq!(other, set);
    }
    let cpu = LinuxCpuBuilder::default()
        .cpus(list)
        .mems(list)
        .build()
        .expect("all is optional");
    let container = LinuxContainerCpuResources::try_from(&cpu).expect("a good list");
    assert_eq!(container.cpuset(), &set);
    assert!(container.nodeset().iter().eq(set.iter()));
    assert_eq!(container.get_vcpus().is_some(), !set.is_empty());
    let mut sandbox = LinuxSandboxCpuResources::new(1024);
    sandbox.merge(&container).merge(&container);
    assert_eq!(sandbox.cpuset(), &set);
    assert_eq!(sandbox.nodeset(), container.nodeset());
});
