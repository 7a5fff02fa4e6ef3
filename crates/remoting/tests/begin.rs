//! Calls that are put on their way before anybody waits for their answers.

mod support;

use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_remoting::{CallError, Client, ClientOptions, Request};
use support::*;

#[tokio::test]
async fn calls_are_on_their_way_before_their_answers_are_awaited() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let client = Client::new(ClientOptions::default(), Arc::new(()));
    let begin = async |code, timeout| client.begin(&address, &Request::new(RequestCode(code)), timeout).await.unwrap();
    let late = begin(LATER, Duration::from_millis(50)).await;
    let first = begin(NOW, Duration::from_secs(3)).await;
    let second = begin(TURN, Duration::from_secs(3)).await;
    assert_eq!(second.await.unwrap().code, ResponseCode::SUCCESS);
    assert_eq!(first.await.unwrap().code, ResponseCode::SUCCESS);
    assert!(matches!(late.await.unwrap_err(), CallError::Timeout { sent: true, .. }));
    // The request that nobody answered was there all the same.
    assert_eq!(seen.held.lock().len(), 1);
    server.shutdown().await;
}
