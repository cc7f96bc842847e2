//! Requests that reach a server, and what comes back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use hyper::StatusCode;
use shim_interface::Layout;
use shim_interface::shim_mgmt::{
    AGENT_URL, DIRECT_VOLUME_RESIZE_URL, IpVersion, RequestError, RequestErrorKind,
};

mod support;
use support::{
    AMPLE, Received, Shim, Tree, block_on, blocking_client, client, read_head, serve_raw,
    wait_for_close,
};

#[test]
fn raw_calls_send_what_they_are_given() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let shim = Shim::start(sandbox.socket_path());
    let (client, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, None));
    let binary: Vec<u8> = (0..=255).collect();
    let received = |method: &str, target: &str, content_type: Option<&str>, body: &[u8]| Received {
        method: method.to_owned(),
        target: target.to_owned(),
        content_type: content_type.map(str::to_owned),
        host: Some("localhost".to_owned()),
        body: body.to_vec(),
    };

    for target in [
        "/metrics",
        "/a?b=c&d=%20",
        "//",
        "/%",
        "/a?",
        "/~!$&'()*+,;=:@\"{}|\\^",
    ] {
        let expected = received("GET", target, None, b"");
        block_on(client.get(target)).unwrap();
        assert_eq!(shim.last(), expected);
        blocking.get(target).unwrap();
        assert_eq!(shim.last(), expected);
    }
    for content in ["", "{\"a\":1}", "é\0\r\n"] {
        let expected = received("POST", "/x", Some("application/json"), content.as_bytes());
        block_on(client.post("/x", "application/json", content)).unwrap();
        assert_eq!(shim.last(), expected);
        blocking.post("/x", "application/json", content).unwrap();
        assert_eq!(shim.last(), expected);
    }
    for data in [Vec::new(), binary.clone(), binary.repeat(10_000)] {
        let expected = received("PUT", "/iptables", None, &data);
        let response = block_on(client.put("/iptables", data.clone())).unwrap();
        assert!(shim.last() == expected);
        let body = block_on(hyper::body::to_bytes(response)).unwrap();
        assert!(body == [b"restored ", &data[..]].concat());
        let response = blocking.put("/iptables", data.clone()).unwrap();
        assert!(shim.last() == expected);
        assert!(*response.body() == [b"restored ", &data[..]].concat());
    }
}

#[test]
fn consumers_can_use_a_response_as_before() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    let client = client(&sandbox, AMPLE);
    let (url, kind, content) = (
        String::from(DIRECT_VOLUME_RESIZE_URL),
        String::from("application/json"),
        String::from("{}"),
    );
    block_on(async {
        let response = client.get(AGENT_URL).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = hyper::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, "vsock://3:1024");

        let response = client.get("/metrics").await.unwrap();
        assert!(
            hyper::body::to_bytes(response)
                .await
                .unwrap()
                .starts_with(b"# HELP")
        );

        let response = client.get("/agent-url").await.unwrap();
        let shown = format!("{:?}", response.into_body());
        assert!(shown.contains("vsock://3:1024"), "{shown}");

        // Any status is a success; arguments may be `&String`.
        let response = client.post(&url, &kind, &content).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let response = client.get("/nowhere").await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body = hyper::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, "URL NOT FOUND");
    });
}

#[test]
fn typed_calls_say_what_a_shim_understands() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let shim = Shim::start(sandbox.socket_path());
    let (client, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    let last = || {
        let last = shim.last();
        let body = String::from_utf8(last.body).unwrap();
        (last.method, last.target, last.content_type, body)
    };
    let request = |method: &str, target: &str, content_type: Option<&str>, body: &str| {
        let content_type = content_type.map(str::to_owned);
        (
            method.to_owned(),
            target.to_owned(),
            content_type,
            body.to_owned(),
        )
    };

    block_on(async {
        assert_eq!(client.agent_url().await.unwrap(), "vsock://3:1024");
        assert_eq!(last(), request("GET", "/agent-url", None, ""));
        assert!(client.metrics().await.unwrap().ends_with("threads 7\n"));
        assert_eq!(last(), request("GET", "/metrics", None, ""));
        assert_eq!(
            client.iptables(false).await.unwrap(),
            b"rules of /iptables\n"
        );
        assert_eq!(
            client.iptables(IpVersion::V6).await.unwrap(),
            b"rules of /ip6tables\n"
        );
        let output = client.set_iptables(IpVersion::V4, "*filter").await.unwrap();
        assert_eq!(output, b"restored *filter");
        assert_eq!(last(), request("PUT", "/iptables", None, "*filter"));
        client.set_policy("package agent_policy").await.unwrap();
        assert_eq!(
            last(),
            request("PUT", "/policy", None, "package agent_policy")
        );
        let stats = client.volume_stats("/dev/sd a&b").await.unwrap();
        assert_eq!(stats, "{\"query\":\"path=%2Fdev%2Fsd%20a%26b\"}");
        let target = "/direct-volume/stats?path=%2Fdev%2Fsd%20a%26b";
        assert_eq!(last(), request("POST", target, None, ""));
        client.resize_volume("/dev/sda", 1 << 40).await.unwrap();
    });
    let json = last().3;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let expected = serde_json::json!({ "volume_guest_path": "/dev/sda", "size": 1_u64 << 40 });
    assert_eq!(json, expected);
    assert_eq!(last().2.as_deref(), Some("application/json"));

    assert_eq!(blocking.agent_url().unwrap(), "vsock://3:1024");
    assert!(blocking.metrics().unwrap().ends_with("threads 7\n"));
    assert_eq!(
        blocking.iptables(IpVersion::V4).unwrap(),
        b"rules of /iptables\n"
    );
    assert_eq!(blocking.iptables(true).unwrap(), b"rules of /ip6tables\n");
    assert_eq!(
        blocking.set_iptables(true, b"x".as_slice()).unwrap(),
        b"restored x"
    );
    assert_eq!(last(), request("PUT", "/ip6tables", None, "x"));
    blocking.set_policy("p").unwrap();
    assert_eq!(last(), request("PUT", "/policy", None, "p"));
    assert!(
        blocking
            .volume_stats("/dev/sda")
            .unwrap()
            .contains("path=%2Fdev%2Fsda")
    );
    blocking.resize_volume("/dev/sda", 1 << 40).unwrap();
    let json: serde_json::Value = serde_json::from_str(&last().3).unwrap();
    assert_eq!(json, expected);
}

