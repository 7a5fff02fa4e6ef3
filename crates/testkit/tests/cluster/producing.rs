//! What producers can do beside sending: transactions, requests, traces, names in a namespace, the second port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raptormq_client::{Client, ClientTls, ConsumeFrom, Error, ErrorKind, Message, Retry, TlsConfig, TransactionState};
use raptormq_testkit::{Cluster, PATIENCE};

use crate::common::*;

/// A cluster that soon asks what became of a transaction.
async fn asking_cluster() -> Cluster {
    let builder = Cluster::builder().set("transactionTimeOut", "200").set("transactionCheckInterval", "200");
    builder.start().await.unwrap()
}

#[tokio::test]
async fn a_committed_message_comes_and_one_rolled_back_does_not() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let producer = client.producer("pay").start_transactional(|_| async { TransactionState::Unknown }).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Paid").await;
    let committed = producer.begin(Message::new("Paid", "yes").key("k").tag("A")).await.unwrap();
    let undone = producer.begin(Message::new("Paid", "no")).await.unwrap();
    assert_ne!(committed.receipt().message_id, undone.receipt().message_id);
    undone.rollback().await.unwrap();
    let id = committed.receipt().message_id.clone();
    committed.commit().await.unwrap();
    let (_, state) = producer.send(Message::new("Paid", "also"), async { TransactionState::Commit }).await.unwrap();
    assert_eq!(state.to_string(), "COMMIT_MESSAGE");
    let came = inbox.take(2).await;
    assert_eq!(came.iter().filter(|message| message.message_id() == id).count(), 1);
    assert!(came.iter().all(|message| message.body() != "no"));
    let delayed = producer.begin(Message::new("Paid", "x").delay_level(1)).await.err().unwrap();
    assert_eq!(delayed.kind(), ErrorKind::InvalidArgument);
    consumer.shutdown().await;
    producer.shutdown().await;
    assert!(inbox.rest().is_empty());
    cluster.shutdown().await;
}

