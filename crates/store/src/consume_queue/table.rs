//! All queues, by topic and queue id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::unit::Unit;
use super::{Puts, Queue, QueueType, Tail, light};
use crate::hash;

/// Topic whose messages wait for their delay level.
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Longest topic: it is the name of a folder.
const TOPIC_BYTES_MAX: usize = 255;

/// A topic that cannot be a folder's name, or a queue id below 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no queue can be named {topic:?} {queue_id}")]
pub struct QueueNameError {
    /// The topic.
    pub topic: String,
    /// The queue id.
    pub queue_id: i32,
}

/// A topic has queues of another type: this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OtherType(pub(crate) QueueType);

/// All queues. A look-up takes no lock but that of its topic.
#[derive(Default)]
pub(crate) struct QueueTable {
    topics: papaya::HashMap<Arc<str>, Arc<Topic>>,
    next_serial: AtomicU64,
    /// Number of light queues.
    light_count: AtomicUsize,
    /// Bytes of the files of extensions; 0 without.
    ext_file_bytes: i64,
    /// Topics whose queues are batch queues; looked at when a topic gets its first queue.
    batch_topics: Mutex<BTreeSet<String>>,
    /// Held while a topic is added or removed.
    changing: Mutex<()>,
}

struct Topic {
    name: Arc<str>,
    queue_type: QueueType,
    queues: RwLock<BTreeMap<i32, Arc<Queue>>>,
}

impl QueueTable {
    /// A table whose simple queues have extensions in files of so many bytes; of 0 they have none.
    pub(crate) fn with_ext(ext_file_bytes: i64) -> QueueTable {
        QueueTable { ext_file_bytes, ..QueueTable::default() }
    }

    /// The queue 0 of a light topic; `None` when it would be one more than `max`, or has no possible name.
    pub(crate) fn light(&self, name: &str, max: usize) -> Option<Arc<Queue>> {
        let known = self.get(name, 0);
        if known.is_none() && self.light_count.load(Ordering::Relaxed) >= max {
            return None;
        }
        known.or_else(|| self.get_or_create(name, 0).ok())
    }

    fn new_queue(&self, topic: &Arc<str>, queue_type: QueueType, queue_id: i32) -> Queue {
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let is_extended = queue_type == QueueType::Simple && !light::is_light(topic);
        if light::is_light(topic) {
            self.light_count.fetch_add(1, Ordering::Relaxed);
        }
        let ext_file_bytes = if is_extended { self.ext_file_bytes } else { 0 };
        Queue { ext_file_bytes, has_ext: ext_file_bytes > 0, ..new_queue(topic, queue_type, queue_id, serial) }
    }

    /// Says how the queues of a topic are kept that has none yet.
    pub(crate) fn set_type(&self, topic: &str, queue_type: QueueType) {
        let mut batch_topics = self.batch_topics.lock();
        match queue_type {
            QueueType::Simple => batch_topics.remove(topic),
            QueueType::Batch => batch_topics.insert(topic.to_owned()),
        };
    }

    /// Takes a topic's type from where its files are.
    pub(crate) fn load_type(&self, topic: &str, queue_type: QueueType) -> Result<(), OtherType> {
        match self.topics.pin().get(topic) {
            Some(topic) if topic.queue_type != queue_type => return Err(OtherType(topic.queue_type)),
            Some(_) => {}
            None => self.set_type(topic, queue_type),
        }
        Ok(())
    }

    fn type_of(&self, topic: &str) -> QueueType {
        if self.batch_topics.lock().contains(topic) { QueueType::Batch } else { QueueType::Simple }
    }

    pub(crate) fn get(&self, topic: &str, queue_id: i32) -> Option<Arc<Queue>> {
        let topics = self.topics.pin();
        let queues = topics.get(topic)?.queues.read();
        queues.get(&queue_id).cloned()
    }

    pub(crate) fn get_or_create(&self, topic: &str, queue_id: i32) -> Result<Arc<Queue>, QueueNameError> {
        if let Some(queue) = self.get(topic, queue_id) {
            return Ok(queue);
        }
        if !is_folder_name(topic) || queue_id < 0 {
            return Err(QueueNameError { topic: topic.to_owned(), queue_id });
        }
        let _changing = self.changing.lock();
        let topics = self.topics.pin();
        let topic = topics.get_or_insert_with(topic.into(), || {
            Arc::new(Topic { name: topic.into(), queue_type: self.type_of(topic), queues: RwLock::default() })
        });
        let mut queues = topic.queues.write();
        let queue =
            queues.entry(queue_id).or_insert_with(|| Arc::new(self.new_queue(&topic.name, topic.queue_type, queue_id)));
        Ok(queue.clone())
    }

