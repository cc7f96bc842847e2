//! Which CPU is on which NUMA node
//! ([`/sys/devices/system/node`](https://www.kernel.org/doc/Documentation/ABI/stable/sysfs-devices-node)).
//!
//! Two places in sysfs tell it: `node/node<K>/cpulist` has the CPUs of a node that are online, and
//! `cpu/cpu<N>/node<K>` is a link from a CPU to its node. A kernel without NUMA has neither.
//!
//! [`get_node_id`] and [`get_node_map`] ask about some CPUs by the second, [`get_numa_nodes`] and
//! [`is_valid_numa_cpu`] about all by the first. [`NumaTopology`] reads both once.

mod topology;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use kata_types::cpu::CpuSet;
use slog::debug;

use crate::open::{open, read_text};
use crate::{SysRoot, sl};

pub use topology::NumaTopology;

/// What the name of a node's directory begins with.
const NODE: &str = "node";

/// What the name of a CPU's directory begins with.
const CPU: &str = "cpu";

/// The file of a node with its CPUs.
const CPU_LIST: &str = "cpulist";

/// Why the topology is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such CPU.
    #[error("Invalid CPU number {0}")]
    InvalidCpu(u32),
    /// Something is named like a node, but without a number.
    #[error("Invalid node file name {0}")]
    InvalidNodeFileName(String),
    /// A directory of sysfs cannot be listed.
    #[error("Can not read directory {1}: {0}")]
    ReadDirectory(#[source] io::Error, String),
    /// A file of sysfs cannot be read.
    #[error("Can not read from file {0}, {1:?}")]
    ReadFile(String, #[source] io::Error),
    /// A file of sysfs cannot be opened.
    #[error("Can not open from file {0}, {1:?}")]
    OpenFile(String, #[source] io::Error),
    /// Not a list of CPUs.
    #[error("Can not parse CPU info, {0:?}")]
    ParseCpuInfo(#[from] kata_types::Error),
}

/// A result with this module's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The node of a CPU; 0 if the kernel knows no nodes.
///
/// # Errors
///
/// [`Error::InvalidCpu`] if there is no such CPU, [`Error::ReadDirectory`] and
/// [`Error::InvalidNodeFileName`] if sysfs is not as expected.
///
/// ```
/// use kata_sys_util::numa::{Error, get_node_id};
///
/// assert!(matches!(get_node_id(4_000_000), Err(Error::InvalidCpu(4_000_000))));
/// ```
pub fn get_node_id(cpu: u32) -> Result<u32> {
    get_node_id_in(&SysRoot::default(), cpu)
}

/// As [`get_node_id`], of the system below `root`.
///
/// # Errors
///
/// As [`get_node_id`].
///
/// ```
/// use kata_sys_util::{SysRoot, numa::get_node_id_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// std::fs::create_dir_all(dir.join("sys/devices/system/cpu/cpu64/node1"))?;
/// assert_eq!(get_node_id_in(&SysRoot::under(dir), 64)?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn get_node_id_in(root: &SysRoot, cpu: u32) -> Result<u32> {
    let node = read_node_of_cpu(&cpu_root(root), cpu)?;
    debug!(sl!(), "NUMA node of CPU"; "cpu" => cpu, "node" => node);
    Ok(node)
}

/// The nodes of some CPUs: the CPUs of each, in ascending order. `cpus` is a list such as
/// `0-3,8` (*List format* in
/// [`cpuset(7)`](https://man7.org/linux/man-pages/man7/cpuset.7.html)) of up to 1,048,576 CPUs.
///
/// # Errors
///
/// [`Error::ParseCpuInfo`] if it is not, else as [`get_node_id`] for any of the CPUs.
///
/// ```
/// use kata_sys_util::numa::{Error, get_node_map};
///
/// assert!(get_node_map("")?.is_empty());
/// assert!(matches!(get_node_map("1-0"), Err(Error::ParseCpuInfo(_))));
/// # Ok::<(), Error>(())
/// ```
pub fn get_node_map(cpus: &str) -> Result<HashMap<u32, Vec<u32>>> {
    get_node_map_in(&SysRoot::default(), cpus)
}

/// As [`get_node_map`], of the system below `root`.
///
/// # Errors
///
/// As [`get_node_map`].
///
/// ```
/// use kata_sys_util::{SysRoot, numa::get_node_map_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// for cpu in ["cpu0/node0", "cpu1/node1", "cpu2/node1"] {
///     std::fs::create_dir_all(dir.join("sys/devices/system/cpu").join(cpu))?;
/// }
/// let nodes = get_node_map_in(&SysRoot::under(dir), "0-2")?;
/// assert_eq!((&nodes[&0], &nodes[&1]), (&vec![0], &vec![1, 2]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn get_node_map_in(root: &SysRoot, cpus: &str) -> Result<HashMap<u32, Vec<u32>>> {
    let cpus: CpuSet = cpus.parse()?;
    let cpu_root = cpu_root(root);
    let mut nodes: HashMap<u32, Vec<u32>> = HashMap::new();
    for &cpu in cpus.iter() {
        let node = read_node_of_cpu(&cpu_root, cpu)?;
        nodes.entry(node).or_default().push(cpu);
    }
    Ok(nodes)
}

/// All CPUs that are online, each with its node. None if the kernel knows no nodes.
///
/// # Errors
///
/// [`Error::ReadDirectory`], [`Error::InvalidNodeFileName`], [`Error::OpenFile`],
/// [`Error::ReadFile`] and [`Error::ParseCpuInfo`] if sysfs is not as expected.
///
/// ```
/// use kata_sys_util::numa::{get_numa_nodes, is_valid_numa_cpu};
///
/// let cpus: Vec<u32> = get_numa_nodes()?.into_keys().collect();
/// assert!(is_valid_numa_cpu(&cpus)?);
/// # Ok::<(), kata_sys_util::numa::Error>(())
/// ```
pub fn get_numa_nodes() -> Result<HashMap<u32, u32>> {
    get_numa_nodes_in(&SysRoot::default())
}

/// As [`get_numa_nodes`], of the system below `root`.
///
/// # Errors
///
/// As [`get_numa_nodes`].
///
/// ```
/// use kata_sys_util::{SysRoot, numa::get_numa_nodes_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let node = dir.join("sys/devices/system/node/node1");
/// std::fs::create_dir_all(&node)?;
/// std::fs::write(node.join("cpulist"), "4-5\n")?;
/// assert_eq!(get_numa_nodes_in(&SysRoot::under(dir))?, [(4, 1), (5, 1)].into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn get_numa_nodes_in(root: &SysRoot) -> Result<HashMap<u32, u32>> {
    let nodes = read_nodes(&node_root(root))?.into_iter();
    let pairs = nodes.flat_map(|(node, cpus)| cpus.into_iter().map(move |cpu| (cpu, node)));
    Ok(pairs.collect())
}

