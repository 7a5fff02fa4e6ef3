//! The topics of this broker: looked up for every message, changed seldom, kept in `config/topics.json`.
//!
//! Readers take no lock: the table is a concurrent map of entries that never change; a change puts a new entry in the
//! place of the old one. An entry remembers the store's queues, so that a message costs one look-up.
//! Java: `topic/TopicConfigManager.java`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{
    DataVersion, PERM_INHERIT, PERM_READ, PERM_WRITE, TopicConfig, TopicConfigSerializeWrapper,
};
use raptormq_store::{Queue, QueueType, Store};

use crate::names::{self, SystemTopics};

/// The attribute of a topic that says how its queues are kept.
const QUEUE_TYPE: &str = "queue.type";
/// Topics of light queues begin so.
pub(crate) const LIGHT_PREFIX: &str = "%LMQ%";
/// Queues of the topic for benchmarks.
const BENCHMARK_QUEUES: i32 = 1024;
/// Queues of the topic that is named after the cluster.
const CLUSTER_QUEUES: i32 = 16;
/// Most queues of a topic: what `defaultTopicQueueNums` may be.
pub(crate) const QUEUES_MAX: i32 = 65_535;
/// Most topics of a broker. Clients can make topics, so there is an end; 20 times what brokers are known to have.
const TOPICS_MAX: usize = 1 << 20;

/// Bit of a topic's system flag: it belongs to a unit. Java: `common/sysflag/TopicSysFlag.java`.
pub(crate) const UNIT: i32 = 1;
/// Bit of a topic's system flag: its consumers belong to a unit.
pub(crate) const UNIT_SUB: i32 = 2;

/// A topic as it was when it was looked up.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) config: TopicConfig,
    /// The store's queues by queue id, as far as somebody asked for them.
    queues: Box<[OnceLock<Arc<Queue>>]>,
}

impl Topic {
    fn new(config: TopicConfig) -> Topic {
        let count = config.read_queue_nums.max(config.write_queue_nums).clamp(0, QUEUES_MAX);
        let queues = (0..count).map(|_| OnceLock::new()).collect();
        Topic { config, queues }
    }

    /// Queue ids that exist for reading or for writing: 0 to this, exclusive.
    pub(crate) fn queue_count(&self) -> i32 {
        // At most QUEUES_MAX, see `new`.
        self.queues.len() as i32
    }

    /// Whether the topic has a queue of that id.
    pub(crate) fn has_queue(&self, queue_id: i32) -> bool {
        (0..self.queue_count()).contains(&queue_id)
    }

    /// The store's queue, made if there was none; `None` when the topic has no queue of that id, or a name that the
    /// store cannot have.
    pub(crate) fn queue(&self, store: &Store, queue_id: i32) -> Option<&Arc<Queue>> {
        let slot = self.queues.get(names::queue_index(queue_id)?)?;
        if let Some(queue) = slot.get() {
            return Some(queue);
        }
        let name = &self.config.topic_name;
        store.set_queue_type(name, if self.is_batch() { QueueType::Batch } else { QueueType::Simple });
        let queue = store.queue_or_create(name, queue_id).ok()?;
        Some(slot.get_or_init(|| queue))
    }

    /// Whether its queues are batch queues.
    pub(crate) fn is_batch(&self) -> bool {
        is_batch(&self.config)
    }

    pub(crate) fn is_writeable(&self) -> bool {
        self.config.perm & PERM_WRITE != 0
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.config.perm & PERM_READ != 0
    }
}

/// Whether the queues of a topic are batch queues: its attribute says so. Java: `common/utils/QueueTypeUtils.java`.
pub(crate) fn is_batch(config: &TopicConfig) -> bool {
    config.attributes.get(QUEUE_TYPE).is_some_and(|queue_type| queue_type == "BatchCQ")
}

/// The topic of a light queue. Java: `topic/LmqTopicConfigManager.java`.
fn light_topic(name: &str) -> Topic {
    Topic::new(TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: 1,
        write_queue_nums: 1,
        perm: PERM_READ | PERM_WRITE,
        ..TopicConfig::default()
    })
}

