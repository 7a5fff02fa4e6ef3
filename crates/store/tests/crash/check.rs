//! Opens an image and compares what is there with what was promised.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::{Fate, MemoryDisk};
use raptormq_store::{PutStatus, Store};

use crate::common::{ALL, START_MS, message, put};
use crate::run::{Promise, SEGMENT_BYTES, Sent, Setup};
use crate::workload::{QUEUES, Workload};

/// Images whose start believed what was written down of the queues before the crash.
pub(crate) static BELIEVED: AtomicU64 = AtomicU64::new(0);

/// Stands for the broker's settings, which are saved in the same way.
pub(crate) const METADATA: &str = "/store/config/topics.json";

/// What the settings hold when they are saved for the n-th time, in about so many bytes.
pub(crate) fn metadata(number: u32, len: u16) -> Vec<u8> {
    let mut content = format!("{number} {len} ").into_bytes();
    content.resize(content.len() + usize::from(len), b'm');
    content
}

/// Keys that are looked for in each image: those of the last messages, which an index loses first, and the first one.
const KEYS_CHECKED: usize = 3;

/// When the images are opened: behind all that the workloads do.
const LATER_MS: i64 = START_MS + 100_000_000;

/// What an image is compared with.
pub(crate) struct Check<'a> {
    pub(crate) promise: &'a Promise,
    pub(crate) sent: &'a [Sent],
    pub(crate) setup: &'a Setup,
    pub(crate) workload: &'a Workload,
}

