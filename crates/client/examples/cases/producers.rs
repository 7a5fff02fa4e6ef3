//! Cases of what a producer can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raptormq_client::{Client, Compression, ConsumeFrom, Message, MessageView, Producer, TransactionState};

use crate::{Outcome, PATIENCE, text};

/// The names of the cases. Requests come first: a Java broker cannot find a client any more of which one producer group has
/// left, and the others shut down producers.
pub(crate) const CASES: [&str; 8] = ["request", "key", "split", "compress", "delay", "txn", "check", "trace"];

/// Runs the case of that name.
pub(crate) async fn run(case: &str, client: &Client, producer: &Producer, topic: &str) -> Outcome {
    match case {
        "key" => key(client, producer, topic).await,
        "split" => split(client, producer, topic).await,
        "compress" => compress(client, topic).await,
        "delay" => delay(client, producer, topic).await,
        "txn" => transactions(client, topic).await,
        "check" => check(client, topic).await,
        "request" => request(client, producer, topic).await,
        "trace" => trace(client, topic).await,
        _ => Err("there is no such case".into()),
    }
}

/// Consumes a topic into a list.
async fn collect(
    client: &Client,
    topic: &str,
) -> raptormq_client::Result<(raptormq_client::Consumer, Arc<Mutex<Vec<MessageView>>>)> {
    let came = Arc::new(Mutex::new(Vec::new()));
    let sink = came.clone();
    let consumer = client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            sink.lock().push(message);
            async { Ok(()) }
        })
        .await?;
    Ok((consumer, came))
}

/// Waits until so many have come, and a little longer.
async fn wait_for(came: &Mutex<Vec<MessageView>>, count: usize) -> Vec<MessageView> {
    let began = Instant::now();
    while came.lock().len() < count && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    came.lock().clone()
}

/// Messages of a key lie in one queue, in their order; each queue can be named.
async fn key(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let queues = producer.queues(topic).await?;
    for number in 0..60 {
        let message = text(topic, number).property("order", (number % 6).to_string());
        producer.send(message).ordering_key(format!("order-{}", number % 6)).await?;
    }
    for queue in &queues {
        let receipt = producer.send(text(topic, 99)).to_queue(queue.clone()).await?;
        if receipt.queue != *queue {
            return Err(format!("{} instead of {queue}", receipt.queue).into());
        }
    }
    let (consumer, came) = collect(client, topic).await?;
    let mut messages = wait_for(&came, 61 + queues.len()).await;
    consumer.shutdown().await;
    messages.sort_by_key(|message| (message.queue_id(), message.queue_offset()));
    for order in 0..6 {
        let of_order = |message: &&MessageView| message.property("order") == Some(&order.to_string());
        let lies: Vec<(i32, &str)> = messages
            .iter()
            .filter(of_order)
            .map(|message| (message.queue_id(), message.keys().next().unwrap_or("")))
            .collect();
        let is_ordered = (0..10).all(|step| {
            lies.get(step)
                .is_some_and(|(queue, key)| *queue == lies[0].0 && *key == format!("key-{}", step * 6 + order))
        });
        if !is_ordered || lies.len() != 10 {
            return Err(format!("order {order}: {lies:?}").into());
        }
    }
    Ok(format!("6 keys over {} queues", queues.len()))
}

async fn split(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let receipts = producer.send_batches((0..3000).map(|number| text(topic, number)), 100_000).await?;
    let (consumer, came) = collect(client, topic).await?;
    let count = wait_for(&came, 3001).await.len();
    consumer.shutdown().await;
    let sum: usize = receipts.iter().map(|receipt| receipt.message_id.split(',').count()).sum();
    if (count, sum) == (3001, 3000) {
        Ok(format!("3000 messages in {} batches", receipts.len()))
    } else {
        Err(format!("{count} came, {sum} were sent").into())
    }
}

async fn compress(client: &Client, topic: &str) -> Outcome {
    let body = "RocketMQ ".repeat(5000);
    for (compression, level) in [(Compression::Zlib, 9), (Compression::Lz4, 0), (Compression::Zstd, 3)] {
        let producer = client.producer(format!("compress_{topic}")).compression(compression, level).start().await?;
        producer.send(Message::new(topic, body.clone())).await?;
        producer.shutdown().await;
    }
    let (consumer, came) = collect(client, topic).await?;
    let messages = wait_for(&came, 3).await;
    consumer.shutdown().await;
    let is_whole = messages.iter().all(|message| message.body() == body.as_bytes());
    let is_short = messages.iter().all(|message| message.ext().store_size < 5000);
    if messages.len() == 3 && is_whole && is_short {
        Ok("zlib, LZ4, zstd".to_owned())
    } else {
        Err(format!("{} came, whole {is_whole}, short {is_short}", messages.len()).into())
    }
}

