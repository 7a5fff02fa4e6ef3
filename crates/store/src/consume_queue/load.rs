//! A queue at opening: where it ends, and how recovery changes that.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::unit::{UNIT_BYTES, Unit};
use super::{Queue, table::QueueTable};
use crate::disk::Disk;
use crate::unfit::{Leftover, Unfit, check_file, file_start, warn_of_foreign};

/// Units that are read at once when looking for the end.
const WALK_UNITS: usize = 4096;

/// What the walk over a queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// The unit was added.
    Added,
    /// The queue had it, or it belongs to a queue of the same name that was deleted.
    Known,
    /// Units between the queue's end and this one are missing, or those before its first.
    Gap,
}

/// Makes every queue that has files, and finds its end. Changes nothing.
pub(crate) fn load(
    disk: &dyn Disk,
    folder: &Path,
    files: &QueueFiles,
    table: &QueueTable,
    leftovers: &mut Vec<Leftover>,
) -> Result<(), Unfit> {
    for topic in disk.list(folder).map_err(Unfit::io(folder))? {
        if !topic.is_folder {
            warn_of_foreign(folder, &topic);
            continue;
        }
        let topic_folder = folder.join(&topic.name);
        for entry in disk.list(&topic_folder).map_err(Unfit::io(&topic_folder))? {
            let queue_id = entry.name.parse().ok().filter(|_| entry.is_folder);
            let queue = queue_id.and_then(|queue_id| table.get_or_create(&topic.name, queue_id).ok());
            match queue {
                Some(queue) => queue.load(disk, files, leftovers)?,
                None => warn_of_foreign(&topic_folder, &entry),
            }
        }
    }
    Ok(())
}

impl Queue {
    /// Finds the end: the first unit of the last file that was never written, or of an earlier one when that ends early.
    fn load(&self, disk: &dyn Disk, files: &QueueFiles, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
        let folder = files.queue_folder(self);
        let mut starts = Vec::new();
        for entry in disk.list(&folder).map_err(Unfit::io(&folder))? {
            let Some(start) = file_start(&entry.name) else {
                warn_of_foreign(&folder, &entry);
                continue;
            };
            let path = folder.join(&entry.name);
            if entry.len == 0 && !entry.is_folder {
                leftovers.push(Leftover { path, why: "its making was cut short" });
            } else {
                check_file(&path, &entry, files.file_bytes() as u64, "mappedFileSizeConsumeQueue")?;
                starts.push(start);
            }
        }
        starts.sort_unstable();
        let Some(first) = starts.first() else { return Ok(()) };
        let min = first / UNIT_BYTES as i64;
        let mut end = min;
        let mut log_end = 0;
        // Files follow each other. What lies behind a missing file or unit is built again; until then it must not look
        // as if it belonged to the queue.
        for start in starts {
            let path = folder.join(format!("{start:020}"));
            if start == end * UNIT_BYTES as i64 {
                end = self.walk(files, end, &mut log_end).map_err(Unfit::io(&path))?;
            } else {
                leftovers.push(Leftover { path, why: "the queue ends before it; it is built again" });
            }
        }
        self.set_end(end);
        self.min_offset.store(min, Ordering::Release);
        Ok(())
    }

    /// The first unit from `from` on, within its file, that was not written, or that does not lie at `log_end` or behind
    /// it, where the message of the one before it ends.
    fn walk(&self, files: &QueueFiles, from: i64, log_end: &mut i64) -> io::Result<i64> {
        let file_end = from + files.units_per_file();
        let mut buffer = vec![0; WALK_UNITS.min(files.units_per_file() as usize) * UNIT_BYTES];
        let mut offset = from;
        while offset < file_end {
            let count = files.read(self, offset, &mut buffer)?;
            for unit in Unit::decode_all(&buffer[..count * UNIT_BYTES]) {
                if !unit.is_written() || !unit.is_blank() && unit.log_offset < *log_end {
                    return Ok(offset);
                }
                *log_end = (*log_end).max(unit.log_end());
                offset += 1;
            }
        }
        Ok(offset)
    }

    /// Declares that the files hold everything up to `end`.
    fn set_end(&self, end: i64) {
        let mut tail = self.tail.lock();
        tail.written = end;
        tail.units.clear();
        self.max_offset.store(end, Ordering::Release);
        self.next_offset.store(end, Ordering::Release);
    }

