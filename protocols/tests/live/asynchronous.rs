//! Async server and async client.

use std::future::pending;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use protocols::agent::{
    GetMetricsRequest, GetOOMEventRequest, Metrics, OOMEvent, SetPolicyRequest,
};
use protocols::agent_ttrpc_async::{AgentService, AgentServiceClient, create_agent_service};
use protocols::confidential_data_hub_ttrpc_async as cdh;
use protocols::empty::Empty;
use protocols::health::CheckRequest;
use protocols::health_ttrpc_async::{HealthClient, create_health};
use protocols::remote_ttrpc_async::create_hypervisor;
use tokio::sync::Notify;
use ttrpc::r#async::{Client, Server};
use ttrpc::asynchronous::TtrpcContext;
use ttrpc::context;
use ttrpc::{Code, Error, get_status};

use crate::harness::{
    Socket, TOO_LARGE, assert_healthy, client_error, garbage, impatient, patient, raw,
    read_request, start_async, start_async_agent, status, write_request,
};
use crate::methods::{Bare, Complete, call_all_async, paths, register_async};

/// Longer than any wait of ttrpc.
const HANGS: Duration = Duration::from_secs(60);

async fn check_health(client: &Client) {
    let health = HealthClient::new(client.clone());
    let request = CheckRequest::new();
    assert_healthy(
        health.check(patient(), &request).await,
        health.version(patient(), &request).await,
    );
}

async fn start(socket: &Socket, service: impl AgentService + Send + 'static) -> Server {
    start_async(&socket.address(), |server| {
        server.register_service(create_agent_service(Arc::new(service)))
    })
    .await
}

fn connect(socket: &Socket) -> Client {
    Client::connect(&socket.address()).unwrap()
}

#[tokio::test]
async fn health_is_answered() {
    let socket = Socket::new();
    let _server = start_async_agent(&socket.address()).await;
    check_health(&connect(&socket)).await;
}

#[test]
fn factories_know_the_methods_by_service() {
    let bare = || Arc::new(Bare);
    let services = [
        ("grpc.AgentService", 42, create_agent_service(bare())),
        ("grpc.Health", 2, create_health(bare())),
        ("hypervisor.Hypervisor", 4, create_hypervisor(bare())),
        (
            "api.SealedSecretService",
            1,
            cdh::create_sealed_secret_service(bare()),
        ),
        (
            "api.SecureMountService",
            1,
            cdh::create_secure_mount_service(bare()),
        ),
        (
            "api.GetResourceService",
            1,
            cdh::create_get_resource_service(bare()),
        ),
        (
            "api.ImagePullService",
            1,
            cdh::create_image_pull_service(bare()),
        ),
    ];
    for (name, methods, factory) in services {
        assert_eq!(factory.len(), 1, "{name}");
        assert_eq!(factory[name].methods.len(), methods, "{name}");
        assert!(factory[name].streams.is_empty(), "{name}");
    }
    assert!(
        create_agent_service(bare())["grpc.AgentService"]
            .methods
            .contains_key("GetIPTables")
    );
}

#[tokio::test]
async fn every_method_carries_its_request_and_response() {
    let socket = Socket::new();
    let service = Arc::new(Complete::default());
    let register = |server| register_async(server, service.clone());
    let _server = start_async(&socket.address(), register).await;
    call_all_async(&connect(&socket), |path, answer| {
        assert_eq!(
            answer.map_err(|error| error.to_string()),
            Ok(true),
            "{path}"
        );
    })
    .await;
    assert_eq!(service.take_calls(), paths());
}

#[tokio::test]
async fn methods_without_implementation_answer_not_found() {
    let socket = Socket::new();
    let register = |server| register_async(server, Arc::new(Bare));
    let _server = start_async(&socket.address(), register).await;
    call_all_async(&connect(&socket), |path, answer| {
        let expected = format!("{path} is not supported");
        assert_eq!(status(answer), (Code::NOT_FOUND, expected));
    })
    .await;
}

