//! What the agent knows, has said, and may therefore do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mem_agent::memcg::{MemCG, OptionConfig, SingleConfig};
use mem_agent::testing::{MAX_NR_GENS, NodeLook, Snapshot};

use crate::settings::Settings;
use crate::sim::{Machine, PAGE, parent};

/// A cgroup's id and inode number, and a node.
pub type Key = (u64, u64, u32);

/// Below this, swap space does not count (kB).
const SWAP_BOUND_KB: u64 = 256 * PAGE / 1024;

/// What has been seen and said.
pub struct Book {
    pub settings: Arc<Settings>,
    /// For what happens during a run.
    pub memcg: Option<MemCG>,
    /// By the number of the call after which they are made.
    pub changes: BTreeMap<u64, Vec<OptionConfig>>,
    pub calls: u64,
    pub violations: Vec<String>,
    /// Successful agings of what has been there ever since.
    agings: HashMap<Key, u64>,
    pub run: Run,
}

/// What has been seen and said in a run.
#[derive(Default)]
pub struct Run {
    pub due: Vec<u64>,
    pub is_disturbed: bool,
    pub looks: u64,
    pub aged: HashMap<Key, u64>,
    /// Pages that the agent saw leaving.
    pub fell: HashMap<Key, u64>,
    pub may_evict: HashSet<Key>,
    /// Whose pressure was asked for.
    pub asked: HashSet<String>,
    /// Of these, the agent has been told that they have stalled at some time.
    pub stalled: HashSet<String>,
    known: HashMap<(String, u32), Known>,
    /// Paths with another cgroup than when the run began.
    replaced: HashSet<String>,
    pub swap_free_kb: Option<u64>,
    /// Settings before the changes since the last write: one may have been under way.
    before_changes: Vec<Arc<Settings>>,
    /// Of the configuration, during the run.
    pub changes: usize,
    /// Since the last aging: what is needed to judge an eviction.
    looked: HashMap<Key, Looked>,
}

/// The last thing seen of a cgroup on a node.
#[derive(Clone, Copy)]
struct Known {
    id: u64,
    ino: u64,
    node: NodeLook,
    taken: Duration,
}

#[derive(Clone, Copy)]
pub struct Looked {
    pub first: NodeLook,
    last: NodeLook,
    taken: Duration,
    /// µs.
    stalled: u64,
    /// Pages, since the last look.
    sent: u64,
    /// At this look, or at one before.
    pub was_protected: bool,
    /// More than this percentage at the last look; from below.
    psi_percent: u64,
}

impl Run {
    pub fn has_changed(&self) -> bool {
        self.changes > 0
    }

    pub fn new(due: &[u64], is_disturbed: bool) -> Self {
        Self {
            due: due.to_vec(),
            is_disturbed,
            ..Self::default()
        }
    }
}

