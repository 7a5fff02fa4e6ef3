//! Delayed messages: each level of `messageDelayLevel` has a queue of the topic SCHEDULE_TOPIC_XXXX, in which messages wait
//! in the order in which they are due, because all of a level wait equally long. What is due is stored again, in the queue
//! that it was meant for.
//!
//! How far each level is stands in `config/delayOffset.json`. Java: `schedule/ScheduleMessageService.java`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use raptormq_config::BrokerSettings;
use raptormq_protocol::body::{DataVersion, DelayOffsetSerializeWrapper};
use raptormq_protocol::message::properties::{self, Properties, name};
use raptormq_protocol::message::record::RecordView;
use raptormq_store::{PutStatus, Queue, QueueNameError, ReadError, Slot, Staging, Store, Unit, parse_delay_levels};

use crate::StartError;
use crate::broker::Broker;
use crate::names;
use crate::reput;

/// Messages that a level delivers at once, before the others have their turn.
const STEP_COUNT_MAX: usize = 64;
/// Bytes after which a level leaves the rest to its next turn.
const STEP_BYTES_MAX: usize = 256 << 10;
/// When what failed is tried again.
const RETRY_MS: i64 = 1_000;

/// The levels, and how far each is.
#[derive(Debug)]
pub(crate) struct Schedule {
    levels: Vec<Level>,
    version: Mutex<DataVersion>,
    /// Moves of offsets since the start; each `version_step` of them make a new version, as the original does it.
    moves: AtomicU64,
    version_step: u64,
    /// Something changed since the table was last written.
    dirty: AtomicBool,
    /// Levels that were kept but are not configured now; they stay in the file.
    others: Vec<(i32, i64)>,
}

#[derive(Debug)]
struct Level {
    /// From 1 on.
    number: i32,
    delay_ms: i64,
    queue: Arc<Queue>,
    /// The first message that is not delivered.
    offset: AtomicI64,
    safe: Mutex<Safe>,
    /// Whether the file says how far it is: the original writes a level from its first message on.
    is_kept: AtomicBool,
}

impl Level {
    /// When a message is due that is not yet. A time that is farther than the delay is wrong, because the clock was.
    fn waits_until(&self, unit: &Unit, now_ms: i64) -> Option<i64> {
        let waits = unit.tags_code > now_ms && unit.tags_code <= now_ms.saturating_add(self.delay_ms);
        waits.then_some(unit.tags_code)
    }
}

/// A message that is due.
pub(crate) struct Due {
    pub(crate) level: i32,
    offset: i64,
    /// `None` when there is nothing to deliver.
    pub(crate) record: Option<Bytes>,
}

/// How far a level may say that it is: not farther than what it delivered is on disk, or a power cut would lose it.
#[derive(Clone, Copy, Debug)]
struct Safe {
    offset: i64,
    /// Offsets that will be safe when the log is on disk up to that one: the next, and the newest.
    next: Option<(i64, i64)>,
    last: Option<(i64, i64)>,
}

impl Safe {
    fn advance(&mut self, flushed: i64) {
        let is_safe = |waiting: Option<(i64, i64)>| waiting.filter(|(_, log_end)| *log_end <= flushed);
        if let Some((offset, _)) = is_safe(self.last) {
            *self = Safe { offset, next: None, last: None };
        } else if let Some((offset, _)) = is_safe(self.next) {
            *self = Safe { offset, next: self.last, last: self.last };
        }
    }

    fn note(&mut self, offset: i64, log_end: i64) {
        self.last = Some((offset, log_end));
        self.next = self.next.or(self.last);
    }
}

/// The level that a message waits in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay<'a> {
    pub(crate) delay_ms: i64,
    pub(crate) queue: &'a Arc<Queue>,
    level: i32,
    /// The message asks for a level that there is not; it has to name the one that it gets.
    is_other: bool,
}

