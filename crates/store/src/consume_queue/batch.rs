//! Batch queues (`queue.type=BatchCQ`): a unit stands for a record that holds one or several messages, and names the
//! offset of the first of them. Units are found by searching for an offset, because nobody can compute their position.
//!
//! Java: `store/queue/BatchConsumeQueue.java`.

use std::io;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::unit::{BATCH_UNIT_BYTES, BatchUnit, Unit};
use super::{NewUnit, Queue, QueueType};
use crate::get::Patience;

impl From<&NewUnit<'_>> for BatchUnit {
    fn from(new: &NewUnit<'_>) -> BatchUnit {
        BatchUnit {
            unit: new.unit,
            store_timestamp_ms: new.store_timestamp_ms,
            base_offset: new.queue_offset,
            count: new.count,
        }
    }
}

impl Queue {
    /// The unit at a position of a batch queue, if there is one.
    pub(crate) fn batch_unit(&self, files: &QueueFiles, position: i64) -> io::Result<Option<BatchUnit>> {
        self.batch_unit_with(files, position, Patience::Disk)
    }

    /// The same; `WouldBlock` when the disk would have to be waited for and the patience is for memory only.
    pub(crate) fn batch_unit_with(
        &self,
        files: &QueueFiles,
        position: i64,
        patience: Patience,
    ) -> io::Result<Option<BatchUnit>> {
        debug_assert_eq!(self.queue_type, QueueType::Batch, "only batch queues have such units");
        let mut bytes = [0; BATCH_UNIT_BYTES];
        if position < 0 {
            return Ok(None);
        }
        let count = self.read(files, position, &mut bytes, patience)?;
        Ok((count == 1).then(|| BatchUnit::decode(&bytes)))
    }

    /// Position of the unit that holds the message at an offset, or of the next one when no unit does.
    pub(crate) fn position_of(&self, files: &QueueFiles, queue_offset: i64) -> io::Result<i64> {
        self.position_of_with(files, queue_offset, Patience::Disk)
    }

    /// The same; `WouldBlock` when the disk would have to be waited for and the patience is for memory only.
    pub(crate) fn position_of_with(
        &self,
        files: &QueueFiles,
        queue_offset: i64,
        patience: Patience,
    ) -> io::Result<i64> {
        match self.queue_type {
            QueueType::Simple => Ok(queue_offset),
            QueueType::Batch => self.batch_partition_point(files, patience, |unit| unit.end_offset() > queue_offset),
        }
    }

    /// Offset of the first message of the unit at a position.
    pub(crate) fn offset_at(&self, files: &QueueFiles, position: i64) -> io::Result<i64> {
        match self.queue_type {
            QueueType::Simple => Ok(position),
            QueueType::Batch => Ok(self.batch_unit(files, position)?.map_or(-1, |unit| unit.base_offset)),
        }
    }

    /// Smallest position whose unit satisfies `is_right`, which holds from some unit on; the end when it holds for none.
    pub(crate) fn batch_partition_point(
        &self,
        files: &QueueFiles,
        patience: Patience,
        is_right: impl Fn(&BatchUnit) -> bool,
    ) -> io::Result<i64> {
        let (mut low, mut high) = (self.first(), self.end());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.batch_unit_with(files, middle, patience)? {
                Some(unit) if !is_right(&unit) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Called by [`Queue::push`] under the tail's lock: the queue ends behind this unit now.
    pub(super) fn note_batch_pushed(&self, new: &NewUnit<'_>, end: i64) {
        if self.first() + 1 == end {
            self.min_offset.store(new.queue_offset, Ordering::Release);
        }
        self.batch_end.store(end, Ordering::Release);
        self.max_offset.store(BatchUnit::from(new).end_offset(), Ordering::Release);
    }

    /// Makes `first` the first position; the offset follows.
    pub(super) fn set_batch_first(&self, files: &QueueFiles, first: i64) -> io::Result<()> {
        let min = self.batch_unit(files, first)?.map_or_else(|| self.max_offset(), |unit| unit.base_offset);
        self.batch_first.store(first, Ordering::Release);
        self.min_offset.store(min, Ordering::Release);
        Ok(())
    }

    /// Declares that the files hold the units from `first` to `end`.
    pub(super) fn set_batch_tail(
        &self,
        files: &QueueFiles,
        first: i64,
        end: i64,
        last: Option<Unit>,
    ) -> io::Result<()> {
        self.set_written(end, last);
        self.set_batch_range(files, first, end)
    }

    /// Makes the positions from `first` to `end` the queue; the offsets follow. A queue without units ends at offset 0.
    pub(super) fn set_batch_range(&self, files: &QueueFiles, first: i64, end: i64) -> io::Result<()> {
        self.batch_first.store(first, Ordering::Release);
        self.batch_end.store(end, Ordering::Release);
        let last = if end > first { self.batch_unit(files, end - 1)? } else { None };
        let max = last.map_or(0, |unit| unit.end_offset());
        self.max_offset.store(max, Ordering::Release);
        self.next_offset.store(max, Ordering::Release);
        self.set_batch_first(files, first)
    }
}
