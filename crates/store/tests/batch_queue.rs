//! Topics whose queues are batch queues: a unit for a record of several messages.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::Path;

use common::*;
use raptormq_protocol::message::{batch, sys_flag};
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{
    Boundary, GetLimits, GetStatus, NewBatch, NewMessage, Placed, PutError, PutStatus, QueueType, Store, StoreOptions,
};

/// Files of five units.
fn options() -> StoreOptions {
    StoreOptions { batch_queue_file_bytes: 46 * 5, batch_topics: ["B".to_owned()].into(), ..small_options() }
}

fn batch_of(texts: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in texts {
        let inner = batch::InnerMessage { flag: 0, body: text.as_bytes(), properties: "" };
        batch::encode(&inner, &mut body).unwrap();
    }
    body
}

fn put_batch(store: &Store, texts: &[&str]) -> Placed {
    let body = batch_of(texts);
    let queue = store.queue_or_create("B", 0).unwrap();
    let mut staging = store.staging();
    let common = message(&body, &["UNIQ_KEY\u{1}batch\u{2}TAGS\u{1}A\u{2}"]);
    let slot = staging.put_inner_batch(&queue, &NewBatch { common }).unwrap();
    store.append(&mut staging);
    let placed = *staging.placed(slot);
    assert_eq!(placed.status, PutStatus::PutOk);
    placed
}

/// Twelve batches of one, two and three messages, a second apart.
fn fill(store: &Store, clock: &raptormq_store::clock::ManualClock) {
    let mut next = 0;
    for number in 0..12 {
        let texts: Vec<String> = (0..number % 3 + 1).map(|within| format!("m{number}.{within}")).collect();
        let placed = put_batch(store, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(placed.queue_offset, next);
        next += number % 3 + 1;
        clock.advance(1_000);
    }
}

fn check(store: &Store) {
    let queue = store.queue("B", 0).unwrap();
    assert_eq!((queue.min_offset(), queue.max_offset()), (0, 24));
    let mut from = 0;
    let mut bases = Vec::new();
    while from < 24 {
        let one = GetLimits { count: 1, bytes: usize::MAX };
        let result = store.get(&queue, from, &one, &mut |_| true);
        assert_eq!(result.status, GetStatus::Found);
        let found = messages(&result);
        assert_eq!(found.len(), 1, "the first record comes whole, and only that");
        let record = &found[0];
        assert_eq!(record.property("INNER_BASE"), Some(record.queue_offset.to_string().as_str()));
        assert_eq!(record.property("INNER_NUM"), Some(result.count.to_string().as_str()));
        assert_eq!(batch::decode(&record.body).count(), result.count);
        assert_ne!(record.sys_flag & sys_flag::INNER_BATCH, 0);
        assert_ne!(record.sys_flag & sys_flag::NEED_UNWRAP, 0);
        bases.push(record.queue_offset);
        from = result.next_offset;
    }
    assert_eq!(bases, [0, 1, 3, 6, 7, 9, 12, 13, 15, 18, 19, 21]);
}

#[test]
fn batches_are_stored_whole_and_found_by_the_offset_of_any_message() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    fill(&store, &clock);
    check(&store);
    let queue = store.queue("B", 0).unwrap();
    assert_eq!(queue.queue_type, QueueType::Batch);
    // In the middle of a record: all of it is answered, as by the original.
    let result = store.get(&queue, 8, &ALL, &mut |_| true);
    assert_eq!((messages(&result)[0].queue_offset, result.count, result.next_offset), (7, 17, 24));
    // Limits count messages.
    let result = store.get(&queue, 0, &GetLimits { count: 4, bytes: usize::MAX }, &mut |_| true);
    assert_eq!((result.count, result.next_offset), (3, 3));
    let result = store.get(&queue, 24, &ALL, &mut |_| true);
    assert_eq!((result.status, result.next_offset), (GetStatus::OffsetOverflowOne, 24));
    let result = store.get(&queue, 0, &ALL, &mut |_| false);
    assert_eq!((result.status, result.next_offset), (GetStatus::NoMatchedMessage, 24));
}

#[test]
fn a_batch_queue_is_there_after_clean_and_unclean_stops() {
    for (written, closed) in [(true, true), (true, false), (false, false)] {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let store = open_with(options(), &disk, &clock);
        fill(&store, &clock);
        if written {
            store.step(START_MS + 100_000);
        }
        if closed {
            store.close().unwrap();
        }
        drop(store);
        // What a topic is shows in its folder, and without one in the records.
        let store = open_with(StoreOptions { batch_topics: Default::default(), ..options() }, &disk, &clock);
        check(&store);
        assert_eq!(put_batch(&store, &["next", "after"]).queue_offset, 24);
        store.close().unwrap();
        let files = disk.files();
        let starts = files.keys().filter(|path| path.starts_with("/store/batchconsumequeue/B/0"));
        assert_eq!(starts.count(), 3);
        assert!(!files.keys().any(|path| path.starts_with("/store/consumequeue/B")));
        let unit = &files[Path::new("/store/batchconsumequeue/B/0/00000000000000000000")][46..92];
        assert_eq!((unit[35], unit[37], &unit[38..]), (1, 2, [255_u8, 255, 255, 255, 0, 0, 0, 0].as_slice()));
    }
}

