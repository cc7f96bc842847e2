//! The steps on the way, and how long each took.

use std::time::{Duration, Instant};

/// A step on the way.
#[derive(Debug)]
pub(crate) struct Stage {
    /// What was done.
    pub(crate) name: &'static str,
    /// The crates that did it.
    pub(crate) crates: &'static str,
    /// How long it took.
    pub(crate) time: Duration,
}

/// All steps so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Stages(Vec<Stage>);

impl Stages {
    /// Does `work` as one step.
    pub(crate) fn run<T>(
        &mut self,
        name: &'static str,
        crates: &'static str,
        work: impl FnOnce() -> T,
    ) -> T {
        let started = Instant::now();
        let result = work();
        self.0.push(Stage {
            name,
            crates,
            time: started.elapsed(),
        });
        result
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stage> {
        self.0.iter()
    }

    pub(crate) fn total(&self) -> Duration {
        self.iter().map(|stage| stage.time).sum()
    }
}
