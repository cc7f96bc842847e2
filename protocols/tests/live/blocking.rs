//! Blocking server and blocking client.

use std::io::{Read, Write};
use std::os::fd::IntoRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use protobuf::Message;
use protocols::agent::{GetMetricsRequest, Metrics, ReadStreamRequest, SetPolicyRequest};
use protocols::agent_ttrpc::{AgentService, AgentServiceClient, create_agent_service};
use protocols::empty::Empty;
use protocols::health::CheckRequest;
use protocols::health_ttrpc::{Health, HealthClient, create_health};
use ttrpc::context;
use ttrpc::{Client, Code, Error, get_status};

use crate::harness::{
    BlockingServer, Socket, TOO_LARGE, assert_healthy, client_error, garbage, impatient, patient,
    raw, read_request, status, write_request,
};
use crate::methods::{Bare, Complete, call_all, paths, register};

fn connect(socket: &Socket) -> Client {
    Client::connect(&socket.address()).unwrap()
}

fn check_health(client: &Client) {
    let health = HealthClient::new(client.clone());
    let request = CheckRequest::new();
    assert_healthy(
        health.check(patient(), &request),
        health.version(patient(), &request),
    );
}

#[test]
fn health_is_answered() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    check_health(&connect(&socket));
}

#[test]
fn factories_know_the_methods_by_path() {
    struct Service;
    impl Health for Service {}
    impl AgentService for Service {}

    let mut keys: Vec<String> = create_health(Arc::new(Service)).into_keys().collect();
    keys.sort();
    assert_eq!(keys, ["/grpc.Health/Check", "/grpc.Health/Version"]);

    let agent = create_agent_service(Arc::new(Service));
    assert_eq!(agent.len(), 42);
    assert!(agent.contains_key("/grpc.AgentService/GetOOMEvent"));
}

#[test]
fn every_method_with_stubs_is_in_the_table_of_these_tests() {
    let contract = include_str!("../data/contract.tsv").lines().skip(1);
    let rows = contract.map(|row| row.split('\t').collect::<Vec<_>>());
    let mut expected: Vec<String> = rows
        .filter(|row| row[2] == "method" && row[0] != "cri-api/api.proto")
        .map(|row| format!("/{}/{}", row[3], row[4]))
        .collect();
    expected.sort();
    let mut actual = paths();
    actual.sort_unstable();
    assert_eq!(actual, expected);
    assert_eq!(actual.len(), 52);
}

#[test]
fn every_method_carries_its_request_and_response() {
    let socket = Socket::new();
    let service = Arc::new(Complete::default());
    let _server = BlockingServer::of(&socket, |server| register(server, service.clone()));
    call_all(&connect(&socket), |path, answer| {
        assert_eq!(
            answer.map_err(|error| error.to_string()),
            Ok(true),
            "{path}"
        );
    });
    assert_eq!(service.take_calls(), paths());
}

#[test]
fn methods_without_implementation_answer_not_found() {
    let socket = Socket::new();
    let _server = BlockingServer::of(&socket, |server| register(server, Arc::new(Bare)));
    call_all(&connect(&socket), |path, answer| {
        let expected = format!("{path} is not supported");
        assert_eq!(status(answer), (Code::NOT_FOUND, expected));
    });
}

#[test]
fn traits_are_object_safe() {
    let service: Arc<dyn AgentService + Send + Sync> = Arc::new(Bare);
    assert_eq!(create_agent_service(service).len(), 42);
}

