//! The log of a part of the program, kept in memory.

use std::sync::{Arc, Mutex, PoisonError};

use slog::{Drain, Level, Never, OwnedKVList, Record};

/// Levels and messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// What has been logged.
    pub(crate) fn lines(&self) -> Vec<(Level, String)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drain for Log {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((record.level(), record.msg().to_string()));
        Ok(())
    }
}
