//! Cgroups of a real kernel, processes in them, and an `lru_gen` on which time flies.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mem_agent::agent::{MemAgent, RuntimeGuard};
use mem_agent::env::{Env, LruGen};
use mem_agent::memcg::{CgroupConfig, Config, Numa, SingleConfig};

use crate::common::{compact_off, eager, memcg_off, wait};

const PAGE: usize = 4096;
/// What is no test, but the body of a [`Process`].
const PROCESS: &str = "process_in_a_cgroup";
/// Tells that body what to do.
const USE: &str = "KATA_GUEST_MEMORY_USE";
/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(300);
/// Makes the shell join the cgroups given before `--`, and become what is given after it.
const JOIN: &str = r#"
    while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done
    shift; exec "$@""#;

/// The parents of all cgroups of the tests, one per hierarchy; that with their memory first.
static PODS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let root = Path::new("/sys/fs/cgroup");
    let v1 = root.join("memory");
    if v1.is_dir() {
        let pods = [v1.join("pod"), root.join("unified/pod")];
        pods.iter().for_each(|pod| fs::create_dir_all(pod).unwrap());
        return pods.into();
    }
    let pod = root.join("pod");
    enable_memory(root);
    // Another process of the test may have made it.
    fs::create_dir_all(&pod).unwrap();
    enable_memory(&pod);
    vec![pod]
});

/// Blocks until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LONG, "still waiting until {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A cgroup below `/pod`, in each hierarchy. Dropping it leaves it there.
pub struct Cgroup {
    dirs: Vec<PathBuf>,
    path: String,
}

/// A process in a cgroup, ended when it is dropped.
pub struct Process(Child);

/// What a process does with its memory, after it has touched it.
#[derive(Clone, Copy)]
pub enum Use {
    /// Leaves it alone.
    Cold,
    /// Touches all of it, over and over.
    Hot,
}

impl Cgroup {
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        let dirs: Vec<PathBuf> = PODS.iter().map(|pod| pod.join(name)).collect();
        dirs.iter().for_each(|dir| make(dir));
        let path = format!("/pod/{}", name.to_string_lossy());
        Self { dirs, path }
    }

    /// In the hierarchy with the memory only.
    pub fn without_pressure(name: &str) -> Self {
        let dirs = vec![PODS[0].join(name)];
        make(&dirs[0]);
        let path = format!("/pod/{name}");
        Self { dirs, path }
    }

    /// With the pages of a file that nobody uses any more.
    pub fn with_cold_file(name: impl AsRef<OsStr>, pages: u64) -> Self {
        let cgroup = Self::new(name);
        cgroup.read_file(pages);
        assert!(cgroup.pages() >= pages);
        cgroup
    }

    /// Reads a new file into its memory. Returns its path: with the file, its pages would go.
    pub fn read_file(&self, pages: u64) -> PathBuf {
        static FILES: AtomicU64 = AtomicU64::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let file = PathBuf::from(format!("/mnt/{}-{number}", std::process::id()));
        fs::File::create(&file)
            .and_then(|new| new.set_len(pages * PAGE as u64))
            .unwrap();
        let mut command = self.command(["dd", "of=/dev/null", "bs=64k"]);
        command
            .arg(format!("if={}", file.display()))
            .stderr(Stdio::null());
        assert!(command.status().unwrap().success());
        file
    }

    /// A process in it with this much memory, after it has touched it.
    pub fn start(&self, usage: Use, pages: usize) -> Process {
        let mut command = self.command([env::current_exe().unwrap()]);
        command
            .args([PROCESS, "--exact", "--nocapture", "--include-ignored"])
            .env(USE, format!("{} {pages}", usage.name()))
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let process = Process(child);
        let mut lines = output.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with("touched")));
        process
    }

    /// A process in it that waits for the swap disk most of the time, for longer than any test, after
    /// it has begun to.
    pub fn start_stalling(&self) -> Process {
        let before = self.stalled();
        self.slow_the_disk_down();
        // One reading of the disk can be over before the agent has looked often enough.
        let reads = "while dd if=/dev/vda of=/dev/null bs=64k iflag=direct; do :; done";
        let mut command = self.command(["/bin/sh", "-c", reads]);
        let process = Process(
            command
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap(),
        );
        until("it stalls", || self.stalled() > before);
        process
    }

    /// A mebibyte is read in a second: else, on a machine with one processor, a block is there before
    /// anybody waits for it.
    fn slow_the_disk_down(&self) {
        let disk = fs::read_to_string("/sys/block/vda/dev").unwrap();
        let disk = disk.trim();
        let v1 = Path::new("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device");
        if v1.exists() {
            return fs::write(v1, format!("{disk} 1048576")).unwrap(); // of all processes
        }
        for parent in [Path::new("/sys/fs/cgroup"), &PODS[0]] {
            fs::write(parent.join("cgroup.subtree_control"), "+io").unwrap();
        }
        let limit = self.dir().join("io.max");
        fs::write(limit, format!("{disk} rbps=1048576")).unwrap();
    }

    /// How long its processes have waited for I/O, in microseconds.
    fn stalled(&self) -> u64 {
        let file = self.dirs.last().unwrap().join("io.pressure");
        let text = fs::read_to_string(file).unwrap();
        let some = text.lines().find(|line| line.starts_with("some ")).unwrap();
        some.rsplit_once("total=").unwrap().1.parse().unwrap()
    }

    fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", JOIN, "sh"]).args(&self.dirs).arg("--");
        command.args(words).stdin(Stdio::null());
        command
    }

    /// As `lru_gen` and the agent know it.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn dir(&self) -> &Path {
        &self.dirs[0]
    }

    pub fn remove(&self) {
        for dir in &self.dirs {
            fs::remove_dir(dir).unwrap();
        }
    }

    /// The pages in its memory.
    pub fn pages(&self) -> u64 {
        let file = self.dir().join("memory.current");
        let text = fs::read_to_string(file)
            .or_else(|_| fs::read_to_string(self.dir().join("memory.usage_in_bytes")));
        text.unwrap().trim().parse::<u64>().unwrap() / PAGE as u64
    }

    /// The pages of it that are in swap.
    pub fn swapped_pages(&self) -> u64 {
        let text = fs::read_to_string(self.dir().join("memory.swap.current")).unwrap();
        text.trim().parse::<u64>().unwrap() / PAGE as u64
    }

    pub fn stat(&self, key: &str) -> u64 {
        let text = fs::read_to_string(self.dir().join("memory.stat")).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Hot => "hot",
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it has started is in its group, if it leads one.
        let group = format!("kill -9 -{}", self.0.id());
        let mut kill = Command::new("/bin/sh");
        kill.args(["-c", &group]).stderr(Stdio::null());
        if !kill.status().unwrap().success() {
            self.0.kill().unwrap();
        }
        self.0.wait().unwrap();
    }
}

