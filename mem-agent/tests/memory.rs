//! Memory that files of any content, and any number of cgroups, can make the agent take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::{FakeLru, Machine};
use mem_agent::compact::{self, Compact};
use mem_agent::env::{Compactor, Env, Running};
use mem_agent::memcg::{Actuator, CgroupConfig, Config, MemCG};
use mem_agent::testing::{
    Dump, Host, NodeLook, Pressure, Snapshot, Wanted, host, parse_meminfo, parse_memory_stat,
    parse_pagetypeinfo, parse_pressure,
};
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;
const CONSTANT: usize = 64 << 10;

/// Parses, and tells the most bytes that were in use.
fn peak_of_dump(text: &[u8], wanted: Wanted<'_>) -> usize {
    let (_, allocated) = allocated_by(|| Dump::parse(text, wanted).memcgs().count());
    allocated.peak
}

fn assert_at_most_eight_times(what: &str, peak: usize, size: usize) {
    assert!(
        peak <= 8 * size + CONSTANT,
        "{what}: {peak} bytes for {size}"
    );
}

#[test]
fn large_dump_takes_at_most_eight_times_its_size() {
    let cgroup = b"memcg     1 /pod7/web\n node     0\n          4     930410        310       8123 \n          5     610200          0          0 \n          6     305111         40       2210 \n          7       2040       1500        641 \n";
    for (what, text) in [
        ("no line", vec![b'x'; LARGE]),
        (
            "a path",
            [b"memcg 1 /".to_vec(), vec![b'x'; LARGE]].concat(),
        ),
        ("as of the kernel", cgroup.repeat(LARGE / cgroup.len())),
    ] {
        assert_at_most_eight_times(what, peak_of_dump(&text, Wanted::All), text.len());
    }
}

/// The shortest texts of each kind. Vectors have just grown at the end of some of them.
#[test]
fn dump_of_the_shortest_lines_takes_at_most_six_times_its_size() {
    let begin = &b"memcg 1 /\nnode 0\n"[..];
    let cases: [(&str, &[u8], &[u8]); 8] = [
        ("generations", begin, b"1 1 1 1\n"),
        ("the same node", begin, b"node 0\n1 1 1 1\n"),
        ("nodes without lines", begin, b"node 0\n"),
        ("cgroups", b"", b"memcg 1 /\n"),
        ("cgroups with all", b"", b"memcg 1 /\nnode 0\n1 1 1 1\n"),
        ("malformed", b"", b"memcg 1 /\nnode 0\n1 1 1 1\nx\n"),
        ("no header", b"", b"1 1 1 1\n"),
        ("no UTF-8", b"", b"memcg 1 /\xff\n"),
    ];
    for (what, begin, line) in cases {
        for count in [1 << 16, (1 << 16) + 1, 3 << 15, 100_000] {
            let text = [begin, &line.repeat(count)].concat();
            let peak = peak_of_dump(&text, Wanted::All);
            let size = text.len();
            assert!(peak <= 6 * size + CONSTANT, "{what}: {peak} for {size}");
        }
        let text = [begin, &line.repeat(1 << 16)].concat();
        let peak = peak_of_dump(&text, Wanted::Headers);
        assert_at_most_eight_times(what, peak, text.len());
        let none = HashSet::from(["/none".to_owned()]);
        let peak = peak_of_dump(&text, Wanted::Paths(&none));
        assert!(peak <= CONSTANT, "{what}: {peak} bytes for nothing");
    }
}

/// As the node numbers of the kernel ascend, others take another way.
#[test]
fn nodes_in_any_order_take_at_most_eight_times_the_text() {
    let mut text = "memcg 1 /\n".to_owned();
    for node in (0..1 << 17).rev() {
        text += &format!("node {}\n1 1 1 1\n", node % 50_000);
    }
    let peak = peak_of_dump(text.as_bytes(), Wanted::All);
    assert_at_most_eight_times("descending", peak, text.len());
    let dump = Dump::parse(text.as_bytes(), Wanted::All);
    assert_eq!(dump.memcgs().next().unwrap().nodes().count(), 50_000);
}

