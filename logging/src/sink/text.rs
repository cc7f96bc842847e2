//! Text on any `Write`: many records with one `write`, and whatever that answers (D4, D11).

use std::any::TypeId;
use std::io::{self, ErrorKind, Stdout, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Ledger, Notice, Sink};
use crate::chunk::Chunk;
use crate::sys;
use crate::worker::Pause;

/// Writes records to a writer that may fail, stall, take less than it is given, or panic.
pub(crate) struct TextSink<W> {
    writer: W,
    what: &'static str,
    /// The last record was taken in part only: the next one begins on a line of its own.
    torn: bool,
    /// For a line break and what follows it.
    stitch: Vec<u8>,
}

impl<W: Write + Send> TextSink<W> {
    /// `what` is for messages.
    pub(crate) fn new(writer: W, what: &'static str) -> Self {
        Self {
            writer,
            what,
            torn: false,
            stitch: Vec::new(),
        }
    }

    /// Writes `text`, which consists of records that end at `ends`. Returns how many have failed.
    pub(crate) fn write_records(
        &mut self,
        text: &[u8],
        ends: impl Iterator<Item = usize>,
        ledger: &mut Ledger,
    ) -> usize {
        let mut ends = ends.peekable();
        let mut failed = 0;
        let mut start = 0; // of the records that have no outcome yet
        while ends.peek().is_some() {
            let rest = text.get(start..).unwrap_or_default();
            let (taken, result) = self.write_all(rest, ledger);
            let taken = start + taken;
            let mut complete = 0;
            while let Some(end) = ends.next_if(|end| *end <= taken) {
                complete += 1;
                start = end;
            }
            ledger.written(complete);
            if let Err(error) = result {
                if ledger.is_abandoned() {
                    // Not one by one: none of them has a chance any more.
                    for _ in ends.by_ref() {
                        ledger.failed(self.what, &error, Notice::Quiet);
                        failed += 1;
                    }
                    break;
                }
                if let Some(end) = ends.next_if(|end| *end == taken + 1) {
                    // Nothing but its line break is missing, which the next record brings.
                    ledger.written(1);
                    self.torn = true;
                    start = end;
                    continue;
                }
                // Only the record at which it failed is lost.
                if let Some(end) = ends.next() {
                    self.torn |= taken > start;
                    start = end;
                    ledger.failed(self.what, &error, notice(&error));
                    failed += 1;
                }
            }
        }
        failed
    }

    /// How many bytes were taken, and why not all.
    fn write_all(&mut self, text: &[u8], ledger: &Ledger) -> (usize, io::Result<()>) {
        if self.torn {
            return self.write_stitched(text, ledger);
        }
        write_all(&mut self.writer, text, ledger)
    }

    /// The same, with a line break before it.
    fn write_stitched(&mut self, text: &[u8], ledger: &Ledger) -> (usize, io::Result<()>) {
        self.stitch.clear();
        self.stitch.push(b'\n');
        self.stitch.extend_from_slice(text);
        let (taken, result) = write_all(&mut self.writer, &self.stitch, ledger);
        self.torn = taken == 0;
        (taken.saturating_sub(1), result)
    }
}

impl<W: Write + Send + 'static> TextSink<W> {
    /// Standard output says that it has taken what it keeps, up to 1 KiB, when a pipe takes less
    /// than it was given.
    fn keeps_tail() -> bool {
        TypeId::of::<W>() == TypeId::of::<Stdout>()
    }
}

impl<W: Write + Send + 'static> Sink for TextSink<W> {
    fn deliver(&mut self, chunk: &Chunk, ledger: &mut Ledger) {
        let ends = chunk.frames.iter().map(|frame| frame.end);
        self.write_records(&chunk.bytes, ends, ledger);
        if Self::keeps_tail() {
            let _ = self.flush(ledger); // an error is that of the next record as well
        }
    }

    fn flush(&mut self, ledger: &mut Ledger) -> io::Result<()> {
        persistently(ledger, || self.writer.flush())
    }

    fn close(&mut self, ledger: &mut Ledger) {
        if !Self::keeps_tail() {
            return;
        }
        let Err(error) = self.flush(ledger) else {
            return;
        };
        let is_known = ledger.is_abandoned() || ledger.is_outage();
        if !is_known && notice(&error) != Notice::Quiet {
            sys::write_stderr(
                format!(
                    "logging: cannot write to {}: {error}; the last log records are lost\n",
                    self.what
                )
                .as_bytes(),
            );
        }
    }
}

fn write_all(writer: &mut impl Write, text: &[u8], ledger: &Ledger) -> (usize, io::Result<()>) {
    let mut taken = 0;
    loop {
        let rest = text.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            return (taken, Ok(()));
        }
        match persistently(ledger, || writer.write(rest)) {
            Ok(0) => return (taken, Err(ErrorKind::WriteZero.into())),
            Ok(count) => {
                taken += count.min(rest.len());
                ledger.advance();
            }
            Err(error) => return (taken, Err(error)),
        }
    }
}

/// Tries until it works or fails for good: not for a signal, nor because there is no room now. A
/// panic is a failure.
fn persistently<T>(ledger: &Ledger, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut pause = Pause::new();
    loop {
        let result = catch_unwind(AssertUnwindSafe(&mut attempt))
            .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
        match result {
            result if ledger.is_abandoned() => return result,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => pause.wait(),
            result => return result,
        }
    }
}

/// It is no news that nobody reads standard output any more: `… | head` is done.
fn notice(error: &io::Error) -> Notice {
    if error.kind() == ErrorKind::BrokenPipe && sys::stdout_is_broken() {
        Notice::Quiet
    } else {
        Notice::Line
    }
}
