//! Consume queues: for each topic and queue id, the places of its messages in the log in their order.
//!
//! A queue is a tail in memory that is written behind in runs ([`Queue::write_behind`]), and the files of [`files`].
//! What was not written is rebuilt from the log. [`table`] finds a queue by topic and id; [`unit`] is the format.
//!
//! Within the store a unit is found by its *position*, the number of units before it. In a simple queue that is the queue
//! offset of its message. In a batch queue a unit stands for a record of one or several messages, and [`batch`] finds it
//! by the offset of any of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

mod batch;
mod clean;
pub(crate) mod ext;
pub(crate) mod files;
pub(crate) mod light;
pub(crate) mod load;
pub(crate) mod table;
pub(crate) mod tails;
pub(crate) mod unit;

use files::QueueFiles;
use unit::{BATCH_UNIT_BYTES, BatchUnit, UNIT_BYTES, Unit};

use crate::get::Patience;

/// Unwritten units that make the append write them out itself instead of leaving them to the background.
pub(crate) const UNWRITTEN_MAX: usize = 1024;
/// Unwritten units that make the append ask for a flush of the log, without which they cannot be written.
const UNFLUSHED_MAX: usize = 1 << 18;
/// Units that are written at once. The queue cannot be appended to meanwhile.
const UNITS_A_WRITE: usize = 4096;
/// Room for units that a queue keeps when its tail was written.
const KEPT_UNITS: usize = 64;

/// How a topic's queues are kept: its attribute `queue.type` (Java: `common/attribute/CQType.java`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// `SimpleCQ`: a unit for each message.
    #[default]
    Simple,
    /// `BatchCQ`: a unit for each record, which may hold a whole batch of messages.
    Batch,
}

impl QueueType {
    /// Bytes of a unit.
    pub(crate) fn unit_bytes(self) -> usize {
        match self {
            QueueType::Simple => UNIT_BYTES,
            QueueType::Batch => BATCH_UNIT_BYTES,
        }
    }
}

/// What a record adds to its queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewUnit<'a> {
    pub(crate) unit: Unit,
    /// Offset of the record's first message.
    pub(crate) queue_offset: i64,
    /// Number of its messages: 1 but in batch queues.
    pub(crate) count: i16,
    pub(crate) store_timestamp_ms: i64,
    /// Which filters want it; empty when nobody says so.
    pub(crate) bit_map: &'a [u8],
}

/// One queue of a topic. Shared by `Arc`; it stays usable, though no longer reachable, when its topic is deleted.
pub struct Queue {
    /// The topic.
    pub topic: Arc<str>,
    /// Number of the queue within the topic.
    pub queue_id: i32,
    /// How it is kept.
    pub queue_type: QueueType,
    /// How many pulls wait for this queue's next message. Belongs to the broker: an append looks at it to know whether
    /// anybody has to be woken.
    pub holds: AtomicUsize,
    /// What was appended since the store was opened.
    pub puts: Puts,
    /// Tells queues apart that had the same name one after the other.
    pub(crate) serial: u64,
    /// Java's hash of the topic and `#`, from which the hashes of this topic's keys go on.
    pub(crate) key_hash: i32,
    /// Whether units are extended: see [`ext`].
    pub(crate) has_ext: bool,
    /// Bytes of a file of the extension.
    ext_file_bytes: i64,
    /// Number of the first file of the extension that may be there.
    ext_first_file: AtomicI64,
    /// Whether it has messages of other topics: see [`light`].
    pub(crate) is_light: bool,
    /// Whether tags codes are times of delivery.
    pub(crate) is_schedule: bool,
    /// Offset of the next message; changes only under the log's lock.
    pub(crate) next_offset: AtomicI64,
    /// Whether it stands in the list of queues to be written; changes only under the dispatch lock.
    pub(crate) is_dirty: AtomicBool,
    is_deleted: AtomicBool,
    /// Messages up to here are in the queue.
    max_offset: AtomicI64,
    min_offset: AtomicI64,
    /// The positions that belong to the two offsets; only batch queues have others than the offsets themselves.
    batch_end: AtomicI64,
    batch_first: AtomicI64,
    /// The messages from the minimum on lie at this log offset or behind it; -1 when that is not known.
    first_log_offset: AtomicI64,
    /// No file begins before this position.
    first_file: AtomicI64,
    tail: Mutex<Tail>,
}

/// What was appended to a queue since the store was opened. One thread at a time counts, under the dispatch lock.
#[derive(Debug, Default)]
pub struct Puts {
    /// Entries: messages, and batches as one.
    pub entries: AtomicU64,
    /// Messages.
    pub messages: AtomicU64,
    /// Bytes of their records.
    pub bytes: AtomicU64,
    /// Whole milliseconds that their appends took. Belongs to the broker, which measures.
    pub latency_ms: AtomicU64,
}

