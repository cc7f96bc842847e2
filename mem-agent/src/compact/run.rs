//! One run: what is observed, decided and done (spec 3.10).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::env::Machine;
use crate::psi::Window;

use super::state::{Decision, Memory, Verdict};
use super::{Shared, lock};

/// Longest time between two looks at a compaction.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Looks at one that has been killed, before it is left to be reaped.
const LOOKS_AFTER_KILL: usize = 5;

pub(super) fn run(shared: &Shared) -> Result<()> {
    let Some(decision) = decide(shared)? else {
        return Ok(());
    };
    let compacts = match decision {
        Decision::Skip => false,
        Decision::Compact => true,
        Decision::CheckMemory => match memory(shared) {
            Ok(memory) => {
                let page_size = shared.machine.page_size();
                lock(&shared.state).exceeds_threshold(memory, page_size)
            }
            Err(error) => {
                warn!("no compaction in this period: {:#}", error);
                false
            }
        },
    };
    if !compacts {
        lock(&shared.state).skipped();
        return Ok(());
    }
    info!("compaction starts");
    let end = compact(shared).context("compaction failed")?;
    info!("compaction ends: {}", end);
    let memory = memory(shared)
        .inspect_err(|error| warn!("free memory after the compaction is unknown: {:#}", error));
    lock(&shared.state).compacted(memory.ok());
    Ok(())
}

/// What to do in this period; nothing at all if disabled or stopped.
fn decide(shared: &Shared) -> Result<Option<Decision>> {
    while !shared.machine.is_cancelled() {
        let Some(psi_dir) = psi_dir(shared)? else {
            return Ok(None);
        };
        let pressure = Machine::pressure_with_children(&psi_dir);
        let now = shared.machine.now();
        let mut state = lock(&shared.state);
        if state.psi_dir() != Some(&*psi_dir) {
            continue; // changed meanwhile
        }
        let (pressure, error) = match pressure {
            Ok(pressure) => (Some(pressure), None),
            Err(error) => (None, Some(error)),
        };
        let decision = state.decide(pressure, now);
        drop(state);
        if let Some(error) = error {
            warn!(
                "pressure is unknown, no compaction in this period: {}",
                error
            );
        }
        return Ok(Some(decision));
    }
    Ok(None)
}

/// Where pressure is read, found if it has not been; none if disabled.
fn psi_dir(shared: &Shared) -> Result<Option<PathBuf>> {
    let psi_path = {
        let state = lock(&shared.state);
        match state.psi_dir() {
            _ if state.config.disabled => return Ok(None),
            Some(dir) => return Ok(Some(dir.to_owned())),
            None => state.config.psi_path.clone(),
        }
    };
    let dir = super::psi_dir(&shared.machine, &psi_path)?;
    lock(&shared.state).found_psi_dir(&psi_path, Some(dir.clone()));
    Ok(Some(dir))
}

fn memory(shared: &Shared) -> Result<Memory> {
    let reporting = shared.machine.page_reporting_order();
    let order = lock(&shared.state).order(reporting);
    Ok(Memory {
        free_kb: shared.machine.mem_free_kb()?,
        fragments: shared.machine.free_movable_pages(order)?,
    })
}

/// Compacts until it has ended or has to be stopped (C6). Returns how it went.
fn compact(shared: &Shared) -> Result<&'static str> {
    let machine = &shared.machine;
    let began = machine.now();
    // Dropping it leaves no process, whatever happens.
    let mut compaction = machine.start_compaction()?;
    let mut psi_dir = PathBuf::new();
    let mut window = Window::default();
    loop {
        if compaction.poll()? {
            return Ok("done");
        }
        {
            let state = lock(&shared.state);
            let configured = state.psi_dir().unwrap_or(Path::new(""));
            if configured != psi_dir {
                psi_dir = configured.to_owned();
                window = Window::default();
                let psi_limit = state.config.compact_psi_percent_limit;
                drop(state);
                compaction.heed(&psi_dir, psi_limit);
            }
        }
        let pressure = Machine::pressure_with_children(&psi_dir)
            .inspect_err(|error| warn!("pressure is unknown: {}", error))
            .ok();
        let now = machine.now();
        let percent = pressure.map(|pressure| window.sample(pressure, now));
        let elapsed = now.saturating_sub(began);
        let verdict = lock(&shared.state).watch(elapsed, percent);
        let reason = match verdict {
            Verdict::Kill(reason) => reason,
            Verdict::Wait if machine.is_cancelled() => "the agent stops",
            Verdict::Wait => {
                machine.wait(&compaction, POLL_INTERVAL);
                continue;
            }
        };
        compaction.kill()?;
        for _ in 0..LOOKS_AFTER_KILL {
            // An error is of no interest any more.
            if compaction.poll().unwrap_or(true) {
                break;
            }
            machine.wait(&compaction, POLL_INTERVAL);
        }
        return Ok(reason);
    }
}
