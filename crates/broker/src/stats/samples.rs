//! The samples of all statistics, laid out so that a broker with half a million of them stays small and goes over them in
//! milliseconds: by topic, and under it one after another by queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::series::{Count, Series};
use super::{ALL_QUEUES, Subject, count_of_puts, count_of_reads};
use crate::broker::Broker;

/// The samples of all statistics.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Ticks since the start.
    pub(super) tick: u64,
    /// By topic.
    puts: HashMap<Arc<str>, OfQueues>,
    /// By topic, then by group in their order.
    gets: HashMap<Box<str>, Vec<(Box<str>, OfQueues)>>,
    /// By topic and group.
    send_backs: HashMap<(Arc<str>, Arc<str>), Series>,
    broker_puts: OfBroker,
    broker_gets: OfBroker,
}

/// A statistic of a topic, and the same of each of its queues.
#[derive(Debug, Default)]
struct OfQueues {
    all: Series,
    /// By queue id.
    queues: Vec<(i32, Series)>,
}

/// A statistic of the whole broker, with and without its own topics.
#[derive(Debug, Default)]
struct OfBroker {
    all: Series,
    without_system: Series,
}

/// Sums of a walk over everything.
#[derive(Debug, Default)]
struct Sums {
    all: Count,
    without_system: Count,
}

impl Sums {
    /// Messages of the broker's own topics.
    fn of_system(&self) -> u64 {
        self.all.messages.saturating_sub(self.without_system.messages)
    }

    fn add(&mut self, count: Count, is_system: bool) {
        self.all += count;
        if !is_system {
            self.without_system += count;
        }
    }
}

impl OfQueues {
    /// Takes the counts of the queues of which anything is counted, by id; returns their sum. Queues that are missing are
    /// forgotten.
    fn take(&mut self, tick: u64, counts: &[(i32, Count)]) -> Count {
        let mut sum = Count::default();
        let mut at = 0;
        for (queue_id, count) in counts {
            while self.queues.get(at).is_some_and(|(known, _)| known < queue_id) {
                at += 1;
            }
            if self.queues.get(at).is_none_or(|(known, _)| known != queue_id) {
                self.queues.reserve_exact(counts.len().saturating_sub(self.queues.len()));
                self.queues.insert(at, (*queue_id, Series::default()));
            }
            self.queues[at].1.take(tick, *count);
            sum += *count;
        }
        self.queues.retain(|(_, series)| series.is_seen_at(tick));
        self.all.take(tick, sum);
        sum
    }

    fn get(&self, queue_id: i32) -> Option<&Series> {
        if queue_id == ALL_QUEUES {
            return Some(&self.all);
        }
        let found = self.queues.binary_search_by_key(&queue_id, |(known, _)| *known).ok()?;
        Some(&self.queues[found].1)
    }
}

impl OfBroker {
    fn take(&mut self, tick: u64, sums: &Sums) {
        for (series, count) in [(&mut self.all, sums.all), (&mut self.without_system, sums.without_system)] {
            if count.times > 0 || series.has_begun() {
                series.take(tick, count);
            }
        }
    }

    fn get(&self, with_system: bool) -> Option<&Series> {
        Some(if with_system { &self.all } else { &self.without_system }).filter(|series| series.has_begun())
    }
}

impl Samples {
    pub(super) fn get(&self, subject: &Subject) -> Option<&Series> {
        match subject {
            Subject::Put { topic, queue_id } => self.puts.get(topic)?.get(*queue_id),
            Subject::Get { topic, group, queue_id } => {
                let groups = self.gets.get(&**topic)?;
                let found = groups.binary_search_by_key(&&**group, |(group, _)| &**group).ok()?;
                groups[found].1.get(*queue_id)
            }
            Subject::SendBack { topic, group } => self.send_backs.get(&(topic.clone(), group.clone())),
            Subject::Broker { is_put: true, with_system } => self.broker_puts.get(*with_system),
            Subject::Broker { is_put: false, with_system } => self.broker_gets.get(*with_system),
        }
    }

    /// Takes the next samples; returns how many messages of the broker's own topics came and went since the start.
    pub(super) fn take(&mut self, broker: &Broker) -> (u64, u64) {
        self.tick += 1;
        let came = self.take_puts(broker);
        let went = self.take_gets(broker);
        self.take_send_backs(broker);
        self.broker_puts.take(self.tick, &came);
        self.broker_gets.take(self.tick, &went);
        (came.of_system(), went.of_system())
    }

    fn take_puts(&mut self, broker: &Broker) -> Sums {
        let (tick, mut sums, mut counts) = (self.tick, Sums::default(), Vec::new());
        for queues in broker.store.queues().chunk_by(|one, other| one.topic == other.topic) {
            let counted = queues.iter().map(|queue| (queue.queue_id, count_of_puts(&queue.puts)));
            counts.clear();
            counts.extend(counted.filter(|(_, count)| count.times > 0));
            if counts.is_empty() {
                continue;
            }
            let topic = &queues[0].topic;
            let of_topic = match self.puts.get_mut(topic) {
                Some(of_topic) => of_topic,
                None => self.puts.entry(topic.clone()).or_default(),
            };
            sums.add(of_topic.take(tick, &counts), broker.topics.system.contains(topic));
        }
        self.puts.retain(|_, of_topic| of_topic.all.is_seen_at(tick));
        sums
    }

    fn take_gets(&mut self, broker: &Broker) -> Sums {
        let (tick, mut sums, mut counts) = (self.tick, Sums::default(), Vec::new());
        broker.offsets.for_each_pair(|group, topic, queues| {
            let counted = queues.iter().map(|(queue_id, progress)| (*queue_id, count_of_reads(&progress.reads)));
            counts.clear();
            counts.extend(counted.filter(|(_, count)| count.times > 0));
            if counts.is_empty() {
                return;
            }
            let groups = match self.gets.get_mut(topic) {
                Some(groups) => groups,
                None => self.gets.entry(topic.into()).or_default(),
            };
            let at = groups.binary_search_by_key(&group, |(group, _)| &**group).unwrap_or_else(|at| {
                groups.reserve_exact(1);
                groups.insert(at, (group.into(), OfQueues::default()));
                at
            });
            sums.add(groups[at].1.take(tick, &counts), broker.topics.system.contains(topic));
        });
        self.gets.retain(|_, groups| {
            groups.retain(|(_, of_group)| of_group.all.is_seen_at(tick));
            !groups.is_empty()
        });
        sums
    }

    fn take_send_backs(&mut self, broker: &Broker) {
        let tick = self.tick;
        for (key, given_back) in &broker.stats.send_backs.pin() {
            let messages = given_back.load(Ordering::Relaxed);
            let count = Count { times: messages, messages, ..Count::default() };
            match self.send_backs.get_mut(key) {
                Some(series) => series.take(tick, count),
                None => self.send_backs.entry(key.clone()).or_default().take(tick, count),
            }
        }
        self.send_backs.retain(|_, series| series.is_seen_at(tick));
    }
}
