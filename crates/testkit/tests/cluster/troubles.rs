//! Servers that stop, come back, are slow, stand still or have too much to do: what producers make of it. More of what they
//! make of busy ones is in the client's own tests (`tests/producer.rs`).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raptormq_client::{Client, ErrorKind, Message, Producer, ProducerBuilder};
use raptormq_protocol::body::{MessageQueue, TopicConfig};
use raptormq_protocol::code::{RequestCode, ResponseCode};
use raptormq_remoting::Request;
use raptormq_testkit::peer::send_header;
use raptormq_testkit::{Cluster, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::bad_input::registration;
use crate::common::*;

const TOPIC: &str = "Orders";

/// A second way to a broker, on which each answer takes so many milliseconds longer; `FROZEN` for one that takes
/// everything and never answers, as a stopped process does.
struct SlowWay {
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

const FROZEN: u64 = u64::MAX;

impl SlowWay {
    async fn to(broker: &str) -> SlowWay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let (broker, delay) = (broker.to_owned(), delay_ms.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&broker).await.unwrap();
                tokio::spawn(pass_on(client, server, delay.clone()));
            }
        });
        SlowWay { address, delay_ms }
    }

    fn slow_down(&self, delay_ms: u64) {
        self.delay_ms.store(delay_ms, Ordering::SeqCst);
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, delay_ms: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let forth = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
    let back = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from_server.read(&mut buffer).await {
            let wait = match delay_ms.load(Ordering::SeqCst) {
                FROZEN => return std::future::pending().await,
                delay => Duration::from_millis(delay),
            };
            tokio::time::sleep(wait).await;
            if to_client.write_all(&buffer[..bytes]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forth => {}
        () = back => {}
    }
}

/// A cluster of two brokers for clients, both of which are one; the way to the second, `other`, can be slow. The peer keeps
/// it registered.
async fn two_ways() -> (Cluster, SlowWay, Peer) {
    let cluster = Cluster::start().await.unwrap();
    Peer::new(cluster.broker_addr()).create_topic(TOPIC, TopicConfig::default().write_queue_nums).await;
    let way = SlowWay::to(cluster.broker_addr()).await;
    let registrar = Peer::new(cluster.namesrv_addr());
    registrar.ok(registration(&way.address.to_string(), TOPIC)).await;
    (cluster, way, registrar)
}

async fn builder(cluster: &Cluster) -> ProducerBuilder {
    client(cluster).await.producer("p")
}

/// The brokers that so many messages go to.
async fn brokers_of(producer: &Producer, messages: usize) -> Vec<String> {
    let mut brokers = Vec::new();
    for number in 0..messages {
        brokers.push(producer.send(numbered(TOPIC, number)).await.unwrap().queue.broker_name);
    }
    brokers
}

/// Messages go to all brokers in turn, to slow ones as well, unless slow ones are told from others.
#[tokio::test]
async fn a_slow_broker_is_left_alone_for_a_while_where_that_is_asked_for() {
    let (cluster, way, _registrar) = two_ways().await;
    let patient = builder(&cluster).await.start().await.unwrap();
    let careful = builder(&cluster).await.latency_faults().start().await.unwrap();
    for producer in [&patient, &careful] {
        let brokers: BTreeSet<String> = brokers_of(producer, 24).await.into_iter().collect();
        assert_eq!(brokers.len(), 2, "{brokers:?}");
    }
    // Long enough to be left alone for 2 s.
    way.slow_down(600);
    let slow = "other".to_owned();
    let mut began = Instant::now();
    while !brokers_of(&careful, 1).await.contains(&slow) {
        began = Instant::now();
    }
    // Only as many as are sure to be sent within that time.
    let after = brokers_of(&careful, 20).await;
    assert!(began.elapsed() < Duration::from_secs(2) && !after.contains(&slow), "{:?}: {after:?}", began.elapsed());
    assert!(brokers_of(&patient, 24).await.contains(&slow));
    way.slow_down(0);
    until("the broker gets messages again", async || brokers_of(&careful, 1).await.contains(&slow)).await;
    cluster.shutdown().await;
}

/// A broker that stands still takes requests and answers none of them.
#[tokio::test]
async fn a_try_that_takes_too_long_is_made_again_elsewhere() {
    let (cluster, way, _registrar) = two_ways().await;
    let hurried = builder(&cluster).await.try_timeout(Duration::from_millis(200)).start().await.unwrap();
    assert!(brokers_of(&hurried, 24).await.contains(&"other".to_owned()));
    way.slow_down(FROZEN);
    let began = Instant::now();
    let brokers = brokers_of(&hurried, 24).await;
    assert!(!brokers.contains(&"other".to_owned()), "{brokers:?}");
    assert!(began.elapsed() >= Duration::from_millis(200), "nothing was tried there");
    // Without such a limit a try may take all of the time, and it is not known whether the message was stored.
    let patient = builder(&cluster).await.timeout(Duration::from_millis(300)).start().await.unwrap();
    let queue = patient.queues(TOPIC).await.unwrap().into_iter().find(|queue| queue.broker_name == "other").unwrap();
    let error = patient.send(Message::new(TOPIC, "x")).to_queue(queue).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.outcome_unknown(), "{error}");
    assert!(error.to_string().contains(&way.address.to_string()) && error.advice().is_some(), "{error}");
    cluster.shutdown().await;
}

