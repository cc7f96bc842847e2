//! A machine with its agent, and what must hold after each step.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use mem_agent::memcg::{Actuator, MemCG};
use mem_agent::testing::{Host, MAX_NR_GENS};

use crate::book::{Key, Run};
use crate::checked::Checked;
use crate::schedule::{Schedule, Step};
use crate::settings::Settings;
use crate::sim::{ANON, FILE, Lru, Machine, Rng, Simulator, random};

/// Longest wait for a run.
const LONGEST_WAIT: Duration = Duration::from_secs(7_200);
/// A write that is under way when the time is up, and the aging before it.
const SLACK: Duration = Duration::from_secs(3);

pub struct World {
    sim: Simulator,
    host: Arc<Checked>,
    memcg: MemCG,
    /// Who was gated when, with which stall.
    gates: HashMap<Key, Gated>,
    totals: Totals,
    /// Other generations and nodes are reclaimed too then.
    uses_reclaim: bool,
}

struct Gated {
    run_began: Duration,
    /// µs.
    stalled: u64,
}

/// How much has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub runs: u64,
    /// Nothing happened during them, so that all is known of their result.
    pub complete_runs: u64,
    pub commands: u64,
    /// Writes to `memory.reclaim`.
    pub reclaims: u64,
    /// Pages.
    pub evicted: u64,
}

impl Totals {
    pub fn add(&mut self, more: Self) {
        self.runs += more.runs;
        self.complete_runs += more.complete_runs;
        self.commands += more.commands;
        self.reclaims += more.reclaims;
        self.evicted += more.evicted;
    }
}

/// A cgroup on a node before a run.
struct Before {
    path: String,
    node: u32,
    key: Key,
    taken: u64,
    swapped: u64,
    /// By itself, in µs.
    stalled: u64,
    must_age: bool,
}

/// The agent holds its host, and the host the agent.
impl Drop for World {
    fn drop(&mut self) {
        self.host.book().memcg = None;
    }
}

