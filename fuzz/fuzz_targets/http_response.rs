//! What a server says to the client of the shim management service. The first byte of an input says
//! in how many pieces a response is sent, and which of the typed calls it answers; what is behind a
//! line `=== NAME` is the response to the next request; the name is an argument of a call.
//!
//! * The answer is the same however the bytes arrive; or there is none, whose error may be another
//!   one: a line that is both malformed and cut off is either.
//! * A body is not longer than the limit; one with a length, or until the end, stands in the input
//!   as it is, and one in chunks is what a slow reader puts together.
//! * On a connection that is used again, each response is the answer to its own request.
//! * Typed calls say what the answer means, whatever it is, the asynchronous client the same as the
//!   blocking one; and their requests carry any argument.
#![no_main]

use kata_libs_fuzz::http::{Job, Shim, TIMEOUT};
use kata_libs_fuzz::sections_of_bytes;
use libfuzzer_sys::fuzz_target;
use shim_interface::shim_mgmt::blocking::MgmtClient;
use shim_interface::shim_mgmt::{IpVersion, RequestError, client};

const LIMIT: usize = 1024;

fn client(shim: &Shim) -> MgmtClient {
    MgmtClient::for_sandbox(shim.sandbox().clone(), TIMEOUT).with_body_limit(LIMIT)
}

struct Answer {
    text: String,
    status: u16,
    body: Option<Vec<u8>>,
    is_chunked: bool,
}

fn get(client: &MgmtClient) -> Answer {
    match client.get("/metrics") {
        Ok(response) => {
            let is_chunked = response.headers().contains_key("transfer-encoding");
            Answer {
                text: format!("{response:?}"),
                status: response.status().as_u16(),
                body: Some(response.into_body().to_vec()),
                is_chunked,
            }
        }
        Err(error) => {
            let request = error.downcast_ref::<RequestError>().expect("nothing else");
            assert_eq!((request.method(), request.target()), ("GET", "/metrics"));
            Answer {
                text: error.to_string(),
                status: 0,
                body: None,
                is_chunked: false,
            }
        }
    }
}

/// The only answer on a connection.
fn answer(shim: &Shim, pieces: Vec<Vec<u8>>) -> Answer {
    let mut session = shim.serve(vec![Job::last(pieces)]);
    let client = client(shim);
    let answer = get(&client);
    session.done();
    answer
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

/// What a typed call returns, and what its request must be.
struct Typed {
    result: Option<Vec<u8>>,
    head: String,
    body: Vec<u8>,
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        plain.push(u8::from_str_radix(digits, 16).expect("two digits"));
        plain.extend_from_slice(rest.as_bytes());
    }
    plain
}

/// Calls the function with this number; the answer is `whole`, as the raw call has it.
fn check_typed(shim: &Shim, number: usize, argument: &str, response: &[u8], whole: &Answer) {
    let mut session = shim.serve(vec![Job::last(vec![response.to_vec()])]);
    let client = client(shim);
    let text = |text: Option<String>| text.map(String::into_bytes);
    let nothing = |nothing: Option<()>| nothing.map(|()| Vec::new());
    let result = match number {
        0 => text(client.metrics().ok()),
        1 => text(client.agent_url().ok()),
        2 => client.iptables(IpVersion::V6).ok(),
        3 => client.set_iptables(IpVersion::V4, argument.as_bytes()).ok(),
        4 => nothing(client.set_policy(argument).ok()),
        5 => text(client.volume_stats(argument).ok()),
        _ => nothing(client.resize_volume(argument, u64::MAX).ok()),
    };
    drop(client);
    let (head, body) = session.done();
    let typed = Typed { result, head, body };
    check_meaning(number, whole, &typed);
    check_request(number, argument, &typed);
}

/// An answer with status 200 has the body that the raw one has, if the call can have such.
fn check_meaning(number: usize, whole: &Answer, typed: &Typed) {
    let body = whole.body.clone().filter(|_| whole.status == 200);
    let expected = match number {
        0 | 5 => body.filter(|body| std::str::from_utf8(body).is_ok()),
        1 => body.filter(|body| std::str::from_utf8(body).is_ok() && !body.is_empty()),
        2 | 3 => body,
        _ => body.map(|_| Vec::new()),
    };
    assert_eq!(typed.result, expected);
}

