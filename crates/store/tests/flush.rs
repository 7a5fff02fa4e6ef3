//! When what was appended is on disk, and what the preparation of files does to it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use raptormq_store::disk::memory::{Fate, Fault, MemoryDisk};
use raptormq_store::disk::real::RealDisk;
use raptormq_store::{PutStatus, Store, StoreOptions, SystemClock};

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
    let is_flushed = (0..1_000).any(|_| {
        store.step(START_MS);
        let placed = put(&store, "T", 0, &message(b"m", &[]));
        store.flush_soon();
        flushed.value() >= placed.log_end
    });
    assert!(is_flushed);
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
    assert_eq!(bodies(&store, "T", 0), [b"m", b"n"]);
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
