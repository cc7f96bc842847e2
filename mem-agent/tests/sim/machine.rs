//! A machine with memory cgroups: what is in memory, and what happens to it (spec 3.11.3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mem_agent::testing::Totals;

use super::lru::{ANON, Evicted, FILE, Lru};
use super::memory::Memory;
use super::profile::{Ids, Profile};

/// Bytes.
pub const PAGE: u64 = 4096;

/// So often, working sets come back.
const SETTLING: Duration = Duration::from_millis(10);

/// The whole machine. Nothing happens in it by itself: commands and calls change it, and
/// [`advance`](Self::advance) lets time go by.
#[derive(Debug)]
pub struct Machine {
    pub profile: Profile,
    pub memory: Memory,
    pub swap_total: u64,
    /// In pages.
    pub swap_free: u64,
    pub costs: Costs,
    pub features: Features,
    pub counters: Counters,
    /// Commands, and the errors that they met; kept if wanted.
    pub log: Option<Vec<(String, Option<i32>)>>,
    pub(super) now: Duration,
    pub(super) nodes: BTreeSet<u32>,
    pub(super) cgroups: BTreeMap<String, Cgroup>,
    /// Removed, but still in the dump.
    pub(super) offline: Vec<(String, Cgroup)>,
    /// What happens before a command, by its number.
    pub(super) disturbances: BTreeMap<u64, Vec<super::Disturbance>>,
    /// Numbers of reads of the dump that fail.
    pub failing_reads: BTreeSet<u64>,
    next_ino: u64,
    by_id: BTreeMap<u64, String>,
    /// No id below is free.
    lowest_id: u64,
    /// Time for which the working sets have not come back yet.
    unsettled: Duration,
}

/// A memory cgroup.
#[derive(Clone, Debug)]
pub struct Cgroup {
    /// The kernel's number for it.
    pub id: u64,
    pub ino: u64,
    /// By NUMA node.
    pub lrus: BTreeMap<u32, Lru>,
    /// What it has stalled itself, in µs.
    pub stalled: Totals,
    /// What children that are gone have stalled.
    departed: Totals,
    /// `memory.min` and `memory.low` in bytes.
    pub min: u64,
    pub low: u64,
    /// False if `cgroup.pressure` is 0.
    pub has_psi: bool,
    /// Memory stall of each eviction command in µs.
    pub psi_us: u64,
    /// Memory stall of each page that is looked at in ns.
    pub stall_ns: u64,
    /// Pages that were evicted and came back.
    pub refaulted: u64,
    /// Pages reclaimed.
    pub reclaimed: u64,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Of each command.
    pub command: Duration,
    /// Of each page that is looked at, in ns. 2 500 is about 1.6 GB/s.
    pub page_ns: u64,
    /// Stall by each page that comes back, in µs.
    pub refault_us: u64,
    /// Pages that compaction moves in a second.
    pub compaction: u64,
}

/// What the kernel has besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Features {
    /// `memory.reclaim`.
    pub reclaim: bool,
    /// `swappiness=` in it.
    pub reclaim_swappiness: bool,
    /// PSI triggers.
    pub triggers: bool,
}

/// How often things have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub reads: u64,
    pub writes: u64,
    pub commands: u64,
    pub agings: u64,
    pub evictions: u64,
    pub refused: u64,
    /// Writes to `memory.reclaim`.
    pub reclaims: u64,
    /// Pages that were reclaimed.
    pub freed: u64,
    /// Pages that came back.
    pub refaulted: u64,
}

