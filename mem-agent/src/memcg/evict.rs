//! Evictions of one run: what is seen, and when each of them ends (spec 3.9).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::Result;

use crate::env::{CgroupLook, NodeLook, Protection, Snapshot, Watch};
use crate::psi::Window;

use super::config::{Actuator, SingleConfig, self_and_ancestors};
use super::eviction::{Eviction, Observation, Stop};
use super::refault::allowance;
use super::run::{PressureCache, Run};
use super::state::Member;

/// Shortest time between two looks.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// At most one part in so many of the time is spent looking: with very many cgroups, a look takes long.
const LOOK_PART: u32 = 5;
/// Most batches of a cgroup between two looks.
const PASSES_PER_LOOK: usize = 4;
/// Most cgroups whose pressure the kernel is asked to watch.
const MOST_WATCHES: usize = 16;
/// Without MGLRU, the largest part of a cgroup that is taken in one run.
const PART_OF_ESTIMATE: u64 = 20;

/// An eviction under way.
pub(super) struct Item {
    pub(super) member: Member,
    pub(super) eviction: Eviction,
    pub(super) window: Window,
    pub(super) watch: Option<Box<dyn Watch>>,
    /// There is pressure: nothing more until the next look.
    pub(super) has_fired: bool,
    /// A write with a command of it has failed: its next one goes alone, to tell whose fault it was.
    pub(super) goes_alone: bool,
    /// Pages, when the eviction began: reclaimed, refaulted.
    pub(super) counters: Option<(u64, u64)>,
    pub(super) began: Duration,
    /// In pages.
    pub(super) working_set: u64,
    /// By `memory.reclaim`.
    pub(super) reclaims: bool,
    /// Commands have been sent since the last look: what they took is not counted yet.
    pub(super) is_uncounted: bool,
    /// Has had its batch of the pass, which may go on after the next look.
    pub(super) is_served: bool,
    pub(super) stop: Option<Stop>,
}

