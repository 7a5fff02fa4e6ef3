//! When what was appended is on disk, and what the preparation of files does to it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use raptormq_store::disk::faulty::FaultyDisk;
use raptormq_store::disk::memory::{Fate, Fault, MemoryDisk};
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{Boundary, CleanOptions, GetStatus, PutStatus, QueueType, Store, StoreOptions, SystemClock};

fn sync_options() -> StoreOptions {
    StoreOptions { sync_flush: true, ..small_options() }
}

#[test]
fn a_flush_takes_everything_however_little() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    put(&store, "T", 0, &message(b"m", &[]));
    store.step(START_MS);
    let crashed = disk.after_crash(|_, _| Fate::Lost);
    assert_eq!(bodies(&open(&crashed, &clock), "T", 0), [b"m"]);
}

#[test]
fn on_a_quick_disk_whoever_waits_flushes_for_himself() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(sync_options(), &disk, &clock);
    let flushed = store.watermarks().flushed;
    let first = put(&store, "T", 0, &message(b"m", &[]));
    store.flush_soon();
    assert!(flushed.value() < first.log_end, "nothing is known of this disk yet: the background is asked");
    // A disk in memory may be held up by the machine, so as often as it takes.
    make_quick(&store);
}

/// Has it that whoever waits on this disk flushes for himself, if the machine is not too busy.
fn make_quick(store: &Store) {
    let is_quick = (0..1_000).any(|_| {
        store.step(START_MS);
        let placed = put(store, "T", 0, &message(b"m", &[]));
        store.flush_soon();
        store.watermarks().flushed.value() >= placed.log_end
    });
    assert!(is_quick);
}

/// A store of which that is so, with files that do not fill, on a disk whose syncs can be made to hang.
fn quick() -> (FaultyDisk, Store) {
    let disk = FaultyDisk::new(MemoryDisk::default(), None);
    let store = open_with(StoreOptions { segment_bytes: 16 << 20, ..sync_options() }, &disk, &clock());
    make_quick(&store);
    (disk, store)
}

#[test]
fn nobody_waits_behind_a_sync_that_hangs_but_who_syncs() {
    let (disk, store) = quick();
    let flushed = store.watermarks().flushed;
    std::thread::scope(|scope| {
        disk.hang(true);
        let syncing = scope.spawn(|| {
            let placed = put(&store, "T", 0, &message(b"hung", &[]));
            store.flush_soon();
            placed.log_end
        });
        while disk.hanging().is_empty() {
            std::thread::yield_now();
        }
        // The first notices, and the others need not.
        for _ in 0..1_000 {
            let placed = put(&store, "T", 0, &message(b"n", &[]));
            store.flush_soon();
            assert!(flushed.value() < placed.log_end);
        }
        assert!(!syncing.is_finished(), "all of that was while it hung");
        assert_eq!(disk.hanging().len(), 1);
        disk.hang(false);
        let log_end = syncing.join().unwrap();
        assert!(flushed.value() >= log_end);
    });
    store.step(START_MS);
    assert_eq!(flushed.value(), store.log_max_offset());
}

#[test]
fn a_disk_that_has_hung_is_left_to_the_background_for_a_while() {
    let (disk, store) = quick();
    assert_eq!(store.long_sync(), None);
    std::thread::scope(|scope| {
        put(&store, "T", 0, &message(b"hung", &[]));
        disk.hang(true);
        scope.spawn(|| store.step(START_MS));
        let (path, took) = loop {
            std::thread::yield_now();
            if let Some(found) = store.long_sync() {
                break found;
            }
        };
        disk.hang(false);
        assert!(path.to_str().unwrap().contains("/commitlog/") && took.as_secs() >= 1, "{path:?} {took:?}");
    });
    assert_eq!(store.long_sync(), None);
    for _ in 0..100 {
        store.step(START_MS);
        let placed = put(&store, "T", 0, &message(b"m", &[]));
        store.flush_soon();
        assert!(store.watermarks().flushed.value() < placed.log_end);
    }
}

#[test]
fn a_failed_sync_is_reported_and_reads_go_on() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(sync_options(), &disk, &clock);
    put(&store, "T", 0, &message(b"m", &[]));
    store.step(START_MS);
    assert_eq!(store.failure(), None);
    put(&store, "T", 0, &message(b"n", &[]));
    disk.fail_next(Fault::Sync);
    store.step(START_MS + 1);
    assert!(store.failure().is_some_and(|failure| failure.contains("/store/commitlog/")), "{:?}", store.failure());
    assert_eq!(put(&store, "T", 0, &message(b"o", &[])).status, PutStatus::ServiceNotAvailable);
    assert_eq!(bodies(&store, "T", 0), [b"m"], "what may be lost is not readable");
}