#[test]
fn errors_of_a_method_arrive_as_status() {
    struct Service;
    impl AgentService for Service {
        fn set_policy(&self, _: &ttrpc::TtrpcContext, r: SetPolicyRequest) -> ttrpc::Result<Empty> {
            Err(match r.policy.as_str() {
                "status" => Error::RpcStatus(get_status(Code::PERMISSION_DENIED, "no")),
                text => Error::Others(text.to_owned()),
            })
        }
    }

    let socket = Socket::new();
    let _server = BlockingServer::of(&socket, |server| {
        server.register_service(create_agent_service(Arc::new(Service)))
    });
    let agent = AgentServiceClient::new(connect(&socket));
    let set = |policy: &str| {
        let policy = policy.to_owned();
        agent.set_policy(
            patient(),
            &SetPolicyRequest {
                policy,
                ..Default::default()
            },
        )
    };
    assert_eq!(
        status(set("status")),
        (Code::PERMISSION_DENIED, "no".to_owned())
    );
    assert_eq!(
        status(set("text")),
        (Code::UNKNOWN, r#"Others("text")"#.to_owned())
    );
}

#[test]
fn metadata_and_time_limit_reach_the_method() {
    struct Service;
    impl AgentService for Service {
        fn get_metrics(
            &self,
            ctx: &ttrpc::TtrpcContext,
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
    let _server = BlockingServer::of(&socket, |server| {
        server.register_service(create_agent_service(Arc::new(Service)))
    });
    let mut ctx = context::with_timeout(30_000_000_000);
    ctx.add("key".to_owned(), "one".to_owned());
    ctx.add("key".to_owned(), "two".to_owned());
    let agent = AgentServiceClient::new(connect(&socket));
    let metrics = agent.get_metrics(ctx, &GetMetricsRequest::new()).unwrap();
    assert_eq!(metrics.metrics, r#"30000000000 ["one", "two"]"#);
}

#[test]
fn request_frame_is_header_and_ttrpc_request() {
    let socket = Socket::new();
    let listener = UnixListener::bind(socket.path()).unwrap();
    let agent = AgentServiceClient::new(connect(&socket));
    let request = read_request(9);
    let payload = request.write_to_bytes().unwrap();
    let call = std::thread::spawn(move || agent.read_stderr(patient(), &request));

    let (mut stream, _) = listener.accept().unwrap();
    let mut header = [0; 10];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes(header[..4].try_into().unwrap());
    // Stream 1, a request, no flags.
    assert_eq!(header[4..], [0, 0, 0, 1, 1, 0]);
    let mut body = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut body).unwrap();
    let frame = ttrpc::Request::parse_from_bytes(&body).unwrap();
    assert_eq!(frame.service, "grpc.AgentService");
    assert_eq!(frame.method, "ReadStderr");
    assert_eq!(frame.timeout_nano, patient().timeout_nano);
    assert_eq!(frame.payload, payload);

    // An answer that is no response of the method.
    let mut response = ttrpc::Response::new();
    response.set_status(get_status(Code::OK, ""));
    response.payload = garbage::<protocols::agent::ReadStreamResponse>();
    let body = response.write_to_bytes().unwrap();
    let mut answer = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    answer.extend([0, 0, 0, 1, 2, 0]);
    answer.extend(body);
    stream.write_all(&answer).unwrap();
    let error = client_error(call.join().unwrap());
    assert!(error.starts_with("Unpack get error "), "{error}");
}

#[test]
fn call_without_answer_ends_with_its_time_limit() {
    struct Service(Mutex<Receiver<()>>);
    impl AgentService for Service {
        fn get_metrics(
            &self,
            _: &ttrpc::TtrpcContext,
            _: GetMetricsRequest,
        ) -> ttrpc::Result<Metrics> {
            // Until the test is over.
            let _closed = self.0.lock().unwrap().recv();
            Ok(Metrics::new())
        }

        fn read_stdout(
            &self,
            _: &ttrpc::TtrpcContext,
            _: ReadStreamRequest,
        ) -> ttrpc::Result<protocols::agent::ReadStreamResponse> {
            Ok(Default::default())
        }
    }

    let socket = Socket::new();
    let (release, wait): (Sender<()>, _) = channel();
    let _server = BlockingServer::of(&socket, |server| {
        server.register_service(create_agent_service(Arc::new(Service(Mutex::new(wait)))))
    });
    let agent = AgentServiceClient::new(connect(&socket));
    let error = client_error(agent.get_metrics(impatient(), &GetMetricsRequest::new()));
    assert!(
        error.starts_with("Receive packet from Receiver timeout: "),
        "{error}"
    );
    agent.read_stdout(patient(), &read_request(0)).unwrap();
    drop(release);
}

#[test]
fn messages_of_up_to_4_mib_pass_and_larger_ones_fail_alone() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    let agent = AgentServiceClient::new(connect(&socket));

    let three = 3 << 20;
    let written = agent.write_stdin(patient(), &write_request(three)).unwrap();
    assert_eq!(written.len, u32::try_from(three).unwrap());
    let error = client_error(agent.write_stdin(patient(), &write_request(TOO_LARGE)));
    assert!(error.starts_with("message length "), "{error}");
    assert!(
        error.ends_with(" exceed maximum message size of 4194304"),
        "{error}"
    );

    assert_eq!(
        agent
            .read_stdout(patient(), &read_request(three))
            .unwrap()
            .data
            .len(),
        three
    );
    let (code, text) = status(agent.read_stdout(patient(), &read_request(TOO_LARGE)));
    assert_eq!(code, Code::INVALID_ARGUMENT);
    assert!(
        text.ends_with(" exceed maximum message size of 4194304"),
        "{text}"
    );
    assert_eq!(
        agent.read_stdout(patient(), &read_request(1)).unwrap().data,
        [7]
    );
}

#[test]
fn unknown_paths_are_invalid_arguments() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    let client = connect(&socket);
    for (service, method) in [("grpc.Nothing", "Check"), ("grpc.Health", "Nothing")] {
        let expected = format!("/{service}/{method} does not exist");
        let answer = client.request(raw(service, method, &[]));
        assert_eq!(status(answer), (Code::INVALID_ARGUMENT, expected));
    }
    check_health(&client);
}

#[test]
fn garbage_ends_its_connection_at_most() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    let mut request = raw("grpc.Health", "Check", &garbage::<CheckRequest>());
    request.timeout_nano = impatient().timeout_nano;
    assert!(connect(&socket).request(request).is_err());
    check_health(&connect(&socket));
}

#[test]
fn client_takes_a_connected_descriptor() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    let stream = UnixStream::connect(socket.path()).unwrap();
    check_health(&Client::new(stream.into_raw_fd()).unwrap());
}

#[test]
fn calls_fail_when_the_server_is_gone() {
    let socket = Socket::new();
    let server = BlockingServer::agent(&socket);
    let client = connect(&socket);
    check_health(&client);
    drop(server);
    assert!(
        HealthClient::new(client)
            .check(patient(), &CheckRequest::new())
            .is_err()
    );
}