impl Check<'_> {
    /// Checks an image; `goes_on` says whether the store is also used and crashes again.
    pub(crate) fn image(&self, disk: &MemoryDisk, is_whole: bool, goes_on: bool) -> Result<(), String> {
        let checked = catch_unwind(AssertUnwindSafe(|| {
            self.metadata(disk)?;
            let store = self.open(disk)?;
            if store.recovered().case == "crash, queues' ends written down" {
                BELIEVED.fetch_add(1, Ordering::Relaxed);
            }
            let kept = self.kept(&store, is_whole)?;
            self.queues(&store, kept)?;
            let there = kept.partition_point(|sent| sent.log_offset < store.log_min_offset());
            keys(&store, &kept[there..])?;
            if goes_on { self.go_on(disk, store, kept) } else { Ok(()) }
        }));
        let panicked = |panic: Box<dyn std::any::Any + Send>| match panic.downcast_ref::<String>() {
            Some(text) => format!("panicked: {text}"),
            None => format!("panicked: {:?}", panic.downcast_ref::<&str>()),
        };
        checked.unwrap_or_else(|panic| Err(panicked(panic)))
    }

    fn open(&self, disk: &MemoryDisk) -> Result<Store, String> {
        let clock = Arc::new(ManualClock::new(LATER_MS));
        self.setup.open(disk, &clock, self.workload.sync_flush).map_err(|error| format!("does not start: {error}"))
    }

    /// The settings are those saved last, or those that were being saved.
    fn metadata(&self, disk: &MemoryDisk) -> Result<(), String> {
        let content = disk.read(Path::new(METADATA), 1 << 20).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let mut words = text.split(' ');
        let number: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let len: u16 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let is_torn = number > 0 && content != metadata(number, len) || number == 0 && !content.is_empty();
        if is_torn || !(self.promise.saved..=self.promise.saving).contains(&number) {
            let start: String = text.chars().take(40).collect();
            return Err(format!("the settings are {} bytes that begin with {start:?}", content.len()));
        }
        Ok(())
    }

    /// The messages that are there: the first so many that were sent, and all that had to be.
    fn kept(&self, store: &Store, is_whole: bool) -> Result<&[Sent], String> {
        let end = store.log_max_offset();
        let count = self.sent.iter().take_while(|sent| sent.log_end <= end).count();
        let (kept, lost) = self.sent.split_at(count);
        if let Some(lost) = lost.first() {
            let needed = if is_whole { self.promise.appended } else { self.promise.flushed };
            if lost.log_end <= self.promise.seen {
                return Err(format!(
                    "the log ends at {end}: a message that was read and ends at {} is lost",
                    lost.log_end
                ));
            }
            if lost.log_end <= needed {
                return Err(format!("the log ends at {end}: a message that ends at {} is lost", lost.log_end));
            }
            if lost.log_offset < end {
                return Err(format!("the log ends at {end}, within a message"));
            }
        }
        if kept.last().map_or(0, |last| last.log_end) < end && lost.is_empty() && !self.ends_with_a_file(end) {
            return Err(format!("the log ends at {end}, behind all that was sent"));
        }
        Ok(kept)
    }

    /// A file that is full ends with a blank, behind which nothing may have come yet.
    fn ends_with_a_file(&self, end: i64) -> bool {
        end % SEGMENT_BYTES as i64 == 0
    }

    /// Each queue has exactly these messages, byte for byte, without a gap, but for those that were deleted.
    fn queues(&self, store: &Store, kept: &[Sent]) -> Result<(), String> {
        let log_min = store.log_min_offset();
        if log_min > self.promise.expired {
            return Err(format!("the log begins at {log_min}"));
        }
        for (number, (topic, queue_id)) in QUEUES.iter().enumerate() {
            let of_queue: Vec<&Sent> = kept.iter().filter(|sent| sent.queue == number).collect();
            let deletions = self.promise.deletions[number];
            // After an orderly stop nothing that was deleted comes back, once all of that is written.
            let case = store.recovered().case;
            let was_stopped = self.promise.is_orderly && case == "clean stop, queues' ends written down";
            let Some(queue) = store.queue(topic, *queue_id) else {
                if of_queue.iter().all(|sent| sent.generation < deletions || sent.log_offset < log_min) {
                    continue;
                }
                return Err(format!("{topic} {queue_id} is gone"));
            };
            let range = (queue.min_offset(), queue.max_offset());
            let found = store.get(&queue, range.0, &ALL, &mut |_| true);
            let found = found.slices.concat();
            // Without deletions there is one possibility. With them, any part of what was deleted may be there as well.
            let mut mismatch = None;
            let came_back_max = if was_stopped { 0 } else { deletions };
            for came_back in (deletions - came_back_max..=deletions).rev() {
                let whole = replayed(&of_queue, came_back);
                match self.holds(&whole, (range, &found), (deletions, log_min)) {
                    Ok(()) => {
                        mismatch = None;
                        break;
                    }
                    Err(reason) => mismatch = Some(mismatch.unwrap_or(reason)),
                }
            }
            if let Some(reason) = mismatch {
                return Err(format!("{topic} {queue_id} {reason}"));
            }
        }
        Ok(())
    }

    /// Whether a queue with that range and those records has, of what it may have, all that must be there.
    fn holds(
        &self,
        whole: &[&Sent],
        (range, found): ((i64, i64), &[u8]),
        (deletions, log_min): (u32, i64),
    ) -> Result<(), String> {
        let expired = whole.partition_point(|sent| sent.log_offset < log_min);
        let there = &whole[expired..];
        let end = whole.last().map_or(0, |last| last.queue_offset + 1);
        let needed = there.iter().filter(|sent| sent.generation >= deletions);
        let (first, last) = (there.first(), there.last());
        let is_range = match (deletions, first) {
            (0, first) => range == (first.map_or(end, |first| first.queue_offset), end),
            (_, None) => range.0 == range.1,
            // What came back of a deleted queue may begin with units of messages that are gone, which nobody is given.
            (_, Some(_)) => {
                (range.1 <= end || range.0 == range.1)
                    && needed.clone().all(|sent| (range.0..range.1).contains(&sent.queue_offset))
            }
        };
        if !is_range {
            let ends = (first.map(|first| first.queue_offset), last.map(|last| last.queue_offset));
            return Err(format!("has {range:?}, not {ends:?} up to {end}, of which {} are needed", needed.count()));
        }
        let expected = there.iter().filter(|sent| (range.0..range.1).contains(&sent.queue_offset));
        let expected: Vec<&[u8]> = expected.map(|sent| &sent.record[..]).collect();
        if found != expected.concat() {
            return Err("has other messages than were sent".to_owned());
        }
        Ok(())
    }

    /// The store takes another message, and keeps it over the next crash.
    fn go_on(&self, disk: &MemoryDisk, store: Store, kept: &[Sent]) -> Result<(), String> {
        let (topic, queue_id) = QUEUES[0];
        let offset = store.queue(topic, queue_id).map_or(0, |queue| queue.max_offset());
        let sent = kept.iter().filter(|sent| sent.queue == 0).count() as i64;
        if self.promise.deletions[0] == 0 && offset != sent {
            return Err(format!("the next message is {offset} instead of {sent}"));
        }
        let placed = put(&store, topic, queue_id, &message(b"after", &[]));
        if placed.status != PutStatus::PutOk || placed.queue_offset != offset {
            return Err(format!("the next message is {placed:?} instead of {offset}"));
        }
        store.step(LATER_MS + 100_000);
        if store.watermarks().flushed.value() != placed.log_end {
            return Err("what came after the crash is not flushed".to_owned());
        }
        drop(store);
        let store = self.open(&disk.after_crash(|_, _| Fate::Lost))?;
        let queue = store.queue(topic, queue_id).ok_or("the queue is gone after the next crash")?;
        let end = (store.log_max_offset(), queue.max_offset());
        if end != (placed.log_end, offset + 1) {
            return Err(format!("after the next crash log and queue end at {end:?}, not behind {placed:?}"));
        }
        Ok(())
    }
}

/// What a queue has when everything is put into it again that it got since it was deleted for that time: a message that has
/// the offset of another one takes its place, and that of all behind it.
fn replayed<'a>(of_queue: &[&'a Sent], from_generation: u32) -> Vec<&'a Sent> {
    let mut whole: Vec<&Sent> = Vec::new();
    for sent in of_queue.iter().filter(|sent| sent.generation >= from_generation) {
        whole.retain(|before| before.queue_offset < sent.queue_offset);
        whole.push(sent);
    }
    whole
}

/// Messages are found by their keys.
fn keys(store: &Store, kept: &[Sent]) -> Result<(), String> {
    for sent in kept.iter().take(1).chain(kept.iter().rev().take(KEYS_CHECKED - 1)) {
        let (topic, _) = QUEUES[sent.queue];
        let found = store.query(topic, &sent.key, 64, 0..=i64::MAX).map_err(|error| error.to_string())?;
        if !found.records.contains(&sent.record) {
            return Err(format!("key {} of {topic} does not lead to its message", sent.key));
        }
    }
    Ok(())
}
