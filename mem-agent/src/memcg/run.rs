//! One run: who is looked at, aged and evicted from (M4–M6).

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::Utc;

use crate::env::{Host, Snapshot};
use crate::psi::Pressure;
use crate::timer;

use super::Shared;
use super::evict::LOOK_INTERVAL;
use super::state::{Gate, Member};

/// An eviction may always take this long.
const SHORTEST_BUDGET: Duration = Duration::from_secs(10);

/// Looks for all cgroups (M1).
pub(super) fn refresh(shared: &Shared) -> Result<()> {
    let snapshot = shared.host.snapshot(None)?;
    shared.refresh(&snapshot);
    Ok(())
}

/// One run for these periods (M4).
pub(super) fn run(shared: &Shared, periods: &[u64]) -> Result<()> {
    if shared.state().is_disabled() || shared.cancel.is_raised() {
        return Ok(());
    }
    let Some(psi_dir) = shared.psi_dir() else {
        return Ok(());
    };
    refresh(shared).context("mglru::host_memcgs_get failed")?;
    info!("memcg run for periods {:?} starts", periods);
    let run = Run {
        shared,
        host: &*shared.host,
        psi_dir: &psi_dir,
    };
    let mut looked = run.host.now();
    for period in periods {
        if shared.cancel.is_raised() {
            break;
        }
        let members = shared.state().members(*period);
        // The eviction of the period before has taken its time.
        if run.host.now().saturating_sub(looked) >= LOOK_INTERVAL && !members.is_empty() {
            run.update(&members.iter().map(|member| member.path.clone()).collect())?;
            looked = run.host.now();
        }
        let members = run.gate(members);
        let members = run.age(members);
        // Stopped meanwhile: `evict` sees that before its first command.
        run.evict(members, budget(*period))?;
    }
    info!("memcg run for periods {:?} ends", periods);
    Ok(())
}

/// How long an eviction may take: half of the period (E4b).
fn budget(period: u64) -> Duration {
    let half = timer::period(period).checked_div(2).unwrap_or_default();
    half.max(SHORTEST_BUDGET)
}

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    pub(super) host: &'a dyn Host,
    pub(super) psi_dir: &'a Path,
}

impl Run<'_> {
    /// Looks at some cgroups.
    pub(super) fn update(&self, paths: &HashSet<String>) -> Result<Snapshot> {
        let snapshot = self.host.snapshot(Some(paths))?;
        self.shared.state().update(paths, &snapshot, Utc::now());
        Ok(snapshot)
    }

    /// Drops the members under pressure (M5).
    fn gate(&self, members: Vec<Member>) -> Vec<Member> {
        let mut cache = PressureCache::default();
        let mut open = Vec::with_capacity(members.len());
        for member in members {
            if self.shared.cancel.is_raised() {
                break;
            }
            match cache.read(self, &member.path) {
                Ok((pressure, now)) => {
                    if self.shared.state().gate(&member, pressure, now) == Some(Gate::Open) {
                        open.push(member);
                    }
                }
                Err(error) => warn!("pressure of {:?} is unknown: {}", member.path, error),
            }
        }
        open
    }

    /// Ages the members, and drops those that are not to be evicted from (M6).
    fn age(&self, members: Vec<Member>) -> Vec<Member> {
        let mut aged = Vec::new();
        for member in members {
            if self.shared.cancel.is_raised() {
                break;
            }
            let command = self.shared.state().aging(&member, self.host.now());
            let Some(command) = command else { continue };
            match self.host.command(&command.to_string()) {
                Ok(()) if self.shared.state().aged(&member) => aged.push(member),
                Ok(()) => {}
                Err(error) => warn!("aging of {:?} failed: {}", member.path, error),
            }
        }
        aged
    }
}

/// The pressure that was read last: the nodes of a cgroup follow each other.
#[derive(Default)]
pub(super) struct PressureCache {
    last: Option<(String, Pressure, Duration)>,
}

impl PressureCache {
    pub(super) fn read(&mut self, run: &Run<'_>, path: &str) -> io::Result<(Pressure, Duration)> {
        if let Some((_, pressure, time)) = self.last.as_ref().filter(|(last, ..)| last == path) {
            return Ok((pressure.clone(), *time));
        }
        let pressure = run.host.pressure(run.psi_dir, path)?;
        let now = run.host.now();
        self.last = Some((path.to_owned(), pressure.clone(), now));
        Ok((pressure, now))
    }
}