impl Delay<'_> {
    /// The properties that say where the message goes when it is due.
    pub(crate) fn way(&self, topic: &str, queue_id: i32) -> String {
        let mut text = String::new();
        if self.is_other {
            properties::append(&mut text, name::DELAY, &self.level.to_string());
        }
        properties::append(&mut text, name::REAL_TOPIC, topic);
        properties::append(&mut text, name::REAL_QID, &queue_id.to_string());
        text
    }
}

impl Schedule {
    /// The configured levels, as far as they were when that was kept.
    pub(crate) fn new(
        settings: &BrokerSettings,
        store: &Store,
        kept: DelayOffsetSerializeWrapper,
        now_ms: i64,
    ) -> Result<Schedule, StartError> {
        let delays = parse_delay_levels(&settings.store.message_delay_level)?;
        let mut is_other_than_kept = false;
        let level = |(number, delay_ms): (i32, i64)| -> Result<Level, QueueNameError> {
            let queue = store.queue_or_create(names::SCHEDULE_TOPIC, number - 1)?;
            let offset = kept.offset_table.get(&number).copied();
            let right = offset.unwrap_or_default().clamp(queue.min_offset(), queue.max_offset());
            if let Some(offset) = offset.filter(|offset| *offset != right) {
                tracing::error!(level = number, offset, right, "a delay level was not where its file says");
                is_other_than_kept = true;
            }
            let safe = Mutex::new(Safe { offset: right, next: None, last: None });
            Ok(Level { number, delay_ms, queue, offset: right.into(), safe, is_kept: offset.is_some().into() })
        };
        let levels: Vec<Level> = (1..).zip(delays).map(level).collect::<Result<_, _>>()?;
        let count = levels.len();
        let is_other = |number: i32| usize::try_from(number).is_ok_and(|number| number > count);
        let mut version = kept.data_version.unwrap_or_default();
        if version.timestamp == 0 {
            version.timestamp = now_ms;
        }
        Ok(Schedule {
            levels,
            version: Mutex::new(version),
            moves: AtomicU64::new(0),
            version_step: settings.broker.delay_offset_update_version_step.max(1),
            dirty: is_other_than_kept.into(),
            others: kept.offset_table.into_iter().filter(|(number, _)| is_other(*number)).collect(),
        })
    }

