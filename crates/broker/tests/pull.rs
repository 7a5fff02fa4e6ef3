//! Pulls: filters, holds, and what is refused in which words.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use std::time::{Duration, Instant};

use raptormq_protocol::body::SubscriptionGroupConfig;
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::json;
use raptormq_remoting::Request;
use support::*;

const FAQ: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

#[tokio::test]
async fn a_held_pull_ends_with_the_message_that_it_waits_for() {
    let rig = Rig::new();
    let (consumer, producer) = (rig.peer(), rig.peer());
    producer.send("T", "old").await;
    let held = consumer.pull(Pull::new("T", 1).waiting(60_000));
    let sending = async {
        producer.held(1).await;
        let sent = Instant::now();
        assert_eq!(producer.send("T", "new").await.code, ResponseCode::SUCCESS);
        sent
    };
    let (pulled, sent) = tokio::join!(held, sending);
    assert_eq!(bodies(&pulled), ["new"]);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
    assert_eq!(producer.runtime().await["pullRequestsHeld"], "0");
}

#[tokio::test]
async fn a_held_pull_ends_when_its_time_is_up() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "old").await;
    // The later deadline is asked for first: the earlier one must not wait for it.
    let begin = Instant::now();
    let (long, short) =
        tokio::join!(async { (peer.pull(Pull::new("T", 1).waiting(400)).await, begin.elapsed()) }, async {
            (peer.pull(Pull::new("T", 1).waiting(100)).await, begin.elapsed())
        },);
    for (response, _) in [&long, &short] {
        assert_refused(response, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE");
        assert_eq!(response.header::<PullMessageResponseHeader>().unwrap().next_begin_offset, 1);
    }
    assert!(short.1 >= Duration::from_millis(100) && long.1 >= Duration::from_millis(400), "{short:?} {long:?}");
    assert!(short.1 < Duration::from_secs(3), "a deadline is met when it comes: {:?}", short.1);
}

#[tokio::test]
async fn a_held_pull_is_not_woken_by_messages_that_it_does_not_want() {
    let rig = Rig::new();
    let (consumer, producer) = (rig.peer(), rig.peer());
    producer.send("T", "old").await;
    let held = consumer.pull(Pull { expression: "TagA || TagB", ..Pull::new("T", 1).waiting(60_000) });
    let sending = async {
        producer.held(1).await;
        producer.ask(Message::new("T").property("TAGS", "TagC").request("c")).await;
        producer.held(1).await;
        producer.ask(Message::new("T").property("TAGS", "TagB").request("b")).await;
    };
    let (pulled, ()) = tokio::join!(held, sending);
    assert_eq!(bodies(&pulled), ["b"]);
}

#[tokio::test]
async fn all_that_wait_for_a_queue_are_woken_and_the_others_are_not() {
    let rig = Rig::new();
    let (consumer, producer) = (rig.peer(), rig.peer());
    producer.send("T", "old").await;
    let on_0 = || consumer.pull(Pull::new("T", 1).waiting(60_000));
    let on_1 = consumer.pull(Pull { queue_id: 1, ..Pull::new("T", 0).waiting(60_000) });
    let sending = async {
        producer.held(4).await;
        producer.send("T", "for 0").await;
        producer.held(1).await;
        producer.ask(Message::new("T").queue(1).request("for 1")).await;
    };
    let (a, b, c, d, ()) = tokio::join!(on_0(), on_0(), on_0(), on_1, sending);
    for pulled in [a, b, c] {
        assert_eq!(bodies(&pulled), ["for 0"]);
    }
    assert_eq!(bodies(&d), ["for 1"]);
}

