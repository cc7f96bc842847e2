//! NUMA topology of a machine with several nodes, against what lscpu(1) says of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::Mutex;

use kata_sys_util::numa::{
    NumaTopology, get_node_id, get_node_map, get_numa_nodes, is_valid_numa_cpu,
};
use test_utils::skip_if_not_guest;

/// Held while a test looks at the CPUs, as another takes one offline.
static CPUS: Mutex<()> = Mutex::new(());

/// CPU and node of each row of `lscpu --parse`.
fn lscpu() -> HashMap<u32, u32> {
    let output = Command::new("lscpu").arg("--parse=CPU,NODE").output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let rows = output.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let (cpu, node) = row.split_once(',').unwrap();
        (cpu.parse().unwrap(), node.parse().unwrap())
    })
    .collect()
}

#[test]
fn each_cpu_is_on_the_node_that_lscpu_names() {
    skip_if_not_guest!();
    let _cpus = CPUS.lock().unwrap();
    let expected = lscpu();
    assert_eq!(expected.len(), 4, "the machine file gives four CPUs");
    assert_eq!(get_numa_nodes().unwrap(), expected);

    let topology = NumaTopology::read().unwrap();
    assert_eq!(topology.nodes().collect::<Vec<_>>(), [0, 1]);
    for (cpu, node) in &expected {
        assert_eq!(get_node_id(*cpu).unwrap(), *node);
        assert_eq!(topology.node_of(*cpu), Some(*node));
    }
    let map = get_node_map("0-3").unwrap();
    for node in [0, 1] {
        let mut cpus: Vec<u32> = (0..4).filter(|cpu| expected[cpu] == node).collect();
        cpus.sort_unstable();
        assert_eq!(cpus.len(), 2);
        assert_eq!(topology.cpus_of(node), cpus);
        assert_eq!(map[&node], cpus);
    }
}

#[test]
fn cpu_that_goes_offline_is_told() {
    skip_if_not_guest!();
    let _cpus = CPUS.lock().unwrap();
    let cpu = 3;
    let online = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    assert!(is_valid_numa_cpu(&[0, cpu]).unwrap());
    fs::write(&online, "0").unwrap();
    let valid = [&[cpu][..], &[0, cpu], &[0, 1, 2]].map(is_valid_numa_cpu);
    let nodes = get_numa_nodes();
    fs::write(&online, "1").unwrap();
    assert_eq!(valid.map(Result::unwrap), [false, false, true]);
    assert!(!nodes.unwrap().contains_key(&cpu));
    assert!(is_valid_numa_cpu(&[cpu]).unwrap());
}
