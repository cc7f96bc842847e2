//! The memcg half's view of an [`Env`].

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::memcg::Actuator;
use crate::mglru::{ALL_FEATURES, Dump, Memcg, Wanted, parse_switch};
use crate::proc::MemoryStat;
use crate::psi::{MEMORY_PRESSURE, Pressure};

use super::files::{read_number, read_small};
use super::host::{Host, NodeLook, Protection, Snapshot, Watch};
use super::lru_gen::LruGenFile;
use super::machine::Machine;
use super::trigger::Trigger;
use super::{Cancel, Env, LruGen};

/// A [`Host`] made of files.
pub(crate) struct SystemHost {
    machine: Machine,
    /// Found by the first probe.
    found: OnceLock<Found>,
    /// About the text of `lru_gen`: it is read often, and does not get better.
    has_warned: AtomicBool,
}

struct Found {
    memcg_root: PathBuf,
    has_v2: bool,
    lru_gen: Source,
}

/// Where generations come from.
enum Source {
    LruGen(Arc<dyn LruGen>),
    /// There is no MGLRU, for this reason.
    MemoryStat(String),
}

impl SystemHost {
    pub(crate) fn new(env: Env, cancel: Cancel) -> Self {
        Self {
            machine: Machine::new(env, cancel),
            found: OnceLock::new(),
            has_warned: AtomicBool::new(false),
        }
    }

    fn found(&self) -> io::Result<&Found> {
        self.found
            .get()
            .ok_or_else(|| io::Error::other("MGLRU has not been checked"))
    }

    fn find(&self, actuator: Actuator) -> Result<Found> {
        let has_v2 = self.machine.env.is_cgroup_v2()?;
        let memcg_root = self.machine.env.memcg_root()?;
        let lru_gen = match self.lru_gen() {
            Ok(lru_gen) => Source::LruGen(lru_gen),
            Err(error) => {
                let can_do_without =
                    has_v2 && actuator == Actuator::MemoryReclaim && has_reclaim_below(&memcg_root);
                if !can_do_without {
                    return Err(anyhow!("mglru::check failed: {error:#}"));
                }
                warn!(
                    "mglru::check failed, memory.reclaim alone is used: {:#}",
                    error
                );
                Source::MemoryStat(format!("{error:#}"))
            }
        };
        Ok(Found {
            memcg_root,
            has_v2,
            lru_gen,
        })
    }

    /// Switches MGLRU on, and finds its file usable (L-C).
    fn lru_gen(&self) -> Result<Arc<dyn LruGen>> {
        let env = &self.machine.env;
        let switch = env.sys_root.join("kernel/mm/lru_gen/enabled");
        match &env.lru_gen {
            Some(lru_gen) => {
                // A simulator need not have a switch.
                if switch.exists() {
                    switch_on(&switch)?;
                }
                Ok(Arc::clone(lru_gen))
            }
            None => {
                switch_on(&switch)?;
                Ok(Arc::new(LruGenFile::open(&env.sys_root)?))
            }
        }
    }

    /// The directory of a cgroup. None for paths that lead elsewhere.
    fn dir(&self, cgroup: &str) -> Option<PathBuf> {
        let found = self.found.get()?;
        cgroup_dir(&found.memcg_root, cgroup)
    }

    fn v2_dir(&self, cgroup: &str) -> Option<PathBuf> {
        if !self.found.get()?.has_v2 {
            return None;
        }
        self.dir(cgroup)
    }

    /// A snapshot of the file's text, with the directories that exist (L8, L9).
    fn snapshot_of(&self, dump: &Dump<'_>, taken: Duration) -> Snapshot {
        if (dump.malformed > 0 || dump.negative_counts > 0)
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            warn!(
                "lru_gen: {} malformed cgroups left out, {} counts below zero taken for 0",
                dump.malformed, dump.negative_counts
            );
        }
        let mut best: HashMap<&str, (Memcg<'_>, u64)> = HashMap::new();
        let mut order = Vec::new();
        for memcg in dump.memcgs() {
            let path = memcg.path();
            if let Some((known, ino)) = best.get_mut(path) {
                if is_better(memcg.id(), known.id(), *ino) {
                    *known = memcg;
                }
                continue;
            }
            match self.dir(path).map(fs::metadata) {
                Some(Ok(directory)) if directory.is_dir() => {
                    best.insert(path, (memcg, directory.ino()));
                    order.push(path);
                }
                _ if memcg.id() != 0 => debug!("cgroup {:?} of lru_gen has no directory", path),
                _ => {}
            }
        }
        let mut snapshot = Snapshot::new(taken);
        for path in order {
            if let Some((memcg, ino)) = best.get(path) {
                snapshot.push(path, memcg.id(), *ino, memcg.nodes().map(node_look));
            }
        }
        snapshot
    }

