//! How far each group has consumed each queue, kept in `config/consumerOffset.json`.
//! Java: `offset/ConsumerOffsetManager.java`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

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

/// How far a group is in one queue of a topic, and what it was given from it.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The first queue offset that the group has not consumed; [`UNKNOWN`] until it says one.
    consumed: AtomicI64,
    /// The queue offset that the group's next pull will ask for; [`UNKNOWN`] before the first pull. Kept in memory only.
    pulled: AtomicI64,
    /// An administrator has set `consumed`. The group's next pull is told, and until then its commits do not count.
    is_reset: AtomicBool,
    /// Bytes of the log behind what the group has read last; noted with `disableConsumeIfConsumerReadSlowly` only.
    behind_bytes: AtomicI64,
    /// What pulls were answered with since the start.
    pub(crate) reads: Reads,
}

/// What pulls of a group from a queue were answered with. One connection pulls from a queue for a group at a time, so
/// nobody waits for these counters.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    pub(crate) answers: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Whole milliseconds that the reads took.
    pub(crate) latency_ms: AtomicU64,
}

/// An offset that nobody has said.
const UNKNOWN: i64 = i64::MIN;

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            consumed: AtomicI64::new(UNKNOWN),
            pulled: AtomicI64::new(UNKNOWN),
            is_reset: AtomicBool::new(false),
            behind_bytes: AtomicI64::new(0),
            reads: Reads::default(),
        }
    }
}

impl Progress {
    /// The first queue offset that the group has not consumed, if it ever said one.
    pub(crate) fn consumed(&self) -> Option<i64> {
        known(self.consumed.load(Ordering::Relaxed))
    }

    /// The queue offset that the group's next pull will ask for; what it has consumed when it has not pulled yet.
    pub(crate) fn pulled(&self) -> Option<i64> {
        known(self.pulled.load(Ordering::Relaxed)).or_else(|| self.consumed())
    }

    /// A pull was answered: this is where the next one goes on.
    pub(crate) fn note_pulled(&self, next_offset: i64) {
        self.pulled.store(next_offset, Ordering::Relaxed);
    }

    /// What the group has read last lies so many bytes before the log's end.
    pub(crate) fn note_behind(&self, bytes: i64) {
        self.behind_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How many bytes before the log's end that was; 0 when nobody looked.
    pub(crate) fn behind_bytes(&self) -> i64 {
        self.behind_bytes.load(Ordering::Relaxed)
    }

    /// A pull was answered with messages; the read took `took`.
    pub(crate) fn note_read(&self, messages: usize, bytes: usize, took: Duration) {
        self.reads.answers.fetch_add(1, Ordering::Relaxed);
        self.reads.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.reads.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let took_ms = took.as_millis();
        if took_ms > 0 {
            self.reads.latency_ms.fetch_add(u64::try_from(took_ms).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// The offset that was set from outside, if the group does not know of it yet; from now on it does.
    pub(crate) fn take_reset(&self) -> Option<i64> {
        let is_reset = self.is_reset.load(Ordering::Acquire) && self.is_reset.swap(false, Ordering::AcqRel);
        if is_reset { self.consumed() } else { None }
    }

    /// Whether the offset was set from outside and the group does not know of it yet.
    pub(crate) fn is_reset(&self) -> bool {
        self.is_reset.load(Ordering::Acquire)
    }
}

fn known(offset: i64) -> Option<i64> {
    (offset != UNKNOWN).then_some(offset)
}

/// How far a group is in the queues of one topic, by queue id.
type QueueOffsets = RwLock<BTreeMap<i32, Arc<Progress>>>;

/// All consumer offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    table: papaya::HashMap<OwnedKey, Arc<QueueOffsets>>,
    version: Mutex<DataVersion>,
    /// Commits since the start; each `version_step` of them make a new version, as the original does it.
    commits: AtomicU64,
    /// `consumerOffsetUpdateVersionStep`.
    version_step: AtomicU64,
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
            version_step: AtomicU64::new(version_step),
            dirty: AtomicBool::new(false),
        };
        for (key, queues) in kept.offset_table {
            // Neither topics nor groups can have the separator in their names.
            if let Some((topic, group)) = key.split_once(SEPARATOR) {
                for (queue_id, offset) in queues {
                    offsets.set(&offsets.progress_or_new(group, topic, queue_id), offset);
                }
            }
        }
        offsets.dirty.store(false, Ordering::Relaxed);
        offsets
    }

    /// Follows a changed `consumerOffsetUpdateVersionStep`.
    pub(crate) fn set_version_step(&self, version_step: u64) {
        self.version_step.store(version_step, Ordering::Relaxed);
    }

    /// How far the group is in the queue, if it was ever heard of there.
    pub(crate) fn progress(&self, group: &str, topic: &str, queue_id: i32) -> Option<Arc<Progress>> {
        self.table.pin().get(&Key { group, topic })?.read().get(&queue_id).cloned()
    }

    /// How far the group is in the queue, which the caller knows to exist.
    pub(crate) fn progress_or_new(&self, group: &str, topic: &str, queue_id: i32) -> Arc<Progress> {
        let pin = self.table.pin();
        let queues = match pin.get(&Key { group, topic }) {
            Some(queues) => queues,
            None => pin.get_or_insert_with(OwnedKey { group: group.into(), topic: topic.into() }, Arc::default),
        };
        if let Some(progress) = queues.read().get(&queue_id) {
            return Arc::clone(progress);
        }
        Arc::clone(queues.write().entry(queue_id).or_default())
    }

    /// The first queue offset that the group has not consumed, if it ever said one.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.progress(group, topic, queue_id)?.consumed()
    }