#[tokio::test]
async fn holds_of_a_closed_connection_are_dropped() {
    let rig = Rig::new();
    let (consumer, other) = (rig.peer(), rig.peer());
    other.send("T", "old").await;
    let held = tokio::spawn(async move {
        let pull = Pull::new("T", 1).waiting(60_000);
        tokio::select! {
            _ = consumer.ask(pull.request()) => panic!("nobody answers"),
            () = async { other.held(1).await } => {}
        }
        consumer.disconnect();
        drop(consumer);
        other.held(0).await;
    });
    tokio::time::timeout(LONG, held).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_long_polling_a_pull_waits_for_the_short_time() {
    let rig = Rig::with(|settings| {
        settings.broker.long_polling_enable = false;
        settings.broker.short_polling_time_mills = 50;
    });
    let peer = rig.peer();
    peer.send("T", "old").await;
    let begin = Instant::now();
    let pulled = peer.pull(Pull::new("T", 1).waiting(3_600_000)).await;
    assert_eq!(pulled.code, ResponseCode::PULL_NOT_FOUND);
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn the_subscription_of_the_request_counts_before_that_of_the_heartbeat() {
    let rig = Rig::new();
    let peer = rig.peer();
    for tag in ["TagA", "TagB", "TagC"] {
        peer.ask(Message::new("T").property("TAGS", tag).request(tag)).await;
    }
    peer.heartbeat("c1", &[("g", &[("T", "TagA||TagB")])]).await;
    let pulled = peer.pull(Pull { expression: "TagC", ..Pull::new("T", 0) }).await;
    assert_eq!(bodies(&pulled), ["TagC"]);
    let pulled = peer.pull(Pull { flags: 0, expression: "TagC", sub_version: 7, ..Pull::new("T", 0) }).await;
    assert_eq!(bodies(&pulled), ["TagA", "TagB"]);
    let nothing = peer.pull(Pull { expression: "TagX", ..Pull::new("T", 0) }).await;
    assert_refused(&nothing, ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE");
    assert_eq!(nothing.header::<PullMessageResponseHeader>().unwrap().next_begin_offset, 3);
}

#[tokio::test]
async fn offsets_that_the_queue_does_not_have_are_named() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    let cases = [
        (Pull::new("T", 1), 19, "OFFSET_OVERFLOW_ONE", 1),
        (Pull::new("T", 5), 21, "OFFSET_OVERFLOW_BADLY", 1),
        (Pull::new("T", -1), 21, "OFFSET_TOO_SMALL", 0),
        (Pull { queue_id: 3, ..Pull::new("T", 0) }, 19, "NO_MESSAGE_IN_QUEUE", 0),
        (Pull { queue_id: 3, ..Pull::new("T", 9) }, 21, "NO_MESSAGE_IN_QUEUE", 0),
    ];
    for (pull, code, remark, next) in cases {
        let pulled = peer.pull(pull).await;
        assert_refused(&pulled, ResponseCode(code), remark);
        assert_eq!(pulled.header::<PullMessageResponseHeader>().unwrap().next_begin_offset, next, "{pull:?}");
    }
}

#[tokio::test]
async fn pulls_are_refused_in_the_originals_words() {
    let rig = Rig::new();
    let peer = rig.peer();
    peer.send("T", "x").await;
    peer.heartbeat("c1", &[("online", &[("Other", "*")])]).await;
    let closed = SubscriptionGroupConfig {
        group_name: "closed".into(),
        consume_enable: false,
        ..SubscriptionGroupConfig::default()
    };
    let body = json::to_vec(&closed).unwrap();
    let request = Request::new(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP).body(body);
    assert_eq!(peer.ask(request).await.code, ResponseCode::SUCCESS);

    let base = Pull::new("T", 0);
    let unsubscribed = Pull { flags: 0, ..base };
    let cases = [
        (Pull { group: "closed", ..base }, 16, "subscription group no permission, closed".to_owned()),
        (Pull { topic: "Nothing", ..base }, 17, format!("topic[Nothing] not exist, apply first please! {FAQ}")),
        (Pull { expression: "||", ..base }, 23, "parse the consumer's subscription failed".to_owned()),
        (Pull { group: "absent", ..unsubscribed }, 24, format!("the consumer's group info not exist{FAQ}")),
        (Pull { group: "online", ..unsubscribed }, 24, format!("the consumer's subscription not exist{FAQ}")),
        (
            Pull { group: "online", topic: "Other", sub_version: 8, ..unsubscribed },
            25,
            "the consumer's subscription not latest".to_owned(),
        ),
    ];
    peer.send("Other", "x").await;
    for (pull, code, remark) in cases {
        assert_refused(&peer.pull(pull).await, ResponseCode(code), &remark);
    }
    let forbidden = peer.pull(Pull { group: "closed", ..base }).await;
    assert_eq!(forbidden.header::<PullMessageResponseHeader>().unwrap().forbidden_type, Some(2));

    let refused = peer.pull(Pull { queue_id: 4, ..base }).await;
    let remark = refused.remark.unwrap();
    let begin = "queueId[4] is illegal, topic:[T] topicConfig.readQueueNums:[4] consumer:[/127.0.0.1:";
    assert!(refused.code == ResponseCode::INVALID_PARAMETER && remark.starts_with(begin), "{remark}");

    let header = PullMessageRequestHeader { expression_type: Some("SQL92"), ..base.header() };
    let refused = peer.get(RequestCode::PULL_MESSAGE, &header).await;
    let remark = "The broker does not support consumer to filter message by SQL92";
    assert_refused(&refused, ResponseCode::SYSTEM_ERROR, remark);
}

#[tokio::test]
async fn without_auto_creation_an_unknown_group_gets_nothing() {
    let rig = Rig::with(|settings| settings.broker.auto_create_subscription_group = false);
    let peer = rig.peer();
    peer.send("T", "x").await;
    let remark = format!("subscription group [g] does not exist, {FAQ}");
    assert_refused(&peer.pull(Pull::new("T", 0)).await, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, &remark);
    let system = peer.pull(Pull { group: "CID_RMQ_SYS_x", ..Pull::new("T", 0) }).await;
    assert_eq!(bodies(&system), ["x"]);
}

#[tokio::test]
async fn the_vip_port_serves_everything_but_pulls() {
    let rig = Rig::new();
    let vip = rig.vip_peer();
    assert_eq!(vip.send("T", "x").await.code, ResponseCode::SUCCESS);
    let refused = vip.pull(Pull::new("T", 0)).await;
    assert_refused(&refused, ResponseCode::REQUEST_CODE_NOT_SUPPORTED, " request type 11 not supported");
    assert_eq!(rig.broker().vip_addr().unwrap().port(), rig.settings.server.listen_port - 2);
}

#[tokio::test]
async fn a_long_answer_is_cut_where_the_pull_says() {
    let rig = Rig::new();
    let peer = rig.peer();
    for number in 0..40 {
        peer.send("T", &format!("{number}")).await;
    }
    assert_eq!(messages(&peer.pull(Pull::new("T", 0)).await).len(), 32);
    assert_eq!(messages(&peer.pull(Pull { count: 5, ..Pull::new("T", 0) }).await).len(), 5);
    let header = PullMessageRequestHeader { max_msg_bytes: Some(1), ..Pull::new("T", 0).header() };
    assert_eq!(messages(&peer.get(RequestCode::PULL_MESSAGE, &header).await).len(), 1);
}

#[tokio::test]
async fn a_group_that_is_too_far_behind_is_stopped_where_that_is_set() {
    let rig = Rig::with(|settings| {
        settings.broker.disable_consume_if_consumer_read_slowly = true;
        settings.broker.consumer_fallbehind_threshold = 2000;
    });
    let peer = rig.peer();
    for _ in 0..20 {
        peer.send("T", &"x".repeat(100)).await;
    }
    let (slow, quick) =
        (Pull { group: "slow", count: 1, ..Pull::new("T", 0) }, Pull { group: "quick", ..Pull::new("T", 0) });
    assert_eq!(messages(&peer.pull(quick).await).len(), 20);
    assert_eq!(messages(&peer.pull(slow).await).len(), 1);
    // It waits at the end of another queue, and is refused there, too.
    let waiting = peer.pull(Pull { group: "slow", queue_id: 1, ..Pull::new("T", 0) }.waiting(60_000));
    let stopped = async {
        peer.held(1).await;
        let begin = Instant::now();
        while peer.pull(Pull { group: "slow", count: 1, ..Pull::new("T", 0) }).await.code == ResponseCode::SUCCESS {
            assert!(begin.elapsed() < LONG, "it still consumes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        peer.ask(Message::new("T").queue(1).request("y")).await
    };
    let (refused, _) = tokio::join!(waiting, stopped);
    assert_refused(&refused, ResponseCode::NO_PERMISSION, "subscription group no permission, slow");
    assert_eq!(messages(&peer.pull(Pull { group: "quick", ..Pull::new("T", 0) }).await).len(), 20);
}