    /// The level of that number, or the highest one for what is beyond; `None` for no delay.
    pub(crate) fn delay(&self, wanted: i32) -> Option<Delay<'_>> {
        let position = usize::try_from(wanted).ok()?.min(self.levels.len()).checked_sub(1)?;
        let level = &self.levels[position];
        let is_other = level.number != wanted;
        Some(Delay { delay_ms: level.delay_ms, queue: &level.queue, level: level.number, is_other })
    }

    /// Whether something changed since the last call. The caller writes a [`snapshot`](Schedule::snapshot) then.
    pub(crate) fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::AcqRel)
    }

    /// The levels that messages came through: number, first message that is not delivered, end of the queue.
    pub(crate) fn progress(&self) -> impl Iterator<Item = (i32, i64, i64)> {
        let used = self.levels.iter().filter(|level| level.is_kept.load(Ordering::Relaxed));
        used.map(|level| (level.number, level.offset.load(Ordering::Relaxed), level.queue.max_offset()))
    }

    /// How far the levels are, as far as the log is on disk up to `flushed`.
    pub(crate) fn snapshot(&self, flushed: i64) -> DelayOffsetSerializeWrapper {
        let data_version = Some(*self.version.lock());
        let mut offset_table: BTreeMap<i32, i64> = self.others.iter().copied().collect();
        for level in self.levels.iter().filter(|level| level.is_kept.load(Ordering::Relaxed)) {
            let mut safe = level.safe.lock();
            safe.advance(flushed);
            if safe.last.is_some() {
                self.dirty.store(true, Ordering::Release);
            }
            offset_table.insert(level.number, safe.offset);
        }
        DelayOffsetSerializeWrapper { data_version, offset_table }
    }

    /// Takes over how far the levels of the master are. A slave delivers nothing itself.
    pub(crate) fn take_from_master(&self, master: &DelayOffsetSerializeWrapper) {
        for level in &self.levels {
            let Some(offset) = master.offset_table.get(&level.number) else { continue };
            let is_moved = level.offset.swap(*offset, Ordering::AcqRel) != *offset;
            *level.safe.lock() = Safe { offset: *offset, next: None, last: None };
            if !level.is_kept.swap(true, Ordering::Relaxed) || is_moved {
                self.dirty.store(true, Ordering::Release);
            }
        }
        if let Some(version) = master.data_version {
            *self.version.lock() = version;
        }
    }

    /// Takes over what a slave delivered while the master was away. What was delivered here is not delivered again.
    pub(crate) fn take_back(&self, slave: &DelayOffsetSerializeWrapper) {
        for level in &self.levels {
            let Some(offset) = slave.offset_table.get(&level.number).copied() else { continue };
            let offset = offset.min(level.queue.max_offset());
            if level.offset.fetch_max(offset, Ordering::AcqRel) < offset {
                *level.safe.lock() = Safe { offset, next: None, last: None };
                level.is_kept.store(true, Ordering::Relaxed);
                self.dirty.store(true, Ordering::Release);
            }
        }
    }

    /// Some of what is due and was not delivered, level by level. Waits for the disk.
    pub(crate) fn due(&self, store: &Store, now_ms: i64) -> Vec<Due> {
        let mut due = Vec::new();
        for level in &self.levels {
            let from = level.offset.load(Ordering::Acquire).max(level.queue.min_offset());
            let units = match store.units(&level.queue, from, STEP_COUNT_MAX) {
                Ok(units) => units,
                Err(error) => {
                    tracing::error!(level = level.number, %error, "the queue of a delay level cannot be read");
                    continue;
                }
            };
            for (offset, unit) in (from..).zip(units) {
                if level.waits_until(&unit, now_ms).is_some() {
                    break;
                }
                let record = match store.record(unit.log_offset) {
                    _ if unit.is_blank() => None,
                    Ok(record) => Some(record),
                    Err(ReadError::Io(_)) => break,
                    // It is not there any more.
                    Err(_) => None,
                };
                due.push(Due { level: level.number, offset, record });
            }
        }
        due
    }

    /// Notes that what was due has gone to another broker: nothing of it depends on the log here.
    pub(crate) fn sent(&self, due: &Due, now_ms: i64) {
        if let Some(level) = self.levels.iter().find(|level| level.number == due.level) {
            self.move_to(level, due.offset + 1, 0, now_ms);
        }
    }

    /// Notes that a level has delivered what lies before `offset`; the log ended at `log_end` then.
    fn move_to(&self, level: &Level, offset: i64, log_end: i64, now_ms: i64) {
        let is_moved = level.offset.swap(offset, Ordering::AcqRel) != offset;
        if level.is_kept.swap(true, Ordering::Relaxed) && !is_moved {
            return;
        }
        level.safe.lock().note(offset, log_end);
        let moves = self.moves.fetch_add(1, Ordering::Relaxed) + 1;
        if moves.is_multiple_of(self.version_step) {
            self.version.lock().next(now_ms);
        }
        self.dirty.store(true, Ordering::Release);
    }
}

/// Delivers what is due. There is one.
pub(crate) struct Deliverer {
    staging: Staging,
    /// Where the last message went: the next one probably goes there, too.
    last: Option<Arc<Queue>>,
}

/// What became of a unit.
enum Step {
    Staged(Slot),
    /// There is no message to deliver.
    Passed,
    /// The device failed: it is tried again.
    Failed,
}

impl Deliverer {
    pub(crate) fn new(broker: &Broker) -> Deliverer {
        Deliverer { staging: broker.store.staging(), last: None }
    }

    /// Delivers some of what is due in each level. Returns when to look again, which is `now_ms` when more is due.
    pub(crate) fn step(&mut self, broker: &Broker, now_ms: i64) -> i64 {
        let levels = broker.schedule.levels.iter();
        levels.map(|level| self.step_level(broker, level, now_ms)).min().unwrap_or(i64::MAX)
    }

