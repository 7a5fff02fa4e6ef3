//! What is there after a stop, and what the folder looks like.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::*;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::Disk;
use raptormq_store::disk::memory::{Fate, Fault, MemoryDisk, Operation};
use raptormq_store::{Boundary, OpenError, PutStatus, Store, StoreOptions};

/// Puts `count` messages into two queues, a second apart.
fn fill(store: &Store, clock: &ManualClock, count: i32) {
    for number in 0..count {
        let placed = put(store, "T", number % 2, &message(format!("m{number}").as_bytes(), &["TAGS\u{1}A\u{2}"]));
        assert_eq!(placed.status, PutStatus::PutOk);
        clock.advance(1_000);
    }
}

fn expected(count: i32, queue_id: i32) -> Vec<Vec<u8>> {
    (0..count).filter(|number| number % 2 == queue_id).map(|number| format!("m{number}").into_bytes()).collect()
}

fn check(store: &Store, count: i32) {
    for queue_id in 0..2 {
        assert_eq!(bodies(store, "T", queue_id), expected(count, queue_id), "queue {queue_id}");
    }
}

#[test]
fn a_clean_stop_leaves_exactly_the_originals_files() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    store.step(START_MS);
    assert!(disk.list(Path::new("/store")).unwrap().iter().any(|entry| entry.name == "abort"));
    fill(&store, &clock, 50);
    store.close().unwrap();
    drop(store);
    let files: Vec<String> = disk.files().into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(
        files,
        [
            "/store/checkpoint",
            "/store/commitlog/00000000000000000000",
            "/store/commitlog/00000000000000004096",
            "/store/consumequeue/T/0/00000000000000000000",
            "/store/consumequeue/T/0/00000000000000000400",
            "/store/consumequeue/T/1/00000000000000000000",
            "/store/consumequeue/T/1/00000000000000000400",
            "/store/lock",
            // Ours: the original does not look at it.
            "/store/raptormq.queues",
        ]
    );
    check(&open(&disk, &clock), 50);
}

#[test]
fn the_first_start_makes_no_log_file_that_is_not_used() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    store.step(START_MS);
    store.close().unwrap();
    drop(store);
    assert!(disk.list(Path::new("/store/commitlog")).unwrap().is_empty());
    check(&open(&disk, &clock), 0);
}

#[test]
fn a_killed_process_loses_nothing_whenever_the_background_last_ran() {
    for steps_after in 0..20 {
        let (disk, clock) = (MemoryDisk::default(), clock());
        let store = open(&disk, &clock);
        fill(&store, &clock, steps_after);
        store.step(START_MS + 100_000);
        for number in steps_after..40 {
            put(&store, "T", number % 2, &message(format!("m{number}").as_bytes(), &[]));
        }
        let killed = disk.after_kill();
        let store = open(&killed, &clock);
        check(&store, 40);
        assert_eq!(put(&store, "T", 0, &message(b"next", &[])).queue_offset, 20);
        drop(store);
        // A second time, and without anything new.
        check(&open(&disk.after_kill(), &clock), 40);
    }
}

#[test]
fn recovery_takes_a_large_file_in_parts() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let options = || StoreOptions { segment_bytes: 20 << 20, body_bytes_max: 4 << 20, ..small_options() };
    let store = open_with(options(), &disk, &clock);
    // Records of every size lie across the ends of the parts, whatever those are.
    let lengths: Vec<usize> =
        (0..60).map(|number: usize| (number * 7_919_777) % (4 << 20) / (1 + number % 7)).collect();
    for length in &lengths {
        assert_eq!(put(&store, "T", 0, &message(&vec![1; *length], &[])).status, PutStatus::PutOk);
    }
    let end = store.log_max_offset();
    let killed = disk.after_kill();
    drop((store, disk));
    let store = open_with(options(), &killed, &clock);
    assert_eq!(store.log_max_offset(), end);
    assert_eq!(bodies(&store, "T", 0).iter().map(Vec::len).collect::<Vec<_>>(), lengths);
}

#[test]
fn what_was_flushed_survives_a_crash_that_takes_all_the_rest() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 30);
    store.step(START_MS + 100_000);
    let flushed = store.watermarks().flushed.value();
    assert_eq!(flushed, store.log_max_offset());
    fill(&store, &clock, 10);
    let crashed = disk.after_crash(|_, _| Fate::Lost);
    let store = open(&crashed, &clock);
    check(&store, 30);
    assert_eq!(store.log_max_offset(), flushed);
}

