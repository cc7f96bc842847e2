//! What is logged.

use std::sync::{Arc, Mutex};

use slog::{Drain, Level, Logger, OwnedKVList, Record};

/// A logger that keeps the messages.
#[derive(Clone, Default)]
struct Messages(Arc<Mutex<Vec<(Level, String)>>>);

impl Drain for Messages {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let message = (record.level(), record.msg().to_string());
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

/// The messages that `f` logs on this thread.
pub(crate) fn messages_of(f: impl FnOnce()) -> Vec<(Level, String)> {
    let messages = Messages::default();
    let logger = Logger::root(messages.clone(), slog::o!());
    slog_scope::scope(&logger, f);
    let messages = messages.0.lock().unwrap();
    messages.clone()
}
