//! What the tests of the store share: small stores, and messages to put into them.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;

use raptormq_protocol::message::MessageExt;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Disk;
use raptormq_store::{GetLimits, GetResult, NewMessage, Placed, Staging, Store, StoreOptions};

/// When the tests' clocks start, in milliseconds.
pub(crate) const START_MS: i64 = 1_700_000_000_000;
/// Reads everything there is.
pub(crate) const ALL: GetLimits = GetLimits { count: usize::MAX, bytes: usize::MAX };

/// Settings with files so small that a few messages fill them.
pub(crate) fn small_options() -> StoreOptions {
    let limits = raptormq_store::TransferLimits { bytes: usize::MAX, count: usize::MAX };
    StoreOptions {
        segment_bytes: 4096,
        queue_file_bytes: 20 * 20,
        index_slots: 16,
        index_entries: 32,
        filter_bytes_max: 1 << 20,
        in_memory: limits,
        on_disk: limits,
        body_bytes_max: 2048,
        ..StoreOptions::new("/store")
    }
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START_MS))
}

/// A store whose background work is done by `step`.
pub(crate) fn open(disk: &(impl Disk + Clone), clock: &Arc<ManualClock>) -> Store {
    open_with(small_options(), disk, clock)
}

pub(crate) fn open_with(options: StoreOptions, disk: &(impl Disk + Clone), clock: &Arc<ManualClock>) -> Store {
    Store::open_still(options, Arc::new(disk.clone()), clock.clone()).unwrap()
}

pub(crate) fn message<'a>(body: &'a [u8], properties: &'a [&'a str]) -> NewMessage<'a> {
    NewMessage {
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: START_MS,
        born_host: "127.0.0.1:1000".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Appends one message in a turn of its own.
pub(crate) fn put(store: &Store, topic: &str, queue_id: i32, new: &NewMessage<'_>) -> Placed {
    let mut staging = store.staging();
    let slot = stage(store, &mut staging, topic, queue_id, new);
    store.append(&mut staging);
    *staging.placed(slot)
}

pub(crate) fn stage(
    store: &Store,
    staging: &mut Staging,
    topic: &str,
    queue_id: i32,
    new: &NewMessage<'_>,
) -> raptormq_store::Slot {
    let queue = store.queue_or_create(topic, queue_id).unwrap();
    staging.put(&queue, new).unwrap()
}

/// Reads a queue from an offset on.
pub(crate) fn get(store: &Store, topic: &str, queue_id: i32, from: i64) -> GetResult {
    let queue = store.queue(topic, queue_id).unwrap();
    store.get(&queue, from, &ALL, &mut |_| true)
}

/// The messages of a read.
pub(crate) fn messages(result: &GetResult) -> Vec<MessageExt> {
    result.slices.iter().flat_map(|slice| MessageExt::decode_all(slice, 1 << 20).unwrap()).collect()
}

/// The bodies of a queue from its first message on.
pub(crate) fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<Vec<u8>> {
    let Some(queue) = store.queue(topic, queue_id) else { return Vec::new() };
    let result = store.get(&queue, queue.min_offset(), &ALL, &mut |_| true);
    messages(&result).into_iter().map(|message| message.body.to_vec()).collect()
}

/// Settings of small files, with a topic of batch queues.
pub(crate) fn mixed_options() -> StoreOptions {
    StoreOptions { batch_queue_file_bytes: 46 * 5, batch_topics: ["B".to_owned()].into(), ..small_options() }
}

/// Numbers that look drawn: xorshift (Marsaglia).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    /// A number below `count`, which is not 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.next() as usize % count
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Says which case it was when one fails.
struct Case(&'static str, u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}_SEED={}", self.0, self.1);
        }
    }
}

/// Runs so many cases, or `NAME_CASES`, each with numbers of its own; returns how many there were and how many were true.
/// With `NAME_SEED` only that one is run, and there is nothing to count.
pub(crate) fn run_cases(
    name: &'static str,
    count: u64,
    mut run: impl FnMut(&mut Random) -> bool,
) -> Option<(u64, u64)> {
    let mut run = |seed: u64| {
        let _case = Case(name, seed);
        run(&mut Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
    };
    let number = |what: &str| std::env::var(format!("{name}_{what}")).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("SEED") {
        run(seed);
        return None;
    }
    let cases = number("CASES").unwrap_or(count);
    Some((cases, (0..cases).filter(|seed| run(*seed)).count() as u64))
}
