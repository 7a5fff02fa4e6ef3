//! What a producer does, seen by brokers.
#![allow(clippy::unwrap_used)] // a failure ends the test

mod support;

use std::time::Duration;

use raptormq_client::{Client, ErrorKind, Message, Producer, ResponseCode, SendStatus};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::message::MessageExt;
use support::*;

const SEND: RequestCode = RequestCode::SEND_MESSAGE_V2;

async fn producer(cluster: &Cluster) -> Producer {
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    client.producer("p").start().await.unwrap()
}

fn stored(cluster: &Cluster) -> Vec<MessageExt> {
    let state = cluster.state.lock();
    let records = state.queues.values().flatten();
    records.map(|record| MessageExt::decode(record, 1 << 24).unwrap().0).collect()
}

#[tokio::test]
async fn a_message_arrives_with_what_was_set_and_what_every_message_has() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let message = Message::new("T", "hello").tag("TagA").key("k1").key("k2").property("region", "EU");
    let receipt = producer.send(message).await.unwrap();
    assert_eq!((receipt.status, receipt.queue_offset), (SendStatus::SendOk, 0));
    let stored = stored(&cluster);
    let [message] = &stored[..] else { panic!("{stored:?}") };
    assert_eq!(message.body, "hello");
    assert_eq!(message.unique_key(), Some(receipt.message_id.as_str()));
    assert_eq!((message.tags(), message.keys()), (Some("TagA"), Some("k1 k2")));
    assert_eq!((message.property("region"), message.property("WAIT")), (Some("EU"), Some("true")));
    assert_eq!(receipt.queue, queue("T", message.queue_id));
}

#[tokio::test]
async fn sends_go_round_the_queues_of_all_brokers() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    for _ in 0..8 {
        producer.send(Message::new("T", "x")).await.unwrap();
    }
    let lengths: Vec<usize> = cluster.state.lock().queues.values().map(Vec::len).collect();
    assert_eq!(lengths, [2; 4]);
}

#[tokio::test]
async fn a_busy_broker_s_message_goes_to_another_one() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY; 9]);
    let producer = producer(&cluster).await;
    for _ in 0..6 {
        let receipt = producer.send(Message::new("T", "x")).await.unwrap();
        assert_eq!(receipt.queue.broker_name, "broker-1");
    }
    assert_eq!(stored(&cluster).len(), 6);
}

#[tokio::test]
async fn what_nobody_takes_fails_after_three_tries_with_the_last_reason() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY; 9]);
    let producer = producer(&cluster).await;
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Busy, Some(ResponseCode::SYSTEM_BUSY)));
    assert!(error.to_string().starts_with("Send [3] times, still failed, cost ["), "{error}");
    assert!(error.to_string().contains("BrokersSent: [broker-0, broker-0, broker-0]"), "{error}");
    assert_eq!(cluster.count(SEND), 3);
}

#[tokio::test]
async fn a_refusal_that_another_broker_would_repeat_is_not_tried_again() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    for broker in 0..2 {
        cluster.answer(broker, SEND, &[ResponseCode::MESSAGE_ILLEGAL]);
    }
    let error = producer(&cluster).await.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!((error.kind(), cluster.count(SEND)), (ErrorKind::Refused, 1));
}

#[tokio::test]
async fn a_new_topic_is_sent_to_by_the_route_of_the_default_topic() {
    let cluster = Cluster::start(1).with_topics(&["TBW102"]);
    let producer = producer(&cluster).await;
    for _ in 0..8 {
        producer.send(Message::new("New", "x")).await.unwrap();
    }
    let mut queues: Vec<i32> = cluster.state.lock().queues.keys().map(|queue| queue.queue_id).collect();
    queues.sort();
    assert_eq!(queues, [0, 1, 2, 3]);
}

#[tokio::test]
async fn the_causes_of_a_missing_route_are_told_apart() {
    let send = async |cluster: &Cluster| producer(cluster).await.send(Message::new("New", "x")).await.unwrap_err();
    let error = send(&Cluster::start(1)).await;
    assert_eq!(error.kind(), ErrorKind::NoRoute);
    assert!(error.to_string().contains("No broker is registered"), "{error}");
    let error = send(&Cluster::start(1).with_topics(&["Other"])).await;
    assert_eq!(error.kind(), ErrorKind::TopicNotExist);
    assert!(error.to_string().starts_with("No route info of this topic: New"), "{error}");
    let error = Client::connect("127.0.0.1:1").await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    // The connection is there before the time begins.
    producer.send(Message::new("T", "x")).await.unwrap();
    cluster.state.lock().silent.insert(SEND);
    let error = producer.send(Message::new("T", "x")).timeout(Duration::from_millis(80)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.outcome_unknown() && error.is_retryable());
}

