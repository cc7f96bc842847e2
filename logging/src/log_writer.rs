//! Text that becomes records, line by line (3.7, D12).

use std::io::{self, Write};

use slog::Logger;

/// Longest line, in bytes; a longer one becomes several records.
const MAX_LINE: usize = 64 << 10;

/// A writer that turns each line into an Info record.
///
/// For what only knows how to write text: the output of a child process, another library's trace.
/// An unfinished line is kept until its end comes, however the text is cut up, or until
/// [`flush`](Write::flush), or until the writer is dropped, or until it is 64 KiB long. Empty lines
/// are skipped, bytes that are not UTF-8 are replaced by `�`, and a `\r` before the line break is
/// removed. Writing never fails.
///
/// ```
/// use std::io::Write;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let file = std::fs::File::create(&path)?;
/// let (logger, guard) = logging::create_logger("shim", "sandbox-1", slog::Level::Info, file);
/// let mut writer = logging::LogWriter::new(logger);
///
/// writeln!(writer, "a={} b={}", 1, 2)?;
/// write!(writer, "unfin")?;
/// write!(writer, "ished")?;
/// drop(writer);
/// drop(guard);
///
/// # let text = std::fs::read_to_string(path)?;
/// assert_eq!(text.lines().count(), 2);
/// assert!(text.contains(r#""msg":"a=1 b=2""#) && text.contains(r#""msg":"unfinished""#));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LogWriter(Lines);

/// Lines on their way into a logger.
#[derive(Debug)]
struct Lines {
    logger: Logger,
    unfinished: Vec<u8>,
}

impl LogWriter {
    /// A writer whose records go to `logger`.
    ///
    /// ```
    /// let logger = slog::Logger::root(slog::Discard, slog::o!());
    /// let writer: Box<dyn std::io::Write> = Box::new(logging::LogWriter::new(logger));
    /// ```
    pub fn new(logger: Logger) -> Self {
        Self(Lines {
            logger,
            unfinished: Vec::new(),
        })
    }
}

impl Write for LogWriter {
    /// Logs the lines that `text` completes, and keeps the rest. Always takes all of it.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        for piece in text.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.0.push(end);
                    self.0.log();
                }
                None => self.0.push(piece),
            }
        }
        Ok(text.len())
    }

    /// Logs the unfinished line.
    fn flush(&mut self) -> io::Result<()> {
        self.0.log();
        Ok(())
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.0.log();
    }
}

impl Lines {
    fn push(&mut self, mut text: &[u8]) {
        loop {
            let room = MAX_LINE.saturating_sub(self.unfinished.len());
            let Some((head, tail)) = text.split_at_checked(room) else {
                self.unfinished.extend_from_slice(text);
                return;
            };
            self.unfinished.extend_from_slice(head);
            text = tail;
            let rest = self.unfinished.split_off(boundary(&self.unfinished));
            self.log_piece();
            self.unfinished = rest;
        }
    }

    /// Logs the line that is there, which ends here.
    fn log(&mut self) {
        if self.unfinished.last() == Some(&b'\r') {
            self.unfinished.pop();
        }
        self.log_piece();
    }

    /// Logs what is there, all of it.
    fn log_piece(&mut self) {
        let text = &self.unfinished;
        if !text.is_empty() {
            slog::info!(self.logger, "{}", String::from_utf8_lossy(text));
        }
        self.unfinished.clear();
    }
}

/// Where to cut `bytes`: at their end, or before what is not complete there, a character or a line
/// break that begins with `\r`.
fn boundary(bytes: &[u8]) -> usize {
    if let Some(before) = bytes.strip_suffix(b"\r") {
        return before.len();
    }
    // A character has at most four bytes.
    let (earlier, last) = bytes.split_at(bytes.len().saturating_sub(4));
    match str::from_utf8(skip_continuation(last)) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() < last.len() => {
            let skipped = last.len() - skip_continuation(last).len();
            earlier.len() + skipped + error.valid_up_to()
        }
        _ => bytes.len(),
    }
}