/// What a send says about the topic that it needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) topic: &'a str,
    /// Topic whose settings the new one gets.
    pub(crate) template: &'a str,
    pub(crate) queue_count: i32,
    pub(crate) sys_flag: i32,
}

/// All topics.
#[derive(Debug)]
pub(crate) struct Topics {
    table: papaya::HashMap<Arc<str>, Arc<Topic>>,
    /// Held while the table changes, so that a version names one state of it.
    version: Mutex<DataVersion>,
    /// Those that the broker keeps for itself.
    pub(crate) system: SystemTopics,
    auto_create: AtomicBool,
    /// Light queues are topics without being in the table.
    has_light: bool,
}

impl Topics {
    /// What was kept, and the topics that every broker has.
    pub(crate) fn new(settings: &BrokerSettings, kept: TopicConfigSerializeWrapper, now_ms: i64) -> Topics {
        let topics = Topics {
            table: papaya::HashMap::new(),
            version: Mutex::new(kept.data_version),
            system: SystemTopics::default(),
            auto_create: AtomicBool::new(settings.broker.auto_create_topic_enable),
            has_light: settings.store.enable_lmq && settings.store.enable_multi_dispatch,
        };
        let mut configs: BTreeMap<String, TopicConfig> = BTreeMap::new();
        for config in own_topics(settings) {
            topics.system.add(&config.topic_name);
            configs.insert(config.topic_name.clone(), config);
        }
        // What somebody set for one of them counts.
        for (name, config) in kept.topic_config_table {
            configs.insert(name.clone(), TopicConfig { topic_name: name, ..config });
        }
        let pin = topics.table.pin();
        for config in configs.into_values() {
            pin.insert(config.topic_name.as_str().into(), Arc::new(Topic::new(config)));
        }
        drop(pin);
        let mut version = topics.version.lock();
        if version.timestamp == 0 {
            version.timestamp = now_ms;
        }
        drop(version);
        topics
    }

    /// Follows changed settings: the broker's own topics that are new with them, or other than before, are made or
    /// changed. Returns whether any is.
    pub(crate) fn follow(&self, old: &BrokerSettings, new: &BrokerSettings, now_ms: i64) -> bool {
        self.auto_create.store(new.broker.auto_create_topic_enable, Ordering::Relaxed);
        let before = own_topics(old);
        let mut is_changed = false;
        for config in own_topics(new).into_iter().filter(|config| !before.contains(config)) {
            self.system.add(&config.topic_name);
            self.put(config, now_ms);
            is_changed = true;
        }
        is_changed
    }

    /// Marks the table as changed, because what the name servers are told of it is.
    pub(crate) fn touch(&self, now_ms: i64) {
        self.version.lock().next(now_ms);
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        let known = self.table.pin().get(name).cloned();
        known.or_else(|| (self.has_light && name.starts_with(LIGHT_PREFIX)).then(|| Arc::new(light_topic(name))))
    }

    pub(crate) fn version(&self) -> DataVersion {
        *self.version.lock()
    }

    /// The whole table with the version that it has.
    pub(crate) fn snapshot(&self) -> TopicConfigSerializeWrapper {
        let version = self.version.lock();
        let pin = self.table.pin();
        let topic_config_table = pin.iter().map(|(name, topic)| (name.to_string(), topic.config.clone())).collect();
        TopicConfigSerializeWrapper { data_version: *version, topic_config_table }
    }

    /// Makes the topic of a send after its template, if there is one that allows it.
    pub(crate) fn create_like(&self, wanted: Wanted<'_>, now_ms: i64) -> Option<Arc<Topic>> {
        let template = self.get(wanted.template)?;
        if template.config.perm & PERM_INHERIT == 0
            || (wanted.template == names::AUTO_CREATE_TOPIC && !self.auto_create.load(Ordering::Relaxed))
        {
            return None;
        }
        let queues = wanted.queue_count.min(template.config.write_queue_nums);
        if queues <= 0 {
            return None;
        }
        let config = TopicConfig {
            topic_name: wanted.topic.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: template.config.perm & !PERM_INHERIT,
            topic_sys_flag: wanted.sys_flag,
            topic_filter_type: template.config.topic_filter_type,
            ..TopicConfig::default()
        };
        self.create(config, now_ms)
    }

