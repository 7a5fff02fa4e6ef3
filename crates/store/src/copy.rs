//! Following another broker's log: its bytes are appended as they come, at the same offsets, and queues and index are
//! filled from them. And the other side of that: giving out the bytes of the log.
//!
//! Only whole records reach the log, so that it ends where a record ends at any time; what came of a record that is not
//! complete waits in memory ([`LogCopy`]). A record that is none is refused, and nothing of it is written.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use raptormq_protocol::message::record::{RecordHead, RecordView};
use raptormq_protocol::message::sys_flag;

use crate::ReadError;
use crate::commit_log::copy::CopiedRun;
use crate::commit_log::{BLANK_BYTES_MIN, check_record};
use crate::consume_queue::load::Replayed;
use crate::consume_queue::unit::Unit;
use crate::consume_queue::{NewUnit, Queue, QueueType, light};
use crate::open::{Dispatch, Shared, Store};
use crate::recover::{key_hashes, place};
use crate::staging::{Arrival, Facts, is_indexed};

/// Largest record that is taken: what is kept in memory until the rest of it has come. The original's default limit of a
/// message is 4 MiB.
const RECORD_BYTES_MAX: usize = 128 << 20;
/// What the disk may begin to read behind what is fetched.
const READ_AHEAD_BYTES: usize = 4 << 20;
/// Room that is kept for incomplete records.
const KEPT_BYTES: usize = 64 << 10;

/// How far the copying of a log is. One for each time that the copying begins; see [`Store::log_copy`].
#[derive(Debug)]
pub struct LogCopy {
    /// Log offset of the next byte that is expected.
    next: i64,
    /// The beginning of a record: the bytes between the end of the log and `next`.
    rest: Vec<u8>,
    /// The file ends here, and up to here only a blank's bytes come.
    blank_end: i64,
    /// Where the log, which is empty, begins when a whole record has come.
    begins_at: Option<i64>,
}

/// Why bytes of another log are not appended.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// They do not follow what is there.
    #[error("bytes of log offset {got} came, but this log goes on at {expected}")]
    Elsewhere {
        /// Log offset of the next byte that is expected.
        expected: i64,
        /// Log offset of what came.
        got: i64,
    },
    /// An empty log can only begin where a file does.
    #[error(
        "an empty log cannot begin at {0}, where no file of mappedFileSizeCommitLog bytes can: the key must be the same for \
         master and slave"
    )]
    NoFileStart(i64),
    /// There is no record where one must be: the logs have different pasts, or files of different lengths.
    #[error("no record follows at log offset {log_offset}: {reason}")]
    NoRecord {
        /// Where.
        log_offset: i64,
        /// What is wrong.
        reason: String,
    },
    /// Nothing is taken at the moment: the store is closed, its disk full or broken.
    #[error("the store takes nothing now: it is closed, or its disk is full or failed")]
    NotWriteable,
    /// The device failed; nothing was appended.
    #[error("the log could not be written: {0}")]
    Io(#[from] io::Error),
}

/// A message that was copied, in the queue that it can be read from now.
struct Copied {
    queue: Arc<Queue>,
    queue_offset: i64,
    tags_code: i64,
    /// Which of the run's records it is.
    record: usize,
}

/// What of the bytes that came can be appended at once.
struct Run<'a> {
    records: Vec<RecordView<'a>>,
    /// Bytes of it.
    len: usize,
    /// A blank ends it, up to the end of the file.
    ends_file: bool,
}

impl LogCopy {
    /// Log offset of the next byte that is expected; 0 in an empty log, which may begin elsewhere.
    pub fn next(&self) -> i64 {
        self.next
    }
}

impl Store {
    /// Begins to follow another log behind the end of this one. Nothing else may be appended then.
    pub fn log_copy(&self) -> LogCopy {
        LogCopy { next: self.log_max_offset(), rest: Vec::new(), blank_end: 0, begins_at: None }
    }