#[test]
fn a_torn_record_is_cut_off_and_nothing_behind_it_comes_back() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 10);
    store.step(START_MS + 100_000);
    let end = store.log_max_offset();
    fill(&store, &clock, 3);
    let log_writes = |operation: &Operation| matches!(operation, Operation::Write { path, .. } if path.starts_with("/store/commitlog"));
    let mut seen = 0;
    // Of the three records the first is torn and the others are whole.
    let crashed = disk.after_crash(|_, operation| {
        if !log_writes(operation) {
            return Fate::Lost;
        }
        seen += 1;
        if seen == 1 { Fate::Torn(50) } else { Fate::Kept }
    });
    let store = open(&crashed, &clock);
    check(&store, 10);
    assert_eq!(store.log_max_offset(), end);
    let log = crashed.read(Path::new("/store/commitlog/00000000000000000000"), 1 << 20).unwrap();
    assert!(log[end as usize..].iter().all(|byte| *byte == 0), "nothing stale is left behind the end");
    fill(&store, &clock, 0);
    assert_eq!(put(&store, "T", 0, &message(b"m10", &[])).log_offset, end);
}

#[test]
fn queues_are_built_from_the_log_alone() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 60);
    store.close().unwrap();
    drop(store);
    disk.remove_folder(Path::new("/store/consumequeue")).unwrap();
    check(&open(&disk, &clock), 60);
}

#[test]
fn a_queue_that_lost_a_page_is_repaired_from_an_earlier_log_file() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 60);
    store.step(START_MS + 200_000);
    let crashed = disk.after_kill();
    // Where this file is believed, the queues' files are not looked at.
    crashed.remove(Path::new("/store/raptormq.queues")).unwrap();
    crashed.damage(Path::new("/store/consumequeue/T/1/00000000000000000000"), |bytes| bytes[40..80].fill(0));
    check(&open(&crashed, &clock), 60);
}

#[test]
fn a_topic_made_again_starts_at_0_and_stays_so() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for body in [b"old1", b"old2", b"old3"] {
        put(&store, "T", 0, &message(body, &[]));
    }
    store.step(START_MS + 10_000);
    store.delete_topic("T").unwrap();
    assert!(store.queue("T", 0).is_none());
    assert!(disk.list(Path::new("/store/consumequeue/T")).unwrap().is_empty());
    assert_eq!(put(&store, "T", 0, &message(b"new1", &[])).queue_offset, 0);
    assert_eq!(bodies(&store, "T", 0), [b"new1"]);
    let store = open(&disk.after_kill(), &clock);
    assert_eq!(bodies(&store, "T", 0), [b"new1"]);
}

/// Recovery met the second message of the topic as it was before, which has the offset behind the only one that it has now,
/// and put it there: the crash images of deletion found it.
#[test]
fn what_a_deleted_topic_had_does_not_come_behind_what_it_has_now() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    for body in [b"old1", b"old2", b"old3"] {
        put(&store, "T", 0, &message(body, &["KEYS\u{1}k\u{2}"]));
    }
    store.delete_topic("T").unwrap();
    put(&store, "T", 0, &message(b"new1", &["KEYS\u{1}k\u{2}"]));
    store.step(START_MS + 70_000);
    let crashed = disk.after_kill();
    // All but its first entry: for the index the records are looked at again, the queue being as it was written down.
    let is_index = |path: &&std::path::PathBuf| path.starts_with("/store/index");
    let index = disk.files().keys().find(is_index).unwrap().clone();
    crashed.damage(&index, |bytes| bytes[40 + 16 * 4 + 2 * 20..].fill(0));
    for path in [None, Some("/store/checkpoint"), Some("/store/raptormq.queues")] {
        path.iter().for_each(|path| crashed.damage(Path::new(path), |bytes| bytes.fill(0)));
        let store = open(&crashed.after_kill(), &clock);
        assert_eq!(
            (bodies(&store, "T", 0), store.recovered().log_end),
            (vec![b"new1".to_vec()], store.log_max_offset())
        );
    }
}

/// A queue that misses messages makes recovery build all queues from an earlier file of the log. A crash in the midst of
/// that left queues without units that the checkpoint still vouched for: the crash images of deletion found it.
#[test]
fn a_crash_while_queues_are_built_anew_costs_no_unit() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"kept", &[]));
    put(&store, "U", 0, &message(b"first", &[]));
    clock.advance(10_000);
    put(&store, "V", 0, &message(b"the checkpoint is here", &[]));
    store.step(START_MS + 80_000);
    clock.advance(10_000);
    put(&store, "U", 0, &message(b"second", &[]));
    store.step(START_MS + 90_000);
    assert_eq!(store.doomed_queues(|queue| &*queue.topic == "U").delete().unwrap(), 1);
    let disk = disk.after_kill();
    drop(open(&disk, &clock));
    let is_of_queue = |operation: &Operation| matches!(operation, Operation::Write { path, .. } if path.starts_with("/store/consumequeue/T"));
    let crashed = disk.after_crash(|_, operation| if is_of_queue(operation) { Fate::Lost } else { Fate::Kept });
    assert_eq!(bodies(&open(&crashed, &clock), "T", 0), [b"kept"]);
}

