//! The benchmarks of timer messages: a producer whose messages are due from two minutes on, and a consumer that tells how
//! late they come. The broker needs timer messages (`timerWheelEnable` of RocketMQ 5).

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures_util::future::join_all;
use hdrhistogram::Histogram;
use jiff::Timestamp;
use parking_lot::Mutex;
use raptormq_client::{Client, Message, MessageView, Producer};

use super::{
    Counters, FAILURE_PAUSE, Found, Random, Row, SECOND, SNAPSHOTS, Snapshot, client, read, until_signal, watch,
};
use crate::argv::Invocation;
use crate::tool::classes::run_with;

const TOPIC: &[Row] = &[("t", "topic", "Send messages to which topic, default: BenchmarkTest")];
/// The texts are the original's; three of them tell other defaults than it has, which are these: 16, 1024 and 5000.
const PRODUCER: &[Row] = &[
    ("tc", "threadCount", "Thread count, default: 64"),
    ("ms", "messageSize", "Message Size, default: 128"),
    ("p", "precisionMs", "Precision (ms) for TimerMessage, default: 1000"),
    ("st", "slotsTotal", "Send messages to how many slots, default: 100"),
    ("mt", "msgsTotalPerSlotThread", "Messages total for each slot and each thread, default: 100"),
    ("sd", "slotDis", "Time distance between two slots, default: 1000"),
];

/// The property in which a message tells when it is due.
const DUE_PROPERTY: &str = "MY_RECORD_TIMER_DELIVER_MS";
/// How long after the start the first messages are due.
const FIRST_DUE_MS: i64 = 2 * 60 * 1000 + 10;
/// How often a line is printed.
const INTERVAL: Duration = Duration::from_secs(SNAPSHOTS as u64);

/// `benchmark.timer.TimerProducer`.
pub(super) fn produce(invocation: Invocation) -> ExitCode {
    match read(&invocation, "benchmarkTimerProducer", &[TOPIC, PRODUCER]) {
        Ok(found) => run_with(&invocation, client(&found, &invocation), async |client| send(&client, &found).await),
        Err(status) => status,
    }
}

