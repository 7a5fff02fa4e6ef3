//! A queue at opening: where it ends, and how recovery changes that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::files::QueueFiles;
use super::table::{QueueTable, is_folder_name};
use super::unit::{BATCH_UNIT_BYTES, BatchUnit, Unit};
use super::{NewUnit, Queue, QueueType};
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
    /// No log has so many messages as this one's queue offset says: the record is damaged.
    Impossible,
}

/// Bytes of the smallest record: a queue cannot have more messages than the log has room for.
const RECORD_BYTES_MIN: i64 = raptormq_protocol::message::record::RECORD_BYTES_MIN as i64;
/// So many offsets a queue may pass over whatever the log has room for.
const PASSED_OVER_MAX: i64 = 1 << 16;

/// What loading takes place in.
pub(crate) struct Loading<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) files: &'a QueueFiles,
    pub(crate) table: &'a QueueTable,
    /// Offset of the first record of the log.
    pub(crate) log_min: i64,
}

/// Makes every queue of a type that has files, and finds its first message and its end. Changes nothing.
pub(crate) fn load(loading: &Loading<'_>, queue_type: QueueType, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
    let disk = loading.disk;
    let folder = loading.files.folder(queue_type);
    for topic in disk.list(folder).map_err(Unfit::io(folder))? {
        if !topic.is_folder {
            warn_of_foreign(folder, &topic);
            continue;
        }
        let topic_folder = folder.join(&topic.name);
        for entry in disk.list(&topic_folder).map_err(Unfit::io(&topic_folder))? {
            let found = match queue_id(&entry.name).filter(|_| is_folder_name(&topic.name)) {
                Some(queue_id) if !entry.is_folder => {
                    let path = topic_folder.join(&entry.name);
                    let expected = format!("the folder of queue {queue_id}");
                    return Err(Unfit::wrong(&path, expected, "a file".to_owned(), "move the file away"));
                }
                Some(queue_id) => loading.queue(&topic.name, queue_id, queue_type)?,
                None => None,
            };
            match found {
                Some(queue) => queue.load(loading, leftovers)?,
                None => warn_of_foreign(&topic_folder, &entry),
            }
        }
    }
    Ok(())
}

/// The queue that a folder of that name is of.
fn queue_id(name: &str) -> Option<i32> {
    name.parse().ok().filter(|id: &i32| *id >= 0 && id.to_string() == name)
}

impl Loading<'_> {
    /// The queue of a folder, if that is its name.
    fn queue(&self, topic: &str, queue_id: i32, queue_type: QueueType) -> Result<Option<Arc<Queue>>, Unfit> {
        self.table.load_type(topic, queue_type).map_err(|other| {
            let folder = self.files.folder(queue_type).join(topic);
            let found = format!("some, but the topic has {:?} queues elsewhere", other.0);
            Unfit::wrong(
                &folder,
                "no queues".to_owned(),
                found,
                "move the folder away that does not belong to the topic",
            )
        })?;
        Ok(self.table.get_or_create(topic, queue_id).ok())
    }
}

/// How far the units of a queue are whole.
struct Walked {
    queue_type: QueueType,
    /// Position behind the last one.
    end: i64,
    /// Log offset behind its message.
    log_end: i64,
    /// Queue offset behind its last message; of batch queues only.
    offset_end: i64,
    last: Option<Unit>,
}

impl Walked {
    /// Goes on behind the unit at a position, if it was written and lies behind the one before.
    fn take(&mut self, bytes: &[u8], position: i64) -> bool {
        let Some(unit) = bytes.first_chunk().map(Unit::decode) else { return false };
        if !unit.is_written() || !unit.is_blank() && unit.log_offset < self.log_end {
            return false;
        }
        if self.queue_type == QueueType::Batch {
            let Some(batch) = bytes.first_chunk().map(BatchUnit::decode) else { return false };
            if !batch.is_written() || unit.is_blank() || batch.base_offset < self.offset_end {
                return false;
            }
            self.offset_end = batch.end_offset();
        }
        self.log_end = self.log_end.max(unit.log_end());
        self.last = Some(unit);
        self.end = position + 1;
        true
    }
}