#[test]
fn file_of_the_dump_takes_at_most_eight_times_its_size() {
    let machine = Machine::v2();
    let line = "memcg 1 /pod7/none\nnode 0\n1 1 1 1\n";
    let text = line.repeat((4 << 20) / line.len());
    let host = host(machine.env());
    host.probe(Path::new(""), Actuator::LruGen).unwrap();
    machine.write("sys/kernel/debug/lru_gen", &text);
    let (snapshot, allocated) = allocated_by(|| host.snapshot(None).unwrap());
    assert!(snapshot.is_empty());
    assert_at_most_eight_times("lru_gen", allocated.peak, text.len());
}

/// Also the message about what is wrong is short.
#[test]
fn words_of_any_length_take_a_constant() {
    for (byte, length) in [
        (b'x', LARGE),
        (b'1', 1 << 20),
        (b' ', 1 << 20),
        (1, 1 << 20),
        (0xff, 1 << 20),
        (b'\n', 1 << 20),
    ] {
        let long = vec![byte; length];
        let pressure = [&b"some total="[..], &long].concat();
        let (parsed, allocated) = allocated_by(|| parse_pressure(&pressure));
        let message = format!("{:#}", parsed.unwrap_err());
        assert!(allocated.peak <= CONSTANT, "{byte}: {allocated:?}");
        assert!(message.len() < 1_000, "{byte}: {message}");
        let (parsed, allocated) = allocated_by(|| parse_pressure(&long));
        assert!(allocated.peak <= CONSTANT, "{byte}: {allocated:?}");
        assert!(parsed.unwrap_err().to_string().len() < 1_000);

        let meminfo = [&b"SwapFree:"[..], &long].concat();
        let (parsed, allocated) = allocated_by(|| parse_meminfo(&meminfo, "SwapFree:"));
        let message = format!("{:#}", parsed.unwrap_err());
        assert!(allocated.peak <= CONSTANT, "{byte}: {allocated:?}");
        assert!(message.len() < 1_000, "{byte}: {message}");

        let stat = [&b"pgsteal "[..], &long].concat();
        let (_, allocated) = allocated_by(|| parse_memory_stat(&stat));
        assert!(allocated.peak <= CONSTANT, "{byte}: {allocated:?}");
    }
}

#[test]
fn tables_of_any_length_take_a_constant() {
    let row = "Node 0, zone Normal, type Movable 1 1\n";
    let head = "Free pages count per migrate type at order 0 1\n";
    let rows = LARGE / row.len();
    let (pages, allocated) =
        allocated_by(|| parse_pagetypeinfo(&[head, &row.repeat(rows)].concat(), 9));
    assert_eq!(pages, 3 * rows as u64);
    assert_at_most_eight_times("rows", allocated.peak, LARGE);
    let long = [head, row.trim_end(), &" 0".repeat(LARGE / 2)].concat();
    let (pages, allocated) = allocated_by(|| parse_pagetypeinfo(&long, 9));
    assert_eq!((pages, allocated.calls), (3, 0));
    let lines = "pgsteal_kswapd 1\n".repeat(1 << 18);
    let (stat, allocated) = allocated_by(|| parse_memory_stat(lines.as_bytes()));
    assert_eq!((stat.reclaimed, allocated.calls), (1 << 18, 0));
}

/// A compaction that is over at once.
struct Over;

impl Compactor for Over {
    fn start(&self) -> io::Result<Box<dyn Running>> {
        Ok(Box::new(Self))
    }
}

