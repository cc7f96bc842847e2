//! All of the topology, read once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;

use super::{
    CPU, Error, Result, cpu_root, names_in, node_root, parse_number, read_node_of_cpu, read_nodes,
    text,
};
use crate::SysRoot;

/// The CPUs of each NUMA node, as they are when it is read.
///
/// CPUs that are offline belong to the node that they have a link to; those that vanish meanwhile
/// are left out. Without NUMA, all CPUs are on node 0.
///
/// ```
/// use std::path::Path;
/// use kata_sys_util::numa::NumaTopology;
/// # let dir = tempfile::tempdir()?;
/// # let sys = dir.path();
///
/// for (node, cpus) in [(0, "0-1"), (1, "2-3")] {
///     std::fs::create_dir_all(sys.join(format!("node/node{node}")))?;
///     std::fs::write(sys.join(format!("node/node{node}/cpulist")), cpus)?;
/// }
/// let topology = NumaTopology::read_from(&sys.join("node"), &sys.join("cpu"))?;
/// assert_eq!(topology.node_of(2), Some(1));
/// assert_eq!(topology.cpus_of(0), [0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NumaTopology {
    /// CPUs in ascending order.
    nodes: BTreeMap<u32, Vec<u32>>,
    cpus: HashMap<u32, u32>,
}

impl NumaTopology {
    /// The topology of this machine.
    ///
    /// # Errors
    ///
    /// As [`get_numa_nodes`](super::get_numa_nodes) and [`get_node_id`](super::get_node_id).
    pub fn read() -> Result<Self> {
        let root = SysRoot::default();
        Self::read_from(&node_root(&root), &cpu_root(&root))
    }

    /// The topology of another tree: what `/sys/devices/system/node` and
    /// `/sys/devices/system/cpu` are replaced by. Each may be missing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_from(node_root: &Path, cpu_root: &Path) -> Result<Self> {
        let mut topology = Self::default();
        for (node, cpus) in read_nodes(node_root)? {
            topology.nodes.insert(node, Vec::new());
            cpus.into_iter().for_each(|cpu| topology.add(cpu, node));
        }
        for cpu in list_cpus(cpu_root)? {
            if topology.node_of(cpu).is_some() {
                continue;
            }
            match read_node_of_cpu(cpu_root, cpu) {
                // Taken out since the directory was listed.
                Err(Error::InvalidCpu(_)) => {}
                node => topology.add(cpu, node?),
            }
        }
        topology
            .nodes
            .values_mut()
            .for_each(|cpus| cpus.sort_unstable());
        Ok(topology)
    }

    /// The node of a CPU, or `None` if there is no such CPU.
    pub fn node_of(&self, cpu: u32) -> Option<u32> {
        self.cpus.get(&cpu).copied()
    }

    /// The CPUs of a node in ascending order; none if it has memory only or does not exist.
    pub fn cpus_of(&self, node: u32) -> &[u32] {
        self.nodes.get(&node).map(Vec::as_slice).unwrap_or_default()
    }

    /// The nodes in ascending order.
    pub fn nodes(&self) -> impl Iterator<Item = u32> {
        self.nodes.keys().copied()
    }

    /// A CPU that two nodes claim belongs to the first.
    fn add(&mut self, cpu: u32, node: u32) {
        if let Entry::Vacant(entry) = self.cpus.entry(cpu) {
            entry.insert(node);
            self.nodes.entry(node).or_default().push(cpu);
        }
    }
}