impl Queue {
    /// Finds the end: the first unit of the last file that was never written, or of an earlier one when that ends early.
    fn load(&self, loading: &Loading<'_>, leftovers: &mut Vec<Leftover>) -> Result<(), Unfit> {
        let files = loading.files;
        let folder = files.queue_folder(self);
        let (unit_bytes, file_bytes) = (self.queue_type.unit_bytes() as i64, files.file_bytes(self.queue_type));
        let key = match self.queue_type {
            QueueType::Simple => "mappedFileSizeConsumeQueue",
            QueueType::Batch => "mapperFileSizeBatchConsumeQueue",
        };
        let mut starts = Vec::new();
        for entry in loading.disk.list(&folder).map_err(Unfit::io(&folder))? {
            let Some(start) = file_start(&entry.name) else {
                warn_of_foreign(&folder, &entry);
                continue;
            };
            let path = folder.join(&entry.name);
            if entry.len == 0 && !entry.is_folder {
                // What is no file has no length either.
                loading.disk.open(&path).map_err(Unfit::io(&path))?;
                leftovers.push(Leftover { path, why: "its making was cut short" });
            } else {
                check_file(&path, &entry, file_bytes as u64, key)?;
                starts.push(start);
            }
        }
        starts.sort_unstable();
        let Some(first) = starts.first() else { return Ok(()) };
        let begin = first / unit_bytes;
        let mut walked = Walked { queue_type: self.queue_type, end: begin, log_end: 0, offset_end: 0, last: None };
        let unwalked = starts.len().saturating_sub(WALKED_FILES);
        // Files follow each other. What lies behind a missing file or unit is built again; until then it must not look
        // as if it belonged to the queue.
        for (number, start) in starts.into_iter().enumerate() {
            let path = folder.join(format!("{start:020}"));
            if start != walked.end * unit_bytes {
                leftovers.push(Leftover { path, why: "the queue ends before it; it is built again" });
                continue;
            }
            let is_whole = number < unwalked && self.skip(files, &mut walked).map_err(Unfit::io(&path))?;
            if !is_whole {
                self.walk(files, &mut walked).map_err(Unfit::io(&path))?;
            }
        }
        match self.queue_type {
            QueueType::Simple => self.set_tail(begin, walked.end, walked.last),
            QueueType::Batch => {
                self.set_batch_tail(files, begin, walked.end, walked.last).map_err(Unfit::io(&folder))?
            }
        }
        self.first_file.store(begin, Ordering::Release);
        self.settle_ext(files, walked.end).map_err(Unfit::io(&folder))?;
        let first = self.unit(files, begin).map_err(Unfit::io(&folder))?;
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
        let mut bytes = [0; BATCH_UNIT_BYTES];
        let bytes = &mut bytes[..self.queue_type.unit_bytes()];
        let last = walked.end + files.units_per_file(self.queue_type) - 1;
        files.read(self, last, bytes, Patience::Disk)?;
        Ok(walked.take(bytes, last))
    }

    /// Looks at the units of a file, from its first one, up to one that was not written, or that does not lie where the
    /// message of the one before it ends, or behind.
    fn walk(&self, files: &QueueFiles, walked: &mut Walked) -> io::Result<()> {
        let unit_bytes = self.queue_type.unit_bytes();
        let file_end = walked.end + files.units_per_file(self.queue_type);
        let mut buffer = vec![0; WALK_UNITS_FIRST * unit_bytes];
        while walked.end < file_end {
            let count = files.read(self, walked.end, &mut buffer, Patience::Disk)?;
            for unit in buffer[..count * unit_bytes].chunks_exact(unit_bytes) {
                if !walked.take(unit, walked.end) {
                    return Ok(());
                }
            }
            buffer.resize(WALK_UNITS * unit_bytes, 0);
        }
        Ok(())
    }

    /// Declares that the files hold everything from `min` to `end`.
    pub(super) fn set_tail(&self, min: i64, end: i64, last: Option<Unit>) {
        self.set_end(end, last);
        self.min_offset.store(min, Ordering::Release);
    }

