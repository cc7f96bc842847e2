//! What is known of one memory cgroup.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::env::{CgroupLook, NodeLook};
use crate::psi::Sampler;

use super::config::{Config, SingleConfig};
use super::refault::Refaults;
use super::status::{EvictionCount, Numa};

#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: u64,
    pub(super) ino: u64,
    pub(super) nodes: Nodes,
    /// Which settings count for which nodes.
    pub(super) settings: Box<[(Vec<u32>, SingleConfig)]>,
    pub(super) refaults: Refaults,
    pub(super) reclaimed_pages: u64,
    /// The kernel's counter, up to which they have been counted.
    pub(super) reclaimed_until: u64,
}

/// A few nodes at most, in ascending order: in a thousand cgroups, maps would take megabytes.
#[derive(Debug, Default)]
pub(super) struct Nodes(pub(super) Vec<(u32, NodeState)>);

#[derive(Debug)]
pub(super) struct NodeState {
    pub(super) numa: Numa,
    pub(super) youngest_age_ms: i64,
    pub(super) seen: Duration,
    /// Was not there when it was looked at later.
    pub(super) is_missing: bool,
}

impl Known {
    pub(super) fn new(look: &CgroupLook<'_>) -> Self {
        Self {
            id: look.id,
            ino: look.ino,
            nodes: Nodes::default(),
            settings: Box::default(),
            refaults: Refaults::default(),
            reclaimed_pages: 0,
            reclaimed_until: 0,
        }
    }

    pub(super) fn is(&self, look: &CgroupLook<'_>) -> bool {
        self.id == look.id && self.ino == look.ino
    }

    /// Adds new nodes, drops those that are gone (D17), updates the others. True if the set of nodes
    /// has changed.
    pub(super) fn update_all(
        &mut self,
        look: &CgroupLook<'_>,
        taken: Duration,
        wall_clock: DateTime<Utc>,
    ) -> bool {
        let looks = look.nodes.iter();
        let has_changed = !looks.clone().map(|node| node.node).eq(self.nodes.numbers());
        if has_changed {
            let mut nodes = Vec::with_capacity(look.nodes.len());
            for node in looks.clone() {
                let state = self.nodes.remove(node.node).unwrap_or_else(NodeState::new);
                nodes.push((node.node, state));
            }
            nodes.sort_by_key(|(number, _)| *number);
            self.nodes = Nodes(nodes);
        }
        for node in looks {
            if let Some(state) = self.nodes.get_mut(node.node) {
                state.update(node, taken, wall_clock);
            }
        }
        has_changed
    }

    /// Has been looked for at this time: what is not updated with what was seen then is gone.
    pub(super) fn miss(&mut self, taken: Duration) {
        for (_, state) in &mut self.nodes.0 {
            if state.seen <= taken {
                (state.seen, state.is_missing) = (taken, true);
            }
        }
    }

    pub(super) fn look_up(&mut self, config: &Config, path: &str) {
        let nodes: Vec<u32> = self.nodes.numbers().collect();
        self.settings = config.lookup(path, &nodes).into_boxed_slice();
    }

    /// Settings of nodes, before and now, where they differ.
    pub(super) fn changes_since<'a>(
        &'a self,
        before: &'a [(Vec<u32>, SingleConfig)],
    ) -> impl Iterator<Item = (&'a SingleConfig, &'a SingleConfig)> {
        let of = |settings: &'a [(Vec<u32>, SingleConfig)], node| {
            let mut settings = settings.iter();
            settings.find_map(|(nodes, config)| nodes.contains(&node).then_some(config))
        };
        let pairs = self
            .nodes
            .numbers()
            .filter_map(move |node| of(before, node).zip(of(&self.settings, node)));
        pairs.filter(|(old, new)| old != new)
    }

    /// Settings that are enabled.
    pub(super) fn settings_of(&self, node: u32) -> Option<&SingleConfig> {
        let mut settings = self.settings.iter();
        let (_, config) = settings.find(|(nodes, _)| nodes.contains(&node))?;
        (!config.disabled).then_some(config)
    }
}

impl Nodes {
    fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(number, _)| *number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&NodeState> {
        let mut nodes = self.0.iter();
        nodes.find(|(n, _)| *n == number).map(|(_, state)| state)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut NodeState> {
        let mut nodes = self.0.iter_mut();
        nodes.find(|(n, _)| *n == number).map(|(_, state)| state)
    }

    fn remove(&mut self, number: u32) -> Option<NodeState> {
        let index = self.0.iter().position(|(n, _)| *n == number)?;
        Some(self.0.swap_remove(index).1)
    }
}

impl NodeState {
    pub(super) fn new() -> Self {
        Self {
            numa: Numa {
                max_seq: 0,
                min_seq: 0,
                last_inc_time: DateTime::UNIX_EPOCH,
                min_lru_file: 0,
                min_lru_anon: 0,
                run_aging_count: 0,
                eviction_count: EvictionCount::ZERO,
                sleep_psi_exceeds_limit: 0,
                sampler: Sampler::default(),
            },
            youngest_age_ms: 0,
            seen: Duration::ZERO,
            is_missing: false,
        }
    }

    pub(super) fn update(&mut self, look: &NodeLook, taken: Duration, wall_clock: DateTime<Utc>) {
        if taken < self.seen {
            return;
        }
        self.seen = taken;
        self.is_missing = false;
        self.youngest_age_ms = look.youngest_age_ms;
        let age = TimeDelta::try_milliseconds(look.youngest_age_ms).unwrap_or_default();
        self.numa.last_inc_time = wall_clock.checked_sub_signed(age).unwrap_or(wall_clock);
        self.numa.max_seq = look.max_seq;
        self.numa.min_seq = look.min_seq;
        self.numa.min_lru_file = look.file;
        self.numa.min_lru_anon = look.anon;
    }

    /// What is told of it: without the pressure of the children, of which there may be many.
    pub(super) fn status(&self) -> Numa {
        let Numa {
            max_seq,
            min_seq,
            last_inc_time,
            min_lru_file,
            min_lru_anon,
            run_aging_count,
            ref eviction_count,
            sleep_psi_exceeds_limit,
            sampler: _,
        } = self.numa;
        Numa {
            max_seq,
            min_seq,
            last_inc_time,
            min_lru_file,
            min_lru_anon,
            run_aging_count,
            eviction_count: eviction_count.clone(),
            sleep_psi_exceeds_limit,
            sampler: Sampler::default(),
        }
    }

    /// By the kernel's own clock (D8). One in the future is new.
    pub(super) fn youngest_age(&self, now: Duration) -> Duration {
        let age = u64::try_from(self.youngest_age_ms).unwrap_or(0);
        Duration::from_millis(age).saturating_add(now.saturating_sub(self.seen))
    }
}
