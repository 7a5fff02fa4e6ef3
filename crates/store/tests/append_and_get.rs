//! Messages go in and come out: turns, batches, files that end, limits, filters, statuses.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::sync::Arc;

use common::*;
use raptormq_protocol::hash::java_hash;
use raptormq_protocol::message::{batch, sys_flag};
use raptormq_store::disk::memory::{Fault, MemoryDisk};
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{
    GetLimits, GetStatus, NewBatch, NewMessage, PutError, PutStatus, Store, StoreOptions, SystemClock, TransferLimits,
};

#[test]
fn a_message_comes_back_as_it_went_in() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let placed = put(&store, "T", 2, &NewMessage { flag: 5, ..message(b"hello", &["TAGS\u{1}TagA\u{2}"]) });
    assert_eq!((placed.status, placed.queue_offset, placed.log_offset), (PutStatus::PutOk, 0, 0));
    let result = get(&store, "T", 2, 0);
    assert_eq!((result.status, result.next_offset, result.min_offset, result.max_offset), (GetStatus::Found, 1, 0, 1));
    let found = messages(&result);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].body.as_ref(), found[0].flag, found[0].queue_id), (b"hello".as_slice(), 5, 2));
    assert_eq!((found[0].topic.as_str(), found[0].tags()), ("T", Some("TagA")));
    assert_eq!((found[0].store_timestamp_ms, found[0].commit_log_offset), (START_MS, 0));
    assert_eq!(store.record_at(0).unwrap(), result.slices[0]);
}

#[test]
fn a_turn_is_one_slice_of_the_log() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut staging = store.staging();
    for body in [b"one", b"two"] {
        stage(&store, &mut staging, "T", 0, &message(body, &[]));
    }
    store.append(&mut staging);
    let arrivals: Vec<_> = staging.arrivals().map(|arrival| (arrival.queue_offset, arrival.log_offset)).collect();
    let second = arrivals[1].1;
    assert_eq!(arrivals, [(0, 0), (1, second)]);
    let result = get(&store, "T", 0, 0);
    assert_eq!((result.slices.len(), result.count, result.bytes as i64), (1, 2, store.log_max_offset()));
}

#[test]
fn a_record_never_spans_two_files_and_a_turn_may() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut staging = store.staging();
    let expected: Vec<Vec<u8>> = (0..20_u8).map(|number| vec![number; 600]).collect();
    for body in &expected {
        stage(&store, &mut staging, "T", 0, &message(body, &[]));
    }
    store.append(&mut staging);
    assert!(store.log_max_offset() > 3 * 4096);
    assert_eq!(bodies(&store, "T", 0), expected);
    // Another one goes on behind.
    assert_eq!(put(&store, "T", 0, &message(b"x", &[])).queue_offset, 20);
}

#[test]
fn a_batch_stays_together_and_its_properties_come_last() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(&[0; 2000], &[]));
    let mut body = Vec::new();
    for text in [b"one".as_slice(), b"two", &[7; 1700]] {
        let inner = batch::InnerMessage { flag: 1, body: text, properties: "UNIQ_KEY\u{1}own\u{2}TAGS\u{1}A" };
        batch::encode(&inner, &mut body).unwrap();
    }
    let queue = store.queue_or_create("T", 0).unwrap();
    let mut staging = store.staging();
    let common = message(&body, &["UNIQ_KEY\u{1}batch\u{2}"]);
    let slot = staging.put_batch(&queue, &NewBatch { common }).unwrap();
    store.append(&mut staging);
    let placed = *staging.placed(slot);
    // It did not fit behind the first message, so all of it is in the second file.
    assert_eq!((placed.status, placed.queue_offset, placed.log_offset), (PutStatus::PutOk, 1, 4096));
    let offsets: Vec<i64> = staging.log_offsets(slot).collect();
    let found = messages(&get(&store, "T", 0, 1));
    assert_eq!(found.iter().map(|message| message.commit_log_offset).collect::<Vec<_>>(), offsets);
    assert_eq!(found.iter().map(|message| message.unique_key()).collect::<Vec<_>>(), [Some("batch"); 3]);
    assert_eq!(found.iter().map(|message| message.tags()).collect::<Vec<_>>(), [Some("A"); 3]);
}

