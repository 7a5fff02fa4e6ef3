//! The client crate's consumers against a broker in this process: what happens to messages from the producer to the
//! handler and back.
#![allow(clippy::unwrap_used, reason = "all of this is test code, helpers included")]

mod asked;
mod broadcasting;
mod concurrent;
mod crowd;
mod named;
mod ordered;
mod polled;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Consumer, ConsumerBuilder, MessageView, Retry};
use raptormq_testkit::{Cluster, PATIENCE, Peer};

const TOPIC: &str = "Consumed";
const GROUP: &str = "consumers";

/// What a handler has got.
type Seen = Arc<Mutex<Vec<MessageView>>>;

/// A cluster whose messages come again after a second, with a topic of so many queues.
async fn cluster(queues: i32) -> (Cluster, Peer) {
    let cluster = Cluster::builder().set("messageDelayLevel", "1s 1s 1s 1s").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic(TOPIC, queues).await;
    (cluster, peer)
}

async fn client(cluster: &Cluster) -> Client {
    Client::connect(cluster.namesrv_addr()).await.unwrap()
}

/// A consumer of the topic, of a client of its own.
async fn builder(cluster: &Cluster) -> ConsumerBuilder {
    client(cluster).await.consumer(GROUP).subscribe(TOPIC, "*").from(ConsumeFrom::First)
}

/// Starts a consumer that keeps what it gets.
async fn keeping(builder: ConsumerBuilder, seen: &Seen) -> Consumer {
    let seen = seen.clone();
    let keep = move |message| {
        seen.lock().push(message);
        async { Ok::<(), Retry>(()) }
    };
    builder.start(keep).await.unwrap()
}

fn text(message: &MessageView) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn texts(seen: &Seen) -> Vec<String> {
    seen.lock().iter().map(text).collect()
}

/// Waits until it is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not seen: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The texts that lie in the queue 0 of a topic, once there are so many.
async fn lying_in(peer: &Peer, topic: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let texts = peer.pull(topic, 0, 0).await.texts();
        if texts.len() >= count {
            return texts;
        }
        assert!(Instant::now() < deadline, "{topic} holds {texts:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
