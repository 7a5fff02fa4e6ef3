//! Groups of consumers: who gets what.

use std::collections::BTreeSet;

use bytes::Bytes;
use raptormq_client::{Client, Consumer, Message};
use raptormq_testkit::{Cluster, Peer};

use crate::common::*;

/// The numbers of the queues that a consumer has of a topic; its retry topic does not count.
fn queues_of(consumer: &Consumer, topic: &str) -> BTreeSet<i32> {
    consumer.queues().into_iter().filter(|queue| queue.topic == topic).map(|queue| queue.queue_id).collect()
}

#[tokio::test]
async fn two_members_share_and_when_one_leaves_the_other_takes_over() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("Shared", 8).await;
    let (first_client, second_client) = (client(&cluster).await, client(&cluster).await);
    let (mut first_inbox, mut second_inbox) = (Inbox::new(), Inbox::new());
    let first = first_inbox.consume(&first_client, "readers", "Shared").await;
    until("the only member has every queue", async || queues_of(&first, "Shared").len() == 8).await;
    let second = second_inbox.consume(&second_client, "readers", "Shared").await;
    until("each has half", async || (queues_of(&first, "Shared").len(), queues_of(&second, "Shared").len()) == (4, 4))
        .await;
    assert!(queues_of(&first, "Shared").is_disjoint(&queues_of(&second, "Shared")));

    let receipts = send_numbered(&first_client, "Shared", 0..80).await;
    let (of_first, of_second) = (first_inbox.take(40).await, second_inbox.take(40).await);
    assert_eq!(ids_received(of_first.iter().chain(&of_second)), ids_sent(&receipts));

    first.shutdown().await;
    until("the other has every queue", async || queues_of(&second, "Shared").len() == 8).await;
    let later = send_numbered(&second_client, "Shared", 80..160).await;
    let received = second_inbox.take(80).await;
    assert_eq!(ids_received(&received), ids_sent(&later), "everything new, and nothing again");
    second.shutdown().await;
    assert_eq!((first_inbox.rest(), second_inbox.rest()), (Vec::new(), Vec::new()));
    assert_consumed(&cluster, "readers", "Shared", 8).await;
    cluster.shutdown().await;
}

/// A member that dies says nothing. Its connection ends, and that is enough.
#[tokio::test]
async fn the_queues_of_a_member_that_vanishes_are_taken_over() {
    let cluster = Cluster::start().await.unwrap();
    Peer::new(cluster.broker_addr()).create_topic("Shared", 2).await;
    let vanishing = Peer::new(cluster.broker_addr());
    // Client ids are handed out in their order: this one is before any that begins with an address.
    vanishing.join("!", "readers", "Shared", "*").await;
    let client = client(&cluster).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.consume(&client, "readers", "Shared").await;
    until("there are two members", async || queues_of(&consumer, "Shared") == BTreeSet::from([1])).await;
    vanishing.leave();
    until("there is one member", async || queues_of(&consumer, "Shared") == BTreeSet::from([0, 1])).await;
    let receipts = send_numbered(&client, "Shared", 0..10).await;
    assert_eq!(ids_received(&inbox.take(10).await), ids_sent(&receipts));
    consumer.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn groups_do_not_take_from_each_other() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let receipts = send_numbered(&client, "Orders", 0..30).await;
    for group in ["one", "two"] {
        let mut inbox = Inbox::new();
        let consumer = inbox.consume(&client, group, "Orders").await;
        assert_eq!(ids_received(&inbox.take(30).await), ids_sent(&receipts));
        consumer.shutdown().await;
        assert_eq!(inbox.rest(), []);
    }
    cluster.shutdown().await;
}

async fn broadcast(client: &Client, inbox: &Inbox, cluster: &Cluster, home: &str) -> Consumer {
    let consumer = client.consumer("listeners").subscribe("News", "*").broadcast();
    inbox.fill(consumer.offsets_home(cluster.folder().join(home))).await
}

#[tokio::test]
async fn every_member_of_a_broadcasting_group_gets_everything_and_goes_on_where_it_was() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("News", 4).await;
    let (first_client, second_client) = (client(&cluster).await, client(&cluster).await);
    let (mut first_inbox, mut second_inbox) = (Inbox::new(), Inbox::new());
    let first = broadcast(&first_client, &first_inbox, &cluster, "first").await;
    let second = broadcast(&second_client, &second_inbox, &cluster, "second").await;
    let ids = ids_sent(&send_numbered(&first_client, "News", 0..40).await);
    assert_eq!(ids_received(&first_inbox.take(40).await), ids);
    assert_eq!(ids_received(&second_inbox.take(40).await), ids);
    first.shutdown().await;
    for queue_id in 0..4 {
        assert_eq!(peer.consumer_offset("listeners", "News", queue_id).await, None, "the offsets are the members'");
    }

    let ids = ids_sent(&send_numbered(&second_client, "News", 40..60).await);
    let first = broadcast(&first_client, &first_inbox, &cluster, "first").await;
    assert_eq!(ids_received(&first_inbox.take(20).await), ids, "what came meanwhile, and nothing again");
    assert_eq!(ids_received(&second_inbox.take(20).await), ids);
    first.shutdown().await;
    second.shutdown().await;
    assert_eq!((first_inbox.rest(), second_inbox.rest()), (Vec::new(), Vec::new()));
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_group_gets_only_messages_with_the_tags_that_it_asks_for() {
    let cluster = Cluster::start().await.unwrap();
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    let mut wanted = BTreeSet::new();
    // "AaAa" and "BBBB" have the same hash code, which is all that the broker compares.
    for (number, tag) in ["TagA", "TagB", "TagC", "AaAa", "BBBB"].into_iter().cycle().take(100).enumerate() {
        let receipt = producer.send(numbered("Tagged", number).tag(tag)).await.unwrap();
        if ["TagA", "TagC", "BBBB"].contains(&tag) {
            wanted.insert(receipt.message_id);
        }
    }
    producer.send(Message::new("Tagged", "without a tag")).await.unwrap();
    let mut inbox = Inbox::new();
    let consumer = inbox.fill(client.consumer("readers").subscribe("Tagged", "TagA || TagC||BBBB")).await;
    assert_eq!(ids_received(&inbox.take(60).await), wanted);
    consumer.shutdown().await;
    assert_eq!(inbox.rest(), []);
    producer.shutdown().await;
    cluster.shutdown().await;
}

/// A message whose tag nobody wants ends no pull; the messages behind it come at once all the same.
#[tokio::test]
async fn a_consumer_that_waits_gets_the_first_message_with_its_tag() {
    let cluster = Cluster::start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic("Tagged", 1).await;
    let client = client(&cluster).await;
    let mut inbox = Inbox::new();
    let consumer = inbox.fill(client.consumer("readers").subscribe("Tagged", "TagB")).await;
    until("it has its queue", async || queues_of(&consumer, "Tagged").len() == 1).await;
    for number in 0..10 {
        peer.send_tagged("Tagged", 0, "TagA", format!("{number}")).await;
    }
    peer.send_tagged("Tagged", 0, "TagB", "wanted").await;
    let [message] = &inbox.take(1).await[..] else { panic!("one message") };
    assert_eq!((message.body(), message.queue_offset()), (&Bytes::from("wanted"), 10));
    consumer.shutdown().await;
    cluster.shutdown().await;
}
