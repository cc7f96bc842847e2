//! The `lru_gen` file: what it shows and which commands it takes
//! ([Multi-Gen LRU](https://docs.kernel.org/admin-guide/mm/multigen_lru.html), spec 3.11.3).

use std::fmt::Write;
use std::io;
use std::time::Duration;

use super::lru::{ANON, FILE, Lru, MIN_NR_GENS};
use super::machine::{Cgroup, Machine};
use super::profile::{Absent, Ids, StaleAging};

/// `max` as swappiness, in newer kernels: anonymous pages only.
const SWAPPINESS_MAX: u64 = 200;

/// File pages per node that a cgroup made anew has read.
const BUSY: u64 = 1_000;

/// Something that happens from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// A cgroup is removed.
    Remove(String),
    /// A cgroup is removed, and made anew.
    Recreate(String),
    /// A cgroup is removed, and another one gets its id, if ids are reused.
    ReuseId { from: String, to: String },
    /// A NUMA node comes.
    AddNode(u32),
    /// A NUMA node goes.
    RemoveNode(u32),
    /// Anonymous pages come into the oldest generation while file pages leave it.
    AnonForFile { path: String, pages: u64 },
    /// The kernel has reclaimed the oldest generation.
    LoseOldest(String),
    /// Somebody else has aged it.
    Age(String),
    /// The command fails with this error number.
    Fail(i32),
    /// All of the swap space is used.
    FillSwap,
    /// A cgroup stalls for so many µs on memory.
    Stall { path: String, us: u64 },
    /// Time jumps ahead, as in a machine that was suspended.
    Jump(Duration),
}

impl Machine {
    /// Arranges that something happens before the command with this number, counted from 1.
    pub fn disturb_at(&mut self, command: u64, disturbance: Disturbance) {
        self.disturbances
            .entry(command)
            .or_default()
            .push(disturbance);
    }

    /// What has not happened yet will not.
    pub fn forget_disturbances(&mut self) {
        self.disturbances.clear();
    }

    /// Lets something happen now.
    ///
    /// # Errors
    ///
    /// That of the command, if it is [`Disturbance::Fail`].
    pub fn disturb(&mut self, disturbance: Disturbance) -> io::Result<()> {
        match disturbance {
            Disturbance::Remove(path) => self.remove(&path),
            Disturbance::Recreate(path) => {
                self.remove(&path);
                self.create_busy(&path);
            }
            Disturbance::ReuseId { from, to } => {
                self.remove(&from);
                self.create_busy(&to);
            }
            Disturbance::AddNode(node) => self.add_node(node),
            Disturbance::RemoveNode(node) => self.remove_node(node),
            Disturbance::AnonForFile { path, pages } => {
                for lru in self.lrus_mut(&path) {
                    lru.anon_for_file(pages);
                }
            }
            Disturbance::LoseOldest(path) => {
                let lost = self.lrus_mut(&path).map(Lru::lose_oldest);
                let pages = lost.flatten().sum();
                self.memory.release(pages);
            }
            Disturbance::Age(path) => {
                let now = self.now;
                for lru in self.lrus_mut(&path) {
                    lru.age(now, true);
                    lru.agings -= 1; // by no command
                }
            }
            Disturbance::Fail(error) => return Err(io::Error::from_raw_os_error(error)),
            Disturbance::FillSwap => self.swap_free = 0,
            Disturbance::Stall { path, us } => {
                if let Some(cgroup) = self.cgroups.get_mut(&path) {
                    cgroup.stalled.memory += us;
                }
            }
            Disturbance::Jump(time) => self.advance(time),
        }
        Ok(())
    }

    /// Makes a cgroup that reads files at once.
    fn create_busy(&mut self, path: &str) {
        self.create(path);
        for lru in self.lrus_mut(path) {
            lru.read_ahead(BUSY);
        }
        let nodes = self.nodes.len() as u64;
        self.memory.allocate(BUSY * nodes);
    }

