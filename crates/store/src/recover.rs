//! Opening a store that has messages: finding the end of the log, and giving queues and index what they miss.
//!
//! | stop | where the walk over the log starts | what is done first |
//! |---|---|---|
//! | clean | behind the last record that any queue knows | nothing |
//! | clean, but no queue has anything | first file | nothing |
//! | unclean | last file whose first record is not younger than the checkpoint; else the first | queues are cut there |
//! | unclean, and the index ends before that | the last record in the index | the index is verified |
//!
//! Each good record is given to its queue, which knows whether it has it already. A queue that misses units before the
//! one it is given makes the walk start again one file earlier. The first place that holds no good record is the log's
//! end: what lies behind it is wiped, and queues are cut to it.

use std::io;

use raptormq_protocol::message::record::RecordView;
use raptormq_protocol::message::sys_flag;

use crate::commit_log::recover::{Step, Walked};
use crate::consume_queue::Queue;
use crate::consume_queue::load::Replayed;
use crate::consume_queue::unit::Unit;
use crate::hash;
use crate::index::{Keys, Records};
use crate::open::Shared;
use crate::staging::{Facts, is_indexed};

/// Bytes of the smallest record: a queue cannot have more messages than the log has room for.
const RECORD_BYTES_MIN: i64 = raptormq_protocol::message::record::RECORD_BYTES_MIN as i64;

impl Shared {
    /// Recovers the store and marks it as running.
    pub(crate) fn recover(&self) -> io::Result<()> {
        let was_clean = !self.abort_exists()?;
        self.write_abort()?;
        let end = self.replay_log(was_clean)?;
        if end.is_torn {
            tracing::warn!(log_end = end.end, "the log ends in a torn record, which is cut off");
        }
        self.log.cut(end, !was_clean)?;
        self.cut_queues(end.end)?;
        self.index.cut(end.end, self)?;
        let min = self.log.min_offset();
        for queue in self.queues.all() {
            queue.correct_min_offset(&self.files, min)?;
        }
        self.dispatched.advance(end.end);
        self.dispatch.lock().store_timestamp_ms = end.store_timestamp_ms;
        if was_clean {
            self.log.flushed.advance(end.end);
        } else {
            tracing::warn!(
                log_end = end.end,
                last_stored_ms = end.store_timestamp_ms,
                checkpoint = ?self.checkpoint.value(),
                "the store was not stopped cleanly; it was recovered from the log"
            );
        }
        self.write_rebuilt()
    }

    fn abort_exists(&self) -> io::Result<bool> {
        let entries = self.disk.list(&self.options.root)?;
        Ok(entries.iter().any(|entry| entry.name == "abort"))
    }

    /// Makes the file whose presence says that the store was not stopped. It holds the process id, as the original's.
    fn write_abort(&self) -> io::Result<()> {
        self.disk.replace(&self.options.root.join("abort"), std::process::id().to_string().as_bytes())
    }

    /// Walks the log and returns its end.
    fn replay_log(&self, was_clean: bool) -> io::Result<Walked> {
        let mut cut_at = self.start(was_clean)?;
        let mut from = cut_at;
        if !was_clean && let Some(indexed) = self.verify_index()? {
            from = from.min(indexed);
        }
        loop {
            if !was_clean {
                self.cut_queues(cut_at)?;
                self.cut_unreal_units()?;
            }
            let earlier = self.log.segment_starts_from_last().into_iter().find(|start| *start < from);
            let walked = self.log.walk(from, |record| self.replay(record, earlier.is_some()))?;
            match earlier {
                Some(earlier) if walked.was_stopped => {
                    tracing::warn!(from, earlier, "a queue misses messages from before: the walk starts earlier");
                    (from, cut_at) = (earlier, earlier);
                }
                _ => return self.with_timestamp(walked, from),
            }
        }
    }

    /// Where the walk may start as far as the queues are concerned.
    fn start(&self, was_clean: bool) -> io::Result<i64> {
        let start = if was_clean {
            self.queues_log_end()?
        } else {
            let until_ms = self.checkpoint.value().min_timestamp_ms();
            let is_old = |start: &i64| self.log.probe(*start).is_some_and(|stored_ms| stored_ms <= until_ms);
            self.log.segment_starts_from_last().into_iter().find(is_old)
        };
        Ok(start.unwrap_or_else(|| self.log.min_offset()))
    }

    /// Checks the index against the log, and says from where it misses keys.
    fn verify_index(&self) -> io::Result<Option<i64>> {
        if !self.options.index_enabled {
            return Ok(None);
        }
        let safe_until_ms = self.checkpoint.value().index_timestamp_ms;
        let indexed = self.index.verify(safe_until_ms, i64::MAX, self)?;
        Ok(indexed.map(|indexed| match self.log.probe(indexed) {
            Some(_) => indexed,
            // The log does not have that record: the walk will show where it ends.
            None => {
                let starts = self.log.segment_starts_from_last();
                starts.into_iter().find(|start| *start <= indexed).unwrap_or_else(|| self.log.min_offset())
            }
        }))
    }

    /// Log offset behind the last record that a queue knows, if the log really has that record.
    fn queues_log_end(&self) -> io::Result<Option<i64>> {
        Ok(self.last_unit()?.filter(|unit| self.log.probe(unit.log_offset).is_some()).map(|unit| unit.log_end()))
    }

