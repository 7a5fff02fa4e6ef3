//! Each call of the store to its disk fails, one after another, in each way: what was acknowledged is there afterwards.
//!
//! `cargo xtask faults` tries all calls (`RAPTORMQ_FAULTS=all`), the tests every few.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::*;
use raptormq_store::clock::ManualClock;
use raptormq_store::disk::faulty::{FaultKind, FaultPlan, FaultyDisk};
use raptormq_store::disk::memory::{Fate, Fault, MemoryDisk};
use raptormq_store::{PutStatus, Store, StoreOptions};

/// Without `RAPTORMQ_FAULTS=all`, one call of so many fails.
const STRIDE: usize = 17;
/// Turns of messages that are sent before, and while a call fails.
const SENT: usize = 40;
/// After so many of the latter the disk is well again.
const HEALED_AT: usize = 28;

/// A message that was accepted.
#[derive(Clone, Debug)]
struct Accepted {
    queue_id: i32,
    queue_offset: i64,
    number: usize,
    /// The store said that it is on disk.
    is_durable: bool,
}

/// What was said about messages.
#[derive(Clone, Debug, Default)]
struct Book {
    accepted: Vec<Accepted>,
    /// Numbers of those that were refused.
    refused: BTreeSet<usize>,
}

fn options(sync_flush: bool) -> StoreOptions {
    StoreOptions { sync_flush, ..small_options() }
}

fn body(number: usize) -> Vec<u8> {
    [&(number as u64).to_be_bytes()[..], &[b'x'; 200]].concat()
}

fn number_of(body: &[u8]) -> usize {
    u64::from_be_bytes(*body.first_chunk().unwrap()) as usize
}

/// Sends up to three messages at once, and lets the background run. Returns what became of the first.
fn send(store: &Store, clock: &ManualClock, book: &mut Book, turn: usize) -> PutStatus {
    let mut staging = store.staging();
    let mut staged = Vec::new();
    for number in turn * 3..turn * 3 + 1 + turn % 3 {
        let queue_id = (number % 3) as i32;
        let key = format!("KEYS\u{1}k{number}\u{2}");
        staged.push((number, queue_id, stage(store, &mut staging, "T", queue_id, &message(&body(number), &[&key]))));
    }
    store.append(&mut staging);
    if turn.is_multiple_of(5) {
        clock.advance(if turn.is_multiple_of(20) { 70_000 } else { 2_000 });
    }
    store.flush_soon();
    store.step(raptormq_store::Clock::now_ms(clock));
    let flushed = store.watermarks().flushed.value();
    for (number, queue_id, slot) in &staged {
        let placed = staging.placed(*slot);
        if placed.status == PutStatus::PutOk {
            let is_durable = flushed >= placed.log_end;
            let (queue_id, queue_offset, number) = (*queue_id, placed.queue_offset, *number);
            book.accepted.push(Accepted { queue_id, queue_offset, number, is_durable });
        } else {
            book.refused.insert(*number);
        }
    }
    staging.placed(staged[0].2).status
}

/// A store that was killed, and what it had said.
fn killed(sync_flush: bool, clock: &Arc<ManualClock>) -> (MemoryDisk, Book) {
    let disk = MemoryDisk::default();
    let mut book = Book::default();
    let store = open_with(options(sync_flush), &disk, clock);
    for turn in 0..SENT {
        assert_eq!(send(&store, clock, &mut book, turn), PutStatus::PutOk);
    }
    (disk.after_kill(), book)
}

/// Everything that was accepted (or only what was durable) is where it was said to be, and nothing that was refused.
fn check(disk: &MemoryDisk, book: &Book, durable_only: bool, context: &str) {
    let clock = clock();
    clock.advance(10_000_000);
    let store = open_with(options(false), disk, &clock);
    check_store(&store, book, durable_only, context);
    assert_eq!(put(&store, "U", 0, &message(b"after", &[])).status, PutStatus::PutOk, "{context}");
}

fn check_store(store: &Store, book: &Book, durable_only: bool, context: &str) {
    let found: Vec<Vec<usize>> =
        (0..3).map(|queue_id| bodies(store, "T", queue_id).iter().map(|body| number_of(body)).collect()).collect();
    for message in book.accepted.iter().filter(|message| message.is_durable || !durable_only) {
        let at = found[message.queue_id as usize].get(message.queue_offset as usize);
        assert_eq!(at, Some(&message.number), "{context}: an acknowledged message is missing: {message:?}");
    }
    let refused = found.iter().flatten().find(|number| book.refused.contains(*number));
    assert_eq!(refused, None, "{context}: a refused message is there");
}