    /// Declares that the files hold everything up to `end`, of a simple queue.
    fn set_end(&self, end: i64, last: Option<Unit>) {
        self.set_written(end, last);
        self.max_offset.store(end, Ordering::Release);
        self.next_offset.store(end, Ordering::Release);
    }

    /// Declares that the files hold all units up to position `end`, and memory none.
    pub(super) fn set_written(&self, end: i64, last: Option<Unit>) {
        let mut tail = self.tail.lock();
        tail.written = end;
        tail.last = last;
        tail.units.clear();
        tail.done = 0;
        self.first_file.fetch_min(end, Ordering::AcqRel);
    }

    /// The last unit, if the queue has one that is no blank.
    pub(crate) fn last_unit(&self, files: &QueueFiles) -> io::Result<Option<Unit>> {
        let last = match self.kept_last_unit() {
            Some(unit) => Some(unit),
            None if self.first() == self.end() => None,
            None => self.unit(files, self.end() - 1)?,
        };
        Ok(last.filter(|unit| !unit.is_blank()))
    }

    /// Drops the units of messages at `log_offset` and behind it. Returns how many there were.
    pub(crate) fn cut_at_log(&self, files: &QueueFiles, log_offset: i64) -> io::Result<i64> {
        let end = self.end();
        if self.last_unit(files)?.is_none_or(|unit| unit.log_offset < log_offset) {
            return Ok(0);
        }
        let is_cut = |unit: &Unit| Ok(!unit.is_blank() && unit.log_offset >= log_offset);
        let from = self.partition_point(files, self.first()..end, is_cut)?;
        self.cut(files, from)?;
        Ok(end - from)
    }

    /// Drops units from the end up to the last one whose message `is_real`, given by its offset and the unit: a crash may
    /// have written a part of one.
    pub(crate) fn cut_unreal(&self, files: &QueueFiles, is_real: impl Fn(i64, &Unit) -> bool) -> io::Result<i64> {
        let end = self.end();
        let mut from = end;
        while from > self.first()
            && let Some(unit) = self.unit(files, from - 1)?
            && !unit.is_blank()
            && !is_real(self.offset_at(files, from - 1)?, &unit)
        {
            from -= 1;
        }
        if from < end {
            self.cut(files, from)?;
        }
        Ok(end - from)
    }

    /// Drops the units from position `from` on.
    fn cut(&self, files: &QueueFiles, from: i64) -> io::Result<()> {
        let written = self.tail.lock().written;
        if from < written {
            files.cut(self, from, written)?;
            self.set_written(from, None);
        } else {
            let mut tail = self.tail.lock();
            let kept = tail.done + (from - written) as usize * self.queue_type.unit_bytes();
            tail.units.truncate(kept);
        }
        match self.queue_type {
            QueueType::Simple => {
                self.max_offset.store(from, Ordering::Release);
                self.next_offset.store(from, Ordering::Release);
                self.min_offset.fetch_min(from, Ordering::AcqRel);
            }
            QueueType::Batch => self.set_batch_range(files, self.first().min(from), from)?,
        }
        self.settle_ext(files, from)?;
        // Another message may come there.
        self.first_log_offset.store(-1, Ordering::Release);
        Ok(())
    }

    /// Adds the unit of a record that recovery found in the log, unless the queue has it. `has_earlier` says whether there
    /// are log files in front of the walk, which may have what an empty queue misses.
    pub(crate) fn replay(&self, files: &QueueFiles, new: &NewUnit<'_>, has_earlier: bool) -> io::Result<Replayed> {
        if new.queue_offset < 0 {
            return Ok(Replayed::Impossible);
        }
        if self.queue_type == QueueType::Batch {
            return self.replay_batch(files, new, has_earlier);
        }
        let end = self.max_offset();
        if new.queue_offset < self.min_offset() {
            return Ok(Replayed::Gap);
        } else if new.queue_offset < end {
            match self.unit(files, new.queue_offset)? {
                // The topic was deleted and made again: what the queue has is from before.
                Some(known) if known.log_offset < new.unit.log_offset => {
                    self.cut(files, new.queue_offset)?;
                }
                _ => return Ok(Replayed::Known),
            }
        } else {
            match self.last_unit(files)? {
                // The topic was deleted and made again, and has fewer messages than before: this is one of those.
                Some(last) if last.log_offset >= new.unit.log_offset => return Ok(Replayed::Known),
                _ if new.queue_offset == end => {}
                last if !self.has_room(new, last) => return Ok(Replayed::Impossible),
                Some(_) => return Ok(Replayed::Gap),
                None if has_earlier => return Ok(Replayed::Gap),
                // The first message the queue has; those before it were deleted with their log files.
                None => {
                    self.set_end(new.queue_offset, None);
                    self.min_offset.store(new.queue_offset, Ordering::Release);
                }
            }
        }
        self.add_replayed(new);
        Ok(Replayed::Added)
    }

