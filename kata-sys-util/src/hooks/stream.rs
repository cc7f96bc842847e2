//! The hook's standard streams as the caller has them: pipes that never make it wait.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use super::sys;
use crate::open::open_device;

/// How much of an output is kept, in bytes.
pub(super) const CAPTURE_LIMIT: usize = 64 * 1024;

const NULL_DEVICE: &str = "/dev/null";
const NULL_NUMBER: (u32, u32) = (1, 3);

/// Where the hook's standard input comes from.
pub(super) struct Input<'a> {
    /// The hook's end.
    reader: OwnedFd,
    /// Our end, until all is written.
    writer: Option<PipeWriter>,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// A pipe with `text` in it, or nothing at all.
    pub(super) fn new(text: Option<&'a [u8]>) -> io::Result<Self> {
        let (reader, writer) = match text {
            None => (nothing(Path::new(NULL_DEVICE))?, None),
            Some(_) => {
                let (reader, writer) = sys::pipe()?;
                sys::set_nonblocking(writer.as_fd())?;
                (reader.into(), Some(writer))
            }
        };
        let mut input = Self {
            reader,
            writer,
            rest: text.unwrap_or_default(),
        };
        // Most states fit into the pipe as a whole.
        input.write()?;
        Ok(input)
    }

    pub(super) fn hook_end(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// What becomes writable, as long as something is left to write.
    pub(super) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(AsFd::as_fd)
    }

    /// Writes what the pipe takes now. When all is written, the hook sees the end of it.
    ///
    /// We hold the reading end as well, so that a hook that does not read cannot make this fail
    /// with `EPIPE`, and SIGPIPE is never sent, whatever its disposition (H4).
    ///
    /// # Errors
    ///
    /// The kernel has no memory for the pipe: the hook would take a part for the whole.
    pub(super) fn write(&mut self) -> io::Result<()> {
        while let Some(writer) = &mut self.writer {
            if self.rest.is_empty() {
                drop(self.writer.take());
                return Ok(());
            }
            match writer.write(self.rest) {
                Ok(count) => self.rest = self.rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What is at its end from the beginning: the device, or a pipe without a writer where there is
/// none, or something else in its place.
fn nothing(null_device: &Path) -> io::Result<OwnedFd> {
    match open_device(null_device, NULL_NUMBER) {
        Ok(null) => sys::above_stdio(null.into()),
        Err(_) => Ok(sys::pipe()?.0.into()),
    }
}

/// One of the hook's outputs.
pub(super) struct Output {
    /// Our end, until the last writer has closed the other one.
    reader: Option<PipeReader>,
    /// The hook's end, until it has it.
    writer: Option<PipeWriter>,
    captured: Captured,
}

/// The beginning of what a hook has written.
pub(super) struct Captured {
    buffer: Vec<u8>,
    length: usize,
    discarded: u64,
}

impl Captured {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// How many bytes followed that were read but not kept.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded
    }
}

impl Output {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        sys::set_nonblocking(reader.as_fd())?;
        Ok(Self {
            reader: Some(reader),
            writer: Some(writer),
            captured: Captured {
                buffer: vec![0; CAPTURE_LIMIT],
                length: 0,
                discarded: 0,
            },
        })
    }

    pub(super) fn hook_end(&self) -> Option<BorrowedFd<'_>> {
        self.writer.as_ref().map(AsFd::as_fd)
    }

    /// Closes the end that the hook has got, so that the end of its output can be seen.
    pub(super) fn close_hook_end(&mut self) {
        drop(self.writer.take());
    }

    /// What becomes readable, until the end of the output.
    pub(super) fn readable(&self) -> Option<BorrowedFd<'_>> {
        self.reader.as_ref().map(AsFd::as_fd)
    }

    /// Reads once, and returns how many bytes there were. What is beyond the limit goes through
    /// `scratch`.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> usize {
        let Some(reader) = &mut self.reader else {
            return 0;
        };
        let captured = &mut self.captured;
        let free = captured.buffer.get_mut(captured.length..);
        let free = free.filter(|free| !free.is_empty());
        let is_kept = free.is_some();
        match reader.read(free.unwrap_or(scratch)) {
            Ok(0) => {
                drop(self.reader.take());
                0
            }
            Ok(count) if is_kept => {
                captured.length = captured.length.saturating_add(count);
                count
            }
            Ok(count) => {
                captured.discarded = captured.discarded.saturating_add(count as u64);
                count
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                0
            }
            Err(_) => {
                drop(self.reader.take());
                0
            }
        }
    }

    /// Reads what is in the pipe now, and no more: a process that the hook has left behind may
    /// write for ever.
    pub(super) fn drain(&mut self, scratch: &mut [u8]) {
        let present = self.readable().map(sys::readable_bytes);
        let mut left = present.and_then(Result::ok).unwrap_or(0);
        while left > 0 {
            match self.read(scratch) {
                0 => return,
                count => left = left.saturating_sub(count),
            }
        }
    }

    pub(super) fn into_captured(self) -> Captured {
        self.captured
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use test_utils::seccomp::{Rule, run_under};

    use super::*;

    #[test]
    fn small_text_is_written_before_anyone_reads() {
        let input = Input::new(Some(b"state")).unwrap();
        assert!(input.writable().is_none());
        let mut text = String::new();
        File::from(input.reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "state");
    }

    #[test]
    fn large_text_is_written_as_the_pipe_takes_it() {
        let text: Vec<u8> = (0..500_000_u32).map(|n| n as u8).collect();
        let mut input = Input::new(Some(&text)).unwrap();
        let mut reader = File::from(input.reader.try_clone().unwrap());
        let mut received = Vec::new();
        let mut buffer = [0; 10_000];
        while input.writable().is_some() {
            let count = reader.read(&mut buffer).unwrap();
            received.extend_from_slice(&buffer[..count]);
            input.write().unwrap();
        }
        drop(input);
        reader.read_to_end(&mut received).unwrap();
        assert_eq!(received, text);
    }

    #[test]
    fn input_that_cannot_be_written_is_an_error() {
        let no_memory = [Rule::fail(libc::SYS_write, libc::ENOMEM)];
        let result = run_under(&no_memory, || Input::new(Some(b"state")).map(drop));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::OutOfMemory);
    }

    fn is_empty(fd: OwnedFd) -> bool {
        File::from(fd).read(&mut [0]).unwrap() == 0
    }

    #[test]
    fn what_is_in_the_place_of_the_null_device_is_not_waited_for_or_read() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, text) = (dir.path().join("fifo"), dir.path().join("text"));
        let name = CString::new(fifo.as_os_str().as_bytes()).unwrap();
        // SAFETY: a string that ends in NUL and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        fs::write(&text, "text").unwrap();
        for path in [fifo.clone(), text, "/dev/zero".into()] {
            let (tell, told) = channel();
            let name = path.clone();
            // One that waits for a writer cannot be ended, but by a writer.
            let thread = thread::spawn(move || tell.send(is_empty(nothing(&path).unwrap())));
            let result = told.recv_timeout(Duration::from_secs(20));
            if result.is_err() {
                drop(File::options().read(true).write(true).open(&fifo));
            }
            assert_eq!(result, Ok(true), "{}", name.display());
            thread.join().unwrap().unwrap();
        }
    }

    #[test]
    fn input_without_text_is_empty() {
        for text in [None, Some(&b""[..])] {
            let input = Input::new(text).unwrap();
            assert!(input.writable().is_none());
            assert!(is_empty(input.reader));
        }
        assert!(is_empty(nothing(Path::new(NULL_DEVICE)).unwrap()));
        assert!(is_empty(nothing(Path::new("/no/such/device")).unwrap()));
    }

    #[test]
    fn output_beyond_the_limit_is_counted_and_discarded() {
        let mut output = Output::new().unwrap();
        let mut scratch = [0; 1000];
        let mut written = 0;
        for fill in [b'a', b'b', b'c'] {
            let writer = output.writer.as_mut().unwrap();
            writer.write_all(&[fill; 30_000]).unwrap();
            written += 30_000;
            output.drain(&mut scratch);
            let captured = &output.captured;
            let kept = captured.bytes().len();
            assert_eq!(kept, written.min(CAPTURE_LIMIT));
            assert_eq!(captured.discarded(), (written - kept) as u64);
        }
        let text = output.into_captured();
        assert_eq!(text.bytes()[59_999..60_001], *b"bc");
    }

    #[test]
    fn draining_ends_when_the_pipe_was_empty_once() {
        let mut output = Output::new().unwrap();
        // Somebody still holds the other end.
        output.drain(&mut [0; 10]);
        assert!(output.readable().is_some());
        output.close_hook_end();
        assert_eq!(output.read(&mut [0; 10]), 0);
        assert!(output.readable().is_none());
        output.drain(&mut [0; 10]);
        assert!(output.into_captured().bytes().is_empty());
    }
}