impl Running for Over {
    fn poll(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn kill(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_of_any_size_do_no_harm_to_a_compaction() {
    let machine = Machine::v2();
    for file in [
        "proc/pagetypeinfo",
        "proc/meminfo",
        "sys/fs/cgroup/io.pressure",
    ] {
        fs::write(machine.path(file), vec![0xff; LARGE]).unwrap();
    }
    let env = Env {
        compactor: Some(Arc::new(Over)),
        ..machine.env()
    };
    let mut compact = Compact::with_env(env, compact::Config::default()).unwrap();
    for io in ["", "some total=1\n"] {
        let (result, allocated) = allocated_by(|| compact.work());
        result.unwrap();
        assert_at_most_eight_times("files", allocated.peak, LARGE);
        machine.write("sys/fs/cgroup/io.pressure", io);
        machine.write("proc/meminfo", "MemFree: 1 kB\n");
    }
}

/// Cgroups that are only seen.
struct Crowd {
    paths: Vec<String>,
    nodes: u32,
}

impl Host for Crowd {
    fn now(&self) -> Duration {
        Duration::from_secs(1_000)
    }

    fn pause(&self, _time: Duration) {}

    fn probe(&self, psi_path: &Path, _actuator: Actuator) -> anyhow::Result<PathBuf> {
        Ok(psi_path.to_owned())
    }

    fn snapshot(&self, _wanted: Option<&HashSet<String>>) -> anyhow::Result<Snapshot> {
        let mut snapshot = Snapshot::new(self.now());
        for (path, id) in self.paths.iter().zip(1..) {
            let node = |node| NodeLook {
                node,
                max_seq: 3,
                youngest_age_ms: 1_000,
                ..NodeLook::default()
            };
            snapshot.push(path, id, id, (0..self.nodes).map(node));
        }
        Ok(snapshot)
    }

    fn command(&self, _cmd: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn pressure(&self, _psi_dir: &Path, _cgroup: &str) -> io::Result<Pressure> {
        Ok(Pressure::default())
    }

    fn swap_free_kb(&self) -> anyhow::Result<u64> {
        Ok(0)
    }
}

fn with_an_entry() -> Config {
    Config {
        cgroups: [("/a/a".to_owned(), vec![CgroupConfig::default()])].into(),
        ..Config::default()
    }
}

/// That is a small part of what the kernel has for each.
#[test]
fn a_hundred_thousand_cgroups_take_a_kilobyte_or_two_each() {
    let crowd = Arc::new(Crowd {
        paths: (0..DEEP).map(|n| format!("/kubepods/pod{n}")).collect(),
        nodes: 2,
    });
    let (memcg, allocated) = allocated_by(|| MemCG::with_host(crowd, with_an_entry()).unwrap());
    println!("known: {} bytes each at most", allocated.peak / DEEP);
    assert!(allocated.peak <= 1536 * DEEP, "{allocated:?}");
    let (result, allocated) = allocated_by(|| memcg.clone().work(&vec![600]));
    result.unwrap();
    println!("a run: {} bytes each more", allocated.peak / DEEP);
    assert!(allocated.peak <= 1536 * DEEP, "{allocated:?}");
    let (status, allocated) = allocated_by(|| memcg.status());
    assert_eq!(status.len(), DEEP);
    println!("its status: {} bytes each", allocated.peak / DEEP);
    assert!(allocated.peak <= 2048 * DEEP, "{allocated:?}");
}

#[test]
fn deep_path_takes_a_small_multiple_of_its_length() {
    let path = "/a".repeat(DEEP);
    let text = format!("memcg 1 {path}\n node 0\n 0 90000 1 1\n");
    let (count, allocated) = allocated_by(|| {
        let dump = Dump::parse(text.as_bytes(), Wanted::All);
        dump.memcgs().filter(|memcg| memcg.path() == path).count()
    });
    assert_eq!(count, 1);
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
    let crowd = Arc::new(Crowd {
        paths: vec![path.clone()],
        nodes: 1,
    });
    let (memcg, allocated) = allocated_by(|| MemCG::with_host(crowd, with_an_entry()).unwrap());
    assert_at_most_eight_times("a look", allocated.peak, path.len());
    let (result, allocated) = allocated_by(|| memcg.clone().work(&vec![600]));
    result.unwrap();
    assert_at_most_eight_times("a run", allocated.peak, path.len());
    assert_eq!(memcg.status().len(), 1);

    // The kernel has no directory with such a path.
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(1, &path, &[(1, 1)])]);
    let host = host(machine.env_with(&lru));
    host.probe(Path::new(""), Actuator::LruGen).unwrap();
    assert!(host.snapshot(None).unwrap().is_empty());
}
