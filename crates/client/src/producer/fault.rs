//! Which brokers to stay away from for a while because they were slow or failed.
//!
//! Java: `latency/MQFaultStrategy.java`, `latency/LatencyFaultToleranceImpl.java`.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// From which latency on a broker is left alone, in milliseconds, and for how long. The last row that fits counts.
const PENALTIES_MS: [(u64, u64); 7] =
    [(50, 0), (100, 0), (550, 2000), (1800, 5000), (3000, 6000), (5000, 10_000), (15_000, 30_000)];

/// The latency that a failure counts as.
const FAILURE_LATENCY: Duration = Duration::from_secs(10);

/// How long a broker is left alone after it took so long.
fn penalty(latency: Duration) -> Duration {
    let latency_ms = latency.as_millis();
    let row = PENALTIES_MS.iter().rev().find(|(from_ms, _)| latency_ms >= u128::from(*from_ms));
    Duration::from_millis(row.map_or(0, |(_, penalty_ms)| *penalty_ms))
}

/// What is known of one broker.
#[derive(Clone, Copy, Debug)]
struct Item {
    available_from: Instant,
    /// Whether it can be reached; only the detector makes it so again before its time.
    is_reachable: bool,
    detect_at: Instant,
}

/// What became of a try, as far as it says something about the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It answered, whatever it said.
    Answered(Duration),
    /// It answered that it cannot serve.
    Refused,
    /// It could not be reached.
    Unreachable,
}

/// The brokers that were slow or failed. Bounded by the brokers of the cluster.
#[derive(Debug, Default)]
pub(super) struct Faults {
    items: Mutex<HashMap<String, Item>>,
    /// Whether brokers that cannot be reached are tried by a detector instead of by messages.
    detects: bool,
}

impl Faults {
    pub(super) fn new(detects: bool) -> Faults {
        Faults { items: Mutex::default(), detects }
    }

    /// Notes how a try went.
    pub(super) fn note(&self, broker: &str, seen: Seen, now: Instant) {
        let (latency, is_reachable) = match seen {
            Seen::Answered(latency) => (latency, true),
            Seen::Refused => (FAILURE_LATENCY, true),
            Seen::Unreachable => (FAILURE_LATENCY, !self.detects),
        };
        let mut items = self.items.lock();
        // A broker that always was quick needs no entry.
        if !items.contains_key(broker) && is_reachable && penalty(latency).is_zero() {
            return;
        }
        let item = Item { available_from: now + penalty(latency), is_reachable, detect_at: now };
        items.insert(broker.to_owned(), item);
    }

    /// Whether messages may go to a broker: 2 when it is available, 1 when it can be reached at least.
    pub(super) fn rank(&self, broker: &str, now: Instant) -> u8 {
        match self.items.lock().get(broker) {
            None => 2,
            Some(item) if !item.is_reachable => 0,
            Some(item) => 1 + u8::from(item.available_from <= now),
        }
    }

    /// The brokers that the detector has to look at now; they are due again after `interval`.
    pub(super) fn due(&self, interval: Duration, now: Instant) -> Vec<String> {
        let mut items = self.items.lock();
        let due = items.iter_mut().filter(|(_, item)| !item.is_reachable && item.detect_at <= now);
        due.map(|(broker, item)| {
            item.detect_at = now + interval;
            broker.clone()
        })
        .collect()
    }

    /// The detector got an answer.
    pub(super) fn reached(&self, broker: &str, now: Instant) {
        if let Some(item) = self.items.lock().get_mut(broker) {
            (item.is_reachable, item.available_from) = (true, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_javas() {
        let ms = Duration::from_millis;
        for (latency, expected) in [
            (0, 0),
            (49, 0),
            (50, 0),
            (549, 0),
            (550, 2000),
            (1799, 2000),
            (1800, 5000),
            (3000, 6000),
            (5000, 10_000),
            (10_000, 10_000),
            (15_000, 30_000),
        ] {
            assert_eq!(penalty(ms(latency)), ms(expected), "{latency}");
        }
    }

    #[test]
    fn a_slow_broker_is_left_alone_for_its_time() {
        let (faults, now) = (Faults::default(), Instant::now());
        faults.note("quick", Seen::Answered(Duration::from_millis(5)), now);
        assert_eq!(faults.rank("quick", now), 2);
        faults.note("slow", Seen::Answered(Duration::from_millis(600)), now);
        assert_eq!(faults.rank("slow", now + Duration::from_millis(1999)), 1);
        assert_eq!(faults.rank("slow", now + Duration::from_secs(2)), 2);
        for failure in [Seen::Unreachable, Seen::Refused] {
            faults.note("slow", failure, now);
            assert_eq!(faults.rank("slow", now + Duration::from_millis(9_999)), 1);
            assert_eq!(faults.rank("slow", now + Duration::from_secs(10)), 2);
        }
        faults.note("slow", Seen::Answered(Duration::from_millis(5)), now);
        assert_eq!(faults.rank("slow", now), 2);
    }

    #[test]
    fn with_a_detector_an_unreachable_broker_waits_for_its_answer() {
        let (faults, now) = (Faults::new(true), Instant::now());
        faults.note("gone", Seen::Unreachable, now);
        let (interval, later) = (Duration::from_secs(2), now + Duration::from_secs(60));
        assert_eq!(faults.rank("gone", later), 0);
        assert_eq!(faults.due(interval, later), ["gone"]);
        assert!(faults.due(interval, later).is_empty());
        assert_eq!(faults.due(interval, later + interval), ["gone"]);
        faults.reached("gone", later);
        assert_eq!(faults.rank("gone", later), 2);
    }
}
