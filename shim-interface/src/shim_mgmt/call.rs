//! The typed calls: the request of each, and what its answer means. Data only, so that the
//! asynchronous client and the blocking one cannot differ.

use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use super::{
    AGENT_POLICY_URL, AGENT_URL, DIRECT_VOLUME_PATH_KEY, DIRECT_VOLUME_RESIZE_URL,
    DIRECT_VOLUME_STATS_URL, IP_TABLE_URL, IP6_TABLE_URL, METRICS_URL, RequestErrorKind,
};
use crate::Layout;
use crate::transport::Request;

/// Bytes that are kept of a body that is to be text, but is not: as text they can be three times as long.
const NO_TEXT: usize = 64 << 10;

/// The version of the Internet Protocol that packet filter rules are for.
///
/// ```
/// use shim_interface::shim_mgmt::IpVersion;
///
/// let is_v6 = true;
/// assert_eq!(IpVersion::from(is_v6), IpVersion::V6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4: `iptables`.
    V4,
    /// IPv6: `ip6tables`.
    V6,
}

impl IpVersion {
    fn target(self) -> &'static str {
        match self {
            Self::V4 => IP_TABLE_URL,
            Self::V6 => IP6_TABLE_URL,
        }
    }
}

impl From<bool> for IpVersion {
    /// `true` is IPv6.
    fn from(is_v6: bool) -> Self {
        if is_v6 { Self::V6 } else { Self::V4 }
    }
}

pub(crate) fn agent_url() -> Request<'static> {
    Request::get(AGENT_URL)
}

pub(crate) fn metrics() -> Request<'static> {
    Request::get(METRICS_URL)
}

pub(crate) fn iptables(version: IpVersion) -> Request<'static> {
    Request::get(version.target())
}

pub(crate) fn set_iptables(version: IpVersion, rules: Vec<u8>) -> Request<'static> {
    Request::put(version.target(), rules)
}

pub(crate) fn set_policy(policy: &str) -> Request<'_> {
    Request::put(AGENT_POLICY_URL, policy.as_bytes())
}

pub(crate) fn volume_stats(guest_path: &str) -> Request<'static> {
    let value = percent_encoded(guest_path);
    Request::post(
        format!("{DIRECT_VOLUME_STATS_URL}?{DIRECT_VOLUME_PATH_KEY}={value}"),
        None,
        Vec::new(),
    )
}

/// The runtimes agree in everything but the names of these two fields.
pub(crate) fn resize_volume(layout: Layout, guest_path: &str, size: u64) -> Request<'static> {
    let body = match layout {
        Layout::RuntimeRs => serde_json::json!({ "volume_guest_path": guest_path, "size": size }),
        Layout::Go => serde_json::json!({ "VolumePath": guest_path, "Size": size }),
    };
    Request::post(
        DIRECT_VOLUME_RESIZE_URL,
        Some("application/json"),
        body.to_string().into_bytes(),
    )
}

/// The body of a successful answer.
pub(crate) fn bytes(response: Response<Bytes>) -> Result<Vec<u8>, RequestErrorKind> {
    if response.status() == StatusCode::OK {
        return Ok(response.into_body().into());
    }
    let status = response.status();
    let body = String::from_utf8(response.into_body().into()).unwrap_or_else(|error| {
        let bytes = error.as_bytes();
        let beginning = bytes.get(..NO_TEXT).unwrap_or(bytes);
        String::from_utf8_lossy(beginning).into_owned()
    });
    Err(RequestErrorKind::Status { status, body })
}

/// The same as text.
pub(crate) fn text(response: Response<Bytes>) -> Result<String, RequestErrorKind> {
    String::from_utf8(bytes(response)?)
        .map_err(|_| RequestErrorKind::Unexpected("the body is not UTF-8"))
}

/// The same as the address of an agent, which a shim that does not know it leaves empty.
pub(crate) fn address(response: Response<Bytes>) -> Result<String, RequestErrorKind> {
    let address = text(response)?;
    if address.is_empty() {
        return Err(RequestErrorKind::Unexpected(
            "the shim does not know the address of its agent (yet)",
        ));
    }
    Ok(address)
}

/// Success, whatever the body is.
pub(crate) fn nothing(response: Response<Bytes>) -> Result<(), RequestErrorKind> {
    bytes(response).map(drop)
}

/// `text` with all but the unreserved characters of RFC 3986 (section 2.3) percent-encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_path_is_one_query_value_whatever_it_contains() {
        for (path, target) in [
            ("/dev/sda", "/direct-volume/stats?path=%2Fdev%2Fsda"),
            ("", "/direct-volume/stats?path="),
            (
                "/a b&c=d#e?f+g%",
                "/direct-volume/stats?path=%2Fa%20b%26c%3Dd%23e%3Ff%2Bg%25",
            ),
            (
                "é\0\n-._~Z9",
                "/direct-volume/stats?path=%C3%A9%00%0A-._~Z9",
            ),
        ] {
            let request = volume_stats(path);
            assert_eq!(request.target, target);
            assert!(request.head().is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_resize_has_the_field_names_of_its_runtime() {
        let body = |layout| {
            let request = resize_volume(layout, "/a\"b", u64::MAX);
            serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()
        };
        assert_eq!(
            body(Layout::RuntimeRs),
            serde_json::json!({ "volume_guest_path": "/a\"b", "size": u64::MAX })
        );
        assert_eq!(
            body(Layout::Go),
            serde_json::json!({ "VolumePath": "/a\"b", "Size": u64::MAX })
        );
    }

    #[test]
    fn an_unknown_agent_address_is_an_error() {
        let answer = |body: &'static str| address(Response::new(Bytes::from(body)));
        assert_eq!(answer("vsock://3:1024").unwrap(), "vsock://3:1024");
        assert!(matches!(answer(""), Err(RequestErrorKind::Unexpected(_))));
    }
}
