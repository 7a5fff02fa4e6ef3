//! How fast a consumer consumes, by topic: what it tells when somebody asks for its running info.
//!
//! Java: `client/stat/ConsumerStatsManager.java`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::body::ConsumeStatus;
use tokio::time::Instant;

/// How often the counts are remembered.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Over which time rates are computed.
const RATE_SAMPLES: usize = 6;
/// Over which time failures are counted: an hour.
const SAMPLES_MAX: usize = 360;

/// What was counted of one topic since the start.
#[derive(Default)]
pub(super) struct Counters {
    pulls: AtomicU64,
    pull_millis: AtomicU64,
    pulled: AtomicU64,
    handled: AtomicU64,
    handled_millis: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    /// Counts a pull that brought messages.
    pub(super) fn pulled(&self, messages: usize, took: Duration) {
        self.pulls.fetch_add(1, Ordering::Relaxed);
        self.pull_millis.fetch_add(took.as_millis() as u64, Ordering::Relaxed);
        self.pulled.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Counts a call of the handler.
    pub(super) fn handled(&self, done: usize, failed: usize, took: Duration) {
        self.handled.fetch_add(done as u64, Ordering::Relaxed);
        self.failed.fetch_add(failed as u64, Ordering::Relaxed);
        self.handled_millis.fetch_add(took.as_millis() as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            pulls: read(&self.pulls),
            pull_millis: read(&self.pull_millis),
            pulled: read(&self.pulled),
            handled: read(&self.handled),
            handled_millis: read(&self.handled_millis),
            failed: read(&self.failed),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    pulls: u64,
    pull_millis: u64,
    pulled: u64,
    handled: u64,
    handled_millis: u64,
    failed: u64,
}

/// The counters of all topics, and what they were in the last hour. Bounded by the topics subscribed to.
#[derive(Default)]
pub(super) struct Rates {
    topics: Mutex<BTreeMap<String, Topic>>,
}

#[derive(Default)]
struct Topic {
    counters: Arc<Counters>,
    samples: VecDeque<(Instant, Counts)>,
}

impl Rates {
    /// The counters of a topic.
    pub(super) fn counters(&self, topic: &str) -> Arc<Counters> {
        let mut topics = self.topics.lock();
        if let Some(known) = topics.get(topic) {
            return known.counters.clone();
        }
        let first = Topic { samples: [(Instant::now(), Counts::default())].into(), ..Topic::default() };
        topics.entry(topic.to_owned()).or_insert(first).counters.clone()
    }

    /// Remembers the counts, if it is time to.
    pub(super) fn sample(&self, now: Instant) {
        for topic in self.topics.lock().values_mut() {
            if topic.samples.back().is_none_or(|(last, _)| now.duration_since(*last) >= SAMPLE_INTERVAL) {
                topic.samples.push_back((now, topic.counters.read()));
            }
            if topic.samples.len() > SAMPLES_MAX {
                topic.samples.pop_front();
            }
        }
    }

    /// The rates of each topic over the last minute, and the failures of the last hour.
    pub(super) fn status(&self, now: Instant) -> BTreeMap<String, ConsumeStatus> {
        let topics = self.topics.lock();
        topics.iter().map(|(name, topic)| (name.clone(), topic.status(now))).collect()
    }
}

impl Topic {
    fn status(&self, now: Instant) -> ConsumeStatus {
        let counts = self.counters.read();
        let from = self.samples.len().saturating_sub(RATE_SAMPLES);
        let (since, before) = self.samples.get(from).copied().unwrap_or((now, Counts::default()));
        let seconds = now.duration_since(since).as_secs_f64().max(1.0);
        let rate = |after: u64, before: u64| (after - before) as f64 / seconds;
        let mean = |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        let hour_ago = self.samples.front().map_or(0, |(_, counts)| counts.failed);
        let handled = (counts.handled + counts.failed) - (before.handled + before.failed);
        ConsumeStatus {
            consume_failed_msgs: (counts.failed - hour_ago) as i64,
            consume_failed_tps: rate(counts.failed, before.failed),
            consume_ok_tps: rate(counts.handled, before.handled),
            consume_rt: mean(counts.handled_millis - before.handled_millis, handled),
            pull_rt: mean(counts.pull_millis - before.pull_millis, counts.pulls - before.pulls),
            pull_tps: rate(counts.pulled, before.pulled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let rates = Rates::default();
        let counters = rates.counters("T");
        let begin = rates.topics.lock()["T"].samples[0].0;
        counters.pulled(32, Duration::from_millis(8));
        counters.handled(30, 2, Duration::from_millis(64));
        let status = rates.status(begin + Duration::from_secs(2))["T"];
        assert_eq!((status.pull_tps, status.pull_rt, status.consume_ok_tps), (16.0, 8.0, 15.0));
        assert_eq!((status.consume_rt, status.consume_failed_tps, status.consume_failed_msgs), (2.0, 1.0, 2));
        for tick in 1..=30 {
            rates.sample(begin + SAMPLE_INTERVAL * tick);
        }
        let status = rates.status(begin + SAMPLE_INTERVAL * 30)["T"];
        assert_eq!((status.pull_tps, status.consume_ok_tps, status.consume_failed_msgs), (0.0, 0.0, 2));
    }
}
