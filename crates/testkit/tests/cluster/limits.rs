//! What clients may make a broker remember: when there is no room for more it says so, and when they go it forgets.

use std::collections::BTreeSet;

use raptormq_protocol::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::PullMessageRequestHeader;
use raptormq_protocol::heartbeat::{HeartbeatData, ProducerData};
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::peer::{Pulled, consumer_data, heartbeat_request, held_pull_header};
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

/// A cluster whose broker has room for 1 MiB of what clients say.
async fn narrow() -> Cluster {
    Cluster::builder().set("clientBytesMax", "1048576").start().await.unwrap()
}

/// Tags that all differ, in so many bytes.
fn tags(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    for number in 0.. {
        text.push_str(&format!("t{number}"));
        if text.len() >= bytes {
            break;
        }
        text.push_str("||");
    }
    text
}

fn busy() -> (ResponseCode, String) {
    let remark = "the broker has no room for more clients and subscriptions; its operator can raise clientBytesMax";
    (ResponseCode::SYSTEM_BUSY, remark.to_owned())
}

#[tokio::test]
async fn heartbeats_that_say_too_much_are_refused_until_there_is_room() {
    let cluster = narrow().await;
    let (greedy, modest) = (Peer::new(cluster.broker_addr()), Peer::new(cluster.broker_addr()));
    modest.join("modest", "modest", "Orders", "TagA").await;
    let large = HeartbeatData {
        client_id: "greedy".to_owned(),
        consumer_data_set: vec![consumer_data("greedy", "Orders", &tags(200_000))],
        ..HeartbeatData::default()
    };
    assert_eq!(greedy.refused(heartbeat_request(&large)).await, busy());
    // Many small things are no better than a large one.
    let producers = (0..2_000).map(|number| ProducerData { group_name: format!("group-{number}") });
    let many = HeartbeatData {
        client_id: "greedy".to_owned(),
        producer_data_set: producers.collect(),
        ..HeartbeatData::default()
    };
    assert_eq!(greedy.refused(heartbeat_request(&many)).await, busy());
    // Who is there already is not troubled, and who comes has to wait until the other has gone.
    modest.join("modest", "modest", "Orders", "TagA").await;
    let late = HeartbeatData {
        client_id: "late".to_owned(),
        consumer_data_set: vec![consumer_data("late", "Orders", &tags(1_000))],
        ..HeartbeatData::default()
    };
    assert_eq!(modest.refused(heartbeat_request(&late)).await, busy());
    greedy.leave();
    until("there is room", async || modest.call(heartbeat_request(&late)).await.is_success()).await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn pulls_that_there_is_no_room_for_are_answered_at_once() {
    let cluster = narrow().await;
    let (greedy, modest) = (Peer::new(cluster.broker_addr()), Peer::new(cluster.broker_addr()));
    modest.create_topic("Orders", 1).await;
    // Some 60,000 tags, 4 bytes each.
    let tags = tags(500_000);
    let header = PullMessageRequestHeader { subscription: Some(&tags), ..held_pull_header("g", "Orders", 600_000) };
    let request = Request::new(RequestCode::PULL_MESSAGE).header(&header);
    let mut pending = Vec::new();
    for _ in 0..10 {
        pending.push(greedy.begin(&request).await);
    }
    let pulled = Pulled::of(pending.pop().unwrap().await.unwrap());
    assert_eq!(pulled.code, ResponseCode::PULL_NOT_FOUND);
    // The first one waits all the same, and goes with its connection.
    greedy.leave();
    assert!(pending.remove(0).await.is_err());
    held(&modest, 0).await;
    let pending = modest.begin(&request).await;
    held(&modest, 1).await;
    modest.send_tagged("Orders", 0, "t7", "woken").await;
    assert_eq!(Pulled::of(pending.await.unwrap()).texts(), ["woken"]);
    cluster.shutdown().await;
}

#[tokio::test]
async fn queues_that_there_is_no_room_for_are_not_locked() {
    let cluster = narrow().await;
    let peer = Peer::new(cluster.broker_addr());
    let queue = |queue_id| MessageQueue { topic: "Orders".to_owned(), broker_name: "b".to_owned(), queue_id };
    let body = LockBatchRequestBody {
        client_id: "c".to_owned(),
        consumer_group: "g".to_owned(),
        mq_set: (0..50_000).map(queue).collect::<BTreeSet<_>>(),
        ..LockBatchRequestBody::default()
    };
    let request = Request::new(RequestCode::LOCK_BATCH_MQ).body(json::to_vec(&body).unwrap());
    let locked = async || {
        let answer = peer.ok(request.clone()).await;
        json::from_slice::<LockBatchResponseBody>(&answer.body).unwrap().lock_ok_mq_set
    };
    let first = locked().await;
    assert!((1_000..5_000).contains(&first.len()), "{} locks in 1 MiB", first.len());
    assert_eq!(locked().await, first, "those that it has it keeps");
    cluster.shutdown().await;
}
