//! One request and its response on a connection, without waiting.

use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::net::UnixStream;

use hyper::Response;
use hyper::body::Bytes;

use super::incoming::Incoming;
use super::socket;
use super::sys::receive;
use crate::shim_mgmt::RequestErrorKind;

/// After so many reads without a break, the deadline gets a look.
const READS_PER_STEP: usize = 4;

/// An exchange. Sends while it receives: a server may answer before it has read everything.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    head: &'a [u8],
    body: &'a [u8],
    connection: Connection,
    sent: usize,
    /// Why the rest of the request cannot be sent.
    send_error: Option<io::Error>,
    incoming: Incoming,
}

/// What is known of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    New,
    /// It has served before: the server may have closed it meanwhile.
    Kept,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The response is complete.
    Complete,
    /// There may be more at once.
    Again,
    /// Nothing more before the socket is ready.
    Wait(Blocked),
}

/// What the socket could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    /// There is something left to send.
    pub(super) sending: bool,
    /// The socket had nothing to read; not tried yet otherwise.
    pub(super) receiving: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        head: &'a [u8],
        body: &'a [u8],
        body_limit: usize,
        connection: Connection,
    ) -> Self {
        Self {
            head,
            body,
            connection,
            sent: 0,
            send_error: None,
            incoming: Incoming::new(body_limit),
        }
    }

    /// Whether another connection may be used after `error`: the server had closed this one
    /// before any of the request was sent. A resize must not run twice (3.2.5).
    pub(super) fn may_go_elsewhere(&self, error: &RequestErrorKind) -> bool {
        self.sent == 0 && matches!(error, RequestErrorKind::Closed(_))
    }

    /// Sends and receives what is possible now.
    pub(super) fn advance(&mut self, stream: &UnixStream) -> Result<Step, RequestErrorKind> {
        let was_sending = self.is_sending();
        self.send(stream)?;
        let sending = self.is_sending();
        if was_sending && !sending && self.send_error.is_none() {
            // The server has not even seen it.
            return Ok(Step::Wait(Blocked {
                sending: false,
                receiving: false,
            }));
        }
        let blocked = Step::Wait(Blocked {
            sending,
            receiving: true,
        });
        for _ in 0..READS_PER_STEP {
            let room = self.incoming.room();
            let size = room.capacity().saturating_sub(room.len());
            match receive(stream, room) {
                Ok(0) => return self.closed(),
                Ok(count) => {
                    if self.incoming.received()? {
                        return Ok(Step::Complete);
                    }
                    if count < size {
                        // There was no more: another read would only say so.
                        return Ok(blocked);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(blocked),
                    ErrorKind::Interrupted => {}
                    _ => return Err(RequestErrorKind::from_transfer(error)),
                },
            }
        }
        Ok(Step::Again)
    }

    /// Whether the connection can be used for another request.
    pub(super) fn leaves_connection_open(&self) -> bool {
        self.send_error.is_none() && !self.is_sending() && self.incoming.leaves_connection_open()
    }

    /// The response, once complete.
    pub(super) fn into_response(self) -> Result<Response<Bytes>, RequestErrorKind> {
        self.incoming.into_response()
    }

    fn is_sending(&self) -> bool {
        self.send_error.is_none() && self.sent < self.head.len().saturating_add(self.body.len())
    }

    fn send(&mut self, stream: &UnixStream) -> Result<(), RequestErrorKind> {
        while self.is_sending() {
            let head = self.head.get(self.sent..).unwrap_or_default();
            let body_sent = self.sent.saturating_sub(self.head.len());
            let body = self.body.get(body_sent..).unwrap_or_default();
            match socket::send(stream, &[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                        // What may be there to read is no answer to what was never sent.
                        if self.sent == 0 && self.connection == Connection::Kept {
                            return Err(RequestErrorKind::Closed(error));
                        }
                        // The server may have answered before it closed.
                        self.send_error = Some(error);
                    }
                    _ => return Err(RequestErrorKind::from_transfer(error)),
                },
            }
        }
        Ok(())
    }

    /// The server has closed the connection.
    fn closed(&mut self) -> Result<Step, RequestErrorKind> {
        match self.incoming.closed() {
            Ok(()) => Ok(Step::Complete),
            Err(error) => Err(self
                .send_error
                .take()
                .map_or(error, RequestErrorKind::Closed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_flood_leaves_time_for_a_look_at_the_deadline() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut exchange =
            Exchange::new(b"GET / HTTP/1.1\r\n\r\n", b"", usize::MAX, Connection::New);
        let sent = exchange.advance(&ours).unwrap();
        assert!(matches!(sent, Step::Wait(_)));

        server
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffff\r\n")
            .unwrap();
        let mut queued = 0;
        while let Ok(count) = server.write(&[b'a'; 16 << 10]) {
            queued += count;
        }
        assert!(queued > READS_PER_STEP * (32 << 10), "{queued}");
        assert_eq!(exchange.advance(&ours).unwrap(), Step::Again);
        while exchange.advance(&ours).unwrap() == Step::Again {}
        let blocked = Step::Wait(Blocked {
            sending: false,
            receiving: true,
        });
        assert_eq!(exchange.advance(&ours).unwrap(), blocked);
    }

    #[test]
    fn a_request_goes_out_at_once_and_waits_for_its_response_only() {
        let (ours, mut server) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut exchange = Exchange::new(b"PUT / HTTP/1.1\r\n\r\n", b"body", 10, Connection::New);
        let blocked = Step::Wait(Blocked {
            sending: false,
            receiving: false,
        });
        assert_eq!(exchange.advance(&ours).unwrap(), blocked);
        let mut buffer = [0; 100];
        let count = server.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"PUT / HTTP/1.1\r\n\r\nbody");
        assert!(!exchange.leaves_connection_open());
        server
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        assert_eq!(exchange.advance(&ours).unwrap(), Step::Complete);
        assert!(exchange.leaves_connection_open());
        assert_eq!(exchange.into_response().unwrap().status(), 204);
    }

    #[test]
    fn what_came_before_a_request_is_no_answer_to_it() {
        for (connection, is_answer) in [(Connection::Kept, false), (Connection::New, true)] {
            let (ours, mut server) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            server
                .write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
                .unwrap();
            drop(server);
            let mut exchange = Exchange::new(b"GET / HTTP/1.1\r\n\r\n", b"", 10, connection);
            match exchange.advance(&ours) {
                Ok(step) => assert!(is_answer && step == Step::Complete),
                Err(error) => assert!(!is_answer && exchange.may_go_elsewhere(&error)),
            }
            assert!(!exchange.leaves_connection_open());
        }
    }
}
