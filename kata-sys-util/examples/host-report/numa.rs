//! NUMA nodes and their CPUs.

use kata_sys_util::numa::NumaTopology;
use kata_types::cpu::CpuSet;
use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

#[derive(Serialize)]
pub(crate) struct Numa {
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Node {
    node: u32,
    /// A list such as `0-3`; empty for a node with memory only.
    cpus: String,
}

impl Numa {
    pub(crate) fn read(reader: &mut Reader) -> Self {
        let system = reader.root.sys.join("devices/system");
        let topology = NumaTopology::read_from(&system.join("node"), &system.join("cpu"));
        let topology = topology.unwrap_or_else(|error| {
            reader.note(&system, error);
            NumaTopology::default()
        });
        let nodes = topology.nodes().map(|node| {
            let mut cpus = CpuSet::new();
            cpus.extend(topology.cpus_of(node));
            Node {
                node,
                cpus: cpus.to_string(),
            }
        });
        Self {
            nodes: nodes.collect(),
        }
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let node = |node: &Node| match node.cpus.as_str() {
            "" => row(format!("node {}", node.node), "no CPU"),
            cpus => row(format!("node {}", node.node), format!("CPUs {cpus}")),
        };
        if self.nodes.is_empty() {
            return vec![row("nodes", "unknown")];
        }
        self.nodes.iter().map(node).collect()
    }
}