    /// The unit of the last record that a queue knows.
    fn last_unit(&self) -> io::Result<Option<Unit>> {
        let mut last: Option<Unit> = None;
        for queue in self.queues.all() {
            if let Some(unit) = queue.last_unit(&self.files)?
                && last.is_none_or(|last| last.log_offset < unit.log_offset)
            {
                last = Some(unit);
            }
        }
        Ok(last)
    }

    /// Gives a record to the index and to its queue. Stops the walk at a gap if it may start earlier.
    fn replay(&self, record: &RecordView<'_>, may_start_earlier: bool) -> io::Result<Step> {
        let Ok(queue) = self.queues.get_or_create(record.topic, record.queue_id) else {
            tracing::error!(log_offset = record.log_offset, topic = record.topic, "a record of no possible queue");
            return Ok(Step::Next);
        };
        if self.options.index_enabled && is_indexed(record.sys_flag) {
            self.index.writer().replay(&key_hashes(record), record.log_offset, record.store_timestamp_ms);
            self.index.write_if_overdue()?;
        }
        if sys_flag::is_queued(record.sys_flag) {
            let properties = record.properties();
            let facts = Facts::read(&[&properties]);
            let tags = facts.tags(queue.is_schedule, &self.options.delay_levels_ms);
            return self.replay_unit(&queue, record, tags.code(record.store_timestamp_ms), may_start_earlier);
        }
        Ok(Step::Next)
    }

    fn replay_unit(
        &self,
        queue: &Queue,
        record: &RecordView<'_>,
        tags_code: i64,
        may_start_earlier: bool,
    ) -> io::Result<Step> {
        // A record's size is read from an i32.
        let unit = Unit { log_offset: record.log_offset, size: record.size as i32, tags_code };
        let room = record.log_offset / RECORD_BYTES_MIN + 1;
        if !(0..=room).contains(&record.queue_offset) {
            tracing::error!(
                log_offset = record.log_offset,
                queue_offset = record.queue_offset,
                "a record with an impossible queue offset is left out of its queue"
            );
            return Ok(Step::Next);
        }
        match queue.replay(&self.files, record.queue_offset, &unit)? {
            Replayed::Added if queue.is_overdue() => queue.write_behind(&self.files).map(|_| Step::Next),
            Replayed::Added | Replayed::Known => Ok(Step::Next),
            Replayed::Gap if may_start_earlier => Ok(Step::Stop),
            Replayed::Gap => {
                tracing::error!(
                    ?queue,
                    queue_offset = record.queue_offset,
                    "messages of a queue are missing in the log"
                );
                queue.replay_behind_gap(&self.files, record.queue_offset, &unit).map(|()| Step::Next)
            }
        }
    }

    /// A walk that met no record does not know when the last one was stored; the queues do.
    fn with_timestamp(&self, walked: Walked, from: i64) -> io::Result<Walked> {
        if walked.end > from {
            return Ok(walked);
        }
        let store_timestamp_ms = self.last_unit()?.and_then(|unit| self.log.probe(unit.log_offset)).unwrap_or(0);
        Ok(Walked { store_timestamp_ms, ..walked })
    }

    fn cut_queues(&self, log_offset: i64) -> io::Result<()> {
        for queue in self.queues.all() {
            let dropped = queue.cut_at_log(&self.files, log_offset)?;
            if dropped > 0 {
                tracing::info!(?queue, dropped, "units behind the log's good part are dropped, to be built again");
            }
        }
        Ok(())
    }

    /// Drops units at the ends of queues whose messages the log does not have.
    fn cut_unreal_units(&self) -> io::Result<()> {
        for queue in self.queues.all() {
            let is_message = |record: &RecordView<'_>, queue_offset, unit: &Unit| {
                (record.topic, record.queue_id, record.queue_offset) == (&*queue.topic, queue.queue_id, queue_offset)
                    && record.size as i64 == i64::from(unit.size)
            };
            let is_real = |queue_offset, unit: &Unit| {
                // What was deleted with its log file cannot be looked at, and needs no repair.
                unit.log_offset < self.log.min_offset()
                    || self.log.probe_record(unit.log_offset, |record| is_message(record, queue_offset, unit))
                        == Some(true)
            };
            let dropped = queue.cut_unreal(&self.files, is_real)?;
            if dropped > 0 {
                tracing::warn!(?queue, dropped, "units of messages that the log does not have are dropped");
            }
        }
        Ok(())
    }

    /// Writes what recovery has rebuilt.
    fn write_rebuilt(&self) -> io::Result<()> {
        self.queues.all().iter().try_for_each(|queue| queue.write_behind(&self.files).map(drop))
    }
}

impl Records for Shared {
    fn keys_at(&self, log_offset: i64) -> Keys {
        if log_offset < self.log.min_offset() {
            return Keys::Deleted;
        }
        let keys = |record: &RecordView<'_>| Keys::Known {
            store_timestamp_ms: record.store_timestamp_ms,
            java_hashes: if is_indexed(record.sys_flag) { key_hashes(record) } else { Vec::new() },
        };
        self.log.probe_record(log_offset, keys).unwrap_or(Keys::Nothing)
    }
}

/// Java's hashes of `topic#key` for each key of a record.
fn key_hashes(record: &RecordView<'_>) -> Vec<i32> {
    let mut hashes = Vec::new();
    let topic_hash = hash::extend(hash::extend(0, record.topic), "#");
    Facts::read(&[&record.properties()]).push_key_hashes(topic_hash, &mut hashes);
    hashes
}
