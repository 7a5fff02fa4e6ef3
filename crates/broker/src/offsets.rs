//! How far each group has consumed each queue, kept in `config/consumerOffset.json`.
//! Java: `offset/ConsumerOffsetManager.java`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use raptormq_protocol::body::{ConsumerOffsetSerializeWrapper, DataVersion};

use crate::topics::QUEUES_MAX;

/// Between topic and group in the key of the table.
const SEPARATOR: char = '@';

/// A topic and a group, borrowed, as the key of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key<'a> {
    group: &'a str,
    topic: &'a str,
}

/// A topic and a group as the table holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnedKey {
    group: Box<str>,
    topic: Box<str>,
}

impl OwnedKey {
    fn borrowed(&self) -> Key<'_> {
        Key { group: &self.group, topic: &self.topic }
    }
}

impl std::hash::Hash for OwnedKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl papaya::Equivalent<OwnedKey> for Key<'_> {
    fn equivalent(&self, key: &OwnedKey) -> bool {
        *self == key.borrowed()
    }
}

/// Offsets of a group's queues in one topic, by queue id.
type QueueOffsets = RwLock<BTreeMap<i32, AtomicI64>>;

/// All consumer offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    table: papaya::HashMap<OwnedKey, Arc<QueueOffsets>>,
    version: Mutex<DataVersion>,
    /// Commits since the start; each `version_step` of them make a new version, as the original does it.
    commits: AtomicU64,
    version_step: u64,
    /// Something changed since the table was last written.
    dirty: AtomicBool,
}

impl Offsets {
    /// What was kept. `version_step` is `consumerOffsetUpdateVersionStep`.
    pub(crate) fn new(kept: ConsumerOffsetSerializeWrapper, version_step: u64, now_ms: i64) -> Offsets {
        let mut version = kept.data_version.unwrap_or_default();
        if version.timestamp == 0 {
            version.timestamp = now_ms;
        }
        let offsets = Offsets {
            table: papaya::HashMap::new(),
            version: Mutex::new(version),
            commits: AtomicU64::new(0),
            version_step: version_step.max(1),
            dirty: AtomicBool::new(false),
        };
        for (key, queues) in kept.offset_table {
            // Neither topics nor groups can have the separator in their names.
            if let Some((topic, group)) = key.split_once(SEPARATOR) {
                for (queue_id, offset) in queues {
                    offsets.set(group, topic, queue_id, offset);
                }
            }
        }
        offsets.dirty.store(false, Ordering::Relaxed);
        offsets
    }

    /// The first queue offset that the group has not consumed, if it ever said one.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        let pin = self.table.pin();
        let queues = pin.get(&Key { group, topic })?.read();
        queues.get(&queue_id).map(|offset| offset.load(Ordering::Relaxed))
    }

    /// Takes over what a group says. Smaller than before is allowed, as in the original. Queue ids that no topic can
    /// have are passed over: they would fill the memory.
    pub(crate) fn commit(&self, group: &str, topic: &str, (queue_id, offset): (i32, i64), now_ms: i64) {
        if !(0..QUEUES_MAX).contains(&queue_id) {
            return;
        }
        self.set(group, topic, queue_id, offset);
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if commits.is_multiple_of(self.version_step) {
            self.version.lock().next(now_ms);
        }
    }

    fn set(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let pin = self.table.pin();
        let queues = match pin.get(&Key { group, topic }) {
            Some(queues) => queues,
            None => pin.get_or_insert_with(OwnedKey { group: group.into(), topic: topic.into() }, Arc::default),
        };
        let known = queues.read();
        match known.get(&queue_id) {
            Some(kept) if kept.swap(offset, Ordering::Relaxed) == offset => return,
            Some(_) => {}
            None => {
                drop(known);
                queues.write().insert(queue_id, AtomicI64::new(offset));
            }
        }
        self.dirty.store(true, Ordering::Release);
    }

    /// Forgets what any group said of the topic.
    pub(crate) fn remove_topic(&self, topic: &str) {
        self.remove(|key| *key.topic == *topic);
    }

    /// Forgets what the group said of any topic.
    pub(crate) fn remove_group(&self, group: &str) {
        self.remove(|key| *key.group == *group);
    }

    fn remove(&self, chosen: impl Fn(&OwnedKey) -> bool) {
        self.table.pin().retain(|key, _| !chosen(key));
        self.dirty.store(true, Ordering::Release);
    }

    /// Whether something changed since the last call. The caller writes a [`snapshot`](Offsets::snapshot) then.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// The whole table.
    pub(crate) fn snapshot(&self) -> ConsumerOffsetSerializeWrapper {
        let data_version = Some(*self.version.lock());
        let mut offset_table = BTreeMap::new();
        for (key, queues) in &self.table.pin() {
            let queues = queues.read();
            let queues = queues.iter().map(|(queue_id, offset)| (*queue_id, offset.load(Ordering::Relaxed)));
            offset_table.insert(format!("{}{SEPARATOR}{}", key.topic, key.group), queues.collect());
        }
        ConsumerOffsetSerializeWrapper { data_version, offset_table }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets() -> Offsets {
        Offsets::new(ConsumerOffsetSerializeWrapper::default(), 2, 5)
    }

    #[test]
    fn offsets_are_kept_by_group_topic_and_queue() {
        let offsets = offsets();
        assert!(!offsets.take_dirty());
        offsets.commit("g", "T", (0, 10), 6);
        offsets.commit("g", "T", (1, 3), 6);
        offsets.commit("g", "T", (0, 4), 6);
        assert_eq!((offsets.get("g", "T", 0), offsets.get("g", "T", 1)), (Some(4), Some(3)));
        assert_eq!((offsets.get("g", "T", 2), offsets.get("h", "T", 0), offsets.get("g", "U", 0)), (None, None, None));
        assert!(offsets.take_dirty() && !offsets.take_dirty());
        offsets.commit("g", "T", (0, 4), 6);
        assert!(!offsets.take_dirty(), "nothing changed");
    }

    #[test]
    fn impossible_queues_are_not_remembered() {
        let offsets = offsets();
        for queue_id in [-1, QUEUES_MAX, i32::MAX] {
            offsets.commit("g", "T", (queue_id, 1), 6);
        }
        assert!(offsets.snapshot().offset_table.is_empty());
    }

    #[test]
    fn what_was_written_is_read_back() {
        let offsets = offsets();
        offsets.commit("g", "T", (0, 10), 6);
        offsets.commit("h", "%RETRY%h", (0, 11), 7);
        let kept = offsets.snapshot();
        assert_eq!(kept.offset_table.keys().collect::<Vec<_>>(), ["%RETRY%h@h", "T@g"]);
        assert_eq!(kept.data_version, Some(DataVersion { counter: 1, state_version: 0, timestamp: 7 }));
        let again = Offsets::new(kept.clone(), 2, 99);
        assert_eq!(again.snapshot(), kept);
        assert!(!again.take_dirty());
    }

    #[test]
    fn a_removed_topic_or_group_is_forgotten() {
        let offsets = offsets();
        for (group, topic) in [("g", "T"), ("h", "T"), ("g", "U"), ("h", "U")] {
            offsets.commit(group, topic, (0, 1), 6);
        }
        offsets.remove_topic("T");
        offsets.remove_group("h");
        assert_eq!(offsets.snapshot().offset_table.keys().collect::<Vec<_>>(), ["U@g"]);
    }
}
