//! Text on a terminal, where the key/values of loggers are shown when they change (3.8).

use std::io::{self, Stderr};
use std::mem;

use super::{Ledger, Sink, TextSink};
use crate::chunk::Chunk;

/// Writes to standard error.
pub(crate) struct TerminalSink {
    text: TextSink<Stderr>,
    /// The header lines that stand above the last record.
    headers: Vec<Vec<u8>>,
    /// What is written next, with the end of each record.
    out: Vec<u8>,
    ends: Vec<usize>,
}

impl TerminalSink {
    pub(crate) fn new() -> Self {
        Self {
            text: TextSink::new(io::stderr(), "standard error"),
            headers: Vec::new(),
            out: Vec::new(),
            ends: Vec::new(),
        }
    }
}

impl Sink for TerminalSink {
    fn deliver(&mut self, chunk: &Chunk, ledger: &mut Ledger) {
        self.out.clear();
        self.ends.clear();
        let mut headers = mem::take(&mut self.headers);
        let mut start = 0;
        for frame in &chunk.frames {
            let record = chunk.bytes.get(start..frame.end).unwrap_or_default();
            start = frame.end;
            let (head, line) = record.split_at_checked(frame.head).unwrap_or((&[], record));
            push_changed(&mut headers, head, &mut self.out);
            self.out.extend_from_slice(line);
            self.ends.push(self.out.len());
        }
        let ends = self.ends.iter().copied();
        let failed = self.text.write_records(&self.out, ends, ledger);
        if failed == 0 {
            self.headers = headers;
        } // else, what stands there is unknown: they are shown again
    }

    fn flush(&mut self, ledger: &mut Ledger) -> io::Result<()> {
        self.text.flush(ledger)
    }
}

/// Appends the lines of `head` from the first that differs from what stands there already.
fn push_changed(headers: &mut Vec<Vec<u8>>, head: &[u8], out: &mut Vec<u8>) {
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    for (depth, line) in lines.enumerate() {
        if headers.get(depth).is_none_or(|known| known != line) {
            headers.truncate(depth);
            headers.push(line.to_vec());
            out.extend_from_slice(line);
        }
    }
    // Deeper lines stand: a record of a parent in between does not make them repeat.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_are_shown_when_they_change() {
        let mut headers = Vec::new();
        let cases = [
            ("a: 1\n b: 2\n", "a: 1\n b: 2\n"),
            ("a: 1\n b: 2\n", ""),
            ("a: 1\n", ""),
            ("a: 1\n b: 2\n", ""),
            ("a: 1\n b: 3\n", " b: 3\n"),
            ("a: 2\n b: 3\n", "a: 2\n b: 3\n"),
            ("", ""),
        ];
        for (head, expected) in cases {
            let mut out = Vec::new();
            push_changed(&mut headers, head.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{head:?}");
        }
    }
}
