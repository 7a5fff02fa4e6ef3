//! What was served, and how fast.
//!
//! The hot path only adds to counters that lie where it is anyway: those of a queue under the lock of the append, those
//! of a group's progress in a queue, which one connection at a time uses, and a few of the whole broker ([`totals`]).
//! Every ten seconds the housekeeping thread walks over them and takes samples ([`series`]), from which minute, hour and
//! day come when somebody asks. [`put_times`] says how long appends took.
//! Java: `store/stats/BrokerStatsManager.java`.

mod put_times;
mod samples;
mod series;
mod totals;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use raptormq_protocol::body::{BrokerStatsData, BrokerStatsItem};
use raptormq_store::{Puts, Queue};

use crate::broker::Broker;
use crate::offsets::Reads;

pub(crate) use put_times::PutTimes;
use samples::Samples;
use series::{Count, Of};
pub(crate) use totals::{Counters, History, Totals};

/// How often samples are taken.
pub(crate) const SAMPLE_INTERVAL: Duration = Duration::from_secs(series::TICK_SECONDS);

/// Most pairs of group and topic whose send-backs are counted.
const SEND_BACKS_MAX: usize = 1 << 20;

/// What a statistic is of. Queue ids are -1 where all queues of the topic are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// Messages that came.
    Put { topic: Arc<str>, queue_id: i32 },
    /// Messages that a group got.
    Get { topic: Arc<str>, group: Arc<str>, queue_id: i32 },
    /// Messages that a group gave back.
    SendBack { topic: Arc<str>, group: Arc<str> },
    /// Messages of the whole broker, with or without those of its own topics.
    Broker { is_put: bool, with_system: bool },
}

/// Stands for all queues of a topic.
const ALL_QUEUES: i32 = -1;

/// The samples of all statistics.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    samples: Mutex<Samples>,
    pub(crate) put_times: PutTimes,
    /// The longest read of a pull, in ms.
    get_time_max_ms: AtomicU64,
    /// Messages given back, by topic and group.
    send_backs: papaya::HashMap<(Arc<str>, Arc<str>), AtomicU64>,
}