/// Whoever knows the answer gives it; a check that panics or does not know is asked again.
#[tokio::test]
async fn a_broker_asks_what_became_of_a_transaction() {
    let cluster = asking_cluster().await;
    let client = client(&cluster).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let check = move |message: raptormq_client::MessageView| {
        let times = count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert_eq!((message.topic(), message.body().as_ref()), ("Paid", &b"yes"[..]));
            match times {
                0 => TransactionState::Unknown,
                1 => panic!("the test's check fails once"),
                _ => TransactionState::Commit,
            }
        }
    };
    let producer = client.producer("pay").start_transactional(check).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Paid").await;
    let transaction = producer.begin(Message::new("Paid", "yes")).await.unwrap();
    let id = transaction.receipt().message_id.clone();
    drop(transaction);
    assert_eq!(inbox.take(1).await[0].message_id(), id);
    assert!(asked.load(Ordering::Relaxed) >= 3);
    consumer.shutdown().await;
    producer.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_request_gets_its_reply() {
    let cluster = Cluster::start().await.unwrap();
    let (asking, answering) = (client(&cluster).await, client(&cluster).await);
    let replies = answering.producer("repliers").start().await.unwrap();
    let reply = replies.clone();
    let consumer = answering.consumer("calculators").subscribe("Sums", "*").from(ConsumeFrom::First);
    let handle = move |message: raptormq_client::MessageView| {
        let replies = reply.clone();
        async move {
            let sum: i64 =
                std::str::from_utf8(message.body())?.split('+').map(str::parse::<i64>).sum::<Result<_, _>>()?;
            // A body that is long enough to be compressed, too.
            replies.reply(&message, format!("{sum}{}", " ".repeat(10_000))).await?;
            Ok::<(), Retry>(())
        }
    };
    let consumer = consumer.start(handle).await.unwrap();
    let producer = asking.producer("askers").start().await.unwrap();
    // The topic is new, so the consumer has to learn of it.
    for (question, answer) in [("2+2", "4"), ("1+2+3", "6")] {
        let reply = producer.request(Message::new("Sums", question), PATIENCE).await.unwrap();
        assert_eq!(std::str::from_utf8(reply.body()).unwrap().trim_end(), answer);
    }
    consumer.shutdown().await;
    let error = producer.request(Message::new("Sums", "1+1"), Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        error.to_string().starts_with("send request message to <Sums> OK, but wait reply message timeout"),
        "{error}"
    );
    let mut inbox = Inbox::new();
    let reader = inbox.consume(&asking, "readers", "Sums").await;
    let ordinary = send_numbered(&asking, "Sums", 0..1).await;
    let all = inbox.take(4).await;
    let message = all.iter().find(|message| message.message_id() == ordinary[0].message_id).unwrap();
    let error = replies.reply(message, "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    // Who asked is gone.
    let request = all.iter().find(|message| message.property("CORRELATION_ID").is_some()).unwrap().clone();
    reader.shutdown().await;
    producer.shutdown().await;
    asking.shutdown().await;
    until("the requester is gone", async || {
        let outcome = replies.reply(&request, "x").await;
        outcome.is_err_and(|error: Error| error.to_string().contains("push reply message"))
    })
    .await;
    cluster.shutdown().await;
}

/// The trace of a message is found by its id in the topic of traces, or in the one that was named.
#[tokio::test]
async fn traces_are_written_in_the_original_s_records() {
    let cluster = Cluster::builder().set("traceTopicEnable", "true").start().await.unwrap();
    let client = client(&cluster).await;
    for topic in ["RMQ_SYS_TRACE_TOPIC", "MyTraces"] {
        let traced =
            client.producer("traced").trace_to(topic).start_transactional(|_| async { TransactionState::Unknown });
        let traced = traced.await.unwrap();
        let receipt = traced.producer().send(Message::new("T", "hello").tag("A").key("k1")).await.unwrap();
        let half = traced.begin(Message::new("T", "half")).await.unwrap();
        let half_id = half.receipt().message_id.clone();
        half.commit().await.unwrap();
        traced.shutdown().await;
        let mut reader = client.reader(topic).from(ConsumeFrom::First).open().await.unwrap();
        let mut text = String::new();
        while !text.contains("EndTransaction") {
            let message = tokio::time::timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
            let keys: Vec<&str> = message.keys().collect();
            assert!(keys.contains(&receipt.message_id.as_str()) && keys.contains(&"k1"), "{keys:?}");
            text.push_str(std::str::from_utf8(message.body()).unwrap());
        }
        let records: Vec<Vec<&str>> =
            text.split_terminator('\u{2}').map(|record| record.split('\u{1}').collect()).collect();
        let [sent, begun, ended] = &records[..] else { panic!("{records:?}") };
        assert_eq!((sent.len(), begun.len(), ended.len()), (14, 14, 13));
        assert_eq!((sent[0], sent[2], sent[3], sent[4]), ("Pub", "DefaultRegion", "traced", "T"));
        assert_eq!((sent[5], sent[6], sent[7]), (receipt.message_id.as_str(), "A", "k1"));
        assert_eq!((sent[8], sent[9], sent[11]), (cluster.broker_addr(), "5", "0"));
        assert_eq!((sent[12], sent[13]), (receipt.offset_message_id.as_str(), "true"));
        assert_eq!((begun[5], begun[11]), (half_id.as_str(), "1"));
        assert_eq!((ended[0], ended[5], ended[9]), ("EndTransaction", half_id.as_str(), "2"));
        assert_eq!((ended[10], ended[11], ended[12]), (half_id.as_str(), "COMMIT_MESSAGE", "false"));
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn messages_go_to_the_second_port_where_that_is_asked_for() {
    let cluster = Cluster::start().await.unwrap();
    let client = Client::builder().namesrv(cluster.namesrv_addr()).vip_channel().connect().await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "T").await;
    let receipts = send_numbered(&client, "T", 0..5).await;
    assert_eq!(ids_received(&inbox.take(5).await), ids_sent(&receipts));
    consumer.shutdown().await;
    cluster.shutdown().await;
}

/// A broker that takes nothing else takes what a client with TLS sends, and not what one without it does.
#[tokio::test]
async fn an_encrypted_client_sends_and_consumes() {
    let cluster = Cluster::builder().set("tls.server.mode", "enforcing").start().await.unwrap();
    let tls = ClientTls::new(&TlsConfig::default()).unwrap();
    let client = Client::builder().namesrv(cluster.namesrv_addr()).tls(tls).connect().await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "T").await;
    let receipts = send_numbered(&client, "T", 0..5).await;
    assert_eq!(ids_received(&inbox.take(5).await), ids_sent(&receipts));
    consumer.shutdown().await;
    let plain = self::client(&cluster).await.producer("p").timeout(Duration::from_secs(1)).start().await.unwrap();
    let error = plain.send(Message::new("T", "x")).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    cluster.shutdown().await;
}

/// A namespace is in the names that brokers know, and in nothing that a program sees, replies and retries included.
#[tokio::test]
async fn programs_in_a_namespace_see_bare_names() {
    let cluster = asking_cluster().await;
    let client = Client::builder().namesrv(cluster.namesrv_addr()).namespace("NS").connect().await.unwrap();
    let bare = Client::connect(cluster.namesrv_addr()).await.unwrap();
    let producer = client.producer("p").start_transactional(|message: raptormq_client::MessageView| async move {
        assert_eq!(message.topic(), "T");
        TransactionState::Commit
    });
    let producer = producer.await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "T").await;
    producer.producer().send(Message::new("T", "x")).await.unwrap();
    drop(producer.begin(Message::new("T", "later")).await.unwrap());
    let came = inbox.take(2).await;
    assert!(came.iter().all(|message| message.topic() == "T"), "{came:?}");
    let mut reader = bare.reader("NS%T").from(ConsumeFrom::First).open().await.unwrap();
    assert_eq!(reader.next().await.unwrap().topic(), "NS%T");
    let answering = producer.producer().clone();
    let replier = client.consumer("repliers").subscribe("Asked", "*").from(ConsumeFrom::First);
    let replier = replier.start(move |message| {
        let answering = answering.clone();
        async move {
            answering.reply(&message, "answer").await?;
            Ok::<(), Retry>(())
        }
    });
    let replier = replier.await.unwrap();
    let reply = producer.producer().request(Message::new("Asked", "question"), PATIENCE).await.unwrap();
    assert_eq!(reply.body(), "answer");
    replier.shutdown().await;
    consumer.shutdown().await;
    producer.shutdown().await;
    cluster.shutdown().await;
}

/// Heartbeats that say nothing new leave the subscriptions out; a broker that forgot them gets them.
#[tokio::test]
async fn the_newer_heartbeats_keep_a_group_alive_over_a_restart() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = Client::builder().namesrv(cluster.namesrv_addr()).heartbeat_v2().connect().await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "T").await;
    let before = send_numbered(&client, "T", 0..3).await;
    assert_eq!(ids_received(&inbox.take(3).await), ids_sent(&before));
    cluster.restart_broker().await.unwrap();
    let after = send_numbered(&client, "T", 3..6).await;
    assert!(ids_received(&inbox.take(3).await).is_superset(&ids_sent(&after)));
    consumer.shutdown().await;
    cluster.shutdown().await;
}
