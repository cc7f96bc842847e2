//! The asynchronous client.
//!
//! It works on any executor. In a tokio runtime with an I/O driver, that driver watches the
//! sockets; elsewhere, for slow answers and for all deadlines, a thread does that is started once per
//! process, by the first call that has to wait.

use std::time::Duration;

use anyhow::Context;
use hyper::body::Bytes;
use hyper::{Body, Response};

use super::{IpVersion, RequestErrorKind, call};
use crate::transport::{Request, Transport};
use crate::{Sandbox, StorageRoots, find_sandbox_in};

/// Outermost message of [`MgmtClient::new`].
pub(super) const NO_SOCKET_PATH: &str = "Failed to get unix socket path";

/// A client of the management service of one sandbox.
///
/// It is bound to the path of a socket, which is looked up once, by [`new`](Self::new); not to a
/// process: if the sandbox goes and another one takes its id, the client talks to that one.
///
/// All calls can run concurrently. A few idle connections are kept for the next calls, and closed
/// with the client.
///
/// # Deadline and limit
///
/// The timeout covers a whole call: connecting, sending, waiting, and receiving the body. What is
/// returned is complete, in memory, and not longer than the
/// [limit](Self::with_body_limit).
///
/// # Errors
///
/// The [`anyhow::Error`] of a call is a [`RequestError`](super::RequestError); its message has
/// method, target, socket and cause. With the raw calls, [`get`](Self::get), [`post`](Self::post)
/// and [`put`](Self::put), every status is a success; with the others, only 200 is.
///
/// # Cancel safety
///
/// Dropping the future of a call closes its connection. The server may have got the request
/// nevertheless. A request is never sent twice.
///
/// ```
/// use std::time::Duration;
/// use shim_interface::shim_mgmt::client::MgmtClient;
///
/// async fn print_agent_url(sandbox_id: &str) -> anyhow::Result<()> {
///     let client = MgmtClient::new(sandbox_id, Some(Duration::from_secs(2)))?;
///     println!("{}", client.agent_url().await?);
///     Ok(())
/// }
/// # let error = futures::executor::block_on(print_agent_url("no-such-sandbox")).unwrap_err();
/// # assert_eq!(error.to_string(), "Failed to get unix socket path");
/// ```
pub struct MgmtClient {
    transport: Transport,
}

impl MgmtClient {
    /// A client for the sandbox with the id `sid`, or with the only id that begins with it
    /// ([`find_sandbox`](crate::find_sandbox)). Does not connect, and needs no runtime.
    ///
    /// Each call may take `timeout`; `None` is no limit.
    ///
    /// # Errors
    ///
    /// `Failed to get unix socket path`, caused by a [`StorageError`](crate::StorageError).
    ///
    /// ```
    /// use shim_interface::StorageError;
    /// use shim_interface::shim_mgmt::client::MgmtClient;
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
    /// use shim_interface::shim_mgmt::client::MgmtClient;
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
    /// use shim_interface::shim_mgmt::client::MgmtClient;
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// let client = client.with_body_limit(10);
    /// let error = futures::executor::block_on(client.metrics()).unwrap_err();
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
    /// # use shim_interface::shim_mgmt::client::MgmtClient;
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// let response = client.get("/metrics").await?;
    /// assert_eq!(response.status(), 200);
    /// let body = hyper::body::to_bytes(response.into_body()).await?;
    /// assert!(body.starts_with(b"kata_"));
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn get(&self, uri: &str) -> anyhow::Result<Response<Body>> {
        self.raw(Request::get(uri)).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// let response = client
    ///     .post("/nowhere", "application/json", "{}")
    ///     .await?;
    /// assert_eq!(response.status(), 404);
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn post(
        &self,
        uri: &str,
        content_type: &str,
        content: &str,
    ) -> anyhow::Result<Response<Body>> {
        self.raw(Request::post(uri, Some(content_type), content.as_bytes()))
            .await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// let response = client.put("/policy", b"package agent_policy".to_vec()).await?;
    /// assert_eq!(response.status(), 200);
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn put(&self, uri: &str, data: Vec<u8>) -> anyhow::Result<Response<Body>> {
        self.raw(Request::put(uri, data)).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// assert_eq!(client.agent_url().await?, "vsock://3:1024");
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn agent_url(&self) -> anyhow::Result<String> {
        self.typed(call::agent_url(), call::address).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// assert_eq!(client.metrics().await?, "kata_shim_threads 7\n");
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn metrics(&self) -> anyhow::Result<String> {
        self.typed(call::metrics(), call::text).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// use shim_interface::shim_mgmt::IpVersion;
    ///
    /// let rules = client.iptables(IpVersion::V6).await?;
    /// assert!(rules.starts_with(b"*filter\n"));
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn iptables(&self, version: impl Into<IpVersion>) -> anyhow::Result<Vec<u8>> {
        self.typed(call::iptables(version.into()), call::bytes)
            .await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// use shim_interface::shim_mgmt::IpVersion;
    ///
    /// client
    ///     .set_iptables(IpVersion::V4, "*filter\nCOMMIT\n")
    ///     .await?;
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn set_iptables(
        &self,
        version: impl Into<IpVersion>,
        rules: impl Into<Vec<u8>>,
    ) -> anyhow::Result<Vec<u8>> {
        let request = call::set_iptables(version.into(), rules.into());
        self.typed(request, call::bytes).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// client.set_policy("package agent_policy").await?;
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn set_policy(&self, policy: &str) -> anyhow::Result<()> {
        self.typed(call::set_policy(policy), call::nothing).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// let stats = client.volume_stats("/run/kata/volumes/data").await?;
    /// assert_eq!(stats, r#"{"usage":[]}"#);
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn volume_stats(&self, guest_path: &str) -> anyhow::Result<String> {
        self.typed(call::volume_stats(guest_path), call::text).await
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
    /// # let client = shim_interface::shim_mgmt::client::MgmtClient::new_in(&roots, "web-1", None)?;
    /// # futures::executor::block_on(async {
    /// client.resize_volume("/run/kata/volumes/data", 8 << 30).await?; // 8 GiB
    /// # anyhow::Ok(()) })?;
    /// # anyhow::Ok(())
    /// ```
    pub async fn resize_volume(&self, guest_path: &str, size: u64) -> anyhow::Result<()> {
        let request = call::resize_volume(self.sandbox().layout(), guest_path, size);
        self.typed(request, call::nothing).await
    }

    async fn raw(&self, request: Request<'_>) -> anyhow::Result<Response<Body>> {
        Ok(self.transport.send(&request).await?.map(Body::from))
    }

    async fn typed<T>(
        &self,
        request: Request<'_>,
        meaning: fn(Response<Bytes>) -> Result<T, RequestErrorKind>,
    ) -> anyhow::Result<T> {
        let response = self.transport.send(&request).await?;
        meaning(response).map_err(|kind| self.transport.error(&request, kind).into())
    }
}
