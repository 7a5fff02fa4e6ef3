//! What a slave makes of a master's log that is damaged on the way or was made up: whole good records are taken, the rest is
//! refused, nothing panics, and a start after a kill finds what was taken.
//!
//! `COPY_SEED=N` runs one case again, `COPY_CASES=N` more of them.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::*;
use raptormq_protocol::message::batch;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{NewBatch, Store, StoreOptions};

/// Cases without `COPY_CASES`.
const CASES: u64 = 3_000;
/// Values that lengths, offsets and flags do not have.
const EXTREMES: [i64; 12] =
    [0, 1, -1, 4095, 1 << 31, 1 << 40, 1 << 62, i64::MAX, i64::MAX - 7, i64::MIN, i32::MAX as i64, i32::MIN as i64];

/// A master's log over several files, with simple and batch queues; whether `sealed`, the records have a CRC of their own.
fn log_of_a_master(sealed: bool) -> Vec<Vec<u8>> {
    let (disk, clock) = (MemoryDisk::default(), clock());
    let options = StoreOptions { append_property_crc: sealed, ..mixed_options() };
    let store = open_with(options, &disk, &clock);
    for number in 0..20 {
        let properties = format!("UNIQ_KEY\u{1}u{number}\u{2}TAGS\u{1}A\u{2}KEYS\u{1}k{number}\u{2}");
        put(&store, "T", number % 2, &message(&[7; 100], &[&properties]));
        let mut body = Vec::new();
        batch::encode(&batch::InnerMessage { flag: 0, body: b"inner", properties: "" }, &mut body).unwrap();
        let mut staging = store.staging();
        let common = message(&body, &["TAGS\u{1}A\u{2}"]);
        staging.put_inner_batch(&store.queue_or_create("B", 0).unwrap(), &NewBatch { common }).unwrap();
        store.append(&mut staging);
    }
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(part) = store.log_part(at, 700).unwrap() {
        at += part.len() as i64;
        parts.push(part.to_vec());
    }
    parts
}

/// The log's parts, some of them changed, and where they are said to stand.
fn damaged(parts: &[Vec<u8>], random: &mut Random) -> Vec<(i64, Vec<u8>)> {
    // A copy may begin anywhere where a file does, or says that it does.
    let begin = [0, 0, 4096, 1 << 61, 1 << 62, i64::MAX - 4095, (i64::MAX >> 12) << 12, -4096][random.below(8)];
    let mut at: i64 = begin;
    let mut found = Vec::new();
    for part in parts {
        found.push((at, part.clone()));
        at = at.saturating_add(part.len() as i64);
    }
    if begin != 0 {
        // The first record is a good one of that place.
        found[0].1[28..36].copy_from_slice(&begin.to_be_bytes());
    }
    for _ in 0..random.below(5) {
        let number = random.below(found.len());
        let (start, bytes) = &mut found[number];
        let place = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[place] ^= 1 << random.below(8),
            1 | 2 => {
                // The fields of the first record, mostly.
                let place = if random.below(3) == 0 { place } else { random.below(84.min(bytes.len())) } & !3;
                let (value, width) = (EXTREMES[random.below(EXTREMES.len())].to_be_bytes(), [4, 8][random.below(2)]);
                let room = (bytes.len() - place).min(width);
                bytes[place..place + room].copy_from_slice(&value[8 - width..][..room]);
            }
            3 => bytes.truncate(place.max(1)),
            _ => *start = EXTREMES[random.below(EXTREMES.len())],
        }
    }
    found
}

/// Reads all there is: only whole good records, in queues that begin before they end.
fn check(store: &Store) {
    let mut at = store.log_min_offset();
    while let Some(record) = store.record_at(at) {
        at += record.len() as i64;
    }
    for queue in store.queues() {
        assert!(queue.min_offset() <= queue.max_offset(), "{queue:?}");
        let _whatever = store.get(&queue, queue.min_offset(), &ALL, &mut |_| true);
    }
}

fn run(random: &mut Random, logs: &[Vec<Vec<u8>>; 2]) -> bool {
    let parts = damaged(&logs[random.below(2)], random);
    let (disk, clock) = (MemoryDisk::default(), clock());
    let slave = open_with(mixed_options(), &disk, &clock);
    let mut copy = slave.log_copy();
    let size = 1 + random.below(900);
    let mut is_whole = true;
    for (start, bytes) in &parts {
        let mut at = *start;
        for piece in bytes.chunks(size) {
            is_whole &= slave.append_copy(&mut copy, at, piece, &mut |_| ()).is_ok();
            at = at.saturating_add(piece.len() as i64);
        }
        if !is_whole {
            break;
        }
    }
    check(&slave);
    slave.step(START_MS + 100_000);
    let end = slave.log_max_offset();
    drop(slave);
    let slave = open_with(mixed_options(), &disk.after_kill(), &clock);
    assert!(slave.log_max_offset() <= end, "more in the log after the kill");
    check(&slave);
    slave.close().unwrap();
    is_whole
}

#[test]
fn a_damaged_log_is_copied_as_far_as_it_is_good() {
    let logs = [log_of_a_master(false), log_of_a_master(true)];
    let Some((cases, whole)) = run_cases("COPY", CASES, |random| run(random, &logs)) else { return };
    println!("{cases} logs, {whole} of them taken to their end");
    assert!((cases / 20..cases).contains(&whole), "{whole} of {cases}");
}
