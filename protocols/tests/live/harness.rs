//! Sockets, servers that end with their test, and an agent with a few methods.

use std::sync::Arc;
use std::time::Duration;

use protobuf::{EnumOrUnknown, MessageFull};
use protocols::agent::{
    ReadStreamRequest, ReadStreamResponse, WriteStreamRequest, WriteStreamResponse,
};
use protocols::health::health_check_response::ServingStatus;
use protocols::health::{CheckRequest, HealthCheckResponse, VersionCheckResponse};
use tempfile::TempDir;
use ttrpc::context::{self, Context};
use ttrpc::{Code, Error};

/// More than 4 MiB, the greatest message of ttrpc.
pub(crate) const TOO_LARGE: usize = (4 << 20) + 1;

/// A call that must succeed.
pub(crate) fn patient() -> Context {
    context::with_duration(Duration::from_secs(60))
}

/// A call that gets no answer.
pub(crate) fn impatient() -> Context {
    context::with_duration(Duration::from_millis(50))
}

/// A socket in a folder of its own.
pub(crate) struct Socket {
    folder: TempDir,
}

impl Socket {
    pub(crate) fn new() -> Self {
        Socket {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("ttrpc.sock")
    }

    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.path().display())
    }
}

/// A blocking server, shut down when dropped.
pub(crate) struct BlockingServer(Option<ttrpc::Server>);

impl BlockingServer {
    pub(crate) fn start(server: ttrpc::Server) -> Self {
        let mut server = server;
        server.start().unwrap();
        BlockingServer(Some(server))
    }

    /// A server of every service, all implemented by `service`.
    pub(crate) fn of(
        socket: &Socket,
        register: impl FnOnce(ttrpc::Server) -> ttrpc::Server,
    ) -> Self {
        Self::start(register(
            ttrpc::Server::new().bind(&socket.address()).unwrap(),
        ))
    }

    pub(crate) fn agent(socket: &Socket) -> Self {
        use protocols::agent_ttrpc::create_agent_service;
        use protocols::health_ttrpc::create_health;

        let agent = Arc::new(Agent);
        Self::of(socket, |server| {
            server
                .register_service(create_agent_service(agent.clone()))
                .register_service(create_health(agent))
        })
    }
}

impl Drop for BlockingServer {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.shutdown();
        }
    }
}

/// An agent that answers the health checks and moves data.
pub(crate) struct Agent;

impl Agent {
    fn check() -> HealthCheckResponse {
        HealthCheckResponse {
            status: EnumOrUnknown::new(ServingStatus::SERVING),
            ..Default::default()
        }
    }

    fn version() -> VersionCheckResponse {
        VersionCheckResponse {
            grpc_version: "0.0.1".to_owned(),
            agent_version: "3.1.0-é世".to_owned(),
            ..Default::default()
        }
    }

    /// Tells how many bytes arrived.
    fn write(request: &WriteStreamRequest) -> WriteStreamResponse {
        WriteStreamResponse {
            len: u32::try_from(request.data.len()).unwrap(),
            ..Default::default()
        }
    }

    /// As many bytes as asked for, or an error that is no status if the container has no name.
    fn read(request: &ReadStreamRequest) -> ttrpc::Result<ReadStreamResponse> {
        if request.container_id.is_empty() {
            return Err(Error::Others("no container".to_owned()));
        }
        Ok(ReadStreamResponse {
            data: vec![7; usize::try_from(request.len).unwrap()],
            ..Default::default()
        })
    }
}

impl protocols::health_ttrpc::Health for Agent {
    fn check(
        &self,
        _: &ttrpc::TtrpcContext,
        _: CheckRequest,
    ) -> ttrpc::Result<HealthCheckResponse> {
        Ok(Agent::check())
    }

    fn version(
        &self,
        _: &ttrpc::TtrpcContext,
        _: CheckRequest,
    ) -> ttrpc::Result<VersionCheckResponse> {
        Ok(Agent::version())
    }
}

impl protocols::agent_ttrpc::AgentService for Agent {
    fn write_stdin(
        &self,
        _: &ttrpc::TtrpcContext,
        request: WriteStreamRequest,
    ) -> ttrpc::Result<WriteStreamResponse> {
        Ok(Agent::write(&request))
    }

