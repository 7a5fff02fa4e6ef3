//! Pulls: at once, held, from places that are none, and on the port that takes none.

use std::time::{Duration, Instant};

use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::PullMessageRequestHeader;
use raptormq_remoting::Request;
use raptormq_testkit::peer::{Pulled, held_pull_header, pull_header};
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

/// A long time for a pull to be held: what a test waits for comes before.
const LONG_MS: i64 = 30_000;

fn pull(header: &PullMessageRequestHeader<'_>) -> Request {
    Request::new(RequestCode::PULL_MESSAGE).header(header)
}

#[tokio::test]
async fn a_held_pull_is_answered_as_soon_as_a_message_comes() {
    let cluster = Cluster::start().await.unwrap();
    let (sender, waiter) = (Peer::new(cluster.broker_addr()), Peer::new(cluster.broker_addr()));
    sender.create_topic("News", 2).await;
    let mut delays = Vec::new();
    for number in 0..9 {
        let header = PullMessageRequestHeader { queue_offset: number, ..held_pull_header("g", "News", LONG_MS) };
        let pending = waiter.begin(&pull(&header)).await;
        held(&sender, 1).await;
        // A message in another queue is none of its business.
        sender.send("News", 1, "elsewhere").await;
        held(&sender, 1).await;
        assert_eq!(sender.send("News", 0, number.to_string()).await, number);
        let sent = Instant::now();
        let pulled = Pulled::of(pending.await.unwrap());
        delays.push(sent.elapsed());
        assert_eq!((pulled.code, pulled.texts()), (ResponseCode::SUCCESS, vec![number.to_string()]));
        assert_eq!(pulled.header.next_begin_offset, number + 1);
    }
    held(&sender, 0).await;
    delays.sort();
    // A machine that does much else may be late once or twice, not five times of nine.
    assert!(delays[4] < Duration::from_millis(20), "{delays:?}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_held_pull_that_nothing_comes_for_is_answered_when_its_time_is_up() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("News", 1).await;
    for asked_ms in [400, 50] {
        let begun = Instant::now();
        let pulled = Pulled::of(peer.call(pull(&held_pull_header("g", "News", asked_ms))).await);
        let took = begun.elapsed();
        assert_eq!(
            (pulled.code, pulled.remark.as_deref()),
            (ResponseCode::PULL_NOT_FOUND, Some("NO_MESSAGE_IN_QUEUE"))
        );
        assert!(took >= Duration::from_millis(asked_ms as u64), "after {took:?}, asked for {asked_ms} ms");
        // Java answers up to 5 s late.
        assert!(took < Duration::from_millis(asked_ms as u64 + 2_000), "after {took:?}, asked for {asked_ms} ms");
    }
    cluster.shutdown().await;
}

/// With long polling off, a pull is held for `shortPollingTimeMills` whatever it asks for.
#[tokio::test]
async fn without_long_polling_a_pull_waits_a_short_time() {
    let builder = Cluster::builder().set("longPollingEnable", "false").set("shortPollingTimeMills", "60");
    let cluster = builder.start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("News", 1).await;
    let begun = Instant::now();
    let pulled = Pulled::of(peer.call(pull(&held_pull_header("g", "News", LONG_MS))).await);
    assert_eq!(pulled.code, ResponseCode::PULL_NOT_FOUND);
    assert!((60..2_060).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_message_wakes_only_those_who_want_its_tag_and_all_of_them() {
    let cluster = Cluster::builder().set("ioThreads", "2").start().await.unwrap();
    let sender = Peer::new(cluster.broker_addr());
    sender.create_topic("News", 1).await;
    let peers: Vec<Peer> = (0..4).map(|_| Peer::new(cluster.broker_addr())).collect();
    let mut pending = Vec::new();
    for (peer, tags) in peers.iter().zip(["TagA", "TagB", "TagA || TagB", "*"]) {
        let header = PullMessageRequestHeader { subscription: Some(tags), ..held_pull_header("g", "News", LONG_MS) };
        pending.push(peer.begin(&pull(&header)).await);
    }
    held(&sender, 4).await;
    sender.send_tagged("News", 0, "TagB", "b").await;
    let waiting = pending.remove(0);
    for woken in pending {
        assert_eq!(Pulled::of(woken.await.unwrap()).texts(), ["b"]);
    }
    held(&sender, 1).await;
    sender.send_tagged("News", 0, "TagA", "a").await;
    assert_eq!(Pulled::of(waiting.await.unwrap()).texts(), ["a"]);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_hold_goes_with_its_connection() {
    let cluster = Cluster::start().await.unwrap();
    let (peer, leaver) = (Peer::new(cluster.broker_addr()), Peer::new(cluster.broker_addr()));
    peer.create_topic("News", 1).await;
    let pending = [
        leaver.begin(&pull(&held_pull_header("g", "News", LONG_MS))).await,
        leaver.begin(&pull(&held_pull_header("g", "News", LONG_MS))).await,
    ];
    held(&peer, 2).await;
    leaver.leave();
    held(&peer, 0).await;
    for lost in pending {
        assert!(lost.await.is_err());
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_pull_says_where_to_go_on() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("Places", 2).await;
    for number in 0..5 {
        peer.send_tagged("Places", 0, "TagA", number.to_string()).await;
    }
    let pulled = peer.pull("Places", 0, 0).await;
    assert_eq!((pulled.code, pulled.remark.as_deref()), (ResponseCode::SUCCESS, Some("FOUND")));
    let header = &pulled.header;
    assert_eq!((header.next_begin_offset, header.min_offset, header.max_offset), (5, 0, 5));
    assert_eq!(header.suggest_which_broker_id, 0);
    // Queue, offset asked for: code, status, offset to go on from.
    let places = [
        (0, 5, ResponseCode::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 5),
        (0, 6, ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 5),
        (0, 1_000, ResponseCode::PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 5),
        (0, -1, ResponseCode::PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", 0),
        (1, 0, ResponseCode::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0),
        (1, 7, ResponseCode::PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0),
    ];
    for (queue_id, queue_offset, code, status, next) in places {
        let pulled = peer.pull("Places", queue_id, queue_offset).await;
        let found = (pulled.code, pulled.remark.as_deref().unwrap(), pulled.header.next_begin_offset);
        assert_eq!(found, (code, status, next), "queue {queue_id} from {queue_offset}");
        assert_eq!(pulled.messages, []);
    }
    // Nothing that is wanted among what there is: go on behind it.
    let other = PullMessageRequestHeader { subscription: Some("TagB"), ..pull_header("g", "Places") };
    let pulled = Pulled::of(peer.call(pull(&other)).await);
    assert_eq!(
        (pulled.code, pulled.remark.as_deref()),
        (ResponseCode::PULL_RETRY_IMMEDIATELY, Some("NO_MATCHED_MESSAGE"))
    );
    assert_eq!(pulled.header.next_begin_offset, 5);
    // No more than is asked for.
    let two = PullMessageRequestHeader { max_msg_nums: 2, queue_offset: 1, ..pull_header("g", "Places") };
    let pulled = Pulled::of(peer.call(pull(&two)).await);
    assert_eq!((pulled.texts(), pulled.header.next_begin_offset), (vec!["1".to_owned(), "2".to_owned()], 3));
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_pull_can_commit_on_its_way() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.send("Orders", 0, "x").await;
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, None);
    let without = PullMessageRequestHeader { commit_offset: 1, ..pull_header("g", "Orders") };
    peer.ok(pull(&without)).await;
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, None);
    let with = PullMessageRequestHeader { sys_flag: without.sys_flag | 1, ..without };
    peer.ok(pull(&with)).await;
    assert_eq!(peer.consumer_offset("g", "Orders", 0).await, Some(1));
    cluster.shutdown().await;
}

/// The filter of a group that says nothing with its pulls is what its heartbeats said; codes that they claim are not
/// believed, because some clients send zeros.
#[tokio::test]
async fn a_pull_without_a_subscription_has_that_of_its_group() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    for tag in ["TagA", "TagB", "TagA"] {
        peer.send_tagged("Tagged", 0, tag, tag).await;
    }
    let heartbeat = r#"{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY",
        "messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","unitMode":false,
        "subscriptionDataSet":[{"topic":"Tagged","subString":"TagB","codeSet":[0],"tagsSet":["TagB"],
        "expressionType":"TAG","subVersion":7,"classFilterMode":false}]}],"producerDataSet":[]}"#;
    peer.ok(Request::new(RequestCode::HEART_BEAT).body(heartbeat)).await;
    let header = PullMessageRequestHeader { sys_flag: 0, subscription: None, ..pull_header("g", "Tagged") };
    let pulled = Pulled::of(peer.call(pull(&header)).await);
    assert_eq!(pulled.texts(), ["TagB"]);
    // The request's own filter counts more.
    let own = PullMessageRequestHeader { subscription: Some("TagA"), ..pull_header("g", "Tagged") };
    assert_eq!(Pulled::of(peer.call(pull(&own)).await).texts(), ["TagA", "TagA"]);
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_vip_port_takes_sends_and_heartbeats_and_refuses_pulls() {
    let cluster = Cluster::start().await.unwrap();
    let vip = Peer::new(cluster.vip_addr());
    assert_eq!(vip.send("Orders", 0, "through the side door").await, 0);
    vip.join("c", "g", "Orders", "*").await;
    assert_eq!(vip.max_offset("Orders", 0).await, 1);
    for code in [RequestCode::PULL_MESSAGE, RequestCode::LITE_PULL_MESSAGE] {
        let refusal = vip.refused(Request::new(code).header(&pull_header("g", "Orders"))).await;
        let remark = format!(" request type {} not supported", code.0);
        assert_eq!(refusal, (ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
    }
    let peer = Peer::new(cluster.broker_addr());
    assert_eq!(peer.pull("Orders", 0, 0).await.texts(), ["through the side door"]);
    let lite = Request::new(RequestCode::LITE_PULL_MESSAGE).header(&pull_header("g", "Orders"));
    assert_eq!(Pulled::of(peer.call(lite).await).texts(), ["through the side door"]);
    cluster.shutdown().await;
}
