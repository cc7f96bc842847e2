//! What happens in a pod from midnight to midnight.

use std::sync::Arc;
use std::time::Duration;

use mem_agent::compact::{self, Compact};
use mem_agent::memcg::{Actuator, Config, MemCG, SingleConfig};

use crate::sim::{ANON, Counters, FILE, Machine, PAGE, Profile, Rng, Simulator, Tree};

/// Pages of 1 MiB.
pub(crate) const MIB: u64 = (1 << 20) / PAGE;
/// Memory of the machine in MiB.
pub(crate) const TOTAL_MIB: u64 = 4_096;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// So often, the workload moves on (s).
const TICK: u64 = 10;
/// From sample to sample (s).
pub(crate) const SAMPLE: u64 = 300;
/// Working hours of the batch job (s): it comes as a new cgroup each time, and goes.
const BATCHES: [(u64, u64); 2] = [(HOUR, 3 * HOUR), (13 * HOUR, 14 * HOUR)];

const WEB: &str = "/kubepods/pod7/web";
const DB: &str = "/kubepods/pod7/db";
const LOGS: &str = "/kubepods/pod7/log-shipper";
const BATCH: &str = "/kubepods/pod7/batch";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    Present(Actuator),
    Absent,
}

/// The machine at a moment, and what has happened since the last sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds since midnight.
    pub(crate) time: u64,
    /// In pages, as the others.
    pub(crate) resident: u64,
    /// Of those, in no working set.
    pub(crate) cold: u64,
    /// By the agent, since midnight.
    pub(crate) reclaimed: u64,
    /// Of those, that came back.
    pub(crate) refaulted: u64,
    /// Free, in blocks that go back to the host.
    pub(crate) reportable: u64,
    /// Of the whole machine, in thousandths.
    pub(crate) psi_permille: u64,
    pub(crate) actions: Actions,
}

/// What the agent did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Actions {
    pub(crate) runs: u64,
    pub(crate) looks: u64,
    pub(crate) agings: u64,
    /// Eviction commands, and writes to `memory.reclaim`.
    pub(crate) evictions: u64,
    pub(crate) reclaimed: u64,
    pub(crate) compactions: u64,
    /// How often a cgroup was passed over because of pressure.
    pub(crate) held_back: u64,
    /// How often an eviction ended because of pressure.
    pub(crate) stopped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Day {
    pub(crate) samples: Vec<Sample>,
}

/// Counters, as of the last sample.
#[derive(Default)]
struct Before {
    counters: Counters,
    compactions: u64,
    stalled: u64,
    held_back: u64,
    stopped: u64,
    runs: u64,
}

impl Day {
    /// Lives it, and shows each sample.
    ///
    /// # Errors
    ///
    /// That of the agent, or of `show`.
    pub(crate) fn live(
        seed: u64,
        agent: Agent,
        mut show: impl FnMut(&Sample) -> std::io::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut pod = Pod::new(seed, agent)?;
        let mut day = Self::default();
        for time in (0..DAY).step_by(TICK as usize) {
            pod.work(time);
            pod.give_turn()?;
            if (time + TICK).is_multiple_of(SAMPLE) {
                let sample = pod.sample(time + TICK);
                show(&sample)?;
                day.samples.push(sample);
            }
        }
        Ok(day)
    }

    /// All that the agent did.
    pub(crate) fn actions(&self) -> Actions {
        let mut sum = Actions::default();
        for sample in &self.samples {
            sum.add(&sample.actions);
        }
        sum
    }

    /// Average over the day.
    pub(crate) fn mean(&self, value: impl Fn(&Sample) -> u64) -> u64 {
        let sum: u64 = self.samples.iter().map(value).sum();
        sum / (self.samples.len() as u64).max(1)
    }
}

