//! What a client does, against our server and against sockets that misbehave.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{Command, Head, Language};
use raptormq_protocol::frame::Serialization;
use raptormq_remoting::{CallError, Client, ClientOptions, Connection, Inbound, Output, Request};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const LONG: Duration = Duration::from_secs(20);

fn client() -> Client {
    Client::new(ClientOptions::default(), Arc::new(()))
}

fn ask(code: i32) -> Request {
    Request::new(RequestCode(code))
}

/// Answers code 40 with its fields and hands every end of a connection on.
struct Answering(mpsc::UnboundedSender<String>);

impl Inbound for Answering {
    fn handle(&self, server: &Connection, request: &Command<'_>, out: &mut Output) {
        if request.code == 40 {
            let later = server.responder(request);
            let remark = request.fields.get("who").unwrap_or_default().to_owned();
            std::thread::spawn(move || later.respond(ResponseCode::SUCCESS, Some(&remark)));
        } else {
            out.respond(request, ResponseCode(request.code), Some("at once"));
        }
    }

    fn closed(&self, _address: &str, reason: &str) {
        let _ = self.0.send(reason.to_owned());
    }
}

#[tokio::test]
async fn calls_share_a_connection_and_are_answered_in_any_order() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let client = client();
    let calls: Vec<_> = (0..500)
        .map(|index| {
            let (client, address) = (client.clone(), address.clone());
            tokio::spawn(async move {
                let code = [NOW, TURN, LATER][index % 3];
                let body = index.to_string();
                let response = client.call(&address, ask(code).body(body.clone()), LONG).await.unwrap();
                assert!(response.is_success());
                assert!(code != NOW || response.body == body.as_bytes(), "an answer to another request");
            })
        })
        .collect();
    let answerer = tokio::spawn(async move {
        let mut answered = 0;
        while answered < 500 / 3 {
            let held = seen.held.lock().pop();
            match held {
                Some(held) => held.respond(ResponseCode::SUCCESS, None),
                None => {
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            answered += 1;
        }
        seen
    });
    for call in calls {
        call.await.unwrap();
    }
    let seen = answerer.await.unwrap();
    assert_eq!(seen.opened.load(std::sync::atomic::Ordering::SeqCst), 1);
    client.oneway(&address, &ask(NOW)).await.unwrap();
    client.call(&address, ask(NOW), LONG).await.unwrap();
    assert_eq!(seen.oneways.load(std::sync::atomic::Ordering::SeqCst), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn both_serializations_are_spoken() {
    let (server, _) = server(|options| options.serialization = Serialization::Rocketmq);
    let options = ClientOptions { serialization: Serialization::Rocketmq, ..ClientOptions::default() };
    let binary = Client::new(options, Arc::new(()));
    for client in [binary, client()] {
        let response = client.call(&server.local_addrs()[0].to_string(), ask(NOW).body("b"), LONG).await.unwrap();
        assert_eq!((response.code, &response.body[..]), (ResponseCode::SUCCESS, &b"b"[..]));
        assert_eq!(response.language, Language::JAVA);
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_late_answer_is_an_error_that_says_so_and_the_connection_lives_on() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let client = client();
    let long = tokio::spawn({
        let (client, address) = (client.clone(), address.clone());
        async move { client.call(&address, ask(LATER), LONG).await }
    });
    client.call(&address, ask(NOW), LONG).await.unwrap();
    let late = client.call(&address, ask(LATER), Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(late.to_string(), format!("{address} did not answer request 3 within 30 ms"));
    assert!(late.outcome_unknown());
    std::mem::take(&mut *seen.held.lock()).into_iter().for_each(|held| held.respond(ResponseCode::SUCCESS, None));
    assert!(long.await.unwrap().unwrap().is_success());
    client.call(&address, ask(NOW), LONG).await.unwrap();
    assert_eq!(seen.opened.load(std::sync::atomic::Ordering::SeqCst), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn nobody_at_the_address_is_known_at_once_and_not_asked_again_too_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = ClientOptions { retry_min: LONG, retry_max: LONG, ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(()));
    let first = client.call(&address, ask(NOW), LONG).await.unwrap_err();
    assert!(matches!(first, CallError::Connect { .. }) && !first.outcome_unknown(), "{first}");
    let listener = TcpListener::bind(&address).await.unwrap();
    let second = client.call(&address, ask(NOW), LONG).await.unwrap_err();
    assert!(second.to_string().contains("tried again in"), "{second}");
    drop(listener);
    for nonsense in ["", "nonsense", "127.0.0.1", "127.0.0.1:x"] {
        let error = client.call(nonsense, ask(NOW), LONG).await.unwrap_err();
        assert!(matches!(error, CallError::Address { .. }), "{nonsense:?}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_connected_to_again() {
    let (first, seen) = server(|_| {});
    let address = first.local_addrs()[0];
    let client = client();
    client.call(&address.to_string(), ask(NOW), LONG).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call(&address.to_string(), ask(LATER), LONG).await }
    });
    while seen.held.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(first);
    let lost = waiting.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Lost { sent: true, .. }) && lost.outcome_unknown(), "{lost}");
    let (second, _) = loop {
        let again = std::panic::catch_unwind(|| server(|options| options.listen[0].address = address));
        match again {
            Ok(again) => break again,
            // The first one's listener ends with its thread.
            Err(_) => tokio::task::yield_now().await,
        }
    };
    client.call(&address.to_string(), ask(NOW), LONG).await.unwrap();
    second.shutdown().await;
}

#[tokio::test]
async fn servers_call_clients_and_learn_when_they_go() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let (tell, mut ends) = mpsc::unbounded_channel();
    let client = Client::new(ClientOptions::default(), Arc::new(Answering(tell)));
    client.call(&address, ask(NOW), LONG).await.unwrap();
    let connection = seen.connections.lock()[0].clone();
    let answer = connection.call(ask(40).field("who", "me"), LONG).await.unwrap();
    assert_eq!((answer.code, answer.remark.as_deref()), (ResponseCode::SUCCESS, Some("me")));
    let answer = connection.call(ask(41), LONG).await.unwrap();
    assert_eq!((answer.code.0, answer.remark.as_deref()), (41, Some("at once")));
    assert_eq!(answer.language, Language::JAVA);
    client.close();
    assert_eq!(ends.recv().await.unwrap(), "the client is closed");
    let closed = client.call(&address, ask(NOW), LONG).await.unwrap_err();
    assert!(matches!(closed, CallError::Closed { .. }) && !closed.outcome_unknown(), "{closed}");
    let lost = connection.call(ask(40), LONG).await.unwrap_err();
    assert!(matches!(lost, CallError::Lost { .. }), "{lost}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_without_interest_says_that_it_supports_nothing() {
    let (server, seen) = server(|_| {});
    let client = client();
    client.call(&server.local_addrs()[0].to_string(), ask(NOW), LONG).await.unwrap();
    let connection = seen.connections.lock()[0].clone();
    let answer = connection.call(ask(40), LONG).await.unwrap();
    assert_eq!(answer.code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(answer.remark.as_deref(), Some(" request type 40 not supported"));
    server.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_opened_again() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let (tell, mut ends) = mpsc::unbounded_channel();
    let options = ClientOptions { idle_timeout: Duration::from_millis(50), ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(Answering(tell)));
    client.call(&address, ask(NOW), LONG).await.unwrap();
    assert_eq!(ends.recv().await.unwrap(), "idle for 0 s");
    client.call(&address, ask(NOW), LONG).await.unwrap();
    assert_eq!(seen.opened.load(std::sync::atomic::Ordering::SeqCst), 2);
    // A call that waits keeps its connection.
    let late = client.call(&address, ask(LATER), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(late, CallError::Timeout { .. }), "{late}");
    server.shutdown().await;
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused() {
    let (server, seen) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let options = ClientOptions { calls_max: 2, frame_bytes_max: 4096, ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(()));
    let first = client.begin(&address, &ask(LATER), LONG).await.unwrap();
    let second = client.begin(&address, &ask(LATER), LONG).await.unwrap();
    let third = client.call(&address, ask(NOW), LONG).await.unwrap_err();
    assert!(matches!(third, CallError::Busy { .. }) && !third.outcome_unknown(), "{third}");
    // Dropping a call makes room.
    drop(first);
    client.call(&address, ask(NOW), LONG).await.unwrap();
    while seen.held.lock().len() < 2 {
        tokio::task::yield_now().await;
    }
    std::mem::take(&mut *seen.held.lock()).into_iter().for_each(|held| held.respond(ResponseCode::SUCCESS, None));
    second.await.unwrap();
    let long = client.call(&address, ask(NOW).body(vec![0; 5000]), LONG).await.unwrap_err();
    assert!(matches!(long, CallError::TooLong { .. }), "{long}");
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_deaf_server_does_not_take_is_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = ClientOptions { outbox_bytes_max: 4 << 20, ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(()));
    let body = bytes::Bytes::from(vec![0; 1 << 20]);
    let mut calls = Vec::new();
    let refused = loop {
        match client.begin(&address, &ask(NOW).body(body.clone()), LONG).await {
            Ok(call) => calls.push(call),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(calls.len() < 100, "a socket holds some megabytes");
    };
    assert!(matches!(refused, CallError::Busy { .. }), "{refused}");
    drop(listener);
}

/// A server of one connection a script: reads a request, says the bytes the script makes of its opaque, and so on.
async fn scripted(scripts: Vec<fn(i32) -> Vec<u8>>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut input = Vec::new();
            while stream.read_buf(&mut input).await.unwrap_or(0) > 0 {
                let Some(found) = raptormq_protocol::frame::split(&input, 1 << 20).unwrap() else { continue };
                let mut scratch = Vec::new();
                let opaque = Command::decode(&input, &found, &mut scratch).unwrap().opaque;
                input.clear();
                // The client may have gone.
                let _ = stream.write_all(&script(opaque)).await;
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_server_that_says_go_away_is_asked_again_on_another_connection() {
    let go_away: fn(i32) -> Vec<u8> =
        |opaque| request(Head::response(ResponseCode::GO_AWAY.0, opaque, Some("please go away")), b"");
    let (address, task) = scripted(vec![go_away, |opaque| request(Head::response(0, opaque, None), b"second")]).await;
    let client = client();
    let response = client.call(&address.to_string(), ask(NOW), LONG).await.unwrap();
    assert_eq!(&response.body[..], b"second");
    drop(client);
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_sends_rubbish_loses_the_connection() {
    for rubbish in [|_| vec![0xff; 64], |_| b"\0\0\0\x08\0\0\0\x04{\"a\"".to_vec()] as [fn(i32) -> Vec<u8>; 2] {
        let (address, task) = scripted(vec![rubbish]).await;
        let error = client().call(&address.to_string(), ask(NOW), LONG).await.unwrap_err();
        assert!(matches!(error, CallError::Lost { sent: true, .. }), "{error}");
        task.await.unwrap();
    }
}

#[test]
fn calls_come_from_any_runtime_and_survive_the_end_of_the_one_that_connected() {
    let (server, _) = server(|_| {});
    let address = server.local_addrs()[0].to_string();
    let client = client();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..3 {
        // The connection ends with its runtime; the next call opens another.
        runtime().block_on(client.call(&address, ask(NOW), LONG)).unwrap();
    }
    let first = runtime();
    first.block_on(client.call(&address, ask(NOW), LONG)).unwrap();
    let second = runtime();
    let pending = second.block_on(client.begin(&address, &ask(LATER), LONG)).unwrap();
    drop(first);
    let error = second.block_on(pending).unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    second.block_on(server.shutdown());
}