    /// Appends bytes of the other log that stand at `log_offset` there, as far as records are complete, and puts these
    /// into queues and index. `arrived` is told of each message that can be read now.
    ///
    /// # Errors
    /// After an error the copying has to begin anew; what was appended before stays.
    pub fn append_copy(
        &self,
        copy: &mut LogCopy,
        log_offset: i64,
        bytes: &[u8],
        arrived: &mut dyn FnMut(&[Arrival<'_>]),
    ) -> Result<(), CopyError> {
        let shared = &*self.shared;
        if !shared.is_writeable() {
            return Err(CopyError::NotWriteable);
        }
        if copy.next != log_offset {
            shared.begin_at(copy, log_offset)?;
        }
        copy.next = copy.next.saturating_add(bytes.len() as i64);
        let bytes = shared.pass_blank(copy, log_offset, bytes)?;
        let bytes = shared.complete(copy, bytes, arrived)?;
        if bytes.is_empty() {
            return Ok(());
        }
        if copy.rest.is_empty() {
            let used = shared.copy_runs(copy, bytes, arrived)?;
            copy.rest.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        copy.rest.extend_from_slice(bytes);
        let held = std::mem::take(&mut copy.rest);
        let used = shared.copy_runs(copy, &held, arrived)?;
        copy.rest = held;
        copy.rest.drain(..used);
        copy.rest.shrink_to(KEPT_BYTES.max(copy.rest.len()));
        Ok(())
    }

    /// Bytes of the log from an offset on, at least one and at most `len_max`, as far as their file goes; `None` at the
    /// end of the log.
    pub fn log_part(&self, log_offset: i64, len_max: usize) -> Result<Option<Bytes>, ReadError> {
        if log_offset == self.log_max_offset() {
            return Ok(None);
        }
        self.shared.log.window(log_offset, 1, len_max).map(Some)
    }

    /// Whether bytes that [`log_part`](Store::log_part) gave are in memory, so that whoever looks at them waits for no
    /// disk.
    pub fn is_log_cached(&self, log_offset: i64, len: usize) -> Result<bool, ReadError> {
        if log_offset >= self.fresh_from(self.log_max_offset()) {
            return Ok(true);
        }
        self.shared.log.is_cached(log_offset, len)
    }

    /// Brings bytes that [`log_part`](Store::log_part) gave into memory, and waits for the disk.
    pub fn fetch_log(&self, log_offset: i64, len: usize) -> Result<(), ReadError> {
        self.shared.log.fetch(log_offset, len, READ_AHEAD_BYTES)
    }

    /// Log offset where the file begins that the log ends in.
    pub fn log_last_file_start(&self) -> i64 {
        let end = self.log_max_offset();
        end - end % self.shared.options.segment_bytes as i64
    }

    /// Log offset of the last record, if the log has one.
    pub fn last_record_offset(&self) -> Option<i64> {
        Some(self.shared.dispatch.lock().last_record).filter(|log_offset| *log_offset >= self.log_min_offset())
    }
}

impl Shared {
    /// An empty log may begin elsewhere. It does when a record is there: whoever sends none must not move it.
    fn begin_at(&self, copy: &mut LogCopy, log_offset: i64) -> Result<(), CopyError> {
        if copy.next != 0 || self.log.appended.value() != 0 {
            return Err(CopyError::Elsewhere { expected: copy.next, got: log_offset });
        }
        if !self.options.is_segment_start(log_offset) {
            return Err(CopyError::NoFileStart(log_offset));
        }
        copy.begins_at = Some(log_offset);
        copy.next = log_offset;
        Ok(())
    }

    /// Lets the empty log begin there.
    fn begin(&self, log_offset: i64) -> Result<(), CopyError> {
        if !self.log.begin_at(log_offset)? {
            return Err(CopyError::NoFileStart(log_offset));
        }
        self.dispatched.advance(log_offset);
        Ok(())
    }

    /// The bytes without those that belong to the blank at the end of a file.
    fn pass_blank<'a>(&self, copy: &LogCopy, log_offset: i64, bytes: &'a [u8]) -> Result<&'a [u8], CopyError> {
        if log_offset >= copy.blank_end {
            return Ok(bytes);
        }
        let len = usize::try_from(copy.blank_end - log_offset).unwrap_or(usize::MAX).min(bytes.len());
        self.log.fill_blank(log_offset, &bytes[..len])?;
        Ok(&bytes[len..])
    }

    /// Completes the record that was cut, so that what follows can be appended from where it stands; returns that.
    fn complete<'a>(
        &self,
        copy: &mut LogCopy,
        bytes: &'a [u8],
        arrived: &mut dyn FnMut(&[Arrival<'_>]),
    ) -> Result<&'a [u8], CopyError> {
        let RecordHead::Record(size) = RecordHead::read(&copy.rest) else { return Ok(bytes) };
        let missing = size.checked_sub(copy.rest.len()).filter(|missing| *missing < bytes.len());
        let Some(missing) = missing else { return Ok(bytes) };
        let (end, behind) = bytes.split_at(missing);
        copy.rest.extend_from_slice(end);
        let held = std::mem::take(&mut copy.rest);
        let used = self.copy_runs(copy, &held, arrived)?;
        copy.rest = held;
        copy.rest.drain(..used);
        copy.rest.shrink_to(KEPT_BYTES);
        Ok(behind)
    }

    /// Appends all whole records; returns how many bytes that were.
    fn copy_runs(
        &self,
        copy: &mut LogCopy,
        bytes: &[u8],
        arrived: &mut dyn FnMut(&[Arrival<'_>]),
    ) -> Result<usize, CopyError> {
        let mut used = 0;
        while used < bytes.len() {
            let at = copy.begins_at.unwrap_or_else(|| self.log.appended.value());
            let run = self.scan(at, &bytes[used..])?;
            if run.len == 0 {
                break;
            }
            if let Some(log_offset) = copy.begins_at.take() {
                self.begin(log_offset)?;
            }
            self.append_run(&run, &bytes[used..used + run.len], arrived)?;
            used += run.len;
            if run.ends_file {
                copy.blank_end = self.log.appended.value();
                let rest = self.pass_blank(copy, at + run.len as i64, &bytes[used..])?;
                used = bytes.len() - rest.len();
            }
        }
        Ok(used)
    }

    /// The whole records at the beginning of bytes that stand at the end of the log, up to the end of its file.
    fn scan<'a>(&self, start: i64, bytes: &'a [u8]) -> Result<Run<'a>, CopyError> {
        let mut run = Run { records: Vec::new(), len: 0, ends_file: false };
        let file_end = self.log.next_segment_start(start);
        loop {
            let (at, rest) = (start + run.len as i64, &bytes[run.len..]);
            let left = file_end - at;
            if left == 0 || rest.len() < BLANK_BYTES_MIN as usize {
                return Ok(run);
            }
            let refused = |reason: String| CopyError::NoRecord { log_offset: at, reason };
            match RecordHead::read(rest) {
                RecordHead::Record(size) if size as i64 > left || size > RECORD_BYTES_MAX => {
                    return Err(refused(format!("{size} bytes are too many, with {left} left in the file")));
                }
                RecordHead::Record(size) if size > rest.len() => return Ok(run),
                RecordHead::Record(size) => {
                    let record = check_record(&rest[..size], at).map_err(|error| refused(error.to_string()))?;
                    if !record.crc_matches() {
                        return Err(refused("the CRC of the body is another one".to_owned()));
                    }
                    run.records.push(record);
                    run.len += size;
                }
                RecordHead::Blank(len) if len as i64 == left => {
                    run.len += BLANK_BYTES_MIN as usize;
                    run.ends_file = true;
                    return Ok(run);
                }
                _ => return Err(refused("neither a record nor the end of a file".to_owned())),
            }
        }
    }

    /// Appends records, and puts them into queues and index.
    fn append_run(
        &self,
        run: &Run<'_>,
        bytes: &[u8],
        arrived: &mut dyn FnMut(&[Arrival<'_>]),
    ) -> Result<(), CopyError> {
        let last = run.records.last();
        let copied = CopiedRun {
            bytes,
            last_record: last.map(|record| record.log_offset),
            store_timestamp_ms: last.map_or(0, |record| record.store_timestamp_ms),
            ends_file: run.ends_file,
        };
        let mut dispatch = self.log.append_copy(&copied, || self.dispatch.lock())?;
        let mut places = Vec::with_capacity(run.records.len());
        for (number, record) in run.records.iter().enumerate() {
            self.dispatch_copied(&mut dispatch, record, |queue, queue_offset, tags_code| {
                places.push(Copied { queue, queue_offset, tags_code, record: number });
            });
        }
        drop(dispatch);
        self.dispatched.advance(self.log.appended.value());
        self.appended_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.appended_count.fetch_add(run.records.len() as u64, Ordering::Relaxed);
        self.write_overdue(places.iter().map(|place| &place.queue));
        if self.options.sync_flush {
            self.signals.flusher.wake();
        }
        if self.log.wants_segment() {
            self.signals.keeper.wake();
        }
        let begin = run.records.first().map_or(0, |record| record.log_offset);
        let arrivals: Vec<Arrival<'_>> = places.iter().map(|place| place.arrival(run, begin, bytes)).collect();
        arrived(&arrivals);
        Ok(())
    }

    /// Puts a record into its queues and the index; `placed` is told where it can be read.
    fn dispatch_copied(
        &self,
        dispatch: &mut Dispatch,
        record: &RecordView<'_>,
        mut placed: impl FnMut(Arc<Queue>, i64, i64),
    ) {
        dispatch.store_timestamp_ms = record.store_timestamp_ms;
        dispatch.last_record = record.log_offset;
        let properties = record.properties();
        let facts = Facts::read(&[&properties]);
        if self.options.index_enabled && is_indexed(record.sys_flag) {
            self.index.writer().put(&key_hashes(record), record.log_offset, record.store_timestamp_ms);
        }
        if facts.inner_count.is_some() && facts.inner_base.is_some() {
            // Only a batch queue's records have both. When the topic has queues already, those say what it is.
            let _ = self.queues.load_type(record.topic, QueueType::Batch);
        }
        let Ok(queue) = self.queues.get_or_create(record.topic, record.queue_id) else {
            tracing::error!(log_offset = record.log_offset, topic = record.topic, "a record of no possible queue");
            return;
        };
        queue.puts.note(1, record.size);
        if !sys_flag::is_queued(record.sys_flag) {
            return;
        }
        let tags_code = facts.tags(queue.is_schedule, &self.options.delay_levels_ms).code(record.store_timestamp_ms);
        // A record's size is read from an i32.
        let unit = Unit { log_offset: record.log_offset, size: record.size as i32, tags_code };
        let Some((queue_offset, count)) = place(&queue, record, &facts) else {
            return queue.pass_over(record.queue_offset);
        };
        let mut bit_map = Vec::new();
        if let Some(bit_maps) = self.bit_maps_of(&queue) {
            bit_maps.fill(record.topic, &properties, &mut bit_map);
        }
        let store_timestamp_ms = record.store_timestamp_ms;
        let new = NewUnit { unit, queue_offset, count, store_timestamp_ms, bit_map: &bit_map };
        if self.push_copied(dispatch, &queue, &new) {
            placed(queue, queue_offset, tags_code);
        }
        let named = facts.multi_dispatch.zip(facts.multi_offsets);
        let named = named.filter(|_| self.options.light_enabled && light::may_have_light(record.topic));
        for (name, queue_offset) in named.into_iter().flat_map(|(names, offsets)| light::places(names, offsets)) {
            let Ok(queue) = self.queues.get_or_create(name, 0) else { continue };
            if self.push_copied(dispatch, &queue, &NewUnit { queue_offset, count: 1, bit_map: &[], ..new }) {
                placed(queue, queue_offset, tags_code);
            }
        }
    }

    /// Gives a unit to its queue. What cannot be done is left out of the queue, and is in the log all the same. Returns
    /// whether the queue may have it.
    fn push_copied(&self, dispatch: &mut Dispatch, queue: &Arc<Queue>, new: &NewUnit<'_>) -> bool {
        let pushed = match queue.replay(&self.files, new, false) {
            Ok(Replayed::Added) => Ok(()),
            Ok(Replayed::Known) => {
                tracing::warn!(?queue, log_offset = new.unit.log_offset, "a queue has a copied message already");
                Ok(())
            }
            Ok(Replayed::Gap) => {
                tracing::warn!(?queue, queue_offset = new.queue_offset, "messages of a queue are missing in the log");
                queue.replay_behind_gap(&self.files, new, self.log.flushed.value())
            }
            Ok(Replayed::Impossible) => {
                let (log_offset, queue_offset) = (new.unit.log_offset, new.queue_offset);
                tracing::error!(
                    ?queue,
                    log_offset,
                    queue_offset,
                    "a copied record of an impossible queue offset is left out"
                );
                return false;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = pushed {
            tracing::error!(?queue, queue_offset = new.queue_offset, %error, "a copied message is not in its queue");
        }
        dispatch.note_dirty(queue, new.store_timestamp_ms, new.unit.log_offset);
        true
    }
}

impl Copied {
    fn arrival<'a>(&'a self, run: &Run<'a>, begin: i64, bytes: &'a [u8]) -> Arrival<'a> {
        let record = &run.records[self.record];
        let at = (record.log_offset - begin) as usize;
        Arrival {
            queue: &self.queue,
            queue_offset: self.queue_offset,
            tags_code: self.tags_code,
            log_offset: record.log_offset,
            store_timestamp_ms: record.store_timestamp_ms,
            record: &bytes[at..at + record.size],
        }
    }
}