impl Book {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            memcg: None,
            changes: BTreeMap::new(),
            calls: 0,
            violations: Vec::new(),
            agings: HashMap::new(),
            run: Run::default(),
        }
    }

    /// The settings have changed.
    pub fn change(&mut self, settings: Settings) {
        let before = std::mem::replace(&mut self.settings, Arc::new(settings));
        self.run.before_changes.push(before);
        // The last aging is judged by the settings before the change, or by these.
        self.apply_minima();
    }

    /// Judges a command before it is obeyed.
    pub fn judge(&mut self, machine: &Machine, command: &str) {
        let mut result = self.judged(machine, command, &Arc::clone(&self.settings));
        for settings in self.run.before_changes.clone() {
            if result.is_err() && self.judged(machine, command, &settings).is_ok() {
                result = Ok(());
            }
        }
        if let Err(what) = result {
            self.violations.push(format!("{command:?}: {what}"));
        }
    }

    fn judged(
        &mut self,
        machine: &Machine,
        command: &str,
        settings: &Settings,
    ) -> Result<(), String> {
        let (kind, rest) = command.split_once(' ').unwrap_or_default();
        let mut words = rest.split(' ').map(str::parse::<u64>);
        let numbers = [(); 5].map(|()| words.next().and_then(Result::ok));
        let ([Some(id), Some(node), Some(seq), Some(swap), Some(last)], None) =
            (numbers, words.next())
        else {
            return Err("has another form".to_owned());
        };
        let ((path, node), known) = self.known(id, node as u32)?;
        let key = (known.id, known.ino, node);
        if !self.run.is_disturbed && machine.path_of(id) != Some(&path) {
            return Err(format!("{path} is not live"));
        }
        let config = settings.of(&path, node);
        if config.disabled {
            return Err(format!("{path} is disabled"));
        }
        if !self.run.has_changed() && !self.run.due.contains(&config.period_secs) {
            return Err(format!("{path} is not due"));
        }
        match kind {
            "+" if last != 1 => Err("is not forced".to_owned()),
            // Another one has been seen in its place: not before the next run (M1).
            "+" if self.run.replaced.contains(&path) => Err(format!("{path} was replaced")),
            "+" => self.judge_aging(machine, &known, config, (seq, swap)),
            "-" => self.judge_eviction(key, &path, config, (seq, swap, last)),
            _ => Err("is unknown".to_owned()),
        }
    }

    /// A command may name what was there when the agent looked last.
    fn known(&self, id: u64, node: u32) -> Result<((String, u32), Known), String> {
        let matches = |entry: &(&(String, u32), &Known)| entry.1.id == id && entry.0.1 == node;
        let candidates = self.run.known.iter().filter(matches);
        candidates
            .max_by_key(|(_, known)| self.run.may_evict.contains(&(id, known.ino, node)))
            .map(|(name, known)| (name.clone(), *known))
            .ok_or_else(|| "names what was not there".to_owned())
    }

    fn judge_aging(
        &mut self,
        machine: &Machine,
        known: &Known,
        config: &SingleConfig,
        (seq, can_swap): (u64, u64),
    ) -> Result<(), String> {
        self.run.looked.clear();
        if seq != known.node.max_seq {
            return Err(format!("is not for max_seq {}", known.node.max_seq));
        }
        if can_swap != u64::from(config.swap) {
            return Err(format!("swap is {}", config.swap));
        }
        let age = Duration::from_millis(known.node.youngest_age_ms as u64);
        if age + (machine.now() - known.taken) < Duration::from_secs(60) {
            return Err("ages what is younger than 60 s".to_owned());
        }
        Ok(())
    }

    fn judge_eviction(
        &mut self,
        key: Key,
        path: &str,
        config: &SingleConfig,
        (seq, swappiness, pages): (u64, u64, u64),
    ) -> Result<(), String> {
        if !self.run.may_evict.contains(&key) {
            return Err(format!("{path} was aged {:?} times", self.agings.get(&key)));
        }
        let swap_free_kb = self.run.swap_free_kb;
        let has_changed = self.run.has_changed();
        let Some(looked) = self.run.looked.get_mut(&key) else {
            return Err(format!("nobody has looked at {path} since it was aged"));
        };
        let now = looked.last;
        if now.max_seq + 1 - now.min_seq != MAX_NR_GENS || seq != now.min_seq {
            return Err(format!("does not suit {now:?}"));
        }
        let expected = looked.judge(config, swap_free_kb, has_changed)?;
        if swappiness != expected {
            return Err(format!("swappiness should be {expected}: {now:?}"));
        }
        let there = match swappiness {
            0 => now.file,
            200 => now.anon,
            _ => now.file + now.anon,
        };
        let left = there.saturating_sub(looked.sent);
        if pages == 0 || pages > left || pages > 16_384 || pages > (left / 8).max(64) {
            return Err(format!("{left} of {there} pages are left"));
        }
        looked.sent += pages;
        Ok(())
    }

    /// Judges a write to `memory.reclaim` like an eviction of one of the cgroup's nodes.
    pub fn judge_reclaim(&mut self, path: &str, bytes: u64, swappiness: Option<u8>) {
        let pages = bytes / PAGE;
        let is_sound = pages > 0 && pages <= 16_384 && bytes.is_multiple_of(PAGE);
        let known = self.run.known.iter().filter(|((name, _), _)| name == path);
        let is_right = |((_, node), known): (&(String, u32), &Known)| {
            let key = (known.id, known.ino, *node);
            let config = self.settings.of(path, *node);
            let looked = self.run.looked.get(&key);
            let looked = looked.filter(|_| self.run.may_evict.contains(&key) && !config.disabled);
            let expected = looked.and_then(|looked| {
                let swap = self.run.swap_free_kb;
                looked.judge(config, swap, self.run.has_changed()).ok()
            });
            match swappiness {
                Some(swappiness) => expected == Some(u64::from(swappiness)),
                None => expected.is_some(),
            }
        };
        let is_late = self.run.has_changed();
        if !is_sound || (!is_late && !known.clone().any(is_right)) {
            let what = format!("memory.reclaim of {path:?}: {bytes} {swappiness:?}");
            self.violations.push(what);
        }
    }

    /// No other write is under way.
    pub fn written(&mut self) {
        self.run.before_changes.clear();
    }

    /// Counts what a command did.
    pub fn obeyed(&mut self, command: &str) {
        let mut words = command.split(' ');
        let (Some("+"), Some(Ok(id)), Some(Ok(node))) = (
            words.next(),
            words.next().map(str::parse),
            words.next().map(str::parse),
        ) else {
            return;
        };
        let Ok(((path, node), known)) = self.known(id, node) else {
            return;
        };
        let key = (known.id, known.ino, node);
        *self.run.aged.entry(key).or_default() += 1;
        let agings = self.agings.entry(key).or_default();
        *agings += 1;
        if *agings >= self.settings.of(&path, node).eviction_run_aging_count_min {
            self.run.may_evict.insert(key);
        }
    }

    /// Lets all be evicted from that have been aged in this run often enough for the settings.
    fn apply_minima(&mut self) {
        for ((path, node), known) in &self.run.known {
            let key = (known.id, known.ino, *node);
            let min = self.settings.of(path, *node).eviction_run_aging_count_min;
            let is_enough = self.agings.get(&key).is_some_and(|agings| *agings >= min);
            if is_enough && self.run.aged.contains_key(&key) {
                self.run.may_evict.insert(key);
            }
        }
    }

    pub fn saw_all(&mut self, snapshot: &Snapshot) {
        self.run.known.clear();
        self.know(snapshot);
        let known = self.run.known.iter();
        let keys: HashSet<Key> = known.map(|((_, node), k)| (k.id, k.ino, *node)).collect();
        self.agings.retain(|key, _| keys.contains(key));
    }

    /// What the snapshot has may be named in commands.
    fn know(&mut self, snapshot: &Snapshot) {
        for look in snapshot.iter() {
            for node in look.nodes {
                let known = Known {
                    id: look.id,
                    ino: look.ino,
                    node: *node,
                    taken: snapshot.taken,
                };
                self.run
                    .known
                    .insert((look.path.to_owned(), node.node), known);
            }
        }
    }

    pub fn looked(&mut self, machine: &Machine, wanted: &HashSet<String>, snapshot: &Snapshot) {
        self.run.looks += 1;
        for look in snapshot.iter() {
            let mut known = self.run.known.iter();
            let is_other = |((path, _), known): (&(String, u32), &Known)| {
                path == look.path && known.ino != look.ino
            };
            if known.any(is_other) {
                self.run.replaced.insert(look.path.to_owned());
            }
        }
        self.run.known.retain(|(path, _), _| !wanted.contains(path));
        self.know(snapshot);
        for look in snapshot.iter() {
            for node in look.nodes {
                let key = (look.id, look.ino, node.node);
                self.looked_at(machine, key, look.path, *node);
            }
        }
    }

    fn looked_at(&mut self, machine: &Machine, key: Key, path: &str, now: NodeLook) {
        let own = machine.cgroup(path).stalled;
        let stalled = own.memory + own.io;
        let before = self.run.looked.get(&key).copied();
        let first = before.map_or(now, |before| before.first);
        let was_protected =
            is_protected(machine, path) || before.is_some_and(|before| before.was_protected);
        let mut psi_percent = 0;
        if let Some(before) = before {
            *self.run.fell.entry(key).or_default() += fell(before.last, now);
            // The agent's window is no longer than this.
            let window = Duration::from_millis(500) + (machine.now() - before.taken);
            psi_percent = (stalled - before.stalled) * 100 / window.as_micros() as u64;
        }
        let looked = Looked {
            first,
            last: now,
            taken: machine.now(),
            stalled,
            sent: 0,
            was_protected,
            psi_percent,
        };
        self.run.looked.insert(key, looked);
    }

    /// What is known of an eviction.
    pub fn eviction(&self, key: &Key) -> Option<&Looked> {
        self.run.looked.get(key)
    }
}

