//! Appending a turn's records: one lock, one write (two where a file ends).

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::record::{self, Place};

use super::{BLANK_BYTES_MIN, CommitLog, PREPARE_AT_PERCENT, Segment, Tail};
use crate::disk::is_full;
use crate::staging::{Entry, PutStatus, StagedRecord, Staging};

impl CommitLog {
    /// Gives every staged record its queue offset, log offset and store timestamp, and writes them. The outcome stands in
    /// the staging. `hand_over` runs under the lock, at its end: whoever takes another lock there comes in the order of
    /// the log.
    ///
    /// Nothing here allocates, logs or waits but for making a file that the background did not prepare in time, for
    /// records with [late](crate::late) properties, and after an error.
    pub(crate) fn append<G>(&self, staging: &mut Staging, now_ms: i64, hand_over: impl FnOnce() -> G) -> G {
        let mut tail = self.tail.lock();
        tail.store_timestamp_ms = tail.store_timestamp_ms.max(now_ms);
        if tail.unwiped > 0 && !self.wipe(&mut tail) {
            set_status(&mut staging.entries, PutStatus::ServiceNotAvailable);
            return hand_over();
        }
        let mut run = 0..0;
        for position in 0..staging.entries.len() {
            if self.has_failed() {
                set_status(&mut staging.entries[position..], PutStatus::ServiceNotAvailable);
                break;
            }
            if staging.has_late {
                staging.settle(position);
            }
            let len = staging.entries[position].bytes.len() as i64;
            let pending = pending_bytes(staging, &run);
            if !tail.has_room(pending + len) {
                self.write_run(&mut tail, staging, run);
                run = position..position;
                if tail.unwiped > 0 {
                    set_status(&mut staging.entries[position..], PutStatus::ServiceNotAvailable);
                    break;
                }
                if let Err(status) = self.roll(&mut tail) {
                    set_status(&mut staging.entries[position..], status);
                    break;
                }
            }
            let pending = pending_bytes(staging, &run);
            if staging.has_late {
                // A run that could not be written has given its offsets back.
                staging.settle(position);
            }
            assign(&tail, staging, position, pending);
            if self.options.append_property_crc {
                seal(staging, position);
            }
            run.end = position + 1;
        }
        self.write_run(&mut tail, staging, run);
        self.appended.advance(tail.offset);
        if !tail.asked_for_next && tail.is_used(PREPARE_AT_PERCENT) {
            tail.asked_for_next = true;
            self.wants_segment.store(true, Ordering::Release);
        }
        hand_over()
    }

    /// Whether the background should prepare a file.
    pub(crate) fn wants_segment(&self) -> bool {
        self.wants_segment.load(Ordering::Acquire)
    }

    /// Writes the records of a run of entries at the end of the log. When that fails, the entries are as if they had
    /// never been.
    fn write_run(&self, tail: &mut Tail, staging: &mut Staging, run: Range<usize>) {
        if run.is_empty() {
            return;
        }
        let bytes = staging.entries[run.start].bytes.start..staging.entries[run.end - 1].bytes.end;
        match self.write_end(tail, &staging.buffer[bytes]) {
            Ok(()) => {
                let last = staging.records[staging.entries[run.end - 1].records.clone()].last();
                tail.last_record = last.map_or(tail.last_record, |record| record.log_offset);
                set_status(&mut staging.entries[run], PutStatus::PutOk);
            }
            Err(error) => {
                for position in run.clone() {
                    give_back_queue_offsets(staging, position);
                }
                let is_full = is_full(&error);
                let status = if is_full { PutStatus::ServiceNotAvailable } else { PutStatus::UnknownError };
                set_status(&mut staging.entries[run], status);
            }
        }
    }

    /// Writes bytes at the end of the log, which is behind them then. When that fails, what may have been written of them
    /// is wiped out.
    pub(super) fn write_end(&self, tail: &mut Tail, bytes: &[u8]) -> io::Result<()> {
        let segment = tail.segment.as_ref().expect("something is written only behind a roll");
        let at = (tail.offset - segment.start) as u64;
        debug_assert!(tail.offset + bytes.len() as i64 <= segment.end, "a run lies in one file");
        let file = segment.file.clone();
        self.keep_clear(tail, bytes.len() as i64);
        match file.write_at(at, bytes) {
            Ok(()) => {
                tail.offset += bytes.len() as i64;
                tail.recovered();
                Ok(())
            }
            Err(error) => {
                tail.note_error(&error, "the log could not be written");
                tail.unwiped = bytes.len() as u64;
                self.wipe(tail);
                Err(error)
            }
        }
    }

    /// Wipes what a failed write may have left behind the end. Returns whether that is done: on a full disk it may have to
    /// wait until there is room, with any other error the log is given up.
    pub(super) fn wipe(&self, tail: &mut Tail) -> bool {
        let Some(segment) = &tail.segment else { return true };
        match segment.file.zero((tail.offset - segment.start) as u64, tail.unwiped) {
            Ok(()) => tail.unwiped = 0,
            Err(error) if is_full(&error) => {}
            Err(error) => self.fuse.blow(format!("{} could not be wiped: {error}", segment.path.display())),
        }
        tail.unwiped == 0
    }

