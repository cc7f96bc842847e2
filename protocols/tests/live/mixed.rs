//! Blocking and async peers understand each other.

use std::sync::Arc;

use protocols::health::CheckRequest;
use protocols::{health_ttrpc, health_ttrpc_async};
use tokio::task::spawn_blocking;
use ttrpc::Code;

use crate::harness::{
    BlockingServer, Socket, assert_healthy, patient, start_async, start_async_agent, status,
};
use crate::methods::{Bare, Complete, call_all, call_all_async, paths, register, register_async};

#[tokio::test]
async fn blocking_client_gets_its_answers_from_an_async_server() {
    let socket = Socket::new();
    let _server = start_async_agent(&socket.address()).await;
    let address = socket.address();
    let calls = spawn_blocking(move || {
        let health = health_ttrpc::HealthClient::new(ttrpc::Client::connect(&address).unwrap());
        let request = CheckRequest::new();
        assert_healthy(
            health.check(patient(), &request),
            health.version(patient(), &request),
        );
    });
    calls.await.unwrap();
}

#[tokio::test]
async fn async_client_gets_its_answers_from_a_blocking_server() {
    let socket = Socket::new();
    let _server = BlockingServer::agent(&socket);
    let client = ttrpc::r#async::Client::connect(&socket.address()).unwrap();
    let health = health_ttrpc_async::HealthClient::new(client);
    let request = CheckRequest::new();
    assert_healthy(
        health.check(patient(), &request).await,
        health.version(patient(), &request).await,
    );
}

#[tokio::test]
async fn blocking_client_calls_every_method_of_an_async_server() {
    for complete in [true, false] {
        let socket = Socket::new();
        let service = Arc::new(Complete::default());
        let _server = start_async(&socket.address(), |server| match complete {
            true => register_async(server, service.clone()),
            false => register_async(server, Arc::new(Bare)),
        })
        .await;
        let address = socket.address();
        let calls = spawn_blocking(move || {
            let client = ttrpc::Client::connect(&address).unwrap();
            call_all(&client, |path, answer| check(complete, path, answer));
        });
        calls.await.unwrap();
        assert_eq!(
            service.take_calls().len(),
            if complete { paths().len() } else { 0 }
        );
    }
}

#[tokio::test]
async fn async_client_calls_every_method_of_a_blocking_server() {
    for complete in [true, false] {
        let socket = Socket::new();
        let service = Arc::new(Complete::default());
        let _server = BlockingServer::of(&socket, |server| match complete {
            true => register(server, service.clone()),
            false => register(server, Arc::new(Bare)),
        });
        let client = ttrpc::r#async::Client::connect(&socket.address()).unwrap();
        call_all_async(&client, |path, answer| check(complete, path, answer)).await;
        assert_eq!(
            service.take_calls().len(),
            if complete { paths().len() } else { 0 }
        );
    }
}

fn check(complete: bool, path: &str, answer: ttrpc::Result<bool>) {
    if complete {
        assert_eq!(
            answer.map_err(|error| error.to_string()),
            Ok(true),
            "{path}"
        );
    } else {
        let expected = format!("{path} is not supported");
        assert_eq!(status(answer), (Code::NOT_FOUND, expected));
    }
}
