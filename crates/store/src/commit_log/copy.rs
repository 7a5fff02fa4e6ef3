//! Appending what another broker's log has: the same bytes at the same offsets.

use std::io;
use std::sync::atomic::Ordering;

use super::{CommitLog, PREPARE_AT_PERCENT};
use crate::staging::PutStatus;

/// Whole records that follow the end of the log, within one file.
pub(crate) struct CopiedRun<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the last record begins, if there is one.
    pub(crate) last_record: Option<i64>,
    /// Store timestamp of that record, 0 without one.
    pub(crate) store_timestamp_ms: i64,
    /// A blank's two fields end the run: the log goes on in the next file.
    pub(crate) ends_file: bool,
}

impl CommitLog {
    /// Begins a log that has no files yet at another offset than 0. `false` when it has, or no file begins there.
    pub(crate) fn begin_at(&self, log_offset: i64) -> io::Result<bool> {
        let mut tail = self.tail.lock();
        if !self.options.is_segment_start(log_offset) || !self.segments.read().is_empty() || tail.offset != 0 {
            return Ok(false);
        }
        tail.offset = log_offset;
        self.appended.advance(log_offset);
        self.flushed.advance(log_offset);
        // The background may have made a file that begins at 0; from now on it makes another one.
        self.discard_prepared()?;
        self.want_segment();
        Ok(true)
    }

    /// Writes a run at the end of the log. `hand_over` runs under the lock, at its end, as that of
    /// [`append`](CommitLog::append). After an error the log is as it was.
    pub(crate) fn append_copy<G>(&self, run: &CopiedRun<'_>, hand_over: impl FnOnce() -> G) -> io::Result<G> {
        let mut tail = self.tail.lock();
        if self.has_failed() || (tail.unwiped > 0 && !self.wipe(&mut tail)) {
            return Err(io::Error::other("the log takes nothing after an error"));
        }
        if tail.segment.as_ref().is_none_or(|segment| segment.end <= tail.offset) {
            self.roll(&mut tail).map_err(|status: PutStatus| io::Error::other(status.name()))?;
        }
        self.write_end(&mut tail, run.bytes)?;
        if run.ends_file {
            tail.offset = tail.segment.as_ref().map_or(tail.offset, |segment| segment.end);
        }
        tail.last_record = run.last_record.unwrap_or(tail.last_record);
        tail.store_timestamp_ms = tail.store_timestamp_ms.max(run.store_timestamp_ms);
        self.appended.advance(tail.offset);
        if !tail.asked_for_next && tail.is_used(PREPARE_AT_PERCENT) {
            tail.asked_for_next = true;
            self.wants_segment.store(true, Ordering::Release);
        }
        Ok(hand_over())
    }

    /// Writes what stands in a file behind the two fields of the blank that ends it.
    pub(crate) fn fill_blank(&self, log_offset: i64, bytes: &[u8]) -> io::Result<()> {
        match self.segment(log_offset) {
            // A new file has zeros there already.
            Some(segment) if bytes.iter().any(|byte| *byte != 0) => {
                segment.file.write_at((log_offset - segment.start) as u64, bytes)
            }
            _ => Ok(()),
        }
    }
}
