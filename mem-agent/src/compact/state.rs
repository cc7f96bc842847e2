//! When to compact, and when to stop (spec 3.10). Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::psi::{Pressure, Sampler};
use crate::timer::Timer;

use super::config::{Config, DEFAULT_ORDER, NEVER_FORCED, OptionConfig};

/// All that the compact half remembers.
#[derive(Debug)]
pub struct State {
    pub(super) config: Config,
    timer: Timer,
    /// Where pressure is read; none until it has been found usable.
    psi_dir: Option<PathBuf>,
    gate: Sampler,
    periods_without: u64,
    last: Memory,
    is_running: bool,
}

/// Free memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `MemFree` in kB.
    pub free_kb: u64,
    /// Free movable pages in fragments.
    pub fragments: u64,
}

/// What to do in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Skip,
    /// Compact if [`State::exceeds_threshold`].
    CheckMemory,
    /// Compact.
    Compact,
}

/// What to do with a compaction under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it run.
    Wait,
    /// Stop it.
    Kill(&'static str),
}

impl State {
    /// Nothing has happened yet.
    pub fn new(config: Config) -> Self {
        Self {
            timer: Timer::new(config.period_secs),
            config,
            psi_dir: None,
            gate: Sampler::default(),
            periods_without: 0,
            last: Memory::default(),
            is_running: false,
        }
    }

    /// C1.
    pub fn is_due(&self, now: Duration) -> bool {
        !self.config.disabled && self.timer.is_expired(now)
    }

    /// C1.
    pub fn remaining(&self, now: Duration) -> Duration {
        if self.config.disabled {
            return Duration::MAX;
        }
        self.timer.remaining(now)
    }

    /// The period begins anew.
    pub fn restart(&mut self, now: Duration) {
        self.timer.reset(now);
    }

    /// Marks the begin of a run; false if there is one already.
    pub fn begin_run(&mut self) -> bool {
        !std::mem::replace(&mut self.is_running, true)
    }

    /// Marks its end.
    pub fn end_run(&mut self) {
        self.is_running = false;
    }

    /// Where pressure is read; none until it has been found.
    pub(super) fn psi_dir(&self) -> Option<&Path> {
        self.psi_dir.as_deref()
    }

    /// Takes over where the pressure for `psi_path` is read, unless another path has been configured
    /// meanwhile.
    pub(super) fn found_psi_dir(&mut self, psi_path: &Path, dir: Option<PathBuf>) {
        if self.config.psi_path == psi_path && self.psi_dir != dir {
            self.psi_dir = dir;
            self.gate = Sampler::default(); // totals of two directories have no difference
        }
    }

    /// C2 and C3, given the pressure; none if it is unknown.
    pub fn decide(&mut self, pressure: Option<Pressure>, now: Duration) -> Decision {
        let limit = u64::from(self.config.period_psi_percent_limit);
        let is_calm = pressure.is_some_and(|pressure| self.gate.sample(pressure, now) <= limit);
        if self.config.disabled || !is_calm {
            return Decision::Skip;
        }
        let force = self.config.compact_force_times;
        if force < NEVER_FORCED && self.periods_without >= force {
            return Decision::Compact;
        }
        Decision::CheckMemory
    }

    /// C4: whether free memory has fallen or fragments have grown by more than the threshold.
    pub fn exceeds_threshold(&self, now: Memory, page_size: u64) -> bool {
        let threshold = self.config.compact_threshold;
        let threshold_kb = threshold.saturating_mul(page_size / 1024);
        self.last.free_kb > now.free_kb.saturating_add(threshold_kb)
            || now.fragments > threshold.saturating_add(self.last.fragments)
    }

    /// A period without a compaction has passed.
    pub fn skipped(&mut self) {
        self.periods_without = self.periods_without.saturating_add(1);
    }

    /// A compaction is over. Unknown values leave the old ones (D41).
    pub fn compacted(&mut self, memory: Option<Memory>) {
        self.periods_without = 0;
        if let Some(memory) = memory {
            self.last = memory;
        }
    }

    /// What to do with a compaction after `elapsed`, under this pressure (C6); none if it is unknown.
    pub fn watch(&self, elapsed: Duration, psi_percent: Option<u64>) -> Verdict {
        let longest = u64::try_from(self.config.compact_sec_max).unwrap_or(0);
        if self.config.disabled {
            return Verdict::Kill("disabled");
        }
        if elapsed >= Duration::from_secs(longest) {
            return Verdict::Kill("it takes too long");
        }
        match psi_percent {
            None => Verdict::Kill("pressure is unknown"),
            Some(percent) if percent > u64::from(self.config.compact_psi_percent_limit) => {
                Verdict::Kill("there is too much pressure")
            }
            Some(_) => Verdict::Wait,
        }
    }

    /// The order below which blocks are fragments; at the default, that of the balloon.
    pub fn order(&self, page_reporting_order: Option<u8>) -> u8 {
        match page_reporting_order {
            Some(order) if self.config.compact_order == DEFAULT_ORDER => order,
            _ => self.config.compact_order,
        }
    }

    /// The configuration as it would be.
    pub fn preview(&self, change: &OptionConfig) -> Config {
        let mut config = self.config.clone();
        config.overlay(change);
        config
    }

    /// Changes the configuration (C7). True if the time of the next run may have changed.
    pub fn change(&mut self, change: &OptionConfig, now: Duration) -> bool {
        let new = self.preview(change);
        let old = std::mem::replace(&mut self.config, new);
        let mut reset = false;
        if old.disabled != self.config.disabled {
            if old.disabled {
                self.timer.reset(now);
            }
            reset = true;
        }
        if old.psi_path != self.config.psi_path {
            self.psi_dir = None;
            self.gate = Sampler::default();
        }
        if change.period_secs.is_some() {
            self.timer.set_period(self.config.period_secs);
            reset |= !self.config.disabled;
        }
        reset
    }
}

#[cfg(test)]
mod tests;
