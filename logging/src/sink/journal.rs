//! The native protocol of systemd-journald (4.3, D13): <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slog::Level;

use super::{Ledger, Notice, Sink};
use crate::chunk::Chunk;
use crate::sys;

/// Where journald listens.
pub(crate) const SOCKET: &str = "/run/systemd/journal/socket";

/// How long one record may wait for a journald that is stopped or slow.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What we ask for, like journald's own library does.
const SEND_BUFFER: libc::c_int = 8 << 20;

/// Sends records to a datagram socket.
#[derive(Debug)]
pub(crate) struct JournalSink {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// Records that failed since standard error was told of a recovery.
    failed: u64,
}

impl JournalSink {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: None,
            failed: 0,
        }
    }

    fn send(&mut self, record: &[u8]) -> io::Result<()> {
        let socket = match &self.socket {
            Some(socket) => socket,
            None => self.socket.insert(open()?),
        };
        loop {
            // By path, so that a restarted journald is found.
            let result = match socket.send_to(record, &self.path) {
                Err(error) if is_too_long(&error) => sys::sealed_file(record).and_then(|file| {
                    sys::send_descriptor(socket.as_fd(), &self.path, file.as_fd())
                }),
                result => result.map(drop),
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl Sink for JournalSink {
    fn deliver(&mut self, chunk: &Chunk, ledger: &mut Ledger) {
        let mut start = 0;
        for frame in &chunk.frames {
            let bytes = chunk.bytes.get(start..frame.end).unwrap_or_default();
            start = frame.end;
            let (json, record) = bytes.split_at_checked(frame.head).unwrap_or((&[], bytes));
            let result = match ledger.is_abandoned() {
                true => Err(ErrorKind::TimedOut.into()),
                false => self.send(record),
            };
            match result {
                Ok(()) => {
                    ledger.advance();
                    ledger.written(1);
                    self.tell_recovery(ledger);
                }
                Err(error) => {
                    self.failed += 1;
                    ledger.failed("journald", &error, Notice::LineForEach);
                    if frame.level.is_at_least(Level::Warning) {
                        sys::write_stderr(json);
                    }
                }
            }
        }
    }

    fn flush(&mut self, _ledger: &mut Ledger) -> io::Result<()> {
        Ok(())
    }
}

impl JournalSink {
    /// The end of an outage is told if its beginning was.
    fn tell_recovery(&mut self, ledger: &Ledger) {
        if self.failed > 0 && ledger.was_told() {
            sys::write_stderr(
                format!(
                    "logging: journald is back; {} log records did not reach it\n",
                    self.failed
                )
                .as_bytes(),
            );
            self.failed = 0;
        }
    }
}

fn open() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    sys::ask_send_buffer(socket.as_fd(), SEND_BUFFER);
    Ok(socket)
}

/// A datagram has a limit; beyond, journald takes a descriptor of a file.
fn is_too_long(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS))
}
