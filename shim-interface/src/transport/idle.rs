//! Connections that wait for the next request of their client.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many connections a client keeps.
const MAX_IDLE: usize = 4;

/// The idle connections of one client. Closed with it.
#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Vec<UnixStream>>);

impl Idle {
    /// The connection that was used last, of those that the server has not closed since.
    pub(super) fn take(&self) -> Option<UnixStream> {
        loop {
            let stream = self.streams().pop()?;
            if is_quiet(&stream) {
                return Some(stream);
            }
        }
    }

    pub(super) fn keep(&self, stream: UnixStream) {
        let mut streams = self.streams();
        if streams.len() < MAX_IDLE {
            streams.push(stream);
        }
    }

    fn streams(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection without a request is still good: open, and with nothing to read.
fn is_quiet(mut stream: &UnixStream) -> bool {
    let result = stream.read(&mut [0]);
    result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn only_open_and_silent_connections_are_used_again() {
        let idle = Idle::default();
        let (good, _server) = pair();
        let (closed, _) = pair();
        let (talking, mut talker) = pair();
        talker
            .write_all(b"HTTP/1.1 408 Request Timeout\r\n")
            .unwrap();
        for stream in [good, closed, talking] {
            idle.keep(stream);
        }
        assert!(idle.take().is_some());
        assert!(idle.take().is_none());
    }

    #[test]
    fn a_client_keeps_only_a_few_connections() {
        let idle = Idle::default();
        let pairs: Vec<_> = (0..MAX_IDLE + 3).map(|_| pair()).collect();
        let mut servers = Vec::new();
        for (ours, theirs) in pairs {
            idle.keep(ours);
            servers.push(theirs);
        }
        assert_eq!((0..).map_while(|_| idle.take()).count(), MAX_IDLE);
    }
}
