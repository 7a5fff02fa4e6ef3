//! Subscriptions by SQL92 conditions: how they reach the broker, which messages come through, and how they are kept.

#![allow(clippy::unwrap_used)] // helpers of tests

mod support;

use raptormq_protocol::body::{CheckClientRequestBody, ConsumerFilterTable};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_protocol::header::*;
use raptormq_protocol::heartbeat::{EXPRESSION_SQL92, HeartbeatData, SubscriptionData};
use raptormq_protocol::json;
use raptormq_remoting::{Request, Response};
use support::*;

fn rig() -> Rig {
    Rig::with(|settings| settings.broker.enable_property_filter = true)
}

fn said(topic: &str, expression: &str, version: i64) -> SubscriptionData {
    let data = SubscriptionData::build(topic, expression, EXPRESSION_SQL92).unwrap();
    SubscriptionData { sub_version: version, ..data }
}

async fn join(peer: &Peer, group: &str, subscriptions: Vec<SubscriptionData>) {
    let mut consumer = consumer(group, &[]);
    consumer.subscription_data_set = subscriptions;
    let data = HeartbeatData { client_id: "c".into(), consumer_data_set: vec![consumer], ..HeartbeatData::default() };
    assert_eq!(peer.ask(heartbeat_request(&data)).await.code, ResponseCode::SUCCESS);
}

/// A pull with the filter that the group has told.
fn of_group(topic: &str, offset: i64, version: i64) -> Pull<'_> {
    Pull { flags: 0, sub_version: version, ..Pull::new(topic, offset) }
}

/// A pull with a filter of its own.
async fn own(peer: &Peer, pull: Pull<'_>, kind: &str) -> Response {
    let header = PullMessageRequestHeader { expression_type: Some(kind), ..pull.header() };
    peer.get(RequestCode::PULL_MESSAGE, &header).await
}

async fn send(peer: &Peer, body: &str, price: &str) {
    let sent = peer.ask(Message::new("T").property("price", price).request(body)).await;
    assert_eq!(sent.code, ResponseCode::SUCCESS);
}

fn next_offset(response: &Response) -> i64 {
    response.header::<PullMessageResponseHeader>().unwrap().next_begin_offset
}

#[tokio::test]
async fn a_group_gets_what_its_condition_lets_through() {
    let rig = rig();
    let peer = rig.peer();
    for price in ["5", "15", "none", "25", ""] {
        send(&peer, &format!("costs {price}"), price).await;
    }
    join(&peer, "g", vec![said("T", "price > 10", 7)]).await;
    let pulled = peer.pull(of_group("T", 0, 7)).await;
    assert_eq!((bodies(&pulled), next_offset(&pulled)), (vec!["costs 15".to_owned(), "costs 25".into()], 5));
    let pulled = own(&peer, Pull { expression: "price IS NULL OR price = 'none'", ..Pull::new("T", 0) }, "SQL92").await;
    assert_eq!(bodies(&pulled), ["costs none", "costs "]);
    let pulled = own(&peer, Pull { expression: "price > 100", ..Pull::new("T", 0) }, "SQL92").await;
    assert_refused(&pulled, ResponseCode::PULL_RETRY_IMMEDIATELY, "NO_MATCHED_MESSAGE");
    assert_eq!(next_offset(&pulled), 5);
    // Longer than an I/O thread would evaluate.
    let long = format!("price = 15{}", " OR price = 77".repeat(100));
    let pulled = own(&peer, Pull { expression: &long, ..Pull::new("T", 0) }, "SQL92").await;
    assert_eq!(bodies(&pulled), ["costs 15"]);
}

#[tokio::test]
async fn a_held_pull_is_woken_only_by_what_its_condition_lets_through() {
    let rig = rig();
    let (consumer, producer) = (rig.peer(), rig.peer());
    send(&producer, "old", "99").await;
    join(&consumer, "g", vec![said("T", "price > 10", 7)]).await;
    let held = consumer.pull(Pull { flags: SUSPEND, suspend_ms: 60_000, ..of_group("T", 1, 7) });
    let sending = async {
        producer.held(1).await;
        send(&producer, "cheap", "5").await;
        producer.held(1).await;
        send(&producer, "dear", "50").await;
    };
    let (pulled, ()) = tokio::join!(held, sending);
    assert_eq!(bodies(&pulled), ["dear"]);
}