#[test]
fn what_cannot_be_stored_leaves_the_rest_of_the_turn_alone() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let queue = store.queue_or_create("T", 0).unwrap();
    let long = store.queue_or_create(&"t".repeat(128), 0).unwrap();
    let retry = store.queue_or_create(&format!("%RETRY%{}", "t".repeat(200)), 0).unwrap();
    let mut staging = store.staging();
    let slot = staging.put(&queue, &message(b"good", &[])).unwrap();
    let properties = "x".repeat(40_000);
    assert_eq!(staging.put(&queue, &message(&[0; 2049], &[])), Err(PutError::MessageSizeExceeded(2049)));
    let refused = staging.put(&queue, &message(b"", &[&properties]));
    assert_eq!(refused, Err(PutError::PropertiesSizeExceeded(40_000)));
    assert_eq!(staging.put(&long, &message(b"", &[])), Err(PutError::TopicTooLong(128)));
    for body in [b"".as_slice(), b"noise that is no batch"] {
        let batch = NewBatch { common: message(body, &[]) };
        assert_eq!(staging.put_batch(&queue, &batch), Err(PutError::MessageIllegal));
    }
    let second = staging.put(&retry, &message(b"retry", &[])).unwrap();
    store.append(&mut staging);
    assert_eq!(staging.placed(slot).status, PutStatus::PutOk);
    assert_eq!(staging.placed(second).status, PutStatus::PutOk);
    assert_eq!(bodies(&store, "T", 0), [b"good"]);
}

#[test]
fn long_topics_are_refused_where_they_are_not_stored_as_version_2() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(StoreOptions { stores_long_topics: false, ..small_options() }, &disk, &clock);
    let mut staging = store.staging();
    let mut put_to = |bytes: usize| {
        let queue = store.queue_or_create(&format!("%RETRY%{}", "t".repeat(bytes - 7)), 0).unwrap();
        staging.put(&queue, &message(b"retry", &[])).map(drop)
    };
    assert_eq!((put_to(127), put_to(128)), (Ok(()), Err(PutError::TopicTooLong(128))));
}

#[test]
fn half_messages_and_rollbacks_are_in_no_queue() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for (flag, body) in [
        (sys_flag::TRANSACTION_PREPARED, b"half"),
        (sys_flag::TRANSACTION_ROLLBACK, b"back"),
        (sys_flag::TRANSACTION_COMMIT, b"done"),
        (sys_flag::TRANSACTION_NONE, b"none"),
    ] {
        put(&store, "T", 0, &NewMessage { sys_flag: flag, ..message(body, &[]) });
    }
    assert_eq!(bodies(&store, "T", 0), [b"done", b"none"]);
    assert_eq!(store.queue("T", 0).unwrap().max_offset(), 2);
}

#[test]
fn every_offset_has_its_status() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let queue = store.queue_or_create("T", 0).unwrap();
    let status = |from| {
        let result = store.get(&queue, from, &ALL, &mut |_| true);
        (result.status, result.next_offset)
    };
    assert_eq!(status(0), (GetStatus::NoMessageInQueue, 0));
    assert_eq!(status(7), (GetStatus::NoMessageInQueue, 0));
    for _ in 0..3 {
        put(&store, "T", 0, &message(b"m", &[]));
    }
    assert_eq!(status(0), (GetStatus::Found, 3));
    assert_eq!(status(2), (GetStatus::Found, 3));
    assert_eq!(status(3), (GetStatus::OffsetOverflowOne, 3));
    assert_eq!(status(4), (GetStatus::OffsetOverflowBadly, 3));
    assert_eq!(status(-1), (GetStatus::OffsetTooSmall, 0));
    assert_eq!(status(i64::MIN), (GetStatus::OffsetTooSmall, 0));
    assert_eq!(status(i64::MAX), (GetStatus::OffsetOverflowBadly, 3));
}

#[test]
fn the_filter_sees_tags_codes_before_the_log_is_read() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for tag in ["A", "B", "A", "C"] {
        put(&store, "T", 0, &message(tag.as_bytes(), &[&format!("TAGS\u{1}{tag}\u{2}")]));
    }
    put(&store, "T", 0, &message(b"untagged", &[]));
    let queue = store.queue("T", 0).unwrap();
    let wanted = i64::from(java_hash("A"));
    let result = store.get(&queue, 0, &ALL, &mut |code| code == wanted);
    assert_eq!((result.status, result.next_offset, result.count, result.slices.len()), (GetStatus::Found, 5, 2, 2));
    let result = store.get(&queue, 0, &ALL, &mut |code| code == 12345);
    assert_eq!((result.status, result.next_offset, result.count), (GetStatus::NoMatchedMessage, 5, 0));
    assert_eq!(store.get(&queue, 0, &ALL, &mut |code| code == 0).count, 1);
}