/// Runs a store on a disk of which calls fail. Returns how many calls there were.
fn run(sync_flush: bool, plan: Option<FaultPlan>) -> usize {
    let clock = clock();
    let (memory, mut book) = killed(sync_flush, &clock);
    let disk = FaultyDisk::new(memory.clone(), plan);
    let open = || Store::open_still(options(sync_flush), Arc::new(disk.clone()), clock.clone());
    // What struck a start that failed, and was repeated, is forgotten.
    let mut forgotten = 0;
    let store = open().or_else(|_| {
        disk.heal();
        forgotten = disk.struck().len();
        open()
    });
    let store = store.unwrap_or_else(|error| panic!("{plan:?}: a second start on a disk that is well: {error}"));
    for turn in SENT..2 * SENT {
        if turn == SENT + HEALED_AT {
            disk.heal();
        }
        let had_failed = store.failure().is_some();
        let flushed = store.watermarks().flushed.value();
        let had_refused = !book.refused.is_empty();
        let status = send(&store, &clock, &mut book, turn);
        // Where nothing could be wiped, a start may find what was refused.
        if !had_refused && !book.refused.is_empty() && !plan.is_some_and(|plan| plan.goes_on) {
            check(&memory.after_kill(), &book, false, &format!("{plan:?}, struck {:?}, killed at once", disk.struck()));
        }
        if had_failed {
            assert_eq!(status, PutStatus::ServiceNotAvailable, "{plan:?}: after a failed sync");
            assert_eq!(store.watermarks().flushed.value(), flushed, "{plan:?}: after a failed sync");
        }
    }
    let context = format!("{plan:?}, SYNC_FLUSH {sync_flush}, struck {:?}", disk.struck());
    let is_sync = |call: &str| matches!(call, "sync" | "sync_folder" | "sync_all");
    if disk.struck()[forgotten..].iter().any(|struck| is_sync(struck.call)) {
        assert!(store.failure().is_some(), "{context}: a sync failed, and the store goes on");
    }
    match store.failure() {
        Some(_) => assert!(store.close().is_err(), "{context}: closed in order after a failed sync"),
        None => {
            clock.advance(70_000);
            store.step(raptormq_store::Clock::now_ms(&*clock));
            let status = send(&store, &clock, &mut book, 2 * SENT);
            assert_eq!(status, PutStatus::PutOk, "{context}: the disk is well, and the store does not go on");
        }
    }
    // After a failed sync, what it should have made durable is not readable.
    check_store(&store, &book, sync_flush && store.failure().is_some(), &context);
    let calls = disk.calls();
    // Where a write could not be wiped before the store failed for good, a start may find what was refused.
    if store.failure().is_some() && disk.struck().iter().any(|struck| struck.call == "zero") {
        book.refused.clear();
    }
    drop(store);
    check(&memory.after_kill(), &book, false, &format!("{context}, killed"));
    check(&memory.after_crash(|_, _| Fate::Lost), &book, true, &format!("{context}, crashed"));
    calls
}

fn run_all(sync_flush: bool) {
    let calls = run(sync_flush, None);
    let stride = if std::env::var("RAPTORMQ_FAULTS").is_ok_and(|wish| wish == "all") { 1 } else { STRIDE };
    let mut runs = 0;
    for kind in [FaultKind::Device, FaultKind::Full, FaultKind::Short] {
        for goes_on in [false, true] {
            // Another share of the calls for each kind.
            for first in (runs % stride..calls).step_by(stride) {
                run(sync_flush, Some(FaultPlan { first, goes_on, kind }));
                runs += 1;
            }
        }
    }
    println!("{runs} runs with faults, in each another of {calls} calls, SYNC_FLUSH {sync_flush}: nothing is missing");
}

#[test]
fn no_failing_call_loses_what_sync_flush_acknowledged() {
    run_all(true);
}

#[test]
fn no_failing_call_loses_what_async_flush_acknowledged() {
    run_all(false);
}

#[test]
fn whole_records_of_a_write_that_was_cut_short_are_not_found_after_a_kill() {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let store = open(&disk, &clock);
    let mut staging = store.staging();
    let slots = [0, 1, 2].map(|number| stage(&store, &mut staging, "T", 0, &message(&body(number), &[])));
    // The first of them is written whole.
    disk.fail_next(Fault::Write { after: staging.bytes() / 2 });
    store.append(&mut staging);
    assert!(slots.iter().all(|slot| staging.placed(*slot).status == PutStatus::ServiceNotAvailable));
    let killed = open(&disk.after_kill(), &clock);
    assert_eq!(bodies(&killed, "T", 0), Vec::<Vec<u8>>::new());
}
