//! One statistic over the last minute, hour and day, from samples that a clock of ticks takes.
//! Java: `common/stats/StatsItem.java`.

use raptormq_protocol::body::BrokerStatsItem;
use smallvec::SmallVec;

/// Seconds between two ticks.
pub(crate) const TICK_SECONDS: u64 = 10;

/// A span of a statistic: how many ticks lie between two of its samples, and how many such steps it reaches back.
#[derive(Clone, Copy, Debug)]
struct Span {
    ticks_per_sample: u64,
    steps: u64,
}

/// Every ten seconds, ten minutes and hour a sample.
const SPANS: [Span; 3] = [
    Span { ticks_per_sample: 1, steps: 6 },
    Span { ticks_per_sample: 60, steps: 6 },
    Span { ticks_per_sample: 360, steps: 24 },
];

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Sends, or answers with messages.
    pub(crate) times: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Whole milliseconds that they took.
    pub(crate) latency_ms: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.times += other.times;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.latency_ms += other.latency_ms;
    }
}

/// The number of a [`Count`] that a statistic is about.
pub(crate) type Of = fn(&Count) -> u64;

/// A tick and what had happened by then.
#[derive(Clone, Copy, Debug)]
struct Change {
    tick: u64,
    count: Count,
}

/// One statistic: the ticks at which there was more than before, as far back as a span needs them. What rests takes the
/// room of one, and there may be half a million statistics.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Oldest first; allocated for as many as there are, as long as they are few.
    changes: Vec<Change>,
    /// The first tick, 0 before there is one; then there was nothing.
    first: u32,
    /// The last tick at which there was something to sample.
    seen: u32,
}

impl Series {
    /// Takes the count of a tick, from 1 on; ticks only grow.
    pub(crate) fn take(&mut self, tick: u64, count: Count) {
        // Ten seconds each: enough for a thousand years.
        self.seen = u32::try_from(tick).unwrap_or(u32::MAX);
        if self.first == 0 {
            self.first = self.seen;
        }
        if self.last() != count {
            self.thin(tick);
            if self.changes.len() < 4 {
                self.changes.reserve_exact(1);
            }
            self.changes.push(Change { tick, count });
        } else if self.changes.len() > 1 && self.changes[1].tick <= oldest_needed(tick) {
            self.thin(tick);
        }
    }

    /// Whether it took something at that tick.
    pub(crate) fn is_seen_at(&self, tick: u64) -> bool {
        u64::from(self.seen) == tick
    }

    /// Whether it ever took something.
    pub(crate) fn has_begun(&self) -> bool {
        self.first > 0
    }

    fn last(&self) -> Count {
        self.changes.last().map_or_else(Count::default, |change| change.count)
    }

    /// What had happened at a tick.
    fn at(&self, tick: u64) -> Count {
        let count = self.changes.partition_point(|change| change.tick <= tick);
        count.checked_sub(1).map_or_else(Count::default, |last| self.changes[last].count)
    }

    /// Drops changes that no span looks at any more: between which and the next one lies no sample.
    fn thin(&mut self, now: u64) {
        let mut behind =
            self.changes.iter().map(|change| change.tick).skip(1).collect::<SmallVec<[u64; 48]>>().into_iter();
        self.changes.retain(|change| {
            let Some(next) = behind.next() else { return true };
            SPANS.iter().any(|span| {
                // The last sample before the next change.
                let sample = (next - 1) / span.ticks_per_sample;
                let oldest = (now / span.ticks_per_sample).saturating_sub(span.steps);
                sample * span.ticks_per_sample >= change.tick && sample >= oldest
            })
        });
    }

    /// Minute, hour and day.
    pub(crate) fn view(&self, of: Of) -> [BrokerStatsItem; 3] {
        SPANS.map(|span| self.view_span(span, of))
    }

    /// What lies between the newest sample of a span and the one `steps` before, or the one before the first.
    fn view_span(&self, span: Span, of: Of) -> BrokerStatsItem {
        let newest = u64::from(self.seen) / span.ticks_per_sample;
        let first = u64::from(self.first).div_ceil(span.ticks_per_sample);
        if self.first == 0 || newest < first {
            return BrokerStatsItem::default();
        }
        let begin = newest.saturating_sub(span.steps).max(first - 1);
        let (end, before) = (self.at(newest * span.ticks_per_sample), self.at(begin * span.ticks_per_sample));
        let seconds = ((newest - begin) * span.ticks_per_sample * TICK_SECONDS) as f64;
        let sum = of(&end).saturating_sub(of(&before));
        let times = end.times.saturating_sub(before.times);
        let ratio = |part: u64, whole: f64| if whole > 0.0 { part as f64 / whole } else { 0.0 };
        BrokerStatsItem {
            sum: i64::try_from(sum).unwrap_or(i64::MAX),
            tps: ratio(sum, seconds),
            avgpt: ratio(sum, times as f64),
        }
    }
}

/// The oldest tick that a span looks at from now on.
fn oldest_needed(now: u64) -> u64 {
    let oldest = SPANS.map(|span| (now / span.ticks_per_sample).saturating_sub(span.steps) * span.ticks_per_sample);
    oldest.into_iter().min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(messages: u64) -> Count {
        Count { times: messages / 2, messages, bytes: messages * 10, latency_ms: 0 }
    }

    fn messages(series: &Series) -> [(i64, f64); 3] {
        series.view(|count| count.messages).map(|view| (view.sum, view.tps))
    }

    #[test]
    fn a_minute_is_what_came_between_seven_samples() {
        let mut series = Series::default();
        assert_eq!(messages(&series), [(0, 0.0); 3]);
        series.take(1, count(20));
        assert_eq!(messages(&series)[0], (20, 2.0), "ten seconds before there was nothing");
        for tick in 2..=9 {
            series.take(tick, count(20 * tick));
        }
        assert_eq!(messages(&series)[0], (120, 2.0));
        assert_eq!(series.view(|count| count.bytes)[0].avgpt, 20.0, "bytes of one send");
        for tick in 10..=15 {
            series.take(tick, count(180));
        }
        assert_eq!(messages(&series)[0], (0, 0.0));
        for tick in 16..=360 * 30 {
            series.take(tick, count(180));
        }
        assert_eq!(messages(&series), [(0, 0.0); 3]);
        assert_eq!(series.changes.len(), 1, "what rests takes no room");
    }

    #[test]
    fn hours_and_days_have_samples_of_their_own() {
        let mut series = Series::default();
        for tick in 1..=360 * 30 {
            series.take(tick, count(tick));
        }
        let [minute, hour, day] = messages(&series);
        assert_eq!((minute.0, hour.0, day.0), (6, 360, 360 * 24));
        for rate in [minute.1, hour.1, day.1] {
            assert!((rate - 0.1).abs() < 1e-9);
        }
        assert!(series.changes.len() <= 7 + 7 + 25, "{}", series.changes.len());
    }

    #[test]
    fn what_is_kept_tells_the_same_as_everything() {
        // Changes far apart and close together, and pauses of hours.
        let (mut series, mut all, mut number) = (Series::default(), Series::default(), 0_u64);
        for tick in 1..20_000_u64 {
            let rests = tick % 2_500 > 1_700;
            number += u64::from(!rests && tick * tick % 7 < 3);
            series.take(tick, count(number));
            // One that never drops anything.
            all.seen = tick as u32;
            all.first = 1;
            if all.last() != count(number) {
                all.changes.push(Change { tick, count: count(number) });
            }
            assert_eq!(messages(&series), messages(&all), "{tick}");
        }
    }
}
