//! The blocking twin of [`client`](super::client), for programs without any executor.

use std::time::Duration;

use anyhow::Context;
use hyper::Response;
use hyper::body::Bytes;

use super::client::NO_SOCKET_PATH;
use super::{IpVersion, RequestErrorKind, call};
use crate::transport::{Request, Transport};
use crate::{Sandbox, StorageRoots, find_sandbox_in};

/// A client of the management service of one sandbox, which waits in the calling thread.
///
/// It is the twin of [`client::MgmtClient`](super::client::MgmtClient): what is said there about
/// paths, deadline, limit, connections and errors holds here. Bodies are
/// [`Bytes`](https://docs.rs/bytes/1/bytes/struct.Bytes.html).
///
/// ```
/// use std::time::Duration;
/// use shim_interface::shim_mgmt::blocking::MgmtClient;
///
/// fn print_agent_url(sandbox_id: &str) -> anyhow::Result<()> {
///     let client = MgmtClient::new(sandbox_id, Some(Duration::from_secs(2)))?;
///     println!("{}", client.agent_url()?);
///     Ok(())
/// }
/// # let error = print_agent_url("no-such-sandbox").unwrap_err();
/// # assert_eq!(error.to_string(), "Failed to get unix socket path");
/// ```
pub struct MgmtClient {
    transport: Transport,
}

impl MgmtClient {
    /// A client for the sandbox with the id `sid`, or with the only id that begins with it
    /// ([`find_sandbox`](crate::find_sandbox)). Does not connect.
    ///
    /// Each call may take `timeout`; `None` is no limit.
    ///
    /// # Errors
    ///
    /// `Failed to get unix socket path`, caused by a [`StorageError`](crate::StorageError).
    ///
    /// ```
    /// use shim_interface::StorageError;
    /// use shim_interface::shim_mgmt::blocking::MgmtClient;
    ///
    /// let error = MgmtClient::new("../etc", None).err().unwrap();
    /// assert_eq!(error.to_string(), "Failed to get unix socket path");
    /// assert!(matches!(error.downcast_ref(), Some(StorageError::InvalidId(_))));
    /// ```
    pub fn new(sid: &str, timeout: Option<Duration>) -> anyhow::Result<Self> {
        Self::new_in(&StorageRoots::default(), sid, timeout)
    }

    /// [`new`](Self::new), with sandboxes in other directories.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use std::time::Duration;
    /// use shim_interface::StorageRoots;
    /// use shim_interface::shim_mgmt::blocking::MgmtClient;
    /// # let dir = tempfile::tempdir()?;
    /// # std::fs::create_dir_all(dir.path().join("run/kata/web-1"))?;
    ///
    /// let roots = StorageRoots::under(dir.path());
    /// let client = MgmtClient::new_in(&roots, "web", Some(Duration::from_secs(2)))?;
    /// assert_eq!(client.sandbox().id(), "web-1");
    /// # anyhow::Ok(())
    /// ```
    pub fn new_in(
        roots: &StorageRoots,
        sid: &str,
        timeout: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let sandbox = find_sandbox_in(roots, sid).context(NO_SOCKET_PATH)?;
        Ok(Self::for_sandbox(sandbox, timeout))
    }