/// Whether each of the CPUs is online and on a node. `true` for no CPU at all.
///
/// # Errors
///
/// As [`get_numa_nodes`].
///
/// ```
/// use kata_sys_util::numa::is_valid_numa_cpu;
///
/// assert!(is_valid_numa_cpu(&[])?);
/// assert!(!is_valid_numa_cpu(&[u32::MAX])?);
/// # Ok::<(), kata_sys_util::numa::Error>(())
/// ```
pub fn is_valid_numa_cpu(cpus: &[u32]) -> Result<bool> {
    is_valid_numa_cpu_in(&SysRoot::default(), cpus)
}

/// As [`is_valid_numa_cpu`], of the system below `root`.
///
/// # Errors
///
/// As [`is_valid_numa_cpu`].
///
/// ```
/// use kata_sys_util::{SysRoot, numa::is_valid_numa_cpu_in};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let node = dir.join("sys/devices/system/node/node1");
/// std::fs::create_dir_all(&node)?;
/// std::fs::write(node.join("cpulist"), "4-5\n")?;
/// let root = SysRoot::under(dir);
/// assert!(is_valid_numa_cpu_in(&root, &[4, 5])?);
/// assert!(!is_valid_numa_cpu_in(&root, &[5, 6])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_valid_numa_cpu_in(root: &SysRoot, cpus: &[u32]) -> Result<bool> {
    let nodes = get_numa_nodes_in(root)?;
    Ok(cpus.iter().all(|cpu| nodes.contains_key(cpu)))
}

fn node_root(root: &SysRoot) -> PathBuf {
    root.sys.join("devices/system/node")
}

fn cpu_root(root: &SysRoot) -> PathBuf {
    root.sys.join("devices/system/cpu")
}

/// The node of a CPU by the link in its directory.
fn read_node_of_cpu(cpu_root: &Path, cpu: u32) -> Result<u32> {
    let directory = cpu_root.join(format!("{CPU}{cpu}"));
    let names = match names_in(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::InvalidCpu(cpu)),
        Err(error) => return Err(Error::ReadDirectory(error, text(&directory))),
        Ok(names) => names,
    };
    let node = names.iter().find_map(|name| parse_node(name));
    node.unwrap_or(Ok(0))
}

