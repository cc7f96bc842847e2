//! Eviction of one cgroup on one NUMA node: what to do after each look (spec 3.9, 7.1).
//!
//! Pure: [`Eviction::look`] takes what has been observed, [`Eviction::next_batch`] says what to send.

use crate::env::NodeLook;
use crate::mglru::MAX_NR_GENS;

use super::config::SingleConfig;

/// Fewest pages of a batch, unless fewer are left.
pub const SMALLEST_BATCH: u64 = 64;
/// Most pages of a batch.
pub const LARGEST_BATCH: u64 = 16_384;
/// Of the pages that are left, a batch takes at most one in so many.
const PART_OF_REST: u64 = 8;
/// Swappiness where only anonymous pages are left.
const ONLY_SWAP: u8 = 200;
/// Looks in a row at which one type may grow as fast as the other shrinks.
const MOST_LOOKS_WITHOUT_PROGRESS: u8 = 3;

/// Why an eviction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No page is left that may be taken.
    NoMinLru,
    /// The oldest generation did not shrink.
    MinLruInc,
    /// Too much pressure, or too many refaults.
    Psi,
    /// The kernel refuses commands or hides pressure.
    Error,
    /// Anything else.
    Other,
}

/// What has been seen of a cgroup on a node.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// Its generations.
    pub node: NodeLook,
    /// Windowed pressure in percent; none if it could not be read.
    pub psi_percent: Option<u64>,
    /// Whether all of its memory is protected (D40).
    pub is_protected: bool,
    /// Whether more pages came back than may.
    pub refaults_exceed: bool,
    /// Whether the kernel has obeyed commands since the look before. If not, it is no wonder that
    /// nothing has shrunk.
    pub has_obeyed: bool,
}

/// What to evict at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The oldest generation.
    pub min_seq: u64,
    /// 0 to 200.
    pub swappiness: u8,
    /// How many pages.
    pub pages: u64,
}

/// Whether there is room to swap out to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapSpace {
    /// More than 256 pages.
    Usable,
    /// Less.
    Unusable,
}

/// An eviction under way.
#[derive(Clone, Debug)]
pub struct Eviction {
    last: Option<NodeLook>,
    only_swap: bool,
    batch: u64,
    looks_without_progress: u8,
    /// Sent since the last look.
    sent: u64,
    /// May still be sent in all.
    goal: u64,
    evicted: u64,
}

impl SwapSpace {
    /// From `SwapFree` in kB and the page size in bytes.
    pub fn of(swap_free_kb: u64, page_size: u64) -> Self {
        let bound = page_size.saturating_mul(256) / 1024;
        if swap_free_kb > bound {
            Self::Usable
        } else {
            Self::Unusable
        }
    }

    fn is_usable_by(self, config: &SingleConfig) -> bool {
        config.swap && self == Self::Usable
    }
}

impl Default for Eviction {
    fn default() -> Self {
        Self {
            last: None,
            only_swap: false,
            batch: SMALLEST_BATCH,
            looks_without_progress: 0,
            sent: 0,
            goal: u64::MAX,
            evicted: 0,
        }
    }
}

impl Eviction {
    /// Whether there has been no look yet.
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Pages that have left the oldest generation.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Takes no more than `pages` in all.
    pub fn limit_to(&mut self, pages: u64) {
        self.goal = pages;
    }

    /// Counts what has left the generation since the last look, per type (D10). A generation that is
    /// gone has been emptied, if no aging has merged it.
    pub fn account(&mut self, now: NodeLook) {
        self.sent = 0;
        let last = self.last.replace(now);
        let Some(last) = last.filter(|last| last.max_seq == now.max_seq) else {
            return;
        };
        let (file, anon) = if last.min_seq == now.min_seq {
            (now.file, now.anon)
        } else {
            (0, 0)
        };
        let file = last.file.saturating_sub(file);
        let anon = last.anon.saturating_sub(anon);
        self.evicted = self.evicted.saturating_add(file).saturating_add(anon);
    }

    /// Counts what has happened since the last look, and decides whether to go on.
    ///
    /// # Errors
    ///
    /// The eviction is over, for this reason.
    pub fn look(
        &mut self,
        seen: &Observation,
        config: &SingleConfig,
        swap: SwapSpace,
    ) -> Result<(), Stop> {
        let now = seen.node;
        let last = self.last;
        self.account(now);
        if config.disabled || seen.is_protected || generations(now) != MAX_NR_GENS {
            return Err(Stop::Other);
        }
        match last {
            None => self.first_look(now, config, swap)?,
            Some(last) if last.min_seq != now.min_seq => return Err(Stop::Other),
            Some(last) => self.later_look(last, now, seen.has_obeyed)?,
        }
        let psi = seen.psi_percent.ok_or(Stop::Error)?;
        let limit = u64::from(config.eviction_psi_percent_limit);
        if psi > limit || seen.refaults_exceed {
            return Err(Stop::Psi);
        }
        if last.is_some() {
            self.batch = next_size(self.batch, psi, limit);
        }
        Ok(())
    }

