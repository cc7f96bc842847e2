//! Servers that stall, break off, refuse, lie and flood.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use proptest::prelude::*;
use shim_interface::shim_mgmt::{RequestError, RequestErrorKind};
use shim_interface::{Layout, Sandbox};

mod support;
use support::{
    AMPLE, SHORT, Tree, block_on, blocking_client, client, read_head, serve_bytes_and_close,
    serve_bytes_and_hold, serve_raw, wait_for_close, wait_for_close_unread,
};

const RESPONSES: [&str; 2] = [
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
];

/// What both clients say about a GET.
fn errors(sandbox: &Sandbox, timeout: Option<Duration>) -> [anyhow::Error; 2] {
    [
        block_on(client(sandbox, timeout).get("/metrics")).unwrap_err(),
        blocking_client(sandbox, timeout)
            .get("/metrics")
            .unwrap_err(),
    ]
}

fn kind(error: &anyhow::Error) -> &RequestErrorKind {
    error.downcast_ref::<RequestError>().unwrap().kind()
}

/// Every message begins with the request and the socket.
fn assert_names_request(error: &anyhow::Error, socket: &Path) {
    let start = format!("GET /metrics on {}: ", socket.display());
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn a_stall_at_any_byte_ends_at_the_deadline() {
    let tree = Tree::new();
    let mut sandboxes = Vec::new();
    for (kind, response) in RESPONSES.iter().enumerate() {
        for cut in 0..response.len() {
            let sandbox = tree.sandbox(Layout::RuntimeRs, &format!("s{kind}-{cut}."));
            serve_bytes_and_hold(sandbox.socket_path(), response.as_bytes()[..cut].to_vec());
            sandboxes.push(sandbox);
        }
    }
    let clients: Vec<_> = sandboxes.iter().map(|s| client(s, Some(SHORT))).collect();
    let results = block_on(join_all(
        clients.iter().map(|client| client.get("/metrics")),
    ));
    for (sandbox, result) in sandboxes.iter().zip(results) {
        let error = result.unwrap_err();
        assert_names_request(&error, sandbox.socket_path());
        assert!(error.to_string().ends_with("timeout after 60ms"), "{error}");
    }
    std::thread::scope(|scope| {
        for sandbox in &sandboxes {
            scope.spawn(|| {
                let error = blocking_client(sandbox, Some(SHORT))
                    .get("/metrics")
                    .unwrap_err();
                assert_names_request(&error, sandbox.socket_path());
                assert!(error.to_string().ends_with("timeout after 60ms"), "{error}");
            });
        }
    });
}

#[test]
fn a_pause_at_any_byte_changes_nothing() {
    let tree = Tree::new();
    for (kind, response) in RESPONSES.iter().enumerate() {
        let sandbox = tree.sandbox(Layout::RuntimeRs, &format!("s{kind}"));
        serve_raw(sandbox.socket_path(), move |mut stream| {
            while read_head(&mut stream).is_some() {
                for byte in response.bytes() {
                    stream.write_all(&[byte]).unwrap();
                    std::thread::yield_now();
                }
            }
        });
        assert_eq!(
            block_on(client(&sandbox, AMPLE).metrics()).unwrap(),
            "hello"
        );
        assert_eq!(blocking_client(&sandbox, AMPLE).metrics().unwrap(), "hello");
    }
}

#[test]
fn an_end_at_any_byte_is_an_error() {
    let tree = Tree::new();
    for (kind_of, response) in RESPONSES.iter().enumerate() {
        for cut in 0..response.len() {
            let sandbox = tree.sandbox(Layout::RuntimeRs, &format!("s{kind_of}-{cut}."));
            serve_bytes_and_close(sandbox.socket_path(), response.as_bytes()[..cut].to_vec());
            for error in errors(&sandbox, AMPLE) {
                assert_names_request(&error, sandbox.socket_path());
                assert!(
                    matches!(kind(&error), RequestErrorKind::Closed(_)),
                    "{cut}: {error}"
                );
                let message = error.to_string();
                assert!(message.contains("connection closed before message completed"));
                assert!(error.chain().any(|cause| cause.is::<std::io::Error>()));
            }
        }
    }
}

#[test]
fn a_half_close_by_the_server_ends_the_response() {
    let tree = Tree::new();
    for (id, response, is_complete) in [
        ("complete", "HTTP/1.1 200 OK\r\n\r\nhello", true),
        (
            "early",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
            false,
        ),
    ] {
        let sandbox = tree.sandbox(Layout::RuntimeRs, id);
        serve_raw(sandbox.socket_path(), |mut stream| {
            read_head(&mut stream).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            wait_for_close(&stream);
        });
        let results = [
            block_on(client(&sandbox, AMPLE).metrics()),
            blocking_client(&sandbox, AMPLE).metrics(),
        ];
        for result in results {
            assert_eq!(result.is_ok(), is_complete, "{result:?}");
        }
    }
}

#[test]
fn a_server_that_does_not_read_gets_the_blame_at_the_deadline() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_raw(sandbox.socket_path(), |stream| {
        wait_for_close_unread(&stream)
    });
    let data = vec![0; 8 << 20];
    for error in [
        block_on(client(&sandbox, Some(SHORT)).put("/iptables", data.clone())).unwrap_err(),
        blocking_client(&sandbox, Some(SHORT))
            .put("/iptables", data.clone())
            .unwrap_err(),
    ] {
        assert!(
            matches!(kind(&error), RequestErrorKind::Timeout(_)),
            "{error}"
        );
    }
}

