//! A small GET on a Unix socket, answered by a hyper server in a thread of its own: this crate's
//! clients beside hyper's pooled one, as the reference uses it, and the floor of the bare system
//! calls. Each on a connection that is kept, with a short answer and with a long one, and with a
//! client of its own per request; there, beside curl as well, which is a process of its own.
//!
//! Allocations are counted for everything but the server, and printed before the times.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "benchmark"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use futures::executor::block_on;
use hyper::server::accept;
use hyper::service::{make_service_fn, service_fn};
use hyper::{Body, Client, Request, Response, Server, Uri};
use hyperlocal::UnixConnector;
use shim_interface::shim_mgmt::{AGENT_URL, METRICS_URL, blocking, client};
use shim_interface::{Sandbox, StorageRoots, find_sandbox_in};
use tokio::runtime::{Builder, Runtime};

const TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER: &str = "vsock://3:1024";

/// The length of the long answer.
const MANY_METRICS: usize = 256 << 10;

/// Counts the allocations of all threads that do not opt out.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !IS_SERVER.get() {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Serves on `socket` until the process ends.
fn serve(socket: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        IS_SERVER.set(true);
        current_thread().block_on(async {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let connections = accept::poll_fn(|cx| {
                listener
                    .poll_accept(cx)
                    .map(|next| Some(next.map(|(s, _)| s)))
            });
            let service = make_service_fn(|_| {
                future::ready(Ok::<_, Infallible>(service_fn(|request: Request<Body>| {
                    let body = match request.uri().path() {
                        AGENT_URL => Body::from(ANSWER),
                        _ => Body::from(vec![b'4'; MANY_METRICS]),
                    };
                    future::ready(Ok::<_, Infallible>(Response::new(body)))
                })))
            });
            Server::builder(connections).serve(service).await.unwrap();
        });
    });
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Writes a request, and reads until a body of `length` bytes is there.
fn bare_exchange(stream: &mut UnixStream, buffer: &mut [u8], target: &str, length: usize) -> usize {
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut filled = 0;
    let mut head = None;
    while head.is_none_or(|head| filled < head + length) {
        filled += stream.read(&mut buffer[filled..]).unwrap();
        if head.is_none() {
            let end = buffer[..filled]
                .windows(4)
                .position(|part| part == b"\r\n\r\n");
            head = end.map(|end| end + 4);
        }
    }
    length
}

fn hyper_client() -> Client<UnixConnector> {
    Client::builder().build(UnixConnector)
}

/// What the reference does for a call, and its callers for the body.
async fn hyper_get(client: &Client<UnixConnector>, uri: &Uri) -> usize {
    let response = tokio::time::timeout(TIMEOUT, client.get(uri.clone()));
    let response = response.await.unwrap().unwrap();
    hyper::body::to_bytes(response.into_body())
        .await
        .unwrap()
        .len()
}

async fn our_get(client: &client::MgmtClient, target: &str) -> usize {
    let response = client.get(target).await.unwrap();
    hyper::body::to_bytes(response.into_body())
        .await
        .unwrap()
        .len()
}

/// One row of the comparison.
struct Case {
    name: &'static str,
    call: Box<dyn FnMut()>,
}

fn case(name: &'static str, mut call: impl FnMut() -> usize + 'static) -> Case {
    Case {
        name,
        call: Box::new(move || assert!(black_box(call()) >= ANSWER.len())),
    }
}

