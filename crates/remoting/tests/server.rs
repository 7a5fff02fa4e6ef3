//! What a server does, seen through sockets.

mod support;

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::command::{FLAG_ONEWAY, Head, Version};
use raptormq_remoting::{CallError, Request, ServerOptions};
use support::*;
use tokio::io::AsyncWriteExt;

fn ask(code: i32, opaque: i32) -> Vec<u8> {
    request(Head::request(code, opaque), b"")
}

#[tokio::test]
async fn answers_come_at_once_or_when_the_turn_ends() {
    let (server, seen) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    raw.send(&[request(Head::request(NOW, 1), b"x"), ask(TURN, 2), ask(77, 3)].concat()).await;
    let mut answers = [raw.read().await.unwrap(), raw.read().await.unwrap(), raw.read().await.unwrap()];
    answers.sort_by_key(|answer| answer.opaque);
    assert_eq!(answers.each_ref().map(|answer| (answer.code, answer.flag)), [(0, 1), (0, 1), (3, 1)]);
    assert_eq!(answers[0].body, b"x");
    assert_eq!(answers[1].remark.as_deref(), Some("1"));
    assert_eq!(*seen.tickets.lock(), [1]);
    server.shutdown().await;
}

#[tokio::test]
async fn one_turn_spans_all_connections_that_are_ready() {
    let (server, seen) = server(|_| {});
    let mut blocker = Raw::served(&server).await;
    let mut others = Vec::new();
    for _ in 0..40 {
        others.push(Raw::served(&server).await);
    }
    blocker.send(&ask(BLOCK, 1)).await;
    seen.gate.wait();
    for raw in &mut others {
        raw.send(&[ask(TURN, 2), ask(TURN, 3)].concat()).await;
    }
    seen.gate.open();
    let mut numbers = HashSet::new();
    for raw in &mut others {
        for _ in 0..2 {
            numbers.insert(raw.read().await.unwrap().remark.unwrap());
        }
    }
    assert_eq!(*seen.tickets.lock(), [80], "one end of turn for all of them");
    assert_eq!(numbers.len(), 80);
    server.shutdown().await;
}

