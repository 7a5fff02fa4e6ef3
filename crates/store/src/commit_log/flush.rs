//! Making the log durable.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{CommitLog, LogEnd};
use crate::disk::syncs;

/// A sync that takes no longer costs an I/O thread less than asking another thread for it.
const QUICK: Duration = Duration::from_millis(2);
/// So many quick ones in a row show a disk that is quick.
const QUICK_COUNT: u32 = 4;
/// How long an I/O thread waits for the syncs of others to end: some quick ones.
const PATIENCE: Duration = Duration::from_millis(10);
/// A disk that hung may hang again: so long no I/O thread syncs itself.
const DISTRUST: Duration = Duration::from_secs(10);

/// What is known from earlier syncs. One thread syncs at a time: of two, one could be told of an error and the other be
/// told that all is well.
#[derive(Default)]
pub(super) struct Flushing {
    turn: Mutex<Turn>,
    /// Syncs in a row that were quick, at most [`QUICK_COUNT`]. Read without the lock, so that nobody waits for a slow one
    /// to end; who waited in vain for the lock resets it.
    quick: AtomicU32,
}

/// What only the thread that syncs knows.
#[derive(Default)]
struct Turn {
    /// The disk hung: until then it does not count as quick.
    distrusted_until: Option<Instant>,
}

impl CommitLog {
    /// Makes everything durable that was appended before the call, and says up to where that is.
    pub(crate) fn flush(&self) -> io::Result<LogEnd> {
        self.flush_in_turn(&mut self.flushing.turn.lock())
    }

    /// Does the same if it will not take long: when the last syncs did not, and none hangs. `None` when it would, or another
    /// thread's sync takes long.
    pub(crate) fn flush_if_quick(&self) -> Option<io::Result<LogEnd>> {
        if self.flushing.quick.load(Ordering::Relaxed) < QUICK_COUNT || self.fuse.syncs.are_hanging() {
            return None;
        }
        match self.flushing.turn.try_lock_for(PATIENCE) {
            Some(mut turn) => Some(self.flush_in_turn(&mut turn)),
            None => {
                // The next one need not wait.
                self.flushing.quick.store(0, Ordering::Relaxed);
                None
            }
        }
    }

    fn flush_in_turn(&self, turn: &mut Turn) -> io::Result<LogEnd> {
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
        self.note_sync(turn, begun);
        self.flushed.advance(end.offset);
        Ok(end)
    }

    /// Counts a sync, or several, that began then and has ended.
    fn note_sync(&self, turn: &mut Turn, begun: Instant) {
        let took = begun.elapsed();
        if took >= syncs::LONG {
            turn.distrusted_until = Some(begun + took + DISTRUST);
        }
        let is_distrusted = turn.distrusted_until.is_some_and(|until| begun < until);
        let quick = self.flushing.quick.load(Ordering::Relaxed);
        let quick = if took <= QUICK && !is_distrusted { (quick + 1).min(QUICK_COUNT) } else { 0 };
        self.flushing.quick.store(quick, Ordering::Relaxed);
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