async fn send(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let topic = super::topic(found);
    let (threads, size): (usize, usize) = (found.number("tc", 16)?, found.number("ms", 1024)?);
    let (precision, distance): (i64, i64) = (found.number("p", 1000)?, found.number("sd", 1000)?);
    let (slots, per_slot): (i64, i64) = (found.number("st", 100)?, found.number("mt", 5000)?);
    anyhow::ensure!(precision > 0, "-p is a number of milliseconds from 1 on");
    let namesrv = client.admin().name_servers().join(";");
    say!(
        "namesrvAddr: {namesrv}, topic: {topic}, threadCount: {threads}, messageSize: {size}, precisionMs: {precision}, \
         slotsTotal: {slots}, msgsTotalPerSlotThread: {per_slot}, slotDis: {distance}"
    );
    let producer = client.producer("benchmark_producer").accept_weak_ack().compress_from(usize::MAX).start().await?;
    say!("Start sending messages");
    let first = Timestamp::now().as_millisecond() / precision * precision + FIRST_DUE_MS;
    let message = Message::new(topic, vec![b'a'; size]);
    let counters = Counters::default();
    let one = || async {
        let mut random = Random::new();
        for _ in 0..slots.saturating_mul(per_slot) {
            let slot = random.below(slots.unsigned_abs()) as i64;
            send_one(&producer, message.clone(), first + slot * distance, &counters).await;
        }
    };
    let sending = async { drop(join_all((0..threads).map(|_| one())).await) };
    let line = |begin: Snapshot, end: Snapshot| {
        format!(
            "Send TPS: {}, Max RT: {}, Average RT: {:7.3}, Send Failed: {}, Response Failed: {}",
            end.rate(&begin, |snapshot| snapshot.requests),
            counters.max_ms.load(Ordering::Relaxed),
            end.average_ms(&begin, |snapshot| snapshot.requests),
            end.failed,
            end.response_failed
        )
    };
    watch(INTERVAL, || counters.snapshot(), line, until_signal(sending)).await;
    producer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Sends a message that is due at a time.
async fn send_one(producer: &Producer, message: Message, due_ms: i64, counters: &Counters) {
    let due = UNIX_EPOCH + Duration::from_millis(due_ms.unsigned_abs());
    let message = message.property(DUE_PROPERTY, due_ms.to_string()).deliver_at(due);
    let began = Instant::now();
    match producer.send(message).await {
        Ok(_) => counters.succeeded(began, 1),
        Err(error) => {
            counters.failed(&error, 1);
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}

/// `benchmark.timer.TimerConsumer`.
pub(super) fn consume(invocation: Invocation) -> ExitCode {
    match read(&invocation, "benchmarkTimerConsumer", &[TOPIC]) {
        Ok(found) => run_with(&invocation, client(&found, &invocation), async |client| receive(&client, &found).await),
        Err(status) => status,
    }
}

/// How late messages came.
struct Late {
    received: AtomicU64,
    total_ms: AtomicI64,
    /// Of all so far; what comes too early counts as 0.
    all_ms: Mutex<Histogram<u64>>,
}

/// What was counted at a moment.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    received: u64,
    total_ms: i64,
}

impl Late {
    fn new() -> anyhow::Result<Late> {
        // An hour late is as bad as any more.
        let all_ms = Mutex::new(Histogram::new_with_bounds(1, 3_600_000, 3)?);
        Ok(Late { received: AtomicU64::new(0), total_ms: AtomicI64::new(0), all_ms })
    }

    /// Counts a message; others than those of the producer above are passed over.
    fn count(&self, message: &MessageView) {
        let Some(due_ms) = message.property(DUE_PROPERTY).and_then(|due| due.parse::<i64>().ok()) else { return };
        let late_ms = Timestamp::now().as_millisecond() - due_ms;
        self.received.fetch_add(1, Ordering::Relaxed);
        self.total_ms.fetch_add(late_ms, Ordering::Relaxed);
        self.all_ms.lock().saturating_record(late_ms.max(0).unsigned_abs());
    }

    fn seen(&self) -> Seen {
        let (received, total_ms) = (self.received.load(Ordering::Relaxed), self.total_ms.load(Ordering::Relaxed));
        Seen { at: Instant::now(), received, total_ms }
    }

    fn line(&self, begin: Seen, end: Seen) -> String {
        let count = end.received - begin.received;
        let rate = (count as f64 / (end.at - begin.at).max(SECOND).as_secs_f64()) as u64;
        // As Java prints what is divided by nothing.
        let mean = match count {
            0 => "    NaN".to_owned(),
            count => format!("{:7.3}", (end.total_ms - begin.total_ms) as f64 / count as f64),
        };
        let all = self.all_ms.lock();
        if all.is_empty() {
            return format!("Consume TPS: {rate}, Avg delayedDuration: {mean}, Max delayedDuration: 0, ");
        }
        let at = |quantile: f64| all.value_at_quantile(quantile);
        format!(
            "Consume TPS: {rate}, Avg delayedDuration: {mean}, Max delayedDuration: {}, delayDuration %25: {}, %50: {}; %80: {}; \
             %90: {}; %99: {}; %99.9: {}",
            all.max(),
            at(0.25),
            at(0.5),
            at(0.8),
            at(0.9),
            at(0.99),
            at(0.999)
        )
    }
}

async fn receive(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let topic = super::topic(found);
    say!("namesrvAddr: {}, topic: {topic}", client.admin().name_servers().join(";"));
    let late = Arc::new(Late::new()?);
    let counted = late.clone();
    let handle = move |message: MessageView| {
        counted.count(&message);
        async { Ok(()) }
    };
    let consumer = client.consumer("benchmark_consumer").subscribe(topic, "*").start(handle).await?;
    say!("Start receiving messages");
    let line = |begin, end| late.line(begin, end);
    watch(INTERVAL, || late.seen(), line, until_signal(std::future::pending())).await;
    consumer.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_late_they_came() {
        let late = Late::new().unwrap();
        let begin = Seen { at: Instant::now(), received: 0, total_ms: 0 };
        assert!(late.line(begin, begin).ends_with("Avg delayedDuration:     NaN, Max delayedDuration: 0, "));
        (1..=100).for_each(|late_ms| late.all_ms.lock().saturating_record(late_ms));
        let end = Seen { at: begin.at + SECOND * 9, received: 18, total_ms: 36 };
        assert_eq!(
            late.line(begin, end),
            "Consume TPS: 2, Avg delayedDuration:   2.000, Max delayedDuration: 100, delayDuration %25: 25, %50: 50; %80: 80; \
             %90: 90; %99: 99; %99.9: 100"
        );
    }
}