#[test]
fn limits_end_a_read_but_never_before_the_first_message() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let options = StoreOptions { in_memory: TransferLimits { bytes: 1000, count: 3 }, ..small_options() };
    let store = open_with(options, &disk, &clock);
    for _ in 0..6 {
        put(&store, "T", 0, &message(&[0; 300], &[]));
    }
    let queue = store.queue("T", 0).unwrap();
    let count = |count, bytes| store.get(&queue, 0, &GetLimits { count, bytes }, &mut |_| true).count;
    assert_eq!(count(2, 10_000), 2);
    assert_eq!(count(10, 10_000), 2, "the store's own 1000 bytes");
    assert_eq!(count(10, 1), 1);
    let result = store.get(&queue, 0, &GetLimits { count: 1, bytes: 1 }, &mut |_| true);
    assert_eq!((result.next_offset, result.status), (1, GetStatus::Found));
}

#[test]
fn a_scan_for_rare_tags_ends_after_so_many_units() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(StoreOptions { filter_bytes_max: 100, ..small_options() }, &disk, &clock);
    for _ in 0..50 {
        put(&store, "T", 0, &message(b"", &[]));
    }
    let queue = store.queue("T", 0).unwrap();
    let limits = GetLimits { count: 2, bytes: 1000 };
    let result = store.get(&queue, 0, &limits, &mut |_| false);
    assert_eq!((result.status, result.next_offset), (GetStatus::NoMatchedMessage, 5));
}

#[test]
fn a_scan_for_rare_tags_looks_at_so_many_queue_files() {
    // Files of 20 units; the last message is wanted.
    for (files, first_end, is_written) in [(1, 20, true), (1, 20, false), (2, 40, true), (3, 51, true)] {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let store = open_with(StoreOptions { queue_files_a_read: files, ..small_options() }, &disk, &clock);
        for number in 0..51 {
            put(&store, "T", 0, &message(b"", if number < 50 { &[] } else { &["TAGS\u{1}A\u{2}"] }));
        }
        if is_written {
            store.step(START_MS + 100_000);
        }
        let queue = store.queue("T", 0).unwrap();
        let read = |from| store.get(&queue, from, &ALL, &mut |code| code == 65);
        let (first, again) = (read(3), read(first_end));
        let found = if first_end == 51 { GetStatus::Found } else { GetStatus::NoMatchedMessage };
        assert_eq!((first.status, first.next_offset), (found, first_end), "{files} {is_written}");
        // What was found does not end where a file does.
        let all = store.get(&queue, 3, &ALL, &mut |_| true);
        assert_eq!((all.count, all.next_offset), (48, 51));
        assert!(again.next_offset > first_end || again.status == GetStatus::OffsetOverflowOne);
    }
}

#[test]
fn the_tags_code_of_a_delayed_message_is_when_it_is_due() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut staging = store.staging();
    for delay in ["3", "99", "0", "x"] {
        let delay = format!("DELAY\u{1}{delay}\u{2}TAGS\u{1}A\u{2}");
        stage(&store, &mut staging, "SCHEDULE_TOPIC_XXXX", 2, &message(b"", &[&delay]));
    }
    store.append(&mut staging);
    let codes: Vec<i64> = staging.arrivals().map(|arrival| arrival.tags_code).collect();
    let tags = i64::from(java_hash("A"));
    assert_eq!(codes, [START_MS + 10_000, START_MS + 7_200_000, tags, tags]);
}

#[test]
fn store_timestamps_never_go_back() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"", &[]));
    clock.set(START_MS - 5_000);
    assert_eq!(put(&store, "T", 0, &message(b"", &[])).store_timestamp_ms, START_MS);
}

#[test]
fn a_write_that_a_full_disk_cuts_short_leaves_no_trace() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"before", &[]));
    disk.fail_next(Fault::Write { after: 100 });
    let failed = put(&store, "T", 0, &message(b"lost", &[]));
    assert_eq!(failed.status, PutStatus::ServiceNotAvailable);
    let placed = put(&store, "T", 0, &message(b"after", &[]));
    assert_eq!((placed.status, placed.queue_offset), (PutStatus::PutOk, 1));
    assert_eq!(bodies(&store, "T", 0), [b"before".as_slice(), b"after"]);
    drop(store);
    let store = open(&disk.after_kill(), &clock);
    assert_eq!(bodies(&store, "T", 0), [b"before".as_slice(), b"after"]);
}

