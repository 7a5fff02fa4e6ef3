//! The store's own work: flushing the log, writing out queues and index, the checkpoint, the next log file, deletion.
//!
//! All of it is in two steps, [`Shared::flush_step`] and [`Shared::keep_step`], that look at the time, do what is due and
//! return. A thread each calls them in a loop; tests call [`Store::step`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::commit_log::LogEnd;
use crate::open::{DirtyQueue, Shared, Store};

/// After the next log file could not be made, the next attempt comes so much later.
const SEGMENT_RETRY_MS: i64 = 1_000;
/// Bytes that the configuration counts as a page.
const PAGE_BYTES: u64 = 4096;
/// Queues that one step writes; the others come in the next. The log rebuilds what is not written, so being late costs
/// only recovery time.
const QUEUES_A_STEP: usize = 4096;

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
}

/// The two threads.
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
    /// When to try again to make the next log file, after that failed.
    segment_retry_at_ms: Option<i64>,
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
        Ok(Background { threads: vec![flusher, keeper] })
    }

    /// Ends the threads; the caller has set `is_closed`.
    pub(crate) fn stop(self, signals: &Signals) {
        signals.flusher.wake();
        signals.keeper.wake();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store panicked");
            }
        }
    }
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
            .and_then(|until_ms| self.sync_queues(now_ms, until_ms))
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

    /// Writes the tails of up to `count` queues and the index's. Returns the store timestamp up to which every record's
    /// unit is in the files.
    fn write_queues(&self, count: usize) -> io::Result<i64> {
        let (due, until_ms) = {
            let mut dispatch = self.dispatch.lock();
            let count = count.min(dispatch.dirty.len());
            let due: Vec<DirtyQueue> = dispatch.dirty.drain(..count).collect();
            due.iter().for_each(|dirty| dirty.queue.is_dirty.store(false, Ordering::Release));
            let until_ms = dispatch.dirty.front().map_or(dispatch.store_timestamp_ms, |dirty| dirty.since_ms);
            (due, until_ms)
        };
        for (position, dirty) in due.iter().enumerate() {
            if let Err(error) = dirty.queue.write_behind(&self.files) {
                self.give_back(due, position);
                return Err(error);
            }
        }
        Ok(until_ms)
    }

    /// Puts queues that were not written back to the front of the list.
    fn give_back(&self, due: Vec<DirtyQueue>, position: usize) {
        let mut dispatch = self.dispatch.lock();
        for dirty in due.into_iter().skip(position).rev() {
            // One that got a new unit meanwhile stands further back, with too young a time.
            if dirty.queue.is_dirty.swap(true, Ordering::AcqRel) {
                dispatch.dirty.retain(|other| !Arc::ptr_eq(&other.queue, &dirty.queue));
            }
            dispatch.dirty.push_front(dirty);
        }
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
        let until_ms = self.write_queues(usize::MAX)?;
        self.files.sync()?;
        self.index.close()?;
        self.note_full_index()?;
        self.move_checkpoint(until_ms)
    }
}
