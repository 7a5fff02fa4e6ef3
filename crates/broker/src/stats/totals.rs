//! What was served, and how fast: totals since the start, rates over ten seconds, a minute and ten minutes, and totals at
//! midnight. Java: `store/StoreStatsService.java`, `broker/…/stats/BrokerStats.java`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Spans of the rates, in samples: ten seconds, a minute, ten minutes.
const SPANS: [usize; 3] = [1, 6, 60];

/// What was served since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) sends_failed: AtomicU64,
    pub(crate) pulls_found: AtomicU64,
    pub(crate) pulls_missed: AtomicU64,
    pub(crate) messages_out: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// The totals, with what the store has counted; what is of system topics stays to be filled in.
    pub(crate) fn totals(&self, messages_in: u64) -> Totals {
        Totals {
            messages_in,
            pulls_found: self.pulls_found.load(Ordering::Relaxed),
            pulls_missed: self.pulls_missed.load(Ordering::Relaxed),
            messages_out: self.messages_out.load(Ordering::Relaxed),
            ..Totals::default()
        }
    }
}

/// What was served up to some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) messages_in: u64,
    pub(crate) pulls_found: u64,
    pub(crate) pulls_missed: u64,
    pub(crate) messages_out: u64,
    /// Those of the broker's own topics, as far as a sample has counted them.
    pub(crate) system_messages_in: u64,
    /// Those of the broker's own topics, as far as a sample has counted them.
    pub(crate) system_messages_out: u64,
}

impl Totals {
    /// Messages that came, without those of the broker's own topics.
    pub(crate) fn user_messages_in(&self) -> u64 {
        self.messages_in.saturating_sub(self.system_messages_in)
    }

    /// Messages that went, without those of the broker's own topics.
    pub(crate) fn user_messages_out(&self) -> u64 {
        self.messages_out.saturating_sub(self.system_messages_out)
    }
}

/// Totals at moments of the past.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Past>);

#[derive(Debug, Default)]
struct Past {
    /// The newest last; one more than the longest span needs.
    samples: VecDeque<(i64, Totals)>,
    /// The day that the newest sample lies in, and the totals at its begin and at the begin of the day before.
    day: Option<jiff::civil::Date>,
    this_morning: Totals,
    yesterday_morning: Totals,
}

impl History {
    /// Notes the totals of now.
    pub(crate) fn note(&self, now_ms: i64, totals: Totals) {
        let day =
            jiff::Timestamp::from_millisecond(now_ms).ok().map(|now| now.to_zoned(jiff::tz::TimeZone::system()).date());
        let mut past = self.0.lock();
        if past.day.is_some() && past.day != day {
            past.yesterday_morning = past.this_morning;
            past.this_morning = totals;
        }
        past.day = day;
        past.samples.push_back((now_ms, totals));
        if past.samples.len() > SPANS[2] + 1 {
            past.samples.pop_front();
        }
    }

    /// The totals that were noted last.
    pub(crate) fn last(&self) -> Totals {
        self.0.lock().samples.back().map(|(_, totals)| *totals).unwrap_or_default()
    }

    /// How often a second over each of the three spans, as far as the samples reach back, in the original's form.
    pub(crate) fn rates(&self, of: impl Fn(&Totals) -> u64) -> String {
        let past = self.0.lock();
        let rate = |span: usize| {
            let (Some((end_ms, end)), Some((begin_ms, begin))) = (
                past.samples.back(),
                past.samples.len().checked_sub(1).and_then(|last| past.samples.get(last.saturating_sub(span))),
            ) else {
                return 0.0;
            };
            let seconds = (end_ms - begin_ms) as f64 / 1000.0;
            if seconds <= 0.0 { 0.0 } else { of(end).saturating_sub(of(begin)) as f64 / seconds }
        };
        SPANS.map(|span| format!("{:?}", rate(span))).join(" ")
    }

    /// The totals at the last midnight and at the one before, since the start of the broker.
    pub(crate) fn mornings(&self) -> (Totals, Totals) {
        let past = self.0.lock();
        (past.this_morning, past.yesterday_morning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn totals(messages_in: u64) -> Totals {
        Totals { messages_in, ..Totals::default() }
    }

    #[test]
    fn rates_are_those_of_the_last_samples() {
        let history = History::default();
        let rates = || history.rates(|totals| totals.messages_in);
        assert_eq!(rates(), "0.0 0.0 0.0");
        for sample in 0..100_i64 {
            // A hundred a second, and in the last ten seconds two hundred.
            let extra = if sample == 99 { 1000 } else { 0 };
            history.note(sample * 10_000, totals(sample as u64 * 1000 + extra));
        }
        let rates = rates();
        let rates: Vec<&str> = rates.split(' ').collect();
        assert_eq!(rates[0], "200.0");
        assert!(rates[1].starts_with("116.6") && rates[2].starts_with("101.6"), "{rates:?}");
    }

    #[test]
    fn a_day_begins_at_midnight() {
        let history = History::default();
        history.note(0, totals(5));
        assert_eq!(history.mornings(), (totals(0), totals(0)));
        history.note(DAY_MS, totals(7));
        assert_eq!(history.mornings(), (totals(7), totals(0)));
        history.note(DAY_MS + 1, totals(8));
        history.note(2 * DAY_MS, totals(9));
        assert_eq!(history.mornings(), (totals(9), totals(7)));
    }
}