    /// Makes a topic that belongs to a group (retry, dead letters): readable and writable.
    pub(crate) fn create_for_group(&self, name: &str, queues: i32, sys_flag: i32, now_ms: i64) -> Option<Arc<Topic>> {
        let config = TopicConfig {
            topic_name: name.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: PERM_READ | PERM_WRITE,
            topic_sys_flag: sys_flag,
            ..TopicConfig::default()
        };
        self.create(config, now_ms)
    }

    /// Makes the topic unless somebody else was faster; the topic that there is then.
    fn create(&self, config: TopicConfig, now_ms: i64) -> Option<Arc<Topic>> {
        let mut version = self.version.lock();
        let pin = self.table.pin();
        if let Some(topic) = pin.get(config.topic_name.as_str()) {
            return Some(Arc::clone(topic));
        }
        if pin.len() >= TOPICS_MAX {
            return None;
        }
        let topic = Arc::new(Topic::new(config));
        pin.insert(topic.config.topic_name.as_str().into(), Arc::clone(&topic));
        version.next(now_ms);
        Some(topic)
    }

    /// Makes or replaces a topic.
    pub(crate) fn put(&self, config: TopicConfig, now_ms: i64) {
        let mut version = self.version.lock();
        self.table.pin().insert(config.topic_name.as_str().into(), Arc::new(Topic::new(config)));
        version.next(now_ms);
    }

    /// Makes the table the master's, with its version. Topics that are the same stay as they are. Returns whether the
    /// version is another one now.
    pub(crate) fn take_from_master(&self, table: BTreeMap<String, TopicConfig>, data_version: DataVersion) -> bool {
        let mut version = self.version.lock();
        let pin = self.table.pin();
        for name in pin.keys().filter(|name| !table.contains_key(&***name)).cloned().collect::<Vec<_>>() {
            pin.remove(&name);
        }
        for (name, config) in table.into_iter().take(TOPICS_MAX) {
            let config = TopicConfig { topic_name: name, ..config };
            if pin.get(config.topic_name.as_str()).is_none_or(|known| known.config != config) {
                pin.insert(config.topic_name.as_str().into(), Arc::new(Topic::new(config)));
            }
        }
        std::mem::replace(&mut *version, data_version) != data_version
    }

    /// Forgets a topic; `false` when there is none.
    pub(crate) fn remove(&self, name: &str, now_ms: i64) -> bool {
        let mut version = self.version.lock();
        let removed = self.table.pin().remove(name).is_some();
        if removed {
            version.next(now_ms);
        }
        removed
    }
}