fn check_request(number: usize, argument: &str, typed: &Typed) {
    let line = typed.head.lines().next().unwrap_or_default();
    let expected = match number {
        0 => "GET /metrics HTTP/1.1",
        1 => "GET /agent-url HTTP/1.1",
        2 => "GET /ip6tables HTTP/1.1",
        3 => "PUT /iptables HTTP/1.1",
        4 => "PUT /policy HTTP/1.1",
        5 => {
            let target = line.strip_prefix("POST /direct-volume/stats?path=");
            let value = target.and_then(|target| target.strip_suffix(" HTTP/1.1"));
            let value = value.expect("the target");
            return assert_eq!(percent_decoded(value), argument.as_bytes());
        }
        _ => "POST /direct-volume/resize HTTP/1.1",
    };
    assert_eq!(line, expected);
    match number {
        3 | 4 => assert_eq!(typed.body, argument.as_bytes()),
        6 => {
            let json: serde_json::Value = serde_json::from_slice(&typed.body).expect("JSON");
            assert_eq!(json["volume_guest_path"], argument);
            assert_eq!(json["size"], u64::MAX);
        }
        _ => assert!(typed.body.is_empty()),
    }
}

/// The asynchronous client, with an I/O driver and without.
fn check_async(shim: &Shim, response: &[u8], whole: &Answer) {
    let expected = whole.body.clone().filter(|_| whole.status == 200);
    for executor in [Shim::in_tokio, Shim::without_driver] {
        let mut session = shim.serve(vec![Job::last(vec![response.to_vec()])]);
        let client = client::MgmtClient::for_sandbox(shim.sandbox().clone(), TIMEOUT);
        let client = client.with_body_limit(LIMIT);
        let mut found = None;
        executor(
            shim,
            Box::pin(async {
                found = client.iptables(IpVersion::V4).await.ok();
            }),
        );
        drop(client);
        session.done();
        assert_eq!(found, expected);
    }
}

/// Several requests of one client, which uses its connection as long as that is good.
fn check_sequence(shim: &Shim, responses: &[&[u8]]) {
    let alone: Vec<_> = responses
        .iter()
        .map(|response| answer(shim, vec![response.to_vec()]))
        .collect();
    let jobs = responses.iter().map(|response| Job::first(response));
    let mut session = shim.serve(jobs.collect());
    let client = client(shim);
    for alone in &alone {
        let found = get(&client);
        session.done();
        assert_eq!(found.body, alone.body);
        if found.body.is_some() {
            assert_eq!(found.text, alone.text);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let sections = sections_of_bytes(rest);
    let argument = sections.get(1).map_or(&b""[..], |(name, _)| name);
    let argument = String::from_utf8_lossy(&argument[..argument.len().min(1000)]);
    let responses: Vec<&[u8]> = sections.iter().map(|(_, part)| *part).take(4).collect();
    let data = responses[0];

    let shim = Shim::lock();
    let whole = answer(&shim, vec![data.to_vec()]);
    let size = data.len().div_ceil(usize::from(first % 32).max(2)).max(1);
    let pieces = answer(&shim, data.chunks(size).map(<[u8]>::to_vec).collect());
    assert_eq!(whole.body, pieces.body);
    if let Some(body) = &whole.body {
        assert_eq!(whole.text, pieces.text);
        assert!(body.len() <= LIMIT);
        let is_whole = body.is_empty() || data.windows(body.len()).any(|part| part == body);
        assert!(is_whole || (whole.is_chunked && is_in_chunks(data, body)));
    }
    check_typed(
        &shim,
        usize::from(first / 32).min(6),
        &argument,
        data,
        &whole,
    );
    check_async(&shim, data, &whole);
    if responses.len() > 1 {
        check_sequence(&shim, &responses);
    }
});
