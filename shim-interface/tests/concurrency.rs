//! Ten thousand calls at once, all of them in flight together: the server, a process of its own
//! for the sake of its descriptors, answers none before it has got all.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

use std::future;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use futures::future::join_all;
use hyper::{Body, Response};
use shim_interface::Sandbox;
use tokio::runtime::Builder;

mod support;
use support::{AMPLE, Tree, block_on, client, serve_hyper};

const CALLS: usize = 10_000;

/// Descriptors that a process needs for other things.
const OTHER_FILES: usize = 200;

const SOCKET: &str = "SHIM_INTERFACE_TEST_SOCKET";
const BATCH: &str = "SHIM_INTERFACE_TEST_BATCH";
const READY: &str = "the server is ready";

/// Allows this process as many descriptors as it may have. Returns how many calls that is good for.
fn possible_calls() -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to writable memory of the right size.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(result, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to an initialised value that outlives the call.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
    let calls = CALLS.min(limit.rlim_cur as usize - OTHER_FILES);
    if calls < CALLS {
        println!(
            "INFO: only {calls} of {CALLS} calls: RLIMIT_NOFILE is {}",
            limit.rlim_max
        );
    }
    calls
}

/// Requests that wait for each other.
#[derive(Default)]
struct Batch {
    arrived: usize,
    wakers: Vec<Waker>,
}

/// Waits until `size` calls of this function are waiting.
async fn wait_for_all(batch: &Mutex<Batch>, size: usize) {
    let mut turn = None;
    future::poll_fn(|cx| {
        let mut batch = batch.lock().unwrap();
        let turn = *turn.get_or_insert_with(|| {
            batch.arrived += 1;
            (batch.arrived - 1) / size
        });
        if batch.arrived >= (turn + 1) * size {
            batch.wakers.drain(..).for_each(Waker::wake);
            return Poll::Ready(());
        }
        batch.wakers.push(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
#[ignore = "the server process of the other tests"]
fn serve_until_the_input_ends() {
    let Ok(size) = std::env::var(BATCH) else {
        println!("INFO: skipping the server process, which nobody has asked for");
        return;
    };
    let size = size.parse().unwrap();
    possible_calls();
    let batch = Arc::new(Mutex::new(Batch::default()));
    serve_hyper(std::env::var(SOCKET).unwrap().as_ref(), move |request| {
        let batch = Arc::clone(&batch);
        async move {
            wait_for_all(&batch, size).await;
            Some(Response::new(Body::from(request.uri().to_string())))
        }
    });
    println!("{READY}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A process that ends with this one.
struct ServerProcess {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl ServerProcess {
    fn start(sandbox: &Sandbox, batch: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "serve_until_the_input_ends",
                "--ignored",
                "--nocapture",
            ])
            .env(SOCKET, sandbox.socket_path())
            .env(BATCH, batch.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let is_ready = |line: Result<String, _>| line.unwrap().contains(READY);
        assert!(
            output.by_ref().lines().any(is_ready),
            "the server process has ended"
        );
        Self { child, output }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        std::io::copy(&mut self.output, &mut std::io::sink()).unwrap();
        self.child.wait().unwrap();
    }
}

async fn call_all(sandbox: &Sandbox, calls: usize) {
    let client = client(sandbox, AMPLE);
    let targets: Vec<String> = (0..calls).map(|n| format!("/{n}")).collect();
    let responses = join_all(targets.iter().map(|target| client.get(target))).await;
    for (target, response) in targets.iter().zip(responses) {
        let body = hyper::body::to_bytes(response.unwrap()).await.unwrap();
        assert_eq!(body, target.as_bytes());
    }
}

#[test]
fn ten_thousand_calls_at_once_get_their_answers() {
    let calls = possible_calls();
    let tree = Tree::new();
    let sandbox = tree.web();
    let _server = ServerProcess::start(&sandbox, calls);
    block_on(call_all(&sandbox, calls));
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(call_all(&sandbox, calls));
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(call_all(&sandbox, calls));
}
