//! Consumers that are polled.

use std::collections::BTreeSet;
use std::time::Duration;

use raptormq_client::{ErrorKind, PullConsumer};

use super::*;

const SOON: Duration = Duration::from_millis(300);

/// Polls until there are so many messages.
async fn poll(consumer: &PullConsumer, count: usize) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let mut polled = Vec::new();
    while polled.len() < count {
        assert!(Instant::now() < deadline, "only {polled:?}");
        polled.extend(consumer.poll(Duration::from_secs(1)).await.unwrap().iter().map(text));
    }
    polled
}

async fn is_empty(consumer: &PullConsumer) -> bool {
    consumer.poll(SOON).await.unwrap().is_empty()
}

#[tokio::test]
async fn members_share_queues_and_the_next_one_goes_on_where_they_committed() {
    let (cluster, peer) = cluster(4).await;
    for number in 0..20 {
        peer.send(TOPIC, number % 4, number.to_string()).await;
    }
    let start = async || {
        let builder = client(&cluster).await.pull_consumer(GROUP).subscribe(TOPIC, "*").from(ConsumeFrom::First);
        builder.manual_commit().start().await.unwrap()
    };
    let (one, two) = (start().await, start().await);
    eventually("two queues each", || (one.assignment().len(), two.assignment().len()) == (2, 2)).await;
    let mut all: Vec<String> = Vec::new();
    while all.iter().collect::<BTreeSet<_>>().len() < 20 {
        for consumer in [&one, &two] {
            all.extend(consumer.poll(SOON).await.unwrap().iter().map(text));
        }
    }
    one.commit().await.unwrap();
    let queue = one.assignment().remove(0);
    assert_eq!((one.committed(&queue).await.unwrap(), one.position(&queue)), (Some(5), Some(5)));
    // What the other one did not commit comes again.
    two.shutdown().await;
    eventually("all queues", || one.assignment().len() == 4).await;
    assert_eq!(poll(&one, 10).await.len(), 10);
    one.commit().await.unwrap();
    assert!(is_empty(&one).await);
    one.shutdown().await;
    assert_eq!(one.poll(SOON).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn queues_that_are_named_are_sought_paused_and_resumed() {
    let (cluster, peer) = cluster(2).await;
    for number in 0..5 {
        peer.send(TOPIC, 0, format!("a{number}")).await;
        peer.send(TOPIC, 1, format!("b{number}")).await;
    }
    let consumer = client(&cluster).await.pull_consumer(GROUP).from(ConsumeFrom::First).start().await.unwrap();
    let queues = consumer.queues(TOPIC).await.unwrap();
    consumer.assign([queues[0].clone()]).await.unwrap();
    assert_eq!(consumer.assignment(), [queues[0].clone()]);
    assert_eq!(poll(&consumer, 5).await, ["a0", "a1", "a2", "a3", "a4"]);

    consumer.seek(&queues[0], 3).await.unwrap();
    assert_eq!(poll(&consumer, 2).await, ["a3", "a4"]);
    consumer.seek_to_begin(&queues[0]).await.unwrap();
    assert_eq!(poll(&consumer, 5).await.len(), 5);
    consumer.seek_to_end(&queues[0]).await.unwrap();
    assert!(is_empty(&consumer).await);
    let error = consumer.seek(&queues[0], 6).await.unwrap_err();
    assert_eq!(error.to_string(), "Seek offset illegal, seek offset = 6, min offset = 0, max offset = 5");
    assert!(consumer.seek(&queues[1], 0).await.is_err());

    consumer.assign(queues.clone()).await.unwrap();
    assert_eq!(poll(&consumer, 5).await, ["b0", "b1", "b2", "b3", "b4"]);
    consumer.pause([&queues[0]]);
    peer.send(TOPIC, 0, "a5").await;
    peer.send(TOPIC, 1, "b5").await;
    assert_eq!(poll(&consumer, 1).await, ["b5"]);
    assert!(is_empty(&consumer).await);
    consumer.resume([&queues[0]]);
    assert_eq!(poll(&consumer, 1).await, ["a5"]);
    consumer.shutdown().await;
    assert_eq!(peer.consumer_offset(GROUP, TOPIC, 1).await, Some(6));
}

#[tokio::test]
async fn a_subscription_and_named_queues_exclude_each_other_and_tags_count_for_both() {
    let (cluster, _peer) = cluster(1).await;
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    for tag in ["A", "B", "A"] {
        producer.send(raptormq_client::Message::new(TOPIC, tag).tag(tag)).await.unwrap();
    }
    let subscribed = client.pull_consumer("one").subscribe(TOPIC, "A").from(ConsumeFrom::First).start().await.unwrap();
    assert_eq!(subscribed.assign([]).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(poll(&subscribed, 2).await, ["A", "A"]);
    subscribed.shutdown().await;
    let named = client.pull_consumer("two").assigned_tags("B").from(ConsumeFrom::First).start().await.unwrap();
    named.assign(named.queues(TOPIC).await.unwrap()).await.unwrap();
    assert_eq!(poll(&named, 1).await, ["B"]);
    named.shutdown().await;
    producer.shutdown().await;
}
