//! Where a producer's messages go, and who looks on.
#![allow(clippy::unwrap_used)] // a failure ends the test

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use raptormq_client::{
    Client, Compression, Error, ErrorKind, Message, Producer, ProducerBuilder, ProducerHook, ResponseCode, Result,
    SendStatus, SentContext,
};
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::hash::java_hash;
use raptormq_protocol::message::MessageExt;
use support::*;

const SEND: RequestCode = RequestCode::SEND_MESSAGE_V2;

async fn builder(cluster: &Cluster) -> ProducerBuilder {
    Client::connect(cluster.namesrv()).await.unwrap().producer("p")
}

async fn producer(cluster: &Cluster) -> Producer {
    builder(cluster).await.start().await.unwrap()
}

fn stored(cluster: &Cluster) -> Vec<MessageExt> {
    let state = cluster.state.lock();
    let records = state.queues.values().flatten();
    records.map(|record| MessageExt::decode(record, 1 << 24).unwrap().0).collect()
}

#[tokio::test]
async fn a_key_has_its_queue_and_a_queue_can_be_named_or_chosen() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let queues = producer.queues("T").await.unwrap();
    assert_eq!(queues.len(), 4);
    for key in ["order-1", "order-2", "ä", "order-1"] {
        let receipt = producer.send(Message::new("T", "x")).ordering_key(key).await.unwrap();
        // What Java's SelectMessageQueueByHash makes of it.
        assert_eq!(receipt.queue, queues[(java_hash(key) % 4).unsigned_abs() as usize]);
    }
    let receipt = producer.send(Message::new("T", "x")).to_queue(queues[2].clone()).await.unwrap();
    assert_eq!(receipt.queue, queues[2]);
    let receipt = producer.send(Message::new("T", "x")).select(|queues| queues.len() + 3).await.unwrap();
    assert_eq!(receipt.queue, queues[3]);
    producer.send(Message::new("T", "x")).to_queue(queues[0].clone()).oneway().await.unwrap();
    let ack = producer.send_batch([Message::new("T", "x")]).ordering_key("k").enqueue().await.unwrap();
    ack.await.unwrap();
    eventually("all messages", || stored(&cluster).len() == 8).await;
    let nowhere = raptormq_client::MessageQueue { broker_name: "nobody".into(), ..queues[0].clone() };
    let error = producer.send(Message::new("T", "x")).to_queue(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRoute);
    assert!(error.to_string().starts_with("The broker[nobody] not exist"), "{error}");
}

#[tokio::test]
async fn a_message_that_is_bound_to_a_queue_is_tried_once() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    for broker in 0..2 {
        cluster.answer(broker, SEND, &[ResponseCode::SYSTEM_BUSY; 9]);
    }
    let error = producer(&cluster).await.send(Message::new("T", "x")).ordering_key("k").await.unwrap_err();
    assert_eq!((error.kind(), cluster.count(SEND)), (ErrorKind::Busy, 1));
}