#[test]
fn deleting_a_topic_touches_no_path_outside() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 4);
    store.step(START_MS + 10_000);
    for topic in ["..", ".", "", "../commitlog", "/"] {
        store.delete_topic(topic).unwrap();
    }
    check(&store, 4);
    check(&open(&disk.after_kill(), &clock), 4);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(StoreOptions { sync_flush: true, ..small_options() }, &disk, &clock);
    put(&store, "T", 0, &message(b"m", &[]));
    disk.fail_next(Fault::Sync);
    store.step(START_MS + 1);
    let flushed = store.watermarks().flushed;
    let mut waiting = std::pin::pin!(flushed.reached(store.log_max_offset()));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = std::future::Future::poll(waiting.as_mut(), &mut context);
    assert_eq!(polled, std::task::Poll::Ready(Err(raptormq_store::Stopped)));
    assert!(!store.is_writeable());
    assert_eq!(put(&store, "T", 0, &message(b"n", &[])).status, PutStatus::ServiceNotAvailable);
    // A later sync that succeeds proves nothing about what the failed one lost.
    store.step(START_MS + 2);
    assert_eq!(flushed.value(), 0);
    assert!(store.close().is_err());
}

#[test]
fn a_queue_that_cannot_be_written_closes_the_door_until_it_can() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    // Makes the first log file, so that the next file to be made is a queue's.
    store.step(START_MS);
    fill(&store, &clock, 4);
    disk.fail_next(Fault::Create);
    store.step(START_MS + 20_000);
    assert!(!store.is_writeable());
    store.step(START_MS + 30_000);
    assert!(store.is_writeable());
    check(&open(&disk.after_kill(), &clock), 4);
}

#[test]
fn a_store_in_use_is_refused() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let _store = open(&disk, &clock);
    let second = Store::open_still(small_options(), Arc::new(disk.clone()), clock.clone());
    let error = second.err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().starts_with("Lock failed,MQ already started"), "{error}");
}

#[test]
fn files_of_another_size_are_named() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    fill(&store, &clock, 4);
    store.close().unwrap();
    drop(store);
    for (options, key) in [
        (StoreOptions { segment_bytes: 8192, ..small_options() }, "mappedFileSizeCommitLog"),
        (StoreOptions { queue_file_bytes: 800, ..small_options() }, "mappedFileSizeConsumeQueue"),
    ] {
        let refused = Store::open_still(options, Arc::new(disk.clone()), clock.clone());
        assert!(refused.err().unwrap().to_string().contains(key));
    }
}

#[test]
fn times_are_found_at_both_boundaries() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    // Stored at 0, 0, 10, 10, 10, 30 seconds.
    for advance in [0, 0, 10, 0, 0, 20] {
        clock.advance(advance * 1_000);
        put(&store, "T", 0, &message(b"", &[]));
    }
    let queue = store.queue("T", 0).unwrap();
    let at = |second: i64, boundary| store.offset_by_time(&queue, START_MS + second * 1_000, boundary).unwrap();
    let lower: Vec<i64> = [-5, 0, 5, 10, 20, 30, 40].map(|second| at(second, Boundary::Lower)).into();
    assert_eq!(lower, [0, 0, 2, 2, 5, 5, 6]);
    let upper: Vec<i64> = [-5, 0, 5, 10, 20, 30, 40].map(|second| at(second, Boundary::Upper)).into();
    assert_eq!(upper, [0, 1, 1, 4, 4, 5, 5]);
    let nearest: Vec<i64> = [-5, 3, 7, 10, 19, 25, 40].map(|second| at(second, Boundary::Nearest)).into();
    assert_eq!(nearest, [0, 1, 2, 2, 4, 5, 5]);
    assert_eq!(store.earliest_time(&queue).unwrap(), START_MS);
    assert_eq!(store.timestamp_at(&queue, 5).unwrap(), START_MS + 30_000);
    assert_eq!(store.timestamp_at(&queue, 6).unwrap(), -1);
}