impl Actions {
    pub(crate) fn add(&mut self, more: &Self) {
        self.runs += more.runs;
        self.looks += more.looks;
        self.agings += more.agings;
        self.evictions += more.evictions;
        self.reclaimed += more.reclaimed;
        self.compactions += more.compactions;
        self.held_back += more.held_back;
        self.stopped += more.stopped;
    }
}

/// The machine, its workload and its agent.
struct Pod {
    simulator: Simulator,
    /// For the compact half, which reads files.
    tree: Tree,
    memcg: MemCG,
    compact: Compact,
    rng: Rng,
    midnight: Duration,
    before: Before,
    runs: u64,
    /// Of cgroups that are gone.
    gone: (u64, u64),
}

impl Pod {
    fn new(seed: u64, agent: Agent) -> anyhow::Result<Self> {
        let simulator = Simulator::new(machine());
        let tree = Tree::new(simulator.clone())?;
        let disabled = agent == Agent::Absent;
        let config = Config {
            default: SingleConfig {
                disabled,
                swap: true,
                ..Default::default()
            },
            actuator: match agent {
                Agent::Present(actuator) => actuator,
                Agent::Absent => Actuator::default(),
            },
            ..Default::default()
        };
        let memcg = MemCG::with_host(Arc::new(simulator.clone()), config)?;
        let config = compact::Config {
            disabled,
            ..Default::default()
        };
        let compact = Compact::with_env(tree.env(), config)?;
        let midnight = simulator.machine().now();
        Ok(Self {
            simulator,
            tree,
            memcg,
            compact,
            rng: Rng::new(seed),
            midnight,
            before: Before::default(),
            runs: 0,
            gone: (0, 0),
        })
    }

    /// The workload of the next tick.
    fn work(&mut self, time: u64) {
        let load = load(time, &mut self.rng);
        let part = |mib: u64| mib * MIB * load / 1_000;
        let noise = |rng: &mut Rng, mib: u64| rng.below(2 * mib * MIB);
        let mut machine = self.simulator.machine();
        let web = machine.cgroup_mut(WEB).lru_mut(0);
        web.working_set = [150 * MIB + part(450), 100 * MIB + part(500)];
        // Files that are read once.
        let once = part(1) + noise(&mut self.rng, 1) / 8;
        machine.allocate(WEB, 0, FILE, once);
        machine.allocate(LOGS, 0, FILE, noise(&mut self.rng, 1) / 6);
        // Nobody can hold more than there is: the kernel drops the oldest logs.
        if machine.memory.free_pages() < 64 * MIB {
            machine.free(LOGS, 0, FILE, 64 * MIB);
            machine.free(WEB, 0, FILE, 64 * MIB);
        }
        let is_batch_time = BATCHES
            .iter()
            .any(|(from, to)| (*from..*to).contains(&time));
        if is_batch_time {
            let batch = machine.create(BATCH);
            batch.lru_mut(0).working_set = [180 * MIB, 0];
            batch.stalled.io += self.rng.below(2 * TICK * 20_000);
            machine.allocate(BATCH, 0, FILE, noise(&mut self.rng, 2));
        } else if machine.contains(BATCH) {
            drop(machine);
            let (held_back, stopped) = self.pressed(|path| path == BATCH);
            self.gone.0 += held_back;
            self.gone.1 += stopped;
            machine = self.simulator.machine();
            machine.remove(BATCH);
            machine.free_offline();
        }
        // Some waiting is part of life.
        let io = self.rng.below(load * TICK / 2 + 1);
        machine.cgroup_mut(WEB).stalled.io += io;
        // Runs take time too: never later than the clock of the day.
        let next = self.midnight + Duration::from_secs(time + TICK);
        let wait = next.saturating_sub(machine.now());
        machine.advance(wait);
    }

    /// Lets the agent do what is due.
    fn give_turn(&mut self) -> anyhow::Result<()> {
        if self.memcg.get_remaining_tokio_duration().is_zero() {
            let due = self.memcg.get_timeout_list();
            self.memcg.work(&due)?;
            self.memcg.reset_timers(&due);
            self.runs += 1;
        }
        if self.compact.need_work() {
            self.tree.sync()?;
            self.compact.work()?;
            self.compact.reset_timer();
        }
        Ok(())
    }