impl Machine {
    /// With one NUMA node, the root cgroup, 4 GiB of memory and no swap space.
    pub fn new(profile: Profile) -> Self {
        let mut machine = Self {
            profile,
            memory: Memory::new((4 << 30) / PAGE),
            swap_total: 0,
            swap_free: 0,
            costs: Costs {
                command: Duration::from_micros(5),
                page_ns: 2_500,
                refault_us: 20,
                compaction: 100_000,
            },
            features: Features::default(),
            counters: Counters::default(),
            log: None,
            now: Duration::from_secs(1_000),
            nodes: BTreeSet::from([0]),
            cgroups: BTreeMap::new(),
            offline: Vec::new(),
            disturbances: BTreeMap::new(),
            failing_reads: BTreeSet::new(),
            next_ino: 0,
            by_id: BTreeMap::new(),
            lowest_id: 1,
            unsettled: Duration::ZERO,
        };
        machine.create("/");
        machine
    }

    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn nodes(&self) -> impl Iterator<Item = u32> + '_ {
        self.nodes.iter().copied()
    }

    pub fn set_swap(&mut self, pages: u64) {
        self.swap_total = pages;
        self.swap_free = pages;
    }

    /// Time goes by, and the working sets come back.
    pub fn advance(&mut self, time: Duration) {
        self.now += time;
        self.unsettled += time;
        if self.unsettled < SETTLING {
            return;
        }
        let time = std::mem::take(&mut self.unsettled);
        for cgroup in self.cgroups.values_mut() {
            for lru in cgroup.lrus.values_mut() {
                for kind in [ANON, FILE] {
                    let missing = lru.missing(kind);
                    if missing == 0 {
                        continue;
                    }
                    lru.add(kind, missing);
                    self.memory.allocate(missing);
                    let back = missing.min(lru.shadows[kind]);
                    lru.shadows[kind] -= back;
                    cgroup.refaulted += back;
                    self.counters.refaulted += back;
                    let stall = (back * self.costs.refault_us).min(time.as_micros() as u64);
                    if kind == ANON {
                        self.swap_free = (self.swap_free + back).min(self.swap_total);
                        cgroup.stalled.memory += stall;
                    } else {
                        cgroup.stalled.io += stall;
                    }
                }
            }
        }
    }

    /// Makes a cgroup, and the ancestors that it lacks.
    pub fn create(&mut self, path: &str) -> &mut Cgroup {
        if path != "/" {
            let parent = parent(path);
            if !self.cgroups.contains_key(parent) {
                self.create(parent);
            }
        }
        if !self.cgroups.contains_key(path) {
            self.next_ino += 1;
            // The root of a cgroup file system is 1; others are far from small ids.
            let ino = if path == "/" {
                1
            } else {
                70_000 + self.next_ino
            };
            let id = match self.profile.ids {
                Ids::Cgroup64 => ino,
                Ids::Private16 => self.free_id(),
            };
            self.by_id.insert(id, path.to_owned());
            let lrus = self.nodes.iter().map(|node| (*node, Lru::new(self.now)));
            let cgroup = Cgroup {
                id,
                ino,
                lrus: lrus.collect(),
                stalled: Totals::default(),
                departed: Totals::default(),
                min: 0,
                low: 0,
                has_psi: true,
                psi_us: 0,
                stall_ns: 0,
                refaulted: 0,
                reclaimed: 0,
            };
            self.cgroups.insert(path.to_owned(), cgroup);
        }
        self.cgroup_mut(path)
    }

    fn free_id(&mut self) -> u64 {
        while self.by_id.contains_key(&self.lowest_id) {
            self.lowest_id += 1;
        }
        self.lowest_id
    }

    /// Removes a cgroup and all below it. It stays in the dump; pages that it leaves are freed.
    pub fn remove(&mut self, path: &str) {
        if path == "/" || !self.cgroups.contains_key(path) {
            return;
        }
        for child in self.children(path) {
            self.remove(&child);
        }
        let total = self.totals(path);
        let Some(mut cgroup) = self.cgroups.remove(path) else {
            return;
        };
        self.by_id.remove(&cgroup.id);
        self.lowest_id = self.lowest_id.min(cgroup.id);
        if let Some(parent) = self.cgroups.get_mut(parent(path)) {
            add(&mut parent.departed, total);
        }
        for lru in cgroup.lrus.values_mut() {
            for kind in [ANON, FILE] {
                let pages = lru.free(kind, u64::MAX);
                self.memory.release(pages);
            }
            self.swap_free = (self.swap_free + lru.shadows[ANON]).min(self.swap_total);
        }
        if self.profile.ids == Ids::Private16 {
            cgroup.id = 0;
        }
        self.offline.push((path.to_owned(), cgroup));
    }

    /// Forgets cgroups that were removed.
    pub fn free_offline(&mut self) {
        self.offline.clear();
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.cgroups.keys().map(String::as_str)
    }

    pub fn contains(&self, path: &str) -> bool {
        self.cgroups.contains_key(path)
    }

    pub fn get(&self, path: &str) -> Option<&Cgroup> {
        self.cgroups.get(path)
    }

    /// One that exists.
    pub fn cgroup(&self, path: &str) -> &Cgroup {
        &self.cgroups[path]
    }

    /// One that exists.
    pub fn cgroup_mut(&mut self, path: &str) -> &mut Cgroup {
        match self.cgroups.get_mut(path) {
            Some(cgroup) => cgroup,
            None => panic!("there is no cgroup {path:?}"),
        }
    }

    /// The live cgroup with this id.
    pub fn path_of(&self, id: u64) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    /// Paths of the children.
    pub fn children(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" {
            "/".to_owned()
        } else {
            format!("{path}/")
        };
        let below = self.cgroups.range(prefix.clone()..);
        let below = below.take_while(|(name, _)| name.starts_with(&prefix));
        let children = below.filter(|(name, _)| {
            let rest = &name[prefix.len()..];
            !rest.is_empty() && !rest.contains('/')
        });
        children.map(|(name, _)| name.clone()).collect()
    }

    /// Stall times of a cgroup with all below it.
    pub fn totals(&self, path: &str) -> Totals {
        let mut totals = Totals::default();
        for cgroup in self.subtree(path) {
            add(&mut totals, cgroup.stalled);
            add(&mut totals, cgroup.departed);
        }
        totals
    }

    /// Bytes in a cgroup and all below it.
    pub fn current(&self, path: &str) -> u64 {
        let resident = |cgroup: &Cgroup| cgroup.resident(ANON) + cgroup.resident(FILE);
        let pages: u64 = self.subtree(path).map(resident).sum();
        pages * PAGE
    }

    /// A cgroup and all below it.
    pub fn subtree<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Cgroup> {
        let below = self.cgroups.range(path.to_owned()..);
        let below = below.take_while(move |(name, _)| name.starts_with(path));
        below
            .filter(move |(name, _)| {
                let rest = &name[path.len()..];
                path == "/" || rest.is_empty() || rest.starts_with('/')
            })
            .map(|(_, cgroup)| cgroup)
    }

    /// A cgroup gets pages, on a node that it has.
    pub fn allocate(&mut self, path: &str, node: u32, kind: usize, pages: u64) {
        let Some(lru) = self
            .cgroups
            .get_mut(path)
            .and_then(|c| c.lrus.get_mut(&node))
        else {
            return;
        };
        lru.add(kind, pages);
        self.memory.allocate(pages);
    }

    /// A cgroup gives pages back.
    pub fn free(&mut self, path: &str, node: u32, kind: usize, pages: u64) {
        let Some(lru) = self
            .cgroups
            .get_mut(path)
            .and_then(|c| c.lrus.get_mut(&node))
        else {
            return;
        };
        let pages = lru.free(kind, pages);
        self.memory.release(pages);
    }

    pub fn add_node(&mut self, node: u32) {
        self.nodes.insert(node);
        for cgroup in self.cgroups.values_mut() {
            let now = self.now;
            cgroup.lrus.entry(node).or_insert_with(|| Lru::new(now));
        }
    }

    /// Takes a node away, with what is on it. The last one stays.
    pub fn remove_node(&mut self, node: u32) {
        if self.nodes.len() < 2 || !self.nodes.remove(&node) {
            return;
        }
        for cgroup in self.cgroups.values_mut() {
            if let Some(mut lru) = cgroup.lrus.remove(&node) {
                self.memory
                    .release(lru.free(ANON, u64::MAX) + lru.free(FILE, u64::MAX));
            }
        }
    }

    /// Evicts, and accounts for it.
    pub(super) fn evict(
        &mut self,
        path: &str,
        node: u32,
        seq: u64,
        swappiness: u64,
        most: u64,
    ) -> Evicted {
        let Some(cgroup) = self.cgroups.get_mut(path) else {
            return Evicted::default();
        };
        let Some(lru) = cgroup.lrus.get_mut(&node) else {
            return Evicted::default();
        };
        let done = lru.evict(
            seq,
            swappiness,
            most,
            self.profile.reclaim,
            &mut self.swap_free,
        );
        let freed: u64 = done.freed.iter().sum();
        cgroup.reclaimed += freed;
        self.counters.freed += freed;
        cgroup.stalled.memory += cgroup.psi_us + done.scanned() * cgroup.stall_ns / 1000;
        self.memory.release(freed);
        let time = Duration::from_nanos(done.scanned() * self.costs.page_ns);
        self.advance(time);
        done
    }

    /// Panics if anything does not fit together.
    pub fn check(&self) {
        for cgroup in self.cgroups.values() {
            assert!(cgroup.lrus.keys().eq(&self.nodes));
            cgroup.lrus.values().for_each(Lru::check);
        }
    }
}

impl Cgroup {
    pub fn resident(&self, kind: usize) -> u64 {
        self.lrus.values().map(|lru| lru.resident(kind)).sum()
    }

    pub fn lru_mut(&mut self, node: u32) -> &mut Lru {
        match self.lrus.get_mut(&node) {
            Some(lru) => lru,
            None => panic!("there is no node {node}"),
        }
    }
}

/// The path of the parent of one that is not `/`.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) | None => "/",
        Some(slash) => &path[..slash],
    }
}

fn add(sum: &mut Totals, more: Totals) {
    sum.memory += more.memory;
    sum.io += more.io;
}
