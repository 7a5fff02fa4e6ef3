//! Consumers of a namespace, and what is written down of what consumers do.

use raptormq_client::{Message, Retry};

use super::*;

#[tokio::test]
async fn who_is_in_a_namespace_sees_its_own_names_and_no_others() {
    let (cluster, peer) = cluster(1).await;
    let inside = Client::builder().namesrv(cluster.namesrv_addr()).namespace("NS").connect().await.unwrap();
    let producer = inside.producer("producers").start().await.unwrap();
    producer.send(Message::new("Inside", "a")).await.unwrap();
    peer.send(TOPIC, 0, "outside").await;
    let seen = Seen::default();
    let kept = seen.clone();
    let fail_once = move |message: MessageView| {
        kept.lock().push(message.clone());
        async move { if message.reconsume_times() == 0 { Err(Retry::Default) } else { Ok(()) } }
    };
    let builder = inside.consumer(GROUP).subscribe("Inside", "*").from(ConsumeFrom::First);
    let consumer = builder.start(fail_once).await.unwrap();
    eventually("it comes again", || seen.lock().len() == 2).await;
    assert!(seen.lock().iter().all(|message| message.topic() == "Inside"));
    assert!(consumer.queues().iter().any(|queue| queue.topic == "Inside"));
    consumer.shutdown().await;

    let pull = inside.pull_consumer("polling").from(ConsumeFrom::First).start().await.unwrap();
    let queues = pull.queues("Inside").await.unwrap();
    assert_eq!(queues[0].topic, "Inside");
    pull.assign(queues.clone()).await.unwrap();
    let polled = pull.poll(PATIENCE).await.unwrap();
    assert_eq!((polled.len(), polled[0].topic()), (1, "Inside"));
    pull.seek_to_begin(&queues[polled[0].queue_id() as usize]).await.unwrap();
    assert_eq!(pull.poll(PATIENCE).await.unwrap().len(), 1);
    pull.shutdown().await;
    producer.shutdown().await;
}

#[tokio::test]
async fn a_trace_tells_when_a_message_was_handled_and_how_that_ended() {
    let cluster = Cluster::builder().set("traceTopicEnable", "true").start().await.unwrap();
    let peer = Peer::new(cluster.broker_addr());
    peer.create_topic(TOPIC, 1).await;
    peer.send(TOPIC, 0, "a").await;
    let seen = Seen::default();
    let kept = seen.clone();
    let fail = move |message: MessageView| {
        kept.lock().push(message);
        async { Err(Retry::Default) }
    };
    let consumer = builder(&cluster).await.trace().start(fail).await.unwrap();
    eventually("the message", || !seen.lock().is_empty()).await;
    consumer.shutdown().await;
    let records = lying_in(&peer, "RMQ_SYS_TRACE_TOPIC", 1).await.concat();
    let fields: Vec<Vec<&str>> = records.split('\u{2}').map(|record| record.split('\u{1}').collect()).collect();
    let id = seen.lock()[0].message_id().to_owned();
    let before = fields.iter().find(|record| record[0] == "SubBefore").unwrap();
    assert_eq!((before[3], before[5]), (GROUP, id.as_str()));
    let after = fields.iter().find(|record| record[0] == "SubAfter").unwrap();
    assert_eq!((after[1], after[2], after[4], after[6]), (before[4], id.as_str(), "false", "4"));
}
