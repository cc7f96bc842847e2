//! Waiting in the calling thread.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use hyper::Response;
use hyper::body::Bytes;

use super::exchange::{Connection, Exchange, Step};
use super::sys::wait_ready;
use super::{Deadline, Request, Transport, pauses, socket};
use crate::shim_mgmt::{RequestError, RequestErrorKind};

impl Transport {
    /// Sends `request` and receives the whole response.
    pub(crate) fn send_blocking(
        &self,
        request: &Request<'_>,
    ) -> Result<Response<Bytes>, RequestError> {
        self.exchange_blocking(request)
            .map_err(|kind| self.error(request, kind))
    }

    fn exchange_blocking(
        &self,
        request: &Request<'_>,
    ) -> Result<Response<Bytes>, RequestErrorKind> {
        let deadline = self.deadline();
        let head = request.head()?;
        while let Some(stream) = self.idle.take() {
            let mut exchange = self.begin(&head, request, Connection::Kept);
            match run(&mut exchange, &stream, deadline) {
                Err(error) if exchange.may_go_elsewhere(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => return self.finish(exchange, stream),
            }
        }
        let stream = self.connect_blocking(deadline)?;
        let mut exchange = self.begin(&head, request, Connection::New);
        run(&mut exchange, &stream, deadline)?;
        self.finish(exchange, stream)
    }

    fn connect_blocking(&self, deadline: Deadline) -> Result<UnixStream, RequestErrorKind> {
        for pause in pauses() {
            let result = socket::connect(&self.sandbox);
            if let Some(stream) = result.map_err(RequestErrorKind::from_connect)? {
                return Ok(stream);
            }
            thread::sleep(deadline.left()?.map_or(pause, |left| pause.min(left)));
        }
        Err(deadline.expired())
    }
}

fn run(
    exchange: &mut Exchange<'_>,
    stream: &UnixStream,
    deadline: Deadline,
) -> Result<(), RequestErrorKind> {
    loop {
        match exchange.advance(stream)? {
            Step::Complete => return Ok(()),
            Step::Again => {
                deadline.left()?;
            }
            Step::Wait(blocked) => {
                let events = if blocked.sending {
                    libc::POLLIN | libc::POLLOUT
                } else {
                    libc::POLLIN
                };
                wait_ready(stream.as_fd(), events, deadline.left()?)
                    .map_err(RequestErrorKind::Wait)?;
            }
        }
    }
}
