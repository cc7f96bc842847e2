//! What a server says to the client of the shim management service. The first byte of an input says
//! in how many pieces the rest is sent.
//!
//! * The answer is the same however the bytes arrive; or there is none, whose error may be another
//!   one: a line that is both malformed and cut off is either.
//! * A body is not longer than the limit; one with a length, or until the end, stands in the input
//!   as it is, and one in chunks is what a slow reader puts together.
#![no_main]

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shim_interface::shim_mgmt::RequestError;
use shim_interface::shim_mgmt::blocking::MgmtClient;
use shim_interface::{Sandbox, StorageRoots, find_sandbox_in};

const LIMIT: usize = 1024;

/// A long time, which none of these takes.
const TIMEOUT: Option<Duration> = Some(Duration::from_secs(15));

struct Server {
    sandbox: Sandbox,
    pieces: SyncSender<Vec<Vec<u8>>>,
    served: Receiver<()>,
    _dir: tempfile::TempDir,
}

fn serve(mut stream: UnixStream, pieces: &[Vec<u8>]) {
    let mut request = Vec::new();
    let mut block = [0; 512];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut block) {
            Ok(count) if count > 0 => request.extend_from_slice(&block[..count]),
            _ => return,
        }
    }
    // The client hangs up when it has seen enough.
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    // What a client does not read must not make the kernel reset the connection.
    let _ = stream.read(&mut block);
}

static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let roots = StorageRoots::under(dir.path().canonicalize().expect("it is there"));
    fs::create_dir_all(roots.runtime_rs.join("web-1")).expect("a new directory");
    let sandbox = find_sandbox_in(&roots, "web-1").expect("it is there");
    let listener = UnixListener::bind(sandbox.socket_path()).expect("a new socket");
    let (pieces, next) = sync_channel::<Vec<Vec<u8>>>(1);
    let (done, served) = sync_channel(1);
    std::thread::spawn(move || {
        for pieces in next {
            let (stream, _) = listener.accept().expect("a client");
            serve(stream, &pieces);
            done.send(()).expect("somebody waits");
        }
    });
    Mutex::new(Server {
        sandbox,
        pieces,
        served,
        _dir: dir,
    })
});

struct Answer {
    text: String,
    body: Option<Vec<u8>>,
    is_chunked: bool,
}

fn answer(server: &Server, pieces: Vec<Vec<u8>>) -> Answer {
    server.pieces.send(pieces).expect("the server is there");
    let client = MgmtClient::for_sandbox(server.sandbox.clone(), TIMEOUT).with_body_limit(LIMIT);
    let response = client.get("/metrics");
    drop(client);
    server.served.recv().expect("the server is there");
    match response {
        Ok(response) => {
            let is_chunked = response.headers().contains_key("transfer-encoding");
            Answer {
                text: format!("{response:?}"),
                body: Some(response.into_body().to_vec()),
                is_chunked,
            }
        }
        Err(error) => {
            let request = error.downcast_ref::<RequestError>().expect("nothing else");
            assert_eq!((request.method(), request.target()), ("GET", "/metrics"));
            Answer {
                text: error.to_string(),
                body: None,
                is_chunked: false,
            }
        }
    }
}

/// Whether `body` is what chunks that begin somewhere in `data` contain.
fn is_in_chunks(data: &[u8], body: &[u8]) -> bool {
    (0..data.len()).any(|start| chunks(&data[start..]).is_some_and(|found| found == body))
}

fn chunks(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = data.iter().position(|byte| *byte == b'\n')?;
        let mut words = data[..end].split(|byte| b";\r \t".contains(byte));
        let digits = std::str::from_utf8(words.next()?).ok()?;
        let size = usize::from_str_radix(digits, 16).ok()?;
        data = &data[end + 1..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(data.get(..size)?);
        data = data.get(size..)?;
        data = data
            .strip_prefix(b"\r\n")
            .or_else(|| data.strip_prefix(b"\n"))?;
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((count, data)) = data.split_first() else {
        return;
    };
    let server = SERVER.lock().expect("no panic while locked");
    let whole = answer(&server, vec![data.to_vec()]);
    let size = data.len().div_ceil(usize::from(*count).max(2)).max(1);
    let pieces = answer(&server, data.chunks(size).map(<[u8]>::to_vec).collect());
    assert_eq!(whole.body, pieces.body);
    if let Some(body) = whole.body {
        assert_eq!(whole.text, pieces.text);
        assert!(body.len() <= LIMIT);
        let is_whole = body.is_empty() || data.windows(body.len()).any(|part| part == body);
        assert!(is_whole || (whole.is_chunked && is_in_chunks(data, &body)));
    }
});