#[tokio::test]
async fn pulls_are_refused_in_the_originals_words() {
    let rig = rig();
    let peer = rig.peer();
    send(&peer, "m", "5").await;
    join(&peer, "g", vec![said("T", "price >", 7)]).await;
    let words = "The broker's consumer filter data is not exist!Your expression may be wrong!";
    assert_refused(&peer.pull(of_group("T", 0, 7)).await, ResponseCode::FILTER_DATA_NOT_EXIST, words);
    join(&peer, "g", vec![said("T", "price > 1", 8)]).await;
    assert_eq!(bodies(&peer.pull(of_group("T", 0, 8)).await), ["m"]);
    let pulled = peer.pull(of_group("T", 0, 9)).await;
    assert_refused(&pulled, ResponseCode::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest");
    for (expression, kind) in [("price >", "SQL92"), ("", "SQL92"), ("price > 1", "XPATH")] {
        let pulled = own(&peer, Pull { expression, ..Pull::new("T", 0) }, kind).await;
        assert_refused(&pulled, ResponseCode::SUBSCRIPTION_PARSE_FAILED, "parse the consumer's subscription failed");
    }
}

#[tokio::test]
async fn conditions_can_be_forbidden() {
    let rig = Rig::new();
    let peer = rig.peer();
    send(&peer, "m", "5").await;
    let words = "The broker does not support consumer to filter message by SQL92";
    let pulled = own(&peer, Pull { expression: "price > 1", ..Pull::new("T", 0) }, "SQL92").await;
    assert_refused(&pulled, ResponseCode::SYSTEM_ERROR, words);
    join(&peer, "g", vec![said("T", "price > 1", 7)]).await;
    assert_refused(&peer.pull(of_group("T", 0, 7)).await, ResponseCode::SYSTEM_ERROR, words);
    assert_refused(&check(&peer, "price > 1").await, ResponseCode::SYSTEM_ERROR, words);
}

async fn check(peer: &Peer, expression: &str) -> Response {
    let subscription_data = Some(SubscriptionData {
        topic: "T".into(),
        sub_string: expression.into(),
        expression_type: EXPRESSION_SQL92.into(),
        ..SubscriptionData::default()
    });
    let body = CheckClientRequestBody { subscription_data, ..CheckClientRequestBody::default() };
    peer.ask(Request::new(RequestCode::CHECK_CLIENT_CONFIG).body(json::to_vec(&body).unwrap())).await
}

#[tokio::test]
async fn a_condition_is_checked_before_it_is_used() {
    let rig = rig();
    let peer = rig.peer();
    assert_eq!(check(&peer, "price > 1 AND kind IN ('a', 'b')").await.code, ResponseCode::SUCCESS);
    let words = "java.lang.RuntimeException: Value ''x'' cannot be compared.";
    assert_refused(&check(&peer, "price > 'x'").await, ResponseCode::SUBSCRIPTION_PARSE_FAILED, words);
    let words = "org.apache.rocketmq.filter.parser.ParseException: Encountered \" <ID> \"b \"\" at line 1, column 6.\n\
                 Was expecting one of:\n    \"NOT\" ...\n    \"NULL\" ...\n    ";
    assert_refused(&check(&peer, "a IS b").await, ResponseCode::SUBSCRIPTION_PARSE_FAILED, words);
    for hostile in [
        "(".repeat(10_000),
        "NOT ".repeat(20_000),
        format!("a = '{}'", "x".repeat(100 << 10)),
        "a=1 OR ".repeat(50_000),
    ] {
        let begin = std::time::Instant::now();
        assert_eq!(check(&peer, &hostile).await.code, ResponseCode::SUBSCRIPTION_PARSE_FAILED);
        assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn conditions_outlive_the_broker() {
    let mut rig = rig();
    let peer = rig.peer();
    send(&peer, "cheap", "5").await;
    send(&peer, "dear", "50").await;
    join(&peer, "g", vec![said("T", "price > 10", 7)]).await;
    rig.restart().await;
    let kept: ConsumerFilterTable = json::from_slice(rig.kept("consumerFilter.json").as_bytes()).unwrap();
    let kept = &kept.filter_data_by_topic["T"].group_filter_data["g"];
    assert_eq!((kept.expression.as_str(), kept.client_version), ("price > 10", 7));
    assert_eq!(kept.bloom_filter_data.as_ref().unwrap().bit_num, 112);
    // Known by its text, though nobody of the group has come back.
    let peer = rig.peer();
    let pulled = own(&peer, Pull { expression: "price > 10", ..Pull::new("T", 0) }, "SQL92").await;
    assert_eq!(bodies(&pulled), ["dear"]);
    join(&peer, "g", vec![said("T", "price > 10", 7)]).await;
    assert_eq!(bodies(&peer.pull(of_group("T", 0, 7)).await), ["dear"]);
}

#[tokio::test]
async fn bit_maps_hide_nothing_that_is_wanted() {
    let mut rig = Rig::with(|settings| {
        settings.broker.enable_property_filter = true;
        settings.broker.enable_calc_filter_bit_map = true;
        settings.store.enable_consume_queue_ext = true;
    });
    let peer = rig.peer();
    send(&peer, "before", "50").await;
    // One that would take long where messages are stored.
    let heavy = format!("price > 10{}", " OR price = 77".repeat(100));
    join(&peer, "g", vec![said("T", "price > 10", 7)]).await;
    join(&peer, "heavy", vec![said("T", &heavy, 7)]).await;
    for price in ["5", "50"] {
        send(&peer, price, price).await;
    }
    for group in ["g", "heavy"] {
        let pulled = peer.pull(Pull { group, ..of_group("T", 0, 7) }).await;
        assert_eq!((bodies(&pulled), next_offset(&pulled)), (vec!["before".to_owned(), "50".into()], 3), "{group}");
    }
    rig.restart().await;
    let peer = rig.peer();
    join(&peer, "g", vec![said("T", "price > 10", 7)]).await;
    send(&peer, "after", "60").await;
    assert_eq!(bodies(&peer.pull(of_group("T", 0, 7)).await), ["before", "50", "after"]);
    // Another condition wants what the bits of the former one deny.
    join(&peer, "g", vec![said("T", "price < 10", 8)]).await;
    send(&peer, "cheap", "1").await;
    assert_eq!(bodies(&peer.pull(of_group("T", 0, 8)).await), ["5", "cheap"]);
}

#[tokio::test]
async fn messages_given_back_are_filtered_by_the_condition_on_their_topic_if_that_is_set() {
    let rig = Rig::with(|settings| {
        settings.broker.enable_property_filter = true;
        settings.broker.filter_support_retry = true;
    });
    let peer = rig.peer();
    let retry = "%RETRY%g";
    join(&peer, "g", vec![said("T", "price > 10", 7), said(retry, "TRUE", 7)]).await;
    for price in ["5", "50"] {
        let message = Message::new(retry).property("price", price).property("RETRY_TOPIC", "T");
        assert_eq!(peer.ask(message.request(price)).await.code, ResponseCode::SUCCESS);
    }
    assert_eq!(bodies(&peer.pull(of_group(retry, 0, 7)).await), ["50"]);
}
