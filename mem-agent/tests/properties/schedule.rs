//! Random schedules: what happens to a machine and its agent, step by step. A step is made of
//! numbers, whose meaning depends on the machine at that time, so that any part of a schedule is a
//! schedule too, and a failing one can be made short.

use std::time::Duration;

use mem_agent::memcg::{
    Actuator, CgroupOptionConfig, Config, OptionConfig, SingleConfig, SingleOptionConfig,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::settings::Settings;
use crate::sim::random::NAMES;
use crate::sim::{Disturbance, Machine};

/// From a new machine on.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// Of the machine.
    pub seed: u64,
    /// Of the configuration.
    pub config: Dice,
    pub steps: Vec<Step>,
}

/// Chooses one of many things.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    pub kind: u8,
    pub which: u8,
    pub amount: u16,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// The agent's next run, as soon as it is due.
    Run {
        /// Before the command with this number within the run.
        disturbances: Vec<(u8, Dice)>,
        /// After the call with this number within the run.
        changes: Vec<(u8, Dice)>,
        /// The read with this number within the run.
        failing_read: Option<u8>,
    },
    /// Nothing happens for some seconds.
    Wait(u16),
    /// Something happens between two runs.
    Disturb(Dice),
    /// The configuration changes between two runs.
    Change(Dice),
    /// A cgroup gets other pages, habits and limits.
    Populate(u8, u64),
}

pub fn schedules() -> impl Strategy<Value = Schedule> {
    (any::<u64>(), dice(), vec(step(), 1..10)).prop_map(|(seed, config, steps)| Schedule {
        seed,
        config,
        steps,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Run { disturbances: vec![], changes: vec![], failing_read: None }),
        3 => (
            vec((any::<u8>(), dice()), 0..3),
            vec((any::<u8>(), dice()), 0..3),
            proptest::option::weighted(0.1, 0..20_u8),
        )
            .prop_map(|(disturbances, changes, failing_read)| Step::Run {
                disturbances,
                changes,
                failing_read,
            }),
        1 => any::<u16>().prop_map(Step::Wait),
        2 => dice().prop_map(Step::Disturb),
        2 => dice().prop_map(Step::Change),
        1 => (any::<u8>(), any::<u64>()).prop_map(|(which, seed)| Step::Populate(which, seed)),
    ]
}

fn dice() -> impl Strategy<Value = Dice> {
    (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(kind, which, amount)| Dice {
        kind,
        which,
        amount,
    })
}

impl Dice {
    pub fn path(self, machine: &Machine) -> String {
        let paths: Vec<&str> = machine.paths().collect();
        paths[usize::from(self.which) % paths.len()].to_owned()
    }

    fn new_path(self, machine: &Machine) -> String {
        let parent = self.path(machine);
        let name = NAMES[usize::from(self.amount) % NAMES.len()];
        format!("{}/{name}", parent.trim_end_matches('/'))
    }

    pub fn disturbance(self, machine: &Machine) -> Disturbance {
        let path = self.path(machine);
        let amount = u64::from(self.amount);
        match self.kind % 13 {
            0 => Disturbance::Stall { path, us: amount },
            1 => Disturbance::Stall {
                path,
                us: amount * 1_000,
            },
            2 => Disturbance::Remove(path),
            3 => Disturbance::Recreate(path),
            4 => Disturbance::ReuseId {
                from: path,
                to: self.new_path(machine),
            },
            5 => Disturbance::AddNode(u32::from(self.amount % 4)),
            6 => Disturbance::RemoveNode(u32::from(self.amount % 4)),
            7 => Disturbance::AnonForFile {
                path,
                pages: amount % 500,
            },
            8 => Disturbance::LoseOldest(path),
            9 => Disturbance::Age(path),
            10 => {
                let errors = [libc::EINTR, libc::EBUSY, libc::ENOMEM, libc::EEXIST];
                Disturbance::Fail(errors[usize::from(self.amount) % errors.len()])
            }
            11 => Disturbance::FillSwap,
            _ => Disturbance::Jump(Duration::from_secs(amount * 10)),
        }
    }

    pub fn config(self) -> Config {
        let mut default = SingleConfig {
            eviction_run_aging_count_min: u64::from(self.amount % 3),
            swap: self.amount & 4 != 0,
            ..Default::default()
        };
        if self.which.is_multiple_of(2) {
            default.eviction_psi_percent_limit = self.which;
        }
        Config {
            default,
            actuator: if self.kind < 64 {
                Actuator::MemoryReclaim
            } else {
                Actuator::LruGen
            },
            ..Default::default()
        }
    }

    pub fn change(self, machine: &Machine, settings: &Settings) -> OptionConfig {
        let config = self.single();
        let path = self.path(machine);
        let numa_id = match self.amount % 4 {
            0 => vec![0],
            1 => vec![1, 0],
            _ => vec![],
        };
        let entries = settings.entries();
        let known = entries.get(usize::from(self.which) % entries.len().max(1));
        let mut change = OptionConfig::default();
        match (self.kind / 7 % 4, known) {
            (1, _) => change.add.push(CgroupOptionConfig {
                path,
                numa_id,
                no_subdir: Some(self.amount & 64 != 0),
                config,
            }),
            (2, Some((path, numa))) => change.set.push(CgroupOptionConfig {
                path: path.trim_start_matches('/').to_owned() + "/",
                numa_id: numa.iter().rev().copied().collect(),
                no_subdir: (self.amount & 32 != 0).then_some(self.amount & 64 != 0),
                config,
            }),
            (2, None) => change.set.push(CgroupOptionConfig {
                path,
                ..Default::default() // refused
            }),
            (3, Some(known)) => change.del.push(known.clone()),
            _ => change.default = config,
        }
        change
    }

    fn single(self) -> SingleOptionConfig {
        let amount = self.amount / 128;
        let small = amount as u8;
        let mut config = SingleOptionConfig::default();
        match self.kind % 7 {
            0 => config.swap = Some(!amount.is_multiple_of(4)),
            1 => config.swappiness_max = Some(small),
            2 => {
                let periods = [600, 61, 300, 0, 1, 90, 3_600, u64::MAX];
                config.period_secs = Some(periods[usize::from(amount) % periods.len()]);
            }
            3 => config.period_psi_percent_limit = Some(small % 8),
            4 => config.eviction_psi_percent_limit = Some(small),
            5 => config.eviction_run_aging_count_min = Some(u64::from(amount % 4)),
            _ => config.disabled = Some(!amount.is_multiple_of(3)),
        }
        config
    }
}
