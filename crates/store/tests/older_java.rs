//! Folders of a broker of release 4.9.7, stopped and killed (`golden/recorder/older.py`): every queue is read as its own
//! consumers read it, nothing is wrong with what is there, and the store goes on. It left `abort` there at its stop, too, so
//! the first is also opened without.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::disk::read_only::ReadOnlyDisk;
use raptormq_store::disk::{Disk, Space};
use raptormq_store::{Offline, PutStatus, StoreOptions};

/// A time behind that of the recording.
const NOW_MS: i64 = 1_900_000_000_000;

fn vectors() -> Vec<serde_json::Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/vectors/older-stores.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().as_chunks::<2>().0.iter();
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The recorder's settings.
fn options() -> StoreOptions {
    let options = StoreOptions { segment_bytes: 8192, index_slots: 16, index_entries: 1024, ..small_options() };
    StoreOptions { body_bytes_max: 4096, ..options }
}

fn disk_of(vector: &serde_json::Value) -> MemoryDisk {
    let disk = MemoryDisk::default();
    for (name, file) in vector["files"].as_object().unwrap() {
        let path = Path::new("/store").join(name);
        let (bytes, len) = (unhex(file["hex"].as_str().unwrap()), file["length"].as_u64().unwrap());
        disk.create(&path, len, Space::Sparse).unwrap().write_at(0, &bytes).unwrap();
    }
    disk
}

/// How many violations `store check` finds.
fn violations(disk: &MemoryDisk) -> u64 {
    let options = StoreOptions { index_slots: 16, ..StoreOptions::new("/store") };
    let store = Offline::open(options, Arc::new(ReadOnlyDisk(disk.clone()))).unwrap();
    let tell = &mut |finding: &raptormq_store::Finding| println!("{finding}");
    store.check(tell).unwrap().violation_count
}

#[test]
fn a_store_of_an_older_java_version_is_read_and_goes_on() {
    let vectors = vectors();
    let names: Vec<_> = vectors.iter().map(|vector| vector["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["4.9.7 stopped", "4.9.7 killed"]);
    for (vector, in_order) in [(&vectors[0], true), (&vectors[0], false), (&vectors[1], false)] {
        let (name, clock) = (vector["name"].as_str().unwrap(), Arc::new(ManualClock::new(NOW_MS)));
        let disk = disk_of(vector);
        if in_order {
            disk.remove(Path::new("/store/abort")).unwrap();
        }
        assert_eq!(violations(&disk), 0, "{name}");
        let store = open_with(options(), &disk, &clock);
        assert_eq!(store.recovered().was_clean, in_order, "{name}: {:?}", store.recovered());
        assert_eq!(store.recovered().lost_count, 0, "{name}");
        let mut count = 0;
        for (place, expected) in vector["queues"].as_object().unwrap() {
            let (topic, queue_id) = place.rsplit_once(' ').unwrap();
            let queue = store.queue(topic, queue_id.parse().unwrap()).unwrap();
            let end = expected["end"].as_i64().unwrap();
            assert_eq!((queue.min_offset(), queue.max_offset()), (0, end), "{name} {place}");
            let read = store.get(&queue, 0, &ALL, &mut |_| true);
            assert!(read.slices.concat() == unhex(expected["hex"].as_str().unwrap()), "{name} {place}");
            count += end;
        }
        assert_eq!(count, 42, "{name}");
        // Every key is found, also those of the index file that the broker did not end.
        for number in 0..40 {
            for key in [format!("U{number:04}"), format!("k{number}")] {
                assert_eq!(store.query("Plain", &key, 32, 0..=i64::MAX).unwrap().records.len(), 1, "{name} {key}");
            }
        }
        let placed = put(&store, "Plain", 0, &message(b"ours", &["KEYS\u{1}ours\u{2}"]));
        assert_eq!((placed.status, placed.queue_offset), (PutStatus::PutOk, 20), "{name}");
        store.close().unwrap();
        drop(store);
        assert_eq!(violations(&disk.after_kill()), 0, "{name}, gone on");
    }
}
