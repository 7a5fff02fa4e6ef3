//! The store's own work: flushing the log, writing out queues and index, the checkpoint, the next log file, deletion.
//!
//! All of it is in two steps, [`Shared::flush_step`] and [`Shared::keep_step`], that look at the time, do what is due and
//! return. A thread each calls them in a loop; tests call [`Store::step`]. A third thread looks whether a sync hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::commit_log::LogEnd;
use crate::consume_queue::tails::LogEnds;
use crate::consume_queue::{Queue, QueueType};
use crate::disk::syncs;
use crate::open::{DirtyQueue, Shared, Store};

/// After the next log file could not be made, the next attempt comes so much later.
const SEGMENT_RETRY_MS: i64 = 1_000;
/// Bytes that the configuration counts as a page.
const PAGE_BYTES: u64 = 4096;
/// Queues that one step writes; the others come in the next. The log rebuilds what is not written, so being late costs
/// only recovery time.
const QUEUES_A_STEP: usize = 4096;

/// Least time between two pictures of the queues' ends, and how many times as long as the last one took.
const TAILS_INTERVAL_MS: i64 = 10_000;
const TAILS_COST: i64 = 500;
/// Bytes of the log after which a picture is taken whatever the time: so many a start after a crash reads in a moment.
const TAILS_LOG_BYTES: i64 = 256 << 20;
/// A picture is taken only when the log has grown by a part of what it takes to write it.
const TAILS_PART: i64 = 4;

/// Time between writes of the index's changed slots. They follow from its entries, so being late costs nothing, and a key
/// more or less in a page costs as much as a full one.
const SLOTS_INTERVAL_MS: i64 = 10_000;

/// Wakes a thread before its time.
#[derive(Default)]
pub(crate) struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn wake(&self) {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            *is_set = true;
            self.changed.notify_one();
        }
    }

    /// Waits until woken, at most so long.
    fn wait(&self, timeout: Duration) {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.changed.wait_for(&mut is_set, timeout);
        }
        *is_set = false;
    }
}

/// One for each thread.
#[derive(Default)]
pub(crate) struct Signals {
    pub(crate) flusher: Signal,
    pub(crate) keeper: Signal,
    watcher: Signal,
}

/// The threads.
pub(crate) struct Background {
    threads: Vec<JoinHandle<()>>,
}

/// When the steps last did what.
#[derive(Default)]
pub(crate) struct Pace {
    queues_written_at_ms: i64,
    queues_flushed_at_ms: i64,
    slots_written_at_ms: i64,
    /// Store timestamp of the last record that is on disk.
    log_timestamp_ms: i64,
    /// Where a record begins that is on disk with all before it; -1 when there is none.
    log_last_record: i64,
    tails: TailsPace,
    /// When to try again to make the next log file, after that failed.
    segment_retry_at_ms: Option<i64>,
}

/// What decides when the next picture of the queues' ends is taken.
#[derive(Default)]
struct TailsPace {
    not_before_ms: i64,
    /// Where the log ended when the last one was taken.
    log_end: i64,
    /// Bytes of the last one.
    bytes: i64,
}

impl Background {
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Background> {
        let spawn = |name: &str, run: fn(&Shared)| {
            let shared = shared.clone();
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                while !shared.is_closed.load(Ordering::Acquire) {
                    run(&shared);
                }
            })
        };
        let flusher = spawn("store-flush", |shared| {
            // The thorough one flushes everything, too.
            let options = &shared.options;
            let interval = options.flush_log_interval_ms.min(options.flush_log_thorough_interval_ms).max(1);
            shared.signals.flusher.wait(Duration::from_millis(interval as u64));
            shared.flush_step();
        })?;
        let keeper = spawn("store-keep", |shared| {
            let wait_ms = shared.keep_step(shared.clock.now_ms());
            let interval = shared.options.flush_queues_interval_ms.min(wait_ms.unwrap_or(i64::MAX)).max(1);
            shared.signals.keeper.wait(Duration::from_millis(interval as u64));
        })?;
        // Both may be in the sync that hangs.
        let watcher = spawn("store-watch", |shared| {
            shared.signals.watcher.wait(syncs::LONG);
            shared.fuse.syncs.watch(Instant::now());
        })?;
        Ok(Background { threads: vec![flusher, keeper, watcher] })
    }

    /// Ends the threads; the caller has set `is_closed`.
    pub(crate) fn stop(self, signals: &Signals) {
        signals.flusher.wake();
        signals.keeper.wake();
        signals.watcher.wake();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store panicked");
            }
        }
    }
}

/// What [`Shared::write_queues`] has written.
pub(crate) struct Written {
    /// Every record stored before this time has its unit in the files.
    until_ms: i64,
    /// Every record that lies before this log offset has its unit in the files.
    from_offset: i64,
}