    /// A client for a sandbox that was found or listed before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shim_interface::list_sandboxes_in;
    /// use shim_interface::shim_mgmt::blocking::MgmtClient;
    /// # let dir = tempfile::tempdir()?;
    /// # let roots = shim_interface::StorageRoots::under(dir.path());
    ///
    /// let clients: Vec<MgmtClient> = list_sandboxes_in(&roots)?
    ///     .into_iter()
    ///     .map(|sandbox| MgmtClient::for_sandbox(sandbox, Some(Duration::from_secs(2))))
    ///     .collect();
    /// # assert!(clients.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_sandbox(sandbox: Sandbox, timeout: Option<Duration>) -> Self {
        Self {
            transport: Transport::new(sandbox, timeout),
        }
    }

    /// Accepts bodies of at most `bytes` bytes. Default: 64 MiB.
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let client = client.with_body_limit(10);
    /// let error = client.metrics().unwrap_err();
    /// assert!(error.to_string().ends_with("response body exceeds the limit of 10 bytes"));
    /// # anyhow::Ok(())
    /// ```
    #[must_use]
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.transport.body_limit = bytes;
        self
    }

    /// The sandbox that this client talks to.
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # use shim_interface::shim_mgmt::blocking::MgmtClient;
    /// let client = MgmtClient::new_in(&roots, "web", None)?; // the beginning of an id
    /// assert_eq!(client.sandbox().id(), "web-1");
    /// # anyhow::Ok(())
    /// ```
    pub fn sandbox(&self) -> &Sandbox {
        &self.transport.sandbox
    }

    /// GET `uri`: a path, and optionally a query, percent-encoded. Any status is a success.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let response = client.get("/metrics")?;
    /// assert_eq!(response.status(), 200);
    /// let body = response.into_body();
    /// assert!(body.starts_with(b"kata_"));
    /// # anyhow::Ok(())
    /// ```
    pub fn get(&self, uri: &str) -> anyhow::Result<Response<Bytes>> {
        self.raw(Request::get(uri))
    }

    /// POST `content` to `uri`, as `content_type`. Any status is a success.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError), also if `content_type` is no header value.
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let response = client.post("/nowhere", "application/json", "{}")?;
    /// assert_eq!(response.status(), 404);
    /// # anyhow::Ok(())
    /// ```
    pub fn post(
        &self,
        uri: &str,
        content_type: &str,
        content: &str,
    ) -> anyhow::Result<Response<Bytes>> {
        self.raw(Request::post(uri, Some(content_type), content.as_bytes()))
    }

    /// PUT `data` to `uri`, without a content type. Any status is a success.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let response = client.put("/policy", b"package agent_policy".to_vec())?;
    /// assert_eq!(response.status(), 200);
    /// # anyhow::Ok(())
    /// ```
    pub fn put(&self, uri: &str, data: Vec<u8>) -> anyhow::Result<Response<Bytes>> {
        self.raw(Request::put(uri, data))
    }

    /// The address of the agent's socket and its port, such as `vsock://3:1024` or
    /// `hvsock:///run/kata/<id>/root/kata.hvsock:1024`.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError), also if the shim does not know the address.
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// assert_eq!(client.agent_url()?, "vsock://3:1024");
    /// # anyhow::Ok(())
    /// ```
    pub fn agent_url(&self) -> anyhow::Result<String> {
        self.typed(call::agent_url(), call::address)
    }

    /// The metrics of agent, hypervisor and shim, in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// assert_eq!(client.metrics()?, "kata_shim_threads 7\n");
    /// # anyhow::Ok(())
    /// ```
    pub fn metrics(&self) -> anyhow::Result<String> {
        self.typed(call::metrics(), call::text)
    }

    /// The packet filter rules of the guest, as `iptables-save` prints them.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// use shim_interface::shim_mgmt::IpVersion;
    ///
    /// let rules = client.iptables(IpVersion::V6)?;
    /// assert!(rules.starts_with(b"*filter\n"));
    /// # anyhow::Ok(())
    /// ```
    pub fn iptables(&self, version: impl Into<IpVersion>) -> anyhow::Result<Vec<u8>> {
        self.typed(call::iptables(version.into()), call::bytes)
    }

    /// Replaces the packet filter rules of the guest by `rules`, in the format of
    /// `iptables-restore`. Returns what that printed.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// use shim_interface::shim_mgmt::IpVersion;
    ///
    /// client.set_iptables(IpVersion::V4, "*filter\nCOMMIT\n")?;
    /// # anyhow::Ok(())
    /// ```
    pub fn set_iptables(
        &self,
        version: impl Into<IpVersion>,
        rules: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Vec<u8>> {
        let request = call::set_iptables(version.into(), rules.into());
        self.typed(request, call::bytes)
    }

    /// Replaces the policy that the agent enforces by the text `policy`.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// client.set_policy("package agent_policy")?;
    /// # anyhow::Ok(())
    /// ```
    pub fn set_policy(&self, policy: &str) -> anyhow::Result<()> {
        self.typed(call::set_policy(policy), call::nothing)
    }

    /// Statistics of the directly assigned volume at `guest_path`, as the JSON text of the agent.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let stats = client.volume_stats("/run/kata/volumes/data")?;
    /// assert_eq!(stats, r#"{"usage":[]}"#);
    /// # anyhow::Ok(())
    /// ```
    pub fn volume_stats(&self, guest_path: &str) -> anyhow::Result<String> {
        self.typed(call::volume_stats(guest_path), call::text)
    }

    /// Tells the guest that the directly assigned volume at `guest_path` has `size` bytes now.
    ///
    /// # Errors
    ///
    /// A [`RequestError`](super::RequestError).
    ///
    /// ```
    /// # mod shim { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/example_shim.rs")); }
    /// # let (_dir, roots) = shim::start();
    /// # let client = shim_interface::shim_mgmt::blocking::MgmtClient::new_in(&roots, "web-1", None)?;
    /// client.resize_volume("/run/kata/volumes/data", 8 << 30)?; // 8 GiB
    /// # anyhow::Ok(())
    /// ```
    pub fn resize_volume(&self, guest_path: &str, size: u64) -> anyhow::Result<()> {
        let request = call::resize_volume(self.sandbox().layout(), guest_path, size);
        self.typed(request, call::nothing)
    }

    fn raw(&self, request: Request<'_>) -> anyhow::Result<Response<Bytes>> {
        Ok(self.transport.send_blocking(&request)?)
    }

    fn typed<T>(
        &self,
        request: Request<'_>,
        meaning: fn(Response<Bytes>) -> Result<T, RequestErrorKind>,
    ) -> anyhow::Result<T> {
        let response = self.transport.send_blocking(&request)?;
        meaning(response).map_err(|kind| self.transport.error(&request, kind).into())
    }
}
