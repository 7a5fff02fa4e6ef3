//! Sends and consumes in every way the client knows, against a running cluster, and says of each whether every message
//! came exactly once: `cargo run -p raptormq-client --example cases -- 127.0.0.1:9876 [case…]`.
//! `RUST_LOG=raptormq_client=debug` shows what the client does. Exit status 1 when one failed.

#[path = "cases/consumers.rs"]
mod consumers;
#[path = "cases/producers.rs"]
mod producers;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_client::{Client, ConsumeFrom, Consumer, Message, Producer, Retry};

/// How long a case may wait for its messages. Java brokers need up to 20 s to show a new group its topics.
const PATIENCE: Duration = Duration::from_secs(60);

/// All cases, in the order they run.
const CASES: [&str; 11] =
    ["send", "oneway", "enqueue", "batch", "big", "tag", "share", "broadcast", "resume", "retry", "read"];

/// What a case has to say, or why it failed.
type Outcome = Result<String, Box<dyn std::error::Error>>;

/// Message id to how often it came.
type Seen = Arc<Mutex<BTreeMap<String, usize>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut words = std::env::args().skip(1);
    let addresses = words.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    match run(&addresses, &words.collect::<Vec<_>>()).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases and returns how many failed.
async fn run(addresses: &str, cases: &[String]) -> raptormq_client::Result<usize> {
    let client = Client::connect(addresses).await?;
    // Names that no run before had, so that a cluster can be used again.
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let producer = client.producer(format!("rust_producer_{run}")).start().await?;
    let mut failed = 0;
    let is_wanted = |case: &&str| cases.is_empty() || cases.iter().any(|wanted| wanted == case);
    for case in CASES.into_iter().chain(producers::CASES).filter(is_wanted) {
        let topic = format!("Rust_{case}_{run}");
        let outcome = match case {
            "send" => sends(&client, &producer, &topic).await,
            "oneway" => oneway(&client, &producer, &topic).await,
            "enqueue" => enqueues(&client, &producer, &topic).await,
            "batch" => batch(&client, &producer, &topic).await,
            "big" => big(&client, &producer, &topic).await,
            "tag" => tag(&client, &producer, &topic).await,
            "share" => share(addresses, &producer, &topic).await,
            "broadcast" => broadcast(addresses, &producer, &topic).await,
            "resume" => resume(&client, &producer, &topic).await,
            "read" => read(&client, &producer, &topic).await,
            "retry" => retry(&client, &producer, &topic).await,
            _ => producers::run(case, &client, &producer, &topic).await,
        };
        failed += usize::from(!passes(case, outcome));
    }
    let of_consumers = consumers::CASES.into_iter().filter(is_wanted).map(async |case| {
        let topic = format!("Rust_{case}_{run}");
        passes(case, consumers::run(case, &client, &producer, (addresses, &topic)).await)
    });
    failed += join_all(of_consumers).await.into_iter().filter(|passes| !passes).count();
    producer.shutdown().await;
    client.shutdown().await;
    Ok(failed)
}

/// Says how a case went, and whether well.
fn passes(case: &str, outcome: Outcome) -> bool {
    match &outcome {
        Ok(text) => println!("PASS {case}: {text}"),
        Err(error) => println!("FAIL {case}: {error}"),
    }
    outcome.is_ok()
}

fn text(topic: &str, number: usize) -> Message {
    Message::new(topic, format!("message {number}")).tag("TagA").key(format!("key-{number}"))
}

async fn consumer(client: &Client, topic: &str, seen: &Seen) -> raptormq_client::Result<Consumer> {
    let seen = seen.clone();
    let builder = client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First);
    let count = move |message: raptormq_client::MessageView| {
        *seen.lock().entry(message.message_id().to_owned()).or_default() += 1;
        async { Ok(()) }
    };
    builder.start(count).await
}

/// Waits for messages and a little longer, for those that come twice.
async fn exactly_once(seen: &Seen, ids: &[String]) -> Outcome {
    let began = tokio::time::Instant::now();
    while seen.lock().len() < ids.len() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = seen.lock();
    let missing = ids.iter().filter(|id| !seen.contains_key(*id)).count();
    let doubled = seen.values().filter(|count| **count > 1).count();
    let strangers = seen.keys().filter(|id| !ids.contains(id)).count();
    match (missing, doubled, strangers) {
        (0, 0, 0) => Ok(format!("{} messages in {} ms", ids.len(), took.as_millis())),
        _ => Err(format!("{missing} missing, {doubled} doubled, {strangers} unexpected of {}", ids.len()).into()),
    }
}

