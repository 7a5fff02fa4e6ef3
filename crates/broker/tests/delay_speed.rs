//! How late delayed messages come, how fast a backlog of them is delivered, and what sends notice of it.
//!
//! In the suite it is small and lenient. Measured it is with as many messages as wanted, on an idle machine:
//! `RAPTORMQ_DELAY_BACKLOG=1000000 cargo test --release -p raptormq-broker --test delay_speed -- --nocapture`

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use raptormq_protocol::body::QueryConsumeQueueResponseBody;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use support::*;

/// Messages of the backlog in the suite.
const BACKLOG: usize = 10_000;
/// Sends under way at a time.
const DEPTH: usize = 64;
const QUEUES: i32 = 4;
/// What is promised of an idle machine, and what the suite asks of a busy one.
const LATE_MS_MAX: i64 = 20;
const LATE_MS_MAX_BUSY: i64 = 2_000;
const RATE_MIN: f64 = 50_000.0;

/// Messages of the backlog, and whether what is promised is asked for.
fn asked() -> (usize, bool) {
    let set = std::env::var("RAPTORMQ_DELAY_BACKLOG").ok().and_then(|text| text.parse().ok());
    (set.unwrap_or(BACKLOG), set.is_some())
}

fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

#[tokio::test]
async fn delayed_messages_are_on_time_and_never_early() {
    let (_, is_strict) = asked();
    let rig = Rig::new();
    let peer = rig.peer();
    let count = 500;
    for number in 0..count {
        let message = Message::new("T").property("DELAY", "1");
        assert_eq!(peer.ask(message.request(&number.to_string())).await.code, ResponseCode::SUCCESS);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let due = due_times(&peer, count).await;
    let mut late = Vec::new();
    while late.len() < count {
        let pulled = peer.pull(Pull::new("T", late.len() as i64).waiting(1000)).await;
        for message in messages(&pulled) {
            late.push(message.store_timestamp_ms - due[late.len()]);
        }
    }
    late.sort_unstable();
    let (first, p50, p99, last) = (late[0], percentile(&late, 50), percentile(&late, 99), late[count - 1]);
    println!("{count} messages, late by {first} ms at least, p50 {p50}, p99 {p99}, at most {last}");
    assert!(first >= 0, "early by {} ms", -first);
    assert!(p99 <= if is_strict { LATE_MS_MAX } else { LATE_MS_MAX_BUSY }, "{p99} ms");
}

/// When the messages of the first level are due.
async fn due_times(peer: &Peer, count: usize) -> Vec<i64> {
    let header = QueryConsumeQueueRequestHeader {
        topic: Some("SCHEDULE_TOPIC_XXXX"),
        queue_id: Some(0),
        index: Some(0),
        count: Some(count as i32),
        consumer_group: None,
    };
    let answer = peer.get(RequestCode::QUERY_CONSUME_QUEUE, &header).await;
    let body: QueryConsumeQueueResponseBody = json::from_slice(&answer.body).unwrap();
    body.queue_data.unwrap().iter().map(|unit| unit.tags_code).collect()
}

#[tokio::test]
async fn a_backlog_is_delivered_fast_and_sends_go_on() {
    let (count, is_strict) = asked();
    let mut rig = Rig::with(|settings| {
        // Long enough for all of them to be stored before the first is due.
        settings.store.message_delay_level = format!("{}s", 2 + count / 20_000);
        settings.store.mapped_file_size_commit_log = 256 << 20;
    });
    let begin = Instant::now();
    send_delayed(&rig, count).await;
    println!("{count} stored in {:?}", begin.elapsed());
    let peer = rig.peer();
    let before = send_for(&peer, 500).await;
    rig.stop().await;
    tokio::time::sleep(Duration::from_secs(3 + count as u64 / 20_000)).await;
    rig.start();
    let begin = Instant::now();
    let peer = rig.peer();
    let early = delivered(&peer).await;
    let mut during = Vec::new();
    while delivered(&peer).await < count as i64 {
        during.extend(send_for(&peer, 20).await);
        assert!(begin.elapsed() < LONG * 4, "{} of {count}", delivered(&peer).await);
    }
    let rate = (count as i64 - early) as f64 / begin.elapsed().as_secs_f64();
    during.sort_unstable();
    let (p50, p99) = (percentile(&during, 50), percentile(&during, 99));
    println!(
        "{rate:.0} messages/s; sends in microseconds: p50 {p50}, p99 {p99}, before p50 {}, p99 {}",
        percentile(&before, 50),
        percentile(&before, 99)
    );
    assert!(!is_strict || rate >= RATE_MIN, "{rate:.0} messages/s");
}

async fn send_delayed(rig: &Rig, count: usize) {
    let peer = Arc::new(rig.peer());
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..DEPTH {
        let peer = Arc::clone(&peer);
        senders.spawn(async move {
            for number in (sender..count).step_by(DEPTH) {
                let message = Message::new("T").queue(number as i32 % QUEUES).property("DELAY", "1");
                assert_eq!(peer.ask(message.request(&"x".repeat(100))).await.code, ResponseCode::SUCCESS);
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }
}

/// How long each of so many sends took, in microseconds, sorted.
async fn send_for(peer: &Peer, count: usize) -> Vec<i64> {
    let mut took = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        assert_eq!(peer.send("U", "m").await.code, ResponseCode::SUCCESS);
        took.push(begin.elapsed().as_micros() as i64);
    }
    took.sort_unstable();
    took
}

/// Messages that have reached their topic.
async fn delivered(peer: &Peer) -> i64 {
    let mut sum = 0;
    for queue_id in 0..QUEUES {
        let header = GetMaxOffsetRequestHeader { topic: "T", queue_id, committed: true };
        sum += offset(&peer.get(RequestCode::GET_MAX_OFFSET, &header).await);
    }
    sum
}
