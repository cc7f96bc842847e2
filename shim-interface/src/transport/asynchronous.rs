//! Waiting on any executor.
//!
//! The socket is watched by the I/O driver of the tokio runtime that the call is made in, so that
//! no other thread is involved; or else by the thread of [`reactor`] (D1), which also takes over if
//! that driver says nothing for a while: nobody may be running it. Deadlines are always watched by
//! that thread: they hold whatever the runtime of the caller does, or its clock.

use std::future::{self, Future};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::Response;
use hyper::body::Bytes;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::runtime::Handle;
use tokio::time::{self, Sleep};

use super::exchange::{Connection, Exchange, Step};
use super::reactor::reactor;
use super::{Deadline, Request, Transport, pauses, socket};
use crate::shim_mgmt::{RequestError, RequestErrorKind};

/// After so much time without a word from the I/O driver of the caller, the thread takes over.
const PATIENCE: Duration = Duration::from_millis(20);

impl Transport {
    /// Sends `request` and receives the whole response.
    pub(crate) async fn send(
        &self,
        request: &Request<'_>,
    ) -> Result<Response<Bytes>, RequestError> {
        self.exchange(request)
            .await
            .map_err(|kind| self.error(request, kind))
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Response<Bytes>, RequestErrorKind> {
        let mut alarm = Alarm::new(self.deadline());
        let head = request.head()?;
        while let Some(stream) = self.idle.take() {
            let mut exchange = self.begin(&head, request, Connection::Kept);
            match self.run(&mut exchange, &stream, &mut alarm).await {
                Err(error) if exchange.may_go_elsewhere(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => return self.finish(exchange, stream),
            }
        }
        let stream = self.connect(&mut alarm).await?;
        let mut exchange = self.begin(&head, request, Connection::New);
        self.run(&mut exchange, &stream, &mut alarm).await?;
        self.finish(exchange, stream)
    }

    async fn connect(&self, alarm: &mut Alarm) -> Result<UnixStream, RequestErrorKind> {
        for pause in pauses() {
            let result = socket::connect(&self.sandbox);
            if let Some(stream) = result.map_err(RequestErrorKind::from_connect)? {
                return Ok(stream);
            }
            let sleep = on_reactor(|| time::sleep(pause)).map_err(RequestErrorKind::Wait)?;
            alarm.bounded(sleep, None).await?;
        }
        Err(alarm.deadline.expired())
    }

    async fn run(
        &self,
        exchange: &mut Exchange<'_>,
        stream: &UnixStream,
        alarm: &mut Alarm,
    ) -> Result<(), RequestErrorKind> {
        let mut step = exchange.advance(stream)?;
        let mut watcher = self.useless_driver.watcher();
        let mut patience = None;
        let mut watched: Option<(AsyncFd<BorrowedFd<'_>>, Interest)> = None;
        loop {
            let blocked = match step {
                Step::Complete => return Ok(()),
                Step::Again => {
                    alarm.deadline.left()?;
                    yield_now().await;
                    step = exchange.advance(stream)?;
                    continue;
                }
                Step::Wait(blocked) => blocked,
            };
            let interest = if blocked.sending {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            if watched.as_ref().is_none_or(|(_, known)| *known != interest) {
                drop(watched.take()); // one registration at a time
                let fd = self
                    .useless_driver
                    .watch(&mut watcher, stream.as_fd(), interest)
                    .map_err(RequestErrorKind::Wait)?;
                watched = Some((fd, interest));
            }
            let Some((fd, _)) = &watched else { continue };
            let until = match watcher {
                Watcher::Caller => {
                    *patience.get_or_insert_with(|| Instant::now().checked_add(PATIENCE))
                }
                Watcher::Reactor => None,
            };
            let silence = match alarm.bounded(fd.ready(interest), until).await? {
                Some(Ok(mut guard)) => {
                    patience = Some(None); // somebody runs it
                    step = exchange.advance(stream)?;
                    if let Step::Wait(blocked) = step {
                        // Whoever finds it ready each time never waits for the alarm.
                        alarm.deadline.left()?;
                        if blocked.sending {
                            guard.clear_ready_matching(Ready::WRITABLE);
                        }
                        if blocked.receiving {
                            guard.clear_ready_matching(Ready::READABLE);
                        }
                    }
                    continue;
                }
                Some(Err(error)) => Err(error),
                None => Ok(()),
            };
            match (watcher, silence) {
                (Watcher::Reactor, Err(error)) => return Err(RequestErrorKind::Wait(error)),
                (Watcher::Reactor, Ok(())) => {}
                // The runtime has ended, or the server is slow, or nobody runs the driver.
                (Watcher::Caller, silence) => {
                    step = exchange.advance(stream)?;
                    if silence.is_ok() && !matches!(step, Step::Wait(_)) {
                        self.useless_driver.found();
                    }
                    watched = None;
                    watcher = Watcher::Reactor;
                }
            }
        }
    }
}

/// Who watches a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watcher {
    /// The I/O driver of the runtime that the call is made in.
    Caller,
    /// The process-wide thread.
    Reactor,
}

/// Whether the runtime of the caller has turned out to have no I/O driver, or one that nobody runs.
#[derive(Debug, Default)]
pub(super) struct UselessDriver(AtomicBool);

impl UselessDriver {
    /// Who should be asked first.
    fn watcher(&self) -> Watcher {
        // tokio tells of a missing driver by a panic only. Where that cannot be caught, its
        // drivers are not used.
        let may_try = cfg!(panic = "unwind") && !self.0.load(Ordering::Relaxed);
        if may_try && Handle::try_current().is_ok() {
            Watcher::Caller
        } else {
            Watcher::Reactor
        }
    }

    fn found(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Has `fd` watched by `watcher`, or else by the thread.
    fn watch<'a>(
        &self,
        watcher: &mut Watcher,
        fd: BorrowedFd<'a>,
        interest: Interest,
    ) -> io::Result<AsyncFd<BorrowedFd<'a>>> {
        if *watcher == Watcher::Caller {
            match panic::catch_unwind(|| register(fd, interest)) {
                Ok(Ok(watched)) => return Ok(watched),
                Ok(Err(_)) => {} // such as a runtime that is shutting down
                Err(_) => self.found(),
            }
            *watcher = Watcher::Reactor;
        }
        on_reactor(|| register(fd, interest))?
    }
}

#[allow(
    deprecated,
    reason = "sound, as a `BorrowedFd` keeps its number; the new name is unsafe to call, and \
              unknown before tokio 1.54"
)]
fn register(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(fd, interest)
}