    fn step_level(&mut self, broker: &Broker, level: &Level, now_ms: i64) -> i64 {
        let from = level.offset.load(Ordering::Acquire).max(level.queue.min_offset());
        if from >= level.queue.max_offset() {
            return i64::MAX;
        }
        let units = match broker.store.units(&level.queue, from, STEP_COUNT_MAX) {
            Ok(units) => units,
            Err(error) => {
                tracing::error!(level = level.number, %error, "the queue of a delay level cannot be read");
                return now_ms + RETRY_MS;
            }
        };
        self.staging.clear();
        let mut staged: Vec<(i64, Slot)> = Vec::with_capacity(units.len());
        let (mut end, mut next_ms) = (from, now_ms);
        for unit in &units {
            if let Some(due_ms) = level.waits_until(unit, now_ms) {
                next_ms = due_ms;
                break;
            }
            match self.stage(broker, unit) {
                Step::Staged(slot) => staged.push((end, slot)),
                Step::Passed => {}
                Step::Failed => {
                    next_ms = now_ms + RETRY_MS;
                    break;
                }
            }
            end += 1;
            if self.staging.bytes() >= STEP_BYTES_MAX {
                break;
            }
        }
        if !staged.is_empty() {
            reput::append(broker, &mut self.staging);
            let refused = staged.iter().find(|(_, slot)| self.staging.placed(*slot).status != PutStatus::PutOk);
            if let Some((offset, _)) = refused {
                tracing::error!(level = level.number, offset, "a delayed message cannot be stored; it is tried again");
                (end, next_ms) = (*offset, now_ms + RETRY_MS);
            }
        }
        let watermarks = broker.store.watermarks();
        broker.schedule.move_to(level, end, watermarks.appended.value(), now_ms);
        level.safe.lock().advance(watermarks.flushed.value());
        next_ms
    }

    /// Stages the message of a unit for the queue that it is meant for.
    fn stage(&mut self, broker: &Broker, unit: &Unit) -> Step {
        if unit.is_blank() {
            return Step::Passed;
        }
        let log_offset = unit.log_offset;
        let record = match broker.store.record(log_offset) {
            Ok(record) => record,
            Err(error @ ReadError::Io(_)) => {
                tracing::error!(log_offset, %error, "a delayed message cannot be read; it is tried again");
                return Step::Failed;
            }
            Err(error) => {
                tracing::error!(log_offset, %error, "a delayed message is not there any more");
                return Step::Passed;
            }
        };
        let staged = RecordView::parse(&record).map_err(|error| error.to_string()).and_then(|view| {
            let text = view.properties();
            let queue = self.queue(broker, Properties(&text))?;
            self.staging.put(&queue, &reput::again(&view, &[&text])).map_err(|error| error.to_string())
        });
        match staged {
            Ok(slot) => Step::Staged(slot),
            Err(reason) => {
                tracing::error!(log_offset, reason, "a delayed message cannot be delivered; it is passed over");
                Step::Passed
            }
        }
    }

    /// The queue that the message is meant for.
    fn queue(&mut self, broker: &Broker, properties: Properties<'_>) -> Result<Arc<Queue>, String> {
        let topic = properties.get(name::REAL_TOPIC).ok_or("it does not say its topic")?;
        let queue_id = properties.get(name::REAL_QID).and_then(|text| text.parse().ok());
        let queue_id: i32 = queue_id.ok_or("it does not say its queue")?;
        if matches!(topic, names::TRANS_HALF_TOPIC | names::SCHEDULE_TOPIC) {
            return Err(format!("it is meant for {topic}, which nobody may send to"));
        }
        match &self.last {
            Some(queue) if *queue.topic == *topic && queue.queue_id == queue_id && !queue.is_deleted() => {
                return Ok(Arc::clone(queue));
            }
            _ => {}
        }
        let queue = broker.queue_again(topic, queue_id).ok_or("the store cannot have its queue")?;
        self.last = Some(Arc::clone(&queue));
        Ok(queue)
    }
}
