//! The producers that send message by message, and in batches.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use raptormq_client::{Client, Compression, Message, Producer};
use tokio::task::JoinSet;

use super::{COMMON, Counters, FAILURE_PAUSE, Found, Random, Row, Snapshot, client, now, read, until_signal, watch};
use crate::argv::Invocation;
use crate::tool::classes::run_with;

/// Messages on their way with asyncEnable (Java: `MAX_LENGTH_ASYNC_QUEUE`).
const ASYNC_MAX: usize = 10_000;

const CONTENT: &[Row] = &[
    ("w", "threadCount", "Thread count, Default: 64"),
    ("s", "messageSize", "Message Size, Default: 128"),
    ("k", "keyEnable", "Message Key Enable, Default: false"),
    ("l", "tagCount", "Tag count, Default: 0"),
    ("p", "propertySize", "Property Size, Default: 0"),
    ("c", "compressEnable", "Enable compress msg over 4K, Default: false"),
    ("ct", "compressType", "Message compressed type, Default: ZLIB"),
    ("cl", "compressLevel", "Message compressed level, Default: 5"),
    ("ch", "compressOverHowMuch", "Compress message when body over how much(unit Byte), Default: 4096"),
];
const SINGLE: &[Row] = &[
    ("q", "messageQuantity", "Send message quantity, Default: 0, running forever"),
    ("d", "delayEnable", "Delay message Enable, Default: false"),
    ("e", "delayLevel", "Delay message level, Default: 1"),
    ("y", "asyncEnable", "Enable async produce, Default: false"),
];
const BATCH: &[Row] = &[("b", "batchSize", "Batch Size, Default: 16")];

/// What the messages of a benchmark are made of.
#[derive(Clone)]
struct Content {
    topic: String,
    body: Bytes,
    has_keys: bool,
    tags: u64,
    property_bytes: usize,
    delay_level: Option<u32>,
}

impl Content {
    fn of(found: &Found, size_default: usize) -> anyhow::Result<Content> {
        let size: usize = found.number("s", size_default)?;
        let mut random = Random::new();
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let body: Vec<u8> = (0..size).map(|_| letters[random.below(letters.len() as u64) as usize]).collect();
        Ok(Content {
            topic: super::topic(found),
            body: body.into(),
            has_keys: found.is_true("k"),
            tags: found.number("l", 0)?,
            property_bytes: found.number("p", 0)?,
            delay_level: found.is_true("d").then(|| found.number("e", 1)).transpose()?,
        })
    }