/// Status, where to go on, end of the queue, and number of messages.
fn seen(store: &Store, from: i64) -> (GetStatus, i64, i64, usize) {
    let queue = store.queue("T", 0).unwrap();
    let read = get(store, "T", 0, from);
    let cached = store.get_cached(&queue, from, &ALL, &mut |_| true).unwrap();
    assert_eq!((cached.status, cached.max_offset, cached.count), (read.status, read.max_offset, read.count));
    assert_eq!(read.max_offset, store.visible_end(&queue).unwrap());
    (read.status, read.next_offset, read.max_offset, read.count)
}

#[test]
fn what_is_not_on_disk_is_not_readable_under_sync_flush() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(sync_options(), &disk, &clock);
    put(&store, "T", 0, &message(b"0", &[]));
    assert_eq!(seen(&store, 0), (GetStatus::NoMessageInQueue, 0, 0, 0));
    store.step(START_MS);
    assert_eq!(seen(&store, 0), (GetStatus::Found, 1, 1, 1));
    // Written to the queue's file or not, what is not flushed is not there for readers.
    for number in 0..300_u32 {
        put(&store, "T", 0, &message(&number.to_be_bytes(), &[]));
    }
    assert_eq!(seen(&store, 0), (GetStatus::Found, 1, 1, 1));
    assert_eq!(seen(&store, 1), (GetStatus::OffsetOverflowOne, 1, 1, 0));
    assert_eq!(seen(&store, 200), (GetStatus::OffsetOverflowOne, 200, 1, 0), "a reader that is ahead stays there");
    assert_eq!(seen(&store, 302), (GetStatus::OffsetOverflowBadly, 1, 1, 0));
    let queue = store.queue("T", 0).unwrap();
    let later = store.offset_by_time(&queue, START_MS + 1_000_000, Boundary::Lower).unwrap();
    assert_eq!((later, queue.max_offset()), (1, 301));
    store.step(START_MS + 1);
    assert_eq!(seen(&store, 300), (GetStatus::Found, 301, 301, 1));
}

#[test]
fn a_batch_queue_ends_for_readers_before_the_first_record_that_is_not_on_disk() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(sync_options(), &disk, &clock);
    store.set_queue_type("T", QueueType::Batch);
    put(&store, "T", 0, &message(b"first", &[]));
    assert_eq!(seen(&store, 0), (GetStatus::NoMessageInQueue, 0, 0, 0));
    store.step(START_MS);
    put(&store, "T", 0, &message(b"second", &[]));
    put(&store, "T", 0, &message(b"third", &[]));
    assert_eq!(seen(&store, 0), (GetStatus::Found, 1, 1, 1));
    store.step(START_MS + 1);
    assert_eq!(seen(&store, 0), (GetStatus::Found, 3, 3, 3));
}

#[test]
fn what_a_start_finds_after_the_process_died_is_readable_at_once_and_stays() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open_with(sync_options(), &disk, &clock);
    put(&store, "T", 0, &message(b"m", &[]));
    drop(store);
    let disk = disk.after_kill();
    let store = open_with(sync_options(), &disk, &clock);
    assert_eq!(seen(&store, 0), (GetStatus::Found, 1, 1, 1));
    assert_eq!(bodies(&open(&disk.after_crash(|_, _| Fate::Lost), &clock), "T", 0), [b"m"]);
}

#[test]
fn files_that_are_filled_while_they_are_written_keep_every_message() {
    let folder = tempfile::tempdir().unwrap();
    let options = || StoreOptions {
        root: folder.path().to_owned(),
        commit_log_folders: vec![folder.path().join("commitlog")],
        segment_bytes: 12 << 20,
        queue_file_bytes: 6_000_000,
        sync_flush: true,
        body_bytes_max: 1 << 20,
        // However full the disk is that the test runs on.
        clean: CleanOptions { is_forcible: false, full_ratio: 1.0, ..CleanOptions::default() },
        ..small_options()
    };
    let open = || Store::open_still(options(), Arc::new(RealDisk), Arc::new(SystemClock)).unwrap();
    let store = open();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                store.step(START_MS);
            }
        });
        for number in 0..600_u32 {
            let body = [&number.to_be_bytes()[..], &[b'x'; 60_000]].concat();
            assert_eq!(put(&store, "T", 0, &message(&body, &[])).status, PutStatus::PutOk);
        }
        is_over.store(true, Ordering::Release);
    });
    store.step(START_MS);
    let check = |store: &Store| {
        let found = bodies(store, "T", 0);
        assert!(found.iter().map(|body| u32::from_be_bytes(*body.first_chunk().unwrap())).eq(0..600));
        assert!(found.iter().all(|body| body[4..].iter().all(|byte| *byte == b'x')), "zeros over a message");
    };
    check(&store);
    // Not closed: recovery reads the log.
    drop(store);
    check(&open());
}
