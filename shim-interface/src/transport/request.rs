//! A request, and the bytes of its head.

use std::borrow::Cow;

use crate::shim_mgmt::RequestErrorKind;

/// The longest target, as in the `http` crate.
const MAX_TARGET: usize = 65_534;

/// A request. Its body is sent as it is.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) target: Cow<'a, str>,
    pub(crate) body: Cow<'a, [u8]>,
    content_type: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn get(target: &'a str) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            body: Cow::Borrowed(&[]),
            content_type: None,
        }
    }

    pub(crate) fn post(
        target: impl Into<Cow<'a, str>>,
        content_type: Option<&'a str>,
        body: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        Self {
            method: "POST",
            target: target.into(),
            body: body.into(),
            content_type,
        }
    }

    pub(crate) fn put(target: &'a str, body: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            method: "PUT",
            target: target.into(),
            body: body.into(),
            content_type: None,
        }
    }

    /// Request line and header fields, with the empty line.
    pub(crate) fn head(&self) -> Result<Vec<u8>, RequestErrorKind> {
        check_target(&self.target)?;
        let mut head = Vec::with_capacity(self.target.len() + 128);
        for part in [
            self.method,
            " ",
            &self.target,
            " HTTP/1.1\r\nhost: localhost\r\n",
        ] {
            head.extend_from_slice(part.as_bytes());
        }
        if let Some(content_type) = self.content_type {
            check_content_type(content_type)?;
            for part in ["content-type: ", content_type, "\r\n"] {
                head.extend_from_slice(part.as_bytes());
            }
        }
        // A GET without content has no length, others say that there is none (RFC 9110, 8.6).
        if self.method != "GET" {
            let field = format!("content-length: {}\r\n", self.body.len());
            head.extend_from_slice(field.as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        Ok(head)
    }
}

/// Nothing is encoded on behalf of the caller: a target is what the server gets, or an error (D2).
fn check_target(target: &str) -> Result<(), RequestErrorKind> {
    let fault = if !target.starts_with('/') {
        "it must begin with '/'"
    } else if target.len() > MAX_TARGET {
        "it must not exceed 65534 bytes"
    } else if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        "spaces, control and non-ASCII characters must be percent-encoded"
    } else if has_reserved(target) {
        "'#', '<', '>', '`' in the path and '\"' in the query must be percent-encoded"
    } else {
        return Ok(());
    };
    Err(RequestErrorKind::InvalidTarget(fault))
}

/// Whether there is a character that ends a target, or that the `http` crate takes for none of its
/// part of the target, so that a server could not parse it.
fn has_reserved(target: &str) -> bool {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    path.contains(['#', '<', '>', '`']) || query.contains(['#', '<', '>', '"'])
}

/// A field value of RFC 9110, section 5.5, without the obsolete bytes above ASCII.
fn check_content_type(value: &str) -> Result<(), RequestErrorKind> {
    let is_valid = value
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t');
    if is_valid {
        Ok(())
    } else {
        let value = value.chars().take(256).collect();
        Err(RequestErrorKind::InvalidContentType(value))
    }
}

#[cfg(test)]
mod tests {
    use hyper::http::uri::PathAndQuery;
    use proptest::prelude::*;

    use super::*;

    fn head(request: &Request<'_>) -> String {
        String::from_utf8(request.head().unwrap()).unwrap()
    }

    #[test]
    fn the_head_of_each_method_is_exact() {
        assert_eq!(
            head(&Request::get("/metrics?a=b")),
            "GET /metrics?a=b HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        assert_eq!(
            head(&Request::post(
                "/x",
                Some("text/plain; charset=utf-8"),
                b"abc".as_slice()
            )),
            "POST /x HTTP/1.1\r\nhost: localhost\r\n\
             content-type: text/plain; charset=utf-8\r\ncontent-length: 3\r\n\r\n"
        );
        assert_eq!(
            head(&Request::put("/x", Vec::new())),
            "PUT /x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        );
    }

    #[test]
    fn targets_that_cannot_be_sent_are_refused() {
        let long = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert!(Request::get(&long(MAX_TARGET)).head().is_ok());
        for target in [
            "",
            "agent-url",
            "*",
            "http://localhost/metrics",
            "/a b",
            "/a#b",
            "/a\r\nb: c",
            "/\0",
            "/\u{7f}",
            "/é",
            "/a<b",
            "/a>b",
            "/a`b",
            "/a`b?c",
            "/a?b#c",
            "/a?b<c",
            "/a?b>c",
            "/a?b\"c",
            " /a",
            "?a",
            &long(MAX_TARGET + 1),
        ] {
            let result = Request::get(target).head();
            let is_refused = matches!(result, Err(RequestErrorKind::InvalidTarget(_)));
            assert!(is_refused, "{target:?}: {result:?}");
        }
    }

    #[test]
    fn content_types_cannot_smuggle_a_header() {
        for value in ["a\r\nb: c", "a\nb", "a\0", "é", "\u{7f}"] {
            let result = Request::post("/", Some(value), Vec::new()).head();
            let is_refused = matches!(result, Err(RequestErrorKind::InvalidContentType(_)));
            assert!(is_refused, "{value:?}: {result:?}");
        }
    }

    #[test]
    fn characters_count_for_their_part_of_the_target() {
        for target in ["/a\"b", "/{a}|b", "/a?b`c", "/a?b?c", "/a?{b}^"] {
            assert!(Request::get(target).head().is_ok(), "{target:?}");
        }
    }

    proptest! {
        #[test]
        fn what_the_http_crate_sends_is_sent(target in "/[ -~]{0,12}|\\PC{0,6}|/[\\x00-\\xff]{0,6}") {
            let is_accepted = PathAndQuery::try_from(target.as_str())
                .is_ok_and(|parsed| parsed.as_str() == target);
            // It also takes what is no target: without a slash, and some that is not ASCII.
            if is_accepted && target.starts_with('/') && target.is_ascii() {
                prop_assert!(Request::get(&target).head().is_ok(), "{:?}", target);
            }
        }

        #[test]
        fn what_is_sent_the_http_crate_can_parse(target in "/[ -~]{0,12}|/[ -~]{0,3}\\?[ -~]{0,6}|/\\PC{0,6}") {
            if Request::get(&target).head().is_ok() {
                let parsed = PathAndQuery::try_from(target.as_str());
                prop_assert_eq!(parsed.map(|parsed| parsed.as_str() == target).ok(), Some(true), "{:?}", target);
            }
        }

        #[test]
        fn a_head_has_the_lines_that_were_asked_for(
            target in "\\PC{0,8}|/[ -~\\r\\n]{0,12}",
            content_type in "\\PC{0,8}|[ -~\\r\\n\\t]{0,12}",
            body in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            if let Ok(head) = Request::post(target.as_str(), Some(&content_type), body).head() {
                let head = String::from_utf8(head).unwrap();
                let lines: Vec<&str> = head.split("\r\n").collect();
                prop_assert_eq!(lines.len(), 6, "{:?}", lines);
                prop_assert!(!head.replace("\r\n", "").contains(['\r', '\n']));
                prop_assert_eq!(lines[0], format!("POST {target} HTTP/1.1"));
            }
        }
    }
}