/// While a broker is started again its messages are tried again; every one that was acknowledged is there.
#[tokio::test]
async fn what_is_acknowledged_while_a_broker_is_started_again_is_consumed() {
    let mut cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", TOPIC).await;
    let producer = client.producer("p").retries(5).timeout(Duration::from_secs(20)).start().await.unwrap();
    producer.send(numbered(TOPIC, 0)).await.unwrap();
    let (sending, is_over) = (producer.clone(), Arc::new(AtomicU64::new(0)));
    let over = is_over.clone();
    let load = tokio::spawn(async move {
        let mut receipts = Vec::new();
        while over.load(Ordering::Relaxed) == 0 {
            receipts.push(sending.send(numbered(TOPIC, receipts.len())).await.unwrap());
        }
        receipts
    });
    for _ in 0..2 {
        cluster.restart_broker().await.unwrap();
        let before = Peer::new(cluster.broker_addr()).max_offset(TOPIC, 0).await;
        until("messages come again", async || Peer::new(cluster.broker_addr()).max_offset(TOPIC, 0).await > before)
            .await;
    }
    is_over.store(1, Ordering::Relaxed);
    let mut wanted = ids_sent(&load.await.unwrap());
    // One whose acknowledgement was lost is there twice; nothing may stay away.
    while !wanted.is_empty() {
        for message in inbox.take(1).await {
            wanted.remove(message.message_id());
        }
    }
    consumer.shutdown().await;
    cluster.shutdown().await;
}

/// Without a name server what is known stays in use; what is not known cannot be found, and the error says why.
#[tokio::test]
async fn clients_go_on_without_a_name_server_and_find_it_again() {
    // The shortest time that a broker lets pass before it registers again.
    let mut cluster = Cluster::builder().set("registerNameServerPeriod", "10000").start().await.unwrap();
    let client = client(&cluster).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", TOPIC).await;
    // The consumer has found the topic, which the first of them makes.
    let before = send_numbered(&client, TOPIC, 0..8).await;
    assert_eq!(ids_received(&inbox.take(8).await), ids_sent(&before));
    cluster.stop_name_server().await;
    let without = send_numbered(&client, TOPIC, 8..16).await;
    assert_eq!(ids_received(&inbox.take(8).await), ids_sent(&without));
    let producer = client.producer("p").timeout(Duration::from_secs(2)).start().await.unwrap();
    let began = Instant::now();
    let error = producer.send(Message::new("Unknown", "x")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}: {error}", began.elapsed());
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(cluster.namesrv_addr()), "{error}");
    let refused = Client::connect(cluster.namesrv_addr()).await.err().unwrap();
    assert!(refused.to_string().contains("start a name server there"), "{refused}");

    cluster.start_name_server().await.unwrap();
    // Once the broker has registered again.
    until("a new topic can be sent to", async || producer.send(Message::new("Unknown", "x")).await.is_ok()).await;
    let after = send_numbered(&client, TOPIC, 16..20).await;
    assert_eq!(ids_received(&inbox.take(4).await), ids_sent(&after));
    consumer.shutdown().await;
    cluster.shutdown().await;
}