    /// What `memory.stat` tells instead, for cgroups without children.
    fn estimate(&self, wanted: Option<&HashSet<String>>, taken: Duration) -> Result<Snapshot> {
        let found = self.found()?;
        let mut snapshot = Snapshot::new(taken);
        snapshot.is_estimate = true;
        let mut pending = vec![(String::from("/"), found.memcg_root.clone())];
        while let Some((path, dir)) = pending.pop() {
            let children = child_names(&dir).unwrap_or_default();
            if children.is_empty() && wanted.is_none_or(|wanted| wanted.contains(&path)) {
                self.push_estimate(&mut snapshot, &path, &dir);
            }
            for name in children.iter().filter_map(|name| name.to_str()) {
                let child = format!("{}/{name}", path.trim_end_matches('/'));
                pending.push((child, dir.join(name)));
            }
        }
        Ok(snapshot)
    }

    fn push_estimate(&self, snapshot: &mut Snapshot, path: &str, dir: &Path) {
        let stat = read_small(&dir.join("memory.stat"), MemoryStat::parse);
        let (Ok(stat), Ok(directory)) = (stat, fs::metadata(dir)) else {
            return;
        };
        let page_size = self.machine.page_size().max(1);
        let look = NodeLook {
            node: 0,
            min_seq: 0,
            max_seq: 3,
            youngest_age_ms: i64::MAX,
            anon: stat.inactive_anon / page_size,
            file: stat.inactive_file / page_size,
        };
        snapshot.push(path, directory.ino().max(1), directory.ino(), [look]);
    }
}

impl Host for SystemHost {
    fn now(&self) -> Duration {
        self.machine.now()
    }

    fn pause(&self, time: Duration) {
        self.machine.env.clock.sleep(time);
    }

    fn probe(&self, psi_path: &Path, actuator: Actuator) -> Result<PathBuf> {
        if self.found.get().is_none() {
            let found = self.find(actuator)?;
            // Another one that was faster is as good.
            let _: Result<(), _> = self.found.set(found);
        }
        if let Source::MemoryStat(reason) = &self.found()?.lru_gen
            && actuator == Actuator::LruGen
        {
            return Err(anyhow!("mglru::check failed: {reason}"));
        }
        self.machine
            .psi_dir(psi_path)
            .map_err(|error| anyhow!("psi::check failed: {error:#}"))
    }