/// The CPUs of each node. None if the directory is missing.
fn read_nodes(node_root: &Path) -> Result<BTreeMap<u32, Vec<u32>>> {
    let names = match names_in(node_root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::ReadDirectory(error, text(node_root))),
        Ok(names) => names,
    };
    let mut nodes = BTreeMap::new();
    for name in names {
        if let Some(node) = parse_node(&name).transpose()? {
            let cpus: CpuSet = read(&node_root.join(&name).join(CPU_LIST))?
                .trim()
                .parse()?;
            nodes.insert(node, cpus.to_vec());
        }
    }
    Ok(nodes)
}

/// The node that a file is named after, or `None` if its name is another one.
fn parse_node(name: &str) -> Option<Result<u32>> {
    let number = name.strip_prefix(NODE)?;
    Some(parse_number(number).ok_or_else(|| Error::InvalidNodeFileName(name.to_owned())))
}

/// A number without a sign, which `parse` accepts.
fn parse_number(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|_| is_decimal)
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into());
    entries.map(name).collect()
}

fn read(path: &Path) -> Result<String> {
    let file = open(path).map_err(|error| Error::OpenFile(text(path), error))?;
    read_text(file).map_err(|error| Error::ReadFile(text(path), error))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// Files with their contents; directories have none and end in a slash.
    pub(super) fn tree(files: &[(&str, &str)]) -> (TempDir, SysRoot) {
        let dir = tempfile::tempdir().unwrap();
        let root = SysRoot::under(dir.path());
        for (path, content) in files {
            let path = root.sys.join("devices/system").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if path.to_str().unwrap().ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, content).unwrap();
            }
        }
        (dir, root)
    }

    pub(super) const TWO_NODES: [(&str, &str); 7] = [
        ("cpu/cpu0/node0/cpulist", "0,1-63\n"),
        ("cpu/cpu1/node0/cpulist", "0,1-63\n"),
        ("cpu/cpu64/node1/cpulist", "64\n"),
        ("node/node0/cpulist", "0-63\n"),
        ("node/node0/cpumap", "ffffffff,ffffffff\n"),
        ("node/node1/cpulist", "64\n"),
        ("node/node1/cpumap", "1,00000000,00000000\n"),
    ];

    #[test]
    fn node_of_a_cpu_is_that_of_its_link() {
        let (_dir, root) = tree(&TWO_NODES);
        for (cpu, node) in [(0, 0), (1, 0), (64, 1)] {
            assert_eq!(get_node_id_in(&root, cpu).unwrap(), node, "{cpu}");
        }
        let error = get_node_id_in(&root, 65).unwrap_err();
        assert_eq!(error.to_string(), "Invalid CPU number 65");
        assert!(matches!(error, Error::InvalidCpu(65)));
    }

    #[test]
    fn node_map_has_each_cpu_once_in_ascending_order() {
        let (_dir, root) = tree(&TWO_NODES);
        let map = get_node_map_in(&root, "64,1,0-1").unwrap();
        assert_eq!(map, HashMap::from([(0, vec![0, 1]), (1, vec![64])]));
        assert!(get_node_map_in(&root, "").unwrap().is_empty());
    }

    #[test]
    fn unknown_cpu_or_bad_syntax_fails_the_whole_map() {
        let (_dir, root) = tree(&TWO_NODES);
        assert!(matches!(
            get_node_map_in(&root, "0-1,65"),
            Err(Error::InvalidCpu(65))
        ));
        for list in ["1-0", "a", "0,", "0-4294967295"] {
            let error = get_node_map_in(&root, list).unwrap_err();
            assert!(matches!(error, Error::ParseCpuInfo(_)), "{list}");
            let expected = format!("Can not parse CPU info, InvalidList({list:?})");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn all_cpus_of_all_nodes_are_listed() {
        let (_dir, root) = tree(&TWO_NODES);
        let nodes = get_numa_nodes_in(&root).unwrap();
        assert_eq!(nodes.len(), 65);
        assert!((0..64).all(|cpu| nodes.get(&cpu) == Some(&0)));
        assert_eq!(nodes.get(&64), Some(&1));
    }

    #[test]
    fn valid_cpus_are_those_on_a_node() {
        let (_dir, root) = tree(&TWO_NODES);
        for (cpus, expected) in [
            (vec![], true),
            (vec![0], true),
            (vec![63, 64, 0], true),
            (vec![0, 65], false),
            (vec![65], false),
        ] {
            assert_eq!(
                is_valid_numa_cpu_in(&root, &cpus).unwrap(),
                expected,
                "{cpus:?}"
            );
        }
    }

    #[test]
    fn kernel_without_numa_has_all_cpus_on_node_0_and_no_nodes() {
        let (_dir, root) = tree(&[("cpu/cpu0/topology/", ""), ("cpu/cpu1/online", "1")]);
        assert_eq!(get_node_id_in(&root, 1).unwrap(), 0);
        assert_eq!(
            get_node_map_in(&root, "0-1").unwrap(),
            HashMap::from([(0, vec![0, 1])])
        );
        assert!(get_numa_nodes_in(&root).unwrap().is_empty());
        assert!(is_valid_numa_cpu_in(&root, &[]).unwrap());
        assert!(!is_valid_numa_cpu_in(&root, &[0]).unwrap());
    }

    #[test]
    fn node_may_have_memory_only() {
        let (_dir, root) = tree(&[("node/node0/cpulist", "0\n"), ("node/node1/cpulist", "\n")]);
        assert_eq!(get_numa_nodes_in(&root).unwrap(), HashMap::from([(0, 0)]));
    }

    #[test]
    fn other_entries_of_the_node_directory_do_not_count() {
        let (_dir, root) = tree(&[
            ("node/has_cpu", "0\n"),
            ("node/xnode0", ""),
            ("node/node3/cpulist", "0-1\n"),
        ]);
        assert_eq!(
            get_numa_nodes_in(&root).unwrap(),
            HashMap::from([(0, 3), (1, 3)])
        );
    }

    #[test]
    fn node_without_a_decimal_number_is_an_error() {
        for name in [
            "node",
            "nodex",
            "node+1",
            "node-1",
            "node1a",
            "nodenode3",
            "node4294967296",
        ] {
            let (_dir, root) = tree(&[(&format!("node/{name}/cpulist"), "0"), ("cpu/cpu0/", "")]);
            fs::create_dir(cpu_root(&root).join("cpu0").join(name)).unwrap();
            let expected = format!("Invalid node file name {name}");
            assert_eq!(get_numa_nodes_in(&root).unwrap_err().to_string(), expected);
            assert_eq!(get_node_id_in(&root, 0).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn missing_or_malformed_cpulist_is_an_error_with_its_path() {
        let (_dir, root) = tree(&[("node/node0/", "")]);
        let path = node_root(&root).join("node0/cpulist");
        let error = get_numa_nodes_in(&root).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("Can not open from file {}, ", path.display()))
        );
        assert!(matches!(error, Error::OpenFile(p, _) if Path::new(&p) == path));

        fs::create_dir(&path).unwrap();
        let error = get_numa_nodes_in(&root).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("Can not read from file {}, ", path.display()))
        );
        assert!(matches!(error, Error::ReadFile(p, _) if Path::new(&p) == path));

        fs::remove_dir(&path).unwrap();
        fs::write(&path, "0 1\n").unwrap();
        assert!(matches!(
            get_numa_nodes_in(&root),
            Err(Error::ParseCpuInfo(_))
        ));
    }

    #[test]
    fn other_listing_errors_are_not_taken_for_a_missing_cpu() {
        let (_dir, root) = tree(&[("cpu/cpu0", "a file"), ("node", "a file")]);
        let path = cpu_root(&root).join("cpu0");
        let error = get_node_id_in(&root, 0).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("Can not read directory {}: ", path.display()))
        );
        assert!(matches!(error, Error::ReadDirectory(..)));
        assert!(matches!(
            get_numa_nodes_in(&root),
            Err(Error::ReadDirectory(..))
        ));
    }

    #[test]
    fn forbidden_directory_is_a_listing_error() {
        test_utils::skip_if_root!();
        let (_dir, root) = tree(&[("cpu/cpu0/", "")]);
        let path = cpu_root(&root).join("cpu0");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
        assert!(matches!(
            get_node_id_in(&root, 0),
            Err(Error::ReadDirectory(..))
        ));
    }

    #[test]
    fn this_machine_is_consistent() {
        let nodes = get_numa_nodes().unwrap();
        for (cpu, node) in &nodes {
            assert_eq!(get_node_id(*cpu).unwrap(), *node);
            assert!(get_node_map(&cpu.to_string()).unwrap().contains_key(node));
        }
        let cpus: Vec<u32> = nodes.into_keys().collect();
        assert!(is_valid_numa_cpu(&cpus).unwrap());
        assert!(matches!(
            get_node_id(u32::MAX),
            Err(Error::InvalidCpu(u32::MAX))
        ));
    }
}