    fn lrus_mut(&mut self, path: &str) -> impl Iterator<Item = &mut Lru> {
        let cgroup = self.cgroups.get_mut(path);
        cgroup
            .into_iter()
            .flat_map(|cgroup| cgroup.lrus.values_mut())
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// This read was to fail.
    pub fn dump(&mut self) -> io::Result<String> {
        self.count_read()?;
        let mut text = String::new();
        for (path, cgroup) in self.cgroups.iter().chain(self.offline_iter()) {
            let _ = match self.profile.ids {
                Ids::Private16 => writeln!(text, "memcg {:>5} {path}", cgroup.id),
                Ids::Cgroup64 => writeln!(text, "memcg {} {path}", cgroup.id),
            };
            for (node, lru) in &cgroup.lrus {
                let _ = writeln!(text, " node {node:>5}");
                self.rows(&mut text, lru);
            }
        }
        Ok(text)
    }

    pub(super) fn count_read(&mut self) -> io::Result<()> {
        self.counters.reads += 1;
        if self.failing_reads.remove(&self.counters.reads) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        Ok(())
    }

    fn offline_iter(&self) -> impl Iterator<Item = (&String, &Cgroup)> {
        self.offline.iter().map(|(path, cgroup)| (path, cgroup))
    }

    fn rows(&self, text: &mut String, lru: &Lru) {
        for (seq, generation) in lru.rows() {
            let age = age_ms(self.now, generation.born);
            let _ = write!(text, " {seq:>10} {age:>10}");
            for kind in [ANON, FILE] {
                let _ = if seq < lru.min_seq_of(kind) && self.profile.absent == Absent::MinusZero {
                    write!(text, " {:>10} ", "-0")
                } else {
                    write!(text, " {:>10} ", generation.pages[kind])
                };
            }
            text.push('\n');
        }
    }

    /// One write to the file, of one command or several.
    ///
    /// # Errors
    ///
    /// That of the first command that fails. The later ones are not looked at.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.counters.writes += 1;
        for command in text.split([',', ';', '\n']) {
            let command = command.trim_start();
            if command.is_empty() {
                continue;
            }
            self.counters.commands += 1;
            let result = self.disturbed_command(command);
            let error = result.as_ref().err().and_then(io::Error::raw_os_error);
            self.counters.refused += u64::from(error.is_some());
            if let Some(log) = &mut self.log {
                log.push((command.to_owned(), error));
            }
            result?;
        }
        Ok(())
    }

    fn disturbed_command(&mut self, command: &str) -> io::Result<()> {
        let number = self.counters.commands;
        for disturbance in self.disturbances.remove(&number).unwrap_or_default() {
            self.disturb(disturbance)?;
        }
        self.advance(self.costs.command);
        let command = Parsed::parse(command).ok_or_else(invalid)?;
        let path = self.path_of(command.id).ok_or_else(invalid)?.to_owned();
        if !self.nodes.contains(&command.node) || command.swappiness > Some(SWAPPINESS_MAX) {
            return Err(invalid());
        }
        match command.kind {
            '+' => self.age_by_command(&path, &command),
            '-' => self.evict_by_command(&path, &command),
            _ => Err(invalid()),
        }
    }

    fn age_by_command(&mut self, path: &str, command: &Parsed) -> io::Result<()> {
        self.counters.agings += 1;
        let (now, stale) = (self.now, self.profile.stale_aging);
        let lru = self.cgroup_mut(path).lru_mut(command.node);
        if command.seq > lru.max_seq() {
            return Err(invalid());
        }
        if command.seq == lru.max_seq() || stale == StaleAging::Obeyed {
            lru.age(now, command.swappiness != Some(0));
        }
        Ok(())
    }

    fn evict_by_command(&mut self, path: &str, command: &Parsed) -> io::Result<()> {
        self.counters.evictions += 1;
        let lru = self.cgroup_mut(path).lru_mut(command.node);
        if command.seq.saturating_add(MIN_NR_GENS) > lru.max_seq() {
            return Err(invalid());
        }
        let swappiness = command.swappiness.unwrap_or(60);
        let kind = if swappiness == 0 { FILE } else { ANON };
        if command.seq >= lru.min_seq_of(kind) {
            let most = command.option.unwrap_or(u64::MAX);
            self.evict(path, command.node, command.seq, swappiness, most);
        }
        Ok(())
    }
}

/// `c id nid seq [swappiness [option]]`
struct Parsed {
    kind: char,
    id: u64,
    node: u32,
    seq: u64,
    swappiness: Option<u64>,
    option: Option<u64>,
}

impl Parsed {
    fn parse(command: &str) -> Option<Self> {
        let mut chars = command.chars();
        let kind = chars.next()?;
        let mut words = chars.as_str().split_ascii_whitespace();
        let parsed = Self {
            kind,
            id: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            seq: words.next()?.parse().ok()?,
            swappiness: match words.next() {
                None => None,
                Some("max") => Some(SWAPPINESS_MAX),
                Some(word) => Some(word.parse().ok()?),
            },
            option: match words.next() {
                None => None,
                Some(word) => Some(word.parse().ok()?),
            },
        };
        words.next().is_none().then_some(parsed)
    }
}

/// The kernel keeps milliseconds in 32 bits.
pub(super) fn age_ms(now: Duration, born: Duration) -> u32 {
    now.saturating_sub(born).as_millis() as u32
}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}