#[test]
fn a_single_message_is_a_batch_of_one() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    put_batch(&store, &["0", "1"]);
    let placed = put(&store, "B", 0, &message(b"single", &["TAGS\u{1}A"]));
    assert_eq!(placed.queue_offset, 2);
    let result = get(&store, "B", 0, 2);
    let found = messages(&result);
    assert_eq!((found[0].body.as_ref(), found[0].tags()), (b"single".as_slice(), Some("A")));
    assert_eq!((found[0].property("INNER_NUM"), found[0].property("INNER_BASE")), (Some("1"), Some("2")));
    assert_eq!(found[0].sys_flag, 0);
}

#[test]
fn inner_batches_are_for_batch_queues_only() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    let (batch_queue, simple) = (store.queue_or_create("B", 0).unwrap(), store.queue_or_create("T", 0).unwrap());
    let mut staging = store.staging();
    let body = batch_of(&["x"]);
    let inner = NewBatch { common: message(&body, &["UNIQ_KEY\u{1}u"]) };
    assert_eq!(staging.put_inner_batch(&simple, &inner), Err(PutError::MessageIllegal));
    let named = message(b"x", &["INNER_NUM\u{1}3"]);
    assert_eq!(staging.put(&batch_queue, &named), Err(PutError::MessageIllegal));
    let wrong = NewMessage { sys_flag: sys_flag::INNER_BATCH, ..message(b"x", &["INNER_NUM\u{1}many"]) };
    assert_eq!(staging.put(&batch_queue, &wrong), Err(PutError::MessageIllegal));
    for body in [b"".as_slice(), b"noise that is no batch"] {
        let noise = NewBatch { common: message(body, &[]) };
        assert_eq!(staging.put_inner_batch(&batch_queue, &noise), Err(PutError::MessageIllegal));
    }
    assert!(staging.is_empty());
}

#[test]
fn a_turn_of_several_batches_grows_with_its_offsets() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    let queue = store.queue_or_create("B", 0).unwrap();
    let mut staging = store.staging();
    let body = batch_of(&["a", "b", "c", "d"]);
    for number in 0..30 {
        let common = message(&body, &["UNIQ_KEY\u{1}u"]);
        // All are staged with offset 0: one digit, and later two and three.
        staging.put_inner_batch(&queue, &NewBatch { common }).unwrap();
        stage(&store, &mut staging, "T", 0, &message(format!("between {number}").as_bytes(), &["KEYS\u{1}k"]));
    }
    store.append(&mut staging);
    drop(store);
    let store = open_with(options(), &disk, &clock);
    let found = messages(&get(&store, "B", 0, 0));
    let bases: Vec<_> = found.iter().map(|record| record.property("INNER_BASE").unwrap().to_owned()).collect();
    assert_eq!(bases, (0..30).map(|number| (number * 4).to_string()).collect::<Vec<_>>());
    assert_eq!(bodies(&store, "T", 0).len(), 30);
}

#[test]
fn a_time_stands_for_the_first_offset_of_a_record() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    let queue = store.queue_or_create("B", 0).unwrap();
    let at = |seconds_ms: i64, boundary| store.offset_by_time(&queue, START_MS + seconds_ms, boundary).unwrap();
    assert_eq!(at(0, Boundary::Lower), -1);
    fill(&store, &clock);
    assert_eq!((at(-5, Boundary::Lower), at(0, Boundary::Lower), at(1, Boundary::Lower)), (0, 0, 1));
    assert_eq!((at(2_000, Boundary::Lower), at(2_000, Boundary::Upper), at(2_500, Boundary::Upper)), (3, 3, 6));
    // Never the end.
    assert_eq!((at(99_000, Boundary::Lower), at(99_000, Boundary::Upper)), (21, 21));
    assert_eq!(store.timestamp_at(&queue, 4).unwrap(), START_MS + 2_000);
}

#[test]
fn a_topic_with_both_kinds_of_queues_is_refused() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(options(), &disk, &clock);
    put_batch(&store, &["x"]);
    store.close().unwrap();
    drop(store);
    let folder = Path::new("/store/consumequeue/B/0");
    disk.create(&folder.join("00000000000000000000"), 400, raptormq_store::disk::Space::Sparse).unwrap();
    let error = Store::open_still(options(), std::sync::Arc::new(disk), clock).err().unwrap();
    assert!(error.to_string().contains("the topic has Simple queues elsewhere"), "{error}");
}

#[test]
fn records_carry_a_crc_of_all_of_them_when_asked_to() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let options = StoreOptions { append_property_crc: true, verify_property_crc: true, ..options() };
    let store = open_with(options.clone(), &disk, &clock);
    let given = "A\u{1}b\u{2}__CRC32#\u{1}1234567890\u{2}KEYS\u{1}k";
    let placed = put(&store, "T", 0, &message(b"body", &[given]));
    put_batch(&store, &["x", "y"]);
    let record = store.record_at(placed.log_offset).unwrap();
    assert_eq!(raptormq_protocol::message::record::sealed(&record), Some(true));
    let found = messages(&get(&store, "T", 0, 0));
    let names: Vec<_> = found[0].properties.iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| **name == "__CRC32#").count(), 1);
    drop(store);
    // A bit of the properties, which no other CRC covers, ends the log where it is checked.
    let path = Path::new("/store/commitlog/00000000000000000000");
    let at = record.windows(3).position(|window| window == b"A\x01b").unwrap();
    disk.open(path).unwrap().write_at(at as u64 + 2, b"c").unwrap();
    let store = open_with(StoreOptions { verify_property_crc: false, ..options.clone() }, &disk, &clock);
    assert_eq!(bodies(&store, "T", 0).len(), 1);
    drop(store);
    assert_eq!(bodies(&open_with(options, &disk, &clock), "T", 0).len(), 0);
}