    /// Takes over what a group says. Smaller than before is allowed, as in the original. Queue ids that no topic can
    /// have are passed over: they would fill the memory.
    pub(crate) fn commit(&self, group: &str, topic: &str, (queue_id, offset): (i32, i64), now_ms: i64) {
        if (0..QUEUES_MAX).contains(&queue_id) {
            self.commit_to(&self.progress_or_new(group, topic, queue_id), offset, now_ms);
        }
    }

    /// As [`Offsets::commit`], for who has looked up already.
    pub(crate) fn commit_to(&self, progress: &Progress, offset: i64, now_ms: i64) {
        self.set(progress, offset);
        let commits = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if commits.is_multiple_of(self.version_step.load(Ordering::Relaxed).max(1)) {
            self.version.lock().next(now_ms);
        }
    }

    /// Sets an offset from outside: the group's next pull is told of it, and commits do not count until then.
    pub(crate) fn reset(&self, group: &str, topic: &str, (queue_id, offset): (i32, i64)) {
        let progress = self.progress_or_new(group, topic, queue_id);
        self.set(&progress, offset);
        progress.is_reset.store(true, Ordering::Release);
    }

    fn set(&self, progress: &Progress, offset: i64) {
        if progress.consumed.swap(offset, Ordering::Relaxed) != offset {
            self.dirty.store(true, Ordering::Release);
        }
    }

    /// Takes back what lies behind the end of its queue, which `end_of` says for topic and queue id: a loss of power has
    /// taken those messages, and others will get their offsets. Returns whether there was any.
    pub(crate) fn cut_to(&self, end_of: impl Fn(&str, i32) -> i64) -> bool {
        let mut is_cut = false;
        self.for_each(|group, topic, queue_id, progress| {
            let end = end_of(topic, queue_id);
            if let Some(offset) = progress.consumed().filter(|offset| *offset > end) {
                tracing::warn!(group, topic, queue_id, offset, end, "a group was behind the end of a queue: set to it");
                self.set(progress, end);
                is_cut = true;
            }
        });
        is_cut
    }

    /// Topics of which the group has said how far it is.
    pub(crate) fn topics_of(&self, group: &str) -> BTreeSet<String> {
        let pin = self.table.pin();
        let own = pin.iter().filter(|(key, queues)| *key.group == *group && has_consumed(queues));
        own.map(|(key, _)| key.topic.to_string()).collect()
    }

    /// Groups that have said how far they are in the topic.
    pub(crate) fn groups_of(&self, topic: &str) -> BTreeSet<String> {
        let pin = self.table.pin();
        let own = pin.iter().filter(|(key, queues)| *key.topic == *topic && has_consumed(queues));
        own.map(|(key, _)| key.group.to_string()).collect()
    }

    /// What the group has consumed of each queue of the topic that it has said so of.
    pub(crate) fn consumed_of(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        self.table.pin().get(&Key { group, topic }).map(|queues| consumed(queues)).unwrap_or_default()
    }

    /// Gives a group the offsets that another has in the topic, in place of its own; `false` when that one has none.
    pub(crate) fn copy(&self, topic: &str, from: &str, to: &str, now_ms: i64) -> bool {
        let source = self.consumed_of(from, topic);
        for (queue_id, offset) in &source {
            self.commit(to, topic, (*queue_id, *offset), now_ms);
        }
        for queue_id in self.consumed_of(to, topic).into_keys().filter(|queue_id| !source.contains_key(queue_id)) {
            if let Some(progress) = self.progress(to, topic, queue_id).filter(|_| !source.is_empty()) {
                self.set(&progress, UNKNOWN);
            }
        }
        !source.is_empty()
    }

    /// Takes over the offsets of the master; what only this broker knows stays.
    pub(crate) fn take_from_master(&self, master: ConsumerOffsetSerializeWrapper) {
        for (key, queues) in master.offset_table {
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            for (queue_id, offset) in queues.into_iter().filter(|(queue_id, _)| (0..QUEUES_MAX).contains(queue_id)) {
                self.set(&self.progress_or_new(group, topic, queue_id), offset);
            }
        }
        if let Some(version) = master.data_version {
            *self.version.lock() = version;
        }
    }

