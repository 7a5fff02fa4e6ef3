//! A master's frames, as a slave takes them into its store, which is killed then and started again: the first byte says in
//! which pieces they come.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use raptormq_replication::{FrameReader, Piece};
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let disk = MemoryDisk::default();
    let slave = open(&disk);
    let mut copy = slave.log_copy();
    follow(&slave, &mut copy, (usize::from(*size) + 1, bytes));
    check(&slave);
    slave.step(NOW_MS + 100_000);
    let end = slave.log_max_offset();
    drop(slave);
    let slave = open(&disk.after_kill());
    // A record that no crash of a disk explains otherwise is taken for torn.
    assert!(slave.log_max_offset() <= end, "more in the log after the kill");
    check(&slave);
    slave.close().expect("it closes");
});

/// A store without threads and on a clock that stands, so that the same bytes always do the same.
fn open(disk: &MemoryDisk) -> Store {
    let options = StoreOptions {
        segment_bytes: 64 << 10,
        queue_file_bytes: 6000,
        index_slots: 100,
        index_entries: 400,
        ..StoreOptions::new("store")
    };
    Store::open_still(options, Arc::new(disk.clone()), Arc::new(ManualClock::new(NOW_MS))).expect("a slave's own disk")
}

/// Only whole records are taken.
fn check(store: &Store) {
    let mut at = store.log_min_offset();
    while let Some(record) = store.record_at(at) {
        at += record.len() as i64;
    }
    assert!(store.last_record_offset().is_none_or(|last| store.record_at(last).is_some()));
    for queue in store.queues() {
        assert!(queue.min_offset() <= queue.max_offset(), "{queue:?}");
    }
}

fn follow(store: &Store, copy: &mut raptormq_store::LogCopy, (size, bytes): (usize, &[u8])) {
    let mut reader = FrameReader::default();
    for mut chunk in bytes.chunks(size) {
        loop {
            match reader.next(&mut chunk) {
                Ok(Some(Piece::Begin(_))) => {}
                Ok(Some(Piece::Bytes(log_offset, bytes))) => {
                    if store.append_copy(copy, log_offset, bytes, &mut |_| ()).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
