//! Ordered consumers: one after another, whatever fails and whoever leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_client::{Consumer, MessageView, Retry};
use raptormq_protocol::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::json;
use raptormq_remoting::Request;

use super::*;

const QUEUES: i32 = 4;

/// What was handled successfully, by queue and in order.
type Done = Arc<Mutex<BTreeMap<i32, Vec<String>>>>;

fn count(done: &Done) -> usize {
    done.lock().values().map(Vec::len).sum()
}

/// A member that fails at first with each message whose number ends with 7.
async fn member(cluster: &Cluster, done: &Done, failed: &Seen) -> Consumer {
    let (done, failed) = (done.clone(), failed.clone());
    let handle = move |message: MessageView| {
        let (done, failed) = (done.clone(), failed.clone());
        async move {
            if text(&message).ends_with('7') && message.reconsume_times() == 0 {
                failed.lock().push(message);
                return Err(Retry::After(Duration::from_millis(10)));
            }
            done.lock().entry(message.queue_id()).or_default().push(text(&message));
            Ok(())
        }
    };
    builder(cluster).await.orderly().start(handle).await.unwrap()
}

async fn send(peer: &Peer, from: usize, count: usize) {
    for number in from..from + count {
        for queue in 0..QUEUES {
            peer.send(TOPIC, queue, format!("{queue}: {number}")).await;
        }
    }
}

#[tokio::test]
async fn the_order_of_a_queue_survives_failures_and_members_that_come_and_go() {
    let (cluster, peer) = cluster(QUEUES).await;
    let (done, failed) = (Done::default(), Seen::default());
    send(&peer, 0, 30).await;
    let first = member(&cluster, &done, &failed).await;
    eventually("the first messages", || count(&done) == 120).await;
    let second = member(&cluster, &done, &failed).await;
    eventually("two queues each", || (first.queues().len(), second.queues().len()) == (3, 2)).await;
    send(&peer, 30, 30).await;
    eventually("those that came meanwhile", || count(&done) == 240).await;
    first.shutdown().await;
    send(&peer, 60, 30).await;
    eventually("all", || count(&done) == 360).await;
    second.shutdown().await;
    for (queue, texts) in &*done.lock() {
        let expected: Vec<String> = (0..90).map(|number| format!("{queue}: {number}")).collect();
        assert_eq!(*texts, expected);
    }
    assert_eq!(failed.lock().len(), 9 * QUEUES as usize);
}

#[tokio::test]
async fn a_queue_waits_for_its_message_and_what_fails_for_good_goes_to_the_dead_letters() {
    let (cluster, peer) = cluster(1).await;
    for body in ["a", "bad", "dead", "b"] {
        peer.send(TOPIC, 0, body).await;
    }
    let seen = Seen::default();
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message.clone());
        async move {
            match &message.body()[..] {
                b"bad" => panic!("as the test asked"),
                b"dead" => Err(Retry::DeadLetter),
                _ => Ok(()),
            }
        }
    };
    let builder = builder(&cluster).await.orderly().max_redeliveries(2).suspend_time(Duration::from_millis(20));
    let consumer = builder.start(handle).await.unwrap();
    eventually("the last one", || texts(&seen).last().is_some_and(|text| text == "b")).await;
    assert_eq!(texts(&seen), ["a", "bad", "bad", "bad", "dead", "b"]);
    let times: Vec<i32> = seen.lock().iter().map(MessageView::reconsume_times).collect();
    assert_eq!(times, [0, 0, 1, 2, 0, 0]);
    assert_eq!(lying_in(&peer, &format!("%DLQ%{GROUP}"), 2).await, ["bad", "dead"]);
    consumer.shutdown().await;
    assert_eq!(peer.consumer_offset(GROUP, TOPIC, 0).await, Some(4));
}

#[tokio::test]
async fn a_batch_that_is_done_in_part_goes_on_behind_it() {
    let (cluster, peer) = cluster(1).await;
    for number in 0..10 {
        peer.send(TOPIC, 0, number.to_string()).await;
    }
    let (done, calls) = (Seen::default(), Arc::new(Mutex::new(0)));
    let (kept, counted) = (done.clone(), calls.clone());
    // Of each batch only the first message is done.
    let handle = move |mut messages: Vec<MessageView>| {
        *counted.lock() += 1;
        let is_all = messages.len() == 1;
        kept.lock().push(messages.swap_remove(0));
        async move { if is_all { Ok(()) } else { Err(Retry::From(1)) } }
    };
    let builder = builder(&cluster).await.orderly().batch(3).suspend_time(Duration::from_millis(10));
    let consumer = builder.start_batch(handle).await.unwrap();
    eventually("all", || done.lock().len() == 10).await;
    consumer.shutdown().await;
    assert_eq!(texts(&done), (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(*calls.lock(), 10);
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped_and_its_queue_goes_on() {
    let (cluster, peer) = cluster(1).await;
    peer.send(TOPIC, 0, "slow").await;
    peer.send(TOPIC, 0, "fast").await;
    let seen = Seen::default();
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message.clone());
        async move {
            if text(&message) == "slow" && message.reconsume_times() == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    };
    let builder = builder(&cluster).await.orderly().consume_timeout(Duration::from_millis(100));
    let consumer = builder.suspend_time(Duration::from_millis(10)).start(handle).await.unwrap();
    eventually("both", || seen.lock().len() == 3).await;
    consumer.shutdown().await;
    assert_eq!(texts(&seen), ["slow", "slow", "fast"]);
}

/// A lock that a member left behind would hold its queue up for a minute.
#[tokio::test]
async fn a_member_that_leaves_at_any_moment_leaves_no_lock() {
    let (cluster, peer) = cluster(QUEUES).await;
    let queue = |queue_id| MessageQueue { topic: TOPIC.into(), broker_name: cluster.broker_name().into(), queue_id };
    let queues: BTreeSet<MessageQueue> = (0..QUEUES).map(queue).collect();
    let locks = LockBatchRequestBody {
        client_id: "another".into(),
        consumer_group: GROUP.into(),
        mq_set: queues.clone(),
        only_this_broker: false,
    };
    let locks = json::to_vec(&locks).unwrap();
    for steps in 0..120 {
        let consumer = builder(&cluster).await.orderly().start(async |_| Ok::<(), Retry>(())).await.unwrap();
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        consumer.shutdown().await;
        let answer = peer.ok(Request::new(RequestCode::LOCK_BATCH_MQ).body(locks.clone())).await;
        let locked = json::from_slice::<LockBatchResponseBody>(&answer.body).unwrap().lock_ok_mq_set;
        assert_eq!(locked, queues, "after {steps} steps");
        peer.ok(Request::new(RequestCode::UNLOCK_BATCH_MQ).body(locks.clone())).await;
    }
}

#[tokio::test]
async fn a_broker_that_was_restarted_locks_the_queues_again() {
    let (mut cluster, peer) = cluster(QUEUES).await;
    let (done, failed) = (Done::default(), Seen::default());
    let consumer = member(&cluster, &done, &failed).await;
    send(&peer, 0, 5).await;
    eventually("those before", || count(&done) == 20).await;
    cluster.restart_broker().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    send(&peer, 5, 5).await;
    eventually("those after", || count(&done) >= 40).await;
    consumer.shutdown().await;
    for (queue, texts) in &*done.lock() {
        let expected: Vec<String> = (0..10).map(|number| format!("{queue}: {number}")).collect();
        // What was done when the broker went may come again, nothing else.
        assert_eq!(texts.iter().filter(|text| expected.contains(text)).count(), texts.len());
        assert_eq!(texts.last(), expected.last());
    }
}
