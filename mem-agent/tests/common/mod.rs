//! Machines made of files, a clock that is set by hand, and a small `lru_gen`.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod compactor;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mem_agent::env::{CgroupVersion, Clock, Env, LruGen};
use mem_agent::memcg::{MemCG, Numa, SingleConfig};
use mem_agent::{compact, memcg};
use tempfile::TempDir;

/// A clock that sleeping moves.
#[derive(Default)]
pub struct FakeClock(Mutex<Duration>);

impl FakeClock {
    pub fn advance(&self, secs: u64) {
        self.sleep(Duration::from_secs(secs));
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, d: Duration) {
        *self.0.lock().unwrap() += d;
    }
}

pub const MEMINFO: &str = "MemTotal:        4026532 kB\nMemFree:          812340 kB\nMemAvailable:    2900112 kB\nSwapTotal:       2097148 kB\nSwapFree:        1998000 kB\n";

pub const PAGETYPEINFO: &str = "\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 
Node    0, zone    DMA32, type    Unmovable      3      1      0      0      0      0      0      0      0      0      0 
Node    0, zone    DMA32, type      Movable     10     20     30      0      0      0      0      0      0      2    100 
Node    0, zone   Normal, type      Movable >100000    500    250    125      0      0      0      0      1      0     40 
Node    0, zone  Movable, type      Movable      7      0      0      0      0      0      0      0      0      0      5 

Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate 
Node 0, zone    DMA32            1           60            0            0            0 
Node 0, zone   Normal           12          400            3            0            0 
Node 0, zone  Movable            0           96            0            0            0 
";

pub const LRU_GEN: &str = "\
memcg     1 /
 node     0
          4     930410        310       8123 
          5     610200          0          0 
          6     305111         40       2210 
          7       2040       1500        641 
memcg    12 /pod7
 node     0
          0     930000          0          0 
          1     620000          0          0 
          2     310000          0          0 
          3       1000          2          0 
memcg    19 /pod7/web
 node     0
          9     900300       1536        512 
         10     600200        700        300 
         11     300100        200        900 
         12     120000       4000       2500 
 node     1
memcg 70211 /pod7/odd name
 node     0
         20     900000          0         77 
         21     600000          0          0 
         22     300000          0          0 
         23      90000         10         12 
memcg     0 /pod7/gone
 node     0
          0     100000          0          5 
";

/// A directory with `proc` and `sys`.
pub struct Machine {
    pub root: TempDir,
    pub clock: Arc<FakeClock>,
    version: CgroupVersion,
}

impl Machine {
    /// The sample tree with cgroup v2.
    pub fn v2() -> Self {
        let machine = Self::empty(CgroupVersion::V2);
        machine.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory");
        machine.write("sys/fs/cgroup/memory.reclaim", "");
        machine.stall("", 2_000_000, 1_000_000);
        machine.cgroup("pod7", 900_000, 410_000);
        machine.cgroup("pod7/web", 200_000, 60_000);
        machine.cgroup("pod7/odd name", 150_000, 90_000);
        machine
    }

    /// The sample tree with cgroup v1.
    pub fn v1() -> Self {
        let machine = Self::empty(CgroupVersion::V1);
        fs::create_dir_all(machine.path("sys/fs/cgroup/memory/pod7/web")).unwrap();
        for (dir, memory, io) in [("", 9, 9), ("/pod7", 9, 9), ("/pod7/web", 9, 9)] {
            machine.pressure(&format!("sys/fs/cgroup/cpuacct{dir}"), memory, io);
        }
        machine
    }

    fn empty(version: CgroupVersion) -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            version,
        };
        machine.clock.advance(1000);
        machine.write("proc/meminfo", MEMINFO);
        machine.write("proc/pagetypeinfo", PAGETYPEINFO);
        machine.write("proc/sys/vm/compact_memory", "");
        machine.write("sys/kernel/mm/lru_gen/enabled", "0x0000\n");
        machine.write("sys/kernel/debug/lru_gen", LRU_GEN);
        machine
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.root.path().join(file)
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    /// A cgroup of version 2 with its files.
    pub fn cgroup(&self, name: &str, memory: u64, io: u64) {
        self.write(&format!("sys/fs/cgroup/{name}/memory.current"), "8388608\n");
        self.write(&format!("sys/fs/cgroup/{name}/memory.reclaim"), "");
        self.stall(name, memory, io);
    }

    /// Sets the stall times of a cgroup of version 2.
    pub fn stall(&self, name: &str, memory: u64, io: u64) {
        self.pressure(&format!("sys/fs/cgroup/{name}"), memory, io);
    }

    fn pressure(&self, dir: &str, memory: u64, io: u64) {
        for (file, total) in [("memory.pressure", memory), ("io.pressure", io)] {
            let text = format!(
                "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
            );
            self.write(&format!("{dir}/{file}"), &text);
        }
    }

    pub fn env(&self) -> Env {
        Env {
            proc_root: self.path("proc"),
            sys_root: self.path("sys"),
            cgroup: self.version,
            clock: self.clock.clone(),
            page_size: 4096,
            ..Env::default()
        }
    }

    pub fn env_with(&self, lru_gen: &Arc<FakeLru>) -> Env {
        Env {
            lru_gen: Some(lru_gen.clone()),
            ..self.env()
        }
    }
}