    /// The same for a batch queue, which has no blanks and may begin at any offset.
    fn replay_batch(&self, files: &QueueFiles, new: &NewUnit<'_>, has_earlier: bool) -> io::Result<Replayed> {
        let last = self.last_unit(files)?;
        if !self.has_room(new, last) {
            return Ok(Replayed::Impossible);
        }
        let Some(last) = last else {
            if has_earlier && new.queue_offset > 0 {
                return Ok(Replayed::Gap);
            }
            self.add_replayed(new);
            return Ok(Replayed::Added);
        };
        if new.queue_offset < self.min_offset() {
            return Ok(Replayed::Gap);
        } else if new.queue_offset < self.max_offset() {
            let position = self.position_of(files, new.queue_offset)?;
            match self.unit(files, position)? {
                Some(known) if known.log_offset < new.unit.log_offset => self.cut(files, position)?,
                _ => return Ok(Replayed::Known),
            }
        } else if last.log_offset >= new.unit.log_offset {
            return Ok(Replayed::Known);
        } else if new.queue_offset > self.next_offset.load(Ordering::Acquire) {
            return Ok(Replayed::Gap);
        }
        self.add_replayed(new);
        Ok(Replayed::Added)
    }

    /// Whether the log has room for the messages between the queue's last unit and the new one.
    fn has_room(&self, new: &NewUnit<'_>, last: Option<Unit>) -> bool {
        let (end, log_end) = last.map_or((0, 0), |unit| (self.max_offset(), unit.log_offset));
        let per_record = match self.queue_type {
            QueueType::Simple => 1,
            QueueType::Batch => i64::from(i16::MAX),
        };
        let room = (new.unit.log_offset.saturating_sub(log_end) / RECORD_BYTES_MIN + 1).saturating_mul(per_record);
        new.queue_offset.saturating_sub(end) <= room.max(PASSED_OVER_MAX)
    }

    fn add_replayed(&self, new: &NewUnit<'_>) {
        self.push(new);
        self.next_offset.store(self.max_offset(), Ordering::Release);
    }

    /// A record that took an offset of a batch queue but has no unit there: what the original makes of a message that is
    /// no batch.
    pub(crate) fn pass_over(&self, queue_offset: i64) {
        if self.queue_type == QueueType::Batch {
            self.next_offset.fetch_max(queue_offset.saturating_add(1), Ordering::AcqRel);
        }
    }

    /// Adds a unit behind a gap that the log cannot fill: blank units stand for what is missing, but in batch queues,
    /// which have none. When it is the queue's first units that are missing, the queue begins with this one, and what it
    /// had follows from the log.
    pub(crate) fn replay_behind_gap(&self, files: &QueueFiles, new: &NewUnit<'_>, flushed: i64) -> io::Result<()> {
        if new.queue_offset < self.min_offset() {
            self.cut(files, self.first())?;
            if self.queue_type == QueueType::Simple {
                self.set_end(new.queue_offset, None);
                self.min_offset.store(new.queue_offset, Ordering::Release);
            }
        }
        while self.queue_type == QueueType::Simple && self.max_offset() < new.queue_offset {
            if self.push(&NewUnit { unit: Unit::BLANK, ..*new }) {
                self.write_behind(files, flushed)?;
            }
        }
        self.add_replayed(new);
        self.write_behind(files, flushed)
    }
}