#[tokio::test]
async fn while_all_threads_are_away_a_spare_one_takes_the_connections_that_come() {
    let (server, seen) = server(|options| options.has_spare_thread = true);
    let mut away = Raw::served(&server).await;
    away.send(&ask(BLOCK, 1)).await;
    seen.gate.wait();
    // A thread that has just gone may be back at once, and what is dealt to it waits.
    let mut served = loop {
        let raw = Raw::connect(&server).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        if seen.threads.lock().contains(&1) {
            break raw;
        }
    };
    served.round_trip().await;
    seen.gate.open();
    assert_eq!(away.read().await.unwrap().opaque, 1);
    away.round_trip().await;
    served.round_trip().await;
    // Then the others are there again for those that come, however many they have.
    for _ in 0..3 {
        Raw::served(&server).await;
    }
    assert_eq!(seen.threads.lock().iter().filter(|thread| **thread == 1).count(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn connections_that_come_are_not_dealt_to_a_thread_that_is_away() {
    let (server, seen) = server(|options| {
        options.io_threads = 2;
        options.has_spare_thread = true;
    });
    let mut away = Raw::served(&server).await;
    away.send(&ask(BLOCK, 1)).await;
    seen.gate.wait();
    let mut others = Vec::new();
    while others.len() < 20 {
        others.push(Raw::connect(&server).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = others.last_mut().unwrap();
    last.round_trip().await;
    // By number of connections every other one would be the first thread's.
    let (first, second) = {
        let threads = seen.threads.lock();
        let count = |wanted| threads.iter().filter(|thread| **thread == wanted).count();
        assert_eq!(count(2), 0, "the spare one is not needed");
        (count(0), count(1))
    };
    assert!(first == 1 && second >= 10, "{first} and {second}");
    seen.gate.open();
    assert_eq!(away.read().await.unwrap().opaque, 1);
    server.shutdown().await;
}

#[tokio::test]
async fn a_turn_takes_a_bounded_share_of_a_busy_connection() {
    let (server, seen) = server(|options| options.turn_frames_max = 10);
    let mut blocker = Raw::served(&server).await;
    let mut busy = Raw::served(&server).await;
    blocker.send(&ask(BLOCK, 1)).await;
    seen.gate.wait();
    busy.send(&(0..95).map(|opaque| ask(TURN, opaque)).collect::<Vec<_>>().concat()).await;
    seen.gate.open();
    let mut opaques = Vec::new();
    for _ in 0..95 {
        opaques.push(busy.read().await.unwrap().opaque);
    }
    assert_eq!(opaques, (0..95).collect::<Vec<_>>());
    assert_eq!(*seen.tickets.lock(), [10, 10, 10, 10, 10, 10, 10, 10, 10, 5]);
    server.shutdown().await;
}

#[tokio::test]
async fn later_answers_come_from_any_thread_and_in_any_order() {
    let (server, seen) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    raw.send(&(0..100).map(|opaque| ask(LATER, opaque)).collect::<Vec<_>>().concat()).await;
    raw.round_trip().await;
    let held = std::mem::take(&mut *seen.held.lock());
    assert_eq!(held.len(), 100);
    std::thread::spawn(move || {
        for responder in held.into_iter().rev() {
            responder.respond(ResponseCode::PULL_NOT_FOUND, Some("later"));
        }
    });
    for opaque in (0..100).rev() {
        let answer = raw.read().await.unwrap();
        assert_eq!((answer.opaque, answer.code), (opaque, ResponseCode::PULL_NOT_FOUND.0));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn oneway_requests_are_handled_and_not_answered() {
    let (server, seen) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    for code in [NOW, TURN, LATER, BIG, 77] {
        raw.send(&request(Head { flag: FLAG_ONEWAY, ..Head::request(code, 5) }, b"")).await;
    }
    raw.round_trip().await;
    std::mem::take(&mut *seen.held.lock()).into_iter().for_each(|held| held.respond(ResponseCode::SUCCESS, None));
    raw.round_trip().await;
    assert_eq!(seen.oneways.load(Ordering::SeqCst), 5);
    server.shutdown().await;
}

#[tokio::test]
async fn the_server_calls_its_clients() {
    let (server, seen) = server(|options| options.calls_max = 1);
    let mut raw = Raw::served(&server).await;
    let connection = seen.connections.lock()[0].clone();
    connection.oneway(&Request::new(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED).field("consumerGroup", "g")).unwrap();
    let told = raw.read().await.unwrap();
    assert_eq!((told.code, told.flag), (RequestCode::NOTIFY_CONSUMER_IDS_CHANGED.0, FLAG_ONEWAY));

    let asking = connection.clone();
    let asked = tokio::spawn(async move { asking.call(Request::new(RequestCode(307)), Duration::from_secs(20)).await });
    let question = raw.read().await.unwrap();
    assert_eq!((question.code, question.flag), (307, 0));
    let refused = connection.call(Request::new(RequestCode(307)), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(refused, CallError::Busy { .. }), "{refused}");
    // An answer nobody waits for changes nothing.
    raw.send(&request(Head::response(0, 4711, None), b"")).await;
    raw.send(&request(Head::response(1, question.opaque, Some("why")), b"body")).await;
    let answer = asked.await.unwrap().unwrap();
    assert_eq!((answer.code.0, answer.remark.as_deref(), &answer.body[..]), (1, Some("why"), &b"body"[..]));

    let late = connection.call(Request::new(RequestCode(307)), Duration::from_millis(20)).await.unwrap_err();
    assert!(matches!(late, CallError::Timeout { sent: true, .. }) && late.outcome_unknown(), "{late}");

    let asking = connection.clone();
    let asked = tokio::spawn(async move { asking.call(Request::new(RequestCode(307)), Duration::from_secs(20)).await });
    raw.read().await.unwrap();
    raw.read().await.unwrap();
    drop(raw);
    let lost = asked.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::Lost { sent: true, .. }), "{lost}");
    let gone = connection.call(Request::new(RequestCode(307)), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(gone, CallError::Lost { sent: false, .. }) && !gone.outcome_unknown(), "{gone}");
    assert!(connection.is_closed());
    server.shutdown().await;
}

#[tokio::test]
async fn a_request_is_understood_however_it_is_cut() {
    let (server, _) = server(|_| {});
    let mut other = Raw::served(&server).await;
    let mut raw = Raw::served(&server).await;
    let bytes = request(Head::request(NOW, 1), b"some body");
    for cut in 1..bytes.len() {
        raw.send(&bytes[..cut]).await;
        // The first part is read before this is answered.
        other.round_trip().await;
        raw.send(&[&bytes[cut..], &bytes[..]].concat()).await;
        assert_eq!(raw.read().await.unwrap().body, b"some body", "cut at {cut}");
        assert_eq!(raw.read().await.unwrap().body, b"some body", "cut at {cut}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_peer_that_closes_its_side_still_gets_its_answers() {
    let (server, seen) = server(|_| {});
    let mut raw = Raw::connect(&server).await;
    raw.send(&[ask(TURN, 1), request(Head::request(NOW, 2), &[7; 300_000]), ask(TURN, 3)].concat()).await;
    raw.stream.shutdown().await.unwrap();
    let mut opaques = Vec::new();
    while let Some(answer) = raw.read().await {
        opaques.push(answer.opaque);
    }
    opaques.sort_unstable();
    assert_eq!(opaques, [1, 2, 3]);
    server.shutdown().await;
    assert_eq!(seen.closed.load(Ordering::SeqCst), 1);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read_either() {
    let (server, seen) = server(|options| options.output_bytes_max = 1 << 20);
    let mut other = Raw::served(&server).await;
    let mut raw = Raw::served(&server).await;
    let mut bytes = Vec::new();
    for opaque in 0..200 {
        let mut one = Vec::new();
        let mut writer = raptormq_protocol::command::CommandWriter::new(
            &mut one,
            raptormq_protocol::frame::Serialization::Rocketmq,
            Head::request(BIG, opaque),
        );
        use raptormq_protocol::header::{FieldSink, FieldValue};
        writer.field("bytes", FieldValue::Integer(256 << 10));
        writer.finish(&[]);
        bytes.extend_from_slice(&one);
    }
    raw.send(&bytes).await;
    for _ in 0..50 {
        other.round_trip().await;
    }
    let requests = seen.requests.load(Ordering::SeqCst);
    assert!(requests < 152, "{} of 200 answers wait for a peer that does not read", requests - 52);
    for opaque in 0..200 {
        let answer = raw.read().await.unwrap();
        assert_eq!((answer.opaque, answer.body.len()), (opaque, 256 << 10));
    }
    raw.round_trip().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_later_answers_is_closed() {
    let (server, seen) = server(|options| options.outbox_bytes_max = 1 << 20);
    let mut other = Raw::served(&server).await;
    let mut raw = Raw::served(&server).await;
    raw.send(&(0..100).map(|opaque| ask(LATER, opaque)).collect::<Vec<_>>().concat()).await;
    other.round_trip().await;
    let body = bytes::Bytes::from(vec![0; 256 << 10]);
    let held = std::mem::take(&mut *seen.held.lock());
    for held in held {
        held.respond_with(&raptormq_remoting::Response::new(ResponseCode::SUCCESS).body(body.clone()));
        other.round_trip().await;
    }
    assert_eq!(server.connections(), 1);
    let mut answers = 0;
    while raw.read().await.is_some() {
        answers += 1;
    }
    assert!(answers < 100, "what a socket holds, and no more");
    other.round_trip().await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let (server, _) = server(|options| options.idle_timeout = Duration::from_secs(1));
    let mut idle = Raw::served(&server).await;
    let mut busy = Raw::served(&server).await;
    let trips = async {
        loop {
            busy.round_trip().await;
        }
    };
    tokio::select! {
        answer = idle.read() => assert_eq!(answer, None),
        () = trips => {}
    }
    busy.round_trip().await;
    server.shutdown().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let (server, _) = server(|options| options.connections_max = 2);
    let mut first = Raw::served(&server).await;
    let mut second = Raw::served(&server).await;
    assert_eq!(Raw::connect(&server).await.read().await, None);
    assert_eq!(server.connections(), 2);
    first.round_trip().await;
    second.round_trip().await;
    second.stream.shutdown().await.unwrap();
    assert_eq!(second.read().await, None);
    Raw::served(&server).await;
    server.shutdown().await;
}

#[tokio::test]
async fn connections_are_dealt_evenly() {
    let (server, seen) = server(|options| options.io_threads = 3);
    let mut raws = Vec::new();
    for _ in 0..30 {
        raws.push(Raw::served(&server).await);
    }
    let mut loads = seen.threads.lock().clone();
    loads.sort_unstable();
    assert_eq!(loads.chunk_by(|a, b| a == b).map(<[usize]>::len).collect::<Vec<_>>(), [10, 10, 10]);
    server.shutdown().await;
}

#[tokio::test]
async fn a_service_that_panics_loses_the_connection_and_nothing_else() {
    let (server, seen) = server(|_| {});
    let mut other = Raw::served(&server).await;
    for code in [PANIC, PANIC_AT_END] {
        let mut raw = Raw::served(&server).await;
        raw.send(&ask(code, 1)).await;
        assert_eq!(raw.read().await, None);
        other.send(&ask(TURN, 3)).await;
        assert_eq!(other.read().await.unwrap().opaque, 3);
    }
    server.shutdown().await;
    assert_eq!(seen.closed.load(Ordering::SeqCst), seen.opened.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_shutdown_answers_what_was_sent_and_sends_newer_clients_away() {
    let (server, seen) = server(|_| {});
    let mut blocker = Raw::served(&server).await;
    let (mut newer, mut older) = (Raw::served(&server).await, Raw::served(&server).await);
    blocker.send(&ask(BLOCK, 1)).await;
    seen.gate.wait();
    newer.send(&ask(TURN, 2)).await;
    older.send(&request(Head { version: Version::V5_3_1, ..Head::request(TURN, 3) }, b"")).await;
    let mut shutdown = Box::pin(server.shutdown());
    // Polled once, the order is given.
    std::future::poll_fn(|context| {
        assert!(shutdown.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    seen.gate.open();
    let reads = async {
        assert_eq!(blocker.read().await.unwrap().opaque, 1);
        let away = newer.read().await.unwrap();
        assert_eq!((away.code, away.remark.as_deref()), (ResponseCode::GO_AWAY.0, Some("please go away")));
        let answer = older.read().await.unwrap();
        assert_eq!((answer.code, answer.opaque), (0, 3));
        for raw in [&mut blocker, &mut newer, &mut older] {
            assert_eq!(raw.read().await, None);
        }
        drop((blocker, newer, older));
    };
    tokio::join!(shutdown, reads);
    assert_eq!(seen.closed.load(Ordering::SeqCst), 3);
    assert!(tokio::net::TcpStream::connect(server.local_addrs()[0]).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever_on_a_deaf_peer() {
    let (server, seen) = server(|options| {
        options.shutdown_timeout = Duration::from_millis(100);
        options.output_bytes_max = 64 << 20;
    });
    let mut deaf = Raw::served(&server).await;
    deaf.send(&request(Head::request(LATER, 1), b"")).await;
    deaf.round_trip().await;
    let held = seen.held.lock().pop().unwrap();
    held.respond_with(&raptormq_remoting::Response::new(ResponseCode::SUCCESS).body(vec![0; 32 << 20]));
    tokio::time::timeout(Duration::from_secs(20), server.shutdown()).await.unwrap();
    assert_eq!(seen.closed.load(Ordering::SeqCst), 1);
}

#[test]
fn an_occupied_port_is_named_with_what_to_do() {
    let occupant = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupant.local_addr().unwrap();
    let listen = vec![
        raptormq_remoting::Listen { address: "127.0.0.1:0".parse().unwrap(), key: "free" },
        raptormq_remoting::Listen { address, key: "listenPort" },
    ];
    let options = ServerOptions { listen, ..ServerOptions::default() };
    let Err(error) = raptormq_remoting::Server::start(options, |_| -> Counting { panic!("nothing is half-started") })
    else {
        panic!("two listeners on one port")
    };
    let expected = format!("cannot listen on {address}: another process listens there; stop it or set listenPort");
    assert_eq!(error.to_string(), expected);
}