async fn sends(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let mut ids = Vec::new();
    for number in 0..100 {
        let receipt = producer.send(text(topic, number)).await?;
        if number == 0 {
            println!("     {receipt}");
        }
        ids.push(receipt.message_id);
    }
    let seen = Seen::default();
    let consumer = consumer(client, topic, &seen).await?;
    let outcome = exactly_once(&seen, &ids).await;
    consumer.shutdown().await;
    outcome
}

async fn oneway(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    // The first creates the topic.
    producer.send(text(topic, 0)).await?;
    for number in 1..50 {
        producer.send_oneway(text(topic, number)).await?;
    }
    let seen = Seen::default();
    let consumer = consumer(client, topic, &seen).await?;
    let began = tokio::time::Instant::now();
    while seen.lock().len() < 50 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.shutdown().await;
    let count = seen.lock().len();
    if count == 50 { Ok("50 messages".to_owned()) } else { Err(format!("{count} of 50").into()) }
}

async fn enqueues(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let mut acks = Vec::new();
    for number in 0..2000 {
        acks.push(producer.enqueue(text(topic, number)).await?);
    }
    futures_util::future::try_join_all(acks).await?;
    let seen = Seen::default();
    let consumer = consumer(client, topic, &seen).await?;
    let began = tokio::time::Instant::now();
    while seen.lock().len() < 2000 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.shutdown().await;
    let seen = seen.lock();
    let (count, doubled) = (seen.len(), seen.values().filter(|count| **count > 1).count());
    if (count, doubled) == (2000, 0) {
        Ok(format!("2000 messages in {} ms", began.elapsed().as_millis()))
    } else {
        Err(format!("{count} of 2000, {doubled} doubled").into())
    }
}

async fn batch(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let receipt = producer.send_batch((0..100).map(|number| text(topic, number))).await?;
    let ids: Vec<String> = receipt.message_id.split(',').map(str::to_owned).collect();
    let places = receipt.offset_message_id.split(',').count();
    let seen = Seen::default();
    let consumer = consumer(client, topic, &seen).await?;
    let began = tokio::time::Instant::now();
    while seen.lock().len() < 101 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.shutdown().await;
    let missing = ids.iter().filter(|id| !seen.lock().contains_key(*id)).count();
    if (missing, places) == (0, 100) {
        Ok("100 messages".to_owned())
    } else {
        Err(format!("{missing} missing, {places} places").into())
    }
}

async fn big(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let seen = Seen::default();
    let bodies =
        [vec![b'a'; 4096], vec![b'b'; 100_000], (0..1_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect()];
    let mut ids = Vec::new();
    for body in bodies {
        ids.push(producer.send(Message::new(topic, body)).await?.message_id);
    }
    let lengths = Arc::new(AtomicUsize::new(0));
    let (count, sum) = (seen.clone(), lengths.clone());
    let consumer = client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            sum.fetch_add(message.body().len(), Ordering::Relaxed);
            *count.lock().entry(message.message_id().to_owned()).or_default() += 1;
            async { Ok(()) }
        })
        .await?;
    let outcome = exactly_once(&seen, &ids).await;
    consumer.shutdown().await;
    let sum = lengths.load(Ordering::Relaxed);
    if sum == 1_104_096 { outcome } else { Err(format!("{sum} bytes came").into()) }
}

async fn tag(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let mut ids = Vec::new();
    for number in 0..90 {
        let tag = ["TagA", "TagB", "TagC"][number % 3];
        let receipt = producer.send(Message::new(topic, "x").tag(tag)).await?;
        if tag != "TagC" {
            ids.push(receipt.message_id);
        }
    }
    let seen = Seen::default();
    let count = seen.clone();
    let consumer = client.consumer(format!("group_{topic}")).subscribe(topic, "TagA || TagB").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            *count.lock().entry(message.message_id().to_owned()).or_default() += 1;
            async { Ok(()) }
        })
        .await?;
    let outcome = exactly_once(&seen, &ids).await;
    consumer.shutdown().await;
    outcome
}

/// Two members of a group share the queues; when one leaves, the other has all.
async fn share(addresses: &str, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let (first, second) = (Client::connect(addresses).await?, Client::connect(addresses).await?);
    let seen = Seen::default();
    let (one, two) = (consumer(&first, topic, &seen).await?, consumer(&second, topic, &seen).await?);
    let queues_of = |consumer: &Consumer| consumer.queues().iter().filter(|queue| queue.topic == topic).count();
    let began = tokio::time::Instant::now();
    while (queues_of(&one), queues_of(&two)) != (2, 2) && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let balanced = began.elapsed();
    seen.lock().clear();
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(producer.send(text(topic, number)).await?.message_id);
    }
    exactly_once(&seen, &ids).await?;
    one.shutdown().await;
    let left = tokio::time::Instant::now();
    while queues_of(&two) != 4 && left.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let outcome = format!("balanced in {} ms, taken over in {} ms", balanced.as_millis(), left.elapsed().as_millis());
    let all = queues_of(&two);
    two.shutdown().await;
    if all == 4 { Ok(outcome) } else { Err(format!("{all} of 4 queues after one left").into()) }
}