impl Store {
    /// Does whatever is due at this time, once. For stores opened with [`Store::open_still`].
    pub fn step(&self, now_ms: i64) {
        self.shared.flush_step();
        self.shared.keep_step(now_ms);
    }
}

impl Shared {
    /// Flushes everything that was appended, as one commit.
    pub(crate) fn flush_step(&self) {
        if self.log.appended.value() == self.log.flushed.value() || self.log.has_failed() {
            return;
        }
        // An error is logged where it is noticed, and ends all of this.
        if let Ok(end) = self.log.flush() {
            self.note_flushed(end);
        }
    }

    pub(crate) fn note_flushed(&self, end: LogEnd) {
        let mut pace = self.pace.lock();
        pace.log_timestamp_ms = pace.log_timestamp_ms.max(end.store_timestamp_ms);
        pace.log_last_record = pace.log_last_record.max(end.last_record);
    }

    /// Notes where recovery found the end of the log, all of which is on disk; the checkpoint has said how far queues are.
    /// `has_tails` says whether the last picture of the queues' ends was believed.
    pub(crate) fn note_recovered(&self, end: LogEnd, has_tails: bool) {
        self.note_flushed(end);
        if has_tails {
            self.pace.lock().tails.log_end = end.offset;
        }
    }

    /// Makes the next log file, writes queues and index out, moves the checkpoint, and deletes, each when it is due.
    /// Returns in how many milliseconds there will be more to do, if that is known.
    pub(crate) fn keep_step(&self, now_ms: i64) -> Option<i64> {
        self.log.stop_if_failed();
        self.make_segment(now_ms);
        let fill_ms = self.log.fill_step();
        if now_ms - self.pace.lock().queues_written_at_ms >= self.options.flush_queues_interval_ms {
            self.pace.lock().queues_written_at_ms = now_ms;
            self.keep_queues(now_ms);
        }
        let clean_ms = self.clean_step(now_ms);
        fill_ms.into_iter().chain(clean_ms).min()
    }

    /// Makes the next log file if it is time.
    fn make_segment(&self, now_ms: i64) {
        if self.pace.lock().segment_retry_at_ms.take_if(|at_ms| *at_ms <= now_ms).is_some() {
            self.log.want_segment();
        }
        if let Err(error) = self.log.prepare_segment() {
            tracing::error!(%error, "the next log file could not be made; the last one goes on as long as it has room");
            self.pace.lock().segment_retry_at_ms = Some(now_ms + SEGMENT_RETRY_MS);
        }
    }

    /// Writes queues and index out, and moves the checkpoint.
    fn keep_queues(&self, now_ms: i64) {
        let kept = self
            .write_queues(QUEUES_A_STEP)
            .and_then(|written| {
                self.sync_queues(now_ms, written.until_ms)?;
                self.keep_tails(now_ms, written.from_offset)
            })
            .and_then(|()| self.keep_index(now_ms));
        let had_error = self.has_queue_error.swap(kept.is_err(), Ordering::AcqRel);
        match kept {
            Err(error) if !had_error && !self.log.has_failed() => {
                tracing::error!(%error, "queues or index could not be written: nothing is accepted until they can");
            }
            Ok(()) if had_error => tracing::info!("queues and index can be written again"),
            _ => {}
        }
    }

    /// Writes the tails of up to `count` queues, as far as their messages are on disk.
    pub(crate) fn write_queues(&self, count: usize) -> io::Result<Written> {
        // In this order: what is flushed later is not older.
        let flushed_ms = self.pace.lock().log_timestamp_ms;
        let flushed = self.log.flushed.value();
        let due: Vec<DirtyQueue> = {
            let mut dispatch = self.dispatch.lock();
            let count = count.min(dispatch.dirty.len());
            dispatch.dirty.drain(..count).collect()
        };
        let write = |dirty: &DirtyQueue| dirty.queue.write_behind(&self.files, flushed).err();
        let failed = due.iter().enumerate().find_map(|(position, dirty)| Some((position, write(dirty)?)));
        let done = failed.as_ref().map_or(due.len(), |(position, _)| *position);
        let mut dispatch = self.dispatch.lock();
        for (position, mut dirty) in due.into_iter().enumerate() {
            if position < done && (!dirty.queue.has_unwritten() || dirty.queue.is_deleted()) {
                dirty.queue.is_dirty.store(false, Ordering::Release);
                continue;
            }
            if position < done {
                dirty.since_ms = dirty.since_ms.max(flushed_ms);
                dirty.since_offset = dirty.since_offset.max(flushed);
            }
            dispatch.dirty.push_back(dirty);
        }
        // Two runs that are in order; usually there is little in the second.
        dispatch.dirty.make_contiguous().sort_by_key(|dirty| dirty.since_offset);
        let first = dispatch.dirty.front();
        let written = Written {
            until_ms: first.map_or(dispatch.store_timestamp_ms, |dirty| dirty.since_ms),
            from_offset: first.map_or_else(|| self.dispatched.value(), |dirty| dirty.since_offset),
        };
        failed.map_or(Ok(written), |(_, error)| Err(error))
    }