impl Looked {
    /// Whether there may be an eviction after this look, and with which swappiness (E1.4).
    fn judge(
        &self,
        config: &SingleConfig,
        swap_free_kb: Option<u64>,
        has_changed: bool,
    ) -> Result<u64, String> {
        if self.was_protected {
            return Err("it is protected".to_owned());
        }
        if self.first.file > 0 && self.last.file == 0 {
            return Err("no page of a file is left".to_owned());
        }
        let limit = u64::from(config.eviction_psi_percent_limit);
        if !has_changed && self.psi_percent > limit {
            return Err(format!("there is pressure of {} %", self.psi_percent));
        }
        let can_swap = config.swap && swap_free_kb.is_some_and(|kb| kb > SWAP_BOUND_KB);
        if self.first.file == 0 {
            return if can_swap {
                Ok(200)
            } else {
                Err("there is no swap space".to_owned())
            };
        }
        if !can_swap {
            return Ok(0);
        }
        Ok(share(self.last).min(u64::from(config.swappiness_max)))
    }
}

/// Pages that left the oldest generation between two looks (E1.3, D10).
fn fell(before: NodeLook, now: NodeLook) -> u64 {
    if before.max_seq != now.max_seq {
        return 0;
    }
    let (anon, file) = if before.min_seq == now.min_seq {
        (now.anon, now.file)
    } else {
        (0, 0)
    };
    before.anon.saturating_sub(anon) + before.file.saturating_sub(file)
}

/// 200 × anon / all, rounded half up (E1.4).
fn share(node: NodeLook) -> u64 {
    let all = node.anon + node.file;
    if node.anon == 0 {
        return 0;
    }
    (400 * node.anon + all) / (2 * all)
}

/// D40.
fn is_protected(machine: &Machine, path: &str) -> bool {
    let mut ancestor = path;
    loop {
        let cgroup = machine.cgroup(ancestor);
        let protected = cgroup.min.max(cgroup.low);
        if protected > 0 && machine.current(ancestor) <= protected {
            return true;
        }
        if ancestor == "/" {
            return false;
        }
        ancestor = parent(ancestor);
    }
}
