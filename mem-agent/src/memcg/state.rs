//! What is known of the memory cgroups, and when which of them are due (spec 3.4, 3.7, 3.8).
//!
//! Pure: nothing here touches the machine or asks for the time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::env::Snapshot;
use crate::psi::Pressure;
use crate::timer::Timer;

use super::config::{Config, OptionConfig, Reset, SingleConfig};
use super::eviction::Stop;
use super::known::Known;
use super::status::MemCgroup;

/// Generations younger than this are not aged again (M6).
const IDLE_FRESH_IGNORE: Duration = Duration::from_secs(60);

/// A memory cgroup on a NUMA node. It is not the same one any more if its id or inode has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Path of the cgroup.
    pub path: String,
    /// The kernel's id.
    pub id: u64,
    /// Inode number of its directory.
    pub ino: u64,
    /// The NUMA node.
    pub node: u32,
}

/// Whether pressure lets a member be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It does.
    Open,
    /// It does not, for this period.
    Closed,
}

/// All that the memcg half remembers.
#[derive(Debug)]
pub struct State {
    pub(super) config: Config,
    cgroups: BTreeMap<String, Known>,
    groups: BTreeMap<u64, Group>,
    refreshed: Option<Duration>,
    is_running: bool,
}

/// The members with the same period.
#[derive(Debug)]
struct Group {
    timer: Timer,
    /// Has become due again since it was begun to be worked on (D4).
    is_due_again: bool,
    /// Is worked on, or has been, and its timer is not restarted yet.
    awaits_restart: bool,
}

impl State {
    /// Nothing is known yet.
    pub fn new(mut config: Config) -> Self {
        config.normalise();
        Self {
            config,
            cgroups: BTreeMap::new(),
            groups: BTreeMap::new(),
            refreshed: None,
            is_running: false,
        }
    }

    /// Whether nothing is to be managed.
    pub fn is_disabled(&self) -> bool {
        self.config.is_disabled()
    }

    /// Takes over a snapshot of all cgroups (M1). `wall_clock` is the time of day at which it was
    /// taken, for the status.
    pub fn refresh(&mut self, snapshot: &Snapshot, wall_clock: DateTime<Utc>) {
        if self.refreshed.is_some_and(|time| snapshot.taken < time) {
            return; // overtaken by another one
        }
        self.refreshed = Some(snapshot.taken);
        let mut seen = BTreeSet::new();
        for look in snapshot.iter().filter(|look| look.id != 0) {
            seen.insert(look.path);
            let config = &self.config;
            match self.cgroups.get_mut(look.path) {
                Some(known) if known.is(&look) => {
                    if known.update_all(&look, snapshot.taken, wall_clock) {
                        known.look_up(config, look.path);
                    }
                }
                _ => {
                    let mut known = Known::new(&look);
                    known.update_all(&look, snapshot.taken, wall_clock);
                    known.look_up(config, look.path);
                    self.cgroups.insert(look.path.to_owned(), known);
                }
            }
        }
        self.cgroups.retain(|path, _| seen.contains(path.as_str()));
        self.regroup();
    }

    /// Takes over the numbers of the `wanted` cgroups, and neither adds nor drops any. What the
    /// snapshot lacks of them is not aged until it is seen again.
    pub fn update(
        &mut self,
        wanted: &HashSet<String>,
        snapshot: &Snapshot,
        wall_clock: DateTime<Utc>,
    ) {
        for path in wanted {
            if let Some(known) = self.cgroups.get_mut(path) {
                known.miss(snapshot.taken);
            }
        }
        for look in snapshot.iter() {
            let Some(known) = self
                .cgroups
                .get_mut(look.path)
                .filter(|known| known.is(&look))
            else {
                continue;
            };
            for node in look.nodes {
                if let Some(state) = known.nodes.get_mut(node.node) {
                    state.update(node, snapshot.taken, wall_clock);
                }
            }
        }
    }

    /// The configuration as it would be.
    ///
    /// # Errors
    ///
    /// The change is refused.
    pub fn preview(&self, change: &OptionConfig) -> Result<Config> {
        Ok(self.config.changed(change)?.0)
    }