    /// The last unit, if the queue has one that is no blank.
    pub(crate) fn last_unit(&self, files: &QueueFiles) -> io::Result<Option<Unit>> {
        Ok(self.unit(files, self.max_offset() - 1)?.filter(|unit| !unit.is_blank()))
    }

    /// Drops the units of messages at `log_offset` and behind it. Returns how many there were.
    pub(crate) fn cut_at_log(&self, files: &QueueFiles, log_offset: i64) -> io::Result<i64> {
        let end = self.max_offset();
        if self.last_unit(files)?.is_none_or(|unit| unit.log_offset < log_offset) {
            return Ok(0);
        }
        let is_cut = |unit: &Unit| Ok(!unit.is_blank() && unit.log_offset >= log_offset);
        let from = self.partition_point(files, self.min_offset()..end, is_cut)?;
        self.cut(files, from)?;
        Ok(end - from)
    }

    /// Drops units from the end up to the last one whose message `is_real`: a crash may have written a part of one.
    pub(crate) fn cut_unreal(&self, files: &QueueFiles, is_real: impl Fn(i64, &Unit) -> bool) -> io::Result<i64> {
        let end = self.max_offset();
        let mut from = end;
        while from > self.min_offset()
            && let Some(unit) = self.unit(files, from - 1)?
            && !unit.is_blank()
            && !is_real(from - 1, &unit)
        {
            from -= 1;
        }
        if from < end {
            self.cut(files, from)?;
        }
        Ok(end - from)
    }

    /// Drops the units from `from` on.
    fn cut(&self, files: &QueueFiles, from: i64) -> io::Result<()> {
        let written = self.tail.lock().written;
        if from < written {
            files.cut(self, from, written)?;
            self.set_end(from);
        } else {
            let mut tail = self.tail.lock();
            tail.units.truncate((from - written) as usize * UNIT_BYTES);
            self.max_offset.store(from, Ordering::Release);
        }
        self.min_offset.fetch_min(from, Ordering::AcqRel);
        Ok(())
    }

    /// Adds the unit of a record that recovery found in the log, unless the queue has it. `has_earlier` says whether there
    /// are log files in front of the walk, which may have what an empty queue misses.
    pub(crate) fn replay(
        &self,
        files: &QueueFiles,
        queue_offset: i64,
        unit: &Unit,
        has_earlier: bool,
    ) -> io::Result<Replayed> {
        let end = self.max_offset();
        if queue_offset < self.min_offset() {
            return Ok(Replayed::Gap);
        } else if queue_offset < end {
            match self.unit(files, queue_offset)? {
                // The topic was deleted and made again: what the queue has is from before.
                Some(known) if known.log_offset < unit.log_offset => {
                    self.cut(files, queue_offset)?;
                }
                _ => return Ok(Replayed::Known),
            }
        } else if queue_offset > end {
            match self.last_unit(files)? {
                Some(last) if last.log_offset >= unit.log_offset => return Ok(Replayed::Known),
                Some(_) => return Ok(Replayed::Gap),
                None if has_earlier => return Ok(Replayed::Gap),
                // The first message the queue has; those before it were deleted with their log files.
                None => {
                    self.set_end(queue_offset);
                    self.min_offset.store(queue_offset, Ordering::Release);
                }
            }
        }
        self.push(unit);
        self.next_offset.store(self.max_offset(), Ordering::Release);
        Ok(Replayed::Added)
    }

    /// Adds a unit behind a gap that the log cannot fill: blank units stand for what is missing. When it is the queue's
    /// first units that are missing, the queue begins with this one, and what it had follows from the log.
    pub(crate) fn replay_behind_gap(&self, files: &QueueFiles, queue_offset: i64, unit: &Unit) -> io::Result<()> {
        if queue_offset < self.min_offset() {
            self.cut(files, self.min_offset())?;
            self.set_end(queue_offset);
            self.min_offset.store(queue_offset, Ordering::Release);
        }
        while self.max_offset() < queue_offset {
            self.push(&Unit::BLANK);
        }
        self.push(unit);
        self.next_offset.store(self.max_offset(), Ordering::Release);
        self.write_behind(files).map(drop)
    }
}