    /// Fills the last file with a blank and goes on in the next one; if there is none, what to answer.
    pub(super) fn roll(&self, tail: &mut Tail) -> Result<(), PutStatus> {
        let start = tail.segment.as_ref().map_or(tail.offset, |segment| segment.end);
        let mut prepared = self.prepared.lock();
        let next = match self.take_segment(&mut prepared, start) {
            Ok(next) => next,
            Err(error) => {
                tail.note_error(&error, "the next log file could not be made");
                return Err(self.refusal(&error));
            }
        };
        // After recovery the log may end where its last file does.
        if let Some(last) = tail.segment.clone().filter(|last| last.end - tail.offset >= BLANK_BYTES_MIN) {
            let left = (last.end - tail.offset) as u32;
            let blank = record::blank(left);
            self.keep_clear(tail, blank.len() as i64);
            // Without the blank, recovery would take this for the end of the log.
            if let Err(error) = last.file.write_at((tail.offset - last.start) as u64, &blank) {
                tail.note_error(&error, "a log file could not be ended");
                tail.unwiped = blank.len() as u64;
                self.wipe(tail);
                *prepared = Some(next);
                return Err(self.refusal(&error));
            }
        }
        self.segments.write().push_back(next.clone());
        tail.offset = next.start;
        tail.segment = Some(next);
        tail.asked_for_next = false;
        Ok(())
    }

    /// What to answer when there is no next file. When that is because the disk is full, nothing is tried again before the
    /// background has made the file: an attempt takes the disk time.
    fn refusal(&self, error: &io::Error) -> PutStatus {
        if !is_full(error) {
            return PutStatus::CreateMappedFileFailed;
        }
        self.lacks_room.store(true, Ordering::Release);
        self.want_segment();
        PutStatus::ServiceNotAvailable
    }
}

impl Tail {
    /// Whether so many bytes fit into the last file, a blank's fields behind them.
    fn has_room(&self, bytes: i64) -> bool {
        let fits = |segment: &Arc<Segment>| self.offset + bytes + BLANK_BYTES_MIN <= segment.end;
        self.segment.as_ref().is_some_and(fits)
    }

    /// Logs an error, unless the write before met one, too.
    fn note_error(&mut self, error: &io::Error, what: &'static str) {
        if !self.is_failing {
            tracing::error!(%error, log_end = self.offset, "{what}: messages are refused as long as that goes on");
        }
        self.is_failing = true;
    }

    fn recovered(&mut self) {
        if self.is_failing {
            tracing::info!(log_end = self.offset, "the log can be written again");
        }
        self.is_failing = false;
    }

    pub(super) fn is_used(&self, percent: i64) -> bool {
        let used =
            |segment: &Arc<Segment>| (self.offset - segment.start) / percent >= (segment.end - segment.start) / 100;
        self.segment.as_ref().is_none_or(used)
    }
}

/// Bytes of the entries of a run.
fn pending_bytes(staging: &Staging, run: &Range<usize>) -> i64 {
    match (staging.entries[run.clone()].first(), staging.entries[run.clone()].last()) {
        (Some(first), Some(last)) => (last.bytes.end - first.bytes.start) as i64,
        _ => 0,
    }
}

/// Writes their place into the records of an entry that comes `pending` bytes behind the end of the log.
fn assign(tail: &Tail, staging: &mut Staging, position: usize, pending: i64) {
    let entry = &mut staging.entries[position];
    let mut log_offset = tail.offset + pending;
    let mut next = entry.queue.next_offset.load(Ordering::Relaxed);
    for (number, record) in staging.records[entry.records.clone()].iter_mut().enumerate() {
        let queue_offset = if record.is_queued { next } else { 0 };
        next += record.taken();
        if let Some(late) = &record.late {
            late.take_offsets(1);
        }
        if number == 0 {
            entry.placed.queue_offset = queue_offset;
            entry.placed.log_offset = log_offset;
        }
        record.queue_offset = queue_offset;
        record.log_offset = log_offset;
        let place = Place { queue_offset, log_offset, store_timestamp_ms: tail.store_timestamp_ms };
        record::patch(&mut staging.buffer[record.bytes.clone()], &place);
        log_offset += record.bytes.len() as i64;
    }
    entry.placed.store_timestamp_ms = tail.store_timestamp_ms;
    entry.placed.log_end = log_offset;
    entry.queue.next_offset.store(next, Ordering::Relaxed);
}

/// Writes the CRC of each record of an entry, which has everything else by now, into its last property.
fn seal(staging: &mut Staging, position: usize) {
    for record in &staging.records[staging.entries[position].records.clone()] {
        record::seal(&mut staging.buffer[record.bytes.clone()]);
    }
}

fn give_back_queue_offsets(staging: &mut Staging, position: usize) {
    let entry = &staging.entries[position];
    let late = staging.records[entry.records.clone()].iter().filter_map(|record| record.late.as_ref());
    late.for_each(|late| late.take_offsets(-1));
    let taken = staging.records[entry.records.clone()].iter().map(StagedRecord::taken).sum();
    entry.queue.next_offset.fetch_sub(taken, Ordering::Relaxed);
}

fn set_status(entries: &mut [Entry], status: PutStatus) {
    entries.iter_mut().for_each(|entry| entry.placed.status = status);
}