/// Two members of a broadcasting group both get everything, and go on where they were.
async fn broadcast(addresses: &str, producer: &Producer, topic: &str) -> Outcome {
    producer.send(text(topic, 0)).await?;
    let folder = std::env::temp_dir().join(format!("raptormq-cases-{}", std::process::id()));
    let counts: Vec<Seen> = (0..2).map(|_| Seen::default()).collect();
    let mut members = Vec::new();
    for (number, seen) in counts.iter().enumerate() {
        let client = Client::connect(addresses).await?;
        let seen = seen.clone();
        let builder = client.consumer(format!("group_{topic}")).subscribe(topic, "*").broadcast();
        let builder = builder.from(ConsumeFrom::First).offsets_home(folder.join(number.to_string()));
        let count = move |message: raptormq_client::MessageView| {
            *seen.lock().entry(message.message_id().to_owned()).or_default() += 1;
            async { Ok(()) }
        };
        members.push(builder.start(count).await?);
    }
    for number in 1..30 {
        producer.send(text(topic, number)).await?;
    }
    let began = tokio::time::Instant::now();
    while counts.iter().any(|seen| seen.lock().len() < 30) && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for member in &members {
        member.shutdown().await;
    }
    let lens: Vec<usize> = counts.iter().map(|seen| seen.lock().len()).collect();
    let files = std::fs::read_dir(folder.join("0/.rocketmq_offsets")).is_ok();
    let _ = std::fs::remove_dir_all(&folder);
    if lens == [30, 30] && files { Ok("30 messages each".to_owned()) } else { Err(format!("{lens:?} of 30").into()) }
}

/// A group goes on where it stopped.
async fn resume(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    for number in 0..20 {
        producer.send(text(topic, number)).await?;
    }
    let seen = Seen::default();
    let first = consumer(client, topic, &seen).await?;
    let began = tokio::time::Instant::now();
    while seen.lock().len() < 20 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.shutdown().await;
    seen.lock().clear();
    let mut ids = Vec::new();
    for number in 20..40 {
        ids.push(producer.send(text(topic, number)).await?.message_id);
    }
    let second = consumer(client, topic, &seen).await?;
    let outcome = exactly_once(&seen, &ids).await;
    second.shutdown().await;
    outcome
}

/// A message whose handler fails comes again.
async fn retry(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let id = producer.send(text(topic, 0)).await?.message_id;
    let deliveries = Arc::new(Mutex::new(Vec::new()));
    let seen = deliveries.clone();
    let consumer = client.consumer(format!("group_{topic}")).subscribe(topic, "*").from(ConsumeFrom::First);
    let consumer = consumer
        .start(move |message| {
            let delivery = (message.message_id().to_owned(), message.topic().to_owned(), message.reconsume_times());
            let mut seen = seen.lock();
            seen.push(delivery);
            let fails = seen.len() < 2;
            async move { if fails { Err(Retry::After(Duration::from_secs(1))) } else { Ok(()) } }
        })
        .await?;
    let began = tokio::time::Instant::now();
    while deliveries.lock().len() < 2 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    consumer.shutdown().await;
    let deliveries = deliveries.lock().clone();
    let expected = [(id.clone(), topic.to_owned(), 0), (id, topic.to_owned(), 1)];
    if deliveries == expected {
        Ok(format!("again after {} ms", began.elapsed().as_millis()))
    } else {
        Err(format!("{deliveries:?}").into())
    }
}

/// A reader sees what was there and what comes, by tag.
async fn read(client: &Client, producer: &Producer, topic: &str) -> Outcome {
    let mut ids = Vec::new();
    let mut send = async |tag: &str| -> raptormq_client::Result<()> {
        let id = producer.send(Message::new(topic, "x").tag(tag)).await?.message_id;
        if tag == "TagA" {
            ids.push(id);
        }
        Ok(())
    };
    for tag in ["TagA", "TagB", "TagA"] {
        send(tag).await?;
    }
    let mut reader = client.reader(topic).tags("TagA").from(ConsumeFrom::First).open().await?;
    for tag in ["TagB", "TagA"] {
        send(tag).await?;
    }
    let mut seen = Vec::new();
    while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(5), reader.next()).await {
        seen.push(message.message_id().to_owned());
        if seen.len() == ids.len() {
            break;
        }
    }
    seen.sort();
    ids.sort();
    if seen == ids {
        Ok(format!("{} messages", seen.len()))
    } else {
        Err(format!("{seen:?} instead of {ids:?}").into())
    }
}