    /// The next batch; none until the next look, if enough has been sent already.
    ///
    /// # Errors
    ///
    /// The eviction is over, for this reason.
    pub fn next_batch(
        &mut self,
        config: &SingleConfig,
        swap: SwapSpace,
    ) -> Result<Option<Batch>, Stop> {
        let Some(last) = self.last.filter(|_| !config.disabled) else {
            return Err(Stop::Other);
        };
        let swappiness = self.swappiness(last, config, swap)?;
        let there = match swappiness {
            0 => last.file,
            ONLY_SWAP => last.anon,
            _ => last.file.saturating_add(last.anon),
        };
        if there == 0 || self.goal == 0 {
            return Err(Stop::NoMinLru);
        }
        let left = there.saturating_sub(self.sent).min(self.goal);
        let most = (left / PART_OF_REST).max(SMALLEST_BATCH).min(left);
        let pages = self.batch.min(most);
        if pages == 0 {
            return Ok(None);
        }
        self.sent = self.sent.saturating_add(pages);
        self.goal = self.goal.saturating_sub(pages);
        Ok(Some(Batch {
            min_seq: last.min_seq,
            swappiness,
            pages,
        }))
    }

    fn first_look(
        &mut self,
        now: NodeLook,
        config: &SingleConfig,
        swap: SwapSpace,
    ) -> Result<(), Stop> {
        if now.file == 0 {
            if !swap.is_usable_by(config) || now.anon == 0 {
                return Err(Stop::NoMinLru);
            }
            self.only_swap = true;
        }
        Ok(())
    }

    fn later_look(&mut self, last: NodeLook, now: NodeLook, has_obeyed: bool) -> Result<(), Stop> {
        let has_shrunk = now.file < last.file || now.anon < last.anon;
        if has_obeyed && !has_shrunk {
            return Err(Stop::MinLruInc);
        }
        if total(now) < total(last) {
            self.looks_without_progress = 0;
        } else if has_obeyed {
            self.looks_without_progress = self.looks_without_progress.saturating_add(1);
            if self.looks_without_progress >= MOST_LOOKS_WITHOUT_PROGRESS {
                return Err(Stop::MinLruInc);
            }
        }
        if !self.only_swap && now.file == 0 {
            return Err(Stop::NoMinLru);
        }
        Ok(())
    }

    /// E1.4.
    fn swappiness(
        &self,
        now: NodeLook,
        config: &SingleConfig,
        swap: SwapSpace,
    ) -> Result<u8, Stop> {
        let can_swap = swap.is_usable_by(config);
        if self.only_swap {
            return if can_swap {
                Ok(ONLY_SWAP)
            } else {
                Err(Stop::NoMinLru)
            };
        }
        if !can_swap {
            return Ok(0);
        }
        let share = anon_share(now.anon, now.file).unwrap_or(0);
        Ok(share.min(config.swappiness_max))
    }
}

fn generations(node: NodeLook) -> u64 {
    node.max_seq.saturating_sub(node.min_seq).saturating_add(1)
}

fn total(node: NodeLook) -> u64 {
    node.file.saturating_add(node.anon)
}

/// 200 × `anon` / (`anon` + `file`), rounded half up; none unless there are pages of both types.
fn anon_share(anon: u64, file: u64) -> Option<u8> {
    if anon == 0 || file == 0 {
        return None;
    }
    let all = u128::from(anon).saturating_add(u128::from(file));
    let scaled = u128::from(anon).saturating_mul(u128::from(ONLY_SWAP));
    let (quotient, rest) = (scaled.checked_div(all)?, scaled.checked_rem(all)?);
    let up = u128::from(rest >= all.saturating_sub(rest));
    u8::try_from(quotient.saturating_add(up)).ok()
}

/// Twice as many pages while pressure is below half of its limit, half as many above it.
fn next_size(batch: u64, psi: u64, limit: u64) -> u64 {
    let doubled = psi.saturating_mul(2);
    if doubled < limit {
        batch.saturating_mul(2).min(LARGEST_BATCH)
    } else if doubled > limit {
        (batch / 2).max(SMALLEST_BATCH)
    } else {
        batch
    }
}

#[cfg(test)]
mod tests;
