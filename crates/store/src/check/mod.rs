//! Checks the folder of a store that no broker runs on against everything that its formats promise, without changing it.
//!
//! One walk over the log, in which the [index] is read along; then every unit of every queue against its record. What the
//! formats do not protect is listed in `docs/formats.md`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raptormq_protocol::json;
use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::message::sys_flag;

use crate::checkpoint::Checkpoint;
use crate::commit_log::recover::Step;
use crate::consume_queue::unit::{BatchUnit, Unit};
use crate::consume_queue::{Queue, QueueType};
use crate::disk::LogFile;
use crate::get::Patience;
use crate::recover::place;
use crate::staging::Facts;

mod index;
mod offline;

pub use offline::Offline;

use index::IndexCheck;

/// Bytes behind the end of a queue or an index file that must be zero; the rest is not looked at, because most of such a
/// file is a hole.
const REST_BYTES: u64 = 64 << 10;
/// Bytes of the log behind its end that are looked at at once.
const ZERO_BYTES: u64 = 1 << 20;
/// Bytes of the checkpoint.
const CHECKPOINT_BYTES: u64 = 4096;
/// Longest file of `config` that is looked at.
const CONFIG_BYTES_MAX: u64 = 1 << 30;
/// Units that are read at once.
const UNITS: usize = 4096;
/// Queues of light message queues: their units name messages of other topics.
const LMQ_PREFIX: &str = "%LMQ%";

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub at: u64,
    /// What is wrong.
    pub reason: String,
    /// Whether a crash explains it, and the next start repairs it.
    pub is_repaired: bool,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whether the last stop was in order.
    pub was_clean: bool,
    /// First log offset.
    pub log_min: i64,
    /// Log offset behind the last record.
    pub log_end: i64,
    /// Whole records.
    pub record_count: u64,
    /// Store timestamps of the first and the last record, in milliseconds.
    pub stored_ms: Option<(i64, i64)>,
    /// Queues.
    pub queue_count: u64,
    /// Their units.
    pub unit_count: u64,
    /// Index files.
    pub index_count: u64,
    /// Their entries.
    pub key_count: u64,
    /// Findings that the next start does not repair.
    pub violation_count: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.path.display(), self.at, self.reason)
    }
}

impl Offline {
    /// Checks everything; `tell` hears of each finding.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn check(&self, tell: &mut dyn FnMut(&Finding)) -> io::Result<Summary> {
        let summary = Summary { was_clean: !self.has_abort, log_min: self.log.min_offset(), ..Summary::default() };
        let mut check = Check { store: self, tell, summary, of_queue: HashMap::new() };
        let mut index = IndexCheck::open(&mut check);
        check.log(&mut index)?;
        index.end(&mut check)?;
        check.queues();
        check.checkpoint();
        check.config();
        Ok(check.summary)
    }
}

/// What the log has of a queue.
#[derive(Clone, Copy, Debug, Default)]
struct OfQueue {
    count: u64,
    next_offset: i64,
}

/// A unit where it was found; `batch` is there in batch queues.
struct FoundUnit {
    position: i64,
    unit: Unit,
    batch: Option<BatchUnit>,
}

/// A check on its way.
struct Check<'a> {
    store: &'a Offline,
    tell: &'a mut dyn FnMut(&Finding),
    summary: Summary,
    /// By the queue's serial number.
    of_queue: HashMap<u64, OfQueue>,
}