    /// How often cgroups were passed over, and evictions ended, because of pressure.
    fn pressed(&self, is_counted: impl Fn(&str) -> bool) -> (u64, u64) {
        let (mut held_back, mut stopped) = (0, 0);
        let status = self.memcg.status();
        for (_, cgroup) in status.iter().filter(|(path, _)| is_counted(path)) {
            for numa in cgroup.numa.values() {
                held_back += numa.sleep_psi_exceeds_limit;
                stopped += numa.eviction_count.psi_exceeds_limit;
            }
        }
        (held_back, stopped)
    }

    fn sample(&mut self, time: u64) -> Sample {
        let (held_back, stopped) = self.pressed(|_| true);
        let machine = self.simulator.machine();
        let mut sample = Sample {
            time,
            reportable: machine.memory.reportable(),
            ..Sample::default()
        };
        for cgroup in machine.subtree("/") {
            for lru in cgroup.lrus.values() {
                for (kind, in_use) in lru.working_set.into_iter().enumerate() {
                    let resident = lru.resident(kind);
                    sample.resident += resident;
                    sample.cold += resident.saturating_sub(in_use);
                }
            }
        }
        let counters = machine.counters;
        let totals = machine.totals("/");
        let now = Before {
            counters,
            compactions: machine.memory.compactions,
            stalled: totals.memory + totals.io,
            held_back: held_back + self.gone.0,
            stopped: stopped + self.gone.1,
            runs: self.runs,
        };
        drop(machine);
        let before = std::mem::replace(&mut self.before, now);
        let now = &self.before;
        sample.reclaimed = counters.freed;
        sample.refaulted = counters.refaulted;
        sample.psi_permille = (now.stalled - before.stalled) / (SAMPLE * 1_000);
        sample.actions = Actions {
            runs: now.runs - before.runs,
            looks: counters.reads - before.counters.reads,
            agings: counters.agings - before.counters.agings,
            evictions: counters.evictions - before.counters.evictions + counters.reclaims
                - before.counters.reclaims,
            reclaimed: counters.freed - before.counters.freed,
            compactions: now.compactions - before.compactions,
            held_back: now.held_back - before.held_back,
            stopped: now.stopped - before.stopped,
        };
        sample
    }
}

fn machine() -> Machine {
    let mut machine = Machine::new(Profile::NEW);
    machine.memory = crate::sim::Memory::new(TOTAL_MIB * MIB);
    machine.memory.immovable = 20 * MIB;
    machine.set_swap(1_024 * MIB);
    machine.features.reclaim = true;
    machine.features.reclaim_swappiness = true;
    machine.features.triggers = true;
    for path in [WEB, LOGS, DB] {
        machine.create(path).stall_ns = 30;
    }
    let db = machine.cgroup_mut(DB);
    db.low = 700 << 20;
    db.lru_mut(0).working_set = [300 * MIB, 250 * MIB];
    // A cache that was filled at the start.
    machine.allocate(DB, 0, FILE, 350 * MIB);
    machine.allocate(WEB, 0, ANON, 350 * MIB);
    machine.allocate(WEB, 0, FILE, 500 * MIB);
    machine
}

/// Of the web server, in thousandths: quiet at night, with peaks in the morning and the evening.
fn load(time: u64, rng: &mut Rng) -> u64 {
    let hour = time as f64 / HOUR as f64;
    let peak = |at: f64, width: f64, height: f64| {
        let x = (hour - at) / width;
        height * (-x * x).exp()
    };
    let load = 0.05 + peak(10.5, 2.0, 0.6) + peak(19.5, 2.2, 0.9);
    (load * 1_000.0) as u64 + rng.below(30)
}
