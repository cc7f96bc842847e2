//! The asynchronous client on every kind of executor, and on none.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use hyper::{Body, Response};
use shim_interface::shim_mgmt::{AGENT_URL, RequestError, RequestErrorKind, client};
use tokio::runtime::Builder;

mod support;
use support::{AMPLE, SHORT, Shim, Tree, block_on, client, serve_bytes_and_hold, serve_hyper};

fn is_send<T: Send>(value: T) -> T {
    value
}

async fn ask(client: &client::MgmtClient) -> String {
    let response = client.get(AGENT_URL).await.unwrap();
    let body = hyper::body::to_bytes(response.into_body()).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn client_and_futures_can_move_to_other_threads() {
    fn assert_shared<T: Send + Sync + 'static>() {}
    assert_shared::<client::MgmtClient>();
    assert_shared::<shim_interface::shim_mgmt::blocking::MgmtClient>();
    let tree = Tree::new();
    let client = client(&tree.web(), None);
    drop(is_send(client.get("/")));
    drop(is_send(client.post("/", "a/b", "")));
    drop(is_send(client.put("/", Vec::new())));
    drop(is_send(client.agent_url()));
    drop(is_send(client.metrics()));
    drop(is_send(client.iptables(true)));
    drop(is_send(client.set_iptables(true, "")));
    drop(is_send(client.set_policy("")));
    drop(is_send(client.volume_stats("")));
    drop(is_send(client.resize_volume("", 0)));
}

#[test]
fn no_runtime_is_needed() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    for timeout in [None, AMPLE] {
        let client = client(&sandbox, timeout);
        assert_eq!(block_on(ask(&client)), "vsock://3:1024");
        assert_eq!(block_on(ask(&client)), "vsock://3:1024");
    }
}

#[test]
fn every_tokio_runtime_will_do() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    for timeout in [None, AMPLE] {
        // One client for all: its connections outlive the runtimes that used them.
        let client = client(&sandbox, timeout);
        for runtime in [
            Builder::new_current_thread().enable_all().build(),
            Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build(),
            Builder::new_current_thread().build(),
            Builder::new_current_thread().enable_io().build(),
            Builder::new_current_thread().enable_time().build(),
            Builder::new_multi_thread().worker_threads(1).build(),
        ] {
            let runtime = runtime.unwrap();
            assert_eq!(runtime.block_on(ask(&client)), "vsock://3:1024");
            assert_eq!(runtime.block_on(ask(&client)), "vsock://3:1024");
        }
    }
}

#[test]
fn every_tokio_runtime_keeps_the_deadline() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_bytes_and_hold(
        sandbox.socket_path(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na".to_vec(),
    );
    for runtime in [
        Builder::new_current_thread().enable_all().build(),
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build(),
        Builder::new_current_thread().enable_io().build(),
        Builder::new_current_thread().build(),
    ] {
        let client = client(&sandbox, Some(SHORT));
        let error = runtime.unwrap().block_on(client.get("/")).unwrap_err();
        assert!(error.to_string().ends_with("timeout after 60ms"), "{error}");
    }
}

#[test]
fn the_deadline_holds_in_a_runtime_that_nobody_runs() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_bytes_and_hold(sandbox.socket_path(), Vec::new());
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let error = block_on(client(&sandbox, Some(SHORT)).get("/")).unwrap_err();
    assert!(error.to_string().contains("timeout after 60ms"), "{error}");
}

/// As in a program that calls `block_on` of another executor in the thread of its runtime: the
/// driver of that runtime says nothing meanwhile.
#[test]
fn a_runtime_that_nobody_runs_does_not_keep_an_answer_back() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    for timeout in [None, AMPLE] {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = client(&sandbox, timeout);
        runtime.block_on(async {
            assert_eq!(block_on(ask(&client)), "vsock://3:1024");
            assert_eq!(block_on(ask(&client)), "vsock://3:1024");
        });
        // It runs again.
        assert_eq!(runtime.block_on(ask(&client)), "vsock://3:1024");
    }
}

#[test]
fn an_answer_may_take_long() {
    let tree = Tree::new();
    let sandbox = tree.web();
    support::serve_raw(sandbox.socket_path(), |mut stream| {
        while support::read_head(&mut stream).is_some() {
            // Longer than a runtime is trusted to say nothing, before and within the body.
            for part in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "a", "b"] {
                thread::sleep(Duration::from_millis(40));
                std::io::Write::write_all(&mut stream, part.as_bytes()).unwrap();
            }
        }
    });
    let client = client(&sandbox, AMPLE);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..2 {
        assert_eq!(runtime.block_on(ask(&client)), "ab");
    }
}

