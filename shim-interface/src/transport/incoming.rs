//! A response, from the first byte to the last. Knows nothing of sockets: it lends a buffer to
//! append to, and is told when there is more in it.

use std::io::{self, ErrorKind};
use std::mem;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use super::chunked::Chunked;
use super::head::{Framing, Head, malformed, parse_head};
use crate::shim_mgmt::RequestErrorKind;

/// First size of the buffer: enough for most responses as a whole.
const FIRST_ROOM: usize = 4 << 10;

/// Longest head, interim responses included.
const MAX_HEAD: usize = 64 << 10;

/// How much is read at once of a chunked body.
const CHUNKED_ROOM: usize = 32 << 10;

/// Up to here, a body gets its whole room at once. A longer one has to arrive first.
const TRUSTED_LENGTH: usize = 1 << 20;

/// A response that is arriving.
#[derive(Debug)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
    /// How many bytes of it are known.
    seen: usize,
    body_limit: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In the head, which begins here: after interim responses.
    Head { start: usize },
    /// In the body, which begins here.
    Body {
        start: usize,
        head: Head,
        body: Body,
    },
}

#[derive(Debug)]
enum Body {
    /// It ends here in the buffer.
    Length {
        end: usize,
    },
    Chunked(Chunked, Leftover),
    UntilClose {
        is_closed: bool,
    },
}

/// Whether something came after the end of a chunked body.
type Leftover = bool;

impl Incoming {
    pub(super) fn new(body_limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            seen: 0,
            body_limit,
            state: State::Head { start: 0 },
        }
    }

    /// Where the next bytes go: to the end, into the capacity. There always is some to spare.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        let spare = self.buffer.capacity().saturating_sub(self.buffer.len());
        // What is left behind a head may be little: too little to be used again and again.
        if spare == 0 || (spare < CHUNKED_ROOM && self.is_chunked()) {
            let more = self.next_size().saturating_sub(self.buffer.len());
            self.buffer.reserve_exact(more.max(1));
        }
        &mut self.buffer
    }

    /// Takes what was appended to the room. Returns whether the response is complete.
    pub(super) fn received(&mut self) -> Result<bool, RequestErrorKind> {
        let new = mem::replace(&mut self.seen, self.buffer.len());
        if let State::Head { start } = self.state {
            self.look_for_head(start, new)?;
        }
        self.look_for_end()
    }

    /// The server has closed the connection: that completes the response, or is an error.
    pub(super) fn closed(&mut self) -> Result<(), RequestErrorKind> {
        if let State::Body { body, .. } = &mut self.state
            && let Body::UntilClose { is_closed } = body
        {
            *is_closed = true;
            return Ok(());
        }
        Err(RequestErrorKind::Closed(io::Error::new(
            ErrorKind::UnexpectedEof,
            self.progress(),
        )))
    }

    /// How far the response had come.
    pub(super) fn progress(&self) -> String {
        match &self.state {
            State::Head { .. } if self.buffer.is_empty() => "no response".to_owned(),
            State::Head { .. } => "end of stream within the head of the response".to_owned(),
            State::Body { start, body, .. } => match body {
                Body::Length { end } => format!(
                    "end of stream after {} of {} bytes of the response body",
                    self.buffer.len().saturating_sub(*start),
                    end.saturating_sub(*start)
                ),
                _ => "end of stream within the response body".to_owned(),
            },
        }
    }

    /// Whether the connection can be used for another request: the server keeps it open, and
    /// nothing came after this response.
    pub(super) fn leaves_connection_open(&self) -> bool {
        match &self.state {
            State::Head { .. } => false,
            State::Body { head, body, .. } => {
                head.is_persistent
                    && match body {
                        Body::Length { end } => self.buffer.len() == *end,
                        Body::Chunked(_, has_leftover) => !has_leftover,
                        Body::UntilClose { .. } => false,
                    }
            }
        }
    }

    /// The complete response.
    pub(super) fn into_response(self) -> Result<Response<Bytes>, RequestErrorKind> {
        let State::Body { start, head, body } = self.state else {
            return Err(malformed("no head"));
        };
        let body = match body {
            Body::Chunked(chunked, _) => Bytes::from(chunked.into_body()),
            Body::Length { end } => part(self.buffer, start, end),
            Body::UntilClose { .. } => part(self.buffer, start, usize::MAX),
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.fields;
        Ok(response)
    }

    fn is_chunked(&self) -> bool {
        matches!(
            &self.state,
            State::Body {
                body: Body::Chunked(..),
                ..
            }
        )
    }

    /// The size that the buffer should have next.
    fn next_size(&self) -> usize {
        let doubled = self.buffer.capacity().saturating_mul(2).max(FIRST_ROOM);
        match &self.state {
            State::Head { .. } => doubled,
            State::Body { start, body, .. } => match body {
                Body::Length { end } if end.saturating_sub(*start) <= TRUSTED_LENGTH => *end,
                Body::Length { end } => doubled.max(TRUSTED_LENGTH).min(*end),
                Body::Chunked(..) => start.saturating_add(CHUNKED_ROOM),
                // One byte more than allowed shows that it is too long.
                Body::UntilClose { .. } => doubled.min(self.longest(*start).saturating_add(1)),
            },
        }
    }

    /// Looks for the end of the head that begins at `start`. Bytes from `new` on are new.
    fn look_for_head(&mut self, mut start: usize, new: usize) -> Result<(), RequestErrorKind> {
        let bytes = self.buffer.as_slice();
        // One byte at a time must not mean to parse everything each time: only the end of a line
        // can be the end of a head. The first bytes show early what is no HTTP at all.
        let is_worth_parsing = new < 16 || bytes.get(new..).unwrap_or_default().contains(&b'\n');
        if is_worth_parsing {
            while let Some(head) = parse_head(bytes.get(start..).unwrap_or_default())? {
                let end = start.saturating_add(head.length);
                if !head.status.is_informational() {
                    return self.begin_body(end, head);
                }
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(malformed("status 101 without being asked"));
                }
                start = end;
            }
        }
        if self.buffer.len() > MAX_HEAD {
            return Err(malformed(format!("head exceeds {MAX_HEAD} bytes")));
        }
        self.state = State::Head { start };
        Ok(())
    }

    fn begin_body(&mut self, start: usize, head: Head) -> Result<(), RequestErrorKind> {
        let body = match head.framing {
            Framing::UntilClose => Body::UntilClose { is_closed: false },
            Framing::Length(length) => match usize::try_from(length) {
                Ok(length) if length <= self.body_limit => Body::Length {
                    end: start.saturating_add(length),
                },
                _ => return Err(RequestErrorKind::BodyTooLarge(self.body_limit)),
            },
            Framing::Chunked => Body::Chunked(Chunked::new(self.body_limit), false),
        };
        self.state = State::Body { start, head, body };
        Ok(())
    }

    fn look_for_end(&mut self) -> Result<bool, RequestErrorKind> {
        let limit = self.body_limit;
        let State::Body { start, body, .. } = &mut self.state else {
            return Ok(false);
        };
        match body {
            Body::Length { end } => Ok(self.buffer.len() >= *end),
            Body::UntilClose { is_closed } => {
                if self.buffer.len().saturating_sub(*start) > limit {
                    return Err(RequestErrorKind::BodyTooLarge(limit));
                }
                Ok(*is_closed)
            }
            Body::Chunked(chunked, has_leftover) => {
                let coded = self.buffer.get(*start..).unwrap_or_default();
                *has_leftover = chunked.decode(coded)? > 0;
                // The room is for the next ones.
                self.buffer.truncate(*start);
                self.seen = self.buffer.len();
                Ok(chunked.is_done())
            }
        }
    }

    /// The size of the buffer with the longest body that begins at `start`.
    fn longest(&self, start: usize) -> usize {
        start.saturating_add(self.body_limit)
    }
}