#[tokio::test]
async fn errors_of_a_method_arrive_as_status() {
    struct Service;
    #[async_trait]
    impl AgentService for Service {
        async fn set_policy(&self, _: &TtrpcContext, r: SetPolicyRequest) -> ttrpc::Result<Empty> {
            Err(match r.policy.as_str() {
                "status" => Error::RpcStatus(get_status(Code::PERMISSION_DENIED, "no")),
                text => Error::Others(text.to_owned()),
            })
        }
    }

    let socket = Socket::new();
    let _server = start(&socket, Service).await;
    let agent = AgentServiceClient::new(connect(&socket));
    let set = |policy: &str| {
        let policy = policy.to_owned();
        let (agent, request) = (
            &agent,
            SetPolicyRequest {
                policy,
                ..Default::default()
            },
        );
        async move { agent.set_policy(patient(), &request).await }
    };
    assert_eq!(
        status(set("status").await),
        (Code::PERMISSION_DENIED, "no".to_owned())
    );
    assert_eq!(
        status(set("text").await),
        (Code::UNKNOWN, r#"Others("text")"#.to_owned())
    );
}

#[tokio::test]
async fn metadata_and_time_limit_reach_the_method() {
    struct Service;
    #[async_trait]
    impl AgentService for Service {
        async fn get_metrics(
            &self,
            ctx: &TtrpcContext,
            _: GetMetricsRequest,
        ) -> ttrpc::Result<Metrics> {
            let metrics = format!("{} {:?}", ctx.timeout_nano, ctx.metadata["key"]);
            Ok(Metrics {
                metrics,
                ..Default::default()
            })
        }
    }

    let socket = Socket::new();
    let _server = start(&socket, Service).await;
    let mut ctx = context::with_timeout(30_000_000_000);
    ctx.add("key".to_owned(), "one".to_owned());
    let agent = AgentServiceClient::new(connect(&socket));
    let metrics = agent
        .get_metrics(ctx, &GetMetricsRequest::new())
        .await
        .unwrap();
    assert_eq!(metrics.metrics, r#"30000000000 ["one"]"#);
}

/// Never answers `get_metrics`, and panics in `get_oom_event`.
#[derive(Default)]
struct Silent {
    called: Arc<Notify>,
}

#[async_trait]
impl AgentService for Silent {
    async fn get_metrics(&self, _: &TtrpcContext, _: GetMetricsRequest) -> ttrpc::Result<Metrics> {
        self.called.notify_one();
        pending().await
    }

    async fn get_oom_event(
        &self,
        _: &TtrpcContext,
        _: GetOOMEventRequest,
    ) -> ttrpc::Result<OOMEvent> {
        panic!("this test wants a method that panics")
    }

    async fn set_policy(&self, _: &TtrpcContext, _: SetPolicyRequest) -> ttrpc::Result<Empty> {
        Ok(Empty::new())
    }
}

#[tokio::test]
async fn call_without_answer_ends_with_its_time_limit() {
    let socket = Socket::new();
    let _server = start(&socket, Silent::default()).await;
    let agent = AgentServiceClient::new(connect(&socket));
    let request = GetMetricsRequest::new();
    let call = tokio::time::timeout(HANGS, agent.get_metrics(impatient(), &request));
    match call.await.expect("the limit of the call is ignored") {
        // The server may be quicker than the client.
        Err(Error::RpcStatus(status)) => {
            assert_eq!(status.code(), Code::DEADLINE_EXCEEDED);
            assert_eq!(status.message(), "timeout");
        }
        other => {
            let error = client_error(other);
            assert!(error.starts_with("Receive packet timeout "), "{error}");
        }
    }
    agent
        .set_policy(patient(), &SetPolicyRequest::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn panicking_method_gives_no_answer_and_harms_no_other_call() {
    let socket = Socket::new();
    let _server = start(&socket, Silent::default()).await;
    let agent = AgentServiceClient::new(connect(&socket));
    let request = GetOOMEventRequest::new();
    let error = client_error(agent.get_oom_event(impatient(), &request).await);
    assert!(error.starts_with("Receive packet timeout "), "{error}");
    agent
        .set_policy(patient(), &SetPolicyRequest::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn shutdown_ends_pending_and_later_calls() {
    let socket = Socket::new();
    let service = Silent::default();
    let called = service.called.clone();
    let mut server = start(&socket, service).await;
    let agent = AgentServiceClient::new(connect(&socket));
    let no_limit = context::with_timeout(0);
    let call = tokio::spawn({
        let (agent, no_limit) = (agent.clone(), no_limit.clone());
        async move { agent.get_metrics(no_limit, &GetMetricsRequest::new()).await }
    });
    called.notified().await;

    tokio::time::timeout(HANGS, server.shutdown())
        .await
        .expect("shutdown hangs")
        .unwrap();
    let pending = tokio::time::timeout(HANGS, call)
        .await
        .expect("pending call hangs");
    assert!(pending.unwrap().is_err());
    let request = SetPolicyRequest::new();
    let later = tokio::time::timeout(HANGS, agent.set_policy(no_limit, &request));
    assert!(later.await.expect("later call hangs").is_err());
    assert!(UnixStream::connect(socket.path()).is_err());
}

#[tokio::test]
async fn messages_of_up_to_4_mib_pass_and_larger_ones_fail_alone() {
    let socket = Socket::new();
    let _server = start_async_agent(&socket.address()).await;
    let agent = AgentServiceClient::new(connect(&socket));

    let three = 3 << 20;
    let written = agent
        .write_stdin(patient(), &write_request(three))
        .await
        .unwrap();
    assert_eq!(written.len, u32::try_from(three).unwrap());
    let error = client_error(
        agent
            .write_stdin(patient(), &write_request(TOO_LARGE))
            .await,
    );
    assert!(error.starts_with("message length "), "{error}");
    assert!(
        error.ends_with(" exceed maximum message size of 4194304"),
        "{error}"
    );

    let read = agent
        .read_stdout(patient(), &read_request(three))
        .await
        .unwrap();
    assert_eq!(read.data.len(), three);
    let (code, text) = status(agent.read_stdout(patient(), &read_request(TOO_LARGE)).await);
    assert_eq!(code, Code::INVALID_ARGUMENT);
    assert!(
        text.ends_with(" exceed maximum message size of 4194304"),
        "{text}"
    );
    assert_eq!(
        agent
            .read_stdout(patient(), &read_request(1))
            .await
            .unwrap()
            .data,
        [7]
    );
}

#[tokio::test]
async fn unknown_service_method_and_payload_have_their_status() {
    let socket = Socket::new();
    let _server = start_async_agent(&socket.address()).await;
    let client = connect(&socket);
    let answer = client.request(raw("grpc.Nothing", "Check", &[])).await;
    let expected = "grpc.Nothing service does not exist".to_owned();
    assert_eq!(status(answer), (Code::INVALID_ARGUMENT, expected));
    let answer = client.request(raw("grpc.Health", "Nothing", &[])).await;
    assert_eq!(
        status(answer),
        (Code::UNIMPLEMENTED, "Nothing method".to_owned())
    );
    let payload = garbage::<CheckRequest>();
    let answer = client.request(raw("grpc.Health", "Check", &payload)).await;
    assert_eq!(status(answer).0, Code::UNKNOWN);
    check_health(&client).await;
    check_health(&connect(&socket)).await;
}

#[tokio::test]
async fn client_takes_a_connected_descriptor() {
    let socket = Socket::new();
    let _server = start_async_agent(&socket.address()).await;
    let stream = UnixStream::connect(socket.path()).unwrap();
    check_health(&Client::new(stream.into_raw_fd())).await;
}

#[tokio::test]
async fn abstract_socket_is_served() {
    let address = format!("unix://@protocols-live-{}", std::process::id());
    let _server = start_async_agent(&address).await;
    check_health(&Client::connect(&address).unwrap()).await;
}

#[tokio::test]
async fn vsock_is_served() {
    // The loopback transport has context id 1; the server listens on any.
    let port = 1 << 20 | std::process::id();
    let server = match Server::new().bind(&format!("vsock://-1:{port}")) {
        Ok(server) => server,
        Err(error) => return skip_vsock(&error),
    };
    let agent = Arc::new(crate::harness::Agent);
    let mut server = server.register_service(create_health(agent));
    server.start().await.unwrap();
    match Client::connect(&format!("vsock://1:{port}")) {
        Ok(client) => check_health(&client).await,
        Err(error) => skip_vsock(&error),
    }
}

#[expect(clippy::print_stdout, reason = "a skip must be seen")]
fn skip_vsock(error: &Error) {
    println!("INFO: skipping vsock_is_served which needs /dev/vsock and vsock_loopback: {error}");
}