impl Check<'_> {
    fn violation(&mut self, path: &Path, at: u64, reason: String) {
        self.find(path, at, reason, false);
    }

    /// Something that a crash may have left: a violation only when the stop was in order.
    fn lag(&mut self, path: &Path, at: u64, reason: String) {
        self.find(path, at, reason, self.store.has_abort);
    }

    fn find(&mut self, path: &Path, at: u64, reason: String, is_repaired: bool) {
        self.summary.violation_count += u64::from(!is_repaired);
        (self.tell)(&Finding { path: path.to_owned(), at, reason, is_repaired });
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.violation(path, 0, format!("it cannot be read: {error}"));
    }

    fn in_log(&mut self, log_offset: i64, reason: String, is_lag: bool) {
        let (file, at) = self.store.log.file_of(log_offset);
        if is_lag {
            self.lag(Path::new(&file), at as u64, reason);
        } else {
            self.violation(Path::new(&file), at as u64, reason);
        }
    }

    /// Walks the log from its first record to its end, over files that are damaged.
    fn log(&mut self, index: &mut IndexCheck) -> io::Result<()> {
        let store = self.store;
        let mut from = store.log.min_offset();
        loop {
            let walk = store.log.walk(from, |record| {
                self.record(record);
                index.record(self, record)?;
                Ok(Step::Next)
            });
            let walked = walk.map_err(|error| in_file(&store.log.file_of(from).0, &error))?;
            self.summary.log_end = walked.end;
            let Some(segment) = store.log.segment(walked.end) else { return Ok(()) };
            let next = segment.end;
            let is_last = store.log.probe(next).is_none();
            let place = (walked.end - segment.start) as u64;
            if walked.is_torn || !is_last {
                let left = (segment.end - walked.end) as usize;
                let reason = store.log.why_not(walked.end, left)?;
                self.in_log(walked.end, reason, is_last);
            } else if let Some(at) = first_nonzero(&*segment.file, place, segment.file.len())? {
                self.in_log(segment.start + at as i64, "something behind the end of the log".to_owned(), true);
            }
            if is_last {
                return self.unused(next);
            }
            from = next;
        }
    }

    /// Files behind the end hold nothing.
    fn unused(&mut self, from: i64) -> io::Result<()> {
        let mut start = from;
        while let Some(segment) = self.store.log.segment(start) {
            if let Some(at) = first_nonzero(&*segment.file, 0, segment.file.len())? {
                self.in_log(start + at as i64, "something in a file behind the end of the log".to_owned(), true);
            }
            start = segment.end;
        }
        Ok(())
    }

    fn record(&mut self, record: &RecordView<'_>) {
        self.summary.record_count += 1;
        let stored_ms = record.store_timestamp_ms;
        let (first_ms, last_ms) = self.summary.stored_ms.unwrap_or((stored_ms, stored_ms));
        if stored_ms < last_ms {
            let reason = format!("a record stored at {stored_ms} behind one stored at {last_ms}");
            self.in_log(record.log_offset, reason, false);
        }
        self.summary.stored_ms = Some((first_ms, stored_ms.max(last_ms)));
        if !sys_flag::is_queued(record.sys_flag) {
            return;
        }
        let properties = record.properties();
        let facts = Facts::read(&[&properties]);
        if facts.inner_count.is_some() && facts.inner_base.is_some() {
            // When the topic has queues, these say what it is.
            let _ = self.store.queues.load_type(record.topic, QueueType::Batch);
        }
        let Ok(queue) = self.store.queues.get_or_create(record.topic, record.queue_id) else {
            let reason = format!("a record of {:?} {}, which no queue can be named", record.topic, record.queue_id);
            return self.in_log(record.log_offset, reason, false);
        };
        let Some((offset, messages)) = place(&queue, record, &facts) else { return };
        if record.queue_offset != offset {
            let reason = format!("queue offset {} of {queue:?}, but {offset} in its properties", record.queue_offset);
            self.in_log(record.log_offset, reason, false);
        }
        let known = self.of_queue.entry(queue.serial).or_default();
        let expected = known.next_offset;
        // A topic that was deleted and made again begins at 0.
        let count = if offset == 0 { 1 } else { known.count + 1 };
        let is_first = known.count == 0;
        *known = OfQueue { count, next_offset: offset.saturating_add(messages.into()) };
        if !is_first && offset != expected && offset != 0 {
            let reason = format!("queue offset {offset} of {queue:?}, not {expected}");
            self.in_log(record.log_offset, reason, false);
        }
    }

    /// Every unit of every queue against its record.
    fn queues(&mut self) {
        for queue in self.store.queues.all() {
            self.summary.queue_count += 1;
            if let Err(error) = self.queue(&queue) {
                self.unreadable(&self.store.files.queue_folder(&queue), &error);
            }
        }
    }

    fn queue(&mut self, queue: &Arc<Queue>) -> io::Result<()> {
        let in_log = self.of_queue.get(&queue.serial).copied().unwrap_or_default();
        // Without files its topic was deleted, or it was never written, which a start repairs.
        let Some(first) = self.store.files.first_position(queue)? else { return Ok(()) };
        let count = self.units(queue, first)?;
        let (path, at) = match queue.end() {
            end if end > first => {
                let (path, at) = self.store.files.place_of(queue, end - 1);
                (path, at + queue.queue_type.unit_bytes() as u64)
            }
            _ => self.store.files.place_of(queue, first),
        };
        if count < in_log.count {
            let missing = in_log.count - count;
            self.lag(&path, at, format!("{missing} messages of {queue:?} are in the log and not in the queue"));
        }
        if let Some(file) = self.store.disk.open_to_read(&path).ok().filter(|file| at < file.len())
            && let Some(at) = first_nonzero(&*file, at, file.len().min(at + REST_BYTES))?
        {
            self.lag(&path, at, format!("something behind the end of {queue:?}"));
        }
        Ok(())
    }

    /// Checks the units of a queue; returns how many name a message that is still in the log.
    fn units(&mut self, queue: &Arc<Queue>, first: i64) -> io::Result<u64> {
        let mut count = 0;
        let mut log_end = 0;
        let unit_bytes = queue.queue_type.unit_bytes();
        let mut buffer = vec![0; UNITS * unit_bytes];
        let mut position = first;
        while position < queue.end() {
            let room = ((queue.end() - position) as usize * unit_bytes).min(buffer.len());
            let read = queue.read(&self.store.files, position, &mut buffer[..room], Patience::Disk)?;
            if read == 0 {
                break;
            }
            for bytes in buffer[..read * unit_bytes].chunks_exact(unit_bytes) {
                let Some(unit) = bytes.first_chunk().map(Unit::decode) else { break };
                let batch = bytes.first_chunk().map(BatchUnit::decode);
                self.summary.unit_count += u64::from(!unit.is_blank());
                if let Some(reason) = self.unit(queue, &FoundUnit { position, unit, batch }, log_end) {
                    let (path, at) = self.store.files.place_of(queue, position);
                    let is_end = unit.log_offset >= self.summary.log_end;
                    self.find(&path, at, reason, is_end && self.store.has_abort);
                }
                count += u64::from(!unit.is_blank() && unit.log_offset >= self.summary.log_min);
                log_end = unit.log_end().max(log_end);
                position += 1;
            }
        }
        Ok(count)
    }

    /// What is wrong with a unit.
    fn unit(&self, queue: &Queue, found: &FoundUnit, log_end: i64) -> Option<String> {
        let FoundUnit { position, unit, batch } = found;
        if unit.is_blank() {
            let is_right = *unit == Unit::BLANK && log_end == 0;
            return if is_right { None } else { Some(format!("a blank unit in the middle of {queue:?}")) };
        }
        if !unit.is_written() {
            return Some(format!("unit {position} of {queue:?} was never written"));
        }
        if unit.log_offset < log_end {
            return Some(format!("unit {position} of {queue:?} lies before the one in front of it in the log"));
        }
        if unit.log_offset < self.summary.log_min {
            return None;
        }
        let levels = &self.store.options.delay_levels_ms;
        let differs = self.store.log.probe_record(unit.log_offset, |record| {
            let properties = record.properties();
            let facts = Facts::read(&[&properties]);
            let tags_code = facts.tags(queue.is_schedule, levels).code(record.store_timestamp_ms);
            let expected = batch.as_ref().map_or((*position, 1), |batch| (batch.base_offset, batch.count));
            // Smaller ones are addresses in a queue's extension.
            let has_extension = self.store.has_extensions && unit.tags_code < i64::from(i32::MIN);
            let what = if record.size as i64 != i64::from(unit.size) {
                "size"
            } else if queue.topic.starts_with(LMQ_PREFIX) {
                return None;
            } else if record.topic != &*queue.topic || record.queue_id != queue.queue_id {
                "queue"
            } else if place(queue, record, &facts) != Some(expected) {
                "queue offset"
            } else if unit.tags_code != tags_code && !has_extension {
                "tags code"
            } else if batch.as_ref().is_some_and(|batch| batch.store_timestamp_ms != record.store_timestamp_ms) {
                "time"
            } else {
                return None;
            };
            Some(format!("unit {position} of {queue:?} has another {what} than its record at {}", unit.log_offset))
        });
        let none = || Some(format!("unit {position} of {queue:?} names {}, where no record is", unit.log_offset));
        differs.unwrap_or_else(none)
    }

    fn checkpoint(&mut self) {
        let path = self.store.options.root.join("checkpoint");
        let bytes = match self.store.disk.read(&path, CHECKPOINT_BYTES) {
            Ok(bytes) if bytes.len() as u64 == CHECKPOINT_BYTES => bytes,
            Ok(bytes) => {
                return self.violation(&path, 0, format!("{} bytes instead of {CHECKPOINT_BYTES}", bytes.len()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreadable(&path, &error),
        };
        if let Some(at) = bytes[40..].iter().position(|byte| *byte != 0) {
            self.violation(&path, 40 + at as u64, "something behind the fields".to_owned());
        }
        let Some(value) = bytes.first_chunk().map(Checkpoint::decode) else { return };
        let last_ms = self.summary.stored_ms.map_or(i64::MAX, |(_, last_ms)| last_ms);
        for (at, ms) in [(0, value.log_timestamp_ms), (8, value.queues_timestamp_ms), (16, value.index_timestamp_ms)] {
            if !(0..=last_ms).contains(&ms) {
                self.violation(&path, at, format!("time {ms}, but the last message was stored at {last_ms}"));
            }
        }
    }

    /// Every JSON file of `config` can be read, or its backup can.
    fn config(&mut self) {
        let folder = self.store.options.root.join("config");
        let entries = match self.store.disk.list(&folder) {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(&folder, &error),
        };
        for entry in entries.iter().filter(|entry| entry.name.ends_with(".json")) {
            let path = folder.join(&entry.name);
            let text = match self.text_of(&path) {
                Ok(text) => text,
                Err(error) => {
                    self.unreadable(&path, &error);
                    continue;
                }
            };
            if let Err(error) = json::check(&text) {
                let backup = self.text_of(&folder.join(format!("{}.bak", entry.name)));
                let has_backup = backup.is_ok_and(|text| json::check(&text).is_ok());
                let then = if has_backup { "; its .bak is used" } else { ", and so is its .bak" };
                self.find(&path, 0, format!("no JSON: {error}{then}"), has_backup);
            }
        }
    }

    fn text_of(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.store.disk.open_to_read(path)?;
        match file.len() {
            len @ 0..=CONFIG_BYTES_MAX => file.view(0, len as usize),
            len => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes are too many"))),
        }
    }
}

/// The same error, which says where.
fn in_file(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// Where the first byte of a range lies that is not zero.
fn first_nonzero(file: &dyn LogFile, from: u64, to: u64) -> io::Result<Option<u64>> {
    let mut at = from;
    while at < to {
        let count = (to - at).min(ZERO_BYTES);
        let bytes = file.view(at, count as usize)?;
        if let Some(position) = bytes.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + position as u64));
        }
        at += count;
    }
    Ok(None)
}
