//! Batches of evictions: what is sent between two looks (spec 7.1, 7.2).

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::Result;

use crate::mglru::Command;

use super::evict::Item;
use super::eviction::{Batch, LARGEST_BATCH, Stop, SwapSpace};
use super::run::Run;

/// Most commands that are written at once.
const COMMANDS_PER_WRITE: usize = 64;
/// Pages from which on no more commands are added to a write: it cannot be stopped.
const PAGES_PER_WRITE: u64 = LARGEST_BATCH;

impl Run<'_> {
    /// One batch of each item, but none that begins after `until`: the next pass goes on from there.
    /// False if there was none.
    pub(super) fn pass(&self, items: &mut [Item], until: Duration) -> Result<bool> {
        // Not known yet, or something has been swapped out since: there may be no more room by now.
        let mut swap = None;
        let mut joined = Joined::default();
        let mut has_sent = false;
        let mut is_over = true;
        for index in 0..items.len() {
            let Some(item) = items.get_mut(index).filter(|item| !item.is_served) else {
                continue;
            };
            if self.shared.cancel.is_raised() || self.host.now() >= until {
                is_over = false;
                break;
            }
            // What is joined was decided before it, and is not to be obeyed long after it.
            if (item.reclaims || item.goes_alone) && !joined.commands.is_empty() {
                self.write(items, &mut joined);
                swap = None;
            }
            let Some(item) = items.get_mut(index) else {
                break;
            };
            item.is_served = true;
            let Some(batch) = self.next_batch(item, &mut swap)? else {
                continue;
            };
            has_sent = true;
            item.is_uncounted = true;
            if item.reclaims && self.reclaim(item, batch) {
                swap = swap.filter(|_| batch.swappiness == 0);
                continue;
            }
            let command = command(item, batch);
            if std::mem::take(&mut item.goes_alone) {
                self.write_alone(item, &command);
                swap = swap.filter(|_| batch.swappiness == 0);
                continue;
            }
            joined.pages = joined.pages.saturating_add(batch.pages);
            joined.commands.push((index, command));
            if joined.commands.len() >= COMMANDS_PER_WRITE || joined.pages >= PAGES_PER_WRITE {
                self.write(items, &mut joined);
                swap = None;
            }
        }
        self.write(items, &mut joined);
        if is_over {
            for item in items {
                item.is_served = false;
            }
        }
        Ok(has_sent)
    }

    /// What the item gets now, if anything.
    fn next_batch(&self, item: &mut Item, swap: &mut Option<SwapSpace>) -> Result<Option<Batch>> {
        if item.stop.is_some() || item.has_fired {
            return Ok(None);
        }
        if item.watch.as_mut().is_some_and(|watch| watch.has_fired()) {
            item.has_fired = true;
            return Ok(None);
        }
        // Asked for each time: a change counts from the next batch on (G7).
        let config = self.shared.state().settings(&item.member).cloned();
        let batch = match config {
            Some(config) => {
                let swap = match *swap {
                    Some(known) => known,
                    None if config.swap => *swap.insert(self.asked_swap_space()?),
                    None => SwapSpace::Unusable,
                };
                item.eviction.next_batch(&config, swap)
            }
            None => Err(Stop::Other),
        };
        Ok(batch.unwrap_or_else(|stop| {
            item.stop = Some(stop);
            None
        }))
    }

    /// Writes the commands of several items at once, unless they are not wanted any more.
    fn write(&self, items: &mut [Item], joined: &mut Joined) {
        let Joined { mut commands, .. } = std::mem::take(joined);
        if self.shared.cancel.is_raised() {
            return;
        }
        commands.retain(|(index, _)| {
            let item = items.get_mut(*index);
            item.is_some_and(|item| {
                let is_enabled = self.shared.state().settings(&item.member).is_some();
                if !is_enabled {
                    item.stop.get_or_insert(Stop::Other);
                }
                is_enabled
            })
        });
        if let [(index, command)] = commands.as_slice() {
            if let Some(item) = items.get_mut(*index) {
                self.write_alone(item, command);
            }
        } else if !commands.is_empty() {
            let texts: Vec<&str> = commands.iter().map(|(_, text)| text.as_str()).collect();
            if let Err(error) = self.host.commands(&texts) {
                debug!("one of {:?} failed: {}", texts, error);
                for (index, _) in commands {
                    if let Some(item) = items.get_mut(index) {
                        item.goes_alone = true;
                    }
                }
            }
        }
    }

    fn write_alone(&self, item: &mut Item, command: &str) {
        if let Err(error) = self.host.command(command) {
            warn!("eviction from {:?} failed: {}", item.member.path, error);
            item.stop = Some(Stop::Error);
        }
    }

    /// Takes a batch by `memory.reclaim`. False if `lru_gen` has to, as the kernel cannot be told to
    /// leave anonymous pages alone.
    fn reclaim(&self, item: &mut Item, batch: Batch) -> bool {
        let path = &item.member.path;
        let bytes = batch.pages.saturating_mul(self.host.page_size());
        let result = match self.host.reclaim(path, bytes, Some(batch.swappiness)) {
            // This kernel cannot be told the swappiness, and would use its own.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                if self.host.swap_free_kb().map_or(true, |kb| kb > 0) {
                    item.reclaims = false;
                    return false;
                }
                self.host.reclaim(path, bytes, None)
            }
            result => result,
        };
        match result {
            // Less than asked for: the next look tells whether it was nothing.
            Err(error) if error.kind() != ErrorKind::WouldBlock => {
                warn!("memory.reclaim of {:?} failed: {}", path, error);
                item.stop = Some(Stop::Error);
            }
            _ => {}
        }
        true
    }

    /// Only asked for if it matters.
    pub(super) fn swap_space(&self, items: &[Item]) -> Result<SwapSpace> {
        let wants_swap = {
            let state = self.shared.state();
            let mut configs = items.iter().filter_map(|item| state.settings(&item.member));
            configs.any(|config| config.swap)
        };
        if !wants_swap {
            return Ok(SwapSpace::Unusable);
        }
        self.asked_swap_space()
    }

    fn asked_swap_space(&self) -> Result<SwapSpace> {
        let free = self.host.swap_free_kb()?;
        Ok(SwapSpace::of(free, self.host.page_size()))
    }
}

/// Commands that are to be written at once, each with the place of its item.
#[derive(Default)]
struct Joined {
    commands: Vec<(usize, String)>,
    /// Of all of them.
    pages: u64,
}

fn command(item: &Item, batch: Batch) -> String {
    let command = Command::Evict {
        id: item.member.id,
        node: item.member.node,
        min_seq: batch.min_seq,
        swappiness: batch.swappiness,
        pages: batch.pages,
    };
    command.to_string()
}
