//! Finding messages by the time they were stored.

use std::io;
use std::sync::Arc;

use raptormq_protocol::message::record::RecordView;

use crate::commit_log::ReadError;
use crate::consume_queue::unit::Unit;
use crate::consume_queue::{Queue, QueueType};
use crate::get::Patience;
use crate::open::{Shared, Store};

/// Which message a time stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// The first one stored at that time or later; behind the last one the queue's end. What 5.x brokers answer.
    Lower,
    /// The last one stored at that time or before; before the first one 0.
    Upper,
    /// The one stored at that time, or the nearer of its neighbours; never the queue's end. What 4.x brokers answer.
    Nearest,
}

impl Store {
    /// Offset of the message that was stored at a time. A queue without messages answers its end.
    pub fn offset_by_time(&self, queue: &Arc<Queue>, timestamp_ms: i64, boundary: Boundary) -> io::Result<i64> {
        if queue.queue_type == QueueType::Batch {
            let found = self.batch_offset_by_time(queue, timestamp_ms, boundary)?;
            return Ok(found.min(self.visible_end(queue)?));
        }
        let (min, max) = (queue.min_offset(), self.visible_end(queue)?);
        if min >= max {
            return Ok(max);
        }
        let first_at_or_after = |timestamp_ms: i64| {
            queue.partition_point(&self.shared.files, min..max, |unit| Ok(self.stored_at(unit)? >= timestamp_ms))
        };
        match boundary {
            Boundary::Lower => first_at_or_after(timestamp_ms),
            Boundary::Upper => {
                let behind = first_at_or_after(timestamp_ms.saturating_add(1))?;
                Ok(if behind == min { 0 } else { behind - 1 })
            }
            Boundary::Nearest => {
                let after = first_at_or_after(timestamp_ms)?;
                let before = after - 1;
                if after == min || after == max {
                    return Ok(after.min(max - 1));
                }
                let distance = |offset| io::Result::Ok(self.timestamp_at(queue, offset)?.abs_diff(timestamp_ms));
                Ok(if distance(before)? < distance(after)? { before } else { after })
            }
        }
    }

    /// The same in a batch queue, whose units say when they were stored: the first offset of a record. The original differs
    /// from other queues in that it never answers the queue's end, and -1 when there is nothing.
    /// Java: `store/queue/BatchConsumeQueue.java`, `getOffsetInQueueByTime`.
    fn batch_offset_by_time(&self, queue: &Queue, timestamp_ms: i64, boundary: Boundary) -> io::Result<i64> {
        let files = &self.shared.files;
        let (first, end) = (queue.first(), queue.end());
        if first >= end {
            return Ok(-1);
        }
        let at_or_after =
            queue.batch_partition_point(files, Patience::Disk, |unit| unit.store_timestamp_ms >= timestamp_ms)?;
        let position = match boundary {
            Boundary::Lower | Boundary::Nearest => at_or_after,
            // The last of several of that time.
            Boundary::Upper => {
                let after = queue
                    .batch_partition_point(files, Patience::Disk, |unit| unit.store_timestamp_ms > timestamp_ms)?;
                if after > at_or_after { after - 1 } else { after }
            }
        };
        queue.offset_at(files, position.min(end - 1))
    }

    /// When the first message of a queue was stored, in milliseconds; -1 when there is none.
    pub fn earliest_time(&self, queue: &Arc<Queue>) -> io::Result<i64> {
        let min = queue.min_offset();
        if min >= queue.max_offset() { Ok(-1) } else { self.timestamp_at(queue, min) }
    }

    /// When the first message of the log was stored, in milliseconds; -1 when there is none.
    pub fn log_earliest_time(&self) -> i64 {
        self.shared.log_earliest_time()
    }

    /// When the message at an offset was stored, in milliseconds; -1 when there is none (code 33 and its like).
    pub fn timestamp_at(&self, queue: &Arc<Queue>, offset: i64) -> io::Result<i64> {
        let position = queue.position_of(&self.shared.files, offset)?;
        match queue.unit(&self.shared.files, position)? {
            Some(unit) => self.stored_at(&unit),
            None => Ok(-1),
        }
    }

    /// Log offset of the message at an offset of a queue, if there is one.
    pub fn log_offset_of(&self, queue: &Arc<Queue>, offset: i64) -> io::Result<Option<i64>> {
        if offset < queue.min_offset() {
            return Ok(None);
        }
        let position = queue.position_of(&self.shared.files, offset)?;
        Ok(queue.unit(&self.shared.files, position)?.filter(|unit| !unit.is_blank()).map(|unit| unit.log_offset))
    }

    /// Whether the message at an offset is so near the end of the log that it is taken to be in memory.
    pub fn is_in_memory(&self, queue: &Arc<Queue>, offset: i64) -> io::Result<bool> {
        let distance = |log_offset| self.shared.log.appended.value() - log_offset;
        let log_offset = self.log_offset_of(queue, offset)?;
        Ok(log_offset.is_some_and(|log_offset| distance(log_offset) <= self.shared.options.in_memory_bytes))
    }

    /// Blank units, and messages whose part of the log was deleted, count as stored before all others.
    fn stored_at(&self, unit: &Unit) -> io::Result<i64> {
        if unit.is_blank() {
            return Ok(-1);
        }
        match self.shared.log.store_timestamp_ms(unit.log_offset, unit.size) {
            Ok(timestamp_ms) => Ok(timestamp_ms),
            Err(ReadError::NotThere(_)) => Ok(-1),
            Err(ReadError::Io(error)) => Err(error),
            Err(error @ ReadError::Damaged { .. }) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl Shared {
    /// See [`Store::log_earliest_time`]. It is read once for each first log file, by whoever makes it the first, so that
    /// who asks need not wait for the disk.
    pub(crate) fn log_earliest_time(&self) -> i64 {
        let min = self.log.min_offset();
        if let Some((_, time_ms)) = self.earliest.lock().filter(|(offset, _)| *offset == min) {
            return time_ms;
        }
        let record = self.log.record(min).ok();
        let time_ms = record.and_then(|record| RecordView::parse(&record).ok().map(|view| view.store_timestamp_ms));
        if let Some(time_ms) = time_ms {
            *self.earliest.lock() = Some((min, time_ms));
        }
        time_ms.unwrap_or(-1)
    }
}