/// A broker that takes one send at a time, and holds it until a slave has its message.
async fn one_send_at_a_time() -> Cluster {
    let builder = Cluster::builder().set("brokerRole", "SYNC_MASTER").set("inSyncReplicas", "2");
    let builder = builder.set("slaveTimeout", "120000").set("sendThreadPoolQueueCapacity", "1");
    builder.start().await.unwrap()
}

#[tokio::test]
async fn what_a_busy_broker_does_not_take_goes_elsewhere_or_fails_as_busy() {
    let (busy, free) = (one_send_at_a_time().await, Cluster::start().await.unwrap());
    let (at_busy, at_free) = (Peer::new(busy.broker_addr()), Peer::new(free.broker_addr()));
    at_busy.create_topic("Lonely", 1).await;
    for peer in [&at_busy, &at_free] {
        peer.create_topic(TOPIC, TopicConfig::default().write_queue_nums).await;
    }
    let registrar = Peer::new(busy.namesrv_addr());
    registrar.ok(registration(free.broker_addr(), TOPIC)).await;
    let producer = builder(&busy).await.start().await.unwrap();
    let careful = builder(&busy).await.latency_faults().start().await.unwrap();

    let header = send_header("p", "Lonely");
    let held = at_busy.begin(&Request::new(RequestCode::SEND_MESSAGE_V2).header(&header).body("held")).await;
    until("the broker has a send", async || runtime_info(&at_busy, "sendThreadPoolQueueSize").await == "1").await;
    // Another broker takes what this one refuses …
    let other = vec!["other".to_owned(); 24];
    assert_eq!(brokers_of(&producer, 24).await, other);
    assert_eq!(brokers_of(&careful, 24).await, other);
    // … also many at once …
    let mut acks = Vec::new();
    for number in 0..200 {
        acks.push(producer.enqueue(numbered(TOPIC, number)).await.unwrap());
    }
    for ack in acks {
        assert_eq!(ack.await.unwrap().queue.broker_name, "other");
    }
    // … and where there is no other one, or the queue is given, the error says what it is.
    let queue = MessageQueue { topic: TOPIC.to_owned(), broker_name: busy.broker_name().to_owned(), queue_id: 0 };
    let bound = producer.send(numbered(TOPIC, 0)).to_queue(queue).await.unwrap_err();
    let alone = producer.send(numbered("Lonely", 0)).await.unwrap_err();
    for error in [&bound, &alone] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Busy, Some(ResponseCode::SYSTEM_BUSY)), "{error}");
        assert!(error.to_string().contains("[OVERLOAD]system busy"), "{error}");
        assert!(error.is_retryable() && !error.outcome_unknown(), "{error}");
    }
    assert!(alone.to_string().starts_with("Send [3] times, still failed"), "{alone}");
    // What was refused is not there.
    assert_eq!(at_busy.max_offset("Lonely", 0).await, 1);
    for queue_id in 0..TopicConfig::default().write_queue_nums {
        assert_eq!(at_busy.max_offset(TOPIC, queue_id).await, 0);
    }

    // It takes messages again when the slave is there that it waits for.
    let busy_name = busy.broker_name().to_owned();
    let slave = busy.slave(1, &[]).await.unwrap();
    assert_eq!(held.await.unwrap().code, ResponseCode::SUCCESS);
    until("the broker takes messages", async || brokers_of(&producer, 2).await.contains(&busy_name)).await;
    assert!(producer.send(numbered("Lonely", 1)).await.is_ok());
    drop(slave);
    busy.shutdown().await;
    free.shutdown().await;
}
