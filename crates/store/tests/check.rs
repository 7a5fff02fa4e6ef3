//! `store check`: what the store leaves is right, and every bit that the formats check counts.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use common::*;
use raptormq_protocol::message::batch;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::disk::read_only::ReadOnlyDisk;
use raptormq_store::{Finding, NewBatch, Offline, OpenError, Placed, Store, StoreOptions, Summary};

/// Messages of the sample.
const COUNT: usize = 12;
/// Batches of the sample.
const BATCHES: usize = 4;
/// Bytes of a batch queue's unit, and those of them that say nothing here.
const BATCH_UNIT_BYTES: usize = 46;
const BATCH_UNUSED: Range<usize> = 38..46;
const LOG: &str = "/store/commitlog/00000000000000000000";

/// Checks the store; nothing of it may change.
fn check(disk: &MemoryDisk) -> Result<(Summary, Vec<Finding>), OpenError> {
    let options = StoreOptions { index_slots: small_options().index_slots, ..StoreOptions::new("/store") };
    let store = Offline::open(options, Arc::new(ReadOnlyDisk(disk.clone())))?;
    let mut findings = Vec::new();
    let summary = store.check(&mut |finding| findings.push(finding.clone())).unwrap();
    Ok((summary, findings))
}

/// Appends a batch of so many messages to the batch queue.
fn put_batch(store: &Store, count: usize) -> Placed {
    let mut body = Vec::new();
    for number in 0..count {
        let text = format!("inner {number}");
        batch::encode(&batch::InnerMessage { flag: 0, body: text.as_bytes(), properties: "" }, &mut body).unwrap();
    }
    let mut staging = store.staging();
    let common = message(&body, &["TAGS\u{1}A\u{2}"]);
    let slot = staging.put_inner_batch(&store.queue_or_create("B", 0).unwrap(), &NewBatch { common }).unwrap();
    store.append(&mut staging);
    *staging.placed(slot)
}

/// A store of a few messages in two topics, and batches in a third; where each record lies.
fn sample(in_order: bool) -> (MemoryDisk, Vec<Range<usize>>) {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let options =
        StoreOptions { batch_queue_file_bytes: 46 * 5, batch_topics: ["B".to_owned()].into(), ..small_options() };
    let store = open_with(options, &disk, &clock);
    let mut records = Vec::new();
    for number in 0..COUNT {
        let properties = format!("TAGS\u{1}T{number}\u{2}KEYS\u{1}k{number} shared\u{2}");
        let topic = if number % 3 == 0 { "Other" } else { "T" };
        let body = format!("body {number}");
        let placed = put(&store, topic, (number % 2) as i32, &message(body.as_bytes(), &[&properties]));
        records.push(placed.log_offset as usize..placed.log_end as usize);
        if number % 3 == 0 {
            let placed = put_batch(&store, number / 3 + 1);
            records.push(placed.log_offset as usize..placed.log_end as usize);
        }
        clock.advance(700);
    }
    store.step(START_MS + 100_000);
    if in_order {
        store.close().unwrap();
    }
    drop(store);
    (disk.after_kill(), records)
}

#[test]
fn what_the_store_leaves_is_right() {
    for in_order in [true, false] {
        let (disk, records) = sample(in_order);
        let (summary, findings) = check(&disk).unwrap();
        assert_eq!(findings, []);
        assert_eq!((summary.record_count, summary.unit_count), (records.len() as u64, records.len() as u64));
        assert_eq!((summary.queue_count, summary.key_count), (5, 2 * COUNT as u64));
        assert_eq!((summary.log_end as usize, summary.was_clean), (records[records.len() - 1].end, in_order));
    }
}

#[test]
fn what_a_crash_leaves_is_told_from_damage() {
    let (disk, records) = sample(false);
    disk.damage(Path::new(LOG), |bytes| bytes[records[records.len() - 1].start + 60..].fill(0));
    let (summary, findings) = check(&disk).unwrap();
    assert_eq!(summary.violation_count, 2, "the checkpoint says that the record was on disk: {findings:?}");
    disk.damage(Path::new("/store/checkpoint"), |bytes| bytes.fill(0));
    let (summary, findings) = check(&disk).unwrap();
    assert!(!findings.is_empty() && findings.iter().all(|finding| finding.is_repaired), "{findings:?}");
    assert_eq!(summary.violation_count, 0);
}

/// Bytes of a record that nothing protects: flag, most of the system flag, times, hosts, and counters.
fn is_unprotected(at: usize) -> bool {
    matches!(at, 16..20 | 36..84)
}

#[test]
fn every_bit_that_the_formats_check_counts() {
    let (disk, records) = sample(true);
    let mut flipped = 0;
    let mut batch_flipped = 0;
    for (path, bytes) in disk.files() {
        let name = path.to_str().unwrap();
        let is_checked = ["/store/commitlog/", "/store/consumequeue/", "/store/batchconsumequeue/", "/store/index/"];
        if !is_checked.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        for bit in 0..bytes.len() * 8 {
            let at = bit / 8;
            // One bit of a byte is enough where nothing was ever written.
            if bytes[at.saturating_sub(32)..bytes.len().min(at + 32)].iter().all(|byte| *byte == 0) && bit % 8 != at % 8
            {
                continue;
            }
            let in_record = records.iter().find(|record| record.contains(&at)).map(|record| at - record.start);
            if name == LOG && in_record.is_some_and(is_unprotected) {
                continue;
            }
            let is_batch = name.starts_with("/store/batchconsumequeue/");
            if is_batch && BATCH_UNUSED.contains(&(at % BATCH_UNIT_BYTES)) {
                continue;
            }
            batch_flipped += u64::from(is_batch);
            disk.damage(&path, |bytes| bytes[at] ^= 1 << (bit % 8));
            if let Ok((summary, findings)) = check(&disk) {
                let place = findings.iter().find(|finding| !finding.reason.is_empty());
                assert!(summary.violation_count > 0 && place.is_some(), "bit {} of {name}+{at}", bit % 8);
            }
            disk.damage(&path, |bytes| bytes[at] ^= 1 << (bit % 8));
            flipped += 1;
        }
    }
    println!("{flipped} bits, {batch_flipped} of them of a batch queue");
    assert!(flipped > 15_000, "{flipped}");
    assert!(batch_flipped >= (BATCHES * BATCH_UNUSED.start * 8) as u64, "{batch_flipped}");
    assert_eq!(check(&disk).unwrap().1, []);
}