/// Requests on a connection that is open already.
fn kept(sandbox: &Sandbox, target: &'static str, length: usize) -> Vec<Case> {
    let socket = sandbox.socket_path();
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut buffer = vec![0; length + 4096];
    let blocking = blocking::MgmtClient::for_sandbox(sandbox.clone(), Some(TIMEOUT));
    let ours = client::MgmtClient::for_sandbox(sandbox.clone(), Some(TIMEOUT));
    let ours_without_tokio = client::MgmtClient::for_sandbox(sandbox.clone(), Some(TIMEOUT));
    let (hyper, uri) = (hyper_client(), hyperlocal::Uri::new(socket, target).into());
    let (runtime, hyper_runtime) = (current_thread(), current_thread());
    vec![
        case("floor: write and read", move || {
            bare_exchange(&mut stream, &mut buffer, target, length)
        }),
        case("blocking::MgmtClient", move || {
            blocking.get(target).unwrap().into_body().len()
        }),
        case("MgmtClient on tokio", move || {
            runtime.block_on(our_get(&ours, target))
        }),
        case("MgmtClient without tokio", move || {
            block_on(our_get(&ours_without_tokio, target))
        }),
        case("baseline: hyper, pooled", move || {
            hyper_runtime.block_on(hyper_get(&hyper, &uri))
        }),
    ]
}

/// Requests with a client of their own.
fn one_shot(sandbox: &Sandbox) -> Vec<Case> {
    let socket: PathBuf = sandbox.socket_path().to_owned();
    let for_curl = socket.clone();
    let uri: Uri = hyperlocal::Uri::new(&socket, AGENT_URL).into();
    let sandboxes = [sandbox.clone(), sandbox.clone(), sandbox.clone()];
    let [for_blocking, for_tokio, without_tokio] = sandboxes;
    let (runtime, hyper_runtime) = (current_thread(), current_thread());
    let mut buffer = vec![0; 4096];
    let mut cases = vec![
        case("floor: connect, write, read, close", move || {
            let mut stream = UnixStream::connect(&socket).unwrap();
            bare_exchange(&mut stream, &mut buffer, AGENT_URL, ANSWER.len())
        }),
        case("blocking::MgmtClient", move || {
            let client = blocking::MgmtClient::for_sandbox(for_blocking.clone(), Some(TIMEOUT));
            client.get(AGENT_URL).unwrap().into_body().len()
        }),
        case("MgmtClient on tokio", move || {
            let client = client::MgmtClient::for_sandbox(for_tokio.clone(), Some(TIMEOUT));
            runtime.block_on(our_get(&client, AGENT_URL))
        }),
        case("MgmtClient without tokio", move || {
            let client = client::MgmtClient::for_sandbox(without_tokio.clone(), Some(TIMEOUT));
            block_on(our_get(&client, AGENT_URL))
        }),
        case("baseline: hyper", move || {
            hyper_runtime.block_on(hyper_get(&hyper_client(), &uri))
        }),
    ];
    if Command::new("curl").arg("--version").output().is_ok() {
        cases.push(case("baseline: a process of curl", move || {
            let mut curl = Command::new("curl");
            curl.arg("--silent").arg("--unix-socket").arg(&for_curl);
            curl.arg("http://localhost/agent-url")
                .output()
                .unwrap()
                .stdout
                .len()
        }));
    } else {
        println!("INFO: no curl on this machine");
    }
    cases
}

fn allocations(call: &mut dyn FnMut()) -> f64 {
    const ROUNDS: u32 = 500;
    (0..10).for_each(|_| call());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..ROUNDS).for_each(|_| call());
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    (after - before) as f64 / f64::from(ROUNDS)
}

fn get(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let roots = StorageRoots::under(dir.path());
    std::fs::create_dir_all(roots.runtime_rs.join("web-1")).unwrap();
    let sandbox = find_sandbox_in(&roots, "web-1").unwrap();
    serve(sandbox.socket_path());
    for (group, cases) in [
        ("kept", kept(&sandbox, AGENT_URL, ANSWER.len())),
        ("kept, 256 KiB", kept(&sandbox, METRICS_URL, MANY_METRICS)),
        ("one shot", one_shot(&sandbox)),
    ] {
        let mut cases = cases;
        for case in &mut cases {
            println!(
                "{group}/{}: {:.1} allocations",
                case.name,
                allocations(&mut case.call)
            );
        }
        let mut group = criterion.benchmark_group(group);
        for case in &mut cases {
            group.bench_function(case.name, |b| b.iter(&mut case.call));
        }
        group.finish();
    }
}

criterion_group!(benches, get);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
