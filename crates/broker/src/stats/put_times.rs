//! How long appends took, message by message: the distribution and the percentiles of the last minute.
//! Java: `store/StoreStatsService.java`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper ends of the printed ranges, in ms, with the words that the original prints.
const RANGES: [(u64, &str); 13] = [
    (0, "[<=0ms]"),
    (10, "[0~10ms]"),
    (50, "[10~50ms]"),
    (100, "[50~100ms]"),
    (200, "[100~200ms]"),
    (500, "[200~500ms]"),
    (1000, "[500ms~1s]"),
    (2000, "[1~2s]"),
    (3000, "[2~3s]"),
    (4000, "[3~4s]"),
    (5000, "[4~5s]"),
    (10_000, "[5~10s]"),
    (u64::MAX, "[10s~]"),
];

/// Width in ms and number of the steps in which percentiles are found; what lies behind the last is one step more.
const STEPS: [(u64, usize); 7] = [(1, 20), (2, 15), (5, 10), (10, 10), (50, 6), (100, 5), (1000, 9)];
const STEP_COUNT: usize = 20 + 15 + 10 + 10 + 6 + 5 + 9 + 1;

/// How often the counts are put aside and begin anew: ticks of the statistics.
const MINUTE_TICKS: u64 = 6;

/// Counts messages by the time that their append took.
#[derive(Debug)]
pub(crate) struct PutTimes {
    now: Counts<AtomicU64>,
    last_minute: Mutex<Counts<u64>>,
    /// The longest since the start.
    max_ms: AtomicU64,
}

#[derive(Debug)]
struct Counts<T> {
    ranges: [T; RANGES.len()],
    steps: [T; STEP_COUNT],
}

impl Default for PutTimes {
    fn default() -> PutTimes {
        let zero = || AtomicU64::new(0);
        PutTimes {
            now: Counts { ranges: std::array::from_fn(|_| zero()), steps: std::array::from_fn(|_| zero()) },
            last_minute: Mutex::new(Counts { ranges: [0; RANGES.len()], steps: [0; STEP_COUNT] }),
            max_ms: zero(),
        }
    }
}

/// Upper end in ms of each step.
fn step_ends() -> impl Iterator<Item = u64> {
    let mut end = 0;
    let steps = STEPS.into_iter().flat_map(|(width, count)| std::iter::repeat_n(width, count));
    steps.map(move |width| {
        end += width;
        end
    })
}

impl PutTimes {
    /// So many messages were appended in that time.
    pub(crate) fn note(&self, messages: usize, took: Duration) {
        let (ms, messages) = (u64::try_from(took.as_millis()).unwrap_or(u64::MAX), messages as u64);
        let range = RANGES.iter().position(|(end, _)| ms <= *end).unwrap_or(RANGES.len() - 1);
        // Nearly every append takes less than a millisecond: the first step.
        let step = step_ends().position(|end| ms <= end).unwrap_or(STEP_COUNT - 1);
        self.now.ranges[range].fetch_add(messages, Ordering::Relaxed);
        self.now.steps[step].fetch_add(messages, Ordering::Relaxed);
        if ms > self.max_ms.load(Ordering::Relaxed) {
            self.max_ms.fetch_max(ms, Ordering::Relaxed);
        }
    }

    /// A tick of the statistics: each minute the counts begin anew.
    pub(crate) fn tick(&self, tick: u64) {
        if tick.is_multiple_of(MINUTE_TICKS) {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
            *self.last_minute.lock() =
                Counts { ranges: self.now.ranges.each_ref().map(take), steps: self.now.steps.each_ref().map(take) };
        }
    }

    /// The longest append since the start, in ms.
    pub(crate) fn max_ms(&self) -> u64 {
        self.max_ms.load(Ordering::Relaxed)
    }

    /// Messages of the last whole minute by range, as the original prints it.
    pub(crate) fn distribution(&self) -> String {
        let counts = self.last_minute.lock().ranges;
        RANGES.iter().zip(counts).map(|((_, words), count)| format!("{words}:{count} ")).collect()
    }

    /// The time in ms that `share` of the messages of the last whole minute did not exceed, between two steps by
    /// proportion.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let counts = self.last_minute.lock().steps;
        let wanted = (counts.iter().sum::<u64>() as f64 * share) as u64;
        let mut passed = 0;
        let mut start = 0;
        for (end, count) in step_ends().zip(counts) {
            if wanted <= passed + count {
                let part = if count == 0 { 0.0 } else { (wanted - passed) as f64 / count as f64 };
                return start as f64 + (end - start) as f64 * part;
            }
            (passed, start) = (passed + count, end);
        }
        start as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_shown_when_it_is_over() {
        let times = PutTimes::default();
        times.note(90, Duration::from_micros(300));
        times.note(10, Duration::from_millis(70));
        assert_eq!(times.percentile(0.99), 0.0);
        times.tick(5);
        assert!(times.distribution().starts_with("[<=0ms]:0 "));
        times.tick(6);
        let words = times.distribution();
        assert!(words.starts_with("[<=0ms]:90 [0~10ms]:0 [10~50ms]:0 [50~100ms]:10 "), "{words}");
        assert!(words.ends_with("[10s~]:0 "), "{words}");
        assert!((times.percentile(0.99) - 69.5).abs() < 1.0, "{}", times.percentile(0.99));
        assert_eq!((times.percentile(0.9), times.max_ms()), (1.0, 70));
        times.tick(12);
        assert_eq!((times.percentile(0.99), times.max_ms()), (0.0, 70));
    }

    #[test]
    fn steps_and_their_number_agree() {
        assert_eq!(step_ends().count() + 1, STEP_COUNT);
        let times = PutTimes::default();
        times.note(1, Duration::from_secs(1000));
        times.tick(6);
        assert_eq!(times.percentile(0.99), 0.0, "one message: the smallest index");
    }
}