#[tokio::test]
async fn many_messages_go_in_as_many_batches_as_they_need() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    let receipts = producer.send_batches((0..50).map(|_| Message::new("T", vec![7; 10_000])), 100_000).await.unwrap();
    assert_eq!((receipts.len(), stored(&cluster).len()), (6, 50));
    let ids: Vec<&str> = receipts.iter().flat_map(|receipt| receipt.message_id.split(',')).collect();
    assert_eq!(ids.len(), 50);
    let error = producer.send_batch([Message::new("T", "x").delay_level(1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = producer.send_batch((0..5).map(|_| Message::new("T", vec![7; 1 << 20]))).await.unwrap_err();
    assert!(error.kind() == ErrorKind::TooLarge && error.to_string().contains("send_batches"), "{error}");
}

#[tokio::test]
async fn delays_and_waiting_travel_as_properties() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let producer = producer(&cluster).await;
    producer.send(Message::new("T", "level").delay_level(3).wait_for_store(false)).await.unwrap();
    producer.send(Message::new("T", "after").deliver_after(Duration::from_secs(90))).await.unwrap();
    producer.send(Message::new("T", "at").deliver_at(SystemTime::UNIX_EPOCH + Duration::from_secs(5))).await.unwrap();
    let stored = stored(&cluster);
    let of = |body: &str, property: &str| {
        stored.iter().find(|message| message.body == body).unwrap().property(property).map(str::to_owned).unwrap()
    };
    assert_eq!((of("level", "DELAY"), of("level", "WAIT")), ("3".to_owned(), "false".to_owned()));
    assert_eq!((of("after", "TIMER_DELAY_MS"), of("at", "TIMER_DELIVER_MS")), ("90000".to_owned(), "5000".to_owned()));
}

#[tokio::test]
async fn every_compression_comes_out_whole() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let body = "abc".repeat(3000);
    for (compression, level) in [(Compression::Zlib, 9), (Compression::Lz4, 0), (Compression::Zstd, 3)] {
        let producer = builder(&cluster).await.compression(compression, level).start().await.unwrap();
        producer.send(Message::new("T", body.clone())).await.unwrap();
    }
    assert!(cluster.state.lock().queues.values().flatten().all(|record| record.len() < 1000));
    assert!(stored(&cluster).iter().all(|message| message.body == body));
}

