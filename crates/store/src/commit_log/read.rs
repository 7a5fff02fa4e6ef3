//! Reading the log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use raptormq_protocol::message::record::{RecordError, RecordHead, RecordView};

use super::{CommitLog, Segment};

/// Bytes of a record up to and with its log offset: what is compared before a record is given away.
const HEAD_BYTES: usize = 36;

/// Why there is no record at an offset.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset lies before the first file or behind the end.
    #[error("log offset {0} is not in the log any more, or not yet")]
    NotThere(i64),
    /// What lies there is not the record that was asked for.
    #[error("log offset {log_offset}: {reason}")]
    Damaged {
        /// Where.
        log_offset: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The device failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl ReadError {
    fn damaged(log_offset: i64, reason: impl ToString) -> ReadError {
        ReadError::Damaged { log_offset, reason: reason.to_string() }
    }
}

impl CommitLog {
    /// The file that holds an offset.
    pub(crate) fn segment(&self, log_offset: i64) -> Option<Arc<Segment>> {
        let segments = self.segments.read();
        let first = segments.front()?;
        let distance = log_offset.checked_sub(first.start)?;
        let number = usize::try_from(distance / (first.end - first.start)).ok().filter(|_| distance >= 0)?;
        segments.get(number).cloned()
    }

    /// Bytes of the log, which must have been appended and lie in one file. Nothing is checked but that.
    pub(crate) fn slice(&self, log_offset: i64, len: usize) -> Result<Bytes, ReadError> {
        let end = log_offset.checked_add(len as i64).filter(|end| *end <= self.appended.value());
        let segment = self.segment(log_offset).filter(|segment| end.is_some_and(|end| end <= segment.end));
        let segment = segment.ok_or(ReadError::NotThere(log_offset))?;
        Ok(segment.file.view((log_offset - segment.start) as u64, len)?)
    }

    /// Bytes of the log from an offset on: at least `len_min`, and up to `len_max` as far as its file goes and the log is
    /// written.
    pub(crate) fn window(&self, log_offset: i64, len_min: usize, len_max: usize) -> Result<Bytes, ReadError> {
        let segment = self.segment(log_offset).ok_or(ReadError::NotThere(log_offset))?;
        let end = segment.end.min(self.appended.value()).min(log_offset.saturating_add(len_max.max(len_min) as i64));
        let len = usize::try_from(end - log_offset).ok().filter(|len| *len >= len_min);
        let len = len.ok_or(ReadError::NotThere(log_offset))?;
        Ok(segment.file.view((log_offset - segment.start) as u64, len)?)
    }

    /// Whether bytes of the log, which must lie in one file, are in memory.
    pub(crate) fn is_cached(&self, log_offset: i64, len: usize) -> Result<bool, ReadError> {
        let segment = self.segment(log_offset).ok_or(ReadError::NotThere(log_offset))?;
        Ok(segment.file.is_cached((log_offset - segment.start) as u64, len)?)
    }

    /// Brings bytes of the log, which must lie in one file, into memory, and lets the disk begin with those behind.
    pub(crate) fn fetch(&self, log_offset: i64, len: usize, ahead: usize) -> Result<(), ReadError> {
        let segment = self.segment(log_offset).ok_or(ReadError::NotThere(log_offset))?;
        let at = (log_offset - segment.start) as u64;
        if self.reads_ahead.load(Ordering::Relaxed) {
            segment.file.read_ahead(at, len + ahead);
        }
        Ok(segment.file.load(at, len)?)
    }

    /// Makes it count from now on whether the disk is asked to read on.
    pub(crate) fn set_reads_ahead(&self, reads_ahead: bool) {
        self.reads_ahead.store(reads_ahead, Ordering::Relaxed);
    }

    /// The record at an offset.
    pub(crate) fn record(&self, log_offset: i64) -> Result<Bytes, ReadError> {
        let head = self.slice(log_offset, 8)?;
        self.fetch(log_offset, 8, 0)?;
        match RecordHead::read(&head) {
            RecordHead::Record(size) => {
                let bytes = self.slice(log_offset, size)?;
                self.fetch(log_offset, size, 0)?;
                check_record(&bytes, log_offset)?;
                Ok(bytes)
            }
            _ => Err(ReadError::damaged(log_offset, "no record starts here")),
        }
    }

    /// The record at an offset; `None` when it is not in memory. From `fresh_from` on everything is.
    pub(crate) fn record_cached(&self, log_offset: i64, fresh_from: i64) -> Result<Option<Bytes>, ReadError> {
        let is_fresh = log_offset >= fresh_from;
        if !is_fresh && !self.is_cached(log_offset, 8)? {
            return Ok(None);
        }
        let head = self.slice(log_offset, 8)?;
        match RecordHead::read(&head) {
            RecordHead::Record(size) if is_fresh => {
                let bytes = self.slice(log_offset, size)?;
                check_record(&bytes, log_offset)?;
                Ok(Some(bytes))
            }
            RecordHead::Record(size) if !self.is_cached(log_offset, size)? => Ok(None),
            _ => self.record(log_offset).map(Some),
        }
    }

    /// When the record at an offset was stored, in milliseconds.
    pub(crate) fn store_timestamp_ms(&self, log_offset: i64, size: i32) -> Result<i64, ReadError> {
        let bytes = self.slice(log_offset, size.max(0) as usize)?;
        check_record(&bytes, log_offset).map(|view| view.store_timestamp_ms)
    }

    /// Where the file behind the one of `log_offset` starts.
    pub(crate) fn next_segment_start(&self, log_offset: i64) -> i64 {
        let bytes = self.options.segment_bytes as i64;
        log_offset - log_offset.rem_euclid(bytes) + bytes
    }
}

/// Parses a record and compares its offset with where it lies.
pub(crate) fn check_record(bytes: &[u8], log_offset: i64) -> Result<RecordView<'_>, ReadError> {
    let view = RecordView::parse(bytes).map_err(|error: RecordError| ReadError::damaged(log_offset, error))?;
    if view.log_offset != log_offset {
        return Err(ReadError::damaged(log_offset, format!("a record of log offset {}", view.log_offset)));
    }
    Ok(view)
}

/// Whether the first bytes of `record` are those of the message that a queue's unit names. It costs one cache line of
/// what is about to be sent, and keeps a damaged queue from delivering something else.
pub(crate) fn is_record_of(record: &[u8], queue_id: i32, queue_offset: i64, log_offset: i64) -> bool {
    let Some(head) = record.first_chunk::<HEAD_BYTES>() else { return false };
    RecordHead::read(head) == RecordHead::Record(record.len())
        && head[12..16] == queue_id.to_be_bytes()
        && head[20..28] == queue_offset.to_be_bytes()
        && head[28..36] == log_offset.to_be_bytes()
}