    /// Changes the configuration (G4–G7). True if the time of the next run may have changed.
    ///
    /// # Errors
    ///
    /// The change is refused, and nothing is changed.
    pub fn change(&mut self, change: &OptionConfig) -> Result<bool> {
        let (config, mut reset) = self.config.changed(change)?;
        self.config = config;
        let mut changed = BTreeSet::new();
        for (path, known) in &mut self.cgroups {
            let before = std::mem::take(&mut known.settings);
            known.look_up(&self.config, path);
            for (old, new) in known.changes_since(&before) {
                changed.extend([old.period_secs, new.period_secs]);
                if old.period_secs != new.period_secs {
                    reset = Reset::Needed; // it has moved to another group
                }
            }
        }
        let is_running = self.is_running;
        self.regroup();
        if reset == Reset::NotNeeded {
            return Ok(false);
        }
        for (period, group) in &mut self.groups {
            if changed.contains(period) {
                group.timer.expire();
                group.is_due_again |= is_running || group.awaits_restart;
            }
        }
        Ok(true)
    }

    /// Periods of which the timer has expired (M8).
    pub fn expired(&self, now: Duration) -> Vec<u64> {
        let expired = self
            .groups
            .iter()
            .filter(|(_, group)| group.timer.is_expired(now));
        expired.map(|(period, _)| *period).collect()
    }

    /// Restarts the timers of these periods, unless something of them has changed since the run
    /// began (D4).
    pub fn restart(&mut self, periods: &[u64], now: Duration) {
        for period in periods {
            if let Some(group) = self.groups.get_mut(period) {
                group.awaits_restart = false;
                if !group.is_due_again {
                    group.timer.reset(now);
                }
            }
        }
    }

    /// Time to the next run (M7); [`Duration::MAX`] is never.
    pub fn remaining(&self, now: Duration) -> Duration {
        if self.is_disabled() {
            return Duration::MAX;
        }
        let members = self.enabled_periods();
        let groups = self
            .groups
            .iter()
            .filter(|(period, _)| members.contains(period));
        let next = groups.map(|(_, group)| group.timer.remaining(now)).min();
        next.unwrap_or_else(|| self.remaining_to_scan(now))
    }

    /// Whether it is time to look for cgroups, as there is none to work on (D18).
    pub fn needs_scan(&self, now: Duration) -> bool {
        !self.is_disabled()
            && self.enabled_periods().is_empty()
            && self.remaining_to_scan(now).is_zero()
    }

    /// Marks the begin of a run; false if there is one already.
    pub fn begin_run(&mut self, periods: &[u64]) -> bool {
        if self.is_running {
            return false;
        }
        self.is_running = true;
        for period in periods {
            if let Some(group) = self.groups.get_mut(period) {
                group.is_due_again = false;
                group.awaits_restart = true;
            }
        }
        true
    }

    /// Marks its end.
    pub fn end_run(&mut self) {
        self.is_running = false;
    }

    /// Whether there is a run.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// The enabled members of a period group.
    pub fn members(&self, period: u64) -> Vec<Member> {
        let mut members = Vec::new();
        for (path, known) in &self.cgroups {
            let settings = known.settings.iter();
            let mine =
                settings.filter(|(_, config)| !config.disabled && config.period_secs == period);
            members.extend(mine.flat_map(|(nodes, _)| nodes).map(|node| Member {
                path: path.clone(),
                id: known.id,
                ino: known.ino,
                node: *node,
            }));
        }
        members
    }

    /// The settings of a member now; none if it is gone or disabled.
    pub fn settings(&self, member: &Member) -> Option<&SingleConfig> {
        self.known(member)?.settings_of(member.node)
    }

    /// Feeds a member's pressure to its gate (M5).
    pub fn gate(&mut self, member: &Member, pressure: Pressure, now: Duration) -> Option<Gate> {
        let known = self.known_mut(member)?;
        let limit = known.settings_of(member.node)?.period_psi_percent_limit;
        let numa = &mut known.nodes.get_mut(member.node)?.numa;
        if numa.sampler.sample(pressure, now) > u64::from(limit) {
            numa.sleep_psi_exceeds_limit = numa.sleep_psi_exceeds_limit.saturating_add(1);
            return Some(Gate::Closed);
        }
        Some(Gate::Open)
    }

    /// The aging command of a member, unless its youngest generation is too young (M6), or it was not
    /// there when it was looked at last.
    pub fn aging(&self, member: &Member, now: Duration) -> Option<crate::mglru::Command> {
        let known = self.known(member)?;
        let config = known.settings_of(member.node)?;
        let state = known.nodes.get(member.node)?;
        if state.is_missing || state.youngest_age(now) < IDLE_FRESH_IGNORE {
            return None;
        }
        Some(crate::mglru::Command::Age {
            id: member.id,
            node: member.node,
            max_seq: state.numa.max_seq,
            can_swap: config.swap,
        })
    }

