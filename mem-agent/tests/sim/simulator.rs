//! The machine in memory, as the memcg half sees it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mem_agent::memcg::Actuator;
use mem_agent::testing::{Host, MemoryStat, NodeLook, Pressure, Protection, Snapshot, Watch};

use super::lru::{ANON, FILE, Lru};
use super::lru_gen::age_ms;
use super::machine::{Cgroup, Machine, PAGE};

/// A handle to a [`Machine`]. A clone is another handle to the same one.
#[derive(Clone, Debug)]
pub struct Simulator(Arc<Mutex<Machine>>);

impl Simulator {
    pub fn new(machine: Machine) -> Self {
        Self(Arc::new(Mutex::new(machine)))
    }

    /// The machine, for as long as the guard lives.
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Simulator {
    fn now(&self) -> Duration {
        self.machine().now()
    }

    fn pause(&self, time: Duration) {
        self.machine().advance(time);
    }

    fn probe(&self, psi_path: &Path, _actuator: Actuator) -> anyhow::Result<PathBuf> {
        Ok(psi_path.to_owned())
    }

    /// Of live cgroups only, as [`Machine::dump`] without those that have no directory any more.
    fn snapshot(&self, wanted: Option<&HashSet<String>>) -> anyhow::Result<Snapshot> {
        let mut machine = self.machine();
        machine.count_read()?;
        let mut snapshot = Snapshot::new(machine.now());
        let mut push = |path: &String, cgroup: &Cgroup| {
            let nodes = cgroup.lrus.iter();
            let looks = nodes.map(|(node, lru)| node_look(machine.now(), *node, lru));
            snapshot.push(path, cgroup.id, cgroup.ino, looks);
        };
        match wanted {
            None => machine.cgroups.iter().for_each(|(path, c)| push(path, c)),
            Some(wanted) => wanted
                .iter()
                .filter_map(|path| machine.cgroups.get_key_value(path))
                .for_each(|(path, c)| push(path, c)),
        }
        Ok(snapshot)
    }

    fn command(&self, cmd: &str) -> io::Result<()> {
        self.machine().write(cmd)
    }

    /// In one write, and one by one if that fails, as [`mem_agent::env`] demands of the file.
    fn commands(&self, cmds: &[&str]) -> io::Result<()> {
        let mut machine = self.machine();
        if machine.write(&cmds.join("\n")).is_ok() {
            return Ok(());
        }
        cmds.iter()
            .map(|cmd| machine.write(cmd))
            .fold(Ok(()), Result::and)
    }

    fn pressure(&self, _psi_dir: &Path, cgroup: &str) -> io::Result<Pressure> {
        let machine = self.machine();
        if !machine.get(cgroup).is_some_and(|cgroup| cgroup.has_psi) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let children = machine.children(cgroup).into_iter();
        let children = children.filter(|child| machine.cgroup(child).has_psi);
        Ok(Pressure {
            total: machine.totals(cgroup),
            children: children
                .map(|path| (name(&path).into(), machine.totals(&path)))
                .collect(),
        })
    }

    fn swap_free_kb(&self) -> anyhow::Result<u64> {
        Ok(self.machine().swap_free * (PAGE / 1024))
    }

    fn protection(&self, cgroup: &str) -> Option<Protection> {
        let machine = self.machine();
        let found = machine.get(cgroup)?;
        if found.min == 0 && found.low == 0 {
            return None;
        }
        Some(Protection {
            current: machine.current(cgroup),
            min: found.min,
            low: found.low,
        })
    }

    fn memory_stat(&self, cgroup: &str) -> Option<MemoryStat> {
        let machine = self.machine();
        machine.get(cgroup)?;
        let mut stat = MemoryStat::default();
        for part in machine.subtree(cgroup) {
            stat.refaulted += part.refaulted;
            stat.reclaimed += part.reclaimed;
            for lru in part.lrus.values() {
                let inactive = lru.rows().filter(|(seq, _)| seq + 2 <= lru.max_seq());
                for (_, generation) in inactive {
                    stat.inactive_anon += generation.pages[ANON] * PAGE;
                    stat.inactive_file += generation.pages[FILE] * PAGE;
                }
            }
        }
        Some(stat)
    }

    fn memory_current(&self, cgroup: &str) -> Option<u64> {
        let machine = self.machine();
        machine.get(cgroup)?;
        Some(machine.current(cgroup))
    }

    fn can_reclaim(&self, cgroup: &str) -> bool {
        let machine = self.machine();
        machine.features.reclaim && machine.contains(cgroup) && machine.children(cgroup).is_empty()
    }

    fn reclaim(&self, cgroup: &str, bytes: u64, swappiness: Option<u8>) -> io::Result<()> {
        self.machine().reclaim(cgroup, bytes, swappiness)
    }

    fn watch(&self, _psi_dir: &Path, cgroup: &str, percent: u8) -> Option<Box<dyn Watch>> {
        let machine = self.machine();
        let percent = u64::from(percent) + 1;
        // As the agent's: where the kernel counts what the rule counts.
        if !machine.features.triggers || percent > 100 || !machine.children(cgroup).is_empty() {
            return None;
        }
        Some(Box::new(Trigger {
            simulator: self.clone(),
            cgroup: cgroup.to_owned(),
            limit: percent * 5_000,
            stalled: stalled(&machine, cgroup),
        }))
    }
}

impl Machine {
    /// Writes to `memory.reclaim`: takes from the generations that are not in use, from the oldest,
    /// down to what is protected.
    ///
    /// # Errors
    ///
    /// `EAGAIN`: there was less. `EINVAL`: this kernel knows no `swappiness=`. `ENOENT`.
    pub fn reclaim(&mut self, path: &str, bytes: u64, swappiness: Option<u8>) -> io::Result<()> {
        self.counters.reclaims += 1;
        if swappiness.is_some() && !self.features.reclaim_swappiness {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let Some(cgroup) = self.get(path) else {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        };
        let wanted = bytes / PAGE;
        let unprotected = self
            .current(path)
            .saturating_sub(cgroup.min.max(cgroup.low))
            / PAGE;
        let most = wanted.min(unprotected);
        let lrus = cgroup
            .lrus
            .iter()
            .map(|(node, lru)| (*node, lru.min_seq(), lru.max_seq()));
        let mut freed = 0;
        for (node, min_seq, max_seq) in lrus.collect::<Vec<_>>() {
            for seq in min_seq..=max_seq.saturating_sub(2) {
                if freed < most {
                    let swappiness = u64::from(swappiness.unwrap_or(60));
                    let done = self.evict(path, node, seq, swappiness, most - freed);
                    freed += done.freed.iter().sum::<u64>();
                }
            }
        }
        if freed < wanted {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        Ok(())
    }
}

/// A PSI trigger.
struct Trigger {
    simulator: Simulator,
    cgroup: String,
    /// µs.
    limit: u64,
    stalled: u64,
}

impl Watch for Trigger {
    fn has_fired(&mut self) -> bool {
        let now = stalled(&self.simulator.machine(), &self.cgroup);
        let has_fired = now.saturating_sub(self.stalled) >= self.limit;
        if has_fired {
            self.stalled = now;
        }
        has_fired
    }
}

fn stalled(machine: &Machine, cgroup: &str) -> u64 {
    let totals = machine.totals(cgroup);
    totals.memory + totals.io
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn node_look(now: Duration, node: u32, lru: &Lru) -> NodeLook {
    let ages = lru
        .rows()
        .map(|(_, generation)| age_ms(now, generation.born));
    let [anon, file] = lru.oldest();
    NodeLook {
        node,
        min_seq: lru.min_seq(),
        max_seq: lru.max_seq(),
        youngest_age_ms: i64::from(ages.min().unwrap_or(0)),
        anon,
        file,
    }
}
