//! Queues whose first messages were deleted with their log files.

use std::io;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::{Queue, QueueType};

impl Queue {
    /// Makes the first message that lies at `log_min` or behind it the queue's first, and deletes the files before it.
    /// Returns how many files that were.
    ///
    /// The file that holds the last written unit stays, because it says how far the queue has come. A queue whose messages
    /// are all still there, or all gone, is not looked at on disk.
    pub(crate) fn follow_log(&self, files: &QueueFiles, log_min: i64) -> io::Result<usize> {
        if self.is_deleted() {
            return Ok(0);
        }
        self.correct_min_offset(files, log_min)?;
        self.ext_follow_log(files)?;
        let last_written = self.tail.lock().written - 1;
        let units = files.units_per_file(self.queue_type);
        let end = self.first().min(last_written) / units;
        let first = self.first_file.load(Ordering::Acquire) / units;
        let mut deleted = 0;
        for number in files.numbers(self, first..end)? {
            deleted += usize::from(files.delete(self, number)?);
            self.first_file.store((number + 1) * units, Ordering::Release);
        }
        self.first_file.fetch_max(end * units, Ordering::AcqRel);
        Ok(deleted)
    }

    /// Bytes of its files.
    pub(crate) fn file_bytes(&self, files: &QueueFiles) -> u64 {
        let units = files.units_per_file(self.queue_type);
        let (first, end) = (self.first_file.load(Ordering::Acquire), self.tail.lock().written);
        let count = (end + units - 1) / units - first / units;
        count.max(0) as u64 * files.file_bytes(self.queue_type) as u64
    }

    /// Moves the minimum to the first unit that lies at `log_min` or behind it.
    pub(crate) fn correct_min_offset(&self, files: &QueueFiles, log_min: i64) -> io::Result<()> {
        if self.first_log_offset.load(Ordering::Acquire) >= log_min {
            return Ok(());
        }
        // What comes behind this end lies at the end of the log or behind it.
        let (end, last) = {
            let tail = self.tail.lock();
            (self.end(), tail.last_unit(self.queue_type))
        };
        let mut first_log_offset = log_min;
        let mut first = end;
        if last.is_none_or(|last| last.log_end() > log_min) {
            first = self.partition_point(files, self.first()..end, |unit| {
                let is_there = !unit.is_blank() && unit.log_offset >= log_min;
                if is_there {
                    first_log_offset = unit.log_offset;
                }
                Ok(is_there)
            })?;
        }
        match self.queue_type {
            QueueType::Simple => self.min_offset.store(first, Ordering::Release),
            QueueType::Batch => self.set_batch_first(files, first)?,
        }
        self.first_log_offset.store(first_log_offset, Ordering::Release);
        Ok(())
    }
}