/// The CPUs that have a directory.
fn list_cpus(cpu_root: &Path) -> Result<Vec<u32>> {
    let names = match names_in(cpu_root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::ReadDirectory(error, text(cpu_root))),
        Ok(names) => names,
    };
    let number = |name: &String| parse_number(name.strip_prefix(CPU)?);
    Ok(names.iter().filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::{TWO_NODES, tree};
    use super::super::{get_node_id, get_numa_nodes};
    use super::*;

    fn topology(files: &[(&str, &str)]) -> NumaTopology {
        let (_dir, root) = tree(files);
        NumaTopology::read_from(&node_root(&root), &cpu_root(&root)).unwrap()
    }

    #[test]
    fn nodes_have_the_cpus_of_their_list() {
        let topology = topology(&TWO_NODES);
        for (cpu, node) in [
            (0, Some(0)),
            (1, Some(0)),
            (63, Some(0)),
            (64, Some(1)),
            (65, None),
        ] {
            assert_eq!(topology.node_of(cpu), node, "{cpu}");
        }
        assert_eq!(topology.cpus_of(0), (0..64).collect::<Vec<_>>());
        assert_eq!(topology.cpus_of(1), [64]);
        assert!(topology.cpus_of(2).is_empty());
        assert_eq!(topology.nodes().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn offline_cpu_belongs_to_the_node_of_its_link() {
        let topology = topology(&[
            ("node/node0/cpulist", "0,2"),
            ("node/node1/cpulist", "3"),
            ("cpu/cpu0/node0/", ""),
            ("cpu/cpu1/node1/", ""),
            ("cpu/cpu4/", ""),
            ("cpu/cpufreq/", ""),
            ("cpu/online", "0,2-3"),
        ]);
        assert_eq!(topology.node_of(1), Some(1));
        assert_eq!(topology.cpus_of(0), [0, 2, 4]);
        assert_eq!(topology.cpus_of(1), [1, 3]);
    }

    #[test]
    fn cpu_that_vanishes_after_it_was_listed_is_left_out() {
        let (_dir, root) = tree(&[("node/node0/cpulist", "0"), ("cpu/cpu8/node0/", "")]);
        let read = || NumaTopology::read_from(&node_root(&root), &cpu_root(&root));
        // Has a name, but no directory.
        symlink("nowhere", cpu_root(&root).join("cpu7")).unwrap();
        let topology = read().unwrap();
        assert_eq!(topology.node_of(7), None);
        assert_eq!(topology.cpus_of(0), [0, 8]);

        // A directory that is there and cannot be listed is an error.
        symlink("cpu9", cpu_root(&root).join("cpu9")).unwrap();
        assert!(matches!(read(), Err(Error::ReadDirectory(..))));
    }

    #[test]
    fn node_with_memory_only_is_a_node() {
        let topology = topology(&[("node/node0/cpulist", "0"), ("node/node7/cpulist", "\n")]);
        assert_eq!(topology.nodes().collect::<Vec<_>>(), [0, 7]);
        assert!(topology.cpus_of(7).is_empty());
    }

    #[test]
    fn without_numa_all_cpus_are_on_node_0() {
        let topology = topology(&[("cpu/cpu0/", ""), ("cpu/cpu10/", ""), ("cpu/cpu9/", "")]);
        assert_eq!(topology.cpus_of(0), [0, 9, 10]);
        assert_eq!(topology.node_of(9), Some(0));
        assert_eq!(topology.node_of(1), None);
    }

    /// As for single CPUs, whatever there is of the other tree.
    #[test]
    fn without_a_list_of_nodes_cpus_belong_to_the_node_of_their_link() {
        let topology = topology(&[("cpu/cpu0/node0/", ""), ("cpu/cpu64/node1/", "")]);
        assert_eq!(topology.node_of(64), Some(1));
        assert_eq!(topology.cpus_of(1), [64]);
        assert_eq!(topology.nodes().collect::<Vec<_>>(), [0, 1]);

        let (_dir, root) = tree(&[("cpu/cpu0/nodex/", "")]);
        let error = NumaTopology::read_from(&node_root(&root), &cpu_root(&root));
        assert!(matches!(error, Err(Error::InvalidNodeFileName(name)) if name == "nodex"));
    }

    #[test]
    fn missing_trees_are_an_empty_topology() {
        let missing = Path::new("/no/such/tree");
        let topology = NumaTopology::read_from(missing, missing).unwrap();
        assert_eq!(topology, NumaTopology::default());
        assert_eq!(topology.nodes().count(), 0);
    }

    #[test]
    fn this_machine_agrees_with_the_questions_about_single_cpus() {
        let topology = NumaTopology::read().unwrap();
        for (cpu, node) in get_numa_nodes().unwrap() {
            assert_eq!(topology.node_of(cpu), Some(node));
        }
        for cpu in topology.nodes().flat_map(|node| topology.cpus_of(node)) {
            assert_eq!(topology.node_of(*cpu), Some(get_node_id(*cpu).unwrap()));
        }
    }
}