/// A level works with every broker; a time to the millisecond where the broker has timer messages.
async fn delay(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let (consumer, came) = collect(client, topic).await?;
    wait_for(&came, 1).await;
    let sent = Instant::now();
    producer.send(text(topic, 1).delay_level(2)).await?;
    let is_there = wait_for(&came, 2).await.len() == 2;
    let took = sent.elapsed();
    let timed = producer.send(text(topic, 2).deliver_after(Duration::from_millis(2500))).await;
    let mut timer = match timed {
        Ok(_) => "a timer message came".to_owned(),
        Err(error) => format!("no timer messages: {error}"),
    };
    if timer.starts_with("a timer") && wait_for(&came, 3).await.len() != 3 {
        timer = "the timer message did not come".to_owned();
    }
    consumer.shutdown().await;
    if is_there && took >= Duration::from_secs(5) && !timer.contains("did not") {
        Ok(format!("level 2 after {} ms; {timer}", took.as_millis()))
    } else {
        Err(format!("after {} ms; {timer}", took.as_millis()).into())
    }
}

async fn transactions(client: &Client, topic: &str) -> Outcome {
    let producer =
        client.producer(format!("txn_{topic}")).start_transactional(|_| async { TransactionState::Unknown }).await?;
    // Makes the topic.
    producer.producer().send(text(topic, 0)).await?;
    let mut ids = Vec::new();
    for number in 0..20 {
        let transaction = producer.begin(text(topic, number)).await?;
        if number % 2 == 0 {
            ids.push(transaction.receipt().message_id.clone());
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
    }
    let (consumer, came) = collect(client, topic).await?;
    let messages = wait_for(&came, 11).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    let missing = ids.iter().filter(|id| !messages.iter().any(|message| message.message_id() == *id)).count();
    if (messages.len(), missing) == (11, 0) {
        Ok("10 committed, 10 rolled back".to_owned())
    } else {
        Err(format!("{} came, {missing} missing", messages.len()).into())
    }
}

/// Transactions that nobody ends are asked for.
async fn check(client: &Client, topic: &str) -> Outcome {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let check = move |message: MessageView| {
        count.fetch_add(1, Ordering::Relaxed);
        let is_even = message.property("even") == Some("true");
        async move { if is_even { TransactionState::Commit } else { TransactionState::Rollback } }
    };
    let producer = client.producer(format!("check_{topic}")).start_transactional(check).await?;
    producer.producer().send(text(topic, 0)).await?;
    for number in 0..4 {
        drop(producer.begin(text(topic, number).property("even", (number % 2 == 0).to_string())).await?);
    }
    let (consumer, came) = collect(client, topic).await?;
    let messages = wait_for(&came, 3).await;
    consumer.shutdown().await;
    producer.shutdown().await;
    let asked = asked.load(Ordering::Relaxed);
    if messages.len() == 3 && asked >= 2 {
        Ok(format!("asked {asked} times"))
    } else {
        Err(format!("{} came, asked {asked} times", messages.len()).into())
    }
}

async fn request(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let replier = producer.clone();
    let consumer = client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            let replier = replier.clone();
            async move {
                if message.property("CORRELATION_ID").is_some() {
                    replier.reply(&message, [b"re: ", message.body().as_ref()].concat()).await?;
                }
                Ok(())
            }
        })
        .await?;
    for number in 0..5 {
        let body = format!("question {number}");
        let reply = producer.request(Message::new(topic, body.clone()), PATIENCE).await?;
        if reply.body() != format!("re: {body}").as_bytes() {
            return Err(format!("{reply}").into());
        }
    }
    consumer.shutdown().await;
    Ok("5 requests".to_owned())
}

async fn trace(client: &Client, topic: &str) -> Outcome {
    let producer = client.producer(format!("trace_{topic}")).trace().start().await?;
    let receipt = producer.send(text(topic, 0)).await?;
    producer.shutdown().await;
    let mut traces = client.reader("RMQ_SYS_TRACE_TOPIC").from(ConsumeFrom::First).open().await?;
    while let Ok(Some(trace)) = tokio::time::timeout(Duration::from_secs(10), traces.next()).await {
        if trace.keys().any(|key| key == receipt.message_id) {
            return Ok(String::from_utf8_lossy(trace.body()).replace(['\u{1}', '\u{2}'], " "));
        }
    }
    Err("no trace".into())
}