#[tokio::test]
async fn a_broker_that_failed_is_left_alone_where_that_is_asked_for() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY]);
    let producer = builder(&cluster).await.latency_faults().retries(0).start().await.unwrap();
    let mut refused = 0;
    for _ in 0..20 {
        match producer.send(Message::new("T", "x")).await {
            Ok(receipt) if refused > 0 => assert_eq!(receipt.queue.broker_name, "broker-1"),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn a_broker_that_does_not_answer_gets_messages_again_when_it_answers_the_detector() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    let silent = || cluster.state.lock().silent.clone();
    let builder = builder(&cluster).await.detect_faults().timeout(Duration::from_millis(100)).retries(0);
    let producer = builder.start().await.unwrap();
    cluster.state.lock().silent.extend([SEND, RequestCode::GET_MAX_OFFSET]);
    let queue = producer.queues("T").await.unwrap()[0].clone();
    producer.send(Message::new("T", "x")).to_queue(queue.clone()).await.unwrap_err();
    assert!(!silent().is_empty());
    cluster.state.lock().silent.remove(&SEND);
    for _ in 0..8 {
        let receipt = producer.send(Message::new("T", "x")).await.unwrap();
        assert_ne!(receipt.queue.broker_name, queue.broker_name);
    }
    cluster.state.lock().silent.clear();
    let asked = cluster.count(RequestCode::GET_MAX_OFFSET);
    eventually("the detector asks", || cluster.count(RequestCode::GET_MAX_OFFSET) > asked).await;
    let began = tokio::time::Instant::now();
    loop {
        let receipt = producer.send(Message::new("T", "x")).await.unwrap();
        if receipt.queue.broker_name == queue.broker_name {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the broker never came back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_weak_acknowledgement_can_be_reason_to_try_another_broker() {
    let cluster = Cluster::start(2).with_topics(&["T"]);
    for broker in 0..2 {
        cluster.answer(broker, SEND, &[ResponseCode::FLUSH_DISK_TIMEOUT]);
    }
    let producer = builder(&cluster).await.retry_weak_ack().start().await.unwrap();
    let receipt = producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!((receipt.status, cluster.count(SEND)), (SendStatus::SendOk, 3));
}

/// Marks what passes, refuses one message, and notes what became of the others.
#[derive(Clone, Default)]
struct Watch {
    outcomes: Arc<Mutex<Vec<(String, bool)>>>,
}

impl ProducerHook for Watch {
    fn before_send(&self, group: &str, message: &mut Message) -> Result<()> {
        if message.body() == "forbidden" {
            return Err(Error::refused_by_hook("not this one"));
        }
        *message = message.clone().property("seen-by", group);
        Ok(())
    }

    fn after_send(&self, sent: &SentContext<'_>) {
        self.outcomes.lock().push((sent.message_id.to_owned(), sent.outcome.is_ok()));
    }
}

#[tokio::test]
async fn hooks_change_refuse_and_look_on() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let watch = Watch::default();
    let producer = builder(&cluster).await.hook(watch.clone()).retries(0).start().await.unwrap();
    let error = producer.send(Message::new("T", "forbidden")).await.unwrap_err();
    assert_eq!((error.kind(), cluster.count(SEND)), (ErrorKind::NotPermitted, 0));
    let receipt = producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!(stored(&cluster)[0].property("seen-by"), Some("p"));
    cluster.answer(0, SEND, &[ResponseCode::SYSTEM_BUSY]);
    producer.send(Message::new("T", "x")).await.unwrap_err();
    let outcomes = watch.outcomes.lock().clone();
    assert_eq!(outcomes.iter().map(|(_, is_ok)| *is_ok).collect::<Vec<_>>(), [true, false]);
    assert_eq!(outcomes[0].0, receipt.message_id);
}

#[tokio::test]
async fn a_namespace_is_seen_by_brokers_and_not_by_programs() {
    let cluster = Cluster::start(1).with_topics(&["NS%T"]);
    let client = Client::builder().namesrv(cluster.namesrv()).namespace("NS").connect().await.unwrap();
    let producer = client.producer("p").start().await.unwrap();
    let receipt = producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!(receipt.queue.topic, "T");
    assert_eq!(stored(&cluster)[0].topic, "NS%T");
    assert!(producer.queues("T").await.unwrap().iter().all(|queue| queue.topic == "T"));
    eventually("a heartbeat", || !cluster.state.lock().heartbeats.is_empty()).await;
    assert_eq!(cluster.state.lock().heartbeats[0].producer_data_set[0].group_name, "NS%p");
}

/// The newer form leaves names as they are, and names the namespace in every request.
#[tokio::test]
async fn a_namespace_of_the_second_form_is_told_by_every_request() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let client = Client::builder().namesrv(cluster.namesrv()).namespace_v2("NS").connect().await.unwrap();
    let producer = client.producer("p").start().await.unwrap();
    let consumer = client.consumer("c").subscribe("T", "*").start(|_| async { Ok(()) }).await.unwrap();
    let receipt = producer.send(Message::new("T", "x")).await.unwrap();
    assert_eq!((receipt.queue.topic.as_str(), stored(&cluster)[0].topic.as_str()), ("T", "T"));
    eventually("a pull", || cluster.count(RequestCode::PULL_MESSAGE) > 0).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    let state = cluster.state.lock();
    let groups: Vec<&str> = state
        .heartbeats
        .iter()
        .flat_map(|heartbeat| &heartbeat.producer_data_set)
        .map(|one| &*one.group_name)
        .collect();
    assert!(!groups.is_empty() && groups.iter().all(|group| *group == "p"), "{groups:?}");
    for code in [SEND, RequestCode::GET_ROUTEINFO_BY_TOPIC, RequestCode::HEART_BEAT, RequestCode::PULL_MESSAGE] {
        assert!(state.namespaces.iter().any(|(seen, _)| *seen == code), "{code:?}");
    }
    assert!(state.namespaces.iter().all(|(_, namespace)| namespace.as_deref() == Some("NS")), "{:?}", state.namespaces);
}

/// What tells clients on one machine apart, and those of several sites.
#[tokio::test]
async fn brokers_know_a_client_by_its_address_its_instance_and_its_unit() {
    let cluster = Cluster::start(1).with_topics(&["T"]);
    let builder = Client::builder().namesrv(cluster.namesrv());
    let client = builder.instance_name("one").unit_name("north").connect().await.unwrap();
    let other = Client::connect(cluster.namesrv()).await.unwrap();
    assert!(client.id().ends_with("@one@north") && client.id().split('@').count() == 3, "{}", client.id());
    assert!(other.id().split('@').count() == 2 && other.id() != client.id(), "{}", other.id());
    let producer = client.producer("p").start().await.unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    eventually("a heartbeat", || !cluster.state.lock().heartbeats.is_empty()).await;
    assert_eq!(cluster.state.lock().heartbeats[0].client_id, client.id());
}
