//! Cases of what a consumer can do. They run at the same time: a Java broker needs a while for each new group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_client::{
    Client, ConsumeFrom, Consumer, ConsumerBuilder, Message, MessageView, Producer, PullConsumer, Retry,
};

use crate::{Outcome, PATIENCE, text};

/// The names of the cases.
pub(crate) const CASES: [&str; 8] = ["ordered", "poll", "assign", "sql", "batches", "dead", "timeout", "namespace"];

/// Runs the case of that name.
pub(crate) async fn run(case: &str, client: &Client, producer: &Producer, (addresses, topic): (&str, &str)) -> Outcome {
    match case {
        "ordered" => ordered(client, producer, topic).await,
        "poll" => poll(client, producer, topic).await,
        "assign" => assign(client, producer, topic).await,
        "sql" => sql(client, producer, topic).await,
        "batches" => batches(client, producer, topic).await,
        "dead" => dead(client, producer, topic).await,
        "timeout" => timeout(client, producer, topic).await,
        "namespace" => namespace(client, (addresses, topic)).await,
        _ => Err("there is no such case".into()),
    }
}

fn builder(client: &Client, topic: &str) -> ConsumerBuilder {
    client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First)
}

/// What a handler has written down.
type Notes<T> = Arc<Mutex<Vec<T>>>;

/// Waits until a list is as long as that, and a little longer for what is too much.
async fn wait_for<T: Clone>(notes: &Notes<T>, count: usize) -> Vec<T> {
    let began = Instant::now();
    while notes.lock().len() < count && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    notes.lock().clone()
}

/// `Ok` with the text where both are equal.
fn equal<T: PartialEq + std::fmt::Debug>(came: T, expected: T, text: &str) -> Outcome {
    if came == expected { Ok(text.to_owned()) } else { Err(format!("{came:?} instead of {expected:?}").into()) }
}

async fn send(producer: &Producer, topic: &str, count: usize) -> raptormq_client::Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(producer.send(text(topic, number)).await?.message_id);
    }
    Ok(ids)
}

/// The messages of a queue come in their order; one that fails holds its queue up and comes again first.
async fn ordered(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    for number in 0..60 {
        producer.send(text(topic, number)).ordering_key(format!("key-{}", number % 4)).await?;
    }
    let notes: Notes<(i32, i64, i32)> = Notes::default();
    let kept = notes.clone();
    let handle = move |message: MessageView| {
        let fails = message.body() == "message 21" && message.reconsume_times() == 0;
        kept.lock().push((message.queue_id(), message.queue_offset(), message.reconsume_times()));
        async move { if fails { Err(Retry::After(Duration::from_millis(100))) } else { Ok(()) } }
    };
    let consumer = builder(client, topic).orderly().start(handle).await?;
    let came = wait_for(&notes, 61).await;
    consumer.shutdown().await;
    let again = came.iter().filter(|(.., times)| *times > 0).count();
    let in_order = |queue: i32| came.iter().filter(|(of, ..)| *of == queue).is_sorted();
    equal((came.len(), again, (0..16).all(in_order)), (61, 1, true), "60 messages, one of them twice")
}

async fn polled(consumer: &PullConsumer, count: usize) -> raptormq_client::Result<Vec<String>> {
    let (mut ids, began) = (Vec::new(), Instant::now());
    while ids.len() < count && began.elapsed() < PATIENCE {
        let messages = consumer.poll(Duration::from_millis(500)).await?;
        ids.extend(messages.iter().map(|message| message.message_id().to_owned()));
    }
    ids.sort();
    Ok(ids)
}

