//! A store that copies another one's log: in pieces of any length, stopped in between, from the start or from a later
//! file, and what it refuses.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::*;
use proptest::prelude::*;
use raptormq_store::disk::memory::MemoryDisk;
use raptormq_store::{CopyError, LogCopy, Store};

fn fill(store: &Store, from: u32, count: u32) {
    for number in from..from + count {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(4 + (number as usize * 131) % 900, number as u8);
        let key = format!("UNIQ_KEY\u{1}K{number}\u{2}TAGS\u{1}t{}\u{2}", number % 3);
        put(store, ["T", "U"][number as usize % 2], (number % 3) as i32, &message(&body, &[&key]));
    }
}

/// Copies everything that `slave` does not have, in pieces of these lengths; returns the queue offsets that arrived.
fn copy_all(
    master: &Store,
    slave: &Store,
    copy: &mut LogCopy,
    from: i64,
    pieces: &[usize],
) -> Result<usize, CopyError> {
    let mut at = from;
    let mut arrived = 0;
    for piece in pieces.iter().cycle() {
        let Some(bytes) = master.log_part(at, *piece).unwrap() else { break };
        slave.append_copy(copy, at, &bytes, &mut |arrivals| arrived += arrivals.len())?;
        at += bytes.len() as i64;
    }
    Ok(arrived)
}

fn assert_same(master: &Store, slave: &Store, from: i64) {
    assert_eq!(slave.log_max_offset(), master.log_max_offset());
    let mut at = from;
    while let Some(bytes) = master.log_part(at, 1000).unwrap() {
        assert_eq!(slave.log_slice(at, bytes.len()).unwrap(), bytes, "at {at}");
        at += bytes.len() as i64;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_copy_is_the_same_however_it_is_cut(pieces in proptest::collection::vec(1_usize..3000, 1..20), stop in 1_u32..60) {
        let (master_disk, slave_disk, clock) = (MemoryDisk::default(), MemoryDisk::default(), clock());
        let (master, slave) = (open(&master_disk, &clock), open(&slave_disk, &clock));
        fill(&master, 0, stop);
        copy_all(&master, &slave, &mut slave.log_copy(), 0, &pieces).unwrap();
        slave.step(START_MS + 1000);
        // A stop of either kind: the slave goes on where its log ends.
        if stop % 2 == 0 {
            slave.close().unwrap();
        }
        drop(slave);
        fill(&master, stop, 60 - stop);
        let slave = open(&slave_disk, &clock);
        let from = slave.log_max_offset();
        copy_all(&master, &slave, &mut slave.log_copy(), from, &pieces).unwrap();
        assert_same(&master, &slave, 0);
        for (topic, queue_id) in [("T", 0), ("T", 1), ("T", 2), ("U", 0), ("U", 1), ("U", 2)] {
            assert_eq!(bodies(&master, topic, queue_id), bodies(&slave, topic, queue_id));
        }
        let found = slave.query("T", "K8", 10, 0..=i64::MAX).unwrap();
        prop_assert_eq!(found.records.len(), 1);
    }
}

#[test]
fn an_empty_copy_may_begin_at_a_later_file_and_nowhere_else() {
    let (master_disk, slave_disk, clock) = (MemoryDisk::default(), MemoryDisk::default(), clock());
    let (master, slave) = (open(&master_disk, &clock), open(&slave_disk, &clock));
    fill(&master, 0, 60);
    let from = master.log_last_file_start();
    assert!(from > 0);
    let part = master.log_part(from, 100).unwrap().unwrap();
    // The file that begins at 0 was made already.
    slave.step(START_MS);
    let begun = slave.append_copy(&mut slave.log_copy(), from + 1, &part, &mut |_| ());
    assert!(matches!(begun, Err(CopyError::NoFileStart(_))), "{begun:?}");
    let arrived = copy_all(&master, &slave, &mut slave.log_copy(), from, &[700]).unwrap();
    assert!(arrived > 0);
    assert_same(&master, &slave, from);
    assert_eq!(slave.log_min_offset(), from);
    slave.close().unwrap();
    drop(slave);
    let slave = open(&slave_disk, &clock);
    assert_same(&master, &slave, from);
    assert!(!slave.queues().is_empty());
    for queue in slave.queues() {
        let of_master = master.queue(&queue.topic, queue.queue_id).unwrap();
        assert!(queue.min_offset() > 0 && queue.max_offset() == of_master.max_offset(), "{queue:?} {of_master:?}");
    }
}

/// A record's header has no checksum, so that a queue offset of a damaged one may be anything.
#[test]
fn a_record_of_an_impossible_queue_offset_is_copied_but_in_no_queue() {
    const QUEUE_OFFSET: usize = 20;
    for (at, damaged) in [(0, 1_i64 << 58), (0, -7), (3, 1 << 40), (3, i64::MAX), (3, i64::MIN)] {
        let (master_disk, slave_disk, clock) = (MemoryDisk::default(), MemoryDisk::default(), clock());
        let (master, slave) = (open(&master_disk, &clock), open(&slave_disk, &clock));
        let mut starts = vec![0];
        for number in 0..5 {
            put(&master, "T", 0, &message(&[number], &[]));
            starts.push(master.log_max_offset());
        }
        let mut bytes = master.log_part(0, 1 << 20).unwrap().unwrap().to_vec();
        let field = starts[at] as usize + QUEUE_OFFSET;
        bytes[field..field + 8].copy_from_slice(&damaged.to_be_bytes());
        slave.append_copy(&mut slave.log_copy(), 0, &bytes, &mut |_| ()).unwrap();
        assert_eq!(slave.log_max_offset(), master.log_max_offset());
        let check = |slave: &Store| {
            let found = bodies(slave, "T", 0);
            assert_eq!(
                (found.first().unwrap(), found.last().unwrap()),
                (&vec![u8::from(at == 0)], &vec![4]),
                "{damaged}"
            );
            assert_eq!(slave.queue("T", 0).unwrap().max_offset(), 5);
        };
        check(&slave);
        slave.step(START_MS + 1000);
        drop(slave);
        // A start after a kill reads the same record.
        check(&open(&slave_disk, &clock));
    }
}

#[test]
fn what_does_not_follow_is_refused_and_changes_nothing() {
    let clock = clock();
    let (one, other) = (open(&MemoryDisk::default(), &clock), open(&MemoryDisk::default(), &clock));
    fill(&one, 0, 5);
    fill(&other, 7, 20);
    let end = one.log_max_offset();
    let mut tell = |_: &[raptormq_store::Arrival<'_>]| panic!("nothing can arrive");
    let bytes = other.log_part(0, 1000).unwrap().unwrap();
    let elsewhere = one.append_copy(&mut one.log_copy(), 0, &bytes, &mut tell);
    assert!(matches!(elsewhere, Err(CopyError::Elsewhere { expected, got: 0 }) if expected == end), "{elsewhere:?}");
    let bytes = other.log_part(end, 1000).unwrap().unwrap();
    let no_record = one.append_copy(&mut one.log_copy(), end, &bytes, &mut tell);
    assert!(matches!(no_record, Err(CopyError::NoRecord { log_offset, .. }) if log_offset == end), "{no_record:?}");
    assert_eq!(one.log_max_offset(), end);
    fill(&one, 5, 1);
    assert_eq!(bodies(&one, "U", 2).len(), 1);
}
