//! A queue at opening: where it ends, and how recovery changes that.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::unit::{UNIT_BYTES, Unit};
use super::{Queue, table::QueueTable};
use crate::disk::Disk;
use crate::get::Patience;
use crate::unfit::{Leftover, Unfit, check_file, file_start, warn_of_foreign};

/// Units that are read at once when looking for the end, and first, because most queues of many are short.
const WALK_UNITS: usize = 4096;
const WALK_UNITS_FIRST: usize = 64;
/// Files at a queue's end of which every unit is looked at; of those before, the last one. Java: `ConsumeQueue.recover`.
const WALKED_FILES: usize = 3;

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

/// What loading takes place in.
pub(crate) struct Loading<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) files: &'a QueueFiles,
    pub(crate) table: &'a QueueTable,
    /// Offset of the first record of the log.
    pub(crate) log_min: i64,
}

/// Makes every queue that has files, and finds its first message and its end. Changes nothing.
pub(crate) fn load(loading: &Loading<'_>, folder: &Path, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
    let (disk, table) = (loading.disk, loading.table);
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
                Some(queue) => queue.load(loading, leftovers)?,
                None => warn_of_foreign(&topic_folder, &entry),
            }
        }
    }
    Ok(())
}

/// How far the units of a queue are whole.
struct Walked {
    /// Offset behind the last one.
    end: i64,
    /// Log offset behind its message.
    log_end: i64,
    last: Option<Unit>,
}

impl Walked {
    /// Goes on behind the unit at `offset`, if it was written and lies behind the one before.
    fn take(&mut self, unit: &Unit, offset: i64) -> bool {
        if !unit.is_written() || !unit.is_blank() && unit.log_offset < self.log_end {
            return false;
        }
        self.log_end = self.log_end.max(unit.log_end());
        self.last = Some(*unit);
        self.end = offset + 1;
        true
    }
}

impl Queue {
    /// Finds the end: the first unit of the last file that was never written, or of an earlier one when that ends early.
    fn load(&self, loading: &Loading<'_>, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
        let files = loading.files;
        let folder = files.queue_folder(self);
        let mut starts = Vec::new();
        for entry in loading.disk.list(&folder).map_err(Unfit::io(&folder))? {
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
        let mut walked = Walked { end: min, log_end: 0, last: None };
        let unwalked = starts.len().saturating_sub(WALKED_FILES);
        // Files follow each other. What lies behind a missing file or unit is built again; until then it must not look
        // as if it belonged to the queue.
        for (number, start) in starts.into_iter().enumerate() {
            let path = folder.join(format!("{start:020}"));
            if start != walked.end * UNIT_BYTES as i64 {
                leftovers.push(Leftover { path, why: "the queue ends before it; it is built again" });
                continue;
            }
            let is_whole = number < unwalked && self.skip(files, &mut walked).map_err(Unfit::io(&path))?;
            if !is_whole {
                self.walk(files, &mut walked).map_err(Unfit::io(&path))?;
            }
        }
        self.set_tail(min, walked.end, walked.last);
        self.first_file.store(min, Ordering::Release);
        let first = self.unit(files, min).map_err(Unfit::io(&folder))?;
        match first {
            Some(first) if !first.is_blank() && first.log_offset >= loading.log_min => {
                self.first_log_offset.store(first.log_offset, Ordering::Release);
            }
            Some(_) => self.correct_min_offset(files, loading.log_min).map_err(Unfit::io(&folder))?,
            None => {}
        }
        Ok(())
    }

    /// Goes on behind a file whose last unit was written; returns whether it was.
    fn skip(&self, files: &QueueFiles, walked: &mut Walked) -> io::Result<bool> {
        let mut bytes = [0; UNIT_BYTES];
        let last = walked.end + files.units_per_file() - 1;
        files.read(self, last, &mut bytes, Patience::Disk)?;
        let unit = Unit::decode(&bytes);
        Ok(walked.take(&unit, last))
    }

    /// Looks at the units of a file, from its first one, up to one that was not written, or that does not lie where the
    /// message of the one before it ends, or behind.
    fn walk(&self, files: &QueueFiles, walked: &mut Walked) -> io::Result<()> {
        let file_end = walked.end + files.units_per_file();
        let mut buffer = vec![0; WALK_UNITS_FIRST * UNIT_BYTES];
        while walked.end < file_end {
            let count = files.read(self, walked.end, &mut buffer, Patience::Disk)?;
            for unit in Unit::decode_all(&buffer[..count * UNIT_BYTES]) {
                if !walked.take(&unit, walked.end) {
                    return Ok(());
                }
            }
            buffer.resize(WALK_UNITS * UNIT_BYTES, 0);
        }
        Ok(())
    }

    /// Declares that the files hold everything from `min` to `end`.
    pub(super) fn set_tail(&self, min: i64, end: i64, last: Option<Unit>) {
        self.set_end(end, last);
        self.min_offset.store(min, Ordering::Release);
    }

    /// Declares that the files hold everything up to `end`.
    fn set_end(&self, end: i64, last: Option<Unit>) {
        let mut tail = self.tail.lock();
        tail.written = end;
        tail.last = last;
        tail.units.clear();
        self.first_file.fetch_min(end, Ordering::AcqRel);
        self.max_offset.store(end, Ordering::Release);
        self.next_offset.store(end, Ordering::Release);
    }

    /// The last unit, if the queue has one that is no blank.
    pub(crate) fn last_unit(&self, files: &QueueFiles) -> io::Result<Option<Unit>> {
        let last = match self.kept_last_unit() {
            Some(unit) => Some(unit),
            None => self.unit(files, self.max_offset() - 1)?,
        };
        Ok(last.filter(|unit| !unit.is_blank()))
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
            self.set_end(from, None);
        } else {
            let mut tail = self.tail.lock();
            tail.units.truncate((from - written) as usize * UNIT_BYTES);
            self.max_offset.store(from, Ordering::Release);
        }
        self.min_offset.fetch_min(from, Ordering::AcqRel);
        // Another message may come there.
        self.first_log_offset.store(-1, Ordering::Release);
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
                    self.set_end(queue_offset, None);
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
            self.set_end(queue_offset, None);
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