/// The bytes from `start` to `end`, without a copy.
fn part(mut buffer: Vec<u8>, start: usize, end: usize) -> Bytes {
    buffer.truncate(end);
    let start = start.min(buffer.len());
    Bytes::from(buffer).slice(start..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `bytes` in parts of at most `step`, then closes. Returns the response, whether the
    /// connection could be used again, and how many bytes were taken.
    fn receive(
        bytes: &[u8],
        step: usize,
        limit: usize,
    ) -> Result<(Response<Bytes>, bool, usize), RequestErrorKind> {
        let mut incoming = Incoming::new(limit);
        let mut taken = 0;
        let mut is_complete = false;
        while !is_complete && taken < bytes.len() {
            let room = incoming.room();
            let spare = room.capacity() - room.len();
            let count = step.min(spare).min(bytes.len() - taken);
            assert!(count > 0);
            room.extend_from_slice(&bytes[taken..taken + count]);
            taken += count;
            is_complete = incoming.received()?;
        }
        if !is_complete {
            incoming.closed()?;
        }
        let is_open = incoming.leaves_connection_open();
        Ok((incoming.into_response()?, is_open, taken))
    }

    #[test]
    fn a_response_is_the_same_however_it_arrives() {
        for (bytes, body, is_open) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                "abc",
                true,
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "abc", false),
            ("HTTP/1.1 200 OK\r\n\r\n", "", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", "a", false),
            (
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
                "a",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                "abc",
                true,
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
                "a",
                true,
            ),
        ] {
            for step in [1, 2, 3, 7, 1000] {
                let (response, open, taken) = receive(bytes.as_bytes(), step, 100).unwrap();
                assert_eq!(response.body(), body, "{bytes:?} by {step}");
                assert_eq!(open, is_open, "{bytes:?} by {step}");
                assert_eq!(taken, bytes.len());
                assert!(response.status().is_success());
            }
        }
    }

    #[test]
    fn status_version_and_fields_are_kept() {
        let bytes = "HTTP/1.0 418 I'm a teapot\r\nA: b\r\na: \u{fc}\r\ncontent-length: 0\r\n\r\n";
        let (response, ..) = receive(bytes.as_bytes(), 1000, 0).unwrap();
        assert_eq!(response.status(), 418);
        assert_eq!(response.version(), hyper::Version::HTTP_10);
        let values: Vec<_> = response.headers().get_all("a").iter().collect();
        assert_eq!(values, [&b"b"[..], "\u{fc}".as_bytes()]);
    }

    #[test]
    fn a_response_that_ends_early_is_none() {
        for bytes in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na",
        ] {
            for cut in 0..bytes.len() {
                let result = receive(&bytes.as_bytes()[..cut], 1000, 100);
                let is_closed = matches!(result, Err(RequestErrorKind::Closed(_)));
                assert!(is_closed, "{bytes:?} cut at {cut}: {result:?}");
            }
        }
    }

    #[test]
    fn bytes_after_a_response_spoil_the_connection_only() {
        for bytes in [
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nb",
        ] {
            let (response, is_open, _) = receive(bytes.as_bytes(), 1000, 100).unwrap();
            assert_eq!(response.body(), "a");
            assert!(!is_open);
        }
    }

    #[test]
    fn the_body_limit_is_exact_for_every_framing() {
        let long = "a".repeat(10_000);
        for (head, tail) in [
            ("content-length: 10000\r\n\r\n", ""),
            ("\r\n", ""),
            (
                "transfer-encoding: chunked\r\n\r\n2710\r\n",
                "\r\n0\r\n\r\n",
            ),
        ] {
            let bytes = format!("HTTP/1.1 200 OK\r\n{head}{long}{tail}");
            let (response, ..) = receive(bytes.as_bytes(), 999, 10_000).unwrap();
            assert_eq!(response.body(), &long);
            let result = receive(bytes.as_bytes(), 999, 9_999);
            let is_refused = matches!(result, Err(RequestErrorKind::BodyTooLarge(9_999)));
            assert!(is_refused, "{head:?}: {result:?}");
        }
    }

    #[test]
    fn a_length_that_never_comes_takes_no_memory() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60000000\r\n\r\n";
        let mut incoming = Incoming::new(64 << 20);
        incoming.room().extend_from_slice(head);
        assert!(!incoming.received().unwrap());
        assert!(incoming.buffer.capacity() <= FIRST_ROOM);
        let room = incoming.room();
        room.resize(room.capacity(), b'a');
        incoming.received().unwrap();
        incoming.room();
        assert!(incoming.buffer.capacity() <= TRUSTED_LENGTH);
    }

    #[test]
    fn a_long_head_does_not_leave_a_chunked_body_without_room() {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\na: ".to_vec();
        bytes.resize(FIRST_ROOM - 5, b'a');
        bytes.extend(b"\r\n\r\n");
        let mut incoming = Incoming::new(1 << 20);
        incoming.room().extend_from_slice(&bytes);
        assert!(!incoming.received().unwrap());
        let room = incoming.room();
        assert!(room.capacity() - room.len() >= CHUNKED_ROOM);
    }

    #[test]
    fn a_head_without_end_is_malformed() {
        for line in ["HTTP/1.1 100 Continue\r\n\r\n", "\r\n"] {
            let result = receive(line.repeat(MAX_HEAD).as_bytes(), 1000, 100);
            assert!(matches!(result, Err(RequestErrorKind::Malformed(_))));
        }
        let one_line = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(2 * MAX_HEAD));
        let result = receive(one_line.as_bytes(), 1000, 100);
        assert!(matches!(result, Err(RequestErrorKind::Malformed(_))));
    }

    #[test]
    fn another_protocol_is_noticed_before_the_end_of_a_line() {
        let mut incoming = Incoming::new(100);
        incoming.room().extend_from_slice(b"SSH-");
        assert!(matches!(
            incoming.received(),
            Err(RequestErrorKind::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_exceed_the_limit(
            start in "|HTTP/1\\.[01] [1-5][0-9]{2} \r\n(content-length: [0-9]{1,3}\r\n|transfer-encoding: chunked\r\n)?\r\n",
            rest in proptest::collection::vec(any::<u8>(), 0..64),
            step in 1_usize..20,
        ) {
            let bytes = [start.as_bytes(), &rest].concat();
            if let Ok((response, _, taken)) = receive(&bytes, step, 30) {
                prop_assert!(response.body().len() <= 30);
                prop_assert!(taken <= bytes.len());
            }
        }

        #[test]
        fn reads_of_any_size_give_the_same_result(
            bytes in "HTTP/1\\.1 200 OK\r\n(content-length: 5|transfer-encoding: chunked|a: b)\r\n\r\n(5\r\n)?[a-z]{3,7}(\r\n0\r\n\r\n)?",
            step in 1_usize..20,
        ) {
            let whole = receive(bytes.as_bytes(), bytes.len(), 30);
            let parts = receive(bytes.as_bytes(), step, 30);
            match (whole, parts) {
                (Ok((a, ..)), Ok((b, ..))) => prop_assert_eq!(a.body(), b.body()),
                (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
                (a, b) => prop_assert!(false, "{:?} {:?}", a, b),
            }
        }
    }
}