#[test]
fn an_answer_to_half_a_request_is_an_answer() {
    let data = vec![0; 8 << 20];
    for ending in ["close", "hold"] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_raw(sandbox.socket_path(), move |mut stream| {
            read_head(&mut stream).unwrap();
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\n\r\nURL NOT FOUND";
            stream.write_all(answer).unwrap();
            if ending == "hold" {
                wait_for_close_unread(&stream);
            }
        });
        let response = block_on(client(&sandbox, AMPLE).put("/x", data.clone())).unwrap();
        assert_eq!(response.status(), 404);
        let response = blocking_client(&sandbox, AMPLE)
            .put("/x", data.clone())
            .unwrap();
        assert_eq!(response.body(), "URL NOT FOUND");
    }
}

#[test]
fn a_sandbox_without_a_socket_is_stopped_or_starting() {
    let tree = Tree::new();
    let sandbox = tree.web();
    for error in errors(&sandbox, AMPLE) {
        assert_names_request(&error, sandbox.socket_path());
        assert!(
            error.to_string().contains("no management socket"),
            "{error}"
        );
        let io: &std::io::Error = error
            .chain()
            .find_map(|cause| cause.downcast_ref())
            .unwrap();
        assert_eq!(io.kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn a_socket_that_nobody_serves_is_stale() {
    let tree = Tree::new();
    let sandbox = tree.web();
    drop(UnixListener::bind(sandbox.socket_path()).unwrap());
    for error in errors(&sandbox, AMPLE) {
        assert_names_request(&error, sandbox.socket_path());
        assert!(error.to_string().contains("stale"), "{error}");
        let io: &std::io::Error = error
            .chain()
            .find_map(|cause| cause.downcast_ref())
            .unwrap();
        assert_eq!(io.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn a_socket_that_is_out_of_reach_asks_for_root() {
    use std::os::unix::fs::PermissionsExt;
    test_utils::skip_if_root!();
    let tree = Tree::new();
    let sandbox = tree.web();
    let _listener = UnixListener::bind(sandbox.socket_path()).unwrap();
    let none = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(sandbox.socket_path(), none).unwrap();
    for error in errors(&sandbox, AMPLE) {
        assert!(
            error.to_string().contains("root privileges are needed"),
            "{error}"
        );
    }
}

#[test]
fn a_full_queue_is_waited_for() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let listener = UnixListener::bind(sandbox.socket_path()).unwrap();
    // SAFETY: changes the length of the queue of a socket that is listening already.
    unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&listener), 0) };
    // One more than the queue takes.
    let waiting = std::os::unix::net::UnixStream::connect(sandbox.socket_path()).unwrap();
    for error in errors(&sandbox, Some(SHORT)) {
        assert!(
            matches!(kind(&error), RequestErrorKind::Timeout(_)),
            "{error}"
        );
    }
    // Once there is room, calls go on.
    let calls = [false, true].map(|is_blocking| {
        let sandbox = sandbox.clone();
        std::thread::spawn(move || {
            if is_blocking {
                blocking_client(&sandbox, AMPLE).metrics().unwrap()
            } else {
                block_on(client(&sandbox, AMPLE).metrics()).unwrap()
            }
        })
    });
    drop(waiting);
    let mut answered = 0;
    while answered < 2 {
        let (mut stream, _) = listener.accept().unwrap();
        if read_head(&mut stream).is_some() {
            stream.write_all(RESPONSES[0].as_bytes()).unwrap();
            answered += 1;
        }
    }
    for call in calls {
        assert_eq!(call.join().unwrap(), "hello");
    }
}

#[test]
fn malformed_responses_are_errors() {
    for response in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "\0\0\0\0",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1 2\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\ncontent-length: 0\r\n\r\n",
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_bytes_and_hold(sandbox.socket_path(), response.as_bytes().to_vec());
        for error in errors(&sandbox, AMPLE) {
            assert_names_request(&error, sandbox.socket_path());
            let is_malformed = matches!(kind(&error), RequestErrorKind::Malformed(_));
            assert!(is_malformed, "{response:?}: {error}");
        }
    }
}

#[test]
fn what_a_server_adds_to_a_body_without_end_is_refused() {
    for (head, more) in [
        ("HTTP/1.1 200 OK\r\na: ", "a"),
        ("HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "\r\n"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "a",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            "a: b\r\n",
        ),
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_raw(sandbox.socket_path(), move |mut stream| {
            if read_head(&mut stream).is_some() {
                let _ = stream.write_all(head.as_bytes());
                let block = more.repeat(1000);
                while stream.write_all(block.as_bytes()).is_ok() {}
            }
        });
        for error in errors(&sandbox, AMPLE) {
            let is_malformed = matches!(kind(&error), RequestErrorKind::Malformed(_));
            assert!(is_malformed, "{head:?} {more:?}: {error}");
        }
    }
}

#[test]
fn rubbish_after_a_response_is_never_the_next_response() {
    for response in [
        // Together with the response, and as a body where none can be.
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\ncontent-length: 42\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 42\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 42\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_raw(sandbox.socket_path(), move |mut stream| {
            read_head(&mut stream).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
            // Whoever asks again on this connection gets it.
            if read_head(&mut stream).is_some() {
                let evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
                stream.write_all(evil).unwrap();
            }
        });
        let ours = client(&sandbox, AMPLE);
        let twin = blocking_client(&sandbox, AMPLE);
        for _ in 0..3 {
            let body = block_on(async {
                let response = ours.get("/").await.unwrap();
                hyper::body::to_bytes(response).await.unwrap()
            });
            assert_ne!(body, "evil", "{response:?}");
            assert_ne!(twin.get("/").unwrap().body(), "evil", "{response:?}");
        }
    }
}

#[test]
fn calls_that_fail_leave_no_connection_open() {
    const CALLS: usize = 20;
    for response in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na",
        "rubbish",
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        let (closed, is_closed) = std::sync::mpsc::channel();
        let closed = std::sync::Mutex::new(closed);
        serve_raw(sandbox.socket_path(), move |mut stream| {
            if read_head(&mut stream).is_some() {
                let _ = stream.write_all(response.as_bytes());
                wait_for_close(&stream);
            }
            closed.lock().unwrap().send(()).unwrap();
        });
        // The clients outlive their calls.
        let timeout = Some(Duration::from_millis(5));
        let ours = client(&sandbox, timeout);
        let twin = blocking_client(&sandbox, timeout);
        for _ in 0..CALLS {
            block_on(ours.get("/")).unwrap_err();
            twin.get("/").unwrap_err();
        }
        for _ in 0..2 * CALLS {
            is_closed.recv().unwrap();
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let long = "a".repeat(3000);
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nbb8\r\n{long}\r\n"),
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_bytes_and_hold(sandbox.socket_path(), response.into_bytes());
        for error in [
            block_on(
                client(&sandbox, AMPLE)
                    .with_body_limit(1000)
                    .get("/metrics"),
            )
            .unwrap_err(),
            blocking_client(&sandbox, AMPLE)
                .with_body_limit(1000)
                .get("/metrics")
                .unwrap_err(),
        ] {
            assert_names_request(&error, sandbox.socket_path());
            assert!(
                error
                    .to_string()
                    .ends_with("exceeds the limit of 1000 bytes"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_body_is_limited_to_64_mib_by_default() {
    for (length, is_accepted) in [(64 << 20, true), ((64 << 20) + 1, false)] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_raw(sandbox.socket_path(), move |mut stream| {
            read_head(&mut stream).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
            let _ = std::io::copy(&mut std::io::repeat(b'a').take(length), &mut stream);
        });
        let result = block_on(client(&sandbox, AMPLE).get("/metrics"));
        assert_eq!(result.is_ok(), is_accepted);
        if let Ok(response) = result {
            let body = block_on(hyper::body::to_bytes(response)).unwrap();
            assert_eq!(body.len() as u64, length);
        }
    }
}

#[test]
fn a_flood_without_end_stops_at_the_deadline() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_raw(sandbox.socket_path(), move |mut stream| {
        read_head(&mut stream).unwrap();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head);
        while stream.write_all(b"1\r\na\r\n").is_ok() {}
    });
    let ours = client(&sandbox, Some(SHORT)).with_body_limit(usize::MAX);
    let error = block_on(ours.get("/metrics")).unwrap_err();
    assert!(
        matches!(kind(&error), RequestErrorKind::Timeout(_)),
        "{error}"
    );
    let ours = blocking_client(&sandbox, Some(SHORT)).with_body_limit(usize::MAX);
    let error = ours.get("/metrics").unwrap_err();
    assert!(
        matches!(kind(&error), RequestErrorKind::Timeout(_)),
        "{error}"
    );
}

#[test]
fn large_bodies_arrive_complete_in_every_framing() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(70_001) {
        chunked.extend(format!("{:X}\r\n", chunk.len()).into_bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    for response in [
        [length.as_bytes(), &body].concat(),
        chunked,
        [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &body].concat(),
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_bytes_and_close(sandbox.socket_path(), response);
        let got = block_on(client(&sandbox, AMPLE).get("/")).unwrap();
        assert!(block_on(hyper::body::to_bytes(got)).unwrap() == body);
        assert!(blocking_client(&sandbox, AMPLE).get("/").unwrap().body() == &body);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_target_and_no_answer_make_a_client_panic(
        target in "\\PC{0,6}|/[\\x00-\\xff]{0,8}|/[ -~]{0,8}",
        head in "|HTTP/1\\.1 [0-9]{3} \r\n(content-length: [0-9]{0,3}\r\n)?\r\n",
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let tree = Tree::new();
        let sandbox = tree.web();
        serve_bytes_and_close(sandbox.socket_path(), [head.as_bytes(), &body].concat());
        let raw = block_on(client(&sandbox, AMPLE).get(&target));
        let twin = blocking_client(&sandbox, AMPLE).get(&target);
        match (raw, twin) {
            (Ok(raw), Ok(twin)) => {
                prop_assert_eq!(raw.status(), twin.status());
                let raw = block_on(hyper::body::to_bytes(raw)).unwrap();
                prop_assert_eq!(&raw, twin.body());
            }
            (Err(raw), Err(twin)) => prop_assert_eq!(raw.to_string(), twin.to_string()),
            (raw, twin) => prop_assert!(false, "{:?} {:?}", raw, twin),
        }
    }
}