/// The topics that the broker makes for itself. Java: `TopicConfigManager.init`.
fn own_topics(settings: &BrokerSettings) -> Vec<TopicConfig> {
    let broker = &settings.broker;
    let (cluster, name) = (&broker.broker_cluster_name, &broker.broker_name);
    let topic = |name: String, queues: i32, perm: i32| TopicConfig {
        topic_name: name,
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    };
    let plain = PERM_READ | PERM_WRITE;
    let inherited = |open: bool| if open { plain | PERM_INHERIT } else { PERM_INHERIT };
    let count = |number: u32| i32::try_from(number).unwrap_or(QUEUES_MAX).clamp(1, QUEUES_MAX);
    let levels = settings.store.message_delay_level.split_whitespace().count();

    let mut topics = vec![
        topic(names::SELF_TEST_TOPIC.into(), 1, plain),
        topic(names::BENCHMARK_TOPIC.into(), BENCHMARK_QUEUES, plain),
        topic(cluster.clone(), CLUSTER_QUEUES, inherited(broker.cluster_topic_enable)),
        topic(name.clone(), 1, inherited(broker.broker_topic_enable)),
        topic(names::OFFSET_MOVED_EVENT.into(), 1, plain),
        topic(names::SCHEDULE_TOPIC.into(), count(levels as u32), plain),
        topic(format!("{cluster}_REPLY_TOPIC"), 1, plain),
        topic(format!("rmq_sys_REVIVE_LOG_{cluster}"), count(broker.revive_queue_num), plain),
        topic(format!("rmq_sys_SYNC_BROKER_MEMBER_{name}"), 1, PERM_INHERIT),
        topic(names::TRANS_HALF_TOPIC.into(), 1, plain),
        topic(names::TRANS_OP_HALF_TOPIC.into(), 1, plain),
    ];
    if broker.auto_create_topic_enable {
        let queues = count(broker.default_topic_queue_nums);
        topics.push(topic(names::AUTO_CREATE_TOPIC.into(), queues, plain | PERM_INHERIT));
    }
    if broker.trace_topic_enable {
        topics.push(topic(broker.msg_trace_topic_name.clone(), 1, plain));
    }
    if settings.store.timer_wheel_enable {
        topics.push(topic(names::TIMER_TOPIC.into(), 1, plain));
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use raptormq_config::Environment;

    fn topics(change: impl FnOnce(&mut BrokerSettings)) -> Topics {
        let mut settings = BrokerSettings::new(&Environment::default());
        change(&mut settings);
        Topics::new(&settings, TopicConfigSerializeWrapper::default(), 5)
    }

    fn wanted(topic: &str) -> Wanted<'_> {
        Wanted { topic, template: names::AUTO_CREATE_TOPIC, queue_count: 4, sys_flag: 0 }
    }

    #[test]
    fn a_new_broker_has_the_originals_topics() {
        let topics = topics(|_| ());
        let of = |name: &str| {
            let config = topics.get(name).unwrap().config.clone();
            (config.read_queue_nums, config.write_queue_nums, config.perm)
        };
        assert_eq!(of("TBW102"), (8, 8, 7));
        assert_eq!(of("BenchmarkTest"), (1024, 1024, 6));
        assert_eq!(of("DefaultCluster"), (16, 16, 7));
        assert_eq!(of("DefaultCluster_REPLY_TOPIC"), (1, 1, 6));
        assert_eq!(of("SCHEDULE_TOPIC_XXXX"), (18, 18, 6));
        assert_eq!(of("rmq_sys_REVIVE_LOG_DefaultCluster"), (8, 8, 6));
        assert_eq!(of("rmq_sys_SYNC_BROKER_MEMBER_DEFAULT_BROKER"), (1, 1, 1));
        assert!(topics.get("RMQ_SYS_TRACE_TOPIC").is_none());
        assert!(topics.system.contains("DefaultCluster"));
    }

    #[test]
    fn a_topic_is_made_after_its_template_and_counts_as_one_change() {
        let topics = topics(|_| ());
        let before = topics.version().counter;
        let made = topics.create_like(wanted("Orders"), 9).unwrap();
        assert_eq!((made.config.write_queue_nums, made.config.perm), (4, PERM_READ | PERM_WRITE));
        topics.create_like(wanted("Orders"), 10).unwrap();
        assert_eq!((topics.version().counter, topics.version().timestamp), (before + 1, 9));
        let more = Wanted { queue_count: 99, ..wanted("More") };
        assert_eq!(topics.create_like(more, 9).unwrap().config.write_queue_nums, 8);
        assert!(topics.create_like(Wanted { queue_count: 0, ..wanted("None") }, 9).is_none());
        assert!(topics.create_like(Wanted { template: "Orders", ..wanted("Other") }, 9).is_none());
    }

    #[test]
    fn without_auto_creation_no_topic_is_made() {
        assert!(
            topics(|settings| settings.broker.auto_create_topic_enable = false).create_like(wanted("T"), 1).is_none()
        );
    }

    #[test]
    fn what_was_kept_counts_more_than_the_defaults() {
        let mut kept = TopicConfigSerializeWrapper::default();
        kept.data_version.counter = 7;
        let config = TopicConfig { write_queue_nums: 2, read_queue_nums: 3, ..TopicConfig::default() };
        kept.topic_config_table.insert("TBW102".into(), config);
        let topics = Topics::new(&BrokerSettings::new(&Environment::default()), kept, 5);
        assert_eq!(topics.get("TBW102").unwrap().queue_count(), 3);
        assert_eq!(topics.snapshot().data_version.counter, 7);
        assert!(topics.remove("TBW102", 6) && !topics.remove("TBW102", 7));
        assert_eq!(topics.version().counter, 8);
    }
}
