//! A master's frames, as a slave takes them into its store: the first byte says in which pieces they come.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use raptormq_replication::{FrameReader, Piece};
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{Store, StoreOptions, SystemClock};

fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let options = StoreOptions {
        segment_bytes: 64 << 10,
        queue_file_bytes: 6000,
        index_slots: 100,
        index_entries: 400,
        ..StoreOptions::new("store")
    };
    let store = Store::open(options, Arc::new(MemoryDisk::default()), Arc::new(SystemClock)).expect("an empty disk");
    let mut copy = store.log_copy();
    follow(&store, &mut copy, (usize::from(*size) + 1, bytes));
    // Only whole records are taken.
    let mut at = store.log_min_offset();
    while let Some(record) = store.record_at(at) {
        at += record.len() as i64;
    }
    assert!(store.last_record_offset().is_none_or(|last| store.record_at(last).is_some()));
    store.close().expect("it closes");
});

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