/// The bytes from the first that can begin a character.
fn skip_continuation(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().take_while(|byte| *byte & 0xc0 == 0x80).count();
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use slog::{Drain, Never, OwnedKVList, Record, o};

    use super::*;

    #[derive(Clone, Default)]
    struct Messages(Arc<Mutex<Vec<String>>>);

    impl Drain for Messages {
        type Ok = ();
        type Err = Never;

        fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
            assert_eq!(record.level(), slog::Level::Info);
            self.0.lock().unwrap().push(record.msg().to_string());
            Ok(())
        }
    }

    /// The messages that come from writing these pieces.
    fn messages<T: AsRef<[u8]>>(pieces: &[T]) -> Vec<String> {
        let messages = Messages::default();
        let mut writer = LogWriter::new(Logger::root(messages.clone(), o!()));
        for piece in pieces {
            let piece = piece.as_ref();
            assert_eq!(writer.write(piece).unwrap(), piece.len());
        }
        drop(writer);
        let messages = messages.0.lock().unwrap();
        messages.clone()
    }

    #[test]
    fn lines_become_messages() {
        let cases: [(&[&[u8]], &[&str]); 11] = [
            (&[b"one\n"], &["one"]),
            (&[b"one\ntwo\n\nthree"], &["one", "two", "three"]),
            (&[b"a=", b"1", b" b=", b"2", b"\n"], &["a=1 b=2"]),
            (&[b"dos\r\n\r\n"], &["dos"]),
            (&[b"dos\r", b"\nunix"], &["dos", "unix"]),
            (&[b"two\r\r\n"], &["two\r"]),
            (&[b"\n", b"\r\n", b""], &[]),
            (&[b"\xf0\x9f", b"\x91\x8d\n"], &["\u{1f44d}"]),
            (&[b"bad \xff\xfe\n"], &["bad \u{fffd}\u{fffd}"]),
            (&[b"cut \xf0\x9f"], &["cut \u{fffd}"]),
            (&[b"  blanks stay \n"], &["  blanks stay "]),
        ];
        for (pieces, expected) in cases {
            assert_eq!(messages(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn flush_logs_the_unfinished_line() {
        let messages = Messages::default();
        let mut writer = LogWriter::new(Logger::root(messages.clone(), o!()));
        writer.write_all(b"half").unwrap();
        assert!(messages.0.lock().unwrap().is_empty());
        writer.flush().unwrap();
        writer.write_all(b"other half\n").unwrap();
        assert_eq!(*messages.0.lock().unwrap(), ["half", "other half"]);
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        for shift in 0..4 {
            let text = format!("{}{}", "x".repeat(shift), "\u{1f44d}".repeat(40_000));
            let messages = messages(&[&text]);
            assert_eq!(messages.concat(), text);
            assert_eq!(messages.len(), 3);
            for message in &messages[..2] {
                assert!(message.len() <= MAX_LINE && message.len() > MAX_LINE - 4);
            }
        }
        let garbage = messages(&[[0x80; 2 * MAX_LINE]]);
        assert_eq!(garbage.concat(), "\u{fffd}".repeat(2 * MAX_LINE));
    }

    #[test]
    fn only_the_cr_of_a_line_break_is_removed() {
        // One at each place where a line may be cut, and around it.
        for at in MAX_LINE - 5..MAX_LINE + 5 {
            for filler in ["x", "\u{1f44d}"] {
                let mut text = filler.repeat(at / filler.len());
                text.push('\r');
                text.push_str(&filler.repeat(10));
                assert_eq!(messages(&[&text]).concat(), text, "{filler} {at}");
                text.truncate(text.rfind('\r').unwrap());
                let line = format!("{text}\r\n");
                assert_eq!(messages(&[&line]).concat(), text, "{filler} {at}");
            }
        }
        let all = "\r".repeat(3 * MAX_LINE);
        assert_eq!(messages(&[format!("{all}x")]).concat(), format!("{all}x"));
        assert_eq!(messages(&[format!("{all}\r\n")]).concat(), all);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_text_is_cut_up(
            text in proptest::collection::vec(any::<u8>().prop_map(|b| b"ab\n\r\xc3\xa4"[b as usize % 6]), 0..60),
            cuts in proptest::collection::vec(0..60usize, 0..6),
        ) {
            let mut pieces = Vec::new();
            let mut rest = text.as_slice();
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            pieces.push(rest);
            prop_assert_eq!(messages(&pieces), messages(&[&text]));
        }
    }
}
