//! Making the log durable.

use std::io;
use std::time::{Duration, Instant};

use super::{CommitLog, LogEnd};

/// A sync that takes no longer costs an I/O thread less than asking another thread for it.
const QUICK: Duration = Duration::from_millis(2);
/// So many quick ones in a row show a disk that is quick.
const QUICK_COUNT: u32 = 4;

/// What is known from earlier syncs. One thread syncs at a time: of two, one could be told of an error and the other be
/// told that all is well.
#[derive(Default)]
pub(super) struct Flushing {
    /// Syncs in a row that were quick, at most [`QUICK_COUNT`].
    quick: u32,
}

impl CommitLog {
    /// Makes everything durable that was appended before the call, and says up to where that is.
    pub(crate) fn flush(&self) -> io::Result<LogEnd> {
        self.flush_by(&mut self.flushing.lock())
    }

    /// Does the same if it will not take long: when the last syncs did not.
    pub(crate) fn flush_if_quick(&self) -> Option<io::Result<LogEnd>> {
        let mut flushing = self.flushing.lock();
        (flushing.quick >= QUICK_COUNT).then(|| self.flush_by(&mut flushing))
    }

    fn flush_by(&self, flushing: &mut Flushing) -> io::Result<LogEnd> {
        let end = self.end();
        let from = self.flushed.value();
        if from == end.offset && !self.has_failed() {
            return Ok(end);
        }
        let dirty: Vec<_> = {
            let segments = self.segments.read();
            // Usually one, and the last.
            let newer = segments.iter().rev().take_while(|segment| segment.end > from);
            newer.filter(|segment| segment.start < end.offset).cloned().collect()
        };
        let begun = Instant::now();
        for segment in dirty.iter().rev() {
            segment.file.sync().inspect_err(|_| self.flushed.stop())?;
        }
        let is_quick = begun.elapsed() <= QUICK;
        flushing.quick = if is_quick { (flushing.quick + 1).min(QUICK_COUNT) } else { 0 };
        self.flushed.advance(end.offset);
        Ok(end)
    }

    /// Ends the waiting for a flush that will not come, after the disk failed.
    pub(crate) fn stop_if_failed(&self) {
        if self.has_failed() {
            self.flushed.stop();
        }
    }
}