#[tokio::test]
async fn enqueued_messages_are_on_their_way_before_an_ack_is_awaited() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let mut acks = Vec::new();
    for number in 0..200 {
        acks.push(producer.enqueue(Message::new("T", format!("{number}"))).await.unwrap());
    }
    eventually("all messages at the broker", || stored(&cluster).len() == 200).await;
    for ack in acks {
        ack.await.unwrap();
    }
}

#[tokio::test]
async fn an_enqueued_message_that_is_refused_is_tried_again() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY]);
    let ack = producer(&cluster).await.enqueue(Message::new("T", "x")).await.unwrap();
    assert_eq!(ack.await.unwrap().queue_offset, 0);
    assert_eq!(cluster.count(SEND), 2);
}

#[tokio::test]
async fn no_more_messages_are_on_their_way_than_allowed() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.state.lock().silent.insert(SEND);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let builder = client.producer("p").max_in_flight(2, 1 << 20).timeout(Duration::from_millis(200)).retries(0);
    let producer = builder.start().await.unwrap();
    let enqueue = || producer.enqueue(Message::new("T", "x"));
    let first = enqueue().await.unwrap();
    // Dropped, but still on its way.
    drop(enqueue().await.unwrap());
    assert!(tokio::time::timeout(Duration::from_millis(50), enqueue()).await.is_err());
    // The time of both is up, so there is room for two, although nobody has looked at the first one's Ack.
    let _third = enqueue().await.unwrap();
    let _fourth = enqueue().await.unwrap();
    assert_eq!(first.await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn room_comes_with_the_answers_and_not_with_looking_at_them() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let producer = client.producer("p").max_in_flight(4, 1 << 20).start().await.unwrap();
    let mut acks = Vec::new();
    for _ in 0..100 {
        acks.push(producer.enqueue(Message::new("T", "x")).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_message_is_tried_again_although_its_ack_is_dropped() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY; 2]);
    let producer = producer(&cluster).await;
    drop(producer.enqueue(Message::new("T", "x")).await.unwrap());
    // A shutdown waits for what is on its way.
    producer.shutdown().await;
    assert_eq!((stored(&cluster).len(), cluster.count(SEND)), (1, 3));
}

#[tokio::test]
async fn a_batch_lies_in_one_queue_and_each_message_has_its_id() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let receipt = producer.send_batch((0..5).map(|number| Message::new("T", format!("{number}")))).await.unwrap();
    let ids: Vec<&str> = receipt.message_id.split(',').collect();
    let stored = stored(&cluster);
    assert_eq!(stored.iter().map(|message| message.unique_key().unwrap()).collect::<Vec<_>>(), ids);
    assert_eq!(stored.iter().map(|message| message.queue_offset).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let mixed = [Message::new("T", "x"), Message::new("U", "x")];
    assert_eq!(producer.send_batch(mixed).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_oneway_message_waits_for_nothing() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    producer.send_oneway(Message::new("T", "x")).await.unwrap();
    eventually("the message at the broker", || stored(&cluster).len() == 1).await;
}

#[tokio::test]
async fn long_bodies_travel_compressed_and_come_out_whole() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let body = "abc".repeat(3000);
    producer(&cluster).await.send(Message::new("T", body.clone())).await.unwrap();
    assert!(cluster.state.lock().queues.values().flatten().all(|record| record.len() < 1000));
    assert_eq!(stored(&cluster)[0].body, body);
}

#[tokio::test]
async fn weak_acknowledgements_are_errors_unless_accepted() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::FLUSH_DISK_TIMEOUT; 2]);
    let strict = producer(&cluster).await;
    let error = strict.send(Message::new("T", "x")).await.unwrap_err();
    assert_eq!((error.kind(), cluster.count(SEND)), (ErrorKind::FlushDiskTimeout, 1));
    let client = Client::connect(cluster.namesrv()).await.unwrap();
    let lenient = client.producer("p").accept_weak_ack().start().await.unwrap();
    let receipt = lenient.send(Message::new("T", "x")).await.unwrap();
    assert_eq!(receipt.status, SendStatus::FlushDiskTimeout);
}

#[tokio::test]
async fn a_shut_down_producer_leaves_its_group_and_takes_nothing_more() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let ack = producer.enqueue(Message::new("T", "x")).await.unwrap();
    eventually("a heartbeat", || !cluster.state.lock().heartbeats.is_empty()).await;
    assert_eq!(cluster.state.lock().heartbeats[0].producer_data_set[0].group_name, "p");
    let (receipt, ()) = tokio::join!(ack, producer.shutdown());
    receipt.unwrap();
    assert_eq!(cluster.state.lock().left, ["p"]);
    assert_eq!(producer.send(Message::new("T", "x")).await.unwrap_err().kind(), ErrorKind::Closed);
}
