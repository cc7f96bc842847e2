//! One HTTP/1.1 exchange on a Unix stream socket: the request goes out in one system call, and the
//! response is read completely. RFC 9112.
//!
//! [`request`] and [`incoming`] know bytes only; [`exchange`] moves them, without ever blocking;
//! [`asynchronous`] and [`blocking`] wait, each in its way. No other module knows how a
//! connection works, so that another transport concerns none.

mod asynchronous;
mod blocking;
mod chunked;
mod exchange;
mod head;
mod idle;
mod incoming;
mod reactor;
mod request;
mod socket;
mod sys;

use std::iter;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Bytes;

use crate::Sandbox;
use crate::shim_mgmt::{RequestError, RequestErrorKind};
use asynchronous::UselessDriver;
use exchange::{Connection, Exchange};
use idle::Idle;
pub(crate) use request::Request;

/// The longest body of a response unless a client sets another limit: 64 MiB.
const DEFAULT_BODY_LIMIT: usize = 64 << 20;

/// Whom a client talks to, how long, and its connections.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) sandbox: Sandbox,
    pub(crate) body_limit: usize,
    timeout: Option<Duration>,
    idle: Idle,
    useless_driver: UselessDriver,
}

impl Transport {
    pub(crate) fn new(sandbox: Sandbox, timeout: Option<Duration>) -> Self {
        Self {
            sandbox,
            body_limit: DEFAULT_BODY_LIMIT,
            timeout,
            idle: Idle::default(),
            useless_driver: UselessDriver::default(),
        }
    }

    pub(crate) fn error(&self, request: &Request<'_>, kind: RequestErrorKind) -> RequestError {
        let socket = self.sandbox.socket_path();
        RequestError::new(request.method, &request.target, socket, kind)
    }

    /// The deadline of a call that begins now: none without a limit, or with one beyond all time.
    fn deadline(&self) -> Deadline {
        let timeout = self.timeout.unwrap_or_default();
        let end = self
            .timeout
            .and_then(|_| Instant::now().checked_add(timeout));
        Deadline { end, timeout }
    }

    fn begin<'a>(
        &self,
        head: &'a [u8],
        request: &'a Request<'_>,
        connection: Connection,
    ) -> Exchange<'a> {
        Exchange::new(head, &request.body, self.body_limit, connection)
    }

    fn finish(
        &self,
        exchange: Exchange<'_>,
        stream: UnixStream,
    ) -> Result<Response<Bytes>, RequestErrorKind> {
        if exchange.leaves_connection_open() {
            self.idle.keep(stream);
        }
        exchange.into_response()
    }
}

/// When a call must have ended.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    end: Option<Instant>,
    timeout: Duration,
}

impl Deadline {
    /// The time that is left; `None` is no limit.
    fn left(&self) -> Result<Option<Duration>, RequestErrorKind> {
        let Some(end) = self.end else {
            return Ok(None);
        };
        match end.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(Some(left)),
            _ => Err(self.expired()),
        }
    }

    fn expired(&self) -> RequestErrorKind {
        RequestErrorKind::Timeout(self.timeout)
    }
}

/// Pauses between attempts to connect while the queue of the server is full: the kernel does not
/// say when it no longer is.
fn pauses() -> impl Iterator<Item = Duration> {
    let longer = |pause: &Duration| Some(pause.saturating_mul(2).min(Duration::from_millis(16)));
    iter::successors(Some(Duration::from_millis(1)), longer)
}