    fn snapshot(&self, wanted: Option<&HashSet<String>>) -> Result<Snapshot> {
        let found = self.found()?;
        let taken = self.now();
        let Source::LruGen(lru_gen) = &found.lru_gen else {
            return self.estimate(wanted, taken);
        };
        let text = lru_gen.read().context("read lru_gen failed")?;
        let wanted = wanted.map_or(Wanted::All, Wanted::Paths);
        let dump = Dump::parse(&text, wanted);
        Ok(self.snapshot_of(&dump, taken))
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        match &self.found()?.lru_gen {
            Source::LruGen(lru_gen) => lru_gen.command(cmd),
            // Nothing ages without MGLRU, and nothing need.
            Source::MemoryStat(_) if cmd.starts_with('+') => Ok(()),
            Source::MemoryStat(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        match &self.found()?.lru_gen {
            Source::LruGen(lru_gen) => lru_gen.commands(cmds),
            Source::MemoryStat(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// P3, P6. Children without readable files count as 0 (D13).
    fn pressure(&self, psi_dir: &Path, cgroup: &str) -> io::Result<Pressure> {
        let dir = cgroup_dir(psi_dir, cgroup).ok_or(io::ErrorKind::InvalidInput)?;
        let total = Machine::totals(&dir)?;
        let mut children = Vec::new();
        for name in child_names(&dir)? {
            if let Ok(totals) = Machine::totals(&dir.join(&name)) {
                children.push((name, totals));
            }
        }
        children.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Pressure { total, children })
    }

    fn swap_free_kb(&self) -> Result<u64> {
        self.machine.swap_free_kb()
    }

    fn page_size(&self) -> u64 {
        self.machine.page_size()
    }

    fn protection(&self, cgroup: &str) -> Option<Protection> {
        let dir = self.v2_dir(cgroup)?;
        // What cannot be read may protect everything.
        let limit = |name| number_if_there(&dir.join(name)).unwrap_or(Some(u64::MAX));
        let min = limit("memory.min").unwrap_or(0);
        let low = limit("memory.low").unwrap_or(0);
        if min == 0 && low == 0 {
            return None;
        }
        let current = number_if_there(&dir.join("memory.current")).unwrap_or(Some(0))?;
        Some(Protection { current, min, low })
    }

    fn memory_stat(&self, cgroup: &str) -> Option<MemoryStat> {
        let dir = self.v2_dir(cgroup)?;
        read_small(&dir.join("memory.stat"), MemoryStat::parse).ok()
    }

    fn memory_current(&self, cgroup: &str) -> Option<u64> {
        read_number(&self.v2_dir(cgroup)?.join("memory.current")).ok()
    }

    fn can_reclaim(&self, cgroup: &str) -> bool {
        let Some(dir) = self.v2_dir(cgroup) else {
            return false;
        };
        dir.join("memory.reclaim").is_file()
            && child_names(&dir).is_ok_and(|names| names.is_empty())
    }

    fn reclaim(&self, cgroup: &str, bytes: u64, swappiness: Option<u8>) -> io::Result<()> {
        let dir = self.v2_dir(cgroup).ok_or(io::ErrorKind::NotFound)?;
        let request = match swappiness {
            Some(swappiness) => format!("{bytes} swappiness={swappiness}"),
            None => bytes.to_string(),
        };
        let mut file = File::options()
            .write(true)
            .open(dir.join("memory.reclaim"))?;
        file.write_all(request.as_bytes())
    }

    fn watch(&self, psi_dir: &Path, cgroup: &str, percent: u8) -> Option<Box<dyn Watch>> {
        let dir = cgroup_dir(psi_dir, cgroup)?;
        // What children stall counts in the kernel, and not for the limit (P6).
        if !child_names(&dir).ok()?.is_empty() {
            return None;
        }
        Some(Box::new(Trigger::open(&dir, percent)?))
    }
}

/// The number in a file of a cgroup that may not have it, or be removed meanwhile (`ENODEV`).
fn number_if_there(path: &Path) -> io::Result<Option<u64>> {
    match read_number(path) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

/// L-C. Some CPUs read back less than what is written.
fn switch_on(switch: &Path) -> Result<()> {
    let text =
        read_small(switch, |text| String::from_utf8_lossy(text).into_owned()).map_err(|error| {
            anyhow!("open file {switch:?} failed: {error} (does the kernel have CONFIG_LRU_GEN?)")
        })?;
    let value = parse_switch(&text)
        .map_err(|error| anyhow!("parse file {switch:?} failed: {error}: {:?}", text.trim()))?;
    if value != ALL_FEATURES {
        fs::write(switch, ALL_FEATURES.to_string())
            .map_err(|error| anyhow!("write file {switch:?} failed: {error}"))?;
    }
    Ok(())
}

/// Of two cgroups with the same path, whether the later one is the live one (L9).
fn is_better(later: u64, known: u64, ino: u64) -> bool {
    match (later, known) {
        (0, _) => false,
        (_, 0) => true,
        _ => later == ino || known != ino,
    }
}

fn node_look(node: crate::mglru::Node<'_>) -> NodeLook {
    let oldest = node.oldest();
    NodeLook {
        node: node.node,
        min_seq: oldest.seq,
        max_seq: node.max_seq(),
        youngest_age_ms: node.youngest_age_ms(),
        anon: oldest.anon,
        file: oldest.file,
    }
}

/// Where a cgroup is below `root`; none if its path is not one, or leads out of it, as that of a
/// cgroup outside of the cgroup namespace does (`/../other`).
fn cgroup_dir(root: &Path, cgroup: &str) -> Option<PathBuf> {
    let relative = Path::new(cgroup.strip_prefix('/')?);
    let mut components = relative.components();
    if !components.all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    Some(root.join(relative))
}

/// Names of the sub-directories, in no order.
fn child_names(dir: &Path) -> io::Result<Vec<OsString>> {
    // Of a directory without any, most file systems tell by its number of links.
    if fs::metadata(dir)?.nlink() == 2 {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(dir)?.flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(dirs.map(|entry| entry.file_name()).collect())
}

fn has_reclaim_below(root: &Path) -> bool {
    let children = child_names(root).unwrap_or_default();
    children
        .iter()
        .any(|name| root.join(name).join("memory.reclaim").is_file())
        || root.join(MEMORY_PRESSURE).is_file() && root.join("memory.reclaim").is_file()
}
