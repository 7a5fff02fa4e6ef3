//! The benchmark producers: RocketMQ's options and output lines. Java: `example/…/example/benchmark/*.java`.
//!
//! As many messages are on their way as there are threads in the original, each waiting for its answer. Every second a
//! snapshot is taken; every ten seconds a line tells the rate over the last ten.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_admin::commons_cli::Known;
use raptormq_client::{Client, Error, Message, MessageView, Producer, TransactionProducer, TransactionState};
use tokio::task::JoinSet;

use super::options::{self, Found, with_value};
use crate::argv::Invocation;
use crate::tool;

/// The original's accounts of its benchmark (Java: `AclClient.java`).
const ACCESS_KEY: &str = "rocketmq2";
const SECRET_KEY: &str = "12345678";

/// Snapshots that a line is made of, one a second.
const SNAPSHOTS: usize = 10;
/// Pause after a message failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(3);
/// Messages on their way with asyncEnable (Java: `MAX_LENGTH_ASYNC_QUEUE`).
const ASYNC_MAX: usize = 10_000;

/// An option of a benchmark: short and long name, and what it is for.
type Row = (&'static str, &'static str, &'static str);

const COMMON: &[Row] = &[
    ("w", "threadCount", "Thread count"),
    ("s", "messageSize", "Message Size"),
    ("t", "topic", "Topic name, Default: BenchmarkTest"),
    ("a", "aclEnable", "Acl Enable, Default: false"),
    ("ak", "accessKey", "Acl access key, Default: rocketmq2"),
    ("sk", "secretKey", "Acl secret key, Default: 12345678"),
];
const CONTENT: &[Row] = &[
    ("k", "keyEnable", "Message Key Enable, Default: false"),
    ("l", "tagCount", "Tag count, Default: 0"),
    ("p", "propertySize", "Property Size, Default: 0"),
    ("m", "msgTraceEnable", "Message Trace Enable, Default: false"),
];
const SINGLE: &[Row] = &[
    ("q", "messageQuantity", "Send message quantity, Default: 0, running forever"),
    ("d", "delayEnable", "Delay message Enable, Default: false"),
    ("e", "delayLevel", "Delay message level, Default: 1"),
    ("y", "asyncEnable", "Enable async produce, Default: false"),
];
const BATCH: &[Row] = &[("b", "batchSize", "Batch Size, Default: 16")];
const TRANSACTION: &[Row] = &[
    ("sr", "send rollback rate", "Send rollback rate, Default: 0.0"),
    ("su", "send unknown rate", "Send unknown rate, Default: 0.0"),
    ("cr", "check rollback rate", "Check rollback rate, Default: 0.0"),
    ("cu", "check unknown rate", "Check unknown rate, Default: 0.0"),
    ("b", "test batch id", "test batch id, Default: System.currentMillis()"),
    ("i", "send interval", "sleep interval in millis between messages, Default: 0"),
];

/// The options that were given.
struct Given {
    found: Found,
}

impl Given {
    /// Reads them; an `Err` is the status to end with, everything being said.
    fn read(invocation: &Invocation, usage: &str, rows: &[&[Row]]) -> Result<Given, ExitCode> {
        let known = |(short, long, about): &Row| with_value(short, long, about);
        let all: Vec<Known> = rows.iter().copied().flatten().map(known).collect();
        options::read(invocation, usage, &all).map(|found| Given { found })
    }

    fn text(&self, short: &str) -> Option<&str> {
        self.found.text(short)
    }

    fn number<T: std::str::FromStr>(&self, short: &str, default: T) -> anyhow::Result<T> {
        let Some(text) = self.text(short) else { return Ok(default) };
        text.parse().map_err(|_| anyhow::anyhow!("-{short} {text} is no number that this option takes"))
    }

    fn flag(&self, short: &str) -> bool {
        self.text(short).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    async fn connect(&self, invocation: &Invocation) -> anyhow::Result<Client> {
        let namesrv = tool::namesrv(self.text("n"), invocation);
        if !self.flag("a") {
            return tool::connect(&namesrv).await;
        }
        let (key, secret) = (self.text("ak").unwrap_or(ACCESS_KEY), self.text("sk").unwrap_or(SECRET_KEY));
        Ok(Client::builder().namesrv(namesrv).credentials(key, secret).connect().await?)
    }
}

/// What has been counted so far.
#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    failed: AtomicU64,
    response_failed: AtomicU64,
    messages: AtomicU64,
    messages_failed: AtomicU64,
    /// Microseconds that successful requests took together.
    micros: AtomicU64,
    /// The longest of them, in milliseconds.
    max_ms: AtomicI64,
    checks: AtomicU64,
    unexpected_checks: AtomicU64,
    duplicated_checks: AtomicU64,
}

/// The counters at a moment.
#[derive(Clone, Copy)]
struct Snapshot {
    at: Instant,
    requests: u64,
    failed: u64,
    response_failed: u64,
    messages: u64,
    messages_failed: u64,
    micros: u64,
    checks: [u64; 3],
}

impl Counters {
    fn succeeded(&self, began: Instant, messages: u64) {
        let took = began.elapsed();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.max_ms.fetch_max(took.as_millis() as i64, Ordering::Relaxed);
    }

    /// A broker's refusal is counted apart from everything else.
    fn failed(&self, error: &Error, messages: u64) {
        let counter = if error.code().is_some() { &self.response_failed } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.messages_failed.fetch_add(messages, Ordering::Relaxed);
    }

    fn snapshot(&self) -> Snapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Snapshot {
            at: Instant::now(),
            requests: get(&self.requests),
            failed: get(&self.failed),
            response_failed: get(&self.response_failed),
            messages: get(&self.messages),
            messages_failed: get(&self.messages_failed),
            micros: get(&self.micros),
            checks: [&self.checks, &self.unexpected_checks, &self.duplicated_checks].map(get),
        }
    }
}