impl Puts {
    /// Counts an entry; the caller holds the dispatch lock.
    pub(crate) fn note(&self, messages: usize, bytes: usize) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.store(counter.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        };
        add(&self.entries, 1);
        add(&self.messages, messages as u64);
        add(&self.bytes, bytes as u64);
    }
}

/// The units that are not in the files yet. The queue ends at `written + units`.
#[derive(Default)]
struct Tail {
    /// Position of the first unit that is not in the files.
    written: i64,
    /// The unit before that, if it is known without reading it.
    last: Option<Unit>,
    ext: ext::ExtTail,
    /// Encoded units; bounded by what is appended between two flushes of the log, which are made more often from
    /// [`UNFLUSHED_MAX`] on.
    units: Vec<u8>,
    /// How many bytes of them are in the files already.
    done: usize,
}

/// A queue as its files have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenTail {
    /// Offset of the first message.
    pub(crate) min: i64,
    /// Offset behind the last unit that was written.
    pub(crate) max: i64,
    /// That unit, if it is known without reading it.
    pub(crate) last: Option<Unit>,
}

impl Tail {
    /// The last unit, if it is known without reading it.
    fn last_unit(&self, queue_type: QueueType) -> Option<Unit> {
        let unwritten = self.unwritten();
        let last = unwritten.len().checked_sub(queue_type.unit_bytes()).and_then(|at| unwritten[at..].first_chunk());
        last.map(Unit::decode).or(self.last)
    }

    /// The units that are not in the files.
    fn unwritten(&self) -> &[u8] {
        &self.units[self.done..]
    }

    /// Notes that so many bytes more are in the files.
    fn note_written(&mut self, bytes: usize, queue_type: QueueType) {
        let unit_bytes = queue_type.unit_bytes();
        self.written += (bytes / unit_bytes) as i64;
        self.done += bytes;
        let last = self.units[..self.done].len().checked_sub(unit_bytes).and_then(|at| self.units[at..].first_chunk());
        self.last = last.map(Unit::decode).or(self.last);
        if self.done == self.units.len() {
            self.units.clear();
            self.units.shrink_to(KEPT_UNITS * unit_bytes);
            self.done = 0;
        } else if self.done > self.units.len() / 2 {
            self.units.drain(..self.done);
            self.done = 0;
        }
    }
}

impl Queue {
    /// Offset of the first message that can still be read.
    pub fn min_offset(&self) -> i64 {
        self.min_offset.load(Ordering::Acquire)
    }

    /// Offset behind the last message; readers may have less: see [`Store::visible_end`](crate::Store::visible_end).
    pub fn max_offset(&self) -> i64 {
        self.max_offset.load(Ordering::Acquire)
    }

    /// Whether its topic was deleted: what is put into it now nobody finds.
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Notes that the messages from the minimum on lie at this log offset or behind it.
    pub(crate) fn begins_at(&self, log_min: i64) {
        self.first_log_offset.fetch_max(log_min, Ordering::AcqRel);
    }

    /// Says that the topic was deleted: nothing is written to the files any more once this returned.
    pub(crate) fn mark_deleted(&self) {
        let _tail = self.tail.lock();
        self.is_deleted.store(true, Ordering::Release);
    }

    /// Position of the first unit that can still be read.
    pub(crate) fn first(&self) -> i64 {
        match self.queue_type {
            QueueType::Simple => self.min_offset(),
            QueueType::Batch => self.batch_first.load(Ordering::Acquire),
        }
    }

    /// Position behind the last unit that can be read.
    pub(crate) fn end(&self) -> i64 {
        match self.queue_type {
            QueueType::Simple => self.max_offset(),
            QueueType::Batch => self.batch_end.load(Ordering::Acquire),
        }
    }

    /// Adds the next unit, to be read from now on; returns whether it is time to write the tail out. Called under the
    /// dispatch lock, so in the order of the log.
    pub(crate) fn push(&self, new: &NewUnit<'_>) -> bool {
        let mut tail = self.tail.lock();
        if self.max_offset() == 0 && !new.unit.is_blank() {
            self.first_log_offset.store(new.unit.log_offset, Ordering::Release);
        }
        match self.queue_type {
            QueueType::Simple => {
                let mut unit = new.unit;
                if self.has_ext && !unit.is_blank() {
                    let (tags_code, stored_ms) = (unit.tags_code, new.store_timestamp_ms);
                    unit.tags_code = tail.ext.push(tags_code, stored_ms, new.bit_map, self.ext_file_bytes);
                }
                tail.units.extend_from_slice(&unit.encode());
            }
            QueueType::Batch => tail.units.extend_from_slice(&BatchUnit::from(new).encode()),
        }
        let unwritten = tail.unwritten().len() / self.queue_type.unit_bytes();
        let end = tail.written + unwritten as i64;
        match self.queue_type {
            QueueType::Simple => self.max_offset.store(end, Ordering::Release),
            QueueType::Batch => self.note_batch_pushed(new, end),
        }
        unwritten >= UNWRITTEN_MAX
    }

