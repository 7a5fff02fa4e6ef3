//! The producer of transactions.
//!
//! Each message tells how its transaction ends, and the answers to the broker's questions for it, so that a question that
//! should not have come is noticed.

use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use parking_lot::Mutex;
use raptormq_client::{Client, Message, MessageView, TransactionProducer, TransactionState};

use super::{COMMON, Counters, FAILURE_PAUSE, Found, Random, Row, Snapshot, client, now, read, until_signal, watch};
use crate::argv::Invocation;
use crate::tool::classes::run_with;

const OPTIONS: &[Row] = &[
    ("w", "threadCount", "Thread count, Default: 32"),
    ("s", "messageSize", "Message Size, Default: 2048"),
    ("sr", "send rollback rate", "Send rollback rate, Default: 0.0"),
    ("su", "send unknown rate", "Send unknown rate, Default: 0.0"),
    ("cr", "check rollback rate", "Check rollback rate, Default: 0.0"),
    ("cu", "check unknown rate", "Check unknown rate, Default: 0.0"),
    ("b", "test batch id", "test batch id, Default: System.currentMillis()"),
    ("i", "send interval", "sleep interval in millis between messages, Default: 0"),
];

/// `benchmark.TransactionProducer`.
pub(super) fn run(invocation: Invocation) -> ExitCode {
    match read(&invocation, "TransactionProducer", &[COMMON, OPTIONS]) {
        Ok(found) => run_with(&invocation, client(&found, &invocation), async |client| produce(&client, &found).await),
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

async fn produce(client: &Client, found: &Found) -> anyhow::Result<ExitCode> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64;
    let rates = Rates {
        batch_id: found.number("b", now_ms)?,
        size: found.number::<usize>("s", 2048)?.max(RESULT_AT + 1 + CHECK_RESULTS),
        send: [found.number("sr", 0.0)?, found.number("su", 0.0)?],
        check: [found.number("cr", 0.0)?, found.number("cu", 0.0)?],
    };
    let (threads, pause_ms): (usize, u64) = (found.number("w", 32)?, found.number("i", 0)?);
    let (topic, interval) = (super::topic(found), super::report_interval(found)?);
    let counters = Arc::new(Counters::default());
    let checks = Arc::new(CheckLog { counters: counters.clone(), batch_id: rates.batch_id, seen: Mutex::default() });
    let builder = client.producer("benchmark_transaction_producer").accept_weak_ack().default_topic_queues(1000);
    let builder = if found.is_true("m") { builder.trace() } else { builder };
    let producer = builder
        .start_transactional(move |message| {
            let state = checks.check(&message);
            async move { state }
        })
        .await?;
    let next = AtomicU64::new(now_ms << 32);
    let one = || transaction_loop(&producer, &topic, &rates, (&counters, &next, pause_ms));
    let sending = async { drop(join_all((0..threads).map(|_| one())).await) };
    let line = |begin: Snapshot, end: Snapshot| {
        let since = |of: fn(&Snapshot) -> u64| of(&end) - of(&begin);
        format!(
            "Current Time: {} | Send TPS: {:5} | Max RT(ms): {:5} | AVG RT(ms): {:3.1} | Send Failed: {} | Check: {} | \
             UnexpectedCheck: {} | DuplicatedCheck: {}",
            now(),
            end.rate(&begin, |snapshot| snapshot.requests),
            counters.max_ms.swap(0, Ordering::Relaxed),
            end.average_ms(&begin, |snapshot| snapshot.requests),
            since(|snapshot| snapshot.failed + snapshot.response_failed),
            since(|snapshot| snapshot.checks[0]),
            since(|snapshot| snapshot.checks[1]),
            since(|snapshot| snapshot.checks[2])
        )
    };
    watch(interval, || counters.snapshot(), line, until_signal(sending)).await;
    producer.shutdown().await;
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
    seen: Mutex<(HashMap<u64, u32>, VecDeque<u64>)>,
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
        self.counters.checks[0].fetch_add(1, Ordering::Relaxed);
        let times = times.clamp(1, CHECK_RESULTS);
        if self.is_double(id, times) {
            self.counters.checks[2].fetch_add(1, Ordering::Relaxed);
        }
        let sent = state_of(body[RESULT_AT]);
        let before = body[RESULT_AT + 1..RESULT_AT + times].iter().map(|ordinal| state_of(*ordinal));
        let settled = std::iter::once(sent).chain(before).find(|state| *state != TransactionState::Unknown);
        if let Some(state) = settled {
            self.counters.checks[1].fetch_add(1, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_the_answers_to_its_questions() {
        let rates = Rates { batch_id: 7, size: 100, send: [0.0, 1.0], check: [1.0, 0.0] };
        let body = rates.body(&mut Random::new(), 9);
        assert_eq!((body.len(), body[RESULT_AT], body[RESULT_AT + 1]), (100, 2, 1));
        assert_eq!(state_of(body[RESULT_AT + 1]), TransactionState::Rollback);
    }
}
