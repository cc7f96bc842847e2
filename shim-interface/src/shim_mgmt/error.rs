//! Why a request has no usable answer.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::StatusCode;

/// How much of a target or of a body a message repeats, in characters.
const QUOTED_CHARACTERS: usize = 256;

/// A request without a usable answer: what was asked, where, and what went wrong (D5).
///
/// This is what the [`anyhow::Error`] of every call holds.
///
/// ```
/// use shim_interface::StorageRoots;
/// use shim_interface::shim_mgmt::blocking::MgmtClient;
/// use shim_interface::shim_mgmt::{RequestError, RequestErrorKind};
/// # let dir = tempfile::tempdir()?;
/// # let roots = StorageRoots::under(dir.path().canonicalize()?);
/// # std::fs::create_dir_all(roots.runtime_rs.join("web-1"))?;
///
/// let client = MgmtClient::new_in(&roots, "web-1", None)?; // a sandbox without a socket
/// let error = client.agent_url().unwrap_err();
/// assert!(error.to_string().starts_with("GET /agent-url on /"));
/// assert!(error.to_string().contains("no management socket"));
///
/// let error: &RequestError = error.downcast_ref().unwrap();
/// assert!(matches!(error.kind(), RequestErrorKind::NoSocket(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RequestError {
    method: &'static str,
    target: String,
    socket: PathBuf,
    kind: RequestErrorKind,
}

impl RequestError {
    pub(crate) fn new(
        method: &'static str,
        target: &str,
        socket: &Path,
        kind: RequestErrorKind,
    ) -> Self {
        Self {
            method,
            target: target.to_owned(),
            socket: socket.to_owned(),
            kind,
        }
    }

    /// `GET`, `POST` or `PUT`.
    pub fn method(&self) -> &str {
        self.method
    }

    /// Path and query, as they were given.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The management socket.
    pub fn socket_path(&self) -> &Path {
        &self.socket
    }

    /// What went wrong.
    pub fn kind(&self) -> &RequestErrorKind {
        &self.kind
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            target,
            socket,
            kind,
        } = self;
        let target = quoted(target);
        write!(f, "{method} {target} on {}: {kind}", socket.display())
    }
}

impl Error for RequestError {
    // The kind is part of the message already.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

/// What went wrong with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// The target cannot be sent as it is (D2, D4).
    #[error("invalid target: {0}")]
    InvalidTarget(&'static str),
    /// The content type is no header value.
    #[error("invalid content type {0:?}: printable ASCII is expected")]
    InvalidContentType(String),
    /// There is no socket (`ENOENT`).
    #[error("no management socket: the sandbox has been stopped, or is still starting")]
    NoSocket(#[source] io::Error),
    /// Nobody listens on the socket (`ECONNREFUSED`).
    #[error("stale management socket: no shim is running")]
    Stale(#[source] io::Error),
    /// This user may not use the socket (`EACCES`).
    #[error("root privileges are needed to connect to the management socket")]
    PermissionDenied(#[source] io::Error),
    /// Another failure to connect.
    #[error("failed to connect to the management socket")]
    Connect(#[source] io::Error),
    /// No descriptor, no thread or no memory to wait for the answer with.
    #[error("failed to wait for the response")]
    Wait(#[source] io::Error),
    /// There was no complete answer in this time, counted from the beginning of the call.
    #[error("timeout after {0:?}")]
    Timeout(Duration),
    /// The connection ended before a complete answer. A shim of `runtime-rs` that cannot do what
    /// it was asked does this.
    #[error("connection closed before message completed")]
    Closed(#[source] io::Error),
    /// Another failure to send or to receive.
    #[error("connection failed")]
    Io(#[source] io::Error),
    /// The answer is not HTTP/1.
    #[error("malformed response: {0}")]
    Malformed(String),
    /// The body of the answer is longer than this limit, in bytes.
    #[error("response body exceeds the limit of {0} bytes")]
    BodyTooLarge(usize),
    /// The answer has another status than success. (Typed calls only.)
    #[error("status {status}{}", said(.body))]
    Status {
        /// The status.
        status: StatusCode,
        /// The body. If it is not UTF-8, the first 64 KiB of it, with U+FFFD for what is not.
        body: String,
    },
    /// The body is not what the call promises. (Typed calls only.)
    #[error("unexpected response: {0}")]
    Unexpected(&'static str),
}

impl RequestErrorKind {
    /// What connect(2) says.
    pub(crate) fn from_connect(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NoSocket(error),
            ErrorKind::ConnectionRefused => Self::Stale(error),
            ErrorKind::PermissionDenied => Self::PermissionDenied(error),
            _ => Self::Connect(error),
        }
    }

    /// What a read or write on a connection says.
    pub(crate) fn from_transfer(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
                Self::Closed(error)
            }
            _ => Self::Io(error),
        }
    }
}

/// A body as the end of a message.
fn said(body: &str) -> String {
    match body.trim() {
        "" => String::new(),
        text => format!(": {}", quoted(text)),
    }
}

/// `text` without what would spoil a line of a log, and at most [`QUOTED_CHARACTERS`] of it.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == QUOTED_CHARACTERS {
            quoted.push_str(&format!("… ({} bytes)", text.len()));
            break;
        }
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_whatever_the_target_is() {
        let socket = Path::new("/run/kata/web-1/shim-monitor.sock");
        for (target, shown) in [
            ("/a b", "/a b".to_owned()),
            ("/a\r\nb\u{9b}", "/a\\r\\nb\\u{9b}".to_owned()),
            ("", String::new()),
            (
                &"/".repeat(70_000),
                format!("{}… (70000 bytes)", "/".repeat(256)),
            ),
        ] {
            let kind = RequestErrorKind::InvalidTarget("why");
            let error = RequestError::new("GET", target, socket, kind);
            assert_eq!(error.target(), target);
            assert_eq!(
                error.to_string(),
                format!("GET {shown} on /run/kata/web-1/shim-monitor.sock: invalid target: why")
            );
        }
    }

    #[test]
    fn a_status_comes_with_what_the_server_said() {
        for (body, message) in [
            ("", "status 404 Not Found"),
            (" \n", "status 404 Not Found"),
            ("URL NOT FOUND\n", "status 404 Not Found: URL NOT FOUND"),
            ("a\nb", "status 404 Not Found: a\\nb"),
        ] {
            let status = StatusCode::NOT_FOUND;
            let body = body.to_owned();
            let kind = RequestErrorKind::Status { status, body };
            assert_eq!(kind.to_string(), message);
        }
    }

    #[test]
    fn the_error_of_the_kernel_stays_in_the_chain_and_is_not_said_twice() {
        for (errno, phrase) in [
            (libc::ENOENT, "no management socket"),
            (libc::ECONNREFUSED, "stale"),
            (libc::EACCES, "root privileges are needed"),
            (libc::EPROTOTYPE, "failed to connect"),
        ] {
            let kind = RequestErrorKind::from_connect(io::Error::from_raw_os_error(errno));
            let error = RequestError::new("GET", "/", Path::new("/s"), kind);
            assert!(error.to_string().contains(phrase), "{error}");
            let cause: &io::Error = error.source().unwrap().downcast_ref().unwrap();
            assert_eq!(cause.raw_os_error(), Some(errno));
            let chain = format!("{:#}", anyhow::Error::from(error));
            assert_eq!(chain.matches(phrase).count(), 1, "{chain}");
        }
    }
}
