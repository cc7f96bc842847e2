//! How a record becomes bytes, on the thread that logs.

mod journal;
mod json;
mod terminal;

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use slog::{OwnedKVList, Record};

pub(crate) use journal::Journal;
pub(crate) use json::Json;
pub(crate) use terminal::{Colors, Terminal};

use crate::root::Root;
use crate::timestamp::Rfc3339;
use crate::unique_keys::Fields;

/// Longest record, in bytes (clarification of D2).
pub(crate) const MAX_RECORD: usize = 1 << 20;

/// What the message of a record must leave for its key/values, and one of these for the others, in
/// bytes.
pub(crate) const FIELD_ROOM: usize = 16 << 10;

/// The key of a record that was cut.
pub(crate) const TRUNCATED: &str = "truncated";

/// A format, with the root key/values of its logger.
pub(crate) trait Format: Send + Sync + UnwindSafe + RefUnwindSafe + 'static {
    /// Puts the record into `scratch.line`. Returns the length of its first part, if the format
    /// has two.
    fn render(
        &self,
        scratch: &mut Scratch,
        record: &Record<'_>,
        values: &OwnedKVList,
        time: Duration,
    ) -> usize;

    fn root(&self) -> &Root;

    fn shared_root(&self) -> Arc<Root>;
}

/// Buffers of a thread that renders.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) line: Vec<u8>,
    pub(crate) fields: Fields,
    pub(crate) clock: Rfc3339,
}

impl Scratch {
    pub(crate) const fn new() -> Self {
        Self {
            line: Vec::new(),
            fields: Fields::new(),
            clock: Rfc3339::new(),
        }
    }

    /// Gives back what an unusually large record needed.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.line.capacity() > bytes {
            self.line.clear();
            self.line.shrink_to(bytes);
        }
        self.fields.shrink_to(bytes);
    }
}
