//! Concurrent consumers: batches, retries, time-outs, flow limits.

use std::time::Duration;

use raptormq_client::{ErrorKind, MessageView, Retry};

use super::*;

#[tokio::test]
async fn a_batch_handler_gets_no_more_than_asked_for_and_what_it_leaves_comes_again() {
    let (cluster, peer) = cluster(1).await;
    for number in 0..20 {
        peer.send(TOPIC, 0, number.to_string()).await;
    }
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let again = Seen::default();
    let (counted, kept) = (sizes.clone(), again.clone());
    // The last message of each batch is left, the first time.
    let handle = move |messages: Vec<MessageView>| {
        let is_first = messages[0].reconsume_times() == 0;
        match is_first {
            true => counted.lock().push(messages.len()),
            false => kept.lock().extend(messages.iter().cloned()),
        }
        let left = messages.len() - 1;
        async move { if is_first { Err(Retry::From(left)) } else { Ok(()) } }
    };
    let consumer = builder(&cluster).await.batch(4).start_batch(handle).await.unwrap();
    eventually("all", || sizes.lock().iter().sum::<usize>() == 20).await;
    let left = sizes.lock().len();
    eventually("those that were left", || again.lock().len() == left).await;
    consumer.shutdown().await;
    assert!(sizes.lock().iter().all(|size| *size <= 4));
    assert!(again.lock().iter().all(|message| message.topic() == TOPIC && message.reconsume_times() == 1));
    assert_eq!(peer.consumer_offset(GROUP, TOPIC, 0).await, Some(20));
}

#[tokio::test]
async fn what_fails_too_often_or_takes_too_long_is_settled_by_the_broker() {
    let (cluster, peer) = cluster(1).await;
    for body in ["hopeless", "slow", "fine"] {
        peer.send(TOPIC, 0, body).await;
    }
    let seen = Seen::default();
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message.clone());
        async move {
            match (&message.body()[..], message.reconsume_times()) {
                (b"hopeless", _) => Err("as the test asked")?,
                (b"slow", 0) => std::future::pending().await,
                _ => Ok(()),
            }
        }
    };
    let builder = builder(&cluster).await.max_redeliveries(1).consume_timeout(Duration::from_millis(200));
    let consumer = builder.start(handle).await.unwrap();
    assert_eq!(lying_in(&peer, &format!("%DLQ%{GROUP}"), 1).await, ["hopeless"]);
    eventually("all", || seen.lock().len() == 5).await;
    consumer.shutdown().await;
    let mut all: Vec<(String, i32)> =
        seen.lock().iter().map(|message| (text(message), message.reconsume_times())).collect();
    all.sort();
    let expected = [("fine", 0), ("hopeless", 0), ("hopeless", 1), ("slow", 0), ("slow", 1)];
    assert_eq!(all, expected.map(|(text, times)| (text.to_owned(), times)));
}

#[tokio::test]
async fn no_more_is_held_than_the_limits_allow_and_a_suspended_consumer_pulls_nothing() {
    let (cluster, peer) = cluster(2).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (seen, opened) = (Seen::default(), gate.clone());
    let kept = seen.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message);
        let gate = opened.clone();
        async move {
            gate.acquire().await?.forget();
            Ok(())
        }
    };
    // Four messages of the topic, two of each queue, and one more pull of two.
    let builder = builder(&cluster).await.pull_batch(2).max_cached_of_topic(Some(4), None);
    let consumer = builder.concurrency(100).start(handle).await.unwrap();
    eventually("the queues", || consumer.queues().len() == 3).await;
    for number in 0..20 {
        peer.send(TOPIC, number % 2, number.to_string()).await;
    }
    eventually("what fits", || seen.lock().len() >= 4).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(seen.lock().len() <= 8, "{}", seen.lock().len());
    consumer.suspend();
    gate.add_permits(100);
    eventually("those are done", || gate.available_permits() == 100 - seen.lock().len()).await;
    // One pull of each queue may have been under way.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(seen.lock().len() <= 12, "{}", seen.lock().len());
    consumer.resume();
    eventually("all", || seen.lock().len() == 20).await;
    consumer.shutdown().await;
}

#[tokio::test]
async fn a_filter_in_sql_is_applied_and_a_wrong_one_refused_with_its_place() {
    let cluster = Cluster::builder().set("enablePropertyFilter", "true").start().await.unwrap();
    Peer::new(cluster.broker_addr()).create_topic(TOPIC, 1).await;
    let client = client(&cluster).await;
    let producer = client.producer("producers").start().await.unwrap();
    for amount in [50, 150, 250] {
        let message = raptormq_client::Message::new(TOPIC, amount.to_string()).property("amount", amount.to_string());
        producer.send(message).await.unwrap();
    }
    let seen = Seen::default();
    let builder = client.consumer(GROUP).subscribe_sql(TOPIC, "amount BETWEEN 100 AND 200").from(ConsumeFrom::First);
    let consumer = keeping(builder, &seen).await;
    eventually("the one that fits", || !seen.lock().is_empty()).await;
    consumer.shutdown().await;
    assert_eq!(texts(&seen), ["150"]);
    let wrong = client.consumer("wrong").subscribe_sql(TOPIC, "amount >").start(|_| async { Ok(()) }).await;
    let error = wrong.err().unwrap();
    assert!(error.to_string().contains("amount >"), "{error}");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    producer.shutdown().await;
}

#[tokio::test]
async fn a_group_begins_at_the_time_it_asks_for() {
    let (cluster, peer) = cluster(1).await;
    peer.send(TOPIC, 0, "before").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let time = std::time::SystemTime::now();
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.send(TOPIC, 0, "after").await;
    let consumer = client(&cluster).await.pull_consumer("timed").start().await.unwrap();
    let queue = consumer.queues(TOPIC).await.unwrap().remove(0);
    assert_eq!(consumer.offset_for_time(&queue, time).await.unwrap(), 1);
    consumer.shutdown().await;
}
