//! Fake trees of sandboxes, and servers on their sockets.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hyper::server::accept;
use hyper::service::{make_service_fn, service_fn};
use hyper::{Body, Method, Request, Response, Server, StatusCode};
use shim_interface::shim_mgmt::{blocking, client};
use shim_interface::{Layout, Sandbox, StorageRoots, find_sandbox_in};

/// A limit that no test should come near.
pub(crate) const AMPLE: Option<Duration> = Some(Duration::from_secs(60));

/// A limit for what never happens.
pub(crate) const SHORT: Duration = Duration::from_millis(60);

/// Directories for the sandboxes of both runtimes.
pub(crate) struct Tree {
    pub(crate) roots: StorageRoots,
    _dir: tempfile::TempDir,
}

impl Tree {
    /// Both directories exist, and are empty.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let roots = StorageRoots::under(dir.path().canonicalize().unwrap());
        fs::create_dir_all(&roots.runtime_rs).unwrap();
        fs::create_dir_all(&roots.go).unwrap();
        Self { roots, _dir: dir }
    }

    /// Makes the directory of a sandbox.
    pub(crate) fn sandbox(&self, layout: Layout, id: &str) -> Sandbox {
        let base = match layout {
            Layout::RuntimeRs => &self.roots.runtime_rs,
            Layout::Go => &self.roots.go,
        };
        fs::create_dir(base.join(id)).unwrap();
        find_sandbox_in(&self.roots, id).unwrap()
    }

    /// A sandbox of `runtime-rs`.
    pub(crate) fn web(&self) -> Sandbox {
        self.sandbox(Layout::RuntimeRs, "web-1")
    }
}

pub(crate) fn client(sandbox: &Sandbox, timeout: Option<Duration>) -> client::MgmtClient {
    client::MgmtClient::for_sandbox(sandbox.clone(), timeout)
}

pub(crate) fn blocking_client(
    sandbox: &Sandbox,
    timeout: Option<Duration>,
) -> blocking::MgmtClient {
    blocking::MgmtClient::for_sandbox(sandbox.clone(), timeout)
}

/// Runs a future without tokio.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

/// Serves each connection to `socket` by `serve`, in a thread of its own, until the process ends.
pub(crate) fn serve_raw<F>(socket: &Path, serve: F)
where
    F: Fn(UnixStream) + Send + Sync + 'static,
{
    let listener = UnixListener::bind(socket).unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
}

/// Reads a request without body, up to its empty line. `None` if the client has closed.
pub(crate) fn read_head(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.extend(byte),
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error}"),
        }
    }
    Some(request)
}

/// Waits until the client closes the connection.
pub(crate) fn wait_for_close(mut stream: &UnixStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

/// Waits until the client closes the connection, without reading what it sends.
pub(crate) fn wait_for_close_unread(stream: &UnixStream) {
    let mut poll = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: one `pollfd` is given and counted, and outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, -1) };
}

/// Answers the first request with `bytes`, then holds the connection open until the client goes.
pub(crate) fn serve_bytes_and_hold(socket: &Path, bytes: Vec<u8>) {
    serve_raw(socket, move |mut stream| {
        if read_head(&mut stream).is_some() {
            let _ = stream.write_all(&bytes);
            wait_for_close(&stream);
        }
    });
}

/// Answers the first request with `bytes`, then closes.
pub(crate) fn serve_bytes_and_close(socket: &Path, bytes: Vec<u8>) {
    serve_raw(socket, move |mut stream| {
        if read_head(&mut stream).is_some() {
            let _ = stream.write_all(&bytes);
        }
    });
}

/// A request as a server got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) content_type: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A management server with the routes of `runtime-rs`.
pub(crate) struct Shim {
    pub(crate) requests: Arc<Mutex<Vec<Received>>>,
}

impl Shim {
    /// Serves on `socket`, in a thread of its own, until the process ends.
    pub(crate) fn start(socket: &Path) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&requests);
        serve_hyper(socket, move |request| answer(request, Arc::clone(&shared)));
        Self { requests }
    }

    pub(crate) fn last(&self) -> Received {
        self.requests.lock().unwrap().last().cloned().unwrap()
    }
}

/// Serves by hyper on `socket`, in a thread of its own, until the process ends.
pub(crate) fn serve_hyper<F, R>(socket: &Path, answer: F)
where
    F: Fn(Request<Body>) -> R + Clone + Send + 'static,
    R: Future<Output = Option<Response<Body>>> + Send + 'static,
{
    let socket = socket.to_owned();
    let (is_ready, ready) = mpsc::channel();
    thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::UnixListener::bind(socket).unwrap();
            is_ready.send(()).unwrap();
            let connections = accept::poll_fn(move |cx| {
                listener
                    .poll_accept(cx)
                    .map(|next| Some(next.map(|(stream, _)| stream)))
            });
            let service = make_service_fn(move |_| {
                let answer = answer.clone();
                async move {
                    Ok::<_, Infallible>(service_fn(move |request| {
                        let answer = answer(request);
                        // An error closes the connection without a response, as in a shim.
                        async move { answer.await.ok_or("the handler failed") }
                    }))
                }
            });
            Server::builder(connections).serve(service).await.unwrap();
        });
    });
    ready.recv().unwrap();
}

/// The table of the contract, section 3.4.
async fn answer(
    request: Request<Body>,
    requests: Arc<Mutex<Vec<Received>>>,
) -> Option<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = hyper::body::to_bytes(body).await.unwrap();
    let field = |name: &str| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    requests.lock().unwrap().push(Received {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        content_type: field("content-type"),
        host: field("host"),
        body: body.to_vec(),
    });
    let answer = match (&head.method, head.uri.path()) {
        (&Method::GET, "/agent-url") => Body::from("vsock://3:1024"),
        (&Method::GET, "/metrics") => Body::from("# HELP kata_shim_threads\nkata_shim_threads 7\n"),
        (&Method::GET, path @ ("/iptables" | "/ip6tables")) => {
            Body::from(format!("rules of {path}\n"))
        }
        (&Method::PUT, "/iptables" | "/ip6tables") => {
            Body::from([b"restored ", &body[..]].concat())
        }
        (&Method::POST, "/direct-volume/stats") => match head.uri.query() {
            Some(query) => Body::from(format!("{{\"query\":{query:?}}}")),
            None => return None,
        },
        (&Method::POST, "/direct-volume/resize") => Body::empty(),
        (&Method::PUT, "/policy") if body.is_empty() => return None,
        (&Method::PUT, "/policy") => Body::empty(),
        _ => {
            let mut response = Response::new(Body::from("URL NOT FOUND"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Some(response);
        }
    };
    Some(Response::new(answer))
}
