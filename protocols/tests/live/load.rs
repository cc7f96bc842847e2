//! Many calls at once. The methods answer only when all calls are there, so they are in flight
//! together by construction.

use std::sync::Arc;

use async_trait::async_trait;
use protocols::agent::{ReadStreamRequest, ReadStreamResponse};
use protocols::agent_ttrpc_async::{AgentService, AgentServiceClient, create_agent_service};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use ttrpc::r#async::{Client, Server};
use ttrpc::asynchronous::TtrpcContext;

use crate::harness::{Socket, patient, read_request, start_async};

/// Answers with the length asked for, when as many calls are there as the barrier waits for.
struct Together(Barrier);

#[async_trait]
impl AgentService for Together {
    async fn read_stdout(
        &self,
        _: &TtrpcContext,
        request: ReadStreamRequest,
    ) -> ttrpc::Result<ReadStreamResponse> {
        self.0.wait().await;
        Ok(ReadStreamResponse {
            data: request.len.to_le_bytes().to_vec(),
            ..Default::default()
        })
    }
}

async fn start(socket: &Socket, calls: usize) -> Server {
    start_async(&socket.address(), |server| {
        server.register_service(create_agent_service(Arc::new(Together(Barrier::new(
            calls,
        )))))
    })
    .await
}

fn connect(socket: &Socket) -> AgentServiceClient {
    AgentServiceClient::new(Client::connect(&socket.address()).unwrap())
}

/// Makes `calls` calls at once; call `n` through the client that `client(n)` returns.
async fn call_together(calls: usize, client: impl Fn(usize) -> AgentServiceClient) {
    let mut tasks = JoinSet::new();
    for number in 0..calls {
        let client = client(number);
        tasks.spawn(async move {
            let response = client
                .read_stdout(patient(), &read_request(number))
                .await
                .unwrap();
            assert_eq!(response.data, u32::try_from(number).unwrap().to_le_bytes());
        });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.len(), calls);
}

#[tokio::test]
async fn clones_of_one_client_have_64_calls_in_flight() {
    let socket = Socket::new();
    let _server = start(&socket, 64).await;
    let client = connect(&socket);
    call_together(64, |_| client.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_has_1000_calls_in_flight() {
    let socket = Socket::new();
    let _server = start(&socket, 1000).await;
    let client = connect(&socket);
    call_together(1000, |_| client.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_have_1000_calls_in_flight() {
    let socket = Socket::new();
    let _server = start(&socket, 1000).await;
    let clients: Vec<_> = (0..20).map(|_| connect(&socket)).collect();
    call_together(1000, |number| clients[number % clients.len()].clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_client_has_64_calls_in_flight() {
    use protocols::agent_ttrpc::AgentServiceClient;

    let socket = Socket::new();
    let _server = start(&socket, 64).await;
    let client = AgentServiceClient::new(ttrpc::Client::connect(&socket.address()).unwrap());
    let calls = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            for number in 0..64 {
                let client = client.clone();
                scope.spawn(move || {
                    let response = client
                        .read_stdout(patient(), &read_request(number))
                        .unwrap();
                    assert_eq!(response.data, u32::try_from(number).unwrap().to_le_bytes());
                });
            }
        });
    });
    calls.await.unwrap();
}
