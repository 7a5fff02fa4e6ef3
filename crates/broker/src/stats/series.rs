//! One statistic over the last minute, hour and day, from samples that a clock of ticks takes.
//! Java: `common/stats/StatsItem.java`.

use std::collections::VecDeque;

use raptormq_protocol::body::BrokerStatsItem;

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

/// The samples of one span. Those that repeat the one before are left out, so that what rests takes no room.
#[derive(Debug, Default)]
struct Samples {
    /// Number of the first sample that was taken.
    first: u64,
    /// Number and count, the newest last; at least one more than the span needs.
    kept: VecDeque<(u64, Count)>,
    /// Number of the newest sample, kept or left out.
    newest: u64,
}

impl Samples {
    /// Takes the sample of that number. Before the first one there was nothing.
    fn take(&mut self, number: u64, count: Count, steps: u64) {
        if self.kept.is_empty() {
            self.first = number.saturating_sub(1);
            self.kept.push_back((self.first, Count::default()));
        }
        self.newest = number;
        if self.kept.back().is_some_and(|(_, last)| *last != count) {
            self.kept.push_back((number, count));
        }
        let begin = number.saturating_sub(steps);
        while self.kept.get(1).is_some_and(|(number, _)| *number <= begin) {
            self.kept.pop_front();
        }
    }

    /// What lies between the newest sample and the one `steps` before, or the first one.
    fn view(&self, span: Span, of: Of) -> BrokerStatsItem {
        let begin = self.newest.saturating_sub(span.steps).max(self.first);
        let before = self.kept.iter().rev().find(|(number, _)| *number <= begin);
        let (Some((_, end)), Some((_, before))) = (self.kept.back(), before) else { return BrokerStatsItem::default() };
        let seconds = ((self.newest - begin) * span.ticks_per_sample * TICK_SECONDS) as f64;
        let sum = of(end).saturating_sub(of(before));
        let times = end.times.saturating_sub(before.times);
        let ratio = |part: u64, whole: f64| if whole > 0.0 { part as f64 / whole } else { 0.0 };
        BrokerStatsItem {
            sum: i64::try_from(sum).unwrap_or(i64::MAX),
            tps: ratio(sum, seconds),
            avgpt: ratio(sum, times as f64),
        }
    }
}

/// One statistic.
#[derive(Debug, Default)]
pub(crate) struct Series {
    spans: [Samples; 3],
    /// The last tick at which there was something to sample.
    pub(crate) seen: u64,
}

impl Series {
    /// Takes the samples that the tick is for.
    pub(crate) fn take(&mut self, tick: u64, count: Count) {
        self.seen = tick;
        for (samples, span) in self.spans.iter_mut().zip(SPANS) {
            if tick.is_multiple_of(span.ticks_per_sample) {
                samples.take(tick / span.ticks_per_sample, count, span.steps);
            }
        }
    }

    /// Minute, hour and day.
    pub(crate) fn view(&self, of: Of) -> [BrokerStatsItem; 3] {
        let mut views = [BrokerStatsItem::default(); 3];
        for ((view, samples), span) in views.iter_mut().zip(&self.spans).zip(SPANS) {
            *view = samples.view(span, of);
        }
        views
    }
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
        assert_eq!(series.spans[0].kept.len(), 1, "what rests takes no room");
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
        let kept = series.spans.each_ref().map(|samples| samples.kept.len());
        assert_eq!(kept, [7, 7, 25]);
    }
}
