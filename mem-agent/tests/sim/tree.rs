//! The machine as files, with a clock, the `lru_gen` file and a compactor.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mem_agent::env::{CgroupVersion, Clock, Compactor, Env, LruGen, Running};

use super::machine::{Machine, PAGE};
use super::simulator::Simulator;

/// A directory with the files that the agent reads, kept up to date with a [`Simulator`]. What reads
/// and acts through [`env`](Self::env) sees each change; after others, call [`sync`](Self::sync).
#[derive(Clone)]
pub struct Tree(Arc<Shared>);

struct Shared {
    simulator: Simulator,
    /// Removed with the last handle.
    root: tempfile::TempDir,
    /// What is in the files.
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    files: BTreeMap<PathBuf, String>,
    /// With the inode numbers that they have in the machine.
    dirs: BTreeMap<PathBuf, u64>,
    buried: usize,
}

impl Tree {
    /// # Errors
    ///
    /// The temporary directory cannot be made.
    pub fn new(simulator: Simulator) -> io::Result<Self> {
        let tree = Self(Arc::new(Shared {
            simulator,
            root: tempfile::tempdir()?,
            written: Mutex::default(),
        }));
        tree.sync()?;
        Ok(tree)
    }

    pub fn root(&self) -> &Path {
        self.0.root.path()
    }

    /// For `with_env` of both halves and of the agent. `memory.reclaim` is not in it: a file could
    /// not answer.
    pub fn env(&self) -> Env {
        Env {
            proc_root: self.root().join("proc"),
            sys_root: self.root().join("sys"),
            cgroup: CgroupVersion::V2,
            clock: Arc::new(self.clone()),
            lru_gen: Some(Arc::new(self.clone())),
            compactor: Some(Arc::new(self.clone())),
            page_size: PAGE,
        }
    }

    /// Brings the files up to date.
    ///
    /// # Errors
    ///
    /// That of the file system.
    pub fn sync(&self) -> io::Result<()> {
        let (dirs, wanted) = {
            let machine = self.machine();
            (dirs(&machine), files(&machine))
        };
        let mut written = self
            .0
            .written
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Written {
            files,
            dirs: old,
            buried,
        } = &mut *written;
        for (dir, ino) in &*old {
            if dirs.get(dir) != Some(ino) {
                *buried += 1;
                self.bury(dir, *buried)?;
            }
        }
        let is_same = |dir: &Path| old.get(dir) == dirs.get(dir);
        files.retain(|path, _| path.parent().is_some_and(is_same));
        for path in files.keys().filter(|path| !wanted.contains_key(*path)) {
            fs::remove_file(self.root().join(path))?;
        }
        files.retain(|path, _| wanted.contains_key(path));
        for dir in dirs.keys() {
            fs::create_dir_all(self.root().join(dir))?;
        }
        written.dirs = dirs;
        for (path, text) in wanted {
            if written.files.get(&path) != Some(&text) {
                fs::write(self.root().join(&path), &text)?;
                written.files.insert(path, text);
            }
        }
        Ok(())
    }

    /// Keeps a directory elsewhere, so that no other one gets its inode number.
    fn bury(&self, dir: &Path, number: usize) -> io::Result<()> {
        let grave = self.root().join(format!("gone-{number}"));
        match fs::rename(self.root().join(dir), grave) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // with its parent
            result => result,
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.simulator.machine()
    }
}

/// Names of directories below the root, and inode numbers of those of cgroups.
fn dirs(machine: &Machine) -> BTreeMap<PathBuf, u64> {
    let cgroups = machine
        .paths()
        .map(|path| (dir(path), machine.cgroup(path).ino));
    cgroups.chain([("proc".into(), 0)]).collect()
}

fn dir(cgroup: &str) -> PathBuf {
    Path::new("sys/fs/cgroup").join(cgroup.trim_start_matches('/'))
}

/// Names below the root, and contents.
fn files(machine: &Machine) -> BTreeMap<PathBuf, String> {
    let memory = &machine.memory;
    let mut files = BTreeMap::from([
        (PathBuf::from("proc/pagetypeinfo"), memory.pagetypeinfo()),
        (
            PathBuf::from("proc/meminfo"),
            memory.meminfo(machine.swap_total, machine.swap_free),
        ),
    ]);
    for path in machine.paths() {
        let dir = dir(path);
        let cgroup = machine.cgroup(path);
        let totals = machine.totals(path);
        let pressure = |total| {
            format!(
                "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
            )
        };
        if cgroup.has_psi {
            files.insert(dir.join("memory.pressure"), pressure(totals.memory));
            files.insert(dir.join("io.pressure"), pressure(totals.io));
        }
        files.insert(
            dir.join("memory.current"),
            format!("{}\n", machine.current(path)),
        );
        if path != "/" {
            files.insert(dir.join("memory.min"), format!("{}\n", cgroup.min));
            files.insert(dir.join("memory.low"), format!("{}\n", cgroup.low));
        }
    }
    files
}

impl Clock for Tree {
    fn now(&self) -> Duration {
        self.machine().now()
    }

    fn sleep(&self, d: Duration) {
        self.machine().advance(d);
        // A file that cannot be written is seen by those who read it.
        let _ = self.sync();
    }
}

/// Inode numbers of the directories are not those of the machine: ids of
/// [`Ids::Cgroup64`](super::Ids) only look like them.
impl LruGen for Tree {
    fn read(&self) -> io::Result<Vec<u8>> {
        let text = self.machine().dump()?;
        self.sync()?;
        Ok(text.into_bytes())
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        let result = self.machine().write(cmd);
        self.sync()?;
        result
    }

    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        if self.command(&cmds.join("\n")).is_ok() {
            return Ok(());
        }
        cmds.iter()
            .map(|cmd| self.command(cmd))
            .fold(Ok(()), Result::and)
    }
}

impl Compactor for Tree {
    fn start(&self) -> io::Result<Box<dyn Running>> {
        let mut machine = self.machine();
        machine.memory.compactions += 1;
        Ok(Box::new(Compaction {
            tree: self.clone(),
            looked: machine.now(),
            is_killed: false,
        }))
    }
}

struct Compaction {
    tree: Tree,
    looked: Duration,
    is_killed: bool,
}

impl Running for Compaction {
    fn poll(&mut self) -> io::Result<bool> {
        if self.is_killed {
            return Ok(true);
        }
        let is_done = {
            let mut machine = self.tree.machine();
            let time = machine.now() - self.looked;
            self.looked = machine.now();
            let pages = machine.costs.compaction as u128 * time.as_millis() / 1000;
            machine.memory.compact(pages as u64);
            machine.memory.is_compact()
        };
        self.tree.sync()?;
        Ok(is_done)
    }

    fn kill(&mut self) -> io::Result<()> {
        self.is_killed = true;
        Ok(())
    }
}
