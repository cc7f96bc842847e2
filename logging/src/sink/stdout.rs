//! Standard output as a writer that says what it has written.

use std::io::{self, Write};

use crate::sys;

/// Standard output without the buffer of [`io::Stdout`], which says of up to 1 KiB that it is written
/// when it is not.
#[derive(Debug)]
pub(crate) struct UnbufferedStdout;

impl Write for UnbufferedStdout {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock(); // nobody prints in between
        stdout.flush()?; // what was printed before comes before
        sys::write_stdout(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