impl Run<'_> {
    /// Evicts from the members until each has a reason to stop (E1).
    pub(super) fn evict(&self, members: Vec<Member>, budget: Duration) -> Result<()> {
        if members.is_empty() {
            return Ok(());
        }
        let deadline = self.host.now().saturating_add(budget);
        let mut items: Vec<Item> = members.into_iter().map(Item::new).collect();
        let result = self.rounds(&mut items, deadline);
        if items.iter().any(|item| item.is_uncounted) {
            self.count(&mut items);
        }
        // Of an abort (E2).
        for item in items {
            self.finish(item);
        }
        result
    }

    fn rounds(&self, items: &mut Vec<Item>, deadline: Duration) -> Result<()> {
        while !items.is_empty() {
            let looked = self.host.now();
            self.look(items)?;
            let took = self.host.now().saturating_sub(looked);
            let next = looked.saturating_add(took.saturating_mul(LOOK_PART).max(LOOK_INTERVAL));
            self.drop_stopped(items);
            if self.shared.cancel.is_raised() || self.host.now() >= deadline {
                return Ok(());
            }
            let until = next.min(deadline);
            for _ in 0..PASSES_PER_LOOK {
                let has_sent = self.pass(items, until)?;
                if !has_sent || self.host.now() >= until || self.shared.cancel.is_raised() {
                    break;
                }
            }
            self.drop_stopped(items);
            if !items.is_empty() {
                self.pause_until(until);
            }
        }
        Ok(())
    }

    /// Not for long at once, so that a stop is heeded.
    fn pause_until(&self, time: Duration) {
        let mut left = time.saturating_sub(self.host.now());
        while !left.is_zero() && !self.shared.cancel.is_raised() {
            let part = left.min(LOOK_INTERVAL);
            self.host.pause(part);
            left = left.saturating_sub(part);
        }
    }

    /// After an abort: counts what the last commands took, if that can be seen.
    fn count(&self, items: &mut [Item]) {
        let paths = items.iter().map(|item| item.member.path.clone()).collect();
        let Ok(snapshot) = self.host.snapshot(Some(&paths)) else {
            return;
        };
        let seen = Seen::of(&snapshot);
        for item in items {
            if let Some(node) = seen.node(&item.member) {
                item.eviction.account(node);
            }
        }
    }

    /// Looks at all items at once.
    fn look(&self, items: &mut Vec<Item>) -> Result<()> {
        let paths: HashSet<String> = items.iter().map(|item| item.member.path.clone()).collect();
        let snapshot = self.update(&paths)?;
        let seen = Seen::of(&snapshot);
        // Gone, or another cgroup by now.
        items.retain(|item| seen.node(&item.member).is_some());
        let swap = self.swap_space(items)?;
        let mut pressure = PressureCache::default();
        let mut protection = HashMap::new();
        let mut watches = items.iter().filter(|item| item.watch.is_some()).count();
        for item in items {
            if self.shared.cancel.is_raised() {
                return Ok(());
            }
            let Some(node) = seen.node(&item.member) else {
                continue;
            };
            let has_obeyed = std::mem::take(&mut item.is_uncounted) && !item.goes_alone;
            let config = self.shared.state().settings(&item.member).cloned();
            let Some(config) = config.filter(|_| item.stop.is_none()) else {
                item.eviction.account(node);
                item.stop.get_or_insert(Stop::Other); // disabled
                continue;
            };
            let is_first = item.is_new();
            let mut observation = Observation {
                node,
                psi_percent: Some(0),
                is_protected: false,
                refaults_exceed: false,
                has_obeyed,
            };
            // What has fired until now is judged by this look.
            if let Some(watch) = &mut item.watch {
                watch.has_fired();
            }
            // Of most cgroups, nothing is old enough, and nothing more need be asked.
            if node.file > 0 || node.anon > 0 {
                let psi = pressure.read(self, &item.member.path);
                let psi = psi.map(|(pressure, now)| item.window.sample(pressure, now));
                observation.psi_percent = psi.ok();
                let path = paths.get(&item.member.path).map_or("/", String::as_str);
                observation.is_protected = self.is_protected(path, &mut protection);
                observation.refaults_exceed = self.refaults_exceed(item);
            }
            item.has_fired = false;
            item.stop = item.eviction.look(&observation, &config, swap).err();
            if is_first && item.stop.is_none() {
                self.prepare(item, node, &config, snapshot.is_estimate);
                if watches < MOST_WATCHES {
                    let limit = config.eviction_psi_percent_limit;
                    item.watch = self.host.watch(self.psi_dir, &item.member.path, limit);
                    watches = watches.saturating_add(usize::from(item.watch.is_some()));
                }
            }
            debug!(
                "look at {:?} node {}: {:?} {:?}",
                item.member.path, node.node, observation, item.stop
            );
        }
        Ok(())
    }

    /// Before the first batch of an item.
    fn prepare(&self, item: &mut Item, node: NodeLook, config: &SingleConfig, is_estimate: bool) {
        let path = &item.member.path;
        let stat = self.host.memory_stat(path);
        item.counters = stat.map(|stat| (stat.reclaimed, stat.refaulted));
        let actuator = self.shared.state().config.actuator;
        item.reclaims = actuator == Actuator::MemoryReclaim && self.host.can_reclaim(path);
        let Some(stat) = stat.filter(|_| item.reclaims) else {
            return;
        };
        let cold = node
            .file
            .saturating_add(if config.swap { node.anon } else { 0 });
        let page_size = self.host.page_size().max(1);
        let current = self.host.memory_current(path).unwrap_or(0);
        let current = current.checked_div(page_size).unwrap_or(0);
        item.working_set = current.saturating_sub(cold);
        let now = self.host.now();
        let goal = self.shared.state().reclaim_goal(
            &item.member,
            cold,
            item.working_set,
            stat.refaulted,
            now,
        );
        let most = if is_estimate {
            current / PART_OF_ESTIMATE
        } else {
            u64::MAX
        };
        item.began = now;
        item.eviction.limit_to(goal.unwrap_or(0).min(most));
    }

    /// D40.
    fn is_protected<'a>(&self, path: &'a str, cache: &mut HashMap<&'a str, bool>) -> bool {
        for ancestor in self_and_ancestors(path) {
            let is_protected = match cache.get(ancestor) {
                Some(known) => *known,
                None => {
                    let protection = self.host.protection(ancestor);
                    let is_protected = protection.is_some_and(|p| Protection::covers_all(&p));
                    cache.insert(ancestor, is_protected);
                    is_protected
                }
            };
            if is_protected {
                return true;
            }
        }
        false
    }

    fn refaults_exceed(&self, item: &Item) -> bool {
        if !item.reclaims {
            return false;
        }
        let stat = self.host.memory_stat(&item.member.path);
        let Some((stat, (_, before))) = stat.zip(item.counters) else {
            return false;
        };
        let elapsed = self.host.now().saturating_sub(item.began);
        stat.refaulted.saturating_sub(before) > allowance(item.working_set, elapsed)
    }

    fn drop_stopped(&self, items: &mut Vec<Item>) {
        let (stopped, going) = std::mem::take(items)
            .into_iter()
            .partition(|item| item.stop.is_some() && !item.is_uncounted);
        *items = going;
        let stopped: Vec<Item> = stopped;
        for item in stopped {
            self.finish(item);
        }
    }

    fn finish(&self, item: Item) {
        let Item {
            member,
            eviction,
            counters,
            stop,
            ..
        } = item;
        let stop = stop.unwrap_or(Stop::Other);
        let reclaimed = counters.and_then(|(before, _)| {
            let stat = self.host.memory_stat(&member.path)?;
            Some(before..stat.reclaimed)
        });
        let pages = eviction.evicted();
        let mut state = self.shared.state();
        state.evicted(&member, pages, stop);
        if let Some(reclaimed) = reclaimed {
            state.reclaimed(&member, reclaimed);
        }
        drop(state);
        // Most cgroups have nothing to give in most runs (D42).
        if pages > 0 || stop == Stop::Error {
            info!(
                "evicted {} pages from {:?} node {}: {:?}",
                pages, member.path, member.node, stop
            );
        } else {
            debug!(
                "evicted nothing from {:?} node {}: {:?}",
                member.path, member.node, stop
            );
        }
    }
}

impl Item {
    fn new(member: Member) -> Self {
        Self {
            member,
            eviction: Eviction::default(),
            window: Window::default(),
            watch: None,
            has_fired: false,
            goes_alone: false,
            counters: None,
            began: Duration::ZERO,
            working_set: 0,
            reclaims: false,
            is_uncounted: false,
            is_served: false,
            stop: None,
        }
    }

    fn is_new(&self) -> bool {
        self.eviction.is_new()
    }
}

/// A snapshot by path.
struct Seen<'a>(HashMap<&'a str, CgroupLook<'a>>);

impl<'a> Seen<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self(snapshot.iter().map(|look| (look.path, look)).collect())
    }

    fn node(&self, member: &Member) -> Option<NodeLook> {
        let look = self.0.get(member.path.as_str())?;
        let is_same = look.id == member.id && look.ino == member.ino;
        let mut nodes = look.nodes.iter().filter(|_| is_same);
        nodes.find(|node| node.node == member.node).copied()
    }
}