/// A member of a group that is polled goes on behind what was committed.
async fn poll(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let first = send(producer, topic, 20).await?;
    let group = format!("group_{topic}");
    let start = async || client.pull_consumer(&group).subscribe(topic, "*").from(ConsumeFrom::First).start().await;
    let consumer = start().await?;
    let came = polled(&consumer, 20).await?;
    consumer.commit().await?;
    consumer.shutdown().await;
    let second = send(producer, topic, 20).await?;
    let consumer = start().await?;
    let went_on = polled(&consumer, 20).await?;
    consumer.shutdown().await;
    equal((came, went_on), (sorted(first), sorted(second)), "20 messages and 20 more")
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

/// Queues that are named are read, from where the program says.
async fn assign(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let ids = sorted(send(producer, topic, 20).await?);
    let builder = client.pull_consumer(format!("group_{topic}")).from(ConsumeFrom::First).manual_commit();
    let consumer = builder.start().await?;
    let queues = consumer.queues(topic).await?;
    consumer.assign(queues.clone()).await?;
    let first = polled(&consumer, 20).await?;
    consumer.commit().await?;
    let mut committed = 0;
    for queue in &queues {
        committed += consumer.committed(queue).await?.unwrap_or(0);
        consumer.seek_to_begin(queue).await?;
    }
    let again = polled(&consumer, 20).await?;
    consumer.shutdown().await;
    equal((first, committed, again), (ids.clone(), 20, ids), "20 messages twice")
}

/// The broker filters by properties, and a condition that is none is refused.
async fn sql(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let mut ids = Vec::new();
    for number in 0..20 {
        let message = text(topic, number).property("number", number.to_string());
        let id = producer.send(message).await?.message_id;
        if number > 10 {
            ids.push(id);
        }
    }
    let builder = || client.consumer(format!("group_{topic}")).from(ConsumeFrom::First);
    let notes: Notes<String> = Notes::default();
    let kept = notes.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message.message_id().to_owned());
        async { Ok(()) }
    };
    let wrong = builder().subscribe_sql(topic, "number >").start(|_| async { Ok(()) }).await;
    let consumer = builder().subscribe_sql(topic, "number > 10 AND TAGS = 'TagA'").start(handle).await?;
    let came = wait_for(&notes, 9).await;
    consumer.shutdown().await;
    equal((sorted(came), wrong.is_err()), (sorted(ids), true), "9 of 20 messages; half a condition is refused")
}

/// A handler has several messages at once, and gives back those from one on.
async fn batches(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let queue = producer.queues(topic).await?.swap_remove(0);
    for number in 0..10 {
        producer.send(text(topic, number)).to_queue(queue.clone()).await?;
    }
    let notes: Notes<(usize, i32)> = Notes::default();
    let kept = notes.clone();
    let handle = move |messages: Vec<MessageView>| {
        let is_first = messages.iter().all(|message| message.reconsume_times() == 0);
        kept.lock().extend(messages.iter().map(|message| (messages.len(), message.reconsume_times())));
        async move { if is_first && messages.len() == 10 { Err(Retry::From(7)) } else { Ok(()) } }
    };
    let consumer = builder(client, topic).batch(10).start_batch(handle).await?;
    let came = wait_for(&notes, 13).await;
    consumer.shutdown().await;
    let again = came.iter().filter(|(_, times)| *times == 1).count();
    equal((came.len(), came[0].0, again), (13, 10, 3), "10 at once, 3 of them again")
}

/// What nobody can handle ends among the dead letters.
async fn dead(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let id = send(producer, topic, 1).await?;
    let consumer = builder(client, topic).start(|_| async { Err(Retry::DeadLetter) }).await?;
    let mut reader = client.reader(format!("%DLQ%group_{topic}")).from(ConsumeFrom::First).open().await?;
    let dead = tokio::time::timeout(PATIENCE, reader.next()).await.ok().flatten();
    consumer.shutdown().await;
    let origin = dead.as_ref().and_then(|message| message.property("RETRY_TOPIC"));
    let body = dead.as_ref().map(|message| message.body().clone());
    equal((origin, body, id.len()), (Some(topic), Some("message 0".into()), 1), "one dead letter")
}

/// A handler that takes too long is given up, and its message comes again.
async fn timeout(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    send(producer, topic, 1).await?;
    let notes: Notes<i32> = Notes::default();
    let kept = notes.clone();
    let handle = move |message: MessageView| {
        let times = message.reconsume_times();
        kept.lock().push(times);
        async move {
            if times == 0 {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    };
    let consumer: Consumer = builder(client, topic).consume_timeout(Duration::from_millis(500)).start(handle).await?;
    let came = wait_for(&notes, 2).await;
    consumer.shutdown().await;
    equal(came, vec![0, 1], "again after the time-out")
}

/// Programs in a namespace see their own names, and others the whole ones.
async fn namespace(client: &Client, (addresses, topic): (&str, &str)) -> Outcome {
    let inside = Client::builder().namesrv(addresses).namespace("Space").connect().await?;
    let producer = inside.producer("producers").start().await?;
    let receipt = producer.send(Message::new(topic, "inside")).await?;
    let notes: Notes<String> = Notes::default();
    let kept = notes.clone();
    let handle = move |message: MessageView| {
        kept.lock().push(message.topic().to_owned());
        async { Ok(()) }
    };
    let consumer = builder(&inside, topic).start(handle).await?;
    let mut reader = client.reader(format!("Space%{topic}")).from(ConsumeFrom::First).open().await?;
    let outside = tokio::time::timeout(PATIENCE, reader.next()).await.ok().flatten();
    let came = wait_for(&notes, 1).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    inside.shutdown().await;
    let outside = outside.map(|message| message.topic().to_owned());
    let expected = (topic.to_owned(), vec![topic.to_owned()], Some(format!("Space%{topic}")));
    equal((receipt.queue.topic, came, outside), expected, "one message, with both names")
}