    /// Adds a topic whose simple queues are known: id, first offset, end, and the last unit, which is blank when it is not known.
    pub(crate) fn fill(
        &self,
        name: &str,
        queues: impl Iterator<Item = (i32, i64, i64, Unit)>,
    ) -> Result<(), QueueNameError> {
        let name: Arc<str> = name.into();
        let mut of_topic = BTreeMap::new();
        for (queue_id, min, max, last) in queues {
            if !is_folder_name(&name) || queue_id < 0 || min < 0 || max < min {
                return Err(QueueNameError { topic: name.to_string(), queue_id });
            }
            let queue = self.new_queue(&name, QueueType::Simple, queue_id);
            queue.set_tail(min, max, Some(last).filter(|last| !last.is_blank()));
            of_topic.insert(queue_id, Arc::new(queue));
        }
        let _changing = self.changing.lock();
        let topic = Topic { name: name.clone(), queue_type: QueueType::Simple, queues: RwLock::new(of_topic) };
        self.topics.pin().insert(name, Arc::new(topic));
        Ok(())
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let _changing = self.changing.lock();
        self.topics.pin().clear();
        self.light_count.store(0, Ordering::Relaxed);
    }

    /// Takes a topic out and returns its queues, marked deleted.
    pub(crate) fn remove(&self, topic: &str) -> Vec<Arc<Queue>> {
        let _changing = self.changing.lock();
        let Some(topic) = self.topics.pin().remove(topic).cloned() else { return Vec::new() };
        let queues: Vec<_> = topic.queues.write().values().cloned().collect();
        queues.iter().for_each(|queue| queue.mark_deleted());
        let light = queues.iter().filter(|queue| queue.is_light).count();
        self.light_count.fetch_sub(light, Ordering::Relaxed);
        queues
    }

    /// Takes a queue out and marks it deleted, unless another one has its name; returns whether it was there. Its topic
    /// goes with its last queue.
    pub(crate) fn remove_queue(&self, queue: &Arc<Queue>) -> bool {
        let _changing = self.changing.lock();
        let topics = self.topics.pin();
        let Some(topic) = topics.get(&queue.topic) else { return false };
        let mut queues = topic.queues.write();
        if !queues.get(&queue.queue_id).is_some_and(|known| Arc::ptr_eq(known, queue)) {
            return false;
        }
        queues.remove(&queue.queue_id);
        if queues.is_empty() {
            topics.remove(&queue.topic);
        }
        queue.mark_deleted();
        true
    }

    /// Every queue, by topic and id.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let topics = self.topics.pin();
        let mut topics: Vec<&Arc<Topic>> = topics.values().collect();
        topics.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        topics.iter().flat_map(|topic| topic.queues.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    /// The queues of a topic, by id.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<Queue>> {
        self.topics.pin().get(topic).map(|topic| topic.queues.read().values().cloned().collect()).unwrap_or_default()
    }
}

fn new_queue(topic: &Arc<str>, queue_type: QueueType, queue_id: i32, serial: u64) -> Queue {
    Queue {
        queue_id,
        queue_type,
        holds: AtomicUsize::new(0),
        puts: Puts::default(),
        serial,
        key_hash: hash::extend(hash::extend(0, topic), "#"),
        is_schedule: &**topic == SCHEDULE_TOPIC,
        topic: topic.clone(),
        next_offset: AtomicI64::new(0),
        is_dirty: AtomicBool::new(false),
        is_deleted: AtomicBool::new(false),
        max_offset: AtomicI64::new(0),
        min_offset: AtomicI64::new(0),
        batch_end: AtomicI64::new(0),
        batch_first: AtomicI64::new(0),
        first_log_offset: AtomicI64::new(-1),
        first_file: AtomicI64::new(0),
        is_light: light::is_light(topic),
        has_ext: false,
        ext_file_bytes: 0,
        ext_first_file: AtomicI64::new(0),
        tail: Mutex::new(Tail::default()),
    }
}

/// Whether a topic can be the name of a folder and of nothing else: names are never paths.
pub(crate) fn is_folder_name(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= TOPIC_BYTES_MAX
        && topic != "."
        && topic != ".."
        && !topic.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_made_once_and_gone_with_its_topic() {
        let table = QueueTable::default();
        assert!(table.get("T", 0).is_none());
        let queue = table.get_or_create("T", 0).unwrap();
        assert!(Arc::ptr_eq(&queue, &table.get_or_create("T", 0).unwrap()));
        assert_eq!(table.remove("T").len(), 1);
        assert!(queue.is_deleted() && table.get("T", 0).is_none());
        assert_ne!(table.get_or_create("T", 0).unwrap().serial, queue.serial);
    }

    #[test]
    fn names_are_never_paths() {
        let long = "x".repeat(256);
        for topic in ["", ".", "..", "a/b", "..\\b", "a\0", &long] {
            assert!(QueueTable::default().get_or_create(topic, 0).is_err(), "{topic}");
        }
        assert!(QueueTable::default().get_or_create("%RETRY%group", 0).is_ok());
        assert!(QueueTable::default().get_or_create("T", -1).is_err());
    }
}