/// The body of a [`Process`].
pub fn use_memory() {
    let Ok(order) = env::var(USE) else {
        return;
    };
    let (usage, pages) = order.split_once(' ').unwrap();
    let mut memory = vec![1_u8; pages.parse::<usize>().unwrap() * PAGE];
    println!("\ntouched");
    while usage == Use::Hot.name() {
        for page in memory.chunks_mut(PAGE) {
            page[0] = page[0].wrapping_add(1);
        }
        std::hint::black_box(&memory);
        thread::sleep(Duration::from_millis(20));
    }
    loop {
        thread::park();
        std::hint::black_box(&memory);
    }
}

/// Called with each command before the kernel gets it.
type Hook = Box<dyn FnMut(&str) + Send>;

/// The kernel's `lru_gen`, with ages as if time went faster, and a record of commands.
pub struct FastLru {
    speed: u64,
    log: Mutex<Vec<String>>,
    hook: Mutex<Option<Hook>>,
}

impl FastLru {
    /// Each millisecond is more than a minute.
    pub fn instant() -> Arc<Self> {
        Self::new(100_000)
    }

    pub fn new(speed: u64) -> Arc<Self> {
        Arc::new(Self {
            speed,
            log: Mutex::default(),
            hook: Mutex::default(),
        })
    }

    pub fn set_hook(&self, hook: impl FnMut(&str) + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Box::new(hook));
    }

    /// How many commands have begun with this.
    pub fn count(&self, start: &str) -> usize {
        let log = self.log.lock().unwrap();
        log.iter().filter(|cmd| cmd.starts_with(start)).count()
    }

    /// Forgets the commands so far.
    pub fn forget(&self) {
        self.log.lock().unwrap().clear();
    }

    /// ` SEQ AGE ANON FILE`, with blanks in between.
    fn hurry(&self, line: &str) -> Option<String> {
        let (seq, rest) = line.trim_start().split_once(' ')?;
        let rest = rest.trim_start();
        let (age, rest) = rest.split_once(' ')?;
        let age = age.parse::<u64>().ok()?.saturating_mul(self.speed);
        Some(format!(" {seq} {age} {rest}"))
    }
}