/// What lies between two snapshots.
struct Span {
    begin: Snapshot,
    end: Snapshot,
}

impl Span {
    fn rate(&self, of: impl Fn(&Snapshot) -> u64) -> u64 {
        let seconds = (self.end.at - self.begin.at).as_secs_f64().max(1e-3);
        ((of(&self.end) - of(&self.begin)) as f64 / seconds) as u64
    }

    /// Milliseconds a request or message on average.
    fn average_ms(&self, of: impl Fn(&Snapshot) -> u64) -> f64 {
        let count = of(&self.end) - of(&self.begin);
        if count == 0 { 0.0 } else { (self.end.micros - self.begin.micros) as f64 / 1000.0 / count as f64 }
    }
}

fn now() -> String {
    jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string()
}

/// Prints a line every ten seconds by `line`, until `work` ends; the last snapshots then.
async fn watch(
    counters: &Counters,
    line: impl Fn(&Span, i64) -> String,
    work: impl Future<Output = ()>,
) -> VecDeque<Snapshot> {
    let mut snapshots = VecDeque::with_capacity(SNAPSHOTS);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
    let mut work = std::pin::pin!(work);
    let mut seconds = 0;
    loop {
        tokio::select! {
            () = &mut work => return snapshots,
            _ = ticks.tick() => {}
        }
        snapshots.push_back(counters.snapshot());
        if snapshots.len() > SNAPSHOTS {
            snapshots.pop_front();
        }
        seconds += 1;
        if seconds % SNAPSHOTS == 0
            && let (Some(begin), Some(end)) = (snapshots.front(), snapshots.back())
        {
            println!("{}", line(&Span { begin: *begin, end: *end }, counters.max_ms.load(Ordering::Relaxed)));
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// Ends with `work` or with a signal.
async fn until_signal(work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = tool::until_told() => {}
    }
}

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
    fn of(given: &Given, size_default: usize) -> anyhow::Result<Content> {
        let size: usize = given.number("s", size_default)?;
        let mut random = Random::new();
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let body: Vec<u8> = (0..size).map(|_| letters[random.below(letters.len() as u64) as usize]).collect();
        Ok(Content {
            topic: given.text("t").unwrap_or("BenchmarkTest").to_owned(),
            body: body.into(),
            has_keys: given.flag("k"),
            tags: given.number("l", 0)?,
            property_bytes: given.number("p", 0)?,
            delay_level: given.flag("d").then(|| given.number("e", 1)).transpose()?,
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

/// Runs a benchmark's work on one thread.
fn run<F>(invocation: &Invocation, work: impl FnOnce() -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    match tool::log_to_stderr() {
        Ok(_logging) => tool::run_to_end(&invocation.program, work()),
        Err(error) => tool::fail(&invocation.program, &error),
    }
}

async fn start(given: &Given, client: &Client, group: &str) -> anyhow::Result<Producer> {
    let builder = client.producer(group).accept_weak_ack().compress_from(usize::MAX);
    let builder = builder.max_in_flight(ASYNC_MAX, 256 << 20);
    let builder = if given.flag("m") { builder.trace() } else { builder };
    Ok(builder.start().await?)
}

/// `benchmark.Producer`.
pub(super) fn producer(invocation: Invocation) -> ExitCode {
    match Given::read(&invocation, "benchmarkProducer", &[COMMON, CONTENT, SINGLE]) {
        Ok(given) => run(&invocation, || produce(&invocation, &given)),
        Err(status) => status,
    }
}

async fn produce(invocation: &Invocation, given: &Given) -> anyhow::Result<ExitCode> {
    let content = Content::of(given, 128)?;
    let is_async = given.flag("y");
    let threads: usize = if is_async { 1 } else { given.number("w", 64)? };
    let quantity: u64 = given.number("q", 0)?;
    println!(
        "topic: {}, threadCount: {threads}, messageSize: {}, keyEnable: {}, propertySize: {}, tagCount: {}, \
         traceEnable: {}, aclEnable: {}, messageQuantity: {quantity}, delayEnable: {}, delayLevel: {}, asyncEnable: {is_async}",
        content.topic,
        content.body.len(),
        content.has_keys,
        content.property_bytes,
        content.tags,
        given.flag("m"),
        given.flag("a"),
        content.delay_level.is_some(),
        content.delay_level.unwrap_or(1),
    );
    let client = given.connect(invocation).await?;
    let producer = start(given, &client, "benchmark_producer").await?;
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
    let line = |span: &Span, max_ms: i64| {
        format!(
            "Current Time: {} | Send TPS: {} | Max RT(ms): {max_ms} | Average RT(ms): {:7.3} | Send Failed: {} | Response \
             Failed: {}",
            now(),
            span.rate(|snapshot| snapshot.requests),
            span.average_ms(|snapshot| snapshot.requests),
            span.end.failed,
            span.end.response_failed
        )
    };
    let snapshots = watch(&counters, line, until_signal(sending)).await;
    producer.flush().await;
    let end = counters.snapshot();
    let total = end.requests + end.failed;
    match snapshots.front() {
        Some(begin) if snapshots.len() > 1 => {
            let span = Span { begin: *begin, end };
            println!(
                "[Complete] Send Total: {total} | Send TPS: {} | Max RT(ms): {} | Average RT(ms): {:7.3} | Send Failed: {} | \
                 Response Failed: {}",
                span.rate(|snapshot| snapshot.requests),
                counters.max_ms.load(Ordering::Relaxed),
                span.average_ms(|snapshot| snapshot.requests),
                end.failed,
                end.response_failed
            );
        }
        _ => println!(
            "[Complete] Send Total: {total} | Send Failed: {} | Response Failed: {}",
            end.failed, end.response_failed
        ),
    }
    producer.shutdown().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
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
pub(super) fn batch_producer(invocation: Invocation) -> ExitCode {
    match Given::read(&invocation, "benchmarkBatchProducer", &[COMMON, CONTENT, BATCH]) {
        Ok(given) => run(&invocation, || produce_batches(&invocation, &given)),
        Err(status) => status,
    }
}

async fn produce_batches(invocation: &Invocation, given: &Given) -> anyhow::Result<ExitCode> {
    let content = Content::of(given, 128)?;
    let (threads, batch): (usize, usize) = (given.number("w", 64)?, given.number("b", 16)?);
    println!(
        "topic: {}, threadCount: {threads}, messageSize: {}, batchSize: {batch}, keyEnable: {}, propertySize: {}, \
         tagCount: {}, traceEnable: {}, aclEnable: {}",
        content.topic,
        content.body.len(),
        content.has_keys,
        content.property_bytes,
        content.tags,
        given.flag("m"),
        given.flag("a")
    );
    let client = given.connect(invocation).await?;
    let producer = start(given, &client, "benchmark_batch_producer").await?;
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
    let line = |span: &Span, max_ms: i64| {
        format!(
            "Current Time: {} | Send TPS: {} | Send MPS: {} | Max RT(ms): {max_ms} | Average RT(ms): {:7.3} | Average Message \
             RT(ms): {:7.3} | Send Failed: {} | Send Message Failed: {}",
            now(),
            span.rate(|snapshot| snapshot.requests),
            span.rate(|snapshot| snapshot.messages),
            span.average_ms(|snapshot| snapshot.requests),
            span.average_ms(|snapshot| snapshot.messages),
            span.end.failed + span.end.response_failed,
            span.end.messages_failed
        )
    };
    watch(&counters, line, until_signal(sending)).await;
    producer.shutdown().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// `benchmark.TransactionProducer`.
pub(super) fn transaction_producer(invocation: Invocation) -> ExitCode {
    match Given::read(&invocation, "TransactionProducer", &[COMMON, TRANSACTION]) {
        Ok(given) => run(&invocation, || produce_transactions(&invocation, &given)),
        Err(status) => status,
    }
}

/// Answers to questions that a message of the transaction benchmark tells beforehand.
const CHECK_RESULTS: usize = 20;
/// Bytes in front of them: the run's number, the message's number, how the transaction ends.
const RESULT_AT: usize = 16;
/// Messages whose questions are remembered, to notice one that comes twice.
const REMEMBERED_MAX: usize = 200_000;

/// How often transactions end how.
#[derive(Clone, Copy)]
struct Rates {
    batch_id: u64,
    size: usize,
    send: [f64; 2],
    check: [f64; 2],
}

/// Ordinals of Java's `LocalTransactionState`.
fn state_of(ordinal: u8) -> TransactionState {
    match ordinal {
        0 => TransactionState::Commit,
        1 => TransactionState::Rollback,
        _ => TransactionState::Unknown,
    }
}

impl Rates {
    /// A message that tells its transaction's end, and the answers to each question for it.
    fn body(&self, random: &mut Random, number: u64) -> Vec<u8> {
        let mut body: Vec<u8> = (0..self.size).map(|_| random.below(256) as u8).collect();
        body[..8].copy_from_slice(&self.batch_id.to_be_bytes());
        body[8..16].copy_from_slice(&number.to_be_bytes());
        let draw = |random: &mut Random, [rollback, unknown]: [f64; 2]| {
            let is = |rate: f64, random: &mut Random| (random.below(1 << 20) as f64) < rate * f64::from(1 << 20);
            if is(rollback, random) { 1 } else { u8::from(is(unknown, random)) * 2 }
        };
        body[RESULT_AT] = draw(random, self.send);
        for result in &mut body[RESULT_AT + 1..=RESULT_AT + CHECK_RESULTS] {
            *result = draw(random, self.check);
        }
        body
    }
}

async fn produce_transactions(invocation: &Invocation, given: &Given) -> anyhow::Result<ExitCode> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let rates = Rates {
        batch_id: given.number("b", now_ms)?,
        size: given.number::<usize>("s", 2048)?.max(RESULT_AT + 1 + CHECK_RESULTS),
        send: [given.number("sr", 0.0)?, given.number("su", 0.0)?],
        check: [given.number("cr", 0.0)?, given.number("cu", 0.0)?],
    };
    let (threads, pause_ms): (usize, u64) = (given.number("w", 32)?, given.number("i", 0)?);
    let topic = given.text("t").unwrap_or("BenchmarkTest").to_owned();
    let client = given.connect(invocation).await?;
    let counters = Arc::new(Counters::default());
    let checks = Arc::new(CheckLog { counters: counters.clone(), batch_id: rates.batch_id, seen: Mutex::default() });
    let builder = client.producer("benchmark_transaction_producer").accept_weak_ack().default_topic_queues(1000);
    let producer = builder
        .start_transactional(move |message| {
            let state = checks.check(&message);
            async move { state }
        })
        .await?;
    let next = AtomicU64::new(now_ms << 32);
    let one = || transaction_loop(&producer, &topic, &rates, (&counters, &next, pause_ms));
    let sending = async { drop(join_all((0..threads).map(|_| one())).await) };
    let line = |span: &Span, max_ms: i64| {
        let difference = |of: fn(&Snapshot) -> u64| of(&span.end) - of(&span.begin);
        format!(
            "Current Time: {} | Send TPS: {:5} | Max RT(ms): {max_ms:5} | AVG RT(ms): {:3.1} | Send Failed: {} | check: {} | \
             unexpectedCheck: {} | duplicatedCheck: {}",
            now(),
            span.rate(|snapshot| snapshot.requests + snapshot.failed + snapshot.response_failed),
            span.average_ms(|snapshot| snapshot.requests),
            difference(|snapshot| snapshot.failed + snapshot.response_failed),
            difference(|snapshot| snapshot.checks[0]),
            difference(|snapshot| snapshot.checks[1]),
            difference(|snapshot| snapshot.checks[2])
        )
    };
    watch(&counters, line, until_signal(sending)).await;
    producer.shutdown().await;
    client.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

async fn transaction_loop(
    producer: &TransactionProducer,
    topic: &str,
    rates: &Rates,
    (counters, next, pause_ms): (&Counters, &AtomicU64, u64),
) {
    let mut random = Random::new();
    loop {
        let body = rates.body(&mut random, next.fetch_add(1, Ordering::Relaxed));
        let state = state_of(body[RESULT_AT]);
        let began = Instant::now();
        match producer.send(Message::new(topic, body), async { state }).await {
            Ok(_) => counters.succeeded(began, 1),
            Err(error) => {
                counters.failed(&error, 1);
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
        if pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

/// The broker's questions so far.
struct CheckLog {
    counters: Arc<Counters>,
    batch_id: u64,
    /// Message number to a bit for each time it was asked for; the oldest are forgotten.
    seen: Mutex<(std::collections::HashMap<u64, u32>, VecDeque<u64>)>,
}

impl CheckLog {
    /// The answer that the message tells. Questions that should not come, or come twice, are counted.
    fn check(&self, message: &MessageView) -> TransactionState {
        let body = message.body();
        let number = |at: usize| body.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let times = message.property("TRANSACTION_CHECK_TIMES").and_then(|times| times.parse::<usize>().ok());
        let (Some(batch), Some(id), Some(times)) = (number(0), number(8), times) else {
            return TransactionState::Rollback;
        };
        if batch != self.batch_id || body.len() <= RESULT_AT + CHECK_RESULTS {
            return TransactionState::Rollback;
        }
        self.counters.checks.fetch_add(1, Ordering::Relaxed);
        let times = times.clamp(1, CHECK_RESULTS);
        if self.is_double(id, times) {
            self.counters.duplicated_checks.fetch_add(1, Ordering::Relaxed);
        }
        let sent = state_of(body[RESULT_AT]);
        let before = body[RESULT_AT + 1..RESULT_AT + times].iter().map(|ordinal| state_of(*ordinal));
        let settled = std::iter::once(sent).chain(before).find(|state| *state != TransactionState::Unknown);
        if let Some(state) = settled {
            self.counters.unexpected_checks.fetch_add(1, Ordering::Relaxed);
            return state;
        }
        state_of(body[RESULT_AT + times])
    }

    fn is_double(&self, id: u64, times: usize) -> bool {
        let mut guard = self.seen.lock();
        let (seen, order) = &mut *guard;
        if !seen.contains_key(&id) {
            order.push_back(id);
            if order.len() > REMEMBERED_MAX
                && let Some(oldest) = order.pop_front()
            {
                seen.remove(&oldest);
            }
        }
        let bits = seen.entry(id).or_default();
        let bit = 1 << (times - 1);
        let is_double = *bits & bit != 0;
        *bits |= bit;
        is_double
    }
}

/// Numbers that need not be good (splitmix64), begun differently each time.
struct Random(u64);

impl Random {
    fn new() -> Random {
        use std::hash::{BuildHasher as _, Hasher as _};
        Random(std::collections::hash_map::RandomState::new().build_hasher().finish())
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_several_letters_and_their_defaults() {
        let words = ["-w", "4", "-ak", "me", "-q", "10", "-k", "true"].map(str::to_owned).to_vec();
        let given = Given::read(&Invocation::new("x", words), "x", &[COMMON, CONTENT, SINGLE]).ok().unwrap();
        assert_eq!((given.number("w", 64).unwrap(), given.text("ak"), given.flag("k")), (4, Some("me"), true));
        assert_eq!((given.number("s", 128).unwrap(), given.flag("m")), (128, false));
        assert!(given.number::<u8>("ak", 1).is_err());
    }

    #[test]
    fn a_message_tells_the_answers_to_its_questions() {
        let rates = Rates { batch_id: 7, size: 100, send: [0.0, 1.0], check: [1.0, 0.0] };
        let body = rates.body(&mut Random::new(), 9);
        assert_eq!((body.len(), body[RESULT_AT], body[RESULT_AT + 1]), (100, 2, 1));
        assert_eq!(state_of(body[RESULT_AT + 1]), TransactionState::Rollback);
    }

    #[test]
    fn messages_have_what_the_options_ask_for() {
        let words = ["-k", "true", "-l", "3", "-p", "50", "-d", "true"].map(str::to_owned).to_vec();
        let given = Given::read(&Invocation::new("x", words), "x", &[COMMON, CONTENT, SINGLE]).ok().unwrap();
        let content = Content::of(&given, 128).unwrap();
        assert_eq!((content.message().body().len(), content.delay_level), (128, Some(1)));
    }
}
