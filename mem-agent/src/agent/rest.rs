//! How long a half of the agent rests after a run that has failed.

use std::time::Duration;

use anyhow::Result;

pub(super) const AGENT_WORK_ERROR_SLEEP: Duration = Duration::from_secs(300);

/// The rest of one half.
#[derive(Default)]
pub(super) struct Rest {
    /// When the half may be tried again after a failure, by the clock of the agent.
    pub(super) end: Option<Duration>,
    /// Whether there was a change since the run under way began: if it fails, the next one need not.
    is_changed: bool,
}

impl Rest {
    pub(super) fn begin_run(&mut self) {
        self.is_changed = false;
    }

    /// Of the half `name`, whose run has ended at `now`.
    pub(super) fn end_run(&mut self, name: &str, result: Result<()>, now: Duration) {
        self.end = None;
        if let Err(error) = result {
            let (rest, next) = if self.is_changed {
                (Duration::ZERO, "at once")
            } else {
                (AGENT_WORK_ERROR_SLEEP, "in 300 s")
            };
            self.end = Some(now.saturating_add(rest));
            crate::log::safely(|| error!("{} run failed, next one {}: {:#}", name, next, error));
        }
    }

    /// The configuration has been changed such that the next run may be due at another time.
    pub(super) fn change(&mut self) {
        self.end = None;
        self.is_changed = true;
    }
}
