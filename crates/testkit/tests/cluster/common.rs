//! What the tests of a cluster have in common.

use std::collections::BTreeSet;
use std::time::Duration;

use raptormq_client::{Client, ConsumeFrom, Consumer, ConsumerBuilder, Message, MessageView, SendReceipt};
use raptormq_protocol::body::KVTable;
use raptormq_protocol::code::RequestCode;
use raptormq_protocol::json;
use raptormq_remoting::Request;
use raptormq_testkit::{Cluster, PATIENCE, Peer};
use tokio::sync::mpsc;

/// How long to wait before looking again at something that tells nobody when it changes.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Waits until the broker holds so many pulls.
pub(crate) async fn held(peer: &Peer, count: usize) {
    until("pulls are held", async || runtime_info(peer, "pullRequestsHeld").await == count.to_string()).await;
}

/// What the broker tells of itself under a key.
pub(crate) async fn runtime_info(peer: &Peer, key: &str) -> String {
    let answer = peer.ok(Request::new(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
    let mut info: KVTable = json::from_slice(&answer.body).unwrap();
    info.table.remove(key).unwrap()
}

/// A client of the cluster.
pub(crate) async fn client(cluster: &Cluster) -> Client {
    Client::connect(cluster.namesrv_addr()).await.unwrap()
}

/// A message whose body tells its number.
pub(crate) fn numbered(topic: &str, number: usize) -> Message {
    Message::new(topic, format!("message {number}"))
}

/// Sends so many messages, all on their way at once, and waits until they are stored.
pub(crate) async fn send_numbered(client: &Client, topic: &str, numbers: std::ops::Range<usize>) -> Vec<SendReceipt> {
    let producer = client.producer("producers").start().await.unwrap();
    let mut acks = Vec::new();
    for number in numbers {
        acks.push(producer.enqueue(numbered(topic, number)).await.unwrap());
    }
    let mut receipts = Vec::new();
    for ack in acks {
        receipts.push(ack.await.unwrap());
    }
    producer.shutdown().await;
    receipts
}

/// The ids of sent messages, which must all be different.
pub(crate) fn ids_sent(receipts: &[SendReceipt]) -> BTreeSet<String> {
    let ids: BTreeSet<String> = receipts.iter().map(|receipt| receipt.message_id.clone()).collect();
    assert_eq!(ids.len(), receipts.len(), "an id was given twice");
    ids
}

/// The ids of received messages. A message that came twice makes the test fail.
pub(crate) fn ids_received<'m>(messages: impl IntoIterator<Item = &'m MessageView>) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for message in messages {
        assert!(ids.insert(message.message_id().to_owned()), "it came twice: {message}");
    }
    ids
}

/// Where consumers put what they get.
pub(crate) struct Inbox {
    sender: mpsc::UnboundedSender<MessageView>,
    messages: mpsc::UnboundedReceiver<MessageView>,
}

impl Inbox {
    pub(crate) fn new() -> Inbox {
        let (sender, messages) = mpsc::unbounded_channel();
        Inbox { sender, messages }
    }

    /// Starts a consumer that begins at the first message and puts everything here.
    pub(crate) async fn consume(&self, client: &Client, group: &str, topic: &str) -> Consumer {
        self.fill(client.consumer(group).subscribe(topic, "*")).await
    }

    /// As [`Inbox::consume`], with settings of its own.
    pub(crate) async fn fill(&self, consumer: ConsumerBuilder) -> Consumer {
        let sender = self.sender.clone();
        let put = move |message| {
            // The test may be over.
            let _ = sender.send(message);
            async { Ok(()) }
        };
        consumer.from(ConsumeFrom::First).start(put).await.unwrap()
    }

    /// The next messages, as many as that.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<MessageView> {
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
            let have = taken.len();
            taken.push(next.unwrap_or_else(|_| panic!("{have} of {count} messages came")).unwrap());
        }
        taken
    }

    /// What has come and was not taken.
    pub(crate) fn rest(&mut self) -> Vec<MessageView> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }
}

/// Checks that a group is behind the last message of each queue: nobody gets any of them again.
pub(crate) async fn assert_consumed(cluster: &Cluster, group: &str, topic: &str, queues: i32) {
    let peer = Peer::new(cluster.broker_addr());
    for queue_id in 0..queues {
        let end = peer.max_offset(topic, queue_id).await;
        let at = peer.consumer_offset(group, topic, queue_id).await;
        assert_eq!(at.unwrap_or(0), end, "group {group} in queue {queue_id} of {topic}");
    }
}
