//! The head of a response: status line and header fields, and from them how its body ends.

use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, StatusCode, Version};

use crate::shim_mgmt::RequestErrorKind;

/// How many header fields a response may have, as in `hyper`.
const MAX_FIELDS: usize = 100;

/// A complete head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) fields: HeaderMap,
    /// Its length, in bytes.
    pub(super) length: usize,
    pub(super) framing: Framing,
    /// Whether the server keeps the connection open.
    pub(super) is_persistent: bool,
}

/// How the end of a body is known. RFC 9112, section 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// The head at the beginning of `bytes`; `None` if it is not complete.
pub(super) fn parse_head(bytes: &[u8]) -> Result<Option<Head>, RequestErrorKind> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut storage);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(error.to_string())),
    };
    let status = response.code.unwrap_or_default();
    let status = StatusCode::from_u16(status)
        .map_err(|_| malformed(format!("status {status}: at least 100 is expected")))?;
    let version = match response.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut fields = HeaderMap::with_capacity(response.headers.len());
    for field in &*response.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(malformed(format!("header field {:?}", field.name)));
        };
        fields.append(name, value);
    }
    Ok(Some(Head {
        framing: framing(status, version, &fields)?,
        is_persistent: is_persistent(version, &fields) && !is_doubtful(status, &fields),
        status,
        version,
        fields,
        length,
    }))
}

pub(super) fn malformed(what: impl Into<String>) -> RequestErrorKind {
    RequestErrorKind::Malformed(what.into())
}

