//! Messages are found by their keys: in memory, on disk, in older files, after any stop.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::*;
use raptormq_protocol::message::MessageExt;
use raptormq_protocol::message::sys_flag;
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{NewMessage, Store, StoreOptions};

/// Bodies of the messages with that key.
fn found(store: &Store, key: &str) -> Vec<String> {
    let result = store.query("T", key, 64, 0..=i64::MAX).unwrap();
    let body = |record: &bytes::Bytes| MessageExt::decode(record, 1 << 20).unwrap().0.body;
    result.records.iter().map(|record| String::from_utf8(body(record).to_vec()).unwrap()).collect()
}

fn put_with_key(store: &Store, key: &str, body: &str) {
    put(store, "T", 0, &message(body.as_bytes(), &[&format!("KEYS\u{1}{key}\u{2}")]));
}

#[test]
fn unique_keys_and_keys_are_found_before_and_after_they_are_written() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"one", &["UNIQ_KEY\u{1}u1\u{2}KEYS\u{1}a b  c\u{2}"]));
    put(&store, "T", 1, &message(b"two", &["UNIQ_KEY\u{1}u2\u{2}KEYS\u{1}b\u{2}"]));
    put(&store, "U", 0, &message(b"other topic", &["KEYS\u{1}b\u{2}"]));
    let check = |store: &Store| {
        assert_eq!(found(store, "u1"), ["one"]);
        assert_eq!(found(store, "a"), ["one"]);
        assert_eq!(found(store, "b"), ["one", "two"]);
        assert_eq!(found(store, "c"), ["one"]);
        assert!(found(store, "d").is_empty());
    };
    check(&store);
    assert!(disk.list("/store/index".as_ref()).unwrap().is_empty(), "the file is made when it is first written");
    clock.advance(1_000);
    store.step(START_MS + 1_000);
    assert_eq!(disk.list("/store/index".as_ref()).unwrap().len(), 1);
    check(&store);
    store.close().unwrap();
    drop(store);
    let store = open(&disk, &clock);
    check(&store);
    put(&store, "T", 0, &message(b"three", &["KEYS\u{1}b\u{2}"]));
    assert_eq!(found(&store, "b"), ["one", "two", "three"]);
}

#[test]
fn rollbacks_are_not_indexed_and_half_messages_are() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for (flag, body) in [(sys_flag::TRANSACTION_PREPARED, "half"), (sys_flag::TRANSACTION_ROLLBACK, "rollback")] {
        put(&store, "T", 0, &NewMessage { sys_flag: flag, ..message(body.as_bytes(), &["KEYS\u{1}k\u{2}"]) });
    }
    assert_eq!(found(&store, "k"), ["half"]);
}

#[test]
fn full_files_are_followed_by_new_ones_and_still_searched() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for number in 0..100 {
        put_with_key(&store, &format!("k{number}"), &format!("m{number}"));
        clock.advance(100);
        store.step(START_MS + number * 100);
    }
    for number in 0..100 {
        assert_eq!(found(&store, &format!("k{number}")), [format!("m{number}")]);
    }
    store.close().unwrap();
    drop(store);
    // A file has room for 31 entries.
    assert_eq!(disk.list("/store/index".as_ref()).unwrap().len(), 4);
    let store = open(&disk, &clock);
    assert!(store.figures().checkpoint.index_timestamp_ms > 0);
    for number in 0..100 {
        assert_eq!(found(&store, &format!("k{number}")), [format!("m{number}")]);
    }
}

#[test]
fn the_newest_messages_of_a_time_are_found() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(StoreOptions { query_count_max: 5, ..small_options() }, &disk, &clock);
    for number in 0..20 {
        put_with_key(&store, "k", &format!("m{number}"));
        clock.advance(2_000);
    }
    assert_eq!(found(&store, "k"), ["m15", "m16", "m17", "m18", "m19"]);
    let between = |first: i64, last: i64| {
        let stored_ms = START_MS + first * 2_000..=START_MS + last * 2_000;
        store.query("T", "k", 64, stored_ms).unwrap().records.len()
    };
    assert_eq!((between(3, 3), between(3, 5), between(18, 30), between(30, 40)), (1, 3, 2, 0));
}

#[test]
fn an_unclean_stop_loses_no_key() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut disk = disk;
    let mut store = Some(store);
    for number in 0..90 {
        put_with_key(store.as_ref().unwrap(), &format!("k{number} shared{}", number % 3), &format!("m{number}"));
        clock.advance(10);
        if number % 7 == 0 {
            clock.advance(1_000);
            store.as_ref().unwrap().step(raptormq_store::Clock::now_ms(&*clock));
        }
        if number % 20 == 19 {
            disk = disk.after_kill();
            drop(store.take());
            store = Some(open(&disk, &clock));
        }
    }
    let store = store.unwrap();
    for number in 0..90 {
        assert_eq!(found(&store, &format!("k{number}")), [format!("m{number}")]);
    }
    assert_eq!(found(&store, "shared1").len(), 30);
}

#[test]
fn a_store_without_index_finds_nothing_and_writes_none() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(StoreOptions { index_enabled: false, ..small_options() }, &disk, &clock);
    put_with_key(&store, "k", "m");
    assert!(found(&store, "k").is_empty());
    store.close().unwrap();
    assert!(disk.list("/store/index".as_ref()).unwrap().is_empty());
}