    /// Whether so many units are unwritten that whoever appends writes them.
    pub(crate) fn is_overdue(&self) -> bool {
        self.tail.lock().unwritten().len() >= UNWRITTEN_MAX * self.queue_type.unit_bytes()
    }

    /// Whether so many units are unwritten that the log should be flushed.
    pub(crate) fn wants_flush(&self) -> bool {
        self.tail.lock().unwritten().len() >= UNFLUSHED_MAX * self.queue_type.unit_bytes()
    }

    /// Whether there are units that are not in the files.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.tail.lock().unwritten().is_empty()
    }

    /// Writes those units of the tail to the files whose messages lie before `flushed`, so that the files never have a unit
    /// of a message that a loss of power may take back. After an error they are still in memory.
    pub(crate) fn write_behind(&self, files: &QueueFiles, flushed: i64) -> io::Result<()> {
        while self.write_some(files, flushed)? == UNITS_A_WRITE {}
        Ok(())
    }

    /// Does the same with so many units that it does not take long; returns how many that were.
    pub(crate) fn write_some(&self, files: &QueueFiles, flushed: i64) -> io::Result<usize> {
        let unit_bytes = self.queue_type.unit_bytes();
        let mut tail = self.tail.lock();
        // Both kinds of units begin with the same fields, and blank ones stand for no message.
        let is_flushed = |unit: &[u8]| {
            unit.first_chunk().map(Unit::decode).is_some_and(|unit| unit.is_blank() || unit.log_end() <= flushed)
        };
        let is_first_flushed = tail.unwritten().get(..unit_bytes).is_some_and(is_flushed);
        if !is_first_flushed || self.is_deleted() {
            return Ok(0);
        }
        if self.has_ext {
            tail.ext.write_behind(self, files)?;
        }
        let some = tail.unwritten().chunks_exact(unit_bytes).take(UNITS_A_WRITE);
        let count = some.take_while(|unit| is_flushed(unit)).count();
        files.write(self, tail.written, &tail.unwritten()[..count * unit_bytes])?;
        tail.note_written(count * unit_bytes, self.queue_type);
        Ok(count)
    }

    /// The queue as its files have it.
    pub(crate) fn written_tail(&self) -> WrittenTail {
        let tail = self.tail.lock();
        WrittenTail { min: self.min_offset().min(tail.written), max: tail.written, last: tail.last }
    }

    /// The last unit, if it is known without reading it.
    pub(crate) fn kept_last_unit(&self) -> Option<Unit> {
        self.tail.lock().last_unit(self.queue_type)
    }

    /// Copies units from position `from` on into `into`, as many as are there, and returns their number: 0 from the end
    /// on. It may be fewer than there are; the caller asks again.
    pub(crate) fn read(&self, files: &QueueFiles, from: i64, into: &mut [u8], patience: Patience) -> io::Result<usize> {
        let unit_bytes = self.queue_type.unit_bytes();
        let written = {
            let tail = self.tail.lock();
            if from >= tail.written {
                let units = tail.unwritten();
                let start = ((from - tail.written) as usize).saturating_mul(unit_bytes).min(units.len());
                let count = (units.len() - start).min(into.len()) / unit_bytes;
                into[..count * unit_bytes].copy_from_slice(&units[start..start + count * unit_bytes]);
                return Ok(count);
            }
            tail.written
        };
        let count = ((written - from) as usize).min(into.len() / unit_bytes);
        files.read(self, from, &mut into[..count * unit_bytes], patience)
    }

    /// The unit at a position, if there is one.
    pub(crate) fn unit(&self, files: &QueueFiles, position: i64) -> io::Result<Option<Unit>> {
        let mut bytes = [0; BATCH_UNIT_BYTES];
        if position < 0 {
            return Ok(None);
        }
        let count = self.read(files, position, &mut bytes[..self.queue_type.unit_bytes()], Patience::Disk)?;
        // Both kinds of units begin with the same fields.
        Ok(bytes.first_chunk().filter(|_| count == 1).map(Unit::decode))
    }

    /// Smallest position in `range` whose unit satisfies `is_right`, which holds from some unit on; the range's end when
    /// it holds for none.
    pub(crate) fn partition_point(
        &self,
        files: &QueueFiles,
        range: std::ops::Range<i64>,
        mut is_right: impl FnMut(&Unit) -> io::Result<bool>,
    ) -> io::Result<i64> {
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let right = match self.unit(files, middle)? {
                Some(unit) => is_right(&unit)?,
                None => true,
            };
            if right {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{} [{}, {})", self.topic, self.queue_id, self.min_offset(), self.max_offset())
    }
}