    fn read_stdout(
        &self,
        _: &ttrpc::TtrpcContext,
        request: ReadStreamRequest,
    ) -> ttrpc::Result<ReadStreamResponse> {
        Agent::read(&request)
    }
}

#[cfg(feature = "async")]
#[async_trait::async_trait]
impl protocols::health_ttrpc_async::Health for Agent {
    async fn check(
        &self,
        _: &ttrpc::r#async::TtrpcContext,
        _: CheckRequest,
    ) -> ttrpc::Result<HealthCheckResponse> {
        Ok(Agent::check())
    }

    async fn version(
        &self,
        _: &ttrpc::r#async::TtrpcContext,
        _: CheckRequest,
    ) -> ttrpc::Result<VersionCheckResponse> {
        Ok(Agent::version())
    }
}

#[cfg(feature = "async")]
#[async_trait::async_trait]
impl protocols::agent_ttrpc_async::AgentService for Agent {
    async fn write_stdin(
        &self,
        _: &ttrpc::r#async::TtrpcContext,
        request: WriteStreamRequest,
    ) -> ttrpc::Result<WriteStreamResponse> {
        Ok(Agent::write(&request))
    }

    async fn read_stdout(
        &self,
        _: &ttrpc::r#async::TtrpcContext,
        request: ReadStreamRequest,
    ) -> ttrpc::Result<ReadStreamResponse> {
        Agent::read(&request)
    }
}

/// Starts an async server with services of one kind.
#[cfg(feature = "async")]
pub(crate) async fn start_async(
    address: &str,
    register: impl FnOnce(ttrpc::r#async::Server) -> ttrpc::r#async::Server,
) -> ttrpc::r#async::Server {
    let mut server = register(ttrpc::r#async::Server::new().bind(address).unwrap());
    server.start().await.unwrap();
    server
}

/// [`start_async`] with an [`Agent`].
#[cfg(feature = "async")]
pub(crate) async fn start_async_agent(address: &str) -> ttrpc::r#async::Server {
    use protocols::agent_ttrpc_async::create_agent_service;
    use protocols::health_ttrpc_async::create_health;

    let agent = Arc::new(Agent);
    start_async(address, |server| {
        server
            .register_service(create_agent_service(agent.clone()))
            .register_service(create_health(agent))
    })
    .await
}

/// The answers that [`Agent`] gives to the health checks.
#[track_caller]
pub(crate) fn assert_healthy(
    check: ttrpc::Result<HealthCheckResponse>,
    version: ttrpc::Result<VersionCheckResponse>,
) {
    assert_eq!(check.unwrap().status(), ServingStatus::SERVING);
    let version = version.unwrap();
    assert_eq!(version.grpc_version(), "0.0.1");
    assert_eq!(version.agent_version(), "3.1.0-é世");
}

/// Code and text of the status that the server answered with.
#[track_caller]
pub(crate) fn status<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> (Code, String) {
    match result {
        Err(Error::RpcStatus(status)) => (status.code(), status.message().to_owned()),
        other => panic!("no status: {other:?}"),
    }
}

/// Text of an error of the client.
#[track_caller]
pub(crate) fn client_error<T: std::fmt::Debug>(result: ttrpc::Result<T>) -> String {
    match result {
        Err(Error::Others(text)) => text,
        other => panic!("no error of the client: {other:?}"),
    }
}

/// A request with `length` bytes of data.
pub(crate) fn write_request(length: usize) -> WriteStreamRequest {
    WriteStreamRequest {
        data: vec![7; length],
        ..Default::default()
    }
}

/// A request for `length` bytes.
pub(crate) fn read_request(length: usize) -> ReadStreamRequest {
    ReadStreamRequest {
        container_id: "c1".to_owned(),
        len: u32::try_from(length).unwrap(),
        ..Default::default()
    }
}

/// A request as it goes over the wire.
pub(crate) fn raw(service: &str, method: &str, payload: &[u8]) -> ttrpc::Request {
    ttrpc::Request {
        service: service.to_owned(),
        method: method.to_owned(),
        timeout_nano: patient().timeout_nano,
        payload: payload.to_vec(),
        ..Default::default()
    }
}

/// Bytes that are no message of type `M`: a length with nothing behind it.
pub(crate) fn garbage<M: MessageFull>() -> Vec<u8> {
    let garbage = vec![0x0a, 0xff];
    assert!(M::parse_from_bytes(&garbage).is_err());
    garbage
}