const LRU_GEN: &str = "/sys/kernel/debug/lru_gen";

impl LruGen for FastLru {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for line in fs::read(LRU_GEN)?.split_inclusive(|byte| *byte == b'\n') {
            let generation = std::str::from_utf8(line)
                .ok()
                .filter(|line| !line.starts_with("memcg") && !line.starts_with(" node"));
            match generation.and_then(|line| self.hurry(line)) {
                Some(line) => text.extend_from_slice(line.as_bytes()),
                None => text.extend_from_slice(line),
            }
        }
        Ok(text)
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.log.lock().unwrap().push(cmd.to_owned());
        if let Some(hook) = &mut *self.hook.lock().unwrap() {
            hook(cmd);
        }
        fs::write(LRU_GEN, cmd)
    }
}

/// Runs every second, and bears any pressure.
pub fn tireless() -> SingleConfig {
    SingleConfig {
        period_secs: 1,
        period_psi_percent_limit: u8::MAX,
        eviction_psi_percent_limit: u8::MAX,
        ..eager()
    }
}

/// As [`tireless`], and swaps.
pub fn swapping() -> SingleConfig {
    SingleConfig {
        swap: true,
        swappiness_max: 200,
        ..tireless()
    }
}

/// For some cgroups alone, and those below them.
pub fn config_for(cgroups: &[(&Cgroup, SingleConfig)]) -> Config {
    let cgroups = cgroups.iter().map(|(cgroup, config)| {
        let entry = CgroupConfig {
            config: config.clone(),
            ..Default::default()
        };
        (cgroup.path.clone(), vec![entry])
    });
    Config {
        cgroups: cgroups.collect(),
        ..memcg_off()
    }
}

/// An agent of these cgroups alone.
pub fn agent_for(
    lru: &Arc<FastLru>,
    cgroups: &[(&Cgroup, SingleConfig)],
) -> (MemAgent, RuntimeGuard) {
    let env = Env {
        lru_gen: Some(lru.clone()),
        ..Env::default()
    };
    MemAgent::with_env(env, config_for(cgroups), compact_off()).unwrap()
}

/// A number of the status, of all nodes; 0 for a cgroup that is not known.
pub fn total(agent: &MemAgent, cgroup: &Cgroup, number: impl Fn(&Numa) -> u64) -> u64 {
    let status = wait(agent.memcg_status_async()).unwrap();
    let cgroup = status.get(cgroup.path());
    cgroup.map_or(0, |cgroup| cgroup.numa.values().map(number).sum())
}

/// How often it has been aged.
pub fn agings(agent: &MemAgent, cgroup: &Cgroup) -> u64 {
    total(agent, cgroup, |numa| numa.run_aging_count)
}

/// The number by which commands name a cgroup.
pub fn kernel_id(agent: &MemAgent, cgroup: &Cgroup) -> Option<u64> {
    let status = wait(agent.memcg_status_async()).unwrap();
    Some(status.get(cgroup.path())?.kernel_id())
}

/// Lets cgroups in this one have memory of their own.
pub fn enable_memory(dir: &Path) {
    fs::write(dir.join("cgroup.subtree_control"), "+memory").unwrap();
}

fn make(dir: &Path) {
    fs::create_dir(dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
}

/// M5, of whatever version the cgroups are: nothing is evicted before pressure ends.
pub fn stalling_cgroup_is_passed_over() {
    const PAGES: u64 = 2048;
    let cgroup = Cgroup::with_cold_file("stalling", PAGES);
    let config = SingleConfig {
        period_psi_percent_limit: 0,
        // Before the first period, pressure is unknown.
        eviction_run_aging_count_min: 2,
        ..tireless()
    };
    let stalling = cgroup.start_stalling();
    let lru = FastLru::instant();
    let (agent, _guard) = agent_for(&lru, &[(&cgroup, config)]);
    until("it has been passed over three times", || {
        total(&agent, &cgroup, |numa| numa.sleep_psi_exceeds_limit) >= 3
    });
    assert!(cgroup.pages() >= PAGES, "nothing has been evicted");
    drop(stalling);
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
}