impl Stats {
    /// A group gave a message of the topic back.
    pub(crate) fn note_send_back(&self, topic: Arc<str>, group: Arc<str>) {
        let pin = self.send_backs.pin();
        let key = (topic, group);
        if pin.len() < SEND_BACKS_MAX || pin.contains_key(&key) {
            pin.get_or_insert_with(key, AtomicU64::default).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A read took that long.
    pub(crate) fn note_get_time(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if ms > self.get_time_max_ms.load(Ordering::Relaxed) {
            self.get_time_max_ms.fetch_max(ms, Ordering::Relaxed);
        }
    }

    /// The longest read of a pull, in ms.
    pub(crate) fn get_time_max_ms(&self) -> u64 {
        self.get_time_max_ms.load(Ordering::Relaxed)
    }

    /// Messages a second that came to the topic in the last minute.
    pub(crate) fn topic_put_tps(&self, topic: &str) -> f64 {
        self.tps(&Subject::Put { topic: topic.into(), queue_id: ALL_QUEUES })
    }

    /// Messages of the topic a second that the group got in the last minute.
    pub(crate) fn group_get_tps(&self, group: &str, topic: &str) -> f64 {
        self.tps(&Subject::Get { topic: topic.into(), group: group.into(), queue_id: ALL_QUEUES })
    }

    fn tps(&self, subject: &Subject) -> f64 {
        let samples = self.samples.lock();
        samples.get(subject).map_or(0.0, |series| series.view(|count| count.messages)[0].tps)
    }

    /// Takes the samples of now. What is no longer there, because its topic or group was deleted, is forgotten. Returns
    /// how many messages of the broker's own topics came and went since the start.
    pub(crate) fn sample(&self, broker: &Broker) -> (u64, u64) {
        let mut samples = self.samples.lock();
        let of_system = samples.take(broker);
        self.put_times.tick(samples.tick);
        of_system
    }

    /// The statistic of that name and key; `None` when there is nothing of it since the start.
    pub(crate) fn view(&self, broker: &Broker, name: &str, key: &str) -> Option<BrokerStatsData> {
        let (subject, of) = read(broker, name, key)?;
        let found = self.samples.lock().get(&subject).map(|series| series.view(of));
        let [minute, hour, day] = match found {
            Some(views) => views,
            // Nobody has come by to take a sample yet.
            None => has_counted(broker, &subject).then(|| [BrokerStatsItem::default(); 3])?,
        };
        Some(BrokerStatsData { stats_minute: Some(minute), stats_hour: Some(hour), stats_day: Some(day) })
    }
}

/// What the names that the original knows are of.
fn read(broker: &Broker, name: &str, key: &str) -> Option<(Subject, Of)> {
    let messages: Of = |count| count.messages;
    let bytes: Of = |count| count.bytes;
    let latency: Of = |count| count.latency_ms;
    let detailed = |found: (Subject, Of)| broker.settings().broker.enable_detail_stat.then_some(found);
    match name {
        "TOPIC_PUT_NUMS" => Some((put(key, ALL_QUEUES), messages)),
        "TOPIC_PUT_SIZE" => Some((put(key, ALL_QUEUES), bytes)),
        "GROUP_GET_NUMS" => Some((get(key)?, messages)),
        "GROUP_GET_SIZE" => Some((get(key)?, bytes)),
        "QUEUE_PUT_NUMS" => detailed((put_of_queue(key)?, messages)),
        "QUEUE_PUT_SIZE" => detailed((put_of_queue(key)?, bytes)),
        "QUEUE_GET_NUMS" => detailed((get_of_queue(key)?, messages)),
        "QUEUE_GET_SIZE" => detailed((get_of_queue(key)?, bytes)),
        "TOPIC_PUT_LATENCY" => {
            let (queue_id, topic) = key.split_once('@')?;
            Some((put(topic, queue_id.parse().ok()?), latency))
        }
        "GROUP_GET_LATENCY" => {
            let (queue_id, rest) = key.split_once('@')?;
            let (topic, group) = rest.split_once('@')?;
            Some((got(topic, group, queue_id.parse().ok()?), latency))
        }
        "SNDBCK_PUT_NUMS" => {
            let (topic, group) = key.split_once('@')?;
            Some((Subject::SendBack { topic: topic.into(), group: group.into() }, messages))
        }
        _ if key != broker.settings().broker.broker_cluster_name => None,
        "BROKER_PUT_NUMS" => Some((Subject::Broker { is_put: true, with_system: true }, messages)),
        "BROKER_GET_NUMS" => Some((Subject::Broker { is_put: false, with_system: true }, messages)),
        "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC" => {
            Some((Subject::Broker { is_put: true, with_system: false }, messages))
        }
        "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC" => {
            Some((Subject::Broker { is_put: false, with_system: false }, messages))
        }
        _ => None,
    }
}

fn put(topic: &str, queue_id: i32) -> Subject {
    Subject::Put { topic: topic.into(), queue_id }
}

fn got(topic: &str, group: &str, queue_id: i32) -> Subject {
    Subject::Get { topic: topic.into(), group: group.into(), queue_id }
}

/// `topic@queueId`.
fn put_of_queue(key: &str) -> Option<Subject> {
    let (topic, queue_id) = key.split_once('@')?;
    Some(put(topic, queue_id.parse().ok()?))
}

/// `topic@group`.
fn get(key: &str) -> Option<Subject> {
    let (topic, group) = key.split_once('@')?;
    Some(got(topic, group, ALL_QUEUES))
}

/// `topic@queueId@group`.
fn get_of_queue(key: &str) -> Option<Subject> {
    let (topic, rest) = key.split_once('@')?;
    let (queue_id, group) = rest.split_once('@')?;
    Some(got(topic, group, queue_id.parse().ok()?))
}

/// Whether anything happened of it since the start.
fn has_counted(broker: &Broker, subject: &Subject) -> bool {
    let has_puts = |queue: &Arc<Queue>| count_of_puts(&queue.puts).times > 0;
    let mut has_reads = false;
    match subject {
        Subject::Put { topic, queue_id } => {
            let mut queues = broker.store.queues_of(topic).into_iter();
            queues.any(|queue| [ALL_QUEUES, queue.queue_id].contains(queue_id) && has_puts(&queue))
        }
        Subject::Get { topic, group, queue_id } => {
            broker.offsets.for_each_of(group, topic, |id, progress| {
                has_reads |= [ALL_QUEUES, id].contains(queue_id) && count_of_reads(&progress.reads).times > 0;
            });
            has_reads
        }
        Subject::SendBack { topic, group } => {
            broker.stats.send_backs.pin().contains_key(&(topic.clone(), group.clone()))
        }
        Subject::Broker { is_put: true, with_system } => {
            let counts = |topic: &str| *with_system || !broker.topics.system.contains(topic);
            broker.store.queues().iter().any(|queue| counts(&queue.topic) && has_puts(queue))
        }
        Subject::Broker { is_put: false, with_system } => {
            broker.offsets.for_each(|_, topic, _, progress| {
                let counts = *with_system || !broker.topics.system.contains(topic);
                has_reads |= counts && count_of_reads(&progress.reads).times > 0;
            });
            has_reads
        }
    }
}

fn count_of_puts(puts: &Puts) -> Count {
    Count {
        times: puts.entries.load(Ordering::Relaxed),
        messages: puts.messages.load(Ordering::Relaxed),
        bytes: puts.bytes.load(Ordering::Relaxed),
        latency_ms: puts.latency_ms.load(Ordering::Relaxed),
    }
}

fn count_of_reads(reads: &Reads) -> Count {
    Count {
        times: reads.answers.load(Ordering::Relaxed),
        messages: reads.messages.load(Ordering::Relaxed),
        bytes: reads.bytes.load(Ordering::Relaxed),
        latency_ms: reads.latency_ms.load(Ordering::Relaxed),
    }
}
