//! Waiting on any executor.
//!
//! The socket is watched by the I/O driver of the tokio runtime that the call is made in, so that
//! no other thread is involved; or else by the thread of [`reactor`] (D1). Deadlines are always
//! watched by that thread: they hold whatever the runtime of the caller does, or its clock.

use std::future::{self, Future};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use hyper::Response;
use hyper::body::Bytes;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::runtime::Handle;
use tokio::time::{self, Sleep};

use super::exchange::{Exchange, Step};
use super::reactor::reactor;
use super::{Deadline, Request, Transport, pauses, socket};
use crate::shim_mgmt::{RequestError, RequestErrorKind};

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
            let mut exchange = self.begin(&head, request);
            match self.run(&mut exchange, &stream, &mut alarm).await {
                Err(error) if exchange.may_go_elsewhere(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => return self.finish(exchange, stream),
            }
        }
        let stream = self.connect(&mut alarm).await?;
        let mut exchange = self.begin(&head, request);
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
            alarm.bounded(sleep).await?;
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
        let mut watched = None;
        loop {
            step = match step {
                Step::Complete => return Ok(()),
                Step::Again => {
                    alarm.deadline.left()?;
                    yield_now().await;
                    exchange.advance(stream)?
                }
                Step::Wait(blocked) => {
                    let interest = if blocked.sending {
                        Interest::READABLE | Interest::WRITABLE
                    } else {
                        Interest::READABLE
                    };
                    let fd = match watched.take() {
                        Some((fd, known)) if known == interest => fd,
                        previous => {
                            drop(previous); // one registration at a time
                            self.no_driver
                                .watch(stream.as_fd(), interest)
                                .map_err(RequestErrorKind::Wait)?
                        }
                    };
                    let (fd, _) = watched.insert((fd, interest));
                    let ready = alarm.bounded(fd.ready(interest)).await?;
                    let mut guard = ready.map_err(RequestErrorKind::Wait)?;
                    let next = exchange.advance(stream)?;
                    if let Step::Wait(blocked) = next {
                        if blocked.sending {
                            guard.clear_ready_matching(Ready::WRITABLE);
                        }
                        if blocked.receiving {
                            guard.clear_ready_matching(Ready::READABLE);
                        }
                    }
                    next
                }
            };
        }
    }
}

/// Whether the runtime of the caller has turned out to have no I/O driver.
#[derive(Debug, Default)]
pub(super) struct NoDriver(AtomicBool);

impl NoDriver {
    /// Has `fd` watched: in the runtime of the caller if there is one with an I/O driver.
    fn watch<'a>(
        &self,
        fd: BorrowedFd<'a>,
        interest: Interest,
    ) -> io::Result<AsyncFd<BorrowedFd<'a>>> {
        // tokio tells of a missing driver by a panic only. Where that cannot be caught, its
        // drivers are not used.
        let may_try = cfg!(panic = "unwind") && !self.0.load(Ordering::Relaxed);
        if may_try && Handle::try_current().is_ok() {
            match panic::catch_unwind(|| register(fd, interest)) {
                Ok(Ok(watched)) => return Ok(watched),
                Ok(Err(_)) => {} // such as a runtime that is shutting down
                Err(_) => self.0.store(true, Ordering::Relaxed),
            }
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

/// Goes off at the deadline. Set when a call waits for the first time.
struct Alarm {
    deadline: Deadline,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn new(deadline: Deadline) -> Self {
        Self {
            deadline,
            sleep: None,
        }
    }

    /// Waits for `future`, but not longer than the deadline.
    async fn bounded<F: Future>(&mut self, future: F) -> Result<F::Output, RequestErrorKind> {
        if let (Some(end), None) = (self.deadline.end, &self.sleep) {
            let sleep = on_reactor(|| time::sleep_until(end.into()));
            self.sleep = Some(Box::pin(sleep.map_err(RequestErrorKind::Wait)?));
        }
        let mut future = pin!(future);
        future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            match &mut self.sleep {
                Some(sleep) => {
                    let sleep = sleep.as_mut().poll(cx);
                    sleep.map(|()| Err(self.deadline.expired()))
                }
                None => Poll::Pending,
            }
        })
        .await
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