#[test]
fn a_file_that_the_log_goes_on_in_is_never_made_anew_by_the_background() {
    // It was, in the moment between its making and its first record: then what was acknowledged went into a removed file.
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(std::sync::atomic::Ordering::Relaxed) {
                    store.step(START_MS);
                }
            });
        }
        for number in 0..3_000 {
            let body = format!("{number:<1800}");
            assert_eq!(put(&store, "T", 0, &message(body.as_bytes(), &[])).status, PutStatus::PutOk);
        }
        is_done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drop(store);
    assert_eq!(bodies(&open(&disk.after_kill(), &clock), "T", 0).len(), 3_000);
}

#[test]
fn a_closed_store_accepts_nothing() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"m", &[]));
    store.close().unwrap();
    assert_eq!(put(&store, "T", 0, &message(b"n", &[])).status, PutStatus::ServiceNotAvailable);
    assert_eq!(bodies(&store, "T", 0), [b"m"]);
}

#[test]
fn threads_that_append_at_once_keep_every_queue_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { root: folder.path().to_owned(), ..small_options() };
    let options =
        StoreOptions { commit_log_folders: vec![folder.path().join("commitlog")], segment_bytes: 1 << 16, ..options };
    let store = Store::open(options, Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let store = &store;
            scope.spawn(move || {
                let mut staging = store.staging();
                for turn in 0..50_u8 {
                    for queue_id in 0..3 {
                        stage(store, &mut staging, "T", queue_id, &message(&[thread, turn], &[]));
                    }
                    store.append(&mut staging);
                    assert!(staging.arrivals().count() == 3);
                    staging.clear();
                }
            });
        }
    });
    for queue_id in 0..3 {
        let found = messages(&get(&store, "T", queue_id, 0));
        let offsets: Vec<i64> = found.iter().map(|message| message.queue_offset).collect();
        assert_eq!(offsets, (0..200).collect::<Vec<_>>());
        for thread in 0..4 {
            let turns = found.iter().filter(|message| message.body[0] == thread).map(|message| message.body[1]);
            assert!(turns.eq(0..50), "each thread's messages are in its order");
        }
    }
    store.close().unwrap();
}

/// Waits for a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn under_sync_flush_an_append_is_on_disk_without_waiting_for_the_interval() {
    let disk = MemoryDisk::default();
    // An interval that no test waits for.
    let options = StoreOptions { sync_flush: true, flush_log_interval_ms: 3_600_000, ..small_options() };
    let store = Store::open(options, Arc::new(disk.clone()), clock()).unwrap();
    let placed = put(&store, "T", 0, &message(b"m", &[]));
    block_on(store.watermarks().flushed.reached(placed.log_end)).unwrap();
    let crashed = disk.after_crash(|_, _| raptormq_store::disk::memory::Fate::Lost);
    assert_eq!(bodies(&open(&crashed, &clock()), "T", 0), [b"m"]);
}

#[test]
fn readers_may_be_allowed_to_see_what_is_not_on_disk() {
    for (reads_unflushed, end) in [(false, 0), (true, 1)] {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let options = StoreOptions { sync_flush: true, reads_unflushed, ..small_options() };
        let store = open_with(options, &disk, &clock);
        put(&store, "T", 0, &message(b"m", &[]));
        let queue = store.queue("T", 0).unwrap();
        assert_eq!((store.visible_end(&queue).unwrap(), get(&store, "T", 0, 0).count as i64), (end, end));
        store.step(START_MS);
        assert_eq!(store.visible_end(&queue).unwrap(), 1);
    }
}

#[test]
fn a_read_that_may_not_wait_for_the_disk_ends_before_what_is_not_in_memory() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for number in 0..30_u8 {
        put(&store, "T", 0, &message(&[number; 600], &[]));
    }
    store.close().unwrap();
    drop(store);
    let store = open(&disk, &clock);
    let queue = store.queue("T", 0).unwrap();
    let cached = |from| store.get_cached(&queue, from, &ALL, &mut |_| true);
    disk.set_cold(true);
    assert!(cached(0).is_none(), "neither units nor messages are in memory");
    assert_eq!(cached(30).unwrap().status, GetStatus::OffsetOverflowOne, "no disk is needed to know the end");
    // Messages that this process has written itself are.
    put(&store, "T", 0, &message(b"new", &[]));
    let result = cached(30).unwrap();
    assert_eq!((result.status, result.count), (GetStatus::Found, 1));
    // The disk's answer is the same as that from memory.
    let waited = get(&store, "T", 0, 0);
    disk.set_cold(false);
    let result = cached(0).unwrap();
    assert_eq!((waited.status, waited.count, result.count), (GetStatus::Found, 31, 31));
    assert_eq!(waited.slices.concat(), result.slices.concat());
}