/// Generations of one cgroup on one node: (anon, file), from the oldest to the youngest.
#[derive(Clone, Debug)]
pub struct FakeMemcg {
    pub path: String,
    pub node: u32,
    pub min_seq: u64,
    pub age_ms: i64,
    pub generations: Vec<(u64, u64)>,
}

/// A `lru_gen` that obeys: an aging adds a generation and merges the oldest two of more than four, an
/// eviction takes what it is told to.
#[derive(Default)]
pub struct FakeLru {
    pub memcgs: Mutex<BTreeMap<u64, FakeMemcg>>,
    pub log: Mutex<Vec<String>>,
    pub reads: Mutex<u64>,
    /// Called with each command before it is obeyed; an error refuses it.
    #[allow(clippy::type_complexity, reason = "a test's hook")]
    pub hook: Mutex<Option<Box<dyn FnMut(&str) -> io::Result<()> + Send>>>,
}

/// Id, path, generations.
pub type Memcg<'a> = (u64, &'a str, &'a [(u64, u64)]);

impl FakeLru {
    pub fn new(memcgs: &[Memcg<'_>]) -> Arc<Self> {
        let lru = Self::default();
        for (id, path, generations) in memcgs {
            lru.set(*id, path, generations);
        }
        Arc::new(lru)
    }

    pub fn set(&self, id: u64, path: &str, generations: &[(u64, u64)]) {
        let memcg = FakeMemcg {
            path: path.to_owned(),
            node: 0,
            min_seq: 5,
            age_ms: 100_000,
            generations: generations.to_vec(),
        };
        self.memcgs.lock().unwrap().insert(id, memcg);
    }

    pub fn remove(&self, id: u64) {
        self.memcgs.lock().unwrap().remove(&id);
    }

    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    pub fn take_reads(&self) -> u64 {
        std::mem::take(&mut *self.reads.lock().unwrap())
    }

    pub fn oldest(&self, id: u64) -> (u64, u64) {
        self.memcgs.lock().unwrap()[&id].generations[0]
    }
}

impl LruGen for FakeLru {
    fn read(&self) -> io::Result<Vec<u8>> {
        *self.reads.lock().unwrap() += 1;
        let mut text = String::new();
        for (id, memcg) in &*self.memcgs.lock().unwrap() {
            text.push_str(&format!(
                "memcg {id:5} {}\n node {:5}\n",
                memcg.path, memcg.node
            ));
            let last = memcg.generations.len() - 1;
            for (index, (anon, file)) in memcg.generations.iter().enumerate() {
                let age = memcg.age_ms + (last - index) as i64 * 300_000;
                let seq = memcg.min_seq + index as u64;
                text.push_str(&format!(" {seq:10} {age:10} {anon:10} {file:10} \n"));
            }
        }
        Ok(text.into_bytes())
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.log.lock().unwrap().push(cmd.to_owned());
        if let Some(hook) = &mut *self.hook.lock().unwrap() {
            hook(cmd)?;
        }
        let words: Vec<&str> = cmd.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().unwrap();
        let mut memcgs = self.memcgs.lock().unwrap();
        let memcg = memcgs
            .get_mut(&number(1))
            .ok_or(io::ErrorKind::InvalidInput)?;
        match words[0] {
            "+" => {
                memcg.generations.push((0, 0));
                if memcg.generations.len() > 4 {
                    let (anon, file) = memcg.generations.remove(0);
                    memcg.generations[0].0 += anon;
                    memcg.generations[0].1 += file;
                    memcg.min_seq += 1;
                }
            }
            _ => {
                if memcg.min_seq != number(3) {
                    return Ok(());
                }
                let (anon, file) = &mut memcg.generations[0];
                let mut left = number(5);
                if number(4) < 200 {
                    let taken = left.min(*file);
                    *file -= taken;
                    left -= taken;
                }
                if number(4) > 0 {
                    *anon -= left.min(*anon);
                }
            }
        }
        Ok(())
    }
}

/// Settings that evict after the first aging.
pub fn eager() -> SingleConfig {
    SingleConfig {
        eviction_run_aging_count_min: 1,
        ..Default::default()
    }
}

pub fn memcg_config(default: SingleConfig) -> memcg::Config {
    memcg::Config {
        default,
        ..Default::default()
    }
}

pub fn memcg_off() -> memcg::Config {
    memcg_config(SingleConfig {
        disabled: true,
        ..Default::default()
    })
}

pub fn compact_off() -> compact::Config {
    compact::Config {
        disabled: true,
        ..Default::default()
    }
}

/// Waits for a future on the calling thread, without any runtime.
pub fn wait<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// As if aged long ago: three generations, so that the aging of a run makes the fourth.
pub const COLD: &[(u64, u64)] = &[(1536, 512), (0, 0), (10, 10)];

/// How many agings and evictions.
pub fn tally(log: &[String]) -> (usize, usize) {
    let count = |sign| {
        log.iter()
            .filter(|command| command.starts_with(sign))
            .count()
    };
    (count('+'), count('-'))
}

pub fn run(memcg: &mut MemCG) {
    let due = memcg.get_timeout_list();
    memcg.work(&due).unwrap();
    memcg.reset_timers(&due);
}

pub fn numa(memcg: &MemCG, path: &str) -> Numa {
    wait(memcg.get_status())[path].numa[&0].clone()
}

pub fn start(machine: &Machine, lru: &Arc<FakeLru>, config: SingleConfig) -> MemCG {
    MemCG::with_env(machine.env_with(lru), memcg_config(config)).unwrap()
}