#[test]
fn a_go_shim_gets_the_field_names_that_it_knows() {
    let tree = Tree::new();
    let sandbox = tree.sandbox(Layout::Go, "db-1");
    let shim = Shim::start(sandbox.socket_path());
    block_on(client(&sandbox, AMPLE).resize_volume("/dev/sda", 5)).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&shim.last().body).unwrap();
    assert_eq!(
        json,
        serde_json::json!({ "VolumePath": "/dev/sda", "Size": 5 })
    );
}

#[test]
fn a_typed_call_fails_unless_the_status_is_200() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_raw(sandbox.socket_path(), |mut stream| {
        while read_head(&mut stream).is_some() {
            let answer =
                "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 9\r\n\r\nno agent\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for error in [
        block_on(client(&sandbox, AMPLE).metrics()).unwrap_err(),
        blocking_client(&sandbox, AMPLE).metrics().unwrap_err(),
    ] {
        let expected = format!(
            "GET /metrics on {}: status 500 Internal Server Error: no agent",
            sandbox.socket_path().display()
        );
        assert_eq!(error.to_string(), expected);
        let error: &RequestError = error.downcast_ref().unwrap();
        let RequestErrorKind::Status { status, .. } = error.kind() else {
            panic!("{error:?}");
        };
        assert_eq!(*status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}

#[test]
fn a_typed_call_fails_if_the_text_is_not_utf_8() {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_raw(sandbox.socket_path(), |mut stream| {
        while read_head(&mut stream).is_some() {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff";
            stream.write_all(answer).unwrap();
        }
    });
    let client = client(&sandbox, AMPLE);
    let error = block_on(client.metrics()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("unexpected response: the body is not UTF-8")
    );
    assert_eq!(block_on(client.iptables(IpVersion::V4)).unwrap(), b"\xff");
}

#[test]
fn targets_that_cannot_be_sent_never_reach_the_server() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let shim = Shim::start(sandbox.socket_path());
    let (client, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    for target in [
        "",
        "agent-url",
        "/a b",
        "/a#b",
        "/a\r\n\r\nGET /b",
        "/é",
        &"/".repeat(70_000),
    ] {
        for error in [
            block_on(client.get(target)).unwrap_err(),
            block_on(client.post(target, "text/plain", "")).unwrap_err(),
            block_on(client.put(target, Vec::new())).unwrap_err(),
            blocking.get(target).unwrap_err(),
        ] {
            let error: &RequestError = error.downcast_ref().unwrap();
            assert_eq!(error.target(), target);
            assert!(matches!(error.kind(), RequestErrorKind::InvalidTarget(_)));
        }
    }
    let error = block_on(client.get("/a b")).unwrap_err().to_string();
    assert!(error.starts_with("GET /a b on /"), "{error}");
    let error = block_on(client.post("/a", "a\r\nb: c", "")).unwrap_err();
    assert!(
        error.to_string().contains("invalid content type"),
        "{error}"
    );
    assert!(shim.requests.lock().unwrap().is_empty());
}

/// Counts the connections to a server that answers on each until the client closes it.
fn count_connections(socket: &std::path::Path, answer: &'static str) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&count);
    serve_raw(socket, move |mut stream| {
        shared.fetch_add(1, Ordering::SeqCst);
        while read_head(&mut stream).is_some() {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    count
}

#[test]
fn a_connection_is_used_again_if_the_server_keeps_it() {
    for (answer, connections) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", 1),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            1,
        ),
        (
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
            5,
        ),
        ("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", 5),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", 5),
    ] {
        let tree = Tree::new();
        let sandbox = tree.web();
        let count = count_connections(sandbox.socket_path(), answer);
        let ours = client(&sandbox, AMPLE);
        block_on(async {
            for _ in 0..5 {
                ours.get("/").await.unwrap();
            }
        });
        assert_eq!(count.swap(0, Ordering::SeqCst), connections, "{answer:?}");
        let ours = blocking_client(&sandbox, AMPLE);
        (0..5).for_each(|_| drop(ours.get("/").unwrap()));
        assert_eq!(count.load(Ordering::SeqCst), connections, "{answer:?}");
    }
}

#[test]
fn dropping_the_client_closes_its_connections() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let (closed, is_closed) = mpsc::channel();
    let closed = Mutex::new(closed);
    serve_raw(sandbox.socket_path(), move |mut stream| {
        read_head(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        wait_for_close(&stream);
        closed.lock().unwrap().send(()).unwrap();
    });
    let ours = client(&sandbox, AMPLE);
    block_on(ours.get("/")).unwrap();
    assert!(is_closed.try_recv().is_err());
    drop(ours);
    is_closed.recv().unwrap();
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let (closed, is_closed) = mpsc::channel();
    let closed = Mutex::new(closed);
    serve_raw(sandbox.socket_path(), move |mut stream| {
        read_head(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        drop(stream);
        closed.lock().unwrap().send(()).unwrap();
    });
    let (ours, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    for _ in 0..3 {
        block_on(ours.post(DIRECT_VOLUME_RESIZE_URL, "application/json", "{}")).unwrap();
        is_closed.recv().unwrap();
        blocking.get("/").unwrap();
        is_closed.recv().unwrap();
    }
}

#[test]
fn a_request_that_was_sent_is_never_sent_again() {
    let tree = Tree::new();
    let sandbox = tree.web();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    // Answers the first request of a connection, and fails the second, like a shim.
    serve_raw(sandbox.socket_path(), move |mut stream| {
        read_head(&mut stream).unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        stream
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .unwrap();
        if read_head(&mut stream).is_some() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let check = |error: anyhow::Error| {
        let message = error.to_string();
        assert!(
            message.contains("connection closed before message completed"),
            "{message}"
        );
        assert_eq!(requests.swap(0, Ordering::SeqCst), 2);
    };
    let ours = client(&sandbox, AMPLE);
    block_on(ours.get("/")).unwrap();
    check(block_on(ours.resize_volume("/dev/sda", 1)).unwrap_err());
    let ours = blocking_client(&sandbox, AMPLE);
    ours.get("/").unwrap();
    check(ours.resize_volume("/dev/sda", 1).unwrap_err());
}

#[test]
fn paths_that_are_too_long_for_a_socket_address_work() {
    let tree = Tree::new();
    let id = "a".repeat(200);
    let sandbox = tree.sandbox(Layout::RuntimeRs, &id);
    // Bound elsewhere: std cannot bind to such a path either.
    let short = tree.roots.go.join("s");
    Shim::start(&short);
    fs::rename(&short, sandbox.socket_path()).unwrap();
    assert!(sandbox.socket_path().as_os_str().len() > 108);
    assert_eq!(
        block_on(client(&sandbox, AMPLE).agent_url()).unwrap(),
        "vsock://3:1024"
    );
    assert_eq!(
        blocking_client(&sandbox, AMPLE).agent_url().unwrap(),
        "vsock://3:1024"
    );
}

#[test]
fn paths_of_every_length_around_the_limit_work() {
    let mut lengths = HashSet::new();
    for extra in 0..60 {
        let tree = Tree::new();
        let id = "a".repeat(20 + extra);
        let sandbox = tree.sandbox(Layout::RuntimeRs, &id);
        let length = sandbox.socket_path().as_os_str().len();
        if !(104..112).contains(&length) {
            continue;
        }
        lengths.insert(length);
        let short = tree.roots.go.join("s");
        Shim::start(&short);
        fs::rename(&short, sandbox.socket_path()).unwrap();
        assert!(
            blocking_client(&sandbox, AMPLE).agent_url().is_ok(),
            "{length}"
        );
    }
    assert!(
        lengths.contains(&107) && lengths.contains(&108),
        "{lengths:?}"
    );
}

#[test]
fn one_client_serves_many_threads() {
    let tree = Tree::new();
    let sandbox = tree.web();
    Shim::start(sandbox.socket_path());
    let (ours, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (ours, blocking) = (&ours, &blocking);
            scope.spawn(move || {
                for m in 0..20 {
                    let rules = format!("{n}:{m}");
                    let expected = format!("restored {rules}").into_bytes();
                    let call = ours.set_iptables(IpVersion::V4, rules.as_str());
                    assert_eq!(block_on(call).unwrap(), expected);
                    assert_eq!(blocking.set_iptables(true, rules).unwrap(), expected);
                }
            });
        }
    });
}
