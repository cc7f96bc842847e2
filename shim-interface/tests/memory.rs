//! Memory that a server, or the directories of sandboxes, can make a client take.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::fs;

use hyper::Response;
use shim_interface::shim_mgmt::RequestError;
use shim_interface::{Layout, find_sandbox_in, list_sandboxes_in};
use test_utils::allocation::{Allocated, CountingAllocator, allocated_by};

mod support;
use support::{AMPLE, Tree, block_on, blocking_client, client, serve_bytes_and_close};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The longest body that is accepted.
const LARGE: usize = 64 << 20;

/// The room that a body gets at once: its length is only announced.
const TRUSTED: usize = 1 << 20;

/// Heads, chunk extensions and trailers, of 64 KiB at most, and what is made of them.
const CONSTANT: usize = 256 << 10;

/// What a client in this thread has allocated for an answer, and the length of the body.
type Outcome = (Option<usize>, Allocated);

/// What both clients make of an answer; the server closes the connection behind it.
fn outcomes(response: Vec<u8>) -> [Outcome; 2] {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_bytes_and_close(sandbox.socket_path(), response);
    let with_error = |error: anyhow::Error| {
        assert!(error.downcast_ref::<RequestError>().is_some(), "{error:#}");
        assert!(format!("{error:#}").len() < 4096, "{error:#}");
    };
    let (waiting, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    let asynchronous = allocated_by(|| {
        let response = block_on(waiting.get("/metrics")).map_err(with_error).ok()?;
        let body = hyper::body::to_bytes(Response::into_body(response));
        Some(block_on(body).unwrap().len())
    });
    let blocking = allocated_by(|| {
        let response = blocking.get("/metrics").map_err(with_error).ok()?;
        Some(response.into_body().len())
    });
    [asynchronous, blocking]
}

/// Checks that both clients find a body of this length, or an error, and take at most so much.
#[track_caller]
fn check(what: &str, response: Vec<u8>, body: Option<usize>, limit: usize) {
    for (client, (length, allocated)) in ["async", "blocking"].iter().zip(outcomes(response)) {
        assert_eq!(length, body, "{what}, {client}");
        assert!(allocated.peak <= limit, "{what}, {client}: {allocated:?}");
        // It is this thread that allocates.
        assert!(allocated.peak >= body.unwrap_or(0), "{what}, {client}");
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn response(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), body].concat()
}

#[test]
fn longest_body_takes_at_most_three_times_its_size() {
    let body = vec![b'x'; LARGE];
    let limit = 3 * LARGE + CONSTANT;
    let head = format!("{OK}content-length: {LARGE}\r\n\r\n");
    check("length", response(&head, &body), Some(LARGE), limit);
    let head = format!("{OK}\r\n");
    check("until the end", response(&head, &body), Some(LARGE), limit);
    let head = format!("{CHUNKED}{LARGE:x}\r\n");
    let chunk = [&body[..], b"\r\n0\r\n\r\n"].concat();
    check("one chunk", response(&head, &chunk), Some(LARGE), limit);
}

#[test]
fn body_that_is_too_long_takes_no_more() {
    let body = vec![b'x'; LARGE + 1];
    let limit = 3 * LARGE + CONSTANT;
    let head = format!("{OK}\r\n");
    check("until the end", response(&head, &body), None, limit);
    let head = format!("{CHUNKED}{:x}\r\n", body.len());
    check("one chunk", response(&head, &body), None, CONSTANT);
    let head = format!("{OK}content-length: {}\r\n\r\n", body.len());
    check("length", response(&head, &body), None, CONSTANT);
}

#[test]
fn announcement_takes_little() {
    for length in [1000, TRUSTED, TRUSTED + 1, LARGE] {
        let head = format!("{OK}content-length: {length}\r\n\r\n");
        let limit = length.min(TRUSTED) + CONSTANT;
        check("length", response(&head, b""), None, limit);
        let head = format!("{CHUNKED}{length:x}\r\n");
        check("chunk", response(&head, b""), None, CONSTANT);
    }
    for size in ["ffffffff", "7fffffffffffffff", "ffffffffffffffff"] {
        let head = format!("{CHUNKED}{size}\r\n");
        check("chunk", response(&head, b"x"), None, CONSTANT);
    }
}

#[test]
fn smallest_chunks_take_at_most_eight_times_their_size() {
    for count in [(1 << 10) + 1, (1 << 19) + 1] {
        for (what, chunk) in [("usual", "1\r\nx\r\n"), ("shortest", "1\nx\n")] {
            let chunks = chunk.repeat(count) + "0\r\n\r\n";
            let limit = 8 * chunks.len() + CONSTANT;
            let bytes = response(CHUNKED, chunks.as_bytes());
            check(what, bytes, Some(count), limit);
        }
    }
}

#[test]
fn heads_and_trailers_of_any_length_take_a_constant() {
    let repeated = |piece: &str, size: usize| piece.repeat(size / piece.len());
    for size in [1 << 10, 60 << 10, 1 << 20, LARGE] {
        for (what, start, piece) in [
            ("no HTTP", "", "x"),
            ("reason", "HTTP/1.1 200 ", "x"),
            ("name of a field", OK, "x"),
            ("value of a field", "HTTP/1.1 200 OK\r\na: ", "x"),
            ("fields", OK, "a:\r\n"),
            ("fields of the same value", OK, "set-cookie: a\r\n"),
            ("interim responses", "", "HTTP/1.1 100 \r\n\r\n"),
            ("line ends", "", "\r\n"),
            (
                "chunk extension",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
                "x",
            ),
            ("zeros of a size", CHUNKED, "0"),
            (
                "blanks of a size",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1",
                " ",
            ),
            (
                "trailer field",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                "x",
            ),
            (
                "trailer fields",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                "a:\r\n",
            ),
        ] {
            // A few are enough of those that are refused at once.
            if size == LARGE && !["reason", "fields", "trailer field"].contains(&what) {
                continue;
            }
            let bytes = [start, &repeated(piece, size)].concat().into_bytes();
            check(what, bytes, None, CONSTANT);
        }
    }
    // As many fields as there may be, and one more.
    for (fields, body) in [(100, Some(0)), (101, None)] {
        let head = format!("{OK}{}\r\n", "a:\r\n".repeat(fields));
        check("fields", head.into_bytes(), body, CONSTANT);
    }
    let codings = format!("{OK}transfer-encoding: {}\r\n\r\n", ",a".repeat(16 << 10));
    for (length, allocated) in outcomes_of_long_errors(codings.into_bytes()) {
        assert_eq!(length, None);
        assert!(allocated.peak <= (1 << 20) + CONSTANT, "{allocated:?}");
    }
}

/// As [`outcomes`]; the error may repeat the head.
fn outcomes_of_long_errors(response: Vec<u8>) -> [Outcome; 2] {
    let tree = Tree::new();
    let sandbox = tree.web();
    serve_bytes_and_close(sandbox.socket_path(), response);
    let (waiting, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    let length = |error: anyhow::Error| assert!(format!("{error:#}").len() < 512 << 10);
    [
        allocated_by(|| {
            let response = block_on(waiting.get("/metrics")).map_err(length);
            response.ok().map(|_| 0)
        }),
        allocated_by(|| {
            let response = blocking.get("/metrics").map_err(length);
            response.ok().map(|_| 0)
        }),
    ]
}

#[test]
fn text_of_an_answer_takes_at_most_three_times_its_size() {
    for (what, byte) in [("text", b'x'), ("no UTF-8", 0xff)] {
        let tree = Tree::new();
        let sandbox = tree.web();
        let head = format!("{OK}content-length: {LARGE}\r\n\r\n");
        serve_bytes_and_close(sandbox.socket_path(), response(&head, &vec![byte; LARGE]));
        let (waiting, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
        let (_, asynchronous) = allocated_by(|| block_on(waiting.metrics()).is_ok());
        let (_, blocking) = allocated_by(|| blocking.metrics().is_ok());
        for allocated in [asynchronous, blocking] {
            let expected = LARGE..=3 * LARGE + CONSTANT;
            assert!(expected.contains(&allocated.peak), "{what}: {allocated:?}");
        }
    }
}

#[test]
fn answer_that_is_an_error_takes_at_most_three_times_its_size() {
    for (what, byte) in [("text", 1), ("no UTF-8", 0xff)] {
        let tree = Tree::new();
        let sandbox = tree.web();
        let head = format!("HTTP/1.1 500 x\r\ncontent-length: {LARGE}\r\n\r\n");
        serve_bytes_and_close(sandbox.socket_path(), response(&head, &vec![byte; LARGE]));
        let (waiting, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
        let told = |error: anyhow::Error| assert!(format!("{error:#}").len() < 64 << 10);
        let (_, asynchronous) = allocated_by(|| block_on(waiting.metrics()).map_err(told).is_ok());
        let (_, blocking) = allocated_by(|| blocking.iptables(false).map_err(told).is_ok());
        for allocated in [asynchronous, blocking] {
            let expected = LARGE..=3 * LARGE + CONSTANT;
            assert!(expected.contains(&allocated.peak), "{what}: {allocated:?}");
        }
    }
}

#[test]
fn sandboxes_take_half_a_kilobyte_each() {
    const COUNT: usize = (1 << 12) + 1;
    let tree = Tree::new();
    for number in 0..COUNT {
        fs::create_dir(tree.roots.runtime_rs.join(format!("a{number}"))).unwrap();
    }
    let (listed, allocated) = allocated_by(|| list_sandboxes_in(&tree.roots).unwrap());
    assert_eq!(listed.len(), COUNT);
    assert!(allocated.peak <= 512 * COUNT + CONSTANT, "{allocated:?}");
    let (found, allocated) = allocated_by(|| {
        let error = find_sandbox_in(&tree.roots, "a").unwrap_err();
        assert!(format!("{error:#}").len() < 1 << 20);
    });
    let () = found;
    assert!(allocated.peak <= 512 * COUNT + CONSTANT, "{allocated:?}");
}

#[test]
fn id_of_any_length_takes_at_most_eight_times_its_size() {
    let tree = Tree::new();
    tree.sandbox(Layout::Go, "web-1");
    for piece in ["x", "/", "\u{1}", "é", "../"] {
        let id = piece.repeat(LARGE / piece.len());
        let (message, allocated) =
            allocated_by(|| find_sandbox_in(&tree.roots, &id).unwrap_err().to_string());
        assert!(message.len() <= 8 * id.len());
        assert!(
            allocated.peak <= 8 * id.len() + CONSTANT,
            "{piece}: {allocated:?}"
        );
    }
}
