//! What it costs to read 32 messages of 1 KiB of a queue, the way a pull does: from the tail in memory, and from the
//! queue's file.
//!
//! `cargo bench -p raptormq-store --bench get`

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Clock, GetLimits, NewMessage, Store, StoreOptions, SystemClock};

/// Messages of an answer.
const COUNT: usize = 32;
/// Messages of each of the four queues.
const QUEUE_MESSAGES: i64 = 20_000;

fn main() {
    divan::main();
}

/// A store with four queues that were filled in turn.
fn filled(folder: &std::path::Path) -> Store {
    let options = StoreOptions { segment_bytes: 256 << 20, ..StoreOptions::new(folder) };
    let store = Store::open_still(options, Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
    let queues: Vec<_> = (0..4).map(|queue_id| store.queue_or_create("TopicTest", queue_id).unwrap()).collect();
    let mut staging = store.staging();
    for _ in 0..QUEUE_MESSAGES {
        for queue in &queues {
            let message = NewMessage {
                flag: 0,
                sys_flag: 0,
                born_timestamp_ms: 1_700_000_000_000,
                born_host: "127.0.0.1:50000".parse().unwrap(),
                store_host: "127.0.0.1:10911".parse().unwrap(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &[7; 1024],
                properties: &["TAGS\u{1}TagA\u{2}"],
            };
            staging.put(queue, &message).unwrap();
        }
        if staging.bytes() > 1 << 20 {
            store.append(&mut staging);
            staging.clear();
        }
    }
    store.append(&mut staging);
    store
}

fn read(bencher: Bencher<'_, '_>, store: &Store, offsets: std::ops::Range<i64>) {
    let queue = store.queue("TopicTest", 1).unwrap();
    let limits = GetLimits { count: COUNT, bytes: 256 << 10 };
    let mut offset = offsets.start;
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        let result = store.get(&queue, offset, &limits, &mut |_| true);
        assert_eq!(result.count, COUNT);
        offset = if result.next_offset + COUNT as i64 > offsets.end { offsets.start } else { result.next_offset };
        result
    });
}

#[divan::bench(sample_count = 1000)]
fn from_the_tail(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    read(bencher, &store, QUEUE_MESSAGES - 320..QUEUE_MESSAGES);
}

#[divan::bench(sample_count = 1000)]
fn from_the_file(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    store.step(SystemClock.now_ms());
    read(bencher, &store, 0..QUEUE_MESSAGES);
}