    /// Syncs the queue files when enough was written to them or it is time, and moves the checkpoint.
    fn sync_queues(&self, now_ms: i64, until_ms: i64) -> io::Result<()> {
        let options = &self.options;
        let since = now_ms - self.pace.lock().queues_flushed_at_ms;
        let bytes = self.files.unsynced_bytes();
        let thorough = since >= options.flush_queues_thorough_interval_ms;
        if bytes < options.flush_queues_pages_min * PAGE_BYTES && !thorough {
            return Ok(());
        }
        self.pace.lock().queues_flushed_at_ms = now_ms;
        self.files.sync()?;
        self.move_checkpoint(until_ms)
    }

    /// Takes a picture of the queues' ends when that is due: see [`crate::consume_queue::tails`]. Every record before
    /// `from_offset` has its unit in the files.
    fn keep_tails(&self, now_ms: i64, from_offset: i64) -> io::Result<()> {
        let log = LogEnds::at(self.log.min_offset(), from_offset.min(self.pace.lock().log_last_record));
        let appended = self.log.appended.value();
        let is_due = {
            let TailsPace { not_before_ms, log_end, bytes } = self.pace.lock().tails;
            let grown = appended - log_end;
            let is_worth_it = grown > bytes / TAILS_PART || !self.tails.is_valid(log.min);
            grown >= TAILS_LOG_BYTES || now_ms >= not_before_ms && is_worth_it
        };
        // While queues still follow the log, not all of them begin where it does.
        if !is_due || log.end < log.min || self.options.ext_enabled || !self.has_followed_log() {
            return Ok(());
        }
        let begun = Instant::now();
        let seen = self.tails.generation();
        let queues: Vec<_> = self.simple_queues().into_iter().map(|queue| (queue.written_tail(), queue)).collect();
        // What the picture says is in the files must be there whatever happens, and that there is an index.
        self.index.settle()?;
        self.files.sync()?;
        let written = self.tails.write(log, &queues, seen);
        let mut pace = self.pace.lock();
        let took_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        pace.tails.not_before_ms = now_ms.saturating_add(took_ms.saturating_mul(TAILS_COST).max(TAILS_INTERVAL_MS));
        pace.tails.log_end = appended;
        match written {
            Ok(bytes) => pace.tails.bytes = bytes as i64,
            // It only makes the next start faster.
            Err(error) => tracing::warn!(%error, "raptormq.queues could not be written; it is tried again"),
        }
        Ok(())
    }

    /// Makes durable what the queues have, of all messages until now.
    pub(crate) fn settle_queues(&self) -> io::Result<()> {
        let end = self.log.flush()?;
        self.note_flushed(end);
        self.write_queues(usize::MAX)?;
        self.files.sync()
    }

    /// The queues whose ends are written down: of batch queues, which are few, a start looks at the files.
    pub(crate) fn simple_queues(&self) -> Vec<Arc<Queue>> {
        let mut queues = self.queues.all();
        queues.retain(|queue| queue.queue_type == QueueType::Simple);
        queues
    }

    /// Writes the index out; files that became full are synced, and then count for the checkpoint.
    fn keep_index(&self, now_ms: i64) -> io::Result<()> {
        let slots = now_ms - self.pace.lock().slots_written_at_ms >= SLOTS_INTERVAL_MS;
        if slots {
            self.pace.lock().slots_written_at_ms = now_ms;
        }
        self.index.write(slots)?;
        self.note_full_index()
    }

    fn note_full_index(&self) -> io::Result<()> {
        match self.index.sync_full()? {
            Some(until_ms) => self.checkpoint.update(|checkpoint| checkpoint.index_timestamp_ms = until_ms),
            None => Ok(()),
        }
    }

    fn move_checkpoint(&self, queues_timestamp_ms: i64) -> io::Result<()> {
        let log_timestamp_ms = self.pace.lock().log_timestamp_ms;
        self.checkpoint.update(|checkpoint| {
            checkpoint.log_timestamp_ms = checkpoint.log_timestamp_ms.max(log_timestamp_ms);
            checkpoint.queues_timestamp_ms = checkpoint.queues_timestamp_ms.max(queues_timestamp_ms);
        })
    }

    /// Writes and syncs all there is. The last thing a store does.
    pub(crate) fn write_everything(&self) -> io::Result<()> {
        let end = self.log.flush()?;
        self.note_flushed(end);
        let until_ms = self.write_queues(usize::MAX)?.until_ms;
        self.files.sync()?;
        self.index.close()?;
        self.note_full_index()?;
        self.move_checkpoint(until_ms)
    }
}