    /// Counts an aging, also of what has been disabled meanwhile. True if the member may be evicted
    /// from.
    pub fn aged(&mut self, member: &Member) -> bool {
        let Some(known) = self.known_mut(member) else {
            return false;
        };
        let config = known.settings_of(member.node);
        let min = config.map(|config| config.eviction_run_aging_count_min);
        let Some(state) = known.nodes.get_mut(member.node) else {
            return false;
        };
        state.numa.run_aging_count = state.numa.run_aging_count.saturating_add(1);
        min.is_some_and(|min| state.numa.run_aging_count >= min)
    }

    /// Counts an eviction (E2).
    pub fn evicted(&mut self, member: &Member, pages: u64, stop: Stop) {
        let Some(state) = self
            .known_mut(member)
            .and_then(|k| k.nodes.get_mut(member.node))
        else {
            return;
        };
        let count = &mut state.numa.eviction_count;
        count.page = count.page.saturating_add(pages);
        let reason = match stop {
            Stop::NoMinLru => &mut count.no_min_lru_file,
            Stop::MinLruInc => &mut count.min_lru_inc,
            Stop::Psi => &mut count.psi_exceeds_limit,
            Stop::Error => &mut count.error,
            Stop::Other => &mut count.other_error,
        };
        *reason = reason.saturating_add(1);
    }

    /// Counts pages that the kernel has reclaimed, by its counter before and after. What it counted
    /// while several nodes of the cgroup were evicted from counts once.
    pub fn reclaimed(&mut self, member: &Member, counter: Range<u64>) {
        if let Some(known) = self.known_mut(member) {
            let start = counter.start.max(known.reclaimed_until);
            let pages = counter.end.saturating_sub(start);
            known.reclaimed_pages = known.reclaimed_pages.saturating_add(pages);
            known.reclaimed_until = known.reclaimed_until.max(counter.end);
        }
    }

    /// What the refaults of a member's cgroup let be reclaimed of `cold` pages.
    pub fn reclaim_goal(
        &mut self,
        member: &Member,
        cold: u64,
        working_set: u64,
        refaulted: u64,
        now: Duration,
    ) -> Option<u64> {
        let known = self.known_mut(member)?;
        Some(known.refaults.goal(cold, working_set, refaulted, now))
    }

    /// The status of all cgroups.
    pub fn status(&self) -> HashMap<String, MemCgroup> {
        let status = self.cgroups.iter().map(|(path, known)| {
            let numa = known
                .nodes
                .0
                .iter()
                .map(|(node, state)| (*node, state.status()));
            let cgroup = MemCgroup {
                numa: numa.collect(),
                id: low_16_bits(known.id),
                ino: usize::try_from(known.ino).unwrap_or(usize::MAX),
                kernel_id: known.id,
                reclaimed_pages: known.reclaimed_pages,
            };
            (path.clone(), cgroup)
        });
        status.collect()
    }

    fn known(&self, member: &Member) -> Option<&Known> {
        let known = self.cgroups.get(&member.path)?;
        (known.id == member.id && known.ino == member.ino).then_some(known)
    }

    fn known_mut(&mut self, member: &Member) -> Option<&mut Known> {
        let known = self.cgroups.get_mut(&member.path)?;
        (known.id == member.id && known.ino == member.ino).then_some(known)
    }

    /// One group per period; those of new periods are due (T2).
    fn regroup(&mut self) {
        let settings = self
            .cgroups
            .values()
            .flat_map(|known| known.settings.iter());
        let periods: BTreeSet<u64> = settings.map(|(_, config)| config.period_secs).collect();
        self.groups.retain(|period, _| periods.contains(period));
        for period in periods {
            self.groups.entry(period).or_insert_with(|| Group {
                timer: Timer::new(period),
                is_due_again: false,
                awaits_restart: false,
            });
        }
    }

    fn enabled_periods(&self) -> BTreeSet<u64> {
        let settings = self
            .cgroups
            .values()
            .flat_map(|known| known.settings.iter());
        let enabled = settings.filter(|(_, config)| !config.disabled);
        enabled.map(|(_, config)| config.period_secs).collect()
    }

    fn remaining_to_scan(&self, now: Duration) -> Duration {
        let periods = self.config.enabled().map(|config| config.period_secs);
        let mut timer = Timer::new(periods.min().unwrap_or(self.config.default.period_secs));
        if let Some(time) = self.refreshed {
            timer.reset(time);
        }
        timer.remaining(now)
    }
}

fn low_16_bits(id: u64) -> u16 {
    let [low, high, ..] = id.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests;