/// Makes something that is watched by the process-wide thread.
fn on_reactor<T>(make: impl FnOnce() -> T) -> io::Result<T> {
    let _context = reactor()?.enter();
    Ok(make())
}

/// Goes off at the deadline, or before. Set when a call waits for the first time.
struct Alarm {
    deadline: Deadline,
    sleep: Option<(Pin<Box<Sleep>>, Instant)>,
}

impl Alarm {
    fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            sleep: None,
        }
    }

    /// Waits for `future`, but not longer than the deadline, which is an error, nor than `until`:
    /// then there is no output.
    async fn bounded<F: Future>(
        &mut self,
        future: F,
        until: Option<Instant>,
    ) -> Result<Option<F::Output>, RequestErrorKind> {
        self.set(self.deadline.end.into_iter().chain(until).min())
            .map_err(RequestErrorKind::Wait)?;
        let mut future = pin!(future);
        future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(Some(output)));
            }
            let Some((sleep, end)) = &mut self.sleep else {
                return Poll::Pending;
            };
            sleep.as_mut().poll(cx).map(|()| {
                let is_early = self.deadline.end.is_none_or(|deadline| *end < deadline);
                if is_early {
                    Ok(None)
                } else {
                    Err(self.deadline.expired())
                }
            })
        })
        .await
    }

    fn set(&mut self, end: Option<Instant>) -> io::Result<()> {
        let Some(end) = end else {
            self.sleep = None;
            return Ok(());
        };
        match &mut self.sleep {
            Some((_, known)) if *known == end => {}
            Some((sleep, known)) => {
                sleep.as_mut().reset(end.into());
                *known = end;
            }
            None => {
                let sleep = on_reactor(|| time::sleep_until(end.into()))?;
                self.sleep = Some((Box::pin(sleep), end));
            }
        }
        Ok(())
    }
}

/// Lets other tasks of the executor run.
async fn yield_now() {
    let mut has_yielded = false;
    future::poll_fn(|cx| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
