//! Sixty-four consumers that join and leave one group all the time while messages come: nothing is lost, nothing comes
//! twice, nothing out of order, and no queue is held by two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_protocol::body::{
    LockBatchRequestBody, LockBatchResponseBody, MessageQueue, QueryAssignmentRequestBody, QueryAssignmentResponseBody,
    UnlockBatchRequestBody,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::header::{UnregisterClientRequestHeader, UpdateConsumerOffsetRequestHeader};
use raptormq_protocol::heartbeat::MessageModel;
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::{Cluster, PATIENCE, Peer};
use serde::Serialize;

const MEMBERS: usize = 64;
const QUEUES: i32 = 16;
const TOPIC: &str = "Crowd";
const GROUP: &str = "crowd";
/// How long they come and go, unless the environment says another number of seconds.
const SECONDS: u64 = 3;
const SECONDS_KEY: &str = "RAPTORMQ_CROWD_SECONDS";

/// What the members have in common: only the test knows it.
#[derive(Default)]
struct Seen {
    /// Queues that somebody holds at this moment.
    held: Mutex<BTreeSet<i32>>,
    /// Bodies in the order in which they were consumed, by queue.
    consumed: Mutex<BTreeMap<i32, Vec<String>>>,
    /// Members may stop: everything was consumed.
    is_over: AtomicBool,
}

fn request(code: RequestCode, body: &impl Serialize) -> Request {
    Request::new(code).body(json::to_vec(body).unwrap())
}

async fn share(peer: &Peer, id: &str) -> Vec<MessageQueue> {
    let body = QueryAssignmentRequestBody {
        client_id: id.into(),
        consumer_group: GROUP.into(),
        message_model: MessageModel::Clustering,
        strategy_name: "AVG".into(),
        topic: TOPIC.into(),
    };
    let answer = peer.ok(request(RequestCode::QUERY_ASSIGNMENT, &body)).await;
    let answer: QueryAssignmentResponseBody = json::from_slice(&answer.body).unwrap();
    let queues = answer.message_queue_assignments.unwrap_or_default().into_iter();
    queues.filter_map(|assignment| assignment.message_queue).collect()
}

async fn lock(peer: &Peer, id: &str, queue: &MessageQueue) -> bool {
    let body = LockBatchRequestBody {
        client_id: id.into(),
        consumer_group: GROUP.into(),
        mq_set: [queue.clone()].into(),
        ..LockBatchRequestBody::default()
    };
    let answer = peer.ok(request(RequestCode::LOCK_BATCH_MQ, &body)).await;
    !json::from_slice::<LockBatchResponseBody>(&answer.body).unwrap().lock_ok_mq_set.is_empty()
}

async fn unlock(peer: &Peer, id: &str, queue: &MessageQueue) {
    let body = UnlockBatchRequestBody {
        client_id: id.into(),
        consumer_group: GROUP.into(),
        mq_set: [queue.clone()].into(),
        ..UnlockBatchRequestBody::default()
    };
    peer.ok(request(RequestCode::UNLOCK_BATCH_MQ, &body)).await;
}

/// Consumes what there is in the queue, which the member holds.
async fn consume(peer: &Peer, queue_id: i32, seen: &Seen) {
    let at = peer.consumer_offset(GROUP, TOPIC, queue_id).await.unwrap_or(0);
    let texts = peer.pull(TOPIC, queue_id, at).await.texts();
    if texts.is_empty() {
        return;
    }
    let commit = UpdateConsumerOffsetRequestHeader {
        consumer_group: GROUP,
        topic: TOPIC,
        queue_id: Some(queue_id),
        commit_offset: Some(at + texts.len() as i64),
    };
    seen.consumed.lock().entry(queue_id).or_default().extend(texts);
    peer.ok(Request::new(RequestCode::UPDATE_CONSUMER_OFFSET).header(&commit)).await;
}

/// A member that comes, consumes its share for a while, and goes, again and again.
async fn member(address: String, id: String, stay: usize, seen: Arc<Seen>) {
    let peer = Peer::new(address);
    while !seen.is_over.load(Ordering::Relaxed) {
        peer.join(&id, GROUP, TOPIC, "*").await;
        for _ in 0..stay {
            for queue in share(&peer, &id).await {
                if lock(&peer, &id, &queue).await {
                    assert!(seen.held.lock().insert(queue.queue_id), "queue {} is held by two", queue.queue_id);
                    consume(&peer, queue.queue_id, &seen).await;
                    seen.held.lock().remove(&queue.queue_id);
                    unlock(&peer, &id, &queue).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let leave = UnregisterClientRequestHeader { client_id: &id, consumer_group: Some(GROUP), producer_group: None };
        peer.ok(Request::new(RequestCode::UNREGISTER_CLIENT).header(&leave)).await;
    }
}

#[tokio::test]
async fn a_crowd_that_comes_and_goes_loses_nothing_and_shares_no_queue() {
    let seconds = std::env::var(SECONDS_KEY).ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic(TOPIC, QUEUES).await;
    let seen = Arc::new(Seen::default());
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| {
            let (address, id) = (cluster.broker_addr().to_owned(), format!("c{number:02}"));
            tokio::spawn(member(address, id, 1 + number % 7, Arc::clone(&seen)))
        })
        .collect();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut sent: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    while Instant::now() < end {
        for queue_id in 0..QUEUES {
            let of_queue = sent.entry(queue_id).or_default();
            let text = format!("{queue_id}: {}", of_queue.len());
            peer.send(TOPIC, queue_id, text.clone()).await;
            of_queue.push(text);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let wanted: usize = sent.values().map(Vec::len).sum();
    let deadline = Instant::now() + PATIENCE;
    while seen.consumed.lock().values().map(Vec::len).sum::<usize>() < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen.is_over.store(true, Ordering::Relaxed);
    for member in members {
        member.await.unwrap();
    }
    assert!(*seen.consumed.lock() == sent, "what was consumed is not what was sent, in its order and once");
    cluster.shutdown().await;
}
