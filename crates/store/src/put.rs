//! Appending: the log, then the queues and the index, in one go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use raptormq_protocol::message::record::RecordView;

use crate::consume_queue::ext::BitMaps;
use crate::consume_queue::unit::Unit;
use crate::consume_queue::{NewUnit, Queue, QueueType};
use crate::open::{Dispatch, Shared, Store};
use crate::staging::{Entry, PutStatus, Staging};

impl Store {
    /// Appends everything staged: when this returns, each entry's [`placed`](Staging::placed) says how it went, and what
    /// went well is in the kernel, in its queue and in the index. The background flushes it: at once under SYNC_FLUSH,
    /// else at the next interval.
    pub fn append(&self, staging: &mut Staging) {
        self.append_unflushed(staging);
        if self.shared.options.sync_flush && !staging.is_empty() {
            self.shared.signals.flusher.wake();
        }
    }

    /// Appends everything staged, for a caller who calls [`Store::flush_soon`] next.
    ///
    /// The dispatch lock is taken while the log's is still held, so that queues are filled in the order of the log; the
    /// next turn's write may run meanwhile.
    pub fn append_unflushed(&self, staging: &mut Staging) {
        if staging.is_empty() {
            return;
        }
        let shared = &*self.shared;
        if !shared.is_writeable() {
            staging.entries.iter_mut().for_each(|entry| entry.placed.status = PutStatus::ServiceNotAvailable);
            return;
        }
        let now_ms = shared.clock.now_ms();
        let mut dispatch = shared.log.append(staging, now_ms, || shared.dispatch.lock());
        let overdue = shared.dispatch(&mut dispatch, staging);
        drop(dispatch);
        shared.dispatched.advance(staging.log_end());
        if overdue {
            shared.write_overdue(staging.entries.iter().map(|entry| &entry.queue));
        }
        if shared.log.wants_segment() {
            shared.signals.keeper.wake();
        }
    }

    /// Has everything made durable that was appended, with one sync for all of it. On a disk that is quick it is when this
    /// returns, on a slower one the background does it: see [`Watermarks::flushed`](crate::Watermarks). The caller waits
    /// as long as a disk that was quick until then hangs in this sync, and for moments when it hangs in another one.
    pub fn flush_soon(&self) {
        match self.shared.log.flush_if_quick() {
            Some(Ok(end)) => self.shared.note_flushed(end),
            // It is logged where it happened, and who waits is told.
            Some(Err(_)) => {}
            None => self.shared.signals.flusher.wake(),
        }
    }
}

impl Shared {
    /// Puts what was appended into queues and index. Returns whether a queue or the index has so much in memory that it
    /// should be written at once.
    fn dispatch(&self, dispatch: &mut Dispatch, staging: &Staging) -> bool {
        let mut overdue = false;
        let mut bytes = 0;
        let mut count = 0;
        let mut index = None;
        for entry in staging.entries.iter().filter(|entry| entry.placed.status == PutStatus::PutOk) {
            let records = &staging.records[entry.records.clone()];
            let store_timestamp_ms = entry.placed.store_timestamp_ms;
            dispatch.store_timestamp_ms = store_timestamp_ms;
            dispatch.last_record = records.last().map_or(dispatch.last_record, |record| record.log_offset);
            bytes += entry.bytes.len() as u64;
            count += records.len() as u64;
            entry.queue.puts.note(records.len(), entry.bytes.len());
            overdue |= self.push_units(entry, staging);
            if records.iter().any(|record| record.is_queued) {
                dispatch.note_dirty(&entry.queue, store_timestamp_ms, entry.placed.log_offset);
            }
            if staging.has_late {
                let light = records.iter().filter_map(|record| record.late.as_ref()).flat_map(|late| late.places());
                let log_offset = entry.placed.log_offset;
                light.for_each(|(queue, _)| dispatch.note_dirty(queue, store_timestamp_ms, log_offset));
            }
            for record in records.iter().filter(|record| !record.keys.is_empty()) {
                let index = index.get_or_insert_with(|| self.index.writer());
                index.put(&staging.keys[record.keys.clone()], record.log_offset, store_timestamp_ms);
            }
        }
        overdue |= index.is_some_and(|index| index.is_overdue());
        self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.appended_count.fetch_add(count, Ordering::Relaxed);
        overdue
    }

    /// Writes some of the units of those queues that have many unwritten ones, as far as the log is flushed, and the
    /// index if it has many entries. What fails stays in memory: the background tries again and, if it fails as well,
    /// closes the door.
    pub(crate) fn write_overdue<'a>(&self, queues: impl Iterator<Item = &'a Arc<Queue>>) {
        let flushed = self.log.flushed.value();
        for queue in queues.filter(|queue| queue.is_overdue()) {
            match queue.write_some(&self.files, flushed) {
                Ok(0) if queue.wants_flush() => self.signals.flusher.wake(),
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(?queue, %error, "a consume queue cannot be written");
                    self.signals.keeper.wake();
                }
            }
        }
        if let Err(error) = self.index.write_if_overdue() {
            tracing::error!(%error, "the index cannot be written");
            self.signals.keeper.wake();
        }
    }

    /// Adds a unit to the queue for each record that has one; returns whether the queue wants to be written.
    fn push_units(&self, entry: &Entry, staging: &Staging) -> bool {
        let mut overdue = false;
        let queue = &entry.queue;
        let bit_maps = self.bit_maps_of(queue);
        let mut bit_map = Vec::new();
        for record in staging.records[entry.records.clone()].iter().filter(|record| record.is_queued) {
            debug_assert!(
                queue.queue_type == QueueType::Batch || queue.max_offset() == record.queue_offset,
                "a queue's units follow each other"
            );
            let store_timestamp_ms = entry.placed.store_timestamp_ms;
            let unit = Unit {
                log_offset: record.log_offset,
                size: record.bytes.len() as i32,
                tags_code: record.tags.code(store_timestamp_ms),
            };
            if let Some(bit_maps) = bit_maps {
                bit_map.clear();
                // What was encoded here can be read.
                if let Ok(view) = RecordView::parse(&staging.buffer[record.bytes.clone()]) {
                    bit_maps.fill(&queue.topic, &view.properties(), &mut bit_map);
                }
            }
            let (queue_offset, count) = (record.queue_offset, record.count);
            overdue |= queue.push(&NewUnit { unit, queue_offset, count, store_timestamp_ms, bit_map: &bit_map });
            for (queue, queue_offset) in record.late.iter().flat_map(|late| late.places()) {
                // Light queues that grow long before the background comes are written by it all the same.
                queue.push(&NewUnit { unit, queue_offset, count: 1, store_timestamp_ms, bit_map: &[] });
            }
        }
        overdue
    }

    /// Who says which filters want the queue's messages, if it has room for that.
    pub(crate) fn bit_maps_of(&self, queue: &Queue) -> Option<&dyn BitMaps> {
        self.options.bit_maps.as_deref().filter(|_| queue.has_ext)
    }
}