    /// Takes over what a slave was told while the master was away, unless this table is the later one; returns how many
    /// offsets are other than before. Where neither is later, the greater offset of each counts.
    pub(crate) fn take_back(&self, slave: ConsumerOffsetSerializeWrapper) -> usize {
        let of_slave = slave.data_version.unwrap_or_default();
        let order = |version: DataVersion| (version.state_version, version.counter, version.timestamp);
        let own = *self.version.lock();
        if order(own) > order(of_slave) {
            return 0;
        }
        let is_later = order(own) < order(of_slave);
        let mut count = 0;
        for (key, queues) in slave.offset_table {
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            for (queue_id, offset) in queues.into_iter().filter(|(queue_id, _)| (0..QUEUES_MAX).contains(queue_id)) {
                let progress = self.progress_or_new(group, topic, queue_id);
                let is_taken = progress.consumed().is_none_or(|known| match is_later {
                    true => known != offset,
                    false => known < offset,
                });
                if is_taken {
                    self.set(&progress, offset);
                    count += 1;
                }
            }
        }
        *self.version.lock() = of_slave;
        count
    }

    /// Calls `each` with group, topic, queue id and progress of everything that is known.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&str, &str, i32, &Progress)) {
        self.for_each_pair(|group, topic, queues| {
            queues.iter().for_each(|(queue_id, progress)| each(group, topic, *queue_id, progress));
        });
    }

    /// Calls `each` with group, topic and the progress in each queue by its id, of everything that is known.
    pub(crate) fn for_each_pair(&self, mut each: impl FnMut(&str, &str, &BTreeMap<i32, Arc<Progress>>)) {
        for (key, queues) in &self.table.pin() {
            each(&key.group, &key.topic, &queues.read());
        }
    }

    /// Calls `each` with queue id and progress of a group in a topic.
    pub(crate) fn for_each_of(&self, group: &str, topic: &str, mut each: impl FnMut(i32, &Progress)) {
        if let Some(queues) = self.table.pin().get(&Key { group, topic }) {
            queues.read().iter().for_each(|(queue_id, progress)| each(*queue_id, progress));
        }
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
            let queues = consumed(queues);
            if !queues.is_empty() {
                offset_table.insert(format!("{}{SEPARATOR}{}", key.topic, key.group), queues);
            }
        }
        ConsumerOffsetSerializeWrapper { data_version, offset_table }
    }
}

fn consumed(queues: &QueueOffsets) -> BTreeMap<i32, i64> {
    let queues = queues.read();
    queues.iter().filter_map(|(queue_id, progress)| Some((*queue_id, progress.consumed()?))).collect()
}

fn has_consumed(queues: &QueueOffsets) -> bool {
    queues.read().values().any(|progress| progress.consumed().is_some())
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

    #[test]
    fn what_is_set_from_outside_counts_until_the_group_was_told() {
        let offsets = offsets();
        offsets.commit("g", "T", (0, 9), 1);
        offsets.reset("g", "T", (0, 4));
        let progress = offsets.progress("g", "T", 0).unwrap();
        assert!(progress.is_reset());
        assert_eq!((offsets.get("g", "T", 0), progress.take_reset(), progress.take_reset()), (Some(4), Some(4), None));
        assert!(!progress.is_reset());
    }

    #[test]
    fn offsets_behind_the_end_of_their_queue_are_taken_back() {
        let offsets = offsets();
        for (group, topic, queue_id, offset) in
            [("g", "T", 0, 9), ("g", "T", 1, 4), ("h", "T", 0, 5), ("g", "Gone", 0, 1), ("h", "U", 0, -1)]
        {
            offsets.commit(group, topic, (queue_id, offset), 6);
        }
        offsets.progress_or_new("h", "T", 1).note_pulled(7);
        offsets.take_dirty();
        let end_of = |topic: &str, _: i32| if topic == "T" { 5 } else { 0 };
        assert!(offsets.cut_to(end_of) && offsets.take_dirty());
        let cut = [("g", "T", 0), ("g", "T", 1), ("h", "T", 0), ("g", "Gone", 0), ("h", "U", 0), ("h", "T", 1)]
            .map(|(group, topic, queue_id)| offsets.get(group, topic, queue_id));
        assert_eq!(cut, [Some(5), Some(4), Some(5), Some(0), Some(-1), None]);
        assert!(!offsets.cut_to(end_of) && !offsets.take_dirty());
    }

    #[test]
    fn pulls_without_a_commit_are_no_offsets() {
        let offsets = offsets();
        offsets.progress_or_new("g", "T", 1).note_pulled(7);
        assert_eq!((offsets.get("g", "T", 1), offsets.progress("g", "T", 1).unwrap().pulled()), (None, Some(7)));
        assert!(offsets.topics_of("g").is_empty() && offsets.groups_of("T").is_empty());
        assert!(offsets.snapshot().offset_table.is_empty() && !offsets.take_dirty());
    }

    #[test]
    fn a_copy_takes_the_place_of_what_the_other_group_had() {
        let offsets = offsets();
        offsets.commit("from", "T", (0, 3), 1);
        offsets.commit("to", "T", (1, 8), 1);
        assert!(offsets.copy("T", "from", "to", 2) && !offsets.copy("T", "nobody", "to", 2));
        assert_eq!(offsets.consumed_of("to", "T"), [(0, 3)].into());
        assert_eq!(offsets.groups_of("T"), ["from".to_owned(), "to".to_owned()].into());
    }
}