    fn message(&self) -> Message {
        let mut message = Message::new(&self.topic, self.body.clone());
        if !self.has_keys && self.tags == 0 && self.property_bytes == 0 && self.delay_level.is_none() {
            return message;
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        if self.has_keys {
            message = message.key((now_ms / 1000).to_string());
        }
        if self.tags > 0 {
            message = message.tag(format!("tag{}", now_ms % self.tags));
        }
        if let Some(level) = self.delay_level {
            message = message.delay_level(level);
        }
        let (mut bytes, mut number) = (0, 0);
        while self.property_bytes > 0 && bytes <= self.property_bytes {
            let (name, value) = (format!("prop{number}"), format!("hello{number}"));
            bytes += name.len() + value.len();
            number += 1;
            message = message.property(name, value);
        }
        message
    }
}

/// How bodies are compressed, and from how many bytes on.
struct Compressing {
    compression: Compression,
    level: i32,
    from_bytes: usize,
}

impl Compressing {
    /// What is asked for; it is printed.
    fn of(found: &Found) -> anyhow::Result<Option<Compressing>> {
        if !found.is_true("c") {
            return Ok(None);
        }
        let name = found.text("ct").unwrap_or("ZLIB");
        let compression = match name.to_ascii_uppercase().as_str() {
            "ZLIB" => Compression::Zlib,
            "LZ4" => Compression::Lz4,
            "ZSTD" => Compression::Zstd,
            _ => anyhow::bail!("-ct {name} is none of ZLIB, LZ4 and ZSTD"),
        };
        let level = found.number("cl", 5)?;
        say!("compressType: {name} compressLevel: {level}");
        Ok(Some(Compressing { compression, level, from_bytes: found.number("ch", 4096)? }))
    }
}

async fn start(found: &Found, client: &Client, group: &str) -> anyhow::Result<Producer> {
    let builder = client.producer(group).accept_weak_ack().max_in_flight(ASYNC_MAX, 256 << 20);
    let builder = match Compressing::of(found)? {
        Some(how) => builder.compression(how.compression, how.level).compress_from(how.from_bytes),
        None => builder.compress_from(usize::MAX),
    };
    let builder = if found.is_true("m") { builder.trace() } else { builder };
    Ok(builder.start().await?)
}

/// `benchmark.Producer`.
pub(super) fn single(invocation: Invocation) -> ExitCode {
    match read(&invocation, "benchmarkProducer", &[COMMON, CONTENT, SINGLE]) {
        Ok(found) => run_with(&invocation, client(&found, &invocation), async |client| produce(&client, &found).await),
        Err(status) => status,
    }
}

async fn produce(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let content = Content::of(found, 128)?;
    let is_async = found.is_true("y");
    let threads: usize = if is_async { 1 } else { found.number("w", 64)? };
    let quantity: u64 = found.number("q", 0)?;
    let interval = super::report_interval(found)?;
    say!(
        "topic: {}, threadCount: {threads}, messageSize: {}, keyEnable: {}, propertySize: {}, tagCount: {}, \
         traceEnable: {}, aclEnable: {}, messageQuantity: {quantity}, delayEnable: {}, delayLevel: {}, asyncEnable: {is_async}\n \
         compressEnable: {}, reportInterval: {}",
        content.topic,
        content.body.len(),
        content.has_keys,
        content.property_bytes,
        content.tags,
        found.is_true("m"),
        found.is_true("a"),
        content.delay_level.is_some(),
        content.delay_level.unwrap_or(1),
        found.is_true("c"),
        interval.as_millis(),
    );
    let producer = start(found, client, "benchmark_producer").await?;
    let counters = Arc::new(Counters::default());
    let left = Arc::new(AtomicI64::new(i64::try_from(quantity).unwrap_or(i64::MAX)));
    let takes_one = move || quantity == 0 || left.fetch_sub(1, Ordering::Relaxed) > 0;
    let sending = async {
        let one = || send_loop(&producer, &content, &counters, &takes_one);
        match is_async {
            true => enqueue_loop(&producer, &content, &counters, &takes_one).await,
            false => drop(join_all((0..threads).map(|_| one())).await),
        }
    };
    let line = |begin: Snapshot, end: Snapshot| format!("Current Time: {} | {}", now(), rates(&counters, &begin, &end));
    let snapshots = watch(interval, || counters.snapshot(), line, until_signal(sending)).await;
    producer.flush().await;
    let end = counters.snapshot();
    let total = end.requests + end.failed;
    match snapshots.front() {
        Some(begin) if snapshots.len() > 1 => {
            say!("[Complete] Send Total: {total} | {}", rates(&counters, begin, &end));
        }
        _ => {
            say!("[Complete] Send Total: {total} Send Failed: {} Response Failed: {}", end.failed, end.response_failed)
        }
    }
    producer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// What a line says of the time between two snapshots.
fn rates(counters: &Counters, begin: &Snapshot, end: &Snapshot) -> String {
    format!(
        "Send TPS: {} | Max RT(ms): {} | Average RT(ms): {:7.3} | Send Failed: {} | Response Failed: {}",
        end.rate(begin, |snapshot| snapshot.requests),
        counters.max_ms.load(Ordering::Relaxed),
        end.average_ms(begin, |snapshot| snapshot.requests),
        end.failed,
        end.response_failed
    )
}

/// One thread of the original: sends and waits for the answer.
async fn send_loop(producer: &Producer, content: &Content, counters: &Counters, takes_one: &impl Fn() -> bool) {
    while takes_one() {
        let began = Instant::now();
        match producer.send(content.message()).await {
            Ok(_) => counters.succeeded(began, 1),
            Err(error) => {
                counters.failed(&error, 1);
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

/// Sends without waiting for one answer before the next message.
async fn enqueue_loop(producer: &Producer, content: &Content, counters: &Arc<Counters>, takes_one: &impl Fn() -> bool) {
    // As many as the producer lets on their way at once.
    let mut answers = JoinSet::new();
    while takes_one() {
        while answers.try_join_next().is_some() {}
        let began = Instant::now();
        match producer.enqueue(content.message()).await {
            Ok(ack) => {
                let counters = counters.clone();
                answers.spawn(async move {
                    match ack.await {
                        Ok(_) => counters.succeeded(began, 1),
                        Err(error) => counters.failed(&error, 1),
                    }
                });
            }
            Err(error) => {
                counters.failed(&error, 1);
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
    answers.join_all().await;
}

/// `benchmark.BatchProducer`.
pub(super) fn batch(invocation: Invocation) -> ExitCode {
    match read(&invocation, "benchmarkBatchProducer", &[COMMON, CONTENT, BATCH]) {
        Ok(found) => {
            run_with(&invocation, client(&found, &invocation), async |client| produce_batches(&client, &found).await)
        }
        Err(status) => status,
    }
}

async fn produce_batches(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let content = Content::of(found, 128)?;
    let (threads, batch): (usize, usize) = (found.number("w", 64)?, found.number("b", 16)?);
    let interval = super::report_interval(found)?;
    say!(
        "topic: {}, threadCount: {threads}, messageSize: {}, batchSize: {batch}, keyEnable: {}, propertySize: {}, \
         tagCount: {}, traceEnable: {}, aclEnable: {}\n compressEnable: {}, reportInterval: {}",
        content.topic,
        content.body.len(),
        content.has_keys,
        content.property_bytes,
        content.tags,
        found.is_true("m"),
        found.is_true("a"),
        found.is_true("c"),
        interval.as_millis(),
    );
    let producer = start(found, client, "benchmark_batch_producer").await?;
    let counters = Counters::default();
    let one = || async {
        loop {
            let began = Instant::now();
            match producer.send_batch((0..batch).map(|_| content.message())).await {
                Ok(_) => counters.succeeded(began, batch as u64),
                Err(error) => {
                    counters.failed(&error, batch as u64);
                    tokio::time::sleep(FAILURE_PAUSE).await;
                }
            }
        }
    };
    let sending = async { drop(join_all((0..threads).map(|_| one())).await) };
    let line = |begin: Snapshot, end: Snapshot| {
        format!(
            "Current Time: {} | Send TPS: {} | Send MPS: {} | Max RT(ms): {} | Average RT(ms): {:7.3} | Average Message \
             RT(ms): {:7.3} | Send Failed: {} | Send Message Failed: {}",
            now(),
            end.rate(&begin, |snapshot| snapshot.requests),
            end.rate(&begin, |snapshot| snapshot.messages),
            counters.max_ms.load(Ordering::Relaxed),
            end.average_ms(&begin, |snapshot| snapshot.requests),
            end.average_ms(&begin, |snapshot| snapshot.messages),
            end.failed + end.response_failed,
            end.messages_failed
        )
    };
    watch(interval, || counters.snapshot(), line, until_signal(sending)).await;
    producer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Found {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        read(&Invocation::new("x", words), "x", &[COMMON, CONTENT, SINGLE]).ok().unwrap()
    }

    #[test]
    fn messages_have_what_the_options_ask_for() {
        let content = Content::of(&found(&["-k", "true", "-l", "3", "-p", "50", "-d", "true"]), 128).unwrap();
        assert_eq!((content.message().body().len(), content.delay_level), (128, Some(1)));
    }

    #[test]
    fn bodies_are_compressed_as_the_options_say() {
        assert!(Compressing::of(&found(&["-ct", "LZ4"])).unwrap().is_none());
        let how = Compressing::of(&found(&["-c", "true", "-ct", "zstd", "-cl", "9"])).unwrap().unwrap();
        assert_eq!((how.compression, how.level, how.from_bytes), (Compression::Zstd, 9, 4096));
        let wrong = Compressing::of(&found(&["-c", "true", "-ct", "RAR"])).err().unwrap().to_string();
        assert_eq!(wrong, "-ct RAR is none of ZLIB, LZ4 and ZSTD");
    }
}
