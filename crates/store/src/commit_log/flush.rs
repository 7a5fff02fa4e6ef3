//! Making the log durable.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{CommitLog, LogEnd};

/// A sync that takes no longer costs an I/O thread less than asking another thread for it.
const QUICK: Duration = Duration::from_millis(2);
/// So many quick ones in a row show a disk that is quick.
const QUICK_COUNT: u32 = 4;

/// What is known from earlier syncs. One thread syncs at a time: of two, one could be told of an error and the other be
/// told that all is well.
#[derive(Default)]
pub(super) struct Flushing {
    turn: Mutex<()>,
    /// Syncs in a row that were quick, at most [`QUICK_COUNT`]. Changes only under the lock; read without it, so that nobody
    /// waits for a slow one to end.
    quick: AtomicU32,
}

impl CommitLog {
    /// Makes everything durable that was appended before the call, and says up to where that is.
    pub(crate) fn flush(&self) -> io::Result<LogEnd> {
        let _turn = self.flushing.turn.lock();
        self.flush_in_turn()
    }

    /// Does the same if it will not take long: when the last syncs did not.
    pub(crate) fn flush_if_quick(&self) -> Option<io::Result<LogEnd>> {
        (self.flushing.quick.load(Ordering::Relaxed) >= QUICK_COUNT).then(|| self.flush())
    }

    fn flush_in_turn(&self) -> io::Result<LogEnd> {
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
        let quick = self.flushing.quick.load(Ordering::Relaxed);
        self.flushing.quick.store(if is_quick { (quick + 1).min(QUICK_COUNT) } else { 0 }, Ordering::Relaxed);
        self.flushed.advance(end.offset);
        Ok(end)
    }

    /// Makes durable what the files hold from an offset on, before it is known where the log ends.
    pub(crate) fn sync_from(&self, log_offset: i64) -> io::Result<()> {
        let segments = self.segments.read().clone();
        segments.iter().filter(|segment| segment.end > log_offset).try_for_each(|segment| segment.file.sync())
    }

    /// Ends the waiting for a flush that will not come, after the disk failed.
    pub(crate) fn stop_if_failed(&self) {
        if self.has_failed() {
            self.flushed.stop();
        }
    }
}