fn framing(
    status: StatusCode,
    version: Version,
    fields: &HeaderMap,
) -> Result<Framing, RequestErrorKind> {
    if has_no_body(status) {
        return Ok(Framing::Length(0));
    }
    if fields.contains_key(&TRANSFER_ENCODING) {
        let codings: Vec<&[u8]> = tokens(fields, &TRANSFER_ENCODING).collect();
        let is_chunked = matches!(codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked"));
        // No other coding was asked for (RFC 9110, 10.1.4), and HTTP/1.0 has none.
        if is_chunked && version != Version::HTTP_10 {
            return Ok(Framing::Chunked);
        }
        let codings = String::from_utf8_lossy(&codings.join(&b", "[..])).into_owned();
        return Err(malformed(format!(
            "transfer-encoding {codings:?} in {version:?}"
        )));
    }
    let mut length = None;
    for token in tokens(fields, &CONTENT_LENGTH) {
        let value = parse_length(token);
        if value.is_none() || (length.is_some() && length != value) {
            let text = String::from_utf8_lossy(token);
            return Err(malformed(format!("content-length {text:?}")));
        }
        length = value;
    }
    Ok(length.map_or(Framing::UntilClose, Framing::Length))
}

/// RFC 9112, section 6.3, cases 1 and 2.
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Whether a server might mean another end of the body than we do: what it would send after ours
/// must not be taken for the next response.
fn is_doubtful(status: StatusCode, fields: &HeaderMap) -> bool {
    let is_coded = fields.contains_key(&TRANSFER_ENCODING);
    if has_no_body(status) {
        is_coded || tokens(fields, &CONTENT_LENGTH).any(|token| parse_length(token) != Some(0))
    } else {
        is_coded && fields.contains_key(&CONTENT_LENGTH)
    }
}

fn is_persistent(version: Version, fields: &HeaderMap) -> bool {
    let says =
        |option: &[u8]| tokens(fields, &CONNECTION).any(|token| token.eq_ignore_ascii_case(option));
    !says(b"close") && (version == Version::HTTP_11 || says(b"keep-alive"))
}

/// The elements of a list-based field, over all its lines.
fn tokens<'a>(fields: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    fields
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Digits only: no sign, no blank.
fn parse_length(token: &[u8]) -> Option<u64> {
    if !token.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(token).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(fields: &str) -> Result<Option<Head>, RequestErrorKind> {
        parse_head(format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn the_end_of_a_body_is_known_from_the_head() {
        use Framing::{Chunked, Length, UntilClose};
        for (fields, framing) in [
            ("", UntilClose),
            ("content-length: 0\r\n", Length(0)),
            ("Content-Length:  17 \r\n", Length(17)),
            ("content-length: 5, 5\r\ncontent-length: 5\r\n", Length(5)),
            ("content-length: 18446744073709551615\r\n", Length(u64::MAX)),
            ("transfer-encoding: chunked\r\n", Chunked),
            ("Transfer-Encoding: CHUNKED \r\n", Chunked),
            (
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                Chunked,
            ),
        ] {
            assert_eq!(parse(fields).unwrap().unwrap().framing, framing, "{fields}");
        }
        for status in ["204 No Content", "304 Not Modified", "100 Continue"] {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 9\r\n\r\n");
            let head = parse_head(head.as_bytes()).unwrap().unwrap();
            assert_eq!(head.framing, Length(0), "{status}");
        }
    }

    #[test]
    fn a_doubtful_length_is_malformed() {
        for value in [
            "",
            "-1",
            "+1",
            "0x1",
            "1 2",
            "1,2",
            "1,",
            "18446744073709551616",
            "é",
        ] {
            let result = parse(&format!("content-length: {value}\r\n"));
            let is_malformed = matches!(result, Err(RequestErrorKind::Malformed(_)));
            assert!(is_malformed, "{value:?}: {result:?}");
        }
    }

    #[test]
    fn a_coding_that_nobody_asked_for_is_malformed() {
        for (version, value) in [
            ("1.1", ""),
            ("1.1", "gzip"),
            ("1.1", "identity"),
            ("1.1", "gzip, chunked"),
            ("1.1", "chunked, gzip"),
            ("1.1", "chunked, chunked"),
            ("1.1", "chunked\r\ntransfer-encoding: chunked"),
            ("1.1", "xchunked"),
            ("1.1", "chunked;q=1"),
            ("1.1", "\u{b}chunked"),
            ("1.0", "chunked"),
        ] {
            let head = format!("HTTP/{version} 200 OK\r\ntransfer-encoding: {value}\r\n\r\n");
            let result = parse_head(head.as_bytes());
            let is_malformed = matches!(result, Err(RequestErrorKind::Malformed(_)));
            assert!(is_malformed, "{version} {value:?}: {result:?}");
        }
    }

    #[test]
    fn a_connection_whose_response_has_two_ends_is_not_used_again() {
        for (status, fields, expected) in [
            ("200 OK", "transfer-encoding: chunked\r\n", true),
            (
                "200 OK",
                "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
                false,
            ),
            (
                "200 OK",
                "content-length: 0\r\ntransfer-encoding: chunked\r\n",
                false,
            ),
            ("204 No Content", "content-length: 0\r\n", true),
            ("204 No Content", "content-length: 5\r\n", false),
            ("204 No Content", "transfer-encoding: chunked\r\n", false),
            ("304 Not Modified", "", true),
            ("304 Not Modified", "content-length: 5\r\n", false),
        ] {
            let head = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
            let head = parse_head(head.as_bytes()).unwrap().unwrap();
            assert_eq!(head.is_persistent, expected, "{status} {fields}");
        }
    }

    #[test]
    fn a_connection_persists_unless_either_side_says_no() {
        for (version, fields, expected) in [
            ("1.1", "", true),
            ("1.1", "connection: close\r\n", false),
            ("1.1", "Connection: foo, Close\r\n", false),
            ("1.0", "", false),
            ("1.0", "connection: Keep-Alive\r\n", true),
        ] {
            let head = format!("HTTP/{version} 200 OK\r\n{fields}\r\n");
            let head = parse_head(head.as_bytes()).unwrap().unwrap();
            assert_eq!(head.is_persistent, expected, "{version} {fields}");
        }
    }

    #[test]
    fn what_is_no_http_1_response_is_malformed() {
        let many = "a: b\r\n".repeat(MAX_FIELDS + 1);
        let many = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
        for bytes in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n no: name\r\n\r\n",
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
            &many,
        ] {
            let result = parse_head(bytes.as_bytes());
            let is_malformed = matches!(result, Err(RequestErrorKind::Malformed(_)));
            assert!(is_malformed, "{bytes:?}: {result:?}");
        }
    }

    #[test]
    fn a_part_of_a_head_is_incomplete() {
        let head = b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 0\r\n\r\n";
        for cut in 0..head.len() {
            assert!(parse_head(&head[..cut]).unwrap().is_none(), "{cut}");
        }
        assert_eq!(parse_head(head).unwrap().unwrap().length, head.len());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            start in "|HTTP/1.[01] [0-9]{3}[ -~]{0,4}\r\n",
            rest in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let bytes = [start.as_bytes(), &rest].concat();
            if let Ok(Some(head)) = parse_head(&bytes) {
                prop_assert!(head.length <= bytes.len());
            }
        }

        #[test]
        fn heads_without_lengths_that_contradict_are_taken(fields in "([a-z]{1,3}: [ -~]{0,3}\r\n){0,3}") {
            prop_assert!(parse(&fields).is_ok_and(|head| head.is_some()), "{:?}", fields);
        }
    }
}