impl World {
    pub fn new(schedule: &Schedule) -> Self {
        let mut rng = Rng::new(schedule.seed);
        let config = schedule.config.config();
        let uses_reclaim = config.actuator == Actuator::MemoryReclaim;
        let mut machine = random::machine(&mut rng, 7);
        machine.features.reclaim = uses_reclaim;
        machine.features.reclaim_swappiness = rng.chance(1, 2);
        machine.features.triggers = rng.chance(1, 2);
        let sim = Simulator::new(machine);
        let host = Arc::new(Checked::new(sim.clone(), Settings::new(&config)));
        let memcg = MemCG::with_host(Arc::clone(&host) as Arc<dyn Host>, config).unwrap();
        host.book().memcg = Some(memcg.clone());
        Self {
            sim,
            host,
            memcg,
            gates: HashMap::new(),
            totals: Totals::default(),
            uses_reclaim,
        }
    }

    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.sim.machine()
    }

    pub fn totals(&self) -> Totals {
        let counters = self.sim.machine().counters;
        Totals {
            commands: counters.commands,
            reclaims: counters.reclaims,
            ..self.totals
        }
    }

    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Run {
                disturbances,
                changes,
                failing_read,
            } => {
                let Some(due) = self.wait_for_run()? else {
                    return Ok(());
                };
                {
                    let mut machine = self.sim.machine();
                    for (offset, dice) in disturbances {
                        let number = machine.counters.commands + 1 + u64::from(*offset) / 2;
                        let disturbance = dice.disturbance(&machine);
                        machine.disturb_at(number, disturbance);
                    }
                    if let Some(offset) = failing_read {
                        let number = machine.counters.reads + 1 + u64::from(*offset);
                        machine.failing_reads.insert(number);
                    }
                    let mut book = self.host.book();
                    for (offset, dice) in changes {
                        let change = dice.change(&machine, &book.settings);
                        let number = book.calls + 1 + u64::from(*offset);
                        book.changes.entry(number).or_default().push(change);
                    }
                    book.run = Run::new(&due, !disturbances.is_empty());
                }
                let jumps = Duration::from_secs(disturbances.len() as u64 * 655_360);
                self.run(&due, jumps, failing_read.is_some())?;
            }
            Step::Wait(secs) => self
                .sim
                .machine()
                .advance(Duration::from_secs(u64::from(*secs))),
            Step::Disturb(dice) => {
                let mut machine = self.sim.machine();
                let disturbance = dice.disturbance(&machine);
                // A command that fails is none.
                let _ = machine.disturb(disturbance);
                machine.check();
            }
            Step::Change(dice) => {
                let change = dice.change(&self.sim.machine(), &self.host.book().settings);
                self.host.change(&change);
                self.gates.clear();
            }
            Step::Populate(which, seed) => {
                let mut machine = self.sim.machine();
                let paths: Vec<String> = machine.paths().map(str::to_owned).collect();
                let path = &paths[usize::from(*which) % paths.len()];
                random::populate(&mut Rng::new(*seed), &mut machine, path);
            }
        }
        match self.host.book().violations.first() {
            Some(what) => Err(what.clone()),
            None => Ok(()),
        }
    }

    /// Waits as the agent would. Returns what is due; none if nothing will be for a long time.
    fn wait_for_run(&mut self) -> Result<Option<Vec<u64>>, String> {
        let remaining = self.memcg.get_remaining_tokio_duration();
        let is_enabled = self.host.book().settings.is_enabled();
        if !is_enabled && remaining != Duration::MAX {
            return Err(format!("nothing is enabled, but due in {remaining:?}"));
        }
        self.sim.machine().advance(remaining.min(LONGEST_WAIT));
        Ok((remaining < LONGEST_WAIT).then(|| self.memcg.get_timeout_list()))
    }

    fn run(&mut self, due: &[u64], jumps: Duration, may_fail: bool) -> Result<(), String> {
        let before = self.before(due);
        let pages_before = pages(&self.memcg);
        let began = self.sim.now();
        let reads = self.sim.machine().counters.reads;
        let result = self.memcg.work(&due.to_vec());
        if let Err(error) = &result
            && !may_fail
        {
            return Err(format!("the run failed: {error:#}"));
        }
        if result.is_ok() {
            self.memcg.reset_timers(&due.to_vec());
        }
        let has_ended_early = result.is_err();
        self.forget_what_did_not_happen();
        self.totals.runs += 1;

        let elapsed = self.sim.now() - began;
        let budget = due.iter().map(|period| budget(*period));
        let budget = budget.fold(SLACK, Duration::saturating_add);
        if elapsed > budget.saturating_add(jumps) {
            return Err(format!("the run took {elapsed:?} of {budget:?}"));
        }
        let book = self.host.book();
        // One before each group, and one for its first batches.
        let most = 2 * due.len() as u64 + elapsed.as_millis() as u64 / 100;
        if book.run.looks > most {
            return Err(format!("{} looks in {elapsed:?}", book.run.looks));
        }
        let reads = self.sim.machine().counters.reads - reads;
        if reads > book.run.looks + 1 + u64::from(may_fail) {
            return Err(format!("{reads} reads for {} looks", book.run.looks));
        }
        let is_calm = !book.run.is_disturbed && !book.run.has_changed() && !has_ended_early;
        drop(book);
        if !has_ended_early {
            self.check_timers(due)?;
        }
        self.check_pages(&before, &pages_before, is_calm)?;
        if is_calm {
            self.totals.complete_runs += 1;
            self.check_gates(&before, began)?;
            if !self.uses_reclaim {
                self.check_liveness(&before)?;
            }
            self.check_swap(&before)?;
        } else {
            self.gates.clear();
        }
        self.sim.machine().check();
        Ok(())
    }

    fn before(&self, due: &[u64]) -> Vec<Before> {
        let machine = self.sim.machine();
        let book = self.host.book();
        let all = members(&machine).map(|(path, node)| {
            let cgroup = machine.cgroup(path);
            let lru = &cgroup.lrus[&node];
            let config = book.settings.of(path, node);
            let totals = machine.totals(path);
            let has_stalled = totals.memory + totals.io > 0;
            Before {
                path: path.to_owned(),
                node,
                key: (cgroup.id, cgroup.ino, node),
                taken: taken(lru),
                swapped: lru.freed[ANON],
                stalled: cgroup.stalled.memory + cgroup.stalled.io,
                must_age: !config.disabled
                    && due.contains(&config.period_secs)
                    && cgroup.has_psi
                    && !has_stalled
                    && is_old(lru, machine.now()),
            }
        });
        all.collect()
    }

    fn forget_what_did_not_happen(&self) {
        let mut machine = self.sim.machine();
        machine.forget_disturbances();
        machine.failing_reads.clear();
        self.host.book().changes.clear();
    }

    /// T1, M8: what has run is not due at once.
    fn check_timers(&self, due: &[u64]) -> Result<(), String> {
        let expired = self.memcg.get_timeout_list();
        let book = self.host.book();
        if book.run.has_changed() || book.run.is_disturbed {
            return Ok(());
        }
        match expired.iter().find(|period| due.contains(period)) {
            Some(period) => Err(format!("{period} is due again")),
            None => Ok(()),
        }
    }

    /// The status has what the agent saw leaving, and that is what left (D10, E2).
    fn check_pages(
        &mut self,
        before: &[Before],
        pages_before: &HashMap<Key, u64>,
        is_calm: bool,
    ) -> Result<(), String> {
        let book = self.host.book();
        let machine = self.sim.machine();
        for (key, count) in pages(&self.memcg) {
            let old = pages_before.get(&key).copied().unwrap_or(0);
            let more = count.saturating_sub(old);
            let seen = book.run.fell.get(&key).copied().unwrap_or(0);
            if more > seen {
                return Err(format!("{key:?}: {more} pages counted, {seen} seen"));
            }
            self.totals.evicted += more;
            let before = before.iter().find(|before| before.key == key);
            let Some(before) = before.filter(|_| is_calm) else {
                continue;
            };
            let lru = &machine.cgroup(&before.path).lrus[&before.node];
            let left = taken(lru) - before.taken;
            if more != left && !self.uses_reclaim {
                return Err(format!("{key:?}: {more} pages counted, {left} left"));
            }
        }
        Ok(())
    }

    /// M5, from below: with this much pressure since the last run, there must be no command.
    fn check_gates(&mut self, before: &[Before], began: Duration) -> Result<(), String> {
        let book = self.host.book();
        let machine = self.sim.machine();
        let mut gates = HashMap::new();
        for Before {
            path,
            node,
            key,
            stalled,
            ..
        } in before
        {
            let cgroup = machine.cgroup(path);
            let own = cgroup.stalled;
            let config = book.settings.of(path, *node);
            if let Some(last) = self.gates.get(key) {
                let stalled = stalled - last.stalled;
                let elapsed = (machine.now() - last.run_began).as_micros() as u64;
                let percent = stalled * 100 / elapsed.max(1);
                if percent > u64::from(config.period_psi_percent_limit)
                    && book.run.aged.contains_key(key)
                {
                    return Err(format!("{path} was aged with pressure of {percent} %"));
                }
            }
            let is_gated = !config.disabled && book.run.due.contains(&config.period_secs);
            if is_gated && book.run.asked.contains(path) {
                let gated = Gated {
                    run_began: began,
                    stalled: own.memory + own.io,
                };
                gates.insert(*key, gated);
            }
        }
        drop((book, machine));
        self.gates = gates;
        Ok(())
    }

    /// Nothing is swapped out unless that is wanted.
    fn check_swap(&self, before: &[Before]) -> Result<(), String> {
        let book = self.host.book();
        let machine = self.sim.machine();
        for before in before {
            let cgroup = machine.cgroup(&before.path);
            let mut nodes = cgroup.lrus.keys();
            let wants_swap = nodes.any(|node| book.settings.of(&before.path, *node).swap);
            let swapped = cgroup.lrus[&before.node].freed[ANON] - before.swapped;
            if swapped > 0 && !wants_swap {
                return Err(format!("{swapped} pages of {} swapped out", before.path));
            }
        }
        Ok(())
    }

    /// What is calm and old enough is aged, and what may be evicted from is.
    fn check_liveness(&self, before: &[Before]) -> Result<(), String> {
        let book = self.host.book();
        let machine = self.sim.machine();
        for Before {
            path,
            node,
            key,
            must_age,
            ..
        } in before
        {
            let aged = book.run.aged.get(key).copied().unwrap_or(0);
            // With several periods, the eviction of one may close the gate of the next.
            let must_age = *must_age && !book.run.stalled.contains(path);
            if aged > 1 || (must_age && aged == 0) {
                return Err(format!("{path} {node} was aged {aged} times"));
            }
            let totals = machine.totals(path);
            let is_calm = totals.memory + totals.io == 0;
            let Some(looked) = book.eviction(key).filter(|_| is_calm && aged == 1) else {
                continue;
            };
            if !book.run.may_evict.contains(key) || looked.was_protected {
                continue;
            }
            let first = looked.first;
            let lru = &machine.cgroup(path).lrus[node];
            if first.max_seq + 1 - first.min_seq == MAX_NR_GENS
                && first.file > 0
                && lru.min_seq() == first.min_seq
                && lru.oldest()[FILE] > 0
            {
                return Err(format!("{path} {node} keeps {:?}", lru.oldest()));
            }
        }
        Ok(())
    }
}

/// Pages that have been evicted according to the status.
fn pages(memcg: &MemCG) -> HashMap<Key, u64> {
    let mut pages = HashMap::new();
    for cgroup in memcg.status().values() {
        for (node, numa) in &cgroup.numa {
            let key = (cgroup.kernel_id(), cgroup.ino as u64, *node);
            pages.insert(key, numa.eviction_count.page);
        }
    }
    pages
}

fn members(machine: &Machine) -> impl Iterator<Item = (&str, u32)> {
    machine.paths().flat_map(|path| {
        let nodes = machine.cgroup(path).lrus.keys();
        nodes.map(move |node| (path, *node))
    })
}

fn taken(lru: &Lru) -> u64 {
    lru.freed.iter().chain(&lru.moved).sum()
}

/// Whether no generation is younger than 60 s, as the kernel prints it.
fn is_old(lru: &Lru, now: Duration) -> bool {
    lru.rows().all(|(_, generation)| {
        let age = (now - generation.born).as_millis() as u64;
        (60_000..1 << 32).contains(&age)
    })
}

/// Half of the period, and 10 s at least (E4b).
fn budget(period: u64) -> Duration {
    Duration::from_secs(period / 2).max(Duration::from_secs(10))
}
