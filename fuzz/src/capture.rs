//! What the code under test logs.

use std::sync::{Arc, Mutex};

use slog::{Drain, Logger, Never, OwnedKVList, Record, o};

struct Memory(Arc<Mutex<Vec<String>>>);

impl Drain for Memory {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        let message = record.msg().to_string();
        self.0.lock().expect("no panic while locked").push(message);
        Ok(())
    }
}

/// The messages of this thread while `action` runs.
pub fn capture_log(action: impl FnOnce()) -> Vec<String> {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let logger = Logger::root(Memory(Arc::clone(&messages)).fuse(), o!());
    slog_scope::scope(&logger, action);
    let mut messages = messages.lock().expect("no panic while locked");
    std::mem::take(&mut *messages)
}