/// Serves requests, each of which is answered when something is sent to the channel.
fn serve_when_told(socket: &Path) -> mpsc::Sender<()> {
    let (answer, may_answer) = mpsc::channel();
    let may_answer = std::sync::Mutex::new(may_answer);
    support::serve_raw(socket, move |mut stream| {
        support::read_head(&mut stream).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
        std::io::Write::write_all(&mut stream, bytes).unwrap();
    });
    answer
}

#[test]
fn a_call_survives_the_end_of_the_runtime_that_it_began_in() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let answer = serve_when_told(sandbox.socket_path());
    let client = client(&sandbox, AMPLE);
    let mut call = pin!(client.get("/"));
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
    });
    drop(runtime);
    answer.send(()).unwrap();
    assert_eq!(block_on(call).unwrap().status(), 200);
}

#[test]
fn server_and_client_can_share_one_thread() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::UnixListener::bind(sandbox.socket_path()).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..3 {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await.unwrap());
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
                stream.write_all(answer).await.unwrap();
            }
        });
        let client = client(&sandbox, AMPLE);
        for _ in 0..3 {
            assert_eq!(ask(&client).await, "a");
        }
        server.await.unwrap();
    });
}

#[test]
fn a_hyper_handler_can_ask_a_shim() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    let proxy = tree.sandbox(shim_interface::Layout::Go, "proxy");
    let asked = Arc::new(client(&sandbox, AMPLE));
    serve_hyper(proxy.socket_path(), move |_| {
        let asked = Arc::clone(&asked);
        async move {
            let metrics = asked.get("/metrics").await.unwrap();
            let metrics = hyper::body::to_bytes(metrics).await.unwrap();
            Some(Response::new(Body::from(metrics)))
        }
    });
    let metrics = block_on(client(&proxy, AMPLE).metrics()).unwrap();
    assert!(metrics.contains("kata_shim_threads 7"));
}

#[test]
fn a_call_can_move_between_executors() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let answer = serve_when_told(sandbox.socket_path());
    let client = client(&sandbox, AMPLE);
    let mut call = pin!(client.get("/"));
    // Begun without any executor, so that it waits.
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    answer.send(()).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(call).unwrap().status(), 200);
}

#[test]
fn a_dropped_call_closes_its_connection() {
    struct Ignore;
    impl Wake for Ignore {
        fn wake(self: Arc<Self>) {}
    }
    let tree = Tree::new();
    let sandbox = tree.web();
    let (closed, is_closed) = mpsc::channel();
    let closed = std::sync::Mutex::new(closed);
    support::serve_raw(sandbox.socket_path(), move |mut stream| {
        assert!(support::read_head(&mut stream).is_some());
        support::wait_for_close(&stream);
        closed.lock().unwrap().send(()).unwrap();
    });
    let client = client(&sandbox, AMPLE);
    let waker = Arc::new(Ignore).into();
    {
        let mut call = pin!(client.get("/"));
        assert!(matches!(
            call.as_mut().poll(&mut Context::from_waker(&waker)),
            Poll::Pending
        ));
    }
    is_closed.recv().unwrap();
}

#[test]
fn calls_survive_the_end_of_the_runtime_that_made_the_client() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.block_on(async {
        let client = client(&sandbox, AMPLE);
        ask(&client).await;
        client
    });
    runtime.shutdown_timeout(Duration::ZERO);
    let answer = thread::spawn(move || block_on(ask(&client)))
        .join()
        .unwrap();
    assert_eq!(answer, "vsock://3:1024");
}

#[test]
fn a_limit_beyond_all_time_is_none() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    for timeout in [
        Duration::MAX,
        Duration::from_secs(u64::MAX / 2),
        Duration::from_secs(1 << 40),
    ] {
        assert_eq!(
            block_on(ask(&client(&sandbox, Some(timeout)))),
            "vsock://3:1024"
        );
        let blocking = support::blocking_client(&sandbox, Some(timeout));
        assert_eq!(blocking.agent_url().unwrap(), "vsock://3:1024");
    }
}

#[test]
fn no_time_at_all_is_a_timeout() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_bytes_and_hold(sandbox.socket_path(), Vec::new());
    for error in [
        block_on(client(&sandbox, Some(Duration::ZERO)).get("/")).unwrap_err(),
        support::blocking_client(&sandbox, Some(Duration::ZERO))
            .get("/")
            .unwrap_err(),
    ] {
        let error: &RequestError = error.downcast_ref().unwrap();
        assert!(matches!(
            error.kind(),
            RequestErrorKind::Timeout(Duration::ZERO)
        ));
    }
}
